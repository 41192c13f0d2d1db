//! Sessions as clients see them: `get-session` and `compact-session`.

use colibri_protocol::{CostMode, Usage};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ModeLimits, Trigger};

/// `get-session`: what a session is and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetSession {
    /// The session.
    pub session: Uuid,
}

/// `compact-session`: summarise all but the newest turns now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactSession {
    /// The session.
    pub session: Uuid,
    /// The summary, in the agent's words; without it the daemon makes a plain one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// A session at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionSnapshot {
    /// The session.
    pub session: Uuid,
    /// The agent whose it is.
    pub agent: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When something was last written.
    pub updated_at: Timestamp,
    /// The cost mode it has now.
    pub cost_mode: CostMode,
    /// What that mode allows.
    pub limits: ModeLimits,
    /// Bytes of the immutable prefix.
    pub prefix_bytes: u64,
    /// SHA-256 of the prefix.
    pub prefix_sha256: String,
    /// Bytes of the log, as it stands in prompts.
    pub log_bytes: u64,
    /// Entries of the log, the summary included.
    pub log_entries: u64,
    /// Turns that are kept word by word.
    pub turns: u32,
    /// How often it was compacted.
    pub compactions: u32,
    /// Each step to a dearer mode.
    pub escalations: Vec<Escalation>,
    /// What its answers took.
    pub usage: Usage,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// What was wrong with its file when it was opened, in sentences.
    pub findings: Vec<String>,
}

/// A step to a dearer mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// When.
    pub at: Timestamp,
    /// From this mode.
    pub from: CostMode,
    /// To this one.
    pub to: CostMode,
    /// Why.
    pub trigger: Trigger,
}

/// The answer to `compact-session`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compacted {
    /// How many entries the summary took the place of; 0 when there was nothing to
    /// summarise.
    pub entries: u64,
    /// Bytes of the log before.
    pub before: u64,
    /// Bytes of the log now.
    pub after: u64,
}
