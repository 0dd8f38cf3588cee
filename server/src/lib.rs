//! The fleet program: adapters around the decisions of `server/core`, as a library with a thin binary.
//!
//! [`run`] is the very `main` of `cordon-server`, so that the simulator can be the same program. Handlers are five
//! verbs: parse, load, decide, commit, reply; decisions live in `cordon-server-core`, documents in [`store`]. Nothing
//! here signs firmware or orders, and no key that could is ever on the server.
//!
//! Read next: `app` for the one way state moves, `http` for who may speak to us.

pub mod age;
pub mod app;
pub mod appraisal;
pub mod audit_log;
pub mod ca;
pub mod care;
pub mod chance;
pub mod clock;
pub mod cohorts;
mod command;
pub mod config;
pub mod connections;
pub mod control;
pub mod drafts;
pub mod evidence;
pub mod example;
pub mod exceptions;
pub mod expiries;
pub mod files;
pub mod fleet;
pub mod follow;
pub mod http;
pub mod init;
pub mod jobs;
pub mod knowledge;
pub mod leases;
pub mod log;
pub mod metrics;
pub mod online;
pub mod people;
pub mod repositories;
pub mod risk_book;
pub mod rollouts;
pub mod serve;
pub mod siem;
pub mod store;
pub mod table;
#[cfg(test)]
mod testing;
pub mod tls;
mod to_its_end;
pub mod token_book;
pub mod ui;
pub mod verifier;
mod views;
pub mod visits;
pub mod waits;

pub use command::{command_line, run};
