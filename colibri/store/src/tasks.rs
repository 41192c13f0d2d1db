//! A task's life: claimed, moved on, called off, lost.

use std::time::Duration;

use colibri_protocol::{
    CancelTask, Change, ClaimTask, RetryTask, Task, TaskStatus, TransitionTask, Usage,
};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::error::While;
use crate::reader::EventDetail;
use crate::row::{TASK_COLUMNS, as_kept, integer, time_text};
use crate::{Batch, Lease, Result, StoreError, row};

/// Characters of a note in an event. What is longer stands in the task itself.
const NOTE: usize = 300;

/// Leases that one change takes back; the next one takes the rest.
const AT_ONCE: u32 = 500;

/// The pause after a first attempt that failed; after each further one it is four times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Of several that try, the first finds the task queued; there is no other way to get one.
pub(crate) const CLAIM: &str = "
    UPDATE tasks SET status = 'claimed', agent_id = ?2, lease_until = ?3,
        attempts = attempts + 1, not_before = NULL, updated_at = ?4
    WHERE id = ?1 AND status = 'queued' AND (not_before IS NULL OR not_before <= ?4)";

pub(crate) const END_PAUSES: &str = "
    UPDATE tasks SET not_before = NULL WHERE not_before <= ?1";

pub(crate) const EXPIRED: &str = "
    SELECT id FROM tasks WHERE lease_until <= ?1 ORDER BY lease_until LIMIT ?2";

pub(crate) const EXTEND: &str = "
    UPDATE tasks SET lease_until = ?2 WHERE agent_id = ?1 AND lease_until IS NOT NULL";

/// Those that lie far ahead, too: the clock may have been set back.
pub(crate) const RENEW: &str = "
    UPDATE tasks SET lease_until = ?1 WHERE lease_until IS NOT NULL";

pub(crate) const SHORTEN_PAUSES: &str = "
    UPDATE tasks SET not_before = ?1 WHERE not_before > ?1";

const NOT_FROM_THE_FUTURE: &str = "
    UPDATE agents SET last_seen = ?1 WHERE last_seen > ?1";

pub(crate) const HELD: &str =
    "SELECT id FROM tasks WHERE agent_id = ?1 AND lease_until IS NOT NULL";

pub(crate) fn task_by_id(connection: &Connection, id: Uuid) -> Result<Task> {
    connection
        .prepare_cached(&format!("SELECT {TASK_COLUMNS} FROM tasks WHERE id = ?1"))
        .and_then(|mut statement| {
            statement
                .query_row([id.to_string()], |row| Ok(row::task(row)))
                .optional()
        })
        .while_trying_to("read a task")?
        .ok_or_else(|| StoreError::no_task(id))?
        .map(|(_, task)| task)
}

impl Batch<'_> {
    /// Takes a queued task for an agent that has all it needs. `actor` is who decides: the agent
    /// itself, when it asks, is then known to live.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another has it or the agent cannot do it,
    /// [`StoreError::NotFound`], or when SQLite refuses.
    pub fn claim_task(
        &mut self,
        claim: &ClaimTask,
        decided_by: Option<&str>,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Task> {
        let agent = self.agent(claim.agent_id, lease, now)?;
        let mut task = task_by_id(&self.transaction, claim.task_id)?;
        if !task.capabilities.is_subset(&agent.capabilities) {
            let lacks: Vec<_> = task.capabilities.difference(&agent.capabilities).collect();
            let lacks = lacks.iter().map(|one| format!("`{one}`"));
            return Err(StoreError::Conflict {
                problem: format!(
                    "agent {} cannot do task {}: it lacks {}",
                    agent.name,
                    task.id,
                    lacks.collect::<Vec<_>>().join(", ")
                ),
            });
        }
        let until = lease.until(now);
        let taken = self
            .transaction
            .prepare_cached(CLAIM)
            .and_then(|mut statement| {
                statement.execute(params![
                    task.id.to_string(),
                    agent.id.to_string(),
                    time_text(until),
                    time_text(now)
                ])
            })
            .while_trying_to("claim a task")?;
        if taken == 0 {
            let problem = match task.not_before {
                Some(at) => format!(
                    "task {} is not tried again before {at}, unless an operator has it retried",
                    task.id
                ),
                None => format!("task {} is {}, not queued", task.id, task.status),
            };
            return Err(StoreError::Conflict { problem });
        }
        let by_itself = format!("agent:{}", agent.name);
        if decided_by.is_none() {
            self.seen(agent.id, now)?;
        }
        let note = decided_by.map(|_| format!("for {}", agent.name));
        task.status = TaskStatus::Claimed;
        task.not_before = None;
        task.agent_id = Some(agent.id);
        task.lease_until = Some(as_kept(until));
        task.attempts += 1;
        task.updated_at = as_kept(now);
        let actor = decided_by.unwrap_or(&by_itself);
        self.moved(&task, TaskStatus::Queued, actor, note.as_deref(), now)?;
        Ok(task)
    }

    /// Moves a task on. The same move again, by the same agent, is answered the same and books
    /// nothing: its reply may have been lost. Given back with an error, it is tried again after a
    /// pause that grows with its attempts; without one, at once. After its last attempt it has
    /// failed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the agent does not hold the task or it does not go there from
    /// where it is, [`StoreError::NotFound`], or when SQLite refuses.
    pub fn transition_task(
        &mut self,
        to: TransitionTask,
        operator: &str,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Task> {
        let mut task = task_by_id(&self.transaction, to.task_id)?;
        let mut actor = operator.to_owned();
        if let Some(agent_id) = to.agent_id {
            let agent = self.agent(agent_id, lease, now)?;
            self.seen(agent_id, now)?;
            if task.agent_id != Some(agent_id) {
                return Err(StoreError::Conflict {
                    problem: format!(
                        "agent {} does not hold task {}, which is {}",
                        agent.name, task.id, task.status
                    ),
                });
            }
            actor = format!("agent:{}", agent.name);
        }
        if task.status == to.status {
            return Ok(task);
        }
        let from = task.status;
        if !from.may_become(to.status) {
            return Err(StoreError::Conflict {
                problem: format!("task {} is {from} and cannot become {}", task.id, to.status),
            });
        }
        if let Some(used) = to.usage {
            task.usage += used;
        }
        task.result = to.result.or(task.result);
        if to.status == TaskStatus::Queued {
            return match to.error {
                Some(why) => {
                    let pause = pause_after(task.attempts);
                    self.give_up(task, &actor, &why, Some(pause), now)
                }
                None => self.give_up(task, &actor, "given back", None, now),
            };
        }
        task.not_before = None;
        let note = to.error.clone();
        // What is done well has no error, though an attempt before had.
        if to.error.is_some() || to.status == TaskStatus::Done {
            task.error = to.error;
        }
        task.status = to.status;
        task.lease_until = if to.status.is_held() {
            Some(as_kept(lease.until(now)))
        } else {
            None
        };
        self.keep(&mut task, from, now)?;
        self.moved(&task, from, &actor, note.as_deref(), now)?;
        Ok(task)
    }

    /// Ends an attempt at a task, as [`Batch::transition_task`] does. One that is not the task's present
    /// one any more ends nothing: the task was taken back meanwhile, and given out again.
    ///
    /// # Errors
    /// As [`Batch::transition_task`]; [`StoreError::Conflict`] also for an attempt that is over.
    pub fn end_attempt(
        &mut self,
        to: TransitionTask,
        attempt: u32,
        operator: &str,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Task> {
        let task = task_by_id(&self.transaction, to.task_id)?;
        if task.attempts != attempt {
            return Err(StoreError::Conflict {
                problem: format!(
                    "attempt {attempt} at task {} is over; it is at attempt {} by now",
                    task.id, task.attempts
                ),
            });
        }
        self.transition_task(to, operator, lease, now)
    }

    /// Calls a task off. One that is called off already stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it has ended otherwise, [`StoreError::NotFound`], or when
    /// SQLite refuses.
    pub fn cancel_task(
        &mut self,
        cancel: CancelTask,
        actor: &str,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Task> {
        let to = TransitionTask {
            error: cancel.reason,
            ..TransitionTask::to(cancel.task_id, TaskStatus::Cancelled, None)
        };
        self.transition_task(to, actor, lease, now)
    }

    /// Puts a task that has failed or was called off back into the queue, with all its attempts; or
    /// ends the pause of one that is in the queue already. One that waits there is left alone.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an agent has it or it is done, [`StoreError::NotFound`], or when
    /// SQLite refuses.
    pub fn retry_task(&mut self, which: &RetryTask, actor: &str, now: Timestamp) -> Result<Task> {
        let mut task = task_by_id(&self.transaction, which.task_id)?;
        let from = task.status;
        match from {
            TaskStatus::Queued if task.not_before.is_none() => return Ok(task),
            TaskStatus::Queued => {}
            TaskStatus::Failed | TaskStatus::Cancelled => task.attempts = 0,
            TaskStatus::Claimed | TaskStatus::Started | TaskStatus::Done => {
                return Err(StoreError::Conflict {
                    problem: format!(
                        "task {} is {from}; only one that has failed or was called off is retried",
                        task.id
                    ),
                });
            }
        }
        task.status = TaskStatus::Queued;
        task.agent_id = None;
        task.not_before = None;
        self.keep(&mut task, from, now)?;
        self.moved(&task, from, actor, Some("to be tried again"), now)?;
        Ok(task)
    }

    /// Lets tasks be given again whose pause is over. Gives back how many.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn end_pauses(&mut self, now: Timestamp) -> Result<usize> {
        self.transaction
            .prepare_cached(END_PAUSES)
            .and_then(|mut statement| statement.execute([time_text(now)]))
            .while_trying_to("end tasks' pauses")
    }

    /// Adds to a task's account, while an agent works on it or afterwards.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when SQLite refuses.
    pub fn book_usage(&mut self, task_id: Uuid, used: Usage, now: Timestamp) -> Result<Task> {
        let mut task = task_by_id(&self.transaction, task_id)?;
        task.usage += used;
        let status = task.status;
        self.keep(&mut task, status, now)?;
        self.tell_task(&task);
        Ok(task)
    }

    /// Takes tasks back whose lease has ended; at most 500, so that nobody waits long. Gives back
    /// how many.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn expire_leases(&mut self, now: Timestamp) -> Result<usize> {
        const WHAT: &str = "look for ended leases";
        let ids: Vec<String> = self
            .transaction
            .prepare_cached(EXPIRED)
            .and_then(|mut statement| {
                statement
                    .query_map(params![time_text(now), AT_ONCE], |row| row.get(0))?
                    .collect()
            })
            .while_trying_to(WHAT)?;
        for id in &ids {
            let task = task_by_id(&self.transaction, row::parsed("id", id)?)?;
            let why = "its agent gave no sign of life";
            self.give_up(task, "scheduler", why, None, now)?;
        }
        Ok(ids.len())
    }

    /// An agent is known to have ended: what it holds is taken back at once, and nothing is given to
    /// it until it is heard of again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when SQLite refuses.
    pub fn agent_ended(&mut self, agent_id: Uuid, lease: Lease, now: Timestamp) -> Result<()> {
        self.end_agent(agent_id, "its agent has ended", lease, now)?;
        Ok(())
    }

    /// Ends every agent that the daemon of before had [spawned](Batch::agent_spawned): none of them
    /// has outlived it. Called at the start, before any of them is started again. An agent that runs
    /// by itself keeps what it holds until its lease ends. Gives back how many tasks were taken back.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn daemon_restarted(&mut self, lease: Lease, now: Timestamp) -> Result<usize> {
        const WHY: &str = "the daemon restarted; its agent ended with the one before";
        let mut taken_back = 0;
        for agent_id in self.forget_spawned()? {
            taken_back += self.end_agent(agent_id, WHY, lease, now)?;
        }
        Ok(taken_back)
    }

    /// Takes back what an agent holds, and gives back how many tasks those were.
    fn end_agent(
        &mut self,
        agent_id: Uuid,
        why: &str,
        lease: Lease,
        now: Timestamp,
    ) -> Result<usize> {
        let agent = self.agent(agent_id, lease, now)?;
        let ids: Vec<String> = self
            .transaction
            .prepare_cached(HELD)
            .and_then(|mut statement| {
                statement
                    .query_map([agent_id.to_string()], |row| row.get(0))?
                    .collect()
            })
            .while_trying_to("look for an agent's tasks")?;
        for id in &ids {
            let task = task_by_id(&self.transaction, row::parsed("id", id)?)?;
            self.give_up(task, "daemon", why, None, now)?;
        }
        let long_ago = lease.alive_since(now) - SignedDuration::from_secs(1);
        self.seen(agent_id, agent.last_seen.min(long_ago))?;
        self.tell(Change::Agent {
            agent_id,
            name: agent.name,
        });
        Ok(ids.len())
    }

    /// Has every time agree with the clock: each lease has its full length from now, no pause is longer
    /// than the longest, and nobody was heard of in the future. Called when nobody could give a sign of
    /// life for a while: at the start, when the clock may have been set meanwhile, and after a time in
    /// which the database could not be written.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn renew_leases(&mut self, lease: Lease, now: Timestamp) -> Result<()> {
        let longest = now.saturating_add(LONGEST_PAUSE).unwrap_or(Timestamp::MAX);
        for (sql, at, what) in [
            (RENEW, lease.until(now), "renew leases"),
            (SHORTEN_PAUSES, longest, "shorten tasks' pauses"),
            (NOT_FROM_THE_FUTURE, now, "correct agents' signs of life"),
        ] {
            self.transaction
                .execute(sql, [time_text(at)])
                .while_trying_to(what)?;
        }
        Ok(())
    }

    /// The clock was set `by` so much, forward or back, and is `now`. Whoever was heard of lately still
    /// was; for the rest, see [`Batch::renew_leases`].
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn clock_was_set(
        &mut self,
        by: SignedDuration,
        lease: Lease,
        now: Timestamp,
    ) -> Result<()> {
        self.move_signs_of_life(by, now)?;
        self.renew_leases(lease, now)
    }

    pub(crate) fn extend_leases(&self, agent_id: Uuid, lease: Lease, now: Timestamp) -> Result<()> {
        self.transaction
            .prepare_cached(EXTEND)
            .and_then(|mut statement| {
                statement.execute(params![agent_id.to_string(), time_text(lease.until(now))])
            })
            .while_trying_to("extend leases")?;
        Ok(())
    }

    /// The agent has it no longer: back into the queue, where it may have to pause because the
    /// attempt failed, or failed when that was the last attempt.
    fn give_up(
        &mut self,
        mut task: Task,
        actor: &str,
        why: &str,
        pause: Option<Duration>,
        now: Timestamp,
    ) -> Result<Task> {
        let from = task.status;
        let is_last = task.attempts >= task.max_attempts;
        let attempt = format!("attempt {} of {}: {why}", task.attempts, task.max_attempts);
        if is_last || pause.is_some() {
            task.error = Some(attempt.clone());
        }
        task.lease_until = None;
        if is_last {
            task.status = TaskStatus::Failed;
        } else {
            task.status = TaskStatus::Queued;
            task.agent_id = None;
            let until = |pause: Duration| now.saturating_add(pause).unwrap_or(Timestamp::MAX);
            task.not_before = pause.map(until).map(as_kept);
        }
        self.keep(&mut task, from, now)?;
        self.moved(&task, from, actor, Some(&attempt), now)?;
        Ok(task)
    }

    /// Writes what can change of a task that stood at `from`.
    fn keep(&mut self, task: &mut Task, from: TaskStatus, now: Timestamp) -> Result<()> {
        task.updated_at = as_kept(now);
        let usage = task.usage;
        let kept = self
            .transaction
            .prepare_cached(
                "UPDATE tasks SET status = ?3, agent_id = ?4, lease_until = ?5, result = ?6,
                    error = ?7, tokens_in = ?8, tokens_out = ?9, tokens_cache_read = ?10,
                    tokens_cache_write = ?11, cost = ?12, updated_at = ?13, not_before = ?14,
                    attempts = ?15
                 WHERE id = ?1 AND status = ?2",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    task.id.to_string(),
                    from.as_str(),
                    task.status.as_str(),
                    task.agent_id.map(|id| id.to_string()),
                    task.lease_until.map(time_text),
                    task.result,
                    task.error,
                    integer(usage.input),
                    integer(usage.output),
                    integer(usage.cache_read),
                    integer(usage.cache_write),
                    integer(usage.cost_usd.billionths()),
                    time_text(now),
                    task.not_before.map(time_text),
                    task.attempts,
                ])
            })
            .while_trying_to("move a task on")?;
        if kept == 1 {
            Ok(())
        } else {
            Err(StoreError::Conflict {
                problem: format!("task {} is not {from} any more", task.id),
            })
        }
    }

    fn moved(
        &mut self,
        task: &Task,
        from: TaskStatus,
        actor: &str,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        let kind = match task.status {
            // Nothing else leads there.
            TaskStatus::Queued => "task-requeued".to_owned(),
            status => format!("task-{status}"),
        };
        let detail = EventDetail {
            from: Some(from),
            to: Some(task.status),
            note: note.map(|note| note.chars().take(NOTE).collect()),
        };
        self.record(now, actor, &kind, Some(task.id), &detail)?;
        self.tell_task(task);
        Ok(())
    }
}

/// How long a task pauses after this many attempts, of which the last one failed.
fn pause_after(attempts: u32) -> Duration {
    let times = 4_u32.saturating_pow(attempts.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(times).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_board::{Board, LEASE};
    use colibri_protocol::{Agent, AgentStatus, CreateTask, Heartbeat, Usage, Usd};

    impl Board {
        fn task(&mut self, needs: &str, max_attempts: u32) -> Task {
            let new = CreateTask {
                capabilities: needs
                    .split_whitespace()
                    .map(|one| one.parse().unwrap())
                    .collect(),
                max_attempts: Some(max_attempts),
                ..CreateTask::titled("t")
            };
            let now = self.now;
            self.store
                .change(|b| b.create_task(new, "uid:0", now))
                .unwrap()
        }

        fn cancel(&mut self, task: &Task, reason: Option<&str>) -> Result<Task> {
            let cancel = CancelTask {
                task_id: task.id,
                reason: reason.map(str::to_owned),
            };
            let now = self.now;
            self.store
                .change(|b| b.cancel_task(cancel, "uid:7", LEASE, now))
        }

        fn retry(&mut self, task: &Task) -> Result<Task> {
            let (which, now) = (RetryTask { task_id: task.id }, self.now);
            self.store.change(|b| b.retry_task(&which, "uid:7", now))
        }

        fn spawned(&mut self, agent: &Agent) {
            self.store.change(|b| b.agent_spawned(agent.id)).unwrap();
        }

        fn restart(&mut self) -> usize {
            let now = self.now;
            self.store
                .change(|b| b.daemon_restarted(LEASE, now))
                .unwrap()
        }

        fn later(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
    }

    fn used(tokens: u64) -> Usage {
        Usage {
            input: tokens,
            cost_usd: Usd::from_billionths(tokens * 1000),
            ..Usage::default()
        }
    }

    #[test]
    fn an_agent_that_has_ended_holds_nothing_and_gets_nothing() {
        let mut board = Board::new();
        let agent = board.agent("a", "gpu");
        let (held, ended) = (board.task("gpu", 3), board.task("gpu", 1));
        board.claim(&held, &agent).unwrap();
        board.claim(&ended, &agent).unwrap();
        let now = board.now;
        board
            .store
            .change(|b| b.agent_ended(agent.id, LEASE, now))
            .unwrap();
        let stands = |id| board.reader().task(id).unwrap().task.status;
        assert_eq!(stands(held.id), TaskStatus::Queued);
        assert_eq!(stands(ended.id), TaskStatus::Failed, "its last attempt");
        let status = |board: &Board| {
            let agents = board.reader().all_agents(LEASE.alive_since(board.now));
            agents.unwrap()[0].status
        };
        assert_eq!(status(&board), AgentStatus::Offline);
        board.agent("a", "gpu");
        assert_eq!(status(&board), AgentStatus::Idle, "heard of again");
    }

    #[test]
    fn a_restart_takes_back_what_spawned_agents_held_and_only_once() {
        let mut board = Board::new();
        let (ours, outside) = (board.agent("ours", "gpu"), board.agent("outside", "code"));
        board.spawned(&ours);
        let (first, last) = (board.task("gpu", 3), board.task("gpu", 1));
        let kept = board.task("code", 3);
        board.claim(&first, &ours).unwrap();
        board.claim(&last, &ours).unwrap();
        let claimed = board.claim(&kept, &outside).unwrap();
        let started = TransitionTask::to(first.id, TaskStatus::Started, Some(ours.id));
        board.go(started).unwrap();
        board.later(5);
        assert_eq!(board.restart(), 2);

        let details = board.reader().task(first.id).unwrap();
        let back = &details.task;
        assert_eq!(
            (back.status, back.agent_id, back.lease_until, back.attempts),
            (TaskStatus::Queued, None, None, 1)
        );
        let event = details.events.last().unwrap();
        assert_eq!(
            (event.kind.as_str(), event.actor.as_str()),
            ("task-requeued", "daemon")
        );
        let why = "the daemon restarted; its agent ended with the one before";
        assert_eq!(event.note, Some(format!("attempt 1 of 3: {why}")));
        let failed = board.reader().task(last.id).unwrap().task;
        assert_eq!(failed.status, TaskStatus::Failed, "its last attempt");
        assert_eq!(failed.error, Some(format!("attempt 1 of 1: {why}")));
        assert_eq!(board.reader().task(kept.id).unwrap().task, claimed);

        // Nothing is given to the dead.
        let agents = board.reader().all_agents(LEASE.alive_since(board.now));
        let status: Vec<_> = agents.unwrap().iter().map(|agent| agent.status).collect();
        assert_eq!(status, [AgentStatus::Offline, AgentStatus::Active]);

        assert_eq!(board.restart(), 0);
        assert_eq!(board.reader().task(first.id).unwrap(), details);
    }

    #[test]
    fn who_has_registered_itself_since_keeps_its_task_over_a_restart() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        board.spawned(&agent);
        board.agent("a", "");
        let task = board.task("", 3);
        let claimed = board.claim(&task, &agent).unwrap();
        assert_eq!(board.restart(), 0);
        assert_eq!(board.reader().task(task.id).unwrap().task, claimed);
    }

    #[test]
    fn a_whole_life_with_its_events_and_its_account() {
        let mut board = Board::new();
        let agent = board.agent("a", "gpu");
        let task = board.task("gpu", 3);
        let claimed = board.claim(&task, &agent).unwrap();
        assert_eq!(board.reader().task(task.id).unwrap().task, claimed);
        assert_eq!(claimed.attempts, 1);
        board.later(5);
        let to = |status, usage, result: Option<&str>| TransitionTask {
            usage,
            result: result.map(str::to_owned),
            ..TransitionTask::to(task.id, status, Some(agent.id))
        };
        board
            .go(to(TaskStatus::Started, Some(used(10)), None))
            .unwrap();
        let done = to(TaskStatus::Done, Some(used(5)), Some("42"));
        let first = board.go(done.clone()).unwrap();
        assert_eq!((first.usage, first.lease_until), (used(15), None));
        // The reply was lost; asked again, nothing is booked twice.
        board.later(5);
        assert_eq!(board.go(done).unwrap(), first);

        let details = board.reader().task(task.id).unwrap();
        assert_eq!(details.task, first);
        let events: Vec<_> = details
            .events
            .iter()
            .map(|event| {
                (
                    event.kind.as_str(),
                    event.actor.as_str(),
                    event.from,
                    event.to,
                )
            })
            .collect();
        use TaskStatus::{Claimed, Done, Queued, Started};
        assert_eq!(
            events,
            [
                ("task-created", "uid:0", None, None),
                ("task-claimed", "agent:a", Some(Queued), Some(Claimed)),
                ("task-started", "agent:a", Some(Claimed), Some(Started)),
                ("task-done", "agent:a", Some(Started), Some(Done)),
            ]
        );
    }

    #[test]
    fn the_loser_of_a_claim_is_told_and_so_is_who_cannot_do_it() {
        let mut board = Board::new();
        let (a, b, weak) = (
            board.agent("a", "gpu"),
            board.agent("b", "gpu"),
            board.agent("c", ""),
        );
        let task = board.task("gpu", 3);
        let error = board.claim(&task, &weak).unwrap_err().to_string();
        assert!(error.contains("lacks `gpu`"), "{error}");
        board.claim(&task, &a).unwrap();
        let error = board.claim(&task, &b).unwrap_err();
        assert!(matches!(&error, StoreError::Conflict { .. }), "{error}");
        let nobody = Agent {
            id: Uuid::nil(),
            ..a.clone()
        };
        let nothing = Task {
            id: Uuid::nil(),
            ..task.clone()
        };
        assert!(matches!(
            board.claim(&task, &nobody),
            Err(StoreError::NotFound { .. })
        ));
        assert!(matches!(
            board.claim(&nothing, &a),
            Err(StoreError::NotFound { .. })
        ));
        // Only who holds it moves it.
        let error = board
            .go(TransitionTask::to(task.id, TaskStatus::Started, Some(b.id)))
            .unwrap_err();
        assert!(error.to_string().contains("does not hold"), "{error}");
    }

    #[test]
    fn only_legal_moves_and_what_has_ended_stays() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        let task = board.task("", 3);
        let to = |status| TransitionTask::to(task.id, status, Some(agent.id));
        board.claim(&task, &agent).unwrap();
        let error = board.go(to(TaskStatus::Done)).unwrap_err().to_string();
        assert!(error.contains("claimed and cannot become done"), "{error}");
        board.go(to(TaskStatus::Started)).unwrap();
        board.go(to(TaskStatus::Failed)).unwrap();
        for status in [TaskStatus::Queued, TaskStatus::Started, TaskStatus::Done] {
            assert!(matches!(
                board.go(to(status)),
                Err(StoreError::Conflict { .. })
            ));
        }
        assert!(matches!(
            board.cancel(&task, Some("why")),
            Err(StoreError::Conflict { .. })
        ));
        let other = board.task("", 3);
        let first = board.cancel(&other, Some("why")).unwrap();
        assert_eq!(first.error.as_deref(), Some("why"));
        assert_eq!(board.cancel(&other, Some("why")).unwrap(), first);
    }

    #[test]
    fn a_silent_agent_loses_its_task_and_the_last_attempt_is_a_failure() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        let task = board.task("", 2);
        for attempt in 1..=2 {
            board.claim(&task, &agent).unwrap();
            board.later(59);
            let beat = Heartbeat {
                agent_id: agent.id,
                host: None,
            };
            let now = board.now;
            let seen = board
                .store
                .change(|b| b.heartbeat(&beat, LEASE, now))
                .unwrap();
            assert_eq!((seen.status, seen.holds), (AgentStatus::Active, 1));
            board.later(59);
            let now = board.now;
            assert_eq!(board.store.change(|b| b.expire_leases(now)).unwrap(), 0);
            board.later(1);
            let now = board.now;
            assert_eq!(board.store.change(|b| b.expire_leases(now)).unwrap(), 1);
            let lost = board.reader().task(task.id).unwrap().task;
            let expected = [TaskStatus::Queued, TaskStatus::Failed][attempt - 1];
            assert_eq!((lost.status, lost.lease_until), (expected, None));
        }
        let lost = board.reader().task(task.id).unwrap();
        assert!(lost.task.error.unwrap().contains("attempt 2 of 2"));
        // It comes back too late.
        let late = TransitionTask::to(task.id, TaskStatus::Done, Some(agent.id));
        assert!(matches!(board.go(late), Err(StoreError::Conflict { .. })));
        let offline = board
            .reader()
            .all_agents(LEASE.alive_since(board.now))
            .unwrap();
        assert_eq!(offline[0].status, AgentStatus::Offline);
    }

    #[test]
    fn a_clock_that_is_set_takes_nothing_from_who_lives_and_gives_nothing_to_the_dead() {
        for step in [86_400, -86_400] {
            let mut board = Board::new();
            let dead = board.agent("dead", "");
            let lost = board.task("", 3);
            board.claim(&lost, &dead).unwrap();
            board.later(120);
            let lives = board.agent("lives", "");
            let (held, pausing) = (board.task("", 3), board.task("", 3));
            fail_for_now(&mut board, &pausing, &lives);
            board.claim(&held, &lives).unwrap();
            let now = board.now;
            board.store.change(|b| b.expire_leases(now)).unwrap();
            board.later(30);
            let by = SignedDuration::from_secs(step);
            board.now += by;
            let now = board.now;
            board
                .store
                .change(|b| b.clock_was_set(by, LEASE, now))
                .unwrap();
            assert_eq!(board.store.change(|b| b.expire_leases(now)).unwrap(), 0);
            let status = |board: &Board| -> Vec<AgentStatus> {
                let agents = board.reader().all_agents(LEASE.alive_since(board.now));
                agents.unwrap().iter().map(|agent| agent.status).collect()
            };
            let expected = [AgentStatus::Offline, AgentStatus::Active];
            assert_eq!(status(&board), expected, "{step}");
            let kept = board.reader().task(held.id).unwrap().task;
            assert_eq!(kept.lease_until, Some(now + Duration::from_secs(60)));
            let longest = now + LONGEST_PAUSE;
            assert!(board.reader().next_try().unwrap().unwrap() <= longest);
            // And who says nothing from now on loses it as ever.
            board.later(60);
            let now = board.now;
            assert_eq!(board.store.change(|b| b.expire_leases(now)).unwrap(), 1);
            assert_eq!(status(&board), [AgentStatus::Offline; 2], "{step}");
        }
    }

    /// It is claimed, begun, and given back because of an outage.
    fn fail_for_now(board: &mut Board, task: &Task, agent: &Agent) -> Task {
        board.claim(task, agent).unwrap();
        let started = TransitionTask::to(task.id, TaskStatus::Started, Some(agent.id));
        board.go(started).unwrap();
        let back = TransitionTask {
            error: Some("503 no capacity".to_owned()),
            ..TransitionTask::to(task.id, TaskStatus::Queued, Some(agent.id))
        };
        board.go(back).unwrap()
    }

    #[test]
    fn an_attempt_that_failed_for_now_is_repeated_after_ever_longer_pauses() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        let task = board.task("", 3);
        for (attempt, pause) in [(1, 10), (2, 40)] {
            let back = fail_for_now(&mut board, &task, &agent);
            let until = board.now + Duration::from_secs(pause);
            assert_eq!(
                (back.status, back.agent_id, back.not_before),
                (TaskStatus::Queued, None, Some(until))
            );
            let error = format!("attempt {attempt} of 3: 503 no capacity");
            assert_eq!(back.error.as_deref(), Some(error.as_str()));
            assert_eq!(board.reader().task(task.id).unwrap().task, back);
            // Nobody is given it, and nobody can take it.
            let waiting = |board: &Board| {
                let needs = board.reader().waiting_needs(9).unwrap();
                let same = board.reader().waiting(&task.capabilities, 9).unwrap();
                assert_eq!(needs.len(), same.len());
                same.len()
            };
            assert_eq!(board.reader().next_try().unwrap(), Some(until));
            assert_eq!(waiting(&board), 0);
            let early = board.claim(&task, &agent).unwrap_err().to_string();
            assert!(early.contains("not tried again before"), "{early}");
            board.later(pause - 1);
            let now = board.now;
            assert_eq!(board.store.change(|b| b.end_pauses(now)).unwrap(), 0);
            board.later(1);
            let now = board.now;
            assert_eq!(board.store.change(|b| b.end_pauses(now)).unwrap(), 1);
            assert_eq!(board.reader().next_try().unwrap(), None);
            assert_eq!(waiting(&board), 1);
        }
        let failed = fail_for_now(&mut board, &task, &agent);
        assert_eq!(
            (failed.status, failed.not_before),
            (TaskStatus::Failed, None)
        );
        let error = failed.error.as_deref();
        assert_eq!(error, Some("attempt 3 of 3: 503 no capacity"));
    }

    #[test]
    fn an_attempt_that_is_over_ends_nothing() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        let task = board.task("", 3);
        fail_for_now(&mut board, &task, &agent);
        board.later(10);
        board.claim(&task, &agent).unwrap();
        let to = |status| TransitionTask::to(task.id, status, Some(agent.id));
        board.go(to(TaskStatus::Started)).unwrap();
        let now = board.now;
        let mut end = |attempt| {
            let done = to(TaskStatus::Done);
            board
                .store
                .change(|b| b.end_attempt(done, attempt, "uid:0", LEASE, now))
        };
        let late = end(1).unwrap_err();
        assert!(matches!(&late, StoreError::Conflict { .. }), "{late}");
        assert_eq!(end(2).unwrap().status, TaskStatus::Done);
    }

    #[test]
    fn pauses_grow_and_end_at_an_hour() {
        let pauses = [1, 2, 3, 5, 6, 100].map(|attempts| pause_after(attempts).as_secs());
        assert_eq!(pauses, [10, 40, 160, 2560, 3600, 3600]);
    }

    #[test]
    fn an_operator_has_tasks_retried_that_failed_were_called_off_or_pause() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        let task = board.task("", 1);
        let failed = fail_for_now(&mut board, &task, &agent);
        assert_eq!(failed.status, TaskStatus::Failed);
        let again = board.retry(&task).unwrap();
        assert_eq!(
            (again.status, again.agent_id, again.attempts),
            (TaskStatus::Queued, None, 0)
        );
        assert_eq!(board.reader().task(task.id).unwrap().task, again);
        // The reply was lost; asked again, nothing changes.
        assert_eq!(board.retry(&task).unwrap(), again);
        board.cancel(&task, None).unwrap();
        assert_eq!(board.retry(&task).unwrap().status, TaskStatus::Queued);

        // A pause ends with the task, too.
        let other = board.task("", 3);
        fail_for_now(&mut board, &other, &agent);
        let cancelled = board.cancel(&other, None).unwrap();
        assert_eq!(cancelled.not_before, None);

        board.claim(&task, &agent).unwrap();
        let held = board.retry(&task).unwrap_err().to_string();
        assert!(held.contains("is claimed; only"), "{held}");
        let to = |status| TransitionTask::to(task.id, status, Some(agent.id));
        board.go(to(TaskStatus::Started)).unwrap();
        let done = board.go(to(TaskStatus::Done)).unwrap();
        assert_eq!((done.attempts, &done.error), (1, &None), "{done:?}");
        assert!(board.retry(&task).is_err());

        let pausing = board.task("", 3);
        fail_for_now(&mut board, &pausing, &agent);
        let at_once = board.retry(&pausing).unwrap();
        assert_eq!((at_once.not_before, at_once.attempts), (None, 1));
        board.claim(&pausing, &agent).unwrap();
    }

    #[test]
    fn a_task_given_back_is_free_and_keeps_its_account() {
        let mut board = Board::new();
        let (a, b) = (board.agent("a", ""), board.agent("b", ""));
        let task = board.task("", 2);
        board.claim(&task, &a).unwrap();
        let back = TransitionTask {
            usage: Some(used(3)),
            ..TransitionTask::to(task.id, TaskStatus::Queued, Some(a.id))
        };
        let back = board.go(back).unwrap();
        assert_eq!(
            (back.status, back.agent_id, back.usage),
            (TaskStatus::Queued, None, used(3))
        );
        board.claim(&task, &b).unwrap();
        let now = board.now;
        let booked = board
            .store
            .change(|x| x.book_usage(task.id, used(4), now))
            .unwrap();
        assert_eq!(booked.usage, used(7));
    }

    #[test]
    fn a_start_gives_every_lease_its_full_length() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        let task = board.task("", 2);
        board.claim(&task, &agent).unwrap();
        board.later(3600);
        let now = board.now;
        board.store.change(|b| b.renew_leases(LEASE, now)).unwrap();
        assert_eq!(board.store.change(|b| b.expire_leases(now)).unwrap(), 0);
        let kept = board.reader().task(task.id).unwrap().task;
        assert_eq!(kept.lease_until, Some(now + Duration::from_secs(60)));
    }

    #[test]
    fn a_start_after_the_clock_was_set_back_believes_no_time_that_is_yet_to_come() {
        let mut board = Board::new();
        let dead = board.agent("dead", "");
        let (held, pausing) = (board.task("", 3), board.task("", 3));
        fail_for_now(&mut board, &pausing, &dead);
        board.claim(&held, &dead).unwrap();
        // While no daemon ran, which could have seen it.
        board.now -= Duration::from_secs(30 * 86_400);
        let now = board.now;
        board.store.change(|b| b.renew_leases(LEASE, now)).unwrap();
        let kept = board.reader().task(held.id).unwrap().task;
        assert_eq!(kept.lease_until, Some(now + Duration::from_secs(60)));
        let next = board.reader().next_try().unwrap().unwrap();
        assert!(next <= now + LONGEST_PAUSE, "{next}");
        // Whoever has it says nothing: so it goes to another, and nothing more goes there.
        board.later(60);
        let now = board.now;
        assert_eq!(board.store.change(|b| b.expire_leases(now)).unwrap(), 1);
        let agents = board.reader().all_agents(LEASE.alive_since(now)).unwrap();
        assert_eq!(agents[0].status, AgentStatus::Offline);
    }

    #[test]
    fn an_agent_keeps_its_id_and_subscribers_hear_only_what_was_done() {
        let mut board = Board::new();
        let first = board.agent("a", "gpu");
        let again = board.agent("a", "code");
        assert_eq!(first.id, again.id);
        assert_eq!(again.capabilities.len(), 1);
        let task = board.task("gpu", 1);
        let claim = ClaimTask {
            task_id: task.id,
            agent_id: first.id,
        };
        let now = board.now;
        let mut batch = board.store.begin().unwrap();
        let failed = batch.attempt(|b| {
            b.tell(Change::CostMode {
                mode: colibri_protocol::CostMode::Max,
            });
            b.claim_task(&claim, None, LEASE, now)
        });
        assert!(failed.is_err());
        batch
            .attempt(|b| b.create_task(CreateTask::titled("told"), "uid:0", now))
            .unwrap();
        let told = batch.commit().unwrap();
        assert!(
            matches!(told.as_slice(), [Change::Task { title, .. }] if title == "told"),
            "{told:?}"
        );
    }

    #[test]
    fn what_waits_is_found_by_its_needs_oldest_first() {
        let mut board = Board::new();
        let first = board.task("gpu code", 1);
        let second = board.task("code gpu", 1);
        board.task("", 1);
        let reader = board.reader();
        let needs = reader.waiting_needs(10).unwrap();
        assert_eq!(needs.len(), 2, "{needs:?}");
        let waiting = reader.waiting(&first.capabilities, 10).unwrap();
        let ids: Vec<_> = waiting.iter().map(|task| task.id).collect();
        assert_eq!(ids, [first.id, second.id]);
    }
}
