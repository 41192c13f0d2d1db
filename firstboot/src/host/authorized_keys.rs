//! An account's home and the keys that open it: those of the seed are added, those that are there stay.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::machine::Machine;
use super::{HostError, Processes, files};

/// An account, as far as its home goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Absolute.
    pub(super) home: String,
}

impl<P: Processes> Machine<P> {
    fn keys_file(&self, owner: &Login) -> PathBuf {
        self.at(&owner.home).join(".ssh/authorized_keys")
    }

    /// The text of `authorized_keys`, which may be the work of the account's owner: a link is not followed.
    fn present_keys(&self, owner: &Login) -> Result<String, HostError> {
        let path = self.keys_file(owner);
        let shown = format!("{}/.ssh/authorized_keys", owner.home);
        for place in [path.parent().unwrap_or(&path), &path] {
            match fs::symlink_metadata(place) {
                Ok(meta) if meta.is_symlink() => {
                    return Err(HostError::Refused(format!(
                        "{shown} is reached through a link, which root must not follow; remove the link"
                    )));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
                Err(error) => return Err(HostError::io(format!("reading {shown}"))(error)),
            }
        }
        let bytes =
            files::read(&path, 1 << 20).map_err(HostError::io(format!("reading {shown}")))?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    }

    /// Whether all these keys open the account, in a file that only its owner can change.
    pub(super) fn keys_are_there(&self, owner: &Login, keys: &[String]) -> Result<bool, HostError> {
        let present = self.present_keys(owner)?;
        let path = self.keys_file(owner);
        let private = |path: &Path, mode: u32| {
            fs::metadata(path).is_ok_and(|meta| {
                meta.permissions().mode() & 0o7777 == mode && meta.uid() == owner.uid
            })
        };
        Ok(keys
            .iter()
            .all(|key| present.lines().any(|line| line == key))
            && path.parent().is_some_and(|folder| private(folder, 0o700))
            && private(&path, 0o600))
    }

    /// Adds the keys that are missing.
    pub(super) fn install_keys(&self, owner: &Login, keys: &[String]) -> Result<(), HostError> {
        let mut text = self.present_keys(owner)?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for key in keys {
            if !text.lines().any(|line| line == key) {
                text.push_str(key);
                text.push('\n');
            }
        }
        let path = self.keys_file(owner);
        let ids = (owner.uid, owner.gid);
        let write = || {
            let folder = path.parent().unwrap_or(&path);
            files::make_folder(folder, 0o700)?;
            chown(folder, Some(ids.0), Some(ids.1))?;
            files::replace(&path, text.as_bytes(), 0o600, Some(ids))
        };
        write().map_err(HostError::io(format!(
            "writing {}/.ssh/authorized_keys",
            owner.home
        )))
    }

    /// Makes the home if it is missing and gives it to its owner.
    pub(super) fn make_home(&self, login: &str, owner: &Login) -> Result<(), HostError> {
        let home = self.at(&owner.home);
        if !home.is_dir() {
            files::make_folder(&home, 0o700)
                .map_err(HostError::io(format!("making {}", owner.home)))?;
        }
        if fs::metadata(&home).is_ok_and(|meta| meta.uid() != owner.uid) {
            chown(&home, Some(owner.uid), Some(owner.gid)).map_err(HostError::io(format!(
                "handing {} to `{login}`",
                owner.home
            )))?;
        }
        Ok(())
    }

    /// Whether the account's home is there and its own.
    pub(super) fn has_home(&self, owner: &Login) -> bool {
        fs::symlink_metadata(self.at(&owner.home))
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == owner.uid)
    }
}
