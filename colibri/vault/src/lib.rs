//! A tenant's bucket in Vaultwarden, as the `.env` of its jail.
//!
//! The real `bw` does the work; nothing of Bitwarden's protocol is made again here. `bw` fails open in many
//! ways: it ends with 0 and no data, with old data, or with everybody's. So each call's answer is checked for
//! what it must say, and nothing is written before all of it has been.
//!
//! ```text
//! lock -> version -> server is ours -> log in (once) -> server is ours -> unlock -> sync -> collections
//!      -> items of the one -> each is in it -> lock bw's vault -> Bucket -> write_env
//! ```

mod error;

use std::path::{Path, PathBuf};

use secrecy::SecretString;

pub use error::{Class, VaultError};

/// The versions of `bw` that were tried against Vaultwarden: just this one.
pub const TESTED: &str = "2026.8.0";

/// The host's way into the vault; root alone may read it.
pub const BOOTSTRAP: &str = "/etc/colibri/vault.env";

/// The certificate of a private authority that signed the server's, in PEM; used when it is there.
pub const CA: &str = "/etc/colibri/vault-ca.pem";

/// Where things lie.
#[derive(Debug, Clone)]
pub struct Places {
    /// Node.
    pub node: PathBuf,
    /// The script of `bw` that it runs.
    pub script: PathBuf,
    /// `bw`'s own folder, with the encrypted vault and the API key in clear: made 0700, for this account alone.
    pub appdata: PathBuf,
    /// Held while `bw` is used; its folder is made 0700.
    pub lock: PathBuf,
    /// What `bw` trusts besides the usual authorities.
    pub ca: Option<PathBuf>,
}

impl Places {
    /// Those of the image.
    pub fn of_host() -> Self {
        todo!()
    }
}

/// How the host gets into the vault.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The server: `https://…`.
    pub server: String,
    /// `user.…`
    pub client_id: String,
    /// The secret of the API key.
    pub client_secret: SecretString,
    /// The account's master password.
    pub password: SecretString,
    /// The name of an item that every collection must have, and that is not handed on: an answer without it is
    /// taken for a failure.
    pub canary: Option<String>,
}

impl Bootstrap {
    /// What `path` says; `None` when there is no such file.
    ///
    /// # Errors
    /// [`VaultError::Bootstrap`] when it is not a file of this account (root, for `colibri-hostd`) with the mode
    /// 0600, or lacks something.
    pub fn read(_path: &Path) -> Result<Option<Self>, VaultError> {
        todo!()
    }

    /// The file, as [`Bootstrap::read`] reads it.
    ///
    /// # Errors
    /// When a value cannot stand there: one with a NUL, or a server that is not `https://`.
    pub fn to_env(&self) -> Result<SecretString, VaultError> {
        todo!()
    }
}

/// The vault. It holds nothing open: each call is a whole run, under the lock, and ends with the vault locked.
#[derive(Debug)]
pub struct Vault {
    places: Places,
    bootstrap: Bootstrap,
}

/// What the host's account sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The server, as `bw` has it.
    pub server: String,
    /// The names of all collections, sorted.
    pub collections: Vec<String>,
}

impl Vault {
    /// Nothing is done yet.
    pub fn new(places: Places, bootstrap: Bootstrap) -> Self {
        Self { places, bootstrap }
    }

    /// Goes all the way but for the items.
    ///
    /// # Errors
    /// Any but those of items and targets.
    pub fn check(&self) -> Result<Seen, VaultError> {
        let _ = (&self.places, &self.bootstrap);
        todo!()
    }

    /// The secrets of the collection of exactly that name.
    ///
    /// # Errors
    /// Any but those of targets.
    pub fn fetch(&self, _collection: &str) -> Result<Bucket, VaultError> {
        todo!()
    }

    /// The same, of a vault that was got from the server anew, whether or not the server says that it changed.
    ///
    /// # Errors
    /// As [`Vault::fetch`].
    pub fn fetch_fresh(&self, _collection: &str) -> Result<Bucket, VaultError> {
        todo!()
    }
}

/// The name of a secret: `[A-Z_][A-Z0-9_]*`, at most 128, and none that a shell, a loader or this program acts on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(String);

impl SecretName {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for SecretName {
    type Err = String;

    fn from_str(_name: &str) -> Result<Self, String> {
        todo!()
    }
}

/// The secrets of one collection, by name.
#[derive(Debug)]
pub struct Bucket {
    /// The collection's id: a UUID.
    pub collection_id: String,
    /// All of them.
    pub secrets: std::collections::BTreeMap<SecretName, SecretString>,
}

impl Bucket {
    /// Their names, sorted.
    pub fn names(&self) -> Vec<String> {
        todo!()
    }

    /// The `.env`.
    pub fn to_env(&self) -> SecretString {
        todo!()
    }
}

/// Whose `.env`, and where.
#[derive(Debug, Clone)]
pub struct Target {
    /// What all jails' roots lie strictly below.
    pub base: PathBuf,
    /// The jail's root.
    pub root: PathBuf,
    /// The agent's account, as the host numbers it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its home below the root, usually [`Target::HOME`]: the `.env` lies in it.
    pub home: PathBuf,
}

impl Target {
    /// The agent's home in every jail.
    pub const HOME: &str = "home/agent";
}

/// What writing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Whether the content is another than before.
    pub changed: bool,
    /// Names that were not there before.
    pub added: Vec<String>,
    /// Names that are not there any more.
    pub removed: Vec<String>,
    /// Names with another value than before.
    pub renewed: Vec<String>,
}

/// Writes the bucket as the `.env` of the target: 0600, the agent's, complete or not at all.
///
/// # Errors
/// [`VaultError::TargetEscapesRoot`], [`VaultError::TargetInTheWay`], [`VaultError::NoRoot`] and
/// [`VaultError::System`]; the old file is then as before.
pub fn write_env(_target: &Target, _bucket: &Bucket) -> Result<Written, VaultError> {
    todo!()
}

/// Puts single secrets into the `.env` of the target and leaves what else is in it: a provider's key from
/// `setup.txt`, on a host without a vault.
///
/// # Errors
/// As [`write_env`], and [`VaultError::EnvFile`] when the file there cannot be read.
pub fn write_secrets(
    _target: &Target,
    _secrets: &[(SecretName, SecretString)],
) -> Result<Written, VaultError> {
    todo!()
}

/// The names in the target's `.env`, in the order of the file; none when there is no file.
///
/// # Errors
/// As [`write_secrets`].
pub fn names(_target: &Target) -> Result<Vec<String>, VaultError> {
    todo!()
}

/// The secrets in the target's `.env`, in the order of the file; none when there is no file. For who starts the
/// agent.
///
/// # Errors
/// As [`write_secrets`].
pub fn read_env(_target: &Target) -> Result<Vec<(SecretName, SecretString)>, VaultError> {
    todo!()
}
