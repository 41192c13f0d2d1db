//! Inodes (`struct ufs2_dinode` of `sys/ufs/ufs/dinode.h`).

use clawdie_tree::TreePath;

use crate::Error;
use crate::bytes::Fields;
use crate::checksum;
use crate::geometry::INODE;

/// Where the check hash lies in an inode.
pub(crate) const HASH_AT: usize = 244;
/// Bytes of the addresses, which are a short symbolic link's target instead (`di_shortlink`).
pub(crate) const AREA: usize = 120;
/// Where they lie.
pub(crate) const AREA_AT: usize = 112;

/// What `chflags` may set on UFS (`ufs_setattr` in `sys/ufs/ufs/ufs_vnops.c`), but for a snapshot's
/// mark: nodump, uchg, uappnd, opaque, uunlnk, system, sparse, offline, reparse, uarch, rdonly,
/// hidden; arch, schg, sappnd, sunlnk.
const KNOWN_FLAGS: u32 = 0x17_9f9f;

/// Everything an inode says, but for the file system's own times.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) number: u32,
    /// With the kind in the top four bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) links: u16,
    pub(crate) mtime: i64,
    pub(crate) flags: u32,
    /// 512-byte units of all its blocks.
    pub(crate) sectors: u64,
    /// Bytes of extended attributes.
    pub(crate) attributes_len: u32,
    /// Where they lie.
    pub(crate) attributes_at: [u64; 2],
    /// Addresses, symbolic link or device number.
    pub(crate) area: [u8; AREA],
    /// Steps from the root; of directories only (`di_dirdepth`).
    pub(crate) depth: u32,
}

impl Inode {
    /// The inode as it lies in its table.
    pub(crate) fn encode(&self, epoch: i64, id: &[u8; 8]) -> [u8; INODE as usize] {
        let mut raw = [0; INODE as usize];
        raw.put16(0, self.mode);
        raw.put16(2, self.links);
        raw.put32(4, self.uid);
        raw.put32(8, self.gid);
        raw.put64(16, self.size);
        raw.put64(24, self.sectors);
        raw.put64(32, epoch as u64); // atime
        raw.put64(40, self.mtime as u64);
        raw.put64(48, epoch as u64); // ctime
        // The kernel, too, moves a creation time back when a file gets an older one (`utimes`).
        raw.put64(56, epoch.min(self.mtime) as u64);
        raw.put32(80, generation(self.number, id));
        raw.put32(88, self.flags);
        raw.put32(92, self.attributes_len);
        raw.put64(96, self.attributes_at[0]);
        raw.put64(104, self.attributes_at[1]);
        raw.put(AREA_AT, &self.area);
        raw.put32(240, self.depth);
        checksum::seal(&mut raw, HASH_AT);
        raw
    }
}

/// A number that tells a file from another that had its inode before; never 0, which the kernel
/// would replace. newfs takes random ones.
fn generation(number: u32, id: &[u8; 8]) -> u32 {
    let mut bytes = [0; 12];
    bytes.put(0, id);
    bytes.put32(8, number);
    crc32c::crc32c(&bytes).max(1)
}

/// Checks that UFS knows all of a node's file flags.
pub(crate) fn check_flags(path: &TreePath, flags: u32) -> Result<u32, Error> {
    match flags & !KNOWN_FLAGS {
        0 => Ok(flags),
        unknown => Err(Error::Flags {
            path: path.clone(),
            flags: unknown,
        }),
    }
}

/// A device number as it lies in an inode (`makedev` of `sys/sys/types.h`).
pub(crate) fn device(major: u32, minor: u32) -> [u8; AREA] {
    let (major, minor) = (u64::from(major), u64::from(minor));
    let number = (major & 0xffff_ff00) << 32
        | (major & 0xff) << 8
        | (minor & 0xff00) << 24
        | minor & 0xffff_00ff;
    let mut area = [0; AREA];
    area.put64(0, number);
    area
}

/// Major and minor of a device number (`major` and `minor` of `sys/sys/types.h`).
pub(crate) fn device_parts(number: u64) -> (u32, u32) {
    let major = number >> 32 & 0xffff_ff00 | number >> 8 & 0xff;
    let minor = number >> 24 & 0xff00 | number & 0xffff_00ff;
    (major as u32, minor as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_survive() {
        for device_number in [(1, 3), (300, 70_000), (u32::MAX, u32::MAX), (0, 0xff00)] {
            let area = device(device_number.0, device_number.1);
            assert_eq!(device_parts(area.get64(0)), device_number);
        }
        assert_eq!(device(1, 3).get64(0), 0x103);
    }

    #[test]
    fn flags_that_ufs_does_not_know_are_refused() {
        let path = TreePath::new("f").unwrap();
        let known = 0x2_0000 | 0x4_0000 | 0x10_0000 | 0x1_0000 | 1 | 0x8000 | 0x1000 | 0x800 | 0x80;
        assert_eq!(check_flags(&path, known), Ok(known));
        for unknown in [0x20_0000, 0x20, 0x40, 0x2000, 0x8_0000, 0x8000_0000] {
            let error = check_flags(&path, known | unknown).unwrap_err();
            assert_eq!(
                error,
                Error::Flags {
                    path: path.clone(),
                    flags: unknown
                }
            );
        }
    }
}
