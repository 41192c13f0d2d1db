//! The real program, from outside: its life, its clients, its crashes, and
//! the service files that start it.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod agents;
mod board;
mod clients;
mod crash;
mod harness;
mod health;
mod hostd;
mod hostile;
mod keeper;
mod lifecycle;
mod mcp;
mod peers;
mod rc_d;
mod restart;
mod retention;
mod rights;
mod sessions;
mod skills;
mod systemd;
mod tenants;
mod tui;
