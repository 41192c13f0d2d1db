//! What a volume keeps twice or counts besides its files: copies, tables, free clusters. Wrong here
//! means damage, but every file can still be read.

use std::os::unix::fs::FileExt;

use super::super::u32_at;
use super::Walk;
use crate::disk::SECTOR;

impl Walk<'_> {
    /// The boot sector against its copy, and FSInfo against the table.
    pub(super) fn boot_sectors(&mut self) {
        let (volume, offset) = (self.volume, self.volume.offset);
        let boot = &volume.boot;
        let sector = |number: u32| {
            let at = offset + u64::from(number) * SECTOR;
            let mut bytes = [0; SECTOR as usize];
            let read = volume.image.read_exact_at(&mut bytes, at);
            (at, bytes, read.is_ok())
        };
        let (at, first, _) = sector(0);
        let (backup_at, backup, read) = sector(boot.backup);
        let differs = (0..first.len()).find(|&byte| first[byte] != backup[byte]);
        if let Some(byte) = differs.or((!read).then_some(0)) {
            // Whichever is not what we would have written is the one that changed.
            let (at, place) = match boot.encode()[byte] == first[byte] {
                true => (backup_at, "FAT32 backup boot sector"),
                false => (at, "FAT32 boot sector"),
            };
            let what = format!(
                "the two differ: {:#04x}, {:#04x}",
                first[byte], backup[byte]
            );
            self.note(at + byte as u64, place, what, false);
        }
        // Only ours are held against the place of the partition: others count differently.
        if u64::from(boot.hidden_sectors) * SECTOR != offset && offset != 0 {
            let what = format!(
                "it says that the volume starts at sector {}",
                boot.hidden_sectors
            );
            self.note(at + 28, "FAT32 boot sector", what, false);
        }
        let free = (2..boot.geometry.clusters + 2)
            .filter(|&cluster| volume.next(cluster) == 0)
            .count();
        for (number, place) in [
            (boot.fsinfo, "FAT32 FSInfo"),
            (boot.backup + boot.fsinfo, "FAT32 backup FSInfo"),
        ] {
            let (at, info, read) = sector(number);
            let (said, next) = (u32_at(&info, 488), u32_at(&info, 492));
            let first = number == boot.fsinfo;
            if !read
                || info[..4] != *b"RRaA"
                || info[484..488] != *b"rrAa"
                || info[510..] != [0x55, 0xAA]
            {
                self.note(at, place, "its signatures are missing", false);
            } else if first && said != u32::MAX && said as usize != free {
                self.note(
                    at + 488,
                    place,
                    format!("{said} clusters free, but it is {free}"),
                    false,
                );
            } else if first && next != u32::MAX && !boot.geometry.has(next) {
                self.note(
                    at + 492,
                    place,
                    "the next free cluster lies outside the volume",
                    false,
                );
            }
        }
    }

    /// The tables against one another and against the chains that were walked.
    pub(super) fn tables(&mut self) {
        let volume = self.volume;
        let geometry = volume.boot.geometry;
        if geometry.fats == 2 && volume.boot.only_fat.is_none() {
            let mut second = vec![0; volume.table.len()];
            let at = volume.offset + geometry.fat_at(1);
            if volume.image.read_exact_at(&mut second, at).is_err() {
                self.note(at, "FAT32 second table", "it cannot be read", false);
            } else if let Some(byte) =
                (0..second.len()).find(|&byte| second[byte] != volume.table[byte])
            {
                let what = format!("the two tables differ for cluster {}", byte / 4);
                self.note(at + byte as u64, "FAT32 second table", what, false);
            }
        }
        let marks = u32_at(&volume.table, 4) & 0x0FFF_FFFF;
        if marks & 0x0C00_0000 != 0x0C00_0000 {
            let what = "the volume was not unmounted, or had errors";
            self.note(volume.table_at(1), "FAT32 table", what, false);
        }
        if u32_at(&volume.table, 0) & 0x0FFF_FFFF != 0x0FFF_FFF8
            || marks | 0x0C00_0000 != 0x0FFF_FFFF
        {
            let what = "its first two entries are not what they must be";
            self.note(volume.table_at(0), "FAT32 table", what, false);
        }
        let lost = |cluster: &u32| {
            !self.scan.used[*cluster as usize] && !matches!(volume.next(*cluster), 0 | 0x0FFF_FFF7)
        };
        let lost: Vec<u32> = (2..geometry.clusters + 2).filter(lost).collect();
        if let Some(&first) = lost.first() {
            let what = format!(
                "{} clusters, the first {first}, belong to no file",
                lost.len()
            );
            self.note(volume.table_at(first), "FAT32 table", what, false);
        }
    }
}
