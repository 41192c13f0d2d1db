//! Running other people's programs, behind a seam that tests can play transcripts through.

use std::io::{self, Write as _};
use std::process::Stdio;

use secrecy::{ExposeSecret as _, SecretString};

use super::HostError;

/// One program to run, without a shell. Arguments never hold a secret: those go to standard input.
#[derive(Debug, Clone)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// What is written to its standard input.
    pub input: Option<SecretString>,
}

impl Command {
    /// A program with arguments and nothing on standard input.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            input: None,
        }
    }

    /// The same with text on standard input.
    pub fn with_input(mut self, input: SecretString) -> Self {
        self.input = Some(input);
        self
    }

    /// The command line as one would type it, for messages and transcripts.
    pub fn line(&self) -> String {
        self.argv.join(" ")
    }
}

/// How a program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output, lossy UTF-8.
    pub stdout: String,
    /// Standard error, lossy UTF-8.
    pub stderr: String,
}

/// Runs programs.
pub trait Processes {
    /// Runs to the end; an error only when the program could not be started.
    fn run(&self, command: &Command) -> io::Result<Output>;

    /// Runs to the end and turns every other ending than exit 0 into an error that quotes what the program said.
    fn demand(&self, command: &Command) -> Result<Output, HostError> {
        let fault = |status: String, output: &str| HostError::Command {
            command: command.line(),
            status,
            output: last_lines(output),
        };
        match self.run(command) {
            Ok(output) if output.status == Some(0) => Ok(output),
            Ok(output) => {
                let said = if output.stderr.trim().is_empty() {
                    &output.stdout
                } else {
                    &output.stderr
                };
                let status = output.status.map_or_else(
                    || "killed by a signal".into(),
                    |code| format!("exit {code}"),
                );
                Err(fault(status, said))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(fault("program not found".into(), ""))
            }
            Err(error) => Err(fault(error.to_string(), "")),
        }
    }
}

/// The last three lines in one, because a report has one line a step.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// The real thing.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Processes for System {
    fn run(&self, command: &Command) -> io::Result<Output> {
        let (program, arguments) = command
            .argv
            .split_first()
            .ok_or_else(|| io::Error::other("an empty command line"))?;
        tracing::debug!(command = command.line(), "run");
        let mut child = std::process::Command::new(program)
            .args(arguments)
            // systemd gives services no locale and this PATH; a rescue shell may give others, and both must read alike.
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C.UTF-8")
            .stdin(if command.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let (Some(input), Some(mut stdin)) = (&command.input, child.stdin.take()) {
            // The few bytes that we feed fit the pipe, so writing them first cannot deadlock. A program that exits
            // without reading says why through its status.
            match stdin.write_all(input.expose_secret().as_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        let output = child.wait_with_output()?;
        Ok(Output {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_reaches_the_program_and_its_words_come_back() {
        let output = System
            .demand(&Command::new(["cat"]).with_input("a:b\n".into()))
            .expect("cat works");
        assert_eq!(output.stdout, "a:b\n");
    }

    #[test]
    fn a_failure_quotes_the_program_and_not_its_input() {
        let command = Command::new([
            "sh",
            "-c",
            "cat >/dev/null; echo one >&2; echo two >&2; exit 3",
        ])
        .with_input("canary-5531".into());
        let text = System.demand(&command).expect_err("exit 3").to_string();
        assert!(
            text.contains("exit 3") && text.ends_with("one; two"),
            "{text}"
        );
        assert!(!text.contains("canary-5531") && !format!("{command:?}").contains("canary-5531"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let text = System
            .demand(&Command::new(["/no/such/program"]))
            .expect_err("missing")
            .to_string();
        assert_eq!(text, "`/no/such/program` failed (program not found)");
    }
}
