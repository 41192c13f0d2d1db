//! A file system planned to the last block: what [`crate::Plan::write`] writes and [`crate::Plan::compare`]
//! expects.

use std::ops::Range;

use clawdie_tree::{Content, Tree, TreePath};

use crate::allocate::Allocator;
use crate::cylinder::{Cylinder, initialised};
use crate::geometry::{BLOCK, FRAG, FRAGS, GROUP, Geometry, HEADER, INODE, INODES, ROOT};
use crate::indirect::Indirect;
use crate::plan::{self, Item, Payload, stored_frags};
use crate::{Error, Options};
use clawdie_runs::{Run, push};

/// Addresses have 64 bits, but nobody has tried more than this.
const MOST_BYTES: u64 = 16 << 40;
const LONGEST_LABEL: usize = 31;

/// A planned file system.
#[derive(Debug)]
pub struct Layout {
    pub(crate) options: Options,
    pub(crate) geometry: Geometry,
    pub(crate) cylinders: Vec<Cylinder>,
    /// By inode number, from the root's, without gaps.
    pub(crate) placed: Vec<Placed>,
    /// Free fragments before `end`, ascending.
    pub(crate) left_over: Vec<Run>,
    /// The fragment after the last block in use.
    pub(crate) end: u64,
    len: u64,
}

/// An inode and its blocks.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) item: Item,
    /// The fragments of its payload, in order; of a file with holes these too.
    pub(crate) runs: Vec<Run>,
    pub(crate) indirect: Indirect,
    /// The fragments of its extended attributes.
    pub(crate) attributes: Vec<Run>,
}

/// Plans the file system of a tree: every block gets its place, every byte of metadata its value.
///
/// # Errors
/// When UFS2, or the size asked for, cannot hold something; the error names it.
pub fn layout(tree: &Tree, options: &Options) -> Result<Layout, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if options.label.len() > LONGEST_LABEL || !options.label.bytes().all(plain) {
        return Err(Error::Label(options.label.clone()));
    }
    if options.epoch < 0 {
        return Err(Error::Epoch(options.epoch));
    }
    let items = plan::items(tree, options)?;
    let last_inode = u64::from(ROOT) + items.len() as u64 - 1;
    let (geometry, rooms) = size(&items, last_inode, options)?;
    Ok(finish(items, geometry, rooms, options))
}

/// The smallest geometry that holds the items with room to spare, or the one of the size asked for;
/// and where in it everything lies.
fn size(items: &[Item], last_inode: u64, options: &Options) -> Result<(Geometry, Rooms), Error> {
    // What is stored, without what the filling of blocks costs.
    let content: u64 = items
        .iter()
        .map(|item| {
            let shape = item.payload.shape();
            let stored: u64 = shape
                .iter()
                .filter(|run| !run.is_hole())
                .map(|run| run.len)
                .sum();
            stored + stored_frags(item.attributes.len() as u64)
        })
        .fold(0, u64::saturating_add);
    if let Some(exact) = options.exact_size {
        if exact > MOST_BYTES {
            return Err(Error::TooLarge(exact));
        }
        let rooms = match Geometry::new(exact / FRAG, last_inode) {
            Ok(geometry) => place(items, geometry).map(|rooms| (geometry, rooms)),
            Err(Error::TooSmall { .. }) => None,
            Err(other) => return Err(other),
        };
        return rooms.ok_or_else(|| Error::TooSmall {
            needed: least(items, last_inode, exact).unwrap_or(content.saturating_mul(FRAG)),
            size: exact,
        });
    }
    let wanted = content.saturating_add(options.free.div_ceil(FRAG));
    let mut groups = 2 + wanted / GROUP;
    loop {
        if groups > MOST_BYTES / (GROUP * FRAG) {
            return Err(Error::TooLarge(groups.saturating_mul(GROUP * FRAG)));
        }
        let geometry = match Geometry::new(groups * GROUP, last_inode) {
            Ok(geometry) => geometry,
            // A group more brings as many inodes again.
            Err(Error::TooManyInodes { .. }) => {
                groups += 1;
                continue;
            }
            Err(other) => return Err(other),
        };
        let fits = |rooms: &Rooms| {
            let left: u64 = rooms.left_over.iter().map(|run| run.len).sum();
            let free = geometry.capacity() - used(&geometry, rooms.end) + left;
            let fixed = geometry.fixed(groups - 1);
            let last = geometry.group_len(groups - 1) - (fixed.end - fixed.start);
            rooms.end <= geometry.group_start(groups - 1) && (free - last) * FRAG >= options.free
        };
        match place(items, geometry).filter(fits) {
            Some(rooms) => return Ok((geometry, rooms)),
            None => groups += 1,
        }
    }
}

/// The least size beyond `size` that holds the items; none when no possible one does.
fn least(items: &[Item], last_inode: u64, size: u64) -> Option<u64> {
    const UNIT: u64 = BLOCK;
    let fits = |units: u64| {
        Geometry::new(units * UNIT / FRAG, last_inode)
            .is_ok_and(|geometry| place(items, geometry).is_some())
    };
    let mut short = size / UNIT;
    let mut enough = short.max(1) * 2;
    while !fits(enough) {
        short = enough;
        enough *= 2;
        if enough > MOST_BYTES / UNIT {
            return None;
        }
    }
    while enough - short > 1 {
        let middle = short.midpoint(enough);
        if fits(middle) {
            enough = middle;
        } else {
            short = middle;
        }
    }
    Some(enough * UNIT)
}

/// Fragments before `end` that are not fixed structures.
fn used(geometry: &Geometry, end: u64) -> u64 {
    (0..geometry.groups)
        .map(|group| {
            let here = end
                .saturating_sub(geometry.group_start(group))
                .min(geometry.group_len(group));
            let fixed = geometry.fixed(group);
            here - fixed.end.min(here) + fixed.start.min(here)
        })
        .sum()
}

/// The places of everything.
struct Rooms {
    /// Of each item: its payload, its blocks of addresses, its extended attributes.
    items: Vec<(Vec<Run>, Indirect, Vec<Run>)>,
    left_over: Vec<Run>,
    end: u64,
}

/// Gives every item its blocks; none when these do not suffice.
fn place(items: &[Item], geometry: Geometry) -> Option<Rooms> {
    let mut allocator = Allocator::new(geometry);
    let mut rooms: Vec<(Vec<Run>, Indirect, Vec<Run>)> = Vec::with_capacity(items.len());
    // All metadata first, so that the contents lie as close together as in their source.
    for item in items {
        let runs = match item.payload {
            Payload::Bytes(_) => store(&item.payload.shape(), &mut allocator)?,
            _ => Vec::new(),
        };
        rooms.push((runs, Indirect::default(), Vec::new()));
    }
    for (item, (_, indirect, attributes)) in items.iter().zip(&mut rooms) {
        let frags = stored_frags(item.attributes.len() as u64);
        if frags > 0 {
            let shape = [Run {
                start: 1,
                len: frags,
            }];
            *attributes = store(&shape, &mut allocator)?;
        }
        let mut take = || Some(allocator.blocks(1)?.first()?.start);
        *indirect = Indirect::plan(&item.payload.shape(), &mut take)?;
    }
    for (item, (runs, ..)) in items.iter().zip(&mut rooms) {
        if let Payload::Content { .. } = item.payload {
            *runs = store(&item.payload.shape(), &mut allocator)?;
        }
    }
    Some(Rooms {
        items: rooms,
        left_over: allocator.left_over(),
        end: allocator.end(),
    })
}

/// Finds room for what has a shape.
fn store(shape: &[Run], allocator: &mut Allocator) -> Option<Vec<Run>> {
    let mut runs = Vec::new();
    for part in shape {
        if part.is_hole() {
            push(&mut runs, *part);
            continue;
        }
        for run in allocator.blocks(part.len / FRAGS)? {
            push(&mut runs, run);
        }
        let end = match part.len % FRAGS {
            0 => continue,
            count if part.len > FRAGS => allocator.first_fragments(count)?,
            count => allocator.fragments(count)?,
        };
        push(&mut runs, end);
    }
    Some(runs)
}

fn finish(items: Vec<Item>, geometry: Geometry, rooms: Rooms, options: &Options) -> Layout {
    let placed: Vec<Placed> = items
        .into_iter()
        .zip(rooms.items)
        .map(|(mut item, (runs, indirect, attributes))| {
            let stored: u64 = runs
                .iter()
                .chain(&attributes)
                .filter(|run| !run.is_hole())
                .map(|run| run.len)
                .sum();
            let inode = &mut item.inode;
            inode.sectors = (stored + indirect.count() * FRAGS) * (FRAG / 512);
            if !runs.is_empty() {
                inode.area = indirect.inode(&runs);
            }
            let mut blocks = attributes
                .iter()
                .flat_map(|run| (run.start..run.start + run.len).step_by(FRAGS as usize));
            inode.attributes_at = [blocks.next().unwrap_or(0), blocks.next().unwrap_or(0)];
            Placed {
                item,
                runs,
                indirect,
                attributes,
            }
        })
        .collect();
    let mut layout = Layout {
        len: options.exact_size.unwrap_or(geometry.frags * FRAG),
        options: options.clone(),
        geometry,
        cylinders: Vec::new(),
        placed,
        left_over: rooms.left_over,
        end: rooms.end,
    };
    layout.cylinders = (0..geometry.groups)
        .map(|group| layout.cylinder(group))
        .collect();
    layout
}

impl Layout {
    /// Bytes of the file system; whole cylinder groups unless an exact size was asked for.
    #[expect(clippy::len_without_is_empty, reason = "no file system is empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that are free, the 8 hundredth parts kept for root included.
    pub fn free(&self) -> u64 {
        let frags = |cylinder: &Cylinder| cylinder.free_blocks * FRAGS + cylinder.free_frags;
        self.cylinders.iter().map(frags).sum::<u64>() * FRAG
    }

    /// How many inodes are in use, and how many there are.
    pub fn inodes(&self) -> (u64, u64) {
        let all = self.geometry.groups * self.geometry.inodes_per_group;
        (self.placed.len() as u64, all)
    }

    /// The bytes that hold data or metadata, from the start of the file system, ascending, with
    /// gaps in between. What copies an image by these must copy zeros too: in the boot area and
    /// among the inodes old bytes would do harm.
    pub fn used(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut add = |range: Range<u64>| match ranges.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => ranges.push(range),
        };
        for number in 0..self.geometry.groups {
            let start = self.geometry.group_start(number);
            let fixed = self.geometry.fixed(number);
            let end = self
                .end
                .clamp(start, start + self.geometry.group_len(number));
            add(start * FRAG..end.min(start + fixed.start) * FRAG);
            let head = (start + INODES) * FRAG + self.inodes_len(number);
            add((start + fixed.start) * FRAG..head);
            // The summary, then data.
            let data = start + self.geometry.data();
            add(data * FRAG..end.max(start + fixed.end) * FRAG);
        }
        ranges
    }

    /// The inode with a number, when it is in use.
    pub(crate) fn placed(&self, number: u64) -> Option<&Placed> {
        let index = number.checked_sub(u64::from(ROOT))?;
        self.placed.get(usize::try_from(index).ok()?)
    }

    /// Files with content and where their fragments lie, in the tree's order.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&TreePath, &Content, &[Run])> {
        self.placed
            .iter()
            .filter_map(|placed| match &placed.item.payload {
                Payload::Content { content, .. } => {
                    Some((&placed.item.path, content, placed.runs.as_slice()))
                }
                _ => None,
            })
    }

    /// Bytes of a group's inodes that are initialised; behind them nothing is written.
    pub(crate) fn inodes_len(&self, group: u64) -> u64 {
        let used = self.cylinders[group as usize].used_inodes;
        initialised(used, self.geometry.inodes_per_group) * INODE
    }

    /// Where a group's header lies, in fragments.
    pub(crate) fn header_at(&self, group: u64) -> u64 {
        self.geometry.group_start(group) + HEADER
    }
}

const _: () = assert!(BLOCK.is_multiple_of(FRAG) && GROUP.is_multiple_of(FRAGS));
