//! What a client may do, and in whose name.
//!
//! The [`gate`](crate::gate) that a client came through gives it its rights, and every request goes
//! through [`Rights::admit`] before anything is done.

use colibri_protocol::{Command, ErrorKind, Name, ReplyError, Task, TenantId};
use uuid::Uuid;

/// The rights of a client.
#[derive(Debug, Clone)]
pub(crate) enum Rights {
    /// Everything.
    Operator {
        /// The account, which stands in the record of events.
        uid: u32,
    },
    /// Its own affairs.
    Agent(AgentIdentity),
}

/// An agent that this daemon runs, as it asks over its own socket.
#[derive(Debug, Clone)]
pub(crate) struct AgentIdentity {
    pub(crate) id: Uuid,
    pub(crate) name: Name,
    /// The tenant in whose jail it runs.
    pub(crate) tenant: Option<TenantId>,
}

impl Rights {
    /// How the client is named in the record of events.
    pub(crate) fn actor(&self) -> String {
        match self {
            Self::Operator { uid } => format!("uid:{uid}"),
            Self::Agent(agent) => format!("agent:{}", agent.name),
        }
    }

    /// Lets a command through; that of an agent in its own name, whether it says so or not.
    ///
    /// # Errors
    /// `forbidden`, for what is an operator's to do, and for an agent that speaks for another.
    pub(crate) fn admit(&self, command: Command) -> Result<Command, ReplyError> {
        match self {
            Self::Operator { .. } => Ok(command),
            Self::Agent(agent) => agent.admit(command),
        }
    }

    /// The agent whose affairs are all that these rights reach; none for an operator.
    pub(crate) fn only(&self) -> Option<&AgentIdentity> {
        match self {
            Self::Operator { .. } => None,
            Self::Agent(agent) => Some(agent),
        }
    }

    /// Whether a task may be shown: to an agent those that it holds or held last.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn reach_task(&self, task: &Task) -> Result<(), ReplyError> {
        match self.only() {
            Some(agent) if task.agent_id != Some(agent.id) => {
                Err(agent.refused(&format!("see task {}, which it does not hold", task.id)))
            }
            _ => Ok(()),
        }
    }

    /// Whether this session, which is that agent's, may be shown: to an agent its own.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn reach_session(&self, session: Uuid, of: &str) -> Result<(), ReplyError> {
        match self.only() {
            Some(agent) if of != agent.name.as_str() => {
                Err(agent.refused(&format!("see session {session}, which is another's")))
            }
            _ => Ok(()),
        }
    }
}

impl AgentIdentity {
    /// The table of what an agent may do. It has no arm for the rest, so that a new command is
    /// decided on here before it compiles.
    fn admit(&self, mut command: Command) -> Result<Command, ReplyError> {
        let name = command.name();
        match &mut command {
            // In its own name.
            Command::Heartbeat(of) => self.speak_as(of.agent_id)?,
            Command::ClaimTask(claim) => self.speak_as(claim.agent_id)?,
            Command::TransitionTask(to) => self.speak_as(*to.agent_id.get_or_insert(self.id))?,
            Command::ListTasks(which) => self.speak_as(*which.agent_id.get_or_insert(self.id))?,
            // Of these it is shown what is its own; see `only` and the others above.
            Command::GetTask(_)
            | Command::ListAgents(_)
            | Command::Snapshot(_)
            | Command::GetSession(_)
            | Command::CompactSession(_) => {}
            // Written for agents.
            Command::ListSkills(_) => {}
            // The host's policy decides on it.
            Command::RequestTenant(_) if self.tenant.is_some() => {}
            // What others work on is nothing to it, and what it could say to others, by a task or a
            // skill, they would take for the operator's word.
            Command::Status(_)
            | Command::ServiceCheck(_)
            | Command::Subscribe(_)
            | Command::CreateTask(_)
            | Command::IntakeTask(_)
            | Command::CancelTask(_)
            | Command::RetryTask(_)
            | Command::SpawnAgent(_)
            | Command::StopAgent(_)
            | Command::DismissPane(_)
            | Command::SendPrompt(_)
            | Command::AnswerAgent(_)
            | Command::AgentLog(_)
            | Command::RegisterSkill(_)
            | Command::CreateJob(_)
            | Command::ListJobs(_)
            | Command::RemoveJob(_)
            | Command::SetCostMode(_)
            | Command::Backup(_)
            // Whose secrets are whose is no agent's affair.
            | Command::RegisterTenant(_)
            | Command::ListTenants(_)
            | Command::ProvisionTenant(_)
            | Command::RotateTenant(_)
            | Command::ListSecrets(_)
            | Command::RemoveTenant(_)
            | Command::RequestTenant(_)
            // With other capabilities it would get other tasks; it was registered at its start.
            | Command::RegisterAgent(_) => return Err(self.refused(&format!("ask `{name}`"))),
        }
        Ok(command)
    }

    fn speak_as(&self, id: Uuid) -> Result<(), ReplyError> {
        if id == self.id {
            return Ok(());
        }
        Err(self.refused(&format!("speak for agent {id}: its own id is {}", self.id)))
    }

    fn refused(&self, what: &str) -> ReplyError {
        ReplyError::new(
            ErrorKind::Forbidden,
            format!("over its own socket agent {} may not {what}", self.name),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colibri_protocol::{Heartbeat, ListTasks, NoFields, TaskStatus, TransitionTask};

    const OTHER: Uuid = Uuid::from_u128(2);

    fn ada() -> Rights {
        Rights::Agent(AgentIdentity {
            id: Uuid::from_u128(1),
            name: "ada".parse().unwrap(),
            tenant: None,
        })
    }

    #[test]
    fn an_agent_is_itself_whether_it_says_so_or_not() {
        let own = Uuid::from_u128(1);
        let done = |agent| TransitionTask::to(OTHER, TaskStatus::Done, agent);
        let admitted = ada().admit(Command::TransitionTask(done(None))).unwrap();
        assert_eq!(admitted, Command::TransitionTask(done(Some(own))));
        let all = Command::ListTasks(ListTasks::default());
        let Command::ListTasks(which) = ada().admit(all).unwrap() else {
            panic!("another command came out");
        };
        assert_eq!(which.agent_id, Some(own));
        let error = ada()
            .admit(Command::TransitionTask(done(Some(OTHER))))
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Forbidden);
        assert!(error.message.contains("agent ada"), "{error}");
        assert!(error.message.contains(&OTHER.to_string()), "{error}");
    }

    #[test]
    fn an_operator_speaks_for_everybody_and_an_agent_for_nobody_else() {
        let beat = || {
            Command::Heartbeat(Heartbeat {
                agent_id: OTHER,
                host: None,
            })
        };
        let operator = Rights::Operator { uid: 7 };
        assert_eq!(operator.admit(beat()), Ok(beat()));
        assert_eq!(operator.actor(), "uid:7");
        assert!(ada().admit(beat()).is_err());
        assert_eq!(ada().actor(), "agent:ada");
        let wish = || {
            Command::RequestTenant(colibri_protocol::RequestTenant {
                tenant_id: "nika".parse().unwrap(),
                ttl: None,
            })
        };
        assert!(ada().admit(wish()).is_err());
        let Rights::Agent(mut jailed) = ada() else {
            panic!("an agent")
        };
        jailed.tenant = "main".parse().ok();
        assert_eq!(Rights::Agent(jailed).admit(wish()), Ok(wish()));
        let error = ada().admit(Command::Status(NoFields {})).unwrap_err();
        assert!(error.message.contains("`status`"), "{error}");
    }
}
