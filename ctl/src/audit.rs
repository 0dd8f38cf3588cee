//! `cordonctl audit`: the audit log as the server tells it, and its check without the server.
//!
//! `list`, `head` and `export` ask a server; `verify` works on files alone, on any machine. A head that is kept here is
//! what holds a server to its past: `head` replaces a kept one only by a later head of the same log, proved to continue
//! it. Read next: `audit/take.rs` for what is fetched, `audit/verify.rs` for the check.

use std::path::PathBuf;

use clap::Subcommand;
use cordon_proto::limits;
use serde_json::Value;

use crate::api::{Api, Pages};
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

mod take;
mod verify;

pub(crate) use verify::{facts, read_head, read_key};

/// What the list shows.
const COLUMNS: [&str; 7] = ["sequence", "at", "actor", "action", "object", "reason", "sealed"];
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
    /// Fetch the newest signed head and keep it; in place of an earlier one only if it continues that log.
    Head {
        /// Where to keep it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Fetch all sealed entries, with heads and hashes, into one file for `audit verify`.
    Export {
        /// Where to write it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check an export against a head that was kept: names the entry that was edited, dropped, moved or cut off.
    Verify {
        /// The export.
        #[arg(long, value_name = "FILE")]
        export: PathBuf,
        /// A head that was kept from before, not one of the export's own; may be given several times.
        #[arg(long, value_name = "FILE", required = true)]
        head: Vec<PathBuf>,
        /// The public key of the log, where it is known from another place too: the server's audit-key.json.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::List { limit } => {
                let rows = Api::new(session.options)?.list(&JOURNAL, &[], *limit)?;
                Ok(Report::table(&COLUMNS, &rows, Value::Array(rows.clone())))
            }
            Self::Head { out } => take::head(&Api::new(session.options)?, out),
            Self::Export { out } => take::export(&Api::new(session.options)?, out),
            Self::Verify { export, head, key } => verify::run(export, head, key.as_deref()),
        }
    }
}
