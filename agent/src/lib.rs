//! The device program as a library: adapters around the decisions of `cordon-agent-core`, and the one event loop.
//!
//! `main.rs` is a thin door to [`main_with`]; the simulator walks through the same door. Nothing here decides: what may
//! be installed stands in `cordon-proto` and `agent/core`. Read next: [`run`], docs/ARCHITECTURE.md.

pub mod boot;
pub mod capture;
pub mod clock;
pub mod commands;
pub mod config;
pub mod der;
pub mod files;
pub mod host;
pub mod identity;
pub mod install;
pub mod interlock;
pub mod link;
pub mod log;
#[cfg(feature = "observe")]
mod observe;
pub mod program;
pub mod run;
pub mod slot;
pub mod spool_file;
pub mod status;
mod stick;
pub mod store;
pub mod tls;
pub mod verifier;
pub mod zone;

pub use commands::{main_with, usage};

#[cfg(test)]
mod fake;
