//! The one file through which the daemon gets its settings. Keys of model providers are not in it: they lie in the
//! tenant's `.env`, from where the assistant has them, and go from here once they are there.

use std::path::Path;

use colibri_host::AgentProgram;
use colibri_protocol::{switch, variable};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Context, Step, StepError, Wanted};
use crate::adoption::{Adoption, allows_telegram_change};
use crate::environment;
use crate::host::Setting;
use crate::setup::Key;
use crate::setup::schema::OnAdopt;
use crate::tenant;

/// Where the agent's first line, `env node`, finds Node: a package of FreeBSD's or an admin's own, and Debian's.
const NODE: [&str; 2] = ["/usr/local/bin/node", "/usr/bin/node"];

pub(super) struct ProviderEnv;

impl Step for ProviderEnv {
    fn name(&self) -> &'static str {
        "provider-env"
    }

    fn title(&self) -> &'static str {
        "Provider environment"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let environment = Environment::of(cx)?;
        for name in &environment.kept {
            cx.warn(difference(name, cx));
        }
        Ok(Wanted::Settings(vec![environment.setting]))
    }

    fn act(&self, cx: &Context, wanted: &Wanted) -> Result<(), StepError> {
        for setting in wanted.settings() {
            cx.host.apply(setting)?;
        }
        cx.environment_changed.set(true);
        Ok(())
    }
}

/// `provider.env` as it should be by what the seed says and what the tenant has by now.
pub(super) struct Environment {
    /// The file.
    pub(super) setting: Setting,
    /// What comes of the assistant with it.
    pub(super) agent: Agent,
    /// Names of variables that stay although the seed has another value.
    kept: Vec<String>,
}

impl Environment {
    pub(super) fn of(cx: &Context) -> Result<Self, StepError> {
        let setup = cx.setup()?;
        let profiles = cx.intake.profiles().map_err(StepError::Seed)?;
        let mut variables = setup.provider_env(profiles, &tenant::held(cx.host, setup))?;
        let path = cx.host.paths().provider_env;
        let adoption = cx.intake.adoption().ok_or(StepError::NoSetup)?;
        // What stays.
        let here = cx
            .host
            .read(Path::new(path))?
            .filter(|_| !adoption.is_fresh())
            .map(|here| String::from_utf8_lossy(&here).into_owned());
        let mut all = variables.clone();
        all.extend(here.as_deref().map(environment::read).unwrap_or_default());
        let in_jail = tenant::secret_names(cx.host, setup);
        let agent = Agent::of(cx, &all, &in_jail)?;
        if agent == Agent::Starts {
            for (name, value) in [
                (variable::AUTOSPAWN, "YES"),
                (variable::AUTOSPAWN_BINARY, variable::AGENT),
                (variable::AUTOSPAWN_TENANT, setup.tenant_id()),
            ] {
                // A new name would win over an old one that somebody has set.
                if set(&all, name).is_none() {
                    variables.push((name.to_owned(), value.into()));
                }
            }
        }
        let (content, kept) = match here {
            Some(here) => {
                // An agent outside of the jail has its key from here and from nowhere else.
                let moved = |name: &str| {
                    agent != Agent::IsOutside
                        && variable::PROVIDER_KEYS.contains(&name)
                        && in_jail.iter().any(|held| held == name)
                };
                filled_in(&here, &variables, adoption, moved)
            }
            None => (environment::file(&variables), Vec::new()),
        };
        Ok(Self {
            setting: Setting::SecretFile { path, content },
            agent,
            kept,
        })
    }
}

/// What a variable is set to, under its name or one of before. An empty value is none.
pub(super) fn set<'a>(
    environment: &'a [(String, SecretString)],
    name: &'static str,
) -> Option<&'a str> {
    variable::names_of(name).find_map(|wanted| {
        environment
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| value.expose_secret())
            .find(|value| !value.is_empty())
    })
}

/// Whether the daemon brings an agent along. Which arguments it needs is the daemon's to know, which also
/// hands the models on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agent {
    /// In the tenant's jail.
    Starts,
    /// Somebody's own program, which no jail starts: it stays where it is.
    IsOutside,
    IsTurnedOff,
    HasNoKey,
    IsNotHere,
    HasNoNode,
}

impl Agent {
    /// By what the daemon's environment says already, else by what an agent needs.
    fn of(
        cx: &Context,
        environment: &[(String, SecretString)],
        in_jail: &[String],
    ) -> Result<Self, StepError> {
        let switched = set(environment, variable::AUTOSPAWN).map(switch);
        if switched.as_ref().is_some_and(|is| !matches!(is, Ok(true))) {
            return Ok(Self::IsTurnedOff);
        }
        let program = set(environment, variable::AUTOSPAWN_BINARY).unwrap_or(variable::AGENT);
        if AgentProgram::at(Path::new(program)).is_none() {
            return Ok(Self::IsOutside);
        }
        let has_key = variable::PROVIDER_KEYS
            .into_iter()
            .any(|key| in_jail.iter().any(|name| name == key));
        if !has_key {
            return Ok(Self::HasNoKey);
        }
        if switched.is_some() {
            return Ok(Self::Starts);
        }
        // Looked for, not read: Node is a hundred megabytes.
        let is_here = |program: &str| {
            let (folder, name) = program.rsplit_once('/').unwrap_or_default();
            let names = cx.host.list(Path::new(folder))?;
            Ok::<_, StepError>(names.iter().any(|there| there == name))
        };
        Ok(if !is_here(variable::AGENT)? {
            Self::IsNotHere
        } else if !is_here(NODE[0])? && !is_here(NODE[1])? {
            // The daemon would start it again and again, and nobody would be told why it ends.
            Self::HasNoNode
        } else {
            Self::Starts
        })
    }

    /// What the report says of it.
    pub(super) fn text(self, tenant: &str) -> String {
        match self {
            Self::Starts => format!("the assistant starts with Colibri, in the jail of `{tenant}`"),
            Self::IsOutside => format!(
                "the assistant is a program of your own, and runs outside of the jail: {} in provider.env names it",
                variable::AUTOSPAWN_BINARY
            ),
            Self::IsTurnedOff => "the assistant is turned off in provider.env".to_owned(),
            Self::HasNoKey => format!(
                "no assistant starts yet: `{tenant}` has no key of a model provider among its secrets ({})",
                variable::PROVIDER_KEYS.join(", ")
            ),
            Self::IsNotHere => format!(
                "no assistant starts yet: this host has no {}",
                variable::AGENT
            ),
            Self::HasNoNode => format!(
                "no assistant starts yet: it runs on Node, and this host has neither {} nor {}",
                NODE[0], NODE[1]
            ),
        }
    }
}

/// Tells of a variable that stays, without its value.
fn difference(name: &str, cx: &Context) -> String {
    let path = cx.host.paths().provider_env;
    let is_telegram =
        Key::from_name(name).is_some_and(|key| key.row().on_adopt == OnAdopt::Consent);
    let how = if is_telegram {
        "To use it, add the line ALLOW_TELEGRAM_CHANGE=yes".to_owned()
    } else {
        format!(
            "To use it, write it into that file (with {}) and restart colibri-daemon",
            cx.host.habits().become_root
        )
    };
    format!(
        "{name}: {path} keeps what it has; setup.txt asks for another, which is not used. {how}"
    )
}

/// The file with its blanks filled in, and the names whose value stays although the seed has another. What is there
/// stays as it stands, remarks included, but for what has `moved` elsewhere.
fn filled_in(
    here: &str,
    wanted: &[(String, SecretString)],
    adoption: &Adoption,
    moved: impl Fn(&str) -> bool,
) -> (SecretString, Vec<String>) {
    let setup = &adoption.setup;
    let telegram_goes = setup.telegram_off() && allows_telegram_change(setup);
    let (mut text, mut seen, mut kept) = (String::new(), Vec::new(), Vec::new());
    for line in here.lines() {
        let assigned = environment::read(line).into_iter().next();
        let Some((name, value)) = assigned else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let value = value.expose_secret();
        match wanted.iter().find(|(wanted, _)| *wanted == name) {
            _ if moved(&name) => {}
            Some((_, new))
                if value.is_empty()
                    || (value != new.expose_secret() && adoption.may_replace(&name, value)) =>
            {
                text.push_str(&environment::assignment(&name, new));
            }
            None if telegram_goes
                && [Key::TelegramBotToken, Key::TelegramAdminId]
                    .iter()
                    .any(|key| key.name() == name) => {}
            new => {
                // Of variables that are no settings the seed says nothing.
                let is_setting = Key::from_name(&name).is_some();
                if is_setting && new.is_some_and(|(_, new)| new.expose_secret() != value) {
                    kept.push(name.clone());
                }
                text.push_str(line);
                text.push('\n');
            }
        }
        seen.push(name);
    }
    for (name, value) in wanted.iter().filter(|(name, _)| !seen.contains(name)) {
        text.push_str(&environment::assignment(name, value));
    }
    (text.into(), kept)
}
