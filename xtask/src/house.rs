//! Where things are in this checkout, and what every build verb needs of it.

use std::path::{Path, PathBuf};

use clawdie_firstboot::setup;
use clawdie_image::cache::Cache;
use clawdie_image::checkout::Checkout;
use clawdie_image::programs::Programs;
use clawdie_image::recipe::{Flavour, Recipe};
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _};
use clawdie_tree::{Content, Meta, Node, Tree, TreePath};

/// Version of the product.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The top folder of the checkout: `$CLAWDIE_CHECKOUT`, else the one that this program was built
/// from.
pub(crate) fn root() -> PathBuf {
    if let Some(root) = std::env::var_os("CLAWDIE_CHECKOUT").filter(|root| !root.is_empty()) {
        // Absolute: cargo and mmdebstrap run in other folders.
        return std::path::absolute(&root).unwrap_or_else(|_| root.into());
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Programs that were built elsewhere: the recipe's, by name, in one folder.
pub(crate) fn programs(recipe: &Recipe, folder: &Path) -> Result<Programs> {
    let mut programs = Programs::new();
    for program in &recipe.programs {
        let path = folder.join(&program.bin);
        if !path.is_file() {
            return Err(Error::missing(format!(
                "`{}` has no program `{}`",
                folder.display(),
                program.bin
            ))
            .hint("leave out `--programs`, and they are built"));
        }
        programs.insert(program.bin.clone(), path);
    }
    Ok(programs)
}

/// The recipe of a flavour; the host's own when none is named.
pub(crate) fn recipe(flavour: Option<Flavour>) -> Result<Recipe> {
    let path = Recipe::path(&root(), flavour.unwrap_or_else(Flavour::of_host));
    let text = fs_err::read_to_string(&path).or_error(ErrorKind::Missing, || {
        "this flavour has no recipe in this version".into()
    })?;
    Recipe::parse(&text, &path)
}

/// `$CLAWDIE_CACHE`, else `target/iso-cache`.
pub(crate) fn cache() -> Result<Cache> {
    let folder = std::env::var_os("CLAWDIE_CACHE")
        .map_or_else(|| root().join("target/iso-cache"), PathBuf::from);
    Cache::open(folder)
}

/// The files of the seed partition: the template, or the operator's own file in its place.
pub(crate) fn seed(checkout: &Checkout, recipe: &Recipe, own: Option<Vec<u8>>) -> Result<Tree> {
    let release = format!("{VERSION} ({} {})", recipe.flavour, recipe.release);
    let setup = own.unwrap_or_else(|| setup::template(&release, &checkout.git.commit).into_bytes());
    seed_of(
        checkout,
        [
            ("setup.txt", setup),
            ("README.txt", setup::readme().into_bytes()),
        ],
    )
}

/// A seed partition with these files.
pub(crate) fn seed_of<const N: usize>(
    checkout: &Checkout,
    files: [(&str, Vec<u8>); N],
) -> Result<Tree> {
    let failed = |error: String| Error::failed(error);
    let meta = Meta::root(0o755, checkout.epoch);
    let mut tree = Tree::new(meta.clone());
    for (name, bytes) in files {
        let path = TreePath::new(name).map_err(|error| failed(error.to_string()))?;
        tree.insert(path, Node::file(Content::bytes(bytes), meta.clone()))
            .map_err(|error| failed(error.to_string()))?;
    }
    Ok(tree)
}
