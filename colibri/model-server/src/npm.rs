//! Programs of npm, installed for tests.
//!
//! `pkg-lists/npm.txt` pins the packages; the lock files in folders beside it pin all that these need.

#![allow(clippy::unwrap_used, reason = "only tests call this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PINNED: &str = include_str!("../../../pkg-lists/npm.txt");
const LOCK: &str = "package-lock.json";

/// A folder with a lock file, `pi/node22` say, below `pkg-lists`.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../pkg-lists")
        .join(name)
}

/// Installs what the lock file in the folder `from` says into the folder `name` below `into`, where a later call finds
/// it again. `more` is what else npm is told, and `package` what a message names. Gives the folder of modules.
///
/// # Errors
/// This machine cannot: there is no npm, no registry and nothing in npm's cache.
///
/// # Panics
/// The lock file is not what `pkg-lists/npm.txt` says, or the disk refuses.
pub fn install(
    from: &Path,
    into: &Path,
    name: &str,
    package: &str,
    more: &[&str],
) -> Result<PathBuf, String> {
    let lock = fs::read(from.join(LOCK)).unwrap();
    is_pinned(&serde_json::from_slice(&lock).unwrap());
    let folder = into.join(name);
    fs::create_dir_all(into).unwrap();
    // One at a time, or a test would remove what another has just installed and runs. The lock goes with the file.
    let turn = fs::File::create(into.join(format!("{name}.lock"))).unwrap();
    turn.lock().unwrap();
    // What is there is complete, for it was renamed; but of which lock file?
    if fs::read(folder.join(LOCK)).ok().as_ref() != Some(&lock) {
        let new = tempfile::tempdir_in(into).unwrap();
        for file in ["package.json", LOCK] {
            fs::copy(from.join(file), new.path().join(file)).unwrap();
        }
        let output = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--prefer-offline"])
            .args(["--no-audit", "--no-fund"])
            .args(more)
            .current_dir(new.path())
            .output()
            .map_err(|error| format!("npm does not run here: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().find(|line| line.contains("error"));
            return Err(format!(
                "npm cannot install {package}: {}",
                line.unwrap_or_default()
            ));
        }
        let _ = fs::remove_dir_all(&folder);
        fs::rename(new.path(), &folder).unwrap();
    }
    Ok(folder.join("node_modules"))
}

/// The machine's Node, when `program` runs on it.
///
/// # Errors
/// There is none, or it is too old.
pub fn own_node(program: &str) -> Result<PathBuf, String> {
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
        _ => Err(format!(
            "{program} needs Node 20, and this machine has {version}"
        )),
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::thread;

    use super::*;

    /// A package that needs no other, so that no registry is asked.
    #[test]
    fn tests_that_install_at_once_get_the_same_one_and_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let (from, into) = (dir.path().join("from"), dir.path().join("into"));
        fs::create_dir(&from).unwrap();
        fs::write(
            from.join("package.json"),
            r#"{"name": "none", "version": "1.0.0", "dependencies": {}}"#,
        )
        .unwrap();
        let lock = r#"{"name": "none", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
            "packages": {"": {"name": "none", "version": "1.0.0", "dependencies": {}}}}"#;
        fs::write(from.join(LOCK), lock).unwrap();
        let install = || {
            let modules = install(&from, &into, "none", "none", &[])?;
            let folder = fs::metadata(modules.parent().unwrap()).unwrap();
            Ok::<_, String>(folder.ino())
        };
        let found: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..3).map(|_| scope.spawn(install)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        match &found[0] {
            Err(why) => println!("NOT CHECKED: {why}"),
            first => assert!(found.iter().all(|one| one == first), "{found:?}"),
        }
    }
}
