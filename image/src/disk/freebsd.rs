//! FreeBSD's loader for legacy BIOS: `pmbr` in the MBR, `gptboot` in a partition of its own.
//!
//! What `gpart bootcode -b boot/pmbr -p boot/gptboot` does (FreeBSD: `stand/i386/pmbr/pmbr.S`,
//! `lib/geom/part/gpart.8`), without needing the disk to be a device. Neither file is patched:
//! `pmbr` finds the partition by its type and reads all of it to 0x7c00.

use super::SECTOR;
use crate::{Error, Result};

const S: usize = SECTOR as usize;
/// Where the boot code of an MBR ends and the disk's signature begins (`DISKSIG` of `pmbr.S`).
const CODE: usize = 440;
/// How much `pmbr` can load: from 0x7c00 up to 0x90000.
pub const MAX_PARTITION: u64 = 0x9_0000 - 0x7c00;
/// The one path that firmware looks for on a removable disk (UEFI specification 2.10, 3.5.1.1).
pub const EFI_PATH: &str = "EFI/BOOT/BOOTX64.EFI";

/// Prepares FreeBSD's boot code for a partition of `len` bytes: returns the 440 bytes for the MBR
/// and the partition's content, padded to whole sectors.
///
/// # Errors
/// When one of the files is not what its name says, or does not fit.
pub fn embed(pmbr: &[u8], gptboot: &[u8], len: u64) -> Result<([u8; CODE], Vec<u8>)> {
    let wrong = |file: &str, why: String| {
        Error::bad_input(format!("`{file}` of the base {why}"))
            .hint("without it no machine with a BIOS starts the image; is the base set complete?")
    };
    if pmbr.len() != S || pmbr[510..] != [0x55, 0xAA] {
        return Err(wrong("/boot/pmbr", "is not one boot sector".to_owned()));
    }
    // The table's entries begin at 446: a file with some is the start of a disk, not boot code.
    if pmbr[446..510].iter().any(|&byte| byte != 0) {
        let why = "holds a partition table, so it is not `pmbr`".to_owned();
        return Err(wrong("/boot/pmbr", why));
    }
    if gptboot.is_empty() {
        return Err(wrong("/boot/gptboot", "is empty".to_owned()));
    }
    if gptboot.len() as u64 > len {
        let why = format!("has {} bytes, but its partition only {len}", gptboot.len());
        return Err(wrong("/boot/gptboot", why).hint("raise the partition's `kib` in the recipe"));
    }
    let mut mbr = [0; CODE];
    mbr.copy_from_slice(&pmbr[..CODE]);
    let mut code = gptboot.to_vec();
    code.resize(gptboot.len().next_multiple_of(S), 0);
    Ok((mbr, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pmbr() -> Vec<u8> {
        let mut pmbr = vec![0x90; S];
        pmbr[440..510].fill(0);
        pmbr[510..].copy_from_slice(&[0x55, 0xAA]);
        pmbr
    }

    #[test]
    fn both_files_are_taken_as_they_are() {
        let (mbr, code) = embed(&pmbr(), &[7; S + 1], 512 << 10).unwrap();
        assert_eq!(mbr, [0x90; 440]);
        assert_eq!(code.len(), 2 * S);
        assert_eq!(code[..=S], [7; S + 1]);
        assert_eq!(code[S + 1..], [0; S - 1]);
    }

    #[test]
    fn other_files_are_refused() {
        let good = pmbr();
        assert!(embed(&good[..511], &[1], 1024).is_err());
        let mut unsigned = pmbr();
        unsigned[511] = 0;
        assert!(embed(&unsigned, &[1], 1024).is_err());
        let mut disk = pmbr();
        disk[450] = 0xEE;
        let error = embed(&disk, &[1], 1024).unwrap_err().to_string();
        assert!(error.contains("partition table"), "{error}");
        assert!(embed(&good, &[], 1024).is_err());
        let error = embed(&good, &[1; 1025], 1024).unwrap_err().to_string();
        assert!(error.contains("1025 bytes"), "{error}");
    }
}
