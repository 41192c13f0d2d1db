//! `cargo xtask fetch`: fills the cache.

use clawdie_image::Result;
use clawdie_image::base::{Context, Network, debian};
use clawdie_image::recipe::{Base, Flavour};

use crate::iso::FlavourArg;
use crate::{doctor, house, ui};

/// Downloads what images are made of, so that `iso --offline` works
#[derive(Debug, clap::Args)]
#[command(after_help = "The newest packages are taken; without this, `iso` keeps
using those it has downloaded before.

Example:
  cargo xtask fetch && cargo xtask iso --offline")]
pub(crate) struct Args {
    /// For which system [default: this machine's own]
    #[arg(long, value_enum)]
    flavour: Option<FlavourArg>,
    /// Install the tools that this machine lacks, without asking
    #[arg(long)]
    install_tools: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let recipe = house::recipe(args.flavour.map(Flavour::from))?;
    doctor::ensure(doctor::Purpose::Iso, args.install_tools)?;
    let (root, cache, stages) = (house::root(), house::cache()?, ui::Stages::new(false));
    let context = Context {
        root: &root,
        cache: &cache,
        network: Network::Allowed,
        progress: &stages,
    };
    let Base::Archive(archive) = &recipe.base;
    let before = debian::cached(archive, &context)?;
    let lock = debian::fetch(archive, &context)?;
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
