//! One file in the root of a finished volume.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{SystemTime, UNIX_EPOCH};

use clawdie_tree::TreePath;

use super::entry::{ARCHIVE, DELETED, END, Entry, LEN, long_entries};
use super::name::{self, ShortNames};
use super::scan::{Scan, Volume, goes_by, short_names, unreadable};
use super::time::DosTime;
use super::write::{END_OF_CHAIN, MAX_DIR};
use super::{put, u32_at};
use crate::disk::SECTOR;
use crate::{Error, Result};

/// Puts `bytes` into the root of the volume of `len` bytes at byte `offset` of `image` as `name`,
/// in place of a file of that name (in any case) if there is one, with the time of now. Other files
/// are not touched.
///
/// The image may be cut off at any moment: data are written first, then both tables, then the one
/// directory entry that turns from the old file to the new, and only then is the old one's space
/// given back. What a cut can leave is lost clusters, never half a file.
///
/// # Errors
/// When the volume is damaged or full, the name is not one for FAT or that of a directory, or the
/// image cannot be written.
pub fn replace(image: &File, offset: u64, len: u64, name: &str, bytes: &[u8]) -> Result<()> {
    // A clock before 1970 is as good as none.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let modified = DosTime::from_unix(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let mut volume = Volume::open(image, offset, len).map_err(unreadable)?;
    let scan = volume.scan();
    if let Some(at) = scan.faults.iter().position(|found| found.fatal) {
        let fault = scan.faults[at].fault.clone();
        return Err(unreadable(fault));
    }
    let units = name::long(name.as_bytes())
        .map_err(|why| Error::bad_input(format!("`{name}` cannot be a file on FAT: it {why}")))?;
    let size = u32::try_from(bytes.len())
        .map_err(|_| Error::bad_input(format!("`{name}` is too long for FAT")))?;
    let old = scan.root.iter().find(|listed| goes_by(listed, name));
    if old.is_some_and(|old| old.entry.is_dir()) {
        return Err(Error::bad_input(format!(
            "`{name}` is a directory on the FAT volume"
        )));
    }

    let mut writer = Writer::new(&mut volume, &scan);
    let slots = match old {
        Some(_) => None,
        None => Some(Slots::find(&writer, &scan, name, &units)?),
    };
    // The room for the file and, if need be, for a longer root directory; all of it or nothing.
    let data = writer.volume.boot.geometry.clusters_for(bytes.len() as u64);
    let more = slots.as_ref().map_or(0, |slots| slots.more_clusters);
    let mut clusters = writer.allocate(data + more)?;
    let directory = clusters.split_off(data as usize);

    writer.fill(&clusters, bytes)?;
    writer.fill(&directory, &[])?;
    image.sync_data()?;
    writer.link(&clusters);
    writer.link(&directory);
    writer.write_table()?;
    image.sync_data()?;

    let cluster = clusters.first().copied().unwrap_or(0);
    match (old, slots) {
        (Some(old), _) => {
            let entry = Entry {
                modified,
                cluster,
                size,
                ..old.entry.clone()
            };
            // One entry never crosses a sector, so it is the old one or the new one.
            writer.write_entry(&writer.root.clone(), old.index, &entry.encode())?;
            image.sync_data()?;
            if let Some(chain) = TreePath::new(&old.name)
                .ok()
                .and_then(|at| scan.chains.get(&at))
            {
                writer.free(chain);
                writer.write_table()?;
            }
        }
        (None, Some(slots)) => {
            let entry = Entry {
                name: slots.short,
                attributes: ARCHIVE,
                case: 0,
                modified,
                cluster,
                size,
            };
            if let (Some(&last), Some(&first)) = (writer.root.last(), directory.first()) {
                writer.set(last, first);
                writer.write_table()?;
                image.sync_data()?;
            }
            let root: Vec<u32> = writer.root.iter().chain(&directory).copied().collect();
            if let Some(end) = slots.end {
                writer.write_entry(&root, end, &[END; LEN])?;
                image.sync_data()?;
            }
            // Long entries alone are passed over by everyone; the short one makes it a file.
            let mut at = slots.first;
            for long in &slots.long {
                writer.write_entry(&root, at, long)?;
                at += 1;
            }
            image.sync_data()?;
            writer.write_entry(&root, at, &entry.encode())?;
        }
        (None, None) => {}
    }
    writer.write_fsinfo()?;
    image.sync_all()?;
    Ok(())
}

/// Where a new entry goes.
struct Slots {
    short: name::Short,
    long: Vec<[u8; LEN]>,
    first: usize,
    /// By how many clusters the root directory must grow.
    more_clusters: u64,
    /// An entry behind these that must be made the end: what follows an end may be garbage.
    end: Option<usize>,
}

impl Slots {
    fn find(writer: &Writer<'_, '_>, scan: &Scan, name: &str, units: &[u16]) -> Result<Self> {
        let mut shorts = ShortNames::default();
        short_names(&scan.root).for_each(|short| shorts.take(short));
        let (short, needs_long) = shorts.add(name);
        let long = if needs_long {
            long_entries(units, &short)
        } else {
            Vec::new()
        };
        let needed = long.len() + 1;
        let per_cluster = writer.per_cluster();
        let total = writer.root.len() * per_cluster;
        // A run of deleted entries, or what comes after the last.
        let mut run = 0;
        let mut ended = false;
        for index in 0..total {
            let first_byte = writer.first_byte(index)?;
            ended |= first_byte == END;
            run = if ended || first_byte == DELETED {
                run + 1
            } else {
                0
            };
            if run == needed {
                return Ok(Self {
                    short,
                    long,
                    first: index + 1 - needed,
                    more_clusters: 0,
                    end: Some(index + 1).filter(|&next| ended && next < total),
                });
            }
        }
        let more_clusters = (needed - run).div_ceil(per_cluster) as u64;
        let longer = (writer.root.len() as u64 + more_clusters) * (per_cluster * LEN) as u64;
        if longer > MAX_DIR {
            return Err(
                Error::failed("the root directory of the FAT volume is full")
                    .hint("delete files from it"),
            );
        }
        Ok(Self {
            short,
            long,
            first: total - run,
            more_clusters,
            end: None,
        })
    }
}

/// Writes to a volume, both tables at once.
struct Writer<'v, 'i> {
    volume: &'v mut Volume<'i>,
    /// The clusters of the root directory.
    root: Vec<u32>,
    /// Clusters whose entry in the table was changed and not yet written.
    changed: Vec<u32>,
}

impl<'v, 'i> Writer<'v, 'i> {
    fn new(volume: &'v mut Volume<'i>, scan: &Scan) -> Self {
        let root = scan
            .chains
            .get(&TreePath::root())
            .cloned()
            .unwrap_or_default();
        Self {
            volume,
            root,
            changed: Vec::new(),
        }
    }

    fn per_cluster(&self) -> usize {
        self.volume.boot.geometry.cluster_len() as usize / LEN
    }

    fn entry_at(&self, root: &[u32], index: usize) -> u64 {
        let per_cluster = self.per_cluster();
        self.volume.cluster_at(root[index / per_cluster]) + ((index % per_cluster) * LEN) as u64
    }

    fn first_byte(&self, index: usize) -> Result<u8> {
        let mut byte = [0];
        self.volume
            .image
            .read_exact_at(&mut byte, self.entry_at(&self.root, index))?;
        Ok(byte[0])
    }

    fn write_entry(&self, root: &[u32], index: usize, entry: &[u8; LEN]) -> Result<()> {
        self.put_at(entry, self.entry_at(root, index))
    }

    /// The one place that writes, so that a test can cut it off after any of them.
    fn put_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        #[cfg(test)]
        tests::count_or_cut()?;
        Ok(self.volume.image.write_all_at(bytes, at)?)
    }

    /// Finds free clusters, one run if there is one.
    fn allocate(&self, count: u64) -> Result<Vec<u32>> {
        let all = 2..self.volume.boot.geometry.clusters + 2;
        let free: Vec<u32> = all
            .filter(|&cluster| self.volume.next(cluster) == 0)
            .collect();
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        if free.len() < wanted {
            let kib =
                |clusters: u64| (clusters * self.volume.boot.geometry.cluster_len()).div_ceil(1024);
            return Err(Error::failed(format!(
                "the FAT volume is full: {} KiB are needed and {} KiB are free",
                kib(count),
                kib(free.len() as u64)
            ))
            .hint("delete files from it"));
        }
        let run = free
            .chunk_by(|a, b| a + 1 == *b)
            .find(|run| run.len() >= wanted);
        Ok(run.unwrap_or(&free)[..wanted].to_vec())
    }

    /// Writes `bytes` into clusters, and zeros after them.
    fn fill(&self, clusters: &[u32], bytes: &[u8]) -> Result<()> {
        let len = self.volume.boot.geometry.cluster_len() as usize;
        let mut padded = bytes.to_vec();
        padded.resize(clusters.len() * len, 0);
        let mut rest = padded.as_slice();
        for run in clusters.chunk_by(|a, b| a + 1 == *b) {
            let (part, after) = rest.split_at(run.len() * len);
            self.put_at(part, self.volume.cluster_at(run[0]))?;
            rest = after;
        }
        Ok(())
    }

    fn set(&mut self, cluster: u32, next: u32) {
        let at = cluster as usize * 4;
        // The upper four bits are reserved and stay.
        let kept = u32_at(&self.volume.table, at) & 0xF000_0000;
        put(&mut self.volume.table, at, &(kept | next).to_le_bytes());
        self.changed.push(cluster);
    }

    fn link(&mut self, clusters: &[u32]) {
        for (at, &cluster) in clusters.iter().enumerate() {
            self.set(
                cluster,
                clusters.get(at + 1).copied().unwrap_or(END_OF_CHAIN),
            );
        }
    }

    fn free(&mut self, clusters: &[u32]) {
        clusters.iter().for_each(|&cluster| self.set(cluster, 0));
    }

    /// Writes the changed sectors of the table into every copy in use.
    fn write_table(&mut self) -> Result<()> {
        let geometry = self.volume.boot.geometry;
        let mut sectors: Vec<u32> = self
            .changed
            .drain(..)
            .map(|cluster| cluster / 128)
            .collect();
        sectors.sort_unstable();
        sectors.dedup();
        let tables = match self.volume.boot.only_fat {
            Some(number) => number..number + 1,
            None => 0..geometry.fats,
        };
        for number in tables {
            for &sector in &sectors {
                let at = sector as usize * SECTOR as usize;
                let end = (at + SECTOR as usize).min(self.volume.table.len());
                let place = self.volume.offset + geometry.fat_at(number) + at as u64;
                self.put_at(&self.volume.table[at..end], place)?;
            }
        }
        Ok(())
    }

    fn write_fsinfo(&self) -> Result<()> {
        let all = 2..self.volume.boot.geometry.clusters + 2;
        let free: Vec<u32> = all
            .filter(|&cluster| self.volume.next(cluster) == 0)
            .collect();
        let at = self.volume.offset + u64::from(self.volume.boot.fsinfo) * SECTOR;
        let mut counts = [0; 8];
        put(&mut counts, 0, &(free.len() as u32).to_le_bytes());
        put(
            &mut counts,
            4,
            &free.first().copied().unwrap_or(u32::MAX).to_le_bytes(),
        );
        self.put_at(&counts, at + 488)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use clawdie_tree::{Meta, Tree};

    use super::super::tests::{fsck, options, seed, volume};
    use super::super::{check, read};
    use super::*;

    thread_local! {
        /// How many more writes succeed; `None` for all.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    pub(super) fn count_or_cut() -> Result<()> {
        match LEFT.get() {
            Some(0) => Err(Error::failed("cut")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn file(tree: &Tree, name: &str) -> Option<Vec<u8>> {
        let node = tree.get(&TreePath::new(name).unwrap())?;
        Some(node.content().unwrap().read().unwrap())
    }

    fn files(image: &File) -> Tree {
        read(image, 0, options().len).unwrap()
    }

    fn put_file(image: &File, name: &str, bytes: &[u8]) -> Result<()> {
        replace(image, 0, options().len, name, bytes)
    }

    #[test]
    fn a_file_is_replaced_or_added_and_others_stay() {
        let image = volume(&seed(), &options());
        let before = files(image.as_file());
        for (name, bytes) in [
            ("setup.txt", vec![b'a'; 100_000]),   // longer than before
            ("SETUP.TXT", b"short\r\n".to_vec()), // same file, whatever the case
            ("setup.txt", Vec::new()),
            ("setup.txt", b"back\r\n".to_vec()),
            ("RESULT.txt", b"added".to_vec()),
            ("a name that needs three entries.txt", b"added too".to_vec()),
        ] {
            put_file(image.as_file(), name, &bytes).unwrap();
            let spelt = if name == "SETUP.TXT" {
                "setup.txt"
            } else {
                name
            };
            assert_eq!(file(&files(image.as_file()), spelt), Some(bytes), "{name}");
            assert_eq!(
                check(image.as_file(), 0, options().len).unwrap(),
                [],
                "{name}"
            );
            fsck(image.path());
        }
        let after = files(image.as_file());
        assert_eq!(after.len(), before.len() + 2);
        for (path, node) in before
            .iter()
            .filter(|(path, _)| path.as_bytes() != b"setup.txt")
        {
            assert_eq!(after.get(path), Some(node), "{path}");
        }
        let setup = after.get(&TreePath::new("setup.txt").unwrap()).unwrap();
        assert!(setup.meta.mtime > options().epoch, "the time of now");
    }

    #[test]
    fn the_root_directory_grows() {
        let image = volume(&Tree::new(Meta::root(0o755, 0)), &options());
        for number in 0..60 {
            let name = format!("a file with a long name, number {number}");
            put_file(image.as_file(), &name, name.as_bytes()).unwrap();
        }
        assert_eq!(files(image.as_file()).len(), 61);
        assert_eq!(check(image.as_file(), 0, options().len).unwrap(), []);
        fsck(image.path());
    }

    #[test]
    fn a_full_volume_says_so_and_stays_as_it_was() {
        let image = volume(&seed(), &options());
        let before = std::fs::read(image.path()).unwrap();
        let error = put_file(image.as_file(), "big", &vec![1; 40 << 20]).unwrap_err();
        assert!(
            error.to_string().contains("full: 40960 KiB are needed"),
            "{error}"
        );
        assert!(
            put_file(image.as_file(), "sub", b"").is_err(),
            "a directory"
        );
        assert!(put_file(image.as_file(), "a/b", b"").is_err());
        assert!(std::fs::read(image.path()).unwrap() == before);
    }

    /// What the image holds after any number of writes is the old file or the new one.
    #[test]
    fn a_cut_leaves_the_old_file_or_the_new_one() {
        // A root directory of exactly one cluster, so that adding makes it grow.
        let mut full = seed();
        for number in 0..5 {
            let path = TreePath::new(format!("F{number}")).unwrap();
            let node = full
                .get(&TreePath::new("setup.txt").unwrap())
                .unwrap()
                .clone();
            full.insert(path, node).unwrap();
        }
        for (name, bytes) in [
            ("setup.txt", vec![b'n'; 3000]),
            ("new file.txt", vec![b'n'; 700]),
        ] {
            let old = file(&full, name);
            let mut cut = 0;
            loop {
                let image = volume(&full, &options());
                LEFT.set(Some(cut));
                let done = put_file(image.as_file(), name, &bytes);
                LEFT.set(None);
                let found = file(&files(image.as_file()), name);
                assert!(
                    found == old || found.as_ref() == Some(&bytes),
                    "{name} cut after {cut}"
                );
                // And the next one has no trouble with what was left.
                put_file(image.as_file(), name, b"again").unwrap();
                assert_eq!(file(&files(image.as_file()), name), Some(b"again".to_vec()));
                if done.is_ok() {
                    assert!(found == Some(bytes), "{name}");
                    break;
                }
                cut += 1;
            }
            assert!(cut > 5, "{name}: only {cut} writes");
        }
    }
}
