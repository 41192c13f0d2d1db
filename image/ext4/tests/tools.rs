//! The images as other people's tools see them.

mod common;

use common::*;

#[test]
fn a_rich_tree_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(&rich_tree(dir.path()), &options());
    std::fs::copy(&image.path, "/tmp/ext4look/rich.img").unwrap();
    fsck(&image.path);
}
