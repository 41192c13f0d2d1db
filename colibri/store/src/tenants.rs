//! Tenants: registered, moved from status to status, removed; and the agents that belong to them.

use colibri_protocol::{
    Change, Name, RegisterTenant, Removal, SpawnAgent, Tenant, TenantCounts, TenantId,
    TenantNumber, TenantPage, TenantProblem, TenantStatus, TimeSpan,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use uuid::Uuid;

use crate::error::While;
use crate::row::{from_json, get, number, parsed, parsed_if_any, small, time_text, to_json};
use crate::{Batch, Lease, Reader, Result, StoreError};

macro_rules! tenant_columns {
    () => {
        "SELECT tenant_id, number, jail_root, collection, collection_id, limits, status, reason,
            removal, parent, depth, created_by, created_at, ttl, expires_at, idle_after, last_active,
            (SELECT json_group_array(name) FROM (SELECT name FROM tenant_agents
                WHERE tenant_agents.tenant_id = tenants.tenant_id ORDER BY name))
         FROM tenants"
    };
}

const TENANTS: &str = concat!(
    tenant_columns!(),
    " WHERE tenant_id > ?1 ORDER BY tenant_id"
);
const TENANT: &str = concat!(tenant_columns!(), " WHERE tenant_id = ?1");

macro_rules! agent_columns {
    () => {
        "SELECT tenant_agents.tenant_id, spawn, agents.id, wanted
         FROM tenant_agents LEFT JOIN agents ON agents.name = tenant_agents.name"
    };
}

const ALL_AGENTS: &str = concat!(agent_columns!(), " ORDER BY tenant_agents.name");
const AGENT: &str = concat!(agent_columns!(), " WHERE tenant_agents.name = ?1");

/// The smallest number that no tenant has.
const FREE_NUMBER: &str = "
    SELECT min(free) FROM (
        SELECT 1 AS free WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE number = 1)
        UNION ALL
        SELECT number + 1 FROM tenants AS before
        WHERE number < ?1
            AND NOT EXISTS (SELECT 1 FROM tenants WHERE number = before.number + 1)
    )";

/// Which collection a tenant was registered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Its own, if there is a vault.
    Own,
    /// One by its name.
    Named,
    /// None, vault or not.
    None,
}

impl Bucket {
    fn of(new: &RegisterTenant) -> Self {
        match (&new.collection, new.no_collection) {
            (Some(_), _) => Self::Named,
            (None, true) => Self::None,
            (None, false) => Self::Own,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Named => "named",
            Self::None => "none",
        }
    }
}

impl std::str::FromStr for Bucket {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [Self::Own, Self::Named, Self::None]
            .into_iter()
            .find(|bucket| bucket.as_str() == text)
            .ok_or_else(|| "no bucket".to_owned())
    }
}

/// How many tenants agents may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Most tenants of the host together, whoever registered them.
    pub max_tenants: u32,
    /// Most ancestors that are tenants.
    pub max_depth: u32,
    /// Most tenants that agents of one tenant have asked for and that are there.
    pub max_children: u32,
}

/// An agent that belongs to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantAgent {
    /// Whose.
    pub tenant_id: TenantId,
    /// How it is started.
    pub spawn: SpawnAgent,
    /// Who it is on the board, once it was started.
    pub agent_id: Option<Uuid>,
    /// Whether it is started by itself when it is to be there; not once an operator has stopped it.
    pub wanted: bool,
}

/// An agent whose tenant is gone. Its tasks stay with its id; its name is another now, so that nobody who
/// is called the same later reads what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// What it was called.
    pub before: Name,
    /// What it is called now.
    pub now: Name,
}

fn tenant(row: &Row<'_>) -> Result<Tenant> {
    let text = |at: usize| get::<String>(row, at);
    let maybe = |at: usize| get::<Option<String>>(row, at);
    let span = |at: usize| {
        let seconds = get::<Option<u32>>(row, at)?;
        Ok(seconds.and_then(TimeSpan::from_seconds))
    };
    let tenant_id: TenantId = parsed("tenant_id", &text(0)?)?;
    Ok(Tenant {
        jail: tenant_id.clone(),
        tenant_id,
        number: tenant_number(get(row, 1)?)?,
        jail_root: maybe(2)?,
        collection: maybe(3)?,
        collection_id: maybe(4)?,
        limits: from_json("limits", &text(5)?)?,
        status: parsed("status", &text(6)?)?,
        reason: maybe(7)?,
        removal: parsed_if_any("removal", maybe(8)?)?,
        parent: parsed_if_any("parent", maybe(9)?)?,
        depth: small(number(row, 10)?),
        created_by: text(11)?,
        created_at: parsed("created_at", &text(12)?)?,
        ttl: span(13)?,
        expires_at: parsed_if_any("expires_at", maybe(14)?)?,
        idle_after: span(15)?,
        last_active: parsed("last_active", &text(16)?)?,
        agents: from_json("agents", &text(17)?)?,
    })
}

fn tenant_number(number: u16) -> Result<TenantNumber> {
    number.try_into().map_err(|problem| StoreError::Damaged {
        column: "number",
        problem,
    })
}

fn tenant_by_id(connection: &Connection, id: &TenantId) -> Result<Tenant> {
    tenant_if_any(connection, id)?.ok_or_else(|| StoreError::no_tenant(id))
}

fn tenant_if_any(connection: &Connection, id: &TenantId) -> Result<Option<Tenant>> {
    connection
        .prepare_cached(TENANT)
        .and_then(|mut statement| {
            statement
                .query_row([id.as_str()], |row| Ok(tenant(row)))
                .optional()
        })
        .while_trying_to("read a tenant")?
        .transpose()
}

fn tenant_agent(row: &Row<'_>) -> Result<TenantAgent> {
    Ok(TenantAgent {
        tenant_id: parsed("tenant_id", &get::<String>(row, 0)?)?,
        spawn: from_json("spawn", &get::<String>(row, 1)?)?,
        agent_id: parsed_if_any("id", get(row, 2)?)?,
        wanted: get(row, 3)?,
    })
}

fn tenant_agent_by_name(connection: &Connection, name: &Name) -> Result<Option<TenantAgent>> {
    connection
        .prepare_cached(AGENT)
        .and_then(|mut statement| {
            statement
                .query_row([name.as_str()], |row| Ok(tenant_agent(row)))
                .optional()
        })
        .while_trying_to("read a tenant's agent")?
        .transpose()
}

impl Reader {
    /// One page of tenants by id, whose JSON stays below `budget` bytes.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenants(&self, after: Option<&str>, limit: u32, budget: usize) -> Result<TenantPage> {
        let (tenants, next) = self.named_page(TENANTS, after, limit, budget, tenant)?;
        Ok(TenantPage { tenants, next })
    }

    /// All tenants. There are at most as many as there are numbers.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn all_tenants(&self) -> Result<Vec<Tenant>> {
        const WHAT: &str = "list tenants";
        self.connection
            .prepare_cached(TENANTS)
            .while_trying_to(WHAT)?
            .query_map([""], |row| Ok(tenant(row)))
            .while_trying_to(WHAT)?
            .map(|row| row.while_trying_to(WHAT)?)
            .collect()
    }

    /// One tenant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when SQLite refuses.
    pub fn tenant(&self, id: &TenantId) -> Result<Tenant> {
        tenant_by_id(&self.connection, id)
    }

    /// Which collection a tenant was registered with.
    ///
    /// # Errors
    /// When there is no such tenant, or SQLite refuses.
    pub fn bucket(&self, id: &TenantId) -> Result<Bucket> {
        bucket(&self.connection, id)
    }

    /// How many tenants stand where; reads none of them.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_counts(&self) -> Result<TenantCounts> {
        const WHAT: &str = "count tenants";
        let mut counts = TenantCounts::default();
        let mut statement = self
            .connection
            .prepare_cached("SELECT status, count(*) FROM tenants GROUP BY status")
            .while_trying_to(WHAT)?;
        let mut rows = statement.query([]).while_trying_to(WHAT)?;
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            let status = parsed("status", &get::<String>(row, 0)?)?;
            *counts.of_mut(status) = small(number(row, 1)?);
        }
        Ok(counts)
    }

    /// What is wrong with tenants, of at most so many, by id.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_problems(&self, most: u32) -> Result<Vec<TenantProblem>> {
        const WHAT: &str = "look for tenants with problems";
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT tenant_id, status, reason FROM tenants
                 WHERE reason IS NOT NULL ORDER BY tenant_id LIMIT ?1",
            )
            .while_trying_to(WHAT)?;
        let mut rows = statement.query([most]).while_trying_to(WHAT)?;
        let mut problems = Vec::new();
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            problems.push(TenantProblem {
                tenant_id: parsed("tenant_id", &get::<String>(row, 0)?)?,
                status: parsed("status", &get::<String>(row, 1)?)?,
                reason: get(row, 2)?,
            });
        }
        Ok(problems)
    }

    /// The agents of all tenants, by name.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_agents(&self) -> Result<Vec<TenantAgent>> {
        const WHAT: &str = "list the agents of tenants";
        self.connection
            .prepare_cached(ALL_AGENTS)
            .while_trying_to(WHAT)?
            .query_map([], |row| Ok(tenant_agent(row)))
            .while_trying_to(WHAT)?
            .map(|row| row.while_trying_to(WHAT)?)
            .collect()
    }

    /// The agent of this name, if it belongs to a tenant.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_agent(&self, name: &Name) -> Result<Option<TenantAgent>> {
        tenant_agent_by_name(&self.connection, name)
    }

    /// What those agents of a tenant will be called that were ever started, once it is gone.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn as_retired(&self, id: &TenantId) -> Result<Vec<Retired>> {
        const WHAT: &str = "list a tenant's agents";
        self.connection
            .prepare_cached(
                "SELECT agents.name, agents.id FROM agents
                 JOIN tenant_agents ON tenant_agents.name = agents.name
                 WHERE tenant_agents.tenant_id = ?1",
            )
            .while_trying_to(WHAT)?
            .query_map([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .while_trying_to(WHAT)?
            .map(|row| {
                let (name, id): (String, String) = row.while_trying_to(WHAT)?;
                Ok(Retired {
                    before: parsed("name", &name)?,
                    now: parsed("name", &retired(&id))?,
                })
            })
            .collect()
    }
}

fn bucket(connection: &Connection, id: &TenantId) -> Result<Bucket> {
    let bucket: Option<String> = connection
        .query_row(
            "SELECT bucket FROM tenants WHERE tenant_id = ?1",
            [id.as_str()],
            |row| row.get(0),
        )
        .optional()
        .while_trying_to("read a tenant's bucket")?;
    parsed("bucket", &bucket.ok_or_else(|| StoreError::no_tenant(id))?)
}

impl Batch<'_> {
    /// Makes a tenant known, with the smallest free number. One that is known with the same fields is
    /// given back as it is.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is known with other fields, or no number is free.
    pub fn register_tenant(
        &mut self,
        new: &RegisterTenant,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant> {
        if let Some(known) = tenant_if_any(&self.transaction, &new.tenant_id)? {
            return self.as_registered(known, new);
        }
        self.add_tenant(new, None, actor, now)
    }

    /// Makes a tenant known that an agent of `parent` asked for, as one to be provisioned, with an agent
    /// that is to be started in it. Asked for again, it is given back as it is.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], which names the rule: the quota's, or that its name is taken, by a tenant or
    /// by an agent.
    pub fn bear_tenant(
        &mut self,
        new: &RegisterTenant,
        parent: &TenantId,
        quota: Quota,
        agent: &SpawnAgent,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant> {
        let parent = self.tenant(parent)?;
        let refuse = |problem| Err(StoreError::Conflict { problem });
        match tenant_if_any(&self.transaction, &new.tenant_id)? {
            // The reply may have got lost.
            Some(born) if born.parent.as_ref() == Some(&parent.tenant_id) => return Ok(born),
            Some(_) => return refuse(format!("there is a tenant {} already", new.tenant_id)),
            None => {}
        }
        let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            self.transaction
                .query_row(sql, values, |row| row.get::<_, u32>(0))
                .while_trying_to("count tenants")
        };
        let all = count("SELECT count(*) FROM tenants", &[])?;
        let children = count(
            "SELECT count(*) FROM tenants WHERE parent = ?1",
            &[&parent.tenant_id.as_str()],
        )?;
        if parent.depth >= quota.max_depth {
            return refuse(format!(
                "the policy's `max_depth` is {}, and tenant {} is that deep already",
                quota.max_depth, parent.tenant_id
            ));
        }
        if children >= quota.max_children {
            return refuse(format!(
                "the policy's `max_children` is {}, and tenant {} has as many",
                quota.max_children, parent.tenant_id
            ));
        }
        if all >= quota.max_tenants {
            return refuse(format!(
                "the policy's `max_tenants` is {}, and this host has {all}",
                quota.max_tenants
            ));
        }
        // Who is on the board already has a past, which would be the child's.
        let known = count(
            "SELECT count(*) FROM agents WHERE name = ?1",
            &[&agent.name.as_str()],
        )?;
        if known > 0 {
            return refuse(format!("there is an agent {} already", agent.name));
        }
        let born = self.add_tenant(new, Some(&parent), actor, now)?;
        self.tenant_agent_wanted(&born.tenant_id, agent)?;
        let detail = json!({
            "tenant": born.tenant_id, "parent": parent.tenant_id, "depth": born.depth,
            "agent": agent.name,
        });
        self.record(now, actor, "tenant-born", None, &detail)?;
        self.move_tenant(
            &born.tenant_id,
            TenantStatus::Provisioning,
            None,
            actor,
            now,
        )
    }

    fn add_tenant(
        &mut self,
        new: &RegisterTenant,
        parent: Option<&Tenant>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant> {
        const WHAT: &str = "register a tenant";
        let free: Option<u16> = self
            .transaction
            .query_row(FREE_NUMBER, [TenantNumber::MAX], |row| row.get(0))
            .while_trying_to(WHAT)?;
        let free = free.ok_or_else(|| StoreError::Conflict {
            problem: format!(
                "all {} numbers of tenants are taken; remove one first",
                TenantNumber::MAX
            ),
        })?;
        self.transaction
            .execute(
                "INSERT INTO tenants (tenant_id, number, bucket, collection, limits, status, parent,
                    depth, created_by, created_at, ttl, expires_at, idle_after, last_active)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'registered', ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?9)",
                params![
                    new.tenant_id.as_str(),
                    free,
                    Bucket::of(new).as_str(),
                    new.collection,
                    to_json("limits", &new.limits.unwrap_or_default())?,
                    parent.map(|parent| parent.tenant_id.as_str()),
                    parent.map_or(0, |parent| parent.depth.saturating_add(1)),
                    actor,
                    time_text(now),
                    new.ttl.map(TimeSpan::seconds),
                    new.ttl.map(|ttl| time_text(ttl.after(now))),
                    new.idle_after.map(TimeSpan::seconds),
                ],
            )
            .while_trying_to(WHAT)?;
        let detail = json!({ "tenant": new.tenant_id, "number": free });
        self.record(now, actor, "tenant-registered", None, &detail)?;
        self.tell_tenant(&new.tenant_id, Some(TenantStatus::Registered));
        self.tenant(&new.tenant_id)
    }

    /// A tenant that is known already, if it was registered with just these fields.
    fn as_registered(&self, known: Tenant, new: &RegisterTenant) -> Result<Tenant> {
        let bucket = bucket(&self.transaction, &known.tenant_id)?;
        let named =
            |bucket, name: &Option<String>| name.clone().filter(|_| bucket == Bucket::Named);
        let wanted = Bucket::of(new);
        let differs = [
            (
                "collection",
                (bucket, named(bucket, &known.collection))
                    != (wanted, named(wanted, &new.collection)),
            ),
            ("limits", known.limits != new.limits.unwrap_or_default()),
            ("ttl", known.ttl != new.ttl),
            ("idle_after", known.idle_after != new.idle_after),
        ];
        let differs: Vec<_> = differs
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(field, _)| format!("`{field}`"))
            .collect();
        let problem = if known.status == TenantStatus::Removing {
            format!("tenant {} is being removed", known.tenant_id)
        } else if differs.is_empty() {
            return Ok(known);
        } else {
            format!(
                "tenant {} is registered with another {}; remove it first, or register it as it is",
                known.tenant_id,
                differs.join(" and another ")
            )
        };
        Err(StoreError::Conflict { problem })
    }

    /// Moves a tenant to another status, or gives the one that it has another reason; see
    /// [`TenantStatus::may_become`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Conflict`] when it may not go there from where it is.
    pub fn move_tenant(
        &mut self,
        id: &TenantId,
        to: TenantStatus,
        reason: Option<&str>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant> {
        let from = self.tenant(id)?;
        if !from.status.may_become(to) {
            return Err(StoreError::Conflict {
                problem: format!("tenant {id} is {}; it cannot become {to}", from.status),
            });
        }
        if from.status == to && from.reason.as_deref() == reason {
            return Ok(from);
        }
        self.transaction
            .execute(
                "UPDATE tenants SET status = ?3, reason = ?4 WHERE tenant_id = ?1 AND status = ?2",
                params![id.as_str(), from.status.as_str(), to.as_str(), reason],
            )
            .while_trying_to("move a tenant")?;
        let kind = format!("tenant-{to}");
        let detail = json!({ "tenant": id, "from": from.status, "to": to, "note": reason });
        self.record(now, actor, &kind, None, &detail)?;
        self.tell_tenant(id, Some(to));
        self.tenant(id)
    }

    /// Begins to remove a tenant. One that is being removed already goes on as it was begun.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when SQLite refuses.
    pub fn begin_removal(
        &mut self,
        id: &TenantId,
        removal: Removal,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant> {
        let from = self.tenant(id)?;
        if from.status == TenantStatus::Removing {
            return Ok(from);
        }
        self.transaction
            .execute(
                "UPDATE tenants SET status = 'removing', removal = ?2, reason = NULL
                 WHERE tenant_id = ?1",
                params![id.as_str(), removal.as_str()],
            )
            .while_trying_to("begin to remove a tenant")?;
        let detail = json!({ "tenant": id, "from": from.status, "removal": removal });
        self.record(now, actor, "tenant-removing", None, &detail)?;
        self.tell_tenant(id, Some(TenantStatus::Removing));
        self.tenant(id)
    }

    /// Forgets a tenant whose jail is gone, and retires its agents: what they held goes back, and their
    /// names are free. [`Reader::as_retired`] says what is called how then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Conflict`] when it is not being removed.
    pub fn end_removal(
        &mut self,
        id: &TenantId,
        lease: Lease,
        actor: &str,
        now: Timestamp,
    ) -> Result<()> {
        let tenant = self.tenant(id)?;
        if tenant.status != TenantStatus::Removing {
            return Err(StoreError::Conflict {
                problem: format!("tenant {id} is {}, not being removed", tenant.status),
            });
        }
        for name in &tenant.agents {
            self.retire(name, lease, now)?;
        }
        self.transaction
            .execute("DELETE FROM tenants WHERE tenant_id = ?1", [id.as_str()])
            .while_trying_to("remove a tenant")?;
        let detail = json!({
            "tenant": id, "number": tenant.number, "removal": tenant.removal, "agents": tenant.agents,
        });
        self.record(now, actor, "tenant-removed", None, &detail)?;
        self.tell_tenant(id, None);
        Ok(())
    }

    fn retire(&mut self, name: &Name, lease: Lease, now: Timestamp) -> Result<()> {
        let id: Option<String> = self
            .transaction
            .query_row(
                "SELECT id FROM agents WHERE name = ?1",
                [name.as_str()],
                |row| row.get(0),
            )
            .optional()
            .while_trying_to("look for a tenant's agent")?;
        let Some(id) = id else {
            return Ok(());
        };
        self.agent_ended(parsed("id", &id)?, lease, now)?;
        self.transaction
            .execute(
                "UPDATE agents SET name = ?2, takes_tasks = 0 WHERE id = ?1",
                params![id, retired(&id)],
            )
            .while_trying_to("retire a tenant's agent")?;
        Ok(())
    }

    /// A tenant's jail lies there.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_has_jail(&self, id: &TenantId, root: &str) -> Result<()> {
        self.set(
            id,
            "UPDATE tenants SET jail_root = ?2 WHERE tenant_id = ?1",
            root,
        )
    }

    /// A tenant whose collection was to be its own has one: a vault is configured.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_has_collection(&self, id: &TenantId, name: &str) -> Result<()> {
        self.set(
            id,
            "UPDATE tenants SET collection = ?2 WHERE tenant_id = ?1 AND bucket = 'own'",
            name,
        )
    }

    /// A tenant's secrets came from the collection with this id.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_has_secrets(&self, id: &TenantId, collection_id: &str) -> Result<()> {
        self.set(
            id,
            "UPDATE tenants SET collection_id = ?2 WHERE tenant_id = ?1",
            collection_id,
        )
    }

    /// A tenant did something at that time.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_was_active(&self, id: &TenantId, at: Timestamp) -> Result<()> {
        self.set(
            id,
            "UPDATE tenants SET last_active = max(last_active, ?2) WHERE tenant_id = ?1",
            &time_text(at),
        )
    }

    fn set(&self, id: &TenantId, sql: &str, value: &str) -> Result<()> {
        self.transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params![id.as_str(), value]))
            .while_trying_to("note something of a tenant")?;
        Ok(())
    }

    /// An agent belongs to a tenant from now on, and is started like this when it is to be there.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one of its name belongs to another tenant.
    pub fn tenant_agent_wanted(&mut self, id: &TenantId, spawn: &SpawnAgent) -> Result<()> {
        let known = tenant_agent_by_name(&self.transaction, &spawn.name)?;
        if let Some(other) = known.filter(|known| known.tenant_id != *id) {
            return Err(StoreError::Conflict {
                problem: format!(
                    "agent {} belongs to tenant {}; choose another name",
                    spawn.name, other.tenant_id
                ),
            });
        }
        // What it is asked first it was asked; it is not asked again by itself.
        let spawn = SpawnAgent {
            prompt: None,
            ..spawn.clone()
        };
        self.transaction
            .execute(
                "INSERT INTO tenant_agents (name, tenant_id, spawn, wanted) VALUES (?1, ?2, ?3, 1)
                 ON CONFLICT (name) DO UPDATE SET spawn = excluded.spawn, wanted = 1",
                params![spawn.name.as_str(), id.as_str(), to_json("spawn", &spawn)?],
            )
            .while_trying_to("note a tenant's agent")?;
        Ok(())
    }

    /// An agent was stopped by an operator: if it is a tenant's, it is not started again by itself.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tenant_agent_unwanted(&self, name: &Name) -> Result<()> {
        self.transaction
            .execute(
                "UPDATE tenant_agents SET wanted = 0 WHERE name = ?1",
                [name.as_str()],
            )
            .while_trying_to("note that a tenant's agent is not wanted")?;
        Ok(())
    }

    fn tenant(&self, id: &TenantId) -> Result<Tenant> {
        tenant_by_id(&self.transaction, id)
    }

    fn tell_tenant(&mut self, id: &TenantId, status: Option<TenantStatus>) {
        self.tell(Change::Tenant {
            tenant_id: id.clone(),
            status,
        });
    }
}

/// The name of an agent whose tenant is gone.
fn retired(id: &str) -> String {
    format!("removed-{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_board::{Board, LEASE};
    use colibri_protocol::{CreateTask, Runtime, TaskStatus, TenantLimits};
    use proptest::prelude::*;

    const QUOTA: Quota = Quota {
        max_tenants: 4,
        max_depth: 2,
        max_children: 2,
    };

    fn id(text: &str) -> TenantId {
        text.parse().unwrap()
    }

    fn spawn(name: &str, tenant: &str) -> SpawnAgent {
        SpawnAgent {
            name: name.parse().unwrap(),
            runtime: Runtime::Pi,
            program: "/usr/local/bin/pi".into(),
            args: None,
            cwd: None,
            prompt: Some("Hello".to_owned()),
            capabilities: [].into(),
            restart: true,
            tenant: Some(id(tenant)),
        }
    }

    impl Board {
        fn register(&mut self, new: &RegisterTenant) -> Result<Tenant> {
            let now = self.now;
            self.store.change(|b| b.register_tenant(new, "uid:0", now))
        }

        fn named(&mut self, name: &str) -> Tenant {
            self.register(&RegisterTenant::named(id(name))).unwrap()
        }

        fn to(&mut self, name: &str, to: TenantStatus, reason: Option<&str>) -> Result<Tenant> {
            let now = self.now;
            self.store
                .change(|b| b.move_tenant(&id(name), to, reason, "daemon", now))
        }

        fn bear(&mut self, name: &str, parent: &str) -> Result<Tenant> {
            let (new, now) = (RegisterTenant::named(id(name)), self.now);
            let agent = spawn(name, name);
            self.store
                .change(|b| b.bear_tenant(&new, &id(parent), QUOTA, &agent, "agent:a", now))
        }

        fn remove_tenant(&mut self, name: &str) {
            let now = self.now;
            self.store
                .change(|b| {
                    b.begin_removal(&id(name), Removal::Destroy, "uid:0", now)?;
                    b.end_removal(&id(name), LEASE, "uid:0", now)
                })
                .unwrap();
        }

        fn kinds(&self) -> Vec<String> {
            self.store
                .connection
                .prepare("SELECT kind FROM events ORDER BY seq")
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .collect::<rusqlite::Result<_>>()
                .unwrap()
        }
    }

    #[test]
    fn registering_again_is_the_same_and_otherwise_a_conflict() {
        let mut board = Board::new();
        let new = RegisterTenant {
            collection: Some("Keys of main".to_owned()),
            ttl: "2h".parse().ok(),
            idle_after: "30m".parse().ok(),
            ..RegisterTenant::named(id("main"))
        };
        let first = board.register(&new).unwrap();
        assert_eq!(
            (first.number.get(), first.status),
            (1, TenantStatus::Registered)
        );
        assert_eq!(
            first.expires_at.unwrap().to_string(),
            "2026-11-27T02:00:00Z"
        );
        assert_eq!(first.collection.as_deref(), Some("Keys of main"));
        board.now += jiff::SignedDuration::from_secs(60);
        assert_eq!(board.register(&new).unwrap(), first);
        assert_eq!(board.kinds(), ["tenant-registered"]);
        for (other, field) in [
            (
                RegisterTenant {
                    collection: None,
                    ..new.clone()
                },
                "`collection`",
            ),
            (
                RegisterTenant {
                    collection: None,
                    no_collection: true,
                    ..new.clone()
                },
                "`collection`",
            ),
            (
                RegisterTenant {
                    ttl: None,
                    ..new.clone()
                },
                "`ttl`",
            ),
            (
                RegisterTenant {
                    idle_after: None,
                    ..new.clone()
                },
                "`idle_after`",
            ),
            (
                RegisterTenant {
                    limits: Some(TenantLimits {
                        tasks: 99,
                        ..TenantLimits::default()
                    }),
                    ..new.clone()
                },
                "`limits`",
            ),
        ] {
            let error = board.register(&other).unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }));
            assert!(error.to_string().contains(field), "{error}");
        }
        // Its own collection it has once there is a vault, and it is registered as it was then, too.
        let own = board.named("own");
        assert_eq!(own.collection, None);
        board
            .store
            .change(|b| b.tenant_has_collection(&id("own"), "own"))
            .unwrap();
        board
            .store
            .change(|b| b.tenant_has_collection(&id("main"), "main"))
            .unwrap();
        assert_eq!(board.named("own").collection.as_deref(), Some("own"));
        assert_eq!(board.register(&new).unwrap().collection, first.collection);
        let reader = board.reader();
        assert_eq!(reader.bucket(&id("own")).unwrap(), Bucket::Own);
        assert_eq!(reader.bucket(&id("main")).unwrap(), Bucket::Named);
        assert!(reader.bucket(&id("nobody")).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn numbers_are_the_smallest_free_ones(steps in proptest::collection::vec(0_u8..12, 1..40)) {
            let mut board = Board::new();
            let mut there = std::collections::BTreeMap::new();
            for step in steps {
                let name = format!("t{step}");
                if there.remove(&name).is_some() {
                    board.remove_tenant(&name);
                    continue;
                }
                let number = board.named(&name).number.get();
                let free = (1..).find(|free| !there.values().any(|taken| taken == free));
                prop_assert_eq!(Some(number), free);
                there.insert(name, number);
            }
            let counts = board.reader().tenant_counts().unwrap();
            prop_assert_eq!(counts.registered as usize, there.len());
        }
    }

    #[test]
    fn when_all_numbers_are_taken_it_says_so() {
        let mut board = Board::new();
        board
            .store
            .connection
            .execute_batch(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
                 INSERT INTO tenants (tenant_id, number, bucket, limits, status, depth, created_by,
                    created_at, last_active)
                 SELECT 't' || n, n, 'own', '{}', 'active', 0, 'uid:0', '2026-11-27T00:00:00.000Z',
                    '2026-11-27T00:00:00.000Z' FROM n",
            )
            .unwrap();
        let error = board
            .register(&RegisterTenant::named(id("late")))
            .unwrap_err();
        assert!(error.to_string().contains("all 4000 numbers"), "{error}");
        board.remove_tenant("t1234");
        assert_eq!(board.named("late").number.get(), 1234);
        let page = board.reader().tenants(None, 2, usize::MAX).unwrap();
        assert_eq!(page.next.as_deref(), Some("t1"));
        let rest = board
            .reader()
            .tenants(page.next.as_deref(), 1, usize::MAX)
            .unwrap();
        assert_eq!(rest.tenants[0].tenant_id.as_str(), "t10");
    }

    #[test]
    fn a_tenant_goes_only_where_it_may_and_each_step_is_an_event() {
        use TenantStatus::{Active, Failed, Provisioned, Provisioning, Stopped};
        let mut board = Board::new();
        board.named("main");
        for to in [Active, Provisioned, Failed, Stopped] {
            let error = board.to("main", to, Some("why")).unwrap_err();
            assert!(error.to_string().contains("main is registered"), "{error}");
        }
        board.to("main", Provisioning, None).unwrap();
        let failed = board
            .to("main", Failed, Some("no such collection"))
            .unwrap();
        assert_eq!(failed.reason.as_deref(), Some("no such collection"));
        let problems = board.reader().tenant_problems(9).unwrap();
        assert_eq!((problems.len(), problems[0].status), (1, Failed));
        let again = board.to("main", Provisioning, None).unwrap();
        assert_eq!(again.reason, None);
        // Said twice, it is one step.
        board.to("main", Provisioning, None).unwrap();
        for to in [Provisioned, Active, Stopped, Provisioned] {
            board.to("main", to, None).unwrap();
        }
        assert_eq!(board.reader().tenant_counts().unwrap().provisioned, 1);
        assert_eq!(
            board.kinds(),
            [
                "tenant-registered",
                "tenant-provisioning",
                "tenant-failed",
                "tenant-provisioning",
                "tenant-provisioned",
                "tenant-active",
                "tenant-stopped",
                "tenant-provisioned",
            ]
        );
        let refused = board
            .store
            .connection
            .execute("UPDATE events SET actor = 'x'", []);
        assert!(refused.unwrap_err().to_string().contains("append-only"));
        assert!(
            board
                .to("nobody", Active, None)
                .unwrap_err()
                .to_string()
                .contains("tenant nobody")
        );
    }

    #[test]
    fn births_are_counted_where_they_are_written() {
        let mut board = Board::new();
        board.named("main");
        let first = board.bear("first", "main").unwrap();
        assert_eq!((first.depth, first.status), (1, TenantStatus::Provisioning));
        assert_eq!(first.parent, Some(id("main")));
        let agent = board
            .reader()
            .tenant_agent(&"first".parse().unwrap())
            .unwrap()
            .unwrap();
        assert_eq!((agent.tenant_id, agent.spawn.prompt), (id("first"), None));
        let says =
            |board: &mut Board, name, parent| board.bear(name, parent).unwrap_err().to_string();
        assert_eq!(board.bear("first", "main").unwrap(), first);
        assert!(says(&mut board, "main", "first").contains("a tenant main already"));
        assert!(says(&mut board, "x1", "nobody").contains("no tenant nobody"));
        // A name that is an agent's is not a child's, whose agent would be taken for that one.
        board.agent("second", "");
        assert!(says(&mut board, "second", "main").contains("an agent second already"));
        assert!(board.reader().tenant(&id("second")).is_err());
        board
            .store
            .connection
            .execute("DELETE FROM agents WHERE name = 'second'", [])
            .unwrap();
        board.bear("second", "main").unwrap();
        assert!(says(&mut board, "third", "main").contains("`max_children` is 2"));
        board.bear("deep", "first").unwrap();
        assert!(says(&mut board, "deeper", "deep").contains("`max_depth` is 2"));
        assert!(says(&mut board, "third", "second").contains("`max_tenants` is 4"));
        // Whose parent is gone is not forgotten.
        board.remove_tenant("first");
        let deep = board.reader().tenant(&id("deep")).unwrap();
        assert_eq!((deep.parent, deep.depth), (Some(id("first")), 2));
        assert!(says(&mut board, "deeper", "deep").contains("`max_depth`"));
        board.bear("third", "main").unwrap();
        assert_eq!(
            board
                .kinds()
                .iter()
                .filter(|kind| *kind == "tenant-born")
                .count(),
            4
        );
    }

    #[test]
    fn a_removed_tenants_agents_are_nobody_any_more() {
        let mut board = Board::new();
        board.named("main");
        board.named("other");
        let ada = board.agent("ada", "");
        board
            .store
            .change(|b| b.tenant_agent_wanted(&id("main"), &spawn("ada", "main")))
            .unwrap();
        let taken = board
            .store
            .change(|b| b.tenant_agent_wanted(&id("other"), &spawn("ada", "other")));
        assert!(
            taken
                .unwrap_err()
                .to_string()
                .contains("belongs to tenant main")
        );
        let now = board.now;
        let task = board
            .store
            .change(|b| b.create_task(CreateTask::titled("t"), "uid:0", now))
            .unwrap();
        board.claim(&task, &ada).unwrap();
        // One that an operator has stopped is the tenant's all the same.
        let name: Name = "ada".parse().unwrap();
        let wanted = |board: &Board| board.reader().tenant_agent(&name).unwrap().unwrap().wanted;
        assert!(wanted(&board));
        board
            .store
            .change(|b| b.tenant_agent_unwanted(&name))
            .unwrap();
        assert!(!wanted(&board));
        assert_eq!(
            board.reader().tenant(&id("main")).unwrap().agents,
            std::slice::from_ref(&name)
        );
        let retired = board.reader().as_retired(&id("main")).unwrap();
        let refused = board
            .store
            .change(|b| b.end_removal(&id("main"), LEASE, "uid:0", now));
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("not being removed")
        );
        board.remove_tenant("main");
        let task = board.reader().task(task.id).unwrap().task;
        assert_eq!((task.status, task.agent_id), (TaskStatus::Queued, None));
        let names: Vec<_> = board
            .reader()
            .all_agents(LEASE.alive_since(now))
            .unwrap()
            .into_iter()
            .map(|agent| (agent.name, agent.slots))
            .collect();
        let gone: Name = format!("removed-{}", ada.id).parse().unwrap();
        assert_eq!(names, [(gone.clone(), 0)]);
        assert_eq!(
            retired,
            [Retired {
                before: "ada".parse().unwrap(),
                now: gone
            }]
        );
        assert_eq!(board.reader().tenant_agents().unwrap(), []);
        assert_ne!(board.agent("ada", "").id, ada.id);
    }
}
