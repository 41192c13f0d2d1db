//! Where a file's blocks lie, from its extent tree.

use clawdie_runs::{Run, push};
use clawdie_tree::TreePath;
use mkext4::spec::{self, Extent, ExtentHeader, ExtentIdx, Inode};

use super::{BLOCK, ReadError, Reader, at, damaged, foreign};

/// The format allows five levels below the root.
const DEEPEST: u16 = 5;

impl Reader<'_> {
    /// Where a file's blocks lie; exactly as many as its size needs, without holes.
    pub(super) fn runs(
        &self,
        path: &TreePath,
        number: u32,
        inode: &Inode,
        blocks_left: &mut u64,
    ) -> Result<Vec<Run>, ReadError> {
        let root = inode
            .extent_root()
            .ok_or_else(|| foreign(path, "its blocks are not in extents"))?;
        let mut walk = ExtentWalk {
            reader: self,
            path,
            number,
            next: 0,
            runs: Vec::new(),
        };
        walk.node(root, DEEPEST)?;
        let ExtentWalk { next, runs, .. } = walk;
        if next != inode.size.div_ceil(BLOCK) {
            let fault = format!("{} bytes do not lie in {next} blocks", inode.size);
            return Err(damaged(path, fault));
        }
        // Blocks that belong to several files could make more content than there is image.
        *blocks_left = blocks_left
            .checked_sub(next)
            .ok_or_else(|| damaged(path, "files hold more blocks than there are"))?;
        Ok(runs)
    }
}

/// One file's extent tree, from its first block to its last.
struct ExtentWalk<'a> {
    reader: &'a Reader<'a>,
    path: &'a TreePath,
    number: u32,
    /// The block of the file that must come next.
    next: u64,
    runs: Vec<Run>,
}

impl ExtentWalk<'_> {
    /// Walks a node that has at most `levels` below it. As every leaf entry must go on where the
    /// last one ended, no block can be walked twice, whatever the tree says.
    fn node(&mut self, node: &[u8], levels: u16) -> Result<(), ReadError> {
        let path = self.path;
        let header = ExtentHeader::decode(node).map_err(at(path))?;
        let room = (node.len() - ExtentHeader::LEN) / ExtentHeader::ENTRY_LEN;
        if usize::from(header.entries) > room || header.depth > levels {
            return Err(damaged(path, "its extent tree has impossible nodes"));
        }
        for index in 0..usize::from(header.entries) {
            let raw = spec::extent::entry(node, index);
            if header.depth == 0 {
                self.leaf(Extent::decode(raw))?;
                continue;
            }
            let before = self.next;
            let below = self.reader.block(path, ExtentIdx::decode(raw).leaf)?;
            let depth = ExtentHeader::decode(&below).map_err(at(path))?.depth;
            if depth + 1 != header.depth {
                return Err(damaged(path, "its extent tree skips a level"));
            }
            self.node(&below, depth)?;
            if self.next == before {
                return Err(damaged(path, "its extent tree has an empty node"));
            }
        }
        Ok(())
    }

    fn leaf(&mut self, extent: Extent) -> Result<(), ReadError> {
        let path = self.path;
        if extent.is_empty() || extent.is_unwritten() || u64::from(extent.logical) != self.next {
            let fault = format!("inode {}: its extents leave a gap", self.number);
            return Err(foreign(path, fault));
        }
        let blocks = u64::from(extent.len());
        if extent.start == 0 || extent.start + blocks > self.reader.blocks {
            return Err(damaged(path, "its blocks lie outside of the file system"));
        }
        self.next += blocks;
        let run = Run {
            start: extent.start,
            len: blocks,
        };
        push(&mut self.runs, run);
        Ok(())
    }
}
