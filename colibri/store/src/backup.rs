//! A copy of the database while everything goes on.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::{Reader, Result, StoreError};

/// What the copy is called while it is made.
const NAME: &str = "backup.partial";

impl Reader {
    /// Copies the database into a file without a name: it is gone when it is closed. `folder` is
    /// where its bytes lie until then. One at a time for each folder.
    ///
    /// # Errors
    /// [`StoreError::Backup`].
    pub fn back_up(&self, folder: &Path) -> Result<File> {
        let path = folder.join(NAME);
        let copied = self.copy_to(&path);
        let removed = remove(&path);
        let whole = copied.and_then(|copy| removed.map(|()| copy));
        whole.map_err(|reason| StoreError::Backup { file: path, reason })
    }

    fn copy_to(&self, path: &Path) -> std::result::Result<File, String> {
        // What a killed daemon left behind; its journal would be taken for the new file's.
        remove(path)?;
        remove(&with_suffix(path, "-journal"))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(text)?;
        let mut copy = Connection::open(path).map_err(text)?;
        let backup = Backup::new(&self.connection, &mut copy).map_err(text)?;
        // All pages at once: SQLite begins again whenever the writer comes between two steps, and
        // beside the write-ahead log nobody waits for a reader.
        match backup.step(-1).map_err(text)? {
            StepResult::Done => {}
            other => return Err(format!("the copying stopped ({other:?}); try again")),
        }
        drop(backup);
        copy.close().map_err(|(_, error)| text(error))?;
        Ok(file)
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> std::result::Result<(), String> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(text(error)),
        _ => Ok(()),
    }
}

/// The name of a file that SQLite keeps beside this one.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
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
    fn a_backup_is_complete_has_no_name_and_minds_no_leftovers() {
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
        for leftover in [NAME.to_owned(), format!("{NAME}-journal")] {
            std::fs::write(dir.path().join(leftover), "of a killed daemon").unwrap();
        }
        let mut made = reader.back_up(dir.path()).unwrap();
        let mode = made.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        open.commit().unwrap();
        for name in [NAME.to_owned(), format!("{NAME}-journal")] {
            assert!(!dir.path().join(name).exists());
        }

        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("copy.sqlite");
        let written = io::copy(&mut made, &mut File::create(&file).unwrap()).unwrap();
        assert_eq!(written, made.metadata().unwrap().len());
        let copy = Store::open(&file).unwrap();
        assert_eq!(copy.reader().unwrap().task_counts().unwrap().total(), 1);

        let nowhere = reader.back_up(Path::new("/nonexistent")).unwrap_err();
        assert!(nowhere.to_string().contains("/nonexistent"), "{nowhere}");
    }
}
