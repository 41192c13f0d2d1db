//! GRUB for legacy BIOS: `boot.img` in the MBR, `core.img` in a BIOS boot partition.
//!
//! What `grub-bios-setup` does for a GPT disk (GRUB source: `util/setup.c`, offsets from
//! `include/grub/i386/pc/boot.h`), without needing the disk to be a device.

use super::SECTOR;
use crate::{Error, Result};

const S: usize = SECTOR as usize;
/// Where `boot.img` keeps the sector of `core.img` (`GRUB_BOOT_MACHINE_KERNEL_SECTOR`).
const KERNEL_SECTOR: usize = 0x5c;
/// Where it keeps the BIOS drive to load from (`GRUB_BOOT_MACHINE_BOOT_DRIVE`).
const BOOT_DRIVE: usize = 0x64;
/// Where it jumps over the repair of a wrong drive number (`GRUB_BOOT_MACHINE_DRIVE_CHECK`).
const DRIVE_CHECK: usize = 0x66;
/// One run of sectors in the list at the end of `core.img`'s first sector: start, count, segment.
const BLOCK: usize = 12;
/// Segment that the second sector of `core.img` is loaded to.
const SEGMENT: u16 = 0x800 + (S >> 4) as u16;
/// The most that `core.img` may have: what upstream allows, (0x78000 - `LINK_ADDR`) / 512.
const MAX_SECTORS: usize = (0x78000 - 0x9000) / S;

/// Prepares GRUB for a disk on which `core.img` starts at sector `core_lba`: returns the 440 bytes
/// for the MBR and `core.img`, patched and padded to whole sectors.
///
/// # Errors
/// When one of the files is not what its name says.
pub fn embed(boot_img: &[u8], core_img: &[u8], core_lba: u64) -> Result<([u8; 440], Vec<u8>)> {
    let wrong = |file: &str, why: String| {
        Error::bad_input(format!("`{file}` of GRUB {why}"))
            .hint("take both from one version of the package `grub-pc-bin`")
    };
    if boot_img.len() != S || boot_img[510..] != [0x55, 0xAA] {
        return Err(wrong("boot.img", "is not one boot sector".to_owned()));
    }
    if boot_img[KERNEL_SECTOR..KERNEL_SECTOR + 8] != 1u64.to_le_bytes() {
        let why = "does not have the sector of `core.img` at byte 0x5c".to_owned();
        return Err(wrong("boot.img", why));
    }
    let sectors = core_img.len().div_ceil(S);
    if !(2..=MAX_SECTORS).contains(&sectors) {
        return Err(wrong(
            "core.img",
            format!("has {sectors} sectors; 2 to {MAX_SECTORS} can be loaded"),
        ));
    }
    let mut mbr = [0; 440];
    mbr.copy_from_slice(&boot_img[..440]);
    mbr[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&core_lba.to_le_bytes());
    mbr[BOOT_DRIVE] = 0xFF; // the drive that the BIOS booted from
    // Let it repair the drive number: there are BIOSes that pass 0x00 or 0x01 for a hard disk.
    mbr[DRIVE_CHECK..DRIVE_CHECK + 2].fill(0x90); // nop

    let mut core = core_img.to_vec();
    core.resize(sectors * S, 0);
    let first = S - BLOCK;
    if core[first + 10..S] != SEGMENT.to_le_bytes() {
        let why = "does not start with a list of sectors, so it is not for `i386-pc`".to_owned();
        return Err(wrong("core.img", why));
    }
    // The list grows downwards: one run, as the partition is one, then an empty entry.
    core[first..first + 8].copy_from_slice(&(core_lba + 1).to_le_bytes());
    core[first + 8..first + 10].copy_from_slice(&((sectors - 1) as u16).to_le_bytes());
    core[first - BLOCK..first].fill(0);
    Ok((mbr, core))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_img() -> Vec<u8> {
        let mut boot = vec![0x11; S];
        boot[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&1u64.to_le_bytes());
        boot[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0xEB, 0x05]);
        boot[510..].copy_from_slice(&[0x55, 0xAA]);
        boot
    }

    fn core_img(len: usize) -> Vec<u8> {
        let mut core = vec![0x22; len];
        core[S - BLOCK..S].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x08]);
        core
    }

    #[test]
    fn both_images_learn_where_they_lie() {
        let (mbr, core) = embed(&boot_img(), &core_img(3 * S + 1), 0x1_2345_6789).unwrap();
        assert_eq!(mbr[0x5c..0x64], 0x1_2345_6789u64.to_le_bytes());
        assert_eq!(mbr[0x64..0x68], [0xFF, 0x11, 0x90, 0x90]);
        assert_eq!(mbr[..0x5c], boot_img()[..0x5c]);
        assert_eq!(mbr[0x68..], boot_img()[0x68..440]);
        assert_eq!(core.len(), 4 * S);
        assert_eq!(core[0x1f4..0x1fc], 0x1_2345_678Au64.to_le_bytes());
        assert_eq!(core[0x1fc..0x200], [3, 0, 0x20, 0x08]);
        assert_eq!(core[0x1e8..0x1f4], [0; 12]);
        assert_eq!(core[S..3 * S + 1], core_img(3 * S + 1)[S..]);
    }

    #[test]
    fn other_files_are_refused() {
        let (boot, core) = (boot_img(), core_img(2 * S));
        assert!(embed(&boot[..511], &core, 2048).is_err());
        assert!(embed(&vec![0; S], &core, 2048).is_err());
        assert!(embed(&boot, &core[..S], 2048).is_err());
        assert!(embed(&boot, &vec![0; 2 * S], 2048).is_err());
        assert!(embed(&boot, &core_img((MAX_SECTORS + 1) * S), 2048).is_err());
    }
}
