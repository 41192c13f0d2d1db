//! The assistant's agent, in the tenant's jail: at every start of the daemon, and running now.

use std::path::Path;
use std::time::Duration;

use colibri_protocol::client::ClientError;
use colibri_protocol::{Command, ErrorKind, Name, StopAgent, switch, variable};

use super::provider_env::{Agent, Environment, set};
use super::{Context, Step, StepError, Wanted};
use crate::host::{HostError, Order, Service};
use crate::{environment, tenant};

/// How long an agent may take to end: the daemon gives it ten seconds, and then ends it.
const STOP: Duration = Duration::from_secs(60);

/// An agent that cannot be started has ended by then.
const SETTLES: Duration = Duration::from_secs(2);

pub(super) struct StartAgent;

impl Step for StartAgent {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn title(&self) -> &'static str {
        "Assistant"
    }

    fn needs(&self) -> &'static [&'static str] {
        &[
            "adoption",
            "provider-env",
            "daemon-answers",
            "provision",
            "tenant-secrets",
        ]
    }

    /// With the doubling pauses about two minutes: the daemon starts anew, then the jail, then the agent.
    fn attempts(&self) -> u32 {
        28
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Environment::of(cx)?.setting]))
    }

    fn check(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        Ok(!cx.environment_changed.get() && self.verify(cx, wanted)?)
    }

    fn act(&self, cx: &Context, wanted: &Wanted) -> Result<(), StepError> {
        for setting in wanted.settings() {
            if cx.host.holds(setting)? {
                continue;
            }
            if Environment::of(cx)?.agent == Agent::Starts {
                stop_outside(cx)?;
            }
            cx.host.apply(setting)?;
            cx.environment_changed.set(true);
        }
        if cx.environment_changed.get() {
            cx.host.order(Service::ColibriDaemon, Order::Restart)?;
            cx.environment_changed.set(false);
        }
        if Environment::of(cx)?.agent != Agent::Starts {
            return Ok(());
        }
        let id = tenant::id(cx.setup()?)?;
        if tenant::running_agent(cx.host, &id)?.is_none() {
            return Err(StepError::NoAgent {
                why: why_not(cx),
                log: cx.host.habits().show_daemon_log,
            });
        }
        cx.host.sleep(SETTLES);
        Ok(())
    }

    fn verify(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                return Ok(false);
            }
        }
        let id = tenant::id(cx.setup()?)?;
        Ok(Environment::of(cx)?.agent != Agent::Starts
            || tenant::running_agent(cx.host, &id)?.is_some())
    }

    fn result(&self, cx: &Context, wanted: &Wanted) -> String {
        let told = || -> Result<String, StepError> {
            let id = tenant::id(cx.setup()?)?;
            let agent = Environment::of(cx)?.agent;
            let text = agent.text(id.as_str());
            match tenant::running_agent(cx.host, &id)? {
                Some(pane) if agent == Agent::Starts => {
                    return Ok(format!("`{}` runs; {text}", pane.agent));
                }
                _ if agent == Agent::HasNoKey => cx.warn(text.clone()),
                _ => {}
            }
            Ok(text)
        };
        told().unwrap_or_else(|_| wanted.describe())
    }
}

/// What the daemon says of the tenant, for a report.
fn why_not(cx: &Context) -> String {
    let told = || -> Result<String, StepError> {
        let id = tenant::id(cx.setup()?)?;
        let found = tenant::find(cx.host, &id)?;
        Ok(found.map_or_else(
            || format!("there is no tenant `{id}`"),
            |tenant| match tenant.reason {
                Some(reason) => format!("tenant `{id}` is `{}`: {reason}", tenant.status),
                None => format!("tenant `{id}` is `{}`", tenant.status),
            },
        ))
    };
    told().unwrap_or_else(|error| error.to_string())
}

/// A host that was set up before there were tenants has the assistant outside of any jail, under the same name. Its end
/// comes first: two of them would do each other's work.
fn stop_outside(cx: &Context) -> Result<(), StepError> {
    let here = cx.host.read(Path::new(cx.host.paths().provider_env))?;
    let here = environment::read(&String::from_utf8_lossy(&here.unwrap_or_default()));
    let starts = set(&here, variable::AUTOSPAWN).is_some_and(|text| switch(text) == Ok(true));
    if !starts || set(&here, variable::AUTOSPAWN_TENANT).is_some() {
        return Ok(());
    }
    let program = set(&here, variable::AUTOSPAWN_BINARY).unwrap_or(variable::AGENT);
    let name = Path::new(program).file_name().unwrap_or_default();
    let Ok(agent) = Name::try_from(name.to_string_lossy().into_owned()) else {
        return Ok(());
    };
    let stop = Command::StopAgent(StopAgent { agent });
    match cx.host.ask_colibri(stop, STOP) {
        // It does not run.
        Err(HostError::Daemon(ClientError::Refused { error }))
            if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) =>
        {
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
