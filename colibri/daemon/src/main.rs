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
//! these said and did) and [`skills`] (what they can read), [`tenants`] (whose
//! jails some of them run in, by way of [`in_jail`]), [`health`].

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
mod in_jail;
mod panes;
mod place;
mod retention;
mod rights;
mod scheduler;
mod server;
mod sessions;
mod skills;
mod stop;
mod tenants;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use colibri_protocol::CostMode;
use colibri_service::{log, notify};
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
    // an agent, and as the other what stands between a leash and an agent in a jail.
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(word) if word == panes::LEASH => return colibri_spawner::leash::main(args),
        Some(word) if word == in_jail::IN_JAIL => return in_jail::main(args),
        _ => {}
    }
    let flags = Flags::parse();
    log::to_stderr();
    log::errors_in_whole_lines();
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
    let (doors, opened) = Doors::beside(&config.socket, &config.doors)?;
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
    let sweeping = tokio::spawn(tenants::sweep::run(Arc::clone(&service), stop.clone()));
    let running = [
        ("server", serving),
        ("scheduler", scheduling),
        ("work of agents", following),
        ("care for tenants", sweeping),
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
async fn finish(running: [(&str, JoinHandle<()>); 4], place: Place, service: &Service) {
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
