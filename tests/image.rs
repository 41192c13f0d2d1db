//! The image, read by other people's tools, and `verify` on damaged copies of it.

// Tests all of it, also what is shared between them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use clawdie_tests::{Built, Disk, program, run, xtask};

/// Exit code of `cargo xtask` for an input that is wrong.
const BAD_INPUT: i32 = 3;

const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn sgdisk_finds_no_fault_in_the_partition_table() {
    let image = Built::get().image();
    let done = run(program("sgdisk", "gdisk").arg("-v").arg(&image), b"", LIMIT);
    assert!(done.text().contains("No problems found"), "{}", done.all());

    let done = run(program("sgdisk", "gdisk").arg("-p").arg(&image), b"", LIMIT);
    let table: Vec<(String, String)> = done
        .text()
        .lines()
        .skip_while(|line| !line.starts_with("Number"))
        .skip(1)
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            (words[5].to_owned(), words[6].to_owned())
        })
        .collect();
    let expected = [
        ("0700", "CLAWDIE-SEED"),
        ("EF02", "bootfs"),
        ("EF00", "efiboot0"),
        ("8304", "rootfs"),
    ]
    .map(|(kind, name)| (kind.to_owned(), name.to_owned()));
    assert_eq!(table, expected);
}

#[test]
fn the_checkers_of_both_file_systems_find_nothing() {
    Disk::copy_of(&Built::get()).assert_sound();
}

#[test]
fn the_seed_partition_is_what_an_operator_expects() {
    let disk = Disk::copy_of(&Built::get());
    let listing = disk.seed_listing();
    assert!(listing.contains("CLAWDIESEED"), "{listing}");
    for name in ["setup.txt", "README.txt"] {
        let text = disk.seed_file(name);
        let text = String::from_utf8(text.unwrap_or_else(|| panic!("no {name}"))).unwrap();
        assert!(text.lines().count() > 3, "{name} is nearly empty");
        let bare = text.replace("\r\n", "").contains('\n');
        assert!(!bare, "Notepad wants CRLF in {name}");
    }
    assert_eq!(
        disk.range("CLAWDIE-SEED").end - disk.range("CLAWDIE-SEED").start,
        64 << 20
    );
    // Sectors and clusters as FAT32 has them, whatever the small size suggests to others.
    assert_eq!(
        disk.bytes(disk.range("CLAWDIE-SEED").start + 82, 8),
        b"FAT32   "
    );
}

/// The agent's package, and where packages lie.
const PI: &str = "@earendil-works/pi-coding-agent";
const MODULES: &str = "/usr/local/lib/node_modules";

#[test]
fn the_root_as_debugfs_sees_it_is_locked_and_ours() {
    let disk = Disk::copy_of(&Built::get());
    let shadow = disk.root_text("/etc/shadow");
    for line in shadow.lines() {
        let hash = line.split(':').nth(1).unwrap();
        assert!(
            hash.starts_with(['!', '*']),
            "a password in the image: {line}"
        );
    }
    for (path, mode, uid) in [
        ("/etc/shadow", 0o640, 0),
        ("/usr/local/bin/colibri", 0o755, 0),
        ("/usr/local/bin/colibri-daemon", 0o755, 0),
        ("/usr/local/bin/colibri-hostd", 0o755, 0),
        ("/usr/local/bin/colibri-mcp", 0o755, 0),
        ("/usr/local/bin/colibri-test-agent", 0o755, 0),
        ("/usr/local/bin/colibri-tui", 0o755, 0),
        ("/usr/local/bin/colibri-vault", 0o755, 0),
        ("/usr/local/bin/clawdie-firstboot", 0o755, 0),
        ("/usr/local/bin/pi", 0o777, 0),
        (format!("{MODULES}/{PI}/dist/cli.js").as_str(), 0o755, 0),
        (format!("{MODULES}/{PI}/package.json").as_str(), 0o644, 0),
        (
            "/usr/local/lib/bw/node_modules/@bitwarden/cli/package.json",
            0o644,
            0,
        ),
        // They read what our overlay has for them.
        ("/usr/bin/man", 0o755, 0),
        ("/usr/share/bash-completion/bash_completion", 0o644, 0),
        ("/etc/colibri", 0o700, 0),
        ("/var/lib/clawdie", 0o700, 0),
        ("/var/lib/colibri", 0o750, 820),
        ("/var/lib/colibri/skills", 0o750, 820),
        ("/var/lib/colibri/skills/mother/SKILL.md", 0o644, 0),
    ] {
        let stat = disk.root_stat(path).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!((stat.mode, stat.uid), (mode, uid), "{path}");
    }
    // npm's own account says where it had things from.
    let notes = disk.root_file(&format!("{MODULES}/.package-lock.json"));
    assert!(notes.is_none(), "npm's notes are in the image");
    for secret in [
        "/etc/colibri/provider.env",
        "/etc/colibri/vault.env",
        "/etc/ssh/ssh_host_ed25519_key",
    ] {
        assert!(disk.root_file(secret).is_none(), "{secret} is in the image");
    }
    assert_eq!(disk.root_text("/etc/machine-id"), "");
}

#[test]
fn the_manifest_inside_is_the_one_beside_the_image() {
    let built = Built::get();
    let disk = Disk::copy_of(&built);
    let beside: serde_json::Value =
        serde_json::from_slice(&fs_err::read(built.manifest()).unwrap()).unwrap();
    let inside = disk.root_text("/usr/local/share/clawdie-iso/build-manifest.json");
    let inside: serde_json::Value = serde_json::from_str(&inside).unwrap();
    assert_eq!(beside["schema"], "clawdie.iso.build.v1");
    for (key, value) in inside.as_object().unwrap() {
        assert_eq!(&beside[key], value, "`{key}` differs");
    }
    let from_npm = beside["npm"].as_array().unwrap();
    let agent = from_npm.iter().find(|one| one["name"] == PI).unwrap();
    let integrity = agent["integrity"].as_str().unwrap();
    assert!(integrity.starts_with("sha512-"), "{integrity}");
}

#[test]
fn bmaptool_writes_a_stick_from_the_compressed_image() {
    let built = Built::get();
    let folder = tempfile::tempdir().unwrap();
    let stick = folder.path().join("stick");
    let done = run(
        program("bmaptool", "bmap-tools")
            .args(["copy", "--bmap"])
            .arg(built.only(".bmap"))
            .arg(built.only(".img.xz"))
            .arg(&stick),
        b"",
        LIMIT,
    );
    assert!(done.status.success(), "{}", done.all());
    let same = run(
        program("cmp", "diffutils").arg(&stick).arg(built.image()),
        b"",
        LIMIT,
    );
    assert!(same.status.success(), "{}", same.all());
}

#[test]
fn xz_and_sha256sum_agree_with_what_lies_beside_the_image() {
    let built = Built::get();
    let done = run(
        program("xz", "xz-utils")
            .arg("-t")
            .arg(built.only(".img.xz")),
        b"",
        LIMIT,
    );
    assert!(done.status.success(), "{}", done.all());
    let done = run(
        program("sha256sum", "coreutils")
            .args(["--check", "--strict"])
            .arg(built.only(".sha256"))
            .current_dir(built.folder()),
        b"",
        LIMIT,
    );
    assert!(done.status.success(), "{}", done.all());
    for name in [".img:", ".img.xz:"] {
        assert!(
            done.text().contains(name),
            "no checksum of {name} {}",
            done.text()
        );
    }
}

/// One byte is changed and changed back, place after place, on one copy.
#[test]
fn verify_names_the_place_of_a_changed_byte() {
    let built = Built::get();
    let disk = Disk::copy_of(&built);
    let manifest = disk.folder().join("build-manifest.json");
    fs_err::copy(built.manifest(), &manifest).unwrap();
    let image = disk.path().to_string_lossy().into_owned();

    let good = xtask(&["verify", &image]);
    assert!(good.status.success(), "{}", good.all());

    let seed = disk.range("CLAWDIE-SEED").start;
    let end = disk.path().metadata().unwrap().len();
    let reserved = u64::from(u16::from_le_bytes(
        disk.bytes(seed + 14, 2).try_into().unwrap(),
    )) * 512;
    let program_block = first_block(&disk, "/usr/local/bin/colibri-daemon");
    let table = group_descriptor_block(&disk);
    for (what, at, named) in [
        ("the table's header", 512 + 60, "primary GPT header"),
        (
            "the table's entries",
            1024 + 60,
            "primary GPT partition array",
        ),
        ("the second header", end - 512 + 60, "backup GPT header"),
        (
            "the seed's boot sector",
            seed + 13,
            "`CLAWDIE-SEED`: FAT32 boot sector",
        ),
        (
            "the seed's table",
            seed + reserved + 8,
            "`CLAWDIE-SEED`: FAT",
        ),
        ("the root's descriptors", table, "`rootfs`"),
        (
            "a program",
            program_block + 4096,
            "/usr/local/bin/colibri-daemon",
        ),
    ] {
        disk.flip(at);
        let bad = xtask(&["verify", &image]);
        disk.flip(at);
        // Complaints only: the list of what was looked at names every place.
        let said = bad.complaints;
        assert_eq!(
            bad.status.code(),
            Some(BAD_INPUT),
            "{what} is damaged: {said}"
        );
        assert!(
            said.contains(named),
            "{what} is damaged, {named} is not named: {said}"
        );
    }

    // In the manifest: a digit of the first checksum.
    let text = fs_err::read_to_string(&manifest).unwrap();
    let at = text.find("\"sha256\": \"").unwrap() + 11;
    let other = if &text[at..=at] == "0" { "1" } else { "0" };
    fs_err::write(
        &manifest,
        format!("{}{other}{}", &text[..at], &text[at + 1..]),
    )
    .unwrap();
    let bad = xtask(&["verify", &image]);
    assert_eq!(bad.status.code(), Some(BAD_INPUT), "{}", bad.all());
    assert!(
        bad.complaints.contains("build-manifest.json"),
        "{}",
        bad.all()
    );
}

/// First byte in the disk of a file's content.
fn first_block(disk: &Disk, path: &str) -> u64 {
    let text = disk.debugfs(&format!("blocks {path}")).text();
    let block: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
    disk.range("rootfs").start + block * 4096
}

/// A byte of the group descriptors, which follow the superblock's block.
fn group_descriptor_block(disk: &Disk) -> u64 {
    disk.range("rootfs").start + 4096 + 8
}
