//! Where a set lies: in the folder that the command line names, or in the cache, filled from mirrors.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Fetched, Set, forget, manifest, unpack};
use crate::base::Context;
use crate::base::download::{self, Wanted};
use crate::cache::sync_dir;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::recipe::{Sets, release_folder};

/// Name of the file that lists the sets of a release.
pub(super) const MANIFEST: &str = "MANIFEST";
/// No set is longer: `base.txz` of 15.1 has about 200 MB, and the largest of the others about 300.
const MOST: u64 = 4 << 30;

/// Where one set should lie.
#[derive(Debug)]
pub(super) enum Place {
    /// In a folder of the person who builds: never written to.
    Folder(PathBuf),
    /// In the cache, and where it comes from when it is not there yet.
    Cache { path: PathBuf, urls: Vec<String> },
}

impl Place {
    pub(super) fn of(
        file: &str,
        release: &str,
        sets: &Sets,
        context: &Context<'_>,
    ) -> Result<Self> {
        Ok(match &sets.supply.folder {
            Some(folder) => Self::Folder(folder.join(file)),
            None => Self::Cache {
                path: cache_folder(release, context)?.join(file),
                urls: urls(file, release, sets)?,
            },
        })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Cache { path, .. } => path,
        }
    }
}

/// Where the sets of a release lie in the cache.
pub(super) fn cache_folder(release: &str, context: &Context<'_>) -> Result<PathBuf> {
    let name = release_folder(release).map_err(Error::bad_input)?;
    context.cache.folder(&format!("sets/{name}"))
}

fn urls(file: &str, release: &str, sets: &Sets) -> Result<Vec<String>> {
    let folder = release_folder(release).map_err(Error::bad_input)?;
    let url = |mirror: &String| format!("{}/{folder}/{file}", mirror.trim_end_matches('/'));
    Ok(sets.mirrors.iter().map(url).collect())
}

/// Brings one set into the cache, unless it is there and sound.
pub(super) fn keep(set: &Set, release: &str, context: &Context<'_>) -> Result<Fetched> {
    let file = set.pin.file.clone();
    let kept = cache_folder(release, context)?.join(&file);
    let fetched = |new| -> Result<Fetched> {
        let bytes = fs::metadata(&kept)?.len();
        Ok(Fetched {
            file: file.clone(),
            bytes,
            new,
        })
    };
    match &set.place {
        Place::Folder(path) => {
            unpack::verify(&[unpack::OpenSet::open(set)?])?;
            if kept.is_file() && unpack::digest(&kept)? == set.pin.sha256 {
                return fetched(false);
            }
            copy(path, &kept)?;
        }
        Place::Cache { urls, .. } => {
            if kept.is_file() {
                if unpack::digest(&kept)? == set.pin.sha256 {
                    return fetched(false);
                }
                tracing::warn!("`{}` is damaged; downloading it again", kept.display());
                forget(&kept)?;
            }
            let wanted = Wanted {
                what: format!("{file} of release {release}"),
                urls: urls.clone(),
                to: &kept,
                sha256: Some(set.pin.sha256),
                most: MOST,
            };
            download::download(&wanted, context.progress).map_err(name_the_other_way)?;
        }
    }
    fetched(true)
}

/// Brings the `MANIFEST` of a release into the cache.
pub(super) fn download_manifest(
    to: &Path,
    release: &str,
    sets: &Sets,
    context: &Context<'_>,
) -> Result<()> {
    let wanted = Wanted {
        what: format!("{MANIFEST} of release {release}"),
        urls: urls(MANIFEST, release, sets)?,
        to,
        sha256: None,
        most: manifest::MAX_BYTES,
    };
    download::download(&wanted, context.progress).map_err(name_the_other_way)
}

/// Who has no network, or a mirror that we do not know, brings the files along.
fn name_the_other_way(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Missing | ErrorKind::BadInput => error.hint(
            "without network, or with a mirror of your own: put `base.txz` and `kernel.txz` of the \
             release into a folder and name it with `--sets DIR`; what has come so far is kept",
        ),
        _ => error,
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let home = to.parent().unwrap_or(Path::new("."));
    let failed = || format!("`{}` cannot be put into the cache", from.display());
    let mut source = fs::File::open(from)?;
    let mut file = tempfile::NamedTempFile::new_in(home)?;
    std::io::copy(&mut source, &mut file).or_error(ErrorKind::Failed, failed)?;
    file.as_file().sync_all()?;
    file.persist(to)
        .map_err(|error| error.error)
        .or_error(ErrorKind::Failed, failed)?;
    sync_dir(home)
}
