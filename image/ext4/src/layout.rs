//! A file system planned to the last block: what [`Layout::write`] writes and [`Layout::compare`]
//! expects.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::ops::Range;

use clawdie_tree::{Tree, TreePath};

use crate::geometry::{Allocator, BLOCK, GROUP_BLOCKS, Geometry, INODE, Run};
use crate::inode::{EXTENTS, Inode, JOURNAL, LOST_FOUND, RESIZE};
use crate::plan::{self, Item, Payload};
use crate::superblock::Group;
use crate::xattr::{self, Attributes};
use crate::{Error, Options, checksum, extent, inode, journal};

const LEAST_JOURNAL: u64 = 1024 * BLOCK;
const MOST_JOURNAL: u64 = 10_240_000 * BLOCK;
/// Partitions start and end at whole mebibytes.
const ALIGN: u64 = 256;
/// Block numbers above 32 bits need other structures than these.
const MOST_BLOCKS: u64 = 1 << 32;

/// A planned file system.
#[derive(Debug)]
pub struct Layout {
    pub(crate) options: Options,
    pub(crate) geometry: Geometry,
    pub(crate) seed: u32,
    pub(crate) groups: Vec<Group>,
    placed: Vec<Placed>,
    /// Inodes from 1 to this are in use.
    last_inode: u64,
    resize_map_at: Option<u64>,
    len: u64,
}

/// An inode and its blocks.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) item: Item,
    /// The blocks of its payload, in order.
    pub(crate) runs: Vec<Run>,
    /// The blocks of its extent tree.
    tree: Vec<(u64, Vec<u8>)>,
}

/// A structure of the file system, to name a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Structure {
    /// The superblock or its copy in a later group, with the unused bytes around it.
    Superblock {
        /// The group that holds it.
        group: u64,
    },
    /// A group descriptor.
    GroupDescriptor {
        /// The group it describes.
        group: u64,
        /// The group that holds this copy of it.
        copy: u64,
    },
    /// The blocks kept for more descriptors.
    ReservedDescriptors {
        /// The group that holds them.
        group: u64,
    },
    /// A block bitmap.
    BlockBitmap {
        /// The group it is about.
        group: u64,
    },
    /// An inode bitmap.
    InodeBitmap {
        /// The group it is about.
        group: u64,
    },
    /// An inode.
    Inode {
        /// Its number.
        number: u64,
        /// Its first name; none for a reserved or a free one.
        path: Option<TreePath>,
    },
    /// A block of a directory.
    Directory {
        /// The directory.
        path: TreePath,
        /// The block's number within it.
        block: u64,
    },
    /// The target of a long symbolic link.
    Symlink {
        /// The link.
        path: TreePath,
    },
    /// A block of an extent tree.
    ExtentTree {
        /// The file; none for the journal.
        path: Option<TreePath>,
    },
    /// A block of extended attributes.
    Attributes {
        /// The node they belong to.
        path: TreePath,
    },
    /// The map of the blocks kept for more descriptors.
    ResizeMap,
    /// The journal.
    Journal,
    /// The content of a file, or the unused end of its last block.
    Content {
        /// The file.
        path: TreePath,
    },
    /// Blocks that nothing uses; they are zero in a fresh image.
    Free {
        /// The block.
        block: u64,
    },
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock { group: 0 } => write!(f, "superblock"),
            Self::Superblock { group } => write!(f, "superblock copy in group {group}"),
            Self::GroupDescriptor { group, copy: 0 } => write!(f, "group descriptor {group}"),
            Self::GroupDescriptor { group, copy } => {
                write!(f, "group descriptor {group}, copy in group {copy}")
            }
            Self::ReservedDescriptors { group } => {
                write!(f, "reserved group descriptors in group {group}")
            }
            Self::BlockBitmap { group } => write!(f, "block bitmap {group}"),
            Self::InodeBitmap { group } => write!(f, "inode bitmap {group}"),
            Self::Inode { number, path: None } => write!(f, "inode {number}"),
            Self::Inode {
                number,
                path: Some(path),
            } => write!(f, "inode {number} of `{path}`"),
            Self::Directory { path, block } => write!(f, "directory block {block} of `{path}`"),
            Self::Symlink { path } => write!(f, "target of the symbolic link `{path}`"),
            Self::ExtentTree { path: None } => write!(f, "extent tree of the journal"),
            Self::ExtentTree { path: Some(path) } => write!(f, "extent tree of `{path}`"),
            Self::Attributes { path } => write!(f, "extended attributes of `{path}`"),
            Self::ResizeMap => write!(f, "map of the reserved group descriptors"),
            Self::Journal => write!(f, "journal"),
            Self::Content { path } => write!(f, "content of `{path}`"),
            Self::Free { block } => write!(f, "free block {block}"),
        }
    }
}

/// A stretch of metadata: `bytes`, then zeros up to `len`.
pub(crate) struct Region<'a> {
    /// Bytes from the start of the file system.
    pub(crate) at: u64,
    pub(crate) len: u64,
    pub(crate) bytes: Cow<'a, [u8]>,
    /// What the first bytes are; [`Layout::structure_at`] tells of the others.
    pub(crate) what: Structure,
}

/// Plans the file system of a tree: every block gets its place, every byte of metadata its value.
///
/// # Errors
/// When ext4, or the size asked for, cannot hold something; the error names it.
pub fn layout(tree: &Tree, options: &Options) -> Result<Layout, Error> {
    if options.label.len() > 16 {
        return Err(Error::Label(options.label.clone()));
    }
    let journal = options.journal;
    if journal != 0 && (!(LEAST_JOURNAL..=MOST_JOURNAL).contains(&journal) || journal % BLOCK != 0)
    {
        return Err(Error::Journal(journal));
    }
    if options.epoch < 0 {
        return Err(Error::Time {
            path: TreePath::root(),
            time: options.epoch,
        });
    }
    inode::check_time(&TreePath::root(), options.epoch)?;

    let mut items = plan::items(tree, options)?;
    if journal > 0 {
        let mut item = reserved(JOURNAL, options.epoch);
        item.inode.flags = EXTENTS;
        item.inode.size = journal;
        item.payload = Payload::Journal(journal);
        items.push(item);
    }
    let last_inode = items
        .iter()
        .map(|item| u64::from(item.inode.number))
        .max()
        .unwrap_or(0);
    // One more for the map of the reserved descriptors.
    let needed = 1 + items.iter().map(Item::most_blocks).sum::<u64>();
    let geometry = size(needed, last_inode, options)?;
    if geometry.reserved_blocks > 0 {
        items.push(resize_inode(&geometry, options.epoch));
    }
    items.sort_by_key(|item| item.inode.number);
    place(items, geometry, last_inode, options).ok_or(Error::TooSmall {
        needed: needed * BLOCK,
        size: geometry.capacity() * BLOCK,
    })
}

/// The smallest geometry with `needed` blocks of content, or the one of the size asked for.
fn size(needed: u64, inodes: u64, options: &Options) -> Result<Geometry, Error> {
    if let Some(exact) = options.exact_size {
        let blocks = exact / BLOCK;
        if blocks > MOST_BLOCKS {
            return Err(Error::TooLarge(exact));
        }
        let geometry = Geometry::new(blocks, inodes, options.grow_to)?;
        let capacity = geometry.capacity();
        if capacity < needed {
            return Err(Error::TooSmall {
                needed: (blocks - capacity + needed) * BLOCK,
                size: exact,
            });
        }
        return Ok(geometry);
    }
    let wanted = needed + options.free.div_ceil(BLOCK);
    let mut blocks = wanted.next_multiple_of(ALIGN);
    loop {
        if blocks > MOST_BLOCKS {
            return Err(Error::TooLarge(blocks * BLOCK));
        }
        let missing = match Geometry::whole(blocks, inodes, options.grow_to) {
            Ok(geometry) => {
                let missing = wanted
                    .saturating_sub(geometry.capacity())
                    .max(geometry.tail_deficit());
                if missing == 0 {
                    return Ok(geometry);
                }
                missing
            }
            // A group more brings as many inodes again.
            Err(Error::TooManyInodes { .. }) => GROUP_BLOCKS,
            Err(other) => return Err(other),
        };
        blocks = (blocks + missing).next_multiple_of(ALIGN);
    }
}

/// An inode of the file system's own.
fn reserved(number: u32, epoch: i64) -> Item {
    Item {
        inode: Inode {
            number,
            mode: 0o100_600,
            uid: 0,
            gid: 0,
            size: 0,
            links: 1,
            mtime: epoch,
            flags: 0,
            attributes_at: 0,
            attributes: Vec::new(),
            sectors: 0,
            block: [0; 60],
        },
        path: TreePath::root(),
        attributes: Attributes::None,
        payload: Payload::None,
    }
}

/// The inode of the reserved descriptor blocks, mapped as in ext3: one block of addresses (the
/// doubly indirect one) leads to the reserved blocks of the first group, and each of these lists
/// its copies.
fn resize_inode(geometry: &Geometry, epoch: i64) -> Item {
    const ADDRESSES: u64 = BLOCK / 4;
    let mut item = reserved(RESIZE, epoch);
    item.inode.size = (ADDRESSES * ADDRESSES + ADDRESSES + 12) * BLOCK;
    let copies = 1 + geometry.backups().count() as u64;
    item.inode.sectors = (1 + geometry.reserved_blocks * copies) * (BLOCK / 512);
    item
}

/// Gives every inode its blocks; none when these do not suffice.
fn place(
    items: Vec<Item>,
    geometry: Geometry,
    last_inode: u64,
    options: &Options,
) -> Option<Layout> {
    let seed = checksum::seed_of(&options.uuid);
    let mut allocator = Allocator::new(geometry);
    let resize_map_at = if geometry.reserved_blocks > 0 {
        Some(allocator.take(1)?.first()?.start)
    } else {
        None
    };
    let mut placed: Vec<Placed> = items
        .into_iter()
        .map(|item| Placed {
            item,
            runs: Vec::new(),
            tree: Vec::new(),
        })
        .collect();

    // All metadata first, so that the contents lie as close together as in their source.
    for Placed { item, runs, .. } in &mut placed {
        if let Payload::Bytes(_) = item.payload {
            *runs = allocator.take(item.payload.blocks())?;
        }
        if let Attributes::InBlock(bytes) = &mut item.attributes {
            let at = allocator.take(1)?.first()?.start;
            xattr::seal(bytes, at, seed);
            item.inode.attributes_at = at;
        }
    }
    for Placed { item, runs, .. } in &mut placed {
        if let Payload::Journal(_) = item.payload {
            *runs = allocator.take(item.payload.blocks())?;
        }
    }
    for Placed { item, runs, .. } in &mut placed {
        if let Payload::Content(_) = item.payload {
            *runs = allocator.take(item.payload.blocks())?;
        }
    }
    for Placed { item, runs, tree } in &mut placed {
        let inode = &mut item.inode;
        if inode.flags & EXTENTS != 0 {
            let inode_seed = checksum::inode_seed(seed, inode.number);
            (inode.block, *tree) =
                extent::tree(runs, inode_seed, || Some(allocator.take(1)?.first()?.start))?;
        }
        if let (RESIZE, Some(at)) = (inode.number, resize_map_at) {
            inode.block[52..56].copy_from_slice(&(at as u32).to_le_bytes());
        } else {
            let attributes = u64::from(inode.attributes_at != 0);
            let blocks = item.payload.blocks() + tree.len() as u64 + attributes;
            inode.sectors = blocks * (BLOCK / 512);
        }
    }

    let end = allocator.end();
    let mut dirs = vec![0; geometry.groups as usize];
    for item in placed
        .iter()
        .map(|placed| &placed.item)
        .filter(|item| item.is_dir())
    {
        let group = (u64::from(item.inode.number) - 1) / geometry.inodes_per_group;
        dirs[group as usize] += 1;
    }
    let groups = (0..geometry.groups)
        .zip(dirs)
        .map(|(group, dirs)| {
            let start = geometry.group_start(group);
            let len = geometry.group_len(group);
            let used_blocks = end
                .saturating_sub(start)
                .min(len)
                .max(geometry.fixed(group));
            let used_inodes = last_inode
                .saturating_sub(group * geometry.inodes_per_group)
                .min(geometry.inodes_per_group);
            Group {
                used_blocks,
                free_blocks: len - used_blocks,
                used_inodes,
                dirs,
                plain_blocks: end <= start
                    && used_inodes == 0
                    && group % geometry.flex != 0
                    && group + 1 != geometry.groups,
            }
        })
        .collect();
    Some(Layout {
        len: options.exact_size.unwrap_or(geometry.blocks * BLOCK),
        options: options.clone(),
        geometry,
        seed,
        groups,
        placed,
        last_inode,
        resize_map_at,
    })
}

impl Layout {
    /// Bytes of the file system; a multiple of 1 MiB unless an exact size was asked for.
    #[expect(clippy::len_without_is_empty, reason = "no file system is empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that are free, the hundredth part kept for root included.
    pub fn free(&self) -> u64 {
        self.groups
            .iter()
            .map(|group| group.free_blocks)
            .sum::<u64>()
            * BLOCK
    }

    /// How many inodes are in use, and how many there are.
    pub fn inodes(&self) -> (u64, u64) {
        let all = self.geometry.groups * self.geometry.inodes_per_group;
        (self.last_inode, all)
    }

    /// The bytes that hold data or metadata, from the start of the file system, ascending, with
    /// gaps in between. What copies an image by these must copy zeros too: in the journal and in
    /// the inode tables old bytes would do harm.
    pub fn used(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut add = |range: Range<u64>| match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => ranges.push(range),
        };
        for (number, group) in (0..).zip(&self.groups) {
            let start = self.geometry.group_start(number) * BLOCK;
            add(start..start + group.used_blocks * BLOCK);
        }
        ranges
    }

    /// The inode with a number, when it is in use and not a reserved one without content.
    pub(crate) fn placed(&self, number: u32) -> Option<&Placed> {
        let at = self
            .placed
            .binary_search_by_key(&number, |placed| placed.item.inode.number);
        Some(&self.placed[at.ok()?])
    }

    /// Files with content and where their blocks lie, in the order of their blocks.
    pub(crate) fn files(
        &self,
    ) -> impl Iterator<Item = (&TreePath, &clawdie_tree::Content, &[Run])> {
        self.placed
            .iter()
            .filter_map(|placed| match &placed.item.payload {
                Payload::Content(content) => {
                    Some((&placed.item.path, content, placed.runs.as_slice()))
                }
                _ => None,
            })
    }

    /// Shows every stretch of metadata, also those that are zero.
    pub(crate) fn metadata(
        &self,
        visit: &mut dyn FnMut(Region<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.group_metadata(visit)?;
        if let Some(at) = self.resize_map_at {
            visit(block(at, self.resize_map(), Structure::ResizeMap))?;
        }
        for placed in &self.placed {
            self.inode_metadata(placed, visit)?;
        }
        Ok(())
    }

    fn group_metadata(
        &self,
        visit: &mut dyn FnMut(Region<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let geometry = &self.geometry;
        let descriptors = self.descriptors();
        for (number, group) in (0..).zip(&self.groups) {
            let start = geometry.group_start(number);
            if Geometry::has_super(number) {
                let mut bytes = vec![0; if number == 0 { 1024 } else { 0 }];
                bytes.extend_from_slice(&self.superblock(number));
                visit(block(start, bytes, Structure::Superblock { group: number }))?;
                visit(Region {
                    at: (start + 1) * BLOCK,
                    len: geometry.descriptor_blocks * BLOCK,
                    bytes: Cow::Borrowed(&descriptors),
                    what: Structure::GroupDescriptor {
                        group: 0,
                        copy: number,
                    },
                })?;
                visit(Region {
                    at: (start + 1 + geometry.descriptor_blocks) * BLOCK,
                    len: geometry.reserved_blocks * BLOCK,
                    bytes: if number == 0 {
                        self.reserved_descriptors().into()
                    } else {
                        Cow::Borrowed(&[])
                    },
                    what: Structure::ReservedDescriptors { group: number },
                })?;
            }
            let bitmap = if group.plain_blocks {
                Vec::new()
            } else {
                self.block_bitmap(number)
            };
            let what = Structure::BlockBitmap { group: number };
            visit(block(geometry.block_bitmap(number), bitmap, what))?;
            let bitmap = if group.used_inodes == 0 {
                Vec::new()
            } else {
                self.inode_bitmap(number)
            };
            let what = Structure::InodeBitmap { group: number };
            visit(block(geometry.inode_bitmap(number), bitmap, what))?;
            visit(Region {
                at: geometry.inode_table(number) * BLOCK,
                len: geometry.table_blocks() * BLOCK,
                bytes: self.inode_table(number).into(),
                what: Structure::Inode {
                    number: number * geometry.inodes_per_group + 1,
                    path: None,
                },
            })?;
        }
        Ok(())
    }

    /// A group's inode table up to the last inode in use.
    fn inode_table(&self, group: u64) -> Vec<u8> {
        let per_group = self.geometry.inodes_per_group;
        let first = group * per_group + 1;
        let used = self.groups[group as usize].used_inodes;
        let mut table = vec![0; (used * INODE) as usize];
        if group == 0 {
            let unused = (1..LOST_FOUND).filter(|&number| self.placed(number).is_none());
            for number in unused {
                let raw = inode::unused(number, self.seed);
                let at = (number as usize - 1) * INODE as usize;
                table[at..at + raw.len()].copy_from_slice(&raw);
            }
        }
        let from = self
            .placed
            .partition_point(|placed| u64::from(placed.item.inode.number) < first);
        for placed in &self.placed[from..] {
            let inode = &placed.item.inode;
            let at = (u64::from(inode.number) - first) * INODE;
            if at >= used * INODE {
                break;
            }
            let at = at as usize;
            let raw = inode.encode(self.options.epoch, self.seed);
            table[at..at + raw.len()].copy_from_slice(&raw);
        }
        table
    }

    fn inode_metadata(
        &self,
        placed: &Placed,
        visit: &mut dyn FnMut(Region<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let item = &placed.item;
        let path = || item.path.clone();
        let mut pieces = |bytes: &[u8], what: &dyn Fn(u64) -> Structure| {
            let mut done = 0;
            for run in &placed.runs {
                let from = bytes.len().min((done * BLOCK) as usize);
                let to = bytes.len().min(((done + run.len) * BLOCK) as usize);
                visit(Region {
                    at: run.start * BLOCK,
                    len: run.len * BLOCK,
                    bytes: Cow::Borrowed(&bytes[from..to]),
                    what: what(done),
                })?;
                done += run.len;
            }
            io::Result::Ok(())
        };
        match &item.payload {
            Payload::Bytes(bytes) if item.is_dir() => {
                pieces(bytes, &|block| Structure::Directory {
                    path: path(),
                    block,
                })?
            }
            Payload::Bytes(bytes) => pieces(bytes, &|_| Structure::Symlink { path: path() })?,
            Payload::Journal(len) => pieces(&journal::superblock(*len), &|_| Structure::Journal)?,
            Payload::None | Payload::Content(_) => {}
        }
        for (at, bytes) in &placed.tree {
            let path = (item.inode.number != JOURNAL).then(path);
            visit(Region {
                at: at * BLOCK,
                len: BLOCK,
                bytes: Cow::Borrowed(bytes),
                what: Structure::ExtentTree { path },
            })?;
        }
        if let Attributes::InBlock(bytes) = &item.attributes {
            visit(Region {
                at: item.inode.attributes_at * BLOCK,
                len: BLOCK,
                bytes: Cow::Borrowed(bytes),
                what: Structure::Attributes { path: path() },
            })?;
        }
        Ok(())
    }

    /// What stands `offset` bytes into a region that starts with `what`, and from where to where.
    pub(crate) fn structure_at(&self, what: &Structure, offset: u64) -> (Structure, Range<u64>) {
        let unit = |size: u64| {
            let index = offset / size;
            (index, index * size..(index + 1) * size)
        };
        match what {
            Structure::GroupDescriptor { copy, .. } => {
                let (group, range) = unit(crate::geometry::DESCRIPTOR);
                (Structure::GroupDescriptor { group, copy: *copy }, range)
            }
            Structure::Inode { number, .. } => {
                let (index, range) = unit(INODE);
                let number = number + index;
                let path = u32::try_from(number)
                    .ok()
                    .and_then(|number| self.placed(number))
                    .filter(|placed| ![RESIZE, JOURNAL].contains(&placed.item.inode.number))
                    .map(|placed| placed.item.path.clone());
                (Structure::Inode { number, path }, range)
            }
            Structure::Directory { path, block } => {
                let (index, range) = unit(BLOCK);
                let block = block + index;
                let path = path.clone();
                (Structure::Directory { path, block }, range)
            }
            Structure::Free { block } => {
                let (index, range) = unit(BLOCK);
                let block = block + index;
                (Structure::Free { block }, range)
            }
            other => (other.clone(), 0..u64::MAX),
        }
    }
}

fn block(at: u64, bytes: Vec<u8>, what: Structure) -> Region<'static> {
    Region {
        at: at * BLOCK,
        len: BLOCK,
        bytes: bytes.into(),
        what,
    }
}
