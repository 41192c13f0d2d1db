//! How a volume is divided: reserved sectors, two tables, clusters.

use super::{Label, MIN_LEN, Options, put, u16_at, u32_at};
use crate::disk::SECTOR;
use crate::{Error, Result};

/// Fewer clusters than this are FAT16, by definition.
const FAT32_MIN_CLUSTERS: u32 = 65525;
/// More than this cannot be numbered.
const FAT32_MAX_CLUSTERS: u32 = 0x0FFF_FFF5;
/// Sectors before the first table; those between the boot sectors and the table are unused.
const RESERVED: u32 = 32;
/// Tables start and clusters lie on multiples of this many sectors: the pages of flash.
const PAGE: u32 = 8;

pub(super) const FSINFO_SECTOR: u32 = 1;
pub(super) const BACKUP_SECTOR: u32 = 6;
pub(super) const ROOT_CLUSTER: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) sectors: u32,
    pub(super) sectors_per_cluster: u32,
    pub(super) reserved: u32,
    pub(super) fats: u32,
    pub(super) fat_sectors: u32,
    pub(super) clusters: u32,
}

impl Geometry {
    /// The one geometry that [`super::write`] gives a volume of `len` bytes.
    pub(super) fn for_len(len: u64) -> Result<Self> {
        if len < MIN_LEN || !len.is_multiple_of(SECTOR) {
            return Err(Error::bad_input(format!(
                "a FAT32 volume cannot have {len} bytes: at least {MIN_LEN}, in sectors of {SECTOR}"
            ))
            .hint("give the partition 33 MiB or more"));
        }
        let Ok(sectors) = u32::try_from(len / SECTOR) else {
            return Err(Error::bad_input("a FAT32 volume ends at 2 TiB"));
        };
        // The sizes that Windows takes.
        let sectors_per_cluster = match len >> 20 {
            0..=260 => 1,
            261..=8192 => 8,
            8193..=16384 => 16,
            16385..=32768 => 32,
            _ => 64,
        };
        // The smallest tables that cover the clusters they leave room for: `n` sectors of table hold
        // 128 n entries, two of them for nothing, and take 2 n sectors away from the clusters.
        let available = sectors - RESERVED;
        let fat_sectors = (u64::from(available) + 2 * u64::from(sectors_per_cluster))
            .div_ceil(u64::from(128 * sectors_per_cluster + 2)) as u32;
        let reserved = (RESERVED + 2 * fat_sectors).next_multiple_of(PAGE) - 2 * fat_sectors;
        Ok(Self {
            sectors,
            sectors_per_cluster,
            reserved,
            fats: 2,
            fat_sectors,
            clusters: (sectors - reserved - 2 * fat_sectors) / sectors_per_cluster,
        })
    }

    pub(super) fn cluster_len(&self) -> u64 {
        u64::from(self.sectors_per_cluster) * SECTOR
    }

    /// First byte of table `number` in the volume.
    pub(super) fn fat_at(&self, number: u32) -> u64 {
        (u64::from(self.reserved) + u64::from(number) * u64::from(self.fat_sectors)) * SECTOR
    }

    /// First byte of the clusters in the volume.
    pub(super) fn data_at(&self) -> u64 {
        self.fat_at(self.fats)
    }

    /// First byte of a cluster in the volume.
    pub(super) fn cluster_at(&self, cluster: u32) -> u64 {
        self.data_at() + u64::from(cluster - 2) * self.cluster_len()
    }

    /// Whether a number from a table or an entry is that of a cluster.
    pub(super) fn has(&self, cluster: u32) -> bool {
        (2..self.clusters + 2).contains(&cluster)
    }

    /// How many clusters `len` bytes take.
    pub(super) fn clusters_for(&self, len: u64) -> u64 {
        len.div_ceil(self.cluster_len())
    }
}

/// What a boot sector says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootSector {
    pub(super) geometry: Geometry,
    pub(super) hidden_sectors: u32,
    pub(super) volume_id: u32,
    pub(super) label: Label,
    pub(super) root_cluster: u32,
    pub(super) fsinfo: u32,
    pub(super) backup: u32,
    /// The one table in use when they are not mirrored.
    pub(super) only_fat: Option<u32>,
}

impl BootSector {
    pub(super) fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            geometry: Geometry::for_len(options.len)?,
            hidden_sectors: options.hidden_sectors,
            volume_id: options.volume_id,
            label: options.label.clone(),
            root_cluster: ROOT_CLUSTER,
            fsinfo: FSINFO_SECTOR,
            backup: BACKUP_SECTOR,
            only_fat: None,
        })
    }

    pub(super) fn encode(&self) -> [u8; 512] {
        let mut boot = [0; 512];
        let geometry = &self.geometry;
        put(&mut boot, 0, &[0xEB, 0x58, 0x90]); // jump over the parameters
        put(&mut boot, 3, b"MSWIN4.1"); // some readers believe in no other name
        put(&mut boot, 11, &(SECTOR as u16).to_le_bytes());
        boot[13] = geometry.sectors_per_cluster as u8;
        put(&mut boot, 14, &(geometry.reserved as u16).to_le_bytes());
        boot[16] = geometry.fats as u8;
        boot[21] = 0xF8; // fixed disk
        put(&mut boot, 24, &63u16.to_le_bytes()); // sectors a track
        put(&mut boot, 26, &255u16.to_le_bytes()); // heads
        put(&mut boot, 28, &self.hidden_sectors.to_le_bytes());
        put(&mut boot, 32, &geometry.sectors.to_le_bytes());
        put(&mut boot, 36, &geometry.fat_sectors.to_le_bytes());
        put(&mut boot, 44, &self.root_cluster.to_le_bytes());
        put(&mut boot, 48, &(self.fsinfo as u16).to_le_bytes());
        put(&mut boot, 50, &(self.backup as u16).to_le_bytes());
        boot[64] = 0x80; // BIOS drive
        boot[66] = 0x29; // the next three fields are valid
        put(&mut boot, 67, &self.volume_id.to_le_bytes());
        put(&mut boot, 71, &self.label.0);
        put(&mut boot, 82, b"FAT32   ");
        // Nobody boots from here; who tries asks the BIOS for the next disk (int 18h), then halts.
        put(&mut boot, 90, &[0xCD, 0x18, 0xF4, 0xEB, 0xFD]);
        put(&mut boot, 510, &[0x55, 0xAA]);
        boot
    }

    /// Reads a boot sector of a volume that has `len` bytes; on failure says at which byte and why.
    pub(super) fn decode(boot: &[u8; 512], len: u64) -> Result<Self, (u64, String)> {
        let fault = |at: u64, what: &str| Err((at, what.to_owned()));
        if boot[510..] != [0x55, 0xAA] {
            return fault(510, "no boot signature 55 AA");
        }
        if u64::from(u16_at(boot, 11)) != SECTOR {
            return fault(11, "sectors do not have 512 bytes");
        }
        let sectors_per_cluster = u32::from(boot[13]);
        if !sectors_per_cluster.is_power_of_two() {
            return fault(13, "sectors per cluster are not a power of two");
        }
        if u16_at(boot, 17) != 0 || u16_at(boot, 22) != 0 {
            return fault(17, "this is FAT12 or FAT16, not FAT32");
        }
        let reserved = u32::from(u16_at(boot, 14));
        let fats = u32::from(boot[16]);
        let fat_sectors = u32_at(boot, 36);
        let sectors = u32_at(boot, 32);
        if u64::from(sectors) * SECTOR > len || sectors == 0 {
            return fault(32, "the volume is longer than its partition");
        }
        if reserved == 0 || !(1..=2).contains(&fats) || fat_sectors == 0 {
            return fault(14, "no reserved sectors, or not one or two tables");
        }
        let tables = u64::from(reserved) + u64::from(fats) * u64::from(fat_sectors);
        let Some(data) = u64::from(sectors).checked_sub(tables) else {
            return fault(36, "the tables are longer than the volume");
        };
        // Below u32::MAX, since `sectors` is.
        let clusters = (data / u64::from(sectors_per_cluster)) as u32;
        if !(FAT32_MIN_CLUSTERS..=FAT32_MAX_CLUSTERS).contains(&clusters) {
            return fault(32, "the number of clusters is not one of FAT32");
        }
        if (u64::from(clusters) + 2).div_ceil(128) > u64::from(fat_sectors) {
            return fault(36, "the tables are too short for the clusters");
        }
        let geometry = Geometry {
            sectors,
            sectors_per_cluster,
            reserved,
            fats,
            fat_sectors,
            clusters,
        };
        let root_cluster = u32_at(boot, 44) & 0x0FFF_FFFF;
        if !geometry.has(root_cluster) {
            return fault(44, "the root directory lies outside the volume");
        }
        let (fsinfo, backup) = (u32::from(u16_at(boot, 48)), u32::from(u16_at(boot, 50)));
        if fsinfo == 0 || fsinfo >= reserved {
            return fault(48, "FSInfo does not lie in the reserved sectors");
        }
        if backup == 0 || backup + 1 >= reserved {
            return fault(
                50,
                "the backup boot sector does not lie in the reserved sectors",
            );
        }
        let flags = u16_at(boot, 40);
        let only_fat = (flags & 0x80 != 0).then_some(u32::from(flags & 15));
        if only_fat.is_some_and(|number| number >= fats) {
            return fault(40, "the table in use does not exist");
        }
        let mut label = [0; 11];
        label.copy_from_slice(&boot[71..82]);
        Ok(Self {
            geometry,
            hidden_sectors: u32_at(boot, 28),
            volume_id: u32_at(boot, 67),
            label: Label(label),
            root_cluster,
            fsinfo,
            backup,
            only_fat,
        })
    }
}

/// The sector that tells how much is free.
pub(super) fn fsinfo(free: u32, next: u32) -> [u8; 512] {
    let mut info = [0; 512];
    put(&mut info, 0, b"RRaA");
    put(&mut info, 484, b"rrAa");
    put(&mut info, 488, &free.to_le_bytes());
    put(&mut info, 492, &next.to_le_bytes());
    put(&mut info, 510, &[0x55, 0xAA]);
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn our_two_volumes_are_fat32_with_the_smallest_clusters() {
        for (mib, clusters) in [(33, 66_512), (34, 68_528), (64, 129_024)] {
            let geometry = Geometry::for_len(mib << 20).unwrap();
            assert_eq!(geometry.sectors_per_cluster, 1);
            assert!(geometry.clusters.abs_diff(clusters) < 16, "{geometry:?}");
        }
        assert!(Geometry::for_len(MIN_LEN - SECTOR).is_err());
        assert!(Geometry::for_len(MIN_LEN + 1).is_err());
        assert!(Geometry::for_len(1 << 42).is_err());
    }

    proptest! {
        #[test]
        fn every_length_gives_a_boot_sector_that_can_be_read(sectors in MIN_LEN / SECTOR..u64::from(u32::MAX)) {
            let options = Options {
                label: Label::new("X").unwrap(),
                volume_id: 7,
                len: sectors * SECTOR,
                epoch: 0,
                hidden_sectors: 2048,
            };
            let boot = BootSector::new(&options).unwrap();
            prop_assert_eq!(boot.geometry.data_at() % 4096, 0);
            prop_assert!(boot.geometry.cluster_at(boot.geometry.clusters + 2) <= options.len);
            prop_assert_eq!(BootSector::decode(&boot.encode(), options.len), Ok(boot));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 90)) {
            let mut boot = [0; 512];
            put(&mut boot, 0, &bytes);
            put(&mut boot, 11, &[0, 2]);
            put(&mut boot, 17, &[0, 0]);
            put(&mut boot, 22, &[0, 0]);
            put(&mut boot, 510, &[0x55, 0xAA]);
            let _ = BootSector::decode(&boot, 1 << 40);
        }
    }
}
