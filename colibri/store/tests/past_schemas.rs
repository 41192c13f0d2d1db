//! Files written by earlier versions still open, and keep what they held.
//!
//! Each `fixtures/schema-N.sql` is a dump of a database as schema N wrote it.
//! It is never edited; a new schema adds a file.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::time::Duration;

use colibri_protocol::{CostMode, ListTasks, TaskStatus, TenantStatus};
use colibri_store::{Lease, SCHEMA_VERSION, Store};
use jiff::Timestamp;
use rusqlite::Connection;

const SCHEMA_1: &str = include_str!("fixtures/schema-1.sql");
const SCHEMA_2: &str = include_str!("fixtures/schema-2.sql");
const SCHEMA_3: &str = include_str!("fixtures/schema-3.sql");
const SCHEMA_4: &str = include_str!("fixtures/schema-4.sql");
const SCHEMA_5: &str = include_str!("fixtures/schema-5.sql");
const SCHEMA_6: &str = include_str!("fixtures/schema-6.sql");

/// A store on a file that an earlier version has written.
fn opened(schema: &str) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("colibri.sqlite");
    Connection::open(&path)
        .unwrap()
        .execute_batch(schema)
        .unwrap();
    let store = Store::open(&path).unwrap();
    (dir, store)
}

/// The statements that make up a database's schema, in a fixed order.
fn shape(connection: &Connection) -> Vec<String> {
    connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn schema_1_opens_with_everything_in_it() {
    let (_dir, store) = opened(SCHEMA_1);
    let reader = store.reader().unwrap();
    let page = reader.tasks(&ListTasks::default(), 50, usize::MAX).unwrap();
    let titles: Vec<_> = page.tasks.iter().map(|task| task.title.as_str()).collect();
    assert_eq!(titles, ["It's \"quoted\"", "Back up the vault"]);
    assert_eq!(page.tasks[1].description, "Line one\nline two");
    assert_eq!(page.tasks[1].created_at.to_string(), "2026-11-21T15:00:00Z");
    let counts = reader.task_counts().unwrap();
    assert_eq!((counts.queued, counts.done, counts.total()), (1, 1, 2));
    assert_eq!(
        reader.database_status().unwrap().schema_version,
        SCHEMA_VERSION
    );
}

#[test]
fn schema_2_opens_with_everything_in_it() {
    everything_is_in(SCHEMA_2);
}

#[test]
fn schema_3_opens_with_everything_in_it() {
    everything_is_in(SCHEMA_3);
    let (_dir, store) = opened(SCHEMA_3);
    let agents = store.reader().unwrap().all_agents(Timestamp::MIN).unwrap();
    assert_eq!(agents[1].name.as_str(), "bora-zot");
}

#[test]
fn schema_4_opens_with_everything_in_it() {
    everything_is_in(SCHEMA_4);
    let (_dir, store) = opened(SCHEMA_4);
    let pauses = store.reader().unwrap().next_try().unwrap();
    assert_eq!(pauses.unwrap().to_string(), "2026-11-27T00:10:00Z");
    let agents = store.reader().unwrap().all_agents(Timestamp::MIN).unwrap();
    assert_eq!((agents[0].slots, agents[1].slots), (2, 0));
}

#[test]
fn schema_5_opens_with_everything_in_it() {
    everything_is_in(SCHEMA_5);
    let (_dir, store) = opened(SCHEMA_5);
    let (counts, usage) = store.reader().unwrap().removed().unwrap();
    assert_eq!((counts.done, counts.failed), (2, 1));
    assert_eq!(
        (usage.input, usage.cost_usd.billionths()),
        (4000, 17_000_000)
    );
}

#[test]
fn schema_6_opens_with_everything_in_it() {
    everything_is_in(SCHEMA_6);
    let (_dir, store) = opened(SCHEMA_6);
    let reader = store.reader().unwrap();
    let tenants = reader.all_tenants().unwrap();
    let [main, nika] = tenants.as_slice() else {
        panic!("{tenants:?}");
    };
    assert_eq!(main.agents[0].as_str(), "atlas-pi");
    assert_eq!((main.number.get(), main.status), (1, TenantStatus::Active));
    assert_eq!(main.idle_after.unwrap().to_string(), "2h");
    assert_eq!((nika.number.get(), nika.depth), (3, 1));
    assert_eq!(nika.expires_at.unwrap().to_string(), "2026-11-28T00:00:00Z");
    assert_eq!(nika.reason.as_deref(), Some("the jail could not be made"));
    let agents = reader.tenant_agents().unwrap();
    assert!(agents[0].spawn.restart && agents[0].agent_id.is_some());
}

/// What all of these held.
fn everything_is_in(schema: &str) {
    let (_dir, store) = opened(schema);
    let reader = store.reader().unwrap();
    let page = reader.tasks(&ListTasks::default(), 50, usize::MAX).unwrap();
    let [count, vault, quoted] = page.tasks.as_slice() else {
        panic!("{page:?}");
    };
    assert_eq!(quoted.title, "It's \"quoted\"");
    assert_eq!(quoted.capabilities.first().unwrap().as_str(), "gpu");
    let agent = &reader.all_agents(Timestamp::MIN).unwrap()[0];
    assert_eq!(
        (agent.holds, agent.slots, agent.capabilities.len()),
        (1, 2, 2)
    );
    assert_eq!(vault.agent_id, Some(agent.id));
    assert_eq!(
        vault.lease_until.unwrap().to_string(),
        "2026-11-27T00:05:00Z"
    );
    assert_eq!((count.attempts, count.max_attempts), (2, 5));
    assert_eq!(
        (count.usage.input, count.usage.cost_usd.billionths()),
        (1200, 8_100_000)
    );
    let events = reader.task(vault.id).unwrap().events;
    assert_eq!(events[0].note.as_deref(), Some("for atlas-pi"));
    let job = &reader.jobs(None, 9, usize::MAX).unwrap().jobs[0];
    assert_eq!((count.job_id, job.runs), (Some(job.id), 1));
    assert_eq!(job.schedule.to_string(), "30 2 * * * (Europe/Ljubljana)");
    assert_eq!(reader.skills(None, 9, usize::MAX).unwrap().skills.len(), 1);
    assert_eq!(reader.cost_mode().unwrap(), Some(CostMode::Fast));
}

#[test]
fn only_since_schema_3_is_it_known_which_agents_ended_with_their_daemon() {
    let lease = Lease(Duration::from_secs(300));
    let now = "2026-11-27T00:01:00Z".parse().unwrap();
    for (schema, taken_back, stands) in [
        (SCHEMA_2, 0, TaskStatus::Started),
        (SCHEMA_3, 1, TaskStatus::Queued),
        (SCHEMA_4, 1, TaskStatus::Queued),
        (SCHEMA_5, 1, TaskStatus::Queued),
        (SCHEMA_6, 1, TaskStatus::Queued),
    ] {
        let (_dir, mut store) = opened(schema);
        let restarted = store.change(|batch| batch.daemon_restarted(lease, now));
        assert_eq!(restarted.unwrap(), taken_back);
        let reader = store.reader().unwrap();
        let page = reader.tasks(&ListTasks::default(), 50, usize::MAX).unwrap();
        assert_eq!(page.tasks[1].status, stands);
    }
}

#[test]
fn a_new_file_has_the_same_shape_as_one_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("new.sqlite");
    Store::open(&new).unwrap().close().unwrap();
    for (name, schema) in [
        ("1", SCHEMA_1),
        ("2", SCHEMA_2),
        ("3", SCHEMA_3),
        ("4", SCHEMA_4),
        ("5", SCHEMA_5),
        ("6", SCHEMA_6),
    ] {
        let old = dir.path().join(name);
        Connection::open(&old)
            .unwrap()
            .execute_batch(schema)
            .unwrap();
        Store::open(&old).unwrap().close().unwrap();
        assert_eq!(
            shape(&Connection::open(&old).unwrap()),
            shape(&Connection::open(&new).unwrap()),
            "schema {name}"
        );
    }
}
