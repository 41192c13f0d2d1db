//! Bare SQLite: the daemon's schema, settings and statements, without a daemon.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use colibri_protocol::{CreateTask, Name, RegisterAgent};
use colibri_store::{Lease, Store};
use jiff::Timestamp;
use miette::{IntoDiagnostic as _, Report, Result};
use rusqlite::{Connection, TransactionBehavior, params};
use uuid::Uuid;

use crate::work::{CLIENTS, EACH, at_once};

/// Tasks that are filled in with one transaction.
const BATCH: usize = 10_000;

/// A connection waits that long for another's lock.
const BUSY: Duration = Duration::from_secs(60);

const LEASE: Lease = Lease(Duration::from_secs(3600));
const ACTOR: &str = "bench";

/// One durable step of a task's life.
#[derive(Debug, Clone, Copy)]
enum Step {
    Create,
    Claim,
    Start,
    Finish,
}

const STEPS: [Step; 4] = [Step::Create, Step::Claim, Step::Start, Step::Finish];

/// Makes a board with so many queued tasks, as the daemon would have made them.
pub(crate) fn fill(path: &Path, tasks: usize) -> Result<()> {
    let mut store = Store::open(path).into_diagnostic()?;
    let mut made = 0;
    while made < tasks {
        let until = tasks.min(made + BATCH);
        let mut batch = store.begin().into_diagnostic()?;
        for number in made..until {
            let new = CreateTask::titled(format!("task {number}"));
            batch
                .create_task(new, ACTOR, Timestamp::now())
                .into_diagnostic()?;
        }
        batch.commit().into_diagnostic()?;
        made = until;
    }
    store.close().into_diagnostic()
}

/// Tasks a second when one writer has a step of every client in each transaction: what the daemon's
/// writer does at its best, without sockets, JSON or clients that have to be waited for.
pub(crate) fn together(path: &Path) -> Result<f64> {
    let agents = prepare(path)?;
    let mut connection = connect(path)?;
    let begun = Instant::now();
    for _ in 0..EACH {
        let tasks: Vec<String> = agents.iter().map(|_| new_id()).collect();
        for step in STEPS {
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .into_diagnostic()?;
            for (task, agent) in tasks.iter().zip(&agents) {
                take(&transaction, step, task, agent).into_diagnostic()?;
            }
            transaction.commit().into_diagnostic()?;
        }
    }
    Ok((agents.len() * EACH) as f64 / begun.elapsed().as_secs_f64())
}

/// Tasks a second when every client has a connection, and each step a transaction of its own.
pub(crate) fn each_alone(path: &Path) -> Result<f64> {
    let workers = prepare(path)?
        .into_iter()
        .map(|agent| Ok((connect(path)?, agent)))
        .collect::<Result<Vec<_>>>()?;
    at_once(workers, |(connection, agent)| {
        for _ in 0..EACH {
            let task = new_id();
            for step in STEPS {
                let transaction = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .into_diagnostic()?;
                take(&transaction, step, &task, agent).into_diagnostic()?;
                transaction.commit().into_diagnostic()?;
            }
        }
        Ok(())
    })
}

/// An empty board with an agent for each client; gives back their ids.
fn prepare(path: &Path) -> Result<Vec<String>> {
    let mut store = Store::open(path).into_diagnostic()?;
    let host = "bench".parse::<Name>().map_err(Report::msg)?;
    let mut agents = Vec::new();
    for number in 0..CLIENTS {
        let new = RegisterAgent {
            name: format!("a{number}").parse::<Name>().map_err(Report::msg)?,
            capabilities: [].into(),
            host: None,
            slots: None,
        };
        let agent = store
            .change(|batch| batch.register_agent(&new, &host, ACTOR, LEASE, Timestamp::now()))
            .into_diagnostic()?;
        agents.push(agent.id.to_string());
    }
    store.close().into_diagnostic()?;
    Ok(agents)
}

/// With the settings that `colibri-store` makes.
fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path).into_diagnostic()?;
    connection.busy_timeout(BUSY).into_diagnostic()?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA foreign_keys = on;
             PRAGMA temp_store = memory;",
        )
        .into_diagnostic()?;
    Ok(connection)
}

/// The statements that the store runs for a step, its readings included.
fn take(on: &Connection, step: Step, task: &str, agent: &str) -> rusqlite::Result<()> {
    let now = format!("{:.3}", Timestamp::now());
    let (kind, from, to) = match step {
        Step::Create => {
            on.prepare_cached(
                "INSERT INTO tasks
                    (id, title, description, status, created_by, created_at, updated_at,
                     capabilities, max_attempts)
                 VALUES (?1, 'bench', '', 'queued', 'bench', ?2, ?2, '[]', 3)",
            )?
            .execute([task, &now])?;
            return record(on, &now, "task-created", task, r#"{"title":"bench"}"#);
        }
        Step::Claim => ("task-claimed", "queued", "claimed"),
        Step::Start => ("task-started", "claimed", "started"),
        Step::Finish => ("task-done", "started", "done"),
    };
    on.prepare_cached(
        "SELECT name, capabilities, (SELECT count(*) FROM tasks
            WHERE agent_id = agents.id AND lease_until IS NOT NULL)
         FROM agents WHERE id = ?1",
    )?
    .query_row([agent], |row| row.get::<_, String>(0))?;
    on.prepare_cached("SELECT * FROM tasks WHERE id = ?1")?
        .query_row([task], |row| row.get::<_, i64>(0))?;
    let until = format!("{:.3}", LEASE.until(Timestamp::now()));
    let lease = matches!(step, Step::Claim | Step::Start).then_some(until);
    let moved = on
        .prepare_cached(
            "UPDATE tasks SET status = ?3, agent_id = ?4, lease_until = ?5, result = NULL,
                error = NULL, tokens_in = 0, tokens_out = 0, tokens_cache_read = 0,
                tokens_cache_write = 0, cost = 0, updated_at = ?6, not_before = NULL,
                attempts = attempts + (?2 = 'queued')
             WHERE id = ?1 AND status = ?2",
        )?
        .execute(params![task, from, to, agent, lease, now])?;
    if moved != 1 {
        return Err(rusqlite::Error::StatementChangedRows(moved));
    }
    on.prepare_cached("UPDATE agents SET last_seen = ?2 WHERE id = ?1")?
        .execute([agent, &now])?;
    let detail = format!(r#"{{"from":"{from}","to":"{to}"}}"#);
    record(on, &now, kind, task, &detail)
}

fn record(
    on: &Connection,
    now: &str,
    kind: &str,
    task: &str,
    detail: &str,
) -> rusqlite::Result<()> {
    on.prepare_cached(
        "INSERT INTO events (at, actor, kind, task, detail) VALUES (?1, 'bench', ?2, ?3, ?4)",
    )?
    .execute([now, kind, task, detail])?;
    Ok(())
}

/// Ids that are made later sort later, as the store's do.
fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(NEXT.fetch_add(1, Ordering::Relaxed).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_of_bare_statements_is_one_that_the_store_understands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("colibri.sqlite");
        let agents = prepare(&path).unwrap();
        let connection = connect(&path).unwrap();
        let task = new_id();
        for step in STEPS {
            take(&connection, step, &task, &agents[0]).unwrap();
        }
        drop(connection);
        let reader = Store::open(&path).unwrap().reader().unwrap();
        assert_eq!(reader.task_counts().unwrap().done, 1);
    }

    #[test]
    fn a_board_is_filled_with_as_many_tasks_as_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("colibri.sqlite");
        fill(&path, BATCH + 1).unwrap();
        let reader = Store::open(&path).unwrap().reader().unwrap();
        assert_eq!(reader.task_counts().unwrap().queued, BATCH as u64 + 1);
    }
}
