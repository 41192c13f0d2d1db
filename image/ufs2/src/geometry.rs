//! Where the fixed structures lie: superblocks, cylinder groups and inode tables.
//!
//! A fragment of 4 KiB is the unit of addresses; eight of them, aligned, are a block. Each cylinder
//! group has at the same place a copy of the superblock, its own header with the maps, and its
//! inodes; what is before and behind them holds data. In the first group the boot code and the
//! superblock proper take the place before (`cgbase` and what follows it in `sys/ufs/ffs/fs.h`).

use crate::Error;

/// Bytes of a fragment (`fs_fsize`).
pub(crate) const FRAG: u64 = 4096;
/// Fragments of a block (`fs_frag`).
pub(crate) const FRAGS: u64 = 8;
/// Bytes of a block (`fs_bsize`).
pub(crate) const BLOCK: u64 = FRAG * FRAGS;
/// Bytes of an inode (`struct ufs2_dinode`).
pub(crate) const INODE: u64 = 256;
/// Inodes of a block (`fs_inopb`).
pub(crate) const INODES_PER_BLOCK: u64 = BLOCK / INODE;
/// Where the superblock lies (`SBLOCK_UFS2`).
pub(crate) const SUPER_AT: u64 = 65536;
/// Room that a superblock has (`SBLOCKSIZE`).
pub(crate) const SUPER_ROOM: u64 = 8192;
/// Fragments of a group (`fs_fpg`), 128 MiB. newfs makes at least four groups of a small disk and
/// groups of 626 MiB of a large one. This system starts small and is grown, and one whole group
/// stays free for that, so they are small from the start.
pub(crate) const GROUP: u64 = 32768;
/// Where the superblock's copy lies in a group (`fs_sblkno`).
pub(crate) const SUPER_COPY: u64 = (SUPER_AT + SUPER_ROOM).div_ceil(BLOCK) * FRAGS;
/// Where the group's header lies (`fs_cblkno`).
pub(crate) const HEADER: u64 = SUPER_COPY + SUPER_ROOM.div_ceil(BLOCK) * FRAGS;
/// Where the group's inodes start (`fs_iblkno`).
pub(crate) const INODES: u64 = HEADER + FRAGS;
/// Bytes of a group's entry in the summary (`struct csum`).
pub(crate) const SUMMARY: u64 = 16;
/// The first inode in use; 0 and 1 stand for none and for whiteouts.
pub(crate) const ROOT: u32 = 2;
/// Lengths of runs of free blocks that a group counts one by one (`fs_contigsumsize`).
pub(crate) const CLUSTERS: u64 = 16;

/// One inode per 8 KiB, the default of newfs, counted in a group.
const LEAST_INODES: u64 = GROUP * FRAG / 8192;
/// Half a group of inodes is the most that makes sense.
const MOST_INODES: u64 = GROUP * FRAG / INODE / 4;
/// A last group has room for this many blocks beyond its own structures, or is not worth having.
const LEAST_TAIL: u64 = 64;
/// Inode numbers have 32 bits (`validate_sblock` in `sys/ufs/ffs/ffs_subr.c`).
const ALL_INODES: u64 = (1 << 32) - INODES_PER_BLOCK;

/// The numbers that fix the place of every structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Fragments of the file system; whole blocks.
    pub(crate) frags: u64,
    /// Cylinder groups.
    pub(crate) groups: u64,
    /// Inodes of each group.
    pub(crate) inodes_per_group: u64,
}

impl Geometry {
    /// The geometry of `frags` fragments with room for inodes up to number `last_inode`. What is
    /// less than a block, or too short for a last group, is left out.
    pub(crate) fn new(frags: u64, last_inode: u64) -> Result<Self, Error> {
        let too_many = Error::TooManyInodes {
            inodes: last_inode,
            bytes: frags * FRAG,
        };
        let frags = frags - frags % FRAGS;
        let groups = frags.div_ceil(GROUP).max(1);
        // An eighth more than needed, so that an image with very many small files can still be
        // used; and none in the last group, which stays free.
        let wanted = (last_inode + last_inode / 8 + 16).div_ceil((groups - 1).max(1));
        let inodes_per_group = wanted.next_multiple_of(INODES_PER_BLOCK).max(LEAST_INODES);
        if inodes_per_group > MOST_INODES || inodes_per_group * groups > ALL_INODES {
            return Err(too_many);
        }
        let whole = Self {
            frags,
            groups,
            inodes_per_group,
        };
        let tail = frags - whole.group_start(groups - 1);
        if tail >= whole.data() + LEAST_TAIL * FRAGS {
            return Ok(whole);
        }
        if groups == 1 {
            return Err(Error::TooSmall {
                needed: (whole.data() + LEAST_TAIL * FRAGS) * FRAG,
                size: frags * FRAG,
            });
        }
        Self::new((groups - 1) * GROUP, last_inode)
    }

    /// First fragment of a group.
    pub(crate) fn group_start(&self, group: u64) -> u64 {
        group * GROUP
    }

    /// Fragments of a group; only the last may be short.
    pub(crate) fn group_len(&self, group: u64) -> u64 {
        (self.frags - self.group_start(group)).min(GROUP)
    }

    /// Where data starts in a group, behind its inodes (`fs_dblkno`).
    pub(crate) fn data(&self) -> u64 {
        INODES + self.inodes_per_group * INODE / FRAG
    }

    /// Fragments of the summary of all groups, which stands where the first group's data would
    /// start.
    pub(crate) fn summary(&self) -> u64 {
        (self.groups * SUMMARY).div_ceil(FRAG)
    }

    /// The fragments of a group that hold fixed structures, counted from its start.
    pub(crate) fn fixed(&self, group: u64) -> std::ops::Range<u64> {
        if group == 0 {
            0..self.data() + self.summary()
        } else {
            SUPER_COPY..self.data()
        }
    }

    /// Bytes of a group's header with its maps (`CGSIZE`).
    pub(crate) fn header_len(&self) -> u64 {
        let maps = self.inodes_per_group / 8 + GROUP / 8 + GROUP / FRAGS / 8;
        168 + maps + 4 + CLUSTERS * 4
    }

    /// Fragments that are not taken by fixed structures.
    pub(crate) fn capacity(&self) -> u64 {
        let fixed: u64 = (0..self.groups)
            .map(|group| {
                let fixed = self.fixed(group);
                fixed.end - fixed.start
            })
            .sum();
        self.frags - fixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_those_of_newfs() {
        // newfs -b 32768 -f 4096: fs_sblkno, fs_cblkno, fs_iblkno.
        assert_eq!((SUPER_COPY, HEADER, INODES), (24, 32, 40));
        let geometry = Geometry::new(2 * GROUP, 100).unwrap();
        assert_eq!(geometry.inodes_per_group, 16384);
        assert_eq!(geometry.data(), 40 + 1024);
        assert!(geometry.header_len() < BLOCK);
    }

    #[test]
    fn a_useless_last_group_is_left_out() {
        let geometry = Geometry::new(GROUP + 1100, 100).unwrap();
        assert_eq!((geometry.groups, geometry.frags), (1, GROUP));
        let geometry = Geometry::new(GROUP + 1064 + 64 * 8 + 7, 100).unwrap();
        assert_eq!(
            (geometry.groups, geometry.frags),
            (2, GROUP + 1064 + 64 * 8)
        );
        assert!(matches!(
            Geometry::new(1000, 100),
            Err(Error::TooSmall { .. })
        ));
    }

    #[test]
    fn inodes_grow_with_need_up_to_a_limit() {
        let geometry = Geometry::new(2 * GROUP, 100_000).unwrap();
        assert!((112_500..113_000).contains(&geometry.inodes_per_group));
        assert!(geometry.header_len() < BLOCK);
        assert!(matches!(
            Geometry::new(2 * GROUP, 200_000),
            Err(Error::TooManyInodes { .. })
        ));
        assert!(Geometry::new(3 * GROUP, 200_000).is_ok());
    }
}
