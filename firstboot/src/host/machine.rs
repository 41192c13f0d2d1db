//! A machine below a folder: its files, programs and consoles, which every flavour handles alike.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::fcntl::OFlag;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Command, Diagnosis, HostError, Processes, files};
use crate::paths::Paths;

/// No file that we read is bigger; a bigger one is cut, which its parser then reports.
const READ_LIMIT: u64 = 1 << 20;

/// The journal alone may grow beyond that.
const JOURNAL_LIMIT: u64 = 64 << 20;

/// This program, where both flavours have it.
const PROGRAM: &str = "/usr/local/bin/clawdie-firstboot";

/// How long a console may keep us waiting before it is given up on.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(2);

/// A machine whose root is at `root`: `/` in earnest, a folder in tests.
#[derive(Debug)]
pub(super) struct Machine<P> {
    pub(super) root: PathBuf,
    pub(super) processes: P,
}

impl<P: Processes> Machine<P> {
    /// Where an absolute path lies in truth.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(super) fn read_at(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        files::read(&self.at(path), READ_LIMIT).map_err(HostError::io(format!("reading {path}")))
    }

    pub(super) fn text_at(&self, path: &str) -> Result<Option<String>, HostError> {
        Ok(self
            .read_at(path)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(super) fn write_at(&self, path: &str, content: &str, mode: u32) -> Result<(), HostError> {
        files::replace(&self.at(path), content.as_bytes(), mode, None)
            .map_err(HostError::io(format!("writing {path}")))
    }

    /// Runs a program that answers with its exit status.
    pub(super) fn says_yes(&self, command: &Command) -> Result<bool, HostError> {
        let output = self
            .processes
            .run(command)
            .map_err(HostError::io(format!("running `{}`", command.line())))?;
        Ok(output.status == Some(0))
    }

    /// What programs say, one below the other, each under its command line. Their exit status does not matter: that of a
    /// service that is down is bad, and what it says is worth most.
    pub(super) fn said<const N: usize>(
        &self,
        name: &'static str,
        commands: [&[&str]; N],
    ) -> Diagnosis {
        let mut text = String::new();
        for argv in commands {
            let command = Command::new(argv.iter().copied());
            text.push_str(&format!("$ {}\n", command.line()));
            match self.processes.run(&command) {
                Ok(output) => text.extend([output.stdout, output.stderr]),
                Err(error) => text.push_str(&format!("could not be run: {error}\n")),
            }
            text.push('\n');
        }
        Diagnosis { name, text }
    }

    pub(super) fn read(&self, path: &Path, paths: &Paths) -> Result<Option<Vec<u8>>, HostError> {
        let limit = if path == Path::new(paths.journal) {
            JOURNAL_LIMIT
        } else {
            READ_LIMIT
        };
        files::read(&self.at(path), limit)
            .map_err(HostError::io(format!("reading {}", path.display())))
    }

    pub(super) fn write(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
        paths: &Paths,
    ) -> Result<(), HostError> {
        self.make_own_folder(path, paths)?;
        files::replace(&self.at(path), content, mode, None)
            .map_err(HostError::io(format!("writing {}", path.display())))
    }

    /// A file on the seed, where msdosfs has mounted it.
    pub(super) fn write_on_msdosfs(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
    ) -> Result<(), HostError> {
        files::replace_on_msdosfs(&self.at(path), content, mode)
            .map_err(HostError::io(format!("writing {}", path.display())))
    }

    pub(super) fn append(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
        sync: bool,
        paths: &Paths,
    ) -> Result<(), HostError> {
        self.make_own_folder(path, paths)?;
        files::append(&self.at(path), content, mode, sync)
            .map_err(HostError::io(format!("writing {}", path.display())))
    }

    pub(super) fn overwrite(&self, path: &Path, content: &[u8]) -> Result<(), HostError> {
        files::overwrite(&self.at(path), content)
            .map_err(HostError::io(format!("overwriting {}", path.display())))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        files::rename(&self.at(from), &self.at(to))
            .map_err(HostError::io(format!("renaming {}", from.display())))
    }

    /// The folders that are ours alone are 0700 from the start; others stay as the system has them.
    fn make_own_folder(&self, file: &Path, paths: &Paths) -> Result<(), HostError> {
        for own in [paths.state, paths.run] {
            if file.parent() == Some(Path::new(own)) {
                let at = self.at(own);
                let right = fs::metadata(&at)
                    .is_ok_and(|meta| meta.is_dir() && meta.mode() & 0o7777 == 0o700);
                if !right {
                    files::make_folder(&at, 0o700)
                        .map_err(HostError::io(format!("making {own}")))?;
                }
            }
        }
        Ok(())
    }

    /// The time of our own program: the image's build, or when it was laid on this host.
    pub(super) fn installed_at(&self) -> Result<Option<Timestamp>, HostError> {
        let Ok(meta) = fs::metadata(self.at(PROGRAM)) else {
            return Ok(None);
        };
        let time = Timestamp::from_second(meta.mtime()).map_err(|error| HostError::Unexpected {
            what: format!("the time of {PROGRAM}"),
            detail: error.to_string(),
        })?;
        Ok(Some(time))
    }

    /// Names in a folder, sorted; none when there is no such folder.
    pub(super) fn list(&self, folder: &Path) -> Result<Vec<String>, HostError> {
        self.names(folder)
            .map_err(HostError::io(format!("listing {}", folder.display())))
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn secret_file_is(
        &self,
        path: &str,
        content: &SecretString,
    ) -> Result<bool, HostError> {
        let is = self.read_at(path)?;
        let private = fs::metadata(self.at(path))
            .is_ok_and(|meta| meta.permissions().mode() & 0o7777 == 0o600);
        Ok(private && is.is_some_and(|is| is == content.expose_secret().as_bytes()))
    }

    pub(super) fn write_secret_file(
        &self,
        path: &str,
        content: &SecretString,
    ) -> Result<(), HostError> {
        if let Some(folder) = Path::new(path)
            .parent()
            .map(|folder| self.at(folder))
            .filter(|at| !at.is_dir())
        {
            files::make_folder(&folder, 0o700)
                .map_err(HostError::io(format!("making the folder of {path}")))?;
        }
        self.write_at(path, content.expose_secret(), 0o600)
    }

    /// Makes the folder on which the seed is mounted; only root can enter it.
    pub(super) fn make_mount_point(&self, paths: &Paths) -> Result<(), HostError> {
        for folder in [paths.run, paths.seed_mount] {
            files::make_folder(&self.at(folder), 0o700)
                .map_err(HostError::io(format!("making {folder}")))?;
        }
        Ok(())
    }

    /// Prints on consoles by their names in `/dev`; one that takes nothing is given up on.
    pub(super) fn print<'a>(&self, consoles: impl IntoIterator<Item = &'a str>, text: &str) {
        // Two line ends in one: a console whose terminal driver is in raw mode needs the return.
        let bytes = text.replace('\n', "\r\n").into_bytes();
        for name in consoles {
            if let Err(error) = print_on(&self.at("/dev").join(name), &bytes) {
                tracing::debug!(console = name, %error, "could not print");
            }
        }
    }

    /// The daemon's version, asked over its socket.
    pub(super) fn ask_daemon(&self, paths: &Paths) -> Result<String, HostError> {
        let client = colibri_protocol::client::Client::new(self.at(paths.colibri_socket))
            .with_timeout(Duration::from_secs(5));
        Ok(client.status()?.version)
    }
}

fn print_on(console: &Path, bytes: &[u8]) -> io::Result<()> {
    // A serial line with nobody behind it may never take our bytes, and opening one must not make it ours.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut console = OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
        .open(console)?;
    let end = Instant::now() + CONSOLE_PATIENCE;
    let mut rest = bytes;
    while !rest.is_empty() {
        match console.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
