//! `kill -9` of the program or of `bw` anywhere on the way: the next run converges.

use std::process::Stdio;
use std::time::{Duration, Instant};

use colibri_vault_server::{Collection, Item, State};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::ExposeSecret as _;

use crate::home::{Home, LONG};

/// Points at which each is killed.
const POINTS: u32 = 6;

/// The `bw` that runs now, by the lock's file.
fn bw(home: &Home) -> Option<Pid> {
    let text = std::fs::read_to_string(home.path("state/lock")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("bw "))?;
    line.parse().ok().map(Pid::from_raw)
}

/// The processes that have `bw`'s folder in their environment.
fn left(home: &Home) -> String {
    let folder = home.path("state/bw").display().to_string();
    let found = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&folder)
        });
    found
        .map(|entry| format!("{:?} ", entry.file_name()))
        .collect()
}

#[test]
#[ignore = "two dozen runs of bw; `cargo xtask test --all` plays them"]
fn real_bw_and_its_caller_may_be_killed_anywhere() {
    if !cfg!(target_os = "linux") {
        println!("NOT CHECKED: this looks into Linux's /proc");
        return;
    }
    let Some(home) = Home::new(State::default()) else {
        return;
    };
    let text = home.bootstrap.to_env().unwrap();
    std::fs::write(home.path("vault.env"), text.expose_secret()).unwrap();
    crate::program::private(&home.path("vault.env"));
    let started = Instant::now();
    home.provision().unwrap();
    let whole = started.elapsed();
    for point in 0..2 * POINTS {
        let value = format!("value {point}");
        home.server.change(|state| {
            state.collections = vec![Collection::new("main", [Item::login("KEY", &value)])];
        });
        if point.is_multiple_of(4) {
            // Log in anew as well.
            std::fs::remove_file(home.data()).unwrap();
        }
        let before = home.read_env();
        let mut child = crate::program::command(&home)
            .args(["provision", "main"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * (point / 2) / POINTS + Duration::from_millis(200));
        if point.is_multiple_of(2) {
            child.kill().unwrap();
        } else if let Some(bw) = bw(&home) {
            let _ = kill(bw, Signal::SIGKILL);
        }
        child.wait().unwrap();
        let after = home.read_env();
        let new = format!("KEY='{value}'\n");
        assert!(after == before || after == new, "{after}");

        home.provision().unwrap();
        assert_eq!(home.read_env(), new);
        home.is_locked();
        let end = Instant::now() + LONG;
        while !left(&home).is_empty() {
            assert!(Instant::now() < end, "left: {}", left(&home));
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut files: Vec<_> = std::fs::read_dir(home.path("state/bw"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        files.sort();
        assert_eq!(files, ["data.json"]);
    }
}
