//! Reading back and comparing: what `verify` is made of.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use clawdie_ext4::{Difference, Error, Found, Layout, Options, Plan as _, ReadError, layout, read};
use clawdie_tree::{Content, ContentFile, Kind, LinkGroup, Node, Tree, TreePath};
use common::*;
use proptest::prelude::*;

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
    let mut tree = rich_tree(dir.path());
    tree.meta_mut(&at("bin/size-1")).unwrap().flags = 0x2_0001;
    let image = image(&tree, &options());
    let found = read_back(&image.path);
    same(&found.tree, &tree);
    let again = layout(&found.tree, &found.options).unwrap();
    assert_eq!(differences(&again, &image.path), []);
    assert_eq!(
        found.options,
        Options {
            free: 0,
            exact_size: Some(image.layout.len()),
            ..options()
        }
    );
}

/// The journal ends shortly before the first backup, so that contents lie on both sides of it.
#[test]
fn contents_in_several_pieces_are_put_together() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let options = Options {
        journal: 30_800 * 4096,
        ..options()
    };
    let image = image(&tree, &options);
    let found = read_back(&image.path);
    let whole = found
        .tree
        .get(&at("bin/size-7"))
        .unwrap()
        .content()
        .unwrap();
    assert_ne!(whole.as_extent().unwrap().0.path(), image.path);
    same(&found.tree, &tree);
    let again = layout(&found.tree, &found.options).unwrap();
    assert_eq!(differences(&again, &image.path), []);
}

#[test]
fn a_lost_found_of_the_tree_is_kept() {
    let mut made = tree();
    let plain = Node::dir(clawdie_tree::Meta::root(0o700, EPOCH));
    made.insert(at("lost+found"), plain).unwrap();
    made.insert(at("z"), Node::symlink("x", 0)).unwrap();
    let one = image(&made, &options());
    fsck(&one.path);
    let found = read_back(&one.path);
    let again = layout(&found.tree, &found.options).unwrap();
    assert_eq!(differences(&again, &one.path), []);

    made.insert(
        at("lost+found/#12"),
        Node::file(Content::bytes(b"x"), meta(0o600)),
    )
    .unwrap();
    let two = image(&made, &options());
    fsck(&two.path);
    same(&read_back(&two.path).tree, &made);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let one = std::fs::read(image(&tree, &options()).path).unwrap();
    let two = std::fs::read(image(&tree, &options()).path).unwrap();
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
    let three = std::fs::read(image(&in_memory, &options()).path).unwrap();
    assert!(one == three);
}

#[test]
fn other_readers_find_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let image = image(&tree, &options());
    let fs = mkext4::reader::Fs::open(File::open(&image.path).unwrap()).unwrap();
    let issues = fs.verify().unwrap().into_iter();
    // It knows the checksum of short descriptors only; e2fsck and the kernel accept ours.
    let issues: Vec<_> = issues
        .filter(|issue| !issue.what.contains("desc checksum"))
        .collect();
    assert_eq!(issues, []);

    let fs = ext4_view::Ext4::load_from_path(&image.path).unwrap();
    for (path, node) in tree.iter() {
        let path = path.to_string();
        let meta = fs.symlink_metadata(path.as_str()).unwrap();
        assert_eq!(meta.mode(), node.meta.mode, "{path}");
        assert_eq!(
            (meta.uid(), meta.gid()),
            (node.meta.uid, node.meta.gid),
            "{path}"
        );
        match &node.kind {
            Kind::File { content, .. } => {
                assert!(
                    fs.read(path.as_str()).unwrap() == content.read().unwrap(),
                    "{path}"
                );
            }
            Kind::Symlink(target) => {
                assert_eq!(fs.read_link(path.as_str()).unwrap().as_ref(), &target[..]);
            }
            _ => {}
        }
    }
}

/// mke2fs makes a file system that is read as well: the decoder does not depend on our writer.
#[test]
fn an_image_of_mke2fs_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    std::fs::create_dir_all(source.join("d/e")).unwrap();
    std::fs::write(source.join("d/file"), bytes(3, 100_000)).unwrap();
    std::fs::hard_link(source.join("d/file"), source.join("d/e/link")).unwrap();
    std::os::unix::fs::symlink("file", source.join("d/sym")).unwrap();
    let path = dir.path().join("image");
    let (source, name) = (source.to_str().unwrap(), path.to_str().unwrap());
    let args = [
        "-q",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-L",
        "theirs",
        "-O",
        "^orphan_file",
        "-d",
        source,
        name,
        "16M",
    ];
    let output = tool("mke2fs", &args);
    assert!(output.status.success(), "{}", text(&output));
    let found = read_back(&path);
    let mut names = names(&found.tree);
    names.retain(|name| name != "/lost+found");
    assert_eq!(names, ["/", "/d", "/d/e", "/d/e/link", "/d/file", "/d/sym"]);
    assert_eq!(found.options.label, "theirs");
    let file = found.tree.get(&at("d/file")).unwrap();
    assert_eq!(file.content().unwrap().read().unwrap(), bytes(3, 100_000));
    let link = |path: &str| match &found.tree.get(&at(path)).unwrap().kind {
        Kind::File { link, .. } => *link,
        _ => None,
    };
    assert!(link("d/file").is_some() && link("d/file") == link("d/e/link"));
}

#[test]
fn what_ext4_cannot_hold_is_refused_by_name() {
    let mut base = tree();
    base.insert(at("f"), Node::file(Content::bytes(b"f"), meta(0o644)))
        .unwrap();
    let refused = |tree: &Tree, options: Options| layout(tree, &options).unwrap_err();
    let with = |path: &str, node: Node| {
        let mut tree = base.clone();
        tree.insert(at(path), node).unwrap();
        refused(&tree, options())
    };
    let label = "seventeen letters".to_owned();
    assert_eq!(
        refused(
            &base,
            Options {
                label: label.clone(),
                ..options()
            }
        ),
        Error::Label(label)
    );
    assert_eq!(
        refused(
            &base,
            Options {
                journal: 5000,
                ..options()
            }
        ),
        Error::Journal(5000)
    );
    assert!(matches!(
        refused(&base, Options { exact_size: Some(4 << 20), ..options() }),
        Error::TooSmall { size, .. } if size == 4 << 20
    ));
    assert!(matches!(
        refused(
            &base,
            Options {
                exact_size: Some(0),
                ..options()
            }
        ),
        Error::TooSmall { .. }
    ));
    assert!(matches!(
        refused(
            &base,
            Options {
                free: 17 << 40,
                ..options()
            }
        ),
        Error::TooLarge(_)
    ));
    assert!(matches!(
        refused(
            &base,
            Options {
                grow_to: 1 << 60,
                ..options()
            }
        ),
        Error::GrowTo { .. }
    ));
    assert!(matches!(
        refused(
            &base,
            Options {
                epoch: -1,
                ..options()
            }
        ),
        Error::Time { .. }
    ));
    for target in [String::new(), "x".repeat(4096), "a\0b".into()] {
        assert!(matches!(
            with("l", Node::symlink(target, 0)),
            Error::Symlink { .. }
        ));
    }
    assert!(matches!(
        with("lost+found", Node::symlink("x", 0)),
        Error::LostFound
    ));
    let mut odd = meta(0o644);
    odd.mtime = i64::MAX;
    assert!(
        with("odd", Node::file(Content::bytes(b""), odd))
            .to_string()
            .contains("`/odd`")
    );
    let mut odd = meta(0o10_000);
    odd.mtime = 0;
    assert!(matches!(with("odd", Node::dir(odd)), Error::Mode { .. }));

    let file = ContentFile::open(Path::new("/dev/null")).unwrap();
    let huge = Content::extent(file.clone(), 0, 1 << 44, [0; 32]);
    assert!(matches!(
        with("huge", Node::file(huge, meta(0o644))),
        Error::FileTooLarge { .. }
    ));

    let link = |bytes: &[u8]| Node {
        kind: Kind::File {
            content: Content::bytes(bytes),
            link: Some(LinkGroup(1)),
        },
        meta: meta(0o644),
    };
    let mut tree = base.clone();
    tree.insert(at("a"), link(b"one")).unwrap();
    tree.insert(at("b"), link(b"two")).unwrap();
    let error = refused(&tree, options()).to_string();
    assert!(
        error.contains("`/a` and `/b` are hard links but differ"),
        "{error}"
    );

    let mut tree = base.clone();
    for n in 0..65_001 {
        tree.insert(at(&format!("links-{n}")), link(b"same"))
            .unwrap();
    }
    assert!(matches!(refused(&tree, options()), Error::TooManyLinks(_)));
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

/// A small image to damage, in memory-backed or at least cached form.
struct Victim {
    image: Image,
    source: Arc<ContentFile>,
    file: File,
    metadata: u64,
}

fn victim() -> Victim {
    let mut tree = tree();
    tree.ensure_dirs(&at("a/b"), &meta(0o755)).unwrap();
    for n in 0..200 {
        let node = Node::file(Content::bytes(format!("{n}")), meta(0o644));
        tree.insert(at(&format!("a/name-of-a-file-{n}")), node)
            .unwrap();
    }
    let mut heavy = meta(0o644);
    heavy.xattrs.insert("user.big".into(), vec![1; 500]);
    heavy.xattrs.insert("user.small".into(), vec![1; 5]);
    tree.insert(
        at("heavy"),
        Node::file(Content::bytes(bytes(1, 9000)), heavy),
    )
    .unwrap();
    let mut light = meta(0o644);
    light.xattrs.insert("user.small".into(), vec![1; 5]);
    tree.insert(at("light"), Node::file(Content::bytes(b"x"), light))
        .unwrap();
    tree.insert(at("slow"), Node::symlink("s".repeat(100), 0))
        .unwrap();
    let image = image(
        &tree,
        &Options {
            journal: 0,
            grow_to: 0,
            ..options()
        },
    );
    let file = File::options()
        .read(true)
        .write(true)
        .open(&image.path)
        .unwrap();
    Victim {
        source: ContentFile::open(&image.path).unwrap(),
        metadata: image.layout.used()[0].end,
        file,
        image,
    }
}

impl Victim {
    fn read(&self) -> Result<Found, ReadError> {
        read(self.source.clone(), 0, self.image.layout.len())
    }

    fn get<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    /// Makes the checksums of the superblock and of an inode right again, so that the damage is
    /// not found at the door.
    fn forge(&self, inode: u32) {
        let mut sb: [u8; 1024] = self.get(1024);
        let sum = mkext4::csum::superblock(&sb);
        sb[0x3fc..].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&sb, 1024).unwrap();
        let uuid = sb[0x68..0x78].try_into().unwrap();
        let table = u64::from(u32::from_le_bytes(self.get(4096 + 8)));
        let at = table * 4096 + u64::from(inode - 1) * 256;
        let mut raw: [u8; 256] = [0; 256];
        if self.file.read_exact_at(&mut raw, at).is_err() {
            return;
        }
        let generation = u32::from_le_bytes(raw[0x64..0x68].try_into().unwrap());
        let sum = mkext4::csum::inode(mkext4::csum::fs_seed(&uuid), inode, generation, &raw);
        raw[0x7c..0x7e].copy_from_slice(&(sum as u16).to_le_bytes());
        raw[0x82..0x84].copy_from_slice(&((sum >> 16) as u16).to_le_bytes());
        self.file.write_all_at(&raw, at).unwrap();
    }
}

#[test]
fn damage_anywhere_gives_an_error_or_a_tree_but_no_panic() {
    let victim = victim();
    let whole = std::fs::read(&victim.image.path).unwrap();
    let table = u64::from(u32::from_le_bytes(victim.get(4096 + 8))) * 4096;
    let place = prop_oneof![
        1024..2048_u64,
        4096..4160_u64,
        // The root, then files, directories, links.
        table + 256..table + 512,
        table + 11 * 256..table + 220 * 256,
        4096..victim.metadata,
        table + 2_097_152..victim.metadata,
    ];
    let value = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        any::<u32>().prop_map(|word| word.to_le_bytes().to_vec()),
        Just(vec![0xff; 8]),
        Just(vec![0; 8]),
        Just(vec![0; 256]),
    ];
    let damage = prop::collection::vec((place, value), 1..4);
    let config = ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(damage in damage)| {
        for (place, bytes) in &damage {
            victim.file.write_all_at(bytes, *place).unwrap();
            victim.forge(((place.saturating_sub(table) / 256 + 1) as u32).clamp(1, 8192));
        }
        let result = victim.read();
        victim.file.write_all_at(&whole[..victim.metadata as usize], 0).unwrap();
        if let Ok(found) = result {
            // What was read can be planned, or is refused.
            let _ = layout(&found.tree, &found.options);
        }
    });
    victim.read().unwrap();
}

#[test]
fn names_that_leave_the_root_are_refused() {
    let victim = victim();
    let whole = std::fs::read(&victim.image.path).unwrap();
    let find = |name: &[u8]| {
        let at = whole
            .windows(name.len())
            .position(|bytes| bytes == name)
            .unwrap();
        at as u64
    };
    let at = find(b"name-of-a-file-77");
    victim.file.write_all_at(b"../../../etc/pass", at).unwrap();
    assert!(matches!(victim.read(), Err(ReadError::Damaged { .. })));
    victim.file.write_all_at(b"name-of-a-file-78", at).unwrap();
    assert_eq!(
        victim.read().unwrap_err().to_string(),
        "the file system is damaged at /a/name-of-a-file-78: the name is there twice; \
         take a fresh copy of the image"
    );
}

#[test]
fn an_image_in_use_or_cut_short_is_refused() {
    let victim = victim();
    assert!(read(victim.source.clone(), 0, 4096).is_err());
    assert!(read(victim.source.clone(), 0, 0).is_err());
    assert!(read(victim.source.clone(), 512, victim.image.layout.len() - 512).is_err());
    victim.file.write_all_at(&[0], 1024 + 0x3a).unwrap();
    victim.forge(1);
    let error = victim.read().unwrap_err();
    assert!(matches!(error, ReadError::Foreign { .. }), "{error}");
}

#[test]
fn paths_of_the_tree_are_those_of_the_disk() {
    // The order of the tree is not that of the names as bytes.
    let mut tree = tree();
    for path in ["a", "a-b", "a/c", "a/c/d", "a.b"] {
        tree.ensure_dirs(&at(path), &meta(0o755)).unwrap();
    }
    tree.insert(
        TreePath::new(b"a/\xff\xfe".as_slice()).unwrap(),
        Node::symlink("x", 0),
    )
    .unwrap();
    let image = image(&tree, &options());
    fsck(&image.path);
    same(&read_back(&image.path).tree, &tree);
}
