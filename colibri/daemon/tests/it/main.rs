//! The real program, from outside: its life, its clients, its crashes, and
//! the service files that start it.

mod clients;
mod crash;
mod harness;
mod lifecycle;
mod peers;
mod rc_d;
mod systemd;
