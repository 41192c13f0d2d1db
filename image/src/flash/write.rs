//! The bytes of an image onto a disk, in an order that an interruption cannot make look complete.
//!
//! 1. The edges of the disk are overwritten with zeros: its first mebibyte, where the partition table
//!    lies, and its last, because firmware that finds no table in front takes the copy at the end. That may
//!    be one of an earlier image.
//! 2. Everything that is mapped is written, except at the edges.
//! 3. It is read back from the medium and compared with the checksums.
//! 4. Only then come the edges, the front last, and they are read back, too.
//!
//! So whatever ends the work before, Ctrl-C, a power cut, a stick pulled out or one that loses blocks,
//! leaves a disk without a partition table: no machine starts from it, and none shows half a volume.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::image::Reader;
use crate::bmap::Bmap;
use crate::progress::{Progress, Task};
use crate::{Error, ErrorKind, Result, ResultExt};

/// An edge of the disk: in front, the protective MBR and the table up to the first partition.
pub(super) const EDGE: u64 = 1 << 20;
const STEP: usize = 1 << 20;
/// So much may wait in memory. More would make the bar run ahead of the stick, and end in minutes
/// of silence.
const UNSETTLED: u64 = 16 << 20;

/// What an image is written to: a disk, or what stands in for one.
pub trait Target: Read + Write + Seek {
    /// Waits until everything written is on the medium, and has later reads come from there and not
    /// from memory.
    ///
    /// # Errors
    /// When the medium did not take it.
    fn settle(&mut self) -> io::Result<()>;
}

/// Writes the mapped bytes of `image` to `disk`, which has `disk_len` bytes, and reads them back.
///
/// # Errors
/// When the image is not what its map says, the disk cannot be written, or holds something else
/// afterwards. The disk then has no partition table.
pub fn write(
    image: &mut Reader,
    map: &Bmap,
    disk: &mut dyn Target,
    disk_len: u64,
    progress: &dyn Progress,
) -> Result<()> {
    let mut disk = Disk(disk);
    let tail = (disk_len.saturating_sub(EDGE) / EDGE * EDGE).max(EDGE);
    let blank = |disk: &mut Disk<'_>| {
        disk.blank(0..EDGE.min(disk_len))?;
        disk.blank(tail..disk_len)?;
        disk.settle()
    };
    blank(&mut disk).map_err(|error| {
        error.hint(
            "was it pulled out? Nothing of the image is on it yet; try again, or take another",
        )
    })?;
    let mut edges = [
        Edge::new(0..EDGE.min(map.image_len)),
        Edge::new(tail..map.image_len),
    ];

    let task = progress.begin("write", Some(map.mapped_len()));
    copy(image, map, &mut edges, &mut disk, &*task)?;
    task.note("waiting for the disk");
    disk.settle()?;
    drop(task);

    let task = progress.begin("read back", Some(map.mapped_len()));
    compare(map, &mut edges, &mut disk, &*task)?;
    drop(task);

    let _task = progress.begin("partition table", None);
    for edge in edges.iter().rev() {
        disk.write_at(edge.start, &edge.bytes)?;
        disk.settle()?;
        let mut written = vec![0; edge.bytes.len()];
        disk.read_at(edge.start, &mut written)?;
        if written != edge.bytes {
            // Half a table is worse than none; that this may fail, too, is no news.
            let _ = blank(&mut disk);
            return Err(lost(edge.start, edge.start + edge.bytes.len() as u64));
        }
    }
    Ok(())
}

/// What is kept back until all else is on the disk: zeros where nothing is mapped.
struct Edge {
    start: u64,
    bytes: Vec<u8>,
}

impl Edge {
    fn new(range: Range<u64>) -> Self {
        Self {
            start: range.start,
            bytes: vec![0; range.end.saturating_sub(range.start) as usize],
        }
    }

    /// The place of `len` bytes at byte `at` of the image, if they belong to one of `edges`.
    fn place(edges: &mut [Self], at: u64, len: usize) -> Option<&mut [u8]> {
        edges.iter_mut().find_map(|edge| {
            let from = at.checked_sub(edge.start)? as usize;
            edge.bytes.get_mut(from..from.checked_add(len)?)
        })
    }
}

/// Copies what is mapped: to the edges what belongs there, and to the disk all else.
fn copy(
    image: &mut Reader,
    map: &Bmap,
    edges: &mut [Edge],
    disk: &mut Disk<'_>,
    task: &dyn Task,
) -> Result<()> {
    let mut buf = vec![0; STEP];
    let mut unsettled = 0;
    for mapped in &map.ranges {
        let mut hasher = Sha256::new();
        let mut at = mapped.bytes.start;
        image.skip_to(at).or_error(ErrorKind::Failed, unreadable)?;
        while at < mapped.bytes.end {
            let part = &mut buf[..step(at, mapped.bytes.end)];
            image
                .read_exact(part)
                .or_error(ErrorKind::Failed, unreadable)?;
            hasher.update(&*part);
            if let Some(edge) = Edge::place(edges, at, part.len()) {
                edge.copy_from_slice(part);
            } else {
                disk.write_at(at, part)?;
                unsettled += part.len() as u64;
            }
            at += part.len() as u64;
            if unsettled >= UNSETTLED {
                disk.settle()?;
                unsettled = 0;
            }
            task.advance(part.len() as u64);
        }
        if hasher.finalize()[..] != mapped.sha256 {
            return Err(Error::bad_input(format!(
                "the image changed while it was written: its bytes {:#x} to {:#x} are not those of its \
                 block map",
                mapped.bytes.start, mapped.bytes.end
            ))
            .hint("nothing can start from the disk as it is; flash it again when the image is at rest"));
        }
    }
    Ok(())
}

/// Holds what is on the disk against the map; the edges are still in memory.
fn compare(map: &Bmap, edges: &mut [Edge], disk: &mut Disk<'_>, task: &dyn Task) -> Result<()> {
    let mut buf = vec![0; STEP];
    for mapped in &map.ranges {
        let mut hasher = Sha256::new();
        let mut at = mapped.bytes.start;
        while at < mapped.bytes.end {
            let part = &mut buf[..step(at, mapped.bytes.end)];
            if let Some(edge) = Edge::place(edges, at, part.len()) {
                part.copy_from_slice(edge);
            } else {
                disk.read_at(at, part)?;
            }
            hasher.update(&*part);
            at += part.len() as u64;
            task.advance(part.len() as u64);
        }
        if hasher.finalize()[..] != mapped.sha256 {
            return Err(lost(mapped.bytes.start, mapped.bytes.end));
        }
    }
    Ok(())
}

/// How far to go from `at` at once: to a whole mebibyte, so that no step crosses the border of an edge.
fn step(at: u64, end: u64) -> usize {
    let step = STEP as u64;
    ((at / step + 1) * step).min(end).saturating_sub(at) as usize
}

fn unreadable() -> String {
    "the image cannot be read to its end".to_owned()
}

fn lost(start: u64, end: u64) -> Error {
    Error::failed(format!(
        "the disk does not hold what was written: bytes {start:#x} to {end:#x} differ"
    ))
    .hint(
        "it is worn out, or smaller than it says: take another one. This one has no partition table \
         now, so nothing starts from it",
    )
}

/// A target whose errors say where they happened.
struct Disk<'a>(&'a mut dyn Target);

impl Disk<'_> {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.0
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.0.write_all(bytes))
            .map_err(|error| gone("written", at, error))
    }

    fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.0
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.0.read_exact(bytes))
            .map_err(|error| gone("read back", at, error))
    }

    fn settle(&mut self) -> Result<()> {
        self.0.settle().map_err(|error| {
            Error::failed("the disk did not take all that was written")
                .caused_by(error)
                .hint(AGAIN)
        })
    }

    fn blank(&mut self, range: Range<u64>) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        self.write_at(range.start, &vec![0; len as usize])
    }
}

const AGAIN: &str = "was it pulled out? Flash it again, or take another disk; this one has no \
                     partition table now, so nothing starts from it";

fn gone(done: &str, at: u64, error: io::Error) -> Error {
    Error::failed(format!("the disk cannot be {done} at byte {at:#x}"))
        .caused_by(error)
        .hint(AGAIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::progress::Silent;

    /// A disk in memory that can lose what is written to a place, or die after so many bytes.
    struct Stick {
        bytes: io::Cursor<Vec<u8>>,
        loses: Range<u64>,
        dies_after: u64,
        settled: u32,
    }

    impl Stick {
        fn of(len: u64) -> Self {
            Self {
                // What an earlier use left: nothing on it may be taken for something of ours.
                bytes: io::Cursor::new(vec![0xA5; len as usize]),
                loses: 0..0,
                dies_after: u64::MAX,
                settled: 0,
            }
        }

        fn range(&self, range: &Range<u64>) -> &[u8] {
            &self.bytes.get_ref()[range.start as usize..range.end as usize]
        }

        fn has_no_table(&self) -> bool {
            let len = self.bytes.get_ref().len() as u64;
            [0..EDGE, len - 33 * 512..len]
                .iter()
                .all(|part| self.range(part).iter().all(|&byte| byte == 0))
        }
    }

    impl Read for Stick {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.bytes.read(buf)
        }
    }

    impl Write for Stick {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let left = buf.len().min(self.dies_after as usize);
            if left == 0 {
                return Err(io::Error::from_raw_os_error(5));
            }
            self.dies_after -= left as u64;
            let at = self.bytes.position();
            if at < self.loses.end && self.loses.start < at + left as u64 {
                self.bytes.set_position(at + left as u64);
                return Ok(left);
            }
            self.bytes.write(&buf[..left])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Stick {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.bytes.seek(to)
        }
    }

    impl Target for Stick {
        fn settle(&mut self) -> io::Result<()> {
            self.settled += 1;
            Ok(())
        }
    }

    const LEN: u64 = 5 << 20;

    fn image(used: &[Range<u64>]) -> (tempfile::NamedTempFile, Bmap) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..LEN / 8)
            .flat_map(|word| (word | 1 << 63).to_le_bytes())
            .collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let map = Bmap::of(file.as_file(), used, &mut |_| ()).unwrap();
        (file, map)
    }

    fn flash(image: &tempfile::NamedTempFile, map: &Bmap, stick: &mut Stick) -> Result<()> {
        let len = stick.bytes.get_ref().len() as u64;
        let mut reader = Reader::open(image.path(), false).unwrap();
        write(&mut reader, map, stick, len, &Silent)
    }

    fn all() -> Vec<Range<u64>> {
        vec![0..20480, EDGE - 4096..EDGE + 4096, 3 << 20..LEN]
    }

    #[test]
    fn what_is_mapped_is_written_and_the_rest_left_alone() {
        let (image, map) = image(&all());
        let whole = std::fs::read(image.path()).unwrap();
        let mut stick = Stick::of(LEN + (4 << 20));
        flash(&image, &map, &mut stick).unwrap();
        for Range { start, end } in map.ranges.iter().map(|mapped| mapped.bytes.clone()) {
            let (start, end) = (start as usize, end as usize);
            assert!(
                stick.bytes.get_ref()[start..end] == whole[start..end],
                "{start:#x}"
            );
        }
        // Between the mapped ranges, and behind the image up to the disk's edge.
        for left in [EDGE + 4096..3 << 20, LEN..LEN + (3 << 20)] {
            assert!(
                stick.range(&left).iter().all(|&byte| byte == 0xA5),
                "{left:?}"
            );
        }
        let end = LEN + (4 << 20);
        assert!(
            stick
                .range(&(end - EDGE..end))
                .iter()
                .all(|&byte| byte == 0)
        );
    }

    #[test]
    fn a_lost_block_is_found_and_leaves_no_table() {
        for lost in [EDGE..EDGE + 1, LEN - 1..LEN] {
            let (image, map) = image(&all());
            let mut stick = Stick::of(LEN + (4 << 20));
            stick.loses = lost.clone();
            let error = flash(&image, &map, &mut stick).unwrap_err();
            assert!(error.to_string().contains("does not hold"), "{error}");
            assert!(stick.has_no_table(), "{lost:?}");
        }
        // The table itself.
        let (image, map) = image(&all());
        let mut stick = Stick::of(LEN + (4 << 20));
        stick.loses = 0..1;
        let error = flash(&image, &map, &mut stick).unwrap_err();
        assert!(error.to_string().contains("0x0 to 0x100000"), "{error}");
    }

    #[test]
    fn a_disk_hardly_longer_than_the_image_gets_its_second_table_last_too() {
        let (image, map) = image(std::slice::from_ref(&(0..LEN)));
        let whole = std::fs::read(image.path()).unwrap();
        for more in [0, 512, EDGE - 512, EDGE, EDGE + 512] {
            let mut stick = Stick::of(LEN + more);
            stick.loses = 2 << 20..(2 << 20) + 1;
            flash(&image, &map, &mut stick).unwrap_err();
            assert!(stick.has_no_table(), "{more}");
            stick.loses = 0..0;
            flash(&image, &map, &mut stick).unwrap();
            assert!(stick.range(&(0..LEN)) == whole, "{more}");
            assert!(stick.settled > 2);
        }
    }

    #[test]
    fn an_image_that_changes_meanwhile_leaves_no_table() {
        let (image, mut map) = image(&all());
        map.ranges[1].sha256[0] ^= 1;
        let mut stick = Stick::of(LEN + (4 << 20));
        let error = flash(&image, &map, &mut stick).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(stick.has_no_table());
    }

    #[test]
    fn steps_end_at_mebibytes() {
        assert_eq!(step(0, 5000), 5000);
        assert_eq!(step(EDGE - 4096, EDGE + 4096), 4096);
        assert_eq!(step(EDGE, 3 * EDGE), STEP);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Wherever the work ends before the table is begun, there is no table; a second try mends all.
        #[test]
        fn an_interrupted_write_has_no_table(
            starts in proptest::collection::btree_set(1u64..LEN / 4096 - 1, 0..12),
            at in 0.0..1.0f64,
        ) {
            let mut used: Vec<_> = starts.iter().map(|block| block * 4096..(block + 2) * 4096).collect();
            used.push(0..4096);
            let (image, map) = image(&used);
            let len = LEN + (4 << 20);
            let before_table: u64 = map
                .ranges
                .iter()
                .map(|mapped| mapped.bytes.end.max(EDGE) - mapped.bytes.start.max(EDGE))
                .sum();
            let mut stick = Stick::of(len);
            let blanks = 2 * EDGE;
            stick.dies_after = blanks + (before_table as f64 * at) as u64;
            prop_assert!(flash(&image, &map, &mut stick).is_err());
            prop_assert!(stick.has_no_table());
            stick.dies_after = u64::MAX;
            flash(&image, &map, &mut stick).unwrap();
            let whole = std::fs::read(image.path()).unwrap();
            for mapped in &map.ranges {
                let range = mapped.bytes.start as usize..mapped.bytes.end as usize;
                prop_assert!(stick.bytes.get_ref()[range.clone()] == whole[range]);
            }
        }
    }
}
