//! The real program, from outside: its life, its clients, its crashes, and
//! the service files that start it.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod agents;
mod board;
mod clients;
mod crash;
mod harness;
mod hostile;
mod keeper;
mod lifecycle;
mod peers;
mod rc_d;
mod restart;
mod sessions;
mod systemd;
