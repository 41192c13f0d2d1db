//! The folder that `bw` keeps: the encrypted vault, its access token, and the API key's secret in clear.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use serde_json::Value;

use crate::VaultError;

/// Most that is read of `data.json`.
const MAX_DATA: u64 = 256 << 20;

/// The folder, checked; used only under the lock.
pub(crate) struct Appdata<'a> {
    folder: &'a Path,
}

impl<'a> Appdata<'a> {
    /// Makes the folder, or makes sure that it is private, and clears away what a killed `bw` left.
    pub(crate) fn open(folder: &'a Path) -> Result<Self, VaultError> {
        let bad = |path: &Path, why: String| VaultError::Appdata {
            path: path.to_owned(),
            why,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(VaultError::system("make", folder))?;
        let meta =
            std::fs::symlink_metadata(folder).map_err(VaultError::system("look at", folder))?;
        let me = nix::unistd::geteuid().as_raw();
        if !meta.is_dir() || meta.uid() != me {
            return Err(bad(folder, format!("it must be a folder of account {me}")));
        }
        if meta.mode() & 0o777 != 0o700 {
            tracing::warn!(folder = %folder.display(), mode = format!("{:o}", meta.mode() & 0o777), "made private");
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
                .map_err(VaultError::system("set the mode of", folder))?;
        }
        let appdata = Self { folder };
        // `bw`'s own lock, a folder: nobody has it, for we have ours. It would wait ten seconds for it.
        let lock = appdata.file("data.json.lock");
        gone(std::fs::remove_dir_all(&lock).or_else(|_| std::fs::remove_file(&lock)))
            .map_err(VaultError::system("remove", &lock))?;
        let backup = appdata.file("data.json.bak");
        gone(std::fs::remove_file(&backup)).map_err(VaultError::system("remove", &backup))?;
        appdata.set_aside()?;
        Ok(appdata)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `bw` writes `data.json` in place. Of one that was killed then, the half is moved aside: `bw` would hang, or empty
    /// it without a word and talk to its maker's servers from then on.
    fn set_aside(&self) -> Result<(), VaultError> {
        let path = self.file("data.json");
        let meta = match std::fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(VaultError::system("look at", &path)(error)),
        };
        let me = nix::unistd::geteuid().as_raw();
        if !meta.is_file() || meta.uid() != me || meta.nlink() != 1 {
            return Err(VaultError::Appdata {
                path,
                why: format!("it must be a file of account {me} without another name"),
            });
        }
        if meta.mode() & 0o077 != 0 {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
                .map_err(VaultError::system("set the mode of", &path))?;
        }
        if meta.len() <= MAX_DATA && matches!(self.data()?, Some(Value::Object(_))) {
            return Ok(());
        }
        let aside = self.file("data.json.corrupt");
        tracing::warn!(
            path = %path.display(), aside = %aside.display(),
            "what bw has stored is cut short or damaged: it is moved aside, and bw logs in anew"
        );
        std::fs::rename(&path, &aside).map_err(VaultError::system("move aside", &path))?;
        // It has the API key in it, so one is enough, and no longer than until the next run goes well.
        Ok(())
    }

    /// Removes what was moved aside, now that it is not needed.
    pub(crate) fn tidy(&self) {
        let _ = std::fs::remove_file(self.file("data.json.corrupt"));
    }

    fn data(&self) -> Result<Option<Value>, VaultError> {
        let path = self.file("data.json");
        let bytes =
            Zeroizing::new(std::fs::read(&path).map_err(VaultError::system("read", &path))?);
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Whether every address that `bw` has stored is the server's: `status` shows one, and logins may go to another.
    pub(crate) fn leads_only_to(&self, server: &str) -> Result<bool, VaultError> {
        let Some(Value::Object(data)) = self.data()? else {
            return Ok(false);
        };
        let mut environments = data
            .iter()
            .filter(|(key, _)| key.ends_with("_environment_environment"))
            .map(|(_, value)| &value["urls"]);
        Ok(environments.all(|urls| {
            let Some(urls) = urls.as_object() else {
                return urls.is_null();
            };
            urls.iter().all(|(what, url)| match url {
                Value::Null => true,
                Value::String(url) => what == "base" && url == server,
                _ => false,
            })
        }))
    }

    /// When `bw` was last in step with the server.
    pub(crate) fn last_sync(&self, account: &str) -> Result<Option<jiff::Timestamp>, VaultError> {
        let data = self.data()?.unwrap_or_default();
        let at = data[format!("user_{account}_sync_lastSync")].as_str();
        Ok(at.and_then(|at| at.parse().ok()))
    }

    /// The ids of all items that the vault of an account has in a collection, encrypted as they are. One that `bw` cannot
    /// decrypt is not in its list, and it says nothing of it.
    ///
    /// # Errors
    /// [`VaultError::Reply`] when `bw` has not stored them where the tested version does.
    pub(crate) fn items(
        &self,
        account: &str,
        collection: &str,
    ) -> Result<BTreeSet<String>, VaultError> {
        let data = self.data()?.unwrap_or_default();
        let stored = &data[format!("user_{account}_ciphers_ciphers")];
        let Some(stored) = stored.as_object() else {
            return Err(VaultError::Reply {
                call: "sync".to_owned(),
                why: "did not store the vault where the tested version does".to_owned(),
            });
        };
        let is_there = |item: &Value| {
            let ids = item["collectionIds"].as_array();
            item["deletedDate"].is_null()
                && item["archivedDate"].is_null()
                && ids.is_some_and(|ids| ids.iter().any(|id| id == collection))
        };
        Ok(stored
            .iter()
            .filter(|(_, item)| is_there(item))
            .map(|(id, _)| id.clone())
            .collect())
    }
}

/// What is not there is gone.
fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn it_is_private_and_cleared_of_what_a_killed_bw_left() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state/bw");
        Appdata::open(&folder).unwrap();
        assert_eq!(
            (mode(&folder), mode(&dir.path().join("state"))),
            (0o700, 0o700)
        );

        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(folder.join("data.json.lock")).unwrap();
        std::fs::write(folder.join("data.json.bak"), "{}").unwrap();
        std::fs::write(folder.join("data.json"), "{\"a\":1}").unwrap();
        std::fs::set_permissions(
            folder.join("data.json"),
            std::fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        Appdata::open(&folder).unwrap();
        assert_eq!(
            (mode(&folder), mode(&folder.join("data.json"))),
            (0o700, 0o600)
        );
        let left = std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn half_a_file_is_moved_aside_and_a_link_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data.json");
        for half in ["", "{\"a\":", "[]", "\0\0\0"] {
            std::fs::write(&data, half).unwrap();
            let appdata = Appdata::open(dir.path()).unwrap();
            assert!(!data.exists(), "{half:?}");
            let aside = dir.path().join("data.json.corrupt");
            assert_eq!(std::fs::read_to_string(&aside).unwrap(), half);
            appdata.tidy();
            assert!(!aside.exists());
        }
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &data).unwrap();
        let error = Appdata::open(dir.path()).err().unwrap();
        assert_eq!(error.kind(), "appdata");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn every_stored_address_counts_and_items_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let write =
            |data: Value| std::fs::write(dir.path().join("data.json"), data.to_string()).unwrap();
        let urls = |base: &str, identity: Value| json!({"urls": {"base": base, "identity": identity, "api": null}});
        let appdata = Appdata::open(dir.path()).unwrap();
        for (environment, is_ours) in [
            (urls("https://h", Value::Null), true),
            (urls("https://h", "https://evil".into()), false),
            (urls("https://evil", Value::Null), false),
        ] {
            write(json!({
                "global_environment_environment": urls("https://h", Value::Null),
                "user_u_environment_environment": environment,
            }));
            assert_eq!(appdata.leads_only_to("https://h").unwrap(), is_ours);
        }
        write(json!({"user_u_ciphers_ciphers": {
            "a": {"collectionIds": ["c"], "deletedDate": null},
            "b": {"collectionIds": ["c"], "deletedDate": "2026-01-01"},
            "d": {"collectionIds": ["c"], "archivedDate": "2026-01-01"},
            "e": {"collectionIds": ["x"]},
            "f": {},
        }}));
        assert_eq!(appdata.items("u", "c").unwrap(), ["a".to_owned()].into());
        assert_eq!(appdata.items("other", "c").unwrap_err().kind(), "reply");
    }
}
