//! What firmware may be believed: the repositories' metadata, the owner's orders, and the refusals.
//!
//! Two halves. The first is a client of The Update Framework (TUF 1.0.34) without a network: [`trust`] proves,
//! [`refresh`] says what to fetch, [`search`] finds one file, [`author`] writes what others prove. The second is
//! Cordon's own: what a maker says of a release and an owner of an order, and why a device says no. Nothing here may
//! be configured away: no threshold, expiry or comparison has a switch.
//!
//! Read next: [`trust`], then [`key`] for who counts as a signer.

pub mod author;
pub mod bundle;
pub mod chunks;
pub mod content;
pub mod decide;
pub mod delegation;
pub mod deny;
pub mod document;
pub mod draft;
pub mod fault;
pub mod fetch;
pub mod handover;
pub mod key;
pub mod metadata;
pub mod name;
pub mod order;
mod pem;
pub mod permit;
pub mod refresh;
pub mod refusal;
pub mod release;
pub mod scope;
pub mod search;
#[cfg(test)]
mod testing;
pub mod tree;
pub mod trust;
pub mod unreadable;
pub mod window;

pub use fault::{Blame, Fault, Role, TrustError};
pub use fetch::{Allowance, Mirrors, Pace};
pub use key::{Authority, Ed25519Strict, KeyId, PublicKey, Scheme, Verifier};
pub use refresh::{Ask, Effect, FirstRoot, Next, Refresh, Request, Source, Turn};
pub use search::{Found, Search};
pub use trust::{AtRoot, AtTargets, Freshness, Rules, Sizes, Trusted};
