//! Tasks as they go over the wire, and the rules for their fields.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::page::{DEFAULT_LIMIT, MAX_LIMIT, checked_limit};
use crate::{Capability, ErrorKind, ReplyError, Usage};

/// Where a task stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStatus {
    /// Waits for an agent.
    Queued,
    /// An agent has taken it and not begun.
    Claimed,
    /// An agent works on it.
    Started,
    /// Finished well.
    Done,
    /// Finished badly.
    Failed,
    /// Called off.
    Cancelled,
}

impl TaskStatus {
    /// Every status, in the order of a task's life.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Claimed,
        Self::Started,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The status as it is written on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it, unless an operator has it retried.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// Whether an agent has the task, under a lease.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Claimed | Self::Started)
    }

    /// Whether a task may go from here to there by `transition-task`. Being taken is no transition
    /// but a claim; back to `queued` is an agent that gives the task back.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Cancelled),
            Self::Claimed => matches!(
                next,
                Self::Started | Self::Queued | Self::Failed | Self::Cancelled
            ),
            Self::Started => {
                matches!(
                    next,
                    Self::Done | Self::Queued | Self::Failed | Self::Cancelled
                )
            }
            Self::Done | Self::Failed | Self::Cancelled => false,
        }
    }
}

impl std::str::FromStr for TaskStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "`{text}` is no task status; one of {}",
                    Self::ALL.map(Self::as_str).join(", ")
                )
            })
    }
}

impl std::fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The fields of `create-task`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTask {
    /// One line, 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What is to be done, at most 65536 bytes of UTF-8; empty when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What an agent must be able to do, all of it; at most 32.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = 32))]
    pub capabilities: BTreeSet<Capability>,
    /// How often it may be taken by an agent before losing it means failure, 1 to 100; 3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: Option<u32>,
}

impl CreateTask {
    /// A task with nothing but a title.
    pub fn titled(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// Most capabilities a task may need.
    pub const MAX_CAPABILITIES: usize = 32;
    /// Attempts when the request does not say.
    pub const DEFAULT_ATTEMPTS: u32 = 3;
    /// Most attempts.
    pub const MAX_ATTEMPTS: u32 = 100;
    /// Most characters in a title.
    pub const MAX_TITLE_CHARS: usize = 200;
    /// Most bytes in a description.
    pub const MAX_DESCRIPTION_BYTES: usize = 65536;

    /// Checks lengths and characters.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        let title = &self.title;
        let count = title.chars().count();
        let description = self.description.as_deref().unwrap_or_default();
        let wrong = if title.trim().is_empty() {
            "`title` must not be empty".to_owned()
        } else if count > Self::MAX_TITLE_CHARS {
            format!(
                "`title` has {count} characters; at most {} fit",
                Self::MAX_TITLE_CHARS
            )
        } else if title.chars().any(char::is_control) {
            "`title` must be one line without control characters; \
             longer text goes into `description`"
                .to_owned()
        } else if description.len() > Self::MAX_DESCRIPTION_BYTES {
            format!(
                "`description` has {} bytes; at most {} fit",
                description.len(),
                Self::MAX_DESCRIPTION_BYTES
            )
        } else if !is_text(description) {
            "`description` must not have control characters except newline and tab".to_owned()
        } else if self.capabilities.len() > Self::MAX_CAPABILITIES {
            format!(
                "`capabilities` has {} entries; at most {} fit",
                self.capabilities.len(),
                Self::MAX_CAPABILITIES
            )
        } else if !(1..=Self::MAX_ATTEMPTS).contains(&self.max_attempts.unwrap_or(1)) {
            format!(
                "`max_attempts` must be between 1 and {}",
                Self::MAX_ATTEMPTS
            )
        } else {
            return Ok(());
        };
        Err(ReplyError::new(ErrorKind::BadRequest, wrong))
    }
}

fn is_text(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// The fields of `intake-task`: work that comes from outside, with the usual attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeTask {
    /// One line, 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What is to be done, at most 65536 bytes of UTF-8; empty when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What an agent must be able to do, all of it; at most 32.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = 32))]
    pub capabilities: BTreeSet<Capability>,
}

impl From<IntakeTask> for CreateTask {
    fn from(new: IntakeTask) -> Self {
        Self {
            title: new.title,
            description: new.description,
            capabilities: new.capabilities,
            max_attempts: None,
        }
    }
}

/// The fields of `get-task`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetTask {
    /// Which.
    pub task_id: Uuid,
}

/// The fields of `claim-task`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimTask {
    /// Which.
    pub task_id: Uuid,
    /// For whom.
    pub agent_id: Uuid,
}

/// The fields of `transition-task`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransitionTask {
    /// Which.
    pub task_id: Uuid,
    /// Where it goes: `started`, `done`, `failed` or `cancelled`, or `queued` to give it back. Given
    /// back with an `error`, it is tried again after a pause that grows with each attempt, from 10
    /// seconds to an hour; after the last attempt it is `failed`.
    pub status: TaskStatus,
    /// Who moves it. Must be who holds it; an operator leaves this out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Uuid>,
    /// What came of it, at most 65536 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What went wrong, at most 65536 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was used up since the last transition; added to the task's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl TransitionTask {
    /// A transition with nothing but its goal.
    pub fn to(task_id: Uuid, status: TaskStatus, agent_id: Option<Uuid>) -> Self {
        Self {
            task_id,
            status,
            agent_id,
            result: None,
            error: None,
            usage: None,
        }
    }

    /// Checks lengths and characters.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        check_text("result", self.result.as_deref())?;
        check_text("error", self.error.as_deref())
    }
}

/// The fields of `cancel-task`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelTask {
    /// Which.
    pub task_id: Uuid,
    /// Why, at most 65536 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl CancelTask {
    /// Checks length and characters.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        check_text("reason", self.reason.as_deref())
    }
}

/// The fields of `retry-task`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryTask {
    /// Which.
    pub task_id: Uuid,
}

fn check_text(field: &str, text: Option<&str>) -> Result<(), ReplyError> {
    let text = text.unwrap_or_default();
    let most = CreateTask::MAX_DESCRIPTION_BYTES;
    let wrong = if text.len() > most {
        format!("`{field}` has {} bytes; at most {most} fit", text.len())
    } else if !is_text(text) {
        format!("`{field}` must not have control characters except newline and tab")
    } else {
        return Ok(());
    };
    Err(ReplyError::new(ErrorKind::BadRequest, wrong))
}

/// The fields of `list-tasks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTasks {
    /// Only tasks that stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// Only tasks that this agent holds or held last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Uuid>,
    /// Most tasks on this page, 1 to 500; 50 when absent. A page may be
    /// shorter so that its line stays below the limit; `next` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
    /// The `next` of the page before; absent for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl ListTasks {
    /// Tasks on a page when the request does not say.
    pub const DEFAULT_LIMIT: u32 = DEFAULT_LIMIT;
    /// Most tasks on a page.
    pub const MAX_LIMIT: u32 = MAX_LIMIT;

    /// The page's length.
    ///
    /// # Errors
    /// `bad-request` when it is 0 or above 500.
    pub fn checked_limit(&self) -> Result<u32, ReplyError> {
        checked_limit(self.limit)
    }
}

/// A task on the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Stays the same for the task's whole life.
    pub id: Uuid,
    /// One line.
    pub title: String,
    /// What is to be done; may be empty.
    pub description: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// What an agent must be able to do, all of it.
    #[serde(default)]
    pub capabilities: BTreeSet<Capability>,
    /// How often an agent has taken it.
    #[serde(default)]
    pub attempts: u32,
    /// How often it may be taken before losing it means failure.
    #[serde(default)]
    pub max_attempts: u32,
    /// Who holds it, or did last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Uuid>,
    /// When it is taken from an agent that gives no sign of life until then (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
    /// When it is tried again (UTC), after an attempt that failed; until then nobody is given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Why no agent can be given it now; absent when it is not queued or will be given soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it used up so far, over all attempts.
    #[serde(default)]
    pub usage: Usage,
    /// The job that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<Uuid>,
    /// Who put it on the board, such as `uid:0`.
    pub created_by: String,
    /// When it was put on the board (UTC).
    pub created_at: Timestamp,
    /// When it last changed (UTC).
    pub updated_at: Timestamp,
}

/// Something that happened to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskEvent {
    /// When (UTC).
    pub at: Timestamp,
    /// Who did it: `uid:0`, `agent:` and its name, or `scheduler`.
    pub actor: String,
    /// What, such as `task-claimed`.
    pub kind: String,
    /// Where the task stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TaskStatus>,
    /// Where it stood then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<TaskStatus>,
    /// Why, when there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The reply to `get-task`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskDetails {
    /// The task.
    pub task: Task,
    /// What happened to it, oldest first; the latest hundred.
    pub events: Vec<TaskEvent>,
}

/// The reply to `list-tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskPage {
    /// Newest first.
    pub tasks: Vec<Task>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(title: &str, description: &str) -> Result<(), String> {
        CreateTask {
            title: title.into(),
            description: Some(description.into()),
            ..CreateTask::default()
        }
        .check()
        .map_err(|error| error.message)
    }

    #[test]
    fn fields_have_limits_and_messages_name_them() {
        assert_eq!(check(&"ž".repeat(200), "a\n\tb\r\n"), Ok(()));
        assert_eq!(check(" \t", ""), Err("`title` must not be empty".into()));
        assert!(
            check(&"x".repeat(201), "")
                .unwrap_err()
                .contains("201 characters")
        );
        assert!(check("a\nb", "").unwrap_err().contains("one line"));
        assert!(check("\u{1b}[31m", "").unwrap_err().contains("control"));
        assert!(
            check("a", "\u{1b}[2J")
                .unwrap_err()
                .contains("`description`")
        );
        assert_eq!(check("a", &"x".repeat(65536)), Ok(()));
        assert!(
            check("a", &"x".repeat(65537))
                .unwrap_err()
                .contains("65537 bytes")
        );
    }

    #[test]
    fn limits_of_a_page() {
        let limit = |limit| {
            ListTasks {
                limit,
                ..ListTasks::default()
            }
            .checked_limit()
        };
        assert_eq!(limit(None), Ok(50));
        assert_eq!(limit(Some(500)), Ok(500));
        assert!(limit(Some(0)).is_err());
        assert!(
            limit(Some(501))
                .unwrap_err()
                .message
                .contains("between 1 and 500")
        );
    }

    #[test]
    fn what_is_final_stays_and_what_is_taken_was_claimed() {
        for from in TaskStatus::ALL {
            for to in TaskStatus::ALL {
                let may = from.may_become(to);
                assert!(!(may && (from.is_final() || from == to)), "{from} to {to}");
                assert!(!(may && to == TaskStatus::Claimed), "{from} to {to}");
            }
            assert!(from.is_final() || from.may_become(TaskStatus::Cancelled));
        }
        assert!(!TaskStatus::Claimed.may_become(TaskStatus::Done));
    }

    #[test]
    fn a_task_of_an_older_daemon_is_read() {
        let task: Task = serde_json::from_str(
            r#"{"id":"0198a000-0000-7000-8000-000000000001","title":"t","description":"",
                "status":"queued","created_by":"uid:0",
                "created_at":"2026-11-21T15:00:00Z","updated_at":"2026-11-21T15:00:00Z"}"#,
        )
        .unwrap();
        assert_eq!((task.attempts, task.agent_id), (0, None));
    }

    #[test]
    fn a_status_is_written_alike_everywhere() {
        for status in TaskStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!(
            "open"
                .parse::<TaskStatus>()
                .unwrap_err()
                .contains("queued, claimed")
        );
    }
}
