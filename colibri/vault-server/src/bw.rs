//! The real `bw`, installed from npm.

use std::path::{Path, PathBuf};

use colibri_model_server::npm;

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
    /// Installs what the lock file in `pkg-lists/bw` says below `into`, where a later call finds it again.
    ///
    /// # Errors
    /// This machine cannot: there is no Node, no npm, no registry and nothing in npm's cache.
    ///
    /// # Panics
    /// The lock file is not what `pkg-lists/npm.txt` says, or the disk refuses.
    pub fn install(into: &Path) -> Result<Self, String> {
        let from = npm::folder("bw");
        let modules = npm::install(&from, into, "bw", PACKAGE, &["--omit=optional"])?;
        let script = modules.join(PACKAGE).join("build/bw.js");
        let node = npm::own_node("bw")?;
        Ok(Self { node, script })
    }
}
