//! The superblock (`struct fs` of `sys/ufs/ffs/fs.h`), with the values that `sbin/newfs/mkfs.c`
//! gives it.

use crate::bytes::Fields;
use crate::checksum;
use crate::cylinder::header_size;
use crate::geometry::{
    BLOCK, CLUSTERS, FRAG, FRAGS, GROUP, HEADER, INODE, INODES, INODES_PER_BLOCK, SUMMARY,
    SUPER_AT, SUPER_COPY,
};
use crate::indirect::{ADDRESSES, DIRECT, LEVELS, span};
use crate::inode::AREA;
use crate::layout::Layout;

/// Bytes of `struct fs`.
pub(crate) const LEN: usize = 1376;
/// Bytes that are written and hashed (`fs_sbsize`): whole fragments.
pub(crate) const SIZE: u64 = FRAG;
/// `FS_UFS2_MAGIC`.
pub(crate) const MAGIC: u32 = 0x1954_0119;
/// Where the magic number lies.
pub(crate) const MAGIC_AT: usize = 1372;
/// Where the check hash lies.
pub(crate) const HASH_AT: usize = 1304;
/// Where the superblock says where it lies itself (`fs_sblockactualloc`).
pub(crate) const OWN_PLACE_AT: usize = 992;

/// Per cent kept for root (`MINFREE`).
const MIN_FREE: u32 = 8;
/// `FS_FLAGS_UPDATED`: that the flags stand in their new place.
const FLAGS_UPDATED: u8 = 0x80;
/// `FS_DOSOFTDEP`.
pub(crate) const SOFT_UPDATES: u32 = 0x2;
/// `FS_METACKHASH`.
pub(crate) const CHECK_HASHES: u32 = 0x200;
/// What a sound file system may say of itself: the two above, a journal for soft updates, ACLs of
/// either kind, labels, TRIM (`FS_SUJ`, `FS_ACLS`, `FS_NFS4ACLS`, `FS_MULTILABEL`, `FS_TRIM`).
pub(crate) const KNOWN_FLAGS: u32 = SOFT_UPDATES | CHECK_HASHES | 0x8 | 0x10 | 0x100 | 0x20 | 0x400;
/// `CK_SUPERBLOCK`, `CK_CYLGRP`, `CK_INODE`.
pub(crate) const HASHED: u32 = 0x7;
/// `fs_fsbtodb`: a fragment has 2^3 sectors.
const SECTORS_SHIFT: u32 = (FRAG / 512).trailing_zeros();

impl Layout {
    /// The superblock as it stands `place` bytes from the file system's start.
    pub(crate) fn superblock(&self, place: u64) -> Vec<u8> {
        let geometry = &self.geometry;
        let mut raw = vec![0; SIZE as usize];
        raw.put32(8, SUPER_COPY as u32);
        raw.put32(12, HEADER as u32);
        raw.put32(16, INODES as u32);
        raw.put32(20, geometry.data() as u32);
        raw.put32(44, geometry.groups as u32);
        raw.put32(48, BLOCK as u32);
        raw.put32(52, FRAG as u32);
        raw.put32(56, FRAGS as u32);
        raw.put32(60, MIN_FREE);
        raw.put32(72, !(BLOCK as u32 - 1));
        raw.put32(76, !(FRAG as u32 - 1));
        raw.put32(80, BLOCK.trailing_zeros());
        raw.put32(84, FRAG.trailing_zeros());
        raw.put32(88, ((1 << 20) / BLOCK) as u32); // fs_maxcontig: MAXPHYS in blocks
        raw.put32(92, ADDRESSES as u32); // fs_maxbpg
        raw.put32(96, FRAGS.trailing_zeros());
        raw.put32(100, SECTORS_SHIFT);
        raw.put32(104, SIZE as u32);
        raw.put32(116, ADDRESSES as u32);
        raw.put32(120, INODES_PER_BLOCK as u32);
        raw.put(144, &self.options.id);
        raw.put32(156, (geometry.summary() * FRAG) as u32);
        raw.put32(160, header_size(geometry) as u32);
        raw.put32(184, geometry.inodes_per_group as u32);
        raw.put32(188, GROUP as u32);
        raw[209] = 1; // clean
        raw[211] = FLAGS_UPDATED;
        raw.put(680, self.options.label.as_bytes());
        raw.put32(860, BLOCK as u32); // fs_maxbsize
        raw.put64(872, self.len() / FRAG); // fs_providersize
        // Half of what is kept for root is where the kernel prefers to put directories.
        let preferred = GROUP * u64::from(MIN_FREE) / 200;
        raw.put64(880, preferred - preferred % FRAGS); // fs_metaspace
        raw.put64(OWN_PLACE_AT, place);
        raw.put64(1000, SUPER_AT);
        raw.put64(1008, self.total(|cylinder| cylinder.dirs));
        raw.put64(1016, self.total(|cylinder| cylinder.free_blocks));
        let inodes = geometry.groups * geometry.inodes_per_group;
        raw.put64(1024, inodes - self.total(|cylinder| cylinder.used_inodes));
        raw.put64(1032, self.total(|cylinder| cylinder.free_frags));
        raw.put64(1072, self.options.epoch as u64);
        raw.put64(1080, geometry.frags);
        raw.put64(1088, self.data_frags());
        raw.put64(1096, geometry.data()); // fs_csaddr
        raw.put32(1196, 16384); // fs_avgfilesize
        raw.put32(1200, 64); // fs_avgfpdir
        raw.put32(1308, HASHED);
        raw.put32(1312, SOFT_UPDATES | CHECK_HASHES);
        raw.put32(1316, CLUSTERS as u32);
        raw.put32(1320, AREA as u32); // fs_maxsymlinklen
        raw.put64(1328, most_bytes());
        raw.put64(1336, BLOCK - 1);
        raw.put64(1344, FRAG - 1);
        raw.put32(MAGIC_AT, MAGIC);
        checksum::seal(&mut raw, HASH_AT);
        raw
    }

    fn total(&self, of: impl Fn(&crate::cylinder::Cylinder) -> u64) -> u64 {
        self.cylinders.iter().map(of).sum()
    }

    /// Fragments for data (`fs_dsize`): newfs counts the first blocks of later groups, but not the
    /// boot area.
    fn data_frags(&self) -> u64 {
        let geometry = &self.geometry;
        let fixed = geometry.data() - SUPER_COPY;
        geometry.frags - SUPER_COPY - geometry.groups * fixed - geometry.summary()
    }

    /// The summary of all groups.
    pub(crate) fn summary(&self) -> Vec<u8> {
        (0..self.geometry.groups)
            .flat_map(|group| self.summary_entry(group))
            .collect()
    }
}

/// The most bytes a file can have (`fs_maxfilesize`).
pub(crate) fn most_bytes() -> u64 {
    (DIRECT + (0..LEVELS).map(span).sum::<u64>()) * BLOCK - 1
}

/// Bytes of the note in the boot area.
pub(crate) const RECOVERY: usize = 20;

/// What lies at the end of the boot area, so that fsck finds the superblock's copies when it cannot
/// read the superblock (`struct fsrecovery`).
pub(crate) fn recovery(groups: u64) -> [u8; RECOVERY] {
    let mut raw = [0; RECOVERY];
    raw.put32(0, MAGIC);
    raw.put32(4, SECTORS_SHIFT);
    raw.put32(8, SUPER_COPY as u32);
    raw.put32(12, GROUP as u32);
    raw.put32(16, groups as u32);
    raw
}

const _: () = assert!(LEN == MAGIC_AT + 4 && INODE == 256 && SUMMARY == 16);
