//! Tasks as they go over the wire, and the rules for their fields.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ErrorKind, ReplyError};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTask {
    /// One line, 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What is to be done, at most 65536 bytes of UTF-8; empty when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl CreateTask {
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
        } else if description
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        {
            "`description` must not have control characters except newline and tab".to_owned()
        } else {
            return Ok(());
        };
        Err(ReplyError::new(ErrorKind::BadRequest, wrong))
    }
}

/// The fields of `list-tasks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTasks {
    /// Only tasks that stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
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
    pub const DEFAULT_LIMIT: u32 = 50;
    /// Most tasks on a page.
    pub const MAX_LIMIT: u32 = 500;

    /// The page's length.
    ///
    /// # Errors
    /// `bad-request` when it is 0 or above 500.
    pub fn checked_limit(&self) -> Result<u32, ReplyError> {
        match self.limit.unwrap_or(Self::DEFAULT_LIMIT) {
            limit @ 1..=Self::MAX_LIMIT => Ok(limit),
            limit => Err(ReplyError::new(
                ErrorKind::BadRequest,
                format!(
                    "`limit` is {limit}; it must be between 1 and {}",
                    Self::MAX_LIMIT
                ),
            )),
        }
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
    /// Who put it on the board, such as `uid:0`.
    pub created_by: String,
    /// When it was put on the board (UTC).
    pub created_at: Timestamp,
    /// When it last changed (UTC).
    pub updated_at: Timestamp,
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
