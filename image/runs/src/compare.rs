//! Finds what differs between a plan and an image.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use clawdie_tree::{Content, TreePath, hex};
use sha2::{Digest, Sha256};

use crate::parallel::{self, BUFFER};
use crate::{Plan, Run, UNIT};

/// How many differences are told of; an image that is something else altogether has no end of them.
pub const MOST_DIFFERENCES: usize = 1000;

/// A place where an image is not as planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{structure}: byte {byte} (byte {at} of the file system) {fault}")]
pub struct Difference<S> {
    /// The structure that differs; each is named once, for its first byte that does.
    pub structure: S,
    /// Bytes from the start of the structure; of the file, for content.
    pub byte: u64,
    /// Bytes from the start of the file system.
    pub at: u64,
    /// What was expected there and what was found.
    pub fault: String,
}

/// [`Plan::compare`].
pub(crate) fn compare<P: Plan>(
    plan: &P,
    image: &File,
    offset: u64,
) -> io::Result<Vec<Difference<P::Structure>>> {
    let image = Image {
        file: image,
        offset,
    };
    // Holes are passed over, so a missing end would not be noticed where all is unused.
    image.read(&mut [0], plan.bytes() - 1)?;
    let mut found = Vec::new();
    let mut buffer = vec![0; BUFFER];
    plan.metadata(&mut |region| {
        let mut done = 0;
        while done < region.len && found.len() < MOST_DIFFERENCES {
            let count = (region.len - done).min(BUFFER as u64);
            let from = region.bytes.len().min(done as usize);
            let to = region.bytes.len().min((done + count) as usize);
            let expected = &region.bytes[from..to];
            if expected.is_empty() && image.is_hole(region.at + done, region.len - done) {
                break;
            }
            let real = &mut buffer[..count as usize];
            image.read(real, region.at + done)?;
            differences(
                plan,
                &region.what,
                region.at,
                done,
                expected,
                real,
                &mut found,
            );
            done += count;
        }
        Ok(())
    })?;
    let files: Vec<_> = plan.files().collect();
    let contents = parallel::map(&files, |(path, content, runs), buffer| {
        compare_content::<P>(&image, path, content, runs, buffer)
    })?;
    found.extend(contents.into_iter().flatten());
    compare_unused(plan, &image, &mut buffer, &mut found)?;
    found.truncate(MOST_DIFFERENCES);
    Ok(found)
}

/// The stretches between ranges that are in use, up to `end`.
pub fn gaps(used: &[Range<u64>], end: u64) -> impl Iterator<Item = Range<u64>> {
    let starts = used.iter().map(|range| range.end);
    let ends = used.iter().skip(1).map(|range| range.start);
    starts.zip(ends.chain([end])).map(|(start, end)| start..end)
}

/// Adds what differs in `real`, which stands `done` bytes into the region at `at` that starts with `what`. Beyond
/// `expected` there should be zeros.
fn differences<P: Plan>(
    plan: &P,
    what: &P::Structure,
    at: u64,
    done: u64,
    expected: &[u8],
    real: &[u8],
    found: &mut Vec<Difference<P::Structure>>,
) {
    let (head, tail) = real.split_at(expected.len());
    if head == expected && is_zero(tail) {
        return;
    }
    let mut index = 0;
    while index < real.len() && found.len() < MOST_DIFFERENCES {
        let wanted = expected.get(index).copied().unwrap_or(0);
        if real[index] == wanted {
            index += 1;
            continue;
        }
        let here = done + index as u64;
        let (structure, range) = plan.structure_at(what, here);
        found.push(Difference {
            structure,
            byte: here - range.start,
            at: at + here,
            fault: format!("is {:#04x}, not {wanted:#04x}", real[index]),
        });
        index = usize::try_from(range.end - done).unwrap_or(usize::MAX);
    }
}

/// What nothing uses is zero in a fresh image.
fn compare_unused<P: Plan>(
    plan: &P,
    image: &Image<'_>,
    buffer: &mut [u8],
    found: &mut Vec<Difference<P::Structure>>,
) -> io::Result<()> {
    for Range { start, end } in plan.unused() {
        let mut at = start;
        while found.len() < MOST_DIFFERENCES {
            at = image.next_data(at).min(end);
            if at == end {
                break;
            }
            let count = (end - at).min(BUFFER as u64) as usize;
            let real = &mut buffer[..count];
            image.read(real, at)?;
            // The file's own blocks need not lie as the file system's units do.
            let skew = at % UNIT;
            let what = P::unused_unit(at / UNIT);
            differences(plan, &what, at - skew, skew, &[], real, found);
            at += count as u64;
        }
    }
    Ok(())
}

/// Compares one file's content and what follows it in its last unit. Holes are zeros.
fn compare_content<P: Plan>(
    image: &Image<'_>,
    path: &TreePath,
    content: &Content,
    runs: &[Run],
    buffer: &mut [u8],
) -> io::Result<Vec<Difference<P::Structure>>> {
    let mut found = Vec::new();
    let difference = |byte, at, fault| Difference {
        structure: P::content_of(path),
        byte,
        at,
        fault,
    };
    let mut hasher = Sha256::new();
    let mut done = 0;
    for run in runs {
        if run.is_hole() {
            let mut left = run.len * UNIT;
            done += left;
            buffer.fill(0);
            while left > 0 {
                let count = left.min(buffer.len() as u64);
                hasher.update(&buffer[..count as usize]);
                left -= count;
            }
            continue;
        }
        let mut at = run.start * UNIT;
        let end = at + run.len * UNIT;
        while at < end {
            let count = (end - at).min(buffer.len() as u64) as usize;
            let real = &mut buffer[..count];
            image.read(real, at)?;
            let bytes = (content.len() - done).min(count as u64);
            let (bytes, rest) = real.split_at(bytes as usize);
            hasher.update(bytes);
            done += bytes.len() as u64;
            if let Some(index) = rest.iter().position(|&byte| byte != 0) {
                let fault = format!(
                    "after the end of the file is {:#04x}, not 0x00",
                    rest[index]
                );
                let index = index as u64;
                found.push(difference(
                    done + index,
                    at + (bytes.len() as u64) + index,
                    fault,
                ));
            }
            at += count as u64;
        }
    }
    let hash = hasher.finalize();
    if hash[..] != content.sha256()[..] {
        let stored = runs.iter().find(|run| !run.is_hole());
        let at = stored.map_or(0, |run| run.start * UNIT);
        let fault = format!(
            "starts a content with SHA-256 {}, not {}",
            hex(hash),
            hex(content.sha256())
        );
        found.push(difference(0, at, fault));
    }
    Ok(found)
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|&byte| byte == 0)
}

/// The file system's part of an image.
struct Image<'a> {
    file: &'a File,
    offset: u64,
}

impl Image<'_> {
    fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, self.offset + at)
    }

    /// Whether the file has nothing stored there, so that there are zeros.
    fn is_hole(&self, at: u64, len: u64) -> bool {
        self.next_data(at) >= at + len
    }

    /// Where the next bytes are that may not be zero; `at` itself where the host cannot tell.
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    fn next_data(&self, at: u64) -> u64 {
        use nix::errno::Errno;
        use nix::unistd::{Whence, lseek64};

        let Ok(from) = i64::try_from(self.offset + at) else {
            return at;
        };
        match lseek64(self.file, from, Whence::SeekData) {
            Ok(data) => u64::try_from(data).map_or(at, |data| data.saturating_sub(self.offset)),
            // Nothing but a hole up to the end.
            Err(Errno::ENXIO)
                if self
                    .file
                    .metadata()
                    .is_ok_and(|meta| meta.len() > self.offset + at) =>
            {
                u64::MAX
            }
            Err(_) => at,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    fn next_data(&self, at: u64) -> u64 {
        at
    }
}
