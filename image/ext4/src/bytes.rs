//! Little-endian fields at fixed offsets of on-disk structures.

/// Stores fields at offsets; the offsets are constants of the format, within the structure's size.
pub(crate) trait Fields {
    /// Stores raw bytes.
    fn put(&mut self, at: usize, value: &[u8]);
    /// Stores 16 bits.
    fn put16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }
    /// Stores 32 bits.
    fn put32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }
    /// Stores the low half of a 64-bit field at one offset and the high half at another.
    fn put_split(&mut self, low: usize, high: usize, value: u64) {
        self.put32(low, value as u32);
        self.put32(high, (value >> 32) as u32);
    }
    /// Stores the low half of a 32-bit field at one offset and the high half at another.
    fn put_split16(&mut self, low: usize, high: usize, value: u32) {
        self.put16(low, value as u16);
        self.put16(high, (value >> 16) as u16);
    }
}

impl Fields for [u8] {
    fn put(&mut self, at: usize, value: &[u8]) {
        self[at..at + value.len()].copy_from_slice(value);
    }
}
