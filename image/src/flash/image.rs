//! The image that is to be written, with what lies beside it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use clawdie_tree::{Content, hex};
use liblzma::read::XzDecoder;

use super::write::EDGE;
use crate::bmap::{self, Bmap};
use crate::disk;
use crate::progress::Progress;
use crate::{Error, ErrorKind, Result, ResultExt, seed};

/// An image whose files belong together and are sound.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    packed: bool,
    map: Bmap,
}

/// The names of an image's files.
struct Names {
    /// Is it the compressed copy?
    packed: bool,
    sums: PathBuf,
    bmap: PathBuf,
}

/// Does the name say that it is an image, compressed or not?
pub fn is_image(path: &Path) -> bool {
    Names::of(path).is_some()
}

impl Names {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let plain = name.strip_suffix(".xz").unwrap_or(name);
        let stem = plain.strip_suffix(".img")?;
        Some(Self {
            packed: plain != name,
            sums: path.with_file_name(format!("{stem}.sha256")),
            bmap: path.with_file_name(format!("{plain}.bmap")),
        })
    }
}

impl Image {
    /// Opens the image at `path` and checks it: its set is complete, it holds what was built, and it is
    /// one of ours. Without a block map all of a plain image counts.
    ///
    /// # Errors
    /// When one of these is not so.
    pub fn open(path: &Path, progress: &dyn Progress) -> Result<Self> {
        let shown = path.display();
        let names = Names::of(path).ok_or_else(|| {
            Error::bad_input(format!("`{shown}` is no image by its name"))
                .hint("an image ends in `.img` or `.img.xz`; `cargo xtask iso` builds one")
        })?;
        let file = fs_err::File::open(path)
            .or_error(ErrorKind::Missing, || format!("`{shown}` cannot be opened"))?
            .into_parts()
            .0;
        let sums = Sums::open(path, &names.sums)?;
        let mapped = names.bmap.exists();
        if names.packed && !mapped {
            return Err(Error::missing(format!(
                "`{shown}` lacks its block map `{}`",
                names.bmap.display()
            ))
            .hint("it says how much of the image there is to write: put it beside the image"));
        }
        let map = if mapped {
            let task = progress.begin("checksums", None);
            sums.check(&names.bmap)?;
            if names.packed {
                task.note("compressed image");
                sums.check(path)?;
            }
            drop(task);
            Bmap::open(&names.bmap)?
        } else {
            let _task = progress.begin("checksums", None);
            sums.check(path)?;
            let len = { &file }.seek(SeekFrom::End(0))?;
            Bmap::of(&file, std::slice::from_ref(&(0..len)), &mut |_| ())?
        };
        let image = Self {
            path: path.to_owned(),
            packed: names.packed,
            map,
        };
        let seed = image.seed()?;
        if mapped && !names.packed {
            let task = progress.begin("check the image", Some(image.map.mapped_len()));
            let bad = bmap::check(&file, &image.map, &mut |bytes| task.advance(bytes))?;
            if let Some(first) = bad.first() {
                let (start, end) = (first.bytes.start, first.bytes.end);
                let error = Error::bad_input(format!(
                    "`{shown}` is not what was built: something changed in bytes {start:#x} to {end:#x}"
                ));
                // The first ranges hold the table and the seed together, so that the seed's are those that
                // touch it; a changed table was found out above.
                let in_seed = bad
                    .iter()
                    .all(|bad| seed.start < bad.bytes.end && bad.bytes.end <= seed.end);
                return Err(error.hint(if in_seed {
                    "a `setup.txt` was put into it after it was built, and its checksums no longer \
                     hold. Take a fresh copy (or the `.img.xz`) and flash that with `--seed setup.txt`"
                } else {
                    FRESH
                }));
            }
        }
        Ok(image)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole image, written or not.
    pub fn len(&self) -> u64 {
        self.map.image_len
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What of it is to be written.
    pub fn map(&self) -> &Bmap {
        &self.map
    }

    /// Its bytes from the start.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn reader(&self) -> Result<Reader> {
        Reader::open(&self.path, self.packed)
    }

    /// The bytes of the seed partition; an image without one is not ours.
    fn seed(&self) -> Result<std::ops::Range<u64>> {
        let foreign = || {
            Error::bad_input(format!("`{}` is not an image of ours", self.path.display()))
                .hint("flash images of other systems with the tool that they recommend")
        };
        let mut head = Vec::new();
        self.reader()?
            .take(EDGE)
            .read_to_end(&mut head)
            .map_err(|error| foreign().caused_by(error))?;
        // The reader of tables wants a disk of the right length.
        let mut disk = tempfile::tempfile()?;
        disk.set_len(self.len())?;
        disk.write_all(&head)?;
        let table = disk::read_primary(&disk).map_err(|error| foreign().caused_by(error))?;
        let place = table.partition(seed::NAME).ok_or_else(foreign)?;
        Ok(place.offset()..place.offset() + place.len)
    }
}

const FRESH: &str = "build it again or take a fresh copy, with all files of one build";

/// How long the image at `path` is, without checking it; for lists.
///
/// # Errors
/// When neither it nor its block map can be read.
pub fn image_len(path: &Path) -> Result<u64> {
    match Names::of(path) {
        Some(names) if names.packed => Ok(Bmap::open(&names.bmap)?.image_len),
        _ => Ok(fs_err::metadata(path)
            .or_error(ErrorKind::Missing, || {
                format!("`{}` cannot be opened", path.display())
            })?
            .len()),
    }
}

/// The `.sha256` beside an image.
struct Sums {
    path: PathBuf,
    by_name: HashMap<String, String>,
}

impl Sums {
    fn open(image: &Path, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::bad_input(format!(
                "`{}` is not complete: its checksums `{}` cannot be read",
                image.display(),
                path.display()
            ))
            .caused_by(error)
            .hint("a build writes them last: let it end, or put the files of one build together again")
        })?;
        let by_name = text
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            by_name,
        })
    }

    fn check(&self, file: &Path) -> Result<()> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let wanted = self.by_name.get(&*name).ok_or_else(|| {
            Error::bad_input(format!(
                "`{}` has no checksum of `{name}`",
                self.path.display()
            ))
            .hint(FRESH)
        })?;
        let content = Content::file(file).or_error(ErrorKind::Failed, || {
            format!("`{}` cannot be read", file.display())
        })?;
        if hex(content.sha256()) == *wanted {
            return Ok(());
        }
        Err(Error::bad_input(format!(
            "`{}` is not what was built: `{}` says another checksum",
            file.display(),
            self.path.display()
        ))
        .hint(FRESH))
    }
}

/// The bytes of an image from start to end.
pub struct Reader {
    bytes: Bytes,
    at: u64,
}

enum Bytes {
    Plain(File),
    Packed(Box<XzDecoder<BufReader<File>>>),
}

impl Reader {
    pub(super) fn open(path: &Path, packed: bool) -> Result<Self> {
        let file = fs_err::File::open(path)?.into_parts().0;
        let bytes = if packed {
            Bytes::Packed(Box::new(XzDecoder::new(BufReader::with_capacity(
                1 << 20,
                file,
            ))))
        } else {
            Bytes::Plain(file)
        };
        Ok(Self { bytes, at: 0 })
    }

    /// Goes on to byte `at`, which is not before the present place.
    pub(super) fn skip_to(&mut self, at: u64) -> io::Result<()> {
        match &mut self.bytes {
            Bytes::Plain(file) => {
                self.at = file.seek(SeekFrom::Start(at))?;
            }
            Bytes::Packed(_) => {
                let gap = at - self.at;
                if io::copy(&mut self.take(gap), &mut io::sink())? < gap {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.bytes {
            Bytes::Plain(file) => file.read(buf)?,
            Bytes::Packed(decoder) => decoder.read(buf)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::disk::{DiskPlan, PartitionKind, PartitionSize};
    use crate::progress::Silent;

    /// A set as `iso` leaves it, with a seed partition of noise.
    struct Set(tempfile::TempDir);

    impl Set {
        fn new(name: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let size = PartitionSize {
                name: name.to_owned(),
                kind: PartitionKind::BasicData,
                len: 2 << 20,
            };
            let plan = DiskPlan::layout(&[7; 32], &[size]).unwrap();
            let set = Self(folder);
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(set.at("i.img"))
                .unwrap();
            let mut used = disk::write_table(&file, &plan, None).unwrap();
            let at = plan.partitions[0].offset();
            file.write_all_at(&[0x5A; 9000], at).unwrap();
            used.push(at..at + 9000);
            bmap::write(&file, &used, &set.at("i.img.bmap"), &mut |_| ()).unwrap();
            crate::xz::compress(&file, &set.at("i.img.xz"), None, &mut |_| ()).unwrap();
            set.sum();
            set
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn sum(&self) {
            let sums: String = ["i.img", "i.img.bmap", "i.img.xz"]
                .map(|name| {
                    let content = Content::file(&self.at(name)).unwrap();
                    format!("{}  {name}\n", hex(content.sha256()))
                })
                .concat();
            std::fs::write(self.at("i.sha256"), sums).unwrap();
        }

        fn open(&self, name: &str) -> Result<Image> {
            Image::open(&self.at(name), &Silent)
        }

        fn flip(&self, name: &str, at: u64) {
            let file = File::options()
                .read(true)
                .write(true)
                .open(self.at(name))
                .unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[!byte[0]], at).unwrap();
        }
    }

    #[test]
    fn both_forms_of_an_image_give_the_same_bytes() {
        let set = Set::new(seed::NAME);
        let (plain, packed) = (set.open("i.img").unwrap(), set.open("i.img.xz").unwrap());
        assert_eq!(plain.map(), packed.map());
        assert!(plain.map().mapped_len() < plain.len());
        let read = |image: &Image| {
            let mut reader = image.reader().unwrap();
            let mut bytes = Vec::new();
            reader.skip_to(4096).unwrap();
            (&mut reader).take(10).read_to_end(&mut bytes).unwrap();
            reader.skip_to(1 << 20).unwrap();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert!(read(&plain) == read(&packed));
        assert!(packed.reader().unwrap().skip_to(1 << 40).is_err());
        assert_eq!(image_len(&set.at("i.img")).unwrap(), plain.len());
        assert_eq!(image_len(&set.at("i.img.xz")).unwrap(), plain.len());
    }

    #[test]
    fn without_a_block_map_all_of_it_counts() {
        let set = Set::new(seed::NAME);
        std::fs::remove_file(set.at("i.img.bmap")).unwrap();
        let plain = set.open("i.img").unwrap();
        assert_eq!(plain.map().mapped_len(), plain.len());
        assert_eq!(set.open("i.img.xz").unwrap_err().kind(), ErrorKind::Missing);
        set.flip("i.img", 3 << 20);
        let error = set.open("i.img").unwrap_err();
        assert!(error.to_string().contains("another checksum"), "{error}");
    }

    #[test]
    fn an_incomplete_or_changed_set_is_refused_and_said_why() {
        let refused = |spoil: &dyn Fn(&Set), name: &str, says: &str| {
            let set = Set::new(seed::NAME);
            spoil(&set);
            let error = set.open(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{error}");
            let told = format!("{error}: {}", error.remedy().unwrap());
            assert!(told.contains(says), "{told}");
        };
        let no_sums = |set: &Set| std::fs::remove_file(set.at("i.sha256")).unwrap();
        refused(&no_sums, "i.img", "not complete");
        let no_line = |set: &Set| std::fs::write(set.at("i.sha256"), "").unwrap();
        refused(&no_line, "i.img", "has no checksum of `i.img.bmap`");
        refused(&|set| set.flip("i.img", 20), "i.img", "fresh copy");
        refused(&|set| set.flip("i.img", (1 << 20) + 5), "i.img", "--seed");
        refused(
            &|set| set.flip("i.img.xz", 60),
            "i.img.xz",
            "another checksum",
        );
        refused(
            &|set| set.flip("i.img.bmap", 99),
            "i.img.xz",
            "another checksum",
        );
        let other = |set: &Set| std::fs::rename(set.at("i.img"), set.at("i.iso")).unwrap();
        refused(&other, "i.iso", "by its name");
    }

    #[test]
    fn an_image_of_others_is_refused() {
        let error = Set::new("OTHERS").open("i.img").unwrap_err();
        assert!(
            error.to_string().contains("not an image of ours"),
            "{error}"
        );
        let set = Set::new(seed::NAME);
        set.flip("i.img", 600);
        set.sum();
        let error = set.open("i.img").unwrap_err();
        assert!(
            error.to_string().contains("not an image of ours"),
            "{error}"
        );
    }
}
