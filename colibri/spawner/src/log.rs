//! The file that takes an agent's standard error, in pieces of a bounded size.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::Log;

/// A log that is open. Pieces are synced when they are put aside and at the end,
/// not line by line: what an agent complains of is no promise to anybody.
#[derive(Debug)]
pub(crate) struct LogFile {
    log: Log,
    file: File,
    size: u64,
    /// Bytes that no file took since the last that one did, and why.
    lost: u64,
    reason: String,
}

impl LogFile {
    /// Opens the log for appending; makes it if it is missing.
    pub(crate) fn open(log: Log) -> io::Result<Self> {
        let file = open(&log)?;
        let size = file.metadata()?.len();
        Ok(Self {
            log,
            file,
            size,
            lost: 0,
            reason: String::new(),
        })
    }

    /// Copies until the other side closes. The agent must never wait for a full
    /// disk: what cannot be written is counted and said later.
    pub(crate) fn take_all(&mut self, mut from: impl Read) {
        let mut chunk = [0; 16 * 1024];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => self.take(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = self.file.sync_all();
    }

    fn take(&mut self, bytes: &[u8]) {
        // Lines stay whole where a line ends in this chunk at all.
        let at = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let (ended, begun) = bytes.split_at(at);
        for part in [ended, begun] {
            if part.is_empty() {
                continue;
            }
            if let Err(error) = self.write(part) {
                self.lost += part.len() as u64;
                self.reason = error.to_string();
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + bytes.len() as u64 > self.log.max_bytes {
            self.put_aside()?;
        }
        if self.lost > 0 {
            let note = format!(
                "\n[colibri: {} bytes were not kept: {}]\n",
                self.lost, self.reason
            );
            self.file.write_all(note.as_bytes())?;
            self.size += note.len() as u64;
            self.lost = 0;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn put_aside(&mut self) -> io::Result<()> {
        let _ = self.file.sync_all();
        for number in (1..self.log.keep).rev() {
            let (piece, older) = (self.log.piece(number), self.log.piece(number + 1));
            ignore_missing(std::fs::rename(piece, older))?;
        }
        if self.log.keep > 0 {
            std::fs::rename(&self.log.path, self.log.piece(1))?;
        } else {
            std::fs::remove_file(&self.log.path)?;
        }
        self.file = open(&self.log)?;
        self.size = 0;
        Ok(())
    }
}

impl Log {
    /// The file of a piece: 0 is being written, 1 was put aside last.
    pub(crate) fn piece(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name.into()
    }
}

/// Only its owner may read what an agent complains of.
fn open(log: &Log) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    let file = open_plain(&mut options, &log.path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Opens a plain file: a link that somebody put there is not followed, and no device waited for.
pub(crate) fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options
        .custom_flags(OFlag::O_NOFOLLOW.bits() | OFlag::O_NONBLOCK.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    Ok(file)
}

fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn pieces_are_bounded_in_size_and_number_and_hold_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log {
            path: dir.path().join("agent.log"),
            max_bytes: 1000,
            keep: 2,
        };
        let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        for chunk in text.as_bytes().chunks(77) {
            LogFile::open(log.clone()).unwrap().take_all(chunk);
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["agent.log", "agent.log.1", "agent.log.2"]);
        let mut kept = String::new();
        for name in names.iter().rev() {
            let path = dir.path().join(name);
            let meta = std::fs::metadata(&path).unwrap();
            assert!(meta.len() <= 1000, "{name}");
            assert_eq!(meta.mode() & 0o777, 0o600);
            kept += &std::fs::read_to_string(path).unwrap();
        }
        assert!(text.ends_with(&kept) && kept.len() > 2000, "{kept}");
    }

    #[test]
    fn links_and_devices_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(LogFile::open(Log::new(link)).is_err());
        assert!(LogFile::open(Log::new("/dev/null")).is_err());
    }
}
