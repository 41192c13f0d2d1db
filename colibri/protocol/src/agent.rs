//! Agents: who does the work.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Capability, Name};

/// Whether an agent works, waits or is gone.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum AgentStatus {
    /// Seen lately, and holds a task.
    Active,
    /// Seen lately, and holds none.
    Idle,
    /// Not heard of for longer than a lease lasts.
    Offline,
}

/// The fields of `register-agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterAgent {
    /// Registering a name again gives the same id and updates the rest.
    pub name: Name,
    /// What it can do; a list of texts. A task goes only to an agent that has all it needs.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub capabilities: BTreeSet<Capability>,
    /// Where it runs, when that is not this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Name>,
    /// Most tasks that the scheduler lets it hold at once, 0 to 64; 1 when absent. Tasks that it
    /// claims itself are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 64))]
    pub slots: Option<u32>,
}

impl RegisterAgent {
    /// Most capabilities of one agent.
    pub const MAX_CAPABILITIES: usize = 64;
    /// Most tasks that the scheduler gives to one agent at once.
    pub const MAX_SLOTS: u32 = 64;

    /// Checks what the types do not.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), crate::ReplyError> {
        let wrong = if self.capabilities.len() > Self::MAX_CAPABILITIES {
            format!(
                "`capabilities` has {} entries; at most {} fit",
                self.capabilities.len(),
                Self::MAX_CAPABILITIES
            )
        } else if self.slots.is_some_and(|slots| slots > Self::MAX_SLOTS) {
            format!("`slots` must be at most {}", Self::MAX_SLOTS)
        } else {
            return Ok(());
        };
        Err(crate::ReplyError::new(crate::ErrorKind::BadRequest, wrong))
    }
}

/// The fields of `heartbeat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Who lives.
    pub agent_id: Uuid,
    /// Where it runs now; the host of before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Name>,
}

/// An agent of the hive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// Stays the same for as long as the name does.
    pub id: Uuid,
    /// Its name.
    pub name: Name,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// Where it runs.
    pub host: Name,
    /// Most tasks that the scheduler lets it hold at once.
    pub slots: u32,
    /// Whether it works, waits or is gone.
    pub status: AgentStatus,
    /// Tasks that it holds, claimed or started.
    pub holds: u32,
    /// When it was first registered (UTC).
    pub registered_at: Timestamp,
    /// When it was last heard of (UTC).
    pub last_seen: Timestamp,
}

/// The reply to `list-agents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentPage {
    /// By name.
    pub agents: Vec<Agent>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How many agents are how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentCounts {
    /// Seen lately, and at work.
    pub active: u32,
    /// Seen lately, and free.
    pub idle: u32,
    /// Not heard of for longer than a lease lasts.
    pub offline: u32,
}
