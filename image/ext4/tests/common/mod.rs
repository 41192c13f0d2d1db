//! What the tests share: trees, images and other people's tools.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clawdie_ext4::{Layout, Options, layout};
pub(crate) use clawdie_runs::testing::{Pack, bytes, write};
use clawdie_tree::{Content, Kind, LinkGroup, Meta, Node, Tree, TreePath};
use tempfile::TempDir;

pub(crate) const EPOCH: i64 = 1_700_000_000;

pub(crate) fn options() -> Options {
    Options {
        uuid: *b"0123456789abcdef",
        hash_seed: *b"fedcba9876543210",
        label: "root".into(),
        epoch: EPOCH,
        free: 8 << 20,
        grow_to: 2 << 40,
        journal: 4 << 20,
        exact_size: None,
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

/// A tree with everything in it.
pub(crate) fn rich_tree(dir: &Path) -> Tree {
    let mut pack = Pack::new(dir);
    let sizes = [0, 1, 4095, 4096, 4097, 8192, 100_000, 3 << 20];
    for (n, &size) in sizes.iter().enumerate() {
        pack.add(&bytes(n as u64 + 1, size));
    }
    let mut tree = tree();
    for path in ["bin", "dev", "etc", "home/user", "links", "many"] {
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
    let mut capable = meta(0o755);
    capable.xattrs.insert(
        "security.capability".into(),
        b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
    );
    tree.insert(at("bin/ping"), Node::file(Content::bytes(b"ping"), capable))
        .unwrap();
    let mut heavy = meta(0o644);
    heavy.xattrs.insert("user.big".into(), bytes(9, 2000));
    heavy.xattrs.insert("user.small".into(), b"x".to_vec());
    heavy.xattrs.insert("user.empty".into(), Vec::new());
    heavy.xattrs.insert("trusted.t".into(), b"tt".to_vec());
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in [
        (1_u16, 6_u16, !0),
        (2, 4, 1000_u32),
        (4, 4, !0),
        (0x10, 4, !0),
        (0x20, 0, !0),
    ] {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&perm.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    heavy.xattrs.insert("system.posix_acl_access".into(), acl);
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
    tree.insert(at("links/fast"), Node::symlink("f".repeat(59), EPOCH))
        .unwrap();
    tree.insert(at("links/slow"), Node::symlink("s".repeat(60), EPOCH))
        .unwrap();
    tree.insert(
        at("links/longest"),
        Node::symlink("l/".repeat(2047) + "l", EPOCH),
    )
    .unwrap();
    let device = |kind| Node {
        kind,
        meta: meta(0o660),
    };
    tree.insert(
        at("dev/null"),
        device(Kind::CharDevice { major: 1, minor: 3 }),
    )
    .unwrap();
    tree.insert(
        at("dev/new"),
        device(Kind::CharDevice {
            major: 300,
            minor: 70_000,
        }),
    )
    .unwrap();
    tree.insert(
        at("dev/sda"),
        device(Kind::BlockDevice { major: 8, minor: 0 }),
    )
    .unwrap();
    tree.insert(at("dev/pipe"), device(Kind::Fifo)).unwrap();
    tree.insert(
        at(&"n".repeat(255)),
        Node::file(Content::bytes(b"n"), meta(0o644)),
    )
    .unwrap();
    for n in 0..600 {
        let node = Node::file(Content::bytes(format!("{n}")), meta(0o644));
        tree.insert(at(&format!("many/file-number-{n}")), node)
            .unwrap();
    }
    tree
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

/// Runs a tool of e2fsprogs.
pub(crate) fn tool(name: &str, args: &[&str]) -> Output {
    let found = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("`{name}` is missing; install it with `apt install e2fsprogs`"));
    Command::new(found)
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("`{name}` cannot be run: {error}"))
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A check that finds nothing to say but its summary.
pub(crate) fn fsck(path: &Path) {
    let output = tool("e2fsck", &["-fn", path.to_str().unwrap()]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("e2fsck ") && !line.starts_with("Pass "))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("files ("), "{said}");
}

pub(crate) fn debugfs(image: &Path, request: &str) -> String {
    let output = tool("debugfs", &["-R", request, image.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
