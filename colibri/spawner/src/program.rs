//! What is to be run, and whether it can be, before anything is started.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use crate::Environment;

/// How long an agent may take to end after SIGTERM, unless the caller says otherwise.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// An agent program with everything it is started with.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program itself; absolute, because a search path is another's to change.
    pub path: PathBuf,
    /// Its arguments; everybody on the host can read them, so never a secret.
    pub args: Vec<OsString>,
    /// Whether it can be told something. One that cannot finds an end when it reads its standard
    /// input, instead of waiting for ever.
    pub listens: bool,
    /// The directory it starts in; absolute.
    pub directory: PathBuf,
    /// Its whole environment.
    pub environment: Environment,
    /// Where its standard error goes.
    pub log: Log,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// The file for an agent's standard error: mode 0600, older pieces beside it as
/// `<path>.1` (the newest) and on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The file; absolute. Its directory must be there.
    pub path: PathBuf,
    /// How long the file may get, in bytes, before it is put aside.
    pub max_bytes: u64,
    /// How many older pieces are kept.
    pub keep: u32,
}

impl Log {
    /// A log of 1 MB with three older pieces.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_bytes: 1_000_000,
            keep: 3,
        }
    }
}

/// The program cannot be started as it stands.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A path that depends on where the daemon happens to be.
    #[error("the {what} `{}` is not absolute; write it from the root, as in `{example}`", path.display())]
    NotAbsolute {
        /// Which path.
        what: &'static str,
        /// The path as it came.
        path: PathBuf,
        /// How one looks.
        example: &'static str,
    },
    /// Nothing lies there.
    #[error("the {what} {} does not exist; is it installed, and is the name right?", path.display())]
    Missing {
        /// Which path.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A directory or device in the place of a program.
    #[error("{} is {kind}, not a program; name the file in it that is to run", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        kind: &'static str,
    },
    /// The mode bits say no.
    #[error("{} may not be executed by this account; `chmod 755` it if it is a program", path.display())]
    NotExecutable {
        /// The path.
        path: PathBuf,
    },
    /// A file in the place of a directory.
    #[error("the working directory {} is not a directory; name the one to start in", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The system did not let us look.
    #[error("cannot look at the {what} {}: {source}", path.display())]
    Io {
        /// Which path.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Program {
    /// A program without arguments that listens and starts in `/` with the given environment
    /// and logs to `log`; change the fields at will.
    pub fn new(path: impl Into<PathBuf>, environment: Environment, log: Log) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            listens: true,
            directory: "/".into(),
            environment,
            log,
            grace: GRACE,
        }
    }

    /// Whether it can be started, as far as looking tells.
    ///
    /// # Errors
    /// [`ProgramError`] with the first thing that is wrong.
    pub fn check(&self) -> Result<(), ProgramError> {
        check_program(&self.path)?;
        absolute("working directory", &self.directory, "/var/db/colibri")?;
        absolute("log file", &self.log.path, "/var/db/colibri/logs/pi.log")?;
        if !metadata("working directory", &self.directory)?.is_dir() {
            return Err(ProgramError::NotADirectory {
                path: self.directory.clone(),
            });
        }
        Ok(())
    }
}

/// Whether a path leads to a program that this account may run.
pub(crate) fn check_program(path: &Path) -> Result<(), ProgramError> {
    absolute("program", path, "/usr/local/bin/pi")?;
    let kind = metadata("program", path)?.file_type();
    if !kind.is_file() {
        return Err(ProgramError::NotAFile {
            path: path.into(),
            kind: if kind.is_dir() {
                "a directory"
            } else if kind.is_socket() {
                "a socket"
            } else {
                "a device or pipe"
            },
        });
    }
    access(path, AccessFlags::X_OK).map_err(|_| ProgramError::NotExecutable { path: path.into() })
}

fn absolute(what: &'static str, path: &Path, example: &'static str) -> Result<(), ProgramError> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(ProgramError::NotAbsolute {
        what,
        path: path.into(),
        example,
    })
}

fn metadata(what: &'static str, path: &Path) -> Result<std::fs::Metadata, ProgramError> {
    std::fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ProgramError::Missing {
            what,
            path: path.into(),
        },
        _ => ProgramError::Io {
            what,
            path: path.into(),
            source,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn each_fault_has_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&plain, PermissionsExt::from_mode(0o644)).unwrap();
        let says = |path: &Path| check_program(path).unwrap_err().to_string();
        assert!(says(Path::new("pi")).contains("not absolute"));
        assert!(says(&dir.path().join("gone")).contains("does not exist"));
        assert!(says(dir.path()).contains("is a directory"));
        assert!(says(Path::new("/dev/null")).contains("a device"));
        assert!(says(&plain).contains("may not be executed"));
        assert!(says(&plain.join("below")).contains("cannot look at"));
        std::fs::set_permissions(&plain, PermissionsExt::from_mode(0o755)).unwrap();
        check_program(&plain).unwrap();
    }

    #[test]
    fn the_directory_and_the_log_are_checked_too() {
        let log = Log::new("/tmp/x.log");
        let mut program = Program::new("/bin/sh", Environment::default(), log);
        program.check().unwrap();
        program.directory = "somewhere".into();
        assert!(program.check().is_err());
        program.directory = "/bin/sh".into();
        assert!(matches!(
            program.check(),
            Err(ProgramError::NotADirectory { .. })
        ));
        program.directory = "/".into();
        program.log = Log::new("x.log");
        assert!(
            program
                .check()
                .unwrap_err()
                .to_string()
                .contains("log file")
        );
    }
}
