//! The daemon under measurement.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use colibri_protocol::client::Client;
use miette::{IntoDiagnostic as _, Result, miette};

/// A full database may have to be read first.
const PATIENCE: Duration = Duration::from_secs(60);

/// After that long without a request, a daemon is at rest.
const REST: Duration = Duration::from_secs(2);

/// Where a daemon keeps everything.
pub(crate) struct Place {
    folder: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) database: PathBuf,
}

impl Place {
    /// A new folder of this name.
    pub(crate) fn new(work: &Path, name: &str) -> Result<Self> {
        let folder = work.join(name);
        fs_err::create_dir(&folder).into_diagnostic()?;
        Ok(Self {
            socket: folder.join("colibri.sock"),
            database: folder.join("colibri.sqlite"),
            folder,
        })
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    /// From its start to its first answer.
    pub(crate) took: Duration,
}

impl Daemon {
    /// Starts it and waits until it answers `status`.
    pub(crate) fn start(program: &Path, place: &Place) -> Result<Self> {
        let log = fs_err::File::create(place.folder.join("log"))
            .into_diagnostic()?
            .into_parts()
            .0;
        let begun = Instant::now();
        let child = Command::new(program)
            .arg("--data-dir")
            .arg(&place.folder)
            .arg("--socket")
            .arg(&place.socket)
            .args(["--host", "bench", "--lease-seconds", "3600"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .into_diagnostic()?;
        let mut daemon = Self {
            child,
            took: Duration::ZERO,
        };
        // Not the client's own waiting: its pause between two attempts is longer than a start.
        let client = Client::new(&place.socket);
        while let Err(error) = client.status() {
            if begun.elapsed() > PATIENCE || daemon.child.try_wait().into_diagnostic()?.is_some() {
                let log = fs_err::read_to_string(place.folder.join("log")).into_diagnostic()?;
                return Err(miette!("{error}\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        daemon.took = begun.elapsed();
        Ok(daemon)
    }

    /// Resident memory in bytes once it has nothing to do; nothing where the kernel has no `/proc`.
    pub(crate) fn memory_at_rest(&self) -> Option<u64> {
        std::thread::sleep(REST);
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Ends it; all of its board was thrown away work.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.child.kill().into_diagnostic()?;
        self.child.wait().into_diagnostic()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
