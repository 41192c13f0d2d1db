//! What daemon and leash say to each other: one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::Ending;

/// From the leash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Report {
    /// The agent runs.
    Running { pid: i32 },
    /// The agent could not be started; nothing runs.
    Refused { message: String },
    /// The agent ended; what it started may still be there.
    Exited { how: Ending },
    /// Nothing is there any more but what could not be ended.
    Done { left: Vec<i32> },
}

/// To the leash. That the socket closes is the order to end everything soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    /// TERM now, KILL after so long.
    Stop { grace_ms: u64 },
}

/// As it goes over the socket, with its newline.
pub(crate) fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}
