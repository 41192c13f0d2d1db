//! Programs for FreeBSD, from any system: dynamic against base alone, position-independent, and checked
//! before anybody gets them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use super::cross::CrossTools;
pub use super::cross::{PYTHON, VENV_PACKAGE, can_make_venv};
use super::elf::{self, Rules};
use super::remap::Remap;
use super::stdlib::{self, Compiler, Supply};
pub use super::stdlib::{ARCHIVE_TOOLS, KEYRING};
use super::{Programs, cargo, compile, order};
use crate::base::{Context, Network};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::recipe::Recipe;
use crate::tool;

/// What we build for.
pub const TARGET: &str = "x86_64-unknown-freebsd";

/// Where cargo puts it; a folder of its own, because the compiler runs with other settings.
const TARGET_DIR: &str = "target/image-build-freebsd";

/// Whether this machine is what we build for: then its own cargo does, and nothing else is needed.
const AT_HOME: bool = cfg!(all(target_os = "freebsd", target_arch = "x86_64"));

/// What a build will want of this machine, for `doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demands {
    /// Python, to install the cross tools.
    pub cross_tools: bool,
    /// The Debian archive, for the standard library's sources.
    pub archive: bool,
}

/// What a build from this checkout will want.
pub fn demands(root: &Path) -> Demands {
    let archive = || {
        // A compiler that cannot be asked will be the first thing that is told.
        Compiler::ask(root, TARGET).is_ok_and(|compiler| compiler.supply() == Supply::Archive)
    };
    Demands {
        cross_tools: !AT_HOME,
        archive: !AT_HOME && archive(),
    }
}

/// Everything that compiles for FreeBSD here.
struct Toolchain {
    remap: Remap,
    cross: Option<CrossTools>,
    /// The standard library has to be compiled, from the sources in this folder.
    sources: Option<PathBuf>,
}

impl Toolchain {
    fn obtain(context: &Context<'_>) -> Result<Self> {
        let mut remap = Remap::of_machine(context.root);
        let compiler = Compiler::ask(context.root, TARGET)?;
        // A library that was compiled elsewhere names its sources there, unless they are installed.
        remap.add(&compiler.own_sources(), &compiler.virtual_sources());
        if AT_HOME {
            return Ok(Self {
                remap,
                cross: None,
                sources: None,
            });
        }
        let sources = match compiler.supply() {
            Supply::Installed => None,
            Supply::Sources(folder) => Some(folder),
            Supply::Archive => Some(stdlib::sources(&compiler, context)?),
        };
        let sources = match sources {
            Some(folder) => {
                let inner = Path::new(TARGET_DIR).join(format!("rust-{}", compiler.release));
                let link = context.root.join(&inner);
                link_to(&folder, &link)?;
                // cargo hands files of the checkout to the compiler by their names inside it.
                remap.add(&inner, &compiler.virtual_sources());
                remap.add(&link, &compiler.virtual_sources());
                Some(link)
            }
            None => None,
        };
        Ok(Self {
            remap,
            cross: Some(CrossTools::obtain(context)?),
            sources,
        })
    }

    /// Lets a command of cargo's compile, or fetch, the standard library too.
    fn with_library(&self, command: &mut Command) {
        if let Some(sources) = &self.sources {
            command
                // An unstable option of cargo, for which a stable one must be told that it may.
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort")
                // Where they are, without writing to the user's toolchain. Miri sets it, too.
                .env("__CARGO_TESTS_ONLY_SRC_ROOT", sources.join("library"));
        }
    }

    /// cargo hashes the path of the standard library's packages into the names in a program, relative
    /// to the sysroot of the target: so where they lie must be that sysroot, or two machines would
    /// give different bytes. Nothing else is looked for in it when the library is compiled.
    fn sysroot_flag(&self) -> Option<String> {
        let sources = self.sources.as_ref()?;
        Some(format!("--sysroot={}", sources.display()))
    }

    fn rules(&self, recipe: &Recipe) -> Rules {
        let folders = self.remap.folders().map(Path::to_owned);
        let tools = self
            .cross
            .iter()
            .flat_map(|cross| cross.folders())
            .map(Path::to_owned);
        let mut folders: Vec<_> = folders.chain(tools).chain(std::env::home_dir()).collect();
        folders.sort();
        folders.dedup();
        Rules {
            major: major(&recipe.release),
            folders,
        }
    }
}

/// The sources under the same name in every checkout: cargo hands files inside it to the compiler by
/// relative names.
fn link_to(folder: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|now| now == folder) {
        return Ok(());
    }
    let home = link.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(home)?;
    // Complete or absent, also when two builds do it at once.
    let scratch = tempfile::Builder::new().prefix(".link-").tempdir_in(home)?;
    let new = scratch.path().join("link");
    fs_err::os::unix::fs::symlink(folder, &new)?;
    fs::rename(new, link)?;
    Ok(())
}

pub(super) fn build(recipe: &Recipe, context: &Context<'_>) -> Result<Programs> {
    let toolchain = Toolchain::obtain(context)?;
    let task = context.progress.begin("build our programs", None);
    let mut command = match &toolchain.cross {
        Some(cross) => cross.build_command(),
        None => {
            let mut command = Command::new(cargo());
            command.arg("build");
            command
        }
    };
    let target_dir = context.root.join(TARGET_DIR);
    order(&mut command, recipe, context, TARGET, &target_dir);
    toolchain.with_library(&mut command);
    let mut flags: Vec<_> = toolchain.remap.rust_flags().collect();
    flags.extend(toolchain.cross.as_ref().map(CrossTools::rust_flag));
    flags.extend(toolchain.sysroot_flag());
    command
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CFLAGS_x86_64_unknown_freebsd", toolchain.remap.c_flags());
    let programs = compile(&mut command, recipe, context, &*task)?;
    task.note("checking what came of it");
    check(&programs, &toolchain.rules(recipe))?;
    Ok(programs)
}

/// Fills the cache, and cargo's own with the crates of the standard library and ours.
pub(super) fn fetch(context: &Context<'_>) -> Result<()> {
    let toolchain = Toolchain::obtain(context)?;
    let task = context.progress.begin("fetch crates", None);
    task.note("asking the registry");
    let mut command = Command::new(cargo());
    command
        .current_dir(context.root)
        .stdin(Stdio::null())
        .args(["fetch", "--locked"]);
    if context.network == Network::Offline {
        command.arg("--offline");
    }
    toolchain.with_library(&mut command);
    tool::run(&mut command).map(drop)
}

/// Refuses programs that would not start on the release, or that tell who built them.
fn check(programs: &Programs, rules: &Rules) -> Result<()> {
    let mut found = Vec::new();
    for (name, path) in programs {
        let bytes = fs::read(path).or_error(ErrorKind::Failed, || {
            format!("`{}` cannot be read", path.display())
        })?;
        found.extend(
            elf::faults(&bytes, rules)
                .into_iter()
                .map(|fault| format!("{name}: {fault}")),
        );
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(
        Error::failed("our programs are not what FreeBSD's base can start")
            .caused_by(found.join("\n"))
            .hint(
                "a changed dependency may link something else; `docs/builder.md` tells the rules",
            ),
    )
}

/// The first number of a release's name.
fn major(release: &str) -> u32 {
    release
        .split('.')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_link_follows_where_they_go() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("target/x/rust-1.95.0");
        for name in ["a", "a", "b"] {
            let folder = dir.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            link_to(&folder, &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), folder);
        }
        let left: Vec<_> = fs::read_dir(link.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_program_that_is_not_for_freebsd_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("colibri");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let rules = Rules {
            major: major("15.1"),
            folders: Vec::new(),
        };
        assert_eq!(rules.major, 15);
        let error = check(&Programs::from([("colibri".into(), path)]), &rules).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("colibri: "), "{cause}");
    }
}
