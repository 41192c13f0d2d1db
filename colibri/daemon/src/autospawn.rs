//! The agent that comes with the daemon, as `COLIBRI_AUTOSPAWN` says.
//!
//! Without the key of a model provider an agent that talks to a model ends as soon as it is started
//! (`pi`: "No models available"), again and again. So it is not started, which the log says once and
//! `service-check` for as long as the agent is not there. One that runs in a tenant's jail has that tenant's
//! keys, and is started by [`sweep`](crate::tenants::sweep).

use std::path::Path;

use colibri_protocol::variable::{AUTOSPAWN, PROVIDER_KEYS};
use colibri_protocol::{Runtime, Snapshot, SpawnAgent, place};

use crate::config::Config;
use crate::server::Service;
use crate::tenants;

/// Where `pi` finds a provider without any variable, below its home: what its `/login` has left, and
/// providers of the operator's own.
const OWN_PROVIDERS: [&str; 2] = [".pi/agent/auth.json", ".pi/agent/models.json"];

/// The size of such a file with nothing in it: `pi` makes an `auth.json` of `{}` at each start.
const EMPTY: u64 = "{}\n".len() as u64;

/// Starts it. Without it the board works all the same.
pub(crate) async fn start(service: &Service) {
    let Some(spawn) = service.config.autospawn.clone() else {
        return;
    };
    let name = spawn.name.clone();
    if let Some(tenant) = &spawn.tenant {
        // As soon as its tenant has its jail and its secrets, which may be now or later.
        let why = format!("it waits for its tenant {tenant}, which `list-tenants` shows");
        // Fails when it was set before; this and the other below are the places that do.
        let _ = service.not_started.set(why);
        return;
    }
    let outcome = if lacks_key(&service.config, &spawn) {
        Err(no_key())
    } else {
        let mode = service.cost_mode().mode;
        let started = tenants::spawn(spawn, "daemon", mode, service).await;
        started.map_err(|error| error.to_string())
    };
    match outcome {
        Ok(_) => tracing::info!(agent = %name, "started, as {AUTOSPAWN} says"),
        Err(why) => {
            tracing::error!(agent = %name, "not started, as {AUTOSPAWN} says: {why}");
            // As above.
            let _ = service.not_started.set(why);
        }
    }
}

/// What is to be told as long as it is not among these panes: that it was not started, and why.
pub(crate) fn missing(service: &Service, among: &Snapshot) -> Option<String> {
    let spawn = service.config.autospawn.as_ref()?;
    let why = service.not_started.get()?;
    let is_there = among
        .panes
        .iter()
        .any(|pane| pane.agent == spawn.name.as_str());
    (!is_there).then(|| {
        format!(
            "agent {} was not started with the daemon: {why}",
            spawn.name
        )
    })
}

/// Whether it talks to a model, and has nothing by which a provider would let it.
fn lacks_key(config: &Config, spawn: &SpawnAgent) -> bool {
    let home = config
        .data_dir
        .join(place::AGENTS)
        .join(spawn.name.as_str());
    match spawn.runtime {
        _ if config.has_provider_key => false,
        Runtime::Pi => !has_own_provider(&home),
        Runtime::Zot => true,
        Runtime::Local => false,
    }
}

/// Whether there is more than nothing in one of [`OWN_PROVIDERS`]. What it is, `pi` alone knows.
fn has_own_provider(home: &Path) -> bool {
    OWN_PROVIDERS
        .iter()
        .filter_map(|file| std::fs::metadata(home.join(file)).ok())
        .any(|file| file.len() > EMPTY)
}

fn no_key() -> String {
    format!(
        "no key of a model provider is in the daemon's environment ({}); put one into provider.env, \
         then `{}`",
        PROVIDER_KEYS.join(", "),
        place::RESTART_SERVICE
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn lacks(data: &Path, program: &str, variables: &[(&str, &str)]) -> bool {
        let given = [
            ("COLIBRI_HOST", "h"),
            ("COLIBRI_DAEMON_DATA_DIR", data.to_str().unwrap()),
            ("COLIBRI_AUTOSPAWN", "on"),
            ("COLIBRI_AUTOSPAWN_BINARY", program),
        ];
        let variables = given
            .iter()
            .chain(variables)
            .map(|(name, value)| (name.into(), value.into()));
        let config = Config::resolve(Flags::default(), variables, &mut Vec::new()).unwrap();
        let spawn = config.autospawn.clone().unwrap();
        lacks_key(&config, &spawn)
    }

    #[test]
    fn an_agent_that_talks_to_a_model_needs_a_key_or_a_provider_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        for (program, needs) in [
            ("/bin/pi", true),
            ("/bin/zot", true),
            ("/bin/colibri-test-agent", false),
        ] {
            assert_eq!(lacks(dir.path(), program, &[]), needs, "{program}");
            for key in PROVIDER_KEYS {
                assert!(!lacks(dir.path(), program, &[(key, "sk-1")]), "{program}");
            }
        }
        for file in OWN_PROVIDERS {
            let file = dir.path().join("agents/pi").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            for (content, needs) in [("{}", true), (r#"{"own":{"type":"api_key"}}"#, false)] {
                std::fs::write(&file, content).unwrap();
                let found = lacks(dir.path(), "/bin/pi", &[]);
                assert_eq!(found, needs, "{}: {content}", file.display());
            }
            std::fs::remove_file(&file).unwrap();
        }
        assert!(no_key().contains("OPENROUTER_API_KEY"));
    }
}
