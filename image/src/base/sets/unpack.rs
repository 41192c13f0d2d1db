//! From sets to a pack: decompressed on all cores, compared with their hashes at the same time.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use clawdie_tree::Sha256;
use fs_err as fs;
use globset::GlobSet;
use liblzma::read::XzDecoder;
use liblzma::stream::MtStreamBuilder;
use sha2::Digest;

use super::source::Place;
use super::{Set, forget};
use crate::base::archive::{Decoder, Rules};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::progress::{Progress, Silent, Task};

/// What the threads of one decoder may hold; beyond it, fewer of them run. Sets are made of blocks of
/// 24 MiB, and a thread holds about two of them.
const MEMORY_OF_THREADS: u64 = 144 << 20;
/// What even one thread may not exceed: the largest dictionary of `xz` asks for 65 MiB.
const MEMORY: u64 = 256 << 20;

/// A set, open for reading.
#[derive(Debug)]
pub(super) struct OpenSet<'a> {
    set: &'a Set,
    file: File,
    len: u64,
}

impl<'a> OpenSet<'a> {
    pub(super) fn open(set: &'a Set) -> Result<Self> {
        let path = set.place.path();
        let file = File::open(path).map_err(|error| {
            let folder = path.parent().unwrap_or(path).display();
            Error::missing(format!("`{}` cannot be read", path.display()))
                .caused_by(error)
                .hint(format!("`{folder}` must hold the set under this name"))
        })?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(Error::bad_input(format!(
                "`{}` is not a file",
                path.display()
            )));
        }
        Ok(Self {
            set,
            file,
            len: meta.len(),
        })
    }

    fn name(&self) -> String {
        self.set.place.path().display().to_string()
    }

    /// Several readers of one file do not move each other.
    fn reader(&self) -> At<'_> {
        At {
            file: &self.file,
            at: 0,
        }
    }

    /// Compares the whole file with what it must be.
    fn verify(&self) -> Result<()> {
        if self.len == 0 {
            return Err(Error::bad_input(format!(
                "`{}` is empty: it has 0 bytes",
                self.name()
            )));
        }
        let found = sum(self.reader()).or_error(ErrorKind::Failed, || {
            format!("`{}` cannot be read", self.name())
        })?;
        if found == self.set.pin.sha256 {
            return Ok(());
        }
        let error = Error::bad_input(format!(
            "`{}` is not the `{}` that it must be",
            self.name(),
            self.set.pin.file
        ))
        .caused_by(format!(
            "its SHA-256 is {}\n{} by {}",
            clawdie_tree::hex(found),
            clawdie_tree::hex(self.set.pin.sha256),
            self.set.by
        ));
        Err(match &self.set.place {
            Place::Folder(_) => error.hint(
                "is it complete, and of this release? `--release` names another one; a wrong set is \
                 refused whatever else is said",
            ),
            Place::Cache { path, .. } => {
                forget(path)?;
                error.hint("it was removed from the cache; run the same command again")
            }
        })
    }
}

struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buf, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// The SHA-256 of a file.
pub(super) fn digest(path: &Path) -> Result<Sha256> {
    Ok(sum(fs::File::open(path)?)?)
}

fn sum(mut reader: impl Read) -> io::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut buf = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buf)? {
            0 => return Ok(hasher.finalize().into()),
            got => hasher.update(&buf[..got]),
        }
    }
}

/// Compares every set with its hash, all at the same time.
pub(super) fn verify(sets: &[OpenSet<'_>]) -> Result<()> {
    thread::scope(|scope| {
        let checks: Vec<_> = sets
            .iter()
            .map(|set| scope.spawn(|| set.verify()))
            .collect();
        checks.into_iter().try_for_each(|check| {
            check
                .join()
                .map_err(|_| Error::failed("checking the sets panicked"))?
        })
    })
}

/// Decodes the sets, one over the other, into a pack in the empty `folder`.
pub(super) fn unpack(sets: &[OpenSet<'_>], folder: &Path, progress: &dyn Progress) -> Result<()> {
    let total = sets.iter().map(|set| set.len).sum();
    let task = progress.begin("unpack the base system", Some(total));
    thread::scope(|scope| {
        let sound = scope.spawn(|| verify(sets));
        let decoded = decode(sets, folder, &*task);
        let sound = sound
            .join()
            .map_err(|_| Error::failed("checking the sets panicked"))?;
        // A set that is the wrong one explains whatever else is wrong with it.
        sound.and(decoded)
    })
}

fn decode(sets: &[OpenSet<'_>], folder: &Path, task: &dyn Task) -> Result<()> {
    let rules = Rules {
        drop: GlobSet::empty(),
        devices: false,
    };
    let mut decoder = Decoder::new(folder, rules)?;
    for set in sets {
        task.note(&set.set.pin.file);
        let count = add(set, &mut decoder, task)?;
        if let Some(files) = set.set.pin.files
            && files != count
        {
            return Err(Error::bad_input(format!(
                "`{}` has {count} entries, but {files} by {}",
                set.name(),
                set.set.by
            ))
            .hint("a set and what is said of it must be of one release"));
        }
    }
    decoder.finish()
}

/// One set into the decoder. Decompressing has a thread of its own, so that it goes on while contents
/// are hashed and written.
fn add(set: &OpenSet<'_>, decoder: &mut Decoder, task: &dyn Task) -> Result<u64> {
    let stream = MtStreamBuilder::new()
        .threads(thread::available_parallelism().map_or(1, NonZeroUsize::get) as u32)
        .memlimit_threading(MEMORY_OF_THREADS)
        .memlimit_stop(MEMORY)
        .decoder()
        .or_error(ErrorKind::Failed, || "xz cannot be started".into())?;
    let (tar, mut pipe) = io::pipe()?;
    let named = |error: Error| match error.kind() {
        ErrorKind::BadInput => {
            Error::bad_input(format!("`{}`: {error}", set.name())).caused_by(causes(&error))
        }
        _ => error,
    };
    thread::scope(|scope| {
        let decompressed = scope.spawn(move || {
            let compressed = Counted {
                inner: set.reader(),
                task,
            };
            let mut xz =
                XzDecoder::new_stream(BufReader::with_capacity(1 << 20, compressed), stream);
            let mut buf = vec![0; 256 << 10];
            loop {
                // Two ends can fail: only what is wrong with the set is told of here.
                let got = xz.read(&mut buf)?;
                if got == 0 || io::Write::write_all(&mut pipe, &buf[..got]).is_err() {
                    return Ok::<_, io::Error>(());
                }
            }
        });
        let count = decoder.add(tar, &Silent);
        let decompressed = decompressed
            .join()
            .map_err(|_| Error::failed("decompressing the sets panicked"))?;
        match (decompressed, count) {
            (Ok(()), count) => count.map_err(named),
            // A full disk is not the set's fault.
            (Err(_), Err(error)) if error.kind() != ErrorKind::BadInput => Err(error),
            (Err(broken), count) => {
                let place = count
                    .err()
                    .map(|error| format!("; {error}"))
                    .unwrap_or_default();
                Err(Error::bad_input(format!(
                    "`{}` is not a whole xz file: {broken}{place}",
                    set.name()
                ))
                .hint("copy it again from where it came"))
            }
        }
    })
}

fn causes(error: &Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}{inner}\n");
        cause = inner.source();
    }
    text
}

struct Counted<'a, R> {
    inner: R,
    task: &'a dyn Task,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        self.task.advance(got as u64);
        Ok(got)
    }
}
