//! `cargo xtask stage DESTDIR`: our files on an existing host.

use std::path::{Path, PathBuf};

use clawdie_image::base::{Context, Network};
use clawdie_image::checkout::Checkout;
use clawdie_image::layer::{self, Scope};
use clawdie_image::recipe::Flavour;
use clawdie_image::stage::{self, Options, Outcome, Report};
use clawdie_image::{Error, Result, programs};

use crate::iso::FlavourArg;
use crate::{house, ui};

/// Lays our programs, services and files into a folder or host
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Files that an admin has edited are kept. A second run changes
nothing and says so.

Examples:
  cargo xtask stage /tmp/destdir
  cargo xtask stage / --plan
  sudo cargo xtask stage / --yes"
)]
pub(crate) struct Args {
    /// Where to; `/` is the running system
    destdir: PathBuf,
    /// For which system [default: this machine's own]
    #[arg(long, value_enum)]
    flavour: Option<FlavourArg>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    plan: bool,
    /// Yes, change the running system
    #[arg(long)]
    yes: bool,
    /// Take our programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let live = fs_err::canonicalize(&args.destdir).is_ok_and(|path| path == Path::new("/"));
    if live && !args.yes && !args.plan {
        return Err(Error::refused("`/` is the running system")
            .hint("look first with `--plan`; `--yes` does it"));
    }
    if live && !args.plan && !nix::unistd::geteuid().is_root() {
        return Err(Error::refused("changing the running system needs root")
            .hint("run it with sudo, or stage into a folder"));
    }
    let recipe = house::recipe(args.flavour.map(Flavour::from))?;
    let checkout = Checkout::read(&house::root())?;
    let stages = ui::Stages::new(args.json);
    let programs = match &args.programs {
        Some(folder) => house::programs(&recipe, folder)?,
        None => programs::build(
            &recipe,
            &Context {
                root: &checkout.root,
                cache: &house::cache()?,
                network: Network::Allowed,
                progress: &stages,
            },
        )?,
    };
    let layer = layer::collect(
        &recipe,
        &checkout.root,
        &programs,
        Scope::ExistingHost,
        checkout.epoch,
    )?;
    let report = stage::apply(
        &recipe,
        &layer,
        &args.destdir,
        Options {
            plan: args.plan,
            live,
        },
    )?;
    if args.json {
        ui::json(&report)?;
    } else {
        print(&report, args.plan);
    }
    Ok(())
}

fn print(report: &Report, plan: bool) {
    let count = |wanted| {
        report
            .changes
            .iter()
            .filter(|change| change.outcome == wanted)
            .count()
    };
    for change in &report.changes {
        let word = match change.outcome {
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Kept => "kept   ",
            Outcome::Unchanged => continue,
        };
        let edited = if change.outcome == Outcome::Kept {
            " (edited here)"
        } else {
            ""
        };
        anstream::println!("{word} {}{edited}", change.path);
    }
    for note in &report.notes {
        anstream::println!("note    {note}");
    }
    let (created, updated) = (count(Outcome::Created), count(Outcome::Updated));
    let (kept, unchanged) = (count(Outcome::Kept), count(Outcome::Unchanged));
    let verb = if plan { "would be" } else { "were" };
    if created + updated == 0 {
        anstream::println!("Nothing to change: {unchanged} as they should be, {kept} kept.");
    } else {
        anstream::println!(
            "{created} {verb} created, {updated} updated, {unchanged} unchanged, {kept} kept."
        );
    }
}
