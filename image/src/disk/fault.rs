//! What is wrong with an image, and where.

use std::fmt;

/// One thing found wrong in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Byte in the image where it was noticed.
    pub at: u64,
    /// The structure it belongs to, and the path of the file where there is one.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl Fault {
    /// A fault in `place`, noticed at byte `at` of the image.
    pub fn new(at: u64, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            at,
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, byte {:#x}: {}", self.place, self.at, self.what)
    }
}

impl std::error::Error for Fault {}
