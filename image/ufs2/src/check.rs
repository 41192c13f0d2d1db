//! Finds what contradicts itself in a file system, as `fsck_ffs -n` does (`sbin/fsck_ffs/pass1.c` to
//! `pass5.c`), from any state: one that was just made, or one that was mounted and unmounted.
//!
//! The image is not trusted: see [`crate::disk`]. Every block of addresses is read once and every
//! directory entered once, whatever they say; memory stays in proportion to the image's size, a bit
//! for each fragment, and to its inodes.

mod groups;
mod inodes;
mod names;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io;

use clawdie_tree::TreePath;

use crate::bytes::Fields;
use crate::disk::{Volume, Window, superblock_faults};
use crate::geometry::{FRAG, ROOT, SUMMARY, SUPER_AT, SUPER_COPY};
use crate::structure::Structure;
use crate::superblock::{self, RECOVERY, recovery};

/// How many faults are told of; something else altogether has no end of them.
pub const MOST_FAULTS: usize = 1000;

/// A contradiction in a file system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{structure}: {fault}")]
pub struct Fault {
    /// The structure that is wrong.
    pub structure: Structure,
    /// What is wrong with it.
    pub fault: String,
}

/// Checks the structure of the file system that lies in `len` bytes of `image` from `offset` on:
/// superblock and copies, check hashes, inodes and their blocks, directories, links, maps and counts.
/// Contents of files are not looked at. At most [`MOST_FAULTS`] are returned; none for a sound one.
///
/// # Errors
/// When the image cannot be read.
pub fn check(image: &File, offset: u64, len: u64) -> io::Result<Vec<Fault>> {
    let mut faults = Faults::default();
    let window = Window::new(image, offset, len)?;
    let volume = match Volume::open(window)? {
        Ok(volume) => volume,
        Err(fault) => {
            faults.add(Structure::Superblock, fault);
            return Ok(faults.list);
        }
    };
    superblocks(&volume, &mut faults)?;
    let groups = groups::headers(&volume, &mut faults)?;
    let mut found = inodes::scan(&volume, &groups, &mut faults)?;
    let paths = names::walk(&volume, &mut found, &mut faults)?;
    groups::maps(&volume, &groups, &found, &mut faults)?;
    for fault in &mut faults.list {
        if let Structure::Inode { number, path } = &mut fault.structure {
            *path = paths.get(number).cloned();
        }
    }
    faults.list.truncate(MOST_FAULTS);
    Ok(faults.list)
}

/// The first name of every inode that has one.
type Paths = HashMap<u64, TreePath>;

/// What was found so far.
#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    fn add(&mut self, structure: Structure, fault: impl ToString) {
        if self.list.len() < MOST_FAULTS {
            let fault = fault.to_string();
            self.list.push(Fault { structure, fault });
        }
    }

    fn inode(&mut self, number: u64, fault: impl ToString) {
        self.add(Structure::Inode { number, path: None }, fault);
    }
}

/// The superblock, its copies, and the note on where these lie.
fn superblocks(volume: &Volume<'_>, faults: &mut Faults) -> io::Result<()> {
    let geometry = &volume.geometry;
    for fault in superblock_faults(&volume.raw, geometry, SUPER_AT) {
        faults.add(Structure::Superblock, fault);
    }
    for (name, at, wanted) in [("fs_clean", 209, 1), ("fs_fmod", 208, 0)] {
        let is = volume.raw[at];
        if is != wanted {
            let fault = format!("byte {at}: {name} is {is}, not {wanted}: it was not unmounted");
            faults.add(Structure::Superblock, fault);
        }
    }
    let unknown = volume.raw.get32(1312) & !superblock::KNOWN_FLAGS;
    if unknown != 0 {
        let fault = format!("byte 1312: fs_flags has unknown or bad flags {unknown:#x}");
        faults.add(Structure::Superblock, fault);
    }
    if volume.raw.get32(1116) != 0 {
        // The list is dense. A snapshot's inode has addresses of its own kind.
        let fault = "byte 1116: fs_snapinum names a snapshot, and these are not understood";
        faults.add(Structure::Superblock, fault);
    }
    let summary = volume.summary_at();
    if let Some(fault) = summary_fault(volume) {
        let fault = format!("byte 1096: fs_csaddr: fragment {summary} {fault}");
        faults.add(Structure::Superblock, fault);
    }
    let usable = geometry.frags - SUPER_COPY - geometry.summary();
    let data = usable - geometry.groups * (geometry.data() - SUPER_COPY);
    if volume.raw.get64(1088) != data {
        let is = volume.raw.get64(1088);
        let fault = format!("byte 1088: fs_dsize is {is}, not {data}");
        faults.add(Structure::Superblock, fault);
    }
    for group in 0..geometry.groups {
        let place = volume.copy_at(group);
        let raw = volume.window.read(place, superblock::SIZE)?;
        let structure = Structure::SuperblockCopy { group };
        for fault in superblock_faults(&raw, geometry, place) {
            faults.add(structure.clone(), fault);
        }
        if raw[144..152] != volume.raw[144..152] {
            faults.add(structure, "byte 144: fs_id is not the superblock's");
        }
    }
    let place = SUPER_AT - RECOVERY as u64;
    let note = volume.window.read(place, RECOVERY as u64)?;
    // growfs does not count its new groups there.
    let groups = u64::from(note.get32(RECOVERY - 4)).clamp(1, geometry.groups);
    if note != recovery(groups) {
        let fault = format!("byte {place}: does not say where the superblock's copies lie");
        faults.add(Structure::BootArea, fault);
    }
    Ok(())
}

/// Why the summary cannot lie where the superblock says.
fn summary_fault(volume: &Volume<'_>) -> Option<&'static str> {
    let len = volume.geometry.summary();
    let start = volume.summary_at();
    if start
        .checked_add(len)
        .is_none_or(|end| end > volume.geometry.frags)
    {
        return Some("lies outside of the file system");
    }
    (start..start + len).find_map(|frag| volume.address_fault(frag, 1))
}

/// The groups' entries in the summary; none when it lies nowhere.
fn summary(volume: &Volume<'_>) -> io::Result<Option<Vec<u8>>> {
    if summary_fault(volume).is_some() {
        return Ok(None);
    }
    let len = volume.geometry.groups * SUMMARY;
    Ok(Some(volume.window.read(volume.summary_at() * FRAG, len)?))
}

/// Whether a number can be that of an inode in use.
fn is_inode(volume: &Volume<'_>, number: u64) -> bool {
    (u64::from(ROOT)..volume.inodes()).contains(&number)
}
