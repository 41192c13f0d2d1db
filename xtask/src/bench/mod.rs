//! `cargo xtask bench`: how fast we are, as ratios within one run.

mod boot;
mod colibri;
mod image;

use clawdie_image::Result;

/// Measures how fast images are built and boot, and the daemon is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench image
  cargo xtask bench boot
  cargo xtask bench colibri")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Image(image::Args),
    Boot(boot::Args),
    Colibri(colibri::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Image(args) => image::run(args),
        What::Boot(args) => boot::run(args),
        What::Colibri(args) => colibri::run(args),
    }
}
