//! The build tool as a whole: equal builds, killed builds, two at once, damaged caches, full disks,
//! wrong input. Real builds of a copy of this checkout, with the warm cache of this one.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clawdie_tests::checkout::{Checkout, cache, finish, programs, scratch, start};
use clawdie_tests::{Finished, program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const IMAGE: &str = ".img";
const SUMS: &str = ".sha256";

fn succeed(command: &mut Command) -> Finished {
    let done = finish(command);
    assert!(done.status.success(), "{command:?}: {}", done.all());
    done
}

/// Fails with `code`, and says each of `texts`.
fn refuse(command: &mut Command, code: i32, texts: &[&str]) -> Finished {
    let done = finish(command);
    assert_eq!(
        done.status.code(),
        Some(code),
        "{command:?}: {}",
        done.all()
    );
    for text in texts {
        assert!(
            done.complaints.contains(text),
            "`{text}` is missing in: {}",
            done.all()
        );
    }
    done
}

/// Every name in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect(),
        Err(_) => Vec::new(),
    };
    names.sort();
    names
}

fn only(folder: &Path, ending: &str) -> PathBuf {
    let found: Vec<_> = names(folder)
        .into_iter()
        .filter(|name| name.ends_with(ending))
        .collect();
    assert_eq!(found.len(), 1, "{:?}", names(folder));
    folder.join(&found[0])
}

/// Whether two folders hold the same image and companions.
fn assert_equal(one: &Path, other: &Path) {
    assert_eq!(names(one), names(other));
    for name in names(one) {
        let same = finish(
            Command::new("cmp")
                .arg(one.join(&name))
                .arg(other.join(&name)),
        );
        assert!(same.status.success(), "{name}: {}", same.all());
    }
}

/// `sha256sum` agrees with the file of checksums.
fn assert_sums(folder: &Path) {
    succeed(
        program("sha256sum", "coreutils")
            .current_dir(folder)
            .args(["--check", "--quiet", "--strict"])
            .arg(only(folder, SUMS)),
    );
}

fn manifest(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs_err::read(folder.join("build-manifest.json")).unwrap()).unwrap()
}

#[test]
fn one_changed_byte_changes_one_entry_of_the_manifest() {
    let checkout = Checkout::copy();
    let [before, after] = ["before", "after"].map(|name| checkout.beside(name));
    succeed(&mut checkout.iso(&before));
    assert_eq!(names(&before).len(), 4, "{:?}", names(&before));
    assert_sums(&before);

    let file = checkout
        .root()
        .join("overlays/debian/etc/ssh/sshd_config.d/10-clawdie.conf");
    let mut text = fs_err::read(&file).unwrap();
    // A comment's last letter: the lints still find what they want.
    let end = text.iter().position(|byte| *byte == b'\n').unwrap() - 1;
    assert_eq!(text[0], b'#');
    text[end] ^= 1;
    fs_err::write(&file, text).unwrap();
    succeed(&mut checkout.iso(&after));

    let (mut old, mut new) = (manifest(&before), manifest(&after));
    assert_eq!(old["git"]["modified"], false);
    assert_eq!(new["git"]["modified"], true);
    let take_files = |manifest: &mut serde_json::Value| {
        manifest["git"]["modified"].take();
        let mut files = BTreeMap::new();
        for part in manifest["partitions"].as_array_mut().unwrap() {
            let name = part["name"].as_str().unwrap().to_owned();
            for file in part["files"].take().as_array().into_iter().flatten() {
                let path = file["path"].as_str().unwrap().to_owned();
                files.insert((name.clone(), path), file.clone());
            }
        }
        files
    };
    let (old_files, new_files) = (take_files(&mut old), take_files(&mut new));
    assert_eq!(old, new, "only files may differ");
    assert!(old_files.len() > 1000, "{}", old_files.len());
    assert_eq!(
        old_files.keys().collect::<Vec<_>>(),
        new_files.keys().collect::<Vec<_>>()
    );
    let differing: Vec<_> = old_files
        .iter()
        .filter(|(path, file)| new_files[*path] != **file)
        .map(|((_, path), _)| path.as_str())
        .collect();
    assert_eq!(differing, ["/etc/ssh/sshd_config.d/10-clawdie.conf"]);
}

#[test]
fn a_killed_build_leaves_nothing_that_looks_complete() {
    let checkout = Checkout::copy();
    let out = checkout.beside("out");
    let reference = checkout.beside("reference");
    let started = Instant::now();
    succeed(&mut checkout.iso(&reference));
    let took = started.elapsed();

    let mut cut_short = 0;
    for eighth in 1..=8 {
        let signal = if eighth % 4 == 0 {
            Signal::SIGINT
        } else {
            Signal::SIGKILL
        };
        let mut build = start(&mut checkout.iso(&out));
        std::thread::sleep(took * eighth / 9);
        let pid = Pid::from_raw(build.id().try_into().unwrap());
        // It is our child and not yet waited for: the number is still its own.
        kill(pid, signal).unwrap();
        cut_short += usize::from(!build.wait().unwrap().success());
        look_after_kill(&out, &reference);
    }
    assert!(cut_short >= 4, "only {cut_short} builds were cut short");
    // The last of the leftovers: of the builds before, each next one has swept.
    let partial = names(&out)
        .iter()
        .filter(|name| name.contains(".partial-"))
        .count();
    assert!(partial <= 1, "{:?}", names(&out));

    succeed(&mut checkout.iso(&out));
    assert_equal(&out, &reference);

    // The same over a complete build that differs from the next one.
    let file = checkout.root().join("overlays/debian/etc/hostname");
    fs_err::write(&file, "other\n").unwrap();
    let mut build = start(&mut checkout.iso(&out));
    std::thread::sleep(took / 2);
    let _ = build.kill();
    let finished = build.wait().unwrap().success();
    if !finished {
        let visible: Vec<_> = names(&out)
            .into_iter()
            .filter(|name| !name.starts_with('.'))
            .collect();
        assert_eq!(visible, names(&reference), "the earlier build stays");
        assert_sums(&out);
    }
    succeed(&mut checkout.iso(&out));
    assert_eq!(names(&out), names(&reference));
    assert_sums(&out);
}

/// A file under its final name is whole, whatever else is there; with checksums, the set is.
fn look_after_kill(out: &Path, reference: &Path) {
    for name in names(out) {
        if name.starts_with(".partial-") {
            continue;
        }
        let same = finish(
            Command::new("cmp")
                .arg(out.join(&name))
                .arg(reference.join(&name)),
        );
        assert!(
            same.status.success(),
            "{name} looks complete: {}",
            same.all()
        );
    }
    if names(out).iter().any(|name| name.ends_with(SUMS)) {
        assert_sums(out);
    }
}

#[test]
fn builds_at_once_are_equal_builds() {
    let checkout = Checkout::copy();
    let [shared, other] = ["shared", "other"].map(|name| checkout.beside(name));
    let mut builds: Vec<_> = [&shared, &shared, &other]
        .map(|out| start(&mut checkout.iso(out)))
        .into();
    for build in &mut builds {
        assert!(build.wait().unwrap().success());
    }
    assert_sums(&shared);
    assert_equal(&shared, &other);
}

/// A cache of its own that may be damaged, with a space in its name.
fn own_cache(beside: &Path) -> PathBuf {
    let own = beside.join("a cache");
    succeed(
        Command::new("cp")
            .args(["--recursive", "--reflink=auto", "--no-target-directory"])
            .arg(cache())
            .arg(&own),
    );
    own
}

fn entry(folder: &Path) -> PathBuf {
    let mut entries = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    entries.next().unwrap()
}

/// Leaves the base that `iso` uses alone in the cache, so that a test damages the right one.
fn keep_used_base(checkout: &Checkout, own: &Path) -> PathBuf {
    let base = own.join("base");
    for path in fs_err::read_dir(&base).unwrap() {
        let path = path.unwrap().path();
        let aside = own.join("aside");
        if names(&base).len() == 1 {
            break;
        }
        fs_err::rename(&path, &aside).unwrap();
        let plan = checkout.beside("probe");
        let done = finish(
            checkout
                .iso(&plan)
                .env("CLAWDIE_CACHE", own)
                .env("TMPDIR", "/nonexistent"),
        );
        if !done.status.success() {
            fs_err::rename(&aside, &path).unwrap();
        } else {
            fs_err::remove_dir_all(&aside).unwrap();
        }
    }
    entry(&base)
}

fn flip(path: &Path, at: u64) {
    let file = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.file().read_exact_at(&mut byte, at).unwrap();
    file.file().write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn halve(path: &Path) {
    let len = fs_err::metadata(path).unwrap().len();
    let file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(len / 2).unwrap();
}

#[test]
fn a_damaged_cache_is_noticed_and_made_again() {
    let checkout = Checkout::copy();
    let reference = checkout.beside("reference");
    succeed(&mut checkout.iso(&reference));
    let own = own_cache(checkout.root().parent().unwrap());
    let base = keep_used_base(&checkout, &own);
    let out = checkout.beside("out folder");
    let iso = || {
        let mut command = checkout.iso(&out);
        command.env("CLAWDIE_CACHE", &own);
        command
    };

    // One bit in the contents: only a checksum of everything can tell.
    let contents = base.join("contents");
    flip(&contents, fs_err::metadata(&contents).unwrap().len() / 2);
    refuse(&mut iso(), 1, &["damaged", "run the same command again"]);
    assert_eq!(names(&out), [""; 0], "nothing of a damaged build stays");
    assert!(!base.exists(), "the damaged base stays");

    // Nothing is left to install from but damaged downloads: offline that is the end.
    let package = downloaded_package(&own.join("downloads"), "coreutils_");
    halve(&package);
    let name = package.file_name().unwrap().to_string_lossy().into_owned();
    refuse(&mut iso(), 4, &[&name, "cargo xtask fetch"]);
    assert!(names(&own.join("base")).is_empty(), "a half base stays");

    // With network it is downloaded again. Killed in the middle, and then for good.
    let online = || {
        let mut command = checkout.xtask();
        command
            .env("CLAWDIE_CACHE", &own)
            .args(["iso", "--flavour=debian", "--no-xz", "--programs"])
            .arg(programs())
            .arg("--out")
            .arg(&out);
        command
    };
    let mut build = start(&mut online());
    std::thread::sleep(Duration::from_secs(6));
    build.kill().unwrap();
    build.wait().unwrap();
    assert!(
        names(&own.join("base"))
            .iter()
            .all(|name| name.starts_with(".partial-"))
    );
    let done = succeed(&mut online());
    assert!(
        done.complaints.contains("install the base system"),
        "{}",
        done.all()
    );
    if manifest(&out)["packages"] == manifest(&reference)["packages"] {
        assert_equal(&out, &reference);
    } else {
        println!("not compared: the archive has newer packages than the cache had");
        assert_sums(&out);
    }
    assert_eq!(
        names(&own.join("base")).len(),
        1,
        "the killed base is swept"
    );

    // Asking the archive anew with everything there names everything again.
    let done = succeed(
        checkout
            .xtask()
            .env("CLAWDIE_CACHE", &own)
            .args(["fetch", "--flavour=debian"]),
    );
    let packages = manifest(&out)["packages"].as_array().unwrap().len();
    let text = done.text();
    assert!(
        text.contains(&format!("{packages} packages in the cache")),
        "{text}"
    );

    // Cut short, or with a torn index, the base is made again from the downloads, offline. What
    // makes it again was just seen; that it would is told by the warning that comes first.
    let base = entry(&own.join("base"));
    let kept = own.join("kept");
    fs_err::rename(base.join("contents"), &kept).unwrap();
    fs_err::copy(base.join("index.json"), own.join("index")).unwrap();
    fs_err::write(base.join("contents"), "cut short").unwrap();
    notices_damage(&mut iso());
    // It was stopped somewhere between the warning and the new base.
    let _ = std::fs::remove_dir_all(&base);
    fs_err::create_dir(&base).unwrap();
    fs_err::rename(&kept, base.join("contents")).unwrap();
    fs_err::rename(own.join("index"), base.join("index.json")).unwrap();
    halve(&base.join("index.json"));
    notices_damage(&mut iso());
}

/// A package of the base; what programs are compiled with lies in a folder beside it.
fn downloaded_package(downloads: &Path, start: &str) -> PathBuf {
    let found = names(downloads).into_iter().find_map(|folder| {
        let archives = downloads.join(folder).join("archives");
        let name = names(&archives)
            .into_iter()
            .find(|name| name.starts_with(start))?;
        Some(archives.join(name))
    });
    found.unwrap_or_else(|| panic!("no package {start}* below {}", downloads.display()))
}

/// Starts a build, waits for its warning of a damaged base, and stops it.
fn notices_damage(iso: &mut Command) {
    use std::io::BufRead as _;
    let mut build = iso
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let said = std::io::BufReader::new(build.stderr.take().unwrap());
    let noticed = said
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("the cached base is damaged; making it again"));
    let _ = build.kill();
    build.wait().unwrap();
    assert!(noticed, "nobody noticed the damage");
}

#[test]
fn a_damaged_chunk_of_the_compressed_copy_is_made_again() {
    let checkout = Checkout::copy();
    let own = own_cache(checkout.root().parent().unwrap());
    let [first, second] = ["first", "second"].map(|name| checkout.beside(name));
    let iso = |out: &Path| {
        let mut command = checkout.xtask();
        command
            .env("CLAWDIE_CACHE", &own)
            .args(["iso", "--flavour=debian", "--offline", "--programs"])
            .arg(programs())
            .arg("--out")
            .arg(out);
        command
    };
    succeed(&mut iso(&first));
    // A chunk that is used gets a new time; older ones belong to other images.
    let mut chunks: Vec<_> = fs_err::read_dir(own.join("xz"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "xzb"))
        .collect();
    chunks.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().modified().unwrap()));
    assert!(chunks.len() > 5, "{chunks:?}");
    halve(&chunks[0]);
    flip(&chunks[1], 100);
    fs_err::write(&chunks[2], "").unwrap();
    let done = succeed(&mut iso(&second));
    let noticed = done
        .complaints
        .matches("damaged chunk in the cache")
        .count();
    assert_eq!(noticed, 3, "{}", done.all());
    assert_equal(&first, &second);
    succeed(
        program("xz", "xz-utils")
            .arg("--test")
            .arg(only(&second, ".img.xz")),
    );
    assert_sums(&second);
}

#[test]
fn a_full_disk_is_told_and_nothing_half_done_stays() {
    let checkout = Checkout::copy();
    let reference = checkout.beside("reference");
    succeed(&mut checkout.iso(&reference));
    use std::os::unix::fs::MetadataExt as _;
    let taken = fs_err::metadata(only(&reference, IMAGE)).unwrap().blocks() * 512;

    // Too small for the image; for what comes after it; for a second build beside a first one.
    for (size, before) in [
        (100 << 20, false),
        (taken + (1 << 20), false),
        (taken * 3 / 2, true),
    ] {
        let small = checkout.beside("small disk");
        fs_err::create_dir_all(&small).unwrap();
        let first = if before {
            r#""$@" >&2 || exit 90"#
        } else {
            ":"
        };
        let script = format!(
            r#"mount -t tmpfs -o size={size} tmpfs "$DISK" || exit 91
               {first}
               "$@"; code=$?
               cd "$DISK" || exit 92
               find . -mindepth 1 -printf '%f\n'
               if [ -e *.sha256 ]; then sha256sum --check --quiet --strict *.sha256 || exit 93; fi
               exit $code"#
        );
        let mut inside = program("unshare", "util-linux");
        let root = nix::unistd::geteuid().is_root();
        inside.arg(if root { "-m" } else { "-Urm" });
        if !finish(inside.arg("true")).status.success() {
            println!("not run: this machine allows no mount namespace (`unshare -Urm`)");
            return;
        }
        let iso = checkout.iso(&small.join("."));
        let mut inside = program("unshare", "util-linux");
        inside
            .arg(if root { "-m" } else { "-Urm" })
            .args(["sh", "-c", &script, "sh"])
            .arg(iso.get_program())
            .args(iso.get_args())
            .env("DISK", &small);
        for (name, value) in iso.get_envs() {
            inside.env(name, value.unwrap());
        }
        let done = refuse(
            &mut inside,
            1,
            &[
                "error:",
                "No space left on device",
                "help:",
                "free some space",
            ],
        );
        let mut left: Vec<_> = done.text().lines().map(str::to_owned).collect();
        left.sort();
        let expected = if before {
            names(&reference)
        } else {
            Vec::new()
        };
        assert_eq!(left, expected, "{}", done.all());
    }
}

#[test]
fn wrong_input_is_told_before_anything_is_built() {
    let checkout = Checkout::copy();
    let out = checkout.beside("out");
    let seed = checkout.beside("my setup.txt");

    fs_err::write(&seed, "HOSTNAME=-bad-\nASSISTANT_NAME=\nNO_SUCH_KEY=1\n").unwrap();
    refuse(
        checkout.iso(&out).arg("--seed").arg(&seed),
        3,
        &[
            "my setup.txt` cannot be used",
            "`HOSTNAME`",
            "`NO_SUCH_KEY`",
            "line 1",
            "line 3",
        ],
    );
    refuse(
        checkout.iso(&out).args(["--seed", "no such file"]),
        4,
        &["`no such file` cannot be read"],
    );
    let empty = checkout.beside("empty");
    refuse(
        checkout.iso(&out).env("CLAWDIE_CACHE", &empty),
        4,
        &["not in the cache", "cargo xtask fetch"],
    );
    refuse(
        checkout.iso(&seed).arg("--verbose"),
        2,
        &["my setup.txt` is not a folder", "--out"],
    );
    refuse(
        checkout.iso(&out).args(["--no-such-option"]),
        2,
        &["--no-such-option"],
    );
    refuse(
        checkout
            .xtask()
            .args(["iso", "--flavour=debian", "--programs", "."]),
        4,
        &["has no program", "--programs"],
    );

    let release = |command: &mut Command| {
        command.args([
            "iso",
            "--flavour=debian",
            "--offline",
            "--no-xz",
            "--channel=release",
        ]);
        command.arg("--out").arg(&out);
    };
    fs_err::write(checkout.root().join("untracked"), "").unwrap();
    let mut dirty = checkout.xtask();
    release(&mut dirty);
    refuse(&mut dirty, 5, &["clean tree", "git status"]);
    refuse(dirty.arg("--programs").arg(programs()), 5, &["--programs"]);

    let recipe = checkout.root().join("image/debian.toml");
    let text = fs_err::read_to_string(&recipe).unwrap();
    let line = text.lines().position(|line| line == "[stage]").unwrap() + 2;
    fs_err::write(
        &recipe,
        text.replace("[stage]\n", "[stage]\nno-such-key = 1\n"),
    )
    .unwrap();
    refuse(
        &mut checkout.iso(&out),
        3,
        &["no-such-key", "debian.toml", &format!("{line}")],
    );
    assert!(!out.exists() || names(&out).is_empty(), "{:?}", names(&out));
}

#[test]
fn plan_writes_nothing_and_is_json() {
    let checkout = Checkout::copy();
    let odd = std::ffi::OsString::from_vec(b"a \xff name".to_vec());
    let out = checkout.root().parent().unwrap().join(odd);
    let done = succeed(checkout.iso(&out).args(["--plan", "--json"]));
    let plan: serde_json::Value = serde_json::from_slice(&done.output).unwrap();
    assert_eq!(plan["schema"], "clawdie.iso.plan.v1");
    assert_eq!(plan["results"].as_array().unwrap().len(), 4);
    assert_eq!(plan["packages_of_npm"][0]["name"], "@anthropic-ai/sdk");
    assert!(!out.exists());

    // The same folder is good for a build, from another folder and with a relative name.
    let relative = Path::new(".").join(out.file_name().unwrap());
    let done = succeed(checkout.iso(&relative).arg("--json"));
    let result: serde_json::Value = serde_json::from_slice(&done.output).unwrap();
    assert_eq!(
        result["bytes"],
        fs_err::metadata(only(&out, IMAGE)).unwrap().len()
    );
    assert_sums(&out);
    let verified = succeed(
        checkout
            .xtask()
            .args(["verify", "--json"])
            .arg(only(&out, IMAGE)),
    );
    let report: serde_json::Value = serde_json::from_slice(&verified.output).unwrap();
    assert_eq!(report["faults"].as_array().unwrap().len(), 0);
}

#[test]
fn a_folder_that_may_not_be_written_is_told() {
    let checkout = Checkout::copy();
    let out = checkout.beside("forbidden");
    fs_err::create_dir(&out).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::set_permissions(&out, std::fs::Permissions::from_mode(0o555)).unwrap();
    let iso = checkout.iso(&out);
    let mut command = if nix::unistd::geteuid().is_root() {
        // Root may write everywhere; without its powers over files it is like everybody.
        let mut command = program("setpriv", "util-linux");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
        fs_err::os::unix::fs::chown(&out, Some(65534), Some(65534)).unwrap();
        command.arg(iso.get_program());
        command
    } else {
        Command::new(iso.get_program())
    };
    command.args(iso.get_args()).current_dir(scratch().path());
    for (name, value) in iso.get_envs() {
        command.env(name, value.unwrap());
    }
    command.current_dir(checkout.root());
    refuse(
        &mut command,
        1,
        &[
            "forbidden",
            "Permission denied",
            "a folder that you may write",
        ],
    );
    assert!(names(&out).is_empty());
}

#[test]
fn verify_and_doctor_say_it_in_their_exit_codes() {
    let checkout = Checkout::copy();
    let work = scratch();
    refuse(
        checkout.xtask().args(["verify", "/no/such/image"]),
        4,
        &["/no/such/image"],
    );
    let junk = work.path().join("junk.img");
    fs_err::write(&junk, vec![7; 1 << 20]).unwrap();
    refuse(checkout.xtask().arg("verify").arg(&junk), 3, &["junk.img"]);
    let done = succeed(checkout.xtask().args(["doctor", "--json"]));
    let findings: serde_json::Value = serde_json::from_slice(&done.output).unwrap();
    assert!(findings.is_object() || findings.is_array(), "{findings}");
}
