//! A linker and C compiler for FreeBSD on other systems: zig, which carries FreeBSD's headers and the
//! names in its libraries, and cargo-zigbuild, which tells cargo about it.
//!
//! Both come from PyPI as ready-made programs, by pip in a venv of their own and by pinned hashes. Of the
//! venv only the two stay, in the cache: they need no Python to run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use super::seal;
use crate::base::{Context, Network};
use crate::cache::Key;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::progress::Task;
use crate::tool::{self, Tool};

/// What pip installs, and nothing else.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// What zig's start files lack.
const ABI_NOTE: &str = include_str!("abi_note.S");

/// zig's name for what we build for.
const ZIG_TARGET: &str = "x86_64-freebsd-none";

/// Installs the cross tools.
pub const PYTHON: Tool = Tool {
    program: "python3",
    package: "python3",
    why: "it installs the linker for FreeBSD, in the cache",
};

/// The Debian package that lets Python make a venv.
pub const VENV_PACKAGE: &str = "python3-venv";

/// Tools of earlier versions that stay in the cache.
const KEPT: usize = 2;

/// The tools, ready to run.
#[derive(Debug, Clone)]
pub(super) struct CrossTools {
    root: PathBuf,
    /// What zig compiles once for all (C runtime, stubs), and cargo-zigbuild's scripts.
    work: PathBuf,
}

impl CrossTools {
    /// Takes them from the cache, or puts them there.
    pub(super) fn obtain(context: &Context<'_>) -> Result<Self> {
        let key = Key::of([
            b"cross-tools".as_slice(),
            REQUIREMENTS.as_bytes(),
            ABI_NOTE.as_bytes(),
            std::env::consts::OS.as_bytes(),
            std::env::consts::ARCH.as_bytes(),
        ]);
        context.cache.sweep("cross-tools")?;
        let work = context
            .cache
            .folder(&format!("cross-work/{}", &key.as_str()[..16]))?;
        let tools = context.cache.entry(
            "cross-tools",
            &key,
            |folder| {
                Ok(seal::holds(folder)?.then(|| Self {
                    root: folder.to_owned(),
                    work: work.clone(),
                }))
            },
            |folder| install(folder, context),
        )?;
        context.cache.prune("cross-tools", KEPT)?;
        Ok(tools)
    }

    /// `cargo zigbuild`, which is `cargo build` with another linker and C compiler.
    pub(super) fn build_command(&self) -> Command {
        let mut command = Command::new(self.root.join("cargo-zigbuild"));
        command
            .arg("zigbuild")
            .env("CARGO", super::cargo())
            .env("CARGO_ZIGBUILD_ZIG_PATH", self.root.join("zig/zig"))
            .env("CARGO_ZIGBUILD_CACHE_DIR", self.work.join("wrappers"))
            .env("ZIG_GLOBAL_CACHE_DIR", self.work.join("zig"))
            .env("ZIG_LOCAL_CACHE_DIR", self.work.join("zig"));
        command
    }

    /// What rustc must be told besides.
    pub(super) fn rust_flag(&self) -> String {
        format!("-Clink-arg={}", self.root.join("abi_note.o").display())
    }

    /// Folders that must not show up in what they make.
    pub(super) fn folders(&self) -> [&Path; 2] {
        [&self.root, &self.work]
    }
}

/// Whether this machine's Python can make a venv with pip in it.
pub fn can_make_venv() -> bool {
    PYTHON.command().is_ok_and(|mut python| {
        python
            .args(["-c", "import ensurepip, venv"])
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|output| output.status.success())
    })
}

fn install(folder: &Path, context: &Context<'_>) -> Result<()> {
    if context.network == Network::Offline {
        return Err(
            Error::missing("the linker for FreeBSD is not in the cache").hint(
                "run `cargo xtask fetch --flavour freebsd` once with network, then build with \
                 `--offline` again",
            ),
        );
    }
    let mut python = PYTHON.command()?;
    if !can_make_venv() {
        return Err(
            Error::missing("this machine's Python cannot make a venv with pip in it").hint(format!(
                "run `cargo xtask doctor --install-tools`, or install the package `{VENV_PACKAGE}`"
            )),
        );
    }
    let task = context.progress.begin("install cross tools", None);
    let venv = folder.join("venv");
    task.note("making a Python environment");
    tool::run(python.args(["-m", "venv"]).arg(&venv))?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let python = venv.join("bin/python");
    let mut pip = Command::new(&python);
    for elsewhere in [
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PYTHONPATH",
    ] {
        pip.env_remove(elsewhere);
    }
    pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .args(["-m", "pip", "install", "--no-input", "--no-deps"])
        .args(["--require-hashes", "--only-binary", ":all:"])
        .args(["--no-compile", "--progress-bar", "off", "--requirement"])
        .arg(&requirements);
    watch(pip, &*task)?;

    let found = tool::run(Command::new(&python).args([
        "-c",
        "import os, ziglang; print(os.path.dirname(os.path.abspath(ziglang.__file__)))",
    ]))?;
    let zig = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    fs::rename(&zig, folder.join("zig"))?;
    fs::rename(
        venv.join("bin/cargo-zigbuild"),
        folder.join("cargo-zigbuild"),
    )?;
    // Python has just looked at it, and may have left compiled code there that has the time in it.
    let compiled = folder.join("zig/__pycache__");
    if compiled.exists() {
        fs::remove_dir_all(compiled)?;
    }
    fs::remove_dir_all(venv)?;
    tool::run(Command::new(folder.join("cargo-zigbuild")).arg("--version"))?;
    compile_abi_note(folder)?;
    seal::set(folder)
}

/// The first thing that zig does here: if it runs at all shows now.
fn compile_abi_note(folder: &Path) -> Result<()> {
    let source = folder.join("abi_note.S");
    fs::write(&source, ABI_NOTE)?;
    let cache = tempfile::tempdir()?;
    tool::run(
        Command::new(folder.join("zig/zig"))
            .env("ZIG_GLOBAL_CACHE_DIR", cache.path())
            .env("ZIG_LOCAL_CACHE_DIR", cache.path())
            .args(["cc", "-target", ZIG_TARGET, "-g0", "-c", "-o"])
            .arg(folder.join("abi_note.o"))
            .arg(source),
    )?;
    Ok(())
}

/// Runs pip and shows what it is at.
fn watch(mut pip: Command, task: &dyn Task) -> Result<()> {
    let mut child = pip
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .or_error(ErrorKind::Failed, || "pip cannot be started".into())?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            tracing::debug!(target: "pip", "{line}");
            task.note(line.trim());
        }
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::failed("pip could not install the linker for FreeBSD")
        .caused_by(tool::tail(&String::from_utf8_lossy(&output.stderr)))
        .hint(
            "is this machine on the network? If there is no zig for it, build the programs elsewhere \
             with `cargo xtask programs`, and take them with `iso --programs DIR`",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned_to_a_version_and_hashes() {
        let lines: Vec<_> = REQUIREMENTS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let whole = lines.join("\n").replace("\\\n", " ");
        let names: Vec<_> = whole
            .lines()
            .map(|line| {
                let mut words = line.split_whitespace();
                let (name, version) = words.next().unwrap().split_once("==").unwrap();
                assert!(version.split('.').count() == 3, "{line}");
                let hashes: Vec<_> = words.collect();
                assert!(!hashes.is_empty(), "{line}");
                for hash in hashes {
                    let digits = hash.strip_prefix("--hash=sha256:").unwrap();
                    assert!(crate::pack::unhex(digits).is_some(), "{hash}");
                }
                name
            })
            .collect();
        assert_eq!(names, ["ziglang", "cargo-zigbuild"]);
    }
}
