//! What the tests share: trees and images.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(crate) use clawdie_runs::testing::{Pack, bytes, write};
use clawdie_tree::{Content, Kind, LinkGroup, Meta, Node, Tree, TreePath};
use clawdie_ufs2::{Layout, Options, layout};
use tempfile::TempDir;

pub(crate) const EPOCH: i64 = 1_700_000_000;
pub(crate) const FRAG: u64 = 4096;
pub(crate) const BLOCK: u64 = 32768;
/// Bytes of a cylinder group.
pub(crate) const GROUP: u64 = 128 << 20;

pub(crate) fn options() -> Options {
    Options {
        id: *b"identity",
        label: "rootfs".into(),
        epoch: EPOCH,
        free: 8 << 20,
        ..Options::default()
    }
}

/// One small group: what readers that want the whole image in memory are given.
pub(crate) fn small() -> Options {
    Options {
        exact_size: Some(24 << 20),
        free: 0,
        ..options()
    }
}

pub(crate) fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

pub(crate) fn meta(mode: u16) -> Meta {
    Meta::root(mode, EPOCH - 1000)
}

pub(crate) fn tree() -> Tree {
    Tree::new(meta(0o755))
}

pub(crate) fn file(bytes: &[u8]) -> Node {
    Node::file(Content::bytes(bytes), meta(0o644))
}

/// A content of `len` bytes that is zero but for a few bytes at some places; it takes no room where
/// it lies, and the places between may be holes.
pub(crate) fn sparse(path: &Path, len: u64, marks: &[u64]) -> Content {
    use std::os::unix::fs::FileExt as _;
    let file = File::create_new(path).unwrap();
    file.set_len(len).unwrap();
    for &mark in marks {
        file.write_all_at(&mark.to_le_bytes(), mark).unwrap();
    }
    Content::file(path).unwrap()
}

/// What is between the blocks in which the marks of [`sparse`] lie.
pub(crate) fn holes(len: u64, marks: &[u64]) -> Vec<Range<u64>> {
    let mut next = 0;
    let mut holes = Vec::new();
    for &mark in marks {
        holes.push(next..mark - mark % BLOCK);
        next = (mark + 8).next_multiple_of(BLOCK).min(len);
    }
    holes.push(next..len);
    holes.retain(|hole| !hole.is_empty());
    holes
}

/// Lengths around a fragment, a block, and the twelve blocks that an inode lists.
pub(crate) const LENGTHS: [usize; 20] = [
    0, 1, 511, 512, 4095, 4096, 4097, 8192, 28_672, 28_673, 32_767, 32_768, 32_769, 65_535, 98_305,
    360_448, 393_215, 393_216, 393_217, 430_000,
];

/// A tree with everything in it that a file system can hold, and what of it may be holes.
pub(crate) fn rich_tree(dir: &Path) -> (Tree, Options) {
    let mut pack = Pack::new(dir);
    for (n, &size) in LENGTHS.iter().enumerate() {
        pack.add(&bytes(n as u64 + 1, size));
    }
    let mut tree = tree();
    for path in [
        "bin",
        "dev",
        "etc",
        "empty",
        "home/user/a/b/c/d/e/f",
        "links",
        "many",
    ] {
        tree.ensure_dirs(&at(path), &meta(0o755)).unwrap();
    }
    for (n, content) in pack.contents().into_iter().enumerate() {
        let node = Node::file(content, meta(0o644));
        tree.insert(at(&format!("bin/size-{n}")), node).unwrap();
    }
    let mut owned = meta(0o4750);
    owned.uid = 100_000;
    owned.gid = 4_000_000_000;
    owned.mtime = 5_000_000_000;
    tree.insert(at("bin/owned"), Node::file(Content::bytes(b"owned"), owned))
        .unwrap();
    // schg and nodump, as base has them on its linker.
    let mut fixed = meta(0o555);
    fixed.flags = 0x2_0001;
    tree.insert(at("bin/fixed"), Node::file(Content::bytes(b"fixed"), fixed))
        .unwrap();
    let mut heavy = meta(0o600);
    heavy.xattrs.insert("user.big".into(), bytes(9, 5000));
    heavy.xattrs.insert("user.small".into(), b"x".to_vec());
    heavy.xattrs.insert("user.empty".into(), Vec::new());
    heavy
        .xattrs
        .insert("system.posix1e.acl_access".into(), vec![3; 84]);
    tree.insert(at("etc/heavy"), Node::file(Content::bytes(b"heavy"), heavy))
        .unwrap();
    for name in ["a", "b", "c"] {
        let kind = Kind::File {
            content: Content::bytes(b"shared"),
            link: Some(LinkGroup(7)),
        };
        let node = Node {
            kind,
            meta: meta(0o600),
        };
        tree.insert(at(&format!("links/{name}")), node).unwrap();
    }
    for (name, len) in [("short", 119), ("long", 120), ("longest", 1023)] {
        let target = "target/".repeat(147)[..len].to_owned();
        tree.insert(at(&format!("links/{name}")), Node::symlink(target, EPOCH))
            .unwrap();
    }
    let device = |kind| Node {
        kind,
        meta: meta(0o660),
    };
    for (name, kind) in [
        ("null", Kind::CharDevice { major: 1, minor: 3 }),
        (
            "new",
            Kind::CharDevice {
                major: 300,
                minor: 70_000,
            },
        ),
        ("disk", Kind::BlockDevice { major: 8, minor: 0 }),
        ("pipe", Kind::Fifo),
    ] {
        tree.insert(at(&format!("dev/{name}")), device(kind))
            .unwrap();
    }
    tree.insert(at(&"n".repeat(255)), file(b"n")).unwrap();
    for n in 0..600 {
        tree.insert(
            at(&format!("many/file-number-{n}")),
            file(format!("{n}").as_bytes()),
        )
        .unwrap();
    }
    let mut options = small();
    // A hole among the blocks that the inode lists, one beyond these, and one that is not aligned.
    for (name, len, marks) in [
        ("sparse", 800_001, [0, 70_000, 799_990].as_slice()),
        ("sparser", 5 << 20, &[400_000, (5 << 20) - 8]),
    ] {
        let content = sparse(&dir.join(name), len, marks);
        tree.insert(at(name), Node::file(content, meta(0o644)))
            .unwrap();
        options.holes.insert(at(name), holes(len, marks));
    }
    (tree, options)
}

/// An image and what it was made from.
pub(crate) struct Image {
    pub(crate) dir: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) layout: Layout,
}

pub(crate) fn image(tree: &Tree, options: &Options) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(tree, options).unwrap();
    let path = dir.path().join("image");
    write(&layout, &path);
    Image { dir, path, layout }
}

/// Nothing in an image contradicts itself.
pub(crate) fn sound(path: &Path) {
    let image = File::open(path).unwrap();
    let len = image.metadata().unwrap().len();
    assert_eq!(clawdie_ufs2::check(&image, 0, len).unwrap(), []);
}

/// Numbers that are the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one, less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// A tree of `count` nodes of all kinds with names, owners, modes, times, flags, attributes, lengths
/// and holes as it comes; one in six files has more names than one.
pub(crate) fn random_tree(dir: &Path, seed: u64, count: u64) -> (Tree, Options) {
    let mut numbers = Numbers::new(seed);
    let mut tree = tree();
    let mut options = Options {
        exact_size: Some(200 << 20),
        ..options()
    };
    let mut dirs = vec![String::new()];
    let mut pack = Pack::new(dir);
    let mut files = Vec::new();
    for n in 0..count {
        let above = &dirs[numbers.below(dirs.len() as u64) as usize];
        let mut name = format!("{n}-");
        let filling = [3, 20, 200, 255][numbers.below(4) as usize];
        name.extend(std::iter::repeat_n('x', numbers.below(filling) as usize));
        name.truncate(255);
        let path = format!("{above}/{name}");
        if path.len() > 3000 {
            continue;
        }
        let mut meta = meta(numbers.below(0o10_000) as u16);
        meta.uid = numbers.below(1 << 32) as u32;
        meta.gid = numbers.below(1 << 32) as u32;
        meta.mtime = numbers.below(1 << 33) as i64 - (1 << 31);
        if numbers.one_in(8) {
            meta.flags = numbers.below(1 << 21) as u32 & 0x17_9f9f;
        }
        if numbers.one_in(6) {
            for key in 0..numbers.below(4) {
                let value = bytes(key, numbers.below(14_000) as usize);
                meta.xattrs.insert(format!("user.key{key}"), value);
            }
        }
        let kind = match numbers.below(12) {
            0 => Kind::Dir,
            1 => {
                let len = [1, 118 + numbers.below(4), 1 + numbers.below(1023)];
                let len = len[numbers.below(3) as usize] as usize;
                Kind::Symlink("t".repeat(len).into_bytes())
            }
            2 => Kind::Fifo,
            3 => Kind::CharDevice {
                major: numbers.below(1 << 32) as u32,
                minor: numbers.below(1 << 32) as u32,
            },
            _ => {
                let near = [0, 4096, 32_768, 393_216, 460_000][numbers.below(5) as usize];
                let len = near + numbers.below(9000).saturating_sub(4500);
                let mut content = bytes(n + 1, len as usize);
                if len > 2 * BLOCK && numbers.one_in(3) {
                    let start = numbers.below(len);
                    let hole = start..start + numbers.below(len - start);
                    content[hole.start as usize..hole.end as usize].fill(0);
                    options.holes.insert(at(&path), vec![hole]);
                }
                pack.add(&content);
                files.push((at(&path), meta));
                continue;
            }
        };
        if kind == Kind::Dir {
            dirs.push(path.clone());
        }
        tree.insert(at(&path), Node { kind, meta }).unwrap();
    }
    for (n, ((path, meta), content)) in (0..).zip(files.into_iter().zip(pack.contents())) {
        let shared = numbers.one_in(6);
        let node = Node {
            kind: Kind::File {
                content,
                link: shared.then_some(LinkGroup(n)),
            },
            meta,
        };
        if shared {
            for other in 0..=numbers.below(3) {
                // After the others in the tree's order, so that the list of holes names the first.
                tree.insert(at(&format!("~{n}-{other}")), node.clone())
                    .unwrap();
            }
        }
        tree.insert(path, node).unwrap();
    }
    (tree, options)
}
