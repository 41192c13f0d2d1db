//! Jobs: tasks that come back by the clock.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CreateTask, Name};

/// When a job makes its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// One time.
    Once {
        /// When (UTC).
        at: Timestamp,
    },
    /// Again and again, by the seconds that pass.
    Interval {
        /// Seconds from one to the next, 1 to 31536000 (a year).
        #[schemars(range(min = 1, max = 31_536_000))]
        seconds: u32,
    },
    /// By the clock on a wall.
    Cron {
        /// Five fields (minute, hour, day, month, weekday), or six with seconds in front.
        expression: String,
        /// The wall's time zone, such as `Europe/Ljubljana`; `UTC` when absent.
        #[serde(default = "utc")]
        zone: String,
    },
}

fn utc() -> String {
    "UTC".to_owned()
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Once { at } => write!(f, "once at {at:.0}"),
            Self::Interval { seconds } => write!(f, "every {seconds} s"),
            Self::Cron { expression, zone } => write!(f, "{expression} ({zone})"),
        }
    }
}

/// What becomes of runs whose time passed while the daemon was not there.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Missed {
    /// They are forgotten.
    Skip,
    /// One task stands for all of them.
    #[default]
    Once,
    /// Each gets its task, but for no more than the latest hundred.
    All,
}

/// The fields of `create-job`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateJob {
    /// No other job may have it.
    pub name: Name,
    /// When it makes its tasks.
    pub schedule: Schedule,
    /// What becomes of missed runs.
    #[serde(default)]
    pub missed: Missed,
    /// The task that it makes each time.
    pub task: CreateTask,
}

/// The fields of `remove-job`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveJob {
    /// Which.
    pub name: Name,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Stays the same for the job's whole life.
    pub id: Uuid,
    /// Its name.
    pub name: Name,
    /// When it makes its tasks.
    pub schedule: Schedule,
    /// What becomes of missed runs.
    pub missed: Missed,
    /// The task that it makes each time.
    pub task: CreateTask,
    /// Who made it, such as `uid:0`.
    pub created_by: String,
    /// When it was made (UTC).
    pub created_at: Timestamp,
    /// When it makes its next task (UTC); absent when it never will again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The latest time that it made a task for (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// Tasks made so far.
    pub runs: u64,
}

/// The reply to `list-jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobPage {
    /// By name.
    pub jobs: Vec<Job>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
