//! Little-endian fields at fixed offsets of on-disk structures.

/// Stores and fetches fields at offsets; the offsets are constants of the format, within the
/// structure's size.
pub(crate) trait Fields {
    /// Stores raw bytes.
    fn put(&mut self, at: usize, value: &[u8]);
    /// The raw bytes at an offset.
    fn array<const N: usize>(&self, at: usize) -> [u8; N];

    /// Stores 16 bits.
    fn put16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }
    /// Stores 32 bits.
    fn put32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }
    /// Stores 64 bits.
    fn put64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }
    /// 16 bits.
    fn get16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }
    /// 32 bits.
    fn get32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }
    /// 64 bits.
    fn get64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}

impl Fields for [u8] {
    fn put(&mut self, at: usize, value: &[u8]) {
        self[at..at + value.len()].copy_from_slice(value);
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut value = [0; N];
        value.copy_from_slice(&self[at..at + N]);
        value
    }
}
