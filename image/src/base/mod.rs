//! The operating system under our files: obtained once, kept decoded in the cache.
//!
//! A back-end turns its inputs into tar streams (the Debian archive is installed; FreeBSD dist sets
//! are tar files already), [`archive`] reads any such stream into a [`Pack`].

pub mod archive;
pub mod debian;
pub(crate) mod download;
pub mod flags;
pub mod sets;

use clawdie_tree::{Content, Tree, TreePath};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::pack::Pack;
use crate::progress::Progress;

/// The folder of the tar stream that holds boot files: they go to other partitions, not to the root.
pub const BOOT_FILES: &str = ".clawdie-boot";

/// One package or set that went into a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the file it came in.
    pub sha256: String,
}

/// A base, ready for layers.
#[derive(Debug)]
pub struct Base {
    /// The root file system as the operating system's own tools made it.
    pub tree: Tree,
    /// Boot files by the name that the back-end gave them.
    pub boot: Tree,
    /// What it was made from.
    pub packages: Vec<Package>,
    /// When its newest input was published, seconds since 1970.
    pub published: i64,
    /// The key of its cache entry: equal for equal inputs.
    pub key: String,
    /// The contents on disk.
    pub pack: Pack,
}

impl Base {
    /// A boot file by its name.
    ///
    /// # Errors
    /// When the back-end did not deliver it.
    pub fn boot_file(&self, path: &TreePath) -> Result<&Content> {
        self.boot
            .get(path)
            .and_then(|node| node.content())
            .ok_or_else(|| {
                Error::failed(format!("the base has no boot file `{path}`"))
                    .hint("the recipe's `boot` names a file that none of its boot packages holds")
            })
    }
}

/// Where inputs may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Inputs that the cache lacks are downloaded.
    Allowed,
    /// What the cache lacks is an error.
    Offline,
}

/// What a back-end needs besides its part of the recipe.
pub struct Context<'a> {
    /// The checkout that the recipe's paths are relative to.
    pub root: &'a std::path::Path,
    /// The build cache.
    pub cache: &'a Cache,
    /// Whether downloads are allowed.
    pub network: Network,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// Throws a cached base away, because its contents turned out to be damaged.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(cache: &Cache, key: &str) -> Result<()> {
    match fs_err::remove_dir_all(cache.folder("base")?.join(key)) {
        // Another build has noticed it too.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => Ok(other?),
    }
}

/// Splits the boot files off a decoded base.
fn split_boot_files(tree: &mut Tree) -> Result<Tree> {
    let mut boot = Tree::new(clawdie_tree::Meta::root(0o755, 0));
    let top = TreePath::new(BOOT_FILES).map_err(|error| Error::failed(error.to_string()))?;
    let below: Vec<_> = tree
        .iter()
        .filter(|(path, _)| path.starts_with(&top) && **path != top)
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect();
    for (path, node) in below {
        let inner = path
            .as_bytes()
            .get(top.as_bytes().len()..)
            .unwrap_or_default();
        let inner = TreePath::new(inner).map_err(|error| Error::failed(error.to_string()))?;
        boot.insert(inner, node)
            .map_err(|error| Error::failed(error.to_string()))?;
    }
    tree.remove(&top);
    Ok(boot)
}
