//! Cylinder groups: their headers before everything else, their maps and counts when it is known
//! what is in use.

use std::io;

use super::inodes::Inodes;
use super::{Faults, summary};
use crate::bytes::Fields;
use crate::checksum;
use crate::cylinder::{HASH_AT, HEAD, MAGIC, Maps, Sums};
use crate::disk::Volume;
use crate::geometry::{CLUSTERS, FRAGS, GROUP, ROOT};
use crate::structure::Structure;

/// How many inodes of each group hold something sensible. Of a group whose header does not say so,
/// all are looked at.
pub(super) fn headers(volume: &Volume<'_>, faults: &mut Faults) -> io::Result<Vec<u64>> {
    let geometry = &volume.geometry;
    let per_group = geometry.inodes_per_group;
    let maps = Maps::new(per_group);
    let mut initialised = Vec::with_capacity(geometry.groups as usize);
    for group in 0..geometry.groups {
        let raw = volume.header(group)?;
        let structure = Structure::CylinderGroup { group };
        let len = geometry.group_len(group);
        let fields = [
            ("cg_magic", 4, MAGIC.into()),
            ("cg_cgx", 12, group),
            ("cg_ndblk", 20, len),
            ("cg_iusedoff", 92, maps.inodes as u64),
            ("cg_freeoff", 96, maps.frags as u64),
            ("cg_nextfreeoff", 100, maps.end as u64),
            ("cg_clustersumoff", 104, maps.cluster_sums as u64),
            ("cg_clusteroff", 108, maps.clusters as u64),
            ("cg_nclusterblks", 112, len / FRAGS),
            ("cg_niblk", 116, per_group),
            // Unused, but fsck compares them too.
            ("cg_firstfield", 0, 0),
            ("cg_old_ncyl with cg_old_niblk", 16, 0),
            ("cg_old_btotoff", 84, 0),
            ("cg_old_boff", 88, 0),
            ("cg_sparecon32", 128, 0),
        ];
        for (name, at, wanted) in fields {
            let is = u64::from(raw.get32(at));
            if is != wanted {
                let fault = format!("byte {at}: {name} is {is}, not {wanted}");
                faults.add(structure.clone(), fault);
            }
        }
        for (name, at, most) in [
            ("cg_rotor", 40, len),
            ("cg_frotor", 44, len),
            ("cg_irotor", 48, per_group),
        ] {
            let is = u64::from(raw.get32(at));
            if is >= most {
                let fault = format!("byte {at}: {name} is {is}, not less than {most}");
                faults.add(structure.clone(), fault);
            }
        }
        let inodes = u64::from(raw.get32(120));
        if inodes > per_group {
            let fault = format!("byte 120: cg_initediblk is {inodes}, more than {per_group}");
            faults.add(structure.clone(), fault);
        }
        let spare = 144..HEAD as usize;
        if raw[spare.clone()].iter().any(|&byte| byte != 0) {
            let fault = format!("byte {}: cg_sparecon64 is not zero", spare.start);
            faults.add(structure.clone(), fault);
        }
        if checksum::hash(&raw, HASH_AT) != raw.get32(HASH_AT) {
            let fault = format!(
                "byte {HASH_AT}: the check hash is {:#010x}, but its bytes make {:#010x}",
                raw.get32(HASH_AT),
                checksum::hash(&raw, HASH_AT)
            );
            faults.add(structure, fault);
        }
        initialised.push(inodes.min(per_group));
    }
    Ok(initialised)
}

/// Compares maps and counts with what is in use.
pub(super) fn maps(
    volume: &Volume<'_>,
    initialised: &[u64],
    found: &Inodes,
    faults: &mut Faults,
) -> io::Result<()> {
    let geometry = &volume.geometry;
    let per_group = geometry.inodes_per_group;
    let maps = Maps::new(per_group);
    let summary = summary(volume)?;
    let mut totals = [0; 4];
    for (group, initialised) in (0..).zip(initialised) {
        let raw = volume.header(group)?;
        let structure = || Structure::CylinderGroup { group };
        let first = group * per_group;
        let mut inodes = vec![0; (per_group / 8) as usize];
        let (mut dirs, mut free) = (0, per_group);
        for index in 0..*initialised {
            let number = first + index;
            let inode = found.get(number);
            if inode.is_some() || number < u64::from(ROOT) {
                inodes[(index / 8) as usize] |= 1 << (index % 8);
                free -= 1;
            }
            dirs += u64::from(inode.is_some_and(|inode| inode.is_dir()));
        }
        for (at, wanted, is) in wrong_bits(&inodes, &raw[maps.inodes..maps.frags]) {
            let (is, wanted) = if wanted && !is {
                ("free", "in use")
            } else {
                ("in use", "free")
            };
            let number = first + at;
            let fault = format!("its map says that inode {number} is {is}, but it is {wanted}");
            faults.add(structure(), fault);
        }

        let map = found.free_map(volume, group);
        for (at, wanted, _) in wrong_bits(&map, &raw[maps.frags..maps.frags + map.len()]) {
            let (is, wanted) = if wanted {
                ("in use", "free")
            } else {
                ("free", "in use")
            };
            let frag = geometry.group_start(group) + at;
            let fault = format!("its map says that fragment {frag} is {is}, but it is {wanted}");
            faults.add(structure(), fault);
        }
        let sums = Sums::new(&map);
        for (at, wanted, _) in wrong_bits(&sums.clusters, &raw[maps.clusters..maps.end]) {
            let block = geometry.group_start(group) / FRAGS + at;
            let (is, wanted) = if wanted {
                ("in use", "free")
            } else {
                ("free", "in use")
            };
            let fault =
                format!("its map of blocks says that block {block} is {is}, but it is {wanted}");
            faults.add(structure(), fault);
        }
        for length in 1..=CLUSTERS as usize {
            let is = raw.get32(maps.cluster_sums + length * 4);
            let wanted = sums.cluster_runs[length];
            if is != wanted {
                let fault = format!("it counts {is} runs of {length} free blocks, not {wanted}");
                faults.add(structure(), fault);
            }
        }
        for length in 0..FRAGS as usize {
            let is = raw.get32(52 + length * 4);
            let wanted = sums.frag_runs[length];
            if is != wanted {
                let fault = format!("it counts {is} runs of {length} free fragments, not {wanted}");
                faults.add(structure(), fault);
            }
        }
        let counts = [dirs, sums.blocks, free, sums.frags];
        count_faults(&raw[24..40], counts, &structure(), faults);
        if let Some(summary) = &summary {
            let entry = &summary[group as usize * 16..][..16];
            for (n, (name, wanted)) in COUNTS.iter().zip(counts).enumerate() {
                let is = u64::from(entry.get32(n * 4));
                if is != wanted {
                    let fault = format!("group {group}: it counts {is} {name}, not {wanted}");
                    faults.add(Structure::Summary, fault);
                }
            }
        }
        for (total, count) in totals.iter_mut().zip(counts) {
            *total += count;
        }
    }
    // The rest of `struct csum_total` is kept for later.
    if volume.raw[1040..1072].iter().any(|&byte| byte != 0) {
        let fault = "byte 1040: it counts what nobody counts yet";
        faults.add(Structure::Superblock, fault);
    }
    for (n, (name, wanted)) in COUNTS.iter().zip(totals).enumerate() {
        let is = volume.raw.get64(1008 + n * 8);
        if is != wanted {
            let fault = format!("byte {}: it counts {is} {name}, not {wanted}", 1008 + n * 8);
            faults.add(Structure::Superblock, fault);
        }
    }
    Ok(())
}

/// What is counted in `struct csum`, in its order.
const COUNTS: [&str; 4] = [
    "directories",
    "free blocks",
    "free inodes",
    "free fragments",
];

fn count_faults(raw: &[u8], counts: [u64; 4], structure: &Structure, faults: &mut Faults) {
    for (n, (name, wanted)) in COUNTS.iter().zip(counts).enumerate() {
        let is = u64::from(raw.get32(n * 4));
        if is != wanted {
            let fault = format!("it counts {is} {name}, not {wanted}");
            faults.add(structure.clone(), fault);
        }
    }
}

/// Where two maps differ: the bit, what it should be, and what it is. Of a stretch of bits the first
/// one is enough.
fn wrong_bits<'a>(wanted: &'a [u8], is: &'a [u8]) -> impl Iterator<Item = (u64, bool, bool)> + 'a {
    let bit = |map: &[u8], at: usize| map[at / 8] >> (at % 8) & 1 == 1;
    let mut before = false;
    (0..wanted.len() * 8).filter_map(move |at| {
        if at % 8 == 0 && wanted[at / 8] == is[at / 8] {
            before = false;
            return None;
        }
        let differ = bit(wanted, at) != bit(is, at);
        let starts = differ && !before;
        before = differ;
        starts.then(|| (at as u64, bit(wanted, at), bit(is, at)))
    })
}

const _: () = assert!(GROUP.is_multiple_of(8));

#[cfg(test)]
mod tests {
    use super::wrong_bits;

    #[test]
    fn of_a_stretch_of_wrong_bits_the_first_is_told() {
        let wanted = [0b1111_0000, 0xff, 0, 0b1];
        let is = [0b0011_0001, 0xff, 0b1000_0000, 0b0];
        let found: Vec<_> = wrong_bits(&wanted, &is).collect();
        assert_eq!(
            found,
            [(0, false, true), (6, true, false), (23, false, true),]
        );
    }
}
