use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::{NamedTempFile, TempDir};

use super::*;

/// Small, so that a test compresses little.
const SMALL: u64 = 128 << 10;

/// Something of everything: text, noise, zeros, and an end within a chunk.
fn image() -> NamedTempFile {
    image_of(SMALL)
}

fn image_of(chunk: u64) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(5 * chunk + 12_345).unwrap();
    let text = b"a private agent in an isolated jail\n".repeat(3000);
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(SMALL as usize)
    .collect();
    file.as_file().write_all_at(&text, 100).unwrap();
    file.as_file().write_all_at(&noise, chunk).unwrap();
    file.as_file()
        .write_all_at(b"the end", 5 * chunk + 5000)
        .unwrap();
    file
}

fn compressed(image: &NamedTempFile, chunks: Option<&Chunks>, threads: usize) -> Vec<u8> {
    let (mut out, mut done) = (Vec::new(), 0);
    compress_with(
        image.as_file(),
        &mut out,
        chunks,
        threads,
        SMALL,
        &mut |more| done += more,
    )
    .unwrap();
    assert_eq!(done, image.as_file().metadata().unwrap().len());
    out
}

fn entries(dir: &TempDir) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    found.sort();
    found
}

/// What `tool` prints; its absence is a failure that names the package.
fn output(package: &str, tool: &str, args: &[&str]) -> Vec<u8> {
    let out = Command::new(tool)
        .args(args)
        .output()
        .unwrap_or_else(|error| {
            panic!("`{tool}` cannot be run ({error}): install the package `{package}`")
        });
    assert!(
        out.status.success(),
        "{tool} {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

#[test]
fn xz_and_python_decode_it() {
    let image = image_of(CHUNK);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i.xz");
    compress(image.as_file(), &path, None, &mut |_| ()).unwrap();
    let path = path.to_str().unwrap();
    let whole = std::fs::read(image.path()).unwrap();
    output("xz-utils", "xz", &["-t", path]);
    assert!(output("xz-utils", "xz", &["-dc", path]) == whole);
    assert!(output("xz-utils", "xz", &["-dc", "-T0", path]) == whole);
    let list = output("xz-utils", "xz", &["--robot", "-lvv", path]);
    let list = String::from_utf8(list).unwrap();
    let blocks = list
        .lines()
        .filter(|line| line.starts_with("block\t"))
        .count();
    assert_eq!(blocks, 6, "{list}");
    let file = list
        .lines()
        .find(|line| line.starts_with("file\t"))
        .unwrap();
    let fields: Vec<_> = file.split('\t').collect();
    assert_eq!(
        (fields[1], fields[2], fields[4], fields[6]),
        ("1", "6", whole.len().to_string().as_str(), "CRC64")
    );
    let program = "import lzma,sys; sys.stdout.buffer.write(lzma.open(sys.argv[1]).read())";
    assert!(output("python3", "python3", &["-c", program, path]) == whole);
}

#[test]
fn an_empty_image_is_an_empty_stream() {
    let image = NamedTempFile::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i.xz");
    compress(image.as_file(), &path, None, &mut |_| ()).unwrap();
    assert!(output("xz-utils", "xz", &["-dc", path.to_str().unwrap()]).is_empty());
}

#[test]
fn cores_and_cache_do_not_change_the_bytes() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let chunks = Chunks::open(dir.path()).unwrap();
    let plain = compressed(&image, None, 1);
    assert!(compressed(&image, None, 3) == plain);
    assert!(compressed(&image, None, 9) == plain);
    assert!(
        compressed(&image, Some(&chunks), 2) == plain,
        "into the cache"
    );
    assert!(
        compressed(&image, Some(&chunks), 2) == plain,
        "from the cache"
    );
    // Text, noise, one block for all zeros, and the end.
    assert_eq!(entries(&dir).len(), 4);
}

#[test]
fn a_damaged_entry_is_made_again() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let chunks = Chunks::open(dir.path()).unwrap();
    let plain = compressed(&image, Some(&chunks), 2);
    for entry in entries(&dir) {
        let sound = std::fs::read(&entry).unwrap();
        let mut flipped = sound.clone();
        flipped[sound.len() - 3] ^= 1;
        for bad in [&sound[..sound.len() - 1], &sound[..7], b"", &flipped] {
            std::fs::write(&entry, bad).unwrap();
            assert!(compressed(&image, Some(&chunks), 2) == plain);
            assert!(std::fs::read(&entry).unwrap() == sound);
        }
    }
}

#[test]
fn a_changed_byte_costs_one_chunk() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let chunks = Chunks::open(dir.path()).unwrap();
    compressed(&image, Some(&chunks), 2);
    let before = entries(&dir);
    image.as_file().write_all_at(b"x", SMALL + 77).unwrap();
    compressed(&image, Some(&chunks), 2);
    assert_eq!(entries(&dir).len(), before.len() + 1);
}

#[test]
fn the_cache_forgets_what_was_not_used_for_longest() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let chunks = Chunks::open(dir.path()).unwrap();
    compressed(&image, Some(&chunks), 2);
    let all = entries(&dir);
    let age = |path: &Path, hours: u64| {
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(then)
            .unwrap();
    };
    for (hours, path) in (1..).zip(&all) {
        age(path, hours);
    }
    let left = dir.path().join(".new-left-by-a-killed-build");
    std::fs::write(&left, b"x").unwrap();
    age(&left, 25);
    chunks.prune(u64::MAX).unwrap();
    assert_eq!(entries(&dir), all);
    let oldest_len = std::fs::metadata(&all[3]).unwrap().len();
    let total: u64 = all
        .iter()
        .map(|path| std::fs::metadata(path).unwrap().len())
        .sum();
    chunks.prune(total - oldest_len).unwrap();
    assert_eq!(entries(&dir), all[..3]);
    chunks.prune(0).unwrap();
    assert!(entries(&dir).is_empty());
}

#[test]
fn a_full_disk_is_an_error_and_ends_all_workers() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = compress_with(image().as_file(), Full, None, 3, SMALL, &mut |_| ()).unwrap_err();
    assert!(
        error
            .remedy()
            .is_some_and(|remedy| remedy.contains("space")),
        "{error}"
    );
}

#[test]
fn two_builds_may_share_a_cache() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let plain = compressed(&image, None, 2);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let chunks = Chunks::open(dir.path()).unwrap();
                assert!(compressed(&image, Some(&chunks), 2) == plain);
                chunks.prune(0).unwrap();
            });
        }
    });
}

/// Blocks kept from another encoder would make a build depend on what was built before.
#[test]
fn the_cache_knows_the_encoder() {
    let lock = include_str!("../../../Cargo.lock");
    let (name, version) = chunks::ENCODER.split_once(' ').unwrap();
    let wanted = format!("name = \"{name}\"\nversion = \"{version}\"");
    assert!(
        lock.contains(&wanted),
        "`Cargo.lock` has another {name}: say so in `ENCODER`"
    );
}
