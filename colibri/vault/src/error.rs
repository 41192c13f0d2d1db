//! Why a vault's secrets could not be had or written, each with what to do now.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::TESTED;

/// Why it was not done. No text has a secret in it: what `bw` prints is quoted only where it is an error
/// message of its own, cut short.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// `vault.env` is not as it must be.
    #[error("{path}: {why}")]
    Bootstrap {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; names only.
        why: String,
    },
    /// Node or `bw` is not on this host.
    #[error("`{path}` is not there")]
    ClientMissing {
        /// What was looked for.
        path: PathBuf,
    },
    /// It is another `bw` than those that were tried against a real server.
    #[error("bw is {found}; this program works with {TESTED} and no other")]
    ClientVersion {
        /// What it says it is.
        found: String,
    },
    /// Another process uses the vault.
    #[error("{holder} holds {path}, for {waited:?} already")]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who has it, as it wrote there.
        holder: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The private folder of `bw` is not private.
    #[error("{path}: {why}")]
    Appdata {
        /// The folder, or what is in it.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// `bw` is set up for another server than the one that is configured.
    #[error("bw is set up for {found}, and {configured} is configured: nothing was sent to either")]
    ServerMismatch {
        /// By `vault.env`.
        configured: String,
        /// By `bw`'s own account.
        found: String,
    },
    /// The server cannot be reached.
    #[error("{server} cannot be reached: {why}")]
    Unreachable {
        /// Which.
        server: String,
        /// As `bw` says it.
        why: String,
    },
    /// Its certificate is not one that this host trusts.
    #[error("{server} has a certificate that this host does not trust: {why}")]
    Untrusted {
        /// Which.
        server: String,
        /// As `bw` says it.
        why: String,
    },
    /// It has been asked too often.
    #[error("{server} is asked too often; it takes the next login in {wait:?}")]
    RateLimited {
        /// Which.
        server: String,
        /// When to ask again, counted from now.
        wait: Duration,
    },
    /// The API key is not, or no longer, the account's.
    #[error("{server} refuses the API key of `vault.env`: {why}")]
    LoginRefused {
        /// Who refuses it.
        server: String,
        /// As `bw` says it.
        why: String,
    },
    /// The master password does not open the vault.
    #[error("the password of `vault.env` does not open the vault")]
    PasswordRefused,
    /// What is there may be old: `bw` could not be brought up to date.
    #[error("the vault could not be brought up to date: {why}")]
    SyncFailed {
        /// As `bw` says it.
        why: String,
    },
    /// No collection has that name.
    #[error("the host's account sees no collection `{name}`, and {seen} others")]
    CollectionNotFound {
        /// The name, exactly.
        name: String,
        /// How many it sees.
        seen: usize,
    },
    /// More than one has.
    #[error("{count} collections are called `{name}`")]
    CollectionAmbiguous {
        /// The name, exactly.
        name: String,
        /// How many.
        count: usize,
    },
    /// A collection without a secret never empties an `.env`.
    #[error("the collection `{name}` is empty: the `.env` stays as it is")]
    CollectionEmpty {
        /// Its name.
        name: String,
    },
    /// `bw` gave something that is not in the collection.
    #[error("bw gave the item {item} for `{collection}`, which is not in it: nothing was used")]
    ForeignItem {
        /// The item's id.
        item: String,
        /// What was asked for.
        collection: String,
    },
    /// An item is no secret that an `.env` can hold, or bw could not decrypt it.
    #[error("the item {item} {why}")]
    Item {
        /// Its name, or its id when that has none.
        item: String,
        /// What is wrong with it; no value.
        why: String,
    },
    /// Two items make the same variable.
    #[error("`{name}` is there twice: {first} and {second}")]
    DuplicateName {
        /// The variable.
        name: String,
        /// One item.
        first: String,
        /// The other.
        second: String,
    },
    /// `bw` did not end in time; it was ended.
    #[error("`bw {call}` did not end in {limit:?} and was ended")]
    TimedOut {
        /// Its verb.
        call: String,
        /// How long it had.
        limit: Duration,
    },
    /// `bw` said something that makes no sense.
    #[error("`bw {call}` {why}")]
    Reply {
        /// Its verb.
        call: String,
        /// What was wrong; nothing of what it said.
        why: String,
    },
    /// `bw` refused, with a message that means nothing to us.
    #[error("`bw {call}` failed: {message}")]
    Client {
        /// Its verb.
        call: String,
        /// The message, cut short.
        message: String,
    },
    /// The place of the `.env` is not strictly below the base, or a link leads there.
    #[error("`{path}` leads out of `{base}`: {why}")]
    TargetEscapesRoot {
        /// What was asked for.
        path: PathBuf,
        /// What it must be below.
        base: PathBuf,
        /// How it leads out.
        why: String,
    },
    /// Something lies in the `.env`'s place that is none.
    #[error("`{path}` is {what}: it was left alone")]
    TargetInTheWay {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// There is no such jail.
    #[error("`{root}` is not there")]
    NoRoot {
        /// Where its root should be.
        root: PathBuf,
    },
    /// An `.env` is not what this program writes.
    #[error("{path}, line {line}: {why}")]
    EnvFile {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong; nothing of the line but a name.
        why: String,
    },
    /// A key to encrypt for is none.
    #[error("{given:?} is no recipient of age: {why}")]
    Recipient {
        /// As it was given; a public key.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// The system refused.
    #[error("cannot {what} {path}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What an error is about, for programs that treat many alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may be gone by itself.
    TryAgain,
    /// The vault, its secrets or its configuration are not as they must be.
    Vault,
    /// This host.
    System,
}

impl VaultError {
    /// A short name, for programs: `server-mismatch`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bootstrap { .. } => "bootstrap",
            Self::ClientMissing { .. } => "client-missing",
            Self::ClientVersion { .. } => "client-version",
            Self::Busy { .. } => "busy",
            Self::Appdata { .. } => "appdata",
            Self::ServerMismatch { .. } => "server-mismatch",
            Self::Unreachable { .. } => "unreachable",
            Self::Untrusted { .. } => "untrusted",
            Self::RateLimited { .. } => "rate-limited",
            Self::LoginRefused { .. } => "login-refused",
            Self::PasswordRefused => "password-refused",
            Self::SyncFailed { .. } => "sync-failed",
            Self::CollectionNotFound { .. } => "collection-not-found",
            Self::CollectionAmbiguous { .. } => "collection-ambiguous",
            Self::CollectionEmpty { .. } => "collection-empty",
            Self::ForeignItem { .. } => "foreign-item",
            Self::Item { .. } => "item",
            Self::DuplicateName { .. } => "duplicate-name",
            Self::TimedOut { .. } => "timed-out",
            Self::Reply { .. } => "reply",
            Self::Client { .. } => "client",
            Self::TargetEscapesRoot { .. } => "target-escapes-root",
            Self::TargetInTheWay { .. } => "target-in-the-way",
            Self::NoRoot { .. } => "no-root",
            Self::EnvFile { .. } => "env-file",
            Self::Recipient { .. } => "recipient",
            Self::System { .. } => "system",
        }
    }

    /// What to do now.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Bootstrap { .. } => {
                "put VAULT_SERVER, BW_CLIENTID, BW_CLIENTSECRET and BW_PASSWORD into it, one NAME='value' a line; \
                 it must be root's and have the mode 0600"
            }
            Self::ClientMissing { .. } => {
                "install Node and bw, as the image has them; on FreeBSD Node is a package that first boot installs"
            }
            Self::ClientVersion { .. } => {
                "install the tested bw; newer ones may not work with Vaultwarden, and one was compromised"
            }
            Self::Busy { .. } => "wait for it, or end that process; the lock goes with it",
            Self::Appdata { .. } => {
                "give the folder to root alone (mode 0700), or move it away: the next run makes it anew"
            }
            Self::ServerMismatch { .. } => {
                "when the server has really moved, move bw's folder away and run `colibri-vault check`; else mend \
                 VAULT_SERVER"
            }
            Self::Unreachable { .. } => "look after the network and the server, then run it again",
            Self::Untrusted { .. } => {
                "put the certificate of the authority that signed it into /etc/colibri/vault-ca.pem, or give the \
                 server one that is trusted"
            }
            Self::RateLimited { .. } => "wait that long and run it again; nothing was changed",
            Self::LoginRefused { .. } => {
                "take the API key of the host's account (Settings, Security, Keys, View API key) and put it into \
                 vault.env"
            }
            Self::PasswordRefused => "put the master password of the host's account into vault.env",
            Self::SyncFailed { .. } => "run it again; when it stays so, run `colibri-vault check`",
            Self::CollectionNotFound { .. } => {
                "make the collection, or let the host's account read it; the name must be exactly that"
            }
            Self::CollectionAmbiguous { .. } => "give all but one another name",
            Self::CollectionEmpty { .. } => {
                "put a login into it: its name is the variable, its password the value"
            }
            Self::ForeignItem { .. } => "report this: bw gives more than it is asked for",
            Self::Item { .. } => {
                "mend the item in the vault: a login whose name is the variable and whose password is the value, \
                 or a note"
            }
            Self::DuplicateName { .. } => "remove or rename one of the two",
            Self::TimedOut { .. } => {
                "run it again when the host and the server are less busy; nothing was changed"
            }
            Self::Reply { .. } | Self::Client { .. } => {
                "run `colibri-vault check`; when it stays so, move bw's folder away: the next run logs in anew"
            }
            Self::TargetEscapesRoot { .. } => {
                "a jail's root must be a folder strictly below the base, with no link on the way"
            }
            Self::TargetInTheWay { .. } => "remove it from the jail and run it again",
            Self::NoRoot { .. } => "make the jail first",
            Self::EnvFile { .. } => "provision the tenant again, which writes the file anew",
            Self::Recipient { .. } => "give a public key that `age-keygen` printed: it begins with `age1`",
            Self::System { .. } => "mend that and run it again",
        }
    }

    /// Whether the same may succeed later without anybody doing anything.
    pub fn is_worth_retrying(&self) -> bool {
        self.class() == Class::TryAgain
    }

    /// After what time, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    /// What it is about.
    pub fn class(&self) -> Class {
        match self {
            Self::Busy { .. }
            | Self::Unreachable { .. }
            | Self::RateLimited { .. }
            | Self::SyncFailed { .. }
            | Self::TimedOut { .. } => Class::TryAgain,
            Self::ClientMissing { .. }
            | Self::ClientVersion { .. }
            | Self::Appdata { .. }
            | Self::TargetEscapesRoot { .. }
            | Self::TargetInTheWay { .. }
            | Self::NoRoot { .. }
            | Self::System { .. } => Class::System,
            _ => Class::Vault,
        }
    }

    /// For `map_err` on what the system refuses.
    pub(crate) fn system<E: Into<io::Error>>(
        what: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            what,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}
