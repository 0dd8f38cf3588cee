//! `cordonctl visits`: announce maintenance, so that what begins while a technician works is read as what it is.
//!
//! A visit hides nothing and changes no score; critical findings are not lowered by it. Read next: [`crate::findings`].

use clap::{Args, Subcommand};
use cordon_proto::ids::Name;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 8] = ["id", "state", "who", "ticket", "filter", "devices", "from", "until"];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List visits: those of now, then what is to come, then what is over.
    List,
    /// Announce one.
    Announce(Announce),
    /// End one before its time, or call it off.
    End {
        /// Its name.
        id: Name,
        /// Why, at least 10 characters.
        #[arg(long)]
        reason: String,
    },
}

/// A visit to be announced.
#[derive(Clone, Debug, Args)]
pub struct Announce {
    /// For which devices, as NAME=VALUE: site, ward, model, kind, tag, source, device. All must fit.
    #[arg(long = "devices", value_name = "NAME=VALUE", required = true)]
    devices: Vec<String>,
    /// Who comes: a person and a firm.
    #[arg(long)]
    who: String,
    /// The ticket or work order.
    #[arg(long)]
    ticket: Option<String>,
    /// When it begins, such as 2027-03-01T08:00:00Z; without it now.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// When it is over, at most 14 days later.
    #[arg(long, value_name = "TIME")]
    until: String,
    /// What for, at least 10 characters.
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
                let answer = api.get(&["visits"], &[])?;
                let rows: Vec<Value> =
                    answer.get("visits").and_then(Value::as_array).cloned().unwrap_or_default();
                Ok(Report::table(&COLUMNS, &rows, answer))
            }
            Self::Announce(announce) => {
                let answer = api.post(&["visits"], &announce.body())?;
                let id = answer.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                let devices = answer.get("devices").and_then(Value::as_u64).unwrap_or(0);
                Ok(Report::new(format!("{id} is announced; it covers {devices} devices now"), answer))
            }
            Self::End { id, reason } => {
                let answer = api.post(&["visits", id.as_str(), "end"], &json!({"reason": reason}))?;
                Ok(Report::new(format!("{id} is over"), answer))
            }
        }
    }
}

impl Announce {
    fn body(&self) -> Value {
        json!({
            "filter": self.devices,
            "who": self.who,
            "ticket": self.ticket,
            "from": self.from,
            "until": self.until,
            "reason": self.reason,
        })
    }
}
