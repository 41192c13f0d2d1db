//! The one file through which the provider's key reaches the daemon.

use std::path::Path;

use colibri_protocol::{switch, variable};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Context, Step, StepError, Wanted};
use crate::adoption::{Adoption, allows_telegram_change};
use crate::environment;
use crate::host::Setting;
use crate::setup::Key;
use crate::setup::schema::OnAdopt;

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
        let setup = cx.setup()?;
        let mut variables = setup.provider_env(cx.intake.profiles().map_err(StepError::Seed)?)?;
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
        if Agent::of(cx, &all)? == Agent::Starts {
            for (name, value) in [
                (variable::AUTOSPAWN, "YES"),
                (variable::AUTOSPAWN_BINARY, variable::AGENT),
            ] {
                // A new name would win over an old one that somebody has set.
                if set(&all, name).is_none() {
                    variables.push((name.to_owned(), value.into()));
                }
            }
        }
        let content = match here {
            Some(here) => {
                let (content, kept) = filled_in(&here, &variables, adoption);
                for name in kept {
                    cx.warn(difference(&name, path, cx.host.habits().become_root));
                }
                content
            }
            None => environment_file(&variables),
        };
        Ok(Wanted::Settings(vec![Setting::SecretFile {
            path,
            content,
        }]))
    }

    fn act(&self, cx: &Context, wanted: &Wanted) -> Result<(), StepError> {
        for setting in wanted.settings() {
            cx.host.apply(setting)?;
        }
        cx.environment_changed.set(true);
        Ok(())
    }

    fn result(&self, cx: &Context, wanted: &Wanted) -> String {
        let variables: Vec<_> = wanted.settings().iter().flat_map(variables_of).collect();
        match Agent::of(cx, &variables) {
            Ok(agent) => format!("{}; {}", wanted.describe(), agent.text()),
            Err(_) => wanted.describe(),
        }
    }
}

/// What a variable is set to, under its name or one of before. An empty value is none.
fn set<'a>(environment: &'a [(String, SecretString)], name: &'static str) -> Option<&'a str> {
    variable::names_of(name).find_map(|wanted| {
        environment
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| value.expose_secret())
            .find(|value| !value.is_empty())
    })
}

fn variables_of(setting: &Setting) -> Vec<(String, SecretString)> {
    match setting {
        Setting::SecretFile { content, .. } => environment::read(content.expose_secret()),
        _ => Vec::new(),
    }
}

/// Whether the daemon brings an agent along. Which arguments it needs is the daemon's to know, which also
/// hands the models on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    Starts,
    IsTurnedOff,
    HasNoKey,
    IsNotHere,
    HasNoNode,
}

impl Agent {
    /// By what the daemon's environment says already, else by what an agent needs.
    fn of(cx: &Context, environment: &[(String, SecretString)]) -> Result<Self, StepError> {
        if let Some(text) = set(environment, variable::AUTOSPAWN) {
            return Ok(match switch(text) {
                Ok(true) => Self::Starts,
                _ => Self::IsTurnedOff,
            });
        }
        let has_key = variable::PROVIDER_KEYS
            .into_iter()
            .any(|key| set(environment, key).is_some());
        // Looked for, not read: Node is a hundred megabytes.
        let is_here = |program: &str| {
            let (folder, name) = program.rsplit_once('/').unwrap_or_default();
            let names = cx.host.list(Path::new(folder))?;
            Ok::<_, StepError>(names.iter().any(|there| there == name))
        };
        Ok(if !has_key {
            Self::HasNoKey
        } else if !is_here(variable::AGENT)? {
            Self::IsNotHere
        } else if !is_here(NODE[0])? && !is_here(NODE[1])? {
            // The daemon would start it again and again, and nobody would be told why it ends.
            Self::HasNoNode
        } else {
            Self::Starts
        })
    }

    /// What the report says of it.
    fn text(self) -> String {
        match self {
            Self::Starts => "the assistant starts with Colibri".to_owned(),
            Self::IsTurnedOff => "the assistant is turned off there".to_owned(),
            Self::HasNoKey => {
                "no assistant starts yet: it needs the key of a model provider".to_owned()
            }
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
fn difference(name: &str, path: &str, become_root: &str) -> String {
    let is_telegram =
        Key::from_name(name).is_some_and(|key| key.row().on_adopt == OnAdopt::Consent);
    let how = if is_telegram {
        "To use it, add the line ALLOW_TELEGRAM_CHANGE=yes".to_owned()
    } else {
        format!(
            "To use it, write it into that file (with {become_root}) and restart colibri-daemon"
        )
    };
    format!(
        "{name}: {path} keeps what it has; setup.txt asks for another, which is not used. {how}"
    )
}

/// The file with its blanks filled in, and the names whose value stays although the seed has another. What is there
/// stays as it stands, remarks included.
fn filled_in(
    here: &str,
    wanted: &[(String, SecretString)],
    adoption: &Adoption,
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
            Some((_, new))
                if value.is_empty()
                    || (value != new.expose_secret() && adoption.may_replace(&name, value)) =>
            {
                text.push_str(&assignment(&name, new));
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
        text.push_str(&assignment(name, value));
    }
    (text.into(), kept)
}

/// The text of an environment file that systemd's `EnvironmentFile=` and `sh` read back to the same bytes.
///
/// Both know four characters that a backslash protects inside double quotes (systemd: `SHELL_NEED_ESCAPE` in
/// `src/basic/escape.h`; POSIX shell, 2.2.3): the quote, the backslash, the back quote and the dollar sign.
fn environment_file(variables: &[(String, SecretString)]) -> SecretString {
    let mut text = String::from(
        "# Written by clawdie-firstboot from setup.txt. Once the host is set up, a later setup.txt only adds what is\n\
         # missing here.\n",
    );
    for (name, value) in variables {
        text.push_str(&assignment(name, value));
    }
    text.into()
}

/// One line of it.
fn assignment(name: &str, value: &SecretString) -> String {
    let mut text = format!("{name}=\"");
    for letter in value.expose_secret().chars() {
        if matches!(letter, '"' | '\\' | '`' | '$') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push_str("\"\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_shell_reads_every_value_back_to_the_byte() {
        let values = [
            "plain",
            "",
            " two  spaces ",
            r#"a"b\c`d$e$(f)"#,
            "it's",
            "# no comment",
            "\u{17e}\u{1f426}",
            r"\",
        ];
        for value in values {
            let text = environment_file(&[("KEY".into(), value.into())]);
            let mut shell = Command::new("sh")
                .args(["-c", ". /dev/stdin; printf %s \"$KEY\""])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a shell");
            std::io::Write::write_all(
                &mut shell.stdin.take().expect("piped"),
                text.expose_secret().as_bytes(),
            )
            .expect("written");
            let output = shell.wait_with_output().expect("ended");
            assert_eq!(String::from_utf8_lossy(&output.stdout), value);
        }
    }

    /// `parse_env_file_internal` of systemd 257 (`src/basic/env-file.c`), the states that our files reach.
    fn as_systemd_reads(text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(first) = letters.next() {
            if first == '#' {
                for letter in letters.by_ref() {
                    if letter == '\n' {
                        break;
                    }
                }
                continue;
            }
            let mut name = String::from(first);
            for letter in letters.by_ref() {
                if letter == '=' {
                    break;
                }
                name.push(letter);
            }
            assert_eq!(letters.next(), Some('"'), "every value is quoted");
            let mut value = String::new();
            while let Some(letter) = letters.next() {
                match letter {
                    '"' => break,
                    '\\' => match letters.next() {
                        Some(escaped) if "\"\\`$".contains(escaped) => value.push(escaped),
                        Some(other) => value.extend(['\\', other]),
                        None => value.push('\\'),
                    },
                    other => value.push(other),
                }
            }
            assert_eq!(letters.next(), Some('\n'));
            found.push((name, value));
        }
        found
    }

    #[test]
    fn systemd_reads_every_value_back_to_the_byte() {
        let values = [
            "",
            r#"a"b\c`d$e"#,
            r"\n is two letters",
            "é # x",
            r"\\",
            "'",
        ];
        let variables: Vec<(String, SecretString)> = values
            .iter()
            .enumerate()
            .map(|(at, value)| (format!("K{at}"), (*value).into()))
            .collect();
        let read = as_systemd_reads(environment_file(&variables).expose_secret());
        let wanted: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(at, value)| (format!("K{at}"), (*value).to_owned()))
            .collect();
        assert_eq!(read, wanted);
    }
}
