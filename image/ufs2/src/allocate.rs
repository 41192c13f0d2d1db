//! Hands out blocks in ascending order, and fragments of blocks that were begun.

use crate::geometry::{FRAGS, GROUP, Geometry, Run, SUPER_COPY, push};

/// Finds room for files. What it has passed is in use, but for the ends of blocks of which only the
/// first fragments are.
#[derive(Debug)]
pub(crate) struct Allocator {
    geometry: Geometry,
    /// The block after the last one that was begun.
    next: u64,
    /// Begun blocks by how many fragments at their end are left.
    begun: [Vec<u64>; FRAGS as usize],
}

impl Allocator {
    pub(crate) fn new(geometry: Geometry) -> Self {
        let mut begun: [Vec<u64>; FRAGS as usize] = Default::default();
        // The summary does not fill its last block.
        let end = geometry.fixed(0).end;
        let left = end.next_multiple_of(FRAGS) - end;
        if left > 0 {
            begun[left as usize].push(end / FRAGS);
        }
        Self {
            geometry,
            next: end.div_ceil(FRAGS),
            begun,
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
        let fitting = (count..FRAGS).find(|&left| !self.begun[left as usize].is_empty());
        let (block, left) = match fitting {
            Some(left) => (self.begun[left as usize].pop()?, left),
            None => (self.blocks(1)?.first()?.start / FRAGS, FRAGS),
        };
        if left > count {
            self.begun[(left - count) as usize].push(block);
        }
        Some(Run {
            start: block * FRAGS + FRAGS - left,
            len: count,
        })
    }

    /// The fragment after the last block that was begun.
    pub(crate) fn end(&self) -> u64 {
        self.next * FRAGS
    }

    /// Free fragments at the ends of begun blocks: what is in use has no other gaps.
    pub(crate) fn left_over(&self) -> impl Iterator<Item = Run> {
        (0..).zip(&self.begun).flat_map(|(left, blocks)| {
            blocks.iter().map(move |block| Run {
                start: block * FRAGS + FRAGS - left,
                len: left,
            })
        })
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
        assert_eq!(take(2), 6);
        assert_eq!(take(4), 11);
        assert_eq!(take(2), 16);
        assert_eq!(take(1), 15);
        let left: Vec<_> = allocator.left_over().collect();
        assert_eq!(
            left,
            [Run {
                start: base + 18,
                len: 6
            }]
        );
        assert_eq!(allocator.end(), base + 24);
    }
}
