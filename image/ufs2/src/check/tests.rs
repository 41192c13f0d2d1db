//! Faults planted one at a time.

use std::fs::File;
use std::os::unix::fs::FileExt;

use clawdie_tree::{Content, Kind, LinkGroup, Meta, Node, Tree};

use super::*;
use crate::Plan as _;
use crate::checksum::seal;
use crate::cylinder::{self, Maps};
use crate::geometry::{BLOCK, FRAGS, GROUP, HEADER, INODE};
use crate::inode::{self, AREA_AT};
use crate::{Layout, Options, layout};

fn planned() -> Layout {
    let mut tree = Tree::new(Meta::root(0o755, 5));
    let at = |path: &str| TreePath::new(path).unwrap();
    let file = |bytes: &[u8]| Node::file(Content::bytes(bytes), Meta::root(0o644, 5));
    tree.ensure_dirs(&at("a/b"), &Meta::root(0o755, 5)).unwrap();
    tree.insert(at("a/small"), file(&[7; 5000])).unwrap();
    tree.insert(at("a/large"), file(&[8; 800_001])).unwrap();
    let mut heavy = file(b"heavy");
    heavy.meta.xattrs.insert("user.big".into(), vec![1; 1000]);
    tree.insert(at("heavy"), heavy).unwrap();
    for name in ["one", "two"] {
        let mut node = file(b"shared");
        if let Kind::File { link, .. } = &mut node.kind {
            *link = Some(LinkGroup(1));
        }
        tree.insert(at(name), node).unwrap();
    }
    tree.insert(at("short"), Node::symlink("target", 5))
        .unwrap();
    tree.insert(at("slow"), Node::symlink("t".repeat(300), 5))
        .unwrap();
    let fifo = Node {
        kind: Kind::Fifo,
        meta: Meta::root(0o600, 5),
    };
    tree.insert(at("pipe"), fifo).unwrap();
    let options = Options {
        id: *b"identity",
        label: "test".into(),
        epoch: 10,
        exact_size: Some((GROUP * FRAG) + (20 << 20)),
        ..Options::default()
    };
    layout(&tree, &options).unwrap()
}

/// An image to damage.
struct Image {
    file: File,
    layout: Layout,
}

impl Image {
    fn new() -> Self {
        let layout = planned();
        let file = tempfile::tempfile().unwrap();
        layout.write(&file, 0, &mut |_| {}).unwrap();
        Self { file, layout }
    }

    fn faults(&self) -> Vec<String> {
        let faults = check(&self.file, 0, self.layout.len()).unwrap();
        faults.iter().map(ToString::to_string).collect()
    }

    /// Changes `len` bytes at a place.
    fn change(&self, at: u64, len: u64, change: impl FnOnce(&mut [u8])) {
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        change(&mut bytes);
        self.file.write_all_at(&bytes, at).unwrap();
    }

    fn superblock(&self, change: impl FnOnce(&mut [u8])) {
        self.change(SUPER_AT, superblock::SIZE, |raw| {
            change(raw);
            seal(raw, superblock::HASH_AT);
        });
    }

    fn copy(&self, change: impl FnOnce(&mut [u8])) {
        let at = (GROUP + SUPER_COPY) * FRAG;
        self.change(at, superblock::SIZE, |raw| {
            change(raw);
            seal(raw, superblock::HASH_AT);
        });
    }

    fn header(&self, group: u64, change: impl FnOnce(&mut [u8])) {
        let len = cylinder::header_size(&self.layout.geometry);
        self.change((group * GROUP + HEADER) * FRAG, len, |raw| {
            change(raw);
            seal(raw, cylinder::HASH_AT);
        });
    }

    fn inode(&self, path: &str, change: impl FnOnce(&mut [u8])) {
        self.inode_at(self.number(path), change);
    }

    fn inode_at(&self, number: u64, change: impl FnOnce(&mut [u8])) {
        let at = crate::geometry::INODES * FRAG + number * INODE;
        self.change(at, INODE, |raw| {
            change(raw);
            seal(raw, inode::HASH_AT);
        });
    }

    fn number(&self, path: &str) -> u64 {
        let path = TreePath::new(path).unwrap();
        let index = self
            .layout
            .placed
            .iter()
            .position(|placed| placed.item.path == path);
        index.unwrap() as u64 + u64::from(ROOT)
    }

    /// The first fragment of what a path holds.
    fn data(&self, path: &str) -> u64 {
        self.layout.placed(self.number(path)).unwrap().runs[0].start
    }

    /// The chunk of a directory, and where in it the entry with a name starts.
    fn entry(&self, dir: &str, name: &str, change: impl FnOnce(&mut [u8])) {
        self.change(self.data(dir) * FRAG, CHUNK, |raw| {
            let names = crate::directory::names(raw).unwrap();
            let at = names
                .iter()
                .find(|entry| entry.name == name.as_bytes())
                .unwrap()
                .at;
            change(&mut raw[at..]);
        });
    }
}

const CHUNK: u64 = crate::directory::CHUNK as u64;

/// A planted fault: its name, how it is planted, and all that is to be said of it.
type Case = (&'static str, fn(&Image), &'static [&'static str]);

fn maps(image: &Image) -> Maps {
    Maps::new(image.layout.geometry.inodes_per_group)
}

/// Addresses start here in an inode, the blocks of addresses after twelve.
const FIRST: usize = AREA_AT;
const INDIRECT: usize = AREA_AT + 12 * 8;

const CASES: &[Case] = &[
    (
        "superblock: a place",
        |image| image.superblock(|raw| raw.put32(12, 33)),
        &["superblock: byte 12: fs_cblkno is 33, not 32"],
    ),
    (
        "superblock: geometry",
        |image| image.superblock(|raw| raw.put32(48, 16384)),
        &["superblock: byte 48: fs_bsize is 16384, and only 32768 is understood"],
    ),
    (
        "superblock: more than there is",
        |image| image.superblock(|raw| raw.put64(1080, 1 << 40)),
        &["superblock: fs_size is 1099511627776 fragments, more than the image has"],
    ),
    (
        "superblock: check hash",
        |image| image.change(SUPER_AT + 300, 1, |raw| raw[0] ^= 1),
        &["superblock: byte 1304: the check hash is "],
    ),
    (
        "superblock: not unmounted",
        |image| image.superblock(|raw| raw[209] = 0),
        &["superblock: byte 209: fs_clean is 0, not 1: it was not unmounted"],
    ),
    (
        "superblock: needs fsck",
        |image| image.superblock(|raw| raw[1312] |= 4),
        &["superblock: byte 1312: fs_flags has unknown or bad flags 0x4"],
    ),
    (
        "superblock: a snapshot",
        |image| image.superblock(|raw| raw.put32(1116, 9)),
        &["superblock: byte 1116: fs_snapinum names a snapshot, and these are not understood"],
    ),
    (
        "superblock: total",
        |image| image.superblock(|raw| raw.put64(1016, 77)),
        &["superblock: byte 1016: it counts 77 free blocks, not "],
    ),
    (
        "superblock: what the kernel replaces",
        |image| image.superblock(|raw| raw.put32(1200, 0)),
        &["superblock: byte 1200: fs_avgfpdir is 0"],
    ),
    (
        "superblock: longest file",
        |image| image.superblock(|raw| raw.put64(1328, 9)),
        &["superblock: byte 1328: fs_maxfilesize is 9, not 2252349704110079"],
    ),
    (
        "superblock: kept for later",
        |image| image.superblock(|raw| raw[1071] = 1),
        &["superblock: byte 1040: it counts what nobody counts yet"],
    ),
    (
        "superblock: data size",
        |image| image.superblock(|raw| raw.put64(1088, 77)),
        &["superblock: byte 1088: fs_dsize is 77, not "],
    ),
    (
        "copy",
        |image| image.copy(|raw| raw.put32(188, 77)),
        &["superblock copy in group 1: byte 188: fs_fpg is 77, not 32768"],
    ),
    (
        "copy: check hash",
        |image| image.change((GROUP + SUPER_COPY) * FRAG + 300, 1, |raw| raw[0] ^= 1),
        &["superblock copy in group 1: byte 1304: the check hash is "],
    ),
    (
        "copy: of another file system",
        |image| image.copy(|raw| raw[144] ^= 1),
        &["superblock copy in group 1: byte 144: fs_id is not the superblock's"],
    ),
    (
        "boot area",
        |image| image.change(SUPER_AT - 8, 1, |raw| raw[0] ^= 1),
        &["boot area: byte 65516: does not say where the superblock's copies lie"],
    ),
    (
        "group: magic number",
        |image| image.header(1, |raw| raw[4] ^= 1),
        &["cylinder group 1: byte 4: cg_magic is 590420, not 590421"],
    ),
    (
        "group: check hash",
        |image| {
            let at = (GROUP + HEADER) * FRAG + 136;
            image.change(at, 1, |raw| raw[0] ^= 1);
        },
        &["cylinder group 1: byte 132: the check hash is "],
    ),
    (
        "group: number",
        |image| image.header(1, |raw| raw.put32(12, 0)),
        &["cylinder group 1: byte 12: cg_cgx is 0, not 1"],
    ),
    (
        "group: unused",
        |image| image.header(1, |raw| raw.put32(84, 7)),
        &["cylinder group 1: byte 84: cg_old_btotoff is 7, not 0"],
    ),
    (
        "group: kept for later",
        |image| image.header(1, |raw| raw[167] = 7),
        &["cylinder group 1: byte 144: cg_sparecon64 is not zero"],
    ),
    (
        "group: initialised inodes",
        |image| image.header(1, |raw| raw.put32(120, 1 << 30)),
        &["cylinder group 1: byte 120: cg_initediblk is 1073741824, more than 16384"],
    ),
    (
        "group: rotor",
        |image| image.header(1, |raw| raw.put32(40, 1 << 30)),
        &["cylinder group 1: byte 40: cg_rotor is 1073741824, not less than "],
    ),
    (
        "group: a used inode free",
        |image| {
            let at = maps(image).inodes;
            image.header(0, |raw| raw[at] &= !(1 << 5));
        },
        &["cylinder group 0: its map says that inode 5 is free, but it is in use"],
    ),
    (
        "group: a free inode used",
        |image| {
            let at = maps(image).inodes;
            image.header(1, |raw| raw[at + 10] |= 2);
        },
        &["cylinder group 1: its map says that inode 16465 is in use, but it is free"],
    ),
    (
        "group: used fragments free",
        |image| {
            let at = maps(image).frags;
            image.header(0, |raw| raw[at] |= 6);
        },
        &["cylinder group 0: its map says that fragment 1 is free, but it is in use"],
    ),
    (
        "group: free fragments used",
        |image| {
            let at = maps(image).frags;
            image.header(1, |raw| raw[at + 1] &= !6);
        },
        &["cylinder group 1: its map says that fragment 32777 is in use, but it is free"],
    ),
    (
        "group: a block",
        |image| {
            let at = maps(image).clusters;
            image.header(1, |raw| raw[at] &= !1);
        },
        &["cylinder group 1: its map of blocks says that block 4096 is in use, but it is free"],
    ),
    (
        "group: runs of blocks",
        |image| {
            let at = maps(image).cluster_sums;
            image.header(1, |raw| raw.put32(at + 3 * 4, 9));
        },
        &["cylinder group 1: it counts 9 runs of 3 free blocks, not 1"],
    ),
    (
        "group: runs of fragments",
        |image| image.header(1, |raw| raw.put32(52 + 4 * 4, 9)),
        &["cylinder group 1: it counts 9 runs of 4 free fragments, not 0"],
    ),
    (
        "group: count",
        |image| image.header(1, |raw| raw.put32(32, 9)),
        &["cylinder group 1: it counts 9 free inodes, not 16384"],
    ),
    (
        "summary",
        |image| {
            let at = image.layout.geometry.data() * FRAG + 16;
            image.change(at, 4, |raw| raw.put32(0, 9));
        },
        &["summary of the cylinder groups: group 1: it counts 9 directories, not 0"],
    ),
    (
        "inode: check hash",
        |image| {
            let at = crate::geometry::INODES * FRAG + image.number("heavy") * INODE;
            image.change(at + 80, 1, |raw| raw[0] ^= 1);
        },
        &["inode 7 of `/heavy`: its check hash is wrong"],
    ),
    (
        "inode: links",
        |image| image.inode("one", |raw| raw.put16(2, 3)),
        &["inode 8 of `/one`: it counts 3 links, but has 2"],
    ),
    (
        "inode: links of a directory",
        |image| image.inode("a", |raw| raw.put16(2, 2)),
        &["inode 3 of `/a`: it counts 2 links, but has 3"],
    ),
    (
        "inode: sectors",
        |image| image.inode("a/small", |raw| raw.put64(24, 8)),
        &["inode 6 of `/a/small`: it counts 8 sectors of 512 bytes, but has 16"],
    ),
    (
        "inode: length of a pipe",
        |image| image.inode("pipe", |raw| raw.put64(16, 1)),
        &["inode 9 of `/pipe`: its length of 1 bytes cannot be"],
    ),
    (
        "inode: length beyond all",
        |image| image.inode("pipe", |raw| raw.put64(16, u64::MAX)),
        &["inode 9 of `/pipe`: its length of 18446744073709551615 bytes cannot be"],
    ),
    (
        "inode: kind",
        |image| image.inode("pipe", |raw| raw.put16(0, 0o2_0600)),
        &["directory chunk 0 of `/`: `pipe` is said to be of kind 1, but inode 9 is 2"],
    ),
    (
        "inode: free, but not empty",
        |image| image.inode_at(100, |raw| raw.put64(FIRST, 2000)),
        &["inode 100: it is free, but has a size or addresses"],
    ),
    (
        "inode: after a short link",
        |image| image.inode("short", |raw| raw[FIRST + 50] = 1),
        &["inode 10 of `/short`: there is something where it has nothing"],
    ),
    (
        "blocks: beyond the file",
        |image| image.inode("a/small", |raw| raw.put64(FIRST + 8, 3000)),
        &["inode 6 of `/a/small`: address 3000 stands beyond its end"],
    ),
    (
        "blocks: addresses beyond the file",
        |image| image.inode("a/large", |raw| raw.put64(INDIRECT + 8, 3000)),
        &["inode 5 of `/a/large`: address 3000 stands beyond its end"],
    ),
    (
        "blocks: a hole at the end",
        |image| image.inode("a/small", |raw| raw.put64(16, 40_000)),
        &[
            "inode 6 of `/a/small`: fragment 1070 does not lie within one block",
            "inode 6 of `/a/small`: it ends in a hole",
            "inode 6 of `/a/small`: it counts 16 sectors of 512 bytes, but has 64",
            "*",
        ],
    ),
    (
        "blocks: out of range",
        |image| image.inode("a/large", |raw| raw.put64(FIRST, 1 << 40)),
        &[
            "inode 5 of `/a/large`: fragment 1099511627776 lies outside of the file system",
            "cylinder group 0: its map says that fragment 1080 is in use, but it is free",
            "*",
        ],
    ),
    (
        "blocks: among the inodes",
        |image| image.inode("a/large", |raw| raw.put64(FIRST, GROUP + 48)),
        &[
            "inode 5 of `/a/large`: fragment 32816 lies in the file system's own structures",
            "cylinder group 0: its map says that fragment 1080 is in use, but it is free",
            "*",
        ],
    ),
    (
        "blocks: not at a block's start",
        |image| image.inode("a/large", |raw| raw.put64(FIRST, 20_001)),
        &[
            "inode 5 of `/a/large`: fragment 20001 does not lie within one block",
            "cylinder group 0: its map says that fragment 1080 is in use, but it is free",
            "*",
        ],
    ),
    (
        "blocks: twice",
        |image| {
            let at = image.data("a/small");
            image.inode("heavy", |raw| raw.put64(FIRST, at));
        },
        &[
            "inode 7 of `/heavy`: fragment 1070 belongs to something else already",
            "cylinder group 0: its map says that fragment 1280 is in use, but it is free",
            "*",
        ],
    ),
    (
        "blocks: addresses in a circle",
        |image| {
            let placed = image.layout.placed(image.number("a/large")).unwrap();
            let (at, _) = placed.indirect.blocks(&placed.runs).next().unwrap();
            image.change(at * FRAG, BLOCK, |raw| raw.put64(0, at));
        },
        &[
            "inode 5 of `/a/large`: fragment 1072 belongs to something else already",
            "cylinder group 0: its map says that fragment 1176 is in use, but it is free",
            "*",
        ],
    ),
    (
        "attributes: length",
        |image| {
            let at = image
                .layout
                .placed(image.number("heavy"))
                .unwrap()
                .attributes[0]
                .start;
            image.change(at * FRAG, 4, |raw| raw.put32(0, 8));
        },
        &["inode 7 of `/heavy`: an extended attribute has an impossible length"],
    ),
    (
        "attributes: address",
        |image| image.inode("heavy", |raw| raw.put64(96, 1 << 50)),
        &[
            "inode 7 of `/heavy`: fragment 1125899906842624 lies outside of the file system",
            "inode 7 of `/heavy`: it counts 16 sectors of 512 bytes, but has 8",
            "cylinder group 0: its map says that fragment 1069 is in use, but it is free",
            "*",
        ],
    ),
    (
        "attributes: too many addresses",
        |image| image.inode("heavy", |raw| raw.put64(104, 2000)),
        &["inode 7 of `/heavy`: an address of extended attributes stands beyond their end"],
    ),
    (
        "directory: `.`",
        |image| image.entry("a/b", ".", |entry| entry.put32(0, 7)),
        &["directory chunk 0 of `/a/b`: `.` is inode 7, not 4"],
    ),
    (
        "directory: `..`",
        |image| image.entry("a/b", "..", |entry| entry.put32(0, 2)),
        &["directory chunk 0 of `/a/b`: `..` is inode 2, not 3"],
    ),
    (
        "directory: no `..`",
        |image| image.entry("a/b", "..", |entry| entry[9] = b'x'),
        &[
            "directory chunk 0 of `/a/b`: `..` is missing",
            "inode 3 of `/a`: it counts 3 links, but has 2",
        ],
    ),
    (
        "directory: kind",
        |image| image.entry("", "heavy", |entry| entry[6] = 4),
        &["directory chunk 0 of `/`: `heavy` is said to be of kind 4, but inode 7 is 8"],
    ),
    (
        "directory: length of an entry",
        |image| image.entry("a", "small", |entry| entry.put16(4, 6)),
        &[
            "directory chunk 0 of `/a`: byte 56: the length of an entry cannot be",
            "inode 2 of `/`: it counts 3 links, but has 2",
            "inode 3 of `/a`: it counts 3 links, but has 1",
            "inode 4: it is in use, but has no name",
            "inode 5: it is in use, but has no name",
            "inode 6: it is in use, but has no name",
        ],
    ),
    (
        "directory: a free inode",
        |image| image.entry("", "pipe", |entry| entry.put32(0, 200)),
        &[
            "directory chunk 0 of `/`: `pipe` is inode 200, which is not in use",
            "inode 9: it is in use, but has no name",
        ],
    ),
    (
        "directory: no inode at all",
        |image| image.entry("", "pipe", |entry| entry.put32(0, u32::MAX)),
        &[
            "directory chunk 0 of `/`: `pipe` is inode 4294967295, which is not in use",
            "inode 9: it is in use, but has no name",
        ],
    ),
    (
        "directory: a name twice",
        |image| image.entry("", "two", |entry| entry.put(8, b"one")),
        &["directory chunk 0 of `/`: byte 112: `one` is there twice"],
    ),
    (
        "directory: a whiteout of an inode",
        |image| image.entry("", "pipe", |entry| entry[6] = 14),
        &["directory chunk 0 of `/`: `pipe` is said to be of kind 14, but inode 9 is 1"],
    ),
    (
        // Itself no fault.
        "directory: a whiteout instead of a name",
        |image| {
            image.entry("", "pipe", |entry| {
                entry.put32(0, 1);
                entry[6] = 14;
            });
        },
        &["inode 9: it is in use, but has no name"],
    ),
    (
        "directory: longer than there is sense in",
        |image| image.inode("a/b", |raw| raw.put64(16, 1 << 40)),
        &[
            "inode 4 of `/a/b`: its length of 1099511627776 bytes cannot be",
            "*",
        ],
    ),
    (
        "directory: in a circle",
        |image| {
            image.entry("a", "small", |entry| {
                entry.put32(0, 3);
                entry[6] = 4;
            });
        },
        &[
            "directory chunk 0 of `/a`: `small` is inode 3, a directory that has a name already",
            "inode 3 of `/a`: it counts 3 links, but has 4",
            "inode 6: it is in use, but has no name",
        ],
    ),
    (
        "directory: the root is none",
        |image| image.inode("", |raw| raw.put16(0, 0o10_0755)),
        &["inode 2: the root is no directory", "*"],
    ),
];

#[test]
fn a_sound_file_system_has_no_faults() {
    assert_eq!(Image::new().faults(), Vec::<String>::new());
}

#[test]
fn each_planted_fault_is_found_where_it_is() {
    let mut missed = Vec::new();
    for (name, plant, wanted) in CASES {
        let image = Image::new();
        plant(&image);
        let faults = image.faults();
        // A star stands for whatever follows from what was said before.
        let open = wanted.last() == Some(&"*");
        let wanted = &wanted[..wanted.len() - usize::from(open)];
        let fits = (open || faults.len() == wanted.len())
            && faults.len() >= wanted.len()
            && wanted
                .iter()
                .zip(&faults)
                .all(|(wanted, fault)| fault.starts_with(wanted));
        if !fits {
            missed.push(format!("{name}: {faults:#?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn any_flipped_byte_of_what_is_hashed_is_found() {
    let image = Image::new();
    let inode = crate::geometry::INODES * FRAG + image.number("a") * INODE;
    let header = (GROUP + HEADER) * FRAG;
    for (start, len) in [(SUPER_AT, 1376), (inode, 256), (header, 8000)] {
        for at in (start..start + len).step_by(7) {
            image.change(at, 1, |raw| raw[0] ^= 0x40);
            assert_ne!(image.faults(), Vec::<String>::new(), "byte {at}");
            image.change(at, 1, |raw| raw[0] ^= 0x40);
        }
    }
    assert_eq!(image.faults(), Vec::<String>::new());
}

#[test]
fn an_image_without_a_file_system_is_told_of() {
    let file = tempfile::tempfile().unwrap();
    for len in [0, 512, 65536, 100_000, 1 << 20] {
        file.set_len(len).unwrap();
        let faults = check(&file, 0, len).unwrap();
        assert_eq!(faults.len(), 1, "{len}");
        assert_eq!(faults[0].structure, Structure::Superblock);
    }
}

const _: () = assert!(FRAGS == 8);
