//! Any difference at all between a volume and what we would have written.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use clawdie_tree::{Tree, TreePath};

use super::geometry::BootSector;
use super::scan::Volume;
use super::{Options, read_volume, write};
use crate::disk::{Fault, SECTOR};
use crate::{Error, Result};

const STEP: usize = 1 << 20;
/// More than this says nothing new.
const MOST: usize = 20;

/// Compares the volume at byte `offset` of `image` with what [`write`] makes of `tree` and `options`,
/// byte for byte; names the structure or the file of each difference.
///
/// # Errors
/// When the tree cannot be written or the image not be read.
pub fn compare(tree: &Tree, options: &Options, image: &File, offset: u64) -> Result<Vec<Fault>> {
    let expected = tempfile::tempfile()?;
    expected.set_len(options.len)?;
    write(tree, options, &expected, 0)?;
    let boot = BootSector::new(options)?;
    let owners = owners(&expected, options.len)?;
    let mut faults: Vec<Fault> = Vec::new();
    let (mut wanted, mut found) = (vec![0; STEP], vec![0; STEP]);
    let mut at = 0;
    while at < options.len {
        let len = (options.len - at).min(STEP as u64) as usize;
        let (wanted, found) = (&mut wanted[..len], &mut found[..len]);
        expected.read_exact_at(wanted, at)?;
        image.read_exact_at(found, offset + at)?;
        let pairs = wanted
            .chunks(SECTOR as usize)
            .zip(found.chunks(SECTOR as usize));
        for (number, (wanted, found)) in pairs.enumerate() {
            let Some(byte) = (0..wanted.len()).find(|&byte| wanted[byte] != found[byte]) else {
                continue;
            };
            let byte_at = at + number as u64 * SECTOR + byte as u64;
            let place = place(&boot, &owners, byte_at);
            if faults.iter().all(|fault| fault.place != place) {
                let what = format!("{:#04x} instead of {:#04x}", found[byte], wanted[byte]);
                faults.push(Fault::new(offset + byte_at, place, what));
            }
            if faults.len() == MOST {
                return Ok(faults);
            }
        }
        at += len as u64;
    }
    Ok(faults)
}

/// Reads the volume, writes it again and compares: finds every byte that our writer would not have
/// left so, down to unused ones. Only for a volume that nobody has written to since.
///
/// # Errors
/// When the volume cannot be read.
pub fn remake(image: &File, offset: u64, len: u64) -> Result<Vec<Fault>> {
    let (options, tree) = read_volume(image, offset, len)?;
    if options.len != len {
        let what = format!("the volume has {} bytes, its partition {len}", options.len);
        return Ok(vec![Fault::new(offset + 32, "FAT32 boot sector", what)]);
    }
    compare(&tree, &options, image, offset)
}

/// Which node each cluster of a volume belongs to.
fn owners(volume: &File, len: u64) -> Result<HashMap<u32, TreePath>> {
    let volume = Volume::open(volume, 0, len).map_err(|fault| Error::failed(fault.to_string()))?;
    let chains = volume.scan().chains.into_iter();
    Ok(chains
        .flat_map(|(path, chain)| {
            chain
                .into_iter()
                .map(move |cluster| (cluster, path.clone()))
        })
        .collect())
}

/// The name of what lies at a byte of the volume.
fn place(boot: &BootSector, owners: &HashMap<u32, TreePath>, at: u64) -> String {
    let geometry = &boot.geometry;
    let Some(in_data) = at.checked_sub(geometry.data_at()) else {
        let sector = (at / SECTOR) as u32;
        let what = match sector.checked_sub(geometry.reserved) {
            Some(table) if table < geometry.fat_sectors => "first table",
            Some(_) => "second table",
            None if sector == 0 => "boot sector",
            None if sector == boot.fsinfo => "FSInfo",
            None if sector == boot.backup => "backup boot sector",
            None if sector == boot.backup + boot.fsinfo => "backup FSInfo",
            None => "reserved sectors",
        };
        return format!("FAT32 {what}");
    };
    let cluster = 2 + (in_data / geometry.cluster_len()) as u32;
    match owners.get(&cluster) {
        Some(path) => format!("FAT32 clusters of `{path}`"),
        None => "FAT32 free clusters".to_owned(),
    }
}
