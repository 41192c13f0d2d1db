//! `stage` and `seed` through the real program: on folders, on copies of the image, on fixtures.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use clawdie_tests::checkout::{finish, programs, scratch};
use clawdie_tests::{Built, Disk, Finished, program, xtask};

const CONFIG: &str = "etc/systemd/system/colibri-daemon.service";

fn stage(flavour: &str, destdir: &Path, more: &[&str]) -> Finished {
    // Which system a program is for makes no difference to where it is laid.
    let programs = programs();
    let mut words = vec!["stage", "--flavour", flavour, "--programs"];
    words.push(programs.to_str().unwrap());
    words.push(destdir.to_str().unwrap());
    words.extend(more);
    let done = xtask(&words);
    assert!(done.status.success(), "{}", done.all());
    done
}

/// Everything below a folder: what it is, its times and its bytes.
fn everything(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs_err::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let sum = meta.is_file().then(|| {
                let bytes = fs_err::read(&path).unwrap();
                bytes.iter().fold(0u64, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
                })
            });
            let times = (meta.mtime(), meta.mtime_nsec(), meta.ino());
            all.insert(path.clone(), format!("{:o} {times:?} {sum:?}", meta.mode()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    all
}

#[test]
fn staging_twice_changes_nothing_and_an_edited_file_is_kept() {
    let files = [
        CONFIG,
        "etc/systemd/system/colibri-hostd.service",
        "etc/systemd/system/colibri-jail@.service",
        "usr/local/lib/tmpfiles.d/colibri-hostd.conf",
    ];
    let work = staging_keeps_what_was_edited("debian", &files, CONFIG);
    let destdir = work.path().join("dest dir");
    // Nothing starts on somebody else's host, and its firewall is its own.
    for folder in [
        "etc/systemd/system/multi-user.target.wants",
        "etc/nftables.conf",
    ] {
        assert!(!destdir.join(folder).exists(), "{folder}");
    }
}

#[test]
fn staging_for_freebsd_keeps_what_was_edited_too() {
    let config = "usr/local/etc/newsyslog.conf.d/clawdie.conf";
    let service = "usr/local/etc/rc.d/colibri_daemon";
    let destdir = staging_keeps_what_was_edited("freebsd", &[config, service], config);
    let mode = fs_err::metadata(destdir.path().join("dest dir").join(service)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o555, "rc(8) runs it");
    assert!(!destdir.path().join("dest dir/etc/systemd").exists());
}

fn staging_keeps_what_was_edited(flavour: &str, files: &[&str], config: &str) -> tempfile::TempDir {
    let stage = |destdir: &Path, more: &[&str]| stage(flavour, destdir, more);
    let work = scratch();
    let destdir = work.path().join("dest dir");
    let planned = stage(&destdir, &["--plan", "--json"]);
    let planned: serde_json::Value = serde_json::from_slice(&planned.output).unwrap();
    assert!(!destdir.exists(), "a plan writes nothing");

    let first = stage(&destdir, &["--json"]);
    let first: serde_json::Value = serde_json::from_slice(&first.output).unwrap();
    assert_eq!(planned["changes"], first["changes"]);
    let programs = [
        "usr/local/bin/clawdie-firstboot",
        "usr/local/bin/colibri-daemon",
        "usr/local/bin/colibri-hostd",
        "usr/local/bin/colibri-mcp",
        "usr/local/bin/colibri-test-agent",
        "usr/local/bin/colibri-tui",
        "usr/local/bin/colibri-vault",
    ];
    for path in programs.iter().chain(files) {
        assert!(destdir.join(path).is_file(), "{path}");
    }

    let before = everything(&destdir);
    let second = stage(&destdir, &[]);
    assert!(
        second.text().contains("Nothing to change"),
        "{}",
        second.all()
    );
    assert_eq!(everything(&destdir), before);

    // A program that broke is mended, a file that the admin edited is theirs.
    let edited = destdir.join(config);
    fs_err::write(&edited, "mine").unwrap();
    fs_err::write(destdir.join("usr/local/bin/colibri"), "broken").unwrap();
    let third = stage(&destdir, &[]).text();
    assert!(
        third.contains(&format!("kept    /{config} (edited here)")),
        "{third}"
    );
    assert!(
        third.contains("updated /usr/local/bin/colibri\n"),
        "{third}"
    );
    assert!(third.contains("0 were created, 1 updated"), "{third}");
    assert_eq!(fs_err::read_to_string(&edited).unwrap(), "mine");
    let fourth = stage(&destdir, &[]).text();
    assert!(fourth.contains("Nothing to change"), "{fourth}");
    assert!(fourth.contains("1 kept"), "{fourth}");
    work
}

#[test]
fn the_running_system_is_not_changed_by_accident() {
    for root in ["/", "//", "/usr/.."] {
        let done = xtask(&["stage", "--flavour=debian", root]);
        assert_eq!(done.status.code(), Some(5), "{root}: {}", done.all());
        assert!(done.complaints.contains("--yes"), "{}", done.all());
    }
    let ours = Path::new("/usr/local/share/clawdie-iso");
    let before = ours.exists();
    let plan = stage("debian", Path::new("/"), &["--plan"]);
    assert_eq!(ours.exists(), before, "a plan writes nothing");
    assert!(
        plan.text().contains("/usr/local/bin/colibri-daemon"),
        "{}",
        plan.all()
    );
}

#[test]
fn destdir_may_not_be_a_file() {
    let work = scratch();
    let file = work.path().join("file");
    fs_err::write(&file, "text").unwrap();
    let programs = programs();
    let done = xtask(&[
        "stage",
        "--flavour=debian",
        "--programs",
        programs.to_str().unwrap(),
        file.to_str().unwrap(),
    ]);
    assert_eq!(done.status.code(), Some(2), "{}", done.all());
    assert!(
        done.complaints.contains("is not a folder"),
        "{}",
        done.all()
    );
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "text");
}

/// The same as a user without rights; root becomes one.
#[test]
fn an_unprivileged_user_stages_into_a_folder() {
    let work = tempfile::tempdir().unwrap();
    fs_err::set_permissions(work.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // The programs and the build tool may lie where only their owner looks.
    let copies = work.path().join("programs");
    fs_err::create_dir(&copies).unwrap();
    for name in [
        "clawdie-firstboot",
        "colibri",
        "colibri-daemon",
        "colibri-hostd",
        "colibri-mcp",
        "colibri-test-agent",
        "colibri-tui",
        "colibri-vault",
    ] {
        fs_err::copy(programs().join(name), copies.join(name)).unwrap();
    }
    let Some(tool) = std::env::var_os("CLAWDIE_XTASK") else {
        panic!("`CLAWDIE_XTASK` is not set: run these tests with `cargo xtask test`");
    };
    fs_err::copy(tool, work.path().join("xtask")).unwrap();
    let home = work.path().join("home");
    fs_err::create_dir(&home).unwrap();
    let root = nix::unistd::geteuid().is_root();
    if root {
        fs_err::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    }
    let checkout = clawdie_tests::checkout::Checkout::copy_to(work.path());
    let destdir = home.join("destdir");
    let run = || {
        let mut command = if root {
            let mut command = program("setpriv", "util-linux");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg(work.path().join("xtask"));
            command
        } else {
            Command::new(work.path().join("xtask"))
        };
        command
            .current_dir(&home)
            .env("HOME", &home)
            .env("CLAWDIE_CHECKOUT", checkout.root())
            .args(["stage", "--flavour=debian", "destdir", "--programs"])
            .arg(&copies);
        let done = finish(&mut command);
        assert!(done.status.success(), "{}", done.all());
        done.text()
    };
    let first = run();
    assert!(
        first.contains("not root: every file belongs to you"),
        "{first}"
    );
    assert!(destdir.join("usr/local/bin/colibri-daemon").is_file());
    let before = everything(&destdir);
    let second = run();
    assert!(second.contains("Nothing to change"), "{second}");
    assert_eq!(everything(&destdir), before);
    fs_err::write(destdir.join(CONFIG), "mine").unwrap();
    assert!(run().contains("(edited here)"));
}

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../firstboot/tests/setup")
        .join(kind);
    let mut all: Vec<_> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.with_extension("expect").is_file())
        .filter(|path| {
            let ending = path.extension().unwrap_or_default();
            ending != "expect" && ending != "authorized_keys"
        })
        .collect();
    all.sort();
    all
}

/// The text of the report is that of the fixture; the file's own name stands where a seed's file is
/// always called `setup.txt`.
#[test]
fn seed_check_says_of_each_bad_file_exactly_what_its_fixture_says() {
    let work = scratch();
    let all = fixtures("bad");
    assert!(all.len() >= 40, "{}", all.len());
    for path in all {
        let expected = fs_err::read_to_string(path.with_extension("expect")).unwrap();
        let file = work.path().join("setup.txt");
        fs_err::copy(&path, &file).unwrap();
        let mut words = vec!["seed", "check", file.to_str().unwrap()];
        let keys = path.with_extension("authorized_keys");
        if keys.is_file() {
            words.extend(["--authorized-keys", keys.to_str().unwrap()]);
        }
        let done = xtask(&words);
        assert_eq!(
            done.status.code(),
            Some(3),
            "{}: {}",
            path.display(),
            done.all()
        );
        assert_eq!(done.text(), expected, "{}", path.display());

        words.push("--json");
        let json: serde_json::Value = serde_json::from_slice(&xtask(&words).output).unwrap();
        assert_eq!(json["usable"], false);
        assert!(!json["problems"].as_array().unwrap().is_empty());
    }
}

#[test]
fn seed_put_and_show_on_a_copy_of_the_image() {
    let built = Built::get();
    let work = scratch();
    let image = work.path().join("my image.img");
    let copied = finish(
        Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(built.image())
            .arg(&image),
    );
    assert!(copied.status.success(), "{}", copied.all());
    let readme = Disk::copy_of(&built).seed_file("README.txt").unwrap();
    let put = |file: &Path, more: &[&str]| {
        let mut words = vec![
            "seed",
            "put",
            file.to_str().unwrap(),
            image.to_str().unwrap(),
        ];
        words.extend(more);
        xtask(&words)
    };
    let setup = |name: &str, host: &str| {
        let path = work.path().join(name);
        let good = fixtures("good");
        let good = good.iter().find(|path| path.ends_with("crlf.txt"));
        let text = String::from_utf8(fs_err::read(good.unwrap_or(&fixtures("good")[0])).unwrap());
        let text: String = text
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with("HOSTNAME"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs_err::write(&path, format!("{text}\nHOSTNAME={host}\n")).unwrap();
        path
    };
    for host in ["first-host", "second-host-longer"] {
        let file = setup("any name.txt", host);
        let done = put(&file, &[]);
        assert!(done.status.success(), "{}", done.all());
        let mode = fs_err::metadata(&image).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "an image with secrets is its owner's");
        let shown = xtask(&["seed", "show", image.to_str().unwrap()]);
        assert!(shown.status.success(), "{}", shown.all());
        assert!(shown.text().contains(host), "{}", shown.all());
        let from_seed = finish(
            program("mtype", "mtools")
                .args([
                    "-i",
                    &format!("{}@@{}", image.display(), seed_offset(&built)),
                ])
                .arg("::setup.txt"),
        );
        assert_eq!(from_seed.output, fs_err::read(&file).unwrap());
        let kept = finish(
            program("mtype", "mtools")
                .args([
                    "-i",
                    &format!("{}@@{}", image.display(), seed_offset(&built)),
                ])
                .arg("::README.txt"),
        );
        assert_eq!(kept.output, readme, "put keeps other files");
    }
    let before = fs_err::read(&image).unwrap();
    let large = work.path().join("large.txt");
    fs_err::write(&large, "# filler\n".repeat(200_000)).unwrap();
    let done = put(&large, &[]);
    assert_eq!(done.status.code(), Some(3), "{}", done.all());
    let bad = setup("bad.txt", "-no-");
    let done = put(&bad, &[]);
    assert_eq!(done.status.code(), Some(3), "{}", done.all());
    assert!(
        done.complaints.contains("nothing was written"),
        "{}",
        done.all()
    );
    assert!(
        before == fs_err::read(&image).unwrap(),
        "refused, and yet written"
    );
    let done = put(&bad, &["--force"]);
    assert!(done.status.success(), "{}", done.all());

    let done = xtask(&[
        "seed",
        "put",
        bad.to_str().unwrap(),
        bad.to_str().unwrap(),
        "--force",
    ]);
    assert_eq!(done.status.code(), Some(3), "{}", done.all());
    assert!(done.complaints.contains("CLAWDIE-SEED"), "{}", done.all());
}

fn seed_offset(built: &Built) -> u64 {
    Disk::copy_of(built).range("CLAWDIE-SEED").start
}
