//! The one file through which the provider's key reaches the daemon.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

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
        let variables = setup.provider_env(cx.intake.profiles().map_err(StepError::Seed)?)?;
        let content = environment_file(&variables);
        Ok(Wanted::Settings(vec![Setting::SecretFile {
            path: cx.host.paths().provider_env,
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

    fn result(&self, cx: &Context, _wanted: &Wanted) -> String {
        format!("{}, readable by root only", cx.host.paths().provider_env)
    }
}

/// The text of an environment file that systemd's `EnvironmentFile=` and `sh` read back to the same bytes.
///
/// Both know four characters that a backslash protects inside double quotes (systemd: `SHELL_NEED_ESCAPE` in
/// `src/basic/escape.h`; POSIX shell, 2.2.3): the quote, the backslash, the back quote and the dollar sign.
fn environment_file(variables: &[(String, SecretString)]) -> SecretString {
    let mut text = String::from(
        "# Written by clawdie-firstboot from setup.txt. Changes here are overwritten.\n",
    );
    for (name, value) in variables {
        text.push_str(name);
        text.push_str("=\"");
        for letter in value.expose_secret().chars() {
            if matches!(letter, '"' | '\\' | '`' | '$') {
                text.push('\\');
            }
            text.push(letter);
        }
        text.push_str("\"\n");
    }
    text.into()
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
