//! `colibri-bench`: how fast the daemon is, held against bare SQLite and PostgreSQL on the same machine.
//!
//! `cargo xtask bench colibri` builds it and the daemon as an image gets them, and runs it.

mod daemon;
mod latency;
mod postgresql;
mod sqlite;
mod table;
mod work;

use std::path::{Path, PathBuf};

use clap::Parser;
use miette::{IntoDiagnostic as _, Result};

use crate::daemon::{Daemon, Place};
use crate::table::{Figures, Rate, Row};

/// Most that each answer to `status` may take, for 99 of 100: a million tasks, 200 clients.
const AIM_STATUS_MS: f64 = 5.0;
/// Least that the daemon may reach of what bare SQLite does.
const AIM_TO_SQLITE: f64 = 0.8;
/// Most memory of a daemon that nobody asks anything, in MB.
const AIM_MEMORY_MB: f64 = 20.0;

/// Tasks of the small board.
const FEW: usize = 10;
/// Clients of the big crowd.
const CROWD: usize = 200;

/// Measures the daemon against bare SQLite and PostgreSQL
#[derive(Debug, Parser)]
#[command(name = "colibri-bench", version, max_term_width = 80)]
struct Args {
    /// The daemon's program
    #[arg(long, value_name = "FILE")]
    daemon: PathBuf,
    /// Folder on the disk that all databases are put on
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    folder: PathBuf,
    /// Repetitions of what is compared; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Tasks on the full board
    #[arg(long, default_value_t = 1_000_000)]
    tasks: usize,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let work = tempfile::Builder::new()
        .prefix("colibri-bench-")
        .tempdir_in(&args.folder)
        .into_diagnostic()?;
    let mut figures = Figures::default();

    compare(&args, work.path(), &mut figures)?;
    boards(&args, work.path(), &mut figures)?;

    if args.json {
        println!("{:#}", serde_json::to_value(&figures).into_diagnostic()?);
    } else {
        print!("{figures}");
    }
    Ok(())
}

/// The same life of a task, durable at each step, by the daemon and by two others.
fn compare(args: &Args, work: &Path, figures: &mut Figures) -> Result<()> {
    // One that is there and does not start is as good as none, and said the same way.
    let server = postgresql::Server::start(&args.folder)
        .unwrap_or_else(|error| Err(format!("PostgreSQL does not start: {error}")));
    let mut rates: [Vec<f64>; 4] = Default::default();
    for run in 1..=args.runs {
        eprintln!("lives of tasks, run {run} of {}", args.runs);
        // By turns: what else the machine does falls on all of them.
        let place = Place::new(work, &format!("daemon-{run}"))?;
        let daemon = Daemon::start(&args.daemon, &place)?;
        rates[0].push(work::lives(&place.socket)?);
        daemon.stop()?;
        rates[1].push(sqlite::together(
            &work.join(format!("together-{run}.sqlite")),
        )?);
        rates[2].push(sqlite::each_alone(
            &work.join(format!("alone-{run}.sqlite")),
        )?);
        if let Ok(server) = &server {
            rates[3].push(server.lives()?);
        }
    }
    let [ours, together, alone, other] = rates.map(median);
    let ours = ours.unwrap_or_default();
    let mut rate = |name, per_second, aim| {
        figures.rates.push(Rate::new(name, per_second, ours, aim));
    };
    rate("colibri-daemon", ours, None);
    rate(
        "SQLite, one writer",
        together.unwrap_or_default(),
        Some(AIM_TO_SQLITE),
    );
    rate("SQLite, a connection each", alone.unwrap_or_default(), None);
    match (server, other) {
        (Ok(_), Some(per_second)) => rate("PostgreSQL, SKIP LOCKED", per_second, None),
        (Err(why), _) => figures.not_measured.push(why),
        (Ok(_), None) => {}
    }
    Ok(())
}

/// Latency on a small and on a full board; the start and the memory of a daemon that has the full one.
fn boards(args: &Args, work: &Path, figures: &mut Figures) -> Result<()> {
    let mut boards = vec![FEW, args.tasks.max(FEW)];
    boards.dedup();
    for tasks in boards {
        eprintln!("a board of {tasks} tasks: filling it");
        let place = Place::new(work, &format!("board-{tasks}"))?;
        sqlite::fill(&place.database, tasks)?;
        eprintln!("a board of {tasks} tasks: measuring");
        let daemon = Daemon::start(&args.daemon, &place)?;
        let board = format!("{tasks} tasks");
        let mut row = |what: String, value, unit, aim| {
            figures.rows.push(Row::new(what, value, unit, aim));
        };
        let start = daemon.took.as_secs_f64() * 1e3;
        row(format!("start, {board}"), start, "ms", None);
        let memory = daemon.memory_at_rest().map(|bytes| bytes as f64 / 1e6);
        if let Some(megabytes) = memory {
            let what = format!("memory at rest, {board}");
            row(what, megabytes, "MB", Some(AIM_MEMORY_MB));
        }
        for clients in [1, CROWD] {
            for (what, times) in latency::measure(&place.socket, clients)?.each() {
                for (part, percent) in [("p50", 50), ("p99", 99)] {
                    let aim = (what == "status" && part == "p99").then_some(AIM_STATUS_MS);
                    let what = format!("{what} {part}, {board}, {clients} clients");
                    let value = latency::percentile(times, percent).as_secs_f64() * 1e3;
                    row(what, value, "ms", aim);
                }
            }
        }
        if memory.is_none() {
            let why = format!("memory at rest, {board}: this system has no /proc");
            figures.not_measured.push(why);
        }
        daemon.stop()?;
    }
    Ok(())
}

/// The middle one; nothing of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
