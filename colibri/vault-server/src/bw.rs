//! The real `bw`, installed from npm.
//!
//! `pkg-lists/npm.txt` pins the package; the lock file in `pkg-lists/bw` pins all that it needs.

#![allow(clippy::unwrap_used, reason = "only tests call this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PINNED: &str = include_str!("../../../pkg-lists/npm.txt");
const LOCK: &str = include_str!("../../../pkg-lists/bw/package-lock.json");
const PACKAGE: &str = "@bitwarden/cli";

/// An installed `bw`.
#[derive(Debug)]
pub struct Bw {
    /// The Node that runs it.
    pub node: PathBuf,
    /// Its program, a script.
    pub script: PathBuf,
}

impl Bw {
    /// Installs what the lock file says below `into`, where a later call finds it again.
    ///
    /// # Errors
    /// This machine cannot: there is no Node, no npm, no registry and nothing in npm's cache.
    ///
    /// # Panics
    /// The lock file is not what `pkg-lists/npm.txt` says, or the disk refuses.
    pub fn install(into: &Path) -> Result<Self, String> {
        is_pinned(&serde_json::from_str(LOCK).unwrap());
        let node = own_node()?;
        let folder = into.join("bw");
        // What is there is complete, for it was renamed; but of which lock file?
        if fs::read(folder.join("package-lock.json")).ok().as_deref() != Some(LOCK.as_bytes()) {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg-lists/bw");
            fs::create_dir_all(into).unwrap();
            let new = tempfile::tempdir_in(into).unwrap();
            for file in ["package.json", "package-lock.json"] {
                fs::copy(from.join(file), new.path().join(file)).unwrap();
            }
            let output = Command::new("npm")
                .args(["ci", "--ignore-scripts", "--omit=optional"])
                .args(["--prefer-offline", "--no-audit", "--no-fund"])
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
            // Another test may have been quicker.
            if let Err(error) = fs::rename(new.path(), &folder) {
                assert!(folder.is_dir(), "{error}");
            }
        }
        let script = folder.join("node_modules/@bitwarden/cli/build/bw.js");
        Ok(Self { node, script })
    }
}

/// The machine's Node, when `bw` runs on it.
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
        _ => Err(format!("bw needs Node 20, and this machine has {version}")),
    }
}

/// The package that is ours to choose stands in the one list.
fn is_pinned(lock: &Value) {
    for (name, version) in lock["packages"][""]["dependencies"].as_object().unwrap() {
        let version = version.as_str().unwrap();
        let pin = &lock["packages"][format!("node_modules/{name}")];
        let line = format!("{name}@{version} {}", pin["integrity"].as_str().unwrap());
        assert!(
            PINNED.lines().any(|pinned| pinned.starts_with(&line)),
            "pkg-lists/npm.txt lacks: {line}"
        );
    }
}
