//! What can go wrong with the database.

use std::path::PathBuf;

/// What kind of thing is wrong, as far as SQLite can tell: with the database, or with what it
/// lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Another program holds it locked.
    Locked,
    /// There is no room for it to grow.
    Full,
    /// Its file or file system is read-only.
    ReadOnly,
    /// The system could not read or write it.
    Io,
    /// Its file cannot be opened.
    CannotOpen,
    /// Its file is not where it was.
    Moved,
    /// What is in it makes no sense.
    Damaged,
    /// Something else; the error's text says what.
    Other,
}

impl Fault {
    fn of(error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::SystemIoFailure) => Self::Io,
            Some(ErrorCode::CannotOpen) => Self::CannotOpen,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
            _ => Self::Other,
        }
    }

    /// What to add to SQLite's own words.
    fn advice(self) -> &'static str {
        match self {
            Self::Full => "; free some space on its file system",
            Self::Locked => "; another program holds it locked",
            Self::ReadOnly => "; its file or file system is read-only",
            Self::Io | Self::CannotOpen | Self::Moved | Self::Damaged | Self::Other => "",
        }
    }
}

/// Why the database could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file was written by a newer version of Colibri.
    #[error(
        "{} has schema {found}, and this version knows schemas up to {known}: a newer Colibri \
         has used it; install that version again, or move the file aside to begin anew",
        path.display()
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// The newest schema this program knows.
        known: u32,
    },
    /// The file is some other program's, or an older Colibri's without a schema number.
    #[error(
        "{} is no database of this Colibri ({problem}); name another file, or move this one aside",
        path.display()
    )]
    NotOurs {
        /// The database file.
        path: PathBuf,
        /// What was seen.
        problem: String,
    },
    /// The file cannot be opened, or its schema cannot be brought up to date.
    #[error(
        "cannot open the database {}: {reason}; its directory must exist and belong to the \
         account the daemon runs as",
        path.display()
    )]
    Open {
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        reason: String,
    },
    /// The file that is open is not where it was opened.
    #[error("{} is not the file that was opened: {problem}", path.display())]
    Moved {
        /// Where it was.
        path: PathBuf,
        /// What is there now.
        problem: String,
    },
    /// There is no such row.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// Things are not as the caller takes for granted; nothing was changed.
    #[error("{problem}")]
    Conflict {
        /// How they are.
        problem: String,
    },
    /// A backup cannot be made.
    #[error("cannot back the database up into {}: {reason}", file.display())]
    Backup {
        /// The file that was to be made, without a name in the end.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// SQLite refused; nothing was changed.
    #[error("the database could not {what}: {source}{}", Fault::of(source).advice())]
    Sqlite {
        /// What was tried.
        what: &'static str,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The transaction that held this change together with others was lost
    /// before it could be written; none of them was.
    #[error("the database could not write: {reason}")]
    Commit {
        /// How it was lost.
        reason: String,
    },
    /// The system has no random numbers, and so there is no id for a new row.
    #[error("no random numbers for a new id: {reason}; are /dev/random and /dev/urandom there?")]
    Random {
        /// The system's reason.
        reason: String,
    },
    /// A row holds what this program would never write.
    #[error("the database holds a `{column}` that makes no sense: {problem}")]
    Damaged {
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The place to continue a listing from was not one of ours.
    #[error("`after` is {given:?}; it must be the `next` of an earlier page")]
    BadCursor {
        /// What was given.
        given: String,
    },
}

impl StoreError {
    /// What kind of thing is wrong.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Sqlite { source, .. } => Fault::of(source),
            Self::Damaged { .. } => Fault::Damaged,
            Self::Moved { .. } => Fault::Moved,
            _ => Fault::Other,
        }
    }

    pub(crate) fn no_task(id: uuid::Uuid) -> Self {
        Self::NotFound {
            what: format!("task {id}"),
        }
    }

    pub(crate) fn no_tenant(id: &colibri_protocol::TenantId) -> Self {
        Self::NotFound {
            what: format!("tenant {id}; `list-tenants` shows those there are"),
        }
    }

    pub(crate) fn no_agent(id: uuid::Uuid) -> Self {
        Self::NotFound {
            what: format!("agent {id}; `register-agent` gives an agent its id"),
        }
    }
}

/// Adds what was tried to SQLite's own error.
pub(crate) trait While<T> {
    fn while_trying_to(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> While<T> for rusqlite::Result<T> {
    fn while_trying_to(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sqlite { what, source })
    }
}
