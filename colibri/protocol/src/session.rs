//! Sessions of agents as clients see them: `get-session` and `compact-session`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CostMode, ErrorKind, ReplyError, Thresholds, Usage};

/// The fields of `get-session`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetSession {
    /// The session.
    pub session: Uuid,
}

/// The fields of `compact-session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactSession {
    /// The session.
    pub session: Uuid,
    /// The summary, in the agent's words; without it the daemon makes a plain one. What is over a
    /// tenth of the cost mode's budget is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

impl CompactSession {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        match self.summary.as_deref().map(str::trim) {
            Some("") => Err(ReplyError::new(
                ErrorKind::BadRequest,
                "`summary` must not be empty; leave it out for a plain one",
            )),
            _ => Ok(()),
        }
    }
}

/// A session at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionSnapshot {
    /// The session.
    pub session: Uuid,
    /// The agent whose it is.
    pub agent: String,
    /// When it began (UTC).
    pub created_at: Timestamp,
    /// When something was last written (UTC).
    pub updated_at: Timestamp,
    /// The cost mode it has now.
    pub cost_mode: CostMode,
    /// What that mode allows.
    pub limits: Thresholds,
    /// Bytes of the immutable prefix.
    pub prefix_bytes: u64,
    /// SHA-256 of the prefix, in hexadecimal.
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
    /// What was wrong with its file when it was opened, and what could not be written since, in
    /// sentences.
    pub findings: Vec<String>,
}

/// A session in short, as its agent's pane shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionBrief {
    /// The session; `get-session` has the rest.
    pub session: Uuid,
    /// The cost mode it has now.
    pub cost_mode: CostMode,
    /// Turns that are kept word by word.
    pub turns: u32,
    /// Bytes of the log, as it stands in prompts.
    pub log_bytes: u64,
    /// How often it was compacted.
    pub compactions: u32,
    /// How often it needed a dearer mode.
    pub escalations: u32,
}

/// A step to a dearer mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// When (UTC).
    pub at: Timestamp,
    /// From this mode.
    pub from: CostMode,
    /// To this one.
    pub to: CostMode,
    /// Why.
    pub trigger: Trigger,
}

/// Why a session needs a dearer mode.
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
pub enum Trigger {
    /// The prefix and the turn at hand alone are too long: nothing is left to compact.
    BudgetExceeded,
    /// It was compacted, and is still too long.
    CompactionInsufficient,
}

/// The reply to `compact-session`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compacted {
    /// How many entries the summary took the place of; 0 when there was nothing to summarise.
    pub entries: u64,
    /// Bytes of the log before.
    pub before: u64,
    /// Bytes of the log now.
    pub after: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_summary_says_something() {
        let compact = |summary: Option<&str>| CompactSession {
            session: Uuid::nil(),
            summary: summary.map(str::to_owned),
        };
        assert_eq!(compact(None).check(), Ok(()));
        assert_eq!(compact(Some("All is well.")).check(), Ok(()));
        let error = compact(Some(" ")).check().unwrap_err();
        assert!(error.message.contains("`summary` must not be empty"));
    }

    #[test]
    fn triggers_are_the_same_on_the_wire_and_in_texts() {
        for trigger in [Trigger::BudgetExceeded, Trigger::CompactionInsufficient] {
            assert_eq!(json!(trigger), json!(trigger.to_string()));
        }
    }
}
