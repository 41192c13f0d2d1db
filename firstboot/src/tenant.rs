//! The tenant in whose jail the assistant lives: which secrets it has, and where it stands by the daemon's account.

use std::time::Duration;

use colibri_protocol::{
    Command, NoFields, OneTenant, Paging, PaneSnapshot, Snapshot, Tenant, TenantId, TenantPage,
    TenantRotation, TenantStatus,
};
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;

use crate::host::{Host, HostError};
use crate::setup::{Provider, Setup};

/// How long an answer that needs no work may take.
const QUICK: Duration = Duration::from_secs(10);

/// The tenant that the settings name.
///
/// # Errors
/// The id breaks the daemon's rule, which the check of `setup.txt` does not let through.
pub fn id(setup: &Setup) -> Result<TenantId, HostError> {
    let id = setup.tenant_id();
    id.parse().map_err(HostError::Refused)
}

/// Whether the tenant's secrets come from a vault: by the seed, or by what the daemon knows from before.
pub fn has_vault(host: &dyn Host, setup: &Setup) -> bool {
    let has_collection = || {
        let tenant = find(host, &id(setup).ok()?).ok()??;
        tenant.collection
    };
    setup.has_vault() || has_collection().is_some()
}

/// The names of the secrets in the tenant's `.env` that have a value, in the order of the file. None when it cannot be
/// read: the file is the agent's, and nothing that the agent does to it may stop the rest of the host.
pub fn secret_names(host: &dyn Host, setup: &Setup) -> Vec<String> {
    let secrets = id(setup).and_then(|id| host.tenant_secrets(&id));
    let secrets = secrets.unwrap_or_else(|error| {
        tracing::warn!("the tenant's secrets cannot be read: {error}");
        None
    });
    secrets
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, value)| !value.expose_secret().is_empty())
        .map(|(name, _)| name)
        .collect()
}

/// The providers that the tenant has keys of, or will have once those of the seed are in its `.env`; in order of
/// preference.
pub fn held(host: &dyn Host, setup: &Setup) -> Vec<Provider> {
    let typed: Vec<Provider> = setup.providers().collect();
    if !typed.is_empty() && !setup.has_vault() {
        return typed;
    }
    let names = secret_names(host, setup);
    let has = |provider: &Provider| names.iter().any(|name| name == provider.key().name());
    Provider::ALL.iter().copied().filter(has).collect()
}

fn ask<T: DeserializeOwned>(
    host: &dyn Host,
    command: Command,
    limit: Duration,
) -> Result<T, HostError> {
    let what = format!("the answer of colibri-daemon to `{}`", command.name());
    let data = host.ask_colibri(command, limit)?;
    serde_json::from_value(data).map_err(|error| HostError::Unexpected {
        what,
        detail: error.to_string(),
    })
}

/// Asks the daemon for something that changes the tenant; the tenant as it is afterwards.
///
/// # Errors
/// The daemon refuses, or does not answer within `limit`.
pub fn change(host: &dyn Host, command: Command, limit: Duration) -> Result<Tenant, HostError> {
    ask(host, command, limit)
}

/// Has the tenant's secrets fetched anew; agents that run are started anew when they are others than before.
///
/// # Errors
/// As [`change`].
pub fn rotate(host: &dyn Host, tenant: OneTenant, limit: Duration) -> Result<(), HostError> {
    ask::<TenantRotation>(host, Command::RotateTenant(tenant), limit).map(drop)
}

/// Where the tenant stands; `None` when the daemon does not know it.
///
/// # Errors
/// The daemon does not answer.
pub fn find(host: &dyn Host, id: &TenantId) -> Result<Option<Tenant>, HostError> {
    let mut paging = Paging::default();
    loop {
        let page: TenantPage = ask(host, Command::ListTenants(paging), QUICK)?;
        if let Some(tenant) = page.tenants.into_iter().find(|one| one.tenant_id == *id) {
            return Ok(Some(tenant));
        }
        if page.next.is_none() {
            return Ok(None);
        }
        paging = Paging {
            after: page.next,
            ..Paging::default()
        };
    }
}

/// What an agent of the tenant is seen doing; `None` when none of them is running.
///
/// # Errors
/// The daemon does not answer.
pub fn running_agent(host: &dyn Host, id: &TenantId) -> Result<Option<PaneSnapshot>, HostError> {
    let Some(tenant) = find(host, id)?.filter(|tenant| tenant.status == TenantStatus::Active)
    else {
        return Ok(None);
    };
    let snapshot: Snapshot = ask(host, Command::Snapshot(NoFields {}), QUICK)?;
    let is_its = |pane: &PaneSnapshot| {
        let mut agents = tenant.agents.iter();
        pane.pid.is_some() && agents.any(|agent| agent.as_str() == pane.agent)
    };
    Ok(snapshot.panes.into_iter().find(is_its))
}
