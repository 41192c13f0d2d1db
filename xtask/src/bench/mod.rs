//! `cargo xtask bench`: how fast we are, as ratios within one run.

mod boot;
mod image;

use clawdie_image::Result;

/// Measures how fast images are built and boot
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench image
  cargo xtask bench boot")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Image(image::Args),
    Boot(boot::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Image(args) => image::run(args),
        What::Boot(args) => boot::run(args),
    }
}
