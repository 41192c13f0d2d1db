//! Images that nobody should trust.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod common;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use clawdie_tree::{Content, ContentFile, Kind, Node};
use clawdie_ufs2::{Fault, Found, Options, ReadError, check, layout, read};
use common::*;
use proptest::prelude::*;

/// Where things lie in an image of one group: the places that newfs gives them.
const SUPERBLOCK: u64 = 65536;
const HEADER: u64 = 32 * FRAG;
const INODES: u64 = 40 * FRAG;
const INODE: u64 = 256;

/// An image to damage.
struct Victim {
    image: Image,
    source: Arc<ContentFile>,
    file: File,
    /// All that is not free.
    whole: Vec<u8>,
    /// Where the inodes in use lie.
    inodes: Range<u64>,
    /// From the first directory to the last block of addresses.
    metadata: Range<u64>,
}

impl Victim {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = tree();
        tree.ensure_dirs(&at("a/b"), &meta(0o755)).unwrap();
        for n in 0..40 {
            let path = at(&format!("a/name-of-a-file-{n}"));
            tree.insert(path, file(format!("{n}").as_bytes())).unwrap();
        }
        let mut heavy = meta(0o644);
        heavy.xattrs.insert("user.big".into(), vec![1; 500]);
        heavy.xattrs.insert("system.small".into(), vec![1; 5]);
        let content = Content::bytes(bytes(1, 9000));
        tree.insert(at("heavy"), Node::file(content, heavy))
            .unwrap();
        let large = Content::bytes(bytes(2, 500_000));
        tree.insert(at("large"), Node::file(large, meta(0o644)))
            .unwrap();
        let marks = [0, 40 * BLOCK + 9];
        let len = marks[1] + 8;
        let sparse = sparse(&dir.path().join("sparse"), len, &marks);
        tree.insert(at("sparse"), Node::file(sparse, meta(0o644)))
            .unwrap();
        tree.insert(at("short"), Node::symlink("s".repeat(100), 0))
            .unwrap();
        tree.insert(at("long"), Node::symlink("l".repeat(300), 0))
            .unwrap();
        let pipe = Node {
            kind: Kind::Fifo,
            meta: meta(0o600),
        };
        tree.insert(at("pipe"), pipe).unwrap();
        let mut options = small();
        options.holes.insert(at("sparse"), holes(len, &marks));
        let image = image(&tree, &options);
        let file = File::options()
            .read(true)
            .write(true)
            .open(&image.path)
            .unwrap();
        let used = image.layout.used();
        let mut whole = vec![0; used[used.len() - 1].end as usize];
        file.read_exact_at(&mut whole, 0).unwrap();
        let count = image.layout.inodes().0;
        Self {
            source: ContentFile::open(&image.path).unwrap(),
            inodes: INODES + 2 * INODE..INODES + (2 + count) * INODE,
            // The summary is before, the contents are behind.
            metadata: 1065 * FRAG..1120 * FRAG,
            whole,
            file,
            image,
        }
    }

    fn read(&self) -> Result<Found, ReadError> {
        read(self.source.clone(), 0, self.image.layout.len())
    }

    fn check(&self) -> Vec<Fault> {
        check(&self.file, 0, self.image.layout.len()).unwrap()
    }

    /// Changes some bytes; with `forge`, makes the check hash that covers them right again, so that
    /// the damage is not found at the door.
    fn damage(&self, at: u64, bytes: &[u8], forge: bool) {
        self.file.write_all_at(bytes, at).unwrap();
        let hashed = [(SUPERBLOCK, 4096, 1304), (HEADER, 8192, 132)];
        let hashed = hashed.into_iter().chain(
            self.inodes
                .clone()
                .step_by(INODE as usize)
                .map(|start| (start, INODE, 244)),
        );
        for (start, len, hash_at) in hashed.filter(|_| forge) {
            if at + bytes.len() as u64 <= start || start + len <= at {
                continue;
            }
            let mut raw = vec![0; len as usize];
            self.file.read_exact_at(&mut raw, start).unwrap();
            raw[hash_at..hash_at + 4].fill(0);
            let hash = !crc32c::crc32c(&raw);
            self.file
                .write_all_at(&hash.to_le_bytes(), start + hash_at as u64)
                .unwrap();
        }
    }

    fn heal(&self) {
        self.file.write_all_at(&self.whole, 0).unwrap();
    }
}

/// What is written over the image.
fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        any::<u16>().prop_map(|half| half.to_le_bytes().to_vec()),
        any::<u32>().prop_map(|word| word.to_le_bytes().to_vec()),
        // Fragments that exist, of whatever kind.
        (0_u64..6200).prop_map(|frag| frag.to_le_bytes().to_vec()),
        (0_u32..64).prop_map(|shift| (1_u64 << shift).to_le_bytes().to_vec()),
        any::<u64>().prop_map(|long| long.to_le_bytes().to_vec()),
        Just(vec![0xff; 8]),
        Just(vec![0; 8]),
        Just(vec![0; 512]),
    ]
}

/// Neither panics, and what the checker has no word to say about can be read, or is at least nothing
/// that contradicts itself.
#[test]
fn damage_anywhere_gives_faults_or_a_tree_but_no_panic() {
    let victim = Victim::new();
    assert_eq!(victim.check(), []);
    victim.read().unwrap();
    let metadata = victim.metadata.clone();
    let place = prop_oneof![
        1 => SUPERBLOCK..SUPERBLOCK + 1376,
        // Fields before the maps, then maps.
        1 => HEADER..HEADER + 168,
        1 => HEADER..HEADER + 8192,
        4 => victim.inodes.clone(),
        // Fields of an inode that lead elsewhere: its length, its attributes, its addresses.
        4 => (
            (victim.inodes.start / INODE)..(victim.inodes.end / INODE),
            prop::sample::select(vec![0, 2, 16, 92, 96, 104, 112, 120, 208, 216, 224]),
        )
            .prop_map(|(inode, field)| inode * INODE + field),
        3 => metadata.start..metadata.end,
        1 => 1064 * FRAG..1065 * FRAG,
    ];
    let damage = prop::collection::vec((place, values()), 1..4);
    let config = ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(damage in damage, forge in prop::bool::weighted(0.9))| {
        for (place, bytes) in &damage {
            victim.damage(*place, bytes, forge);
        }
        let faults = victim.check();
        let result = victim.read();
        victim.heal();
        match result {
            // What was read can be planned, or is refused.
            Ok(found) => drop(layout(&found.tree, &found.options)),
            Err(ReadError::Damaged { place, fault }) => {
                prop_assert!(!faults.is_empty(), "{}: {}", place, fault);
            }
            Err(ReadError::Foreign { .. }) => {}
            Err(ReadError::Io(error)) => {
                prop_assert!(!faults.is_empty(), "{}", error);
            }
        }
    });
    assert_eq!(victim.check(), []);
    victim.read().unwrap();
}

#[test]
fn names_that_leave_the_root_are_refused() {
    let victim = Victim::new();
    let name = b"name-of-a-file-11";
    let place = victim.whole.windows(name.len()).position(|at| at == name);
    let place = place.unwrap() as u64;
    victim.damage(place, b"../../../etc/pass", true);
    assert!(matches!(victim.read(), Err(ReadError::Damaged { .. })));
    let told = victim.check()[0].to_string();
    assert!(told.starts_with("directory chunk "), "{told}");
    assert!(told.contains("of `/a`"), "{told}");
    victim.damage(place, b"name-of-a-file-12", true);
    assert_eq!(
        victim.read().unwrap_err().to_string(),
        "the file system is damaged at /a/name-of-a-file-12: the name is there twice; \
         take a fresh copy of the image"
    );
}

/// Its zeros would take days to hash.
#[test]
fn a_file_of_petabytes_is_refused_at_once() {
    let victim = Victim::new();
    let at = victim.inode("sparse");
    let mut raw = [0; 8];
    victim.file.read_exact_at(&mut raw, at + 112).unwrap();
    // Its last block by way of three blocks of addresses, of which each lists only the next.
    let free = 3000 * FRAG;
    let len = (12 + 4096 + 4096 * 4096 + 4096_u64.pow(3)) * BLOCK;
    for level in 0..3 {
        let next = free + (level + 1) * BLOCK;
        let address = (next / FRAG).to_le_bytes();
        let place = free + level * BLOCK + BLOCK - 8;
        victim.file.write_all_at(&address, place).unwrap();
    }
    victim.damage(at + 16, &(len - 1).to_le_bytes(), true);
    victim.damage(at + 112, &[0; 112], true);
    victim.damage(at + 224, &(free / FRAG).to_le_bytes(), true);
    let error = victim.read().unwrap_err();
    assert!(matches!(error, ReadError::Foreign { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("/sparse: with it, files are more than 16 times as long"),
        "{error}"
    );
}

#[test]
fn a_file_system_in_use_is_refused() {
    let victim = Victim::new();
    victim.damage(SUPERBLOCK + 209, &[0], true);
    let error = victim.read().unwrap_err();
    assert!(matches!(error, ReadError::Foreign { .. }), "{error}");
    let faults: Vec<String> = victim.check().iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        ["superblock: byte 209: fs_clean is 0, not 1: it was not unmounted"]
    );
}

impl Victim {
    /// Where the inode of a file in the root lies.
    fn inode(&self, name: &str) -> u64 {
        let root = u64::from_le_bytes(
            self.whole[(INODES + 2 * INODE + 112) as usize..][..8]
                .try_into()
                .unwrap(),
        );
        let dir = &self.whole[(root * FRAG) as usize..][..512];
        let place = dir
            .windows(name.len() + 1)
            .position(|at| at[..name.len()] == *name.as_bytes() && at[name.len()] == 0);
        let entry = &dir[place.unwrap() - 8..];
        let number = u32::from_le_bytes(entry[..4].try_into().unwrap());
        INODES + u64::from(number) * INODE
    }
}

/// What is no file system at all, of whatever length.
#[test]
fn random_bytes_are_no_file_system() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let source = ContentFile::open(file.path()).unwrap();
    for len in [0, 1, 512, 65536, 65537, 69632, 1 << 20] {
        file.as_file().set_len(0).unwrap();
        file.as_file()
            .write_all_at(&bytes(len + 1, len as usize), 0)
            .unwrap();
        assert!(matches!(
            read(source.clone(), 0, len),
            Err(ReadError::Damaged { .. })
        ));
        assert_eq!(check(source.file(), 0, len).unwrap().len(), 1);
        assert!(read(source.clone(), u64::MAX, u64::MAX).is_err());
        let _ = check(source.file(), u64::MAX, u64::MAX);
        let _ = check(source.file(), 1 << 63, 1 << 40);
    }
}

#[test]
fn options_of_a_damaged_superblock_are_refused_or_sound() {
    let victim = Victim::new();
    victim.damage(SUPERBLOCK + 680, b"\xff\xfe", true);
    let error = victim.read().unwrap_err().to_string();
    assert!(error.contains("the label is not UTF-8"), "{error}");
    victim.heal();
    victim.damage(SUPERBLOCK + 680, b"other name", true);
    let found = victim.read().unwrap();
    let Options { label, .. } = &found.options;
    assert_eq!(label, "other name");
    assert!(layout(&found.tree, &found.options).is_err());
}
