//! The first boot: reads `setup.txt` from the seed and turns a fresh image into the operator's host.

pub mod profile;
pub mod setup;
