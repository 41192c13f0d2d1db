//! The block map: which blocks of an image mean something, and what they hash to.
//!
//! `bmaptool` and the like read it to flash only those blocks and to check them; `verify` reads it
//! to name the place of a change. Format 2.0, as in `bmaptool`'s `BmapCreate.py`.
//!
//! A block that holds zeros is not therefore free: a file of zeros, an empty table of FAT. Left out,
//! it would keep what the stick held before. So the ranges come from those who wrote the image,
//! not from its holes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use clawdie_tree::hex;
use quick_xml::events::Event;
use sha2::{Digest, Sha256};

use crate::{Error, ErrorKind, Result, ResultExt};

const BLOCK: u64 = 4096;
/// A range is at most this long, so that a change is found close to its place.
const RANGE: u64 = 16 << 20;
const STEP: usize = 1 << 20;

/// A block map, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bmap {
    /// Bytes of the image.
    pub image_len: u64,
    /// The mapped ranges, in order.
    pub ranges: Vec<Mapped>,
}

/// A range of the image with its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Bytes of the image.
    pub bytes: Range<u64>,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
}

/// A range whose bytes are not those that were mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRange {
    /// Bytes of the image among which something changed.
    pub bytes: Range<u64>,
}

/// Writes the block map of `image` to `path`: `used` are the bytes that mean something, in any order.
/// `progress` is told how many bytes more were hashed.
///
/// # Errors
/// When the image cannot be read, or a range ends beyond it.
pub fn write(
    image: &File,
    used: &[Range<u64>],
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    fs_err::write(path, Bmap::of(image, used, progress)?.to_xml())?;
    Ok(())
}

/// Compares an image with its block map and gives the ranges that changed. `progress` is told how many
/// bytes more were hashed.
///
/// # Errors
/// When the image cannot be read, or has another length.
pub fn check(image: &File, map: &Bmap, progress: &mut dyn FnMut(u64)) -> Result<Vec<BadRange>> {
    let len = { image }.seek(SeekFrom::End(0))?;
    if len != map.image_len {
        return Err(Error::bad_input(format!(
            "the image has {len} bytes, its block map was made for {}",
            map.image_len
        ))
        .hint("take the image and the `.bmap` of one build"));
    }
    let mut bad = Vec::new();
    for mapped in &map.ranges {
        if digest(image, &mapped.bytes, progress)? != mapped.sha256 {
            bad.push(BadRange {
                bytes: mapped.bytes.clone(),
            });
        }
    }
    Ok(bad)
}

impl Bmap {
    /// Maps `image`: `used` are the bytes that mean something, in any order. `progress` is told how
    /// many bytes more were hashed.
    ///
    /// # Errors
    /// When the image cannot be read, or a range ends beyond it.
    pub fn of(image: &File, used: &[Range<u64>], progress: &mut dyn FnMut(u64)) -> Result<Self> {
        let image_len = { image }.seek(SeekFrom::End(0))?;
        if let Some(beyond) = used.iter().find(|range| range.end > image_len) {
            let end = beyond.end;
            return Err(Error::failed(format!(
                "the block map would end at byte {end} of an image of {image_len}"
            )));
        }
        let ranges = blocks(used, image_len)
            .into_iter()
            .map(|bytes| {
                let sha256 = digest(image, &bytes, progress)?;
                Ok(Mapped { bytes, sha256 })
            })
            .collect::<Result<_>>()?;
        Ok(Self { image_len, ranges })
    }

    /// How many bytes are mapped.
    pub fn mapped_len(&self) -> u64 {
        self.ranges
            .iter()
            .map(|mapped| mapped.bytes.end - mapped.bytes.start)
            .sum()
    }

    /// Reads the block map at `path`.
    ///
    /// # Errors
    /// As [`Bmap::parse`], or when it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let text = fs_err::read_to_string(path).or_error(ErrorKind::Missing, || {
            format!("the block map `{}` cannot be read", path.display())
        })?;
        Self::parse(&text)
    }

    /// Reads a block map of format 2.0 with SHA-256 and checks its own checksum.
    ///
    /// # Errors
    /// When it is something else, or was changed.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::bad_input(format!("the block map is not valid: {what}"))
                .hint("take the `.bmap` that was built together with the image")
        };
        let mut fields = std::collections::HashMap::new();
        let mut listed = Vec::new();
        let mut reader = quick_xml::Reader::from_str(text);
        let mut open: Option<(String, Option<String>)> = None;
        loop {
            match reader
                .read_event()
                .map_err(|error| wrong(&error.to_string()))?
            {
                Event::Start(tag) => {
                    let sum = tag
                        .attributes()
                        .flatten()
                        .find(|attribute| attribute.key.as_ref() == "chksum")
                        .map(|attribute| attribute.value.as_ref().to_owned());
                    open = Some((tag.name().as_ref().to_owned(), sum));
                }
                Event::Text(value) => match &open {
                    Some((name, Some(sum))) if name == "Range" => {
                        listed.push((value.as_ref().trim().to_owned(), sum.clone()));
                    }
                    Some((name, _)) => {
                        fields.insert(name.clone(), value.as_ref().trim().to_owned());
                    }
                    None => {}
                },
                Event::End(_) => open = None,
                Event::Eof => break,
                _ => {}
            }
        }
        let field = |name: &str| {
            fields
                .get(name)
                .map(String::as_str)
                .ok_or_else(|| wrong(&format!("`{name}` is missing")))
        };
        let number = |name: &str| {
            field(name)?
                .parse::<u64>()
                .map_err(|_| wrong(&format!("`{name}` is not a number")))
        };
        if field("ChecksumType")? != "sha256" || number("BlockSize")? != BLOCK {
            return Err(wrong("not SHA-256 over blocks of 4096 bytes"));
        }
        let own = field("BmapFileChecksum")?;
        if own.len() != 64 || file_checksum(text, own) != own {
            return Err(wrong("its own checksum does not hold, so it was changed"));
        }
        let image_len = number("ImageSize")?;
        let mut ranges: Vec<Mapped> = Vec::with_capacity(listed.len());
        for (blocks, sum) in listed {
            let (first, last) = blocks.split_once('-').unwrap_or((&blocks, &blocks));
            let block = |text: &str| text.trim().parse::<u64>().ok();
            let bytes = block(first)
                .zip(block(last))
                .and_then(|(first, last)| {
                    Some(
                        first.checked_mul(BLOCK)?
                            ..last.checked_add(1)?.checked_mul(BLOCK)?.min(image_len),
                    )
                })
                .filter(|bytes| bytes.start < bytes.end)
                .filter(|bytes| {
                    ranges
                        .last()
                        .is_none_or(|before| before.bytes.end <= bytes.start)
                })
                .ok_or_else(|| wrong(&format!("`{blocks}` is not a range of blocks in order")))?;
            let sha256 = unhex(&sum).ok_or_else(|| wrong(&format!("`{sum}` is not a SHA-256")))?;
            ranges.push(Mapped { bytes, sha256 });
        }
        Ok(Self { image_len, ranges })
    }

    fn to_xml(&self) -> String {
        let mapped: u64 = self
            .ranges
            .iter()
            .map(|mapped| blocks_of(&mapped.bytes))
            .sum();
        let blank = "0".repeat(64);
        let mut xml = format!(
            "<?xml version=\"1.0\" ?>\n\
             <!-- The blocks of an image that have to be written; the others are free. -->\n\
             <bmap version=\"2.0\">\n\
             \x20   <ImageSize> {} </ImageSize>\n\
             \x20   <BlockSize> {BLOCK} </BlockSize>\n\
             \x20   <BlocksCount> {} </BlocksCount>\n\
             \x20   <MappedBlocksCount> {mapped} </MappedBlocksCount>\n\
             \x20   <ChecksumType> sha256 </ChecksumType>\n\
             \x20   <BmapFileChecksum> {blank} </BmapFileChecksum>\n\
             \x20   <BlockMap>\n",
            self.image_len,
            self.image_len.div_ceil(BLOCK),
        );
        for Mapped { bytes, sha256 } in &self.ranges {
            let first = bytes.start / BLOCK;
            let last = first + blocks_of(bytes) - 1;
            let blocks = if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            };
            let sum = hex(sha256);
            let _ = writeln!(xml, "        <Range chksum=\"{sum}\"> {blocks} </Range>");
        }
        xml.push_str("    </BlockMap>\n</bmap>\n");
        let own = file_checksum(&xml, &blank);
        xml.replacen(&blank, &own, 1)
    }
}

/// The checksum of a map is taken with zeros in its place.
fn file_checksum(xml: &str, written: &str) -> String {
    hex(Sha256::digest(xml.replacen(
        written,
        &"0".repeat(written.len()),
        1,
    )))
}

fn blocks_of(bytes: &Range<u64>) -> u64 {
    (bytes.end - bytes.start).div_ceil(BLOCK)
}

/// Whole blocks, in order, joined where they meet and cut to [`RANGE`].
fn blocks(used: &[Range<u64>], len: u64) -> Vec<Range<u64>> {
    let mut whole: Vec<Range<u64>> = used
        .iter()
        .filter(|range| range.start < range.end)
        .map(|range| range.start / BLOCK * BLOCK..range.end.next_multiple_of(BLOCK).min(len))
        .collect();
    whole.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in whole {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    // Cut at multiples, so that a range keeps its checksum when one before it grows.
    let cut = |range: Range<u64>| {
        (range.start / RANGE..range.end.div_ceil(RANGE))
            .map(move |piece| range.start.max(piece * RANGE)..range.end.min((piece + 1) * RANGE))
    };
    joined.into_iter().flat_map(cut).collect()
}

fn digest(image: &File, bytes: &Range<u64>, progress: &mut dyn FnMut(u64)) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buf = vec![0; STEP];
    let mut at = bytes.start;
    while at < bytes.end {
        let part = &mut buf[..(bytes.end - at).min(STEP as u64) as usize];
        image.read_exact_at(part, at)?;
        hasher.update(&*part);
        at += part.len() as u64;
        progress(part.len() as u64);
    }
    Ok(hasher.finalize().into())
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;
    use tempfile::{NamedTempFile, TempDir};

    use super::*;

    const LEN: u64 = 40 << 20;

    fn image() -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        file.as_file().set_len(LEN + 1000).unwrap();
        for at in (0..LEN).step_by(123_456) {
            file.as_file().write_all_at(&at.to_le_bytes(), at).unwrap();
        }
        file
    }

    fn used() -> Vec<Range<u64>> {
        vec![
            20 << 20..38 << 20,
            LEN..LEN + 1000,
            0..5000,
            8192..8193,
            7..7,
        ]
    }

    fn map(image: &NamedTempFile) -> (TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i.bmap");
        write(image.as_file(), &used(), &path, &mut |_| ()).unwrap();
        (dir, path)
    }

    #[test]
    fn ranges_are_whole_blocks_joined_and_cut() {
        assert_eq!(
            blocks(&used(), LEN + 1000),
            [
                0..12288,
                20 << 20..32 << 20,
                32 << 20..38 << 20,
                LEN..LEN + 1000
            ]
        );
    }

    #[test]
    fn bmaptool_copies_what_is_mapped_and_checks_it() {
        let image = image();
        let (dir, path) = map(&image);
        let target = dir.path().join("stick");
        let copy = || {
            let args = ["copy", "--bmap", path.to_str().unwrap()];
            Command::new("bmaptool")
                .args(args)
                .args([image.path(), &target])
                .output()
                .unwrap_or_else(|error| {
                    panic!("`bmaptool` cannot be run ({error}): install the package `bmap-tools`")
                })
        };
        let out = copy();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let (copied, whole) = (
            std::fs::read(&target).unwrap(),
            std::fs::read(image.path()).unwrap(),
        );
        for range in blocks(&used(), LEN + 1000) {
            let range = range.start as usize..range.end as usize;
            assert!(copied[range.clone()] == whole[range.clone()], "{range:?}");
        }
        // Not mapped, not copied.
        assert!(whole[12_312_000..14 << 20].iter().any(|&byte| byte != 0));
        assert!(copied[12_312_000..14 << 20].iter().all(|&byte| byte == 0));
        image.as_file().write_all_at(b"x", 21 << 20).unwrap();
        let out = copy();
        assert!(!out.status.success());
        assert!(String::from_utf8_lossy(&out.stderr).contains("checksum mismatch"));
    }

    #[test]
    fn a_changed_byte_is_found_in_its_range() {
        let image = image();
        let (_dir, path) = map(&image);
        let map = Bmap::open(&path).unwrap();
        let mut hashed = 0;
        assert_eq!(
            check(image.as_file(), &map, &mut |more| hashed += more).unwrap(),
            []
        );
        assert_eq!(hashed, 12288 + (18 << 20) + 1000);
        image.as_file().write_all_at(b"x", 33 << 20).unwrap();
        let bad = check(image.as_file(), &map, &mut |_| ()).unwrap();
        assert_eq!(
            bad,
            [BadRange {
                bytes: 32 << 20..38 << 20
            }]
        );
        image.as_file().set_len(LEN).unwrap();
        assert!(check(image.as_file(), &map, &mut |_| ()).is_err());
    }

    #[test]
    fn a_changed_map_is_refused() {
        let image = image();
        let (_dir, path) = map(&image);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(Bmap::parse(&text).is_ok());
        for (from, to) in [
            (" 0-2 ", " 0-1 "),
            ("sha256", "sha1"),
            ("ImageSize", "Size"),
            ("</bmap>", ""),
        ] {
            let changed = text.replacen(from, to, 2);
            assert_ne!(changed, text, "{from}");
            assert!(Bmap::parse(&changed).is_err(), "{from}");
        }
        assert!(
            write(
                image.as_file(),
                std::slice::from_ref(&(0..LEN + 1001)),
                Path::new("/dev/null"),
                &mut |_| ()
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn a_map_is_read_back(starts in proptest::collection::btree_set(0..1000u64, 0..20), tail in 0..BLOCK) {
            let image_len = 2000 * BLOCK + tail;
            let ranges = starts.iter().map(|&start| Mapped {
                bytes: start * BLOCK..(start + 1) * BLOCK,
                sha256: [start as u8; 32],
            }).collect();
            let map = Bmap { image_len, ranges };
            prop_assert_eq!(Bmap::parse(&map.to_xml()).unwrap(), map);
        }

        #[test]
        fn garbage_never_panics(text in "(<[a-zA-Z =\"/?!-]{0,12}>?|[0-9 -]{1,22}){0,12}") {
            let _ = Bmap::parse(&text);
        }
    }
}
