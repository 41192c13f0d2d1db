//! Panes: what is seen of an agent while it runs.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SessionBrief, Usage};

/// The program that an agent is, and so the dialect that it speaks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// The `pi` coding agent.
    Pi,
    /// The `zot` agent.
    Zot,
    /// `colibri-test-agent`, or another that speaks its dialect.
    Local,
}

impl Runtime {
    /// Every runtime.
    pub const ALL: [Self; 3] = [Self::Pi, Self::Zot, Self::Local];

    /// The runtime as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pi => "pi",
            Self::Zot => "zot",
            Self::Local => "local",
        }
    }
}

impl std::str::FromStr for Runtime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|runtime| runtime.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("`{text}` is no agent runtime; one of {known}")
            })
    }
}

impl std::fmt::Display for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an agent is doing, by its own events; never guessed from its screen.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PaneState {
    /// Has no work, or was stopped in it.
    Idle,
    /// Works.
    Working,
    /// Has asked something and waits for the answer.
    Blocked,
    /// Has finished well what it was last asked.
    Done,
    /// Has failed at what it was last asked.
    Error,
}

impl PaneState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Idle,
        Self::Working,
        Self::Blocked,
        Self::Done,
        Self::Error,
    ];

    /// The state as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Blocked => "blocked",
            Self::Done => "done",
            Self::Error => "error",
        }
    }
}

impl std::fmt::Display for PaneState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// An agent at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaneSnapshot {
    /// Names the pane: the session's id.
    pub id: String,
    /// The agent's name.
    pub agent: String,
    /// The program that it is.
    pub runtime: Runtime,
    /// What it is doing.
    pub state: PaneState,
    /// Whether it works and yet nothing was heard of it for long.
    pub stalled: bool,
    /// When it came into this state.
    pub since: Timestamp,
    /// When its last event came; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_at: Option<Timestamp>,
    /// The tool that it runs, the newest where several run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The end of what it last said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Answers that its model has given, each with the tools that it called for.
    pub turns: u64,
    /// What it has used up.
    #[serde(default)]
    pub usage: Usage,
    /// Events that were understood.
    pub events: u64,
    /// Lines that were no event, or not whole ones; they are skipped.
    pub malformed: u64,
    /// Why it failed, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Names the question that it waits for an answer to; see `answer-agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What can be answered to it, where it names that; empty when any text may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Its process, while it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its session in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionBrief>,
    /// Why its session is missing or has gaps; the agent works all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_problem: Option<String>,
}

impl PaneSnapshot {
    /// Whether somebody should look: it failed, waits for an answer, or is stalled.
    pub fn needs_attention(&self) -> bool {
        self.stalled || matches!(self.state, PaneState::Error | PaneState::Blocked)
    }

    /// The reason as a person reads it: a question with its choices, as in
    /// `Allow it? [Once | Always]`.
    pub fn told_reason(&self) -> Option<String> {
        let reason = self.reason.clone()?;
        if self.choices.is_empty() {
            return Some(reason);
        }
        Some(format!("{reason} [{}]", self.choices.join(" | ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_the_same_on_the_wire_and_in_texts() {
        for state in PaneState::ALL {
            assert_eq!(json!(state), json!(state.as_str()));
        }
        for runtime in Runtime::ALL {
            assert_eq!(json!(runtime), json!(runtime.as_str()));
            assert_eq!(runtime.as_str().parse(), Ok(runtime));
        }
        assert_eq!(
            "pie".parse::<Runtime>().unwrap_err(),
            "`pie` is no agent runtime; one of pi, zot, local"
        );
    }

    /// A pane with no more than it must have.
    fn pane() -> PaneSnapshot {
        let least = json!({
            "id": "s-1", "agent": "anna", "runtime": "pi", "state": "working", "stalled": false,
            "since": "2026-01-02T03:04:05Z", "turns": 0, "events": 0, "malformed": 0,
        });
        serde_json::from_value(least).unwrap()
    }

    #[test]
    fn a_question_is_told_with_its_choices() {
        let mut pane = pane();
        assert_eq!(pane.told_reason(), None);
        pane.reason = Some("Allow it?".to_owned());
        assert_eq!(pane.told_reason().as_deref(), Some("Allow it?"));
        pane.choices = vec!["Once".to_owned(), "Always".to_owned()];
        assert_eq!(
            pane.told_reason().as_deref(),
            Some("Allow it? [Once | Always]")
        );
    }

    #[test]
    fn attention_is_for_the_failed_the_blocked_and_the_stalled() {
        let mut pane = pane();
        let attention = PaneState::ALL.map(|state| {
            pane.state = state;
            pane.needs_attention()
        });
        assert_eq!(attention, [false, false, true, false, true]);
        pane.state = PaneState::Working;
        pane.stalled = true;
        assert!(pane.needs_attention());
    }
}
