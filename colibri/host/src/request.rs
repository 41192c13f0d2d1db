//! What the helper is asked.

use colibri_protocol::{TenantId, TenantNumber};
use serde::{Deserialize, Serialize};

pub use colibri_protocol::TenantLimits as Limits;

/// A request: one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
pub enum Request {
    /// Makes a tenant's jail, or mends a half-made one. One that is there stays, with these limits.
    CreateJail(JailRequest),
    /// Starts it; one that runs stays as it is.
    StartJail(TenantRequest),
    /// Stops it with everything in it; what it has written stays.
    StopJail(TenantRequest),
    /// Stops it and removes it with everything that it has written.
    DestroyJail(TenantRequest),
    /// Stops it and moves what it has written away as an archive that root alone can read.
    ArchiveJail(TenantRequest),
    /// All jails of tenants.
    ListJails(NoFields),
    /// Starts an agent in a tenant's jail, as the agent's account and with the variables of its `.env`. With
    /// the line come three file descriptors, its standard input, output and error.
    /// It lives no longer than this connection, over which its end is told.
    ExecJail(ExecJail),
    /// Fetches a tenant's secrets from the vault into the `.env` of its jail.
    Provision(Provision),
    /// Logs in to the vault, and tells which collections the host's account sees.
    CheckVault(NoFields),
    /// The names, never the values, of a tenant's secrets.
    ListSecrets(TenantRequest),
    /// What kind of host this is and what it can do.
    HostFacts(NoFields),
}

/// The fields of a request that takes none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoFields {}

/// The fields of a request about a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRequest {
    /// Which.
    pub tenant: TenantId,
}

/// The fields of `create-jail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JailRequest {
    /// Whose.
    pub tenant: TenantId,
    /// Its number; no two jails have the same.
    pub number: TenantNumber,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// The fields of `provision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provision {
    /// Whose.
    pub tenant: TenantId,
    /// The collection's exact name: 1 to 128 characters, none of them a control character.
    pub collection: String,
    /// The vault's server is asked anew, and not what the host's vault client remembers.
    #[serde(default)]
    pub fresh: bool,
}

/// The fields of `exec-jail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecJail {
    /// In whose jail.
    pub tenant: TenantId,
    /// What is started.
    pub program: AgentProgram,
    /// Its arguments, at most 64, of together at most 64 KiB.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables besides those of its `.env`, which win. Only names that the daemon hands on to agents and
    /// `COLIBRI_*` are taken, and no secret is ever sent here.
    #[serde(default)]
    pub env: Vec<(String, String)>,
}

/// The programs that are started in jails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentProgram {
    /// `pi`, the agent of the image.
    Pi,
    /// `zot`.
    Zot,
    /// `colibri-test-agent`, for tests and diagnosis.
    TestAgent,
}

impl AgentProgram {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Pi, Self::Zot, Self::TestAgent];

    /// Where it lies, in the jail as on the host.
    pub fn path(self) -> &'static str {
        match self {
            Self::Pi => "/usr/local/bin/pi",
            Self::Zot => "/usr/local/bin/zot",
            Self::TestAgent => "/usr/local/bin/colibri-test-agent",
        }
    }

    /// The one that lies there.
    pub fn at(path: &std::path::Path) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|program| path == std::path::Path::new(program.path()))
    }
}
