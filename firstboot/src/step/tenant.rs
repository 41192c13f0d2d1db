//! The tenant in whose jail the assistant lives: known to the daemon, with its jail and its secrets.

use std::path::Path;
use std::time::Duration;

use colibri_host::{JailInfo, NoFields, Reply, Request};
use colibri_protocol::client::ClientError;
use colibri_protocol::{Command, ErrorKind, OneTenant, RegisterTenant, Tenant, TenantId};
use secrecy::{ExposeSecret as _, SecretString};

use super::provider_env::{Agent, Environment};
use super::root_helper::{facts, strange};
use super::{Context, Step, StepError, Wanted};
use crate::host::{Host, HostError};
use crate::setup::Provider;
use crate::{environment, tenant};

/// How long a row of the database may take.
const QUICK: Duration = Duration::from_secs(10);

/// How long making a jail and fetching its secrets may take: `bw` alone wants half a minute of an old machine's
/// processor, and its own limits come first.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct RegisterIt;

impl Step for RegisterIt {
    fn name(&self) -> &'static str {
        "tenant"
    }

    fn title(&self) -> &'static str {
        "Tenant"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["adoption", "vault-env", "root-helper", "daemon-answers"]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        let id = tenant::id(setup)?;
        Ok(Wanted::Work(if tenant::has_vault(cx.host, setup) {
            format!("tenant `{id}`, with the vault's collection `{id}`")
        } else {
            format!("tenant `{id}`, without a vault")
        }))
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(tenant::find(cx.host, &tenant::id(cx.setup()?)?)?.is_some())
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        if let Err(why) = facts(cx.host)?.jails {
            return Err(StepError::NoJails {
                why,
                remedy: cx.host.habits().enable_jails,
            });
        }
        // Its collection is its own as soon as there is a vault, be it later.
        let register = RegisterTenant::named(tenant::id(cx.setup()?)?);
        tenant::change(cx.host, Command::RegisterTenant(register), QUICK)?;
        Ok(())
    }
}

pub(super) struct Provision;

/// Its name in the journal, by which the next run knows whether it came that far.
pub const PROVISION: &str = "provision";

impl Step for Provision {
    fn name(&self) -> &'static str {
        PROVISION
    }

    fn title(&self) -> &'static str {
        "Jail"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["adoption", "tenant"]
    }

    /// As long as the vault cannot be reached, or limits how often it is asked.
    fn attempts(&self) -> u32 {
        5
    }

    fn pauses(&self) -> (Duration, Duration) {
        (Duration::from_secs(2), Duration::from_secs(30))
    }

    /// Whoever waits for the report should not wait for ever: the next boot tries again.
    fn patience(&self) -> Duration {
        Duration::from_secs(90)
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        let id = tenant::id(setup)?;
        Ok(Wanted::Work(if tenant::has_vault(cx.host, setup) {
            format!("the jail of `{id}`, and its secrets from the vault")
        } else {
            format!("the jail of `{id}`")
        }))
    }

    fn check(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        // Whether new credentials are right shows when they are used.
        Ok(!cx.is_to_be_provisioned.get() && self.verify(cx, wanted)?)
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        let setup = cx.setup()?;
        let one = OneTenant {
            tenant_id: tenant::id(setup)?,
        };
        let is_ready =
            tenant::find(cx.host, &one.tenant_id)?.is_some_and(|is| is.status.is_ready());
        let has_vault = tenant::has_vault(cx.host, setup);
        let done = if is_ready && has_vault {
            // Agents that run are started anew by that.
            tenant::rotate(cx.host, one, PATIENCE)
        } else {
            tenant::change(cx.host, Command::ProvisionTenant(one), PATIENCE).map(drop)
        };
        match done {
            // The daemon does not say whether time would heal it, nor which of the two it was; the helper does.
            Err(HostError::Daemon(ClientError::Refused { error }))
                if has_vault && error.kind == ErrorKind::Host =>
            {
                cx.host
                    .ask_helper(&Request::CheckVault(NoFields {}), PATIENCE)?;
                Err(StepError::Host(ClientError::Refused { error }.into()))
            }
            done => Ok(done?),
        }
    }

    fn verify(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        let setup = cx.setup()?;
        let is_fetched = |tenant: &Tenant| tenant.collection_id.is_some() || !setup.has_vault();
        Ok(tenant::find(cx.host, &tenant::id(setup)?)?
            .is_some_and(|tenant| tenant.status.is_ready() && is_fetched(&tenant)))
    }

    fn result(&self, cx: &Context, wanted: &Wanted) -> String {
        let told = || -> Result<String, StepError> {
            let setup = cx.setup()?;
            let jail = jail(cx.host, &tenant::id(setup)?)?;
            let place = format!("{} at {}", jail.root, jail.address);
            if !tenant::has_vault(cx.host, setup) {
                return Ok(place);
            }
            let names = tenant::secret_names(cx.host, setup);
            Ok(format!("{place}; from the vault: {}", names.join(", ")))
        };
        told().unwrap_or_else(|_| wanted.describe())
    }
}

pub(super) struct Secrets;

impl Step for Secrets {
    fn name(&self) -> &'static str {
        "tenant-secrets"
    }

    fn title(&self) -> &'static str {
        "Tenant's secrets"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["adoption", "provision"]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        if tenant::has_vault(cx.host, setup) {
            // With a vault in the seed itself its check has told so.
            for (name, _) in setup.provider_keys().iter().filter(|_| !setup.has_vault()) {
                cx.warn(format!(
                    "{name} is not used: this host has a vault, and the assistant's keys come from the collection there"
                ));
            }
            return Ok(Wanted::Nothing("they come from the vault".into()));
        }
        let keys = Keys::of(cx)?;
        let env = cx.host.paths().tenant_env(&tenant::id(setup)?);
        for name in &keys.kept {
            cx.warn(format!(
                "{name}: {env} keeps what it has; setup.txt asks for another, which is not used. To use it, write it \
                 into that file (with {}) and restart colibri-daemon",
                cx.host.habits().become_root
            ));
        }
        Ok(Wanted::Work(format!("{env} has {}", keys.names())))
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        let here = cx.host.tenant_secrets(&tenant::id(cx.setup()?)?)?;
        Ok(Keys::of(cx)?.are_in(here.as_deref().unwrap_or_default()))
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        let id = tenant::id(cx.setup()?)?;
        cx.host.write_tenant_secrets(&id, &Keys::of(cx)?.wanted)?;
        // An agent that runs has the old ones.
        cx.environment_changed.set(true);
        Ok(())
    }
}

/// The keys of model providers that a tenant without a vault should have.
struct Keys {
    wanted: Vec<(String, SecretString)>,
    /// Names of those that stay although the seed has others.
    kept: Vec<String>,
}

impl Keys {
    /// What the tenant has comes first, then what a host that was set up before there were tenants has in
    /// `provider.env`, and then the seed.
    fn of(cx: &Context) -> Result<Self, StepError> {
        let setup = cx.setup()?;
        let adoption = cx.intake.adoption().ok_or(StepError::NoSetup)?;
        let mut here = cx
            .host
            .tenant_secrets(&tenant::id(setup)?)?
            .unwrap_or_default();
        if !adoption.is_fresh() && Environment::of(cx)?.agent != Agent::IsOutside {
            let path = cx.host.paths().provider_env;
            let on_host = cx.host.read(Path::new(path))?.unwrap_or_default();
            here.extend(environment::read(&String::from_utf8_lossy(&on_host)));
        }
        let (mut wanted, mut kept) = (Vec::new(), Vec::new());
        for key in Provider::ALL.iter().map(|provider| provider.key()) {
            let name = key.name();
            let has = here
                .iter()
                .find(|(held, value)| held == name && !value.expose_secret().is_empty())
                .map(|(_, value)| value);
            let value = match (has, setup.secret(key)) {
                (Some(has), Some(typed)) if has.expose_secret() != typed.expose_secret() => {
                    if adoption.is_fresh() || adoption.may_replace(name, has.expose_secret()) {
                        typed
                    } else {
                        kept.push(name.to_owned());
                        has
                    }
                }
                (Some(value), _) | (None, Some(value)) => value,
                (None, None) => continue,
            };
            wanted.push((name.to_owned(), value.clone()));
        }
        Ok(Self { wanted, kept })
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.wanted.iter().map(|(name, _)| &**name).collect();
        names.join(", ")
    }

    fn are_in(&self, here: &[(String, SecretString)]) -> bool {
        self.wanted.iter().all(|(name, value)| {
            here.iter()
                .any(|(held, is)| held == name && is.expose_secret() == value.expose_secret())
        })
    }
}

/// The tenant's jail, as the helper has it.
fn jail(host: &dyn Host, id: &TenantId) -> Result<JailInfo, StepError> {
    match host.ask_helper(&Request::ListJails(NoFields {}), QUICK)? {
        Reply::Jails { jails } => jails
            .into_iter()
            .find(|jail| jail.tenant == *id)
            .ok_or_else(|| HostError::Refused(format!("`{id}` has no jail")).into()),
        _ => Err(strange("list-jails").into()),
    }
}
