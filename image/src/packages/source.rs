//! Where the files of a repository come from: mirrors, or a folder of the person who builds.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clawdie_tree::{Sha256, hex};
use fs_err as fs;
use sha2::Digest;

use crate::base::Context;
use crate::base::download::{self, Wanted};
use crate::cache::sync_dir;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::recipe::{Packages, Recipe};

/// A repository as its files.
#[derive(Debug)]
pub(super) enum Source {
    Mirrors(Vec<String>),
    Folder(PathBuf),
}

/// A file of it.
pub(super) struct Asked<'a> {
    /// What it is, for messages.
    pub(super) what: &'a str,
    /// Where it lies in the repository.
    pub(super) file: &'a str,
    /// Where it goes.
    pub(super) to: &'a Path,
    /// What it must hash to, where that is known.
    pub(super) sha256: Option<Sha256>,
    /// Bytes beyond which it cannot be the right file.
    pub(super) most: u64,
}

impl Source {
    pub(super) fn of(recipe: &Recipe, packages: &Packages) -> Self {
        match &packages.folder {
            Some(folder) => Self::Folder(folder.clone()),
            None => Self::Mirrors(packages.urls(&recipe.abi())),
        }
    }

    /// Whether it costs no network.
    pub(super) fn is_here(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Brings a file.
    ///
    /// # Errors
    /// `Missing` when it is not to be had, `BadInput` when another file is there in its place.
    pub(super) fn bring(&self, asked: &Asked<'_>, context: &Context<'_>) -> Result<()> {
        match self {
            Self::Mirrors(urls) => {
                let wanted = Wanted {
                    what: asked.what.to_owned(),
                    urls: urls
                        .iter()
                        .map(|url| format!("{url}/{}", asked.file))
                        .collect(),
                    to: asked.to,
                    sha256: asked.sha256,
                    most: asked.most,
                };
                download::download(&wanted, context.progress)
            }
            Self::Folder(folder) => copy(&folder.join(asked.file), asked),
        }
    }
}

fn copy(from: &Path, asked: &Asked<'_>) -> Result<()> {
    let what = asked.what;
    let source = match fs::File::open(from) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::missing(format!(
                "{what} is not in the repository: there is no `{}`",
                from.display()
            )));
        }
        Err(error) => return Err(error.into()),
    };
    let home = asked.to.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(home)?;
    let mut hashing = Hashing(sha2::Sha256::new(), source.take(asked.most + 1));
    let copied = io::copy(&mut hashing, &mut file).or_error(ErrorKind::Failed, || {
        format!("`{}` cannot be put into the cache", from.display())
    })?;
    let sha256: Sha256 = hashing.0.finalize().into();
    if copied > asked.most {
        return Err(Error::bad_input(format!(
            "{what} has more than {} bytes in `{}`",
            asked.most,
            from.display()
        )));
    }
    if let Some(right) = asked.sha256.filter(|right| *right != sha256) {
        return Err(Error::bad_input(format!(
            "{what} is not what the catalogue says: the SHA-256 of `{}` is {}, not {}",
            from.display(),
            hex(sha256),
            hex(right)
        )));
    }
    file.as_file().sync_all()?;
    file.persist(asked.to).map_err(|error| error.error)?;
    sync_dir(home)
}

struct Hashing<R>(sha2::Sha256, R);

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.1.read(buf)?;
        self.0.update(&buf[..got]);
        Ok(got)
    }
}
