//! x
/// x
pub struct Found;
/// x
pub struct ReadError;
/// x
pub fn read() {}
