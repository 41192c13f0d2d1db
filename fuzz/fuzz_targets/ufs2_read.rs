//! A sound UFS2 file system with some bytes changed: neither reader nor checker panics or wants more
//! memory than the run is given, and what the reader calls damaged the checker has a word about.
//!
//! Of the input, every 13 bytes are a change: four say where, one says how many bytes and whether to
//! make the check hash over them right again, eight are the bytes.
#![no_main]

use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};

use clawdie_tree::{Content, ContentFile, Kind, LinkGroup, Meta, Node, Tree, TreePath};
use clawdie_ufs2::{Options, Plan as _, ReadError, check, layout, read};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

const INODES: u64 = 40 * 4096;

struct Victim {
    file: NamedTempFile,
    source: Arc<ContentFile>,
    len: u64,
    /// All that is not free.
    whole: Vec<u8>,
    /// Where the inodes in use end.
    inodes_end: u64,
}

static VICTIM: LazyLock<Victim> = LazyLock::new(|| {
    let at = |path: &str| TreePath::new(path).expect("a path");
    let mut tree = Tree::new(Meta::root(0o755, 5));
    let file = |len: usize| {
        let bytes: Vec<u8> = (0..len).map(|n| n as u8 | 1).collect();
        Node::file(Content::bytes(bytes), Meta::root(0o644, 5))
    };
    let mut add = |path: &str, node: Node| tree.insert(at(path), node).expect("room");
    add("d", Node::dir(Meta::root(0o755, 5)));
    add("d/e", Node::dir(Meta::root(0o755, 5)));
    for n in 0..20 {
        add(&format!("d/name-{n}"), file(n * 100));
    }
    add("large", file(500_000));
    let mut heavy = file(5000);
    heavy.meta.xattrs.insert("user.big".into(), vec![1; 500]);
    heavy.meta.xattrs.insert("system.small".into(), vec![1; 5]);
    add("heavy", heavy);
    for name in ["link", "link-too"] {
        let mut node = file(100);
        if let Kind::File { link, .. } = &mut node.kind {
            *link = Some(LinkGroup(1));
        }
        add(name, node);
    }
    add("short", Node::symlink("s".repeat(100), 0));
    add("long", Node::symlink("l".repeat(300), 0));
    let options = Options {
        exact_size: Some(10 << 20),
        holes: [(at("large"), vec![100_000..300_000])].into(),
        ..Options::default()
    };
    let layout = layout(&tree, &options).expect("it fits");
    let file = NamedTempFile::new().expect("a file");
    layout
        .write(file.as_file(), 0, &mut |_| {})
        .expect("it is written");
    let end = layout.used().last().expect("something").end;
    let mut whole = vec![0; end as usize];
    file.as_file().read_exact_at(&mut whole, 0).expect("bytes");
    Victim {
        source: ContentFile::open(file.path()).expect("the same file"),
        len: layout.len(),
        whole,
        inodes_end: INODES + (2 + layout.inodes().0) * 256,
        file,
    }
});

impl Victim {
    /// The places where something stands that matters, one after the other.
    fn place(&self, number: u64) -> u64 {
        let parts = [
            65536..65536 + 1376,
            32 * 4096..32 * 4096 + 8192,
            INODES + 512..self.inodes_end,
            1064 * 4096..self.whole.len() as u64 - 8,
        ];
        let part = &parts[number as usize % parts.len()];
        part.start + number / parts.len() as u64 % (part.end - part.start)
    }

    fn change(&self, at: u64, bytes: &[u8], forge: bool) {
        let file = self.file.as_file();
        file.write_all_at(bytes, at).expect("a write");
        let inode = at - at % 256;
        let (start, len, hash_at) = match at {
            _ if !forge => return,
            65536..69632 => (65536, 4096, 1304),
            131_072..139_264 => (131_072, 8192, 132),
            _ if (INODES..self.inodes_end).contains(&at) => (inode, 256, 244),
            _ => return,
        };
        let mut raw = vec![0; len];
        file.read_exact_at(&mut raw, start).expect("a read");
        raw[hash_at..hash_at + 4].fill(0);
        let hash = !crc32c::crc32c(&raw);
        file.write_all_at(&hash.to_le_bytes(), start + hash_at as u64)
            .expect("a write");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let victim = &*VICTIM;
    for change in bytes.chunks_exact(13) {
        let number = u32::from_le_bytes([change[0], change[1], change[2], change[3]]);
        let count = 1 + usize::from(change[4] & 7);
        let place = victim.place(number.into());
        victim.change(place, &change[5..5 + count], change[4] & 8 == 0);
    }
    let file = victim.file.as_file();
    let faults = check(file, 0, victim.len).expect("the image can be read");
    match read(victim.source.clone(), 0, victim.len) {
        Ok(found) => drop(layout(&found.tree, &found.options)),
        Err(ReadError::Foreign { .. }) => {}
        Err(error) => assert!(!faults.is_empty(), "{error}"),
    }
    file.write_all_at(&victim.whole, 0).expect("a write");
});
