//! A volume from a tree, in one go.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use clawdie_tree::{Content, Kind, Node, Tree, TreePath};

use super::entry::{ARCHIVE, DIRECTORY, DOT, DOT_DOT, Entry, LABEL, LEN, long_entries};
use super::geometry::{BACKUP_SECTOR, BootSector, FSINFO_SECTOR, ROOT_CLUSTER, fsinfo};
use super::name::{self, ShortNames};
use super::time::DosTime;
use super::{Options, put};
use crate::disk::SECTOR;
use crate::{Error, ErrorKind, Result, ResultExt};

/// A directory cannot be longer, in bytes: 65536 entries.
pub(super) const MAX_DIR: u64 = 65536 * LEN as u64;
/// The end of a chain.
pub(super) const END_OF_CHAIN: u32 = 0x0FFF_FFFF;
/// How much of a file is copied at a time, and the least run of zeros that is left a hole.
const COPY: usize = 1 << 20;
const HOLE: usize = 4096;

/// Writes a volume with the files of `tree` into `out` from byte `offset` on, where `out` must hold
/// zeros: clusters and pages that are all zero are left alone, so that a sparse file stays sparse.
/// Times are those of the tree, but none later than `options.epoch`; owners, modes, flags and
/// extended attributes are not kept. Equal inputs give equal bytes.
///
/// Returns the bytes of `out` that mean something (the rest of the volume is free), for the block map.
///
/// # Errors
/// When the tree holds what FAT cannot (links, devices, names, 4 GiB files), does not fit, or a file
/// cannot be read or written.
pub fn write(tree: &Tree, options: &Options, out: &File, offset: u64) -> Result<Range<u64>> {
    let boot = BootSector::new(options)?;
    let geometry = boot.geometry;
    let layout = Layout::new(tree, &boot)?;
    let write = |bytes: &[u8], at: u64| write_sparse(out, bytes, offset + at);

    for (first, boot_sector) in [(0, boot.encode()), (BACKUP_SECTOR, boot.encode())] {
        let at = u64::from(first) * SECTOR;
        write(&boot_sector, at)?;
        let free = geometry.clusters + 2 - layout.next;
        let next = if free == 0 { u32::MAX } else { layout.next };
        write(&fsinfo(free, next), at + u64::from(FSINFO_SECTOR) * SECTOR)?;
        // The third sector of boot code, which is empty but for its signature.
        write(&[0x55, 0xAA], at + 2 * SECTOR + 510)?;
    }

    let mut table = vec![0; layout.next as usize * 4];
    put(&mut table, 0, &0x0FFF_FFF8u32.to_le_bytes());
    put(&mut table, 4, &END_OF_CHAIN.to_le_bytes());
    for run in layout.runs.values().filter(|run| run.count > 0) {
        let last = run.first + run.count - 1;
        for cluster in run.first..=last {
            let next = if cluster == last {
                END_OF_CHAIN
            } else {
                cluster + 1
            };
            put(&mut table, cluster as usize * 4, &next.to_le_bytes());
        }
    }
    for number in 0..geometry.fats {
        write(&table, geometry.fat_at(number))?;
    }

    for (path, node) in tree.iter() {
        let run = layout.runs[path];
        if run.count == 0 {
            continue;
        }
        let at = geometry.cluster_at(run.first);
        match &node.kind {
            Kind::File { content, .. } => copy(path, content, out, offset + at)?,
            _ => write(&layout.directory(tree, path, node, options), at)?,
        }
    }
    Ok(offset..offset + geometry.cluster_at(layout.next))
}

/// Clusters that follow one another.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    count: u32,
}

/// Which clusters each node gets, and the names in each directory.
struct Layout {
    runs: BTreeMap<TreePath, Run>,
    /// What the entries of each directory are called: short name, and long name if it needs one.
    names: HashMap<TreePath, Vec<(TreePath, name::Short, Vec<u16>)>>,
    /// The first free cluster.
    next: u32,
}

impl Layout {
    fn new(tree: &Tree, boot: &BootSector) -> Result<Self> {
        let geometry = boot.geometry;
        let mut layout = Self {
            runs: BTreeMap::new(),
            names: HashMap::new(),
            next: ROOT_CLUSTER,
        };
        let mut next = u64::from(ROOT_CLUSTER);
        for (path, node) in tree.iter() {
            let refuse = |what: &str| {
                Err(Error::bad_input(format!(
                    "FAT cannot hold `{path}`: {what}"
                )))
            };
            let bytes = match &node.kind {
                Kind::Dir => {
                    let names = names(tree, path)?;
                    let entries: usize = names
                        .iter()
                        .map(|(_, short, units)| 1 + long_entries(units, short).len())
                        .sum();
                    // The label in the root, `.` and `..` in others.
                    let bytes = (entries + if path.is_root() { 1 } else { 2 }) * LEN;
                    if bytes as u64 > MAX_DIR {
                        return refuse("too many entries in one directory");
                    }
                    layout.names.insert(path.clone(), names);
                    bytes as u64
                }
                Kind::File { content, .. } if content.len() > u64::from(u32::MAX) => {
                    return refuse("a file ends at 4 GiB");
                }
                Kind::File { content, .. } => content.len(),
                Kind::Symlink(_) => return refuse("it is a symbolic link"),
                Kind::CharDevice { .. } | Kind::BlockDevice { .. } => {
                    return refuse("it is a device");
                }
                Kind::Fifo => return refuse("it is a pipe"),
            };
            let count = geometry.clusters_for(bytes);
            if next + count > u64::from(geometry.clusters) + 2 {
                return Err(Error::bad_input(format!(
                    "the FAT volume of {} MiB is full at `{path}`",
                    (u64::from(geometry.sectors) * SECTOR) >> 20
                ))
                .hint("give the partition a larger `size` in the recipe"));
            }
            // Both fit: they are at most the number of clusters.
            let first = if count == 0 { 0 } else { next as u32 };
            let run = Run {
                first,
                count: count as u32,
            };
            layout.runs.insert(path.clone(), run);
            next += count;
        }
        layout.next = next as u32;
        Ok(layout)
    }

    fn directory(&self, tree: &Tree, path: &TreePath, node: &Node, options: &Options) -> Vec<u8> {
        let time = |mtime: i64| DosTime::from_unix(mtime.min(options.epoch));
        let entry = |name, attributes, node: &Node, cluster| Entry {
            name,
            attributes,
            case: 0,
            modified: time(node.meta.mtime),
            cluster,
            size: node.content().map_or(0, |content| content.len() as u32),
        };
        let mut bytes = Vec::new();
        if path.is_root() {
            let label = Entry {
                modified: time(options.epoch),
                ..entry(options.label.0, LABEL, node, 0)
            };
            bytes.extend(label.encode());
        } else {
            let own = self.runs[path].first;
            // The root is cluster 0 here, wherever it lies.
            let above = path
                .parent()
                .filter(|above| !above.is_root())
                .map_or(0, |above| self.runs[&above].first);
            bytes.extend(entry(DOT, DIRECTORY, node, own).encode());
            bytes.extend(entry(DOT_DOT, DIRECTORY, node, above).encode());
        }
        for (path, short, units) in &self.names[path] {
            let Some(node) = tree.get(path) else { continue };
            bytes.extend(long_entries(units, short).concat());
            let attributes = if node.is_dir() { DIRECTORY } else { ARCHIVE };
            bytes.extend(entry(*short, attributes, node, self.runs[path].first).encode());
        }
        bytes
    }
}

/// The names in `dir`, checked.
fn names(tree: &Tree, dir: &TreePath) -> Result<Vec<(TreePath, name::Short, Vec<u16>)>> {
    let mut long = Vec::new();
    let mut seen: HashMap<String, &TreePath> = HashMap::new();
    for (path, _) in tree.children(dir) {
        let units = name::long(path.name())
            .map_err(|why| Error::bad_input(format!("FAT cannot hold `{path}`: its name {why}")))?;
        // Just checked to be UTF-8.
        let name = std::str::from_utf8(path.name())
            .or_error(ErrorKind::BadInput, || format!("`{path}` is not UTF-8"))?;
        if let Some(other) = seen.insert(name::folded(name), path) {
            return Err(Error::bad_input(format!(
                "FAT cannot hold both `{other}` and `{path}`: they differ only in case"
            )));
        }
        long.push((path, name, units));
    }
    let shorts = ShortNames::assign(&long.iter().map(|(_, name, _)| *name).collect::<Vec<_>>());
    Ok(long
        .into_iter()
        .zip(shorts)
        .map(|((path, _, units), (short, needs_long))| {
            (
                path.clone(),
                short,
                if needs_long { units } else { Vec::new() },
            )
        })
        .collect())
}

fn copy(path: &TreePath, content: &Content, out: &File, at: u64) -> Result<()> {
    let mut buf = vec![0; COPY];
    let mut done = 0;
    while done < content.len() {
        let part = &mut buf[..(content.len() - done).min(COPY as u64) as usize];
        content
            .read_exact_at(part, done)
            .or_error(ErrorKind::Failed, || {
                format!("cannot read what `{path}` is to hold")
            })?;
        write_sparse(out, part, at + done)?;
        done += part.len() as u64;
    }
    Ok(())
}

/// Writes all pages that are not zero, in as few calls as possible.
fn write_sparse(out: &File, bytes: &[u8], at: u64) -> Result<()> {
    let is_zero = |page: &[u8]| page.iter().all(|&byte| byte == 0);
    let mut start = 0;
    for run in bytes
        .chunks(HOLE)
        .collect::<Vec<_>>()
        .chunk_by(|a, b| is_zero(a) == is_zero(b))
    {
        let len: usize = run.iter().map(|page| page.len()).sum();
        if run.first().is_some_and(|page| !is_zero(page)) {
            out.write_all_at(&bytes[start..start + len], at + start as u64)?;
        }
        start += len;
    }
    Ok(())
}
