//! The superblock of an empty journal (JBD2, big-endian).

use crate::geometry::BLOCK;

const MAGIC: u32 = 0xc03b_3998;
const SUPERBLOCK_V2: u32 = 4;

/// The first block of a clean journal of `bytes` bytes; the others are zero. As from mke2fs it
/// carries no features: the kernel adds `64bit` and `checksum_v3` at the first mount.
pub(crate) fn superblock(bytes: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK as usize];
    let mut put = |at: usize, value: u32| block[at..at + 4].copy_from_slice(&value.to_be_bytes());
    put(0x00, MAGIC);
    put(0x04, SUPERBLOCK_V2);
    put(0x0c, BLOCK as u32);
    put(0x10, (bytes / BLOCK) as u32);
    put(0x14, 1); // the first block of the log
    put(0x18, 1); // the first transaction to expect
    // s_start (0x1c) is 0: there is nothing to replay.
    put(0x40, 1); // one file system uses it
    block
}
