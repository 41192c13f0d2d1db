//! Cylinder groups: a header, the map of inodes, the map of free fragments, and the map of free
//! blocks with the count of its runs (`struct cg` of `sys/ufs/ffs/fs.h`; values as `initcg()` of
//! `sbin/newfs/mkfs.c` and `sbin/fsck_ffs/pass5.c` have them).

use crate::bytes::Fields;
use crate::checksum;
use crate::geometry::{CLUSTERS, FRAG, FRAGS, GROUP, Geometry, INODES_PER_BLOCK, ROOT};
use crate::layout::Layout;

/// `CG_MAGIC`.
pub(crate) const MAGIC: u32 = 0x09_0255;
/// Bytes of the header before its maps.
pub(crate) const HEAD: u64 = 168;
/// Where the check hash lies.
pub(crate) const HASH_AT: usize = 132;

/// What a group has in use and free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cylinder {
    /// Inodes in use; always the first ones. Of the first group, the two that are none count.
    pub(crate) used_inodes: u64,
    pub(crate) dirs: u64,
    /// Blocks of which all is free.
    pub(crate) free_blocks: u64,
    /// Free fragments of other blocks.
    pub(crate) free_frags: u64,
}

/// How many inodes of a group hold something sensible; the kernel clears the others when it needs
/// them. newfs clears two blocks' worth, of which it uses one. So a block's worth is kept ready here,
/// too: `tunefs -j enable` takes the first free inode, and when it has to clear more of them for
/// that (`cgialloc()` of `lib/libufs/cgroup.c`), it writes the cleared block to a fragment's number
/// as if that counted sectors, which hits the superblock, and gives up.
pub(crate) fn initialised(used: u64, per_group: u64) -> u64 {
    (used + INODES_PER_BLOCK)
        .next_multiple_of(INODES_PER_BLOCK)
        .max(2 * INODES_PER_BLOCK)
        .min(per_group)
}

/// Where the maps of a group start, and where they end, in bytes from the header's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) inodes: usize,
    pub(crate) frags: usize,
    /// Counts of runs of free blocks, by length from 0, which is not used.
    pub(crate) cluster_sums: usize,
    pub(crate) clusters: usize,
    pub(crate) end: usize,
}

impl Maps {
    pub(crate) fn new(inodes_per_group: u64) -> Self {
        let inodes = HEAD;
        let frags = inodes + inodes_per_group / 8;
        let cluster_sums = (frags + GROUP / 8).next_multiple_of(4) - 4;
        let clusters = cluster_sums + (CLUSTERS + 1) * 4;
        let end = clusters + GROUP / FRAGS / 8;
        Self {
            inodes: inodes as usize,
            frags: frags as usize,
            cluster_sums: cluster_sums as usize,
            clusters: clusters as usize,
            end: end as usize,
        }
    }
}

/// What a map of free fragments amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub(crate) blocks: u64,
    pub(crate) frags: u64,
    /// Runs of free fragments in blocks that are not all free, by length.
    pub(crate) frag_runs: [u32; FRAGS as usize],
    /// Runs of free blocks by length; all longer ones count as the longest.
    pub(crate) cluster_runs: [u32; CLUSTERS as usize + 1],
    /// A bit for each free block.
    pub(crate) clusters: Vec<u8>,
}

impl Sums {
    /// Sums up a map of free fragments, a bit for each. A byte is a block.
    pub(crate) fn new(map: &[u8]) -> Self {
        let mut sums = Self {
            clusters: vec![0; map.len().div_ceil(8)],
            ..Self::default()
        };
        let mut run = 0;
        for (block, &bits) in map.iter().enumerate() {
            if bits == 0xff {
                sums.blocks += 1;
                sums.clusters[block / 8] |= 1 << (block % 8);
                run += 1;
                continue;
            }
            sums.cluster(&mut run);
            let mut bits = bits;
            while bits != 0 {
                bits >>= bits.trailing_zeros();
                let len = bits.trailing_ones();
                sums.frags += u64::from(len);
                sums.frag_runs[len as usize] += 1;
                bits >>= len;
            }
        }
        sums.cluster(&mut run);
        sums
    }

    fn cluster(&mut self, run: &mut usize) {
        if *run > 0 {
            self.cluster_runs[(*run).min(CLUSTERS as usize)] += 1;
            *run = 0;
        }
    }
}

impl Layout {
    /// The map of a group's free fragments, a bit for each of [`GROUP`], set where it is free.
    pub(crate) fn free_map(&self, group: u64) -> Vec<u8> {
        let geometry = &self.geometry;
        let start = geometry.group_start(group);
        let len = geometry.group_len(group);
        let fixed = geometry.fixed(group);
        let mut map = vec![0; (GROUP / 8) as usize];
        let free_from = self.end.saturating_sub(start).min(len);
        for frag in free_from..len {
            if !fixed.contains(&frag) {
                map[(frag / 8) as usize] |= 1 << (frag % 8);
            }
        }
        let from = self.left_over.partition_point(|run| run.start < start);
        for run in &self.left_over[from..] {
            if run.start >= start + len {
                break;
            }
            for frag in run.start - start..run.start - start + run.len {
                map[(frag / 8) as usize] |= 1 << (frag % 8);
            }
        }
        map
    }

    /// What a group has in use and free.
    pub(crate) fn cylinder(&self, group: u64) -> Cylinder {
        let per_group = self.geometry.inodes_per_group;
        let first = group * per_group;
        let last_inode = u64::from(ROOT) + self.placed.len() as u64;
        let used_inodes = last_inode.saturating_sub(first).min(per_group);
        let dirs = (first..first + used_inodes)
            .filter_map(|number| self.placed(number))
            .filter(|placed| placed.item.is_dir())
            .count();
        let sums = Sums::new(&self.free_map(group));
        Cylinder {
            used_inodes,
            dirs: dirs as u64,
            free_blocks: sums.blocks,
            free_frags: sums.frags,
        }
    }

    /// A group's header and maps.
    pub(crate) fn header(&self, group: u64) -> Vec<u8> {
        let geometry = &self.geometry;
        let cylinder = &self.cylinders[group as usize];
        let per_group = geometry.inodes_per_group;
        let maps = Maps::new(per_group);
        let map = self.free_map(group);
        let sums = Sums::new(&map);
        let mut raw = vec![0; header_size(geometry) as usize];
        raw.put32(4, MAGIC);
        raw.put32(12, group as u32);
        raw.put32(20, geometry.group_len(group) as u32);
        raw.put(24, &self.summary_entry(group));
        for (length, count) in sums.frag_runs.iter().enumerate() {
            raw.put32(52 + length * 4, *count);
        }
        raw.put32(92, maps.inodes as u32);
        raw.put32(96, maps.frags as u32);
        raw.put32(100, maps.end as u32);
        raw.put32(104, maps.cluster_sums as u32);
        raw.put32(108, maps.clusters as u32);
        raw.put32(112, (geometry.group_len(group) / FRAGS) as u32);
        raw.put32(116, per_group as u32);
        raw.put32(120, initialised(cylinder.used_inodes, per_group) as u32);
        raw.put64(136, self.options.epoch as u64);
        for inode in 0..cylinder.used_inodes as usize {
            raw[maps.inodes + inode / 8] |= 1 << (inode % 8);
        }
        raw.put(maps.frags, &map);
        // The first count is never used, and its place belongs to the map before.
        for (length, count) in sums.cluster_runs.iter().enumerate().skip(1) {
            raw.put32(maps.cluster_sums + length * 4, *count);
        }
        raw.put(maps.clusters, &sums.clusters);
        checksum::seal(&mut raw, HASH_AT);
        raw
    }

    /// A group's entry in the summary (`struct csum`).
    pub(crate) fn summary_entry(&self, group: u64) -> [u8; 16] {
        let cylinder = &self.cylinders[group as usize];
        let mut raw = [0; 16];
        raw.put32(0, cylinder.dirs as u32);
        raw.put32(4, cylinder.free_blocks as u32);
        raw.put32(
            8,
            (self.geometry.inodes_per_group - cylinder.used_inodes) as u32,
        );
        raw.put32(12, cylinder.free_frags as u32);
        raw
    }
}

/// Bytes of a header, whole fragments (`fs_cgsize`).
pub(crate) fn header_size(geometry: &Geometry) -> u64 {
    geometry.header_len().next_multiple_of(FRAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_a_map() {
        let mut map = vec![0xff; 20];
        map.extend([0, 0b1010_0110, 0xff, 0b0111_1111, 0]);
        let sums = Sums::new(&map);
        assert_eq!((sums.blocks, sums.frags), (21, 11));
        assert_eq!(sums.frag_runs, [0, 2, 1, 0, 0, 0, 0, 1]);
        let mut clusters = [0; 17];
        (clusters[1], clusters[16]) = (1, 1);
        assert_eq!(sums.cluster_runs, clusters);
        assert_eq!(sums.clusters, [0xff, 0xff, 0b0100_1111, 0]);
    }

    #[test]
    fn maps_lie_as_newfs_has_them() {
        let maps = Maps::new(16384);
        assert_eq!(
            maps,
            Maps {
                inodes: 168,
                frags: 2216,
                cluster_sums: 6308,
                clusters: 6376,
                end: 6888
            }
        );
    }

    #[test]
    fn two_blocks_of_inodes_are_ready_and_a_spare_one_at_all_times() {
        assert_eq!(initialised(0, 16384), 256);
        assert_eq!(initialised(128, 16384), 256);
        assert_eq!(initialised(129, 16384), 384);
        assert_eq!(initialised(257, 16384), 512);
        assert_eq!(initialised(16384, 16384), 16384);
        assert_eq!(initialised(0, 128), 128);
    }
}
