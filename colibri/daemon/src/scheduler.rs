//! The scheduler: makes the tasks of jobs that are due, takes tasks back from agents that are gone,
//! ends the pauses of those that are to be tried again, gives queued tasks to agents that can do them,
//! and has removed what ended long ago.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use colibri_protocol::{Change, ClaimTask, Job, ReplyError, TaskStatus};
use colibri_store::{Reader, StoreError, Waiting};
use jiff::Timestamp;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use crate::clock::Moment;
use crate::retention::Sweep;
use crate::server::Service;
use crate::stop::Stop;
use crate::{assign, clockwork};

/// How long changes are gathered before a round looks at them: hundreds of clients at once cost
/// twenty rounds a second, not hundreds.
const GATHER: Duration = Duration::from_millis(50);

/// The pause after a round that failed; the database may be full.
const PAUSE: Duration = Duration::from_secs(1);

/// Tasks that are given out together.
const AT_ONCE: u32 = 256;

/// Sets of needs that one round looks at.
const NEEDS: u32 = 1000;

/// Jobs that are read together.
const JOBS: u32 = 50;

/// When a job whose schedule cannot be reckoned with any more is looked at again.
const LATER: Duration = Duration::from_secs(3600);

/// Decides who works.
const ACTOR: &str = "scheduler";

/// The scheduler's rounds: when the last good one was, and how far it is with this one.
#[derive(Debug, Default)]
pub(crate) struct LastTick(Mutex<Rounds>);

#[derive(Debug, Default)]
struct Rounds {
    /// By the clock, to be shown, and by one that nobody sets, to tell its age. A host without a
    /// battery gets its time while we run.
    done: Option<(Timestamp, Instant)>,
    /// What it does just now, between two rounds nothing, and since when.
    doing: Option<(&'static str, Instant)>,
    /// Why the last round came to nothing.
    failure: Option<String>,
}

/// The same for whoever looks whether all is well.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoundsSeen {
    /// The age of the last good round.
    pub(crate) last: Option<Duration>,
    /// What it does just now, and for how long.
    pub(crate) doing: Option<(&'static str, Duration)>,
    /// Why the last round came to nothing.
    pub(crate) failure: Option<String>,
}

impl LastTick {
    /// When the last good round was.
    pub(crate) fn get(&self) -> Option<Timestamp> {
        self.rounds().done.map(|(at, _)| at)
    }

    pub(crate) fn seen(&self) -> RoundsSeen {
        let rounds = self.rounds();
        RoundsSeen {
            last: rounds.done.map(|(_, instant)| instant.elapsed()),
            doing: rounds.doing.map(|(what, since)| (what, since.elapsed())),
            failure: rounds.failure.clone(),
        }
    }

    fn begin(&self, what: &'static str) {
        self.rounds().doing = Some((what, Instant::now()));
    }

    fn done(&self, at: Timestamp) {
        *self.rounds() = Rounds {
            done: Some((at, Instant::now())),
            ..Rounds::default()
        };
    }

    fn failed(&self, error: &ReplyError) {
        let mut rounds = self.rounds();
        rounds.doing = None;
        rounds.failure = Some(error.to_string());
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one round leaves for the next.
#[derive(Debug)]
struct Left {
    /// When the clock was last looked at.
    last: Moment,
    /// The round came to nothing, and so perhaps did what others had to say meanwhile.
    has_failed: bool,
    sweep: Sweep,
}

/// Goes round until the daemon stops: every tick, when a job is due or a pause over, and at once on
/// a change that may matter.
pub(crate) async fn run(service: Arc<Service>, stop: Stop) {
    let tick = service.config.tick;
    let mut changes = service.board.changes();
    let mut left = Left {
        last: Moment::now(),
        has_failed: false,
        sweep: Sweep::new(tick),
    };
    loop {
        let pause = match round(&service, &mut left).await {
            Ok(next) => {
                let now = Timestamp::now();
                service.last_tick.done(now);
                let until = next.map(|at| at.duration_since(now));
                until.map_or(tick, |until| tick.min(positive(until)))
            }
            Err(_) if stop.is_asked() => return,
            Err(error) => {
                tracing::error!("the scheduler: {error}");
                service.last_tick.failed(&error);
                left.has_failed = true;
                tick.min(PAUSE)
            }
        };
        let stirred = async {
            stir(&mut changes).await;
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = stop.asked() => return,
            () = tokio::time::sleep(pause) => {}
            () = stirred => {}
        }
    }
}

fn positive(duration: jiff::SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or(GATHER).max(GATHER)
}

/// Waits for a change after which there may be something to do.
async fn stir(changes: &mut Receiver<Change>) {
    loop {
        match changes.recv().await {
            // A task is there to be given, or an agent has become free.
            Ok(Change::Task { status, .. }) if status.is_held() => {}
            Ok(Change::Task { .. } | Change::Agent { .. } | Change::Job { .. }) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            // The board has closed, and so the daemon is about to stop.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One look at everything. Gives back when the next job is due, the next pause over, or more to be
/// removed.
async fn round(service: &Service, left: &mut Left) -> Result<Option<Timestamp>, ReplyError> {
    let begin = |what| service.last_tick.begin(what);
    let now = Moment::now();
    begin("following the clock");
    follow_clock(service, left, now).await?;
    begin("making the tasks of jobs");
    run_jobs(service).await?;
    begin("taking tasks back from agents that are gone");
    take_back(service, now.wall).await?;
    begin("ending pauses");
    let next_try = end_pauses(service).await?;
    begin("giving tasks out");
    while give_out(service).await? >= AT_ONCE {}
    let (next_job, _) = service.board.read(Reader::coming_jobs).await?;
    begin("removing what ended long ago");
    let next_turn = left.sweep.turn(service, now).await;
    Ok([next_job, next_try, next_turn].into_iter().flatten().min())
}

/// After the clock was set nobody is as silent as it seems; nor after a time in which the database
/// took no signs of life.
async fn follow_clock(service: &Service, left: &mut Left, now: Moment) -> Result<(), ReplyError> {
    let lease = service.config.lease;
    if let Some(by) = now.set_since(left.last) {
        tracing::warn!("the clock was set by {by:#}: every lease has its full length again");
        left.sweep.put_off(now);
        service
            .board
            .change(move |batch| batch.clock_was_set(by, lease, now.wall))
            .await?;
    } else if left.has_failed {
        service
            .board
            // It may have waited for the database once more.
            .change(move |batch| batch.renew_leases(lease, Timestamp::now()))
            .await?;
    }
    left.last = now;
    left.has_failed = false;
    Ok(())
}

async fn run_jobs(service: &Service) -> Result<(), ReplyError> {
    loop {
        let now = Timestamp::now();
        let jobs = service
            .board
            .read(move |reader| reader.due_jobs(now, JOBS))
            .await?;
        let Some(due_jobs) = std::num::NonZero::new(jobs.len()) else {
            return Ok(());
        };
        for job in jobs {
            run_job(service, job, now).await?;
        }
        if due_jobs.get() < JOBS as usize {
            return Ok(());
        }
    }
}

async fn run_job(service: &Service, job: Job, now: Timestamp) -> Result<(), ReplyError> {
    let Some(due_at) = job.next_at else {
        return Ok(());
    };
    let grace = (service.config.tick * 2).max(Duration::from_secs(60));
    let (times, next) = clockwork::due(&job.schedule, job.missed, due_at, now, grace)
        .unwrap_or_else(|error| {
            tracing::error!(job = %job.name, "cannot tell when it is due: {error}");
            (Vec::new(), now.saturating_add(LATER).ok())
        });
    service
        .board
        .change(move |batch| batch.run_job(&job, &times, next, now))
        .await?;
    Ok(())
}

/// `now` is the moment for which it is known whether the clock was set.
async fn take_back(service: &Service, now: Timestamp) -> Result<(), ReplyError> {
    loop {
        let taken = service
            .board
            .change(move |batch| batch.expire_leases(now))
            .await?;
        if taken == 0 {
            return Ok(());
        }
        tracing::warn!("{taken} task(s) of agents that gave no sign of life are taken back");
    }
}

/// Gives back when the next pause is over, of those that are not over now.
async fn end_pauses(service: &Service) -> Result<Option<Timestamp>, ReplyError> {
    let now = Timestamp::now();
    let next = service.board.read(Reader::next_try).await?;
    if next.is_none_or(|at| at > now) {
        return Ok(next);
    }
    service
        .board
        .change(move |batch| batch.end_pauses(now))
        .await?;
    service.board.read(Reader::next_try).await
}

/// Gives out what can be; at most [`AT_ONCE`] tasks. Gives back how many were decided on.
async fn give_out(service: &Service) -> Result<u32, ReplyError> {
    let decided = assignable(service).await?;
    let count = u32::try_from(decided.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return Ok(0);
    }
    let lease = service.config.lease;
    service
        .board
        .change(move |batch| {
            let now = Timestamp::now();
            for (waiting, agent_id) in decided {
                let claim = ClaimTask {
                    task_id: waiting.id,
                    agent_id,
                };
                let made = batch.attempt(|b| b.claim_task(&claim, Some(ACTOR), lease, now));
                match made {
                    // An agent was faster and took it itself; or it was called off.
                    Ok(_) | Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
        .await?;
    Ok(count)
}

/// Queued tasks with the agents that should have them now.
pub(crate) async fn assignable(service: &Service) -> Result<Vec<(Waiting, Uuid)>, ReplyError> {
    let alive_since = service.config.lease.alive_since(Timestamp::now());
    service
        .board
        .read(move |reader| {
            if reader.task_counts()?.of(TaskStatus::Queued) == 0 {
                return Ok(Vec::new());
            }
            let agents = reader.all_agents(alive_since)?;
            let free = assign::free_slots(&agents).min(AT_ONCE);
            if free == 0 {
                return Ok(Vec::new());
            }
            let mut waiting = Vec::new();
            for needs in reader.waiting_needs(NEEDS)? {
                if assign::why_parked(&needs, &agents).is_none() {
                    waiting.extend(reader.waiting(&needs, free)?);
                }
            }
            // Who came first is served first, whatever it needs.
            waiting.sort_unstable_by_key(|task| task.seq);
            let mut decided = Vec::new();
            let mut pairs = assign::decide(&waiting, &agents).into_iter().peekable();
            for task in waiting {
                if let Some((_, agent_id)) = pairs.next_if(|(id, _)| *id == task.id) {
                    decided.push((task, agent_id));
                }
            }
            decided.truncate(AT_ONCE as usize);
            Ok(decided)
        })
        .await
}
