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
pub mod audit;
pub mod authority;
pub mod change;
pub mod clone;
pub mod device;
pub mod evidence;
pub mod expiry;
pub mod feeds;
pub mod import;
pub mod matching;
pub mod order_plan;
pub mod paths_up;
pub mod policy;
pub mod publish;
pub mod risk;
pub mod rollout;
#[cfg(any(test, feature = "schema"))]
pub mod schema;
pub mod select;
pub mod triage;
pub mod withdrawn;
