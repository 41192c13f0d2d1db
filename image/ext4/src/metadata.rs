//! Every stretch of metadata of a layout: what is written, and what an image is compared with.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use crate::geometry::{BLOCK, DESCRIPTOR, Geometry, INODE};
use crate::inode::{JOURNAL, LOST_FOUND, RESIZE};
use crate::layout::{Layout, Placed};
use crate::plan::Payload;
use crate::structure::Structure;
use crate::xattr::Attributes;
use crate::{inode, journal};

/// A stretch of metadata.
type Region<'a> = clawdie_runs::Region<'a, Structure>;

/// What is done with each stretch.
type Visit<'v> = clawdie_runs::Visit<'v, Structure>;

impl Layout {
    /// Shows every stretch of metadata, also those that are zero.
    pub(crate) fn metadata(&self, visit: &mut Visit<'_>) -> io::Result<()> {
        self.group_metadata(visit)?;
        if let Some(at) = self.resize_map_at {
            visit(block(at, self.resize_map(), Structure::ResizeMap))?;
        }
        for placed in &self.placed {
            self.inode_metadata(placed, visit)?;
        }
        Ok(())
    }

    fn group_metadata(&self, visit: &mut Visit<'_>) -> io::Result<()> {
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

    fn inode_metadata(&self, placed: &Placed, visit: &mut Visit<'_>) -> io::Result<()> {
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
                let (group, range) = unit(DESCRIPTOR);
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
