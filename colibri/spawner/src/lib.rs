//! Runs agent programs for Colibri and leaves none behind.
//!
//! Between the daemon and every agent stands a small process, the [`leash`]:
//!
//! ```text
//! colibri-daemon ── control socket ── leash ── agent ── whatever it starts
//!        └───────── stdin, stdout ──────────────┘ └── stderr: a log, by the leash
//! ```
//!
//! The leash is the *reaper* of what the agent starts: the kernel hands it every
//! orphan below it, also those that left the agent's group or session. So it can
//! end the whole tree, and does when told, when the agent ends, and when the
//! control socket closes, which it does however the daemon dies. Should the leash
//! itself die, the daemon is the next reaper and sweeps up; only when both are
//! killed at once is the rest left to the service manager.
//!
//! [`Spawner::spawn`] is the way in. [`Restarts`] says whether and when an agent
//! that ended is started again; it does nothing itself.

mod environment;
mod input;
pub mod leash;
mod log;
mod output;
mod program;
mod report;
mod restart;
mod spawner;
mod state;
mod tail;
mod tree;

pub use environment::{Environment, EnvironmentError, INHERITED};
pub use input::{Input, InputError};
pub use output::{Line, Output};
pub use program::{Log, Program, ProgramError};
pub use restart::{Decision, RestartPolicy, Restarts, When};
pub use spawner::{Agent, Leash, SpawnError, Spawned, Spawner};
pub use state::{Ending, Exit, State};
pub use tail::{LogPlace, LogTail, NoPlace};
