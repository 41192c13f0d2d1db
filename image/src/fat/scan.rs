//! Reading a volume that may have been through anything: other systems, power cuts, an attacker.
//!
//! One walk gives the tree and everything that is wrong. Nothing read decides how much is read:
//! each cluster is taken at most once, and so a walk ends and holds no more than the volume has.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use clawdie_tree::{Content, Meta, Node, Tree, TreePath};

use super::entry::{DELETED, DOT, DOT_DOT, END, Entry, LABEL, LEN, LONG, LongName};
use super::geometry::BootSector;
use super::name::{self, Short};
use super::write::MAX_DIR;
use super::{Label, Options, u32_at};
use crate::disk::{Fault, SECTOR};
use crate::{Error, Result};

mod upkeep;

/// Reads the files of the volume of `len` bytes at byte `offset` of `image`. Harmless damage is
/// passed over, as every system does: see [`check`].
///
/// # Errors
/// When a file or a directory cannot be read whole.
pub fn read(image: &File, offset: u64, len: u64) -> Result<Tree> {
    Ok(read_volume(image, offset, len)?.1)
}

/// As [`read`], with what is needed to write the same volume again.
///
/// # Errors
/// As [`read`].
pub fn read_volume(image: &File, offset: u64, len: u64) -> Result<(Options, Tree)> {
    let volume = Volume::open(image, offset, len).map_err(unreadable)?;
    let scan = volume.scan();
    match scan.faults.into_iter().find(|found| found.fatal) {
        Some(found) => Err(unreadable(found.fault)),
        None => Ok((scan.options, scan.tree)),
    }
}

/// Looks for damage: in the boot sectors, the tables, every chain and every directory. What it
/// cannot see is a change that gives another valid volume, such as a byte of a file: that takes
/// [`super::compare`] or the build manifest.
///
/// # Errors
/// When the image cannot be read.
pub fn check(image: &File, offset: u64, len: u64) -> Result<Vec<Fault>> {
    image.read_exact_at(&mut [0], offset)?;
    match Volume::open(image, offset, len) {
        Err(fault) => Ok(vec![fault]),
        Ok(volume) => {
            let mut faults = volume.scan().faults;
            faults.sort_by_key(|found| found.fault.at);
            Ok(faults.into_iter().map(|found| found.fault).collect())
        }
    }
}

pub(super) fn unreadable(fault: Fault) -> Error {
    Error::bad_input(format!("the FAT volume cannot be read: {fault}"))
        .hint("a computer can repair it (`fsck.vfat`, `chkdsk`); or write the image again")
}

/// A volume whose boot sector makes sense, and its table.
pub(super) struct Volume<'a> {
    pub(super) image: &'a File,
    pub(super) offset: u64,
    pub(super) boot: BootSector,
    pub(super) table: Vec<u8>,
}

/// A fault, and whether something cannot be read because of it.
pub(super) struct Found {
    pub(super) fault: Fault,
    pub(super) fatal: bool,
}

/// What a walk found.
pub(super) struct Scan {
    pub(super) options: Options,
    pub(super) tree: Tree,
    pub(super) faults: Vec<Found>,
    /// The clusters of each node, in order.
    pub(super) chains: HashMap<TreePath, Vec<u32>>,
    /// Which clusters belong to a chain.
    pub(super) used: Vec<bool>,
    /// The entries of the root directory.
    pub(super) root: Vec<Listed>,
}

/// An entry in its directory.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) entry: Entry,
    /// Number of the entry with the short name.
    pub(super) index: usize,
}

impl<'a> Volume<'a> {
    pub(super) fn open(image: &'a File, offset: u64, len: u64) -> Result<Self, Fault> {
        let unreadable =
            |at: u64, error: std::io::Error| Fault::new(at, "FAT32", error.to_string());
        let mut sector = [0; SECTOR as usize];
        image
            .read_exact_at(&mut sector, offset)
            .map_err(|error| unreadable(offset, error))?;
        let boot = BootSector::decode(&sector, len)
            .map_err(|(byte, what)| Fault::new(offset + byte, "FAT32 boot sector", what))?;
        let at = offset + boot.geometry.fat_at(boot.only_fat.unwrap_or(0));
        // Not longer than the volume: `decode` has checked that.
        let mut table = vec![0; (boot.geometry.clusters as usize + 2) * 4];
        image
            .read_exact_at(&mut table, at)
            .map_err(|error| unreadable(at, error))?;
        Ok(Self {
            image,
            offset,
            boot,
            table,
        })
    }

    /// What the table says of a cluster.
    pub(super) fn next(&self, cluster: u32) -> u32 {
        u32_at(&self.table, cluster as usize * 4) & 0x0FFF_FFFF
    }

    /// Byte of the image at which the table speaks of a cluster.
    pub(super) fn table_at(&self, cluster: u32) -> u64 {
        let table = self.boot.geometry.fat_at(self.boot.only_fat.unwrap_or(0));
        self.offset + table + u64::from(cluster) * 4
    }

    /// Byte of the image at which a cluster starts.
    pub(super) fn cluster_at(&self, cluster: u32) -> u64 {
        self.offset + self.boot.geometry.cluster_at(cluster)
    }

    /// The bytes of clusters, in as few reads as possible.
    fn clusters(&self, chain: &[u32]) -> std::io::Result<Vec<u8>> {
        let len = self.boot.geometry.cluster_len() as usize;
        let mut bytes = vec![0; chain.len() * len];
        let mut rest = bytes.as_mut_slice();
        for run in chain.chunk_by(|a, b| a + 1 == *b) {
            let (part, after) = rest.split_at_mut(run.len() * len);
            self.image.read_exact_at(part, self.cluster_at(run[0]))?;
            rest = after;
        }
        Ok(bytes)
    }

    pub(super) fn scan(&self) -> Scan {
        Walk::new(self).run()
    }
}

/// A walk through a volume.
struct Walk<'a> {
    volume: &'a Volume<'a>,
    scan: Scan,
    label: Option<Entry>,
}

impl<'a> Walk<'a> {
    fn new(volume: &'a Volume<'a>) -> Self {
        let boot = &volume.boot;
        let options = Options {
            label: boot.label.clone(),
            volume_id: boot.volume_id,
            len: u64::from(boot.geometry.sectors) * SECTOR,
            epoch: 0,
            hidden_sectors: boot.hidden_sectors,
        };
        Self {
            volume,
            label: None,
            scan: Scan {
                options,
                tree: Tree::new(Meta::root(0o755, 0)),
                faults: Vec::new(),
                chains: HashMap::new(),
                used: vec![false; boot.geometry.clusters as usize + 2],
                root: Vec::new(),
            },
        }
    }

    fn run(mut self) -> Scan {
        let mut dirs = vec![(TreePath::root(), self.volume.boot.root_cluster, 0)];
        while let Some((path, first, above)) = dirs.pop() {
            let listed = self.directory(&path, first, above);
            let own = if path.is_root() { 0 } else { first };
            for item in &listed {
                self.item(&path, item, own, &mut dirs);
            }
            if path.is_root() {
                self.scan.root = listed;
            }
        }
        let epoch = self
            .label
            .as_ref()
            .map_or(0, |label| label.modified.to_unix());
        self.scan.options.epoch = epoch;
        if let Some(root) = self.scan.tree.meta_mut(&TreePath::root()) {
            root.mtime = epoch;
        }
        self.boot_sectors();
        self.tables();
        self.scan
    }

    fn note(&mut self, at: u64, place: impl Into<String>, what: impl Into<String>, fatal: bool) {
        let fault = Fault::new(at, place, what);
        self.scan.faults.push(Found { fault, fatal });
    }

    /// Follows a chain and marks its clusters as used. `most` is how long it may become.
    fn chain(&mut self, path: &TreePath, first: u32, most: u64) -> Vec<u32> {
        let mut chain = Vec::new();
        let mut cluster = first;
        loop {
            let from = chain.last().map_or(first, |&last| last);
            let at = self.volume.table_at(from);
            let what = if !self.volume.boot.geometry.has(cluster) {
                match cluster {
                    0x0FFF_FFF8.. if !chain.is_empty() => return chain,
                    0 => "its chain runs into a free cluster".to_owned(),
                    0x0FFF_FFF7 => "its chain runs into a bad cluster".to_owned(),
                    other => format!("its chain runs to cluster {other:#x}, outside the volume"),
                }
            } else if self.scan.used[cluster as usize] {
                format!("its cluster {cluster} belongs to another file, or its chain is a ring")
            } else if chain.len() as u64 >= most {
                "its chain is longer than the file".to_owned()
            } else {
                self.scan.used[cluster as usize] = true;
                chain.push(cluster);
                cluster = self.volume.next(cluster);
                continue;
            };
            self.note(at, format!("FAT32 table, chain of `{path}`"), what, true);
            return chain;
        }
    }

    fn directory(&mut self, path: &TreePath, first: u32, above: u32) -> Vec<Listed> {
        let most = MAX_DIR / self.volume.boot.geometry.cluster_len();
        let chain = self.chain(path, first, most.max(1));
        let place = format!("FAT32 directory `{path}`");
        let bytes = match self.volume.clusters(&chain) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.note(
                    self.volume.cluster_at(first),
                    place,
                    error.to_string(),
                    true,
                );
                return Vec::new();
            }
        };
        self.scan.chains.insert(path.clone(), chain.clone());
        let per_cluster = self.volume.boot.geometry.cluster_len() as usize / LEN;
        let volume = self.volume;
        let at = |index: usize| {
            volume.cluster_at(chain[index / per_cluster]) + ((index % per_cluster) * LEN) as u64
        };
        let mut listed = Vec::new();
        let mut long = LongName::default();
        for (index, bytes) in bytes.chunks_exact(LEN).enumerate() {
            match bytes[0] {
                END => break,
                DELETED => {
                    if long.is_started() {
                        self.note(at(index), &place, "a long name without its file", false);
                    }
                    long = LongName::default();
                    continue;
                }
                _ => {}
            }
            if bytes[11] & 0x3F == LONG {
                if !long.push(bytes) {
                    self.note(at(index), &place, "a long name out of order", false);
                }
                continue;
            }
            let entry = Entry::decode(bytes);
            let units = long.finish(&entry.name).unwrap_or_else(|()| {
                self.note(
                    at(index),
                    &place,
                    "the long name belongs to another file",
                    false,
                );
                None
            });
            if entry.attributes & 0xC0 != 0 {
                self.note(
                    at(index) + 11,
                    &place,
                    "attributes that do not exist",
                    false,
                );
            }
            if entry.attributes & LABEL != 0 {
                self.volume_label(path, entry, at(index));
                continue;
            }
            if !path.is_root() && (entry.name == DOT || entry.name == DOT_DOT) {
                let wanted = if entry.name == DOT { first } else { above };
                if entry.cluster != wanted || !entry.is_dir() || index > 1 {
                    self.note(at(index), &place, "`.` or `..` points elsewhere", false);
                }
                continue;
            }
            match self.name(units, &entry) {
                Ok(name) => listed.push(Listed { name, entry, index }),
                Err(why) => self.note(at(index), &place, format!("a name {why}"), true),
            }
        }
        listed
    }

    fn name(&self, units: Option<Vec<u16>>, entry: &Entry) -> Result<String, &'static str> {
        let name = match units {
            Some(units) => String::from_utf16(&units).map_err(|_| "is not UTF-16")?,
            None => name::display(&entry.name, entry.case),
        };
        name::long(name.as_bytes()).map(|_| name)
    }

    fn volume_label(&mut self, path: &TreePath, entry: Entry, at: u64) {
        if !path.is_root() || self.label.is_some() {
            self.note(
                at,
                format!("FAT32 directory `{path}`"),
                "a second volume label",
                false,
            );
            return;
        }
        let (here, there) = (Label(entry.name), &self.scan.options.label);
        if here != *there {
            let what = format!(
                "it is `{}`, but `{}` in the boot sector",
                here.name(),
                there.name()
            );
            self.note(at, "FAT32 volume label", what, false);
            // Systems change the one in the root directory, and show it.
            self.scan.options.label = here;
        }
        self.label = Some(entry);
    }

    fn item(
        &mut self,
        dir: &TreePath,
        item: &Listed,
        above: u32,
        dirs: &mut Vec<(TreePath, u32, u32)>,
    ) {
        let entry = &item.entry;
        let at = self.entry_at(dir, item.index);
        let path = match dir.join(&item.name) {
            Ok(path) => path,
            Err(error) => {
                return self.note(
                    at,
                    format!("FAT32 directory `{dir}`"),
                    error.to_string(),
                    true,
                );
            }
        };
        let place = format!("FAT32 entry of `{path}`");
        if self.scan.tree.get(&path).is_some() {
            return self.note(at, place, "the name exists twice", true);
        }
        let mtime = entry.modified.to_unix();
        let node = if entry.is_dir() {
            if entry.size != 0 {
                self.note(at + 28, &place, "a directory with a size", false);
            }
            if !self.volume.boot.geometry.has(entry.cluster) {
                return self.note(at + 20, place, "a directory without a cluster", true);
            }
            dirs.push((path.clone(), entry.cluster, above));
            Node::dir(Meta::root(0o755, mtime))
        } else {
            let Some(content) = self.content(&path, entry, at, &place) else {
                return;
            };
            Node::file(content, Meta::root(0o644, mtime))
        };
        if let Err(error) = self.scan.tree.insert(path, node) {
            self.note(at, place, error.to_string(), true);
        }
    }

    fn content(&mut self, path: &TreePath, entry: &Entry, at: u64, place: &str) -> Option<Content> {
        let size = u64::from(entry.size);
        let wanted = self.volume.boot.geometry.clusters_for(size);
        if size == 0 {
            if entry.cluster != 0 {
                self.note(at + 20, place, "an empty file with a cluster", false);
            }
            return Some(Content::bytes([]));
        }
        let chain = self.chain(path, entry.cluster, wanted);
        if (chain.len() as u64) < wanted {
            let what = format!(
                "{size} bytes long, but its chain holds {} clusters",
                chain.len()
            );
            self.note(at + 28, place, what, true);
            return None;
        }
        match self.volume.clusters(&chain) {
            Ok(mut bytes) => {
                bytes.truncate(size as usize);
                self.scan.chains.insert(path.clone(), chain);
                Some(Content::bytes(bytes))
            }
            Err(error) => {
                self.note(at, place, error.to_string(), true);
                None
            }
        }
    }

    fn entry_at(&self, dir: &TreePath, index: usize) -> u64 {
        let per_cluster = self.volume.boot.geometry.cluster_len() as usize / LEN;
        self.scan.chains[dir]
            .get(index / per_cluster)
            .map_or(0, |&cluster| self.volume.cluster_at(cluster))
            + ((index % per_cluster) * LEN) as u64
    }
}

/// Whether a listed entry goes by `name`, long or short, in any case.
pub(super) fn goes_by(listed: &Listed, name: &str) -> bool {
    let folded = name::folded(name);
    name::folded(&listed.name) == folded || name::display(&listed.entry.name, 0) == folded
}

/// The short names of a directory.
pub(super) fn short_names(listed: &[Listed]) -> impl Iterator<Item = Short> + '_ {
    listed.iter().map(|item| item.entry.name)
}
