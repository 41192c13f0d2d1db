//! What a list resolved to: kept, so that every build takes the same until somebody asks anew.

use std::collections::HashSet;
use std::path::PathBuf;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::base::Context;
use crate::cache::Key;
use crate::error::{ErrorKind, Result, ResultExt};
use crate::recipe::{Packages, Recipe};

/// A resolved list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    pub(super) schema: u32,
    /// Hash of the fingerprints that vouched for it.
    pub(super) trust: String,
    /// The signed catalogue.
    pub(super) catalogue: Kept,
    /// The signature of the package manager, for its bootstrap.
    pub(super) bootstrap: Kept,
    /// The packages that were asked for.
    pub(super) wanted: Vec<String>,
    /// Those and all that they need, by name.
    pub packages: Vec<Locked>,
}

/// A file of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its path in the repository.
    pub file: String,
    /// SHA-256 of the file; its name in the cache.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its checksum in the catalogue.
    pub(super) sum: String,
    /// Its file.
    pub kept: Kept,
}

impl Lock {
    pub(super) const SCHEMA: u32 = 1;

    /// Every file that an image needs, with what it is for messages.
    pub(super) fn files(&self) -> impl Iterator<Item = (String, &Kept)> {
        let packages = self
            .packages
            .iter()
            .map(|package| (format!("the package `{}`", package.name), &package.kept));
        [
            ("the packages' catalogue".to_owned(), &self.catalogue),
            (
                "the package manager's signature".to_owned(),
                &self.bootstrap,
            ),
        ]
        .into_iter()
        .chain(packages)
    }

    /// Bytes of all packages.
    pub fn bytes(&self) -> u64 {
        self.packages.iter().map(|package| package.kept.bytes).sum()
    }
}

fn path(
    recipe: &Recipe,
    packages: &Packages,
    wanted: &[String],
    context: &Context<'_>,
) -> Result<PathBuf> {
    let abi = recipe.abi();
    let (urls, names) = (packages.urls(&abi).join(" "), wanted.join(" "));
    let key = Key::of([
        b"freebsd-packages",
        abi.as_bytes(),
        urls.as_bytes(),
        names.as_bytes(),
    ]);
    let folder = context.cache.folder("lock")?;
    Ok(folder.join(format!("{}.json", key.as_str())))
}

pub(super) fn read(
    recipe: &Recipe,
    packages: &Packages,
    wanted: &[String],
    context: &Context<'_>,
) -> Result<Option<Lock>> {
    let path = path(recipe, packages, wanted, context)?;
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(None);
    };
    Ok(serde_json::from_str::<Lock>(&text)
        .ok()
        .filter(|lock| lock.schema == Lock::SCHEMA))
}

pub(super) fn write(
    lock: &Lock,
    recipe: &Recipe,
    packages: &Packages,
    context: &Context<'_>,
) -> Result<()> {
    let path = path(recipe, packages, &lock.wanted, context)?;
    let mut file = tempfile::NamedTempFile::new_in(context.cache.folder("lock")?)?;
    serde_json::to_writer_pretty(&mut file, lock)
        .or_error(ErrorKind::Failed, || "writing the lock".into())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the files that no lock names any more, and those that killed builds left behind.
pub(super) fn prune(context: &Context<'_>) -> Result<()> {
    let mut named = HashSet::new();
    for entry in fs::read_dir(context.cache.folder("lock")?)? {
        // Debian's locks lie there too.
        let Ok(lock) = serde_json::from_slice::<Lock>(&fs::read(entry?.path())?) else {
            continue;
        };
        named.extend(lock.files().map(|(_, kept)| kept.sha256.clone()));
    }
    for entry in fs::read_dir(context.cache.folder(super::KEPT)?)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !named.contains(name.trim_end_matches(".part")) {
            let gone = if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            gone?;
        }
    }
    Ok(())
}
