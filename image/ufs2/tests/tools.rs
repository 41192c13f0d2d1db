//! The images as sleuthkit sees them.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use clawdie_tree::{Kind, Tree};
use common::*;

/// Runs a tool of sleuthkit.
fn tool(name: &str, args: &[&str]) -> Output {
    let found = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("`{name}` is missing; install it with `apt install sleuthkit`"));
    let output = Command::new(found)
        .args(args)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("`{name}` cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{name}: {said}");
    output
}

fn said(name: &str, args: &[&str]) -> String {
    String::from_utf8_lossy(&tool(name, args).stdout).into_owned()
}

/// What `fls` says of a name.
#[derive(Debug)]
struct Listed {
    inode: u64,
    /// Letters, as `ls` has them.
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    /// Of a symbolic link.
    target: Option<String>,
}

/// Every name below the root.
fn list(image: &Path) -> BTreeMap<String, Listed> {
    said("fls", &["-r", "-p", "-m", "/", image.to_str().unwrap()])
        .lines()
        // What it makes of its own for files without a name.
        .filter(|line| !line.contains("|V/V"))
        .map(|line| {
            let parts: Vec<&str> = line.rsplitn(10, '|').collect();
            let (path, target) = match parts[9].trim_start_matches("0|").split_once(" -> ") {
                Some((path, target)) => (path, Some(target.to_owned())),
                None => (parts[9].trim_start_matches("0|"), None),
            };
            let listed = Listed {
                inode: parts[8].parse().unwrap(),
                mode: parts[7].to_owned(),
                uid: parts[6].parse().unwrap(),
                gid: parts[5].parse().unwrap(),
                size: parts[4].parse().unwrap(),
                mtime: parts[2].parse().unwrap(),
                target,
            };
            (path.to_owned(), listed)
        })
        .collect()
}

/// The mode that `fls` shows: the kind by the directory and by the inode, then the permissions.
fn letters(kind: char, mode: u16) -> String {
    let mut text = format!("{kind}/{kind}");
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

/// Every name, owner, mode, length, target and every byte is as in the tree, and nothing else is.
fn holds(image: &Path, tree: &Tree) -> BTreeMap<String, Listed> {
    let listed = list(image);
    assert_eq!(listed.len(), tree.len() - 1);
    for (path, node) in tree.iter().filter(|(path, _)| !path.is_root()) {
        let found = &listed[&path.to_string()];
        let meta = &node.meta;
        assert_eq!((found.uid, found.gid), (meta.uid, meta.gid), "{path}");
        // It has 32 bits for that.
        assert_eq!(found.mtime as u32, meta.mtime as u32, "{path}");
        let kind = match &node.kind {
            Kind::Dir => 'd',
            Kind::File { .. } => 'r',
            Kind::Symlink(_) => 'l',
            Kind::Fifo => 'p',
            Kind::CharDevice { .. } => 'c',
            Kind::BlockDevice { .. } => 'b',
        };
        assert_eq!(found.mode, letters(kind, meta.mode), "{path}");
        match &node.kind {
            Kind::File { content, .. } => {
                assert_eq!(found.size, content.len(), "{path}");
                let number = found.inode.to_string();
                let bytes = tool("icat", &[image.to_str().unwrap(), &number]).stdout;
                assert!(bytes == content.read().unwrap(), "{path}");
            }
            Kind::Symlink(target) => {
                assert_eq!(found.target.as_ref().unwrap().as_bytes(), target, "{path}");
            }
            _ => {}
        }
    }
    listed
}

#[test]
fn everything_a_tree_can_hold_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (mut tree, options) = rich_tree(dir.path());
    // A process for each of them is for the random tree.
    for n in 20..600 {
        tree.remove(&at(&format!("many/file-number-{n}")));
    }
    let image = image(&tree, &options);
    let listed = holds(&image.path, &tree);
    let inode = |path: &str| listed[path].inode;
    assert!(inode("/links/a") == inode("/links/b") && inode("/links/b") == inode("/links/c"));
    let stat = |path: &str| {
        let number = inode(path).to_string();
        said("istat", &[image.path.to_str().unwrap(), &number])
    };
    let linked = stat("/links/a");
    assert!(linked.contains("num of links: 3"), "{linked}");
    // A file of fourteen blocks has one block of addresses.
    let large = stat("/bin/size-19");
    assert!(large.contains("Indirect Blocks:"), "{large}");
}

#[test]
fn a_large_random_tree_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, options) = random_tree(dir.path(), 77, 220);
    assert!(tree.len() > 200);
    let image = image(&tree, &options);
    sound(&image.path);
    holds(&image.path, &tree);
}

#[test]
fn a_hundred_thousand_files_are_listed() {
    let mut tree = tree();
    for dir in 0..200 {
        tree.ensure_dirs(&at(&format!("{dir}")), &meta(0o755))
            .unwrap();
        for n in 0..500 {
            tree.insert(at(&format!("{dir}/{n}")), file(b"")).unwrap();
        }
    }
    let image = image(&tree, &options());
    sound(&image.path);
    let listed = list(&image.path);
    assert_eq!(listed.len(), 100_200);
    for dir in 0..200 {
        for n in 0..500 {
            assert!(listed.contains_key(&format!("/{dir}/{n}")));
        }
    }
}

#[test]
fn the_superblock_says_what_newfs_would() {
    let mut tree = tree();
    tree.insert(at("f"), file(&[1; 5000])).unwrap();
    let image = image(&tree, &options());
    let said = said("fsstat", &[image.path.to_str().unwrap()]);
    for line in [
        "File System Type: UFS 2",
        "Last Written: 2023-11-14 22:13:20 (UTC)",
        "Volume Name: rootfs",
        "Flags:  Soft Dependencies",
        "Inode Range: 0 - 32768",
        "Root Directory: 2",
        "Num of Avail Inodes: 32764",
        "Num of Directories: 1",
        "Fragment Range: 0 - 65535",
        "Block Size: 32768",
        "Fragment Size: 4096",
        // Two groups of 4096 blocks, less 133 and 130 of structures, less one begun for the summary and
        // the root, and the file's own: two fragments of the former.
        "Num of Avail Full Blocks: 7928",
        "Num of Avail Fragments: 4",
        "Number of Cylinder Groups: 2",
        "Inodes per group: 16384",
        "Fragments per group: 32768",
        "    Super Block: 32792 - 32799",
        "    Group Desc: 32800 - 32807",
        "    Inode Table: 32808 - 33831",
    ] {
        assert!(said.lines().any(|is| is == line), "{line}\n{said}");
    }
}
