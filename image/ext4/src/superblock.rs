//! Superblocks, group descriptors, bitmaps and the map of the reserved descriptor blocks.

use crate::bytes::Fields;
use crate::checksum;
use crate::geometry::{BLOCK, DESCRIPTOR, GROUP_BLOCKS, Geometry, INODE};
use crate::inode::{EXTRA_SIZE, JOURNAL, LOST_FOUND};
use crate::layout::Layout;

// Features, those that mke2fs 1.47 takes for ext4: all are known to GRUB, to every kernel since 3.18
// and to e2fsprogs since 1.43. Left out: `orphan_file` and `metadata_csum_seed`, which older GRUBs
// refuse.
const HAS_JOURNAL: u32 = 0x4;
const EXT_ATTR: u32 = 0x8;
const RESIZE_INODE: u32 = 0x10;
const DIR_INDEX: u32 = 0x20;
const FILETYPE: u32 = 0x2;
const EXTENT: u32 = 0x40;
const BIT64: u32 = 0x80;
const FLEX_BG: u32 = 0x200;
const SPARSE_SUPER: u32 = 0x1;
const LARGE_FILE: u32 = 0x2;
const HUGE_FILE: u32 = 0x8;
const DIR_NLINK: u32 = 0x20;
const EXTRA_ISIZE: u32 = 0x40;
const METADATA_CSUM: u32 = 0x400;

/// `user_xattr` and `acl`.
const MOUNT_OPTIONS: u32 = 0xc;
/// Half MD4.
const HASH_VERSION: u8 = 1;
/// The hash takes characters as signed, as x86 has it.
const SIGNED_HASH: u32 = 1;
/// The journal's inode is kept in the superblock too.
const JOURNAL_BACKUP: u8 = 1;

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;
const INODE_ZEROED: u16 = 4;

/// One block in a hundred is for root, so that a full disk can still be put in order. mke2fs takes
/// five, of a time when disks were small.
const RESERVED_SHARE: u64 = 100;

/// What a group has left, and its bitmaps where these are written.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) used_blocks: u64,
    pub(crate) free_blocks: u64,
    /// Inodes in use; always the first ones.
    pub(crate) used_inodes: u64,
    pub(crate) dirs: u64,
    /// Nothing is in use but what readers work out themselves, so that the bitmap is not written.
    pub(crate) plain_blocks: bool,
}

impl Layout {
    /// The superblock's 1024 bytes as they stand at the start of `group`.
    pub(crate) fn superblock(&self, group: u64) -> [u8; 1024] {
        let Geometry {
            blocks,
            groups,
            inodes_per_group,
            reserved_blocks,
            flex,
            ..
        } = self.geometry;
        let options = &self.options;
        let free_blocks: u64 = self.groups.iter().map(|group| group.free_blocks).sum();
        let used_inodes: u64 = self.groups.iter().map(|group| group.used_inodes).sum();
        let inodes = groups * inodes_per_group;
        let epoch = options.epoch as u32;
        let epoch_high = (options.epoch >> 32) as u8;

        let mut raw = [0; 1024];
        raw.put32(0x00, inodes as u32);
        raw.put_split(0x04, 0x150, blocks);
        raw.put_split(0x08, 0x154, blocks / RESERVED_SHARE);
        raw.put_split(0x0c, 0x158, free_blocks);
        raw.put32(0x10, (inodes - used_inodes) as u32);
        raw.put32(0x18, BLOCK.trailing_zeros() - 10);
        raw.put32(0x1c, BLOCK.trailing_zeros() - 10);
        raw.put32(0x20, GROUP_BLOCKS as u32);
        raw.put32(0x24, GROUP_BLOCKS as u32);
        raw.put32(0x28, inodes_per_group as u32);
        raw.put32(0x30, epoch); // written
        raw.put16(0x36, u16::MAX); // no check after so many mounts
        raw.put16(0x38, 0xef53);
        raw.put16(0x3a, 1); // clean
        raw.put16(0x3c, 1); // go on after errors
        raw.put32(0x40, epoch); // checked
        raw.put32(0x4c, 1); // revision
        raw.put32(0x54, LOST_FOUND); // the first inode that is not reserved
        raw.put16(0x58, INODE as u16);
        raw.put16(0x5a, group as u16);
        let journal = if options.journal > 0 { HAS_JOURNAL } else { 0 };
        let resize = if reserved_blocks > 0 { RESIZE_INODE } else { 0 };
        raw.put32(0x5c, journal | EXT_ATTR | resize | DIR_INDEX);
        raw.put32(0x60, FILETYPE | EXTENT | BIT64 | FLEX_BG);
        raw.put32(
            0x64,
            SPARSE_SUPER | LARGE_FILE | HUGE_FILE | DIR_NLINK | EXTRA_ISIZE | METADATA_CSUM,
        );
        raw.put(0x68, &options.uuid);
        raw.put(0x78, options.label.as_bytes());
        raw.put16(0xce, reserved_blocks as u16);
        raw.put(0xec, &options.hash_seed);
        raw[0xfc] = HASH_VERSION;
        raw.put16(0xfe, DESCRIPTOR as u16);
        raw.put32(0x100, MOUNT_OPTIONS);
        raw.put32(0x108, epoch); // made
        if let Some(journal) = self.placed(JOURNAL) {
            raw.put32(0xe0, JOURNAL);
            raw[0xfd] = JOURNAL_BACKUP;
            raw.put(0x10c, &journal.item.inode.block);
            raw.put_split(0x14c, 0x148, journal.item.inode.size);
        }
        raw.put16(0x15c, EXTRA_SIZE);
        raw.put16(0x15e, EXTRA_SIZE);
        raw.put32(0x160, SIGNED_HASH);
        raw[0x174] = flex.trailing_zeros() as u8;
        raw[0x175] = 1; // CRC-32C
        raw[0x274] = epoch_high; // written
        raw[0x276] = epoch_high; // made
        raw[0x277] = epoch_high; // checked
        let sum = checksum::extend(!0, &raw[..0x3fc]);
        raw.put32(0x3fc, sum);
        raw
    }

    /// The table of group descriptors.
    pub(crate) fn descriptors(&self) -> Vec<u8> {
        let geometry = &self.geometry;
        let mut table = Vec::with_capacity((geometry.groups * DESCRIPTOR) as usize);
        for (number, group) in (0..).zip(&self.groups) {
            let mut raw = [0; DESCRIPTOR as usize];
            raw.put_split(0x00, 0x20, geometry.block_bitmap(number));
            raw.put_split(0x04, 0x24, geometry.inode_bitmap(number));
            raw.put_split(0x08, 0x28, geometry.inode_table(number));
            raw.put_split16(0x0c, 0x2c, group.free_blocks as u32);
            let free_inodes = (geometry.inodes_per_group - group.used_inodes) as u32;
            raw.put_split16(0x0e, 0x2e, free_inodes);
            raw.put_split16(0x10, 0x30, group.dirs as u32);
            raw.put_split16(0x1c, 0x32, free_inodes); // never used so far
            let mut flags = 0;
            if group.used_inodes == 0 {
                flags |= INODE_UNINIT;
            } else {
                flags |= INODE_ZEROED;
                let bitmap = self.inode_bitmap(number);
                let size = geometry.inodes_per_group as usize / 8;
                let sum = checksum::extend(self.seed, &bitmap[..size]);
                raw.put_split16(0x1a, 0x3a, sum);
            }
            if group.plain_blocks {
                flags |= BLOCK_UNINIT;
            } else {
                let sum = checksum::extend(self.seed, &self.block_bitmap(number));
                raw.put_split16(0x18, 0x38, sum);
            }
            raw.put16(0x12, flags);
            let sum = checksum::extend(self.seed, &(number as u32).to_le_bytes());
            let sum = checksum::extend(sum, &raw) as u16;
            raw.put16(0x1e, sum);
            table.extend_from_slice(&raw);
        }
        table
    }

    /// Which blocks of a group are in use; those beyond the end of the file system count as such.
    pub(crate) fn block_bitmap(&self, group: u64) -> Vec<u8> {
        let mut bitmap = vec![0; BLOCK as usize];
        set(&mut bitmap, 0, self.groups[group as usize].used_blocks);
        set(&mut bitmap, self.geometry.group_len(group), GROUP_BLOCKS);
        bitmap
    }

    /// Which inodes of a group are in use; those beyond its number count as such.
    pub(crate) fn inode_bitmap(&self, group: u64) -> Vec<u8> {
        let mut bitmap = vec![0; BLOCK as usize];
        set(&mut bitmap, 0, self.groups[group as usize].used_inodes);
        set(&mut bitmap, self.geometry.inodes_per_group, BLOCK * 8);
        bitmap
    }

    /// Where the reserved descriptor blocks of the first group stand; each lists its copies.
    pub(crate) fn resize_map(&self) -> Vec<u8> {
        let mut map = vec![0; BLOCK as usize];
        let first = self.geometry.descriptor_blocks;
        for n in first..first + self.geometry.reserved_blocks {
            map.put32((n % (BLOCK / 4) * 4) as usize, 1 + n as u32);
        }
        map
    }

    /// The reserved descriptor blocks of the first group.
    pub(crate) fn reserved_descriptors(&self) -> Vec<u8> {
        let geometry = &self.geometry;
        let mut blocks = vec![0; (geometry.reserved_blocks * BLOCK) as usize];
        for (n, block) in (1 + geometry.descriptor_blocks..).zip(blocks.chunks_mut(BLOCK as usize))
        {
            for (slot, group) in geometry.backups().enumerate() {
                block.put32(slot * 4, (geometry.group_start(group) + n) as u32);
            }
        }
        blocks
    }
}

/// Sets the bits from `from` up to `to`.
fn set(bitmap: &mut [u8], from: u64, to: u64) {
    for (byte, start) in bitmap.iter_mut().zip((0..).step_by(8)) {
        let low = from.clamp(start, start + 8) - start;
        let high = to.clamp(start, start + 8) - start;
        *byte |= ((1_u16 << high) - 1) as u8 & !((1_u16 << low) - 1) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::set;

    #[test]
    fn bits_are_set_from_and_up_to() {
        for (from, to) in [(0, 0), (0, 5), (3, 17), (8, 16), (31, 32), (5, 32)] {
            let mut bitmap = [0; 4];
            set(&mut bitmap, from, to);
            for bit in 0..32 {
                let is = bitmap[bit as usize / 8] >> (bit % 8) & 1 == 1;
                assert_eq!(is, (from..to).contains(&bit), "{from}..{to}: {bit}");
            }
        }
    }
}
