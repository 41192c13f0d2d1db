//! The frame of an `.xz` file: stream header, blocks, index, footer (the .xz file format 1.2.1).

use liblzma::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};

use crate::{Error, ErrorKind, Result, ResultExt};

const CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
const MAGIC: [u8; 6] = [0xFD, b'7', b'z', b'X', b'Z', 0];
/// Each block ends in a CRC-64, the default of `xz`: every decoder knows it.
const FLAGS: [u8; 2] = [0, 4];
const CHECK_LEN: usize = 8;
const HEADER_LEN: usize = 12;
const FOOTER_LEN: usize = 12;
/// The one filter in use.
const LZMA2: u8 = 0x21;
/// A block header with both sizes and one filter, of its 1024 at most.
const BOTH_SIZES: u8 = 0xC0;

/// A block as it stands in the file, and what the index says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// Length without the padding of its data.
    pub(super) unpadded: u64,
    /// Length of what it decodes to.
    pub(super) uncompressed: u64,
}

/// The bytes before the first block.
pub(super) fn stream_header() -> Vec<u8> {
    [&MAGIC[..], &FLAGS, &CRC32.checksum(&FLAGS).to_le_bytes()].concat()
}

/// The bytes after the last block: the index of `(unpadded, uncompressed)` and the footer.
pub(super) fn index_and_footer(records: &[(u64, u64)]) -> Vec<u8> {
    let mut index = vec![0];
    put_varint(&mut index, records.len() as u64);
    for &(unpadded, uncompressed) in records {
        put_varint(&mut index, unpadded);
        put_varint(&mut index, uncompressed);
    }
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(CRC32.checksum(&index).to_le_bytes());
    // The index is far below the 16 GiB that this can say.
    let mut tail = ((index.len() / 4 - 1) as u32).to_le_bytes().to_vec();
    tail.extend(FLAGS);
    index.extend(CRC32.checksum(&tail).to_le_bytes());
    index.extend(tail);
    index.extend(b"YZ");
    index
}

/// Compresses `chunk` into one block.
pub(super) fn block(chunk: &[u8], preset: u32) -> Result<Block> {
    let failed = || "liblzma could not compress".to_owned();
    // The presets below 7 have dictionaries no longer than a chunk, so none is wasted.
    let options = LzmaOptions::new_preset(preset).or_error(ErrorKind::Failed, failed)?;
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let mut encoder =
        Stream::new_stream_encoder(&filters, Check::Crc64).or_error(ErrorKind::Failed, failed)?;
    // What cannot be compressed grows by a few bytes for every 64 KiB.
    let mut stream = Vec::with_capacity(chunk.len() + chunk.len() / 1024 + 1024);
    let status = encoder
        .process_vec(chunk, &mut stream, Action::Finish)
        .or_error(ErrorKind::Failed, failed)?;
    if !matches!(status, Status::StreamEnd) {
        return Err(Error::failed(failed()));
    }
    lift(&stream, chunk.len() as u64)
        .ok_or_else(|| Error::failed("liblzma wrote a stream that is not one block"))
}

/// Takes the block out of a stream that has one, and gives it a header with both sizes: with them a
/// decoder can work on many blocks at once (`xz -T0`), and knows early what is coming.
fn lift(stream: &[u8], uncompressed: u64) -> Option<Block> {
    let footer = stream.len().checked_sub(FOOTER_LEN)?;
    let mut backward = [0; 4];
    backward.copy_from_slice(stream.get(footer + 4..footer + 8)?);
    let index = footer.checked_sub((u32::from_le_bytes(backward) as usize + 1) * 4)?;
    let mut records = stream.get(index..footer)?.strip_prefix(&[0, 1])?;
    let unpadded = usize::try_from(varint(&mut records)?).ok()?;
    let block = stream.get(HEADER_LEN..index)?;
    let header = (usize::from(*block.first()?) + 1) * 4;
    // Flags 0: one filter, no sizes.
    let filter = block
        .get(1..5)
        .filter(|flags| flags[..3] == [0, LZMA2, 1])?;
    let compressed = unpadded.checked_sub(header + CHECK_LEN)?;
    if varint(&mut records)? != uncompressed {
        return None;
    }

    let mut bytes = vec![0, BOTH_SIZES];
    put_varint(&mut bytes, compressed as u64);
    put_varint(&mut bytes, uncompressed);
    bytes.extend(&filter[1..]);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes[0] = (bytes.len() / 4) as u8; // the header's length in words, its checksum not counted
    bytes.extend(CRC32.checksum(&bytes).to_le_bytes());
    let unpadded = (bytes.len() + compressed + CHECK_LEN) as u64;
    bytes.extend(block.get(header..)?); // data, padding and check stay as they are
    Some(Block {
        bytes,
        unpadded,
        uncompressed,
    })
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7F) << shift;
        if first < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), (1 << 63) - 1] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(varint(&mut bytes.as_slice()), Some(value));
        }
        assert_eq!(varint(&mut [0x80; 12].as_slice()), None);
    }

    #[test]
    fn what_is_not_one_block_is_not_lifted() {
        assert_eq!(lift(&[], 0), None);
        let empty = [stream_header(), index_and_footer(&[])].concat();
        assert_eq!(lift(&empty, 0), None);
    }
}
