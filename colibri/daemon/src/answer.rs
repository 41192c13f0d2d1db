//! What each command does.

use colibri_protocol::{
    Agent, AgentPage, Command, CostModeInForce, CreateTask, ErrorKind, GetTask, ListTasks,
    MAX_LINE, Name, NoFields, Paging, Reply, ReplyError, Request, RequestId, Retention,
    SchedulerStatus, SetCostMode, SkillPage, Status, Task, TaskDetails, TaskPage, TaskStatus,
    checked_limit,
};
use colibri_store::{Batch, StoreError};
use jiff::Timestamp;
use serde::Serialize;

use crate::rights::Rights;
use crate::server::{CostModeSet, Service};
use crate::{assign, clockwork, health, tenants};

/// Bytes of what is listed in one reply; the rest of the line is for what surrounds it.
pub(crate) const PAGE_BYTES: usize = MAX_LINE - 4096;

/// Tenants of which `status` says what is wrong.
const TOLD_PROBLEMS: u32 = 10;

/// What becomes of a line.
pub(crate) enum Answer {
    /// It is answered with this line.
    Line(Vec<u8>),
    /// The connection becomes a stream of changes; each carries this.
    Stream(Option<RequestId>),
    /// A copy of the database is sent, whose line carries this.
    Copy(Option<RequestId>),
}

/// Carries out one line, as far as the client's rights go.
pub(crate) async fn to_line(line: &[u8], rights: &Rights, service: &Service) -> Answer {
    let (id, outcome) = match Request::parse(line) {
        Ok(Request { id, command }) => match rights.admit(command) {
            Ok(Command::Subscribe(NoFields {})) => return Answer::Stream(id),
            Ok(Command::Backup(NoFields {})) => return Answer::Copy(id),
            Ok(command) => (id, answer(command, rights, service).await),
            Err(refusal) => (id, Err(refusal)),
        },
        Err(refused) => (refused.id, Err(refused.error)),
    };
    Answer::Line(match outcome {
        Ok(data) => data(id),
        Err(error) => reply_line::<()>(id, Err(error)),
    })
}

/// A reply that fits into a line, whatever it takes.
pub(crate) fn reply_line<T: Serialize>(
    id: Option<RequestId>,
    outcome: Result<T, ReplyError>,
) -> Vec<u8> {
    match Reply::with(id.clone(), outcome).to_line() {
        Ok(line) if line.len() <= MAX_LINE + 1 => line,
        made => {
            tracing::error!(
                length = made.map_or(0, |line| line.len()),
                "a reply cannot be sent"
            );
            let error = ReplyError::new(ErrorKind::Internal, "the reply does not fit into a line");
            Reply::new(id, Err(error)).to_line().unwrap_or_default()
        }
    }
}

/// A good reply that lacks only its request's `id`. It becomes JSON once, as a line.
type Data = Box<dyn FnOnce(Option<RequestId>) -> Vec<u8> + Send>;

fn data(data: impl Serialize + Send + 'static) -> Result<Data, ReplyError> {
    Ok(Box::new(move |id| reply_line(id, Ok(data))))
}

async fn answer(command: Command, rights: &Rights, service: &Service) -> Result<Data, ReplyError> {
    let actor = rights.actor();
    let lease = service.config.lease;
    match command {
        Command::Status(NoFields {}) => data(status(service).await?),
        Command::ServiceCheck(NoFields {}) => data(health::check(service).await),
        Command::Subscribe(NoFields {}) | Command::Backup(NoFields {}) => Err(ReplyError::new(
            ErrorKind::Internal,
            "this is no question that one line answers",
        )),
        Command::CreateTask(new) => create_task(new, actor, service).await,
        Command::IntakeTask(new) => create_task(new.into(), actor, service).await,
        Command::ListTasks(which) => data(list_tasks(which, service).await?),
        Command::GetTask(which) => data(get_task(which, rights, service).await?),
        Command::ClaimTask(claim) => {
            change(service, move |batch, now| {
                batch.claim_task(&claim, None, lease, now)
            })
            .await
        }
        Command::TransitionTask(to) => {
            to.check()?;
            let moved =
                move |batch: &mut Batch<'_>, now| batch.transition_task(to, &actor, lease, now);
            change(service, moved).await
        }
        Command::CancelTask(cancel) => {
            cancel.check()?;
            let called_off =
                move |batch: &mut Batch<'_>, now| batch.cancel_task(cancel, &actor, lease, now);
            change(service, called_off).await
        }
        Command::RetryTask(which) => {
            change(service, move |batch, now| {
                batch.retry_task(&which, &actor, now)
            })
            .await
        }
        Command::RegisterAgent(new) => {
            new.check()?;
            let host = host_name(&service.config.host)?;
            let registered = move |batch: &mut Batch<'_>, now| {
                batch.register_agent(&new, &host, &actor, lease, now)
            };
            change(service, registered).await
        }
        Command::ListAgents(which) => data(list_agents(which, rights, service).await?),
        Command::Heartbeat(of) => {
            change(service, move |batch, now| batch.heartbeat(&of, lease, now)).await
        }
        Command::Snapshot(NoFields {}) => data(service.panes.snapshot(rights.only())),
        Command::SpawnAgent(spawn) => {
            let mode = service.cost_mode().mode;
            data(tenants::spawn(spawn, &actor, mode, service).await?)
        }
        Command::StopAgent(which) => data(tenants::stop_agent(which, service).await?),
        Command::DismissPane(which) => data(service.panes.dismiss(which)?),
        Command::SendPrompt(prompt) => {
            prompt.check()?;
            tenants::wake(&prompt.agent, service).await?;
            data(service.panes.prompt(prompt).await?)
        }
        Command::AnswerAgent(given) => data(service.panes.answer(given).await?),
        Command::AgentLog(which) => data(service.panes.log(which).await?),
        Command::GetSession(which) => data(service.panes.session(which, rights).await?),
        Command::CompactSession(which) => data(service.panes.compact(which, rights).await?),
        Command::RegisterSkill(new) => {
            new.check()?;
            change(service, move |batch, now| {
                batch.register_skill(&new, &actor, now)
            })
            .await
        }
        Command::ListSkills(which) => data(list_skills(which, service).await?),
        Command::CreateJob(new) => {
            new.task.check()?;
            let next_at = clockwork::first(&new.schedule, Timestamp::now())
                .map_err(|problem| ReplyError::new(ErrorKind::BadRequest, problem))?;
            change(service, move |batch, now| {
                batch.create_job(new, next_at, &actor, now)
            })
            .await
        }
        Command::ListJobs(Paging { limit, after }) => {
            let limit = checked_limit(limit)?;
            let read = service
                .board
                .read(move |reader| reader.jobs(after.as_deref(), limit, PAGE_BYTES));
            data(read.await?)
        }
        Command::RemoveJob(which) => {
            change(service, move |batch, now| {
                batch.remove_job(&which.name, &actor, now)
            })
            .await
        }
        Command::RegisterTenant(new) => {
            new.check()?;
            change(service, move |batch, now| {
                batch.register_tenant(&new, &actor, now)
            })
            .await
        }
        Command::ListTenants(Paging { limit, after }) => {
            let limit = checked_limit(limit)?;
            let read = service
                .board
                .read(move |reader| reader.tenants(after.as_deref(), limit, PAGE_BYTES));
            data(read.await?)
        }
        Command::ProvisionTenant(which) => data(tenants::provision(which, &actor, service).await?),
        Command::RotateTenant(which) => {
            let mode = service.cost_mode().mode;
            data(tenants::rotate(which, mode, service).await?)
        }
        Command::ListSecrets(which) => data(tenants::secrets(which, service).await?),
        Command::RemoveTenant(which) => data(tenants::remove(which, &actor, service).await?),
        Command::RequestTenant(wish) => data(tenants::request(wish, rights.only(), service).await?),
        Command::SetCostMode(set) => data(set_cost_mode(set, &actor, service).await?),
    }
}

async fn create_task(
    new: CreateTask,
    actor: String,
    service: &Service,
) -> Result<Data, ReplyError> {
    new.check()?;
    let made = move |batch: &mut Batch<'_>, now| batch.create_task(new, &actor, now);
    change(service, made).await
}

/// Makes one change and answers with what came of it.
async fn change<T: Serialize + Send + 'static>(
    service: &Service,
    change: impl FnOnce(&mut Batch<'_>, Timestamp) -> Result<T, StoreError> + Send + 'static,
) -> Result<Data, ReplyError> {
    data(
        service
            .board
            .change(move |batch| change(batch, Timestamp::now()))
            .await?,
    )
}

async fn list_tasks(which: ListTasks, service: &Service) -> Result<TaskPage, ReplyError> {
    let limit = which.checked_limit()?;
    let alive_since = service.config.lease.alive_since(Timestamp::now());
    service
        .board
        .read(move |reader| {
            let agents = reader.all_agents(alive_since)?;
            reader.tasks_with(&which, limit, PAGE_BYTES, |task| park(task, &agents))
        })
        .await
}

async fn get_task(
    which: GetTask,
    rights: &Rights,
    service: &Service,
) -> Result<TaskDetails, ReplyError> {
    let alive_since = service.config.lease.alive_since(Timestamp::now());
    let details = service
        .board
        .read(move |reader| {
            let mut details = reader.task(which.task_id)?;
            park(&mut details.task, &reader.all_agents(alive_since)?);
            Ok(details)
        })
        .await?;
    rights.reach_task(&details.task)?;
    Ok(details)
}

/// One page of agents. An agent is shown itself.
async fn list_agents(
    which: Paging,
    rights: &Rights,
    service: &Service,
) -> Result<AgentPage, ReplyError> {
    let limit = checked_limit(which.limit)?;
    let alive_since = service.config.lease.alive_since(Timestamp::now());
    let only = rights.only().map(|agent| agent.id);
    service
        .board
        .read(move |reader| match only {
            None => reader.agents(which.after.as_deref(), limit, PAGE_BYTES, alive_since),
            Some(id) => {
                let mut agents = reader.all_agents(alive_since)?;
                agents.retain(|agent| agent.id == id);
                Ok(AgentPage { agents, next: None })
            }
        })
        .await
}

/// Says of a queued task why it stays queued. Found out when somebody asks, so that it is never
/// old, and a million parked tasks need not be written again because an agent came or went.
fn park(task: &mut Task, agents: &[Agent]) {
    if task.status == TaskStatus::Queued {
        task.parked = match task.not_before {
            Some(at) => Some(format!("an attempt failed; it is tried again at {at}")),
            None => assign::why_parked(&task.capabilities, agents),
        };
    }
}

async fn list_skills(which: Paging, service: &Service) -> Result<SkillPage, ReplyError> {
    let Paging { limit, after } = which;
    let limit = checked_limit(limit)?;
    // Once for all pages, which then belong together.
    let findings = match after {
        None => service.skills.index(&service.board).await?,
        Some(_) => Vec::new(),
    };
    // Half of a line is more than the findings ever need.
    let page = service
        .board
        .read(move |reader| reader.skills(after.as_deref(), limit, PAGE_BYTES / 2))
        .await?;
    Ok(SkillPage {
        folder: Some(service.skills.folder()),
        findings,
        ..page
    })
}

async fn set_cost_mode(
    set: SetCostMode,
    actor: &str,
    service: &Service,
) -> Result<CostModeInForce, ReplyError> {
    let SetCostMode { mode, persist } = set;
    let actor = actor.to_owned();
    service
        .board
        .change(move |batch| batch.set_cost_mode(mode, persist, &actor, Timestamp::now()))
        .await?;
    let kept = if persist {
        Some(mode)
    } else {
        service.cost_mode().kept
    };
    service.set_cost_mode(CostModeSet { mode, kept });
    service.panes.set_cost_mode(mode).await?;
    Ok(CostModeInForce {
        mode,
        persisted: kept == Some(mode),
        thresholds: service.config.thresholds(mode),
    })
}

/// This host's name as that of an agent's host. It has the same characters but may be longer.
pub(crate) fn host_name(host: &str) -> Result<Name, ReplyError> {
    let short: String = host.chars().take(64).collect();
    short
        .parse()
        .map_err(|problem: String| ReplyError::new(ErrorKind::Internal, problem))
}

async fn status(service: &Service) -> Result<Status, ReplyError> {
    let config = &service.config;
    let alive_since = config.lease.alive_since(Timestamp::now());
    let (tasks, (removed, removed_usage), database, agents, (_, jobs), (tenants, problems)) =
        service
            .board
            .read(move |reader| {
                Ok((
                    reader.task_counts()?,
                    reader.removed()?,
                    reader.database_status()?,
                    reader.agent_counts(alive_since)?,
                    reader.coming_jobs()?,
                    (
                        reader.tenant_counts()?,
                        reader.tenant_problems(TOLD_PROBLEMS)?,
                    ),
                ))
            })
            .await?;
    let mode = service.cost_mode().mode;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: config.host.clone(),
        pid: std::process::id(),
        started_at: service.started_at,
        uptime_seconds: service.started.elapsed().as_secs(),
        data_dir: config.data_dir.clone(),
        db_path: config.db_path.clone(),
        socket: config.socket.clone(),
        cost_mode: mode,
        thresholds: config.thresholds(mode),
        stall_seconds: config.stall_after.as_secs_f64().ceil() as u64,
        scheduler: SchedulerStatus {
            tick_seconds: config.tick.as_secs_f64().ceil() as u64,
            last_tick: service.last_tick.get(),
            lease_seconds: config.lease.0.as_secs_f64().ceil() as u64,
        },
        agents,
        sessions: service.panes.open_sessions(),
        jobs,
        clients: service.clients(),
        max_clients: config.max_clients,
        tasks,
        retention: Retention {
            task_days: config.keep_tasks.days(),
            session_days: config.keep_sessions.days(),
            removed,
            removed_usage,
        },
        tenants,
        tenant_problems: problems,
        database,
    })
}
