//! A file system planned to the last block: what [`crate::Plan::write`] writes and [`crate::Plan::compare`]
//! expects.

use std::ops::Range;

use clawdie_tree::{Tree, TreePath};

use crate::geometry::{Allocator, BLOCK, GROUP_BLOCKS, Geometry};
use crate::inode::{EXTENTS, Inode, JOURNAL, RESIZE};
use crate::plan::{self, Item, Payload};
use crate::superblock::Group;
use crate::xattr::{self, Attributes};
use crate::{Error, Options, checksum, extent, inode};
use clawdie_runs::Run;

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
    pub(crate) placed: Vec<Placed>,
    /// Inodes from 1 to this are in use.
    last_inode: u64,
    pub(crate) resize_map_at: Option<u64>,
    len: u64,
}

/// An inode and its blocks.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) item: Item,
    /// The blocks of its payload, in order.
    pub(crate) runs: Vec<Run>,
    /// The blocks of its extent tree.
    pub(crate) tree: Vec<(u64, Vec<u8>)>,
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
    if journal != 0
        && (!(LEAST_JOURNAL..=MOST_JOURNAL).contains(&journal) || !journal.is_multiple_of(BLOCK))
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
            let extents =
                extent::tree(runs, inode_seed, || Some(allocator.take(1)?.first()?.start))?;
            inode.block = extents.root;
            *tree = extents.blocks;
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
}
