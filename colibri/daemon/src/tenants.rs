//! The life of tenants: what the [root helper](hostd) does for each, in which order, and what of it
//! stands in the database.
//!
//! Whatever is done to a tenant is done in its turn, one thing at a time. The database is written before
//! the helper is asked, and after it has answered; everything that the helper is asked can be asked
//! again. So whatever a daemon that was killed has left half done, the next one finishes: see [`sweep`].
//!
//! No agent is started in a tenant that lacks its jail or its secrets.

pub(crate) mod hostd;
mod policy;
pub(crate) mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use colibri_host::{
    AgentProgram, ErrorKind as HostKind, JailRequest, Provision, Reply, Request, TenantRequest,
};
use colibri_protocol::{
    CostMode, ErrorKind, Name, OneTenant, PaneSnapshot, Removal, RemoveTenant, ReplyError,
    RequestTenant, SpawnAgent, StopAgent, Tenant, TenantId, TenantRemoval, TenantRotation,
    TenantSecrets, TenantStatus,
};
use colibri_store::{Batch, Bucket, StoreError};
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedMutexGuard};

use self::hostd::{Hostd, Trouble, unexpected};
use self::policy::Policy;
use crate::config::Config;
use crate::rights::AgentIdentity;
use crate::server::Service;

/// Who does what nobody asked for just now.
const ACTOR: &str = "daemon";

/// Turns that are kept; of more, those that nobody has or waits for are forgotten.
const MOST_TURNS: usize = 1024;

/// What is needed for all tenants.
#[derive(Debug)]
pub(crate) struct Tenants {
    pub(crate) hostd: Hostd,
    policy: PathBuf,
    turns: Mutex<BTreeMap<TenantId, Arc<tokio::sync::Mutex<()>>>>,
    /// Agents that did not end by themselves but were stopped, and are started when something is for them.
    stopped: Mutex<BTreeSet<Name>>,
    /// Rung when the sweep should not wait for its time.
    bell: Notify,
    /// The agent that comes with the daemon was started in its tenant, or is not to be.
    autospawned: AtomicBool,
}

/// Nobody else does anything to the tenant as long as it is held.
type Turn = OwnedMutexGuard<()>;

impl Tenants {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            hostd: Hostd::new(config.hostd.clone()),
            policy: config.policy.clone(),
            turns: Mutex::default(),
            stopped: Mutex::default(),
            bell: Notify::new(),
            autospawned: AtomicBool::new(false),
        }
    }

    fn stopped(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(&self, id: &TenantId) -> Turn {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= MOST_TURNS {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry(id.clone()).or_default())
        };
        turn.lock_owned().await
    }
}

/// Makes a tenant's jail and fetches its secrets, or mends what is there.
///
/// # Errors
/// `not-found`, `conflict` while it is being removed, or `host`.
pub(crate) async fn provision(
    which: OneTenant,
    actor: &str,
    service: &Service,
) -> Result<Tenant, ReplyError> {
    let id = which.tenant_id;
    let _turn = service.tenants.turn(&id).await;
    bring_up(&id, actor, false, service).await
}

/// The same in its turn. `by_itself`: nobody waits for the outcome, and what may pass is left for the next
/// time.
async fn bring_up(
    id: &TenantId,
    actor: &str,
    by_itself: bool,
    service: &Service,
) -> Result<Tenant, ReplyError> {
    let tenant = read(id, service).await?;
    let tenant = match tenant.status {
        TenantStatus::Removing => return Err(is_removing(id)),
        TenantStatus::Provisioned | TenantStatus::Active | TenantStatus::Stopped => {
            let mended = mend(&tenant, service).await;
            return match mended {
                Ok(()) => {
                    started(&tenant, service).await?;
                    start_all(id, service).await;
                    read(id, service).await
                }
                Err(trouble) => Err(fail(&tenant, trouble, service).await),
            };
        }
        TenantStatus::Registered | TenantStatus::Failed | TenantStatus::Provisioning => {
            go(
                id,
                TenantStatus::Provisioning,
                tenant_reason(&tenant),
                actor,
                service,
            )
            .await?
        }
    };
    match make(&tenant, service).await {
        Ok(()) => {
            go(id, TenantStatus::Provisioned, None, actor, service).await?;
            start_all(id, service).await;
            read(id, service).await
        }
        Err(trouble) if by_itself && trouble.may_pass => {
            let reason = trouble.to_string();
            go(id, TenantStatus::Provisioning, Some(reason), ACTOR, service).await?;
            Err(trouble.into())
        }
        Err(trouble) => Err(fail(&tenant, trouble, service).await),
    }
}

/// While it is tried again, it is still told why it has to be.
fn tenant_reason(tenant: &Tenant) -> Option<String> {
    let is_tried_again = tenant.status == TenantStatus::Provisioning;
    tenant.reason.clone().filter(|_| is_tried_again)
}

/// The jail, then the secrets, then it runs.
async fn make(tenant: &Tenant, service: &Service) -> Result<(), Trouble> {
    make_jail(tenant, service).await?;
    if let Some(collection) = collection(tenant, service).await? {
        fetch(tenant, &collection, false, service).await?;
    }
    start_jail(&tenant.tenant_id, service).await
}

async fn mend(tenant: &Tenant, service: &Service) -> Result<(), Trouble> {
    make_jail(tenant, service).await?;
    start_jail(&tenant.tenant_id, service).await
}

async fn make_jail(tenant: &Tenant, service: &Service) -> Result<(), Trouble> {
    let request = Request::CreateJail(JailRequest {
        tenant: tenant.tenant_id.clone(),
        number: tenant.number,
        limits: tenant.limits,
    });
    let reply = service.tenants.hostd.ask(request).await;
    let root = match reply.map_err(|trouble| trouble.while_trying_to("make its jail"))? {
        Reply::Jail(jail) => jail.root,
        other => return Err(unexpected(&other)),
    };
    let id = tenant.tenant_id.clone();
    note(service, move |batch| batch.tenant_has_jail(&id, &root)).await;
    Ok(())
}

async fn start_jail(id: &TenantId, service: &Service) -> Result<(), Trouble> {
    let request = Request::StartJail(about(id));
    let reply = service.tenants.hostd.ask(request).await;
    match reply.map_err(|trouble| trouble.while_trying_to("start its jail"))? {
        Reply::Jail(_) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// The collection that a tenant's secrets come from. One whose collection is to be its own gets it as soon
/// as there is a vault, and keeps it.
async fn collection(tenant: &Tenant, service: &Service) -> Result<Option<String>, Trouble> {
    if tenant.collection.is_some() {
        return Ok(tenant.collection.clone());
    }
    let id = tenant.tenant_id.clone();
    let bucket = service.board.read(move |reader| reader.bucket(&id)).await;
    let bucket =
        bucket.map_err(|error| Trouble::from(error).while_trying_to("see whose secrets it has"))?;
    if bucket != Bucket::Own {
        return Ok(None);
    }
    let facts = service.tenants.hostd.facts(None).await;
    let facts = facts.map_err(|trouble| trouble.while_trying_to("ask for the vault"))?;
    if !facts.vault {
        tracing::info!(tenant = %tenant.tenant_id, "no vault is configured: it has no secrets from one");
        return Ok(None);
    }
    let (id, name) = (tenant.tenant_id.clone(), tenant.tenant_id.to_string());
    let kept = name.clone();
    note(service, move |batch| {
        batch.tenant_has_collection(&id, &kept)
    })
    .await;
    Ok(Some(name))
}

/// Gives back whether the secrets are others than before. `fresh`: what the host remembers of the vault is not
/// good enough.
async fn fetch(
    tenant: &Tenant,
    collection: &str,
    fresh: bool,
    service: &Service,
) -> Result<bool, Trouble> {
    let request = Request::Provision(Provision {
        tenant: tenant.tenant_id.clone(),
        collection: collection.to_owned(),
        fresh,
    });
    let reply = service.tenants.hostd.ask(request).await;
    let reply = reply.map_err(|trouble| trouble.while_trying_to("fetch its secrets"))?;
    let Reply::Provisioned(fetched) = reply else {
        return Err(unexpected(&reply));
    };
    tracing::info!(
        tenant = %tenant.tenant_id,
        changed = fetched.changed,
        "has its secrets: {}",
        fetched.names.join(", ")
    );
    let id = tenant.tenant_id.clone();
    note(service, move |batch| {
        batch.tenant_has_secrets(&id, &fetched.collection_id)
    })
    .await;
    Ok(fetched.changed)
}

/// Its jail runs.
async fn started(tenant: &Tenant, service: &Service) -> Result<(), ReplyError> {
    let id = &tenant.tenant_id;
    was_active(id, Timestamp::now(), service).await;
    if tenant.status == TenantStatus::Stopped {
        go(id, TenantStatus::Provisioned, None, ACTOR, service).await?;
    }
    Ok(())
}

/// Notes why a tenant cannot be used. A helper that does not answer says nothing about a tenant that was
/// ready before.
async fn fail(tenant: &Tenant, trouble: Trouble, service: &Service) -> ReplyError {
    if !(tenant.status.is_ready() && trouble.may_pass) {
        tracing::error!(tenant = %tenant.tenant_id, "{trouble}");
        let (id, reason) = (&tenant.tenant_id, Some(trouble.to_string()));
        if let Err(error) = go(id, TenantStatus::Failed, reason, ACTOR, service).await {
            tracing::error!(tenant = %id, "that it failed is not noted: {error}");
        }
    }
    trouble.into()
}

/// Fetches a tenant's secrets anew, and starts its agents anew when they are others now.
///
/// # Errors
/// `not-found`, `conflict` when it has no jail or no collection, or `host`; its secrets of before stay.
pub(crate) async fn rotate(
    which: OneTenant,
    mode: CostMode,
    service: &Service,
) -> Result<TenantRotation, ReplyError> {
    let id = which.tenant_id;
    let _turn = service.tenants.turn(&id).await;
    let tenant = read(&id, service).await?;
    refuse_unready(&tenant)?;
    let collection = collection(&tenant, service).await?.ok_or_else(|| {
        let text = format!("tenant {id} has no collection in a vault: there is nothing to fetch");
        ReplyError::new(ErrorKind::Conflict, text)
    })?;
    // What somebody has just changed in the vault, and not what is remembered of it.
    let changed = fetch(&tenant, &collection, true, service).await?;
    let (mut restarted, mut failed) = (Vec::new(), None);
    if changed {
        // All of them, whatever becomes of one: none goes on with secrets of before, and the next time
        // nothing would be seen to have changed.
        for agent in service.panes.running_of(&id) {
            match start_anew(&id, &agent, mode, service).await {
                Ok(true) => restarted.push(agent),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(tenant = %id, %agent, "not started anew: {error}");
                    failed.get_or_insert(error);
                }
            }
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(TenantRotation {
        tenant: read(&id, service).await?,
        changed,
        restarted,
    })
}

/// Stops an agent of a tenant and starts it again; not one that is nobody's any more.
async fn start_anew(
    id: &TenantId,
    agent: &Name,
    mode: CostMode,
    service: &Service,
) -> Result<bool, ReplyError> {
    let Some(spawn) = kept_agent(agent, service).await? else {
        return Ok(false);
    };
    halt(agent, service).await?;
    start_agent(id, spawn, ACTOR, mode, service).await?;
    Ok(true)
}

/// Stops an agent until something is for it.
async fn halt(agent: &Name, service: &Service) -> Result<(), ReplyError> {
    service.tenants.stopped().insert(agent.clone());
    let which = StopAgent {
        agent: agent.clone(),
    };
    service.panes.stop(&which).await?;
    Ok(())
}

/// The names of a tenant's secrets.
///
/// # Errors
/// `not-found` or `host`.
pub(crate) async fn secrets(
    which: OneTenant,
    service: &Service,
) -> Result<TenantSecrets, ReplyError> {
    let tenant_id = which.tenant_id;
    read(&tenant_id, service).await?;
    let request = Request::ListSecrets(about(&tenant_id));
    match service.tenants.hostd.ask(request).await? {
        Reply::Secrets(secrets) => Ok(TenantSecrets {
            tenant_id,
            names: secrets.names,
        }),
        other => Err(unexpected(&other).into()),
    }
}

/// Removes a tenant with everything that it has, or says what that would be.
///
/// # Errors
/// `not-found`, or `host`: then it is still being removed, and tried again.
pub(crate) async fn remove(
    which: RemoveTenant,
    actor: &str,
    service: &Service,
) -> Result<TenantRemoval, ReplyError> {
    let _turn = service.tenants.turn(&which.tenant_id).await;
    remove_in_turn(which, actor, service).await
}

async fn remove_in_turn(
    which: RemoveTenant,
    actor: &str,
    service: &Service,
) -> Result<TenantRemoval, ReplyError> {
    let id = which.tenant_id;
    let tenant = read(&id, service).await?;
    // One that is being removed already goes on as it was begun.
    let removal = tenant.removal.unwrap_or(which.removal);
    let mut archive = None;
    if !which.dry_run {
        let (of, by) = (id.clone(), actor.to_owned());
        let begun =
            move |batch: &mut Batch<'_>| batch.begin_removal(&of, removal, &by, Timestamp::now());
        let begun = service.board.change(begun).await?;
        archive = finish_removal(&begun, removal, actor, service).await?;
    }
    Ok(TenantRemoval {
        tenant,
        removal,
        dry_run: which.dry_run,
        archive,
    })
}

/// Everything behind the beginning of a removal, which can be done again and again.
async fn finish_removal(
    tenant: &Tenant,
    removal: Removal,
    actor: &str,
    service: &Service,
) -> Result<Option<String>, ReplyError> {
    let id = &tenant.tenant_id;
    for agent in service.panes.running_of(id) {
        service.panes.stop(&StopAgent { agent }).await?;
    }
    let request = match removal {
        Removal::Archive => Request::ArchiveJail(about(id)),
        Removal::Destroy => Request::DestroyJail(about(id)),
    };
    let archive = match service.tenants.hostd.ask(request).await {
        Ok(Reply::Gone { archive }) => archive,
        Ok(other) => return Err(not_removed(id, unexpected(&other), service).await),
        // It never had a jail, or an earlier attempt came this far.
        Err(trouble) if trouble.kind == Some(HostKind::NotFound) => None,
        Err(trouble) => return Err(not_removed(id, trouble, service).await),
    };
    let of = id.clone();
    let retired = service
        .board
        .read(move |reader| reader.as_retired(&of))
        .await?;
    service.panes.retire(retired, removal).await?;
    let is_its = |name: &Name| tenant.agents.contains(name);
    service.tenants.stopped().retain(|name| !is_its(name));
    let (of, by, lease) = (id.clone(), actor.to_owned(), service.config.lease);
    let ended = move |batch: &mut Batch<'_>| batch.end_removal(&of, lease, &by, Timestamp::now());
    service.board.change(ended).await?;
    tracing::info!(tenant = %id, "removed");
    Ok(archive)
}

async fn not_removed(id: &TenantId, trouble: Trouble, service: &Service) -> ReplyError {
    let trouble = trouble.while_trying_to("remove its jail");
    tracing::error!(tenant = %id, "{trouble}");
    let reason = Some(trouble.to_string());
    if let Err(error) = go(id, TenantStatus::Removing, reason, ACTOR, service).await {
        tracing::error!(tenant = %id, "why it is not removed is not noted: {error}");
    }
    trouble.into()
}

/// An agent asks for another tenant; which is provisioned in the background.
///
/// # Errors
/// `forbidden` or `conflict`, naming the rule.
pub(crate) async fn request(
    wish: RequestTenant,
    agent: Option<&AgentIdentity>,
    service: &Service,
) -> Result<Tenant, ReplyError> {
    let agent = agent.and_then(|agent| Some((agent, agent.tenant.clone()?)));
    let (agent, parent) = agent.ok_or_else(|| {
        let text = "only an agent in a tenant's jail asks for another; register-tenant makes one";
        ReplyError::new(ErrorKind::BadRequest, text)
    })?;
    let path = service.tenants.policy.clone();
    let policy = tokio::task::spawn_blocking(move || Policy::read(&path)?.allowed());
    let allowed = policy
        .await
        .map_err(|error| ReplyError::new(ErrorKind::Internal, error.to_string()))??;
    let new = allowed.birth(&wish, &read(&parent, service).await?)?;
    let model = kept_agent(&agent.name, service).await?.ok_or_else(|| {
        let text = format!(
            "agent {} is no agent of tenant {parent} any more",
            agent.name
        );
        ReplyError::new(ErrorKind::Conflict, text)
    })?;
    let child = SpawnAgent {
        name: new.tenant_id.clone().into(),
        tenant: Some(new.tenant_id.clone()),
        restart: true,
        ..model
    };
    let (actor, quota) = (format!("agent:{}", agent.name), allowed.quota);
    let born = service
        .board
        .change(move |batch| {
            batch.bear_tenant(&new, &parent, quota, &child, &actor, Timestamp::now())
        })
        .await?;
    tracing::info!(tenant = %born.tenant_id, parent = ?born.parent, agent = %agent.name, "born");
    service.tenants.bell.notify_one();
    Ok(born)
}

/// Starts an agent, on the host or in a tenant's jail.
///
/// # Errors
/// As of [`Panes::spawn`](crate::panes::Panes::spawn); `not-found` or `conflict` when the tenant is not
/// there or not ready, and `host` when its jail cannot be started.
pub(crate) async fn spawn(
    spawn: SpawnAgent,
    actor: &str,
    mode: CostMode,
    service: &Service,
) -> Result<PaneSnapshot, ReplyError> {
    spawn.check()?;
    let name = spawn.name.clone();
    let owner = service
        .board
        .read(move |reader| reader.tenant_agent(&name))
        .await?;
    let owner = owner.map(|agent| agent.tenant_id);
    if let Some(other) = owner.filter(|owner| Some(owner) != spawn.tenant.as_ref()) {
        let text = format!(
            "agent {} belongs to tenant {other}; choose another name",
            spawn.name
        );
        return Err(ReplyError::new(ErrorKind::Conflict, text));
    }
    let Some(id) = spawn.tenant.clone() else {
        return service.panes.spawn(spawn, actor, mode).await;
    };
    if AgentProgram::at(&spawn.program).is_none() {
        let text = format!(
            "{} is not started in jails; these are: {}",
            spawn.program.display(),
            AgentProgram::ALL.map(AgentProgram::path).join(", ")
        );
        return Err(ReplyError::new(ErrorKind::BadRequest, text));
    }
    let _turn = service.tenants.turn(&id).await;
    rouse(&id, spawn, actor, mode, service).await
}

/// The same in its tenant's turn. In one that was stopped, those agents that run for good start, too.
async fn rouse(
    id: &TenantId,
    spawn: SpawnAgent,
    actor: &str,
    mode: CostMode,
    service: &Service,
) -> Result<PaneSnapshot, ReplyError> {
    let was_stopped = read(id, service).await?.status == TenantStatus::Stopped;
    let pane = start_agent(id, spawn, actor, mode, service).await?;
    if was_stopped {
        start_all(id, service).await;
    }
    Ok(pane)
}

/// Only this agent, in its tenant's turn: jail, process, and then the tenant is active.
async fn start_agent(
    id: &TenantId,
    spawn: SpawnAgent,
    actor: &str,
    mode: CostMode,
    service: &Service,
) -> Result<PaneSnapshot, ReplyError> {
    let tenant = read(id, service).await?;
    refuse_unready(&tenant)?;
    if let Err(trouble) = start_jail(id, service).await {
        return Err(fail(&tenant, trouble, service).await);
    }
    started(&tenant, service).await?;
    let pane = service.panes.spawn(spawn.clone(), actor, mode).await?;
    service.tenants.stopped().remove(&spawn.name);
    let (of, by, agent) = (id.clone(), actor.to_owned(), spawn.name.clone());
    let kept = move |batch: &mut Batch<'_>| {
        let now = Timestamp::now();
        batch.tenant_agent_wanted(&of, &spawn)?;
        batch.move_tenant(&of, TenantStatus::Active, None, &by, now)?;
        batch.tenant_was_active(&of, now)
    };
    if let Err(error) = service.board.change(kept).await {
        // What nobody knows of would not be removed with its tenant.
        service.panes.stop(&StopAgent { agent }).await?;
        return Err(error);
    }
    Ok(pane)
}

/// Starts those agents of a tenant that are to be there with it. Who could not be started, the log says.
async fn start_all(id: &TenantId, service: &Service) {
    let _ = start_wanted(id, true, service).await;
}

/// Starts those agents of a tenant that run for good and do not run; those that have ended under this
/// daemon only if they are wanted `again`. One that cannot be started does not hold up the others.
///
/// # Errors
/// `host`, when one could not be started for the helper's sake, which may be otherwise the next time; or the
/// database's.
async fn start_wanted(id: &TenantId, again: bool, service: &Service) -> Result<(), ReplyError> {
    let agents = service
        .board
        .read(colibri_store::Reader::tenant_agents)
        .await
        .inspect_err(|error| tracing::error!(tenant = %id, "looking for its agents: {error}"))?;
    let mut outcome = Ok(());
    let mode = service.cost_mode().mode;
    for agent in agents {
        let is_its = agent.tenant_id == *id && agent.wanted && agent.spawn.restart;
        let is_there = if again {
            service.panes.is_running(&agent.spawn.name)
        } else {
            service.panes.has_pane(&agent.spawn.name)
        };
        if !is_its || is_there {
            continue;
        }
        let name = agent.spawn.name.clone();
        if let Err(error) = start_agent(id, agent.spawn, ACTOR, mode, service).await {
            tracing::error!(tenant = %id, agent = %name, "not started: {error}");
            if error.kind == ErrorKind::Host {
                outcome = Err(error);
            }
        }
    }
    outcome
}

/// Starts a tenant's agent for which there is something, if it does not run and nobody has stopped it.
///
/// # Errors
/// As of [`spawn`].
pub(crate) async fn wake(name: &Name, service: &Service) -> Result<(), ReplyError> {
    if service.panes.is_running(name) {
        return Ok(());
    }
    let of = name.clone();
    let agent = service
        .board
        .read(move |reader| reader.tenant_agent(&of))
        .await?;
    let Some(agent) = agent.filter(|agent| agent.wanted) else {
        return Ok(());
    };
    let id = agent.tenant_id;
    let _turn = service.tenants.turn(&id).await;
    // Another may have been faster.
    if service.panes.is_running(name) {
        return Ok(());
    }
    let mode = service.cost_mode().mode;
    rouse(&id, agent.spawn, ACTOR, mode, service).await?;
    tracing::info!(tenant = %id, agent = %name, "started: something is for it");
    Ok(())
}

/// An operator stops an agent: it is not started by itself any more.
///
/// # Errors
/// As of [`Panes::stop`](crate::panes::Panes::stop).
pub(crate) async fn stop_agent(
    which: StopAgent,
    service: &Service,
) -> Result<PaneSnapshot, ReplyError> {
    let name = which.agent.clone();
    // It is stopped whatever the database says to it, and that is not asked about others.
    let owner = service.board.read(move |reader| reader.tenant_agent(&name));
    if matches!(owner.await, Ok(Some(_))) {
        let name = which.agent.clone();
        note(service, move |batch| batch.tenant_agent_unwanted(&name)).await;
    }
    service.panes.stop(&which).await
}

/// How an agent of a tenant is started.
async fn kept_agent(name: &Name, service: &Service) -> Result<Option<SpawnAgent>, ReplyError> {
    let name = name.clone();
    let kept = service
        .board
        .read(move |reader| reader.tenant_agent(&name))
        .await?;
    Ok(kept.map(|agent| agent.spawn))
}

/// # Errors
/// `conflict`, with why and what to do.
fn refuse_unready(tenant: &Tenant) -> Result<(), ReplyError> {
    let id = &tenant.tenant_id;
    let why = match tenant.status {
        TenantStatus::Removing => return Err(is_removing(id)),
        status if status.is_ready() => return Ok(()),
        status => status,
    };
    let reason = tenant.reason.as_deref();
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let text = format!(
        "tenant {id} is {why}{reason}: no agent is started in it before it is provisioned; \
         `colibri provision-tenant {id}` does that"
    );
    Err(ReplyError::new(ErrorKind::Conflict, text))
}

fn is_removing(id: &TenantId) -> ReplyError {
    let text = format!("tenant {id} is being removed");
    ReplyError::new(ErrorKind::Conflict, text)
}

fn about(id: &TenantId) -> TenantRequest {
    TenantRequest { tenant: id.clone() }
}

async fn read(id: &TenantId, service: &Service) -> Result<Tenant, ReplyError> {
    let id = id.clone();
    service.board.read(move |reader| reader.tenant(&id)).await
}

async fn go(
    id: &TenantId,
    to: TenantStatus,
    reason: Option<String>,
    actor: &str,
    service: &Service,
) -> Result<Tenant, ReplyError> {
    let (id, actor) = (id.clone(), actor.to_owned());
    service
        .board
        .change(move |batch| {
            batch.move_tenant(&id, to, reason.as_deref(), &actor, Timestamp::now())
        })
        .await
}

async fn was_active(id: &TenantId, at: Timestamp, service: &Service) {
    let id = id.clone();
    note(service, move |batch| batch.tenant_was_active(&id, at)).await;
}

/// Writes something without which the rest goes on; it is found out anew the next time.
async fn note(
    service: &Service,
    change: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError> + Send + 'static,
) {
    if let Err(error) = service.board.change(change).await {
        tracing::error!("something about a tenant is not noted: {error}");
    }
}
