//! Memory does not grow with the image.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod common;

use std::fs::File;
use std::process::Command;

use clawdie_tree::{Content, ContentFile, Node};
use clawdie_ufs2::{Options, Plan as _, check, layout, read};
use common::*;

const CHILD: &str = "CLAWDIE_UFS2_BYTES";

/// Plans, writes, checks, compares and reads a file of `len` bytes that is no hole.
fn work(len: u64) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    File::create_new(&source).unwrap().set_len(len).unwrap();
    let content = Content::extent(ContentFile::open(&source).unwrap(), 0, len, [0; 32]);
    let mut tree = tree();
    tree.insert(at("f"), Node::file(content, meta(0o644)))
        .unwrap();
    // The rest of the image is as large again.
    let options = Options {
        free: len,
        ..options()
    };
    let layout = layout(&tree, &options).unwrap();
    let path = dir.path().join("image");
    write(&layout, &path);
    let file = File::open(&path).unwrap();
    assert_eq!(check(&file, 0, layout.len()).unwrap(), []);
    // All that differs is the hash of the content, which nobody made.
    let differences = layout.compare(&file, 0).unwrap();
    assert_eq!(differences.len(), 1, "{differences:?}");
    let found = read(ContentFile::open(&path).unwrap(), 0, layout.len()).unwrap();
    assert_eq!(found.tree.len(), 2);
}

/// The most memory, in bytes, that a process of its own needed for [`work`].
fn peak(len: u64) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "memory_does_not_grow_with_the_image",
            "--nocapture",
        ])
        .env(CHILD, len.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let line = said
        .lines()
        .find_map(|line| line.split_once("VmHWM:"))
        .unwrap();
    let number = line.1.split_whitespace().next().unwrap();
    number.parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_does_not_grow_with_the_image() {
    if let Ok(len) = std::env::var(CHILD) {
        work(len.parse().unwrap());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        println!("{status}");
        return;
    }
    let (small, large) = (peak(1 << 20), peak(400 << 20));
    // A bit for each fragment, and what an allocator keeps.
    assert!(large < small + (4 << 20), "{small} and {large} bytes");
}
