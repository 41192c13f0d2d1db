//! Sessions of agents on disk, their prompts, and what they may cost.
//!
//! A [`Session`] is a file of JSON lines that only grows. From it a prompt is
//! rendered in three parts:
//!
//! | part | changes | trimmed |
//! |---|---|---|
//! | prefix | never, to the byte, so that a provider's cache finds it again | never |
//! | log | grows at its end; compacted now and then | second, its oldest first |
//! | scratch | with every prompt; is not kept | first, its oldest first |
//!
//! How much there may be of it all says one type, [`Limits`], for each cost mode.
//! Decisions are pure functions over sizes ([`compact`], [`escalate`], [`prompt`]);
//! [`Session::keep_within`] carries them out and writes down what it did.

pub mod compact;
mod cut;
mod entry;
pub mod escalate;
mod file;
mod limits;
pub mod prompt;
mod session;

pub use cut::{Cut, cut};
pub use entry::{Body, Entry, Header, SCHEMA};
pub use file::{Finding, SessionError};
pub use limits::{Limits, LimitsError};
pub use prompt::{OverBudget, Prompt};
pub use session::{Action, NewSession, Session};
