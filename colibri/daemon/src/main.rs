//! `colibri-daemon`: the control plane's one long-running program.
//!
//! [`run`] is its whole life on a page. Each step has a module of its own:
//! [`config`] (flags and environment), [`place`] (the socket's path: probe,
//! bind, remove), [`board`] (the threads around the database), [`server`] and
//! [`connection`] (clients, with the memory that [`budget`] lets them take),
//! [`gate`] and [`rights`] (who may do what), [`answer`] (commands),
//! [`scheduler`] (with [`assign`], [`clock`] and [`clockwork`], which only
//! reckon, and [`retention`]), [`panes`] (the agents that it runs), [`autospawn`]
//! (the one that comes with it), [`door`] (their sockets), [`sessions`] (what
//! these said and did) and [`skills`] (what they can read), [`health`].

mod answer;
mod assign;
mod autospawn;
mod board;
mod budget;
mod clock;
mod clockwork;
mod config;
mod connection;
mod door;
mod failure;
mod gate;
mod health;
mod lock;
mod panes;
mod place;
mod retention;
mod rights;
mod scheduler;
mod server;
mod sessions;
mod skills;
mod stop;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use colibri_host::notify;
use colibri_protocol::CostMode;
use miette::Report;
use nix::sys::stat::{Mode, umask};
use tokio::task::JoinHandle;

use crate::board::Board;
use crate::config::{Config, Flags};
use crate::door::Doors;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::health::Health;
use crate::panes::Panes;
use crate::place::Place;
use crate::server::Service;
use crate::stop::Stop;

fn main() -> ExitCode {
    // Before anything is opened: as a leash this program is only what stands between the daemon and
    // an agent.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == panes::LEASH) {
        return colibri_spawner::leash::main(args);
    }
    let flags = Flags::parse();
    log_to_stderr();
    errors_in_whole_lines();
    match start(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.exit_code();
            eprintln!("{:?}", Report::new(failure));
            ExitCode::from(code)
        }
    }
}

fn start(flags: Flags) -> Result<(), Failure> {
    // Whatever this program makes is for its own account; the socket alone
    // is opened to its group, explicitly.
    umask(Mode::from_bits_truncate(0o077));
    let mut warnings = Vec::new();
    let config = Config::resolve(flags, std::env::vars_os(), &mut warnings);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let config = config?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::io("start the threads", "the runtime", source))?
        .block_on(run(config))
}

/// The daemon's life, from an empty place to an empty place.
async fn run(config: Config) -> Result<(), Failure> {
    // Signals first: one that comes while we start must not be lost.
    let stop = Stop::on_signals()?;

    let place = Place::claim(&config.socket).await?;
    let board = Board::open(&config.data_dir, &config.db_path, config.lease)?;
    let board = Arc::new(board);
    let (doors, opened) = Doors::beside(&config.socket)?;
    let panes = Panes::new(&config, Arc::clone(&board), doors)?;
    let kept_mode = kept_cost_mode(&board).await;
    let listener = place.listen(&config.group)?;
    let gate = Gate::Operators {
        group: config.group.clone(),
    };
    let service = Arc::new(Service::new(
        config,
        board,
        panes,
        &place,
        Health::start(),
        kept_mode,
    ));
    service.skills.begin(&service.board).await;

    let serving = {
        let (service, stop) = (Arc::clone(&service), stop.clone());
        tokio::spawn(server::serve(listener, gate, opened, service, stop))
    };
    let scheduling = tokio::spawn(scheduler::run(Arc::clone(&service), stop.clone()));
    let following = {
        let (service, stop) = (Arc::clone(&service), stop.clone());
        tokio::spawn(async move { service.panes.follow_board(stop).await })
    };
    let running = [
        ("server", serving),
        ("scheduler", scheduling),
        ("work of agents", following),
    ];
    match server::answers(&service.config.socket).await {
        Ok(()) => {
            tracing::info!(socket = %service.config.socket.display(), "ready");
            notify::ready();
            autospawn::start(&service).await;
        }
        Err(_) if stop.is_asked() => {}
        Err(failure) => {
            stop.ask();
            tracing::error!("the socket does not answer; stopping");
            finish(running, place, &service).await;
            return Err(failure);
        }
    }

    stop.asked().await;
    tracing::info!("stopping");
    notify::stopping();
    finish(running, place, &service).await;
    tracing::info!("stopped");
    Ok(())
}

/// The one graceful path: clients first, then agents, which give their tasks back, then the board,
/// so that what was promised to a client is on disk.
async fn finish(running: [(&str, JoinHandle<()>); 3], place: Place, service: &Service) {
    place.remove();
    for (what, task) in running {
        if let Err(error) = task.await {
            tracing::error!("the {what} ended badly: {error}");
        }
    }
    service.panes.close().await;
    service.board.close().await;
}

/// The cost mode that was set for good. A daemon that cannot read it works with the configured one.
async fn kept_cost_mode(board: &Board) -> Option<CostMode> {
    match board.read(colibri_store::Reader::cost_mode).await {
        Ok(kept) => {
            if let Some(mode) = kept {
                tracing::info!("cost mode {}, as it was set with --persist", mode.as_str());
            }
            kept
        }
        Err(error) => {
            tracing::error!("the cost mode that was set with --persist: {error}");
            None
        }
    }
}

/// In a log, a path broken over two lines cannot be searched for.
fn errors_in_whole_lines() {
    use std::io::IsTerminal;
    let wrap = std::io::stderr().is_terminal();
    // Fails only when it was done before, and it was not.
    let _ = miette::set_hook(Box::new(move |_| {
        let options = miette::MietteHandlerOpts::new()
            .wrap_lines(wrap)
            .break_words(false);
        Box::new(options.build())
    }));
}

fn log_to_stderr() {
    use std::io::IsTerminal;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // The journal has its own clock.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.without_time().init();
    } else {
        builder.init();
    }
}
