//! The first boot: reads `setup.txt` from the seed and turns a fresh image into the operator's host.

pub mod adoption;
pub mod collect;
pub mod emptied;
pub mod environment;
pub mod facts;
mod failpoint;
pub mod habits;
pub mod host;
pub mod intake;
pub mod journal;
pub mod operator;
pub mod paths;
pub mod plan;
pub mod profile;
pub mod report;
pub mod reset;
pub mod run;
pub mod seed;
pub mod setup;
pub mod status;
pub mod step;
pub mod wizard;
