//! What has ended long ago is removed: a little at a time, and nothing that an open task needs.

use std::ops::AddAssign;

use colibri_protocol::{TaskCounts, TaskStatus, Usage};
use jiff::Timestamp;
use rusqlite::params;

use crate::error::While;
use crate::row::{get, number, parsed, time_text, used};
use crate::{Batch, Reader, Result};

/// Since when all events are there. A trigger refuses to delete younger ones.
const KEPT_SINCE: &str = "kept-since";

/// Those that ended first. One of which something younger is known, because the clock was set back
/// then, waits for that. SQLite would rather take the index by status, and look at all that ended.
pub(crate) const ENDED: &str = "
    SELECT id FROM tasks INDEXED BY tasks_ended
    WHERE status IN ('done', 'failed', 'cancelled') AND updated_at < ?1
        AND NOT EXISTS (SELECT 1 FROM events WHERE task = tasks.id AND at >= ?1)
    ORDER BY updated_at LIMIT ?2";

const EVENTS_OF_TASK: &str = "DELETE FROM events WHERE task = ?1";

const TASK: &str = "DELETE FROM tasks WHERE id = ?1";

/// Looks at no more than it may delete: events are in the order of their time.
pub(crate) const EVENTS_OF_NO_TASK: &str = "
    DELETE FROM events WHERE seq IN (
        SELECT seq FROM (
            SELECT seq, at FROM events WHERE task IS NULL ORDER BY seq LIMIT ?2
        ) WHERE at < ?1
    )";

pub(crate) const AGENTS: &str = "
    DELETE FROM agents WHERE id IN (
        SELECT id FROM agents
        WHERE last_seen < ?1 AND NOT EXISTS (SELECT 1 FROM tasks WHERE agent_id = agents.id)
        LIMIT ?2
    )";

/// How much was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Tasks, with all that had happened to them.
    pub tasks: usize,
    /// Events of tasks and of everything else.
    pub events: usize,
    /// Agents that nothing was heard of any more, and of which no task is left.
    pub agents: usize,
}

impl AddAssign for Removed {
    fn add_assign(&mut self, more: Self) {
        self.tasks += more.tasks;
        self.events += more.events;
        self.agents += more.agents;
    }
}

impl Batch<'_> {
    /// Removes what had ended before this time: at most so many tasks, with their events; as many
    /// other events; as many agents. What the tasks had used up stays in the sum of all:
    /// [`Reader::removed`].
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn remove_ended(&mut self, before: Timestamp, most: u32) -> Result<Removed> {
        let bound = time_text(before);
        self.keep_setting(KEPT_SINCE, &bound)?;
        let ended: Vec<String> = self
            .transaction
            .prepare_cached(ENDED)
            .and_then(|mut statement| {
                statement
                    .query_map(params![bound, most], |row| row.get(0))?
                    .collect()
            })
            .while_trying_to("look for tasks that ended long ago")?;
        let mut removed = Removed {
            tasks: ended.len(),
            ..Removed::default()
        };
        for id in &ended {
            removed.events += self.delete(EVENTS_OF_TASK, params![id])?;
            self.delete(TASK, params![id])?;
        }
        removed.events += self.delete(EVENTS_OF_NO_TASK, params![bound, most])?;
        removed.agents = self.delete(AGENTS, params![bound, most])?;
        Ok(removed)
    }

    fn delete(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<usize> {
        self.transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .while_trying_to("remove what ended long ago")
    }
}

impl Reader {
    /// How many tasks were removed since the board began, by how they had ended, and what they had
    /// used up.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn removed(&self) -> Result<(TaskCounts, Usage)> {
        const WHAT: &str = "read what was removed";
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT status, tasks, tokens_in, tokens_out, tokens_cache_read,
                    tokens_cache_write, cost
                 FROM removed",
            )
            .while_trying_to(WHAT)?;
        let mut rows = statement.query([]).while_trying_to(WHAT)?;
        let (mut counts, mut usage) = (TaskCounts::default(), Usage::default());
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            let status: TaskStatus = parsed("status", &get::<String>(row, 0)?)?;
            *counts.of_mut(status) = number(row, 1)?;
            usage += used(row, 2)?;
        }
        Ok((counts, usage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_board::Board;
    use colibri_protocol::{Agent, CreateTask, ListTasks, Task, TransitionTask, Usd};
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);

    impl Board {
        fn create(&mut self, title: &str) -> Task {
            let now = self.now;
            self.store
                .change(|b| b.create_task(CreateTask::titled(title), "uid:0", now))
                .unwrap()
        }

        fn start(&mut self, task: &Task, agent: &Agent) {
            self.claim(task, agent).unwrap();
            let started = TransitionTask::to(task.id, TaskStatus::Started, Some(agent.id));
            self.go(started).unwrap();
        }

        fn end(&mut self, task: &Task, agent: &Agent, status: TaskStatus, tokens: u64) {
            let to = TransitionTask {
                usage: Some(Usage {
                    input: tokens,
                    cost_usd: Usd::from_billionths(tokens),
                    ..Usage::default()
                }),
                ..TransitionTask::to(task.id, status, Some(agent.id))
            };
            self.go(to).unwrap();
        }

        fn remove(&mut self, before: Timestamp, most: u32) -> Removed {
            self.store.change(|b| b.remove_ended(before, most)).unwrap()
        }

        fn titles(&self) -> Vec<String> {
            let reader = self.reader();
            let page = reader.tasks(&ListTasks::default(), 50, usize::MAX).unwrap();
            page.tasks.into_iter().map(|task| task.title).collect()
        }

        fn names(&self) -> Vec<String> {
            let agents = self.reader().all_agents(Timestamp::MIN).unwrap();
            agents.into_iter().map(|one| one.name.to_string()).collect()
        }

        fn events(&self) -> i64 {
            self.store
                .connection
                .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
                .unwrap()
        }
    }

    #[test]
    fn what_ended_long_ago_goes_with_its_events_and_stays_in_the_sums() {
        let mut board = Board::new();
        let (gone, stays) = (board.agent("gone", ""), board.agent("stays", ""));
        let (done, failed) = (board.create("done"), board.create("failed"));
        let (open, held) = (board.create("open"), board.create("held"));
        for (task, agent) in [(&done, &gone), (&failed, &stays), (&held, &stays)] {
            board.start(task, agent);
        }
        board.end(&done, &gone, TaskStatus::Done, 7);
        board.now += DAY * 2;
        board.end(&failed, &stays, TaskStatus::Failed, 5);
        let events = board.events();

        // On the day between the two ends.
        let before = board.now - DAY;
        let removed = board.remove(before, 100);
        // It was created, claimed, started and done; and two agents were registered.
        let expected = Removed {
            tasks: 1,
            events: 6,
            agents: 1,
        };
        assert_eq!(removed, expected);
        assert_eq!(board.events(), events - 6);
        assert_eq!(board.titles(), ["held", "open", "failed"]);
        assert_eq!(board.names(), ["stays"]);
        assert_eq!(board.remove(before, 100), Removed::default());

        // Open tasks keep all that is known of them, however old.
        board.now += DAY * 10_000;
        let before = board.now;
        assert_eq!(board.remove(before, 100).tasks, 1);
        assert_eq!(board.titles(), ["held", "open"]);
        assert_eq!(board.names(), ["stays"], "it has a task");
        let reader = board.reader();
        assert_eq!(reader.task(held.id).unwrap().events.len(), 3);
        assert_eq!(reader.task(open.id).unwrap().events.len(), 1);
        let (counts, usage) = reader.removed().unwrap();
        assert_eq!((counts.done, counts.failed, counts.total()), (1, 1, 2));
        assert_eq!((usage.input, usage.cost_usd.billionths()), (12, 12));
        let counts = reader.task_counts().unwrap();
        assert_eq!((counts.queued, counts.started, counts.total()), (1, 1, 2));
        // Not even a made-up number stops the sum.
        board.end(&held, &stays, TaskStatus::Done, u64::MAX);
        let before = board.now + DAY;
        assert_eq!(board.remove(before, 100).tasks, 1);
        let (_, usage) = board.reader().removed().unwrap();
        assert_eq!(usage.input, i64::MAX.unsigned_abs() + 5);
    }

    #[test]
    fn no_turn_removes_more_than_it_may_and_the_oldest_go_first() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        // The first that is made is the last that ends.
        let tasks: Vec<Task> = (0..5).map(|n| board.create(&n.to_string())).collect();
        for task in tasks.iter().rev() {
            board.start(task, &agent);
            board.now += DAY;
            board.end(task, &agent, TaskStatus::Done, 1);
        }
        let before = board.now + DAY;
        let left = |board: &mut Board| {
            let removed = board.remove(before, 2);
            (removed.tasks, board.titles())
        };
        assert_eq!(
            left(&mut board),
            (2, vec!["2".into(), "1".into(), "0".into()])
        );
        assert_eq!(left(&mut board), (2, vec!["0".into()]));
        assert_eq!(left(&mut board), (1, vec![]));
        assert_eq!(left(&mut board).0, 0);
    }

    #[test]
    fn the_record_begins_where_it_was_cut_off_and_is_whole_from_there() {
        let mut board = Board::new();
        let agent = board.agent("a", "");
        let task = board.create("t");
        board.start(&task, &agent);
        board.now += DAY;
        // The clock was set back, and is so still when the task ends.
        let ahead = board.now;
        board.now -= DAY;
        board.end(&task, &agent, TaskStatus::Done, 1);
        board
            .store
            .connection
            .execute(
                "INSERT INTO events (at, actor, kind, task, detail) VALUES (?1, 'a', 'k', ?2, '{}')",
                [time_text(ahead), task.id.to_string()],
            )
            .unwrap();
        assert_eq!(
            board.remove(ahead, 9).tasks,
            0,
            "something younger is known"
        );
        let refused = board.store.connection.execute("DELETE FROM events", []);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
        assert_eq!(board.remove(ahead + DAY, 9).tasks, 1);
        assert_eq!(board.events(), 0);
    }
}
