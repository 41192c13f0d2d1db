//! The compressed copy of an image, `.img.xz`, which Etcher, Rufus and Raspberry Pi Imager read.
//!
//! One stream of many blocks: the image is cut into chunks of [`CHUNK`] bytes, each is compressed on its
//! own, on all cores, and kept under its hash. So the bytes do not depend on the number of cores, and a
//! rebuild compresses only the chunks that changed.

mod chunks;
mod format;

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;

use chunks::Chunks;
use format::Block;

use crate::{Error, Result};

/// Bytes of the image in one block. Larger ones compress no better with the small dictionary of
/// [`PRESET`], smaller ones mean less work after a change.
pub const CHUNK: u64 = 4 << 20;
/// How hard liblzma tries. Much of an image is kernel modules and firmware that are compressed
/// already. Measured on 48 MiB of a Debian root, one thread: preset 0 takes 5.8 s for 30.7 MB,
/// 1 takes 10.3 s for 29.8 MB, 2 takes 15.0 s for 29.7 MB, 6 takes 18.1 s for 29.2 MB.
const PRESET: u32 = 0;
/// How much the folder of chunks may hold after a build: some dozens of images, which share most.
const CACHE_CAP: u64 = 2 << 30;
const ZEROS: [u8; 4096] = [0; 4096];

/// Compresses `image` to a new file at `path`. Compressed chunks are kept in the folder `cache` and
/// taken from there; `progress` is told how many bytes more of the image are done. The file is not
/// synced, and is incomplete when this fails.
///
/// # Errors
/// When the image cannot be read or a file not be written.
pub fn compress(
    image: &File,
    path: &Path,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let chunks = cache.map(Chunks::open).transpose()?;
    let out = fs_err::File::create(path)?;
    compress_with(image, &out, chunks.as_ref(), threads, CHUNK, progress)?;
    if let Some(chunks) = &chunks {
        chunks.prune(CACHE_CAP)?;
    }
    Ok(())
}

/// Workers take every `threads`th chunk and hand their blocks over one by one: the next is compressed
/// while the last waits, so each holds two at most.
fn compress_with(
    image: &File,
    out: impl Write,
    chunks: Option<&Chunks>,
    threads: usize,
    chunk_len: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let len = { image }.seek(SeekFrom::End(0))?;
    let count = len.div_ceil(chunk_len);
    let maker = Maker {
        image,
        len,
        chunk_len,
        chunks,
        zeros: OnceLock::new(),
        stop: AtomicBool::new(false),
    };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    out.write_all(&format::stream_header())?;
    let mut records = Vec::new();
    thread::scope(|scope| {
        let maker = &maker;
        let lanes: Vec<_> = (0..threads.max(1) as u64)
            .map(|first| {
                let (sender, receiver) = mpsc::sync_channel(1);
                scope.spawn(move || {
                    for number in (first..count).step_by(threads.max(1)) {
                        let stop = maker.stop.load(Ordering::Relaxed);
                        // Nobody listens any more: something failed elsewhere.
                        if stop || sender.send(maker.block(number)).is_err() {
                            break;
                        }
                    }
                });
                receiver
            })
            .collect();
        let mut write = || {
            for number in 0..count {
                let lane = &lanes[(number % lanes.len() as u64) as usize];
                let block = lane
                    .recv()
                    .map_err(|_| Error::failed("a compressor died"))??;
                out.write_all(&block.bytes)?;
                records.push((block.unpadded, block.uncompressed));
                progress(block.uncompressed);
            }
            Ok(())
        };
        let written: Result<()> = write();
        maker.stop.store(written.is_err(), Ordering::Relaxed);
        drop(lanes);
        written
    })?;
    out.write_all(&format::index_and_footer(&records))?;
    out.flush()?;
    Ok(())
}

/// Makes blocks of an image.
struct Maker<'a> {
    image: &'a File,
    len: u64,
    chunk_len: u64,
    chunks: Option<&'a Chunks>,
    /// The block of a whole chunk of zeros, of which a sparse image has many.
    zeros: OnceLock<Arc<Block>>,
    stop: AtomicBool,
}

impl Maker<'_> {
    fn block(&self, number: u64) -> Result<Arc<Block>> {
        let at = number * self.chunk_len;
        let mut chunk = vec![0; (self.len - at).min(self.chunk_len) as usize];
        self.image.read_exact_at(&mut chunk, at)?;
        let zeros = chunk.len() as u64 == self.chunk_len
            && chunk
                .chunks(ZEROS.len())
                .all(|part| part == &ZEROS[..part.len()]);
        if zeros && let Some(block) = self.zeros.get() {
            return Ok(Arc::clone(block));
        }
        let block = Arc::new(self.compressed(&chunk)?);
        if zeros {
            // Two workers may both have made it; theirs are equal.
            let _ = self.zeros.set(Arc::clone(&block));
        }
        Ok(block)
    }

    fn compressed(&self, chunk: &[u8]) -> Result<Block> {
        let Some(chunks) = self.chunks else {
            return format::block(chunk, PRESET);
        };
        let path = chunks.path(chunk, PRESET);
        if let Some(block) = Chunks::get(&path, chunk.len() as u64) {
            return Ok(block);
        }
        let block = format::block(chunk, PRESET)?;
        chunks.put(&path, &block)?;
        Ok(block)
    }
}

#[cfg(test)]
mod tests;
