//! From recipe to disk: what every verb of `cargo xtask` that touches an image is made of.
//!
//! ```text
//! recipe (TOML) -> plan -> layers -> tree -> file systems -> disk image -> manifest, checksums
//! ```
//!
//! `docs/architecture.md` draws the way that the data takes; each module here is one station of it.

pub mod base;
pub mod bmap;
pub mod cache;
pub mod checkout;
pub mod disk;
pub mod error;
pub mod fat;
pub mod flash;
mod generated;
pub mod identity;
pub mod layer;
pub mod lint;
pub mod manifest;
pub mod npm;
pub mod order;
pub mod outputs;
pub mod pack;
pub mod packages;
pub mod pipeline;
pub mod programs;
pub mod progress;
pub mod qemu;
pub mod recipe;
mod root;
pub mod seed;
pub mod stage;
pub mod tool;
pub mod users;
pub mod verify;
pub mod volumes;
pub mod xz;

pub use error::{Error, ErrorKind, Result, ResultExt};
