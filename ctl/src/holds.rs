//! `cordonctl holds`: keep a ward, a site or a model from rebooting, and end that again.
//!
//! A hold needs no key and bites at once; no order is changed by it. Read next: [`crate::rollouts`].

use clap::{ArgGroup, Args, Subcommand};
use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 6] = ["id", "state", "covers", "until", "by", "reason"];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List holds: those in force, and for a week those that have lapsed, which decide nothing any more.
    List,
    /// Set one.
    Set(Set),
    /// End one.
    End {
        /// Its name.
        id: Name,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// A hold to be set.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("covers").required(true).args(["ward", "site", "model"]))]
pub struct Set {
    /// One ward, as SITE/WARD.
    #[arg(long, value_name = "SITE/WARD")]
    ward: Option<String>,
    /// One site.
    #[arg(long)]
    site: Option<String>,
    /// One model.
    #[arg(long)]
    model: Option<String>,
    /// Until when, such as 2026-11-22T06:00:00Z; without it until somebody ends it.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why.
    #[arg(long)]
    reason: String,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::List => {
                let answer = api.get(&["holds"], &[])?;
                let listed = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten();
                let rows: Vec<_> = listed("holds")
                    .map(|hold| row(hold, "holds"))
                    .chain(listed("lapsed").map(|hold| row(hold, "lapsed")))
                    .collect();
                Ok(Report::table(&COLUMNS, &rows, answer))
            }
            Self::Set(set) => {
                let answer = api.post(&["holds"], &set.body())?;
                let id = answer.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                Ok(Report::new(format!("{id} holds"), answer))
            }
            Self::End { id, reason } => {
                let answer = api.delete(&["holds", id.as_str()], &json!({"reason": reason}))?;
                Ok(Report::new(format!("{id} ended"), answer))
            }
        }
    }
}

impl Set {
    fn body(&self) -> Value {
        let choices = [("ward", &self.ward), ("site", &self.site), ("model", &self.model)];
        let chosen = choices.into_iter().find_map(|(kind, name)| Some((kind, name.as_ref()?)));
        let (kind, name) = chosen.map_or(("", ""), |(kind, name)| (kind, name.as_str()));
        let covers = json!({"kind": kind, "name": name});
        match &self.until {
            Some(until) => json!({"covers": covers, "reason": self.reason, "until": until}),
            None => json!({"covers": covers, "reason": self.reason}),
        }
    }
}

/// A hold in one line.
fn row(hold: &Value, state: &str) -> Value {
    let field = |path: &str| hold.pointer(path).cloned().unwrap_or(Value::Null);
    let word = |path: &str| field(path).as_str().unwrap_or_default().to_owned();
    json!({
        "id": field("/id"),
        "state": state,
        "covers": format!("{} {}", word("/covers/kind"), word("/covers/name")),
        "until": field("/until").as_i64().map(|until| Timestamp(until).to_string()),
        "by": field("/by"),
        "reason": field("/reason"),
    })
}
