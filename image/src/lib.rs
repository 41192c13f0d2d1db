//! From recipe to disk: what every verb of `cargo xtask` that touches an image is made of.
//!
//! ```text
//! recipe (TOML) -> plan -> layers -> tree -> file systems -> disk image -> manifest, checksums
//! ```
//!
//! `docs/architecture.md` draws the way that the data takes; each module here is one station of it.

pub mod bmap;
pub mod disk;
pub mod error;
pub mod fat;
pub mod qemu;
pub mod xz;

pub use error::{Error, ErrorKind, Result, ResultExt};
