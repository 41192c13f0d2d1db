//! Extended attributes: in the inode when they all fit there, else all in one block.

use std::collections::BTreeMap;

use clawdie_tree::TreePath;

use crate::Error;
use crate::bytes::Fields;
use crate::checksum;
use crate::geometry::{BLOCK, INODE};
use crate::inode::{EXTRA_END, EXTRA_SIZE};

const MAGIC: u32 = 0xea02_0000;
const ENTRY: usize = 16;
const BLOCK_HEAD: usize = 32;
/// Room in the inode behind the magic number.
const IN_INODE: usize = INODE as usize - EXTRA_END - 4;
const IN_BLOCK: usize = BLOCK as usize - BLOCK_HEAD;

/// Name prefixes and the numbers that stand for them; whole names before prefixes of theirs.
pub(crate) const PREFIXES: [(&str, u8); 6] = [
    ("system.posix_acl_access", 2),
    ("system.posix_acl_default", 3),
    ("user.", 1),
    ("trusted.", 4),
    ("security.", 6),
    ("system.", 7),
];

/// The attributes of one inode, laid out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Attributes {
    /// There are none.
    #[default]
    None,
    /// What follows the fixed fields of the inode.
    InInode(Vec<u8>),
    /// A whole block, but for the checksum, which needs its place.
    InBlock(Vec<u8>),
}

struct Entry<'a> {
    prefix: u8,
    name: &'a [u8],
    value: Vec<u8>,
}

impl Entry<'_> {
    fn name_size(&self) -> usize {
        (ENTRY + self.name.len()).next_multiple_of(4)
    }

    fn value_size(&self) -> usize {
        self.value.len().next_multiple_of(4)
    }

    /// The hash that a block's entries carry, so that equal blocks can be found.
    fn hash(&self) -> u32 {
        let hash = self
            .name
            .iter()
            .fold(0_u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
        self.value.chunks(4).fold(hash, |hash, part| {
            let mut word = [0; 4];
            word[..part.len()].copy_from_slice(part);
            hash.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

/// Lays out the attributes of the node at `path`.
pub(crate) fn attributes(
    path: &TreePath,
    xattrs: &BTreeMap<String, Vec<u8>>,
) -> Result<Attributes, Error> {
    if xattrs.is_empty() {
        return Ok(Attributes::None);
    }
    let mut entries = Vec::new();
    for (full, value) in xattrs {
        let fail = |fault| Error::Attribute {
            path: path.clone(),
            name: full.clone(),
            fault,
        };
        let (name, prefix) = PREFIXES
            .iter()
            .find_map(|&(prefix, number)| Some((full.strip_prefix(prefix)?, number)))
            .ok_or_else(|| fail("ext4 has no such name space"))?;
        let whole_name = matches!(prefix, 2 | 3);
        if name.is_empty() != whole_name || name.len() > 255 || name.contains('\0') {
            return Err(fail("is not a name that ext4 can hold"));
        }
        let value = if whole_name {
            acl_to_disk(value).ok_or_else(|| fail("is not a valid access control list"))?
        } else {
            value.clone()
        };
        entries.push(Entry {
            prefix,
            name: name.as_bytes(),
            value,
        });
    }
    // The order in which the kernel searches a block.
    entries.sort_by_key(|entry| (entry.prefix, entry.name.len(), entry.name));
    let size: usize = entries
        .iter()
        .map(|entry| entry.name_size() + entry.value_size())
        .sum();
    if size + 4 <= IN_INODE {
        let mut bytes = vec![0; 4 + IN_INODE];
        bytes.put32(0, MAGIC);
        place(&entries, &mut bytes[4..], 0, |_| 0);
        return Ok(Attributes::InInode(bytes));
    }
    if size + 4 > IN_BLOCK {
        return Err(Error::AttributesTooLarge {
            path: path.clone(),
            bytes: size,
            limit: IN_BLOCK - 4,
        });
    }
    let mut bytes = vec![0; BLOCK as usize];
    place(&entries, &mut bytes[BLOCK_HEAD..], BLOCK_HEAD, |entry| {
        entry.hash()
    });
    bytes.put32(0, MAGIC);
    bytes.put32(4, 1);
    bytes.put32(8, 1);
    let hash = entries
        .iter()
        .fold(0_u32, |hash, entry| hash.rotate_left(16) ^ entry.hash());
    // An entry without a hash makes the whole block one that cannot be shared.
    let shared = entries.iter().all(|entry| entry.hash() != 0);
    bytes.put32(12, if shared { hash } else { 0 });
    Ok(Attributes::InBlock(bytes))
}

/// Entries from the front of `area`, values from its end; offsets count from `base` before it.
fn place(entries: &[Entry<'_>], area: &mut [u8], base: usize, hash: impl Fn(&Entry<'_>) -> u32) {
    let mut at = 0;
    let mut end = area.len();
    for entry in entries {
        end -= entry.value_size();
        area.put(end, &entry.value);
        let value_at = if entry.value.is_empty() {
            0
        } else {
            base + end
        };
        area.put(at, &[entry.name.len() as u8, entry.prefix]);
        area.put16(at + 2, value_at as u16);
        area.put32(at + 8, entry.value.len() as u32);
        area.put32(at + 12, hash(entry));
        area.put(at + ENTRY, entry.name);
        at += entry.name_size();
    }
}

/// Completes an attribute block now that its place is known.
pub(crate) fn seal(block: &mut [u8], at: u64, seed: u32) {
    block.put32(16, 0);
    let sum = checksum::extend(checksum::extend(seed, &at.to_le_bytes()), block);
    block.put32(16, sum);
}

// An access control list has one form for programs (version 2: eight bytes an entry) and a denser
// one on disk (version 1: no id where the tag needs none).

const TAG_USER: u16 = 0x02;
const TAG_GROUP: u16 = 0x08;

fn acl_to_disk(value: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != 2 || !rest.is_empty() {
        return None;
    }
    let mut disk = 1_u32.to_le_bytes().to_vec();
    for entry in entries {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let named = tag == TAG_USER || tag == TAG_GROUP;
        disk.extend_from_slice(if named { entry } else { &entry[..4] });
    }
    Some(disk)
}

/// The form for programs of an access control list as it lies on disk.
pub(crate) fn acl_from_disk(disk: &[u8]) -> Option<Vec<u8>> {
    let (version, mut rest) = disk.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != 1 {
        return None;
    }
    let mut value = 2_u32.to_le_bytes().to_vec();
    while let Some((entry, after)) = rest.split_first_chunk::<4>() {
        rest = after;
        value.extend_from_slice(entry);
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        if tag == TAG_USER || tag == TAG_GROUP {
            let (id, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            value.extend_from_slice(id);
        } else {
            value.extend_from_slice(&[0xff; 4]);
        }
    }
    rest.is_empty().then_some(value)
}

const _: () = assert!(EXTRA_END == 128 + EXTRA_SIZE as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_control_lists_survive_both_forms() {
        let mut value = 2_u32.to_le_bytes().to_vec();
        for (tag, perm, id) in [
            (1, 6, !0),
            (2, 4, 1000_u32),
            (4, 4, !0),
            (0x10, 4, !0),
            (0x20, 0, !0),
        ] {
            value.extend_from_slice(&u16::to_le_bytes(tag));
            value.extend_from_slice(&u16::to_le_bytes(perm));
            value.extend_from_slice(&id.to_le_bytes());
        }
        let disk = acl_to_disk(&value).unwrap();
        assert_eq!(disk.len(), 4 + 4 * 4 + 8);
        assert_eq!(acl_from_disk(&disk).unwrap(), value);
        assert!(acl_to_disk(&value[..10]).is_none());
        assert!(acl_from_disk(&disk[..10]).is_none());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let path = TreePath::new("bin/ping").unwrap();
        let error = |name: &str, size| {
            attributes(&path, &BTreeMap::from([(name.to_owned(), vec![1; size])]))
                .unwrap_err()
                .to_string()
        };
        assert!(error("user.big", 5000).contains("/bin/ping"));
        assert!(error("odd.name", 1).contains("odd.name"));
        assert!(error("user.", 1).contains("user."));
        assert!(error("system.posix_acl_access", 3).contains("access control list"));
    }
}
