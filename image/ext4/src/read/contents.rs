//! The contents of files, hashed.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use clawdie_tree::{Content, ContentFile};
use sha2::{Digest, Sha256};

use super::extents::Piece;
use super::{BLOCK, ReadError};
use crate::parallel;

/// A regular file: its inode, its length and its blocks.
pub(super) struct FileBlocks {
    pub(super) number: u32,
    pub(super) size: u64,
    pub(super) pieces: Vec<Piece>,
}

/// The contents by inode: hashed where they lie, and put together where they lie in pieces.
pub(super) fn hash(
    image: &Arc<ContentFile>,
    offset: u64,
    files: Vec<FileBlocks>,
) -> Result<HashMap<u32, Content>, ReadError> {
    let hashes = parallel::map(&files, |file, buffer| {
        let mut hasher = Sha256::new();
        each_part(image.file(), offset, file, buffer, &mut |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(hasher.finalize())
    })?;
    let mut joined = None;
    let mut contents = HashMap::with_capacity(files.len());
    let mut buffer = vec![0; parallel::BUFFER];
    for (file, hash) in files.iter().zip(hashes) {
        let content = match file.pieces.as_slice() {
            [] => Content::bytes(b""),
            [Piece { start, .. }] => {
                let at = offset + start * BLOCK;
                Content::extent(image.clone(), at, file.size, hash.into())
            }
            _ => {
                let joined = match &mut joined {
                    Some(joined) => joined,
                    none => none.insert(Joined::new()?),
                };
                let at = joined.end;
                each_part(image.file(), offset, file, &mut buffer, &mut |bytes| {
                    joined.out.write_all_at(bytes, joined.end)?;
                    joined.end += bytes.len() as u64;
                    Ok(())
                })?;
                Content::extent(joined.file.clone(), at, file.size, hash.into())
            }
        };
        contents.insert(file.number, content);
    }
    Ok(contents)
}

/// A temporary file, without a name as soon as it is open, for contents in several pieces.
struct Joined {
    out: File,
    file: Arc<ContentFile>,
    end: u64,
}

impl Joined {
    fn new() -> io::Result<Self> {
        let temporary = tempfile::NamedTempFile::new()?;
        let file = ContentFile::open(temporary.path())?;
        Ok(Self {
            out: temporary.into_file(),
            file,
            end: 0,
        })
    }
}

/// Shows a file's bytes from the first to the last.
fn each_part(
    image: &File,
    offset: u64,
    file: &FileBlocks,
    buffer: &mut [u8],
    show: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = file.size;
    for piece in &file.pieces {
        let mut at = offset + piece.start * BLOCK;
        let mut here = left.min(piece.blocks * BLOCK);
        left -= here;
        while here > 0 {
            let count = here.min(buffer.len() as u64) as usize;
            let part = &mut buffer[..count];
            image.read_exact_at(part, at)?;
            show(part)?;
            at += count as u64;
            here -= count as u64;
        }
    }
    Ok(())
}
