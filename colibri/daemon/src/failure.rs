//! Why the daemon ends badly, and with which exit code.

use std::io;
use std::path::{Path, PathBuf};

use colibri_service::lock::LockError;
use colibri_spawner::SpawnError;
use colibri_store::StoreError;
use miette::Diagnostic;

/// Exit codes are part of the contract with systemd and rc.d; `--help` lists them.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum Failure {
    /// Flags or environment make no sense; every fault is listed.
    #[error("the configuration has {} fault(s):\n{}", faults.len(), listed(faults))]
    #[diagnostic(help("flags come first, then the environment; `colibri-daemon --help` has both"))]
    Config { faults: Vec<String> },

    /// Another daemon is alive where this one wanted to be.
    #[error("{} is in use: {seen}", path.display())]
    #[diagnostic(help(
        "this one has not started and has changed nothing; stop the other daemon first, \
         or give this one its own --socket and --data-dir"
    ))]
    Alive { path: PathBuf, seen: String },

    /// The path of the socket holds something that is no socket.
    #[error("{} exists and is not a socket", path.display())]
    #[diagnostic(help("nothing was removed; move it aside, or name another --socket"))]
    NotASocket { path: PathBuf },

    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// Agents could not be run.
    #[error("no agent can be run: {0}")]
    Agents(#[from] SpawnError),

    /// The daemon came up and its own question got no answer.
    #[error("the socket does not answer: {reason}")]
    Silent { reason: String },

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
            Self::Store(StoreError::NewerSchema { .. } | StoreError::NotOurs { .. })
            | Self::NotASocket { .. } => 4,
            Self::Store(_) | Self::Agents(_) | Self::Silent { .. } | Self::Io { .. } => 1,
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held { path, lock } => Self::Alive {
                path,
                seen: format!("another colibri-daemon holds {}", lock.display()),
            },
            LockError::Io { what, path, source } => Self::Io { what, path, source },
        }
    }
}

fn listed(faults: &[String]) -> String {
    faults
        .iter()
        .map(|fault| format!("- {fault}"))
        .collect::<Vec<_>>()
        .join("\n")
}
