//! The files that a build leaves: each appears under its name only when it is complete.
//!
//! They are made in a folder of their own beside their final place, synced, and renamed. The old
//! `.sha256` goes first and the new one comes last, so its presence says that the set belongs
//! together.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;

use clawdie_tree::hex;
use fs_err as fs;
use serde::Serialize;

use crate::cache::{Lock, sync_dir};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::manifest::Channel;
use crate::order::Order;
use crate::recipe::Recipe;
use crate::volumes::Volumes;
use crate::{bmap, xz};

/// Name of the manifest beside an image.
pub const MANIFEST: &str = "build-manifest.json";
const PARTIAL: &str = ".partial-";

/// A build's results under way.
#[derive(Debug)]
pub struct Outputs {
    name: String,
    out: PathBuf,
    folder: tempfile::TempDir,
    // Tells other builds that the folder is alive.
    _lock: Lock,
    image: Option<File>,
    secret: bool,
}

/// Results in their place.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// The image.
    #[serde(serialize_with = "lossy")]
    pub image: PathBuf,
    /// The compressed copy, when one was made.
    #[serde(serialize_with = "lossy_if_any")]
    pub compressed: Option<PathBuf>,
    /// The block map.
    #[serde(serialize_with = "lossy")]
    pub bmap: PathBuf,
    /// SHA-256 of each file.
    #[serde(serialize_with = "lossy")]
    pub sha256: PathBuf,
    /// The manifest.
    #[serde(serialize_with = "lossy")]
    pub manifest: PathBuf,
    /// SHA-256 of the image.
    pub image_sha256: String,
    /// Length of the image in bytes.
    pub bytes: u64,
    /// Bytes that it takes on this disk.
    pub bytes_on_disk: u64,
    /// Length of the compressed copy in bytes.
    pub compressed_bytes: Option<u64>,
}

/// A name that is not UTF-8 is shown as well as it can be: the build is done, and a report about it
/// must not fail.
fn lossy<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

fn lossy_if_any<S: serde::Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    path.as_ref()
        .map(|path| path.to_string_lossy())
        .serialize(to)
}

/// The file name of an image without its ending.
pub fn stem(recipe: &Recipe, version: &str, channel: Channel) -> String {
    let dev = if channel == Channel::Dev { "-dev" } else { "" };
    format!("clawdie-{}-{version}{dev}-amd64", recipe.codename)
}

impl Outputs {
    /// Makes room beside the final place, and sweeps what killed builds left there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn begin(order: &Order<'_>) -> Result<Self> {
        fs::create_dir_all(&order.out).map_err(|error| {
            if order.out.exists() && !order.out.is_dir() {
                return Error::new(
                    ErrorKind::Usage,
                    format!("`{}` is not a folder", order.out.display()),
                )
                .hint("`--out` names the folder that the results go to");
            }
            error.into()
        })?;
        let _turn = turn(&order.out)?;
        sweep(&order.out)?;
        let folder = tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempdir_in(&order.out)?;
        let lock = Lock::wait(&folder.path().join("lock"), || {})?;
        Ok(Self {
            name: stem(order.recipe, order.version, order.channel),
            out: order.out.clone(),
            folder,
            _lock: lock,
            image: None,
            secret: order.secret,
        })
    }

    fn temporary(&self, ending: &str) -> PathBuf {
        self.folder.path().join(format!("{}{ending}", self.name))
    }

    /// The image to write into, new and empty.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn image(&mut self) -> Result<&File> {
        let file = self.create(".img")?;
        Ok(self.image.insert(file))
    }

    /// A new and empty result, readable by others only when it holds no secret.
    fn create(&self, ending: &str) -> Result<File> {
        use fs_err::os::unix::fs::OpenOptionsExt;
        Ok(fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(if self.secret { 0o600 } else { 0o666 })
            .open(self.temporary(ending))?
            .into_parts()
            .0)
    }

    /// Checksums, block map and compressed copy; then everything moves to its place.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(self, order: &Order<'_>, volumes: &Volumes) -> Result<Published> {
        let image = self
            .image
            .as_ref()
            .ok_or_else(|| Error::failed("no image was written"))?;
        let image_path = self.temporary(".img");
        let bmap_path = self.temporary(".img.bmap");
        let xz_path = order.compress.then(|| self.temporary(".img.xz"));
        let manifest_path = self.folder.path().join(MANIFEST);
        fs::write(&manifest_path, &volumes.manifest)?;

        // Readers of one image that is still in memory, while it goes to the disk.
        let (image_sha256, mapped, synced, compressed) = thread::scope(|scope| {
            let synced = scope.spawn(|| image.sync_all());
            let digest = scope.spawn(|| sha256(&image_path, order));
            let mapped = scope.spawn(|| {
                let task = order.progress.begin("block map", None);
                bmap::write(image, &volumes.used(), &bmap_path, &mut |bytes| {
                    task.advance(bytes)
                })
            });
            let compressed = xz_path.as_ref().map_or(Ok(()), |path| {
                let task = order.progress.begin("compress", Some(volumes.disk.len));
                let chunks = order.cache.folder("xz")?;
                let chunks = (!self.secret).then_some(chunks.as_path());
                // Made here, so that it has its mode from the start.
                self.create(".img.xz")?;
                xz::compress(image, path, chunks, &mut |bytes| task.advance(bytes))
            });
            (digest.join(), mapped.join(), synced.join(), compressed)
        });
        let panicked = |_| Error::failed("reading the image back panicked");
        let image_sha256 = hex(image_sha256.map_err(panicked)??);
        mapped.map_err(panicked)??;
        synced.map_err(panicked)??;
        compressed?;

        let task = order.progress.begin("sync to disk", None);
        let mut sums = format!("{image_sha256}  {}.img\n", self.name);
        let mut rest = vec![bmap_path.clone(), manifest_path.clone()];
        rest.extend(xz_path.clone());
        for path in &rest {
            sums.push_str(&format!(
                "{}  {}\n",
                hex(sha256(path, order)?),
                file_name(path)
            ));
        }
        let sums_path = self.temporary(".sha256");
        fs::write(&sums_path, sums)?;
        // The image is on the disk already.
        for path in rest.iter().chain([&sums_path]) {
            fs::File::open(path)?.sync_all()?;
        }
        let mut published = rest;
        published.push(image_path.clone());
        let at = |path: &Path| self.out.join(file_name(path));
        let _turn = turn(&self.out)?;
        // The old checksums no longer hold from here on; a copy that is not made again is stale.
        for stale in [&sums_path, &self.temporary(".img.xz")] {
            match fs::remove_file(at(stale)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        sync_dir(&self.out)?;
        for path in published.iter().chain([&sums_path]) {
            fs::rename(path, at(path))?;
        }
        sync_dir(&self.out)?;
        drop(task);
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(at(&image_path))?;
        Ok(Published {
            image: at(&image_path),
            compressed_bytes: xz_path
                .as_deref()
                .map(|path| fs::metadata(at(path)))
                .transpose()?
                .map(|meta| meta.len()),
            compressed: xz_path.as_deref().map(at),
            bmap: at(&bmap_path),
            sha256: at(&sums_path),
            manifest: at(&manifest_path),
            image_sha256,
            bytes: meta.len(),
            bytes_on_disk: meta.blocks() * 512,
        })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn sha256(path: &Path, order: &Order<'_>) -> Result<clawdie_tree::Sha256> {
    let task = order.progress.begin("checksum", None);
    let digest = clawdie_tree::Content::file(path).or_error(ErrorKind::Failed, || {
        format!("`{}` cannot be read", path.display())
    })?;
    task.advance(digest.len());
    Ok(*digest.sha256())
}

/// Waits until no other build changes the names in `out`: the files of two builds must not mix, and
/// none may sweep a folder that the other has just made.
fn turn(out: &Path) -> Result<File> {
    let folder = fs::File::open(out)?.into_parts().0;
    folder.lock()?;
    Ok(folder)
}

/// Removes folders of builds that were killed: nobody holds their lock. Call it in one's [`turn`].
fn sweep(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            continue;
        }
        let lock = entry.path().join("lock");
        if lock.exists() && Lock::try_take(&lock)?.is_none() {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            // A build that is ending removes its folder without waiting for its turn.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
