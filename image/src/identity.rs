//! What tells an image apart: its GUIDs, UUIDs and serial numbers.

use sha2::Digest;
use uuid::Uuid;

use crate::base::Base;
use crate::disk;
use crate::error::{ErrorKind, Result, ResultExt};
use crate::order::Order;
use crate::recipe::Role;

/// Everything that has a GUID, a UUID or a serial number, before any size is known.
///
/// All of it follows from what the image is (version, flavour, release, base, layout), not from our
/// own files: one changed file changes that file's bytes in the image and little else.
#[derive(Debug, Clone)]
pub struct Identity {
    seed: [u8; 32],
    root_name: String,
}

impl Identity {
    /// Derives the identity of an image.
    ///
    /// # Errors
    /// When the recipe cannot be hashed or has no root.
    pub fn new(order: &Order<'_>, base: &Base) -> Result<Self> {
        let recipe = order.recipe;
        let partitions = serde_json::to_vec(&recipe.partitions)
            .or_error(ErrorKind::Failed, || "hashing the recipe".into())?;
        let mut hasher = sha2::Sha256::new();
        let parts: [&[u8]; 5] = [
            order.version.as_bytes(),
            recipe.flavour.name().as_bytes(),
            recipe.release.as_bytes(),
            base.key.as_bytes(),
            &partitions,
        ];
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let root_name = recipe.partition(Role::Root)?.name.clone();
        Ok(Self {
            seed: hasher.finalize().into(),
            root_name,
        })
    }

    /// GUID of the root partition.
    pub fn root_partition(&self) -> Uuid {
        disk::guid(&self.seed, &format!("partition {}", self.root_name))
    }

    /// UUID of the root file system.
    pub fn root_file_system(&self) -> Uuid {
        disk::guid(&self.seed, "root file system")
    }

    /// The same in the eight bytes that UFS2 has for it.
    pub fn root_id(&self) -> [u8; 8] {
        self.root_file_system().as_u64_pair().0.to_be_bytes()
    }

    /// Seed of the root's directory hash.
    pub fn hash_seed(&self) -> Uuid {
        disk::guid(&self.seed, "directory hash")
    }

    /// Serial number of the FAT volume in the partition called `name`.
    pub fn volume_id(&self, name: &str) -> u32 {
        let guid = disk::guid(&self.seed, &format!("volume {name}"));
        guid.as_fields().0
    }

    /// What the disk's and the partitions' GUIDs are derived from.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}
