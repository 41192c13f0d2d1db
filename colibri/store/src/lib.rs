//! The Colibri board in SQLite: tasks, who works on them, and the record of what happened.
//!
//! One [`Store`] writes; any number of [`Reader`]s read beside it, which the
//! write-ahead log allows without either waiting for the other. Every change
//! is durable before its call returns, and leaves an event in the same
//! transaction.

mod agents;
mod backup;
mod error;
mod jobs;
mod open;
mod reader;
mod retention;
mod row;
mod schema;
mod settings;
mod skills;
mod tasks;
mod tenants;
#[cfg(test)]
mod test_board;
mod writer;

pub use agents::Lease;
pub use error::{Fault, StoreError};
pub use open::Store;
pub use reader::{Reader, Waiting};
pub use retention::Removed;
pub use schema::SCHEMA_VERSION;
pub use tenants::{Bucket, Quota, Retired, TenantAgent};
pub use writer::{Batch, new_id};

/// What every function here gives back.
pub type Result<T> = std::result::Result<T, StoreError>;
