//! `cargo xtask flash` onto a file in place of a stick, looked at with other people's tools.

// Tests all of it, also what is shared between them.
#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::time::Duration;

use clawdie_image::bmap::Bmap;
use clawdie_image::qemu::sparse_copy;
use clawdie_tests::{Built, Disk, Finished, KeyPair, program, run, xtask};

const BAD_INPUT: i32 = 3;
const REFUSED: i32 = 5;
const LIMIT: Duration = Duration::from_secs(300);

fn flash(words: &[&str]) -> Finished {
    let mut all = vec!["flash"];
    all.extend(words);
    xtask(&all)
}

fn image_len() -> u64 {
    Built::get().image().metadata().unwrap().len()
}

/// What is not mapped: an image may not depend on it.
fn gaps(map: &Bmap) -> Vec<Range<u64>> {
    let starts = map.ranges.iter().map(|mapped| mapped.bytes.start);
    let ends = map.ranges.iter().map(|mapped| mapped.bytes.end);
    std::iter::once(0)
        .chain(ends)
        .zip(starts.chain([map.image_len]))
        .map(|(end, start)| end..start)
        .filter(|gap| !gap.is_empty())
        .collect()
}

/// A stick with something old wherever the image writes nothing.
fn used_stick(map: &Bmap) -> Disk {
    let stick = Disk::blank(map.image_len);
    let file = fs_err::OpenOptions::new()
        .write(true)
        .open(stick.path())
        .unwrap();
    let old = vec![0xA5; 1 << 20];
    for gap in gaps(map) {
        for at in gap.clone().step_by(old.len()) {
            let len = old.len().min((gap.end - at) as usize);
            file.file().write_all_at(&old[..len], at).unwrap();
        }
    }
    stick
}

#[test]
fn a_flashed_stick_is_the_image_whatever_was_on_it_before() {
    let built = Built::get();
    let map = Bmap::open(&built.only(".bmap")).unwrap();
    let stick = used_stick(&map);
    let image = built.image();
    let done = flash(&[
        image.to_str().unwrap(),
        stick.path().to_str().unwrap(),
        "--yes",
    ]);
    assert!(done.status.success(), "{}", done.all());
    assert!(
        done.text().contains("written and read back"),
        "{}",
        done.all()
    );

    let bad = clawdie_image::bmap::check(
        fs_err::File::open(stick.path()).unwrap().file(),
        &map,
        &mut |_| (),
    );
    assert_eq!(bad.unwrap(), []);
    // Left alone, except at the edges of the disk.
    let gaps = gaps(&map).into_iter();
    let longest = gaps.max_by_key(|gap| gap.end - gap.start).unwrap();
    assert!(
        stick
            .bytes(longest.start, 4096)
            .iter()
            .all(|&byte| byte == 0xA5)
    );

    let table = run(
        program("sgdisk", "gdisk").arg("-v").arg(stick.path()),
        b"",
        LIMIT,
    );
    assert!(
        table.text().contains("No problems found"),
        "{}",
        table.all()
    );
    stick.assert_sound();
}

#[test]
fn verify_accepts_a_flashed_stick() {
    let stick = Disk::blank(image_len());
    let image = Built::get().image();
    let done = flash(&[
        image.to_str().unwrap(),
        stick.path().to_str().unwrap(),
        "--yes",
    ]);
    assert!(done.status.success(), "{}", done.all());
    let done = xtask(&["verify", stick.path().to_str().unwrap()]);
    assert!(done.status.success(), "{}", done.all());
}

#[test]
fn the_compressed_image_goes_onto_a_larger_stick_with_a_setup() {
    const MORE: u64 = 300 << 20;
    let packed = Built::get().only(".img.xz");
    let stick = Disk::blank(image_len() + MORE);
    let end = image_len() + MORE;
    // A table that an earlier, grown system left at the end.
    let file = fs_err::OpenOptions::new()
        .write(true)
        .open(stick.path())
        .unwrap();
    file.file().write_all_at(b"EFI PART", end - 512).unwrap();
    let key = KeyPair::generate(stick.folder());
    let provider = format!("sk-or-v1-{}", "0123456789abcdef".repeat(4));
    let text = format!(
        "SSH_AUTHORIZED_KEY=\"{}\"\r\nOPENROUTER_API_KEY={provider}\r\nTELEGRAM=none\r\n",
        key.public
    );
    let setup = stick.folder().join("my-setup.txt");
    fs_err::write(&setup, &text).unwrap();

    let done = flash(&[
        packed.to_str().unwrap(),
        stick.path().to_str().unwrap(),
        "--seed",
        setup.to_str().unwrap(),
        "--yes",
        "--json",
    ]);
    assert!(done.status.success(), "{}", done.all());
    let told: serde_json::Value = serde_json::from_slice(&done.output).unwrap();
    assert_eq!(told["image_bytes"], image_len());
    assert!(told["written_bytes"].as_u64().unwrap() < image_len());
    assert_eq!(stick.seed_file("setup.txt").unwrap(), text.as_bytes());
    assert_eq!(stick.path().metadata().unwrap().mode() & 0o777, 0o600);
    assert!(stick.bytes(end - 512, 512).iter().all(|&byte| byte == 0));
    stick.assert_sound();
}

#[test]
fn what_is_refused_leaves_the_stick_as_it_was() {
    let image = Built::get().image();
    let image = image.to_str().unwrap();
    let untouched = |stick: &Disk| stick.path().metadata().unwrap().blocks() == 0;

    // Nobody to ask.
    let stick = Disk::blank(image_len());
    let path = stick.path().to_str().unwrap();
    let done = flash(&[image, path]);
    assert_eq!(done.status.code(), Some(REFUSED), "{}", done.all());
    assert!(done.complaints.contains("--yes"), "{}", done.all());
    let done = flash(&[image, path, "--dry-run"]);
    assert!(done.status.success(), "{}", done.all());
    assert!(done.text().contains("would be written"), "{}", done.all());
    assert!(untouched(&stick));

    let small = Disk::blank(image_len() - 512);
    let done = flash(&[image, small.path().to_str().unwrap(), "--yes", "--force"]);
    assert_eq!(done.status.code(), Some(REFUSED), "{}", done.all());
    assert!(done.complaints.contains("larger one"), "{}", done.all());
    assert!(untouched(&small));

    // A setup.txt that boot would refuse.
    let setup = stick.folder().join("setup.txt");
    fs_err::write(&setup, "SSH_AUTHORIZED_KEY=nonsense\n").unwrap();
    let done = flash(&[image, path, "--yes", "--seed", setup.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(BAD_INPUT), "{}", done.all());
    assert!(untouched(&stick));
}

#[test]
fn a_changed_or_incomplete_image_is_not_written() {
    let built = Built::get();
    let folder = tempfile::tempdir().unwrap();
    let beside = |path: PathBuf| folder.path().join(path.file_name().unwrap());
    let image = beside(built.image());
    let sums = beside(built.only(".sha256"));
    sparse_copy(&built.image(), &image).unwrap();
    for file in [built.only(".bmap"), built.only(".sha256")] {
        fs_err::copy(&file, beside(file.clone())).unwrap();
    }
    let stick = Disk::blank(image_len());
    let refused = |says: &str| {
        let done = flash(&[
            image.to_str().unwrap(),
            stick.path().to_str().unwrap(),
            "--yes",
        ]);
        assert_eq!(done.status.code(), Some(BAD_INPUT), "{}", done.all());
        assert!(done.complaints.contains(says), "{}", done.all());
        assert_eq!(stick.path().metadata().unwrap().blocks(), 0);
    };
    let setup = folder.path().join("setup.txt");
    fs_err::write(&setup, "ASSISTANT_NAME=Anna\n").unwrap();
    let words = [
        "seed",
        "put",
        setup.to_str().unwrap(),
        image.to_str().unwrap(),
        "--force",
    ];
    let done = xtask(&words);
    assert!(done.status.success(), "{}", done.all());
    refused("--seed setup.txt");
    fs_err::remove_file(&sums).unwrap();
    refused("is not complete");
}

#[test]
fn the_disks_are_listed_for_people_and_programs() {
    let done = flash(&[]);
    assert!(done.status.success(), "{}", done.all());
    let image = Built::get().image();
    let done = flash(&[image.to_str().unwrap(), "--json"]);
    assert!(done.status.success(), "{}", done.all());
    let told: serde_json::Value = serde_json::from_slice(&done.output).unwrap();
    assert_eq!(told["image_bytes"], image_len());
    for disk in told["disks"].as_array().unwrap() {
        let why_not = disk["why_not"].as_array().unwrap();
        assert_eq!(disk["offered"], why_not.is_empty(), "{disk}");
        let path = disk["path"].as_str().unwrap();
        assert!(path.starts_with("/dev/"), "{disk}");
        // Nothing that has a reason against it may be written, said or not.
        if disk["uses"].as_array().is_some_and(|uses| !uses.is_empty()) {
            let done = flash(&[image.to_str().unwrap(), path, "--dry-run", "--force"]);
            assert_eq!(done.status.code(), Some(REFUSED), "{}", done.all());
        }
    }
}
