//! Inodes and the blocks they claim.

use std::io;

use super::{Faults, is_inode};
use clawdie_runs::{Run, push};

use crate::bytes::Fields;
use crate::disk::{Address, RawInode, Volume};
use crate::geometry::{BLOCK, FRAG, FRAGS, GROUP, INODE, ROOT, SUPER_COPY};
use crate::inode::AREA;
use crate::plan::stored_frags;
use crate::superblock;
use crate::xattr;

/// What is remembered of an inode in use.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    /// The top four bits of its mode.
    pub(super) kind: u8,
    /// How many names it says it has.
    pub(super) links: u16,
    /// How many were found.
    pub(super) names: u64,
    /// Of a directory: where it lies, and its length.
    pub(super) dir: Option<(Vec<Run>, u64)>,
}

impl Inode {
    pub(super) fn is_dir(&self) -> bool {
        self.kind == 4
    }
}

/// All inodes in use, and all fragments.
pub(super) struct Inodes {
    per_group: u64,
    /// By group, as many as are initialised.
    groups: Vec<Vec<Option<Inode>>>,
    /// A bit for each fragment in use.
    claimed: Vec<u8>,
}

impl Inodes {
    pub(super) fn get(&self, number: u64) -> Option<&Inode> {
        let group = self.groups.get((number / self.per_group) as usize)?;
        group.get((number % self.per_group) as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Inode> {
        let group = self.groups.get_mut((number / self.per_group) as usize)?;
        group.get_mut((number % self.per_group) as usize)?.as_mut()
    }

    /// Every inode in use with its number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Inode)> {
        (0..).zip(&self.groups).flat_map(|(group, inodes)| {
            let first = group * self.per_group;
            (first..)
                .zip(inodes)
                .filter_map(|(number, inode)| Some((number, inode.as_ref()?)))
        })
    }

    /// A group's fragments, a bit set for each that is free.
    pub(super) fn free_map(&self, volume: &Volume<'_>, group: u64) -> Vec<u8> {
        let start = volume.geometry.group_start(group);
        let len = volume.geometry.group_len(group);
        let mut map: Vec<u8> = self.claimed[(start / 8) as usize..]
            .iter()
            .take((GROUP / 8) as usize)
            .map(|bits| !bits)
            .collect();
        map.resize((GROUP / 8) as usize, 0);
        for frag in len..GROUP.min(len.next_multiple_of(8)) {
            map[(frag / 8) as usize] &= !(1 << (frag % 8));
        }
        map
    }

    /// Marks fragments as used; says which was used before.
    fn claim(&mut self, at: u64, len: u64) -> Option<u64> {
        let mut twice = None;
        for frag in at..at + len {
            let byte = &mut self.claimed[(frag / 8) as usize];
            if *byte >> (frag % 8) & 1 == 1 {
                twice.get_or_insert(frag);
            }
            *byte |= 1 << (frag % 8);
        }
        twice
    }
}

/// Looks at every inode.
pub(super) fn scan(
    volume: &Volume<'_>,
    initialised: &[u64],
    faults: &mut Faults,
) -> io::Result<Inodes> {
    let geometry = &volume.geometry;
    let mut found = Inodes {
        per_group: geometry.inodes_per_group,
        groups: Vec::with_capacity(initialised.len()),
        claimed: vec![0; geometry.frags.div_ceil(8) as usize],
    };
    for group in 0..geometry.groups {
        let start = geometry.group_start(group);
        let from = if group == 0 { 0 } else { SUPER_COPY };
        found.claim(start + from, geometry.data() - from);
    }
    if super::summary_fault(volume).is_none() {
        found.claim(volume.summary_at(), geometry.summary());
    }
    for (group, initialised) in (0..).zip(initialised) {
        let first = group * geometry.inodes_per_group;
        let mut inodes = Vec::with_capacity(*initialised as usize);
        let raw = volume
            .window
            .read(volume.inode_at(first), initialised * INODE)?;
        for (number, raw) in (first..).zip(raw.as_chunks().0) {
            let inode = RawInode(*raw);
            inodes.push(if is_inode(volume, number) {
                look(volume, number, &inode, &mut found, faults)?
            } else {
                None
            });
        }
        found.groups.push(inodes);
    }
    Ok(found)
}

fn look(
    volume: &Volume<'_>,
    number: u64,
    inode: &RawInode,
    found: &mut Inodes,
    faults: &mut Faults,
) -> io::Result<Option<Inode>> {
    let size = inode.size();
    if inode.mode() == 0 {
        if size != 0 || inode.area() != [0; AREA] {
            faults.inode(number, "it is free, but has a size or addresses");
        }
        return Ok(None);
    }
    if !inode.hash_is_right() {
        faults.inode(number, "its check hash is wrong");
    }
    let kind = inode.kind() as u8;
    let plain = match kind {
        1 | 2 | 6 | 12 => size == 0,
        4 => size <= volume.most_directory() && size > 0 && size.is_multiple_of(512),
        8 => size <= superblock::most_bytes(),
        10 => size <= BLOCK && size > 0,
        _ => {
            let fault = format!("its mode {:#o} names no kind of file", inode.mode());
            faults.inode(number, fault);
            return Ok(None);
        }
    };
    let mut runs = Vec::new();
    if !plain {
        faults.inode(number, format!("its length of {size} bytes cannot be"));
    } else if inode.has_addresses() {
        let (stored, places) = blocks(volume, number, inode, found, faults)?;
        runs = places;
        let stored = stored + attributes(volume, number, inode, found, faults)?;
        sectors(number, inode, stored, faults);
    } else {
        area_beyond(number, inode, faults);
        let stored = attributes(volume, number, inode, found, faults)?;
        sectors(number, inode, stored, faults);
    }
    Ok(Some(Inode {
        kind,
        links: inode.links(),
        names: 0,
        dir: (kind == 4).then_some((runs, size)),
    }))
}

fn sectors(number: u64, inode: &RawInode, stored: u64, faults: &mut Faults) {
    let wanted = stored * (FRAG / 512);
    if inode.sectors() != wanted {
        let is = inode.sectors();
        let fault = format!("it counts {is} sectors of 512 bytes, but has {wanted}");
        faults.inode(number, fault);
    }
}

/// What stands behind a short target or a device number must be zero.
fn area_beyond(number: u64, inode: &RawInode, faults: &mut Faults) {
    let used = match inode.kind() {
        10 => inode.size() as usize,
        2 | 6 => 8,
        _ => 0,
    };
    if inode.area()[used..].iter().any(|&byte| byte != 0) {
        faults.inode(number, "there is something where it has nothing");
    }
    if matches!(inode.kind(), 2 | 6) && inode.area().get64(0) == u64::MAX {
        faults.inode(number, "its device number is none");
    }
    if inode.kind() == 10 && inode.area()[..used].contains(&0) {
        faults.inode(number, "its target holds a NUL");
    }
}

/// Claims the blocks of an inode; returns how many fragments they have, and of a directory where
/// they lie.
fn blocks(
    volume: &Volume<'_>,
    number: u64,
    inode: &RawInode,
    found: &mut Inodes,
    faults: &mut Faults,
) -> io::Result<(u64, Vec<Run>)> {
    let (mut stored, mut end) = (0, 0);
    let mut hole = false;
    let mut runs = Vec::new();
    let keep = inode.kind() == 4;
    volume.addresses(inode.size(), &inode.area(), &mut |address| {
        let (at, len) = match address {
            Address::Data { at, len, .. } => (at, len),
            Address::Addresses { at } => (at, FRAGS),
            Address::Beyond { at } => {
                faults.inode(number, format!("address {at} stands beyond its end"));
                return Ok(false);
            }
        };
        stored += len;
        if let Address::Data { block, len, .. } = address {
            hole |= block * FRAGS != end;
            end = block * FRAGS + len;
        }
        if let Some(fault) = volume.address_fault(at, len) {
            faults.inode(number, format!("fragment {at} {fault}"));
            return Ok(false);
        }
        if let Some(twice) = found.claim(at, len) {
            let fault = format!("fragment {twice} belongs to something else already");
            faults.inode(number, fault);
            return Ok(false);
        }
        if keep && matches!(address, Address::Data { .. }) {
            push(&mut runs, Run { start: at, len });
        }
        Ok(true)
    })?;
    if end != stored_frags(inode.size()) {
        faults.inode(number, "it ends in a hole");
    } else if hole && keep {
        faults.inode(number, "a directory has a hole");
    }
    Ok((stored, runs))
}

/// Claims the blocks of extended attributes and looks into them; returns how many fragments there
/// are.
fn attributes(
    volume: &Volume<'_>,
    number: u64,
    inode: &RawInode,
    found: &mut Inodes,
    faults: &mut Faults,
) -> io::Result<u64> {
    let len = inode.attributes_len();
    if len > xattr::ROOM as u64 {
        faults.inode(number, "its extended attributes are too long");
        return Ok(0);
    }
    let mut stored = 0;
    let mut bytes = Vec::new();
    for (at, frags) in inode.attribute_runs() {
        let fault = if at == 0 {
            Some("is none, but should hold extended attributes")
        } else {
            volume.address_fault(at, frags)
        };
        if let Some(fault) = fault {
            faults.inode(number, format!("fragment {at} {fault}"));
            return Ok(stored);
        }
        stored += frags;
        if let Some(twice) = found.claim(at, frags) {
            let fault = format!("fragment {twice} belongs to something else already");
            faults.inode(number, fault);
        }
        bytes.extend(volume.window.read(at * FRAG, frags * FRAG)?);
    }
    let used = inode.attribute_runs().count();
    if inode.attributes_at()[used..].iter().any(|&at| at != 0) {
        let fault = "an address of extended attributes stands beyond their end";
        faults.inode(number, fault);
    }
    bytes.truncate(len as usize);
    if let Err(fault) = xattr::decode(&bytes) {
        faults.inode(number, fault);
    }
    Ok(stored)
}

const _: () = assert!(ROOT == 2);
