//! Why the helper ends badly, and with which exit code.

use std::io;
use std::path::{Path, PathBuf};

use colibri_service::lock::LockError;
use miette::Diagnostic;

/// Exit codes are part of the contract with systemd and rc.d; `--help` lists them.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum Failure {
    /// `--check-config` found these.
    #[error("{} fault(s):\n{}", faults.len(), listed(faults))]
    Config { faults: Vec<String> },

    /// Another helper is alive where this one wanted to be.
    #[error("{} is in use: {seen}", path.display())]
    #[diagnostic(help(
        "this one has not started and has changed nothing; stop the other helper first, or give this \
         one its own --socket"
    ))]
    Alive { path: PathBuf, seen: String },

    /// The path of the socket holds something that is no socket.
    #[error("{} exists and is not a socket", path.display())]
    #[diagnostic(help("nothing was removed; move it aside, or name another --socket"))]
    NotASocket { path: PathBuf },

    /// A folder of ours is somebody else's.
    #[error("{}: {why}", path.display())]
    #[diagnostic(help(
        "whoever owns it could put another socket in place of ours; give it to root"
    ))]
    NotOurs { path: PathBuf, why: String },

    /// Nothing of what it does is possible.
    #[error("this is not root, and makes no jail")]
    #[diagnostic(help("start it as the service does; `colibri-hostd --help` has more"))]
    NotRoot,

    /// The system refused something.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl Failure {
    pub(crate) fn io(what: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config { .. } => 2,
            Self::Alive { .. } => 3,
            Self::NotASocket { .. } | Self::NotOurs { .. } | Self::NotRoot => 4,
            Self::Io { .. } => 1,
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held { path, lock } => Self::Alive {
                path,
                seen: format!("another colibri-hostd holds {}", lock.display()),
            },
            LockError::Io { what, path, source } => Self::Io { what, path, source },
        }
    }
}

fn listed(faults: &[String]) -> String {
    let lines: Vec<_> = faults.iter().map(|fault| format!("- {fault}")).collect();
    lines.join("\n")
}
