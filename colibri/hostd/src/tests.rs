//! The helper as its clients see it: real sockets, real accounts, real descriptors and real programs. Only the
//! walls of the jails are missing; the boot test has those.

mod agents;
mod bench;
mod clients;
mod hostile;
mod secrets;
