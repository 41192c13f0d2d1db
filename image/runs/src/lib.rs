//! What writers of whole file systems share, whatever the format: a plan of every byte of metadata and of the runs in
//! which contents lie is written into an image ([`Plan::write`]), an image is held against it ([`Plan::compare`]), and the
//! contents of an image are hashed where they lie ([`hash`]).
//!
//! The unit of a run is 4 KiB: a block of our ext4, a fragment of our UFS2. With the feature `testing`, `testing` has
//! what the tests of both share.

mod compare;
mod contents;
mod parallel;
mod run;
#[cfg(feature = "testing")]
pub mod testing;
mod write;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;

use clawdie_tree::{Content, TreePath};

pub use compare::{Difference, MOST_DIFFERENCES, gaps};
pub use contents::{FileRuns, hash};
pub use run::{Run, UNIT, push};

/// A stretch of metadata: `bytes`, then zeros up to `len`.
pub struct Region<'a, S> {
    /// Bytes from the start of the file system.
    pub at: u64,
    /// Bytes of the whole stretch.
    pub len: u64,
    /// Its first bytes.
    pub bytes: Cow<'a, [u8]>,
    /// What the first bytes are; [`Plan::structure_at`] tells of the others.
    pub what: S,
}

/// What is done with each stretch.
pub type Visit<'v, S> = dyn FnMut(Region<'_, S>) -> io::Result<()> + 'v;

/// A file system planned to the last byte.
pub trait Plan: Sync {
    /// Names the structures on disk.
    type Structure: Clone + Send;

    /// Bytes of the file system.
    fn bytes(&self) -> u64;

    /// Shows every stretch of metadata, also those that are zero.
    ///
    /// # Errors
    /// Whatever `visit` returns.
    fn metadata(&self, visit: &mut Visit<'_, Self::Structure>) -> io::Result<()>;

    /// What stands `offset` bytes into a stretch that starts with `what`, and which bytes of the stretch it takes.
    fn structure_at(&self, what: &Self::Structure, offset: u64) -> (Self::Structure, Range<u64>);

    /// Files with content and where it lies.
    fn files(&self) -> impl Iterator<Item = (&TreePath, &Content, &[Run])>;

    /// What holds neither metadata nor content, ascending: it is zero in a fresh image.
    fn unused(&self) -> Vec<Range<u64>>;

    /// The name for a file's content, or for the unused end of its last unit.
    fn content_of(path: &TreePath) -> Self::Structure;

    /// The name for a unit that nothing uses.
    fn unused_unit(unit: u64) -> Self::Structure;

    /// Writes the file system into `out`, `offset` bytes from its start.
    ///
    /// The region must read as zeros before, as a new file does: units of zeros are not written, so that the file stays
    /// sparse. A shorter file is lengthened to the region's end. `progress` is told of bytes written since it was last
    /// told.
    ///
    /// # Errors
    /// When `out` cannot be written or a content cannot be read.
    fn write(&self, out: &File, offset: u64, progress: &mut dyn FnMut(u64)) -> io::Result<()>
    where
        Self: Sized,
    {
        write::write(self, out, offset, progress)
    }

    /// Compares an image with the plan, the file system starting `offset` bytes into it: metadata byte by byte, contents
    /// by their SHA-256, and everything else must be zero. An image that was mounted for writing differs. At most
    /// [`MOST_DIFFERENCES`] are returned: those of metadata, then of contents, then of unused units.
    ///
    /// # Errors
    /// When the image cannot be read or ends too early.
    fn compare(&self, image: &File, offset: u64) -> io::Result<Vec<Difference<Self::Structure>>>
    where
        Self: Sized,
    {
        compare::compare(self, image, offset)
    }
}
