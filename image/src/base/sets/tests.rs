use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use clawdie_tree::{Kind, Node, TreePath};
use liblzma::stream::{Check, MtStreamBuilder};
use liblzma::write::XzEncoder;
use sha2::Digest;
use tar::{EntryType, Header};

use super::*;
use crate::base::download::tests as mirror;
use crate::cache::Cache;
use crate::disk::freebsd;
use crate::error::ErrorKind;
use crate::progress::{Progress, Silent, Task};
use crate::recipe::{Base as BaseRecipe, Release};

/// A release that nobody has pinned.
const RELEASE: &str = "15.9";

fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

/// A tar archive with entries that no honest tool would write, too.
struct Tar(Vec<u8>, u64);

impl Tar {
    fn new() -> Self {
        Self(Vec::new(), 0)
    }

    fn entry(
        &mut self,
        name: &str,
        kind: EntryType,
        link: &str,
        bytes: &[u8],
        flags: &str,
    ) -> &mut Self {
        let mut out = tar::Builder::new(Vec::new());
        let mut pax = Vec::new();
        if !flags.is_empty() {
            pax.push(("SCHILY.fflags", flags.as_bytes()));
        }
        if name.len() > 100 {
            pax.push(("path", name.as_bytes()));
        }
        out.append_pax_extensions(pax).unwrap();
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        // Anything that follows from the name, so that a mix-up shows.
        header.set_mode(0o400 + (name.len() as u32 * 37) % 0o400);
        header.set_uid(name.len() as u64);
        header.set_gid(name.len() as u64 * 2);
        header.set_mtime(1_700_000_000 + name.len() as u64);
        let short = &name.as_bytes()[..name.len().min(100)];
        header.as_mut_bytes()[..short.len()].copy_from_slice(short);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        out.append(&header, bytes).unwrap();
        let bytes = out.into_inner().unwrap();
        self.0.extend_from_slice(&bytes[..bytes.len() - 1024]);
        self.1 += 1;
        self
    }

    fn dir(&mut self, name: &str) -> &mut Self {
        self.entry(name, EntryType::Directory, "", b"", "")
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.entry(name, EntryType::Regular, "", bytes, "")
    }

    /// Compressed as releases are: blocks that can be decompressed at the same time.
    fn xz(&self) -> Vec<u8> {
        let stream = MtStreamBuilder::new()
            .threads(2)
            .block_size(1 << 16)
            .preset(0)
            .check(Check::Crc64)
            .encoder()
            .unwrap();
        let mut out = XzEncoder::new_stream(Vec::new(), stream);
        out.write_all(&self.0).unwrap();
        out.write_all(&[0; 10240]).unwrap();
        out.finish().unwrap()
    }
}

fn noise(seed: usize, len: usize) -> Vec<u8> {
    let mut state = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn pmbr() -> Vec<u8> {
    let mut pmbr = vec![0x90; 512];
    pmbr[440..510].fill(0);
    pmbr[510..].copy_from_slice(&[0x55, 0xAA]);
    pmbr
}

/// A small FreeBSD: thousands of files, every kind of entry.
fn base() -> Tar {
    let mut tar = Tar::new();
    tar.dir("./")
        .dir("./bin/")
        .dir("./boot/")
        .dir("./boot/kernel/")
        .dir("./etc/")
        .dir("./usr/");
    tar.file("./boot/pmbr", &pmbr())
        .file("./boot/gptboot", &noise(1, 70_000));
    tar.file("./boot/loader_lua.efi", &noise(2, 400_000));
    tar.entry(
        "./boot/loader.efi",
        EntryType::Link,
        "./boot/loader_lua.efi",
        b"",
        "",
    );
    tar.entry("./bin/sh", EntryType::Regular, "", b"#!", "uarch");
    tar.entry(
        "./bin/chflags",
        EntryType::Regular,
        "",
        b"x",
        "schg,uarch,nodump",
    );
    tar.entry("./usr/sealed/", EntryType::Directory, "", b"", "schg");
    tar.entry("./etc/pipe", EntryType::Fifo, "", b"", "");
    tar.entry("./etc/out", EntryType::Symlink, "../../../outside", b"", "");
    tar.file("./etc/empty", b"");
    tar.file("./etc/F\u{151}tan\u{fa}s.pem", b"not ASCII");
    for folder in 0..40 {
        tar.dir(&format!("./usr/{folder}/"));
        for file in 0..75 {
            let name = format!("./usr/{folder}/{}{file}", "long-".repeat(file % 30));
            tar.file(&name, &noise(folder * 100 + file, (file * 997) % 9000));
        }
    }
    tar
}

fn kernel() -> Tar {
    let mut tar = Tar::new();
    // Its folders are those of the base; one is told again, the other is not.
    tar.dir("./boot/")
        .file("./boot/kernel/kernel", &noise(3, 900_000));
    for module in 0..50 {
        tar.file(&format!("./boot/kernel/m{module}.ko"), &noise(module, 3000));
    }
    tar
}

/// A folder with a set pair and its `MANIFEST`, a cache, and who looks on.
struct House {
    dir: tempfile::TempDir,
    cache: Cache,
    stages: Stages,
    recipe: Recipe,
}

#[derive(Default)]
struct Stages(Mutex<Vec<String>>);

impl Progress for Stages {
    fn begin(&self, stage: &str, _total: Option<u64>) -> Box<dyn Task> {
        self.0.lock().unwrap().push(stage.to_owned());
        Box::new(Silent)
    }
}

impl House {
    fn with(sets: &[(&str, &Tar)]) -> Self {
        let house = Self::empty();
        let mut manifest = String::new();
        for (name, tar) in sets {
            let bytes = tar.xz();
            manifest += &line(name, &bytes, tar.1);
            std::fs::write(house.sets().join(name), bytes).unwrap();
        }
        std::fs::write(house.sets().join("MANIFEST"), manifest).unwrap();
        house
    }

    fn new() -> Self {
        Self::with(&[("base.txz", &base()), ("kernel.txz", &kernel())])
    }

    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sets")).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/freebsd.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let mut recipe = Recipe::parse(&text, Path::new(path)).unwrap();
        recipe.choose_release(RELEASE).unwrap();
        let mut house = Self {
            cache: Cache::open(dir.path().join("cache")).unwrap(),
            dir,
            stages: Stages::default(),
            recipe,
        };
        let folder = house.sets();
        house.recipe_sets().supply.folder = Some(folder);
        house.recipe_sets().supply.insecure = true;
        house.recipe_sets().mirrors = vec![mirror::nobody()];
        house
    }

    fn sets(&self) -> PathBuf {
        self.dir.path().join("sets")
    }

    fn recipe_sets(&mut self) -> &mut Sets {
        match &mut self.recipe.base {
            BaseRecipe::Sets(sets) => sets,
            BaseRecipe::Archive(_) => panic!("FreeBSD is made of sets"),
        }
    }

    fn run<T>(
        &self,
        network: Network,
        verb: impl Fn(&Recipe, &Sets, &Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let BaseRecipe::Sets(sets) = &self.recipe.base else {
            panic!("FreeBSD is made of sets");
        };
        let context = Context {
            root: self.dir.path(),
            cache: &self.cache,
            network,
            progress: &self.stages,
        };
        verb(&self.recipe, sets, &context)
    }

    fn obtain(&self) -> Result<Base> {
        self.run(Network::Offline, obtain)
    }

    /// The error, which every wrong input ends in: what is told with all its causes.
    fn refused(&self) -> String {
        let error = self.obtain().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput, "{error}");
        told(&error)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.sets().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.sets().join(name)).unwrap()
    }

    /// How often sets were unpacked.
    fn unpacked(&self) -> usize {
        let stages = self.stages.0.lock().unwrap();
        stages
            .iter()
            .filter(|stage| stage.starts_with("unpack"))
            .count()
    }
}

fn line(name: &str, bytes: &[u8], files: u64) -> String {
    let hash = clawdie_tree::hex(sha2::Sha256::digest(bytes));
    format!("{name}\t{hash}\t{files}\tname\t\"A set\"\ton\n")
}

fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text += &format!("\n{inner}");
        cause = inner.source();
    }
    text
}

#[test]
fn everything_that_the_sets_hold_is_in_the_base() {
    let house = House::new();
    let base = house.obtain().unwrap();
    let mut expected = BTreeMap::new();
    for bytes in [self::base().0, kernel().0] {
        let mut archive = tar::Archive::new(bytes.as_slice());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = TreePath::new(entry.path_bytes()).unwrap();
            let mut bytes = Vec::new();
            std::io::copy(&mut entry, &mut bytes).unwrap();
            let header = entry.header();
            let meta = (
                header.mode().unwrap() as u16,
                header.uid().unwrap() as u32,
                header.gid().unwrap() as u32,
                header.mtime().unwrap() as i64,
            );
            expected.insert(path, (header.entry_type(), meta, bytes));
        }
    }
    assert!(expected.len() > 3000);
    let paths: Vec<_> = base.tree.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, expected.keys().collect::<Vec<_>>());
    for (path, (kind, meta, bytes)) in &expected {
        let Node {
            kind: found,
            meta: of,
        } = base.tree.get(path).unwrap();
        match (kind, found) {
            (EntryType::Directory, Kind::Dir) | (EntryType::Fifo, Kind::Fifo) => {}
            (EntryType::Symlink, Kind::Symlink(to)) => assert_eq!(to, b"../../../outside"),
            (EntryType::Link, Kind::File { link: Some(_), .. }) => continue,
            (EntryType::Regular, Kind::File { content, .. }) => {
                assert_eq!(&content.read().unwrap(), bytes, "{path}");
                assert_eq!(content.sha256()[..], sha2::Sha256::digest(bytes)[..]);
            }
            other => panic!("{path}: {other:?}"),
        }
        assert_eq!(&(of.mode, of.uid, of.gid, of.mtime), meta, "{path}");
    }
    let node = |path: &str| base.tree.get(&at(path)).unwrap();
    assert_eq!(node("bin/chflags").meta.flags, 0x20801);
    assert_eq!(node("usr/sealed").meta.flags, 0x20000);
    assert_eq!(node("bin/sh").meta.flags, 0x800);
    assert_eq!(node("boot/loader.efi"), node("boot/loader_lua.efi"));
    assert_eq!(base.packages.len(), 2);
    assert_eq!(base.packages[0].version, "15.9-RELEASE");
    assert!(base.pack.is_sound().unwrap());
}

#[test]
fn what_is_unchanged_is_not_decoded_again_and_what_is_damaged_is() {
    let house = House::new();
    let first = house.obtain().unwrap();
    assert_eq!(house.obtain().unwrap().tree, first.tree);
    assert_eq!(house.unpacked(), 1);
    let contents = house
        .dir
        .path()
        .join("cache/base")
        .join(&first.key)
        .join("contents");
    let bytes = std::fs::read(&contents).unwrap();
    std::fs::write(&contents, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(house.obtain().unwrap().tree, first.tree);
    assert_eq!(house.unpacked(), 2);
    // Same length, other bytes: told when the image is written, and then it is made anew.
    let mut bytes = bytes;
    bytes[10] ^= 1;
    std::fs::write(&contents, &bytes).unwrap();
    assert!(!house.obtain().unwrap().pack.is_sound().unwrap());
    crate::base::forget(&house.cache, &first.key).unwrap();
    assert!(house.obtain().unwrap().pack.is_sound().unwrap());
    assert_eq!(house.unpacked(), 3);
}

#[test]
fn a_warm_cache_hides_no_wrong_set() {
    let house = House::new();
    house.obtain().unwrap();
    let mut bytes = house.read("kernel.txz");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    house.write("kernel.txz", &bytes);
    assert!(
        house
            .refused()
            .contains("kernel.txz` is not the `kernel.txz`")
    );
}

#[test]
fn sets_that_are_not_what_they_must_be_are_refused() {
    let house = House::new();
    let (base, kernel) = (house.read("base.txz"), house.read("kernel.txz"));
    house.write("base.txz", &base[..base.len() - 1]);
    let text = house.refused();
    assert!(
        text.contains("base.txz` is not the `base.txz` that it must be"),
        "{text}"
    );
    assert!(text.contains("MANIFEST"), "{text}");
    house.write("base.txz", b"");
    assert!(house.refused().contains("base.txz` is empty"));
    house.write("base.txz", &kernel);
    house.write("kernel.txz", &base);
    assert!(house.refused().contains("base.txz` is not the"));
    house.write("base.txz", b"not xz at all");
    house.write("kernel.txz", &kernel);
    assert!(house.refused().contains("base.txz` is not the"));
    std::fs::remove_file(house.sets().join("base.txz")).unwrap();
    let error = house.obtain().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().contains("base.txz"), "{error}");
    house.write("base.txz", &base);
    house.obtain().unwrap();
}

#[test]
fn a_manifest_that_lies_is_refused() {
    let house = House::new();
    let manifest = String::from_utf8(house.read("MANIFEST")).unwrap();
    let entries = base().1.to_string();
    for (lie, text) in [
        (
            manifest.replacen(&format!("\t{entries}\t"), "\t7\t", 1),
            format!("has {entries} entries, but 7 by"),
        ),
        (
            manifest
                .lines()
                .take(1)
                .map(|line| format!("{line}\n"))
                .collect(),
            "no line for `kernel.txz`".into(),
        ),
        (
            manifest.replace("base.txz", "base-dbg.txz"),
            "no line for `base.txz`".into(),
        ),
        (manifest.replace('\t', " "), "line 1: has 1 fields".into()),
        (String::new(), "names no set".into()),
        ("x".repeat(70_000), "has 70000 bytes".into()),
        (
            line("base.txz", b"", 1) + &line("kernel.txz", b"", 1),
            "is not the `base.txz`".into(),
        ),
    ] {
        house.write("MANIFEST", lie.as_bytes());
        let told = house.refused();
        assert!(told.contains(&text), "{text}: {told}");
    }
    // Also when what the truthful one leads to is in the cache already.
    house.write("MANIFEST", manifest.as_bytes());
    house.obtain().unwrap();
    let lie = manifest.replacen(&format!("\t{entries}\t"), "\t7\t", 1);
    house.write("MANIFEST", lie.as_bytes());
    assert!(house.refused().contains("but 7 by"));
    std::fs::remove_file(house.sets().join("MANIFEST")).unwrap();
    assert_eq!(house.obtain().unwrap_err().kind(), ErrorKind::Missing);
}

#[test]
fn a_set_that_is_cut_is_told_even_where_its_hash_is_right() {
    let house = House::new();
    let whole = house.read("base.txz");
    for len in [10, whole.len() / 2, whole.len() - 4] {
        let cut = &whole[..len];
        house.write("base.txz", cut);
        let kernel = line("kernel.txz", &house.read("kernel.txz"), kernel().1);
        let manifest = line("base.txz", cut, base().1) + &kernel;
        house.write("MANIFEST", manifest.as_bytes());
        let text = house.refused();
        assert!(
            text.contains("base.txz` is not a whole xz file"),
            "{len}: {text}"
        );
    }
    let plain = base().0;
    house.write("base.txz", &plain);
    let manifest = line("base.txz", &plain, base().1) + &line("kernel.txz", b"", 1);
    house.write("MANIFEST", manifest.as_bytes());
    assert!(house.refused().contains("is not"));
}

#[test]
fn hostile_entries_are_named() {
    type Trick = fn(&mut Tar);
    let tricks: [(Trick, &str); 9] = [
        (
            |tar| {
                tar.file("../etc/passwd", b"x");
            },
            "`../etc/passwd` would leave the root",
        ),
        (
            |tar| {
                tar.file("/etc/passwd", b"x");
            },
            "`/etc/passwd` has an absolute name",
        ),
        (
            |tar| {
                tar.file("./etc/out/passwd", b"x");
            },
            "`./etc/out/passwd` lies below `/etc/out`, which is a symbolic link",
        ),
        (
            |tar| {
                tar.entry("./null", EntryType::Char, "", b"", "");
            },
            "`./null` is a device node",
        ),
        (
            |tar| {
                tar.entry("./disk", EntryType::Block, "", b"", "");
            },
            "`./disk` is a device node",
        ),
        (
            |tar| {
                tar.file("./bin/sh", b"x");
            },
            "`./bin/sh` comes twice",
        ),
        (
            |tar| {
                tar.entry("./x", EntryType::Link, "etc/shadow", b"", "");
            },
            "`./x` is a hard link to a file that did not come before",
        ),
        (
            |tar| {
                tar.entry("./x", EntryType::Regular, "", b"", "melted");
            },
            "`./x` has the file flag `melted`",
        ),
        (
            |tar| {
                let mut header = Header::new_ustar();
                header.set_size(300 << 30);
                header.set_mode(0o644);
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                header.as_mut_bytes()[..6].copy_from_slice(b"./huge");
                header.set_cksum();
                tar.0.extend_from_slice(header.as_bytes());
                tar.1 += 1;
            },
            "`./huge` claims 322122547200 bytes",
        ),
    ];
    let kernel = kernel();
    for (trick, text) in tricks {
        // In the first set, and in the second.
        for second in [false, true] {
            let mut first = Tar::new();
            first
                .dir("./")
                .dir("./bin/")
                .dir("./boot/")
                .dir("./boot/kernel/")
                .dir("./etc/");
            first
                .file("./bin/sh", b"#!")
                .entry("./etc/out", EntryType::Symlink, "/tmp", b"", "");
            let mut tricky = Tar::new();
            let house = if second {
                tricky.dir("./");
                trick(&mut tricky);
                House::with(&[("base.txz", &first), ("kernel.txz", &tricky)])
            } else {
                trick(&mut first);
                House::with(&[("base.txz", &first), ("kernel.txz", &kernel)])
            };
            let told = house.refused();
            assert!(told.contains(text), "{text}: {told}");
            let name = if second { "kernel.txz`" } else { "base.txz`" };
            assert!(told.contains(name), "{name}: {told}");
            let left = std::fs::read_dir(house.dir.path().join("cache/base"))
                .unwrap()
                .count();
            assert_eq!(left, 0, "nothing of it stays in the cache");
        }
    }
}

#[test]
fn an_archive_without_entries_is_no_base() {
    let nothing = Tar::new();
    let house = House::with(&[("base.txz", &nothing), ("kernel.txz", &kernel())]);
    house.write(
        "MANIFEST",
        (line("base.txz", &house.read("base.txz"), 1) + &line("kernel.txz", b"", 1)).as_bytes(),
    );
    assert!(house.refused().contains("is not the `kernel.txz`"));
    let manifest = line("base.txz", &house.read("base.txz"), 1)
        + &line("kernel.txz", &house.read("kernel.txz"), kernel().1);
    house.write("MANIFEST", manifest.as_bytes());
    assert!(
        house
            .refused()
            .contains("base.txz` has 0 entries, but 1 by")
    );
}

#[test]
fn an_unknown_release_needs_a_word_and_a_known_one_takes_no_other_sets() {
    let mut house = House::new();
    house.recipe_sets().supply.insecure = false;
    let error = house.obtain().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.remedy().unwrap().contains("`--insecure`"), "{error}");
    // Its own MANIFEST gives it away, and without that the hash does; no word changes that.
    house.recipe_sets().supply.insecure = true;
    house.recipe.choose_release("15.1").unwrap();
    assert!(house.refused().contains("that is not release 15.1"));
    std::fs::remove_file(house.sets().join("MANIFEST")).unwrap();
    let text = house.refused();
    assert!(
        text.contains("by the recipe's pin for release 15.1"),
        "{text}"
    );
}

/// Pins the sets of a house, as the recipe pins a release's.
fn pin(house: &mut House) {
    let sets = manifest::parse(&String::from_utf8(house.read("MANIFEST")).unwrap()).unwrap();
    let release = RELEASE.to_owned();
    house.recipe_sets().pins.push(Release { release, sets });
    house.recipe_sets().supply.insecure = false;
}

#[test]
fn pinned_sets_need_no_manifest_and_have_a_loader() {
    let mut house = House::new();
    pin(&mut house);
    std::fs::remove_file(house.sets().join("MANIFEST")).unwrap();
    let base = house.obtain().unwrap();
    let efi = efi_loader(&house.recipe, &base).unwrap().unwrap();
    assert_eq!(efi.read().unwrap(), noise(2, 400_000));
    let (mbr, bios) = bios_loader(&house.recipe, &base, 512 << 10).unwrap();
    assert_eq!(mbr[..], pmbr()[..440]);
    assert_eq!(bios[..70_000], noise(1, 70_000));
    assert!(bios.len() as u64 <= freebsd::MAX_PARTITION);
    // The root keeps them too.
    assert!(base.tree.get(&at("boot/gptboot")).is_some());

    let mut bare = Tar::new();
    bare.dir("./")
        .dir("./boot/")
        .dir("./boot/kernel/")
        .file("./boot/pmbr", b"no boot sector");
    let mut house = House::with(&[("base.txz", &bare), ("kernel.txz", &kernel())]);
    // Of one's own making: told, and let through.
    let base = house.obtain().unwrap();
    assert!(efi_loader(&house.recipe, &base).unwrap().is_none());
    assert_eq!(
        bios_loader(&house.recipe, &base, 512 << 10).unwrap(),
        ([0; 440], vec![])
    );
    pin(&mut house);
    let error = efi_loader(&house.recipe, &base).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`/boot/loader_lua.efi` or `/boot/loader.efi`"),
        "{error}"
    );
    let error = bios_loader(&house.recipe, &base, 512 << 10).unwrap_err();
    assert!(error.to_string().contains("`/boot/gptboot`"), "{error}");
}

#[test]
fn the_second_name_of_the_loader_does_as_well() {
    let mut bare = Tar::new();
    bare.dir("./")
        .dir("./boot/")
        .dir("./boot/kernel/")
        .file("./boot/loader.efi", b"MZ");
    let house = House::with(&[("base.txz", &bare), ("kernel.txz", &kernel())]);
    let base = house.obtain().unwrap();
    let loader = efi_loader(&house.recipe, &base).unwrap().unwrap();
    assert_eq!(loader.read().unwrap(), b"MZ");
}

#[test]
fn without_network_and_without_sets_the_way_out_is_told() {
    let mut house = House::new();
    pin(&mut house);
    house.recipe_sets().supply.folder = None;
    for network in [Network::Offline, Network::Allowed] {
        let error = house.run(network, obtain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(error.to_string().contains("base.txz"), "{error}");
        assert!(error.remedy().unwrap().contains("`--sets DIR`"), "{error}");
    }
}

#[test]
fn sets_come_from_a_mirror_once() {
    let mut house = House::new();
    pin(&mut house);
    let files: BTreeMap<_, _> = ["base.txz", "kernel.txz"]
        .map(|name| (format!("/15.9-release/{name}"), house.read(name)))
        .into();
    let serve = move |most: usize| -> mirror::Answer {
        let files = files.clone();
        Box::new(move |path, range| mirror::part(files[path].clone(), most)(path, range))
    };
    // The line breaks three times.
    let good = mirror::Mirror::new(vec![serve(1000), serve(9999), serve(5), serve(usize::MAX)]);
    house.recipe_sets().mirrors = vec![mirror::nobody(), format!("{}/", good.url)];
    house.recipe_sets().supply.folder = None;
    let fetched = house.run(Network::Allowed, fetch).unwrap();
    assert!(fetched.iter().all(|set| set.new));
    assert_eq!(fetched[1].bytes, house.read("kernel.txz").len() as u64);
    assert_eq!(
        house.run(Network::Offline, cached).unwrap(),
        ["base.txz", "kernel.txz"]
    );
    house.recipe_sets().mirrors = vec![mirror::nobody()];
    let again = house.run(Network::Allowed, fetch).unwrap();
    assert!(again.iter().all(|set| !set.new));
    house.obtain().unwrap();
    // A damaged one is noticed when it is needed, and taken away so that it is had again.
    let kept = house.dir.path().join("cache/sets/15.9-RELEASE/kernel.txz");
    let mut bytes = std::fs::read(&kept).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&kept, bytes).unwrap();
    std::fs::remove_dir_all(house.dir.path().join("cache/base")).unwrap();
    assert!(house.refused().contains("kernel.txz"));
    assert!(!kept.exists());
}

#[test]
fn a_folder_of_sets_fills_the_cache() {
    let mut house = House::new();
    pin(&mut house);
    let first = house.run(Network::Offline, fetch).unwrap();
    assert!(first.iter().all(|set| set.new));
    house.recipe_sets().supply.folder = None;
    house.obtain().unwrap();
}

#[test]
fn an_unknown_release_is_downloaded_with_its_manifest() {
    let mut house = House::new();
    let files: BTreeMap<_, _> = [
        ("base.txz", "base.txz"),
        ("kernel.txz", "kernel.txz"),
        ("manifest", "MANIFEST"),
    ]
    .map(|(path, name)| (format!("/15.9-release/{path}"), house.read(name)))
    .into();
    let good = mirror::Mirror::new(vec![Box::new(move |path, range| {
        mirror::part(files[path].clone(), usize::MAX)(path, range)
    })]);
    house.recipe_sets().mirrors = vec![good.url.clone()];
    house.recipe_sets().supply.folder = None;
    house.run(Network::Allowed, obtain).unwrap();
    house.obtain().unwrap();
    assert_eq!(house.unpacked(), 1);
}
