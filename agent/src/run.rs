//! The agent at work.

pub(crate) mod contact;
mod messages;
pub(crate) mod tuf;
