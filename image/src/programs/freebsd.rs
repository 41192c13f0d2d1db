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
    /// The standard library has to be compiled: the sysroot that has its sources.
    sysroot: Option<Sysroot>,
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
                sysroot: None,
            });
        }
        let sources = match compiler.supply() {
            Supply::Installed => None,
            Supply::Sources(folder) => Some(folder),
            Supply::Archive => Some(stdlib::sources(&compiler, context)?),
        };
        let sysroot = sources
            .map(|sources| Sysroot::make(context.root, &compiler, &sources))
            .transpose()?;
        if let Some(sysroot) = &sysroot {
            // cargo hands files of the checkout to the compiler by their names inside it.
            remap.add(&sysroot.inner, &compiler.virtual_sources());
            remap.add(&sysroot.folder, &compiler.virtual_sources());
        }
        Ok(Self {
            remap,
            cross: Some(CrossTools::obtain(context)?),
            sysroot,
        })
    }

    /// Lets a command of cargo's compile, or fetch, the standard library too.
    fn with_library(&self, command: &mut Command) {
        if let Some(sysroot) = &self.sysroot {
            let host_flags = toml::Value::from(vec![sysroot.flag()]);
            command
                // Unstable options of cargo, for which a stable one must be told that it may.
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort")
                // Where they are, without writing to the user's toolchain. Miri sets it, too.
                .env("__CARGO_TESTS_ONLY_SRC_ROOT", sysroot.library())
                // Flags for build scripts, which the flags for the target do not reach; whatever else
                // the user has set for them holds as ever.
                .args(["-Zhost-config", "-Ztarget-applies-to-host"])
                .args(["--config", "target-applies-to-host=true"])
                .args(["--config", &format!("host.rustflags={host_flags}")]);
        }
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

/// A sysroot with the standard library's sources in it, made of links.
///
/// cargo hashes the path of each of the library's packages into the names in a program, relative to the
/// sysroot that the package is compiled with. So the sources have one place inside the sysroot, or two
/// checkouts would give different bytes; and it is the sysroot of the library's build scripts as well,
/// which need the machine's own library: hence the second link.
struct Sysroot {
    folder: PathBuf,
    /// The same, as seen from the checkout: one name in all of them.
    inner: PathBuf,
}

impl Sysroot {
    fn make(root: &Path, compiler: &Compiler, sources: &Path) -> Result<Self> {
        let inner = Path::new(TARGET_DIR).join(format!("sysroot-{}", compiler.release));
        let sysroot = Self {
            folder: root.join(&inner),
            inner,
        };
        link_to(&sources.join("library"), &sysroot.library())?;
        link_to(&compiler.sysroot.join("lib"), &sysroot.folder.join("lib"))?;
        Ok(sysroot)
    }

    /// The sources.
    fn library(&self) -> PathBuf {
        self.folder.join("library")
    }

    /// What the compiler is told.
    fn flag(&self) -> String {
        format!("--sysroot={}", self.folder.display())
    }
}

/// Makes a link, or turns it to where it shall go now.
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
    flags.extend(toolchain.sysroot.as_ref().map(Sysroot::flag));
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
    fn a_link_of_the_sysroot_follows_where_it_shall_go() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("target/x/sysroot-1.95.0/library");
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
