//! `clawdie-firstboot`: what the boot services call, and what an operator asks.

mod verbs;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use clap::{Parser, Subcommand};
use clawdie_firstboot::host::{Host, Native};
use clawdie_firstboot::journal::{Ending, Phase};
use clawdie_firstboot::plan;
use clawdie_firstboot::run::{self, Result as RunResult};
use clawdie_firstboot::setup::{self, Input};
use miette::{Context as _, IntoDiagnostic as _, miette};
use nix::fcntl::{Flock, FlockArg};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

/// Turns setup.txt on the stick into this machine's set-up.
///
/// The boot services call `run` at every boot; an unchanged seed ends it in
/// milliseconds with nothing changed.
#[derive(Parser)]
#[command(version, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Take the steps of one phase (what the boot services call; needs root)
    Run {
        /// Which half: before the network, or after
        #[arg(long)]
        phase: Phase,
    },
    /// Show what a run would do, secrets left out (needs root)
    Plan,
    /// Check a setup.txt and name every fault; exit 0 good, 3 bad
    Check {
        /// The file; an `authorized_keys` beside it is checked too
        file: PathBuf,
    },
    /// Fill in or correct setup.txt in a dialogue on this terminal
    ///
    /// Without --file it is the one on the stick: what was saved is applied at once, as a boot would (needs root).
    #[command(after_help = WIZARD_EXAMPLES)]
    Wizard {
        /// Only write this file, which need not be there yet; an `authorized_keys` beside it counts
        #[arg(long)]
        file: Option<PathBuf>,
        /// What the boot calls: one of the machine's consoles, and only until it is set up
        #[arg(long, hide = true, conflicts_with = "file")]
        console: bool,
    },
    /// Show what the last boots did (needs root)
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
        /// Wait until this boot's run has ended, at most so long (600 s when no
        /// number is given); exit 0 complete, 1 incomplete, 3 refused, 6 not ended
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "600")]
        wait: Option<u64>,
    },
    /// Forget what was done: the next boot applies the seed anew; accounts,
    /// passwords and data stay (needs root)
    Reset {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Pack logs and state for somebody who helps, keys and passwords left out
    /// (needs root)
    CollectLogs {
        /// The bundle; a new file, 0600 [default: clawdie-logs-HOST-TIME.tar.gz]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Set the dashboard's first operator; asks for the password (needs root)
    #[command(after_help = "Example: clawdie-firstboot set-operator ada@example.org")]
    SetOperator {
        /// The address to log in with
        email: String,
    },
}

const WIZARD_EXAMPLES: &str = "Examples:
  clawdie-firstboot wizard --file setup.txt
  sudo clawdie-firstboot wizard";

/// Exit codes, as everywhere in this house: 0 ok, 1 failed, 2 usage, 3 bad input.
const BAD_INPUT: u8 = 3;

/// `status --wait` has waited in vain.
const STILL_RUNNING: u8 = 6;

fn main() -> miette::Result<ExitCode> {
    let host = Native::this_machine();
    match Arguments::parse().verb {
        Verb::Run { phase } => {
            require_root(&host)?;
            start_log(Path::new(host.paths().log));
            let _only_one = lock(Path::new(host.paths().run))?;
            let result = run::run(&host, phase, env!("CARGO_PKG_VERSION"));
            match result {
                // To systemd's journal only: a boot with nothing to do leaves the log file as it is.
                RunResult::NothingToDo => println!("{phase} phase: nothing to do"),
                RunResult::Ended(ending) => tracing::info!("{phase} phase: {ending:?}"),
            }
            Ok(match result {
                RunResult::NothingToDo | RunResult::Ended(Ending::Complete) => ExitCode::SUCCESS,
                RunResult::Ended(Ending::Incomplete) => ExitCode::FAILURE,
                RunResult::Ended(Ending::Refused) => ExitCode::from(BAD_INPUT),
            })
        }
        Verb::Plan => {
            require_root(&host)?;
            let _only_one = lock(Path::new(host.paths().run))?;
            print(&plan::plan(&host, env!("CARGO_PKG_VERSION")))
        }
        Verb::Check { file } => check(&file),
        Verb::Status { json, wait } => verbs::status(&host, json, wait),
        Verb::Reset { yes, dry_run } => verbs::reset(&host, yes, dry_run),
        Verb::CollectLogs { out } => verbs::collect_logs(&host, out),
        Verb::SetOperator { email } => verbs::set_operator(&host, &email),
        Verb::Wizard { file, console } => verbs::wizard::run(&host, file, console),
    }
}

fn check(file: &Path) -> miette::Result<ExitCode> {
    let read = |path: &Path| fs_err::read(path).into_diagnostic();
    let setup = read(file)?;
    let keys = file.with_file_name("authorized_keys");
    let authorized_keys = if keys.is_file() {
        Some(read(&keys)?)
    } else {
        None
    };
    let name = file.file_name().map_or_else(
        || file.display().to_string(),
        |name| name.to_string_lossy().into(),
    );
    let verdict = setup::check(Input {
        name: &name,
        setup: &setup,
        authorized_keys: authorized_keys.as_deref(),
    });
    print(&verdict.report())?;
    Ok(if verdict.setup.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BAD_INPUT)
    })
}

/// A reader that closes early, such as `head`, is no fault.
fn print(text: &str) -> miette::Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).into_diagnostic(),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn require_root(host: &dyn Host) -> miette::Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(miette!(
        help = format!("try it with `{}`", host.habits().become_root),
        "only root may do that: the seed and the journal hold secrets"
    ))
}

/// Two runs at once would trip over the seed's mount.
fn lock(folder: &Path) -> miette::Result<Flock<std::fs::File>> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .into_diagnostic()
        .wrap_err_with(|| format!("making {}", folder.display()))?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("lock"))
        .into_diagnostic()?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .into_diagnostic()
        .wrap_err("waiting for another clawdie-firstboot to end")
}

/// A longer log gives way to a new one and is kept beside it, once: a bad seed adds to it at every boot.
const LOG_LIMIT: u64 = 1 << 20;

/// To standard output, which is systemd's journal, and to the log file, with times.
fn start_log(path: &Path) {
    let filter =
        || EnvFilter::try_from_env("CLAWDIE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let plain = fmt::layer()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(io::stdout);
    if std::fs::metadata(path).is_ok_and(|log| log.len() > LOG_LIMIT) {
        // When it cannot be renamed it only grows.
        let _ = std::fs::rename(path, path.with_extension("log.old"));
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    let complaint = file.as_ref().err().map(ToString::to_string);
    let log = file.ok().map(|file| {
        fmt::layer()
            .with_target(false)
            .with_ansi(false)
            .with_writer(Mutex::new(file))
            .with_filter(filter())
    });
    tracing_subscriber::registry()
        .with(plain.with_filter(filter()))
        .with(log)
        .init();
    if let Some(complaint) = complaint {
        tracing::warn!("{} cannot be written: {complaint}", path.display());
    }
}
