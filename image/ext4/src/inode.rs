//! Inodes as they lie in a table.

use clawdie_tree::TreePath;

use crate::Error;
use crate::bytes::Fields;
use crate::checksum;
use crate::geometry::INODE;

/// Bytes of the fields added since ext3.
pub(crate) const EXTRA_SIZE: u16 = 32;
/// Where these end and extended attributes may begin.
pub(crate) const EXTRA_END: usize = 160;

/// The root directory.
pub(crate) const ROOT: u32 = 2;
/// The inode that holds the reserved descriptor blocks.
pub(crate) const RESIZE: u32 = 7;
/// The journal.
pub(crate) const JOURNAL: u32 = 8;
/// The first that is not reserved: lost+found, as mke2fs has it.
pub(crate) const LOST_FOUND: u32 = 11;

/// The file is mapped by an extent tree.
pub(crate) const EXTENTS: u32 = 0x8_0000;
/// The directory has a hashed index.
pub(crate) const INDEX: u32 = 0x1000;

/// BSD file flags, set by the system or by the user, and the ext4 flags that mean the same. Read
/// back, the first of the two stands for both.
const BSD_FLAGS: [(u32, u32, u32); 3] = [
    (0x1, 0, 0x40),        // nodump
    (0x2_0000, 0x2, 0x10), // immutable
    (0x4_0000, 0x4, 0x20), // append only
];

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
    /// Where the one block of extended attributes lies; 0 for none.
    pub(crate) attributes_at: u64,
    /// Extended attributes inside the inode.
    pub(crate) attributes: Vec<u8>,
    /// 512-byte units of all its blocks.
    pub(crate) sectors: u64,
    /// Extent tree, symbolic link or device number.
    pub(crate) block: [u8; 60],
}

impl Inode {
    /// The inode as it lies in its table.
    pub(crate) fn encode(&self, epoch: i64, seed: u32) -> [u8; INODE as usize] {
        let mut raw = [0; INODE as usize];
        raw.put16(0x00, self.mode);
        raw.put_split16(0x02, 0x78, self.uid);
        raw.put_split(0x04, 0x6c, self.size);
        let (now, now_extra) = split_time(epoch);
        let (mtime, mtime_extra) = split_time(self.mtime);
        raw.put32(0x08, now); // atime
        raw.put32(0x0c, now); // ctime
        raw.put32(0x10, mtime);
        raw.put_split16(0x18, 0x7a, self.gid);
        raw.put16(0x1a, self.links);
        raw.put32(0x1c, self.sectors as u32);
        raw.put16(0x74, (self.sectors >> 32) as u16);
        raw.put32(0x20, self.flags);
        raw.put(0x28, &self.block);
        raw.put32(0x68, self.attributes_at as u32);
        raw.put16(0x76, (self.attributes_at >> 32) as u16);
        raw.put16(0x80, EXTRA_SIZE);
        raw.put32(0x84, now_extra);
        raw.put32(0x88, mtime_extra);
        raw.put32(0x8c, now_extra);
        raw.put32(0x90, now); // crtime
        raw.put32(0x94, now_extra);
        raw.put(EXTRA_END, &self.attributes);
        let sum = checksum::extend(checksum::inode_seed(seed, self.number), &raw);
        raw.put_split16(0x7c, 0x82, sum);
        raw
    }
}

/// A reserved inode that serves no purpose: nothing but a checksum, of which an inode without the
/// fields added since ext3 has half.
pub(crate) fn unused(number: u32, seed: u32) -> [u8; INODE as usize] {
    let mut raw = [0; INODE as usize];
    let sum = checksum::extend(checksum::inode_seed(seed, number), &raw);
    raw.put16(0x7c, sum as u16);
    raw
}

/// 32 bits as ever and two more, which reach to the year 2446; the rest would be nanoseconds.
fn split_time(time: i64) -> (u32, u32) {
    let low = time as i32;
    (low as u32, ((time - i64::from(low)) >> 32) as u32 & 3)
}

/// Checks that an inode can hold a time.
pub(crate) fn check_time(path: &TreePath, time: i64) -> Result<(), Error> {
    if (-(1 << 31)..(1 << 34) - (1 << 31)).contains(&time) {
        Ok(())
    } else {
        Err(Error::Time {
            path: path.clone(),
            time,
        })
    }
}

/// The ext4 flags of BSD file flags.
pub(crate) fn flags_to_disk(path: &TreePath, flags: u32) -> Result<u32, Error> {
    let known: u32 = BSD_FLAGS
        .iter()
        .map(|(system, user, _)| system | user)
        .sum();
    if flags & !known != 0 {
        return Err(Error::Flags {
            path: path.clone(),
            flags: flags & !known,
        });
    }
    Ok(BSD_FLAGS
        .iter()
        .filter(|(system, user, _)| flags & (system | user) != 0)
        .map(|(_, _, disk)| disk)
        .sum())
}

/// The BSD file flags of ext4 flags; those that only the file system itself sets are left out.
pub(crate) fn flags_from_disk(flags: u32) -> u32 {
    BSD_FLAGS
        .iter()
        .filter(|(_, _, disk)| flags & disk != 0)
        .map(|(system, _, _)| system)
        .sum()
}

/// A device number as it lies in an inode: the old form where it fits, else the new one.
pub(crate) fn device(path: &TreePath, major: u32, minor: u32) -> Result<[u8; 60], Error> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(Error::Device {
            path: path.clone(),
            major,
            minor,
        });
    }
    let mut block = [0; 60];
    if major < 256 && minor < 256 {
        block.put32(0, major << 8 | minor);
    } else {
        block.put32(4, minor & 0xff | major << 8 | (minor & !0xff) << 12);
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_2038_use_the_extra_bits() {
        assert_eq!(split_time(-1), (u32::MAX, 0));
        assert_eq!(split_time(i64::from(i32::MAX)), (0x7fff_ffff, 0));
        assert_eq!(split_time(1 << 31), (0x8000_0000, 1));
        assert_eq!(split_time(1 << 32), (0, 1));
        assert_eq!(split_time((1 << 34) - (1 << 31) - 1), (0x7fff_ffff, 3));
        let path = TreePath::root();
        assert!(check_time(&path, (1 << 34) - (1 << 31)).is_err());
        assert!(check_time(&path, -(1 << 31) - 1).is_err());
    }

    #[test]
    fn devices_and_flags_that_ext4_cannot_hold_are_refused() {
        let path = TreePath::new("dev/x").unwrap();
        assert!(device(&path, 4096, 0).is_err());
        assert!(device(&path, 0, 1 << 20).is_err());
        assert_eq!(flags_to_disk(&path, 0x2_0000).unwrap(), 0x10);
        assert!(flags_to_disk(&path, 0x8).is_err());
    }
}
