//! The schema's history, one numbered file a step.

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::error::While;
use crate::{Result, StoreError};

/// Steps from an empty file to today. Only ever append.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001-tasks-and-events.sql")),
    M::up(include_str!("migrations/0002-agents-leases-jobs.sql")),
    M::up(include_str!("migrations/0003-spawned-agents.sql")),
    M::up(include_str!("migrations/0004-pauses-and-slots.sql")),
    M::up(include_str!("migrations/0005-retention.sql")),
    M::up(include_str!("migrations/0006-tenants.sql")),
];

/// The newest schema this program knows. SQLite keeps the file's own in `user_version`.
pub const SCHEMA_VERSION: u32 = 6;

/// "COLI": marks a file as ours, so that no other program's is taken for it. Step 1 sets it.
const APPLICATION_ID: i64 = 0x434f_4c49;

/// Brings the file to [`SCHEMA_VERSION`] in one transaction.
pub(crate) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<()> {
    let found = version(connection)?;
    if found > i64::from(SCHEMA_VERSION) {
        return Err(StoreError::NewerSchema {
            path: path.into(),
            found,
            known: SCHEMA_VERSION,
        });
    }
    check_owner(connection, path, found)?;
    Migrations::from_slice(STEPS)
        .to_latest(connection)
        .map_err(|error| StoreError::Open {
            path: path.into(),
            reason: error.to_string(),
        })
}

pub(crate) fn version(connection: &Connection) -> Result<i64> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .while_trying_to("read its schema version")
}

fn check_owner(connection: &Connection, path: &Path, version: i64) -> Result<()> {
    let id: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .while_trying_to("read its owner")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .while_trying_to("read its tables")?;
    let problem = if id == APPLICATION_ID || (id == 0 && version == 0 && tables == 0) {
        return Ok(());
    } else if id == 0 {
        format!("it has {tables} tables, indexes and triggers, and not Colibri's mark")
    } else {
        format!("its application id is {id:#x}")
    };
    Err(StoreError::NotOurs {
        path: path.into(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_valid_and_the_number_is_theirs() {
        Migrations::from_slice(STEPS).validate().unwrap();
        assert_eq!(STEPS.len(), SCHEMA_VERSION as usize);
    }
}
