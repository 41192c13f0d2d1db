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

mod agent;
mod change;
pub mod client;
pub mod docs;
mod frame;
mod job;
mod log;
mod name;
mod nearest;
mod page;
mod pane;
pub mod place;
mod reply;
mod request;
mod session;
mod skill;
mod span;
mod spawn;
mod status;
mod switch;
mod task;
mod tenant;
mod usage;
pub mod variable;

pub use agent::{Agent, AgentCounts, AgentPage, AgentStatus, Heartbeat, RegisterAgent};
pub use change::Change;
pub use frame::{LineBuffer, LineTooLong, MAX_LINE};
pub use job::{CreateJob, Job, JobPage, Missed, RemoveJob, Schedule};
pub use log::{AgentLog, LogLines};
pub use name::{Capability, Name, RESERVED, TenantId};
pub use nearest::nearest;
pub use page::{Paging, checked_limit};
pub use pane::{PaneSnapshot, PaneState, Runtime};
pub use reply::{ErrorKind, Reply, ReplyError};
pub use request::{Command, NoFields, Refused, Request, RequestId};
pub use session::{
    CompactSession, Compacted, Escalation, GetSession, SessionBrief, SessionSnapshot, Trigger,
};
pub use skill::{RegisterSkill, Skill, SkillFinding, SkillPage};
pub use span::TimeSpan;
pub use spawn::{Answer, AnswerAgent, DismissPane, SendPrompt, Snapshot, SpawnAgent, StopAgent};
pub use status::{
    BackedUp, Check, CostMode, CostModeInForce, DatabaseStatus, Retention, SchedulerStatus,
    ServiceCheck, SetCostMode, Status, TaskCounts, Thresholds,
};
pub use switch::switch;
pub use task::{
    CancelTask, ClaimTask, CreateTask, GetTask, IntakeTask, ListTasks, RetryTask, Task,
    TaskDetails, TaskEvent, TaskPage, TaskStatus, TransitionTask,
};
pub use tenant::{
    OneTenant, RegisterTenant, Removal, RemoveTenant, RequestTenant, Tenant, TenantCounts,
    TenantLimits, TenantNumber, TenantPage, TenantProblem, TenantRemoval, TenantRotation,
    TenantSecrets, TenantStatus, check_collection,
};
pub use usage::{Usage, Usd};
