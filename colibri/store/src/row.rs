//! Rows of the database as the protocol's types, and back.

use colibri_protocol::Task;
use jiff::Timestamp;
use rusqlite::Row;

use crate::error::While;
use crate::{Result, StoreError};

/// The columns [`task`] reads, in its order.
pub(crate) const TASK_COLUMNS: &str =
    "seq, id, title, description, status, created_by, created_at, updated_at";

/// A time as it is kept: UTC with milliseconds, so that all are of one length.
pub(crate) fn time_text(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Reads a row of [`TASK_COLUMNS`]: its number and the task.
pub(crate) fn task(row: &Row<'_>) -> Result<(i64, Task)> {
    let seq: i64 = row.get(0).while_trying_to("read a task")?;
    let text = |at: usize| row.get::<_, String>(at).while_trying_to("read a task");
    let task = Task {
        id: parsed("id", &text(1)?)?,
        title: text(2)?,
        description: text(3)?,
        status: parsed("status", &text(4)?)?,
        created_by: text(5)?,
        created_at: parsed("created_at", &text(6)?)?,
        updated_at: parsed("updated_at", &text(7)?)?,
    };
    Ok((seq, task))
}

/// Reads a text of ours back into its type.
pub(crate) fn parsed<T>(column: &'static str, text: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Damaged {
        column,
        problem: format!("{text:?}: {error}"),
    })
}
