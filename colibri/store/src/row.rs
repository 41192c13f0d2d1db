//! Rows of the database as the protocol's types, and back.

use std::collections::BTreeSet;

use colibri_protocol::{Capability, Task, Usage, Usd};
use jiff::Timestamp;
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::While;
use crate::{Result, StoreError};

/// The columns [`task`] reads, in its order.
pub(crate) const TASK_COLUMNS: &str = "seq, id, title, description, status, created_by, created_at, updated_at, capabilities, \
     attempts, max_attempts, agent_id, lease_until, result, error, job_id, \
     tokens_in, tokens_out, tokens_cache_read, tokens_cache_write, cost, not_before";

/// A time as it is kept: UTC with milliseconds, so that all are of one length, and sort as texts.
pub(crate) fn time_text(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A time as the next reader of [`time_text`] will see it.
pub(crate) fn as_kept(at: Timestamp) -> Timestamp {
    // It was within range before.
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// Reads a row of [`TASK_COLUMNS`]: its number and the task.
pub(crate) fn task(row: &Row<'_>) -> Result<(i64, Task)> {
    let seq: i64 = get(row, 0)?;
    let text = |at: usize| get::<String>(row, at);
    let maybe = |at: usize| get::<Option<String>>(row, at);
    let task = Task {
        id: parsed("id", &text(1)?)?,
        title: text(2)?,
        description: text(3)?,
        status: parsed("status", &text(4)?)?,
        created_by: text(5)?,
        created_at: parsed("created_at", &text(6)?)?,
        updated_at: parsed("updated_at", &text(7)?)?,
        capabilities: capabilities(&text(8)?)?,
        attempts: small(number(row, 9)?),
        max_attempts: small(number(row, 10)?),
        agent_id: parsed_if_any("agent_id", maybe(11)?)?,
        lease_until: parsed_if_any("lease_until", maybe(12)?)?,
        not_before: parsed_if_any("not_before", maybe(21)?)?,
        // Not a fact about the task but about the agents of this moment.
        parked: None,
        result: maybe(13)?,
        error: maybe(14)?,
        job_id: parsed_if_any("job_id", maybe(15)?)?,
        usage: used(row, 16)?,
    };
    Ok((seq, task))
}

/// One column.
pub(crate) fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, at: usize) -> Result<T> {
    row.get(at).while_trying_to("read a row")
}

/// A count, of which none is negative.
pub(crate) fn number(row: &Row<'_>, at: usize) -> Result<u64> {
    get::<i64>(row, at).map(i64::unsigned_abs)
}

/// What was used up: five columns from this one on.
pub(crate) fn used(row: &Row<'_>, from: usize) -> Result<Usage> {
    Ok(Usage {
        input: number(row, from)?,
        output: number(row, from + 1)?,
        cache_read: number(row, from + 2)?,
        cache_write: number(row, from + 3)?,
        cost_usd: Usd::from_billionths(number(row, from + 4)?),
    })
}

/// Counts that the program keeps small itself.
pub(crate) fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A number as SQLite keeps it.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a set of capabilities back.
pub(crate) fn capabilities(text: &str) -> Result<BTreeSet<Capability>> {
    from_json("capabilities", text)
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

/// The same for a column that may be empty.
pub(crate) fn parsed_if_any<T>(column: &'static str, text: Option<String>) -> Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.map(|text| parsed(column, &text)).transpose()
}

/// Reads JSON of ours back into its type.
pub(crate) fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged {
        column,
        problem: error.to_string(),
    })
}

/// A value as JSON for a column.
pub(crate) fn to_json(column: &'static str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Damaged {
        column,
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_its_text_says() {
        for text in [
            "2026-11-27T00:00:00Z",
            "2026-11-27T12:34:56.789Z",
            "2026-11-27T12:34:56.789999999Z",
            "2026-11-27T12:34:56.000000001Z",
        ] {
            let at: Timestamp = text.parse().unwrap();
            let read: Timestamp = time_text(at).parse().unwrap();
            assert_eq!(as_kept(at), read, "{text}");
        }
    }
}
