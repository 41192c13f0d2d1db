//! Extent trees: which blocks of the disk hold which blocks of a file.

use clawdie_runs::Run;

use crate::bytes::Fields;
use crate::checksum;
use crate::geometry::BLOCK;

const MAGIC: u16 = 0xf30a;
const ENTRY: usize = 12;
/// The longest initialised extent.
const LONGEST: u64 = 32768;
/// Entries of the root in the inode.
const IN_INODE: usize = 4;
/// Entries of a tree block: a header, the entries, four bytes of checksum.
const IN_BLOCK: usize = (BLOCK as usize - ENTRY - 4) / ENTRY;

/// How many tree blocks a file of `blocks` blocks needs at most: a run may break twice in a group.
pub(crate) fn most_tree_blocks(blocks: u64) -> u64 {
    let mut total = 0;
    let mut level = blocks / (LONGEST / 2) + 3;
    while level > IN_INODE as u64 {
        level = level.div_ceil(IN_BLOCK as u64);
        total += level;
    }
    total
}

/// One entry of a node: a piece of the file, or a block one level down.
#[derive(Clone, Copy)]
struct Entry {
    logical: u32,
    physical: u64,
    len: u16,
}

/// An extent tree.
pub(crate) struct Extents {
    /// The root, as it stands in the inode.
    pub(crate) root: [u8; 60],
    /// The blocks below it and their places.
    pub(crate) blocks: Vec<(u64, Vec<u8>)>,
}

/// The tree of a file whose blocks are `runs`, in order and without holes. `block_for` hands out one
/// block at a time, or none when the disk is full.
pub(crate) fn tree(
    runs: &[Run],
    inode_seed: u32,
    mut block_for: impl FnMut() -> Option<u64>,
) -> Option<Extents> {
    let mut level: Vec<Entry> = Vec::new();
    let mut logical = 0;
    for run in runs {
        let mut done = 0;
        while done < run.len {
            let len = (run.len - done).min(LONGEST);
            level.push(Entry {
                logical: logical as u32,
                physical: run.start + done,
                len: len as u16,
            });
            done += len;
            logical += len;
        }
    }
    let mut blocks = Vec::new();
    let mut depth = 0;
    while level.len() > IN_INODE {
        let mut above = Vec::new();
        for part in level.chunks(IN_BLOCK) {
            let at = block_for()?;
            let mut bytes = vec![0; BLOCK as usize];
            let tail = node(&mut bytes, part, IN_BLOCK, depth);
            let sum = checksum::extend(inode_seed, &bytes[..tail]);
            bytes.put32(tail, sum);
            blocks.push((at, bytes));
            above.push(Entry {
                logical: part[0].logical,
                physical: at,
                len: 0,
            });
        }
        level = above;
        depth += 1;
    }
    let mut root = [0; 60];
    node(&mut root, &level, IN_INODE, depth);
    Some(Extents { root, blocks })
}

/// Fills in a node and says where its last possible entry ends.
fn node(bytes: &mut [u8], entries: &[Entry], max: usize, depth: u16) -> usize {
    bytes.put16(0, MAGIC);
    bytes.put16(2, entries.len() as u16);
    bytes.put16(4, max as u16);
    bytes.put16(6, depth);
    for (index, entry) in entries.iter().enumerate() {
        let at = ENTRY + index * ENTRY;
        bytes.put32(at, entry.logical);
        if depth == 0 {
            bytes.put16(at + 4, entry.len);
            bytes.put16(at + 6, (entry.physical >> 32) as u16);
            bytes.put32(at + 8, entry.physical as u32);
        } else {
            bytes.put32(at + 4, entry.physical as u32);
            bytes.put16(at + 8, (entry.physical >> 32) as u16);
        }
    }
    ENTRY + max * ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_grows_a_level_when_the_one_above_is_full() {
        for (runs, depth, count) in [(4, 0, 0), (5, 1, 1), (1360, 1, 4), (1361, 2, 6)] {
            let runs: Vec<Run> = (0..runs)
                .map(|n| Run {
                    start: n * 3,
                    len: 2,
                })
                .collect();
            let mut next = 1_000_000;
            let Extents { root, blocks } = tree(&runs, 1, || {
                next += 1;
                Some(next)
            })
            .unwrap();
            assert_eq!(root[6], depth);
            assert_eq!(blocks.len(), count);
        }
    }

    #[test]
    fn the_estimate_covers_the_worst_case() {
        assert_eq!(most_tree_blocks(1), 0);
        assert_eq!(most_tree_blocks(16384), 0);
        assert_eq!(most_tree_blocks(40_000), 1);
        // 16 TiB, the largest file.
        assert!(most_tree_blocks(1 << 32) > (1 << 18) / 340);
    }
}
