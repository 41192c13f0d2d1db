//! Directory blocks, linear or hashed.
//!
//! A directory that fits in one block is linear, as the kernel makes it. A larger one gets a hashed
//! index (`dir_index`), because the kernel adds one only when a directory outgrows its first block:
//! left linear, `/usr/share/doc` would be searched from end to end for ever. An index of more than
//! two levels would need the `large_dir` feature, which GRUB cannot read; so many entries (some
//! 250,000 full blocks) stay linear, which is valid.

use crate::bytes::Fields;
use crate::checksum;
use crate::geometry::BLOCK;
use crate::hash::half_md4;

const SIZE: usize = BLOCK as usize;
/// The checksum at the end of a block, disguised as an unused entry.
const TAIL: usize = 12;
const ROOM: usize = SIZE - TAIL;
/// Where a root's entries start: `.`, `..` and eight bytes about the index.
const ROOT_HEAD: usize = 32;
/// Where an inner node's entries start: one unused entry that spans the block.
const NODE_HEAD: usize = 8;
const INDEX_ENTRY: usize = 8;
/// An index block's checksum.
const INDEX_TAIL: usize = 8;
const ROOT_LIMIT: usize = (SIZE - ROOT_HEAD - INDEX_TAIL) / INDEX_ENTRY;
const NODE_LIMIT: usize = (SIZE - NODE_HEAD - INDEX_TAIL) / INDEX_ENTRY;
const HALF_MD4: u8 = 1;
/// How full the blocks below an index are made, so that the first new names do not split them:
/// four fifths, as `e2fsck -D` does.
const LEAF_FILL: usize = ROOM * 4 / 5;

/// `d_type` of a directory.
pub(crate) const DIR: u8 = 2;

/// One name of a directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    /// 1 to 255 bytes.
    pub(crate) name: &'a [u8],
    /// Its inode.
    pub(crate) inode: u32,
    /// `d_type`.
    pub(crate) kind: u8,
}

impl Entry<'_> {
    fn size(&self) -> usize {
        (8 + self.name.len()).next_multiple_of(4)
    }
}

/// The blocks of a directory and whether they carry an index.
pub(crate) struct Blocks {
    pub(crate) bytes: Vec<u8>,
    pub(crate) indexed: bool,
}

/// What the blocks of one directory depend on besides its entries.
pub(crate) struct Context {
    pub(crate) inode: u32,
    pub(crate) parent: u32,
    pub(crate) inode_seed: u32,
    pub(crate) hash_seed: [u8; 16],
    /// Fewest blocks; only lost+found has more than one, so that e2fsck need not allocate any.
    pub(crate) least_blocks: usize,
}

/// Lays out a directory.
pub(crate) fn blocks(entries: &[Entry<'_>], context: &Context) -> Blocks {
    let small = entries.iter().map(Entry::size).sum::<usize>() + 24 <= ROOM;
    if !small
        && context.least_blocks <= 1
        && let Some(bytes) = hashed(entries, context)
    {
        return Blocks {
            bytes,
            indexed: true,
        };
    }
    Blocks {
        bytes: linear(entries, context),
        indexed: false,
    }
}

fn linear(entries: &[Entry<'_>], context: &Context) -> Vec<u8> {
    let dots = [
        Entry {
            name: b".",
            inode: context.inode,
            kind: DIR,
        },
        Entry {
            name: b"..",
            inode: context.parent,
            kind: DIR,
        },
    ];
    let mut out = Vec::new();
    let mut block = Leaf::default();
    for entry in dots.iter().chain(entries) {
        if !block.fits(entry, ROOM) {
            block.finish(context.inode_seed, &mut out);
        }
        block.push(entry);
    }
    block.finish(context.inode_seed, &mut out);
    while out.len() < context.least_blocks * SIZE {
        block.finish(context.inode_seed, &mut out);
    }
    out
}

/// A block of entries in the making.
#[derive(Default)]
struct Leaf {
    bytes: Vec<u8>,
    last: usize,
}

impl Leaf {
    fn fits(&self, entry: &Entry<'_>, limit: usize) -> bool {
        self.bytes.is_empty() || self.bytes.len() + entry.size() <= limit
    }

    fn push(&mut self, entry: &Entry<'_>) {
        self.last = self.bytes.len();
        self.bytes.resize(self.last + entry.size(), 0);
        let here = &mut self.bytes[self.last..];
        here.put32(0, entry.inode);
        here.put16(4, entry.size() as u16);
        here[6] = entry.name.len() as u8;
        here[7] = entry.kind;
        here.put(8, entry.name);
    }

    /// Appends the block to `out`, its last entry stretched to the tail, and starts another.
    fn finish(&mut self, inode_seed: u32, out: &mut Vec<u8>) {
        let last = self.last;
        self.bytes.resize(SIZE, 0);
        self.bytes.put16(last + 4, (ROOM - last) as u16);
        let sum = checksum::extend(inode_seed, &self.bytes[..ROOM]);
        self.bytes.put16(ROOM + 4, TAIL as u16);
        self.bytes[ROOM + 7] = 0xde;
        self.bytes.put32(ROOM + 8, sum);
        out.append(&mut self.bytes);
        self.last = 0;
    }
}

/// The directory with an index, or none when that would need a third level.
fn hashed(entries: &[Entry<'_>], context: &Context) -> Option<Vec<u8>> {
    let mut order: Vec<_> = entries
        .iter()
        .map(|entry| (half_md4(entry.name, &context.hash_seed), entry))
        .collect();
    order.sort_by_key(|(hash, entry)| (*hash, entry.name));

    let mut leaves = Vec::new();
    let mut starts = vec![0];
    let mut leaf = Leaf::default();
    let mut last = 0;
    for ((major, _), entry) in order {
        if !leaf.fits(entry, LEAF_FILL) {
            leaf.finish(context.inode_seed, &mut leaves);
            // An odd hash says that the same hash goes on from the block before.
            starts.push(major | u32::from(major == last));
        }
        last = major;
        leaf.push(entry);
    }
    leaf.finish(context.inode_seed, &mut leaves);

    let nodes = if starts.len() <= ROOT_LIMIT {
        0
    } else {
        starts.len().div_ceil(NODE_LIMIT)
    };
    if nodes > ROOT_LIMIT {
        return None;
    }
    let first_leaf = 1 + nodes;
    let leaf_index: Vec<(u32, u32)> = starts
        .iter()
        .enumerate()
        .map(|(n, &hash)| (hash, (first_leaf + n) as u32))
        .collect();

    let mut out = root(context, nodes > 0);
    if nodes == 0 {
        index(&mut out, ROOT_HEAD, ROOT_LIMIT, &leaf_index, context);
    } else {
        let mut above = Vec::new();
        let mut below = Vec::new();
        for (n, part) in leaf_index.chunks(NODE_LIMIT).enumerate() {
            above.push((part[0].0, 1 + n as u32));
            let mut node = vec![0; SIZE];
            node.put16(4, SIZE as u16);
            index(&mut node, NODE_HEAD, NODE_LIMIT, part, context);
            below.append(&mut node);
        }
        index(&mut out, ROOT_HEAD, ROOT_LIMIT, &above, context);
        out.append(&mut below);
    }
    out.append(&mut leaves);
    Some(out)
}

/// An index's first block, without its entries.
fn root(context: &Context, two_levels: bool) -> Vec<u8> {
    let mut block = vec![0; SIZE];
    block.put32(0, context.inode);
    block.put16(4, 12);
    block.put(6, &[1, DIR, b'.']);
    block.put32(12, context.parent);
    // To those who know no index, `..` is the last entry of the block.
    block.put16(16, (SIZE - 12) as u16);
    block.put(18, &[2, DIR, b'.', b'.']);
    block.put(28, &[HALF_MD4, 8, u8::from(two_levels), 0]);
    block
}

/// Fills in the entries and the checksum of an index block. The first entry has no hash: its place
/// holds how many there may be and how many there are.
fn index(block: &mut [u8], head: usize, limit: usize, entries: &[(u32, u32)], context: &Context) {
    for (n, &(hash, target)) in entries.iter().enumerate() {
        block.put32(head + n * INDEX_ENTRY, hash);
        block.put32(head + n * INDEX_ENTRY + 4, target);
    }
    block.put16(head, limit as u16);
    block.put16(head + 2, entries.len() as u16);
    let used = head + entries.len() * INDEX_ENTRY;
    let sum = checksum::extend(context.inode_seed, &block[..used]);
    let sum = checksum::extend(sum, &[0; 8]);
    block.put32(SIZE - 4, sum);
}
