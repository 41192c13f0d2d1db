//! Extended attributes (`struct extattr` of `sys/ufs/ufs/extattr.h`): up to two blocks of their own
//! that belong to the inode.

use std::collections::BTreeMap;

use clawdie_tree::TreePath;

use crate::Error;
use crate::bytes::Fields;
use crate::geometry::BLOCK;

/// Bytes that an inode's attributes may take.
pub(crate) const ROOM: usize = 2 * BLOCK as usize;
/// Bytes before an attribute's name.
const HEAD: usize = 7;
/// Name spaces by number (`sys/sys/extattr.h`), with the name's prefix in a tree.
const SPACES: [(u8, &str); 2] = [(1, "user."), (2, "system.")];

/// A node's attributes as they lie on disk.
pub(crate) fn encode(
    path: &TreePath,
    attributes: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for (name, value) in attributes {
        let fault = |fault| Error::Attribute {
            path: path.clone(),
            name: name.clone(),
            fault,
        };
        let (space, short) = SPACES
            .iter()
            .find_map(|(space, prefix)| Some((*space, name.strip_prefix(prefix)?)))
            .ok_or_else(|| fault("FreeBSD knows `user.` and `system.` names only"))?;
        if short.is_empty() || short.len() > 255 || short.contains('\0') {
            return Err(fault(
                "its name has 1 to 255 bytes after the dot, and no NUL",
            ));
        }
        let start = bytes.len();
        bytes.resize(start + HEAD, 0);
        bytes.extend_from_slice(short.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(value);
        let filling = bytes.len().next_multiple_of(8) - bytes.len();
        bytes.resize(bytes.len() + filling, 0);
        let len = (bytes.len() - start) as u32;
        let head = &mut bytes[start..];
        head.put32(0, len);
        head[4] = space;
        head[5] = filling as u8;
        head[6] = short.len() as u8;
    }
    if bytes.len() > ROOM {
        return Err(Error::AttributesTooLarge {
            path: path.clone(),
            bytes: bytes.len(),
            limit: ROOM,
        });
    }
    Ok(bytes)
}

/// The attributes that lie in `bytes`; else what is wrong with them.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, &'static str> {
    let mut attributes = BTreeMap::new();
    while !bytes.is_empty() {
        if bytes.len() < HEAD + 1 {
            return Err("an extended attribute is cut off");
        }
        let len = bytes.get32(0) as usize;
        let name_end = HEAD + usize::from(bytes[6]);
        let start = name_end.next_multiple_of(8);
        let end = len.checked_sub(usize::from(bytes[5]));
        let (Some(entry), Some(end)) = (bytes.get(..len), end) else {
            return Err("an extended attribute has an impossible length");
        };
        if !len.is_multiple_of(8) || bytes[5] > 7 || end < start {
            return Err("an extended attribute has an impossible length");
        }
        let prefix = SPACES
            .iter()
            .find_map(|(space, prefix)| (*space == entry[4]).then_some(*prefix))
            .ok_or("an extended attribute is in an unknown name space")?;
        let name = std::str::from_utf8(&entry[HEAD..name_end])
            .map_err(|_| "the name of an extended attribute is not UTF-8")?;
        let known = attributes.insert(format!("{prefix}{name}"), entry[start..end].to_vec());
        if known.is_some() {
            return Err("an extended attribute is there twice");
        }
        bytes = &bytes[len..];
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(list: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        let owned = list
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        owned.collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let path = TreePath::new("f").unwrap();
        let lists: [&[(&str, &[u8])]; 4] = [
            &[],
            &[("user.a", b"")],
            &[
                ("system.posix1e.acl_access", &[7; 84]),
                ("user.x", b"12345678"),
            ],
            &[("user.12345678", b"1"), ("user.n", &[1; 40_000])],
        ];
        for list in lists {
            let list = attributes(list);
            let bytes = encode(&path, &list).unwrap();
            assert!(bytes.len().is_multiple_of(8));
            assert_eq!(decode(&bytes).unwrap(), list);
        }
        let bytes = encode(&path, &attributes(&[("user.ab", b"xyz")])).unwrap();
        assert_eq!(
            bytes,
            b"\x18\0\0\0\x01\x05\x02ab\0\0\0\0\0\0\0xyz\0\0\0\0\0"
        );
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        let path = TreePath::new("f").unwrap();
        for name in ["security.capability", "trusted.x", "user."] {
            let error = encode(&path, &attributes(&[(name, b"x")])).unwrap_err();
            assert!(matches!(error, Error::Attribute { .. }), "{error}");
        }
        let error = encode(&path, &attributes(&[("user.x", &[0; 65_530])])).unwrap_err();
        assert!(matches!(error, Error::AttributesTooLarge { .. }));
    }

    #[test]
    fn damage_is_told_of() {
        let path = TreePath::new("f").unwrap();
        let good = encode(&path, &attributes(&[("user.ab", b"xyz")])).unwrap();
        for (at, value) in [
            (0, 0),
            (0, 8),
            (0, 0x20),
            (0, 0x1c),
            (1, 1),
            (4, 9),
            (5, 20),
            (6, 200),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(decode(&bad).is_err(), "{at} {value}");
        }
        assert!(decode(&good[..5]).is_err());
        assert!(decode(&[0; 16]).is_err());
    }
}
