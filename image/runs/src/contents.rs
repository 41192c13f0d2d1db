//! The contents of files, hashed.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use clawdie_tree::{Content, ContentFile};
use sha2::{Digest, Sha256};

use crate::{Run, UNIT, parallel};

/// A regular file: its inode, its length and its runs, holes included.
pub struct FileRuns {
    /// Number of its inode.
    pub number: u64,
    /// Length in bytes.
    pub size: u64,
    /// Where they lie, from the first to the last.
    pub runs: Vec<Run>,
}

/// The contents by inode: hashed where they lie, and put together in a temporary file where they lie in pieces.
///
/// # Errors
/// When the image or the temporary file cannot be read or written.
pub fn hash(
    image: &Arc<ContentFile>,
    offset: u64,
    files: &[FileRuns],
) -> io::Result<HashMap<u64, Content>> {
    let hashes = parallel::map(files, |file, buffer| {
        let mut hasher = Sha256::new();
        each_part(image.file(), offset, file, buffer, &mut |_, bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(hasher.finalize())
    })?;
    let mut joined = None;
    let mut contents = HashMap::with_capacity(files.len());
    let mut buffer = vec![0; parallel::BUFFER];
    for (file, hash) in files.iter().zip(hashes) {
        let content = match file.runs.as_slice() {
            [] => Content::bytes(b""),
            [run] if !run.is_hole() => {
                let at = offset + run.start * UNIT;
                Content::extent(image.clone(), at, file.size, hash.into())
            }
            _ => {
                let joined = match &mut joined {
                    Some(joined) => joined,
                    none => none.insert(Joined::new()?),
                };
                let at = joined.end;
                each_part(
                    image.file(),
                    offset,
                    file,
                    &mut buffer,
                    &mut |hole, bytes| {
                        if !hole {
                            joined.out.write_all_at(bytes, joined.end)?;
                        }
                        joined.end += bytes.len() as u64;
                        Ok(())
                    },
                )?;
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

/// Shows a file's bytes from the first to the last, and whether they are a hole's zeros.
fn each_part(
    image: &File,
    offset: u64,
    file: &FileRuns,
    buffer: &mut [u8],
    show: &mut dyn FnMut(bool, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = file.size;
    for run in &file.runs {
        let mut at = offset + run.start * UNIT;
        let mut here = left.min(run.len * UNIT);
        left -= here;
        if run.is_hole() {
            buffer.fill(0);
        }
        while here > 0 {
            let count = here.min(buffer.len() as u64) as usize;
            let part = &mut buffer[..count];
            if !run.is_hole() {
                image.read_exact_at(part, at)?;
            }
            show(run.is_hole(), part)?;
            at += count as u64;
            here -= count as u64;
        }
    }
    Ok(())
}
