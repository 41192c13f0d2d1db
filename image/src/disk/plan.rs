//! Where the partitions lie and what they are called.

use sha2::{Digest, Sha256};
use uuid::{Uuid, uuid};

use super::{SECTOR, freebsd};
use crate::{Error, Result};

/// Partitions start and end on whole mebibytes, as every partitioner since 2010 does: that suits
/// the erase blocks of flash and every sector size.
pub const ALIGN: u64 = 1 << 20;

/// Sectors of the partition array: 128 entries of 128 bytes.
pub(super) const ARRAY_SECTORS: u64 = 32;
/// How many partitions the array can hold.
const MAX_PARTITIONS: usize = 128;
/// A partition name is at most 36 UTF-16 units.
pub(super) const NAME_UNITS: usize = 36;

/// What a partition is for: its GPT type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionKind {
    /// Microsoft basic data: the one type to which Windows gives a drive letter.
    BasicData,
    /// BIOS boot: where GRUB keeps its `core.img`.
    BiosBoot,
    /// FreeBSD boot: where `pmbr` finds `gptboot`.
    FreebsdBoot,
    /// EFI system partition.
    EfiSystem,
    /// Linux root for x86-64, by the discoverable partitions specification.
    LinuxRootX86_64,
    /// FreeBSD UFS.
    FreebsdUfs,
    /// Anything else; never written by us.
    Other(Uuid),
}

impl PartitionKind {
    const KNOWN: [Self; 6] = [
        Self::BasicData,
        Self::BiosBoot,
        Self::FreebsdBoot,
        Self::EfiSystem,
        Self::LinuxRootX86_64,
        Self::FreebsdUfs,
    ];

    /// The type GUID.
    pub fn type_guid(self) -> Uuid {
        match self {
            Self::BasicData => uuid!("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"),
            Self::BiosBoot => uuid!("21686148-6449-6e6f-744e-656564454649"),
            Self::FreebsdBoot => uuid!("83bd6b9d-7f41-11dc-be0b-001560b84f0f"),
            Self::EfiSystem => uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
            Self::LinuxRootX86_64 => uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
            Self::FreebsdUfs => uuid!("516e7cb6-6ecf-11d6-8ff8-00022d09712b"),
            Self::Other(guid) => guid,
        }
    }

    /// The kind that has this type GUID.
    pub fn from_type_guid(guid: Uuid) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|kind| kind.type_guid() == guid)
            .unwrap_or(Self::Other(guid))
    }
}

/// A partition that is wanted: what it is and how big it must be at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSize {
    /// GPT name, at most 36 UTF-16 units, unlike all others.
    pub name: String,
    /// GPT type.
    pub kind: PartitionKind,
    /// Bytes wanted; rounded up to [`ALIGN`], except for FreeBSD's boot code, which must stay small.
    pub len: u64,
}

/// A partition in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPlan {
    /// GPT name.
    pub name: String,
    /// GPT type.
    pub kind: PartitionKind,
    /// GUID of this one partition: `PARTUUID` on Linux.
    pub guid: Uuid,
    /// First sector.
    pub first_lba: u64,
    /// Bytes, a multiple of the sector.
    pub len: u64,
}

impl PartitionPlan {
    /// First byte in the image.
    pub fn offset(&self) -> u64 {
        self.first_lba * SECTOR
    }

    /// Last sector.
    pub fn last_lba(&self) -> u64 {
        self.first_lba + self.len / SECTOR - 1
    }
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskPlan {
    /// GUID of the disk.
    pub disk_guid: Uuid,
    /// Bytes of the whole image.
    pub len: u64,
    /// The partitions in the order of the table, which is their order on disk.
    pub partitions: Vec<PartitionPlan>,
}

impl DiskPlan {
    /// Places `sizes` one after another, each on a whole mebibyte, and leaves one mebibyte before and
    /// after them for the two copies of the table. All GUIDs follow from `seed`.
    ///
    /// # Errors
    /// When a name is empty, too long or used twice, or a size is zero or absurd.
    pub fn layout(seed: &[u8; 32], sizes: &[PartitionSize]) -> Result<Self> {
        if sizes.len() > MAX_PARTITIONS {
            return Err(Error::bad_input(format!(
                "{} partitions do not fit into a GPT, which holds {MAX_PARTITIONS}",
                sizes.len()
            )));
        }
        let mut at = ALIGN;
        let mut partitions: Vec<PartitionPlan> = Vec::with_capacity(sizes.len());
        for PartitionSize { name, kind, len } in sizes {
            let units = name.encode_utf16().count();
            if units == 0 || units > NAME_UNITS || name.contains('\0') {
                return Err(Error::bad_input(format!(
                    "partition name `{name}` must have 1 to {NAME_UNITS} characters"
                )));
            }
            if partitions.iter().any(|before| before.name == *name) {
                return Err(Error::bad_input(format!(
                    "two partitions are called `{name}`"
                )));
            }
            // `pmbr` loads the whole partition: one of a mebibyte would not fit below 0x90000.
            let (step, most) = match kind {
                PartitionKind::FreebsdBoot => (SECTOR, freebsd::MAX_PARTITION),
                _ => (ALIGN, 1 << 50),
            };
            let len = len
                .checked_next_multiple_of(step)
                .filter(|&len| len > 0 && len <= most)
                .ok_or_else(|| {
                    Error::bad_input(format!("partition `{name}` cannot be {len} bytes long"))
                })?;
            partitions.push(PartitionPlan {
                name: name.clone(),
                kind: *kind,
                guid: guid(seed, &format!("partition {name}")),
                first_lba: at / SECTOR,
                len,
            });
            at = (at + len).next_multiple_of(ALIGN);
        }
        Ok(Self {
            disk_guid: guid(seed, "disk"),
            len: at + ALIGN,
            partitions,
        })
    }

    /// The partition called `name`.
    pub fn partition(&self, name: &str) -> Option<&PartitionPlan> {
        self.partitions.iter().find(|found| found.name == name)
    }

    pub(super) fn last_lba(&self) -> u64 {
        self.len / SECTOR - 1
    }

    pub(super) fn first_usable(&self) -> u64 {
        2 + ARRAY_SECTORS
    }

    pub(super) fn last_usable(&self) -> u64 {
        self.last_lba() - ARRAY_SECTORS - 1
    }
}

/// A GUID that follows from the inputs of a build and a name: version 8 (RFC 9562), the first bytes
/// of a SHA-256.
pub fn guid(seed: &[u8; 32], name: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(b"clawdie guid\0")
        .chain_update(seed)
        .chain_update(name.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(name: &str, len: u64) -> PartitionSize {
        PartitionSize {
            name: name.to_owned(),
            kind: PartitionKind::BasicData,
            len,
        }
    }

    #[test]
    fn guids_follow_from_seed_and_name_alone() {
        assert_eq!(guid(&[1; 32], "disk"), guid(&[1; 32], "disk"));
        assert_ne!(guid(&[1; 32], "disk"), guid(&[2; 32], "disk"));
        assert_ne!(guid(&[1; 32], "disk"), guid(&[1; 32], "partition disk"));
        assert_eq!(guid(&[0; 32], "x").get_version_num(), 8);
        assert_eq!(guid(&[0; 32], "x").get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn bad_names_and_sizes_are_refused() {
        for bad in [
            vec![size("", 1)],
            vec![size(&"x".repeat(37), 1)],
            vec![size("twice", 1), size("twice", 1)],
            vec![size("none", 0)],
            vec![size("huge", u64::MAX)],
        ] {
            assert!(DiskPlan::layout(&[0; 32], &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn freebsds_boot_partition_stays_small_and_its_neighbour_aligned() {
        let boot = |len| PartitionSize {
            kind: PartitionKind::FreebsdBoot,
            ..size("bootfs", len)
        };
        let plan = DiskPlan::layout(&[0; 32], &[boot(512 << 10), size("next", 1)]).unwrap();
        assert_eq!(plan.partitions[0].len, 512 << 10);
        assert_eq!(plan.partitions[1].offset(), 2 * ALIGN);
        assert_eq!(plan.len, 4 * ALIGN);
        let error = DiskPlan::layout(&[0; 32], &[boot(ALIGN)]).unwrap_err();
        assert!(error.to_string().contains("`bootfs`"), "{error}");
    }

    proptest! {
        #[test]
        fn partitions_are_aligned_big_enough_and_apart(
            lens in proptest::collection::vec(1..1u64 << 34, 1..12),
        ) {
            let sizes: Vec<_> = lens
                .iter()
                .enumerate()
                .map(|(at, &len)| size(&format!("p{at}"), len))
                .collect();
            let plan = DiskPlan::layout(&[7; 32], &sizes).unwrap();
            let mut end = plan.first_usable();
            for (part, len) in plan.partitions.iter().zip(&lens) {
                prop_assert!(part.len >= *len);
                prop_assert_eq!(part.offset() % ALIGN, 0);
                prop_assert!(part.first_lba >= end);
                end = part.last_lba() + 1;
            }
            prop_assert!(end <= plan.last_usable() + 1);
            prop_assert_eq!(plan.len % ALIGN, 0);
        }
    }
}
