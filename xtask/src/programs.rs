//! `cargo xtask programs`: our programs alone, as they would go into an image.

use std::path::PathBuf;

use clawdie_image::base::{Context, Network};
use clawdie_image::cache::sync_dir;
use clawdie_image::recipe::Flavour;
use clawdie_image::{Result, ResultExt as _, programs};

use crate::iso::FlavourArg;
use crate::{doctor, house, ui};

/// Builds our programs alone, for machines that cannot
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Programs for FreeBSD are checked: for its kernel and loader, with no
library outside its base, and nothing in them tells who built them.

Examples:
  cargo xtask programs --flavour freebsd
  cargo xtask programs --flavour freebsd --out /tmp/p
  cargo xtask iso --flavour freebsd --programs /tmp/p"
)]
pub(crate) struct Args {
    /// For which system [default: this machine's own]
    #[arg(long, value_enum)]
    flavour: Option<FlavourArg>,
    /// Where they go [default: target/programs/<flavour>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Use the cache alone; `cargo xtask fetch` fills it
    #[arg(long)]
    offline: bool,
    /// Install the tools that this machine lacks, without asking
    #[arg(long)]
    install_tools: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let recipe = house::recipe(args.flavour.map(Flavour::from))?;
    doctor::ensure(doctor::Purpose::of(recipe.flavour), args.install_tools)?;
    let (root, cache, stages) = (house::root(), house::cache()?, ui::Stages::new(false));
    let built = programs::build(
        &recipe,
        &Context {
            root: &root,
            cache: &cache,
            network: if args.offline {
                Network::Offline
            } else {
                Network::Allowed
            },
            progress: &stages,
        },
    )?;
    let out = args.out.clone().unwrap_or_else(|| {
        root.join("target/programs")
            .join(recipe.flavour.to_string())
    });
    fs_err::create_dir_all(&out)?;
    for (name, from) in &built {
        let to = out.join(name);
        // Copied aside: a program that is running cannot be written over.
        let aside = tempfile::Builder::new().tempfile_in(&out)?;
        fs_err::copy(from, aside.path())?;
        aside.as_file().sync_all()?;
        aside
            .persist(&to)
            .or_error(clawdie_image::ErrorKind::Failed, || {
                format!("`{}` cannot be written", to.display())
            })?;
        let size = ui::size(fs_err::metadata(&to)?.len());
        anstream::println!("{} {size}", to.display());
    }
    sync_dir(&out)
}
