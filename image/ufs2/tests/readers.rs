//! The images as `ufs-core` reads them, which knows nothing of this crate.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;

use clawdie_tree::{Content, ContentFile, Kind, LinkGroup, Node, Tree, TreePath};
use clawdie_ufs2::Plan as _;
use common::*;
use proptest::prelude::*;
use ufs::{DirEntryType, FileType, Inode, Superblock, UfsVersion};

/// An image in memory, as that reader wants it.
struct Reader {
    bytes: Vec<u8>,
    superblock: Superblock,
}

impl Reader {
    fn new(image: &Image) -> Self {
        let bytes = std::fs::read(&image.path).unwrap();
        let superblock = Superblock::parse(&bytes[65536..]).unwrap();
        assert_eq!(superblock.version, UfsVersion::Ufs2);
        Self { bytes, superblock }
    }

    fn inode(&self, number: u64) -> Inode {
        ufs::read_inode(&self.bytes, &self.superblock, number).unwrap()
    }

    /// The names of a directory but for `.` and `..`, of which it says where they lead.
    fn list(&self, number: u64, above: u64) -> BTreeMap<Vec<u8>, (u64, DirEntryType)> {
        let inode = self.inode(number);
        let list: Vec<(Vec<u8>, u64, DirEntryType)> = if inode.indirect[0] == 0 {
            let list = ufs::list_dir(&self.bytes, &self.superblock, number).unwrap();
            list.into_iter()
                .map(|entry| (entry.name, entry.ino, entry.file_type))
                .collect()
        } else {
            // That reader looks at the first twelve blocks only; of contents it reads all.
            entries(&self.content(&inode))
        };
        let mut names = BTreeMap::new();
        for (name, number, kind) in list {
            let known = names.insert(name, (number, kind));
            assert_eq!(known, None);
        }
        let dot = names.remove(b".".as_slice());
        assert_eq!(dot, Some((number, DirEntryType::Directory)));
        let dots = names.remove(b"..".as_slice());
        assert_eq!(dots, Some((above, DirEntryType::Directory)));
        names
    }

    fn content(&self, inode: &Inode) -> Vec<u8> {
        ufs::read_inode_file(&self.bytes, &self.superblock, inode).unwrap()
    }

    /// Everything is as in the tree, and nothing else is there.
    fn holds(&self, tree: &Tree) {
        let mut links: HashMap<LinkGroup, u64> = HashMap::new();
        let mut names: HashMap<u64, u64> = HashMap::new();
        let mut dirs = vec![(TreePath::root(), 2, 2)];
        let mut seen = 0;
        while let Some((path, number, above)) = dirs.pop() {
            let list = self.list(number, above);
            assert_eq!(list.len(), tree.children(&path).count(), "{path}");
            self.is(number, &path, tree.get(&path).unwrap());
            seen += 1;
            let mut subdirs = 0;
            for (below, node) in tree.children(&path) {
                let (child, kind) = list[below.name()];
                let wanted = match &node.kind {
                    Kind::Dir => DirEntryType::Directory,
                    Kind::File { .. } => DirEntryType::Regular,
                    Kind::Symlink(_) => DirEntryType::Symlink,
                    Kind::Fifo => DirEntryType::Fifo,
                    Kind::CharDevice { .. } => DirEntryType::CharDevice,
                    Kind::BlockDevice { .. } => DirEntryType::BlockDevice,
                };
                assert_eq!(kind, wanted, "{below}");
                if node.is_dir() {
                    subdirs += 1;
                    dirs.push((below.clone(), child, number));
                    continue;
                }
                if let Kind::File {
                    link: Some(group), ..
                } = &node.kind
                {
                    assert_eq!(*links.entry(*group).or_insert(child), child, "{below}");
                }
                *names.entry(child).or_default() += 1;
                self.is(child, below, node);
                seen += 1;
            }
            assert_eq!(u64::from(self.inode(number).nlink), subdirs + 2, "{path}");
        }
        assert_eq!(seen, tree.len());
        for (number, count) in names {
            assert_eq!(u64::from(self.inode(number).nlink), count, "{number}");
        }
    }

    fn is(&self, number: u64, path: &TreePath, node: &Node) {
        let inode = self.inode(number);
        assert_eq!(inode.mode & 0o7777, node.meta.mode, "{path}");
        assert_eq!(
            (inode.uid, inode.gid),
            (node.meta.uid, node.meta.gid),
            "{path}"
        );
        assert_eq!(inode.mtime.sec, node.meta.mtime, "{path}");
        assert_eq!((inode.atime.sec, inode.ctime.sec), (EPOCH, EPOCH), "{path}");
        match &node.kind {
            Kind::File { content, .. } => {
                assert_eq!(inode.file_type, FileType::Regular);
                assert_eq!(inode.size, content.len(), "{path}");
                assert!(self.content(&inode) == content.read().unwrap(), "{path}");
            }
            Kind::Symlink(target) => {
                // That reader takes one of 120 bytes for a short one, too; the kernel does not
                // (`ufs_readlink()` of `sys/ufs/ufs/ufs_vnops.c`).
                let found = if target.len() < 120 {
                    ufs::read_symlink_target(&self.bytes, &self.superblock, &inode).unwrap()
                } else {
                    self.content(&inode)
                };
                assert_eq!(&found, target, "{path}");
            }
            Kind::Dir => assert!(inode.is_dir(), "{path}"),
            Kind::Fifo => assert_eq!(inode.file_type, FileType::Fifo),
            Kind::CharDevice { .. } => assert_eq!(inode.file_type, FileType::CharDevice),
            Kind::BlockDevice { .. } => assert_eq!(inode.file_type, FileType::BlockDevice),
        }
    }
}

/// The names in a directory's bytes (`struct direct` of `sys/ufs/ufs/dir.h`).
fn entries(bytes: &[u8]) -> Vec<(Vec<u8>, u64, DirEntryType)> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let number = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let len = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        let name = &bytes[at + 8..][..usize::from(bytes[at + 7])];
        assert!(len >= 12 && at % 512 + len <= 512, "at {at}");
        if number != 0 {
            let kind = DirEntryType::from_d_type(bytes[at + 6]);
            entries.push((name.to_vec(), number.into(), kind));
        }
        at += len;
    }
    entries
}

#[test]
fn everything_a_tree_can_hold_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, options) = rich_tree(dir.path());
    let image = image(&tree, &options);
    let reader = Reader::new(&image);
    reader.holds(&tree);
    let number = |path: &str| {
        ufs::read_by_path(&reader.bytes, &reader.superblock, path)
            .unwrap()
            .unwrap()
    };
    // FreeBSD's makedev(300, 70000).
    assert_eq!(number("/dev/null").1.direct[0], 0x103);
    assert_eq!(
        number("/dev/new").1.direct[0],
        0x100 << 32 | 0x2c << 8 | 0x11 << 32 | 0x1_0070
    );
    let group = ufs::CylinderGroup::parse(&reader.bytes[32 * 4096..], reader.superblock.endian);
    let group = group.unwrap();
    assert_eq!(
        (group.cgx, group.ndblk, group.niblk),
        (0, 24 << 8, 16384),
        "{group:?}"
    );
}

#[test]
fn a_large_random_tree_is_read_back() {
    for seed in 1..=2 {
        let dir = tempfile::tempdir().unwrap();
        let (tree, options) = random_tree(dir.path(), seed, 500);
        assert!(tree.len() > 400);
        let image = image(&tree, &options);
        sound(&image.path);
        Reader::new(&image).holds(&tree);
    }
}

#[test]
fn a_hundred_thousand_files_in_directories_of_all_lengths() {
    let mut tree = tree();
    let mut count = 0;
    // None, one, as many as fill a chunk, a fragment, a block, and more than an inode lists.
    for (dir, entries) in [0, 1, 21, 24, 180, 1500, 2000, 30_000, 66_274]
        .into_iter()
        .enumerate()
    {
        tree.ensure_dirs(&at(&format!("dir-{dir}")), &meta(0o755))
            .unwrap();
        for n in 0..entries {
            let path = at(&format!("dir-{dir}/name-{n}"));
            let content = if n % 50 == 0 { path.as_bytes() } else { b"" };
            tree.insert(path.clone(), file(content)).unwrap();
            count += 1;
        }
    }
    assert_eq!(count, 100_000);
    let image = image(&tree, &options());
    sound(&image.path);
    Reader::new(&image).holds(&tree);
}

#[test]
fn a_directory_of_the_longest_names() {
    let mut tree = tree();
    tree.ensure_dirs(&at("d"), &meta(0o755)).unwrap();
    // 512 bytes have room for one of them; 3000 need a block of addresses.
    for n in 0..3000 {
        tree.insert(at(&format!("d/{n:0>255}")), file(b"x"))
            .unwrap();
    }
    for len in 1..=255 {
        tree.insert(at(&"n".repeat(len)), file(b"n")).unwrap();
    }
    let image = image(&tree, &small());
    sound(&image.path);
    let reader = Reader::new(&image);
    reader.holds(&tree);
    let (_, dir) = ufs::read_by_path(&reader.bytes, &reader.superblock, "/d")
        .unwrap()
        .unwrap();
    assert_eq!(dir.size, 3000 * 512);
    assert_ne!(dir.indirect[0], 0);
}

/// Where a block of a file lies by the inode's own words; 0 for none. Written from `ufs_bmaparray()`
/// of `sys/ufs/ufs/ufs_bmap.c`: the reader above takes no file that is longer than its image.
fn place(image: &File, inode: &Inode, mut block: u64) -> u64 {
    if block < 12 {
        return inode.direct[block as usize];
    }
    block -= 12;
    let mut level = 0;
    let mut span = 4096;
    while block >= span {
        block -= span;
        span *= 4096;
        level += 1;
    }
    let mut address = inode.indirect[level];
    while address != 0 && span > 1 {
        span /= 4096;
        let mut raw = [0; 8];
        let at = address * FRAG + block / span * 8;
        image.read_exact_at(&mut raw, at).unwrap();
        address = u64::from_le_bytes(raw);
        block %= span;
    }
    address
}

/// The first block beyond the inode's own list, then beyond each block of addresses of the inode.
const TREES: [u64; 3] = [12, 12 + 4096, 12 + 4096 + 4096 * 4096];

/// A sparse file with marks before, at and after each boundary below its length.
fn check_sparse(len: u64) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let mut marks: Vec<u64> = TREES
        .iter()
        .chain(&[
            0,
            1,
            11,
            4095 + 12,
            12 + 2 * 4096,
            TREES[2] + 4096,
            TREES[2] + 4096 * 4096,
        ])
        .flat_map(|block| {
            [
                (block * BLOCK).saturating_sub(8),
                block * BLOCK,
                block * BLOCK + 9000,
            ]
        })
        .filter(|mark| mark + 8 <= len)
        .chain([len - 8])
        .collect();
    marks.sort_unstable();
    marks.dedup();
    let file = File::create_new(&source).unwrap();
    file.set_len(len).unwrap();
    for mark in &marks {
        file.write_all_at(&(mark | 1).to_le_bytes(), *mark).unwrap();
    }
    // Nobody is to hash hundreds of gigabytes.
    let content = Content::extent(ContentFile::open(&source).unwrap(), 0, len, [0; 32]);
    let mut tree = tree();
    tree.insert(at("f"), Node::file(content, meta(0o644)))
        .unwrap();
    let mut options = small();
    options.holes.insert(at("f"), holes(len, &marks));
    let image = image(&tree, &options);
    sound(&image.path);
    let reader = Reader::new(&image);
    let (_, inode) = ufs::read_by_path(&reader.bytes, &reader.superblock, "/f")
        .unwrap()
        .unwrap();
    assert_eq!(inode.size, len);
    let used: Vec<bool> = inode.indirect.iter().map(|at| *at != 0).collect();
    let wanted: Vec<bool> = TREES.iter().map(|first| len > first * BLOCK).collect();
    assert_eq!(used, wanted);
    let image = File::open(&image.path).unwrap();
    let mut blocks = 0;
    for mark in &marks {
        let address = place(&image, &inode, mark / BLOCK);
        assert_ne!(address, 0, "{mark} of {len}");
        let mut expected = vec![0; 16.min((len - mark) as usize)];
        file.read_exact_at(&mut expected, *mark).unwrap();
        let mut found = vec![0; expected.len().min((BLOCK - mark % BLOCK) as usize)];
        image
            .read_exact_at(&mut found, address * FRAG + mark % BLOCK)
            .unwrap();
        assert_eq!(found, expected[..found.len()], "{mark} of {len}");
        blocks += 1;
    }
    assert!(blocks > 1);
    // Where no mark is there is nothing.
    let mut at = 0;
    while at < len / BLOCK {
        let marked = marks
            .iter()
            .any(|mark| mark / BLOCK <= at && at <= (mark + 7) / BLOCK);
        let last = at == (len - 1) / BLOCK;
        if !marked && !last {
            assert_eq!(place(&image, &inode, at), 0, "block {at} of {len}");
        }
        at = at * 2 + 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    /// Around a fragment, a block, the last that an inode lists, and the first that it does not.
    #[test]
    fn lengths_around_each_small_boundary(
        files in prop::collection::vec(
            (
                prop::sample::select(vec![0_u64, 512, 4096, 8192, 28_672, 32_768, 36_864, 65_536, 360_448, 364_544, 393_216, 397_312, 425_984]),
                -3_i64..=3,
                prop::option::of((0_u64..14, 1_u64..14)),
                any::<bool>(),
            ),
            1..16,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut pack = Pack::new(dir.path());
        let mut tree = tree();
        let mut options = small();
        let mut lens = Vec::new();
        for (n, (near, delta, hole, _)) in files.iter().enumerate() {
            let len = near.saturating_add_signed(*delta);
            let mut content = bytes(n as u64 + 1, len as usize);
            if let Some((start, count)) = hole {
                let start = (start * BLOCK).min(len);
                let end = (start + count * BLOCK).min(len);
                content[start as usize..end as usize].fill(0);
                let hole = start..end;
                options.holes.insert(at(&format!("{n}")), vec![hole]);
            }
            pack.add(&content);
            lens.push(len);
        }
        for ((n, content), (.., in_memory)) in pack.contents().into_iter().enumerate().zip(&files) {
            let content = if *in_memory { Content::bytes(content.read().unwrap()) } else { content };
            tree.insert(at(&format!("{n}")), Node::file(content, meta(0o644))).unwrap();
        }
        let image = image(&tree, &options);
        sound(&image.path);
        Reader::new(&image).holds(&tree);
        let differences = image.layout.compare(&File::open(&image.path).unwrap(), 0).unwrap();
        prop_assert_eq!(differences, vec![]);
    }

    /// Around the first and the last block that each block of addresses leads to.
    #[test]
    fn lengths_around_the_blocks_of_addresses(
        tree in 0_usize..3,
        blocks in -2_i64..=2,
        delta in prop::sample::select(vec![-4097_i64, -1, 0, 1, 8, 4096, 5000]),
    ) {
        let len = (TREES[tree].saturating_add_signed(blocks) * BLOCK).saturating_add_signed(delta);
        check_sparse(len);
    }
}

#[test]
fn a_file_of_all_three_levels() {
    check_sparse((TREES[2] + 3 * 4096 * 4096 + 4097) * BLOCK + 77);
}

/// The one file with blocks of addresses of two levels that fits into memory.
#[test]
fn a_file_beyond_the_first_block_of_addresses_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let len = TREES[1] * BLOCK + 3 * BLOCK + 5;
    let marks: Vec<u64> = (0..len).step_by(777_777).chain([len - 8]).collect();
    let content = sparse(&dir.path().join("source"), len, &marks);
    let mut tree = tree();
    tree.insert(at("f"), Node::file(content, meta(0o644)))
        .unwrap();
    let mut options = small();
    options.exact_size = Some(160 << 20);
    options.holes.insert(at("f"), holes(len, &marks));
    let image = image(&tree, &options);
    sound(&image.path);
    let reader = Reader::new(&image);
    reader.holds(&tree);
    let differences = image.layout.compare(&File::open(&image.path).unwrap(), 0);
    assert_eq!(differences.unwrap(), []);
}
