use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use clawdie_tree::{Content, Kind, Meta, Node, Tree, TreePath};
use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;

pub(super) fn options() -> Options {
    Options {
        label: Label::new("CLAWDIESEED").unwrap(),
        volume_id: 0xC1A3_D1E5,
        len: MIN_LEN,
        epoch: 1_760_000_000,
        hidden_sectors: 0,
    }
}

fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

fn tree(files: &[(&str, &[u8])]) -> Tree {
    let mut tree = Tree::new(Meta::root(0o755, options().epoch));
    for (path, bytes) in files {
        let dir = at(path).parent().unwrap();
        tree.ensure_dirs(&dir, &Meta::root(0o755, 1_700_000_000))
            .unwrap();
        let node = Node::file(Content::bytes(bytes), Meta::root(0o644, 1_700_000_000));
        tree.insert(at(path), node).unwrap();
    }
    tree
}

pub(super) fn seed() -> Tree {
    tree(&[
        ("setup.txt", b"# SSH_KEY=\r\n"),
        ("README.txt", &b"Read me\r\n".repeat(500)),
        ("sub/EFI/BOOT/BOOTX64.EFI", &[0x4D; 70_000]),
        ("sub/Ein längerer Name.txt", b"x"),
        ("empty", b""),
    ])
}

pub(super) fn volume(tree: &Tree, options: &Options) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(options.len).unwrap();
    write(tree, options, file.as_file(), 0).unwrap();
    file
}

/// What `tool` prints; its absence is a failure that names the package.
fn output(package: &str, tool: &str, args: &[&str]) -> Vec<u8> {
    let out = Command::new(tool)
        .args(args)
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| {
            panic!("`{tool}` cannot be run ({error}): install the package `{package}`")
        });
    assert!(
        out.status.success() && out.stderr.is_empty(),
        "{tool} {args:?}:\n{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

fn mtools(tool: &str, image: &Path, args: &[&str]) -> Vec<u8> {
    output(
        "mtools",
        tool,
        &[&["-i", image.to_str().unwrap()], args].concat(),
    )
}

/// Fails unless `fsck.vfat` finds nothing at all to say.
pub(super) fn fsck(image: &Path) {
    let said = output("dosfstools", "fsck.vfat", &["-n", image.to_str().unwrap()]);
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.lines().count(), 2, "{said}"); // its version and the counts
}

fn contents(tree: &Tree) -> BTreeMap<String, Option<Vec<u8>>> {
    tree.iter()
        .map(|(path, node)| {
            let content = node.content().map(|content| content.read().unwrap());
            (path.to_string(), content)
        })
        .collect()
}

#[test]
fn other_peoples_tools_read_it() {
    let file = volume(&seed(), &options());
    fsck(file.path());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let listing = text(mtools("mdir", file.path(), &["-/", "-a", "::"]));
    for part in [
        "Volume in drive : is CLAWDIESEED",
        "Volume Serial Number is C1A3-D1E5",
        "SETUP    TXT        12 2023-11-14  22:13  setup.txt",
        "Ein längerer Name.txt",
        "BOOTX64  EFI     70000",
    ] {
        assert!(listing.contains(part), "no `{part}` in\n{listing}");
    }
    assert_eq!(
        mtools("mtype", file.path(), &["::SETUP.TXT"]),
        b"# SSH_KEY=\r\n"
    );
    let info = text(mtools("minfo", file.path(), &["::"]));
    assert!(info.contains("disk type=\"FAT32   \""), "{info}");
    let kind = text(output(
        "util-linux",
        "blkid",
        &["-p", file.path().to_str().unwrap()],
    ));
    for part in [
        "LABEL=\"CLAWDIESEED\"",
        "UUID=\"C1A3-D1E5\"",
        "VERSION=\"FAT32\"",
        "TYPE=\"vfat\"",
    ] {
        assert!(kind.contains(part), "no {part} in {kind}");
    }
}

#[test]
fn the_same_tree_gives_the_same_sparse_bytes() {
    let (first, second) = (volume(&seed(), &options()), volume(&seed(), &options()));
    assert!(std::fs::read(first.path()).unwrap() == std::fs::read(second.path()).unwrap());
    let on_disk = first.as_file().metadata().unwrap().blocks() * 512;
    assert!(on_disk < 256 << 10, "{on_disk} bytes on disk");
}

#[test]
fn what_is_used_is_told_and_nothing_else_is_written() {
    let out = tempfile::tempfile().unwrap();
    out.set_len(5 * MIN_LEN).unwrap();
    let used = write(&seed(), &options(), &out, MIN_LEN).unwrap();
    assert_eq!(used.start, MIN_LEN);
    assert!(used.end < MIN_LEN + (2 << 20), "{used:?}");
    let mut rest = vec![0; (5 * MIN_LEN - used.end) as usize];
    out.read_exact_at(&mut rest, used.end).unwrap();
    assert!(rest.iter().all(|&byte| byte == 0));
    assert_eq!(
        contents(&read(&out, MIN_LEN, MIN_LEN).unwrap()),
        contents(&seed())
    );
}

#[test]
fn the_whole_volume_is_read_back() {
    let file = volume(&seed(), &options());
    let (found, tree) = read_volume(file.as_file(), 0, options().len).unwrap();
    assert_eq!(found, options());
    assert_eq!(tree, seed());
    assert_eq!(check(file.as_file(), 0, options().len).unwrap(), []);
    assert_eq!(remake(file.as_file(), 0, options().len).unwrap(), []);
}

#[test]
fn what_fat_cannot_hold_is_refused_by_name() {
    let refused = |path: &str, kind: Kind| {
        let mut tree = seed();
        let meta = Meta::root(0o644, 0);
        tree.insert(at(path), Node { kind, meta }).unwrap();
        let out = tempfile::tempfile().unwrap();
        write(&tree, &options(), &out, 0).unwrap_err().to_string()
    };
    let file = |len| Kind::File {
        content: Content::extent(
            clawdie_tree::ContentFile::open(Path::new("/dev/zero")).unwrap(),
            0,
            len,
            [0; 32],
        ),
        link: None,
    };
    for (path, kind, says) in [
        (
            "l",
            Kind::Symlink(b"x".to_vec()),
            "FAT cannot hold `/l`: it is a symbolic link",
        ),
        ("f", Kind::Fifo, "FAT cannot hold `/f`: it is a pipe"),
        (
            "Setup.TXT",
            file(1),
            "FAT cannot hold both `/Setup.TXT` and `/setup.txt`: they differ only in case",
        ),
        (
            "a:b",
            file(1),
            "FAT cannot hold `/a:b`: its name holds a character that FAT forbids",
        ),
        (
            "big",
            file(1 << 32),
            "FAT cannot hold `/big`: a file ends at 4 GiB",
        ),
        (
            "big",
            file(40 << 20),
            "the FAT volume of 33 MiB is full at `/big`",
        ),
    ] {
        assert_eq!(refused(path, kind), says);
    }
    for bad in ["", "twelve-chars", "lower", " A", "A ", "Ä"] {
        assert!(Label::new(bad).is_err(), "{bad}");
    }
}

/// A volume that others made, and wrote to in other ways than we do.
#[test]
fn a_foreign_volume_is_read() {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    let path = file.path().to_str().unwrap();
    output(
        "dosfstools",
        "mkfs.fat",
        &["-F", "32", "-s", "1", "-n", "FOREIGN", path],
    );
    let dir = tempfile::tempdir().unwrap();
    let source = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (lower, long, big) = (
        source("lower.txt", b"lower"),
        source("A long Name.text", b"long"),
        source("big.bin", &[7; 200_000]),
    );
    mtools("mcopy", file.path(), &[&lower, "::"]);
    mtools("mmd", file.path(), &["::dir"]);
    mtools("mcopy", file.path(), &[&big, "::dir"]);
    mtools("mcopy", file.path(), &[&long, "::"]);
    mtools("mdel", file.path(), &["::lower.txt"]);
    mtools("mcopy", file.path(), &[&big, "::"]); // fragmented: it starts in the hole
    let (options, tree) = read_volume(file.as_file(), 0, 64 << 20).unwrap();
    assert_eq!(options.label.name(), "FOREIGN");
    assert_eq!(
        contents(&tree).into_iter().collect::<Vec<_>>(),
        [
            ("/".to_owned(), None),
            ("/A long Name.text".to_owned(), Some(b"long".to_vec())),
            ("/big.bin".to_owned(), Some(vec![7; 200_000])),
            ("/dir".to_owned(), None),
            ("/dir/big.bin".to_owned(), Some(vec![7; 200_000])),
        ]
    );
    assert_eq!(check(file.as_file(), 0, 64 << 20).unwrap(), []);
    replace(file.as_file(), 0, 64 << 20, "setup.txt", b"new").unwrap();
    fsck(file.path());
    assert_eq!(mtools("mtype", file.path(), &["::setup.txt"]), b"new");
}

/// Changes one byte for as long as `found` looks at it.
fn flipped(file: &NamedTempFile, byte: u64, found: impl Fn(&std::fs::File)) {
    let mut old = [0];
    file.as_file().read_exact_at(&mut old, byte).unwrap();
    file.as_file().write_all_at(&[old[0] ^ 0x11], byte).unwrap();
    found(file.as_file());
    file.as_file().write_all_at(&old, byte).unwrap();
}

#[test]
fn every_changed_byte_of_the_structures_is_found_and_named() {
    let file = volume(&seed(), &options());
    let geometry = geometry::BootSector::new(&options()).unwrap().geometry;
    let (first, second, data) = (geometry.fat_at(0), geometry.fat_at(1), geometry.data_at());
    let spots = [
        // Every byte that a reader goes by, checked without knowing what was written ...
        (0, 512, "boot sector"),
        (512, 512 + 4, "FSInfo"),
        (512 + 484, 512 + 492, "FSInfo"),
        (6 * 512, 7 * 512, "backup boot sector"),
        (7 * 512, 7 * 512 + 4, "backup FSInfo"),
        (first, first + 64, "table"),
        (second, second + 64, "second table"),
        (data, data + 11, "volume label"),
    ];
    for (from, to, place) in spots {
        for byte in from..to {
            flipped(&file, byte, |image| {
                let faults = check(image, 0, MIN_LEN).unwrap();
                assert!(!faults.is_empty(), "byte {byte:#x} of {place}");
                let named = faults.iter().any(|fault| fault.place.contains(place));
                assert!(named, "byte {byte:#x} of {place}: {faults:?}");
            });
        }
    }
    // ... and any byte at all, even unused ones, by making the volume again.
    let odd = [
        3 * 512,
        12 * 512 + 7,
        512 + 100,
        second + 200_000,
        data + 13,
        data + 400,
        MIN_LEN - 1,
    ];
    for byte in odd {
        flipped(&file, byte, |image| {
            let faults = remake(image, 0, MIN_LEN).unwrap();
            assert!(
                faults.iter().any(|fault| fault.at == byte),
                "{byte:#x}: {faults:?}"
            );
        });
    }
}

#[test]
fn a_difference_is_named_by_the_file_it_is_in() {
    let file = volume(&seed(), &options());
    let volume = scan::Volume::open(file.as_file(), 0, MIN_LEN).unwrap();
    let chains = volume.scan().chains;
    let byte = volume.cluster_at(chains[&at("sub/EFI/BOOT/BOOTX64.EFI")][3]) + 5;
    flipped(&file, byte, |image| {
        let faults = compare(&seed(), &options(), image, 0).unwrap();
        assert_eq!(
            faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [format!(
                "FAT32 clusters of `/sub/EFI/BOOT/BOOTX64.EFI`, byte {byte:#x}: 0x5c instead of 0x4d"
            )]
        );
    });
}

#[test]
fn rings_and_crossed_chains_are_named_and_end() {
    let file = volume(&seed(), &options());
    let chains = scan::Volume::open(file.as_file(), 0, MIN_LEN)
        .unwrap()
        .scan()
        .chains;
    let (boot, readme) = (
        &chains[&at("sub/EFI/BOOT/BOOTX64.EFI")],
        &chains[&at("README.txt")],
    );
    let first = geometry::BootSector::new(&options())
        .unwrap()
        .geometry
        .fat_at(0);
    for (from, to, says) in [
        (
            boot[5],
            boot[0],
            "belongs to another file, or its chain is a ring",
        ),
        (readme[1], boot[7], "belongs to another file"),
        (boot[5], 0, "runs into a free cluster"),
        (boot[5], 0x0FFF_0000, "outside the volume"),
        (boot[5], 0x0FFF_FFFF, "but its chain holds 6 clusters"),
        (*boot.last().unwrap(), 60_000, "longer than the file"),
    ] {
        let place = first + u64::from(from) * 4;
        let mut old = [0; 4];
        file.as_file().read_exact_at(&mut old, place).unwrap();
        file.as_file()
            .write_all_at(&to.to_le_bytes(), place)
            .unwrap();
        let faults = check(file.as_file(), 0, MIN_LEN).unwrap();
        assert!(
            faults.iter().any(|fault| fault.what.contains(says)),
            "{says}: {faults:?}"
        );
        assert!(read(file.as_file(), 0, MIN_LEN).is_err(), "{says}");
        file.as_file().write_all_at(&old, place).unwrap();
    }
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let name = "[a-zA-Zäß0-9 ._+~-]{1,20}";
    let file = (
        proptest::collection::vec(name, 1..5),
        proptest::collection::vec(any::<u8>(), 0..3000),
        0..2_000_000_000i64,
    );
    proptest::collection::vec(file, 0..40).prop_map(|files| {
        let mut tree = Tree::new(Meta::root(0o755, options().epoch));
        let mut seen = std::collections::HashMap::new();
        'files: for (names, bytes, mtime) in files {
            let mut path = TreePath::root();
            for name in &names {
                if name::long(name.as_bytes()).is_err() {
                    continue 'files;
                }
                path = path.join(name).unwrap();
                // Not two spellings of one name.
                let folded = name::folded(&path.to_string());
                if *seen.entry(folded).or_insert_with(|| path.clone()) != path {
                    continue 'files;
                }
            }
            let mtime = as_it_comes_back(mtime);
            let meta = Meta::root(0o755, mtime);
            if tree.ensure_dirs(&path.parent().unwrap(), &meta).is_err() {
                continue;
            }
            let _ = tree.insert(
                path,
                Node::file(Content::bytes(bytes), Meta::root(0o644, mtime)),
            );
        }
        tree
    })
}

fn as_it_comes_back(mtime: i64) -> i64 {
    time::DosTime::from_unix(mtime.min(options().epoch)).to_unix()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tree_comes_back_through_us_and_through_mtools(tree in any_tree()) {
        let file = volume(&tree, &options());
        prop_assert_eq!(&read(file.as_file(), 0, MIN_LEN).unwrap(), &tree);
        prop_assert_eq!(check(file.as_file(), 0, MIN_LEN).unwrap(), []);
        fsck(file.path());
        let dir = tempfile::tempdir().unwrap();
        if tree.len() > 1 {
            mtools("mcopy", file.path(), &["-s", "-n", "::*", dir.path().to_str().unwrap()]);
        }
        for (path, node) in tree.iter() {
            let copied = dir.path().join(path.to_string().trim_start_matches('/'));
            match node.content() {
                Some(content) => prop_assert!(std::fs::read(&copied).unwrap() == content.read().unwrap()),
                None => prop_assert!(copied.is_dir(), "{}", copied.display()),
            }
        }
    }

    #[test]
    fn damage_never_panics_or_hangs(hits in proptest::collection::vec((0..1u64 << 21, any::<u8>()), 1..40)) {
        let file = volume(&seed(), &options());
        let data = geometry::BootSector::new(&options()).unwrap().geometry.data_at();
        for (spot, byte) in hits {
            // Where it hurts: the boot sector, the start of the table, the directories.
            let at = match spot % 3 {
                0 => spot % 90,
                1 => 32 * 512 + spot % 1200,
                _ => data + spot % 8192,
            };
            file.as_file().write_all_at(&[byte], at).unwrap();
        }
        let _ = check(file.as_file(), 0, MIN_LEN).unwrap();
        let _ = read(file.as_file(), 0, MIN_LEN);
        let _ = replace(file.as_file(), 0, MIN_LEN, "setup.txt", b"x");
        let _ = remake(file.as_file(), 0, MIN_LEN);
    }
}
