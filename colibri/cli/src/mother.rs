//! `colibri mother`: what an agent does before anything else, each step of which can be done again: who it
//! is, whether it has a key, that it is registered, and that it lives.

use colibri_protocol::client::{Client, ClientError};
use colibri_protocol::{
    Agent, AgentPage, Capability, Command, ErrorKind, Heartbeat, Name, Paging, RegisterAgent,
    ReplyError, Status, variable,
};
use serde::{Deserialize, Serialize};

/// What was found out and done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mother {
    /// Who it is on the board, as of its sign of life.
    pub(crate) agent: Agent,
    /// Whether the daemon runs it, and so has registered it.
    pub(crate) is_run_by_daemon: bool,
    /// The system and the kind of processor.
    pub(crate) system: String,
    /// The names of the providers' keys that it has, never their values.
    pub(crate) keys: Vec<String>,
}

/// Goes through all steps. An agent that the daemon runs is who its socket says; anybody else registers under
/// this name, or the host's.
///
/// # Errors
/// The daemon's, or that no key is there.
pub(crate) fn rise(client: &Client, name: Option<Name>) -> Result<Mother, ClientError> {
    let keys = keys(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if keys.is_empty() {
        let text = format!(
            "no key of a model provider is in the environment ({}); in a jail `colibri rotate TENANT` \
             fetches the tenant's, on a host it stands in provider.env",
            variable::PROVIDER_KEYS.join(", ")
        );
        let error = ReplyError::new(ErrorKind::Conflict, text);
        return Err(ClientError::Refused { error });
    }
    let (agent_id, is_run_by_daemon) = match client.status() {
        Ok(status) => (register(client, name, &status)?, false),
        Err(ClientError::Refused { error }) if error.kind == ErrorKind::Forbidden => {
            (itself(client)?, true)
        }
        Err(error) => return Err(error),
    };
    let beat = Heartbeat {
        agent_id,
        host: None,
    };
    Ok(Mother {
        agent: client.ask(Command::Heartbeat(beat))?,
        is_run_by_daemon,
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        keys,
    })
}

fn keys(is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let all = variable::PROVIDER_KEYS.into_iter();
    all.filter(|name| is_set(name)).map(str::to_owned).collect()
}

fn register(
    client: &Client,
    name: Option<Name>,
    status: &Status,
) -> Result<uuid::Uuid, ClientError> {
    let of_host = || status.host.parse::<Name>();
    let name = name.map_or_else(of_host, Ok).map_err(|problem| {
        let text = format!("{problem}; give it a name with --name");
        ClientError::Refused {
            error: ReplyError::new(ErrorKind::BadRequest, text),
        }
    })?;
    let new = RegisterAgent {
        name,
        capabilities: Capability::usual().collect(),
        host: None,
        slots: None,
    };
    let agent: Agent = client.ask(Command::RegisterAgent(new))?;
    Ok(agent.id)
}

/// Over an agent's own socket the only agent is itself.
fn itself(client: &Client) -> Result<uuid::Uuid, ClientError> {
    let page: AgentPage = client.ask(Command::ListAgents(Paging::default()))?;
    let own = page.agents.first().map(|agent| agent.id);
    own.ok_or_else(|| {
        let text = "the daemon does not know this agent any more";
        ClientError::Refused {
            error: ReplyError::new(ErrorKind::NotFound, text),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_names() {
        assert_eq!(keys(|name| name == "OPENAI_API_KEY"), ["OPENAI_API_KEY"]);
        assert!(keys(|name| name == "PATH").is_empty());
    }
}
