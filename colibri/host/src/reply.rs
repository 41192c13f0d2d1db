//! What the helper answers.

use colibri_protocol::{TenantId, TenantNumber};
use serde::{Deserialize, Serialize};

use crate::Limits;

/// A good answer. On the wire `"ok":true` stands before it, and `"ok":false` before a [`HostError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// A jail as it is after the request.
    Jail(JailInfo),
    /// It is not there any more. For `archive-jail` the archive's path, for people.
    Gone {
        /// Where the archive lies.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        archive: Option<String>,
    },
    /// To `list-jails`, by tenant.
    Jails {
        /// All of them.
        jails: Vec<JailInfo>,
    },
    /// First answer to `exec-jail`: it runs.
    Started,
    /// Second and last answer to `exec-jail`.
    Ended(AgentExit),
    /// To `provision`.
    Provisioned(Provisioned),
    /// To `check-vault`.
    Vault {
        /// The server, as `bw` has it.
        server: String,
        /// The collections that the host's account sees.
        collections: Vec<String>,
    },
    /// To `list-secrets`.
    Secrets(SecretNames),
    /// To `host-facts`.
    Facts(HostFacts),
}

/// A tenant's jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailInfo {
    /// Whose.
    pub tenant: TenantId,
    /// Its number.
    pub number: TenantNumber,
    /// What it may use.
    pub limits: Limits,
    /// Where its root lies on the host.
    pub root: String,
    /// Its address.
    pub address: std::net::Ipv4Addr,
    /// Whether it runs.
    pub running: bool,
}

/// How an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentExit {
    /// Its exit status, as a shell would have it: 128 and the signal's number for one that was killed.
    pub status: u8,
}

/// What came of `provision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// Whether the `.env` is another than before.
    pub changed: bool,
    /// The names of the secrets.
    pub names: Vec<String>,
    /// The collection's id in the vault.
    pub collection_id: String,
}

/// The secrets of a tenant, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretNames {
    /// In the order of the file.
    pub names: Vec<String>,
}

/// What kind of host this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// `linux` or `freebsd`.
    pub os: String,
    /// Its release, as `uname -r` has it.
    pub release: String,
    /// Whether jails can be made, or why not.
    pub jails: Result<(), String>,
    /// Whether a vault is configured.
    pub vault: bool,
}

/// Why the helper did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// What programs go by.
    pub kind: ErrorKind,
    /// What, where and why, in one line for people. No secret.
    pub message: String,
    /// What to do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The kinds of errors that programs tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Not a request, or one that breaks a rule.
    BadRequest,
    /// Who asks may not.
    Forbidden,
    /// No such jail.
    NotFound,
    /// In the way of something else: another jail has the number, say.
    Conflict,
    /// It would help to try again later: the vault cannot be reached, or limits how often it is asked.
    TryAgain,
    /// The vault, or the secrets in it, are not as they must be. Trying again changes nothing.
    Vault,
    /// No vault is configured on this host.
    VaultNotConfigured,
    /// The system refused.
    System,
}
