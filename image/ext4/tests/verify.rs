//! Reading back and comparing: what `verify` is made of.

mod common;

use std::fs::File;
use std::path::Path;

use clawdie_ext4::{Difference, Found, Layout, layout, read};
use clawdie_tree::{ContentFile, Tree};
use common::*;

fn read_back(path: &Path) -> Found {
    let len = std::fs::metadata(path).unwrap().len();
    read(ContentFile::open(path).unwrap(), 0, len).unwrap()
}

fn differences(layout: &Layout, path: &Path) -> Vec<Difference> {
    layout.compare(&File::open(path).unwrap(), 0).unwrap()
}

#[test]
fn a_tree_survives_the_way_to_disk_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let image = image(&tree, &options());
    let found = read_back(&image.path);
    assert_eq!(names(&found.tree), names(&tree));
    for (path, node) in tree.iter() {
        let back = found.tree.get(path).unwrap();
        assert_eq!(back.meta, node.meta, "{path}");
        match (node.content(), back.content()) {
            (Some(content), Some(back)) => {
                assert_eq!(content, back, "{path}");
                assert_eq!(content.read().unwrap(), back.read().unwrap(), "{path}");
            }
            _ => assert_eq!(back.kind, node.kind, "{path}"),
        }
    }
    let again = layout(&found.tree, &found.options).unwrap();
    assert_eq!(differences(&again, &image.path), []);
    assert_eq!(again.len(), image.layout.len());
}

fn names(tree: &Tree) -> Vec<String> {
    tree.iter().map(|(path, _)| path.to_string()).collect()
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let tree = rich_tree(dir.path());
    let one = std::fs::read(image(&tree, &options()).path).unwrap();
    let two = std::fs::read(image(&tree, &options()).path).unwrap();
    assert!(one == two);
}
