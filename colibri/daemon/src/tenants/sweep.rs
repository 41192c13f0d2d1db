//! What becomes of tenants by themselves: what was begun is finished, who has lived long enough is removed,
//! who does nothing is stopped, and who has something to do is started again.
//!
//! An agent that belongs to a tenant and does not run *sleeps*: on the board it gives signs of life, so that
//! the scheduler gives it tasks as if it ran, and the first one wakes it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use colibri_host::Request;
use colibri_protocol::{
    Change, Heartbeat, Name, PaneState, Removal, RemoveTenant, ReplyError, TaskStatus, Tenant,
    TenantId, TenantStatus,
};
use colibri_store::{Batch, TenantAgent};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    ACTOR, about, bring_up, finish_removal, go, halt, read, remove_in_turn, start_wanted, wake,
    was_active,
};
use crate::server::Service;
use crate::stop::Stop;

/// Things done at once: the helper has others to serve, too.
const AT_ONCE: usize = 4;

/// Before something that failed is tried again by itself, and an agent that could not be started is given
/// another task.
const PAUSE: Duration = Duration::from_secs(60);

/// Seconds by which what is noted of a tenant's last work may be late.
const LATE: i64 = 60;

/// Longest time between two looks at sleepers and idlers, whatever the tick is.
const LONGEST: Duration = Duration::from_secs(30);

/// Shortest time between two looks, unless the tick is shorter.
const SHORTEST: Duration = Duration::from_millis(50);

/// Something to be done for a tenant.
#[derive(Debug)]
enum Job {
    /// Goes on with what a daemon of before, or an agent's wish, has begun.
    Provision,
    Remove,
    /// Its time is over.
    Expire,
    /// Its agents that run for good are started with the daemon.
    Begin,
    /// It has done nothing for long.
    Sleep,
    /// Its jail did not stop before.
    StopJail,
    /// Something is for this agent.
    Wake(Name, Uuid),
    /// The agent that comes with the daemon is started.
    Autospawn,
}

/// What is known from one look to the next.
#[derive(Default)]
struct Sweep {
    busy: HashSet<TenantId>,
    /// What failed is left alone until then.
    paused: BTreeMap<TenantId, Instant>,
    begun: HashSet<TenantId>,
    /// Who sleeps, by the ids on the board.
    asleep: BTreeMap<Uuid, (TenantId, Name)>,
    beaten: Option<Instant>,
}

/// Looks at all tenants again and again, until the daemon stops. What is being done then is given up, and
/// gone on with at the next start.
pub(crate) async fn run(service: Arc<Service>, stop: Stop) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut changes = service.board.changes();
    let mut sweep = Sweep::default();
    let mut work: JoinSet<(TenantId, Job, bool)> = JoinSet::new();
    let tick = service.config.tick.min(LONGEST);
    loop {
        let (jobs, next) = match sweep.look(&service).await {
            Ok(found) => found,
            Err(_) if stop.is_asked() => break,
            Err(error) => {
                tracing::error!("looking after tenants: {error}");
                (Vec::new(), None)
            }
        };
        for (id, job) in jobs {
            if !sweep.busy.insert(id.clone()) {
                continue;
            }
            let (service, turns) = (Arc::clone(&service), Arc::clone(&turns));
            work.spawn(async move {
                let turn = turns.acquire_owned().await;
                let outcome = job.run(&id, &service).await;
                drop(turn);
                if let Err(error) = &outcome {
                    tracing::warn!(tenant = %id, "{job:?}: {error}");
                }
                (id, job, outcome.is_ok())
            });
        }
        tokio::select! {
            () = stop.asked() => break,
            () = tokio::time::sleep(until(next, tick)) => {}
            () = service.tenants.bell.notified() => {}
            () = sweep.stirred(&mut changes) => {}
            Some(ended) = work.join_next() => {
                if let Ok((id, job, is_done)) = ended {
                    if !is_done {
                        if matches!(job, Job::Begin) {
                            sweep.begun.remove(&id);
                        }
                        sweep.paused.insert(id.clone(), Instant::now() + PAUSE.min(tick * 2));
                    }
                    sweep.busy.remove(&id);
                }
            }
        }
    }
    work.shutdown().await;
}

/// How long until the next look, when there will be something at that time.
fn until(next: Option<Timestamp>, tick: Duration) -> Duration {
    next.map_or(tick, |at| {
        let left = Duration::try_from(at.duration_since(Timestamp::now()));
        // Not at once for what cannot be done at once.
        left.unwrap_or_default().max(SHORTEST).min(tick)
    })
}

impl Sweep {
    /// Waits until something is for a sleeper, or a tenant stands elsewhere.
    async fn stirred(&self, changes: &mut Receiver<Change>) {
        loop {
            match changes.recv().await {
                Ok(Change::Task {
                    status: TaskStatus::Claimed,
                    agent_id: Some(agent),
                    ..
                }) if self.asleep.contains_key(&agent) => return,
                Ok(Change::Tenant { .. }) | Err(RecvError::Lagged(_)) => return,
                Ok(_) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// What is to be done, and when there will be more at the latest.
    async fn look(
        &mut self,
        service: &Service,
    ) -> Result<(Vec<(TenantId, Job)>, Option<Timestamp>), ReplyError> {
        let alive_since = service.config.lease.alive_since(Timestamp::now());
        let (tenants, agents, board) = service
            .board
            .read(move |reader| {
                let tenants = reader.all_tenants()?;
                if tenants.is_empty() {
                    return Ok((tenants, Vec::new(), Vec::new()));
                }
                Ok((
                    tenants,
                    reader.tenant_agents()?,
                    reader.all_agents(alive_since)?,
                ))
            })
            .await?;
        self.paused.retain(|_, until| *until > Instant::now());
        let before = std::mem::take(&mut self.asleep);
        let by_id: BTreeMap<_, _> = tenants
            .iter()
            .map(|tenant| (&tenant.tenant_id, tenant))
            .collect();
        self.asleep = agents
            .iter()
            .filter(|agent| {
                by_id
                    .get(&agent.tenant_id)
                    .is_some_and(|tenant| self.sleeps(agent, tenant, service))
            })
            .filter_map(|agent| {
                let whose = (agent.tenant_id.clone(), agent.spawn.name.clone());
                Some((agent.agent_id?, whose))
            })
            .collect();
        if self.asleep.keys().any(|id| !before.contains_key(id)) {
            self.beaten = None;
        }
        self.beat(service).await?;
        let mut jobs = Vec::new();
        for agent in board.iter().filter(|agent| agent.holds > 0) {
            if let Some((id, name)) = self.asleep.get(&agent.id) {
                jobs.push((id.clone(), Job::Wake(name.clone(), agent.id)));
            }
        }
        let mut next: Option<Timestamp> = None;
        for tenant in &tenants {
            let id = &tenant.tenant_id;
            // One thing at a time: a second would be dropped, and taken for done.
            let has_one = jobs.iter().any(|(of, _)| of == id);
            if has_one || self.busy.contains(id) || self.paused.contains_key(id) {
                continue;
            }
            let (job, at) = self.due(tenant, service).await;
            jobs.extend(job.map(|job| (id.clone(), job)));
            next = [next, at].into_iter().flatten().min();
        }
        Ok((jobs, next))
    }

    /// Whether an agent does not run, and is to be started when something is for it.
    fn sleeps(&self, agent: &TenantAgent, tenant: &Tenant, service: &Service) -> bool {
        let name = &agent.spawn.name;
        let is_stopped = tenant.status == TenantStatus::Stopped;
        agent.wanted
            && tenant.status.is_ready()
            && !self.paused.contains_key(&tenant.tenant_id)
            && !service.panes.is_running(name)
            // One that has ended by itself is not started by itself; nor is one that is just being started.
            && (is_stopped
                || service.tenants.stopped().contains(name)
                || !(service.panes.has_pane(name) || agent.spawn.restart))
    }

    /// Gives the signs of life of those who sleep.
    async fn beat(&mut self, service: &Service) -> Result<(), ReplyError> {
        let lease = service.config.lease;
        let is_time = self.beaten.is_none_or(|last| last.elapsed() >= lease.0 / 6);
        if self.asleep.is_empty() || !is_time {
            return Ok(());
        }
        let ids: Vec<Uuid> = self.asleep.keys().copied().collect();
        let beat = move |batch: &mut Batch<'_>| {
            for agent_id in ids {
                let of = Heartbeat {
                    agent_id,
                    host: None,
                };
                batch.heartbeat(&of, lease, Timestamp::now())?;
            }
            Ok(())
        };
        service.board.change(beat).await?;
        self.beaten = Some(Instant::now());
        Ok(())
    }

    /// What is to be done for one tenant, and when something else may be.
    async fn due(
        &mut self,
        tenant: &Tenant,
        service: &Service,
    ) -> (Option<Job>, Option<Timestamp>) {
        let now = Timestamp::now();
        let id = &tenant.tenant_id;
        let expires = tenant.expires_at;
        match tenant.status {
            TenantStatus::Removing => return (Some(Job::Remove), None),
            _ if expires.is_some_and(|at| at <= now) => return (Some(Job::Expire), None),
            TenantStatus::Provisioning => return (Some(Job::Provision), expires),
            TenantStatus::Registered | TenantStatus::Failed => return (None, expires),
            TenantStatus::Stopped if tenant.reason.is_some() => {
                return (Some(Job::StopJail), expires);
            }
            _ => {}
        }
        let is_stopped = tenant.status == TenantStatus::Stopped;
        if !is_stopped && self.begun.insert(id.clone()) {
            return (Some(Job::Begin), expires);
        }
        if is_autospawn(id, service) {
            return (Some(Job::Autospawn), expires);
        }
        if is_stopped {
            return (None, expires);
        }
        let Some(idle_after) = tenant.idle_after else {
            return (None, expires);
        };
        // As long as it works, that is now.
        let idle_at = last_work(tenant, service).unwrap_or(now);
        if idle_at.duration_since(tenant.last_active).as_secs() >= LATE {
            was_active(id, idle_at, service).await;
        }
        let sleeps_at = idle_after.after(idle_at);
        let job = (sleeps_at <= now).then_some(Job::Sleep);
        (job, [expires, Some(sleeps_at)].into_iter().flatten().min())
    }
}

/// When a tenant last did something; none while it does.
fn last_work(tenant: &Tenant, service: &Service) -> Option<Timestamp> {
    let mut last = tenant.last_active;
    for pane in service.panes.panes_of(&tenant.tenant_id) {
        if matches!(pane.state, PaneState::Working | PaneState::Blocked) && pane.pid.is_some() {
            return None;
        }
        last = last.max(pane.last_event_at.unwrap_or(last));
    }
    Some(last)
}

/// Whether the agent that comes with the daemon belongs to this tenant and was not started yet.
fn is_autospawn(id: &TenantId, service: &Service) -> bool {
    let spawn = service.config.autospawn.as_ref();
    spawn.is_some_and(|spawn| spawn.tenant.as_ref() == Some(id))
        && !service.tenants.autospawned.load(Ordering::Relaxed)
}

impl Job {
    async fn run(&self, id: &TenantId, service: &Service) -> Result<(), ReplyError> {
        match self {
            Self::Provision => {
                let _turn = service.tenants.turn(id).await;
                // It may have been done meanwhile.
                if read(id, service).await?.status == TenantStatus::Provisioning {
                    bring_up(id, ACTOR, true, service).await?;
                }
            }
            Self::Remove => {
                let _turn = service.tenants.turn(id).await;
                let tenant = read(id, service).await?;
                if let Some(removal) = tenant.removal {
                    finish_removal(&tenant, removal, ACTOR, service).await?;
                }
            }
            Self::Expire => {
                let _turn = service.tenants.turn(id).await;
                // Another may be called so meanwhile.
                let expires = read(id, service).await?.expires_at;
                if expires.is_none_or(|at| at > Timestamp::now()) {
                    return Ok(());
                }
                tracing::info!(tenant = %id, "its time is over; removing it");
                let which = RemoveTenant {
                    tenant_id: id.clone(),
                    removal: Removal::Destroy,
                    dry_run: false,
                };
                remove_in_turn(which, ACTOR, service).await?;
            }
            Self::Begin => {
                let _turn = service.tenants.turn(id).await;
                start_wanted(id, false, service).await?;
            }
            Self::Sleep => put_to_sleep(id, service).await?,
            Self::StopJail => {
                let _turn = service.tenants.turn(id).await;
                if read(id, service).await?.status == TenantStatus::Stopped {
                    stop_jail(id, service).await?;
                }
            }
            Self::Wake(name, agent_id) => {
                if let Err(error) = wake(name, service).await {
                    give_back(*agent_id, service).await?;
                    return Err(error);
                }
            }
            Self::Autospawn => {
                let spawn = service.config.autospawn.clone();
                // Somebody else may have started it, or it was one that runs for good.
                if let Some(spawn) = spawn.filter(|spawn| !service.panes.is_running(&spawn.name)) {
                    let mode = service.cost_mode().mode;
                    // In its own turn.
                    super::spawn(spawn, ACTOR, mode, service).await?;
                }
                service.tenants.autospawned.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// What was given to a sleeper that cannot be woken is another's.
async fn give_back(agent_id: Uuid, service: &Service) -> Result<(), ReplyError> {
    let lease = service.config.lease;
    service
        .board
        .change(move |batch| batch.agent_ended(agent_id, lease, Timestamp::now()))
        .await
}

/// Stops a tenant that has done nothing for long: its agents, then its jail.
async fn put_to_sleep(id: &TenantId, service: &Service) -> Result<(), ReplyError> {
    let _turn = service.tenants.turn(id).await;
    let tenant = read(id, service).await?;
    let is_idle = |idle_after: colibri_protocol::TimeSpan| {
        last_work(&tenant, service).is_some_and(|last| idle_after.after(last) <= Timestamp::now())
    };
    // Somebody may have asked something of it meanwhile.
    let is_up = matches!(
        tenant.status,
        TenantStatus::Provisioned | TenantStatus::Active
    );
    if !is_up || !tenant.idle_after.is_some_and(is_idle) {
        return Ok(());
    }
    for agent in service.panes.running_of(id) {
        halt(&agent, service).await?;
    }
    tracing::info!(tenant = %id, "stopping it: it has done nothing for long");
    stop_jail(id, service).await
}

/// Stops the jail. Whether that works or not, the tenant's agents are stopped.
async fn stop_jail(id: &TenantId, service: &Service) -> Result<(), ReplyError> {
    let stopped = service
        .tenants
        .hostd
        .ask(Request::StopJail(about(id)))
        .await;
    let trouble = stopped
        .map_err(|trouble| trouble.while_trying_to("stop its jail"))
        .err();
    let reason = trouble.as_ref().map(ToString::to_string);
    go(id, TenantStatus::Stopped, reason, ACTOR, service).await?;
    trouble.map_or(Ok(()), |trouble| Err(trouble.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_is_never_at_once_and_never_later_than_the_tick() {
        let past = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(until(past, LONGEST), SHORTEST);
        assert_eq!(until(None, LONGEST), LONGEST);
        assert_eq!(until(Some(Timestamp::MAX), LONGEST), LONGEST);
        let brief = Duration::from_millis(20);
        assert_eq!(until(past, brief), brief);
        assert_eq!(until(Some(Timestamp::MAX), brief), brief);
    }
}
