//! Starting the daemon in a place of its own, and talking to it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use colibri_protocol::client::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take before a test gives up.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Another package's program, built like the daemon.
pub(crate) fn built(package: &str) -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "{package} cannot be built");
    Path::new(env!("CARGO_BIN_EXE_colibri-daemon")).with_file_name(package)
}

/// A file's permission bits.
pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory for one daemon's socket, data and log. Removed at the end.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::Builder::new()
                .prefix("colibri-")
                .tempdir()
                .unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("colibri.sock")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("data/colibri.sqlite")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket()).with_timeout(LONG)
    }

    /// The daemon's command line for this place, not yet started.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_colibri-daemon"));
        for (flag, path) in [
            ("--data-dir", self.path("data")),
            ("--socket", self.socket()),
        ] {
            if !flags.contains(&flag) {
                command.arg(flag).arg(path);
            }
        }
        command
            .args(["--host", "test"])
            .args(flags)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(&self, flags: &[&str]) -> Daemon {
        self.start_command(&mut self.command(flags))
    }

    pub(crate) fn start_command(&self, command: &mut Command) -> Daemon {
        let daemon = Daemon(command.spawn().unwrap());
        if let Err(error) = self.client().wait_until_answers(LONG) {
            panic!("{error}\n{}", self.log());
        }
        daemon
    }

    /// Runs the daemon where it must refuse to start: its exit code and its words.
    pub(crate) fn refused(&self, flags: &[&str]) -> (i32, String) {
        let mut daemon = Daemon(self.command(flags).spawn().unwrap());
        (daemon.ended().code().unwrap(), self.log())
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to stop and expects a graceful end.
    pub(crate) fn stop(mut self, signal: Signal) {
        self.signal(signal);
        let status = self.ended();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection on which a test says exactly what it likes.
pub(crate) struct Raw {
    pub(crate) stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Raw {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next reply; `None` when the daemon has hung up.
    pub(crate) fn reply(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next reply; `None` also when the daemon died in the middle of it.
    pub(crate) fn whole_reply(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') => Some(serde_json::from_str(&line).unwrap()),
            _ => None,
        }
    }

    /// Sends one line and reads its reply.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.send(format!("{line}\n").as_bytes());
        self.reply().expect("a reply")
    }

    /// The kind of the error that comes next.
    pub(crate) fn error_kind(&mut self) -> String {
        let reply = self.reply().expect("an error");
        assert_eq!(reply["ok"], false, "{reply}");
        reply["error"]["kind"].as_str().unwrap().to_owned()
    }
}
