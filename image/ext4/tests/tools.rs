//! The images as other people's tools see them.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use clawdie_ext4::{Options, Plan as _, layout};
use clawdie_tree::{Content, ContentFile, Kind, Node, Tree};
use common::*;
use proptest::prelude::*;

/// What `ls -p` of debugfs says of a directory: inode, mode, owner, group, size by name.
fn listing(image: &Path, dir: &str) -> BTreeMap<String, (u32, u32, u32, u32, u64)> {
    debugfs(image, &format!("ls -p \"{dir}\""))
        .lines()
        .filter_map(|line| {
            let mut part = line.split('/').skip(1);
            let number = part.next()?.parse().ok()?;
            let mode = u32::from_str_radix(part.next()?, 8).ok()?;
            // Shown as if they were signed.
            let uid = part.next()?.parse::<i32>().ok()? as u32;
            let gid = part.next()?.parse::<i32>().ok()? as u32;
            let name = part.next()?.to_owned();
            let size = part.next()?.parse().unwrap_or(0);
            Some((name, (number, mode, uid, gid, size)))
        })
        .filter(|(name, _)| name != "." && name != "..")
        .collect()
}

/// Lets their owner read copies that came with their modes: root needs no leave, other users do.
fn open_up(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(dir, 0o700);
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            open_up(&entry.path());
        } else if kind.is_file() {
            allow(&entry.path(), 0o600);
        }
    }
}

/// Every file, as debugfs copies them out, has the bytes of the tree; every name its owner.
fn holds(image: &Path, tree: &Tree) {
    let out = tempfile::tempdir().unwrap();
    debugfs(image, &format!("rdump / {}", out.path().display()));
    open_up(out.path());
    for (path, node) in tree.iter() {
        let copy = out.path().join(path.to_string().trim_start_matches('/'));
        match &node.kind {
            Kind::File { content, .. } => {
                let same = std::fs::read(&copy).unwrap() == content.read().unwrap();
                assert!(same, "{path}");
            }
            Kind::Symlink(target) => {
                let copied = std::fs::read_link(&copy).unwrap();
                assert_eq!(copied.as_os_str().as_encoded_bytes(), target, "{path}");
            }
            Kind::Dir => {
                let list = listing(image, &path.to_string());
                let made = usize::from(path.is_root() && tree.get(&at("lost+found")).is_none());
                assert_eq!(list.len(), tree.children(path).count() + made, "{path}");
                for (below, node) in tree.children(path) {
                    let name = String::from_utf8(below.name().to_vec()).unwrap();
                    let (_, mode, uid, gid, size) = list[&name];
                    assert_eq!(mode & 0o7777, u32::from(node.meta.mode), "{below}");
                    assert_eq!((uid, gid), (node.meta.uid, node.meta.gid), "{below}");
                    if let Some(content) = node.content() {
                        assert_eq!(size, content.len(), "{below}");
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn everything_a_tree_can_hold_is_clean_and_there() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let image = image(&tree, &options());
    fsck(&image.path);
    holds(&image.path, &tree);

    let list = listing(&image.path, "/links");
    assert!(list["a"].0 == list["b"].0 && list["b"].0 == list["c"].0);
    let stat = |path: &str| debugfs(&image.path, &format!("stat {path}"));
    assert!(stat("/links/a").contains("Links: 3"));
    assert!(stat("/dev/null").contains("Device major/minor number: 01:03"));
    assert!(stat("/dev/new").contains("Device major/minor number: 300:70000"));
    assert!(stat("/dev/pipe").contains("Type: FIFO"));
    let owned = stat("/bin/owned");
    assert!(
        owned.contains("User: 100000   Group: -294967296"),
        "{owned}"
    );
    assert!(owned.contains("2128"), "{owned}");
    let ping = debugfs(&image.path, "ea_get -x /bin/ping security.capability");
    assert!(ping.contains("01 00 00 02 00 20 00 00"), "{ping}");
    let heavy = debugfs(&image.path, "ea_list /etc/heavy");
    for name in [
        "user.big (2000)",
        "user.small (1) = \"x\"",
        "user.empty (0)",
        "trusted.t (2)",
    ] {
        assert!(heavy.contains(name), "{heavy}");
    }
    assert!(heavy.contains("system.posix_acl_access (28)"), "{heavy}");
    let found = stat("<11>");
    assert!(
        found.contains("Size: 16384") && found.contains("Mode:  0700"),
        "{found}"
    );
}

#[test]
fn the_features_are_those_of_mke2fs() {
    let image = image(&tree(), &options());
    let output = tool("dumpe2fs", &[image.path.to_str().unwrap()]);
    let said = text(&output);
    let features = said
        .lines()
        .find_map(|line| line.strip_prefix("Filesystem features:"))
        .unwrap();
    assert_eq!(
        features.trim(),
        "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg \
         sparse_super large_file huge_file dir_nlink extra_isize metadata_csum"
    );
    for line in [
        "Filesystem volume name:   root",
        "Filesystem UUID:          30313233-3435-3637-3839-616263646566",
        "Default mount options:    user_xattr acl",
        "Filesystem state:         clean",
        "Reserved GDT blocks:      255",
        "Total journal size:       4096k",
        "Journal start:            0",
        "Checksum type:            crc32c",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}

#[test]
fn without_journal_and_without_room_to_grow() {
    let options = Options {
        journal: 0,
        grow_to: 0,
        ..options()
    };
    let image = image(&tree(), &options);
    fsck(&image.path);
    let said = text(&tool("dumpe2fs", &["-h", image.path.to_str().unwrap()]));
    assert!(
        !said.contains("has_journal") && !said.contains("resize_inode"),
        "{said}"
    );
}

#[test]
fn it_can_be_grown_to_where_more_descriptors_are_needed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let image = image(&tree, &options());
    let path = image.path.to_str().unwrap();
    // One block of descriptors is for 8 GiB.
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(20 << 30)
        .unwrap();
    let output = tool("resize2fs", &[path]);
    assert!(output.status.success(), "{}", text(&output));
    fsck(&image.path);
    let said = text(&tool("dumpe2fs", &["-h", path]));
    assert!(said.contains("Block count:              5242880"), "{said}");
    // 256 for the 2 TiB that were provided for, 3 of them now in use.
    assert!(said.contains("Reserved GDT blocks:      253"), "{said}");
    holds(&image.path, &tree);
}

#[test]
fn a_hundred_thousand_names_in_one_directory_are_found() {
    let mut tree = tree();
    tree.ensure_dirs(&at("d"), &meta(0o755)).unwrap();
    for n in 0..100_000 {
        let path = at(&format!("d/quite-a-long-name-of-a-file-{n}"));
        tree.insert(path, Node::file(Content::bytes(b""), meta(0o644)))
            .unwrap();
    }
    let image = image(&tree, &options());
    fsck(&image.path);
    let said = debugfs(&image.path, "htree_dump /d");
    assert!(said.contains("Indirect levels: 1"));
    // Looks names up by their hash.
    let fs = ext4_view::Ext4::load_from_path(&image.path).unwrap();
    for n in (0..100_000).step_by(997) {
        assert!(
            fs.exists(format!("/d/quite-a-long-name-of-a-file-{n}").as_str())
                .unwrap()
        );
    }
    assert!(!fs.exists("/d/quite-a-long-name-of-a-file-100000").unwrap());
}

#[test]
fn more_directories_than_links_can_be_counted() {
    let mut tree = tree();
    for n in 0..65_100 {
        tree.insert(at(&format!("{n}")), Node::dir(meta(0o755)))
            .unwrap();
    }
    let image = image(&tree, &options());
    fsck(&image.path);
    assert!(debugfs(&image.path, "stat /").contains("Links: 1 "));
}

/// A file of several groups, whose source has no zero filling at its end and starts anywhere.
#[test]
fn a_file_goes_around_the_structures_in_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let file = File::create(&source).unwrap();
    let len = 140 << 20;
    file.set_len(1000 + len + 1000).unwrap();
    let mut marks = Vec::new();
    for n in 0..140 {
        let mark = (n << 20) + n * 37;
        file.write_all_at(&bytes(n + 1, 1000), 1000 + mark).unwrap();
        marks.push(mark);
    }
    file.write_all_at(&[0xff; 1000], 0).unwrap();
    file.write_all_at(&[0xff; 1000], 1000 + len).unwrap();
    let hash: [u8; 32] = {
        use sha2::Digest as _;
        let all = std::fs::read(&source).unwrap();
        sha2::Sha256::digest(&all[1000..1000 + len as usize]).into()
    };
    let whole = Content::extent(ContentFile::open(&source).unwrap(), 1000, len, hash);
    let mut tree = tree();
    tree.insert(at("big"), Node::file(whole, meta(0o644)))
        .unwrap();
    tree.insert(
        at("small"),
        Node::file(Content::bytes(b"small"), meta(0o644)),
    )
    .unwrap();
    let image = image(&tree, &options());
    fsck(&image.path);
    let stat = debugfs(&image.path, "stat /big");
    let extents = stat.split("EXTENTS:").nth(1).unwrap();
    assert_eq!(extents.matches("):").count(), 2, "{stat}");
    let out = dir.path().join("out");
    debugfs(&image.path, &format!("dump /big {}", out.display()));
    assert_eq!(std::fs::metadata(&out).unwrap().len(), len);
    let copied = File::open(&out).unwrap();
    for (n, mark) in marks.into_iter().enumerate() {
        let mut part = vec![0; 1000];
        copied.read_exact_at(&mut part, mark).unwrap();
        assert!(part == bytes(n as u64 + 1, 1000), "{mark}");
    }
    let differences = image
        .layout
        .compare(&File::open(&image.path).unwrap(), 0)
        .unwrap();
    assert_eq!(differences, []);
}

/// The journal of nearly two gigabytes costs nothing and needs an extent tree of two levels.
#[test]
fn what_is_zero_takes_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let options = Options {
        journal: 1900 << 20,
        ..options()
    };
    let image = image(&tree, &options);
    fsck(&image.path);
    assert!(debugfs(&image.path, "stat <8>").contains("(ETB0)"));
    let on_disk = std::fs::metadata(&image.path).unwrap().blocks() * 512;
    assert!(on_disk < 12 << 20, "{on_disk}");
    // All that is not zero lies in the ranges said to be used.
    let file = File::open(&image.path).unwrap();
    let used = image.layout.used();
    assert!(used.is_sorted_by(|one, next| one.end < next.start));
    assert!(used.iter().all(|range| !range.is_empty()));
    let gaps = used.windows(2).map(|pair| pair[0].end..pair[1].start);
    let last = used[used.len() - 1].end..image.layout.len();
    for gap in gaps.chain([last]) {
        let mut bytes = vec![0; (gap.end - gap.start) as usize];
        file.read_exact_at(&mut bytes, gap.start).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0));
    }
}

#[test]
fn it_can_lie_anywhere_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let layout = layout(&tree, &options()).unwrap();
    let path = dir.path().join("disk");
    let file = File::create_new(&path).unwrap();
    file.write_all_at(&[1; 512], 0).unwrap();
    let offset = 3 << 20;
    let mut told = 0;
    layout
        .write(&file, offset, &mut |bytes| told += bytes)
        .unwrap();
    assert!(told > 3 << 20);
    let name = format!("{}?offset={offset}", path.display());
    fsck(Path::new(&name));
    assert_eq!(layout.len() % (1 << 20), 0);
    assert_eq!(file.metadata().unwrap().len(), offset + layout.len());
}

#[test]
fn sizes_around_the_end_of_a_group_are_clean() {
    let mut tree = tree();
    tree.insert(at("f"), Node::file(Content::bytes(b"f"), meta(0o644)))
        .unwrap();
    let group = 32768 * 4096;
    for size in [
        group - 4096,
        group,
        group + 4096,
        group + 300 * 4096,
        group + 310 * 4096,
        2 * group + 1,
        2 * group + 60 * 4096,
        17 * group + 5000,
    ] {
        let options = Options {
            exact_size: Some(size),
            ..options()
        };
        let image = image(&tree, &options);
        assert_eq!(image.layout.len(), size);
        fsck(&image.path);
    }
}

#[test]
fn more_files_than_inodes_per_group_make_more_groups() {
    let mut tree = tree();
    for n in 0..40_000 {
        let node = Node::symlink("x", EPOCH);
        tree.insert(at(&format!("{n:05}")), node).unwrap();
    }
    let image = image(&tree, &options());
    fsck(&image.path);
    let (used, all) = image.layout.inodes();
    assert!(used > 40_000 && all > used);
}

fn content_len() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..3_usize,
        4094..4099_usize,
        8190..8195_usize,
        0..200_000_usize,
        (1_usize << 20) - 2..(1 << 20) + 3,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    /// The journal moves the boundary between the first groups to somewhere in the contents.
    #[test]
    fn any_tree_is_clean_and_holds_its_contents(
        files in prop::collection::btree_map(
            "[a-d]{1,2}(/[a-d]{1,2}){0,2}/[!-.0-Z]{1,255}",
            (content_len(), 0_u16..0o10000, any::<u32>(), any::<bool>()),
            1..30,
        ),
        journal in 30_500_u64..31_700,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut pack = Pack::new(dir.path());
        for (n, (len, ..)) in files.values().enumerate() {
            pack.add(&bytes(n as u64 + 1, *len));
        }
        let mut tree = tree();
        for ((path, (_, mode, owner, in_memory)), content) in files.iter().zip(pack.contents()) {
            let path = at(path);
            if tree.ensure_dirs(&path.parent().unwrap(), &meta(0o755)).is_err() {
                continue;
            }
            let mut meta = meta(*mode);
            (meta.uid, meta.gid) = (*owner, !owner);
            let content = if *in_memory { Content::bytes(content.read().unwrap()) } else { content };
            // A name that became a directory stays one.
            let _ = tree.insert(path, Node::file(content, meta));
        }
        let options = Options { journal: journal * 4096, ..options() };
        let image = image(&tree, &options);
        fsck(&image.path);
        holds(&image.path, &tree);
        let differences = image.layout.compare(&File::open(&image.path).unwrap(), 0).unwrap();
        prop_assert_eq!(differences, vec![]);
    }
}
