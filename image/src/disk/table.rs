//! The table on disk: protective MBR, two headers, two arrays (UEFI specification 2.10, chapter 5).
//!
//! A plan has exactly one encoding, so reading is: take a copy whose checksums hold, decode it,
//! encode it again and compare every byte. What differs is named.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use super::plan::{ARRAY_SECTORS, NAME_UNITS};
use super::{DiskPlan, Fault, PartitionKind, PartitionPlan, SECTOR};
use crate::{Error, Result};

const HEADER_LEN: usize = 92;
const ENTRY_LEN: usize = 128;
const ENTRIES: usize = 128;
const ARRAY_LEN: usize = ENTRY_LEN * ENTRIES;
const BOOT_CODE: usize = 440;
const S: usize = SECTOR as usize;

const CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// Writes both copies of the table into `out`, which is made `plan.len` long; `boot_code` (at most
/// 440 bytes) goes into the protective MBR. Returns the byte ranges that were written, for the
/// block map.
///
/// # Errors
/// When the boot code is too long or the file cannot be written.
pub fn write_table(
    out: &File,
    plan: &DiskPlan,
    boot_code: Option<&[u8]>,
) -> Result<Vec<std::ops::Range<u64>>> {
    let code = boot_code.unwrap_or_default();
    if code.len() > BOOT_CODE {
        return Err(Error::bad_input(format!(
            "boot code of {} bytes does not fit into the MBR, which has room for {BOOT_CODE}",
            code.len()
        )));
    }
    if out.metadata()?.len() != plan.len {
        out.set_len(plan.len)?;
    }
    let mut written = Vec::new();
    for part in encode(plan, code) {
        out.write_all_at(&part.bytes, part.at)?;
        written.push(part.at..part.at + part.bytes.len() as u64);
    }
    Ok(written)
}

/// Reads the table of an image and checks all of it.
///
/// # Errors
/// When anything differs from what [`write_table`] would have written; every fault is named.
pub fn read_table(image: &File) -> Result<DiskPlan> {
    let (plan, faults) = check_table(image)?;
    match plan {
        Some(plan) if faults.is_empty() => Ok(plan),
        _ => {
            let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
            Err(Error::bad_input(faults.join("\n"))
                .hint("build the image again, or copy it again from where it came"))
        }
    }
}

/// The table of an image, if one of its copies can be read at all, and everything that is wrong
/// with it.
///
/// # Errors
/// When the file cannot be read.
pub fn check_table(image: &File) -> Result<(Option<DiskPlan>, Vec<Fault>)> {
    let len = { image }.seek(SeekFrom::End(0))?;
    // Two mebibytes: one for each copy of the table; our smallest image has more.
    if !len.is_multiple_of(SECTOR) || len < 2 * super::ALIGN {
        let what = format!("{len} bytes are not a disk image: is it complete?");
        return Ok((None, vec![Fault::new(len, "disk image", what)]));
    }
    let primary = decode(image, len, 1, PRIMARY);
    let backup = decode(image, len, len / SECTOR - 1, BACKUP);
    let (plan, mut faults) = match (primary, backup) {
        (Ok(plan), Ok(_)) => (plan, Vec::new()),
        (Ok(plan), Err(fault)) | (Err(fault), Ok(plan)) => (plan, vec![fault]),
        (Err(first), Err(second)) => return Ok((None, vec![first, second])),
    };
    if plan.len != len {
        let what = format!(
            "the table was made for {} bytes, the image has {len}",
            plan.len
        );
        faults.push(Fault::new(plan.len.min(len), "disk image", what));
    }
    let code = boot_code(image)?;
    for part in encode(&plan, &code) {
        let mut found = vec![0; part.bytes.len()];
        image.read_exact_at(&mut found, part.at)?;
        let Some(byte) = (0..found.len()).find(|&at| found[at] != part.bytes[at]) else {
            continue;
        };
        let what = format!(
            "{} is {:#04x} instead of {:#04x}",
            (part.field)(byte),
            found[byte],
            part.bytes[byte]
        );
        faults.retain(|fault| fault.place != part.place);
        faults.push(Fault::new(part.at + byte as u64, part.place, what));
    }
    Ok((Some(plan), faults))
}

/// The partitions by the primary table alone: for a stick, which is longer than the image on it,
/// so that the backup is not in its last sector.
///
/// # Errors
/// When the header or the array is damaged.
pub fn read_primary(disk: &File) -> Result<DiskPlan> {
    let len = { disk }.seek(SeekFrom::End(0))?;
    decode(disk, len, 1, PRIMARY).map_err(|fault| {
        Error::bad_input(fault.to_string()).hint("is this a Clawdie image or stick?")
    })
}

/// The 440 bytes of boot code in the protective MBR.
///
/// # Errors
/// When the image cannot be read.
pub fn boot_code(image: &File) -> Result<[u8; BOOT_CODE]> {
    let mut code = [0; BOOT_CODE];
    image.read_exact_at(&mut code, 0)?;
    Ok(code)
}

/// The names of one copy of the table, for faults.
struct Copy {
    header: &'static str,
    array: &'static str,
}

const MBR: &str = "protective MBR";
const PRIMARY: &Copy = &Copy {
    header: "primary GPT header",
    array: "primary GPT partition array",
};
const BACKUP: &Copy = &Copy {
    header: "backup GPT header",
    array: "backup GPT partition array",
};

/// Bytes that belong somewhere, and names for them.
struct Part {
    at: u64,
    bytes: Vec<u8>,
    place: &'static str,
    field: fn(usize) -> String,
}

fn encode(plan: &DiskPlan, code: &[u8]) -> [Part; 5] {
    let mut array = vec![0; ARRAY_LEN];
    for (part, entry) in plan.partitions.iter().zip(array.chunks_mut(ENTRY_LEN)) {
        entry[..16].copy_from_slice(&part.kind.type_guid().to_bytes_le());
        entry[16..32].copy_from_slice(&part.guid.to_bytes_le());
        entry[32..40].copy_from_slice(&part.first_lba.to_le_bytes());
        entry[40..48].copy_from_slice(&part.last_lba().to_le_bytes());
        // No attributes (48..56): "required", "no drive letter" or "hidden" would keep Windows
        // from showing the seed.
        for (unit, at) in part.name.encode_utf16().zip((56..).step_by(2)) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
    }
    let array_crc = CRC32.checksum(&array);
    let header = |own: u64, other: u64, array_lba: u64| {
        let mut bytes = vec![0; S];
        bytes[..8].copy_from_slice(b"EFI PART");
        bytes[8..12].copy_from_slice(&0x0001_0000u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEADER_LEN as u32).to_le_bytes());
        bytes[24..32].copy_from_slice(&own.to_le_bytes());
        bytes[32..40].copy_from_slice(&other.to_le_bytes());
        bytes[40..48].copy_from_slice(&plan.first_usable().to_le_bytes());
        bytes[48..56].copy_from_slice(&plan.last_usable().to_le_bytes());
        bytes[56..72].copy_from_slice(&plan.disk_guid.to_bytes_le());
        bytes[72..80].copy_from_slice(&array_lba.to_le_bytes());
        bytes[80..84].copy_from_slice(&(ENTRIES as u32).to_le_bytes());
        bytes[84..88].copy_from_slice(&(ENTRY_LEN as u32).to_le_bytes());
        bytes[88..92].copy_from_slice(&array_crc.to_le_bytes());
        let crc = CRC32.checksum(&bytes[..HEADER_LEN]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let last = plan.last_lba();
    let backup_array = last - ARRAY_SECTORS;
    let part = |lba: u64, bytes, place, field| Part {
        at: lba * SECTOR,
        bytes,
        place,
        field,
    };
    [
        part(0, mbr(plan, code), MBR, mbr_field),
        part(1, header(1, last, 2), PRIMARY.header, header_field),
        part(2, array.clone(), PRIMARY.array, array_field),
        part(backup_array, array, BACKUP.array, array_field),
        part(
            last,
            header(last, 1, backup_array),
            BACKUP.header,
            header_field,
        ),
    ]
}

fn mbr(plan: &DiskPlan, code: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; S];
    bytes[..code.len()].copy_from_slice(code);
    // Never marked active, though a few old BIOSes boot nothing else: UEFI says 0x00, and there are
    // firmwares that take a disk with an active protective partition for a legacy one and offer no
    // UEFI boot, which is the main way in. Whoever owns such a BIOS sets the flag on the stick:
    // `parted /dev/sdX disk_set pmbr_boot on`, or `gpart set -a active daX`.
    let entry = &mut bytes[446..462];
    entry[1..4].copy_from_slice(&[0x00, 0x02, 0x00]); // CHS of sector 1
    entry[4] = 0xEE;
    entry[5..8].copy_from_slice(&[0xFF; 3]);
    entry[8..12].copy_from_slice(&1u32.to_le_bytes());
    let sectors = u32::try_from(plan.last_lba()).unwrap_or(u32::MAX);
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    bytes[510..].copy_from_slice(&[0x55, 0xAA]);
    bytes
}

fn mbr_field(byte: usize) -> String {
    match byte {
        440..446 => "disk signature",
        446..462 => "protective partition",
        462..510 => "unused partition",
        _ => "boot signature",
    }
    .to_owned()
}

fn header_field(byte: usize) -> String {
    match byte {
        0..8 => "signature",
        8..12 => "revision",
        12..16 => "header size",
        16..20 => "header checksum",
        24..32 => "own sector",
        32..40 => "sector of the other copy",
        40..48 => "first usable sector",
        48..56 => "last usable sector",
        56..72 => "disk GUID",
        72..80 => "sector of the array",
        80..84 => "number of entries",
        84..88 => "size of an entry",
        88..92 => "array checksum",
        _ => "reserved byte",
    }
    .to_owned()
}

fn array_field(byte: usize) -> String {
    let field = match byte % ENTRY_LEN {
        0..16 => "type GUID",
        16..32 => "GUID",
        32..40 => "first sector",
        40..48 => "last sector",
        48..56 => "attributes",
        _ => "name",
    };
    format!("{field} of partition {}", byte / ENTRY_LEN + 1)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut le = [0; 8];
    le.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(le)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut le = [0; 4];
    le.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(le)
}

fn guid_at(bytes: &[u8], at: usize) -> Uuid {
    let mut le = [0; 16];
    le.copy_from_slice(&bytes[at..at + 16]);
    Uuid::from_bytes_le(le)
}

fn decode(image: &File, len: u64, lba: u64, copy: &Copy) -> Result<DiskPlan, Fault> {
    let at = lba * SECTOR;
    let header_fault = |byte: u64, what: String| Fault::new(at + byte, copy.header, what);
    let mut header = [0; S];
    image
        .read_exact_at(&mut header, at)
        .map_err(|error| header_fault(0, error.to_string()))?;
    if &header[..8] != b"EFI PART" {
        return Err(header_fault(0, "no signature `EFI PART`".to_owned()));
    }
    let stored = u32_at(&header, 16);
    let mut summed = header;
    summed[16..20].fill(0);
    let computed = CRC32.checksum(&summed[..HEADER_LEN]);
    if stored != computed || u32_at(&header, 12) as usize != HEADER_LEN {
        let what = format!("CRC is {computed:#010x}, but {stored:#010x} is written there");
        return Err(header_fault(16, what));
    }
    if u64_at(&header, 24) != lba {
        return Err(header_fault(
            24,
            "gives another sector as its own".to_owned(),
        ));
    }
    if u32_at(&header, 80) as usize != ENTRIES || u32_at(&header, 84) as usize != ENTRY_LEN {
        return Err(header_fault(80, "not 128 entries of 128 bytes".to_owned()));
    }
    // The end of the disk that the table was made for: its backup header.
    let last = u64_at(&header, 24).max(u64_at(&header, 32));
    if last >= len / SECTOR || last < 2 * ARRAY_SECTORS + 3 {
        return Err(header_fault(
            32,
            "the other copy lies outside the disk".to_owned(),
        ));
    }
    let array_at = u64_at(&header, 72)
        .checked_mul(SECTOR)
        .filter(|array_at| array_at.saturating_add(ARRAY_LEN as u64) <= len)
        .ok_or_else(|| header_fault(72, "the array lies outside the disk".to_owned()))?;
    let mut array = vec![0; ARRAY_LEN];
    image
        .read_exact_at(&mut array, array_at)
        .map_err(|error| Fault::new(array_at, copy.array, error.to_string()))?;
    let (stored, computed) = (u32_at(&header, 88), CRC32.checksum(&array));
    if stored != computed {
        let what = format!("CRC is {computed:#010x}, but the header says {stored:#010x}");
        return Err(Fault::new(array_at, copy.array, what));
    }
    let plan = DiskPlan {
        disk_guid: guid_at(&header, 56),
        len: (last + 1) * SECTOR,
        partitions: partitions(&array)
            .map_err(|(byte, what)| Fault::new(array_at + byte as u64, copy.array, what))?,
    };
    let mut end = plan.first_usable();
    for (number, part) in plan.partitions.iter().enumerate() {
        if part.first_lba < end || part.last_lba() > plan.last_usable() {
            return Err(Fault::new(
                array_at + (number * ENTRY_LEN) as u64 + 32,
                copy.array,
                format!("partition `{}` overlaps another or the table", part.name),
            ));
        }
        end = part.last_lba() + 1;
    }
    Ok(plan)
}

fn partitions(array: &[u8]) -> Result<Vec<PartitionPlan>, (usize, String)> {
    let mut partitions = Vec::new();
    for (number, entry) in array.chunks(ENTRY_LEN).enumerate() {
        let kind = guid_at(entry, 0);
        if kind.is_nil() {
            continue;
        }
        let fault = |byte: usize, what: &str| {
            let what = format!("partition {}: {what}", number + 1);
            Err((number * ENTRY_LEN + byte, what))
        };
        if number != partitions.len() {
            return fault(0, "the entry before it is empty");
        }
        let (first_lba, last_lba) = (u64_at(entry, 32), u64_at(entry, 40));
        if first_lba > last_lba || last_lba >= 1 << 54 {
            return fault(32, "ends before it starts");
        }
        let mut units = [0; NAME_UNITS];
        for (unit, pair) in units.iter_mut().zip(entry[56..].chunks(2)) {
            *unit = u16::from_le_bytes([pair[0], pair[1]]);
        }
        let end = units
            .iter()
            .position(|&unit| unit == 0)
            .unwrap_or(NAME_UNITS);
        let Ok(name) = String::from_utf16(&units[..end]) else {
            return fault(56, "its name is not UTF-16");
        };
        partitions.push(PartitionPlan {
            name,
            kind: PartitionKind::from_type_guid(kind),
            guid: guid_at(entry, 16),
            first_lba,
            len: (last_lba - first_lba + 1) * SECTOR,
        });
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests;
