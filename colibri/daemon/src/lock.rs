//! One daemon for a socket, one for a database: an advisory lock beside each,
//! which the kernel lets go when its holder dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::failure::Failure;

/// Takes `<path>.lock`, or says who has it. The file stays behind: removing it
/// would let two daemons lock two files of one name.
pub(crate) fn take(path: &Path) -> Result<File, Failure> {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let lock = Path::new(&lock);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(lock)
        .map_err(|source| Failure::io("open the lock", lock, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::Alive {
            path: path.into(),
            seen: format!("another colibri-daemon holds {}", lock.display()),
        }),
        Err(TryLockError::Error(source)) => Err(Failure::io("lock", lock, source)),
    }
}
