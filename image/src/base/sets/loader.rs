//! FreeBSD's boot files, out of the base: for the MBR, the BIOS boot partition and the ESP.

use clawdie_tree::{Content, Meta, Tree, TreePath};

use crate::base::Base;
use crate::disk::freebsd;
use crate::error::{Error, Result};
use crate::recipe::{Base as BaseRecipe, Boot, BootFile, Recipe};

/// The boot files that the recipe names, as far as the base has them. They stay in the root too, where
/// an upgrade of the host looks for them.
pub(super) fn boot_files(recipe: &Recipe, root: &Tree) -> Result<Tree> {
    let mut boot = Tree::new(Meta::root(0o755, 0));
    let Boot::Loader { mbr, bios, efi } = &recipe.boot else {
        return Ok(boot);
    };
    for BootFile(path) in [mbr, bios].into_iter().chain(efi) {
        let Some(node) = root.get(path).filter(|node| node.content().is_some()) else {
            continue;
        };
        let folder = path.parent().unwrap_or_default();
        boot.ensure_dirs(&folder, &Meta::root(0o755, 0))
            .and_then(|()| boot.insert(path.clone(), node.clone()))
            .map_err(|error| Error::bad_input(format!("the recipe's `boot`: {error}")))?;
    }
    Ok(boot)
}

/// What firmware with UEFI starts: the first file of the recipe's list that the base has. None only
/// for sets that nobody vouches for, with a warning.
///
/// # Errors
/// When the base has none of them.
pub fn efi_loader(recipe: &Recipe, base: &Base) -> Result<Option<Content>> {
    let Boot::Loader { efi, .. } = &recipe.boot else {
        return Err(no_loader());
    };
    let found = efi
        .iter()
        .find_map(|BootFile(path)| base.boot.get(path)?.content().cloned());
    let names: Vec<_> = efi
        .iter()
        .map(|BootFile(path)| format!("`{path}`"))
        .collect();
    match found {
        Some(loader) if !loader.is_empty() => Ok(Some(loader)),
        _ => {
            let fault = format!("the base has no {}", names.join(" or "));
            let effect = "no machine with UEFI would start this image";
            tolerate(recipe, missing(&fault, effect))?;
            Ok(None)
        }
    }
}

/// The MBR's code and the content of the boot partition, which has `len` bytes. Empty only for sets
/// that nobody vouches for, with a warning.
///
/// # Errors
/// When a file is missing, is something else, or does not fit.
pub fn bios_loader(recipe: &Recipe, base: &Base, len: u64) -> Result<([u8; 440], Vec<u8>)> {
    let Boot::Loader { mbr, bios, .. } = &recipe.boot else {
        return Err(no_loader());
    };
    let read = |path: &TreePath| -> Result<Vec<u8>> {
        let content = base.boot.get(path).and_then(|node| node.content());
        let content = content.ok_or_else(|| {
            let effect = "no machine with a BIOS would start this image";
            missing(&format!("the base has no `{path}`"), effect)
        })?;
        // Read into memory only what could fit.
        if content.len() > freebsd::MAX_PARTITION {
            return Err(Error::bad_input(format!(
                "`{path}` of the base has {} bytes, which is no boot code",
                content.len()
            )));
        }
        Ok(content.read()?)
    };
    let embedded = read(&mbr.0)
        .and_then(|mbr| Ok((mbr, read(&bios.0)?)))
        .and_then(|(mbr, bios)| freebsd::embed(&mbr, &bios, len));
    match embedded {
        Ok(code) => Ok(code),
        Err(error) => {
            tolerate(recipe, error)?;
            Ok(([0; 440], Vec::new()))
        }
    }
}

fn no_loader() -> Error {
    Error::bad_input("FreeBSD's sets are started by FreeBSD's own loader")
        .hint("the recipe's `boot` says another `loader`")
}

fn missing(fault: &str, effect: &str) -> Error {
    Error::bad_input(format!("{fault}: {effect}"))
        .hint("is `base.txz` complete? A release has these files in `/boot`")
}

/// Sets of one's own making, for a try or a test, may lack the loader; pinned ones may not.
fn tolerate(recipe: &Recipe, error: Error) -> Result<()> {
    match &recipe.base {
        BaseRecipe::Sets(sets)
            if sets.supply.insecure && sets.pins_of(&recipe.release).is_none() =>
        {
            tracing::warn!("{error}");
            Ok(())
        }
        _ => Err(error),
    }
}
