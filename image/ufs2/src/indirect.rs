//! Where a file's blocks lie, beyond the twelve that its inode lists: blocks of addresses, up to
//! three deep.

use clawdie_runs::Run;

use crate::bytes::Fields;
use crate::geometry::{BLOCK, FRAGS};

/// Addresses in an inode (`UFS_NDADDR`).
pub(crate) const DIRECT: u64 = 12;
/// Addresses of blocks of addresses in an inode (`UFS_NIADDR`).
pub(crate) const LEVELS: usize = 3;
/// Addresses in a block (`fs_nindir`).
pub(crate) const ADDRESSES: u64 = BLOCK / 8;

/// Blocks that one block of addresses leads to: level 0 lists data.
pub(crate) fn span(level: usize) -> u64 {
    ADDRESSES.pow(level as u32 + 1)
}

/// The first block of a file that its address of a level leads to.
pub(crate) fn first(level: usize) -> u64 {
    DIRECT + (0..level).map(span).sum::<u64>()
}

/// A file's blocks of addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Indirect {
    /// Per level, ascending: the first of the file's blocks it leads to, and where it lies.
    levels: [Vec<(u64, u64)>; LEVELS],
}

impl Indirect {
    /// Finds out which blocks of addresses the file in `runs` needs, of which only the holes matter,
    /// and takes a place for each.
    pub(crate) fn plan(runs: &[Run], take: &mut dyn FnMut() -> Option<u64>) -> Option<Self> {
        let mut tree = Self::default();
        // Most files need none.
        if runs.iter().map(|run| run.len).sum::<u64>() <= DIRECT * FRAGS {
            return Some(tree);
        }
        let runs = Placed::new(runs);
        for level in 0..LEVELS {
            tree.node(&runs, level, first(level), take)?;
        }
        Some(tree)
    }

    fn node(
        &mut self,
        runs: &Placed,
        level: usize,
        first: u64,
        take: &mut dyn FnMut() -> Option<u64>,
    ) -> Option<()> {
        if runs.next_data(first) >= first + span(level) {
            return Some(());
        }
        self.levels[level].push((first, take()?));
        if let Some(below) = level.checked_sub(1) {
            let mut child = first;
            while child < first + span(level) {
                self.node(runs, below, child, take)?;
                // On to the next child with data.
                let next = runs.next_data(child + span(below));
                if next == u64::MAX {
                    break;
                }
                child = next - (next - first) % span(below);
            }
        }
        Some(())
    }

    /// How many blocks of addresses there are.
    pub(crate) fn count(&self) -> u64 {
        self.levels.iter().map(|level| level.len() as u64).sum()
    }

    /// Every block of addresses: where it lies and what is in it.
    pub(crate) fn blocks<'a>(
        &'a self,
        runs: &'a [Run],
    ) -> impl Iterator<Item = (u64, Vec<u8>)> + 'a {
        let placed = Placed::new(runs);
        (0..LEVELS)
            .flat_map(|level| self.levels[level].iter().map(move |node| (level, *node)))
            .map(move |(level, (first, at))| {
                let mut bytes = vec![0; BLOCK as usize];
                for n in 0..ADDRESSES {
                    let address = match level.checked_sub(1) {
                        None => placed.address(first + n),
                        Some(below) => self.at(below, first + n * span(below)),
                    };
                    bytes.put64((n * 8) as usize, address);
                }
                (at, bytes)
            })
    }

    /// Where the block of addresses of a level lies; 0 when there is none.
    fn at(&self, level: usize, first: u64) -> u64 {
        let nodes = &self.levels[level];
        nodes
            .binary_search_by_key(&first, |node| node.0)
            .map_or(0, |index| nodes[index].1)
    }

    /// The fifteen addresses of the inode.
    pub(crate) fn inode(&self, runs: &[Run]) -> [u8; 120] {
        let placed = Placed::new(runs);
        let mut area = [0; 120];
        for block in 0..DIRECT {
            area.put64(block as usize * 8, placed.address(block));
        }
        for level in 0..LEVELS {
            area.put64((DIRECT as usize + level) * 8, self.at(level, first(level)));
        }
        area
    }
}

/// The runs of a file with the fragment of the file that each starts at.
struct Placed(Vec<(u64, Run)>);

impl Placed {
    fn new(runs: &[Run]) -> Self {
        let starts = runs.iter().scan(0, |next, run| {
            let start = *next;
            *next += run.len;
            Some((start, *run))
        });
        Self(starts.collect())
    }

    /// The run that a fragment of the file lies in, or the number of runs.
    fn index(&self, frag: u64) -> usize {
        self.0
            .partition_point(|(start, run)| start + run.len <= frag)
    }

    /// Where a block of the file lies; 0 for a hole and beyond the end.
    fn address(&self, block: u64) -> u64 {
        let frag = block * FRAGS;
        match self.0.get(self.index(frag)) {
            Some((start, run)) if !run.is_hole() => run.start + frag - start,
            _ => 0,
        }
    }

    /// The first block from `block` on that is stored, or the greatest number.
    fn next_data(&self, block: u64) -> u64 {
        let Some(frag) = block.checked_mul(FRAGS) else {
            return u64::MAX;
        };
        self.0[self.index(frag)..]
            .iter()
            .find(|(_, run)| !run.is_hole())
            .map_or(u64::MAX, |(start, _)| frag.max(*start) / FRAGS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(runs: &[Run]) -> Indirect {
        let mut next = 1_000_000;
        Indirect::plan(runs, &mut || {
            next += FRAGS;
            Some(next)
        })
        .unwrap()
    }

    fn data(start: u64, blocks: u64) -> Run {
        Run {
            start,
            len: blocks * FRAGS,
        }
    }

    #[test]
    fn blocks_of_addresses_appear_at_the_boundaries() {
        let counts = [
            (12, 0),
            (13, 1),
            (12 + 4096, 1),
            (12 + 4097, 3),
            (12 + 2 * 4096, 3),
            (12 + 2 * 4096 + 1, 4),
        ];
        for (blocks, count) in counts {
            assert_eq!(plan(&[data(8, blocks)]).count(), count, "{blocks}");
        }
        // The last block of a file of all three levels, and nothing before.
        let hole = Run {
            start: 0,
            len: first(2) * FRAGS,
        };
        let sparse = [hole, data(80, 1)];
        let tree = plan(&sparse);
        assert_eq!(tree.count(), 3);
        let area = tree.inode(&sparse);
        assert_eq!(area[..14 * 8], [0; 14 * 8]);
        let blocks: Vec<_> = tree.blocks(&sparse).collect();
        let triple = area.get64(14 * 8);
        let below = |at: u64| {
            let (_, bytes) = blocks.iter().find(|(place, _)| *place == at).unwrap();
            assert!(bytes[8..].iter().all(|&byte| byte == 0));
            bytes.get64(0)
        };
        assert_eq!(below(below(below(triple))), 80);
    }

    #[test]
    fn every_block_is_led_to() {
        let blocks = 12 + 4096 + 2 * 4096 + 5;
        let runs = [data(8, 100), data(8000, blocks - 100)];
        let tree = plan(&runs);
        let area = tree.inode(&runs);
        assert_eq!(area.get64(0), 8);
        assert_eq!(area.get64(11 * 8), 96);
        let map: std::collections::HashMap<u64, Vec<u8>> = tree.blocks(&runs).collect();
        let single = &map[&area.get64(12 * 8)];
        assert_eq!(single.get64(0), 8 + 12 * 8);
        assert_eq!(single.get64(88 * 8), 8000);
        let double = &map[&area.get64(13 * 8)];
        assert_eq!(double.get64(3 * 8), 0);
        let last = &map[&double.get64(2 * 8)];
        assert_eq!(last.get64(4 * 8), 8000 + (blocks - 101) * 8);
        assert_eq!(last.get64(5 * 8), 0);
    }
}
