//! What the sets of a release must be: the recipe's pins, or, where a person takes the risk, what a
//! `MANIFEST` says.

use std::path::Path;

use fs_err as fs;

use super::manifest;
use super::source::{self, MANIFEST};
use crate::base::{Context, Network};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::recipe::{PinnedSet, Recipe, Sets};

/// Each set with where its expectation stands.
pub(super) fn expected(
    recipe: &Recipe,
    sets: &Sets,
    context: &Context<'_>,
) -> Result<Vec<(PinnedSet, String)>> {
    let release = &recipe.release;
    let folder = sets.supply.folder.as_deref();
    if let Some(pins) = sets.pins_of(release) {
        if let Some(folder) = folder {
            agree(pins, release, &folder.join(MANIFEST))?;
        }
        let by = format!("the recipe's pin for release {release}");
        return Ok(pins.iter().map(|pin| (pin.clone(), by.clone())).collect());
    }
    if !sets.supply.insecure {
        let known: Vec<_> = sets.pins.iter().map(|pin| pin.release.as_str()).collect();
        return Err(Error::refused(format!(
            "nobody has pinned release {release}: whether its sets are the real ones cannot be told"
        ))
        .hint(format!(
            "known are {}; `--insecure` takes the word of the sets' own `MANIFEST`, which is not \
             signed",
            known.join(", ")
        )));
    }
    let path = match folder {
        Some(folder) => folder.join(MANIFEST),
        None => downloaded(recipe, sets, context)?,
    };
    let said = read(&path)?.ok_or_else(|| {
        Error::missing(format!("`{}` is not there", path.display())).hint(format!(
            "release {release} is not pinned, so the `{MANIFEST}` that lies beside its sets on every \
             mirror is needed too"
        ))
    })?;
    tracing::warn!(
        "release {release} is not pinned: its sets are what `{}` says, and nobody vouches for that",
        path.display()
    );
    sets.sets
        .iter()
        .map(|file| {
            let pin = line(&said, file, &path)?;
            Ok((pin.clone(), format!("`{}`", path.display())))
        })
        .collect()
}

/// A `MANIFEST` that lies beside pinned sets says the same, or one of the two is not of this release.
fn agree(pins: &[PinnedSet], release: &str, path: &Path) -> Result<()> {
    let Some(said) = read(path)? else {
        return Ok(());
    };
    for pin in pins {
        let line = line(&said, &pin.file, path)?;
        let fault = if line.sha256 != pin.sha256 {
            format!("the SHA-256 {}", clawdie_tree::hex(line.sha256))
        } else if let (Some(said), Some(known)) = (line.files, pin.files)
            && said != known
        {
            format!("{said} entries instead of {known}")
        } else {
            continue;
        };
        return Err(Error::bad_input(format!(
            "`{}` gives `{}` {fault}: that is not release {release}",
            path.display(),
            pin.file
        ))
        .hint("name the release that these sets are of with `--release`"));
    }
    Ok(())
}

fn line<'a>(said: &'a [PinnedSet], file: &str, path: &Path) -> Result<&'a PinnedSet> {
    said.iter()
        .find(|line| line.file == file)
        .ok_or_else(|| Error::bad_input(format!("`{}` has no line for `{file}`", path.display())))
}

/// The lines of a `MANIFEST`; none when there is no such file.
fn read(path: &Path) -> Result<Option<Vec<PinnedSet>>> {
    let fault = |what: &dyn std::fmt::Display| {
        Error::bad_input(format!(
            "`{}` is no manifest of sets: {what}",
            path.display()
        ))
        .hint("copy it again from the mirror that the sets came from")
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(meta) if meta.len() > manifest::MAX_BYTES => {
            return Err(fault(&format!("it has {} bytes", meta.len())));
        }
        other => other.or_error(ErrorKind::Missing, || {
            format!("`{}` cannot be read", path.display())
        })?,
    };
    let bytes = fs::read(path).or_error(ErrorKind::Missing, || {
        format!("`{}` cannot be read", path.display())
    })?;
    let text = String::from_utf8(bytes).map_err(|_| fault(&"it is not text"))?;
    manifest::parse(&text)
        .map(Some)
        .map_err(|what| fault(&what))
}

/// The `MANIFEST` of a release without pins, in the cache or from a mirror.
fn downloaded(recipe: &Recipe, sets: &Sets, context: &Context<'_>) -> Result<std::path::PathBuf> {
    let path = source::cache_folder(&recipe.release, context)?.join(MANIFEST);
    if !path.is_file() {
        if context.network == Network::Offline {
            return Err(Error::missing(format!(
                "the `{MANIFEST}` of release {} is not in the cache",
                recipe.release
            ))
            .hint(
                "run `cargo xtask fetch` once with network, or name a folder with `--sets DIR`",
            ));
        }
        source::download_manifest(&path, &recipe.release, sets, context)?;
    }
    Ok(path)
}
