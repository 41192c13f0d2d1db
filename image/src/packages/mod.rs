//! Packages of FreeBSD's ports that the image brings along: resolved and downloaded here, installed by
//! first boot without network.
//!
//! A repository's [`catalogue`] counts when a key signed it whose [`fingerprint`] the base has; from it
//! follow the packages ([`resolve`]) and the SHA-256 of each. What was found stays in a [`lock`] and the
//! files in the cache under their hashes. The image gets them as a [`repository`] with the signatures as
//! they came, so that `pkg` on the host believes nobody but FreeBSD either.

mod catalogue;
mod fingerprint;
mod list;
mod lock;
mod repository;
mod resolve;
pub mod sample;
mod source;
mod sum;
#[cfg(test)]
mod tests;

use std::path::Path;

use clawdie_tree::{Content, Tree, TreePath, hex};
use fs_err as fs;

use self::catalogue::{Catalogue, Form};
use self::fingerprint::{Signature, Trust};
use self::lock::Lock;
pub use self::lock::{Kept, Lock as Resolved, Locked};
use self::repository::BOOTSTRAP_SIGNATURE;
pub use self::repository::FOLDER;
use self::resolve::{PKG, Question};
use self::source::{Asked, Source};
use self::sum::Sum;
use crate::base::{Base, Context, Network, Package};
use crate::cache::{Key, Lock as Hold};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Layer;
use crate::pack::unhex;
use crate::recipe::{Packages, Recipe};

/// Folder of the cache with catalogues, signatures and packages, each named by its SHA-256.
const KEPT: &str = "packages";

/// Longest signature of the package manager.
const MOST_SIGNATURE: u64 = 1 << 20;

/// Everything that the steps share.
struct Job<'a> {
    recipe: &'a Recipe,
    packages: &'a Packages,
    /// The base's files: fingerprints and libraries.
    base: &'a Tree,
    trust: Trust,
    source: Source,
    wanted: Vec<String>,
    context: &'a Context<'a>,
}

/// Asks the repository anew and fills the cache; nothing when the recipe wants no packages.
///
/// # Errors
/// `Missing` when the repository cannot be reached, `BadInput` when what it has is not signed by anybody
/// whom the base trusts, or makes no sense.
pub fn fetch(recipe: &Recipe, base: &Tree, context: &Context<'_>) -> Result<Option<Resolved>> {
    let Some(packages) = &recipe.packages else {
        return Ok(None);
    };
    let job = Job::new(recipe, packages, base, context)?;
    let _hold = job.hold()?;
    job.ask().map(|(lock, _)| Some(lock))
}

/// What the list resolved to last time.
///
/// # Errors
/// When the cache or the list cannot be read.
pub fn cached(recipe: &Recipe, context: &Context<'_>) -> Result<Option<Resolved>> {
    let Some(packages) = recipe.packages.as_ref().filter(|one| one.folder.is_none()) else {
        return Ok(None);
    };
    lock::read(recipe, packages, &wanted(packages, context)?, context)
}

/// Puts the recipe's packages into the layer, as a repository, and on the base's list of what went in.
///
/// # Errors
/// As [`fetch`]; without network, `Missing` when the cache lacks something.
pub fn supply(
    recipe: &Recipe,
    base: &mut Base,
    layer: &mut Layer,
    context: &Context<'_>,
    epoch: i64,
) -> Result<()> {
    let Some(packages) = &recipe.packages else {
        return Ok(());
    };
    let (lock, contents) = {
        let job = Job::new(recipe, packages, &base.tree, context)?;
        let _hold = job.hold()?;
        job.ready()?
    };
    base.packages
        .extend(lock.packages.iter().map(|package| Package {
            name: package.name.clone(),
            version: package.version.clone(),
            sha256: package.kept.sha256.clone(),
        }));
    repository::place(layer, &lock, contents, packages, epoch)
}

fn wanted(packages: &Packages, context: &Context<'_>) -> Result<Vec<String>> {
    let path = context.root.join(&packages.list);
    list::parse(&fs::read_to_string(&path)?, &path)
}

impl<'a> Job<'a> {
    fn new(
        recipe: &'a Recipe,
        packages: &'a Packages,
        base: &'a Tree,
        context: &'a Context<'a>,
    ) -> Result<Self> {
        Ok(Self {
            recipe,
            packages,
            base,
            trust: Trust::of(base, &packages.fingerprints)?,
            source: Source::of(recipe, packages),
            wanted: wanted(packages, context)?,
            context,
        })
    }

    fn hold(&self) -> Result<Hold> {
        self.context.cache.lock(KEPT, || {
            tracing::info!("another build is downloading packages; waiting for it");
        })
    }

    fn may_ask(&self) -> bool {
        self.source.is_here() || self.context.network == Network::Allowed
    }

    /// The lock with all of its files: the one in the cache, else what the repository has today.
    fn ready(&self) -> Result<(Lock, Vec<Content>)> {
        // A folder is taken as it is: whoever names it has chosen its packages.
        let lock = if self.source.is_here() {
            None
        } else {
            lock::read(self.recipe, self.packages, &self.wanted, self.context)?
                .filter(|lock| lock.trust == self.trust_key())
        };
        match lock {
            Some(lock) => match self.complete(&lock) {
                Ok(contents) => Ok((lock, contents)),
                // The repository keeps only the newest of each package.
                Err(error)
                    if self.may_ask()
                        && matches!(error.kind(), ErrorKind::Missing | ErrorKind::BadInput) =>
                {
                    tracing::warn!("{error}; asking the repository what it has now");
                    self.ask()
                }
                Err(error) => Err(error),
            },
            None if self.may_ask() => self.ask(),
            None => Err(
                Error::missing("the packages of this recipe are not in the cache").hint(
                    "run `cargo xtask fetch --flavour freebsd` once with network, or build with \
                 `--packages none` or with `--packages DIR`",
                ),
            ),
        }
    }

    fn trust_key(&self) -> String {
        Key::of([self.trust.bytes().as_slice()]).as_str().to_owned()
    }

    /// Every file of a lock, compared with its hash; what is missing or damaged is downloaded.
    fn complete(&self, lock: &Lock) -> Result<Vec<Content>> {
        lock.files()
            .map(|(what, kept)| self.keep(&what, kept))
            .collect()
    }

    fn keep(&self, what: &str, kept: &Kept) -> Result<Content> {
        let sha256 = unhex(&kept.sha256)
            .ok_or_else(|| Error::failed(format!("the lock has no SHA-256 for {what}")))?;
        let path = self.context.cache.folder(KEPT)?.join(&kept.sha256);
        let mut state = "missing";
        if path.is_file() {
            let content = Content::file(&path)?;
            if *content.sha256() == sha256 {
                return Ok(content);
            }
            state = "damaged";
            tracing::warn!("`{}` ({what}) is damaged", path.display());
            fs::remove_file(&path)?;
        }
        if !self.may_ask() {
            return Err(Error::missing(format!("{what} is {state} in the cache"))
                .hint("run `cargo xtask fetch --flavour freebsd` once with network"));
        }
        let asked = Asked {
            what,
            file: &kept.file,
            to: &path,
            sha256: Some(sha256),
            most: kept.bytes,
        };
        self.source
            .bring(&asked, self.context)
            .map_err(other_ways)?;
        Ok(Content::file(&path)?)
    }

    /// Resolves the list by the repository's catalogue, and downloads what the cache lacks.
    fn ask(&self) -> Result<(Lock, Vec<Content>)> {
        let folder = self.context.cache.folder(KEPT)?;
        let scratch = tempfile::Builder::new()
            .prefix(".partial-")
            .tempdir_in(&folder)?;
        let (form, catalogue) = self.bring_catalogue(scratch.path())?;
        let bytes = fs::read(scratch.path().join(form.file()))?;
        let listed = Catalogue::open(&bytes, form, &self.trust)?;
        drop(bytes);
        let abi = self.recipe.abi();
        let chosen = resolve::resolve(
            &listed,
            &Question {
                wanted: &self.wanted,
                abi: &abi,
                has_library: &|name| has_library(self.base, name),
            },
        )?;
        let before = lock::read(self.recipe, self.packages, &self.wanted, self.context)?;
        let packages = chosen
            .iter()
            .map(|one| self.bring_package(one, before.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        let bootstrap = self.bring_bootstrap(scratch.path(), &packages)?;
        let lock = Lock {
            schema: Lock::SCHEMA,
            trust: self.trust_key(),
            catalogue,
            bootstrap,
            wanted: self.wanted.clone(),
            packages,
        };
        for kept in [&lock.catalogue, &lock.bootstrap] {
            let name = kept.file.rsplit('/').next().unwrap_or_default();
            fs::rename(scratch.path().join(name), folder.join(&kept.sha256))?;
        }
        let contents = self.complete(&lock)?;
        if !self.source.is_here() {
            lock::write(&lock, self.recipe, self.packages, self.context)?;
            drop(scratch);
            lock::prune(self.context)?;
        }
        Ok((lock, contents))
    }

    /// The catalogue, in the first form that the repository has.
    fn bring_catalogue(&self, scratch: &Path) -> Result<(Form, Kept)> {
        let mut faults = Vec::new();
        for form in Form::ALL {
            let to = scratch.join(form.file());
            let asked = Asked {
                what: &format!("the packages' catalogue `{}`", form.file()),
                file: form.file(),
                to: &to,
                sha256: None,
                most: catalogue::MOST,
            };
            match self.source.bring(&asked, self.context) {
                Ok(()) => return Ok((form, kept(form.file(), &to)?)),
                Err(error) if error.kind() == ErrorKind::Missing => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    faults.push(cause.unwrap_or_else(|| error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Err(other_ways(
            Error::missing("the catalogue of the packages is not to be had")
                .caused_by(faults.join("\n")),
        ))
    }

    /// A package, as its catalogue describes it. Only SHA-256 can be compared while it comes, so a package
    /// with another checksum is looked at when it is whole.
    fn bring_package(&self, one: &resolve::Chosen<'_>, before: Option<&Lock>) -> Result<Locked> {
        let entry = one.entry;
        let what = format!("the package `{}`", entry.name);
        let folder = self.context.cache.folder(KEPT)?;
        let known = match &one.sum {
            Sum::Sha256(sha256) => Some(hex(sha256)),
            // It was looked at when it came, and has been known by its SHA-256 since.
            Sum::Blake2b(_) => before
                .and_then(|lock| lock.packages.iter().find(|old| old.sum == entry.sum))
                .map(|old| old.kept.sha256.clone()),
        };
        let sha256 = match known {
            Some(sha256) => sha256,
            None => {
                let path = folder.join(Key::of([b"sum", entry.sum.as_bytes()]).as_str());
                let asked = Asked {
                    what: &what,
                    file: entry.path(),
                    to: &path,
                    sha256: None,
                    most: entry.pkgsize,
                };
                self.source
                    .bring(&asked, self.context)
                    .map_err(other_ways)?;
                if !one.sum.is_of(&mut fs::File::open(&path)?)? {
                    fs::remove_file(&path)?;
                    return Err(other_ways(Error::bad_input(format!(
                        "{what} is not what the catalogue says: its checksum is another"
                    ))));
                }
                let sha256 = hex(Content::file(&path)?.sha256());
                fs::rename(&path, folder.join(&sha256))?;
                sha256
            }
        };
        let kept = Kept {
            file: entry.path().to_owned(),
            sha256,
            bytes: entry.pkgsize,
        };
        let bytes = self.keep(&what, &kept)?.len();
        if bytes != kept.bytes {
            return Err(Error::bad_input(format!(
                "{what} has {bytes} bytes, and the catalogue says {}",
                kept.bytes
            )));
        }
        Ok(Locked {
            name: entry.name.clone(),
            version: entry.version.clone(),
            sum: entry.sum.clone(),
            kept,
        })
    }

    /// The package manager comes before any package, so its file has a signature of its own.
    fn bring_bootstrap(&self, scratch: &Path, packages: &[Locked]) -> Result<Kept> {
        let to = scratch.join("pkg.pkg.sig");
        let asked = Asked {
            what: "the package manager's signature",
            file: BOOTSTRAP_SIGNATURE,
            to: &to,
            sha256: None,
            most: MOST_SIGNATURE,
        };
        self.source
            .bring(&asked, self.context)
            .map_err(other_ways)?;
        let what = "the package `pkg`, as the bootstrap sees it,";
        let signature = Signature::detached(&fs::read(&to)?).ok_or_else(|| {
            Error::bad_input(format!("`{BOOTSTRAP_SIGNATURE}` is not a signature"))
        })?;
        let pkg = packages
            .iter()
            .find(|package| package.name == PKG)
            .and_then(|package| unhex(&package.kept.sha256))
            .ok_or_else(|| Error::failed("the package manager was not chosen"))?;
        self.trust
            .check(what, &[signature], &pkg)
            .map_err(|error| {
                error.hint(
                    "a mirror that is just being updated has the new catalogue and the old \
                     signature for a while: try again later",
                )
            })?;
        kept(BOOTSTRAP_SIGNATURE, &to)
    }
}

/// A file that has just come.
fn kept(file: &str, path: &Path) -> Result<Kept> {
    let content = Content::file(path)?;
    Ok(Kept {
        file: file.to_owned(),
        sha256: hex(content.sha256()),
        bytes: content.len(),
    })
}

/// Where FreeBSD's linker looks before any package is there.
fn has_library(base: &Tree, name: &str) -> bool {
    ["lib", "usr/lib"].iter().any(|folder| {
        TreePath::new(format!("{folder}/{name}")).is_ok_and(|path| base.get(&path).is_some())
    })
}

fn other_ways(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Missing => error.hint(
            "without network, or with a mirror of your own: `--packages DIR` takes a folder that \
             holds a repository, `--packages none` builds without; what has come so far is kept",
        ),
        ErrorKind::BadInput => error.hint(
            "the repository may have moved on since its catalogue was read: run `cargo xtask fetch \
             --flavour freebsd`",
        ),
        _ => error,
    }
}
