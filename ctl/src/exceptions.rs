//! `cordonctl exceptions`: accept a risk for some devices until a day, with a second person's yes.
//!
//! An exception changes no score: it stands beside it, and says loudly when it is over. Read next:
//! `cordon_server_core::exception`.

use clap::{Args, Subcommand};
use cordon_proto::ids::Name;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 7] = ["id", "state", "about", "devices", "until", "owner", "control"];
/// What one shows of its devices.
const DEVICES: [&str; 5] = ["name", "model", "ward", "has", "id"];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List accepted risks, the next to end first.
    List {
        /// Only in this state: requested, approved, lapsed, withdrawn. Without it all but those taken back.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one, with the devices that it covers now.
    Show {
        /// Its name.
        id: Name,
    },
    /// Ask to accept a risk. It counts once a second person approves it.
    Request(Request),
    /// Approve one. Whoever asked for it cannot.
    Approve {
        /// Its name.
        id: Name,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Take one back, or say that you have seen that it is over.
    Withdraw {
        /// Its name.
        id: Name,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// What is asked for.
#[derive(Clone, Debug, Args)]
pub struct Request {
    /// The name of a weakness (CVE-2026-1107) or a rule of the score (posture:os-support).
    #[arg(long)]
    about: String,
    /// For which devices, as NAME=VALUE: model, site, ward, kind, tag, source, release, from, band, device. All must fit.
    #[arg(long = "devices", value_name = "NAME=VALUE", required = true)]
    devices: Vec<String>,
    /// Who carries the risk.
    #[arg(long)]
    owner: String,
    /// Why it is not removed.
    #[arg(long)]
    reason: String,
    /// What is done instead.
    #[arg(long)]
    control: String,
    /// The end, at most a year away, such as 2027-03-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: String,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::List { state } => {
                let query: Vec<_> = state.clone().map(|state| ("state", state)).into_iter().collect();
                let answer = api.get(&["exceptions"], &query)?;
                let listed = answer.get("exceptions").and_then(Value::as_array).into_iter().flatten();
                let rows: Vec<Value> = listed.map(row).collect();
                Ok(Report::table(&COLUMNS, &rows, answer))
            }
            Self::Show { id } => Ok(shown(api.get(&["exceptions", id.as_str()], &[])?)),
            Self::Request(request) => Ok(shown(api.post(&["exceptions"], &request.body())?)),
            Self::Approve { id, reason } => Ok(shown(act(&api, id, "approve", reason)?)),
            Self::Withdraw { id, reason } => Ok(shown(act(&api, id, "withdraw", reason)?)),
        }
    }
}

impl Request {
    fn body(&self) -> Value {
        json!({
            "about": self.about, "filter": self.devices, "owner": self.owner,
            "reason": self.reason, "control": self.control, "until": self.until,
        })
    }
}

fn act(api: &Api, id: &Name, act: &str, reason: &str) -> Result<Value, Failure> {
    api.post(&["exceptions", id.as_str(), act], &json!({"reason": reason}))
}

/// An exception in one line.
fn row(exception: &Value) -> Value {
    let filter = exception.get("filter").and_then(Value::as_array).into_iter().flatten();
    let devices: Vec<&str> = filter.filter_map(Value::as_str).collect();
    let mut row = exception.clone();
    if let Value::Object(fields) = &mut row {
        fields.insert("devices".to_owned(), Value::from(devices.join(" ")));
    }
    row
}

/// One exception with what it covers.
fn shown(answer: Value) -> Report {
    let field = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let said = |name: &str| {
        let word = answer.get(name).filter(|word| word.is_object())?;
        let part = |part: &str| word.get(part).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(format!("{name} by {} at {}: {}\n", part("by"), part("at"), part("reason")))
    };
    let mut text = format!("{} ({}): {}\n", field("id"), field("state"), field("line"));
    text.extend(["requested", "approved", "withdrawn"].into_iter().filter_map(said));
    text.push_str(&format!(
        "covers {} devices, {} of which have it in their score now; no score changes\n",
        number("devices"),
        number("devices_with")
    ));
    let devices = answer.get("covered").and_then(Value::as_array).cloned().unwrap_or_default();
    if !devices.is_empty() {
        text.push_str(&Report::table(&DEVICES, &devices, Value::Null).text);
    }
    Report::new(text, answer)
}
