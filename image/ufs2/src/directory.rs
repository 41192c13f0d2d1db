//! Directories: chunks of 512 bytes, each filled by entries of which none crosses into the next
//! (`struct direct` of `sys/ufs/ufs/dir.h`). The kernel hashes a large one in memory; on disk there
//! is no index.

use crate::bytes::Fields;

/// Bytes of a chunk (`DIRBLKSIZ`).
pub(crate) const CHUNK: usize = 512;
/// Bytes of an entry before its name.
pub(crate) const HEAD: usize = 8;
/// `d_type` of a directory; for every kind it is the top four bits of the mode.
pub(crate) const DIR: u8 = 4;

/// `d_type` of a whiteout (`DT_WHT`): a union mount above shows no such name. Its inode is number 1,
/// which is none.
const WHITEOUT: u8 = 14;

/// One name of a directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    /// 1 to 255 bytes.
    pub(crate) name: &'a [u8],
    /// Its inode.
    pub(crate) inode: u32,
    /// `d_type`.
    pub(crate) kind: u8,
}

/// Bytes that an entry with a name of `len` bytes needs: the name ends in a NUL and is filled up to
/// four bytes (`DIRECTSIZ`).
pub(crate) fn entry_size(len: usize) -> usize {
    (HEAD + len + 1).next_multiple_of(4)
}

/// Lays out a directory.
pub(crate) fn chunks(entries: &[Entry<'_>], inode: u32, parent: u32) -> Vec<u8> {
    let dots = [
        Entry {
            name: b".",
            inode,
            kind: DIR,
        },
        Entry {
            name: b"..",
            inode: parent,
            kind: DIR,
        },
    ];
    let mut bytes: Vec<u8> = Vec::new();
    let mut last = 0;
    for entry in dots.iter().chain(entries) {
        let size = entry_size(entry.name.len());
        let left = bytes.len().next_multiple_of(CHUNK) - bytes.len();
        if size > left && left > 0 {
            stretch(&mut bytes, last);
        }
        last = bytes.len();
        bytes.resize(last + size, 0);
        let here = &mut bytes[last..];
        here.put32(0, entry.inode);
        here.put16(4, size as u16);
        here[6] = entry.kind;
        here[7] = entry.name.len() as u8;
        here.put(HEAD, entry.name);
    }
    stretch(&mut bytes, last);
    bytes
}

/// Makes the entry at `last` reach to the end of its chunk.
fn stretch(bytes: &mut Vec<u8>, last: usize) {
    bytes.resize(bytes.len().next_multiple_of(CHUNK), 0);
    let len = (bytes.len() - last) as u16;
    bytes.put16(last + 4, len);
}

/// A name as it was found in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// Bytes from the chunk's start.
    pub(crate) at: usize,
    pub(crate) inode: u32,
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
}

impl Found<'_> {
    /// Whether it hides a name rather than being one (`UFS_WINO`).
    pub(crate) fn is_whiteout(&self) -> bool {
        self.kind == WHITEOUT && self.inode == 1
    }
}

/// The names in a chunk; else at which byte what is wrong.
pub(crate) fn names(chunk: &[u8]) -> Result<Vec<Found<'_>>, (usize, &'static str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < chunk.len() {
        let entry = &chunk[at..];
        if entry.len() < HEAD {
            return Err((at, "the last entry is cut off"));
        }
        let len = usize::from(entry.get16(4));
        let name_len = usize::from(entry[7]);
        if len < HEAD || !len.is_multiple_of(4) || len > entry.len() {
            return Err((at + 4, "the length of an entry cannot be"));
        }
        let inode = entry.get32(0);
        if inode != 0 {
            if entry_size(name_len) > len {
                return Err((at + 7, "a name is longer than its entry"));
            }
            let name = &entry[HEAD..HEAD + name_len];
            if name.is_empty() || name.contains(&0) || name.contains(&b'/') {
                return Err((at + HEAD, "a name is empty or holds a NUL or a `/`"));
            }
            if entry[HEAD + name_len] != 0 {
                return Err((at + HEAD + name_len, "a name does not end in a NUL"));
            }
            found.push(Found {
                at,
                inode,
                kind: entry[6],
                name,
            });
        }
        at += len;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_is_that_of_newfs() {
        let bytes = chunks(&[], 5, 2);
        assert_eq!(bytes.len(), 512);
        assert_eq!(bytes[..12], [5, 0, 0, 0, 12, 0, 4, 1, b'.', 0, 0, 0]);
        assert_eq!(bytes[12..23], [2, 0, 0, 0, 244, 1, 4, 2, b'.', b'.', 0]);
    }

    #[test]
    fn entries_fill_chunks_and_do_not_cross_them() {
        let names: Vec<Vec<u8>> = (1..=255).map(|len| vec![b'n'; len]).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| Entry {
                name,
                inode: 9,
                kind: 8,
            })
            .collect();
        let bytes = chunks(&entries, 5, 2);
        let found: Vec<_> = bytes
            .chunks(CHUNK)
            .flat_map(|chunk| super::names(chunk).unwrap())
            .map(|entry| entry.name.to_vec())
            .collect();
        assert_eq!(found[..2], [b".".to_vec(), b"..".to_vec()]);
        assert_eq!(found[2..], names);
    }

    #[test]
    fn damage_is_told_of() {
        let entry = Entry {
            name: b"name",
            inode: 9,
            kind: 8,
        };
        let good = chunks(&[entry], 5, 2);
        assert_eq!(super::names(&good).unwrap().len(), 3);
        let faults = [
            (4, 0, 4),
            (4, 13, 4),
            (5, 9, 4),
            (7, 9, 7),
            (24 + 7, 0, 24 + 8),
            (24 + 8, b'/', 24 + 8),
            (24 + 9, 0, 24 + 8),
            (24 + 12, b'x', 24 + 12),
            (24 + 5, 0, 24 + 4 + 232),
        ];
        for (at, value, place) in faults {
            let mut bad = good.clone();
            bad[at] = value;
            let fault = super::names(&bad).unwrap_err();
            assert_eq!(fault.0, place, "{at} {value}: {}", fault.1);
        }
    }
}
