//! Agents: registered, heard of, listed.

use std::time::Duration;

use colibri_protocol::{
    Agent, AgentCounts, AgentPage, AgentStatus, Change, Heartbeat, Name, RegisterAgent,
};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use uuid::Uuid;

use crate::error::While;
use crate::row::{capabilities, get, number, parsed, small, time_text, to_json};
use crate::writer::new_id;
use crate::{Batch, Reader, Result, StoreError};

/// How long an agent may be silent before its tasks are taken from it.
#[derive(Debug, Clone, Copy)]
pub struct Lease(pub Duration);

impl Lease {
    /// When a lease given now ends.
    pub fn until(self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.0).unwrap_or(Timestamp::MAX)
    }

    /// Who was heard of since then is still there.
    pub fn alive_since(self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.0).unwrap_or(Timestamp::MIN)
    }
}

macro_rules! agent_columns {
    () => {
        "SELECT name, id, capabilities, host, slots * takes_tasks, registered_at, last_seen,
            (SELECT count(*) FROM tasks
             WHERE agent_id = agents.id AND lease_until IS NOT NULL)
         FROM agents"
    };
}

/// By name, from the one after `?1`.
pub(crate) const AGENTS: &str = concat!(agent_columns!(), " WHERE name > ?1 ORDER BY name");
const AGENT_BY_ID: &str = concat!(agent_columns!(), " WHERE id = ?1");

/// Every `status` asks this, and two hundred agents read one by one would be most of its time.
pub(crate) const COUNTS: &str = "
    SELECT count(*) FILTER (WHERE alive AND holds),
           count(*) FILTER (WHERE alive AND NOT holds),
           count(*) FILTER (WHERE NOT alive)
    FROM (SELECT last_seen > ?1 AS alive,
                 EXISTS (SELECT 1 FROM tasks
                         WHERE agent_id = agents.id AND lease_until IS NOT NULL) AS holds
          FROM agents)";

fn agent(row: &Row<'_>, alive_since: Timestamp) -> Result<Agent> {
    let last_seen = parsed("last_seen", &get::<String>(row, 6)?)?;
    let holds = small(number(row, 7)?);
    Ok(Agent {
        name: parsed("name", &get::<String>(row, 0)?)?,
        id: parsed("id", &get::<String>(row, 1)?)?,
        capabilities: capabilities(&get::<String>(row, 2)?)?,
        host: parsed("host", &get::<String>(row, 3)?)?,
        slots: small(number(row, 4)?),
        status: if last_seen <= alive_since {
            AgentStatus::Offline
        } else if holds > 0 {
            AgentStatus::Active
        } else {
            AgentStatus::Idle
        },
        holds,
        registered_at: parsed("registered_at", &get::<String>(row, 5)?)?,
        last_seen,
    })
}

fn agent_by_id(connection: &Connection, id: Uuid, alive_since: Timestamp) -> Result<Agent> {
    connection
        .prepare_cached(AGENT_BY_ID)
        .and_then(|mut statement| {
            statement
                .query_row([id.to_string()], |row| Ok(agent(row, alive_since)))
                .optional()
        })
        .while_trying_to("read an agent")?
        .ok_or_else(|| StoreError::no_agent(id))?
}

impl Reader {
    /// One page of agents by name, whose JSON stays below `budget` bytes.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn agents(
        &self,
        after: Option<&str>,
        limit: u32,
        budget: usize,
        alive_since: Timestamp,
    ) -> Result<AgentPage> {
        let (agents, next) =
            self.named_page(AGENTS, after, limit, budget, |row| agent(row, alive_since))?;
        Ok(AgentPage { agents, next })
    }

    /// All agents. There are as many as somebody has registered by name; not one for each task.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn all_agents(&self, alive_since: Timestamp) -> Result<Vec<Agent>> {
        Ok(self.agents(None, u32::MAX, usize::MAX, alive_since)?.agents)
    }

    /// How many agents are how; reads none of them.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn agent_counts(&self, alive_since: Timestamp) -> Result<AgentCounts> {
        self.connection
            .prepare_cached(COUNTS)
            .and_then(|mut statement| {
                statement.query_row([time_text(alive_since)], |row| {
                    Ok(AgentCounts {
                        active: row.get(0)?,
                        idle: row.get(1)?,
                        offline: row.get(2)?,
                    })
                })
            })
            .while_trying_to("count agents")
    }
}

impl Batch<'_> {
    /// Makes an agent known, or updates the one of this name. It counts as heard of, and as one
    /// whose process is none of the daemon's; see [`Batch::agent_spawned`].
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn register_agent(
        &mut self,
        new: &RegisterAgent,
        own_host: &Name,
        actor: &str,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Agent> {
        let slots = new.slots.unwrap_or(1);
        let id: String = self
            .transaction
            .prepare_cached(
                "INSERT INTO agents (id, name, capabilities, host, slots, registered_at, last_seen,
                    takes_tasks)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)
                 ON CONFLICT (name) DO UPDATE SET
                    capabilities = excluded.capabilities, host = excluded.host,
                    slots = excluded.slots, takes_tasks = excluded.takes_tasks,
                    last_seen = excluded.last_seen,
                    spawned = excluded.spawned
                 RETURNING id",
            )
            .while_trying_to("register an agent")?
            .query_row(
                params![
                    new_id(now)?.to_string(),
                    new.name.as_str(),
                    to_json("capabilities", &new.capabilities)?,
                    new.host.as_ref().unwrap_or(own_host).as_str(),
                    slots.max(1),
                    time_text(now),
                    slots > 0,
                ],
                |row| row.get(0),
            )
            .while_trying_to("register an agent")?;
        let id = parsed("id", &id)?;
        let detail = json!({ "agent": id, "name": new.name, "capabilities": new.capabilities });
        self.record(now, actor, "agent-registered", None, &detail)?;
        self.tell(Change::Agent {
            agent_id: id,
            name: new.name.clone(),
        });
        self.agent(id, lease, now)
    }

    /// The daemon has started this agent's process, which ends with it. Holds until the agent is
    /// registered again, or the daemon starts anew: [`Batch::daemon_restarted`].
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn agent_spawned(&mut self, agent_id: Uuid) -> Result<()> {
        self.transaction
            .execute(
                "UPDATE agents SET spawned = 1 WHERE id = ?1",
                [agent_id.to_string()],
            )
            .while_trying_to("note whose process an agent is")?;
        Ok(())
    }

    /// The agents whose processes were the daemon's; they are so no longer.
    pub(crate) fn forget_spawned(&self) -> Result<Vec<Uuid>> {
        let ids: Vec<String> = self
            .transaction
            .prepare_cached("UPDATE agents SET spawned = 0 WHERE spawned = 1 RETURNING id")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .while_trying_to("look for agents that the daemon ran")?;
        ids.iter().map(|id| parsed("id", id)).collect()
    }

    /// Notes an agent's sign of life, and extends the leases of what it holds.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when SQLite refuses.
    pub fn heartbeat(&mut self, of: &Heartbeat, lease: Lease, now: Timestamp) -> Result<Agent> {
        let before = self.agent(of.agent_id, lease, now)?;
        self.seen(of.agent_id, now)?;
        if let Some(host) = &of.host {
            self.transaction
                .execute(
                    "UPDATE agents SET host = ?2 WHERE id = ?1",
                    params![of.agent_id.to_string(), host.as_str()],
                )
                .while_trying_to("note an agent's host")?;
        }
        self.extend_leases(of.agent_id, lease, now)?;
        let after = self.agent(of.agent_id, lease, now)?;
        if (before.status, &before.host) != (after.status, &after.host) {
            self.tell(Change::Agent {
                agent_id: after.id,
                name: after.name.clone(),
            });
        }
        Ok(after)
    }

    /// Whoever asks for something lives.
    pub(crate) fn seen(&self, agent_id: Uuid, now: Timestamp) -> Result<()> {
        self.transaction
            .prepare_cached("UPDATE agents SET last_seen = ?2 WHERE id = ?1")
            .and_then(|mut statement| {
                statement.execute(params![agent_id.to_string(), time_text(now)])
            })
            .while_trying_to("note an agent's sign of life")?;
        Ok(())
    }

    /// After the clock was set, every agent was last heard of as long ago as before.
    pub(crate) fn move_signs_of_life(&self, by: SignedDuration, now: Timestamp) -> Result<()> {
        let all: Vec<(String, String)> = self
            .transaction
            .prepare_cached("SELECT id, last_seen FROM agents")
            .and_then(|mut statement| {
                statement
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .while_trying_to("look for agents")?;
        for (id, last_seen) in all {
            let last_seen: Timestamp = parsed("last_seen", &last_seen)?;
            self.seen(
                parsed("id", &id)?,
                last_seen.saturating_add(by).unwrap_or(now),
            )?;
        }
        Ok(())
    }

    pub(crate) fn agent(&self, id: Uuid, lease: Lease, now: Timestamp) -> Result<Agent> {
        agent_by_id(&self.transaction, id, lease.alive_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use colibri_protocol::{ClaimTask, CreateTask};

    #[test]
    fn agents_are_counted_as_they_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        let lease = Lease(Duration::from_secs(60));
        let long_ago: Timestamp = "2026-11-27T00:00:00Z".parse().unwrap();
        let now = lease.until(long_ago);
        let host: Name = "h".parse().unwrap();
        let mut batch = store.begin().unwrap();
        let mut register = |name: &str, at| {
            let new = RegisterAgent {
                name: name.parse().unwrap(),
                capabilities: [].into(),
                host: None,
                slots: None,
            };
            batch
                .register_agent(&new, &host, "uid:0", lease, at)
                .unwrap()
        };
        register("gone", long_ago);
        register("free", now);
        let at_work = register("at-work", now);
        let task = batch
            .create_task(CreateTask::titled("t"), "uid:0", now)
            .unwrap();
        let claim = ClaimTask {
            task_id: task.id,
            agent_id: at_work.id,
        };
        batch.claim_task(&claim, None, lease, now).unwrap();
        batch.commit().unwrap();

        let reader = store.reader().unwrap();
        let alive_since = lease.alive_since(now);
        let counts = reader.agent_counts(alive_since).unwrap();
        assert_eq!((counts.active, counts.idle, counts.offline), (1, 1, 1));
        let listed = reader.all_agents(alive_since).unwrap();
        let listed = listed
            .iter()
            .map(|agent| (agent.name.as_str(), agent.status));
        assert_eq!(
            listed.collect::<Vec<_>>(),
            [
                ("at-work", AgentStatus::Active),
                ("free", AgentStatus::Idle),
                ("gone", AgentStatus::Offline)
            ]
        );
    }
}
