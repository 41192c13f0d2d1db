//! Where a file's bytes lie, how many there are and what they hash to.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::Digest;

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// Lower-case hexadecimal.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    use fmt::Write as _;
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A file on the build host that holds the bytes of one or of many contents.
#[derive(Debug)]
pub struct ContentFile {
    path: PathBuf,
    file: File,
}

impl ContentFile {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            path: path.to_owned(),
            file: File::open(path)?,
        }))
    }

    /// Where it lies on the build host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for copies that stay in the kernel.
    pub fn file(&self) -> &File {
        &self.file
    }
}

#[derive(Debug, Clone)]
enum Source {
    Bytes(Arc<[u8]>),
    Extent { file: Arc<ContentFile>, offset: u64 },
}

/// The bytes of one file: cheap to clone, hashed once.
#[derive(Debug, Clone)]
pub struct Content {
    len: u64,
    sha256: Sha256,
    source: Source,
}

impl Content {
    /// Bytes held in memory: for small things such as generated configuration.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        Self {
            len: bytes.len() as u64,
            sha256: sha2::Sha256::digest(bytes).into(),
            source: Source::Bytes(bytes.into()),
        }
    }

    /// `len` bytes at `offset` of an open file whose digest is already known.
    pub fn extent(file: Arc<ContentFile>, offset: u64, len: u64, sha256: Sha256) -> Self {
        Self {
            len,
            sha256,
            source: Source::Extent { file, offset },
        }
    }

    /// A whole file of the build host, hashed now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = ContentFile::open(path)?;
        let mut hasher = sha2::Sha256::new();
        // Images are hashed this way too: a large buffer, not `io::copy`'s 8 KiB.
        let mut buf = vec![0; 256 << 10];
        let mut len = 0;
        loop {
            match (&file.file).read(&mut buf)? {
                0 => break,
                got => {
                    hasher.update(&buf[..got]);
                    len += got as u64;
                }
            }
        }
        Ok(Self::extent(file, 0, len, hasher.finalize().into()))
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// SHA-256 of the bytes.
    pub fn sha256(&self) -> &Sha256 {
        &self.sha256
    }

    /// The file and offset that hold the bytes, when they lie in one; for copies that stay in the
    /// kernel and that join neighbours.
    pub fn as_extent(&self) -> Option<(&Arc<ContentFile>, u64)> {
        match &self.source {
            Source::Bytes(_) => None,
            Source::Extent { file, offset } => Some((file, *offset)),
        }
    }

    /// Fills `buf` from `at` bytes into the content.
    ///
    /// # Errors
    /// When the file cannot be read, or ends before it should (it was changed during the build).
    pub fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        match &self.source {
            Source::Extent { file, offset } => {
                file.file.read_exact_at(buf, offset + at).map_err(|error| {
                    io::Error::new(error.kind(), format!("`{}`: {error}", file.path.display()))
                })
            }
            Source::Bytes(bytes) => {
                let start = usize::try_from(at).map_err(io::Error::other)?;
                let part = start
                    .checked_add(buf.len())
                    .and_then(|end| bytes.get(start..end))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                buf.copy_from_slice(part);
                Ok(())
            }
        }
    }

    /// A reader over the bytes.
    pub fn reader(&self) -> impl Read + '_ {
        ContentReader {
            content: self,
            at: 0,
        }
    }

    /// All bytes at once: for files known to be small.
    ///
    /// # Errors
    /// As [`Content::read_exact_at`].
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len).map_err(io::Error::other)?];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Two contents are equal when their bytes are, wherever these lie.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.sha256 == other.sha256
    }
}

impl Eq for Content {}

struct ContentReader<'a> {
    content: &'a Content,
    at: u64,
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.content.len - self.at;
        let count = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.content.read_exact_at(&mut buf[..count], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_files_with_the_same_bytes_are_equal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello").unwrap();
        let on_disk = Content::file(&path).unwrap();
        assert_eq!(on_disk, Content::bytes(b"hello"));
        assert_eq!(
            hex(on_disk.sha256()),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        let mut read = Vec::new();
        on_disk.reader().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"hello");
    }

    #[test]
    fn a_file_cut_short_during_the_build_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello").unwrap();
        let content = Content::file(&path).unwrap();
        std::fs::write(&path, b"he").unwrap();
        let error = content.read().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("/f`"), "{error}");
        assert!(Content::bytes(b"hi").read_exact_at(&mut [0; 3], 0).is_err());
    }
}
