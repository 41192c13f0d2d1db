//! The end of a log, read while somebody writes it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

use crate::Log;
use crate::log::open_plain;

/// A place in a log. It stays the same place when its piece of the log is put aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogPlace {
    /// The number of the piece's file in its file system.
    file: u64,
    /// Bytes of the piece in front of it.
    offset: u64,
}

/// The text is no place in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no place in a log; give what an earlier answer said")]
pub struct NoPlace {
    /// Its start.
    text: String,
}

/// What stands at the end of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogTail {
    /// As it was written.
    pub bytes: Vec<u8>,
    /// Something that was asked for is missing in front of it: it was too much, or is not kept any
    /// more.
    pub is_cut: bool,
    /// Where it ends.
    pub end: LogPlace,
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.file, self.offset)
    }
}

impl FromStr for LogPlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        text.split_once('-')
            .and_then(|(file, offset)| {
                let (file, offset) = (file.parse().ok()?, offset.parse().ok()?);
                Some(Self { file, offset })
            })
            .ok_or_else(|| NoPlace {
                text: text.chars().take(40).collect(),
            })
    }
}

impl Log {
    /// The last bytes of the log, at most so many, and only those behind `after`. They may lie in
    /// several pieces. A log that is not there is empty.
    ///
    /// # Errors
    /// What the system said; also when a piece is no plain file.
    pub fn tail(&self, most: u64, after: Option<LogPlace>) -> io::Result<LogTail> {
        let mut pieces = self.pieces()?;
        // Where a log ended that was not there yet.
        let after = after.filter(|after| *after != LogPlace::default());
        let mut tail = LogTail {
            bytes: Vec::new(),
            // Until that place is found.
            is_cut: after.is_some(),
            end: pieces.first().map(Piece::end).unwrap_or_default(),
        };
        let mut parts = Vec::new();
        let mut room = most;
        for piece in &mut pieces {
            let known = after.and_then(|after| piece.offset_of(after));
            let from = known.unwrap_or(0);
            let start = from.max(piece.size.saturating_sub(room));
            parts.push(piece.read(start)?);
            room -= piece.size - start;
            if start > from {
                tail.is_cut = true;
                break;
            }
            if known.is_some() {
                tail.is_cut = false;
                break;
            }
        }
        parts.reverse();
        tail.bytes = parts.concat();
        Ok(tail)
    }

    /// All pieces that there are, newest first.
    fn pieces(&self) -> io::Result<Vec<Piece>> {
        let mut pieces: Vec<Piece> = Vec::new();
        for number in 0..=self.keep {
            let Some(piece) = Piece::open(&self.piece(number))? else {
                continue;
            };
            // One that is put aside in this moment is met twice.
            if pieces.iter().all(|known| known.number != piece.number) {
                pieces.push(piece);
            }
        }
        Ok(pieces)
    }
}

/// A file of the log.
#[derive(Debug)]
struct Piece {
    file: File,
    number: u64,
    size: u64,
}

impl Piece {
    /// `None` when there is none.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match open_plain(OpenOptions::new().read(true), path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            outcome => outcome?,
        };
        let about = file.metadata()?;
        Ok(Some(Self {
            number: about.ino(),
            size: about.len(),
            file,
        }))
    }

    fn end(&self) -> LogPlace {
        LogPlace {
            file: self.number,
            offset: self.size,
        }
    }

    fn offset_of(&self, place: LogPlace) -> Option<u64> {
        let is_here = place.file == self.number && place.offset <= self.size;
        is_here.then_some(place.offset)
    }

    /// From there to what was its end when it was opened.
    fn read(&mut self, start: u64) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        let length = self.size.saturating_sub(start);
        self.file.by_ref().take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogFile;

    const ALL: u64 = 1_000_000;

    fn log(dir: &tempfile::TempDir) -> Log {
        Log {
            path: dir.path().join("agent.log"),
            max_bytes: 1000,
            keep: 2,
        }
    }

    fn lines(count: usize) -> String {
        (0..count)
            .map(|number| format!("line {number}\n"))
            .collect()
    }

    #[test]
    fn its_end_is_read_across_pieces_and_no_further_than_asked() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(&dir);
        assert_eq!(log.tail(ALL, None).unwrap(), LogTail::default());
        let text = lines(200);
        for chunk in text.as_bytes().chunks(77) {
            LogFile::open(log.clone()).unwrap().take_all(chunk);
        }
        assert!(std::fs::metadata(log.piece(1)).unwrap().len() > 0);
        for most in [0, 1, 500, 1100, 1600] {
            let tail = log.tail(most as u64, None).unwrap();
            assert_eq!(tail.bytes, text.as_bytes()[text.len() - most..], "{most}");
            assert!(tail.is_cut, "{most}");
        }
        let all = log.tail(ALL, None).unwrap();
        assert_eq!((all.bytes.as_slice(), all.is_cut), (text.as_bytes(), false));
    }

    #[test]
    fn whoever_follows_misses_nothing_and_is_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(&dir);
        let text = lines(1000);
        let mut seen = Vec::new();
        let mut place = log.tail(ALL, None).unwrap().end;
        for chunk in text.as_bytes().chunks(77) {
            LogFile::open(log.clone()).unwrap().take_all(chunk);
            // As it goes over the wire.
            let after = place.to_string().parse().unwrap();
            let tail = log.tail(ALL, Some(after)).unwrap();
            assert!(!tail.is_cut);
            seen.extend(tail.bytes);
            place = tail.end;
        }
        assert_eq!(String::from_utf8(seen).unwrap(), text);
        assert_eq!(log.tail(ALL, Some(place)).unwrap().bytes, b"");
        let gone: LogPlace = "18446744073709551615-7".parse().unwrap();
        let kept = log.tail(ALL, Some(gone)).unwrap();
        assert!(kept.is_cut && text.as_bytes().ends_with(&kept.bytes));
        for wrong in ["", "7", "7-", "-7-7", "a-b"] {
            let error = wrong.parse::<LogPlace>().unwrap_err();
            assert!(error.to_string().contains("no place in a log"), "{error}");
        }
    }

    #[test]
    fn links_and_folders_are_no_logs() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(&dir);
        std::os::unix::fs::symlink("/etc/passwd", &log.path).unwrap();
        assert!(log.tail(ALL, None).is_err());
        std::fs::remove_file(&log.path).unwrap();
        std::fs::create_dir(&log.path).unwrap();
        assert!(log.tail(ALL, None).is_err());
    }
}
