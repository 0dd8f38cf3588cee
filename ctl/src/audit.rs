//! `cordonctl audit`: the audit log as the server tells it.
//!
//! A server could leave out entries here; the sealed log and its offline check come with the audit issue. Read next:
//! [`crate::api`].

use clap::Subcommand;
use cordon_proto::limits;
use serde_json::Value;

use crate::api::{Api, Pages};
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 6] = ["sequence", "at", "actor", "action", "object", "reason"];
/// Where the journal is.
const JOURNAL: Pages<'static> = Pages { path: &["audit"], rows: "entries", cursor: "before" };

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List entries, newest first.
    List {
        /// So many at most.
        #[arg(long, default_value_t = limits::PAGE_ROWS)]
        limit: usize,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let Self::List { limit } = self;
        let rows = Api::new(session.options)?.list(&JOURNAL, &[], *limit)?;
        Ok(Report::table(&COLUMNS, &rows, Value::Array(rows.clone())))
    }
}
