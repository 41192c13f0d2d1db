//! Puts a plan into a file: metadata in large pieces, contents copied in the kernel.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use clawdie_tree::{Content, ContentFile};

use crate::{Plan, Run, UNIT};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;
/// Bytes copied between two reports of progress.
const STRIDE: u64 = 32 << 20;

/// [`Plan::write`].
pub(crate) fn write<P: Plan>(
    plan: &P,
    out: &File,
    offset: u64,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let end = offset + plan.bytes();
    if out.metadata()?.len() < end {
        out.set_len(end)?;
    }
    let mut writer = Writer {
        out,
        offset,
        at: 0,
        buffer: Vec::with_capacity(BUFFER),
        progress,
    };
    plan.metadata(&mut |region| writer.put(region.at, &region.bytes))?;
    let mut copy: Option<Copy<'_>> = None;
    for (_, content, runs) in plan.files() {
        match content.as_extent() {
            None => writer.put_content(content, runs)?,
            Some((file, start)) => {
                for piece in pieces(file, start, content.len(), runs) {
                    copy = match copy {
                        Some(copy) if copy.reaches(&piece) => Some(copy.with(&piece)),
                        Some(copy) => {
                            writer.copy(&copy)?;
                            Some(piece)
                        }
                        None => Some(piece),
                    };
                }
            }
        }
    }
    if let Some(copy) = copy {
        writer.copy(&copy)?;
    }
    writer.flush()
}

/// Bytes to copy from a file into the file system.
struct Copy<'a> {
    file: &'a Arc<ContentFile>,
    from: u64,
    to: u64,
    len: u64,
}

impl<'a> Copy<'a> {
    /// Whether `next` goes on where this ends, on both sides, up to the filling of the last unit.
    fn reaches(&self, next: &Self) -> bool {
        Arc::ptr_eq(self.file, next.file)
            && self.from.is_multiple_of(UNIT)
            && next.from == (self.from + self.len).next_multiple_of(UNIT)
            && next.to == (self.to + self.len).next_multiple_of(UNIT)
    }

    fn with(self, next: &Self) -> Copy<'a> {
        Copy {
            len: next.from - self.from + next.len,
            ..self
        }
    }
}

/// The parts of a content that lie in one run each, without its holes.
fn pieces<'a>(
    file: &'a Arc<ContentFile>,
    start: u64,
    len: u64,
    runs: &'a [Run],
) -> impl Iterator<Item = Copy<'a>> {
    let mut done = 0;
    runs.iter().filter_map(move |run| {
        let piece = Copy {
            file,
            from: start + done,
            to: run.start * UNIT,
            len: (run.len * UNIT).min(len - done),
        };
        done += piece.len;
        (!run.is_hole()).then_some(piece)
    })
}

struct Writer<'a> {
    out: &'a File,
    offset: u64,
    /// Where the buffer's first byte goes, from the start of the file system.
    at: u64,
    buffer: Vec<u8>,
    progress: &'a mut dyn FnMut(u64),
}

impl Writer<'_> {
    /// Writes bytes that start at a unit, but for units of zeros.
    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        for (part, index) in bytes.chunks(UNIT as usize).zip(0..) {
            if part.iter().all(|&byte| byte == 0) {
                continue;
            }
            let at = at + index * UNIT;
            let end = self.at + self.buffer.len() as u64;
            if at != end.next_multiple_of(UNIT) || self.buffer.len() + part.len() > BUFFER {
                self.flush()?;
                self.at = at;
            }
            // A short unit before this one ends in zeros.
            self.buffer.resize((at - self.at) as usize, 0);
            self.buffer.extend_from_slice(part);
        }
        Ok(())
    }

    /// Writes a content that is held in memory.
    fn put_content(&mut self, content: &Content, runs: &[Run]) -> io::Result<()> {
        let mut done = 0;
        for run in runs {
            let end = content.len().min(done + run.len * UNIT);
            if run.is_hole() {
                done = end;
                continue;
            }
            let mut at = run.start * UNIT;
            while done < end {
                let mut bytes = vec![0; (end - done).min(BUFFER as u64) as usize];
                content.read_exact_at(&mut bytes, done)?;
                self.put(at, &bytes)?;
                done += bytes.len() as u64;
                at += bytes.len() as u64;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.out.write_all_at(&self.buffer, self.offset + self.at)?;
            (self.progress)(self.buffer.len() as u64);
            self.at += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn copy(&mut self, copy: &Copy<'_>) -> io::Result<()> {
        let named = |error: io::Error| {
            let path = copy.file.path().display();
            io::Error::new(error.kind(), format!("`{path}` into the image: {error}"))
        };
        let mut done = 0;
        let mut in_kernel = true;
        while done < copy.len {
            let stride = (copy.len - done).min(STRIDE);
            let (from, to) = (copy.from + done, self.offset + copy.to + done);
            let copied = if in_kernel {
                in_kernel_copy(copy.file.file(), from, self.out, to, stride).map_err(named)?
            } else {
                None
            };
            let copied = match copied {
                Some(count) => count,
                None => {
                    in_kernel = false;
                    self.copy_through(copy.file, from, to, stride)
                        .map_err(named)?;
                    stride
                }
            };
            done += copied;
            (self.progress)(copied);
        }
        Ok(())
    }

    /// Copies with a buffer; `to` counts from the start of the output.
    fn copy_through(&self, file: &ContentFile, from: u64, to: u64, len: u64) -> io::Result<()> {
        let mut buffer = vec![0; len.min(BUFFER as u64) as usize];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(BUFFER as u64) as usize;
            let part = &mut buffer[..part];
            file.file().read_exact_at(part, from + done)?;
            self.out.write_all_at(part, to + done)?;
            done += part.len() as u64;
        }
        Ok(())
    }
}

/// Copies up to `len` bytes without bringing them into this process; none when this pair of files
/// does not allow it.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn in_kernel_copy(
    source: &File,
    from: u64,
    out: &File,
    to: u64,
    len: u64,
) -> io::Result<Option<u64>> {
    use nix::errno::Errno;

    let (Ok(mut from), Ok(mut to), Ok(len)) =
        (i64::try_from(from), i64::try_from(to), usize::try_from(len))
    else {
        return Ok(None);
    };
    match nix::fcntl::copy_file_range(source, Some(&mut from), out, Some(&mut to), len) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => Ok(Some(count as u64)),
        Err(Errno::EINTR) => Ok(Some(0)),
        Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn in_kernel_copy(_: &File, _: u64, _: &File, _: u64, _: u64) -> io::Result<Option<u64>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn copying_through_the_process_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let source = ContentFile::open(&path).unwrap();
        let mut out = tempfile::tempfile().unwrap();
        let writer = Writer {
            out: &out,
            offset: 10,
            at: 0,
            buffer: Vec::new(),
            progress: &mut |_| {},
        };
        writer.copy_through(&source, 5, 20, 2_500_000).unwrap();
        assert!(writer.copy_through(&source, 5, 20, 3_000_000).is_err());
        let mut copied = Vec::new();
        out.read_to_end(&mut copied).unwrap();
        assert!(copied[20..2_500_020] == bytes[5..2_500_005]);
    }

    #[test]
    fn neighbours_join_only_across_zero_filling() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source");
        std::fs::write(&path, b"x").unwrap();
        let file = ContentFile::open(&path).unwrap();
        let copy = |from, to, len| Copy {
            file: &file,
            from,
            to,
            len,
        };
        assert!(copy(0, 8192, 5000).reaches(&copy(8192, 16384, 1)));
        assert!(!copy(0, 8192, 5000).reaches(&copy(5000, 16384, 1)));
        assert!(!copy(0, 8192, 5000).reaches(&copy(8192, 20480, 1)));
        assert!(!copy(512, 8192, 3584).reaches(&copy(4096, 12288, 1)));
        let other = ContentFile::open(&path).unwrap();
        let next = Copy {
            file: &other,
            ..copy(8192, 16384, 1)
        };
        assert!(!copy(0, 8192, 5000).reaches(&next));
    }
}
