//! Our own programs, built for the image: static, stripped, the same bytes from every checkout.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::progress::Progress;
use crate::recipe::{Flavour, Recipe};

/// Built programs by the name of their binary.
pub type Programs = BTreeMap<String, PathBuf>;

/// Builds every program of the recipe with cargo.
///
/// # Errors
/// When a program does not compile, or the flavour's target cannot be built for here.
pub fn build(recipe: &Recipe, root: &Path, progress: &dyn Progress) -> Result<Programs> {
    let target = match recipe.flavour {
        Flavour::Debian => "x86_64-unknown-linux-gnu",
        Flavour::Freebsd => "x86_64-unknown-freebsd",
    };
    let task = progress.begin("build our programs", None);
    // A folder of its own: other flags in the same one would rebuild everything each time.
    let target_dir = root.join("target/image-build");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--profile=dist",
            "--message-format=json-render-diagnostics",
        ])
        .arg(format!("--target={target}"))
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(root).join("\x1f"))
        .env("CFLAGS", c_flags(root))
        .env_remove("RUSTFLAGS");
    for program in &recipe.programs {
        command.args(["--package", &program.package]);
    }
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
        return Err(Error::failed("our programs do not compile").caused_by(said));
    }
    for program in &recipe.programs {
        if !built.contains_key(&program.bin) {
            return Err(Error::bad_input(format!(
                "package `{}` has no binary `{}`",
                program.package, program.bin
            )));
        }
    }
    Ok(built)
}

/// The executable that one of cargo's JSON messages speaks of.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), path.into()))
}

/// Folders of this machine that must not show up in a binary, and what stands there instead.
fn renamed(root: &Path) -> Vec<(String, &'static str)> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let mut pairs = vec![(root.display().to_string(), "/clawdie-iso")];
    pairs.extend(cargo_home.map(|home| (home.display().to_string(), "/cargo")));
    pairs
}

fn rust_flags(root: &Path) -> Vec<String> {
    // Static: the program must not care which C library the image has.
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.extend(
        renamed(root)
            .into_iter()
            .map(|(from, to)| format!("--remap-path-prefix={from}={to}")),
    );
    flags
}

fn c_flags(root: &Path) -> String {
    let maps: Vec<_> = renamed(root)
        .into_iter()
        .map(|(from, to)| format!("-ffile-prefix-map={from}={to}"))
        .collect();
    maps.join(" ")
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
