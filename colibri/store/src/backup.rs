//! A copy of the database while everything goes on.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::{Reader, Result, StoreError};

impl Reader {
    /// Copies the database into a new file with mode 0600 and gives back its size in bytes. The
    /// file has its name only when it is complete and on disk.
    ///
    /// # Errors
    /// [`StoreError::Backup`], also when the file exists.
    pub fn back_up(&self, file: &Path) -> Result<u64> {
        let failed = |reason: String| StoreError::Backup {
            file: file.into(),
            reason,
        };
        if file.symlink_metadata().is_ok() {
            return Err(failed("it exists, and is not overwritten".to_owned()));
        }
        let mut partial = file.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let made = self
            .copy_to(&partial)
            // A link is refused when somebody has made the file meanwhile; a rename is not.
            .and_then(|size| {
                std::fs::hard_link(&partial, file)
                    .map(|()| size)
                    .map_err(text)
            })
            .map_err(failed);
        // A leftover of a killed daemon keeps its name from being used again, so it is said.
        let removed = std::fs::remove_file(&partial);
        let size = made?;
        removed.map_err(|error| failed(text(error)))?;
        let parent = file.parent().unwrap_or(Path::new("/"));
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed(text(error)))?;
        Ok(size)
    }

    fn copy_to(&self, partial: &Path) -> std::result::Result<u64, String> {
        match std::fs::remove_file(partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(text(error)),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(partial)
            .map_err(text)?;
        let mut copy = Connection::open(partial).map_err(text)?;
        let backup = Backup::new(&self.connection, &mut copy).map_err(text)?;
        // All pages at once: SQLite begins again whenever the writer comes between two steps, and
        // beside the write-ahead log nobody waits for a reader.
        match backup.step(-1).map_err(text)? {
            StepResult::Done => {}
            other => return Err(format!("the copying stopped ({other:?}); try again")),
        }
        drop(backup);
        copy.close().map_err(|(_, error)| text(error))?;
        file.sync_all().map_err(text)?;
        Ok(file.metadata().map_err(text)?.len())
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use colibri_protocol::CreateTask;
    use jiff::Timestamp;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_backup_is_private_complete_and_never_over_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        store
            .change(|b| b.create_task(CreateTask::titled("t"), "uid:0", Timestamp::now()))
            .unwrap();
        let reader = store.reader().unwrap();
        // Not seen by the backup, and not in its way.
        let mut open = store.begin().unwrap();
        open.create_task(CreateTask::titled("u"), "uid:0", Timestamp::now())
            .unwrap();
        let file = dir.path().join("copy.sqlite");
        let size = reader.back_up(&file).unwrap();
        let meta = std::fs::metadata(&file).unwrap();
        assert_eq!(
            (meta.permissions().mode() & 0o777, meta.len()),
            (0o600, size)
        );
        open.commit().unwrap();

        let error = reader.back_up(&file).unwrap_err().to_string();
        assert!(error.contains("not overwritten"), "{error}");
        let nowhere = reader.back_up(Path::new("/nonexistent/x")).unwrap_err();
        assert!(nowhere.to_string().contains("/nonexistent/x"), "{nowhere}");

        let copy = Store::open(&file).unwrap();
        assert_eq!(copy.reader().unwrap().task_counts().unwrap().total(), 1);
        assert!(!dir.path().join("copy.sqlite.partial").exists());
    }
}
