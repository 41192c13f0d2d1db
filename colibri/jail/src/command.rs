//! Running other people's programs, behind a seam that tests can stand in for.

use std::fmt;
use std::io::{self, Write as _};
use std::process::Stdio;

use crate::{JailError, crash};

/// One program to run, without a shell. Nothing in it is secret, and nothing in it was typed by anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    /// What is written to its standard input.
    pub(crate) input: String,
}

impl Command {
    pub(crate) fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            input: String::new(),
        }
    }

    pub(crate) fn with_input(mut self, input: impl Into<String>) -> Self {
        self.input = input.into();
        self
    }

    /// As one would type it.
    pub(crate) fn line(&self) -> String {
        self.argv.join(" ")
    }
}

/// How a program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Output {
    /// `None` when a signal ended it.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs programs.
pub(crate) trait Programs: Send + Sync + fmt::Debug {
    /// Runs to the end; an error only when the program could not be started.
    fn run(&self, command: &Command) -> io::Result<Output>;

    /// Runs to the end; every other ending than exit 0 is an error that quotes what the program said.
    fn demand(&self, command: &Command) -> Result<Output, JailError> {
        crash::point()?;
        let fault = |status: String, output: &str| JailError::Command {
            command: command.line(),
            status,
            output: last_lines(output),
        };
        let output = match self.run(command) {
            Ok(output) => output,
            Err(error) => return Err(fault(error.to_string(), "")),
        };
        crash::point()?;
        if output.status == Some(0) {
            return Ok(output);
        }
        let said = if output.stderr.trim().is_empty() {
            &output.stdout
        } else {
            &output.stderr
        };
        let status = match output.status {
            Some(code) => format!("exit {code}"),
            None => "killed by a signal".into(),
        };
        Err(fault(status, said))
    }

    /// Runs what may fail, because what it does may be done already; what came of it is looked at afterwards.
    fn attempt(&self, command: &Command) -> Result<(), JailError> {
        match self.demand(command) {
            Ok(_) => Ok(()),
            Err(error @ JailError::Command { .. }) => {
                tracing::debug!(%error, "not done");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// The last three lines in one.
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
pub(crate) struct Really;

impl Programs for Really {
    fn run(&self, command: &Command) -> io::Result<Output> {
        let (program, arguments) = command
            .argv
            .split_first()
            .ok_or_else(|| io::Error::other("an empty command line"))?;
        tracing::debug!(command = command.line(), "run");
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C.UTF-8")
            .stdin(if command.input.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // What we feed fits the pipe, so writing it first cannot deadlock. A program that exits without
            // reading says why through its status.
            match stdin.write_all(command.input.as_bytes()) {
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
    fn programs_are_fed_and_quoted() {
        let fed = Command::new(["cat"]).with_input("link set dev ct1 up\n");
        assert_eq!(Really.demand(&fed).unwrap().stdout, fed.input);
        let bad = Command::new(["sh", "-c", "echo one >&2; echo two >&2; exit 3"]);
        let text = Really.demand(&bad).unwrap_err().to_string();
        assert!(text.ends_with("failed (exit 3): one; two"), "{text}");
        Really.attempt(&bad).unwrap();
        let text = Really
            .demand(&Command::new(["/no/such/program"]))
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("`/no/such/program` failed (No such file"),
            "{text}"
        );
    }
}
