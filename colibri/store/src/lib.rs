//! The Colibri board in SQLite: tasks, and the record of what happened to them.
//!
//! One [`Store`] writes; any number of [`Reader`]s read beside it, which the
//! write-ahead log allows without either waiting for the other. Every change
//! is durable before its call returns, and leaves an event in the same
//! transaction.

mod error;
mod open;
mod reader;
mod row;
mod schema;
mod writer;

pub use error::StoreError;
pub use open::Store;
pub use reader::Reader;
pub use schema::SCHEMA_VERSION;
pub use writer::Batch;

/// What every function here gives back.
pub type Result<T> = std::result::Result<T, StoreError>;
