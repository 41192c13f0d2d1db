//! Tenants: each has a jail, its secrets and its agents; what it may use of the host, where it stands, and
//! how long it lives.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, Name, ReplyError, TenantId, TimeSpan};

/// Where a tenant stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TenantStatus {
    /// Known; it has no jail yet.
    Registered,
    /// Its jail is made, and its secrets are fetched.
    Provisioning,
    /// It has its jail and its secrets; an agent may be started.
    Provisioned,
    /// An agent of it was started.
    Active,
    /// It could not be provisioned or started; `reason` says why. None of its agents is started.
    Failed,
    /// Idle: its agents and its jail are stopped, and start when something is for them.
    Stopped,
    /// It is being removed. Nothing else becomes of it.
    Removing,
}

impl TenantStatus {
    /// Every status, in the order of a tenant's life.
    pub const ALL: [Self; 7] = [
        Self::Registered,
        Self::Provisioning,
        Self::Provisioned,
        Self::Active,
        Self::Failed,
        Self::Stopped,
        Self::Removing,
    ];

    /// The status as it is written on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Provisioning => "provisioning",
            Self::Provisioned => "provisioned",
            Self::Active => "active",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Removing => "removing",
        }
    }

    /// Whether a tenant may go from here to there. One that stays where it is has only another reason.
    pub fn may_become(self, next: Self) -> bool {
        use TenantStatus::{Active, Failed, Provisioned, Provisioning, Removing, Stopped};
        match self {
            Self::Registered => matches!(next, Provisioning | Removing),
            Provisioning => matches!(next, Provisioning | Provisioned | Failed | Removing),
            Provisioned => matches!(next, Active | Stopped | Failed | Removing),
            Active => matches!(next, Active | Stopped | Failed | Removing),
            Failed => matches!(next, Failed | Provisioning | Removing),
            Stopped => matches!(next, Stopped | Provisioned | Failed | Removing),
            Removing => matches!(next, Removing),
        }
    }

    /// Whether its jail and its secrets are there.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Provisioned | Self::Active | Self::Stopped)
    }
}

impl std::str::FromStr for TenantStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|status| status.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no status of a tenant"))
    }
}

impl std::fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The fields of `register-tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterTenant {
    /// What it is called; its jail is called so, too.
    pub tenant_id: TenantId,
    /// The exact name of its collection in the vault, at most 128 characters. The tenant's own when
    /// absent, provided that a vault is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub collection: Option<String>,
    /// It has no collection, and so no secrets from a vault.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_collection: bool,
    /// What it may use of the host; usual limits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<TenantLimits>,
    /// How long it lives; then it is removed with everything that it has. For ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TimeSpan>,
    /// After how long without work it is stopped; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_after: Option<TimeSpan>,
}

impl RegisterTenant {
    /// A tenant of this name, the rest as usual.
    pub fn named(tenant_id: TenantId) -> Self {
        Self {
            tenant_id,
            collection: None,
            no_collection: false,
            limits: None,
            ttl: None,
            idle_after: None,
        }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        let refuse = |text: String| Err(ReplyError::new(ErrorKind::BadRequest, text));
        if let Some(name) = &self.collection {
            if self.no_collection {
                return refuse("`collection` and `no_collection` exclude each other".to_owned());
            }
            check_collection(name).or_else(refuse)?;
        }
        self.limits
            .as_ref()
            .map_or(Ok(()), |limits| limits.check().or_else(refuse))
    }
}

/// Whether a text can be the name of a collection.
///
/// # Errors
/// The rule, in a text for people.
pub fn check_collection(name: &str) -> Result<(), String> {
    let length = name.chars().count();
    if (1..=128).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err("`collection` must be 1 to 128 characters, none of them a control character".to_owned())
}

/// The fields of `provision-tenant`, `rotate-tenant` and `list-secrets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneTenant {
    /// Which.
    pub tenant_id: TenantId,
}

/// What becomes of what a removed tenant has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// It is put away, where root alone can read it.
    Archive,
    /// Nothing is left of it.
    Destroy,
}

impl Removal {
    /// As it is written on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Destroy => "destroy",
        }
    }
}

impl std::str::FromStr for Removal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Archive, Self::Destroy]
            .into_iter()
            .find(|removal| removal.as_str() == text)
            .ok_or_else(|| format!("`{text}` is neither `archive` nor `destroy`"))
    }
}

/// The fields of `remove-tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveTenant {
    /// Which.
    pub tenant_id: TenantId,
    /// What becomes of what it has written.
    pub removal: Removal,
    /// Only say what would be removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The fields of `request-tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestTenant {
    /// What the new tenant is to be called.
    pub tenant_id: TenantId,
    /// How long it is to live; the longest that the host's policy allows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TimeSpan>,
}

/// A tenant of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tenant {
    /// What it is called.
    pub tenant_id: TenantId,
    /// Its number, from which addresses and accounts are made.
    pub number: TenantNumber,
    /// The name of its jail.
    pub jail: TenantId,
    /// Where the jail's root lies on the host; absent before it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail_root: Option<String>,
    /// Its collection in the vault; absent when it has none, or when it is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The collection's id, once its secrets were fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_id: Option<String>,
    /// What it may use of the host.
    pub limits: TenantLimits,
    /// Where it stands.
    pub status: TenantStatus,
    /// Why it stands there, when something went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What becomes of what it has written, when it is being removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// The tenant whose agent asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TenantId>,
    /// How many of its ancestors are tenants.
    #[serde(default)]
    pub depth: u32,
    /// Its agents, by name, running or not.
    #[serde(default)]
    pub agents: Vec<Name>,
    /// Who registered it.
    pub created_by: String,
    /// When (UTC).
    pub created_at: Timestamp,
    /// How long it lives from then on; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TimeSpan>,
    /// When that is over (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// After how long without work it is stopped; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_after: Option<TimeSpan>,
    /// When it last did something (UTC).
    pub last_active: Timestamp,
}

/// The reply to `list-tenants`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantPage {
    /// By their ids.
    pub tenants: Vec<Tenant>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The reply to `rotate-tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantRotation {
    /// The tenant afterwards.
    pub tenant: Tenant,
    /// Whether its secrets are others than before.
    pub changed: bool,
    /// Its agents that were started anew for that.
    pub restarted: Vec<Name>,
}

/// The reply to `remove-tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantRemoval {
    /// The tenant before.
    pub tenant: Tenant,
    /// What becomes of what it has written.
    pub removal: Removal,
    /// Nothing was removed; it was only asked what would be.
    pub dry_run: bool,
    /// Where the archive lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
}

/// The reply to `list-secrets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantSecrets {
    /// Whose.
    pub tenant_id: TenantId,
    /// The names of its secrets, never their values.
    pub names: Vec<String>,
}

/// How many tenants stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantCounts {
    /// Known, without a jail.
    pub registered: u32,
    /// Being provisioned.
    pub provisioning: u32,
    /// With a jail and secrets.
    pub provisioned: u32,
    /// With an agent.
    pub active: u32,
    /// Not usable, for a reason.
    pub failed: u32,
    /// Idle.
    pub stopped: u32,
    /// Being removed.
    pub removing: u32,
}

impl TenantCounts {
    /// The count of one status, to be read or set.
    pub fn of_mut(&mut self, status: TenantStatus) -> &mut u32 {
        match status {
            TenantStatus::Registered => &mut self.registered,
            TenantStatus::Provisioning => &mut self.provisioning,
            TenantStatus::Provisioned => &mut self.provisioned,
            TenantStatus::Active => &mut self.active,
            TenantStatus::Failed => &mut self.failed,
            TenantStatus::Stopped => &mut self.stopped,
            TenantStatus::Removing => &mut self.removing,
        }
    }

    /// The count of one status.
    pub fn of(mut self, status: TenantStatus) -> u32 {
        *self.of_mut(status)
    }

    /// All tenants.
    pub fn total(self) -> u32 {
        let all = TenantStatus::ALL.into_iter();
        all.map(|status| self.of(status)).sum()
    }
}

/// A tenant with which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantProblem {
    /// Which.
    pub tenant_id: TenantId,
    /// Where it stands.
    pub status: TenantStatus,
    /// What is wrong.
    pub reason: String,
}

/// What a tenant's jail may use of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// Memory, in MiB: 64 to 1048576.
    #[schemars(range(min = 64, max = 1_048_576))]
    pub memory_mib: u32,
    /// Processes and threads together: 16 to 32768.
    #[schemars(range(min = 16, max = 32_768))]
    pub tasks: u32,
    /// Processor time, in hundredths of one processor: 10 to 25600.
    #[schemars(range(min = 10, max = 25_600))]
    pub cpu_percent: u32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            memory_mib: 2048,
            tasks: 512,
            cpu_percent: 200,
        }
    }
}

impl TenantLimits {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The field and its rule, in a text for people.
    pub fn check(&self) -> Result<(), String> {
        for (name, value, from, to) in [
            ("memory_mib", self.memory_mib, 64, 1_048_576),
            ("tasks", self.tasks, 16, 32_768),
            ("cpu_percent", self.cpu_percent, 10, 25_600),
        ] {
            if !(from..=to).contains(&value) {
                return Err(format!("`{name}` is {value}; it must be {from} to {to}"));
            }
        }
        Ok(())
    }
}

/// A tenant's number on its host, 1 to 4000: the smallest that is free when it is registered, and the same
/// for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct TenantNumber(u16);

impl TenantNumber {
    /// The highest number.
    pub const MAX: u16 = 4000;

    /// The number itself.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for TenantNumber {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        if (1..=Self::MAX).contains(&number) {
            return Ok(Self(number));
        }
        Err(format!(
            "{number} is no tenant's number: 1 to {}",
            Self::MAX
        ))
    }
}

impl From<TenantNumber> for u16 {
    fn from(number: TenantNumber) -> Self {
        number.0
    }
}

impl std::fmt::Display for TenantNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for TenantNumber {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TenantNumber".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A tenant's number on its host.",
            "type": "integer",
            "minimum": 1,
            "maximum": Self::MAX
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_limits() {
        assert_eq!(TenantLimits::default().check(), Ok(()));
        let few = TenantLimits {
            tasks: 15,
            ..TenantLimits::default()
        };
        assert_eq!(
            few.check(),
            Err("`tasks` is 15; it must be 16 to 32768".to_owned())
        );
        let read: TenantLimits = serde_json::from_str(r#"{"memory_mib":512}"#).unwrap();
        assert_eq!((read.memory_mib, read.tasks), (512, 512));
        assert!(serde_json::from_str::<TenantLimits>(r#"{"memory":1}"#).is_err());
    }

    #[test]
    fn a_status_leads_somewhere_and_every_one_to_the_end() {
        for status in TenantStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert!(status.may_become(TenantStatus::Removing), "{status}");
            let is_end = status == TenantStatus::Removing;
            assert_eq!(
                !status.may_become(TenantStatus::Failed),
                is_end || status == TenantStatus::Registered
            );
        }
        // Without its secrets no tenant has an agent.
        for status in [
            TenantStatus::Registered,
            TenantStatus::Provisioning,
            TenantStatus::Failed,
        ] {
            assert!(
                !status.may_become(TenantStatus::Active) && !status.is_ready(),
                "{status}"
            );
        }
    }

    #[test]
    fn a_collection_has_a_name_or_there_is_none() {
        let register = |fields: &str| {
            let text = format!(r#"{{"tenant_id":"main"{fields}}}"#);
            let new: RegisterTenant =
                serde_json::from_str(&text).map_err(|error| error.to_string())?;
            new.check().map_err(|error| error.message)
        };
        assert_eq!(register(""), Ok(()));
        assert_eq!(
            register(r#","collection":"Ključi","ttl":"2h","idle_after":"30m""#),
            Ok(())
        );
        for (fields, says) in [
            (
                r#","collection":"a","no_collection":true"#,
                "exclude each other",
            ),
            (r#","collection":"""#, "1 to 128"),
            (r#","collection":"a\nb""#, "control character"),
            (r#","limits":{"tasks":1}"#, "`tasks` is 1"),
            (r#","ttl":"2 h""#, "`2 h`"),
            (r#","jail":"main""#, "unknown field"),
        ] {
            let error = register(fields).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn tenants_are_counted_by_status() {
        let mut counts = TenantCounts::default();
        for (at, status) in TenantStatus::ALL.into_iter().enumerate() {
            *counts.of_mut(status) = 10_u32.pow(u32::try_from(at).unwrap());
        }
        assert_eq!(
            (counts.total(), counts.of(TenantStatus::Failed)),
            (1_111_111, 10_000)
        );
    }

    #[test]
    fn numbers_start_at_one_and_end() {
        assert_eq!(TenantNumber::try_from(1).unwrap().get(), 1);
        assert!(TenantNumber::try_from(0).is_err());
        assert!(serde_json::from_str::<TenantNumber>("4001").is_err());
    }
}
