//! Check hashes: CRC-32C that starts from all ones and is not inverted at the end
//! (`calculate_crc32c(~0L, ...)` of `sys/libkern/gsb_crc32.c`), the hash's own field counted as zero.

use crate::bytes::Fields;

/// The check hash of a structure whose hash lies at `at`.
pub(crate) fn hash(bytes: &[u8], at: usize) -> u32 {
    // The crate inverts at the end, as most users of CRC-32C do; UFS does not.
    let sum = crc32c::crc32c(&bytes[..at]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    !crc32c::crc32c_append(sum, &bytes[at + 4..])
}

/// Puts a structure's check hash into its place.
pub(crate) fn seal(bytes: &mut [u8], at: usize) {
    let sum = hash(bytes, at);
    bytes.put32(at, sum);
}
