//! The real program on a pseudo-terminal, with a daemon played by the test; what it prints is read
//! by an emulated terminal.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use colibri_protocol::{Change, Command as Asked, Reply, Request};
use nix::pty::{Winsize, openpty};
use serde_json::{Value, json};

use crate::board;

/// Long enough for the slowest machine that compiles something beside this.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Heard {
    asked: Vec<Value>,
    subscribers: Vec<UnixStream>,
}

/// Answers with the one board there is.
struct Daemon {
    folder: tempfile::TempDir,
    heard: Arc<Mutex<Heard>>,
}

impl Daemon {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let daemon = Self {
            folder,
            heard: Arc::default(),
        };
        daemon.listen();
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn listen(&self) {
        let listener = UnixListener::bind(self.socket()).expect("a socket");
        let heard = self.heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a client");
                serve(stream, &heard);
            }
        });
    }

    /// Tells every subscriber.
    fn tell(&self, line: &Value) {
        for stream in &mut self.heard.lock().expect("no panic").subscribers {
            let reply = Reply::new(None, Ok(line.clone()));
            stream
                .write_all(&reply.to_line().expect("a line"))
                .expect("told");
        }
    }

    fn has_heard(&self, command: &str) -> bool {
        let heard = self.heard.lock().expect("no panic");
        heard.asked.iter().any(|asked| asked["cmd"] == command)
    }
}

fn serve(mut stream: UnixStream, heard: &Mutex<Heard>) {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    if reader.read_line(&mut line).unwrap_or_default() == 0 {
        return;
    }
    let request = Request::parse(line.as_bytes()).expect("a request");
    let mut heard = heard.lock().expect("no panic");
    heard.asked.push(json!(request));
    let data = match &request.command {
        Asked::Status(_) => json!(board::status()),
        Asked::Snapshot(_) => json!(board::snapshot()),
        Asked::ListAgents(_) => json!(board::agents()),
        Asked::ListTasks(which) => json!(board::page(which)),
        Asked::ListJobs(_) => json!(board::jobs()),
        Asked::ListTenants(_) => json!({"tenants": board::tenants()}),
        Asked::AgentLog(_) => json!(board::log()),
        Asked::Subscribe(_) => json!(Change::Subscribed),
        _ => json!({}),
    };
    let line = Reply::new(None, Ok(data)).to_line().expect("a line");
    // The program may have left meanwhile.
    let _ = stream.write_all(&line);
    if matches!(request.command, Asked::Subscribe(_)) {
        heard.subscribers.push(stream);
    }
}

/// The program on its terminal.
struct Program {
    child: Child,
    keyboard: File,
    printed: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    raw: Vec<u8>,
}

impl Program {
    fn start(socket: &Path, variables: &[(&str, &str)]) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).expect("a pseudo-terminal");
        let handle = || Stdio::from(pty.slave.try_clone().expect("a second handle"));
        let child = Command::new(env!("CARGO_BIN_EXE_colibri-tui"))
            .arg("--socket")
            .arg(socket)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(handle())
            .stdout(handle())
            .stderr(handle())
            .spawn()
            .expect("started");
        let keyboard = File::from(pty.master);
        let screen = keyboard.try_clone().expect("a second handle");
        let (tell, printed) = mpsc::channel();
        std::thread::spawn(move || read_all(screen, &tell));
        Self {
            child,
            keyboard,
            printed,
            parser: vt100::Parser::new(24, 80, 0),
            raw: Vec::new(),
        }
    }

    fn shown(&self) -> String {
        self.parser.screen().contents()
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    fn wait_for(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(Instant::now() < end, "no {what}:\n{}", self.shown());
            if let Ok(bytes) = self.printed.recv_timeout(Duration::from_millis(50)) {
                self.parser.process(&bytes);
                self.raw.extend(bytes);
            }
        }
    }

    #[track_caller]
    fn wait_for_text(&mut self, text: &str) {
        self.wait_for(text, |program| program.shown().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("pressed");
    }

    fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(mut screen: File, tell: &Sender<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = screen.read(&mut chunk) {
        if tell.send(chunk[..count].to_vec()).is_err() {
            return;
        }
    }
}

#[test]
fn it_shows_what_is_there_takes_keys_and_gives_the_terminal_back() {
    let daemon = Daemon::start();
    let utf8 = [("TERM", "xterm"), ("LANG", "C.UTF-8")];
    let mut program = Program::start(&daemon.socket(), &utf8);
    program.wait_for_text("berta");
    program.wait_for_text("live");
    assert!(program.parser.screen().alternate_screen());
    assert!(program.shown().contains('─'), "{}", program.shown());
    program.press("n");
    program.wait_for_text("401 from the provider");
    program.press("nr");
    program.wait_for_text("Answer berta");
    program.press("\x1b[C\r");
    program.wait_for_text("berta is answered.");
    assert!(daemon.has_heard("answer-agent"));
    // The wheel, and a click on the second view.
    program.press("\x1b[<64;5;5M\x1b[<0;23;1M\x1b[<0;23;1m");
    program.wait_for_text("Draw the map of all jails");
    program.press("\x1b[B\x1b[Bx");
    program.wait_for_text("Call this task off? Back up the vault");
    program.press("\x1b[C\ttoo late\r");
    program.wait_for_text("The task is called off.");
    assert!(daemon.has_heard("cancel-task"));
    program.press("q");
    assert!(program.end().success());
    program.wait_for("end of the second screen", |program| {
        let screen = program.parser.screen();
        let has_mouse = screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None;
        !screen.alternate_screen() && !screen.hide_cursor() && !has_mouse
    });
}

#[test]
fn a_plain_terminal_and_no_color_are_respected() {
    let daemon = Daemon::start();
    for variables in [
        [("TERM", "vt100"), ("LANG", "C.UTF-8")],
        [("TERM", "xterm"), ("NO_COLOR", "1")],
    ] {
        let mut program = Program::start(&daemon.socket(), &variables);
        program.wait_for_text("stalled");
        program.press("n");
        program.wait_for_text("401 from the provider");
        assert!(program.shown().is_ascii(), "{}", program.shown());
        let mouse = program.parser.screen().mouse_protocol_mode();
        let is_serial = variables.contains(&("TERM", "vt100"));
        assert_eq!(mouse == vt100::MouseProtocolMode::None, is_serial);
        let raw = String::from_utf8_lossy(&program.raw).into_owned();
        for colour in 30..38 {
            assert!(!raw.contains(&format!("\x1b[{colour}m")), "{raw:?}");
            assert!(
                !raw.contains(&format!("\x1b[38;5;{}m", colour - 30)),
                "{raw:?}"
            );
        }
    }
}

#[test]
fn a_daemon_that_comes_back_is_asked_again_and_one_of_the_future_understood() {
    let daemon = Daemon::start();
    let mut program = Program::start(&daemon.socket(), &[("TERM", "vt100")]);
    program.wait_for_text("live");
    daemon.tell(&json!({"change": "eclipse", "of": "the moon"}));
    daemon.tell(&json!({"change": "lagged", "missed": 7}));
    std::fs::remove_file(daemon.socket()).expect("removed");
    daemon.heard.lock().expect("no panic").subscribers.clear();
    program.wait_for_text("LOST");
    // The first pause is short; after the second attempt the socket is known to be gone.
    program.wait_for_text("there is no socket at");
    program.wait_for_text("Trying again in");
    daemon.listen();
    program.wait_for_text("live");
    program.press("q");
    assert!(program.end().success());
}

#[test]
fn whoever_cannot_begin_is_told_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::start(&folder.path().join("none"), &[("TERM", "vt100")]);
    assert_eq!(program.end().code(), Some(3));
    program.wait_for_text("there is no socket at");
    assert!(!program.raw.contains(&0x1b), "nothing was drawn");

    let output = Command::new(env!("CARGO_BIN_EXE_colibri-tui"))
        .stdin(Stdio::null())
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("must be a terminal"), "{text}");
}
