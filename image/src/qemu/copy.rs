//! Copies of disk images that cost what their content costs, not what their size says.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use fs_err::File;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::Result;

/// Copies `from` to the new file `to`, leaving holes as holes; where the file system can share
/// blocks (btrfs, XFS), nothing is copied at all.
///
/// # Errors
/// `to` exists already, or one of the two cannot be read or written.
pub fn sparse_copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create_new(to)?;
    let size = source.metadata()?.len();
    target.set_len(size)?;
    let mut at = 0;
    while at < size {
        let Some((start, end)) = next_data(&source, at, size)? else {
            break;
        };
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        // Files both: the kernel copies, and shares blocks where it can.
        io::copy(&mut source.file_mut().take(end - start), target.file_mut())?;
        at = end;
    }
    Ok(())
}

/// The next range that holds data, at or after `at`; all the rest where holes cannot be asked for.
fn next_data(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let from = i64::try_from(at).map_err(io::Error::other)?;
    let start = match lseek(file.file(), from, Whence::SeekData) {
        Ok(start) => start,
        Err(Errno::ENXIO) => return Ok(None),
        Err(Errno::EINVAL | Errno::ENOTSUP) => return Ok(Some((at, size))),
        Err(error) => return Err(error.into()),
    };
    let end = lseek(file.file(), start, Whence::SeekHole)?;
    Ok(Some((
        u64::try_from(start).map_err(io::Error::other)?,
        u64::try_from(end).map_err(io::Error::other)?,
    )))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn keeps_the_bytes_and_the_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.img"), folder.path().join("b.img"));
        let mut file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all(b"head").unwrap();
        file.seek(SeekFrom::Start(40 << 20)).unwrap();
        file.write_all(b"middle").unwrap();
        drop(file);
        sparse_copy(&from, &to).unwrap();
        assert!(fs_err::read(&from).unwrap() == fs_err::read(&to).unwrap());
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn never_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.img"), folder.path().join("b.img"));
        fs_err::write(&from, "new").unwrap();
        fs_err::write(&to, "kept").unwrap();
        assert!(sparse_copy(&from, &to).is_err());
        assert_eq!(fs_err::read_to_string(&to).unwrap(), "kept");
    }
}
