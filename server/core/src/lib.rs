//! The ground floor of the server: what it decides.
//!
//! Stored facts and `now` come in, values and commits go out. Nothing here opens a file, a socket or a database, reads
//! a clock or draws a random number; the adapters in `cordon-server` load, call, commit and reply.
//!
//! Read next: `change` for the only way fleet state moves, [`rollout`] for waves and the automatic stop.
#![no_std]

extern crate alloc;

pub mod admit;
pub mod approval;
pub mod assets;
pub mod audit;
pub mod authority;
pub mod change;
pub mod clone;
pub mod cohort;
pub mod contacts;
pub mod coverage;
pub mod cvss;
pub mod declared;
pub mod device;
#[cfg(any(test, feature = "world"))]
pub mod elsewhere;
pub mod evidence;
pub mod exception;
pub mod expiry;
pub mod exposure;
pub mod feeds;
pub mod health;
pub mod import;
pub mod matching;
pub mod mud;
pub mod order_plan;
pub mod paths_up;
pub mod policy;
pub mod publish;
pub mod risk;
pub mod rollout;
pub mod sbom;
#[cfg(any(test, feature = "schema"))]
pub mod schema;
pub mod select;
pub mod siem;
pub mod triage;
pub mod visit;
pub mod vitals;
pub mod withdrawn;
