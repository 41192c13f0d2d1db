//! An image for FreeBSD from a made-up pair of dist sets, built without root and read back with
//! other people's tools.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clawdie_image::base::sets::sample::{self, Sample};
use clawdie_tests::checkout::{self, Checkout, finish, scratch};
use clawdie_tests::{Disk, Finished, program, repository, run};
use serde_json::{Value, json};
use sha2::Digest as _;

const LIMIT: Duration = Duration::from_secs(300);
const PROGRAMS: [&str; 8] = [
    "clawdie-firstboot",
    "colibri-daemon",
    "colibri-hostd",
    "colibri-vault",
    "colibri",
    "colibri-tui",
    "colibri-mcp",
    "colibri-test-agent",
];
/// A release that nobody has pinned.
const RELEASE: &str = "15.9";
/// Who others are, for a test that runs as root.
const NOBODY: u32 = 65534;
/// The agent's package, and where packages of npm lie.
const PI: &str = "@earendil-works/pi-coding-agent";
const MODULES: &str = "/usr/local/lib/node_modules";

/// A pair of sets, stand-ins for our programs, and a checkout that builds from them with a cache of
/// its own.
struct House {
    checkout: Checkout,
    work: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let work = if nix::unistd::geteuid().is_root() {
            // Where an unprivileged user may go, too.
            tempfile::Builder::new()
                .prefix("clawdie-freebsd-")
                .tempdir()
                .unwrap()
        } else {
            scratch()
        };
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs_err::set_permissions(work.path(), open).unwrap();
        let house = Self {
            checkout: Checkout::copy_to(work.path()),
            work,
        };
        for folder in ["sets", "programs"] {
            fs_err::create_dir(house.path(folder)).unwrap();
        }
        let sample = Sample {
            files: 3000,
            bytes: 40 << 20,
        };
        sample::write(&house.path("sets"), sample).unwrap();
        for name in PROGRAMS {
            fs_err::write(
                house.path("programs").join(name),
                format!("stand-in for {name}"),
            )
            .unwrap();
        }
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// `xtask` as an unprivileged user, whoever runs the test.
    fn xtask(&self, cache: &str) -> Command {
        let real = self.checkout.xtask();
        let mut command = if nix::unistd::geteuid().is_root() {
            // The program lies where others may not go.
            let copy = self.path("xtask");
            if !copy.exists() {
                fs_err::copy(real.get_program(), &copy).unwrap();
            }
            let mut command = program("setpriv", "util-linux");
            command
                .arg(format!("--reuid={NOBODY}"))
                .arg(format!("--regid={NOBODY}"))
                .arg("--clear-groups")
                .arg(copy);
            command
        } else {
            Command::new(real.get_program())
        };
        command
            .current_dir(self.work.path())
            .env("CLAWDIE_CHECKOUT", self.checkout.root())
            .env("CLAWDIE_CACHE", self.path(cache))
            .env("HOME", self.work.path());
        command
    }

    /// Without packages.
    fn iso(&self, out: &str, cache: &str) -> Command {
        self.iso_with(Path::new("none"), out, cache)
    }

    fn iso_with(&self, packages: &Path, out: &str, cache: &str) -> Command {
        let mut command = self.xtask(cache);
        command
            .args([
                "iso",
                "--flavour=freebsd",
                "--release",
                RELEASE,
                "--insecure",
            ])
            .arg("--packages")
            .arg(packages)
            .arg("--sets")
            .arg(self.path("sets"))
            .arg("--programs")
            .arg(self.path("programs"))
            .arg("--out")
            .arg(self.path(out));
        command
    }

    /// A cache with the packages of npm that the image under test has: Debian's are the very same.
    fn cache_with_npm(&self, name: &str) {
        let from = checkout::cache().join("npm");
        assert!(
            from.is_dir(),
            "`{}` is not there: `cargo xtask iso` fills it",
            from.display()
        );
        let to = self.path(name);
        fs_err::create_dir(&to).unwrap();
        succeed(program("cp", "coreutils").arg("-R").arg(&from).arg(&to));
        if nix::unistd::geteuid().is_root() {
            let owner = format!("{NOBODY}:{NOBODY}");
            succeed(program("chown", "coreutils").args(["-R", &owner]).arg(&to));
        }
    }
}

fn succeed(command: &mut Command) -> Finished {
    let done = finish(command);
    assert!(done.status.success(), "{command:?}: {}", done.all());
    done
}

fn image(folder: &Path) -> PathBuf {
    let mut images: Vec<_> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "img"))
        .collect();
    assert_eq!(images.len(), 1, "{images:?}");
    images.remove(0)
}

fn manifest(folder: &Path) -> Value {
    let text = fs_err::read(folder.join("build-manifest.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The files of the root by their path.
fn rows(manifest: &Value) -> BTreeMap<&str, &Value> {
    let root = manifest["partitions"].as_array().unwrap().last().unwrap();
    root["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["path"].as_str().unwrap(), row))
        .collect()
}

/// What a set says of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: char,
    mode: u32,
    owners: (u64, u64),
    flags: String,
    bytes: Vec<u8>,
    target: Option<String>,
}

/// The entries of both sets by their path, as the `tar` crate reads them; the second set's folders
/// are those of the first.
fn entries(sets: &Path) -> BTreeMap<String, Entry> {
    let mut found: BTreeMap<String, Entry> = BTreeMap::new();
    for set in ["base.txz", "kernel.txz"] {
        let file = fs_err::File::open(sets.join(set)).unwrap();
        let mut archive = tar::Archive::new(liblzma::read::XzDecoder::new_multi_decoder(file));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let path = path
                .trim_start_matches('.')
                .trim_end_matches('/')
                .to_owned();
            let mut flags = String::new();
            if let Some(pax) = entry.pax_extensions().unwrap() {
                for field in pax.map(Result::unwrap) {
                    if field.key() == Ok("SCHILY.fflags") {
                        field.value().unwrap().clone_into(&mut flags);
                    }
                }
            }
            let link = entry
                .link_name_bytes()
                .map(|name| String::from_utf8(name.into_owned()).unwrap());
            let header = entry.header();
            let kind = match header.entry_type() {
                tar::EntryType::Directory => 'd',
                tar::EntryType::Regular => 'r',
                tar::EntryType::Symlink => 'l',
                tar::EntryType::Fifo => 'p',
                tar::EntryType::Link => {
                    let first = link.unwrap().trim_start_matches('.').to_owned();
                    let same = found[&first].clone();
                    found.insert(path, same);
                    continue;
                }
                other => panic!("{path}: {other:?}"),
            };
            let (mode, owners) = (
                header.mode().unwrap(),
                (header.uid().unwrap(), header.gid().unwrap()),
            );
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.entry(path).or_insert(Entry {
                kind,
                mode,
                owners,
                flags,
                bytes,
                target: link,
            });
        }
    }
    found
}

/// A program of sleuthkit on the root file system.
fn sleuthkit(name: &'static str, words: &[&str], disk: &Disk) -> Finished {
    let sector = (disk.range("rootfs").start / 512).to_string();
    let mut command = program(name, "sleuthkit");
    command.args(["-o", &sector]).args(words).arg(disk.path());
    run(&mut command, b"", LIMIT)
}

#[test]
fn an_image_holds_what_the_sets_hold_and_is_the_same_twice() {
    let house = House::new();
    let told = succeed(&mut house.iso("first", "cache-1")).all();
    assert!(told.contains("and so no agent"), "{told}");
    // From nothing again: the folder of the cache is another one.
    succeed(house.iso("second", "cache-2").arg("--offline"));
    let [first, second] = ["first", "second"].map(|out| house.path(out));
    for entry in fs_err::read_dir(&first).unwrap() {
        let name = entry.unwrap().file_name();
        succeed(
            program("cmp", "diffutils")
                .arg(first.join(&name))
                .arg(second.join(&name)),
        );
    }
    let image = image(&first);
    let told = succeed(house.xtask("cache-1").arg("verify").arg(&image)).all();
    assert!(told.contains("root file system in `rootfs`: ok"), "{told}");

    let table = succeed(program("sgdisk", "gdisk").arg("-v").arg(&image)).text();
    assert!(table.contains("No problems found"), "{table}");
    let disk = Disk::at(&image);
    for partition in ["CLAWDIE-SEED", "efiboot0"] {
        disk.assert_fat_sound(partition);
    }
    let stat = sleuthkit("fsstat", &[], &disk);
    assert!(stat.status.success(), "{}", stat.all());
    for text in [
        "File System Type: UFS 2",
        "Volume Name: rootfs",
        "Soft Dependencies",
    ] {
        assert!(stat.text().contains(text), "{text}: {}", stat.text());
    }

    // MD5|name|inode|mode|uid|gid|size|times
    let list = sleuthkit("fls", &["-r", "-p", "-m", "/"], &disk);
    assert!(list.status.success(), "{}", list.all());
    let listed: BTreeMap<String, Vec<String>> = list
        .text()
        .lines()
        .map(|line| {
            let fields: Vec<String> = line.split('|').map(str::to_owned).collect();
            let name = fields[1].split(" -> ").next().unwrap().to_owned();
            (name, fields)
        })
        .collect();
    let folder = house.path("recovered");
    fs_err::create_dir(&folder).unwrap();
    let sector = (disk.range("rootfs").start / 512).to_string();
    succeed(
        program("tsk_recover", "sleuthkit")
            .args(["-a", "-o", &sector])
            .arg(&image)
            .arg(&folder),
    );
    let manifest = manifest(&first);
    let rows = rows(&manifest);
    assert!(manifest["npm"].is_null() && !rows.contains_key("/usr/local/bin/pi"));

    let ours = ours(&house.checkout.root());
    let entries = entries(&house.path("sets"));
    assert!(entries.len() > 3000);
    let mut compared = 0;
    for (path, entry) in &entries {
        if path.is_empty() || ours.contains(path) {
            continue;
        }
        compared += 1;
        let row = rows[path.as_str()];
        assert_eq!(row["mode"], format!("{:04o}", entry.mode), "{path}");
        assert_eq!(
            row["flags"].as_str().unwrap_or_default(),
            entry.flags,
            "{path}"
        );
        let fields = listed.get(path).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!(fields[3], text_of(entry), "{path}");
        let owners = (fields[4].parse().unwrap(), fields[5].parse().unwrap());
        assert_eq!(owners, entry.owners, "{path}");
        if entry.kind == 'r' {
            assert_eq!(fields[6], entry.bytes.len().to_string(), "{path}");
            let digest = clawdie_tree::hex(sha2::Sha256::digest(&entry.bytes));
            assert_eq!(row["sha256"], digest, "{path}");
            // Empty ones are not recovered.
            if !entry.bytes.is_empty() {
                let read = fs_err::read(folder.join(path.trim_start_matches('/'))).unwrap();
                assert!(read == entry.bytes, "{path} has other bytes");
            }
        }
        if let Some(target) = &entry.target {
            assert_eq!(row["target"], *target, "{path}");
        }
    }
    assert!(compared > 3000, "{compared}");
    for name in PROGRAMS {
        let path = format!("usr/local/bin/{name}");
        let read = fs_err::read(folder.join(&path)).unwrap();
        assert_eq!(read, format!("stand-in for {name}").as_bytes());
    }
}

/// What the image has in other words than the sets: overlays, services, and what first boot owns.
fn ours(checkout: &Path) -> Vec<String> {
    let mut ours = Vec::new();
    for overlay in ["overlays/common", "overlays/freebsd"] {
        let top = checkout.join(overlay);
        let mut open = vec![top.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs_err::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                ours.push(format!("/{}", path.strip_prefix(&top).unwrap().display()));
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
    }
    ours.retain(|path| !checkout.join("overlays/freebsd").join(&path[1..]).is_dir());
    ours.push("/etc/fstab".to_owned());
    ours
}

/// As `fls` writes kind and mode.
fn text_of(entry: &Entry) -> String {
    let mode = entry.mode;
    let mut text = format!("{0}/{0}", entry.kind);
    for (shift, special, set, unset) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => set,
            (false, true) => unset,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[test]
fn an_image_with_packages_carries_the_agent_and_what_runs_it() {
    let house = House::new();
    house.cache_with_npm("cache");
    let plan = |packages: &str| -> Value {
        let mut command = house.xtask("cache");
        command.args(["iso", "--flavour=freebsd", "--plan", "--json"]);
        let done = succeed(command.args(["--packages", packages]));
        serde_json::from_slice(&done.output).unwrap()
    };
    let without = plan("none");
    assert_eq!(without["packages_of_npm"], json!([]));
    assert_eq!(without["recipe"].get("npm"), None);
    assert_eq!(plan("mirror")["recipe"]["npm"][0]["to"], MODULES);

    let packages = house.path("packages");
    repository::write(
        &packages,
        &[
            ("age", &[]),
            ("bash", &["readline"]),
            ("icu", &[]),
            ("node22", &["icu"]),
            ("pkg", &[]),
            ("readline", &[]),
            ("unrelated", &[]),
        ],
    );
    let mut iso = house.iso_with(&packages, "out", "cache");
    let told = succeed(iso.args(["--offline", "--no-xz"])).all();
    assert!(!told.contains("no agent"), "{told}");
    let image = image(&house.path("out"));
    let told = succeed(house.xtask("cache").arg("verify").arg(&image)).all();
    assert!(told.contains("root file system in `rootfs`: ok"), "{told}");

    let manifest = manifest(&house.path("out"));
    let names = |key: &str| -> Vec<&str> {
        let listed = manifest[key].as_array().unwrap();
        listed
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect()
    };
    let expected = ["age", "bash", "icu", "node22", "pkg", "readline"];
    assert!(names("packages").ends_with(&expected), "{manifest}");
    assert!(names("npm").contains(&PI));
    let rows = rows(&manifest);
    let script = format!("{MODULES}/{PI}/dist/cli.js");
    assert_eq!(rows["/usr/local/bin/pi"]["target"], script);
    assert_eq!(rows[script.as_str()]["mode"], "0755");
    let native = rows.keys().find(|path| path.ends_with(".node"));
    assert_eq!(native, None, "made for one system only");

    let disk = Disk::at(&image);
    let text = |path: &str| {
        let done = sleuthkit("fcat", &[path], &disk);
        assert!(done.status.success(), "{path}: {}", done.all());
        done.text()
    };
    let list = "/usr/local/share/clawdie-iso/packages/install";
    assert_eq!(text(list), "pkg\nnode22\nbash\nage\n");
    assert!(text(&script).starts_with("#!/usr/bin/env node\n"));
    println!(
        "NOT CHECKED: no FreeBSD runs here, so nobody has seen `pkg` install these packages, nor `pi` start with them"
    );
}

#[test]
fn wrong_sets_are_refused_and_leave_nothing() {
    let house = House::new();
    let base = house.path("sets").join("base.txz");
    let whole = fs_err::read(&base).unwrap();
    let refuse = |text: &str| {
        let done = finish(&mut house.iso("out", "cache"));
        assert_eq!(done.status.code(), Some(3), "{}", done.all());
        assert!(done.complaints.contains(text), "{text}: {}", done.all());
        let left: Vec<_> = fs_err::read_dir(house.path("out"))
            .map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{left:?}");
    };
    // Truncated, empty, swapped.
    fs_err::write(&base, &whole[..whole.len() / 2]).unwrap();
    refuse("base.txz");
    fs_err::write(&base, b"").unwrap();
    refuse("base.txz` is empty");
    fs_err::copy(house.path("sets").join("kernel.txz"), &base).unwrap();
    refuse("base.txz");
    fs_err::write(&base, &whole).unwrap();
    // A MANIFEST that lies about the number of entries.
    let manifest = house.path("sets").join("MANIFEST");
    let text = fs_err::read_to_string(&manifest).unwrap();
    let line = text.lines().next().unwrap();
    let count = line.split('\t').nth(2).unwrap();
    fs_err::write(
        &manifest,
        text.replacen(&format!("\t{count}\t"), "\t12\t", 1),
    )
    .unwrap();
    refuse("base.txz");
    fs_err::write(&manifest, text).unwrap();
    // And with nothing wrong it is built.
    succeed(house.iso("out", "cache").arg("--no-xz"));
}
