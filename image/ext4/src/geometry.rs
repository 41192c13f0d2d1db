//! Where the fixed structures lie: superblocks, descriptors, bitmaps and inode tables.
//!
//! Groups are gathered in flexible groups of 16 (`flex_bg`) whose bitmaps and inode tables stand
//! together at the start of the first one, so that file data is one run from there on, interrupted
//! only by the backup superblocks of groups 1, 3, 5, 7, 9, 25, ... (`sparse_super`).

use clawdie_runs::{Run, push};

use crate::Error;

/// Bytes of a block.
pub(crate) const BLOCK: u64 = 4096;
/// Blocks of a group: as many as one bitmap block has bits.
pub(crate) const GROUP_BLOCKS: u64 = 32768;
/// Bytes of a group descriptor with the `64bit` feature.
pub(crate) const DESCRIPTOR: u64 = 64;
/// Bytes of an inode.
pub(crate) const INODE: u64 = 256;
const INODES_PER_BLOCK: u64 = BLOCK / INODE;
/// One inode per 16 KiB, the default of mke2fs. A smaller image gets no fewer per group, because
/// the number per group is for ever and the file system is made to be grown.
const MIN_INODES_PER_GROUP: u64 = 8192;
const MAX_INODES_PER_GROUP: u64 = GROUP_BLOCKS;
/// Block addresses in one block, hence the most reserved descriptor blocks one inode can map.
const ADDRESSES: u64 = BLOCK / 4;
/// A last group with less room than this beyond its own structures is not worth having, as mke2fs
/// has it.
const LEAST_TAIL: u64 = 50;

/// The numbers that fix the place of every structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Blocks of the file system.
    pub(crate) blocks: u64,
    /// Block groups.
    pub(crate) groups: u64,
    /// Inodes of each group.
    pub(crate) inodes_per_group: u64,
    /// Blocks of the descriptor table.
    pub(crate) descriptor_blocks: u64,
    /// Blocks kept behind it so that it can grow in place.
    pub(crate) reserved_blocks: u64,
    /// Groups of a flexible group.
    pub(crate) flex: u64,
}

impl Geometry {
    /// The geometry of `blocks` blocks with room for `inodes` inodes, growable to `grow_to` bytes.
    /// A last group too short to be of use is left out.
    pub(crate) fn new(blocks: u64, inodes: u64, grow_to: u64) -> Result<Self, Error> {
        let whole = Self::whole(blocks, inodes, grow_to)?;
        if whole.tail_deficit() == 0 || whole.groups == 1 {
            return Ok(whole);
        }
        Self::whole((whole.groups - 1) * GROUP_BLOCKS, inodes, grow_to)
    }

    /// As [`Geometry::new`], but with the last group however short it is.
    pub(crate) fn whole(blocks: u64, inodes: u64, grow_to: u64) -> Result<Self, Error> {
        let groups = blocks.div_ceil(GROUP_BLOCKS).max(1);
        // An eighth more than needed, so that an image with very many small files can still be used.
        let wanted = (inodes + inodes / 8 + 16).div_ceil(groups);
        let inodes_per_group = wanted
            .next_multiple_of(INODES_PER_BLOCK)
            .max(MIN_INODES_PER_GROUP);
        if inodes_per_group > MAX_INODES_PER_GROUP {
            return Err(Error::TooManyInodes {
                inodes,
                bytes: blocks * BLOCK,
            });
        }
        let descriptor_blocks = (groups * DESCRIPTOR).div_ceil(BLOCK);
        let grown = grow_to.div_ceil(BLOCK * GROUP_BLOCKS);
        let reserved_blocks = (grown * DESCRIPTOR)
            .div_ceil(BLOCK)
            .saturating_sub(descriptor_blocks);
        if reserved_blocks > ADDRESSES {
            return Err(Error::GrowTo {
                wanted: grow_to,
                limit: (descriptor_blocks + ADDRESSES)
                    * (BLOCK / DESCRIPTOR)
                    * GROUP_BLOCKS
                    * BLOCK,
            });
        }
        Ok(Self {
            blocks,
            groups,
            inodes_per_group,
            descriptor_blocks,
            reserved_blocks,
            // 16 tables of the largest size would not fit in one group.
            flex: if inodes_per_group > MAX_INODES_PER_GROUP / 2 {
                8
            } else {
                16
            },
        })
    }

    /// How many blocks the last group lacks to be of use.
    pub(crate) fn tail_deficit(&self) -> u64 {
        let last = self.groups - 1;
        (self.fixed(last) + LEAST_TAIL).saturating_sub(self.group_len(last))
    }

    /// First block of a group.
    pub(crate) fn group_start(&self, group: u64) -> u64 {
        group * GROUP_BLOCKS
    }

    /// Blocks of a group; only the last may be short.
    pub(crate) fn group_len(&self, group: u64) -> u64 {
        (self.blocks - self.group_start(group)).min(GROUP_BLOCKS)
    }

    /// Whether a group starts with a copy of the superblock and descriptors.
    pub(crate) fn has_super(group: u64) -> bool {
        group <= 1
            || [3, 5, 7].into_iter().any(|base: u64| {
                std::iter::successors(Some(base), |power| power.checked_mul(base))
                    .take_while(|&power| power <= group)
                    .any(|power| power == group)
            })
    }

    /// The groups after the first that hold copies, ascending.
    pub(crate) fn backups(&self) -> impl Iterator<Item = u64> {
        (1..self.groups).filter(|&group| Self::has_super(group))
    }

    fn super_blocks(&self, group: u64) -> u64 {
        if Self::has_super(group) {
            1 + self.descriptor_blocks + self.reserved_blocks
        } else {
            0
        }
    }

    /// Blocks of one group's inode table.
    pub(crate) fn table_blocks(&self) -> u64 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    /// The first group of the flexible group that a group belongs to.
    fn leader(&self, group: u64) -> u64 {
        group - group % self.flex
    }

    fn members(&self, leader: u64) -> u64 {
        self.flex.min(self.groups - leader)
    }

    /// Blocks at the start of a group that hold fixed structures, its own or its flexible group's.
    pub(crate) fn fixed(&self, group: u64) -> u64 {
        let gathered = if self.leader(group) == group {
            self.members(group) * (2 + self.table_blocks())
        } else {
            0
        };
        self.super_blocks(group) + gathered
    }

    fn gathered(&self, group: u64) -> u64 {
        let leader = self.leader(group);
        self.group_start(leader) + self.super_blocks(leader)
    }

    /// The block of a group's block bitmap.
    pub(crate) fn block_bitmap(&self, group: u64) -> u64 {
        self.gathered(group) + group % self.flex
    }

    /// The block of a group's inode bitmap.
    pub(crate) fn inode_bitmap(&self, group: u64) -> u64 {
        self.gathered(group) + self.members(self.leader(group)) + group % self.flex
    }

    /// The first block of a group's inode table.
    pub(crate) fn inode_table(&self, group: u64) -> u64 {
        self.gathered(group)
            + self.members(self.leader(group)) * 2
            + group % self.flex * self.table_blocks()
    }

    /// Blocks that are not taken by fixed structures.
    pub(crate) fn capacity(&self) -> u64 {
        let fixed: u64 = (0..self.groups)
            .map(|group| self.fixed(group).min(self.group_len(group)))
            .sum();
        self.blocks - fixed
    }
}

/// Hands out free blocks in ascending order; what it has passed is all in use.
#[derive(Debug)]
pub(crate) struct Allocator {
    geometry: Geometry,
    next: u64,
}

impl Allocator {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self { geometry, next: 0 }
    }

    /// Takes `count` blocks, in as few runs as the fixed structures allow; none when too few are
    /// left.
    pub(crate) fn take(&mut self, mut count: u64) -> Option<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        while count > 0 {
            let group = self.next / GROUP_BLOCKS;
            if group >= self.geometry.groups {
                return None;
            }
            let start = self.geometry.group_start(group);
            let first = self.next.max(start + self.geometry.fixed(group));
            let end = start + self.geometry.group_len(group);
            if first >= end {
                self.next = start + GROUP_BLOCKS;
                continue;
            }
            let len = count.min(end - first);
            push(&mut runs, Run { start: first, len });
            self.next = first + len;
            count -= len;
        }
        Some(runs)
    }

    /// The block after the last one handed out.
    pub(crate) fn end(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_stand_at_powers_of_three_five_and_seven() {
        let with: Vec<u64> = (0..130).filter(|&g| Geometry::has_super(g)).collect();
        assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn runs_break_only_at_backups_and_flexible_groups() {
        let geometry = Geometry::new(20 * GROUP_BLOCKS, 100, 2 << 40).unwrap();
        assert_eq!(geometry.descriptor_blocks + geometry.reserved_blocks, 256);
        let mut allocator = Allocator::new(geometry);
        let runs = allocator.take(geometry.capacity()).unwrap();
        let starts: Vec<u64> = runs.iter().map(|run| run.start / GROUP_BLOCKS).collect();
        assert_eq!(starts, [0, 1, 3, 5, 7, 9, 16]);
        assert!(allocator.take(1).is_none());
    }

    #[test]
    fn a_useless_last_group_is_left_out() {
        let geometry = Geometry::new(GROUP_BLOCKS + 100, 100, 2 << 40).unwrap();
        assert_eq!((geometry.groups, geometry.blocks), (1, GROUP_BLOCKS));
    }

    #[test]
    fn impossible_wishes_are_refused() {
        assert!(matches!(
            Geometry::new(GROUP_BLOCKS, 40_000, 0),
            Err(Error::TooManyInodes { .. })
        ));
        assert!(matches!(
            Geometry::new(GROUP_BLOCKS, 10, 1 << 50),
            Err(Error::GrowTo { .. })
        ));
    }
}
