//! The Colibri socket protocol: typed requests, replies and errors.
//!
//! A Unix stream socket carries one JSON object a line in each direction.
//! This crate holds the types both sides share, the framing of lines, a small
//! blocking client, and the text of `docs/protocol.md`, which is made from
//! these types so that it cannot drift from them.
//!
//! ```text
//! -> {"cmd":"create-task","title":"Back up the vault","id":7}
//! <- {"ok":true,"id":7,"data":{"id":"0198…","title":"Back up the vault",…}}
//! <- {"ok":false,"id":7,"error":{"kind":"bad-request","message":"…"}}
//! ```

pub mod client;
pub mod docs;
mod frame;
mod pane;
pub mod place;
mod reply;
mod request;
mod status;
mod task;
mod usage;

pub use frame::{LineBuffer, LineTooLong, MAX_LINE};
pub use pane::{PaneSnapshot, PaneState, Runtime};
pub use reply::{ErrorKind, Reply, ReplyError};
pub use request::{Command, NoFields, Refused, Request, RequestId};
pub use status::{Check, CostMode, DatabaseStatus, ServiceCheck, Status, TaskCounts};
pub use task::{CreateTask, ListTasks, Task, TaskPage, TaskStatus};
pub use usage::{Usage, Usd};
