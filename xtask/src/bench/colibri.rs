//! `cargo xtask bench colibri`: the daemon, against bare SQLite and PostgreSQL.

use std::path::PathBuf;
use std::process::Command;

use clawdie_image::base::{Context, Network};
use clawdie_image::recipe::Program;
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _, programs};

use crate::{doctor, house, ui};

/// The daemon: tasks a second, latencies, memory and start
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The daemon is built as an image gets it. 64 clients create, claim, start and
finish tasks, each step durable before the next. The same by others:
- bare SQLite with the daemon's schema, WAL and synchronous=FULL: one writer
  with a step of all 64 in each transaction, which is what the daemon's own
  writer does at best; and 64 connections with a transaction for each step.
- PostgreSQL with FOR UPDATE SKIP LOCKED and its own settings: 64 connections,
  a transaction for each step. A private server on a Unix socket; NOT MEASURED
  where it is not installed.
Latencies are those of connections that stay. One client asks without a pause,
200 clients ten times a second each. All databases lie in one folder, which
should be on a disk and not in memory. Aims: 0.8 of bare SQLite with one
writer, `status` below 5 ms for 99 of 100, below 20 MB at rest; each has its
verdict beside the figure.

Examples:
  cargo xtask bench colibri --runs 3
  cargo xtask bench colibri --tasks 10000 --json"
)]
pub(crate) struct Args {
    /// Repetitions of what is compared; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Tasks on the full board
    #[arg(long, default_value_t = 1_000_000)]
    tasks: usize,
    /// Where the databases are put
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    folder: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

const DAEMON: &str = "colibri-daemon";
const BENCH: &str = "colibri-bench";

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut recipe = house::recipe(None)?;
    doctor::ensure(doctor::Purpose::of(recipe.flavour), false)?;
    let daemon = recipe.programs.iter().find(|program| program.bin == DAEMON);
    let daemon = daemon
        .cloned()
        .ok_or_else(|| Error::bad_input(format!("the recipe has no program `{DAEMON}`")))?;
    // The reference is compiled as the daemon is: SQLite as fast in both.
    let bench = Program {
        package: BENCH.to_owned(),
        bin: BENCH.to_owned(),
        ..daemon.clone()
    };
    recipe.programs = vec![daemon, bench];
    let built = programs::build(
        &recipe,
        &Context {
            root: &house::root(),
            cache: &house::cache()?,
            network: Network::Allowed,
            progress: &ui::Stages::new(false),
        },
    )?;
    let mut bench = Command::new(&built[BENCH]);
    bench
        .arg("--daemon")
        .arg(&built[DAEMON])
        .arg("--folder")
        .arg(&args.folder)
        .args(["--runs", &args.runs.to_string()])
        .args(["--tasks", &args.tasks.to_string()]);
    if args.json {
        bench.arg("--json");
    }
    let status = bench
        .status()
        .or_error(ErrorKind::Failed, || format!("`{BENCH}` cannot be started"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::failed(format!(
            "`{BENCH}` failed; its reason stands above"
        )))
    }
}
