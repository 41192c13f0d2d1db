//! Rust's standard library for FreeBSD: the toolchain's own where it is installed, else compiled from the
//! sources that belong to the compiler, to the very version.
//!
//! rustup installs either in a moment, but not every machine has rustup, and it asks before it changes
//! the user's toolchain. Debian's archive carries the sources as the package `rust-src`; its pieces are
//! put into the cache, and nothing is installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use super::seal;
use crate::base::debian::apt::{APT, Apt, DPKG_DEB, GPGV};
use crate::base::{Context, Network};
use crate::cache::Key;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::progress::Task;
use crate::recipe::Source;
use crate::tool::{self, Tool};

/// The keys that sign the archive.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What must be on the machine to ask the archive.
pub const ARCHIVE_TOOLS: [Tool; 3] = [
    Tool {
        why: "gets Rust's library for FreeBSD from the archive",
        ..APT
    },
    GPGV,
    DPKG_DEB,
];

const MIRROR: &str = "http://deb.debian.org/debian";

/// Where newer compilers than a release's own turn up, in the order in which they are asked.
const SUITES: [&str; 2] = ["trixie-backports", "sid"];

const PACKAGE: &str = "rust-src";

/// Sources of earlier versions that stay in the cache.
const KEPT: usize = 2;

/// The compiler that cargo uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compiler {
    /// Such as `1.95.0`.
    pub(super) release: String,
    /// Its commit, where it knows it.
    commit: Option<String>,
    pub(super) sysroot: PathBuf,
    /// Where its libraries for the target are, if it has them.
    libraries: PathBuf,
}

/// How there comes to be a standard library for the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Supply {
    /// It is installed.
    Installed,
    /// Its sources are installed; the folder that holds `library`.
    Sources(PathBuf),
    /// The archive must be asked for the sources.
    Archive,
}

impl Compiler {
    /// Asks the compiler that cargo would use in the checkout.
    pub(super) fn ask(root: &Path, target: &str) -> Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let say = |arguments: &[&str]| {
            let mut command = Command::new(&rustc);
            command.current_dir(root).args(arguments);
            tool::run(&mut command)
                .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let version = say(&["-vV"])?;
        let folders = say(&[
            "--print=sysroot",
            "--print=target-libdir",
            "--target",
            target,
        ])?;
        Self::read(&version, &folders).ok_or_else(|| {
            Error::failed("the compiler says something that is not understood")
                .caused_by(format!("{version}{folders}"))
        })
    }

    fn read(version: &str, folders: &str) -> Option<Self> {
        let field = |name: &str| {
            version
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
        };
        let mut folders = folders.lines().map(PathBuf::from);
        Some(Self {
            release: field("release:")?,
            commit: field("commit-hash:").filter(|hash| hash != "unknown"),
            sysroot: folders.next()?,
            libraries: folders.next()?,
        })
    }

    /// What there is on this machine.
    pub(super) fn supply(&self) -> Supply {
        let installed = std::fs::read_dir(&self.libraries).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("libstd-") && name.ends_with(".rlib")
            })
        });
        if installed {
            return Supply::Installed;
        }
        let sources = self.own_sources();
        if holds_sources(&sources) && !self.is_of_other_version(&sources) {
            return Supply::Sources(sources);
        }
        Supply::Archive
    }

    /// Where rustup and distributions put the sources.
    pub(super) fn own_sources(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }

    /// Debian's sources lie in a folder that is named by their version, and may be of another one than
    /// a compiler that they have been linked to.
    fn is_of_other_version(&self, sources: &Path) -> bool {
        std::fs::canonicalize(sources)
            .ok()
            .and_then(|real| {
                let name = real.file_name()?.to_str()?.strip_prefix("rustc-")?;
                Some(name != self.release)
            })
            .unwrap_or(false)
    }

    /// What stands in a program for the folder of the sources: what a library that was not compiled here
    /// has there, too.
    pub(super) fn virtual_sources(&self) -> String {
        format!("/rustc/{}", self.commit.as_ref().unwrap_or(&self.release))
    }
}

fn holds_sources(folder: &Path) -> bool {
    folder.join("library/std/Cargo.toml").is_file() && folder.join("library/Cargo.lock").is_file()
}

/// The folder that holds `library`, from the cache or from the archive.
pub(super) fn sources(compiler: &Compiler, context: &Context<'_>) -> Result<PathBuf> {
    let key = Key::of([b"rust-src".as_slice(), compiler.release.as_bytes()]);
    context.cache.sweep(PACKAGE)?;
    let folder = context.cache.entry(
        PACKAGE,
        &key,
        |folder| Ok((holds_sources(folder) && seal::holds(folder)?).then(|| folder.to_owned())),
        |folder| {
            if context.network == Network::Offline {
                return Err(Error::missing(format!(
                    "the sources of Rust {}'s standard library are not in the cache",
                    compiler.release
                ))
                .hint(
                    "run `cargo xtask fetch --flavour freebsd` once with network, then build with \
                     `--offline` again",
                ));
            }
            from_archive(&compiler.release, folder, context)
        },
    )?;
    context.cache.prune(PACKAGE, KEPT)?;
    Ok(folder)
}

/// Asks one suite after the other for the package of exactly this version.
fn from_archive(release: &str, folder: &Path, context: &Context<'_>) -> Result<()> {
    if APT.find().is_none() || DPKG_DEB.find().is_none() || !Path::new(KEYRING).exists() {
        return Err(no_standard_library(
            release,
            "this machine cannot ask the Debian archive either",
        ));
    }
    let task = context.progress.begin("fetch Rust's library", None);
    let _lock = context.cache.lock("downloads", || {
        tracing::info!("another build is downloading; waiting for it");
    })?;
    let mut answers = Vec::new();
    let mut reached = false;
    for suite in SUITES {
        let source = Source {
            uri: MIRROR.into(),
            suite: suite.into(),
            components: vec!["main".into()],
        };
        let apt = Apt::new(Path::new(KEYRING), &[source], context)?;
        let versions = match apt.update(&*task).and_then(|()| apt.versions(PACKAGE)) {
            Ok(versions) => {
                reached = true;
                versions
            }
            Err(error) => {
                answers.push(format!("{suite}: {}", with_cause(&error)));
                continue;
            }
        };
        let Some(version) = versions.iter().find(|version| upstream(version) == release) else {
            answers.push(format!("{suite}: has {}", versions.join(", ")));
            continue;
        };
        for package in apt.download(&[format!("{PACKAGE}={version}")], &*task)? {
            let file = apt.archives().join(&package.file);
            unpack(&file, folder, &*task)?;
            // The sources are in the cache now; the package is of no more use.
            fs::remove_file(file)?;
        }
        if !holds_sources(folder) {
            return Err(Error::bad_input(format!(
                "the package `{PACKAGE}` {version} holds no sources of the standard library"
            ))
            .hint("`rustup target add x86_64-unknown-freebsd` does without it"));
        }
        return seal::set(folder);
    }
    if !reached {
        return Err(Error::failed(
            "the Debian archive cannot be asked for Rust's standard library",
        )
        .caused_by(answers.join("\n"))
        .hint(
            "is this machine on the network? `rustup target add x86_64-unknown-freebsd` does \
                     without the archive",
        ));
    }
    Err(no_standard_library(release, &answers.join("\n")))
}

fn with_cause(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    [Some(error.to_string()), cause]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(": ")
}

fn no_standard_library(release: &str, answers: &str) -> Error {
    Error::missing(format!(
        "Rust {release} has no standard library for FreeBSD here, and the Debian archive has no \
         `{PACKAGE}` of that version"
    ))
    .caused_by(answers.to_owned())
    .hint(
        "any of these will do:\n  \
         rustup target add x86_64-unknown-freebsd\n  \
         rustup component add rust-src\n  \
         a Rust of one of the versions above\n  \
         programs built elsewhere: `cargo xtask programs` there, `iso --programs DIR` here",
    )
}

/// The version of Rust that a package of Debian's is: `1.95.0` for `1.95.0+dfsg1-2~bpo13+1`.
fn upstream(version: &str) -> &str {
    version.split(['+', '-']).next().unwrap_or(version)
}

/// Unpacks the folder `library` of the package: a sixth of it, the rest is the compiler.
fn unpack(package: &Path, folder: &Path, task: &dyn Task) -> Result<()> {
    task.note("unpacking the sources");
    let mut child = DPKG_DEB
        .command()?
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .or_error(ErrorKind::Failed, || "dpkg-deb cannot be started".into())?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Error::failed("dpkg-deb has no output"));
    };
    let unpacked = library_of(stdout, folder);
    if unpacked.is_err() {
        // Nobody reads its output any more: it would wait for us for ever.
        let _ = child.kill();
    }
    let output = child.wait_with_output()?;
    unpacked?;
    if !output.status.success() {
        return Err(
            Error::bad_input(format!("`{}` cannot be unpacked", package.display()))
                .caused_by(tool::tail(&String::from_utf8_lossy(&output.stderr))),
        );
    }
    Ok(())
}

/// Writes the files below `usr/src/rustc-<version>/library` of a tar stream.
fn library_of(stream: impl std::io::Read, folder: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(inner) = inner_path(&path) else {
            continue;
        };
        let to = folder.join(inner);
        match entry.header().entry_type() {
            tar::EntryType::Directory => fs::create_dir_all(to)?,
            tar::EntryType::Regular => {
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                std::io::copy(&mut entry, &mut fs::File::create(to)?)?;
            }
            other => {
                return Err(Error::bad_input(format!(
                    "`{}` in the package `{PACKAGE}` is neither file nor folder ({other:?})",
                    path.display()
                )));
            }
        }
    }
    Ok(())
}

/// The part of a path that begins with `library`, if it is made of names alone.
fn inner_path(path: &Path) -> Option<PathBuf> {
    use std::path::Component;
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name),
            _ => return None,
        }
    }
    match names.as_slice() {
        [usr, src, version, library, ..]
            if *usr == "usr"
                && *src == "src"
                && version.to_string_lossy().starts_with("rustc-")
                && *library == "library" =>
        {
            Some(names[3..].iter().collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
