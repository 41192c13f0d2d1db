//! The 32 bytes of a directory entry.

use super::name::{self, Short};
use super::time::DosTime;
use super::{put, u16_at, u32_at};

pub(super) const LEN: usize = 32;
pub(super) const LABEL: u8 = 0x08;
pub(super) const DIRECTORY: u8 = 0x10;
pub(super) const ARCHIVE: u8 = 0x20;
pub(super) const LONG: u8 = 0x0F;
/// First byte of an entry that was deleted.
pub(super) const DELETED: u8 = 0xE5;
/// First byte of the entry after the last.
pub(super) const END: u8 = 0;
/// Where the UTF-16 units of a name lie in a long entry.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
const LAST_LONG: u8 = 0x40;

pub(super) const DOT: Short = *b".          ";
pub(super) const DOT_DOT: Short = *b"..         ";

/// An entry with a short name: a file, a directory or the label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Short,
    pub(super) attributes: u8,
    /// Windows NT's lower-case bits.
    pub(super) case: u8,
    pub(super) modified: DosTime,
    pub(super) cluster: u32,
    pub(super) size: u32,
}

impl Entry {
    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        put(&mut bytes, 0, &self.name);
        bytes[11] = self.attributes;
        bytes[12] = self.case;
        // Created, accessed and modified at one time.
        if self.attributes != LABEL {
            put(&mut bytes, 14, &self.modified.time.to_le_bytes());
            put(&mut bytes, 16, &self.modified.date.to_le_bytes());
            put(&mut bytes, 18, &self.modified.date.to_le_bytes());
        }
        put(&mut bytes, 20, &((self.cluster >> 16) as u16).to_le_bytes());
        put(&mut bytes, 22, &self.modified.time.to_le_bytes());
        put(&mut bytes, 24, &self.modified.date.to_le_bytes());
        put(&mut bytes, 26, &(self.cluster as u16).to_le_bytes());
        put(&mut bytes, 28, &self.size.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut name = [0; 11];
        name.copy_from_slice(&bytes[..11]);
        Self {
            name,
            attributes: bytes[11],
            case: bytes[12],
            modified: DosTime {
                time: u16_at(bytes, 22),
                date: u16_at(bytes, 24),
            },
            cluster: (u32::from(u16_at(bytes, 20)) << 16 | u32::from(u16_at(bytes, 26)))
                & 0x0FFF_FFFF,
            size: u32_at(bytes, 28),
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.attributes & DIRECTORY != 0
    }
}

/// The long entries of a name, in the order in which they precede their short entry.
pub(super) fn long_entries(units: &[u16], short: &Short) -> Vec<[u8; LEN]> {
    let sum = name::checksum(short);
    let mut entries: Vec<_> = units
        .chunks(UNITS.len())
        .zip(1u8..)
        .map(|(part, number)| {
            let mut bytes = [0; LEN];
            bytes[0] = number;
            bytes[11] = LONG;
            bytes[13] = sum;
            for (place, at) in UNITS.into_iter().enumerate() {
                // A name that does not fill its entry ends in one zero, then in ones.
                let unit = match place.cmp(&part.len()) {
                    std::cmp::Ordering::Less => part[place],
                    std::cmp::Ordering::Equal => 0,
                    std::cmp::Ordering::Greater => 0xFFFF,
                };
                put(&mut bytes, at, &unit.to_le_bytes());
            }
            bytes
        })
        .collect();
    if let Some(last) = entries.last_mut() {
        last[0] |= LAST_LONG;
    }
    entries.reverse();
    entries
}

/// Collects long entries until their short entry comes.
#[derive(Default)]
pub(super) struct LongName {
    units: Vec<u16>,
    sum: u8,
    /// The number that the next entry must have; 0 when the name is complete.
    next: u8,
    started: bool,
}

impl LongName {
    /// Whether long entries were taken that still wait for their short one.
    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// Takes one long entry; says whether it continues in order.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let number = bytes[0] & !LAST_LONG;
        let starts = bytes[0] & LAST_LONG != 0;
        let follows = !starts || !self.started;
        if starts {
            *self = Self {
                units: Vec::new(),
                sum: bytes[13],
                next: number,
                started: true,
            };
        }
        let fits = (1..=20).contains(&number) && number == self.next && bytes[13] == self.sum;
        if !self.started || !fits {
            *self = Self::default();
            return false;
        }
        let part = UNITS.map(|at| u16_at(bytes, at));
        self.units.splice(0..0, part);
        self.next = number - 1;
        follows
    }

    /// The name for `short`, if a complete one was collected; `Err` when what was collected does not
    /// belong to it.
    pub(super) fn finish(&mut self, short: &Short) -> Result<Option<Vec<u16>>, ()> {
        let Self {
            mut units,
            sum,
            next,
            started,
        } = std::mem::take(self);
        if !started {
            return Ok(None);
        }
        if next != 0 || sum != name::checksum(short) {
            return Err(());
        }
        if let Some(end) = units.iter().position(|&unit| unit == 0) {
            if units[end + 1..].iter().any(|&unit| unit != 0xFFFF) {
                return Err(());
            }
            units.truncate(end);
        }
        Ok(Some(units))
    }
}
