//! `cargo xtask verify`: reads an image back.

use std::path::PathBuf;

use clawdie_image::{Error, Result, verify};

use crate::ui;

/// Reads an image back and holds every byte against what was built
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What lies beside the image is used too: .sha256, .img.bmap and
build-manifest.json. Exit code 0: sound, 3: not.

Example:
  cargo xtask verify target/iso/clawdie-trixie-0.1.0-dev-amd64.img"
)]
pub(crate) struct Args {
    /// The image
    image: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let stages = ui::Stages::new(args.json);
    let report = verify::verify(&args.image, &stages)?;
    if args.json {
        ui::json(&report)?;
    } else {
        for line in &report.checked {
            anstream::println!("{line}");
        }
        for line in &report.skipped {
            anstream::println!("not checked: {line}");
        }
    }
    if report.faults.is_empty() {
        return Ok(());
    }
    Err(
        Error::bad_input(format!("`{}` is not what was built", args.image.display()))
            .caused_by(report.faults.join("\n"))
            .hint("build it again or take a fresh copy; never flash this one"),
    )
}
