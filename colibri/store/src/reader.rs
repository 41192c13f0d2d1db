//! What only reads, beside the writer.

use std::collections::BTreeSet;
use std::path::PathBuf;

use colibri_protocol::{
    Capability, DatabaseStatus, ListTasks, Task, TaskCounts, TaskDetails, TaskEvent, TaskPage,
    TaskStatus,
};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backup::with_suffix;
use crate::error::While;
use crate::open::FileId;
use crate::row::{
    TASK_COLUMNS, capabilities, from_json, get, parsed, parsed_if_any, task, to_json,
};
use crate::{Result, StoreError, schema};

/// A connection that cannot change anything.
#[derive(Debug)]
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    /// The file that the writer has open.
    pub(crate) file: FileId,
}

impl Reader {
    /// How many tasks stand where; takes the same time for a million tasks as for none.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn task_counts(&self) -> Result<TaskCounts> {
        const WHAT: &str = "count tasks";
        let mut counts = TaskCounts::default();
        let mut statement = self
            .connection
            .prepare_cached("SELECT status, count FROM task_counts")
            .while_trying_to(WHAT)?;
        let mut rows = statement.query([]).while_trying_to(WHAT)?;
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            let status: String = row.get(0).while_trying_to(WHAT)?;
            let status: TaskStatus = parsed("status", &status)?;
            let count: i64 = row.get(1).while_trying_to(WHAT)?;
            // The table's own CHECK keeps it from being negative.
            *counts.of_mut(status) = count.unsigned_abs();
        }
        Ok(counts)
    }

    /// One page of at most `limit` tasks, newest first, whose JSON stays
    /// below `budget` bytes (one task always fits).
    ///
    /// # Errors
    /// [`StoreError::BadCursor`], or when SQLite refuses.
    pub fn tasks(&self, which: &ListTasks, limit: u32, budget: usize) -> Result<TaskPage> {
        self.tasks_with(which, limit, budget, |_| {})
    }

    /// The same, with something added to each task before its length is counted.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`], or when SQLite refuses.
    pub fn tasks_with(
        &self,
        which: &ListTasks,
        limit: u32,
        budget: usize,
        add: impl Fn(&mut Task),
    ) -> Result<TaskPage> {
        const WHAT: &str = "list tasks";
        let before = cursor(which.after.as_deref())?;
        let filter = filter(which);
        let sql =
            format!("SELECT {TASK_COLUMNS} FROM tasks WHERE {filter} seq < ?3 ORDER BY seq DESC");
        let mut statement = self.connection.prepare_cached(&sql).while_trying_to(WHAT)?;
        let status = which.status.map(TaskStatus::as_str);
        let agent = which.agent_id.map(|id| id.to_string());
        let mut rows = statement
            .query(params![status, agent, before])
            .while_trying_to(WHAT)?;

        let mut page = TaskPage {
            tasks: Vec::new(),
            next: None,
        };
        let (mut last, mut bytes) = (before, 0);
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            let (seq, mut task) = task(row)?;
            add(&mut task);
            bytes += json_length(&task);
            let full = page.tasks.len() >= limit as usize || bytes > budget;
            if full && !page.tasks.is_empty() {
                page.next = Some(last.to_string());
                break;
            }
            page.tasks.push(task);
            last = seq;
        }
        Ok(page)
    }

    /// One task and the latest hundred of its events, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when SQLite refuses.
    pub fn task(&self, id: Uuid) -> Result<TaskDetails> {
        const WHAT: &str = "read a task's events";
        let task = crate::tasks::task_by_id(&self.connection, id)?;
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT at, actor, kind, detail FROM events WHERE task = ?1
                 ORDER BY seq DESC LIMIT 100",
            )
            .while_trying_to(WHAT)?;
        let mut rows = statement.query([id.to_string()]).while_trying_to(WHAT)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            let detail: EventDetail = from_json("detail", &get::<String>(row, 3)?)?;
            events.push(TaskEvent {
                at: parsed("at", &get::<String>(row, 0)?)?,
                actor: get(row, 1)?,
                kind: get(row, 2)?,
                from: detail.from,
                to: detail.to,
                note: detail.note,
            });
        }
        events.reverse();
        Ok(TaskDetails { task, events })
    }

    /// What queued tasks need that are not in a pause: every set of capabilities that occurs among
    /// them, at most `limit`. Jumps from set to set, however many tasks there are of each.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn waiting_needs(&self, limit: u32) -> Result<Vec<BTreeSet<Capability>>> {
        const WHAT: &str = "look at what waits";
        let mut statement = self
            .connection
            .prepare_cached(WAITING_NEEDS)
            .while_trying_to(WHAT)?;
        let mut rows = statement.query([limit]).while_trying_to(WHAT)?;
        let mut needs = Vec::new();
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            needs.push(capabilities(&get::<String>(row, 0)?)?);
        }
        Ok(needs)
    }

    /// The oldest queued tasks that need exactly this and are not in a pause.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn waiting(&self, needs: &BTreeSet<Capability>, limit: u32) -> Result<Vec<Waiting>> {
        const WHAT: &str = "look at what waits";
        let mut statement = self
            .connection
            .prepare_cached(WAITING)
            .while_trying_to(WHAT)?;
        let text = to_json("capabilities", needs)?;
        let mut rows = statement
            .query(params![text, limit])
            .while_trying_to(WHAT)?;
        let mut waiting = Vec::new();
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            waiting.push(Waiting {
                seq: get(row, 0)?,
                id: parsed("id", &get::<String>(row, 1)?)?,
                since: parsed("updated_at", &get::<String>(row, 2)?)?,
                needs: needs.clone(),
            });
        }
        Ok(waiting)
    }

    /// When the next task's pause is over; nothing when none has one.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn next_try(&self) -> Result<Option<Timestamp>> {
        let at: Option<String> = self
            .connection
            .prepare_cached(NEXT_TRY)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .while_trying_to("look for the next task to be tried again")?;
        parsed_if_any("not_before", at)
    }

    /// One page of rows that have names, in their order; `sql` has the name before as `?1` and
    /// reads it as its first column.
    pub(crate) fn named_page<T: Serialize>(
        &self,
        sql: &str,
        after: Option<&str>,
        limit: u32,
        budget: usize,
        read: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<(Vec<T>, Option<String>)> {
        const WHAT: &str = "list";
        let mut statement = self.connection.prepare_cached(sql).while_trying_to(WHAT)?;
        let mut rows = statement
            .query([after.unwrap_or_default()])
            .while_trying_to(WHAT)?;
        let (mut page, mut bytes, mut last) = (Vec::new(), 0, String::new());
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            let entry = read(row)?;
            bytes += json_length(&entry);
            let full = page.len() >= limit as usize || bytes > budget;
            if full && !page.is_empty() {
                return Ok((page, Some(last)));
            }
            last = get(row, 0)?;
            page.push(entry);
        }
        Ok((page, None))
    }

    /// Schema, journal mode and sizes.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn database_status(&self) -> Result<DatabaseStatus> {
        let journal_mode = self
            .connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .while_trying_to("read its journal mode")?;
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
        Ok(DatabaseStatus {
            schema_version: u32::try_from(schema::version(&self.connection)?).unwrap_or(u32::MAX),
            journal_mode,
            size_bytes: size(self.path.clone()),
            wal_bytes: size(with_suffix(&self.path, "-wal")),
        })
    }
}

/// A queued task, as much of it as it takes to find an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the row of all tasks: who came first has the smaller one.
    pub seq: i64,
    /// Which.
    pub id: Uuid,
    /// Since when it waits.
    pub since: Timestamp,
    /// What an agent must be able to do.
    pub needs: BTreeSet<Capability>,
}

/// What an event says of a transition.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct EventDetail {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<TaskStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<TaskStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// SQLite would rather take the index by status, and look at every queued task.
const WAITING_NEEDS: &str = "
    WITH RECURSIVE needs (need) AS (
        SELECT min(capabilities) FROM tasks INDEXED BY tasks_waiting
        WHERE status = 'queued' AND not_before IS NULL
        UNION ALL
        SELECT (SELECT min(capabilities) FROM tasks INDEXED BY tasks_waiting
                WHERE status = 'queued' AND not_before IS NULL AND capabilities > need)
        FROM needs WHERE need IS NOT NULL
    )
    SELECT need FROM needs WHERE need IS NOT NULL LIMIT ?1";

const WAITING: &str = "
    SELECT seq, id, updated_at FROM tasks
    WHERE status = 'queued' AND not_before IS NULL AND capabilities = ?1
    ORDER BY seq LIMIT ?2";

const NEXT_TRY: &str = "SELECT min(not_before) FROM tasks WHERE not_before IS NOT NULL";

/// The part of a listing's condition that chooses its index. All have the same parameters.
fn filter(which: &ListTasks) -> &'static str {
    match (which.status, which.agent_id) {
        (None, None) => "?1 IS NULL AND ?2 IS NULL AND",
        (Some(_), None) => "status = ?1 AND ?2 IS NULL AND",
        (None, Some(_)) => "?1 IS NULL AND agent_id = ?2 AND",
        (Some(_), Some(_)) => "status = ?1 AND agent_id = ?2 AND",
    }
}

/// The number to continue below. Numbers begin at 1 and grow, so "below the
/// largest" is the first page.
fn cursor(after: Option<&str>) -> Result<i64> {
    match after.map(str::parse) {
        None => Ok(i64::MAX),
        Some(Ok(seq)) if seq > 0 => Ok(seq),
        Some(_) => {
            let given = after.unwrap_or_default().chars().take(40).collect();
            Err(StoreError::BadCursor { given })
        }
    }
}

/// Bytes the entry takes in a reply, with its comma.
fn json_length(entry: &impl Serialize) -> usize {
    // Serialising an entry cannot fail; were it ever to, the page ends early.
    serde_json::to_vec(entry).map_or(usize::MAX / 2, |json| json.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use colibri_protocol::CreateTask;
    use jiff::Timestamp;

    fn with_tasks(count: usize, description: &str) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        let mut batch = store.begin().unwrap();
        for number in 0..count {
            let new = CreateTask {
                title: format!("task {number}"),
                description: Some(description.to_owned()),
                ..CreateTask::default()
            };
            batch.create_task(new, "uid:0", Timestamp::now()).unwrap();
        }
        batch.commit().unwrap();
        (dir, store)
    }

    /// Every page of a listing.
    fn pages(reader: &Reader, which: &ListTasks, limit: u32, budget: usize) -> Vec<TaskPage> {
        let mut which = which.clone();
        let mut pages = Vec::new();
        loop {
            let page = reader.tasks(&which, limit, budget).unwrap();
            which.after.clone_from(&page.next);
            pages.push(page);
            if which.after.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_give_every_task_once_newest_first() {
        let (_dir, store) = with_tasks(25, "");
        let reader = store.reader().unwrap();
        let pages = pages(&reader, &ListTasks::default(), 10, usize::MAX);
        assert_eq!(
            pages
                .iter()
                .map(|page| page.tasks.len())
                .collect::<Vec<_>>(),
            [10, 10, 5]
        );
        let titles: Vec<_> = pages
            .iter()
            .flat_map(|page| &page.tasks)
            .map(|task| task.title.clone())
            .collect();
        let expected: Vec<_> = (0..25)
            .rev()
            .map(|number| format!("task {number}"))
            .collect();
        assert_eq!(titles, expected);
    }

    #[test]
    fn a_status_filters_and_its_pages_come_from_its_index() {
        let (_dir, store) = with_tasks(9, "");
        store
            .connection
            .execute("UPDATE tasks SET status = 'done' WHERE seq % 3 = 0", [])
            .unwrap();
        let reader = store.reader().unwrap();
        let which = ListTasks {
            status: Some(TaskStatus::Done),
            ..ListTasks::default()
        };
        let pages = pages(&reader, &which, 2, usize::MAX);
        assert_eq!(
            pages
                .iter()
                .map(|page| page.tasks.len())
                .collect::<Vec<_>>(),
            [2, 1]
        );
    }

    /// How SQLite would go about it.
    fn plan(reader: &Reader, sql: &str) -> String {
        let mut statement = reader
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let count = statement.parameter_count();
        let steps: Vec<String> = statement
            .query_map(
                rusqlite::params_from_iter(std::iter::repeat_n("1", count)),
                |row| row.get(3),
            )
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        steps.join("; ")
    }

    #[test]
    fn no_list_and_no_claim_looks_at_every_task() {
        let (_dir, store) = with_tasks(3, "");
        let reader = store.reader().unwrap();
        let listing = |status, agent_id| {
            let which = ListTasks {
                status,
                agent_id,
                ..ListTasks::default()
            };
            let filter = filter(&which);
            format!("SELECT {TASK_COLUMNS} FROM tasks WHERE {filter} seq < ?3 ORDER BY seq DESC")
        };
        let done = Some(TaskStatus::Done);
        let agent = Some(Uuid::nil());
        let queries = [
            (listing(None, None), "PRIMARY KEY"),
            (listing(done, None), "tasks_by_status"),
            (listing(None, agent), "tasks_by_agent "),
            (listing(done, agent), "tasks_by_agent_and_status"),
            (WAITING_NEEDS.to_owned(), "tasks_waiting"),
            (WAITING.to_owned(), "tasks_waiting"),
            (NEXT_TRY.to_owned(), "tasks_pausing"),
            (crate::tasks::END_PAUSES.to_owned(), "tasks_pausing"),
            (crate::tasks::CLAIM.to_owned(), "sqlite_autoindex_tasks_1"),
            (crate::tasks::EXPIRED.to_owned(), "tasks_by_lease"),
            (crate::tasks::EXTEND.to_owned(), "tasks_held"),
            (crate::tasks::RENEW.to_owned(), "tasks_by_lease"),
            (crate::tasks::SHORTEN_PAUSES.to_owned(), "tasks_pausing"),
            (crate::tasks::HELD.to_owned(), "tasks_held"),
            (crate::agents::AGENTS.to_owned(), "tasks_held"),
            (crate::agents::COUNTS.to_owned(), "tasks_held"),
            (crate::jobs::DUE.to_owned(), "jobs_by_time"),
            (crate::retention::ENDED.to_owned(), "tasks_ended"),
            (
                crate::retention::EVENTS_OF_NO_TASK.to_owned(),
                "events_by_task",
            ),
            (crate::retention::AGENTS.to_owned(), "tasks_by_agent "),
        ];
        for (sql, index) in queries {
            let plan = plan(&reader, &sql);
            assert!(plan.contains(index), "{sql}: {plan}");
            assert!(!plan.contains("SCAN tasks"), "{sql}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }

    #[test]
    fn a_page_ends_before_its_line_gets_too_long_and_one_task_always_fits() {
        let (_dir, store) = with_tasks(5, &"\n".repeat(1000));
        let reader = store.reader().unwrap();
        let lengths = |budget| {
            pages(&reader, &ListTasks::default(), 50, budget)
                .iter()
                .map(|page| page.tasks.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths(5000), [2, 2, 1]);
        assert_eq!(lengths(1), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_made_up_cursor_is_refused() {
        let (_dir, store) = with_tasks(1, "");
        for after in ["x", "-1", "0", "1.5", ""] {
            let which = ListTasks {
                after: Some(after.to_owned()),
                ..ListTasks::default()
            };
            let error = store.reader().unwrap().tasks(&which, 1, 1).unwrap_err();
            assert!(
                matches!(error, StoreError::BadCursor { .. }),
                "{after}: {error}"
            );
        }
    }

    #[test]
    fn a_reader_cannot_write_and_is_not_held_up_by_the_writer() {
        let (_dir, mut store) = with_tasks(1, "");
        let reader = store.reader().unwrap();
        assert!(reader.connection.execute("DELETE FROM tasks", []).is_err());
        let mut batch = store.begin().unwrap();
        let new = CreateTask::titled("open");
        batch.create_task(new, "uid:0", Timestamp::now()).unwrap();
        assert_eq!(reader.task_counts().unwrap().total(), 1);
        batch.commit().unwrap();
        assert_eq!(reader.task_counts().unwrap().total(), 2);
        let status = reader.database_status().unwrap();
        assert_eq!(
            (status.schema_version, status.journal_mode.as_str()),
            (crate::SCHEMA_VERSION, "wal")
        );
        assert!(status.wal_bytes > 0);
    }
}
