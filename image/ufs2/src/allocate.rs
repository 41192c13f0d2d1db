//! Hands out blocks in ascending order, and fragments of blocks that were begun.

use clawdie_runs::{Run, push};

use crate::geometry::{FRAGS, GROUP, Geometry, SUPER_COPY};

/// Finds room for files. What it has passed is in use, but for the ends of blocks of which only the
/// first fragments are.
#[derive(Debug)]
pub(crate) struct Allocator {
    geometry: Geometry,
    /// The block after the last one that was begun.
    next: u64,
    /// The block begun last, and how many fragments at its end are left. What comes next goes here
    /// if it fits, so that neighbours in the source stay neighbours.
    recent: (u64, u64),
    /// Blocks begun before, by how many fragments are left.
    begun: [Vec<u64>; FRAGS as usize],
}

impl Allocator {
    pub(crate) fn new(geometry: Geometry) -> Self {
        // The summary does not fill its last block.
        let end = geometry.fixed(0).end;
        Self {
            geometry,
            next: end.div_ceil(FRAGS),
            recent: (end / FRAGS, end.next_multiple_of(FRAGS) - end),
            begun: Default::default(),
        }
    }

    /// Takes whole blocks, in as few runs as the fixed structures allow; none when too few are left.
    pub(crate) fn blocks(&mut self, mut count: u64) -> Option<Vec<Run>> {
        let mut runs = Vec::new();
        while count > 0 {
            let at = self.next * FRAGS;
            let group = at / GROUP;
            if group >= self.geometry.groups {
                return None;
            }
            let start = self.geometry.group_start(group);
            let fixed = self.geometry.fixed(group);
            let end = if at - start < SUPER_COPY && group > 0 {
                start + fixed.start
            } else if at < start + self.geometry.data() {
                self.next = (start + self.geometry.data()) / FRAGS;
                continue;
            } else {
                start + self.geometry.group_len(group)
            };
            let blocks = count.min((end.saturating_sub(at)) / FRAGS);
            if blocks == 0 {
                return None;
            }
            push(
                &mut runs,
                Run {
                    start: at,
                    len: blocks * FRAGS,
                },
            );
            self.next += blocks;
            count -= blocks;
        }
        Some(runs)
    }

    /// Takes fewer fragments than a block has, within one block.
    pub(crate) fn fragments(&mut self, count: u64) -> Option<Run> {
        let (block, left) = self.recent;
        if left >= count {
            self.recent = (block, left - count);
            return Some(last(block, left, count));
        }
        let fitting = (count..FRAGS).find(|&left| !self.begun[left as usize].is_empty());
        let Some(left) = fitting else {
            return self.first_fragments(count);
        };
        let block = self.begun[left as usize].pop()?;
        if left > count {
            self.begun[(left - count) as usize].push(block);
        }
        Some(last(block, left, count))
    }

    /// Takes the first fragments of a new block: the end of a file whose blocks lie before it.
    pub(crate) fn first_fragments(&mut self, count: u64) -> Option<Run> {
        let block = self.blocks(1)?.first()?.start / FRAGS;
        let (before, left) = std::mem::replace(&mut self.recent, (block, FRAGS - count));
        if left > 0 {
            self.begun[left as usize].push(before);
        }
        Some(last(block, FRAGS, count))
    }

    /// The fragment after the last block that was begun.
    pub(crate) fn end(&self) -> u64 {
        self.next * FRAGS
    }

    /// Free fragments at the ends of begun blocks, ascending: what is in use has no other gaps.
    pub(crate) fn left_over(&self) -> Vec<Run> {
        let before = (0..)
            .zip(&self.begun)
            .flat_map(|(left, blocks)| blocks.iter().map(move |block| (*block, left)));
        let mut runs: Vec<Run> = before
            .chain([self.recent])
            .filter(|(_, left)| *left > 0)
            .map(|(block, left)| last(block, left, left))
            .collect();
        runs.sort_by_key(|run| run.start);
        runs
    }
}

/// The first `count` of the last `left` fragments of a block.
fn last(block: u64, left: u64, count: u64) -> Run {
    Run {
        start: (block + 1) * FRAGS - left,
        len: count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_break_only_at_fixed_structures() {
        let geometry = Geometry::new(3 * GROUP, 100).unwrap();
        let mut allocator = Allocator::new(geometry);
        let blocks = (geometry.capacity() - 7) / FRAGS;
        let runs = allocator.blocks(blocks).unwrap();
        let data = geometry.data();
        assert_eq!(
            runs.iter().map(|run| run.start).collect::<Vec<_>>(),
            [data + 8, GROUP + data, 2 * GROUP + data]
        );
        assert_eq!(runs[0].start + runs[0].len, GROUP + SUPER_COPY);
        assert!(allocator.blocks(1).is_none());
        // Still there: what the summary left of its block.
        assert_eq!(allocator.fragments(7).unwrap().start, data + 1);
        assert!(allocator.fragments(1).is_none());
    }

    #[test]
    fn fragments_fill_begun_blocks_and_stay_within_one() {
        let geometry = Geometry::new(2 * GROUP, 100).unwrap();
        let mut allocator = Allocator::new(geometry);
        let base = geometry.data();
        let mut take = |count| allocator.fragments(count).unwrap().start - base;
        assert_eq!(take(5), 1);
        assert_eq!(take(3), 8);
        assert_eq!(take(4), 11);
        assert_eq!(take(2), 6);
        assert_eq!(take(1), 15);
        assert_eq!(take(2), 16);
        assert_eq!(allocator.first_fragments(1).unwrap().start, base + 24);
        assert_eq!(allocator.fragments(3).unwrap().start, base + 25);
        assert_eq!(allocator.fragments(5).unwrap().start, base + 18);
        let run = |start, len| Run {
            start: base + start,
            len,
        };
        assert_eq!(allocator.left_over(), [run(23, 1), run(28, 4)]);
        assert_eq!(allocator.end(), base + 32);
    }
}
