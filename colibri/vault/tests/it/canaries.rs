//! Where the bootstrap secrets are while `bw` works, and where they are afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use colibri_vault_server::{Collection, Item, State};
use secrecy::ExposeSecret as _;

use crate::home::Home;

const CLIENT_SECRET: &str = "canary-client-secret-5531";
const PASSWORD: &str = "canary-password-7741";
const VALUE: &str = "canary-value-9917";

/// What a look at all processes has seen.
#[derive(Default)]
struct Sightings {
    /// `/proc/*/cmdline` with a canary in it.
    arguments: BTreeSet<String>,
    /// Command lines of the processes that had each canary in their environment.
    environments: BTreeSet<(&'static str, String)>,
}

impl Sightings {
    fn look(&mut self) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let read = |name: &str| {
                let bytes = std::fs::read(path.join(name)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let (arguments, environment) = (read("cmdline"), read("environ"));
            for canary in [CLIENT_SECRET, PASSWORD, VALUE] {
                if arguments.contains(canary) {
                    self.arguments.insert(arguments.clone());
                }
                if environment.contains(canary) {
                    self.environments.insert((canary, arguments.clone()));
                }
            }
        }
    }
}

/// All files below a folder in which a text is.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn real_bw_has_each_secret_in_one_call_s_environment_and_nobody_elsewhere() {
    if !cfg!(target_os = "linux") {
        println!("NOT CHECKED: this looks into Linux's /proc");
        return;
    }
    let Some(home) = Home::new(State {
        client_secret: CLIENT_SECRET.to_owned(),
        password: PASSWORD.to_owned(),
        collections: vec![Collection::new("main", [Item::login("KEY", VALUE)])],
        ..State::default()
    }) else {
        return;
    };
    let bootstrap = home.path("vault.env");
    let text = home.bootstrap.to_env().unwrap();
    std::fs::write(&bootstrap, text.expose_secret()).unwrap();
    crate::program::private(&bootstrap);

    let child = crate::program::command(&home)
        .args(["provision", "main", "--json"])
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let done = AtomicBool::new(false);
    let (output, seen) = std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut seen = Sightings::default();
            while !done.load(Ordering::Relaxed) {
                seen.look();
                std::thread::sleep(Duration::from_millis(15));
            }
            seen
        });
        let output = child.wait_with_output().unwrap();
        done.store(true, Ordering::Relaxed);
        (output, looker.join().unwrap())
    });
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("bw"), "nothing was logged: {log}");
    let said = String::from_utf8_lossy(&output.stdout);
    for canary in [CLIENT_SECRET, PASSWORD, VALUE] {
        assert!(!log.contains(canary) && !said.contains(canary), "{canary}");
    }

    assert_eq!(seen.arguments, BTreeSet::new());
    let calls: BTreeSet<_> = seen
        .environments
        .iter()
        .map(|(canary, arguments)| {
            let verb = ["login", "unlock"]
                .iter()
                .find(|verb| arguments.contains(*verb));
            (*canary, verb.copied())
        })
        .collect();
    let expected = [(CLIENT_SECRET, Some("login")), (PASSWORD, Some("unlock"))];
    assert_eq!(calls, expected.into(), "{:?}", seen.environments);

    let root = home.path("");
    assert_eq!(
        files_with(&root, PASSWORD),
        std::slice::from_ref(&bootstrap)
    );
    // `bw` keeps it in clear: that is why its folder is root's alone.
    assert_eq!(files_with(&root, CLIENT_SECRET), [home.data(), bootstrap]);
    assert_eq!(files_with(&root, VALUE), [home.env()]);
    let others = Command::new("find")
        .arg(home.path("state"))
        .args(["-perm", "/077"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&others.stdout),
        "",
        "others can look into these"
    );
}
