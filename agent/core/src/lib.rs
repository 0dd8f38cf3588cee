//! What the device decides, apart from every file, socket, clock and die.
//!
//! Sightings, messages and times come in; findings, records and effects go out. Nothing here may read a clock, draw a
//! random number or touch the system: the adapters in the agent do that and hand over values. Read next: `flow` and
//! `detect` for what the network shows, `spool` for what must not be lost, docs/ARCHITECTURE.md for the house.
#![no_std]

extern crate alloc;

pub mod addresses;
pub mod backoff;
pub mod content;
pub mod detect;
pub mod dissect;
pub mod flow;
pub mod interlock;
pub mod mud;
pub mod neighbour;
pub mod profile;
pub mod recording;
pub mod renew;
pub mod report;
pub mod restarts;
pub mod sensor;
pub mod signs;
pub mod spool;
pub mod update;
pub mod watched;
pub mod window;
