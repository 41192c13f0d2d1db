//! What the daemon says about itself.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AgentCounts, TaskStatus, TenantCounts, TenantProblem, Usage};

/// How freely agents may spend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CostMode {
    /// The least.
    Fast,
    /// The middle way, and the default.
    #[default]
    Smart,
    /// Whatever it takes.
    Max,
}

impl CostMode {
    /// Every mode, cheapest first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Smart, Self::Max];

    /// The mode as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Smart => "smart",
            Self::Max => "max",
        }
    }
}

/// How far a session may grow in a cost mode before it is made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Thresholds {
    /// Bytes of a session.
    pub session_bytes: u64,
    /// Turns of a conversation.
    pub turns: u32,
    /// Bytes of one tool's result; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_result_bytes: Option<u64>,
}

impl std::str::FromStr for Thresholds {
    type Err = String;

    /// Reads `BYTES,TURNS,RESULT`, such as `500000,5,4000`; `RESULT` may be `unlimited`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if let [bytes, turns, result] = parts[..]
            && let (Ok(session_bytes), Ok(turns)) = (bytes.parse(), turns.parse())
            && let Some(tool_result_bytes) = match result {
                "unlimited" => Some(None),
                bytes => bytes.parse().ok().map(Some),
            }
        {
            return Ok(Self {
                session_bytes,
                turns,
                tool_result_bytes,
            });
        }
        Err(
            "must be BYTES,TURNS,RESULT: the longest prompt, the most turns and the longest \
             result of a tool (or `unlimited`), such as 500000,5,4000"
                .to_owned(),
        )
    }
}

impl CostMode {
    /// What the mode allows unless a host has other limits.
    pub fn thresholds(self) -> Thresholds {
        let (session_bytes, turns, tool_result_bytes) = match self {
            Self::Fast => (500_000, 5, Some(4_000)),
            Self::Smart => (2_000_000, 20, Some(16_000)),
            Self::Max => (8_000_000, 100, None),
        };
        Thresholds {
            session_bytes,
            turns,
            tool_result_bytes,
        }
    }
}

/// The fields of `set-cost-mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCostMode {
    /// The mode from now on.
    pub mode: CostMode,
    /// Whether it also holds after a restart, whatever flag and environment say then.
    #[serde(default)]
    pub persist: bool,
}

/// The reply to `set-cost-mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostModeInForce {
    /// The mode.
    pub mode: CostMode,
    /// Whether it also holds after a restart.
    pub persisted: bool,
    /// What it allows.
    pub thresholds: Thresholds,
}

impl std::str::FromStr for CostMode {
    type Err = String;

    /// Reads a mode in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("`{text}` is no cost mode; one of {known}")
            })
    }
}

/// How many tasks stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskCounts {
    /// Waiting for an agent.
    pub queued: u64,
    /// Taken by an agent, not begun.
    pub claimed: u64,
    /// Being worked on.
    pub started: u64,
    /// Finished well.
    pub done: u64,
    /// Finished badly.
    pub failed: u64,
    /// Called off.
    pub cancelled: u64,
}

impl TaskCounts {
    /// The count of one status, to be read or set.
    pub fn of_mut(&mut self, status: TaskStatus) -> &mut u64 {
        match status {
            TaskStatus::Queued => &mut self.queued,
            TaskStatus::Claimed => &mut self.claimed,
            TaskStatus::Started => &mut self.started,
            TaskStatus::Done => &mut self.done,
            TaskStatus::Failed => &mut self.failed,
            TaskStatus::Cancelled => &mut self.cancelled,
        }
    }

    /// The count of one status.
    pub fn of(mut self, status: TaskStatus) -> u64 {
        *self.of_mut(status)
    }

    /// All tasks.
    pub fn total(self) -> u64 {
        TaskStatus::ALL
            .into_iter()
            .map(|status| self.of(status))
            .sum()
    }
}

/// The database's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseStatus {
    /// The schema's number.
    pub schema_version: u32,
    /// SQLite's journal mode; `wal` when all is well.
    pub journal_mode: String,
    /// Size of the database file in bytes.
    pub size_bytes: u64,
    /// Size of the write-ahead log in bytes.
    pub wal_bytes: u64,
}

/// The scheduler's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulerStatus {
    /// Seconds between two rounds when nothing changes.
    pub tick_seconds: u64,
    /// When it last looked at the board (UTC); absent before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tick: Option<Timestamp>,
    /// Seconds that an agent may keep a task without a sign of life.
    pub lease_seconds: u64,
}

/// How long what has ended is kept, and what is gone for that reason. No sum gets smaller by it: what
/// was, is what `tasks` counts and this together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retention {
    /// Days that a task is kept after its end; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_days: Option<u32>,
    /// Days that a session is kept after something was last written into it; absent: for ever. The
    /// newest of each agent always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_days: Option<u32>,
    /// Tasks that were removed since the board began, by how they had ended.
    pub removed: TaskCounts,
    /// What these had used up.
    pub removed_usage: Usage,
}

/// The reply to `backup`. Behind its line comes the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackedUp {
    /// The copy's size in bytes.
    pub size_bytes: u64,
}

/// The reply to `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// The name this host goes by in the hive.
    pub host: String,
    /// The daemon's process id.
    pub pid: u32,
    /// When the daemon started (UTC).
    pub started_at: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// Where its data lie.
    pub data_dir: PathBuf,
    /// The database file.
    pub db_path: PathBuf,
    /// The socket it answers on.
    pub socket: PathBuf,
    /// The cost mode in force.
    pub cost_mode: CostMode,
    /// What it allows on this host.
    pub thresholds: Thresholds,
    /// Seconds without an event after which a working agent counts as stalled.
    #[serde(default)]
    pub stall_seconds: u64,
    /// The scheduler's state.
    pub scheduler: SchedulerStatus,
    /// Agents by status.
    pub agents: AgentCounts,
    /// Sessions that are open, one for each agent that this daemon runs.
    #[serde(default)]
    pub sessions: u32,
    /// Jobs that will make tasks.
    pub jobs: u64,
    /// Clients connected now, this one included.
    pub clients: u32,
    /// Most clients at once.
    pub max_clients: u32,
    /// Tasks by status.
    pub tasks: TaskCounts,
    /// How long they are kept once they have ended.
    #[serde(default)]
    pub retention: Retention,
    /// Tenants by status.
    #[serde(default)]
    pub tenants: TenantCounts,
    /// What is wrong with tenants, of at most ten of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenant_problems: Vec<TenantProblem>,
    /// The database's state.
    pub database: DatabaseStatus,
}

/// One line of `service-check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at, such as `database`.
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// Whether nobody can tell, because of something else that is broken. `ok` is false then, and
    /// `detail` says where to look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// What was seen, and what to do when it is not well.
    pub detail: String,
}

/// The reply to `service-check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceCheck {
    /// Whether every check is well.
    pub healthy: bool,
    /// One entry a part of the service.
    pub checks: Vec<Check>,
}

impl ServiceCheck {
    /// What is looked at, in the order of the reply.
    pub const PARTS: [&str; 11] = [
        "socket",
        "database",
        "wal",
        "writer",
        "disk",
        "loop",
        "scheduler",
        "intake",
        "snapshot",
        "helper",
        "tenants",
    ];

    /// What a client can say when it gets no answer, and `problem` is why: only the daemon can look
    /// at the rest.
    pub fn unreachable(problem: impl ToString) -> Self {
        let checks = Self::PARTS.map(|name| {
            let is_socket = name == "socket";
            Check {
                name: name.to_owned(),
                ok: false,
                unknown: !is_socket,
                detail: if is_socket {
                    problem.to_string()
                } else {
                    "not looked at: only the daemon can, and it did not answer; see `socket`"
                        .to_owned()
                },
            }
        });
        Self {
            healthy: false,
            checks: checks.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_modes_are_read_in_any_case() {
        assert_eq!("Smart".parse(), Ok(CostMode::Smart));
        assert_eq!("MAX".parse(), Ok(CostMode::Max));
        for mode in CostMode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        assert!(
            "cheap"
                .parse::<CostMode>()
                .unwrap_err()
                .contains("fast, smart, max")
        );
    }

    #[test]
    fn thresholds_are_read_as_three_numbers() {
        assert_eq!("500000,5,4000".parse(), Ok(CostMode::Fast.thresholds()));
        let max = " 8000000, 100, unlimited ";
        assert_eq!(max.parse(), Ok(CostMode::Max.thresholds()));
        for wrong in [
            "", "1,2", "1,2,3,4", "1,2,", "-1,2,3", "1,2,all", "1 kB,2,3",
        ] {
            let error = wrong.parse::<Thresholds>().unwrap_err();
            assert!(error.contains("BYTES,TURNS,RESULT"), "{wrong}: {error}");
        }
    }

    #[test]
    fn counts_add_up() {
        let mut counts = TaskCounts::default();
        for (at, status) in TaskStatus::ALL.into_iter().enumerate() {
            *counts.of_mut(status) = 10_u64.pow(u32::try_from(at).unwrap());
        }
        assert_eq!(counts.total(), 111_111);
        assert_eq!(counts.of(TaskStatus::Done), 1000);
    }
}
