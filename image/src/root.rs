//! The root file system, as each flavour has it: ext4 on Debian, UFS2 on FreeBSD. Both are planned,
//! written, read back and compared behind one face.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use clawdie_ext4::Plan as _;
use clawdie_tree::{ContentFile, Tree};
use uuid::Uuid;

use crate::disk::{PartitionKind, PartitionPlan};
use crate::error::{ErrorKind, Result, ResultExt};
use crate::identity::Identity;
use crate::manifest::FileSystem;
use crate::order::Order;
use crate::recipe::{Flavour, Role};

const MIB: u64 = 1 << 20;
/// Descriptor blocks of ext4 are reserved for growth to this size: the largest disks a host gets.
const GROW_TO: u64 = 2 << 40;
/// Bytes of ext4's journal.
const JOURNAL: u64 = 32 * MIB;
/// What a partition whose `free-mib` the recipe leaves out keeps free.
const FREE_MIB: u64 = 64;

/// A planned root file system.
pub(crate) enum Layout {
    Ext4(Box<clawdie_ext4::Layout>),
    Ufs2(Box<clawdie_ufs2::Layout>),
}

impl Layout {
    /// Plans the root of the order's flavour: of the size that `tree` needs, or of `exact_size` bytes.
    pub(crate) fn new(
        order: &Order<'_>,
        identity: &Identity,
        tree: &Tree,
        exact_size: Option<u64>,
    ) -> Result<Self> {
        let part = order.recipe.partition(Role::Root)?;
        let label = part.label.clone().unwrap_or_default();
        let free = part.free_mib.unwrap_or(FREE_MIB) * MIB;
        let epoch = order.checkout.epoch;
        match order.recipe.flavour {
            Flavour::Debian => ext4(
                tree,
                &clawdie_ext4::Options {
                    uuid: *identity.root_file_system().as_bytes(),
                    hash_seed: *identity.hash_seed().as_bytes(),
                    label,
                    epoch,
                    free,
                    grow_to: GROW_TO,
                    journal: JOURNAL,
                    exact_size,
                },
            ),
            Flavour::Freebsd => ufs2(
                tree,
                &clawdie_ufs2::Options {
                    id: identity.root_id(),
                    label,
                    epoch,
                    free,
                    exact_size,
                    ..Default::default()
                },
            ),
        }
    }

    /// Bytes of the file system.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Ext4(layout) => layout.len(),
            Self::Ufs2(layout) => layout.len(),
        }
    }

    /// The bytes that hold something, from the start of the file system.
    pub(crate) fn used(&self) -> Vec<Range<u64>> {
        match self {
            Self::Ext4(layout) => layout.used(),
            Self::Ufs2(layout) => layout.used(),
        }
    }

    /// Writes it, starting `offset` bytes into `image`.
    pub(crate) fn write(
        &self,
        image: &File,
        offset: u64,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        match self {
            Self::Ext4(layout) => layout.write(image, offset, progress),
            Self::Ufs2(layout) => layout.write(image, offset, progress),
        }
    }

    /// What differs in an image, the file system starting `offset` bytes into it.
    fn compare(&self, image: &File, offset: u64) -> io::Result<Vec<String>> {
        fn told(differences: &[impl ToString]) -> Vec<String> {
            differences.iter().map(ToString::to_string).collect()
        }
        match self {
            Self::Ext4(layout) => Ok(told(&layout.compare(image, offset)?)),
            Self::Ufs2(layout) => Ok(told(&layout.compare(image, offset)?)),
        }
    }
}

fn ext4(tree: &Tree, options: &clawdie_ext4::Options) -> Result<Layout> {
    let layout = clawdie_ext4::layout(tree, options).or_error(ErrorKind::BadInput, || {
        "the root does not fit into an ext4 file system".into()
    })?;
    Ok(Layout::Ext4(Box::new(layout)))
}

fn ufs2(tree: &Tree, options: &clawdie_ufs2::Options) -> Result<Layout> {
    let layout = clawdie_ufs2::layout(tree, options).or_error(ErrorKind::BadInput, || {
        "the root does not fit into a UFS2 file system".into()
    })?;
    Ok(Layout::Ufs2(Box::new(layout)))
}

/// How the root of this order is made, for the manifest.
pub(crate) fn describe(order: &Order<'_>, identity: &Identity, label: String) -> FileSystem {
    match order.recipe.flavour {
        Flavour::Debian => FileSystem::Ext4 {
            label,
            uuid: identity.root_file_system().to_string(),
            hash_seed: identity.hash_seed().to_string(),
            journal: JOURNAL,
            grow_to: GROW_TO,
        },
        Flavour::Freebsd => FileSystem::Ufs2 {
            label,
            id: clawdie_tree::hex(identity.root_id()),
        },
    }
}

/// A root that was read back.
pub(crate) struct Found {
    /// Its tree.
    pub(crate) tree: Tree,
    id: String,
    again: Result<Layout>,
}

/// Reads the root in `place`, and plans it anew from what was read.
///
/// # Errors
/// Why it cannot be read, for people.
pub(crate) fn read(
    image: &Arc<ContentFile>,
    place: &PartitionPlan,
) -> std::result::Result<Found, String> {
    if place.kind == PartitionKind::FreebsdUfs {
        let found = clawdie_ufs2::read(image.clone(), place.offset(), place.len)
            .map_err(|error| error.to_string())?;
        return Ok(Found {
            id: clawdie_tree::hex(found.options.id),
            again: ufs2(&found.tree, &found.options),
            tree: found.tree,
        });
    }
    let found = clawdie_ext4::read(image.clone(), place.offset(), place.len)
        .map_err(|error| error.to_string())?;
    Ok(Found {
        id: Uuid::from_bytes(found.options.uuid).to_string(),
        again: ext4(&found.tree, &found.options),
        tree: found.tree,
    })
}

/// What contradicts itself in the root in `place`, whoever made it. Of ext4 nothing is known beyond
/// what [`Found::faults`] tells.
///
/// # Errors
/// When the image cannot be read.
pub(crate) fn check(image: &File, place: &PartitionPlan) -> io::Result<Vec<String>> {
    if place.kind != PartitionKind::FreebsdUfs {
        return Ok(Vec::new());
    }
    let faults = clawdie_ufs2::check(image, place.offset(), place.len)?;
    Ok(faults.iter().map(ToString::to_string).collect())
}

impl Found {
    /// What our writer would have written otherwise.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub(crate) fn faults(&self, image: &File, place: &PartitionPlan) -> Result<Vec<String>> {
        match &self.again {
            Ok(layout) => Ok(layout.compare(image, place.offset())?),
            Err(error) => Ok(vec![error.to_string()]),
        }
    }

    /// Its identifier, where it is not the one that the manifest names.
    pub(crate) fn foreign_id(&self, described: Option<&FileSystem>) -> Option<String> {
        let wanted = match described {
            Some(FileSystem::Ext4 { uuid, .. }) => Some(uuid),
            Some(FileSystem::Ufs2 { id, .. }) => Some(id),
            Some(FileSystem::Fat32 { .. }) | None => None,
        };
        (wanted != Some(&self.id)).then(|| self.id.clone())
    }
}
