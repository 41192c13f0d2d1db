//! Other people's programs that the build calls, and what to say when one is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::error::{Error, Result};

/// A program we call and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Its name on `PATH`.
    pub program: &'static str,
    /// The package that brings it, on Debian and its relatives.
    pub package: &'static str,
    /// What it is called for.
    pub why: &'static str,
}

impl Tool {
    /// Where it is on this machine; `/usr/sbin` and `/sbin` count although users often lack them, and
    /// so does the folder that `cargo install` fills.
    pub fn find(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let home = |name: &str, below: &str| {
            std::env::var_os(name).map(|home| PathBuf::from(home).join(below))
        };
        let cargo = home("CARGO_HOME", "bin").or_else(|| home("HOME", ".cargo/bin"));
        std::env::split_paths(&path)
            .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
            .chain(cargo)
            .map(|folder| folder.join(self.program))
            .find(|candidate| is_executable(candidate))
    }

    /// A command that runs it, in the C locale so that its texts are the ones we know.
    ///
    /// # Errors
    /// When it is not on this machine.
    pub fn command(&self) -> Result<Command> {
        let path = self.find().ok_or_else(|| {
            Error::missing(format!(
                "`{}` is not on this machine: {}",
                self.program, self.why
            ))
            .hint(format!(
                "run `cargo xtask doctor --install-tools`, or install the package `{}`",
                self.package
            ))
        })?;
        let mut command = Command::new(path);
        command.env("LC_ALL", "C");
        Ok(command)
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started or ends with another code than 0; the message quotes the end of what it
/// said.
pub fn run(command: &mut Command) -> Result<Output> {
    run_and_quote(command, tail)
}

/// The same for a program that says the reason elsewhere: `quote` picks it out of its complaints.
///
/// # Errors
/// As [`run`].
pub fn run_and_quote(command: &mut Command, quote: impl FnOnce(&str) -> String) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| Error::failed(format!("`{name}` cannot be started")).caused_by(error))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(
        Error::failed(format!("`{name}` failed ({})", output.status))
            .caused_by(quote(&String::from_utf8_lossy(&output.stderr))),
    )
}

/// The last lines of a program's output: where the reason stands.
pub fn tail(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
