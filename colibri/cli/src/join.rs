//! `colibri join`: a tenant from nothing to an agent that runs in its jail, as one step. Each part of it can
//! be done again, so joining again goes on where it ended.

use anstream::eprintln;
use colibri_protocol::client::{Client, ClientError};
use colibri_protocol::{
    Command, ErrorKind, Name, NoFields, OneTenant, Paging, PaneSnapshot, Snapshot, SpawnAgent,
    Tenant, TenantId, TenantPage,
};
use serde::{Deserialize, Serialize};

use crate::args::Join;

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// The tenant.
    pub(crate) tenant: Tenant,
    /// Its agent.
    pub(crate) pane: PaneSnapshot,
}

/// Joins, and says on standard error how far it is, unless it is to be quiet.
///
/// # Errors
/// What the daemon refused; what was done before stays done.
pub(crate) fn join(client: &Client, join: Join, is_quiet: bool) -> Result<Joined, ClientError> {
    let say = |text: String| {
        if !is_quiet {
            eprintln!("{text}");
        }
    };
    let refused = |error| ClientError::Refused { error };
    let (new, spawn) = join.requests().map_err(refused)?;
    let tenant_id = new.tenant_id.clone();
    let tenant: Tenant = client.ask(Command::RegisterTenant(new))?;
    say(format!(
        "1/3 registered: {tenant_id}, number {}",
        tenant.number
    ));
    say("    making its jail and fetching its secrets, which may take a minute".to_owned());
    let which = OneTenant {
        tenant_id: tenant_id.clone(),
    };
    let tenant: Tenant = client.ask(Command::ProvisionTenant(which))?;
    let jail = tenant.jail_root.as_deref().unwrap_or("its jail");
    let secrets = match &tenant.collection {
        Some(name) => format!("secrets from the collection `{name}`"),
        None => "no secrets from a vault".to_owned(),
    };
    say(format!("2/3 provisioned: {jail}, {secrets}"));
    let pane = start(client, spawn)?;
    let tenant = find(client, &tenant_id)?.unwrap_or(tenant);
    say(format!(
        "3/3 started: agent {} in the jail of {tenant_id}",
        pane.agent
    ));
    Ok(Joined { tenant, pane })
}

/// Starts the agent, unless it runs already: when a tenant is provisioned again, its agents are started.
fn start(client: &Client, spawn: SpawnAgent) -> Result<PaneSnapshot, ClientError> {
    let name = spawn.name.clone();
    match client.ask(Command::SpawnAgent(spawn)) {
        Err(ClientError::Refused { error }) if error.kind == ErrorKind::Conflict => {
            running(client, &name)?.ok_or(ClientError::Refused { error })
        }
        other => other,
    }
}

fn running(client: &Client, name: &Name) -> Result<Option<PaneSnapshot>, ClientError> {
    let snapshot: Snapshot = client.ask(Command::Snapshot(NoFields {}))?;
    let mut panes = snapshot.panes.into_iter();
    Ok(panes.find(|pane| pane.agent == name.as_str() && pane.pid.is_some()))
}

fn find(client: &Client, id: &TenantId) -> Result<Option<Tenant>, ClientError> {
    let mut after = None;
    loop {
        let paging = Paging { limit: None, after };
        let page: TenantPage = client.ask(Command::ListTenants(paging))?;
        if let Some(found) = page
            .tenants
            .into_iter()
            .find(|tenant| tenant.tenant_id == *id)
        {
            return Ok(Some(found));
        }
        after = page.next;
        if after.is_none() {
            return Ok(None);
        }
    }
}
