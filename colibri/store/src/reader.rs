//! What only reads, beside the writer.

use std::path::PathBuf;

use colibri_protocol::{DatabaseStatus, ListTasks, TaskCounts, TaskPage, TaskStatus};
use rusqlite::{Connection, params};

use crate::error::While;
use crate::row::{TASK_COLUMNS, parsed, task};
use crate::{Result, StoreError, schema};

/// A connection that cannot change anything.
#[derive(Debug)]
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
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
        const WHAT: &str = "list tasks";
        let before = cursor(which.after.as_deref())?;
        let filter = if which.status.is_some() {
            "status = ?1 AND"
        } else {
            "?1 IS NULL AND"
        };
        let sql =
            format!("SELECT {TASK_COLUMNS} FROM tasks WHERE {filter} seq < ?2 ORDER BY seq DESC");
        let mut statement = self.connection.prepare_cached(&sql).while_trying_to(WHAT)?;
        let status = which.status.map(TaskStatus::as_str);
        let mut rows = statement
            .query(params![status, before])
            .while_trying_to(WHAT)?;

        let mut page = TaskPage {
            tasks: Vec::new(),
            next: None,
        };
        let (mut last, mut bytes) = (before, 0);
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            let (seq, task) = task(row)?;
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

    /// Schema, journal mode and sizes.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn database_status(&self) -> Result<DatabaseStatus> {
        let journal_mode = self
            .connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .while_trying_to("read its journal mode")?;
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
        Ok(DatabaseStatus {
            schema_version: u32::try_from(schema::version(&self.connection)?).unwrap_or(u32::MAX),
            journal_mode,
            size_bytes: size(self.path.clone()),
            wal_bytes: size(log.into()),
        })
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

/// Bytes the task takes in a reply, with its comma.
fn json_length(task: &colibri_protocol::Task) -> usize {
    // Serialising a task cannot fail; were it ever to, the page ends early.
    serde_json::to_vec(task).map_or(usize::MAX / 2, |json| json.len() + 1)
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

        for (filter, index) in [
            ("status = ?1 AND", "INDEX tasks_by_status"),
            ("?1 IS NULL AND", "PRIMARY KEY"),
        ] {
            let sql = format!(
                "EXPLAIN QUERY PLAN SELECT * FROM tasks WHERE {filter} seq < ?2 ORDER BY seq DESC"
            );
            let plan: String = reader
                .connection
                .query_row(&sql, params!["done", 9], |row| row.get(3))
                .unwrap();
            assert!(plan.contains("SEARCH") && plan.contains(index), "{plan}");
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
        let new = CreateTask {
            title: "open".into(),
            description: None,
        };
        batch.create_task(new, "uid:0", Timestamp::now()).unwrap();
        assert_eq!(reader.task_counts().unwrap().total(), 1);
        batch.commit().unwrap();
        assert_eq!(reader.task_counts().unwrap().total(), 2);
        let status = reader.database_status().unwrap();
        assert_eq!(
            (status.schema_version, status.journal_mode.as_str()),
            (1, "wal")
        );
        assert!(status.wal_bytes > 0);
    }
}
