//! The real `bw` against the test server: every way in which it fails open, and everything else that goes wrong.
//!
//! A run takes seconds, for `bw` is started six to ten times. So a handful is played each time, and the rest with
//! `--run-ignored all`. Needs what `Bw::install` needs; a machine without says so and checks nothing.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod canaries;
mod hazards;
mod home;
mod kills;
mod program;
