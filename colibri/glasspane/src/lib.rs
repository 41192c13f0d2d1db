//! What an agent is doing, read from its own events.
//!
//! A [`Pane`] stands for one running agent. It is fed what the agent prints,
//! in whatever pieces it arrives, with the time; it keeps what a person wants
//! to see ([`Pane::snapshot`]) and gives back what has changed: its state, what
//! was used up, and whether the agent has finished what it was asked. It does
//! no input or output of its own, keeps a bounded amount of memory whatever it
//! is fed, and has no clock.
//!
//! ```
//! use colibri_glasspane::{Change, Pane};
//! use colibri_protocol::{PaneState, Runtime};
//! use jiff::Timestamp;
//!
//! let now = Timestamp::UNIX_EPOCH;
//! let mut pane = Pane::new("s-1", "anna", Runtime::Local, now);
//! pane.feed(b"{\"type\":\"agent_start\"}\n{\"type\":\"agen", now);
//! assert_eq!(pane.state(), PaneState::Working);
//! let changes = pane.feed(b"t_end\"}\n", now);
//! assert_eq!(changes[0], Change::Finished);
//! assert_eq!(pane.snapshot(now).state, PaneState::Done);
//! ```
//!
//! The dialects are read by a module each (`pi`, `zot`, `local`) into one set of
//! events; what these mean for a pane stands in one place, `pane`.
//! [`Input`] is the other direction: how an agent is asked and called off.

mod event;
mod input;
mod lines;
mod local;
mod outage;
mod pane;
mod pi;
mod text;
mod zot;

pub use input::{Input, listens, model_arguments, rpc_arguments, session_arguments};
pub use pane::{Change, DEFAULT_STALL_AFTER, End, Pane, SETTLES_AFTER};
