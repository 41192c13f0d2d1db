//! The checkout that an image is built from: which commit, whether anything was changed since.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tool::{self, Tool};

/// Tells the commit.
pub const GIT: Tool = Tool {
    program: "git",
    package: "git",
    why: "the manifest names the commit that was built",
};

/// Which commit an image was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// Full commit id.
    pub commit: String,
    /// Whether the work tree differed from it; files that git does not track count.
    pub modified: bool,
}

/// A work tree.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// Its top folder.
    pub root: PathBuf,
    /// Its state.
    pub git: Git,
    /// `SOURCE_DATE_EPOCH`, else the commit's date; seconds since 1970.
    pub epoch: i64,
}

impl Checkout {
    /// Reads the state of the work tree at `root`.
    ///
    /// # Errors
    /// When it is no git work tree, or `SOURCE_DATE_EPOCH` is not a number.
    pub fn read(root: &Path) -> Result<Self> {
        let git = |arguments: &[&str]| -> Result<String> {
            let mut command = GIT.command()?;
            // A clone made by another user is still only read.
            command
                .args(["-c", "safe.directory=*", "-C"])
                .arg(root)
                .args(arguments);
            let output = tool::run(&mut command).map_err(|error| {
                error.hint("an image is built from a git clone, so that it can say what it holds")
            })?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let commit = git(&["rev-parse", "HEAD"])?;
        let modified = !git(&["status", "--porcelain", "--untracked-files=normal"])?.is_empty();
        let (name, date) = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => ("SOURCE_DATE_EPOCH", epoch),
            Err(_) => (
                "the commit's date",
                git(&["show", "-s", "--format=%ct", "HEAD"])?,
            ),
        };
        let epoch = date.parse().map_err(|_| {
            Error::bad_input(format!(
                "{name} is `{date}`, which is not a number of seconds"
            ))
        })?;
        Ok(Self {
            root: root.to_owned(),
            git: Git { commit, modified },
            epoch,
        })
    }
}
