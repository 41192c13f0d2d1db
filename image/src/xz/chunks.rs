//! Compressed chunks that are kept from build to build.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clawdie_tree::hex;
use fs_err as fs;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use super::format::Block;
use crate::Result;

/// The encoder whose blocks are kept: another version may give other bytes, so it is part of each name.
pub(super) const ENCODER: &str = "liblzma-sys 0.4.9";
const MAGIC: &[u8; 8] = b"CLWDxzb1";
const HEADER_LEN: usize = 32;

/// A folder of compressed chunks, each named by what it decodes to and how it was made.
///
/// An entry carries a checksum, so one that was cut off is not taken; it need not be synced. Two
/// builds may share the folder: entries appear by renaming, and one that vanishes is made again.
#[derive(Debug)]
pub(super) struct Chunks {
    folder: PathBuf,
}

impl Chunks {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Where the block of a chunk is kept.
    pub(super) fn path(&self, chunk: &[u8], preset: u32) -> PathBuf {
        let key = Sha256::new()
            .chain_update(format!("{ENCODER}, preset {preset}, {}\0", chunk.len()))
            .chain_update(chunk)
            .finalize();
        self.folder.join(format!("{}.xzb", hex(key)))
    }

    /// The block kept at `path`, if there is a sound one.
    pub(super) fn get(path: &Path, uncompressed: u64) -> Option<Block> {
        let bytes = std::fs::read(path).ok()?;
        let Some(block) = decode(&bytes).filter(|block| block.uncompressed == uncompressed) else {
            tracing::warn!(path = %path.display(), "damaged chunk in the cache; compressing it again");
            return None;
        };
        // Used now: what is oldest goes first.
        if let Ok(file) = std::fs::File::options().append(true).open(path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(block)
    }

    /// Keeps a block at `path`.
    pub(super) fn put(&self, path: &Path, block: &Block) -> Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.folder)?;
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend(MAGIC);
        header.extend(block.unpadded.to_le_bytes());
        header.extend(block.uncompressed.to_le_bytes());
        header.extend(sum(block).to_le_bytes());
        file.write_all(&header)?;
        file.write_all(&block.bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the entries that were not used for longest until `cap` bytes are left, and what
    /// killed builds left behind.
    pub(super) fn prune(&self, cap: u64) -> Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Gone in the meantime: another build prunes too.
            let Ok(meta) = entry.metadata() else { continue };
            let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let path = entry.path();
            let ours = path.extension().is_some_and(|ending| ending == "xzb");
            let stale = entry.file_name().to_string_lossy().starts_with(".new-")
                && modified
                    .elapsed()
                    .is_ok_and(|age| age.as_secs() > 24 * 3600);
            if ours || stale {
                entries.push((!stale, modified, path, meta.len()));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, _, _, len)| len).sum();
        for (keep, _, path, len) in entries {
            if keep && total <= cap {
                break;
            }
            // Failing to make room is no reason to fail the build.
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "cannot prune");
            }
            total -= len;
        }
        Ok(())
    }
}

fn sum(block: &Block) -> u64 {
    xxh3_64(&block.bytes) ^ block.unpadded.rotate_left(32) ^ block.uncompressed
}

fn decode(bytes: &[u8]) -> Option<Block> {
    let (header, rest) = bytes.split_at_checked(HEADER_LEN)?;
    let number = |at: usize| {
        let mut le = [0; 8];
        le.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(le)
    };
    let block = Block {
        bytes: rest.to_vec(),
        unpadded: number(8),
        uncompressed: number(16),
    };
    (header[..8] == MAGIC[..] && sum(&block) == number(24)).then_some(block)
}
