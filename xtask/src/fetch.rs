//! `cargo xtask fetch`: fills the cache.

use clawdie_image::base::{Context, Network, debian, sets};
use clawdie_image::recipe::{Archive, Base, Flavour, Recipe, Sets};
use clawdie_image::{Result, npm, packages, programs};

use crate::iso::{FlavourArg, ReleaseArgs};
use crate::{doctor, house, ui};

/// Downloads what images are made of, so that `iso --offline` works
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Debian: the newest packages are taken; without this, `iso` keeps
using those it has downloaded before.
FreeBSD: the newest packages, too; a download that was cut goes on where
it ended. What our programs are compiled with is downloaded as well.

Examples:
  cargo xtask fetch && cargo xtask iso --offline
  cargo xtask fetch --flavour freebsd --release 15.0"
)]
pub(crate) struct Args {
    /// For which system [default: this machine's own]
    #[arg(long, value_enum)]
    flavour: Option<FlavourArg>,
    #[command(flatten)]
    release: ReleaseArgs,
    /// Install the tools that this machine lacks, without asking
    #[arg(long)]
    install_tools: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut recipe = house::recipe(args.flavour.map(Flavour::from))?;
    args.release.apply(&mut recipe)?;
    let (root, cache, stages) = (house::root(), house::cache()?, ui::Stages::new(false));
    let context = Context {
        root: &root,
        cache: &cache,
        network: Network::Allowed,
        progress: &stages,
    };
    doctor::ensure(doctor::Purpose::of(recipe.flavour), args.install_tools)?;
    doctor::ensure_agent(&recipe, &context, args.install_tools)?;
    match &recipe.base {
        Base::Archive(archive) => debian_packages(archive, &context)?,
        Base::Sets(sets) => {
            for set in sets::fetch(&recipe, sets, &context)? {
                let news = if set.new { "new" } else { "nothing new" };
                let size = ui::size(set.bytes);
                anstream::println!("{} in the cache, {size}, {news}", set.file);
            }
            freebsd_packages(&recipe, sets, &context)?;
        }
    }
    npm::fetch(&recipe, &context)?;
    if let count @ 1.. = npm::packages(&recipe, &root)?.len() {
        anstream::println!("{count} packages of npm in the cache");
    }
    programs::fetch(&recipe, &context)
}

/// Whom to trust with packages stands in the base, so that is decoded here; `iso` finds it in the cache.
fn freebsd_packages(recipe: &Recipe, sets: &Sets, context: &Context<'_>) -> Result<()> {
    if recipe.packages.is_none() {
        return Ok(());
    }
    let before = packages::cached(recipe, context)?;
    let base = sets::obtain(recipe, sets, context)?;
    if let Some(lock) = packages::fetch(recipe, &base.tree, context)? {
        let count = lock.packages.len();
        let size = ui::size(lock.bytes());
        let news = if before.as_ref() == Some(&lock) {
            "nothing new"
        } else {
            "new"
        };
        anstream::println!("{count} packages in the cache, {size}, {news}");
    }
    Ok(())
}

fn debian_packages(archive: &Archive, context: &Context<'_>) -> Result<()> {
    let before = debian::cached(archive, context)?;
    let lock = debian::fetch(archive, context)?;
    let count = lock.packages.len() + lock.boot_packages.len();
    let news = match before {
        Some(before) if before == lock => "nothing new".to_owned(),
        Some(before) => {
            let new = lock
                .packages
                .iter()
                .filter(|package| !before.packages.contains(package))
                .count();
            format!("{new} new")
        }
        None => "all new".to_owned(),
    };
    anstream::println!("{count} packages in the cache, {news}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clawdie_firstboot::paths::Paths;
    use clawdie_image::packages::FOLDER;

    #[test]
    fn first_boot_looks_for_packages_where_images_have_them() {
        assert_eq!(format!("/{FOLDER}"), Paths::FREEBSD.packages);
    }
}
