//! The seed partition of an image: what the operator edits.

use std::fs::File;
use std::path::Path;

use clawdie_tree::{Content, TreePath};

use crate::disk::{self, PartitionPlan};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::fat;

/// GPT name of the seed partition.
pub const NAME: &str = "CLAWDIE-SEED";

/// The seed partition of an open image.
#[derive(Debug)]
pub struct Seed {
    image: File,
    place: PartitionPlan,
}

impl Seed {
    /// Finds the seed of the image (or stick) at `path`, to read it or also to write it.
    ///
    /// # Errors
    /// When it cannot be opened or has no seed partition.
    pub fn open(path: &Path, write: bool) -> Result<Self> {
        let image = fs_err::OpenOptions::new()
            .read(true)
            .write(write)
            .open(path)
            .or_error(ErrorKind::Missing, || {
                format!("`{}` cannot be opened", path.display())
            })?
            .into_parts()
            .0;
        Self::of(image, path)
    }

    /// Finds the seed of an image (or stick) that is open already; `path` names it in errors.
    ///
    /// # Errors
    /// When it has no seed partition.
    pub fn of(image: File, path: &Path) -> Result<Self> {
        let foreign = || {
            Error::bad_input(format!("`{}` has no partition `{NAME}`", path.display()))
                .hint("only images of `cargo xtask iso`, and sticks written from them, have one")
        };
        // A stick is larger than the image on it, so its backup table is not where it should be.
        let table = disk::read_primary(&image).map_err(|error| foreign().caused_by(error))?;
        let place = table.partition(NAME).cloned().ok_or_else(foreign)?;
        Ok(Self { image, place })
    }

    /// A file in the root of the seed, by its name in any case; the first that `wanted` accepts.
    ///
    /// # Errors
    /// When the file system cannot be read.
    pub fn find(&self, wanted: impl Fn(&str) -> bool) -> Result<Option<(String, Content)>> {
        let tree = fat::read(&self.image, self.place.offset(), self.place.len)?;
        let root = TreePath::root();
        Ok(tree.children(&root).find_map(|(path, node)| {
            let name = String::from_utf8_lossy(path.name()).into_owned();
            let content = node.content().filter(|_| wanted(&name))?;
            Some((name.clone(), content.clone()))
        }))
    }

    /// Makes the image readable by its owner alone, for one that gets secrets, and says whether it is
    /// now. A device keeps its mode, which is the system's business.
    ///
    /// # Errors
    /// When the image belongs to somebody else.
    pub fn keep_private(&self) -> Result<bool> {
        use std::os::unix::fs::PermissionsExt;
        let meta = self.image.metadata()?;
        if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
            self.image
                .set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(meta.is_file())
    }

    /// Replaces or adds one file in the root of the seed; a power cut leaves the old or the new one.
    ///
    /// # Errors
    /// When the volume is full or damaged, or was opened to read only.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        fat::replace(
            &self.image,
            self.place.offset(),
            self.place.len,
            name,
            bytes,
        )
    }
}
