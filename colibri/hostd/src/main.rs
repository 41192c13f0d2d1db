//! `colibri-hostd`: the few things of Colibri that need root, asked for over a socket.
//!
//! The daemon has no rights on its host. What needs root it asks of this program, with typed requests
//! (`colibri-host`) that name neither a path nor a command. [`run`] is its whole life on a page. [`config`] are the
//! flags, [`place`] is the socket's path, [`gate`] says who may ask, [`server`] and [`connection`] are
//! the clients, [`answer`] does what is asked, [`exec`] keeps an agent for as long as its connection
//! lasts, [`doors`] are the folders of agents' sockets, [`buckets`] is the vault, [`turns`] lets one at a time.
//!
//! A thread for each client: there are few of them, and what they ask for blocks.

mod answer;
mod audit;
mod buckets;
mod config;
mod connection;
mod doors;
mod exec;
mod failure;
mod gate;
mod output;
mod place;
mod seats;
mod server;
mod stop;
#[cfg(test)]
mod tests;
mod turns;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use colibri_jail::{Jails, Places, Repaired};
use colibri_service::{log, notify};
use miette::Report;
use nix::sys::stat::{Mode, umask};

use crate::buckets::Configured;
use crate::config::Flags;
use crate::doors::Doors;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::place::Place;
use crate::server::Service;
use crate::stop::Stop;

fn main() -> ExitCode {
    // Before anything is opened: this program stands between itself and an agent, too.
    if let Some(ended) = colibri_jail::enter(std::env::args_os()) {
        return ended;
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
    // Whatever this program makes is for root; what is for others is opened to them explicitly.
    umask(Mode::from_bits_truncate(0o077));
    if flags.check_config {
        return config::check(&flags);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::NotRoot);
    }
    run(flags)
}

/// The helper's life, from an empty place to an empty place. Jails go on without it: what runs in them was
/// started over a connection, and ends with that.
fn run(flags: Flags) -> Result<(), Failure> {
    // Signals first: one that comes while we start must not be lost.
    let stop = Stop::on_signals()?;

    let place = Place::claim(&flags.socket, &flags.group)?;
    let places = Places::of_this_system();
    let doors = Doors::open(&places, &flags.account, place.group())?;
    let jails = colibri_jail::of_this_system(places.clone());
    repair(jails.as_ref());
    let listener = place.listen()?;
    let service = Arc::new(Service::new(
        flags.limits(),
        Gate::of(flags.account),
        jails,
        Box::new(Configured::by(flags.vault_env)),
        doors,
        places.base,
        stop,
    ));
    tracing::info!(socket = %flags.socket.display(), "ready");
    notify::ready();
    server::serve(&listener, &service);
    tracing::info!("stopping");
    notify::stopping();
    place.remove();
    server::finish(&service);
    tracing::info!("stopped");
    Ok(())
}

/// What a helper left that was killed. A host on which that fails is asked all the same: most of it works.
fn repair(jails: &dyn Jails) {
    match jails.repair() {
        Ok(repaired) => {
            for one in repaired {
                match one {
                    Repaired::Finished(tenant) => tracing::info!(%tenant, "finished making a jail"),
                    Repaired::Removed(tenant) => {
                        tracing::info!(%tenant, "finished removing a jail")
                    }
                    Repaired::Stray(what) => tracing::info!("removed a leftover: {what}"),
                    Repaired::Failed(what) => tracing::error!("not repaired: {what}"),
                }
            }
        }
        Err(error) => tracing::error!("jails could not be repaired: {error}"),
    }
}
