//! FreeBSD from its dist sets: `base.txz` and `kernel.txz`, laid over each other.
//!
//! Where a set lies ([`source`]), what is known of it ([`expected`], from the recipe's pins or a
//! [`manifest`]), and what it holds ([`unpack`]) are apart. A set is compared with its SHA-256 while
//! it is decoded; the result stays in the cache under the hashes of what it was made from.

mod expected;
mod loader;
pub mod manifest;
pub mod sample;
mod source;
mod unpack;

use std::cell::Cell;
use std::path::Path;

use fs_err as fs;

pub use self::loader::{bios_loader, efi_loader};
use self::source::Place;
use super::debian::BASES_KEPT;
use super::{Base, Context, Network, Package};
use crate::cache::Key;
use crate::error::{Error, Result};
use crate::pack::Pack;
use crate::recipe::{PinnedSet, Recipe, Sets, release_folder};

/// Part of the key of what is decoded: raised when the decoder keeps more, or something else.
const DECODER: &[u8] = b"freebsd-sets-1";

/// A set that is there, and whether this run brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Name of its file.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it was not in the cache before.
    pub new: bool,
}

/// One set: what it must be, and where it lies.
#[derive(Debug)]
struct Set {
    pin: PinnedSet,
    /// Where `pin` stands, for messages: the recipe's pin, or a line of a `MANIFEST`.
    by: String,
    place: Place,
}

/// Puts the sets of the recipe's release into the cache: from the folder that the command line names,
/// else from a mirror. What is there already and sound stays.
///
/// # Errors
/// When a set is not what it must be, or cannot be had.
pub fn fetch(recipe: &Recipe, sets: &Sets, context: &Context<'_>) -> Result<Vec<Fetched>> {
    let _lock = context.cache.lock("sets", || {
        tracing::info!("another build is downloading; waiting for it");
    })?;
    locate(recipe, sets, context)?
        .iter()
        .map(|set| source::keep(set, &recipe.release, context))
        .collect()
}

/// Which of the recipe's sets are in the cache, by name, without looking into them.
///
/// # Errors
/// When the cache cannot be read.
pub fn cached(recipe: &Recipe, sets: &Sets, context: &Context<'_>) -> Result<Vec<String>> {
    let folder = source::cache_folder(&recipe.release, context)?;
    let there = |set: &&String| folder.join(set).is_file();
    Ok(sets.sets.iter().filter(there).cloned().collect())
}

/// Obtains the base: from the cache, else from the sets, which are downloaded when they must be.
///
/// # Errors
/// When a set is missing, is not what it must be, or holds what no set may hold.
pub fn obtain(recipe: &Recipe, sets: &Sets, context: &Context<'_>) -> Result<Base> {
    let located = locate(recipe, sets, context)?;
    let key = key(&located);
    context.cache.sweep("base")?;
    let verified = Cell::new(false);
    let check = |folder: &Path| Pack::open(folder);
    let make = |folder: &Path| {
        let files = ready(recipe, &located, context)?;
        unpack::unpack(&files, folder, context.progress)?;
        verified.set(true);
        Ok(())
    };
    let pack = context.cache.entry("base", &key, check, make)?;
    if !verified.get() && sets.supply.folder.is_some() {
        // The cache has what these sets must hold. Whoever names a folder wants to know that it is fine.
        unpack::verify(&ready(recipe, &located, context)?)?;
    }
    context.cache.prune("base", BASES_KEPT)?;
    let version = release_folder(&recipe.release).map_err(Error::bad_input)?;
    Ok(Base {
        tree: pack.tree.clone(),
        boot: loader::boot_files(recipe, &pack.tree)?,
        packages: located
            .iter()
            .map(|set| Package {
                name: set.pin.file.clone(),
                version: version.clone(),
                sha256: clawdie_tree::hex(set.pin.sha256),
            })
            .collect(),
        published: newest(&pack),
        key: key.as_str().to_owned(),
        pack,
    })
}

/// Every set of the release: what it must be and where it should lie.
fn locate(recipe: &Recipe, sets: &Sets, context: &Context<'_>) -> Result<Vec<Set>> {
    let known = expected::expected(recipe, sets, context)?;
    known
        .into_iter()
        .map(|(pin, by)| {
            let place = Place::of(&pin.file, &recipe.release, sets, context)?;
            Ok(Set { pin, by, place })
        })
        .collect()
}

/// The sets as open files; what the cache lacks is downloaded first.
fn ready<'a>(
    recipe: &Recipe,
    located: &'a [Set],
    context: &Context<'_>,
) -> Result<Vec<unpack::OpenSet<'a>>> {
    let _lock = context.cache.lock("sets", || {
        tracing::info!("another build is downloading; waiting for it");
    })?;
    located
        .iter()
        .map(|set| {
            if let Place::Cache { .. } = &set.place
                && !set.place.path().is_file()
            {
                if context.network == Network::Offline {
                    return Err(Error::missing(format!(
                        "`{}` of release {} is not in the cache",
                        set.pin.file, recipe.release
                    ))
                    .hint(
                        "run `cargo xtask fetch --flavour freebsd` once with network, or name a \
                         folder that has the sets with `--sets DIR`",
                    ));
                }
                source::keep(set, &recipe.release, context)?;
            }
            unpack::OpenSet::open(set)
        })
        .collect()
}

fn key(sets: &[Set]) -> Key {
    let mut parts = vec![DECODER.to_vec()];
    for set in sets {
        let PinnedSet {
            file,
            sha256,
            files,
        } = &set.pin;
        parts.push(file.clone().into_bytes());
        parts.push(sha256.to_vec());
        // A count that is wrong is only noticed while the set is decoded.
        parts.push(
            files
                .map(u64::to_le_bytes)
                .map(Vec::from)
                .unwrap_or_default(),
        );
    }
    Key::of(parts.iter().map(Vec::as_slice))
}

fn newest(pack: &Pack) -> i64 {
    pack.tree
        .iter()
        .map(|(_, node)| node.meta.mtime)
        .max()
        .unwrap_or_default()
}

/// Removes a set of the cache that turned out to be damaged, so that it is had again.
fn forget(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
