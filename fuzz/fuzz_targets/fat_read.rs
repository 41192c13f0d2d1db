//! A sound FAT volume with some bytes changed, as a stick comes back from an operator: reader, checker and the
//! replacement of a file never panic nor want more memory than the run is given, what the reader calls damaged the
//! checker has a word about, and a file that was replaced can be read back.
//!
//! Of the input, every 12 bytes are a change: three say where, one how many bytes, eight are the bytes.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use clawdie_image::fat::{self, Label, MIN_LEN, Options};
use clawdie_tree::{Content, Meta, Node, Tree, TreePath};
use libfuzzer_sys::fuzz_target;

struct Victim {
    image: File,
    /// All that is not free.
    whole: Vec<u8>,
    /// The parts of it where something stands.
    places: Vec<u64>,
}

static VICTIM: LazyLock<Victim> = LazyLock::new(|| {
    let meta = Meta::root(0o755, 1_760_000_000);
    let mut tree = Tree::new(meta.clone());
    let mut add = |path: &str, node: Node| {
        let path = TreePath::new(path).expect("a path");
        tree.insert(path, node).expect("room");
    };
    let file = |len: usize| Node::file(Content::bytes(vec![b'x'; len]), meta.clone());
    add("setup.txt", file(3000));
    add("README.txt", file(700));
    add("A long name, as Windows likes it.txt", file(1));
    add("empty", file(0));
    add("folder", Node::dir(meta.clone()));
    add("folder/inner", Node::dir(meta.clone()));
    for number in 0..40 {
        add(&format!("folder/inner/Name {number}"), file(number * 50));
    }
    let options = Options {
        label: Label::new("CLAWDIESEED").expect("a label"),
        volume_id: 7,
        len: MIN_LEN,
        epoch: 1_760_000_000,
        hidden_sectors: 0,
    };
    let image = tempfile::tempfile().expect("a file");
    image.set_len(MIN_LEN).expect("its size");
    let used = fat::write(&tree, &options, &image, 0).expect("it fits");
    let mut whole = vec![0; used.end as usize];
    image.read_exact_at(&mut whole, 0).expect("bytes");
    let stands = |at: &u64| {
        let sector = *at as usize / 512 * 512;
        whole[sector..whole.len().min(sector + 512)]
            .iter()
            .any(|byte| *byte != 0 && *byte != b'x')
    };
    Victim {
        places: (0..used.end - 8).filter(stands).collect(),
        image,
        whole,
    }
});

fuzz_target!(|bytes: &[u8]| {
    let victim = &*VICTIM;
    let image = &victim.image;
    for change in bytes.chunks_exact(12) {
        let number = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
        let at = victim.places[number % victim.places.len()];
        let count = 1 + usize::from(change[3] & 7);
        image
            .write_all_at(&change[4..4 + count], at)
            .expect("a write");
    }
    let faults = fat::check(image, 0, MIN_LEN).expect("the image can be read");
    if fat::read(image, 0, MIN_LEN).is_err() {
        assert!(!faults.is_empty(), "refused without a fault");
    }
    if fat::replace(image, 0, MIN_LEN, "SETUP.TXT", b"new").is_ok() {
        let tree = fat::read(image, 0, MIN_LEN).expect("what was changed can be read");
        // Under whatever long name: a file is found by its short one, too.
        let new = tree.iter().any(|(path, node)| {
            let root = TreePath::root();
            path.parent() == Some(root) && node.content().is_some_and(|it| it.len() == 3)
        });
        let names: Vec<_> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert!(new, "the file was replaced, and is not there: {names:?}");
    }
    // Whatever was written lies in or right behind what was in use.
    image.set_len(victim.whole.len() as u64).expect("cut");
    image.set_len(MIN_LEN).expect("the free part, empty again");
    image.write_all_at(&victim.whole, 0).expect("a write");
});
