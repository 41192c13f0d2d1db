//! The build cache: content-addressed entries that are complete or absent.
//!
//! An entry is a folder named by the hash of everything it was made from. It is made in a folder of
//! its own and renamed into place, so a killed build leaves no half entry; two builds that want the
//! same entry wait for each other at a lock file.

use std::fs::File;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::Digest;

use crate::error::Result;

/// Version of the cache's layout; part of every key, so old entries are simply not found.
const LAYOUT: &str = "clawdie.cache.v1";

/// A cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// The hash of everything an entry is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Hashes parts with their lengths, so that no two lists of parts meet.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = sha2::Sha256::new();
        for part in std::iter::once(LAYOUT.as_bytes()).chain(parts) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(clawdie_tree::hex(hasher.finalize()))
    }

    /// Hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Cache {
    /// Opens a cache folder, making it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        // Absolute: other programs run in other folders.
        Ok(Self {
            root: fs::canonicalize(root)?,
        })
    }

    /// A folder of the cache that is no entry (downloads, chunks), made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Waits until nobody else holds the lock called `name`, and holds it until dropped.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self, name: &str, waiting: impl FnOnce()) -> Result<Lock> {
        let path = self.folder("locks")?.join(name);
        Lock::wait(&path, waiting)
    }

    /// Finds entry `kind/key`, or makes it: `check` loads it and says whether it is sound (anything
    /// but `Ok(Some)` throws the entry away), `make` fills an empty folder.
    ///
    /// # Errors
    /// When it cannot be made, or what was made does not pass `check`.
    pub fn entry<T>(
        &self,
        kind: &str,
        key: &Key,
        check: impl Fn(&Path) -> Result<Option<T>>,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<T> {
        let home = self.folder(kind)?;
        let path = home.join(key.as_str());
        let _lock = self.lock(&format!("{kind}-{}", key.as_str()), || {
            tracing::info!("another build is making the same {kind}; waiting for it");
        })?;
        if path.exists() {
            match check(&path) {
                Ok(Some(found)) => {
                    // The time of last use, for `prune`; an entry of another user keeps its time.
                    let _ = fs::File::open(&path)?
                        .file()
                        .set_modified(std::time::SystemTime::now());
                    return Ok(found);
                }
                Ok(None) => tracing::warn!("the cached {kind} is damaged; making it again"),
                Err(error) => {
                    tracing::warn!("the cached {kind} cannot be used ({error}); making it again");
                }
            }
            fs::remove_dir_all(&path)?;
        }
        let scratch = tempfile::Builder::new()
            .prefix(".partial-")
            .tempdir_in(&home)?;
        make(scratch.path())?;
        sync_dir(scratch.path())?;
        let scratch = scratch.keep();
        fs::rename(&scratch, &path)?;
        sync_dir(&home)?;
        check(&path)?.ok_or_else(|| {
            crate::Error::failed(format!(
                "the {kind} just made in `{}` is damaged",
                path.display()
            ))
            .hint("is the disk full or failing?")
        })
    }

    /// Removes all but the `keep` most recently used entries of a kind: a cache that only grows fills
    /// the disk one day. A build that reads a removed entry has it open, and keeps it until it ends.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn prune(&self, kind: &str, keep: usize) -> Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.folder(kind)?)? {
            let entry = entry?;
            // Gone already when another build prunes too.
            let Ok(meta) = entry.metadata() else { continue };
            if !entry.file_name().to_string_lossy().starts_with('.') {
                entries.push((meta.modified()?, entry.path()));
            }
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(keep);
        for (_, path) in entries.into_iter().take(surplus) {
            // Whoever looks at an entry holds its lock.
            let key = path.file_name().unwrap_or_default().to_string_lossy();
            let lock = self.folder("locks")?.join(format!("{kind}-{key}"));
            if let Some(_lock) = Lock::try_take(&lock)?
                && path.exists()
            {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// Removes what killed builds left behind. Entries are untouched.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn sweep(&self, kind: &str) -> Result<()> {
        // Whoever makes an entry holds a lock for as long as its scratch folder lives, and the lock
        // names the key, not the folder: so only sweep when no lock of this kind is held.
        for entry in fs::read_dir(self.folder("locks")?)? {
            let entry = entry?;
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("{kind}-"))
                && Lock::try_take(&entry.path())?.is_none()
            {
                return Ok(());
            }
        }
        for entry in fs::read_dir(self.folder(kind)?)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(".partial-") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// An exclusive lock on a file, let go when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, calling `waiting` once if somebody else has it.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn wait(path: &Path, waiting: impl FnOnce()) -> Result<Self> {
        if let Some(lock) = Self::try_take(path)? {
            return Ok(lock);
        }
        waiting();
        let file = open_lock(path)?;
        file.lock()?;
        Ok(Self { _file: file })
    }

    /// Takes the lock at `path` if nobody has it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        let file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

fn open_lock(path: &Path) -> Result<File> {
    Ok(fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?
        .into_parts()
        .0)
}

/// Makes the names in a folder survive a power cut.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_dir(path: &Path) -> Result<()> {
    Ok(fs::File::open(path)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn number(path: &Path) -> Result<Option<u32>> {
        Ok(fs::read_to_string(path.join("n"))?.parse().ok())
    }

    #[test]
    fn an_entry_is_made_once_and_again_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let key = Key::of([b"a".as_slice()]);
        let made = Cell::new(0);
        let get = || {
            cache.entry("thing", &key, number, |at| {
                made.set(made.get() + 1);
                Ok(fs::write(at.join("n"), "7")?)
            })
        };
        assert_eq!((get().unwrap(), made.get()), (7, 1));
        assert_eq!((get().unwrap(), made.get()), (7, 1));
        fs::write(dir.path().join("thing").join(key.as_str()).join("n"), "").unwrap();
        assert_eq!((get().unwrap(), made.get()), (7, 2));
        fs::remove_file(dir.path().join("thing").join(key.as_str()).join("n")).unwrap();
        assert_eq!((get().unwrap(), made.get()), (7, 3));
    }

    #[test]
    fn a_failed_make_leaves_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let key = Key::of([b"a".as_slice()]);
        let failed = cache.entry("thing", &key, number, |at| {
            fs::write(at.join("n"), "7")?;
            Err(crate::Error::failed("no"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(dir.path().join("thing")).unwrap().count(), 0);
    }

    #[test]
    fn the_entries_used_last_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let get = |name: &str| {
            let make = |at: &Path| Ok(fs::write(at.join("n"), "7")?);
            let key = Key::of([name.as_bytes()]);
            cache.entry("thing", &key, number, make).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            dir.path().join("thing").join(key.as_str())
        };
        let (old, used_again, new) = (get("old"), get("used again"), get("new"));
        get("used again");
        cache.prune("thing", 2).unwrap();
        assert_eq!(
            [old, used_again, new].map(|path| path.exists()),
            [false, true, true]
        );
    }

    #[test]
    fn sweeping_spares_a_running_build() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let partial = cache.folder("thing").unwrap().join(".partial-x");
        fs::create_dir(&partial).unwrap();
        let lock = cache.lock("thing-k", || {}).unwrap();
        cache.sweep("thing").unwrap();
        assert!(partial.exists());
        drop(lock);
        cache.sweep("thing").unwrap();
        assert!(!partial.exists());
    }

    #[test]
    fn keys_keep_their_parts_apart() {
        assert_ne!(
            Key::of([b"ab".as_slice(), b"c"]),
            Key::of([b"a".as_slice(), b"bc"])
        );
    }
}
