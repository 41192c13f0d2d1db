use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A base with the root of a jail in it, and something beside that nobody may touch.
struct Jail {
    dir: tempfile::TempDir,
}

impl Jail {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("base/main/home/agent")).unwrap();
        std::fs::create_dir_all(dir.path().join("outside/home/agent")).unwrap();
        std::fs::write(dir.path().join("outside/victim"), "mine").unwrap();
        Self { dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn env(&self) -> PathBuf {
        self.path("base/main/home/agent/.env")
    }

    fn target(&self) -> Target {
        Target {
            base: self.path("base"),
            root: self.path("base/main"),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            home: Target::HOME.into(),
        }
    }

    fn write(&self, value: &str) -> Result<Written, VaultError> {
        write_env(&self.target(), &bucket(value))
    }

    /// Nothing outside was touched, and nothing is left over.
    fn is_clean(&self) {
        let outside = walk(&self.path("outside"));
        assert_eq!(outside, ["home", "home/agent", "victim"]);
        let victim = std::fs::read_to_string(self.path("outside/victim")).unwrap();
        assert_eq!(victim, "mine");
        assert!(!self.env().with_file_name(NEW).exists());
    }
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            }
        }
    }
    found.sort();
    found
}

fn bucket(value: &str) -> Bucket {
    Bucket {
        collection_id: "c".to_owned(),
        secrets: [("KEY".parse().unwrap(), value.into())].into(),
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn it_is_the_agent_s_alone_and_written_once() {
    let jail = Jail::new();
    let written = jail.write("one").unwrap();
    assert_eq!(
        (written.changed, written.added),
        (true, vec!["KEY".to_owned()])
    );
    assert_eq!(read(&jail.env()), "KEY='one'\n");
    let first = std::fs::metadata(jail.env()).unwrap();
    assert_eq!(first.mode() & 0o7777, 0o600);

    // Loose, and otherwise the same: mended, not written.
    std::fs::set_permissions(jail.env(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(jail.write("one").unwrap(), Written::default());
    let second = std::fs::metadata(jail.env()).unwrap();
    assert_eq!((second.ino(), second.mode() & 0o7777), (first.ino(), 0o600));

    // A piece that a power cut left is in nobody's way.
    std::fs::write(jail.env().with_file_name(NEW), "torn").unwrap();
    let written = jail.write("two").unwrap();
    assert_eq!(
        (written.changed, written.renewed),
        (true, vec!["KEY".to_owned()])
    );
    assert_eq!(names(&jail.target()).unwrap(), ["KEY"]);
    jail.is_clean();
}

#[test]
fn the_owner_is_set_and_found_again() {
    if !nix::unistd::geteuid().is_root() {
        println!("NOT CHECKED: only root gives files away");
        return;
    }
    let jail = Jail::new();
    let target = Target {
        uid: 525_288,
        gid: 525_289,
        ..jail.target()
    };
    write_env(&target, &bucket("one")).unwrap();
    let meta = std::fs::metadata(jail.env()).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (525_288, 525_289));
    write_env(&jail.target(), &bucket("one")).unwrap();
    write_env(&target, &bucket("one")).unwrap();
    let meta = std::fs::metadata(jail.env()).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (525_288, 525_289));

    let find = || Target::find(&jail.path("base"), &jail.path("base/main"));
    assert_eq!(find().unwrap_err().kind(), "target-in-the-way");
    let home = jail.path("base/main/home/agent");
    std::os::unix::fs::chown(&home, Some(7), Some(8)).unwrap();
    let found = find().unwrap();
    assert_eq!((found.uid, found.gid), (7, 8));
}

#[test]
fn single_secrets_leave_the_others() {
    let jail = Jail::new();
    std::fs::write(jail.env(), "# by hand\nA=1\nB='2'\n").unwrap();
    let secret = |name: &str, value: &str| (name.parse().unwrap(), SecretString::from(value));
    let written = write_secrets(&jail.target(), &[secret("B", "two"), secret("C", "3")]).unwrap();
    assert_eq!(read(&jail.env()), "A='1'\nB='two'\nC='3'\n");
    assert_eq!((written.added.len(), written.renewed.len()), (1, 1));
    let read_back = read_env(&jail.target()).unwrap();
    assert_eq!(read_back[1].1.expose_secret(), "two");

    std::fs::write(jail.env(), "A='open\n").unwrap();
    let error = write_secrets(&jail.target(), &[secret("C", "3")]).unwrap_err();
    assert_eq!(error.kind(), "env-file");
    assert_eq!(read(&jail.env()), "A='open\n");
    jail.is_clean();
}

#[test]
fn no_more_is_written_than_is_read_again() {
    let jail = Jail::new();
    let value = SecretString::from("x".repeat(env::MAX_VALUE));
    let add = |name: &str| write_secrets(&jail.target(), &[(name.parse().unwrap(), value.clone())]);
    for name in ["A", "B", "C"] {
        add(name).unwrap();
    }
    let error = add("D").unwrap_err();
    assert_eq!(error.kind(), "item");
    assert!(error.to_string().contains("are the most"), "{error}");
    assert_eq!(names(&jail.target()).unwrap(), ["A", "B", "C"]);
    jail.is_clean();
}

/// Nothing that cannot be read back is taken over as something else.
#[test]
fn what_is_no_text_is_refused_but_by_who_writes_all_of_it() {
    let jail = Jail::new();
    let bytes = b"A='1'\nB='\xff'\n";
    std::fs::write(jail.env(), bytes).unwrap();
    let secret = [("C".parse().unwrap(), SecretString::from("3"))];
    for error in [
        read_env(&jail.target()).unwrap_err(),
        write_secrets(&jail.target(), &secret).unwrap_err(),
    ] {
        assert_eq!(error.kind(), "env-file");
        assert!(error.to_string().contains("line 2:"), "{error}");
    }
    assert_eq!(std::fs::read(jail.env()).unwrap(), bytes);
    jail.write("one").unwrap();
    assert_eq!(read(&jail.env()), "KEY='one'\n");
    jail.is_clean();
}

#[test]
fn a_root_that_is_not_strictly_below_the_base_is_refused() {
    let jail = Jail::new();
    symlink(jail.path("outside"), jail.path("base/linked")).unwrap();
    std::fs::write(jail.path("base/file"), "").unwrap();
    for (root, kind) in [
        ("base", "target-escapes-root"),
        ("outside", "target-escapes-root"),
        ("base/../outside", "target-escapes-root"),
        ("base/main/../../outside", "target-escapes-root"),
        ("base/linked", "target-escapes-root"),
        ("base/file", "target-escapes-root"),
        ("base/none", "no-root"),
    ] {
        let target = Target {
            root: jail.path(root),
            ..jail.target()
        };
        let error = write_env(&target, &bucket("x")).unwrap_err();
        assert_eq!(error.kind(), kind, "{root}: {error}");
        assert!(names(&target).is_err() && write_secrets(&target, &[]).is_err());
    }
    for home in ["../../outside/home/agent", "/etc", "", "."] {
        let target = Target {
            home: home.into(),
            ..jail.target()
        };
        let error = write_env(&target, &bucket("x")).unwrap_err();
        assert_eq!(error.kind(), "target-escapes-root", "{home}");
    }
    jail.is_clean();
}

#[test]
fn links_on_the_way_are_not_followed() {
    for place in ["base/main/home/agent", "base/main/home"] {
        let jail = Jail::new();
        std::fs::remove_dir_all(jail.path(place)).unwrap();
        let to = place.replace("base/main", "outside");
        symlink(jail.path(&to), jail.path(place)).unwrap();
        let error = jail.write("x").unwrap_err();
        assert_eq!(error.kind(), "target-escapes-root", "{error}");
        jail.is_clean();
    }
}

#[test]
fn the_base_may_lie_behind_a_link_of_the_host() {
    let jail = Jail::new();
    symlink(jail.path("base"), jail.path("other")).unwrap();
    for root in ["other/main", "base/main"] {
        let target = Target {
            base: jail.path("other"),
            root: jail.path(root),
            ..jail.target()
        };
        write_env(&target, &bucket(root)).unwrap();
    }
    assert_eq!(read(&jail.env()), "KEY='base/main'\n");
}

#[test]
fn what_lies_in_its_place_is_left_alone() {
    let jail = Jail::new();
    let victim = jail.path("outside/victim");
    let env = jail.env();
    let plants: [(&str, &dyn Fn()); 4] = [
        ("symbolic", &|| symlink(&victim, &env).unwrap()),
        ("hard link", &|| std::fs::hard_link(&victim, &env).unwrap()),
        ("folder", &|| std::fs::create_dir(&env).unwrap()),
        ("FIFO", &|| {
            nix::unistd::mkfifo(&env, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }),
    ];
    for (what, plant) in plants {
        plant();
        let error = jail.write("x").unwrap_err();
        assert_eq!(error.kind(), "target-in-the-way");
        assert!(error.to_string().contains(what), "{error}");
        assert!(names(&jail.target()).is_err());
        let removed = std::fs::remove_file(&env).or_else(|_| std::fs::remove_dir(&env));
        removed.unwrap();
        jail.is_clean();
    }
    // And at the name that it has while it is written.
    symlink(&victim, env.with_file_name(NEW)).unwrap();
    jail.write("x").unwrap();
    jail.is_clean();
    std::fs::create_dir(env.with_file_name(NEW)).unwrap();
    jail.write("y").unwrap_err();
    assert_eq!(read(&env), "KEY='x'\n");
}

#[test]
fn a_link_that_is_swapped_in_while_it_is_written_leads_nowhere() {
    let jail = Jail::new();
    let (env, new) = (jail.env(), jail.env().with_file_name(NEW));
    let victim = jail.path("outside/victim");
    let home = jail.path("base/main/home/agent");
    let away = jail.path("base/main/home/away");
    let stop = AtomicBool::new(false);
    let mut written = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                turn = turn.wrapping_add(1);
                let name = if turn.is_multiple_of(2) { &env } else { &new };
                let _ = std::fs::remove_file(name);
                let _ = symlink(&victim, name);
                if turn.is_multiple_of(5) && std::fs::rename(&home, &away).is_ok() {
                    let _ = symlink(jail.path("outside/home/agent"), &home);
                    let _ = std::fs::remove_file(&home);
                    std::fs::rename(&away, &home).unwrap();
                }
            }
        });
        for turn in 0..400 {
            // Another value each time, so that it is written.
            written += usize::from(jail.write(&format!("secret {turn}")).is_ok());
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{written} of 400 were written");
    let _ = std::fs::remove_file(&env);
    let _ = std::fs::remove_file(&new);
    jail.is_clean();
    assert!(jail.write("at rest").is_ok());
}

/// A child with a limit on the size of files: the disk is full for it.
#[test]
fn on_a_full_disk_the_old_file_stays() {
    const CHILD: &str = "COLIBRI_VAULT_TEST_FULL";
    if let Some(root) = std::env::var_os(CHILD) {
        let base = PathBuf::from(root);
        let target = Target {
            root: base.join("main"),
            base,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            home: Target::HOME.into(),
        };
        let error = write_env(&target, &bucket(&"x".repeat(60_000))).unwrap_err();
        assert_eq!(error.kind(), "system");
        assert!(error.to_string().contains("cannot write"), "{error}");
        return;
    }
    let jail = Jail::new();
    jail.write("old").unwrap();
    let this = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        // 8 KiB; a signal would end the child.
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact \"$1\" --nocapture",
        ])
        .arg(this)
        .arg("target::tests::on_a_full_disk_the_old_file_stays")
        .env(CHILD, jail.path("base"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    assert_eq!(read(&jail.env()), "KEY='old'\n");
    jail.is_clean();
}

#[test]
fn a_folder_that_cannot_be_written_keeps_the_old_file() {
    let jail = Jail::new();
    jail.write("old").unwrap();
    let home = jail.path("base/main/home/agent");
    let mode = |mode: u32| {
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o500);
    if nix::unistd::geteuid().is_root() {
        println!(
            "NOT CHECKED: root writes into any folder; a read-only mount is left to the boot test"
        );
    } else {
        assert_eq!(jail.write("new").unwrap_err().kind(), "system");
    }
    mode(0o700);
    assert!(jail.write("new").is_ok());
    jail.is_clean();
}
