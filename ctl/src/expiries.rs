//! `cordonctl expiries`: what ends on a server within 90, 30 and 7 days, and who must act.
//!
//! For a folder on this machine `repo verify` says the same without a server. Read next: [`crate::repo::verify`].

use clap::Args;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 5] = ["ends", "days", "name", "whose", "todo"];

/// List what ends.
#[derive(Clone, Debug, Args)]
pub struct Expiries {
    /// All ends, also those that are far away.
    #[arg(long)]
    pub all: bool,
}

impl Expiries {
    /// Does it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let answer = Api::new(session.options)?.get(&["expiries"], &[("all", self.all.to_string())])?;
        let ends = answer.get("expiries").and_then(Value::as_array).cloned().unwrap_or_default();
        let field = |end: &Value, name: &str| end.get(name).cloned().unwrap_or(Value::Null);
        let row = |end: &Value| {
            let within = field(end, "within").as_u64();
            let left = match within {
                Some(0) => "OVER".to_owned(),
                Some(within) => format!("{} (within {within})", field(end, "days")),
                None => field(end, "days").to_string(),
            };
            json!({
                "ends": field(end, "at"),
                "days": left,
                "name": field(end, "name"),
                "whose": field(end, "whose"),
                "todo": field(end, "todo"),
            })
        };
        let rows: Vec<_> = ends.iter().map(row).collect();
        Ok(Report::table(&COLUMNS, &rows, answer))
    }
}
