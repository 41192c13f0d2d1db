//! Reading back, comparing, and what is refused: what `verify` is made of.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod common;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use clawdie_tree::{Content, ContentFile, Kind, LinkGroup, Node, Tree};
use clawdie_ufs2::{
    Difference, Error, Found, Layout, Options, Plan as _, ReadError, check, layout, read,
};
use common::*;

fn read_back(path: &Path) -> Found {
    let len = std::fs::metadata(path).unwrap().len();
    read(ContentFile::open(path).unwrap(), 0, len).unwrap()
}

fn differences(layout: &Layout, path: &Path) -> Vec<Difference> {
    layout.compare(&File::open(path).unwrap(), 0).unwrap()
}

fn names(tree: &Tree) -> Vec<String> {
    tree.iter().map(|(path, _)| path.to_string()).collect()
}

/// Equal but for where contents lie and what hard links are called.
fn same(one: &Tree, other: &Tree) {
    assert_eq!(names(one), names(other));
    for ((path, one), (_, other)) in one.iter().zip(other.iter()) {
        assert_eq!(one.meta, other.meta, "{path}");
        match (&one.kind, &other.kind) {
            (
                Kind::File { content, link },
                Kind::File {
                    content: other,
                    link: other_link,
                },
            ) => {
                assert_eq!(link.is_some(), other_link.is_some(), "{path}");
                assert_eq!(content, other, "{path}");
                assert!(content.read().unwrap() == other.read().unwrap(), "{path}");
            }
            (one, other) => assert_eq!(one, other, "{path}"),
        }
    }
}

#[test]
fn a_tree_survives_the_way_to_disk_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, options) = rich_tree(dir.path());
    for exact_size in [options.exact_size, None, Some(GROUP + (20 << 20) + 5000)] {
        let options = Options {
            exact_size,
            ..options.clone()
        };
        let image = image(&tree, &options);
        sound(&image.path);
        assert_eq!(differences(&image.layout, &image.path), []);
        let found = read_back(&image.path);
        same(&found.tree, &tree);
        assert_eq!(
            (found.options.id, &found.options.label, found.options.epoch),
            (options.id, &options.label, options.epoch)
        );
        let again = layout(&found.tree, &found.options).unwrap();
        assert_eq!(differences(&again, &image.path), []);
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, options) = rich_tree(dir.path());
    let one = std::fs::read(image(&tree, &options).path).unwrap();
    let two = std::fs::read(image(&tree, &options).path).unwrap();
    assert!(one == two);
    // Nor does it matter where contents lie.
    let mut in_memory = tree.clone();
    for (path, node) in tree.iter() {
        if let Kind::File { content, link } = &node.kind {
            let kind = Kind::File {
                content: Content::bytes(content.read().unwrap()),
                link: *link,
            };
            let meta = node.meta.clone();
            in_memory.insert(path.clone(), Node { kind, meta }).unwrap();
        }
    }
    let three = std::fs::read(image(&in_memory, &options).path).unwrap();
    assert!(one == three);
    let other = Options {
        id: *b"another!",
        ..options
    };
    assert!(one != std::fs::read(image(&tree, &other).path).unwrap());
}

#[test]
fn it_can_lie_anywhere_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, options) = rich_tree(dir.path());
    let layout = layout(&tree, &options).unwrap();
    let path = dir.path().join("disk");
    let file = File::create_new(&path).unwrap();
    file.write_all_at(&[1; 512], 0).unwrap();
    let offset = (3 << 20) + 512;
    let mut told = 0;
    layout
        .write(&file, offset, &mut |bytes| told += bytes)
        .unwrap();
    assert!(told > 3 << 20, "{told}");
    assert_eq!(file.metadata().unwrap().len(), offset + layout.len());
    let file = File::open(&path).unwrap();
    assert_eq!(check(&file, offset, layout.len()).unwrap(), []);
    assert_eq!(layout.compare(&file, offset).unwrap(), []);
    let found = read(ContentFile::open(&path).unwrap(), offset, layout.len()).unwrap();
    same(&found.tree, &tree);
}

/// What is free or zero is not written, and lies outside of the ranges said to be used.
#[test]
fn what_is_zero_takes_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, options) = rich_tree(dir.path());
    let options = Options {
        exact_size: Some(40 << 30),
        ..options
    };
    let image = image(&tree, &options);
    sound(&image.path);
    let on_disk = std::fs::metadata(&image.path).unwrap().blocks() * 512;
    assert!(on_disk < 16 << 20, "{on_disk}");
    let used = image.layout.used();
    assert!(used.is_sorted_by(|one, next| one.end < next.start));
    assert!(used.iter().all(|range| !range.is_empty()));
    let all: u64 = used.iter().map(|range| range.end - range.start).sum();
    assert!(all < 64 << 20, "{all}");
    // A copy of what is used is the same file system.
    let copy = tempfile::tempfile().unwrap();
    copy.set_len(image.layout.len()).unwrap();
    let source = File::open(&image.path).unwrap();
    for range in used {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        source.read_exact_at(&mut bytes, range.start).unwrap();
        copy.write_all_at(&bytes, range.start).unwrap();
    }
    assert_eq!(image.layout.compare(&copy, 0).unwrap(), []);
    assert!(image.layout.free() > 38 << 30);
}

#[test]
fn sizes_around_the_end_of_a_group_are_sound() {
    let mut tree = tree();
    tree.insert(at("f"), file(b"f")).unwrap();
    // What the structures of a last group take.
    let head = 1064 * FRAG;
    for size in [
        GROUP - FRAG,
        GROUP,
        GROUP + FRAG,
        GROUP + head,
        GROUP + head + 64 * BLOCK - 1,
        GROUP + head + 64 * BLOCK,
        2 * GROUP + 1,
        17 * GROUP + 5000,
    ] {
        let options = Options {
            exact_size: Some(size),
            ..options()
        };
        let image = image(&tree, &options);
        assert_eq!(image.layout.len(), size);
        sound(&image.path);
        same(&read_back(&image.path).tree, &tree);
    }
}

/// A file of several groups goes around the structures in its way.
#[test]
fn a_file_of_several_groups_is_put_together() {
    let dir = tempfile::tempdir().unwrap();
    let len = 2 * GROUP + 12345;
    let marks: Vec<u64> = (0..len / (1 << 20)).map(|n| (n << 20) + n * 37).collect();
    let mut tree = tree();
    let content = sparse(&dir.path().join("source"), len, &marks);
    tree.insert(at("big"), Node::file(content, meta(0o644)))
        .unwrap();
    tree.insert(at("small"), file(b"small")).unwrap();
    let image = image(&tree, &options());
    sound(&image.path);
    assert_eq!(differences(&image.layout, &image.path), []);
    let found = read_back(&image.path);
    let kept = found.tree.get(&at("big")).unwrap().content().unwrap();
    let wanted = tree.get(&at("big")).unwrap().content().unwrap();
    assert_eq!(kept, wanted);
    for mark in marks {
        let mut bytes = [0; 8];
        kept.read_exact_at(&mut bytes, mark).unwrap();
        assert_eq!(bytes, mark.to_le_bytes());
    }
}

#[test]
fn what_ufs2_cannot_hold_is_refused_by_name() {
    let mut base = tree();
    base.insert(at("f"), file(b"f")).unwrap();
    let refused = |tree: &Tree, options: Options| layout(tree, &options).unwrap_err();
    let with = |path: &str, node: Node| {
        let mut tree = base.clone();
        tree.insert(at(path), node).unwrap();
        refused(&tree, options())
    };
    for label in ["32 letters would be one too many", "with space", "ü", "a/b"] {
        let options = Options {
            label: label.into(),
            ..options()
        };
        assert_eq!(refused(&base, options), Error::Label(label.into()));
    }
    let epoch = Options {
        epoch: -1,
        ..options()
    };
    assert_eq!(refused(&base, epoch), Error::Epoch(-1));
    for (exact_size, free) in [(None, 17 << 40), (Some(17 << 40), 0), (None, u64::MAX)] {
        let options = Options {
            exact_size,
            free,
            ..options()
        };
        assert!(matches!(refused(&base, options), Error::TooLarge(_)));
    }
    for target in [String::new(), "x".repeat(1024), "a\0b".into()] {
        let len = target.len();
        let path = at("l");
        assert_eq!(
            with("l", Node::symlink(target, 0)),
            Error::Symlink { path, len }
        );
    }
    let (path, mode) = (at("odd"), 0o10_000);
    assert_eq!(
        with("odd", Node::dir(meta(mode))),
        Error::Mode { path, mode }
    );
    // A snapshot's mark and a bit that means nothing.
    let mut marked = meta(0o644);
    marked.flags = 0x20_0000 | 0x40 | 1;
    let (path, flags) = (at("marked"), 0x20_0040);
    assert_eq!(
        with("marked", Node::file(Content::bytes(b""), marked)),
        Error::Flags { path, flags }
    );
    for (name, len) in [("security.selinux", 1), ("user.", 1), ("user.x", 65_600)] {
        let mut heavy = meta(0o644);
        heavy.xattrs.insert(name.into(), vec![1; len]);
        let error = with("heavy", Node::dir(heavy)).to_string();
        assert!(error.contains("`/heavy`"), "{error}");
    }

    let source = ContentFile::open(Path::new("/dev/null")).unwrap();
    let limit = (12 + 4096 + 4096 * 4096 + 4096_u64.pow(3)) * BLOCK - 1;
    let huge = Content::extent(source, 0, limit + 1, [0; 32]);
    let (path, len) = (at("huge"), limit + 1);
    assert_eq!(
        with("huge", Node::file(huge, meta(0o644))),
        Error::FileTooLarge { path, len, limit }
    );
    for (path, start, end) in [("f", 0, 2), ("g", 0, 1), ("", 0, 1), ("f", 1, 0)] {
        let hole = start..end;
        let mut options = options();
        options.holes.insert(at(path), vec![hole]);
        let path = at(path);
        assert_eq!(refused(&base, options), Error::Hole { path, start, end });
    }

    let link = |bytes: &[u8]| Node {
        kind: Kind::File {
            content: Content::bytes(bytes),
            link: Some(LinkGroup(1)),
        },
        meta: meta(0o644),
    };
    let mut unlike = base.clone();
    unlike.insert(at("a"), link(b"one")).unwrap();
    unlike.insert(at("b"), link(b"two")).unwrap();
    let (first, second) = (at("a"), at("b"));
    assert_eq!(
        refused(&unlike, options()),
        Error::LinksDiffer { first, second }
    );
}

#[test]
fn as_many_links_as_an_inode_counts_and_not_one_more() {
    let link = || Node {
        kind: Kind::File {
            content: Content::bytes(b"x"),
            link: Some(LinkGroup(1)),
        },
        meta: meta(0o644),
    };
    let mut linked = tree();
    linked.ensure_dirs(&at("d"), &meta(0o755)).unwrap();
    for n in 0..65_500 {
        linked.insert(at(&format!("d/{n:05}")), link()).unwrap();
    }
    let made = image(&linked, &options());
    sound(&made.path);
    assert_eq!(read_back(&made.path).tree.len(), 65_502);
    linked.insert(at("z"), link()).unwrap();
    let error = layout(&linked, &options()).unwrap_err().to_string();
    assert!(
        error.starts_with("`/z` would have more than 65500 links; copy the file"),
        "{error}"
    );

    // A directory has a name, and `.`, and one `..` in each below it.
    let mut wide = tree();
    wide.ensure_dirs(&at("d"), &meta(0o755)).unwrap();
    for n in 0..65_498 {
        wide.insert(at(&format!("d/{n}")), Node::dir(meta(0o755)))
            .unwrap();
    }
    sound(&image(&wide, &options()).path);
    wide.insert(at("d/one-more"), Node::dir(meta(0o755)))
        .unwrap();
    let error = layout(&wide, &options()).unwrap_err().to_string();
    assert!(
        error.starts_with("`/d` would have more than 65500 links; every directory in it counts"),
        "{error}"
    );
}

/// The size that an error names is the least that does.
#[test]
fn the_size_that_is_said_to_be_needed_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let (rich, rich_options) = rich_tree(dir.path());
    let mut big = tree();
    let content = sparse(&dir.path().join("big"), 300 << 20, &[0]);
    big.insert(at("big"), Node::file(content, meta(0o644)))
        .unwrap();
    for (tree, options) in [(tree(), options()), (rich, rich_options), (big, options())] {
        let sized = |size| {
            let options = Options {
                exact_size: Some(size),
                ..options.clone()
            };
            layout(&tree, &options)
        };
        let Err(Error::TooSmall { needed, size: 5000 }) = sized(5000) else {
            panic!("5000 bytes hold nothing");
        };
        let size = needed - 1;
        assert_eq!(sized(size).unwrap_err(), Error::TooSmall { needed, size });
        assert_eq!(sized(needed).unwrap().len(), needed);
    }
}

/// `growfs` starts from a group that nothing lies in.
#[test]
fn the_last_group_stays_empty_besides_what_is_to_be_free() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("source");
    let len = 3 * GROUP;
    File::create_new(&path).unwrap().set_len(len).unwrap();
    let source = ContentFile::open(&path).unwrap();
    // What the structures of a group leave.
    let group = GROUP - 1040 * FRAG;
    for megabytes in [0, 1, 60, 118, 122, 123, 124, 125, 128, 250, 384] {
        let mut tree = tree();
        let content = Content::extent(source.clone(), 0, megabytes << 20, [0; 32]);
        tree.insert(at("f"), Node::file(content, meta(0o644)))
            .unwrap();
        for free in [0, 1, 3 << 20, 60 << 20, 120 << 20, 127 << 20, 300 << 20] {
            let options = Options { free, ..options() };
            let layout = layout(&tree, &options).unwrap();
            assert_eq!(layout.len() % GROUP, 0);
            let least = group + free;
            assert!(layout.free() >= least, "{megabytes}, {free}");
            assert!(layout.free() < least + 2 * GROUP, "{megabytes}, {free}");
            let used = layout.used();
            let last = layout.len() - GROUP;
            let before = used.iter().rfind(|range| range.start < last).unwrap();
            assert!(before.end <= last);
        }
    }
}

#[test]
fn more_files_than_inodes_make_more_of_them_until_they_cannot() {
    let mut tree = tree();
    for n in 0..40_000 {
        tree.insert(at(&format!("{n:05}")), Node::symlink("x", EPOCH))
            .unwrap();
    }
    let image = image(&tree, &options());
    sound(&image.path);
    let (used, all) = image.layout.inodes();
    assert!(used == 40_001 && all > used + used / 8);
    for n in 0..110_000 {
        tree.insert(at(&format!("more-{n}")), Node::symlink("x", EPOCH))
            .unwrap();
    }
    let options = Options {
        exact_size: Some(GROUP),
        ..options()
    };
    let error = layout(&tree, &options).unwrap_err();
    assert!(matches!(error, Error::TooManyInodes { .. }), "{error}");
}

#[test]
fn a_source_cut_short_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("source");
    std::fs::write(&path, bytes(1, 10_000)).unwrap();
    let content = Content::extent(ContentFile::open(&path).unwrap(), 0, 20_000, [0; 32]);
    let mut tree = tree();
    tree.insert(at("f"), Node::file(content, meta(0o644)))
        .unwrap();
    let layout = layout(&tree, &options()).unwrap();
    let out = tempfile::tempfile().unwrap();
    let error = layout.write(&out, 0, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("source`"), "{error}");
}

#[test]
fn an_image_cut_short_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, options) = rich_tree(dir.path());
    let image = image(&tree, &options);
    let source = ContentFile::open(&image.path).unwrap();
    let len = image.layout.len();
    for (offset, len) in [(0, 0), (0, 65536), (0, len - FRAG), (512, len - 512)] {
        let result = read(source.clone(), offset, len);
        assert!(matches!(result, Err(ReadError::Damaged { .. })), "{len}");
        assert!(!check(source.file(), offset, len).unwrap().is_empty());
    }
    assert!(read(source, 0, u64::MAX).is_ok());
    let half = File::options().write(true).open(&image.path).unwrap();
    half.set_len(len / 2).unwrap();
    assert!(
        image
            .layout
            .compare(&File::open(&image.path).unwrap(), 0)
            .is_err()
    );
}
