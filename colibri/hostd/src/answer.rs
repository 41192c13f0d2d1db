//! Does what is asked.

use colibri_host::{
    Answer, ErrorKind, HostError, HostFacts, JailInfo, Provision, Provisioned, Reply, Request,
    SecretNames,
};
use colibri_jail::{Jail, JailError, JailState};
use colibri_protocol::TenantId;
use colibri_vault::{Class, Target, VaultError};

use crate::server::Service;
use crate::turns::Turn;

/// What `exec-jail` is answered is the business of its connection; everything else is answered here.
pub(crate) fn answer(service: &Service, request: &Request) -> Answer {
    match request {
        Request::CreateJail(of) => {
            let _turn = tenants_turn(service, &of.tenant)?;
            service.doors.make(&of.tenant)?;
            let jail = Jail {
                tenant: of.tenant.clone(),
                number: of.number,
                limits: of.limits,
            };
            service.jails.create(&jail).map_err(jail_error).map(jail_is)
        }
        Request::StartJail(of) => {
            let _turn = tenants_turn(service, &of.tenant)?;
            // A restarted host has none.
            service.doors.make(&of.tenant)?;
            let started = service.jails.start(&of.tenant);
            started.map_err(jail_error).map(jail_is)
        }
        Request::StopJail(of) => {
            let _turn = tenants_turn(service, &of.tenant)?;
            let stopped = service.jails.stop(&of.tenant);
            stopped.map_err(jail_error).map(jail_is)
        }
        Request::DestroyJail(of) => {
            let _turn = tenants_turn(service, &of.tenant)?;
            service.jails.destroy(&of.tenant).map_err(jail_error)?;
            service.doors.remove(&of.tenant)?;
            Ok(Reply::Gone { archive: None })
        }
        Request::ArchiveJail(of) => {
            let _turn = tenants_turn(service, &of.tenant)?;
            let archive = service.jails.archive(&of.tenant).map_err(jail_error)?;
            // Asked again, nobody would know where the archive lies.
            if let Err(error) = service.doors.remove(&of.tenant) {
                tracing::warn!("{error}");
            }
            Ok(Reply::Gone {
                archive: Some(archive.display().to_string()),
            })
        }
        Request::ListJails(_) => {
            let jails = service.jails.list().map_err(jail_error)?;
            Ok(Reply::Jails {
                jails: jails.into_iter().map(info).collect(),
            })
        }
        Request::ExecJail(_) => Err(HostError::new(
            ErrorKind::BadRequest,
            "`exec-jail` is answered over its own connection only",
        )),
        Request::Provision(of) => provision(service, of).map(Reply::Provisioned),
        Request::CheckVault(_) => {
            let _turn = vaults_turn(service)?;
            let seen = service.buckets.check().map_err(vault_error)?;
            let seen = seen.ok_or_else(no_vault)?;
            Ok(Reply::Vault {
                server: seen.server,
                collections: seen.collections,
            })
        }
        Request::ListSecrets(of) => {
            let _turn = tenants_turn(service, &of.tenant)?;
            let target = service.jails.target(&of.tenant).map_err(jail_error)?;
            let names = colibri_vault::names(&vault_target(service, target));
            let names = names.map_err(vault_error)?;
            Ok(Reply::Secrets(SecretNames { names }))
        }
        Request::HostFacts(_) => Ok(Reply::Facts(facts(service))),
    }
}

/// Fetches, and writes what came. The tenant's turn is taken for the writing only: the vault may take minutes, in
/// which its jail can be stopped.
fn provision(service: &Service, of: &Provision) -> Result<Provisioned, HostError> {
    // Before the vault is asked for something that has no place.
    service.jails.target(&of.tenant).map_err(jail_error)?;
    let bucket = {
        let _turn = vaults_turn(service)?;
        let fetched = service.buckets.fetch(&of.collection, of.fresh);
        fetched.map_err(vault_error)?
    };
    let bucket = bucket.ok_or_else(no_vault)?;
    let _turn = tenants_turn(service, &of.tenant)?;
    let target = service.jails.target(&of.tenant).map_err(jail_error)?;
    let written = colibri_vault::write_env(&vault_target(service, target), &bucket);
    let written = written.map_err(vault_error)?;
    Ok(Provisioned {
        changed: written.changed,
        names: bucket.names(),
        collection_id: bucket.collection_id,
    })
}

fn facts(service: &Service) -> HostFacts {
    let release = nix::sys::utsname::uname()
        .map(|names| names.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    HostFacts {
        os: std::env::consts::OS.to_owned(),
        release,
        jails: service.jails.can(),
        vault: service.buckets.are_configured(),
    }
}

/// The turn of whoever changes something of the tenant's.
///
/// # Errors
/// `try-again` when others take too long.
pub(crate) fn tenants_turn<'a>(
    service: &'a Service,
    tenant: &TenantId,
) -> Result<Turn<'a, TenantId>, HostError> {
    let turn = service.tenants.take(tenant, service.limits.turn);
    turn.ok_or_else(|| {
        HostError::new(
            ErrorKind::TryAgain,
            format!("other requests about `{tenant}` are under way for too long, or too many"),
        )
        .with_remedy("nothing was done; try again")
    })
}

fn vaults_turn(service: &Service) -> Result<Turn<'_, ()>, HostError> {
    // Each before us takes a quarter of a minute where all is well.
    let turn = service.vault.take(&(), service.limits.turn * 4);
    turn.ok_or_else(|| {
        HostError::new(
            ErrorKind::TryAgain,
            "the vault is in use for too long, or by too many",
        )
        .with_remedy("nothing was done; try again")
    })
}

/// Where a jail's `.env` lies, as the vault's library has it.
pub(crate) fn vault_target(service: &Service, target: colibri_jail::Target) -> Target {
    Target {
        base: service.base.clone(),
        root: target.root,
        uid: target.uid,
        gid: target.gid,
        home: Target::HOME.into(),
    }
}

fn jail_is(state: JailState) -> Reply {
    Reply::Jail(info(state))
}

fn info(state: JailState) -> JailInfo {
    JailInfo {
        tenant: state.tenant,
        number: state.number,
        limits: state.limits,
        root: state.root.display().to_string(),
        address: state.address,
        running: state.running,
    }
}

fn no_vault() -> HostError {
    HostError::new(
        ErrorKind::VaultNotConfigured,
        "this host has no vault",
    )
    .with_remedy(format!(
        "put VAULT_SERVER, BW_CLIENTID, BW_CLIENTSECRET and BW_PASSWORD into {}, root's and with mode 0600",
        colibri_vault::BOOTSTRAP
    ))
}

/// As who asked is told.
pub(crate) fn jail_error(error: JailError) -> HostError {
    let kind = match &error {
        JailError::NotFound(_) => ErrorKind::NotFound,
        JailError::NotRunning(_)
        | JailError::NumberTaken { .. }
        | JailError::OtherNumber { .. }
        | JailError::Removing(_) => ErrorKind::Conflict,
        JailError::Invalid(_) => ErrorKind::BadRequest,
        _ => ErrorKind::System,
    };
    HostError::new(kind, error.to_string())
}

/// As who asked is told.
pub(crate) fn vault_error(error: VaultError) -> HostError {
    let kind = match (&error, error.class()) {
        (VaultError::NoRoot { .. }, _) => ErrorKind::NotFound,
        (_, Class::TryAgain) => ErrorKind::TryAgain,
        (_, Class::Vault) => ErrorKind::Vault,
        (_, Class::System) => ErrorKind::System,
    };
    HostError::new(kind, error.to_string()).with_remedy(error.remedy())
}
