//! The shared ground floor: what is said on the wire, and what may be believed.
//!
//! Bytes come in, decisions and values go out. Nothing here opens a file or a socket, reads a clock or draws a
//! random number: `now`, nonces and keys' verifiers are arguments. Messages to devices are CBOR arrays with explicit
//! indices ([`checkin`], [`telemetry`], [`inventory`], [`receipt`]); signed firmware metadata is canonical JSON
//! (`canonical`, `update`).
//!
//! Read next: [`ids`] for the names of things, [`limits`] for every bound, docs/ARCHITECTURE.md for the house.
#![no_std]

extern crate alloc;

pub mod audit;
pub mod authorities;
pub mod canonical;
pub mod checkin;
pub mod enrol;
pub mod farewell;
#[cfg(test)]
mod golden;
pub mod health;
pub mod ids;
pub mod inventory;
pub mod limits;
pub mod merkle;
pub mod mud;
pub mod receipt;
pub mod sorting;
pub mod telemetry;
pub mod time;
pub mod update;
pub mod wire;
