//! What subscribers are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CostMode, Name, PaneState, TaskStatus, TenantId, TenantStatus, Trigger};

/// The `data` of each line that `subscribe` sends. Only what is needed to know what to ask for:
/// a change must stay small, for it is kept for every subscriber that has not read it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// The first line: every change from now on will be told.
    Subscribed,
    /// A task is new or stands elsewhere.
    Task {
        /// Which.
        task_id: Uuid,
        /// Its title.
        title: String,
        /// Where it stands now.
        status: TaskStatus,
        /// Who holds it, or did last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_id: Option<Uuid>,
    },
    /// An agent is new, or something other than its last sign of life changed.
    Agent {
        /// Which.
        agent_id: Uuid,
        /// Its name.
        name: Name,
    },
    /// A pane is new, or its agent does something else now.
    Pane {
        /// The agent's name.
        agent: Name,
        /// What it does now.
        state: PaneState,
    },
    /// A pane was taken away by `dismiss-pane`.
    PaneDismissed {
        /// The agent's name.
        agent: Name,
    },
    /// A session was compacted, or has a dearer cost mode now; `get-session` has the rest.
    Session {
        /// Which.
        session: Uuid,
        /// Its agent's name.
        agent: Name,
        /// Its cost mode now.
        mode: CostMode,
        /// Why it needs that dearer mode; absent when it was only compacted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        escalated: Option<Trigger>,
    },
    /// A skill is new, changed or gone.
    Skill {
        /// Its name.
        name: Name,
    },
    /// A job is new, changed or gone.
    Job {
        /// Its name.
        name: Name,
    },
    /// A tenant is new, stands elsewhere, or is gone.
    Tenant {
        /// Which.
        tenant_id: TenantId,
        /// Where it stands now; absent when it is gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<TenantStatus>,
    },
    /// Another cost mode is in force.
    CostMode {
        /// Which.
        mode: CostMode,
    },
    /// This subscriber was too slow, and changes were left out: ask for the lists again.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// A change that a newer daemon knows and this program does not.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}
