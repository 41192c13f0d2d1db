//! The vault, as far as this program uses it: a collection's secrets, by its name.

use std::fmt;
use std::path::PathBuf;

use colibri_vault::{Bootstrap, Bucket, Places, Seen, Vault, VaultError};

/// Where tenants' secrets come from. `None`: no vault is configured on this host.
pub(crate) trait Buckets: Send + Sync + fmt::Debug {
    /// Whether a vault is configured, well or badly.
    fn are_configured(&self) -> bool;

    /// What the host's account sees.
    ///
    /// # Errors
    /// [`VaultError`].
    fn check(&self) -> Result<Option<Seen>, VaultError>;

    /// The secrets of the collection of exactly that name; `fresh`: asked anew, and not what the client
    /// remembers.
    ///
    /// # Errors
    /// [`VaultError`].
    fn fetch(&self, collection: &str, fresh: bool) -> Result<Option<Bucket>, VaultError>;
}

/// The vault of `vault.env`, which is read for each use: it may come, change and go while the helper runs, and
/// its secrets are in memory no longer than they are used.
#[derive(Debug)]
pub(crate) struct Configured {
    file: PathBuf,
}

impl Configured {
    pub(crate) fn by(file: PathBuf) -> Self {
        Self { file }
    }

    fn vault(&self) -> Result<Option<Vault>, VaultError> {
        let bootstrap = Bootstrap::read(&self.file)?;
        Ok(bootstrap.map(|bootstrap| Vault::new(Places::of_host(), bootstrap)))
    }
}

impl Buckets for Configured {
    fn are_configured(&self) -> bool {
        self.file.symlink_metadata().is_ok()
    }

    fn check(&self) -> Result<Option<Seen>, VaultError> {
        self.vault()?.map(|vault| vault.check()).transpose()
    }

    fn fetch(&self, collection: &str, fresh: bool) -> Result<Option<Bucket>, VaultError> {
        self.vault()?
            .map(|vault| vault.fetch(collection, fresh))
            .transpose()
    }
}
