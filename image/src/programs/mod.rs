//! Our own programs, built for the image: stripped, position-independent, the same bytes from every
//! checkout.
//!
//! [`linux`] links them statically with the machine's own compiler, [`freebsd`] for FreeBSD from any
//! system, with what [`cross`] and [`stdlib`] provide. What cargo says is read here for both.

mod cross;
pub mod elf;
pub mod freebsd;
mod linux;
mod remap;
mod seal;
mod stdlib;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::base::{Context, Network};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::progress::Task;
use crate::recipe::{Flavour, Recipe};

/// Built programs by the name of their binary.
pub type Programs = BTreeMap<String, PathBuf>;

/// Builds every program of the recipe with cargo.
///
/// # Errors
/// When a program does not compile or would not run on the flavour, or something to compile with is
/// missing.
pub fn build(recipe: &Recipe, context: &Context<'_>) -> Result<Programs> {
    match recipe.flavour {
        Flavour::Debian => linux::build(recipe, context),
        Flavour::Freebsd => freebsd::build(recipe, context),
    }
}

/// Obtains what [`build`] needs beyond what is on the machine, so that it can work offline.
///
/// # Errors
/// When something cannot be had.
pub fn fetch(recipe: &Recipe, context: &Context<'_>) -> Result<()> {
    match recipe.flavour {
        // The machine's own compiler does.
        Flavour::Debian => Ok(()),
        Flavour::Freebsd => freebsd::fetch(context),
    }
}

/// cargo as the caller runs it.
fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Puts what every build says to cargo behind `command`. `target_dir` is a folder of its own: other
/// flags in the same one would build everything again each time.
fn order(
    command: &mut Command,
    recipe: &Recipe,
    context: &Context<'_>,
    target: &str,
    target_dir: &Path,
) {
    command
        .current_dir(context.root)
        .args([
            "--locked",
            "--profile=dist",
            "--message-format=json-render-diagnostics",
        ])
        .arg(format!("--target={target}"))
        .arg("--target-dir")
        .arg(target_dir)
        // They would take the place of ours.
        .env_remove("RUSTFLAGS")
        .env_remove("CFLAGS");
    if context.network == Network::Offline {
        command.arg("--offline");
    }
    for program in &recipe.programs {
        command.args(["--package", &program.package]);
    }
}

/// Runs cargo and returns the recipe's programs that it built.
fn compile(
    command: &mut Command,
    recipe: &Recipe,
    context: &Context<'_>,
    task: &dyn Task,
) -> Result<Programs> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .or_error(ErrorKind::Missing, || "cargo cannot be started".into())?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let mut built = Programs::new();
    let said = std::thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let mut said = String::new();
            for line in stderr
                .into_iter()
                .flat_map(|err| BufReader::new(err).lines())
                .map_while(Result::ok)
            {
                tracing::debug!(target: "cargo", "{line}");
                task.note(line.trim());
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        for line in stdout
            .into_iter()
            .flat_map(|out| BufReader::new(out).lines())
            .map_while(Result::ok)
        {
            if let Some((name, path)) = executable(&line) {
                built.insert(name, path);
            }
        }
        listener.join().unwrap_or_default()
    });
    if !child.wait()?.success() {
        let error = Error::failed("our programs do not compile").caused_by(said);
        return Err(match context.network {
            Network::Allowed => error,
            Network::Offline => error.hint(
                "if crates are missing: `cargo fetch` downloads them, for FreeBSD `cargo xtask fetch`",
            ),
        });
    }
    let mut programs = Programs::new();
    for program in &recipe.programs {
        let path = built.remove(&program.bin).ok_or_else(|| {
            Error::bad_input(format!(
                "package `{}` has no binary `{}`",
                program.package, program.bin
            ))
        })?;
        programs.insert(program.bin.clone(), path);
    }
    Ok(programs)
}

/// The executable that one of cargo's JSON messages speaks of.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_messages_name_the_executables() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"colibri"},"executable":"/t/colibri"}"#;
        assert_eq!(
            executable(line),
            Some(("colibri".into(), "/t/colibri".into()))
        );
        assert_eq!(
            executable(r#"{"reason":"compiler-artifact","executable":null}"#),
            None
        );
        assert_eq!(executable("warning"), None);
    }
}
