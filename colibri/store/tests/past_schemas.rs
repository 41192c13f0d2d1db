//! Files written by earlier versions still open, and keep what they held.
//!
//! Each `fixtures/schema-N.sql` is a dump of a database as schema N wrote it.
//! It is never edited; a new schema adds a file.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use colibri_protocol::ListTasks;
use colibri_store::{SCHEMA_VERSION, Store};
use rusqlite::Connection;

const SCHEMA_1: &str = include_str!("fixtures/schema-1.sql");

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
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("colibri.sqlite");
    Connection::open(&path)
        .unwrap()
        .execute_batch(SCHEMA_1)
        .unwrap();

    let store = Store::open(&path).unwrap();
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
fn a_new_file_has_the_same_shape_as_one_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.sqlite"), dir.path().join("new.sqlite"));
    Connection::open(&old)
        .unwrap()
        .execute_batch(SCHEMA_1)
        .unwrap();
    for path in [&old, &new] {
        Store::open(path).unwrap().close().unwrap();
    }
    assert_eq!(
        shape(&Connection::open(&old).unwrap()),
        shape(&Connection::open(&new).unwrap())
    );
}
