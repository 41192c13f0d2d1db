//! `colibri-vault`: fetches tenants' secrets out of the vault by hand, and looks after them.

mod args;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use colibri_protocol::TenantId;
use colibri_vault::backup::{Contents, Recipient, root_of};
use colibri_vault::{Bootstrap, Target, Vault, VaultError, names, write_env};
use serde_json::{Value, json};

use crate::args::{Args, Fetch, Verb};

/// Somebody must do something.
const FAILED: u8 = 1;
/// It may work later.
const TRY_AGAIN: u8 = 3;

/// What a verb has to say: to people, and to programs.
struct Said {
    text: String,
    json: Value,
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_ansi(false)
        .without_time()
        .init();
    match run(&args) {
        Ok(said) => {
            use std::io::Write as _;
            let text = if args.json {
                format!("{:#}\n", said.json)
            } else {
                said.text
            };
            // A reader that has seen enough is no error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => failed(&args, &error),
    }
}

fn run(args: &Args) -> Result<Said, VaultError> {
    match &args.verb {
        Verb::Provision(fetch) => provision(args, fetch, false),
        Verb::Rotate(fetch) => provision(args, fetch, true),
        Verb::Check => check(args),
        Verb::Names { tenant, root } => {
            let Some(target) = target(args, tenant, root.as_deref())? else {
                return Ok(no_tenant(tenant));
            };
            let found = names(&target)?;
            let mut text = found.join("\n");
            if !found.is_empty() {
                text.push('\n');
            }
            Ok(Said {
                text,
                json: json!({"tenant": tenant, "names": found}),
            })
        }
        Verb::Backup { file, recipients } => backup(args, file, recipients),
    }
}

fn vault(args: &Args) -> Result<Option<Vault>, VaultError> {
    let bootstrap = Bootstrap::read(&args.bootstrap)?;
    Ok(bootstrap.map(|bootstrap| Vault::new(args.places(), bootstrap)))
}

fn provision(args: &Args, fetch: &Fetch, fresh: bool) -> Result<Said, VaultError> {
    let tenant = &fetch.tenant;
    let Some(vault) = vault(args)? else {
        return Ok(no_vault(args));
    };
    // The place first: a wrong one needs no vault to be told.
    let Some(target) = target(args, tenant, fetch.root.as_deref())? else {
        return Ok(no_tenant(tenant));
    };
    let collection = fetch.collection.as_deref().unwrap_or(tenant.as_str());
    let bucket = vault.fetch(collection, fresh)?;
    let written = write_env(&target, &bucket)?;
    let mut text = format!("{tenant}: {} secrets", bucket.names().len());
    if written.changed {
        for (what, names) in [
            ("new", &written.added),
            ("changed", &written.renewed),
            ("gone", &written.removed),
        ] {
            if !names.is_empty() {
                text.push_str(&format!("; {what}: {}", names.join(", ")));
            }
        }
    } else {
        text.push_str(", as before");
    }
    text.push('\n');
    Ok(Said {
        text,
        json: json!({
            "tenant": tenant, "done": true, "changed": written.changed, "names": bucket.names(),
            "added": written.added, "renewed": written.renewed, "removed": written.removed,
            "collection_id": bucket.collection_id,
        }),
    })
}

fn check(args: &Args) -> Result<Said, VaultError> {
    let Some(vault) = vault(args)? else {
        return Ok(no_vault(args));
    };
    let seen = vault.check()?;
    let mut text = format!(
        "{} is reached; the host's account sees {} collections\n",
        seen.server,
        seen.collections.len()
    );
    for name in &seen.collections {
        text.push_str(&format!("  {name}\n"));
    }
    Ok(Said {
        text,
        json: json!({"done": true, "server": seen.server, "collections": seen.collections}),
    })
}

fn backup(args: &Args, file: &Path, recipients: &[Recipient]) -> Result<Said, VaultError> {
    let config = args.bootstrap.parent().unwrap_or(Path::new("/"));
    let contents = Contents::of_host(config, &args.base)?;
    contents.write(file, recipients)?;
    let names = contents.names();
    Ok(Said {
        text: format!("{}: {}\n", file.display(), names.join(", ")),
        json: json!({"file": file, "contents": names}),
    })
}

/// Where a tenant's `.env` is; nowhere when it has no jail.
fn target(
    args: &Args,
    tenant: &TenantId,
    root: Option<&Path>,
) -> Result<Option<Target>, VaultError> {
    let usual = || root_of(&args.base.join(tenant.as_str()));
    match Target::find(&args.base, &root.map_or_else(usual, Path::to_owned)) {
        Ok(target) => Ok(Some(target)),
        Err(VaultError::NoRoot { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn no_vault(args: &Args) -> Said {
    Said {
        text: format!(
            "Nothing to do: no vault is configured on this host ({} is not there)\n",
            args.bootstrap.display()
        ),
        json: json!({"done": false, "why": "no-vault"}),
    }
}

fn no_tenant(tenant: &TenantId) -> Said {
    Said {
        text: format!("Nothing to do: this host has no jail of a tenant `{tenant}`\n"),
        json: json!({"done": false, "why": "no-tenant", "tenant": tenant}),
    }
}

fn failed(args: &Args, error: &VaultError) -> ExitCode {
    if args.json {
        let said = json!({"error": {
            "kind": error.kind(), "message": error.to_string(), "remedy": error.remedy(),
            "try_again": error.is_worth_retrying(),
            "retry_after_s": error.retry_after().map(|wait| wait.as_secs()),
        }});
        eprintln!("{said:#}");
    } else {
        eprintln!("colibri-vault: {error}\n  {}", error.remedy());
    }
    ExitCode::from(if error.is_worth_retrying() {
        TRY_AGAIN
    } else {
        FAILED
    })
}
