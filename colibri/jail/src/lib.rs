//! Jails of tenants: made, started, entered, stopped, removed, repaired. One face, [`Jails`], and two systems
//! behind it: systemd-nspawn on Debian, jail(8) on FreeBSD.
//!
//! What is known of a jail stands in a small record, `TENANT.json`, with the stage that it is in. It is written
//! before the first thing is made and removed after the last one is gone, so whatever a killed program
//! leaves has a record, and [`Jails::repair`] finishes it. Whether a jail runs is asked of the kernel, never remembered,
//! and exit codes are not trusted.
//!
//! A program that uses [`Jails::exec`] must hand over to [`enter`] first thing in its `main`:
//!
//! ```no_run
//! # use std::process::ExitCode;
//! fn main() -> ExitCode {
//!     if let Some(ended) = colibri_jail::enter(std::env::args_os()) {
//!         return ended;
//!     }
//!     // …
//!     # ExitCode::SUCCESS
//! }
//! ```

mod archive;
mod command;
mod crash;
#[cfg_attr(
    target_os = "freebsd",
    allow(dead_code, reason = "one system is used, both are tested")
)]
mod debian;
mod enter;
mod error;
mod face;
mod files;
#[cfg_attr(
    target_os = "linux",
    allow(dead_code, reason = "one system is used, both are tested")
)]
mod freebsd;
mod keeper;
#[cfg(test)]
mod life;
mod names;
mod numbers;
mod outside;
mod places;
mod record;
mod removal;

#[cfg(target_os = "linux")]
use debian::{Debian as Own, enter as own};
#[cfg(target_os = "freebsd")]
use freebsd::{Freebsd as Own, enter as own};

pub use error::JailError;
pub use face::{Ender, Exec, Jail, JailState, Jails, Repaired, Running, Stage, Target, Value};
pub use places::Places;

/// Jails as this system has them.
pub fn of_this_system(places: Places) -> Box<dyn Jails> {
    let system = Own {
        places: places.clone(),
        programs: command::Really,
        owners: true,
    };
    Box::new(keeper::Keeper::new(places, system))
}

/// Goes on in a jail, if that is what this process was started for: [`Jails::exec`] starts its own program once
/// more, with the word `enter-jail` for its first argument. Call it before anything is opened and before threads are started.
pub fn enter(args: impl IntoIterator<Item = std::ffi::OsString>) -> Option<std::process::ExitCode> {
    let mut args = args.into_iter().skip(1);
    (args.next()? == enter::WORD).then(|| own::main(args))
}
