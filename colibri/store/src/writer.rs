//! Changes, several to a transaction.

use colibri_protocol::{Change, CreateTask, Task, TaskStatus, Usage};
use jiff::Timestamp;
use rusqlite::{Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::error::While;
use crate::row::{as_kept, time_text, to_json};
use crate::{Result, Store, StoreError};

/// Why a batch cannot go on after SQLite gave up all of it.
const UNDONE: &str = "an earlier failure undid the whole batch";

/// Changes that reach the disk together: one sync for all of them, and yet
/// each can fail alone.
#[derive(Debug)]
pub struct Batch<'store> {
    pub(crate) transaction: Transaction<'store>,
    /// What subscribers are to be told once all of it is on disk.
    changes: Vec<Change>,
}

impl Store {
    /// Begins a batch. What is not [committed](Batch::commit) never happened.
    ///
    /// # Errors
    /// When another program holds the database for more than five seconds.
    pub fn begin(&mut self) -> Result<Batch<'_>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .while_trying_to("begin a change")?;
        Ok(Batch {
            transaction,
            changes: Vec::new(),
        })
    }

    /// One change in a transaction of its own.
    ///
    /// # Errors
    /// The change's own, or the transaction's.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut Batch<'_>) -> Result<T>) -> Result<T> {
        let mut batch = self.begin()?;
        let value = batch.attempt(change)?;
        batch.commit()?;
        Ok(value)
    }
}

impl Batch<'_> {
    /// Makes one change of the batch; when it fails, only its own traces go.
    ///
    /// # Errors
    /// The change's own.
    pub fn attempt<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.transaction.is_autocommit() {
            // A full disk, for one, makes SQLite undo everything at once. What
            // came after would be committed alone, unlike what it promises.
            return Err(StoreError::Commit {
                reason: UNDONE.to_owned(),
            });
        }
        self.run("SAVEPOINT attempt")?;
        let told = self.changes.len();
        let outcome = change(self);
        if outcome.is_err() {
            self.changes.truncate(told);
            if self.transaction.is_autocommit() {
                return outcome;
            }
            self.run("ROLLBACK TO attempt")?;
        }
        self.run("RELEASE attempt")?;
        outcome
    }

    /// Puts a task on the board, queued, with its event.
    ///
    /// `actor` says who asked, such as `uid:0`. The fields are those of a
    /// request that [`CreateTask::check`] has passed.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn create_task(&mut self, new: CreateTask, actor: &str, now: Timestamp) -> Result<Task> {
        self.add_task(new, actor, None, now)
    }

    /// The same, for a job perhaps.
    pub(crate) fn add_task(
        &mut self,
        new: CreateTask,
        actor: &str,
        job_id: Option<Uuid>,
        now: Timestamp,
    ) -> Result<Task> {
        const WHAT: &str = "add a task";
        let now_text = time_text(now);
        let capabilities = to_json("capabilities", &new.capabilities)?;
        let task = Task {
            id: new_id(now)?,
            title: new.title,
            description: new.description.unwrap_or_default(),
            status: TaskStatus::Queued,
            capabilities: new.capabilities,
            attempts: 0,
            max_attempts: new.max_attempts.unwrap_or(CreateTask::DEFAULT_ATTEMPTS),
            agent_id: None,
            lease_until: None,
            not_before: None,
            parked: None,
            result: None,
            error: None,
            usage: Usage::default(),
            job_id,
            created_by: actor.to_owned(),
            created_at: as_kept(now),
            updated_at: as_kept(now),
        };
        self.transaction
            .prepare_cached(
                "INSERT INTO tasks
                    (id, title, description, status, created_by, created_at, updated_at,
                     capabilities, max_attempts, job_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    task.id.to_string(),
                    task.title,
                    task.description,
                    task.status.as_str(),
                    task.created_by,
                    now_text,
                    capabilities,
                    task.max_attempts,
                    job_id.map(|id| id.to_string()),
                ])
            })
            .while_trying_to(WHAT)?;
        self.record(
            now,
            actor,
            "task-created",
            Some(task.id),
            &json!({ "title": task.title }),
        )?;
        self.tell_task(&task);
        Ok(task)
    }

    /// Has subscribers told once the batch is on disk.
    pub fn tell(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(crate) fn tell_task(&mut self, task: &Task) {
        self.tell(Change::Task {
            task_id: task.id,
            title: task.title.clone(),
            status: task.status,
            agent_id: task.agent_id,
        });
    }

    /// Writes the whole batch to the disk; it is durable when this returns. Gives back what
    /// subscribers are to be told.
    ///
    /// # Errors
    /// [`StoreError::Commit`], or what SQLite says; nothing of the batch has happened then.
    pub fn commit(self) -> Result<Vec<Change>> {
        if self.transaction.is_autocommit() {
            return Err(StoreError::Commit {
                reason: UNDONE.to_owned(),
            });
        }
        self.transaction.commit().while_trying_to("write")?;
        Ok(self.changes)
    }

    /// Leaves an event; of a task when there is one.
    pub(crate) fn record(
        &self,
        at: Timestamp,
        actor: &str,
        kind: &str,
        task: Option<Uuid>,
        detail: &impl Serialize,
    ) -> Result<()> {
        let detail = to_json("detail", detail)?;
        self.transaction
            .prepare_cached(
                "INSERT INTO events (at, actor, kind, task, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    time_text(at),
                    actor,
                    kind,
                    task.map(|id| id.to_string()),
                    detail
                ])
            })
            .while_trying_to("record an event")?;
        Ok(())
    }

    fn run(&self, sql: &str) -> Result<()> {
        self.transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .while_trying_to("keep changes apart")?;
        Ok(())
    }
}

/// A UUID of version 7: ids made later sort later, which keeps the index compact.
///
/// Made by hand because `Uuid::now_v7` panics without random numbers, as in a
/// bare chroot, and a daemon must not.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_id(now: Timestamp) -> Result<Uuid> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| StoreError::Random {
        reason: error.to_string(),
    })?;
    // Before 1970 there was no Colibri.
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Ok(uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use colibri_protocol::ListTasks;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        (dir, store)
    }

    fn titled(title: &str) -> CreateTask {
        CreateTask::titled(title)
    }

    fn titles(store: &Store) -> Vec<String> {
        let page = store
            .reader()
            .unwrap()
            .tasks(&ListTasks::default(), 50, usize::MAX)
            .unwrap();
        page.tasks.into_iter().map(|task| task.title).collect()
    }

    #[test]
    fn a_new_task_reads_back_as_it_was_given_with_its_event() {
        let (_dir, mut store) = store();
        let new = CreateTask {
            title: "žolna".into(),
            description: Some("a\nb\t'--".into()),
            ..CreateTask::default()
        };
        let made = store
            .change(|batch| batch.create_task(new, "uid:7", Timestamp::now()))
            .unwrap();
        let page = store
            .reader()
            .unwrap()
            .tasks(&ListTasks::default(), 9, usize::MAX)
            .unwrap();
        assert_eq!(page.tasks, std::slice::from_ref(&made));
        assert_eq!(page.next, None);
        let event: (String, String, String, String) = store
            .connection
            .query_row("SELECT actor, kind, task, detail FROM events", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .unwrap();
        let detail = "{\"title\":\"žolna\"}".to_owned();
        assert_eq!(
            event,
            (
                "uid:7".into(),
                "task-created".into(),
                made.id.to_string(),
                detail
            )
        );
    }

    #[test]
    fn ids_are_of_version_7_and_sort_by_time() {
        let at = |ms| new_id(Timestamp::from_millisecond(ms).unwrap()).unwrap();
        let (early, late) = (at(1_780_000_000_000), at(1_780_000_000_001));
        assert!(early < late);
        assert_ne!(early, at(1_780_000_000_000));
        assert_eq!(
            (early.get_version_num(), early.get_variant()),
            (7, uuid::Variant::RFC4122)
        );
    }

    #[test]
    fn one_failing_change_takes_no_other_with_it() {
        let (_dir, mut store) = store();
        let now = Timestamp::now();
        let mut batch = store.begin().unwrap();
        batch
            .attempt(|batch| batch.create_task(titled("first"), "uid:0", now))
            .unwrap();
        let failed: Result<()> = batch.attempt(|batch| {
            batch.create_task(titled("second"), "uid:0", now)?;
            Err(StoreError::Commit {
                reason: "for the test".into(),
            })
        });
        assert!(failed.is_err());
        batch
            .attempt(|batch| batch.create_task(titled("third"), "uid:0", now))
            .unwrap();
        batch.commit().unwrap();
        assert_eq!(titles(&store), ["third", "first"]);
        assert_eq!(store.reader().unwrap().task_counts().unwrap().queued, 2);
    }

    #[test]
    fn a_full_disk_says_so_loses_nothing_and_is_got_over() {
        let (_dir, mut store) = store();
        let now = Timestamp::now();
        store
            .change(|b| b.create_task(titled("before"), "uid:0", now))
            .unwrap();
        let pages = |store: &Store, most: i64| {
            store
                .connection
                .pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))
        };
        pages(&store, 1).unwrap(); // SQLite takes this as "no more than there are"
        let big = || CreateTask {
            title: "big".to_owned(),
            description: Some("x".repeat(CreateTask::MAX_DESCRIPTION_BYTES)),
            ..CreateTask::default()
        };
        let error = store
            .change(|b| b.create_task(big(), "uid:0", now))
            .unwrap_err()
            .to_string();
        assert!(error.contains("free some space"), "{error}");

        let mut batch = store.begin().unwrap();
        assert!(
            batch
                .attempt(|b| b.create_task(big(), "uid:0", now))
                .is_err()
        );
        let small = batch.attempt(|b| b.create_task(titled("small"), "uid:0", now));
        let committed = batch.commit();
        // Whatever SQLite made of it, what was promised is there and nothing else.
        let promised = small.is_ok() && committed.is_ok();
        let expected: &[&str] = if promised {
            &["small", "before"]
        } else {
            &["before"]
        };
        assert_eq!(titles(&store), expected);

        pages(&store, 1_000_000).unwrap();
        store
            .change(|b| b.create_task(big(), "uid:0", now))
            .unwrap();
        assert_eq!(titles(&store)[0], "big");
    }

    #[test]
    fn a_batch_that_sqlite_gave_up_takes_nothing_more() {
        let (_dir, mut store) = store();
        let now = Timestamp::now();
        let mut batch = store.begin().unwrap();
        batch.create_task(titled("first"), "uid:0", now).unwrap();
        // As after a full disk: the transaction is gone under our feet.
        batch.run("ROLLBACK").unwrap();
        let second = batch.attempt(|batch| batch.create_task(titled("second"), "uid:0", now));
        assert!(matches!(second, Err(StoreError::Commit { .. })));
        assert!(matches!(batch.commit(), Err(StoreError::Commit { .. })));
        assert!(titles(&store).is_empty());
    }

    #[test]
    fn what_is_not_committed_never_happened() {
        let (_dir, mut store) = store();
        let mut batch = store.begin().unwrap();
        batch
            .create_task(titled("gone"), "uid:0", Timestamp::now())
            .unwrap();
        drop(batch);
        assert!(titles(&store).is_empty());
    }

    #[test]
    fn events_can_be_neither_changed_nor_deleted() {
        let (_dir, mut store) = store();
        store
            .change(|b| b.create_task(titled("t"), "uid:0", Timestamp::now()))
            .unwrap();
        for sql in ["UPDATE events SET actor = 'nobody'", "DELETE FROM events"] {
            let error = store.connection.execute(sql, []).unwrap_err();
            assert!(error.to_string().contains("append-only"), "{sql}: {error}");
        }
    }

    #[test]
    fn counts_follow_every_kind_of_change() {
        let (_dir, mut store) = store();
        for title in ["a", "b", "c"] {
            store
                .change(|b| b.create_task(titled(title), "uid:0", Timestamp::now()))
                .unwrap();
        }
        store
            .connection
            .execute("UPDATE tasks SET status = 'done' WHERE title = 'b'", [])
            .unwrap();
        let counts = store.reader().unwrap().task_counts().unwrap();
        assert_eq!((counts.queued, counts.done, counts.total()), (2, 1, 3));
        let refused = store
            .connection
            .execute("UPDATE tasks SET status = 'open'", []);
        assert!(refused.is_err());
    }
}
