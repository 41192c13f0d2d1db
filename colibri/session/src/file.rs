//! The file of a session: read back after any crash, appended to durably.
//!
//! Made whole under another name and renamed, so that a header is never torn.
//! After that it only grows, a line at a time, each with one write. A crash can
//! leave a piece of the last line: it is cut off, and that is said. A line in the
//! middle that cannot be read is reported with its number and passed over; the
//! file keeps it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::entry::{Entry, Header, SCHEMA};

/// What was wrong with a file that could be opened all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A crash had left a piece of a line at the end; it was cut off.
    Torn {
        /// How many bytes.
        bytes: u64,
    },
    /// A line cannot be read; it is passed over, and stays in the file.
    Damaged {
        /// Its number; the header's is 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// Lines are missing in the middle: somebody removed them.
    Lost {
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Torn { bytes } => write!(
                f,
                "the last line was cut short by a crash; its {bytes} bytes were removed"
            ),
            Self::Damaged { line, message } => {
                write!(f, "line {line} cannot be read and is left out: {message}")
            }
            Self::Lost { from, to } if from == to => write!(f, "line {from} is missing"),
            Self::Lost { from, to } => write!(f, "lines {from} to {to} are missing"),
        }
    }
}

/// A session's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process, or another part of this one, has it open.
    #[error("{} is in use by another process; close the session there first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The first line is no header of a session.
    #[error("{} does not begin as a session: {message}; is it the right file?", path.display())]
    NoHeader {
        /// The file.
        path: PathBuf,
        /// What is wrong with its first line.
        message: String,
    },
    /// Written by another version.
    #[error(
        "{} has the format `{found}`, and this version knows `{SCHEMA}` alone; use the version \
         that wrote it", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// The prefix is not what was written.
    #[error(
        "the prefix in {} does not match its own SHA-256: the file was changed or damaged; begin a \
         new session", path.display()
    )]
    Prefix {
        /// The file.
        path: PathBuf,
    },
    /// A line could not be written, nor what was written of it be taken back.
    #[error(
        "an earlier write to {} failed half-way; close the session and open it again, which \
         repairs the file", path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

/// A file that is open and ours.
#[derive(Debug)]
pub(crate) struct SessionFile {
    path: PathBuf,
    file: File,
    /// Its length, all in whole lines.
    length: u64,
    /// The number of its last line.
    lines: u64,
    broken: bool,
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> SessionError {
    move |source| SessionError::Io {
        what,
        path: path.into(),
        source,
    }
}

impl SessionFile {
    /// Makes the file; refuses to replace one.
    pub(crate) fn create(path: &Path, header: &Header) -> Result<Self, SessionError> {
        let mut line = serde_json::to_vec(header)
            .map_err(io::Error::from)
            .map_err(failed("write", path))?;
        line.push(b'\n');
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        // One that a crash left behind is nobody's.
        let _ = std::fs::remove_file(&new);
        let mut file = options()
            .create_new(true)
            .open(&new)
            .map_err(failed("make", &new))?;
        lock(&file, &new)?;
        let outcome = file
            .write_all(&line)
            .and_then(|()| file.sync_all())
            // A link does not replace what is there, as a rename would.
            .and_then(|()| std::fs::hard_link(&new, path));
        let _ = std::fs::remove_file(&new);
        outcome.map_err(failed("make", path))?;
        if let Some(parent) = path.parent() {
            // An empty parent is the current directory.
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            File::open(parent)
                .and_then(|directory| directory.sync_all())
                .map_err(failed("sync the directory of", path))?;
        }
        Ok(Self {
            path: path.into(),
            file,
            length: line.len() as u64,
            lines: 1,
            broken: false,
        })
    }

    /// Opens a file, heals its end, and hands every whole entry to `take`.
    pub(crate) fn open(
        path: &Path,
        mut take: impl FnMut(Entry),
    ) -> Result<(Self, Header, Vec<Finding>), SessionError> {
        let file = options().open(path).map_err(failed("open", path))?;
        lock(&file, path)?;
        let mut reader = BufReader::new(&file);
        let mut text = Vec::new();
        let mut next = |text: &mut Vec<u8>| -> Result<bool, SessionError> {
            text.clear();
            reader
                .read_until(b'\n', text)
                .map_err(failed("read", path))?;
            Ok(text.last() == Some(&b'\n'))
        };
        let no_header = |message: String| SessionError::NoHeader {
            path: path.into(),
            message,
        };
        if !next(&mut text)? {
            return Err(no_header("its first line is not whole".into()));
        }
        let header = header(path, &text).map_err(|error| match error {
            Ok(message) => no_header(message),
            Err(error) => error,
        })?;
        let mut length = text.len() as u64;
        let mut lines = 1;
        let mut findings = Vec::new();
        while next(&mut text)? {
            lines += 1;
            length += text.len() as u64;
            let entry: Entry = match serde_json::from_slice(&text) {
                Ok(entry) => entry,
                Err(error) => {
                    findings.push(Finding::Damaged {
                        line: lines,
                        message: error.to_string(),
                    });
                    continue;
                }
            };
            if entry.line < lines {
                let message = format!("it is line {}, which came before", entry.line);
                findings.push(Finding::Damaged {
                    line: lines,
                    message,
                });
                continue;
            }
            if entry.line > lines {
                findings.push(Finding::Lost {
                    from: lines,
                    to: entry.line - 1,
                });
                lines = entry.line;
            }
            take(entry);
        }
        if !text.is_empty() {
            file.set_len(length)
                .and_then(|()| file.sync_all())
                .map_err(failed("cut the torn end off", path))?;
            findings.push(Finding::Torn {
                bytes: text.len() as u64,
            });
        }
        let session = Self {
            path: path.into(),
            file,
            length,
            lines,
            broken: false,
        };
        Ok((session, header, findings))
    }

    /// The number that the next line will have.
    pub(crate) fn next_line(&self) -> u64 {
        self.lines + 1
    }

    /// Bytes on disk.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends a line; when it fails, the file is as it was before.
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<(), SessionError> {
        if self.broken {
            return Err(SessionError::Broken {
                path: self.path.clone(),
            });
        }
        let line = serde_json::to_vec(entry).map_err(io::Error::from);
        let outcome = line.and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)?;
            if entry.body.is_synced() {
                self.file.sync_data()?;
            }
            Ok(line.len() as u64)
        });
        match outcome {
            Ok(length) => {
                self.length += length;
                self.lines += 1;
                Ok(())
            }
            Err(source) => {
                self.broken = self.file.set_len(self.length).is_err();
                Err(failed("append to", &self.path)(source))
            }
        }
    }

    /// Puts everything on disk.
    pub(crate) fn sync(&self) -> Result<(), SessionError> {
        self.file.sync_all().map_err(failed("sync", &self.path))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    options
}

fn lock(file: &File, path: &Path) -> Result<(), SessionError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(SessionError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(failed("lock", path)(source)),
    }
}

/// Reads the first line. `Err(Ok)` says why it is no header, `Err(Err)` why it is
/// one that must not be used.
fn header(path: &Path, text: &[u8]) -> Result<Header, Result<String, SessionError>> {
    #[derive(serde::Deserialize)]
    struct Schema {
        schema: String,
    }
    // The version first: another may have other fields.
    let said = |error: serde_json::Error| -> Result<String, SessionError> { Ok(error.to_string()) };
    let Schema { schema } = serde_json::from_slice(text).map_err(said)?;
    if schema != SCHEMA {
        return Err(Err(SessionError::Version {
            path: path.into(),
            found: schema,
        }));
    }
    let header: Header = serde_json::from_slice(text).map_err(said)?;
    if digest(&header.prefix) != header.prefix_sha256 {
        return Err(Err(SessionError::Prefix { path: path.into() }));
    }
    Ok(header)
}
