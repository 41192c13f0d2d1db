//! CRC-32C as ext4 uses it: the running value is neither inverted at the start nor at the end.

/// The value that every checksum of a file system starts from: CRC-32C of its UUID.
pub(crate) fn seed_of(uuid: &[u8; 16]) -> u32 {
    extend(!0, uuid)
}

/// Continues a checksum over `bytes`.
pub(crate) fn extend(value: u32, bytes: &[u8]) -> u32 {
    // The crate inverts before and after, as most users of CRC-32C do; ext4 does not.
    !crc32c::crc32c_append(!value, bytes)
}

/// The value that checksums of one inode and of its blocks start from. Generations are all zero.
pub(crate) fn inode_seed(seed: u32, inode: u32) -> u32 {
    extend(extend(seed, &inode.to_le_bytes()), &[0; 4])
}
