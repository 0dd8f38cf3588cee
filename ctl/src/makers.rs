//! `cordonctl makers`: says to the server which models a maker's repository may list, and with which root it begins.
//!
//! The root's digest comes from the maker by another way than the repository itself: a letter, a call, a contract. Read
//! next: [`crate::repo::publish`].

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Args, Subcommand};
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::limits;
use serde_json::{Value, json};

use crate::api::Api;
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 5] = ["repository", "models", "root_sha256", "by", "at"];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the makers that were pinned.
    List,
    /// Pin one.
    Pin(Pin),
}

/// A maker to be pinned.
#[derive(Clone, Debug, Args)]
pub struct Pin {
    /// Its repository's name.
    repository: Name,
    /// A model that it makes. Repeat.
    #[arg(long, value_name = "MODEL", required = true)]
    model: Vec<String>,
    /// Its first root: the file, or its SHA-256 in 64 hexadecimal digits.
    #[arg(long, value_name = "FILE|SHA256")]
    root: String,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::List => {
                let answer = Api::new(session.options)?.get(&["makers"], &[])?;
                let makers = answer.get("makers").and_then(Value::as_array).cloned().unwrap_or_default();
                Ok(Report::table(&COLUMNS, &makers, answer))
            }
            Self::Pin(pin) => pin.run(session),
        }
    }
}

impl Pin {
    fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let root = digest(&self.root)?;
        let models: BTreeSet<_> = self.model.iter().collect();
        let api = Api::new(session.options)?;
        let asked = json!({"models": models, "root_sha256": root.to_string()});
        let answer = api.put(&["makers", self.repository.as_str()], asked.to_string().into_bytes())?;
        Ok(Report::new(format!("{} is pinned to the root {root}", self.repository), answer))
    }
}

/// The digest of a maker's first root: as it was given, or of the file that was given.
///
/// # Errors
/// The file cannot be read.
pub fn digest(given: &str) -> Result<Sha256, Failure> {
    match given.parse() {
        Ok(digest) => Ok(digest),
        Err(_) => Ok(Sha256::of(&read_file(Path::new(given), as_u64(limits::TUF_ROOT_BYTES))?)),
    }
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
