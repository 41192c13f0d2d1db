//! FAT32, the file system of the seed and of the EFI system partition.
//!
//! [`write`] lays a tree down once, at the start of the volume and without holes; [`read`] gives a
//! tree back and trusts nothing; [`check`] looks for damage and [`compare`] for any difference at
//! all; [`replace`] changes one file in the root of a finished image.
//!
//! Structures and names follow Microsoft's "FAT: General Overview of On-Disk Format" 1.03; why this
//! is ours is told in `docs/decisions/0003-fat.md`.

mod compare;
mod entry;
mod geometry;
mod name;
mod replace;
mod scan;
mod time;
mod write;

pub use compare::{compare, remake};
pub use replace::replace;
pub use scan::{check, read, read_volume};
pub use write::write;

use crate::{Error, Result};

/// The least that a volume may have, in bytes: FAT32 is what has at least 65525 clusters, whatever
/// its boot sector says, and a few more keep clear of implementations that count wrongly.
pub const MIN_LEN: u64 = 33 << 20;

/// A volume label: what Windows and macOS show, and what FreeBSD makes `/dev/msdosfs/LABEL` of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label([u8; 11]);

impl Label {
    /// Checks a label.
    ///
    /// # Errors
    /// When it is not 1 to 11 upper-case letters, digits, `-`, `_` or inner spaces.
    pub fn new(label: &str) -> Result<Self> {
        let allowed =
            |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_ ".contains(&byte);
        let good = (1..=11).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with(' ')
            && !label.ends_with(' ');
        if !good {
            return Err(Error::bad_input(format!(
                "FAT label `{label}` must be 1 to 11 upper-case letters, digits, `-` or `_`"
            )));
        }
        let mut padded = [b' '; 11];
        padded[..label.len()].copy_from_slice(label.as_bytes());
        Ok(Self(padded))
    }

    /// The label without its padding.
    pub fn name(&self) -> String {
        name::oem(&self.0).trim_end().to_owned()
    }
}

/// What a volume is, besides its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Volume label.
    pub label: Label,
    /// Serial number; the `XXXX-XXXX` of `UUID=` on Linux.
    pub volume_id: u32,
    /// Bytes, a multiple of 512, at least [`MIN_LEN`].
    pub len: u64,
    /// Seconds since 1970: the time of the label, and the latest that any file gets.
    pub epoch: i64,
    /// The first sector (LBA) of the partition on its disk.
    pub hidden_sectors: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests;
