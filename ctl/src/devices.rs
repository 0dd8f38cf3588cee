//! `cordonctl devices`: list, show, quarantine and release.
//!
//! A quarantine needs a reason, which stands in the audit log; it touches neither therapy nor network. Read next:
//! [`crate::api`].

use clap::Subcommand;
use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use serde_json::{Value, json};

use crate::api::{Api, Pages};
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 8] = ["id", "model", "serial", "site", "ward", "state", "band", "seen"];
/// Where they are.
const FLEET: Pages<'static> = Pages { path: &["devices"], rows: "devices", cursor: "after" };

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List devices.
    List {
        /// Words to look for.
        #[arg(long)]
        search: Option<String>,
        /// Only in this state.
        #[arg(long)]
        state: Option<String>,
        /// So many at most.
        #[arg(long, default_value_t = limits::PAGE_ROWS)]
        limit: usize,
    },
    /// Show one device.
    Show {
        /// Its id.
        id: DeviceId,
    },
    /// Stop trusting a device; therapy and network stay untouched.
    Quarantine {
        /// Its id.
        id: DeviceId,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Trust a device again.
    Release {
        /// Its id.
        id: DeviceId,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::List { search, state, limit } => {
                let given = [("q", search), ("state", state)]
                    .map(|(name, text)| text.clone().map(|text| (name, text)));
                let query: Vec<_> = given.into_iter().flatten().collect();
                let rows = api.list(&FLEET, &query, *limit)?;
                Ok(Report::table(&COLUMNS, &rows, Value::Array(rows.clone())))
            }
            Self::Show { id } => Ok(Report::document(api.get(&["devices", &id.to_string()], &[])?)),
            Self::Quarantine { id, reason } => act(&api, id, "quarantine", reason),
            Self::Release { id, reason } => act(&api, id, "release", reason),
        }
    }
}

fn act(api: &Api, id: &DeviceId, act: &str, reason: &str) -> Result<Report, Failure> {
    let answer = api.post(&["devices", &id.to_string(), act], &json!({"reason": reason}))?;
    Ok(Report::new(format!("{id}: {act} done"), answer))
}
