//! What the whole-system tests share: the image under test, a disk made of it, a guest that runs.
//!
//! Everything here panics when it fails: it is only called by tests, and a test's failure should say
//! at once what was expected. Nothing needs root, a mount or a loop device.

// A test may unwrap, and this crate is nothing but tests.
#![allow(clippy::unwrap_used)]

mod built;
mod canary;
pub mod checkout;
mod disk;
mod guest;
pub mod power_cut;
mod program;
pub mod repository;
pub mod scenario;

pub use built::{Built, xtask};
pub use canary::{Canary, Owner};
pub use disk::{Disk, Stat};
pub use guest::{Answers, Guest, KeyPair};
pub use program::{Finished, program, run};
