//! Opening the file, and the one connection that writes.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::While;
use crate::{Reader, Result, StoreError, schema};

/// How long one connection waits for another's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that are kept compiled: all that the writer has, or a reader.
const STATEMENTS: usize = 64;

/// Bytes the log may keep after a checkpoint; a bigger one, grown under load,
/// gives its space back.
const LOG_KEPT: i64 = 64 * 1024 * 1024;

/// The writing side of the board. There is one for a file.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    path: PathBuf,
    file: FileId,
}

/// Tells one file from another that took its name: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self(meta.dev(), meta.ino()))
    }
}

impl Store {
    /// Opens the file, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]: not ours, of a newer version, or not to be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let open_failed = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => StoreError::NotOurs {
                path: path.into(),
                problem: "it is not SQLite".to_owned(),
            },
            _ => StoreError::Open {
                path: path.into(),
                reason: error.to_string(),
            },
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(open_failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(open_failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Asked first: a file of another program must not even get our journal mode.
        schema::version(&connection).map_err(|error| match error {
            StoreError::Sqlite { source, .. } => open_failed(source),
            other => other,
        })?;
        schema::bring_up_to_date(&mut connection, path)?;
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(open_failed)?;
        if !mode.eq_ignore_ascii_case("wal") {
            let reason = format!("its journal mode stays `{mode}` instead of `wal`");
            return Err(StoreError::Open {
                path: path.into(),
                reason,
            });
        }
        connection
            .pragma_update(None, "synchronous", "full")
            .map_err(open_failed)?;
        connection
            .pragma_update(None, "foreign_keys", true)
            .map_err(open_failed)?;
        // What a change may have to take back of itself is short-lived, and no file is made for it.
        connection
            .pragma_update(None, "temp_store", "memory")
            .map_err(open_failed)?;
        connection
            .pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))
            .map_err(open_failed)?;
        let file = FileId::of(path).map_err(|error| StoreError::Open {
            path: path.into(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            connection,
            path: path.into(),
            file,
        })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another connection to the same file, which only reads.
    ///
    /// # Errors
    /// When SQLite cannot open it.
    pub fn reader(&self) -> Result<Reader> {
        Reader::open(&self.path, self.file)
    }

    /// Moves the write-ahead log into the database file and empties it.
    ///
    /// # Errors
    /// When SQLite cannot write. A reader in the middle of its work is no
    /// error: the log then stays, and the next opening reads it.
    pub fn checkpoint(&self) -> Result<()> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .while_trying_to("checkpoint its log")
    }

    /// Checkpoints and closes; SQLite then removes the log file.
    ///
    /// # Errors
    /// When SQLite cannot write; nothing is lost even then.
    pub fn close(self) -> Result<()> {
        self.checkpoint()?;
        self.connection
            .close()
            .map_err(|(_, error)| error)
            .while_trying_to("close")
    }
}

impl Reader {
    fn open(path: &Path, file: FileId) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .while_trying_to("open a reading connection")?;
        connection
            .busy_timeout(BUSY_TIMEOUT)
            .while_trying_to("set its busy time-out")?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self {
            connection,
            path: path.into(),
            file,
        })
    }

    /// Another reader of the file, which unlike this one keeps nothing in memory yet, and so sees
    /// what became of the file since.
    ///
    /// # Errors
    /// [`StoreError::Moved`], or when SQLite cannot open it.
    pub fn afresh(&self) -> Result<Self> {
        // SQLite itself must not open another file of this name: the two would share what lies
        // beside them, the log and its index, and take it away from under our writer.
        let problem = match FileId::of(&self.path) {
            Ok(file) if file == self.file => return Self::open(&self.path, file),
            Ok(_) => "another file has its name".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(StoreError::Moved {
            path: self.path.clone(),
            problem,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma(connection: &Connection, name: &str) -> String {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
    }

    #[test]
    fn the_promised_settings_hold() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        assert_eq!(pragma(&store.connection, "journal_mode"), "Text(\"wal\")");
        assert_eq!(pragma(&store.connection, "synchronous"), "Integer(2)");
        assert_eq!(pragma(&store.connection, "foreign_keys"), "Integer(1)");
        assert_eq!(pragma(&store.connection, "busy_timeout"), "Integer(5000)");
        assert_eq!(pragma(&store.connection, "temp_store"), "Integer(2)");
        assert_eq!(
            pragma(&store.connection, "journal_size_limit"),
            "Integer(67108864)"
        );
        assert_eq!(pragma(&store.connection, "user_version"), "Integer(6)");
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("colibri.sqlite");
        Store::open(&path).unwrap().close().unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(
            matches!(error, StoreError::NewerSchema { found: 99, .. }),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_stranger_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text");
        std::fs::write(
            &text,
            "not a database, but long enough to be looked at ".repeat(40),
        )
        .unwrap();
        assert!(matches!(
            Store::open(&text),
            Err(StoreError::NotOurs { .. })
        ));

        let other = dir.path().join("other.sqlite");
        Connection::open(&other)
            .unwrap()
            .execute_batch("CREATE TABLE t (x)")
            .unwrap();
        let before = std::fs::read(&other).unwrap();
        let error = Store::open(&other).unwrap_err();
        assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
        assert_eq!(std::fs::read(&other).unwrap(), before);

        let marked = dir.path().join("marked.sqlite");
        Connection::open(&marked)
            .unwrap()
            .pragma_update(None, "application_id", 7)
            .unwrap();
        let error = Store::open(&marked).unwrap_err();
        assert!(error.to_string().contains("0x7"), "{error}");
    }

    #[test]
    fn closing_leaves_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        let new = colibri_protocol::CreateTask::titled("t");
        store
            .change(|batch| batch.create_task(new, "uid:0", jiff::Timestamp::now()))
            .unwrap();
        assert!(dir.path().join("colibri.sqlite-wal").exists());
        store.close().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_said_with_its_path() {
        let text = Store::open(Path::new("/nonexistent/colibri.sqlite"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("/nonexistent/colibri.sqlite"), "{text}");
        assert!(text.contains("directory must exist"), "{text}");
    }
}
