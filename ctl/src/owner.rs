//! `cordonctl owner`: the signed word by which devices obey another owner (decision 0010, change of owner).
//!
//! The present owner's root keys sign it; where that owner is gone, a maker's do, and then only a person at each device
//! completes it. Everything that it states is shown before it is signed, with the full list of its devices. No server
//! is asked. Read next: [`hand_over`] for who signs, [`verify`].

use cordon_proto::ids::Sha256;
use cordon_proto::update::handover::HandOver;
use cordon_proto::update::metadata::Root;
use cordon_proto::update::{Rules, Trusted};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::arguments::read_file;
use crate::chain::no_example;
use crate::failure::Failure;
use crate::order::list::ScopeList;
use crate::order::scope;
use crate::report::Report;
use crate::session::Session;

pub mod hand_over;
pub mod verify;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign a change of owner, or with --add put the second signature under it.
    HandOver(Box<hand_over::Sign>),
    /// Verify a change of owner offline.
    Verify(verify::Verify),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused or wrongly used.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::HandOver(sign) => sign.run(session),
            Self::Verify(verify) => verify.run(session),
        }
    }
}

/// A root in a file of its own, signed by its own threshold, and its SHA-256.
///
/// # Errors
/// It cannot be read or is not believed, or it gives a role to an example key.
pub fn root_file(
    path: &std::path::Path,
    rules: &Rules<'_>,
    example_keys: bool,
) -> Result<(Root, Sha256), Failure> {
    let limit = u64::try_from(rules.sizes.root).unwrap_or(u64::MAX);
    let bytes = read_file(path, limit)?;
    let root = Trusted::start(&bytes, rules)?.root().clone();
    no_example(&root, example_keys)?;
    Ok((root, Sha256::of(&bytes)))
}

/// A change of owner in lines, for the eyes of whoever signs.
fn describe(hand_over: &HandOver, list: Option<&ScopeList>) -> String {
    let HandOver { from, to, issued, expires, .. } = hand_over;
    format!(
        "  from       director root {from}\n  to         director root {to}\n  holds      {issued} to {expires}\n"
    ) + &scope(&hand_over.scope, list.map_or(&[], std::slice::from_ref))
}

/// A change of owner for programs.
fn facts(hand_over: &HandOver) -> Value {
    let signed = serde_json::from_slice(&hand_over.value().json()).unwrap_or(Value::Null);
    json!(signed)
}
