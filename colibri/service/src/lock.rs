//! One service for a socket, one for a database: an advisory lock beside each,
//! which the kernel lets go when its holder dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another process holds {}", lock.display())]
    Held {
        /// What it keeps others from.
        path: PathBuf,
        /// The lock.
        lock: PathBuf,
    },
    /// The system refused something.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What it refused.
        what: &'static str,
        /// The lock.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

/// Takes `<path>.lock`, or says who has it. The file stays behind: removing it
/// would let two processes lock two files of one name.
///
/// # Errors
/// [`LockError`].
pub fn take(path: &Path) -> Result<File, LockError> {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    let failed = |what| {
        let path = lock.clone();
        move |source| LockError::Io { what, path, source }
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock)
        .map_err(failed("open the lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Held {
            path: path.to_owned(),
            lock,
        }),
        Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_is_free_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let held = take(&path).unwrap();
        let lock = dir.path().join("socket.lock");
        assert!(matches!(take(&path), Err(LockError::Held { lock: held, .. }) if held == lock));
        drop(held);
        take(&path).unwrap();
        let nowhere = take(&dir.path().join("no/socket"));
        assert!(matches!(nowhere, Err(LockError::Io { .. })));
    }
}
