//! `cordonctl rollouts`: create, list, show, halt and resume.
//!
//! A rollout carries out orders that are signed and published; it cannot widen them. Each wave names its order and the
//! very list that the order was signed for. Read next: [`crate::order`].

use std::path::Path;

use clap::{Args, Subcommand};
use cordon_proto::ids::Name;
use cordon_proto::limits;
use serde_json::{Value, json};

use crate::api::{Api, Pages};
use crate::failure::Failure;
use crate::order::list::ScopeList;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 6] = ["id", "title", "release", "state", "confirmed", "devices"];
/// Where they are.
const ALL: Pages<'static> = Pages { path: &["rollouts"], rows: "rollouts", cursor: "after" };

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Begin a rollout of published orders.
    Create(Create),
    /// List rollouts.
    List,
    /// Show one rollout.
    Show {
        /// Its name.
        id: Name,
    },
    /// Stop it: devices that have not armed the new image will not.
    Halt {
        /// Its name.
        id: Name,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Let it go on.
    Resume {
        /// Its name.
        id: Name,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// Begin a rollout.
#[derive(Clone, Debug, Args)]
pub struct Create {
    /// Its name.
    #[arg(long, value_name = "NAME")]
    pub id: Name,
    /// What people call it.
    #[arg(long)]
    pub title: String,
    /// A wave: its name, its order, and the list that the order was signed for (none for an order by facts). Repeat,
    /// first to last.
    #[arg(long, value_name = "NAME=ORDER[=FILE]", required = true)]
    pub wave: Vec<String>,
    /// Failures in thousandths above which it stops itself.
    #[arg(long, value_name = "N")]
    pub failure_limit_permille: Option<u32>,
    /// Devices that may install at once.
    #[arg(long, value_name = "N")]
    pub in_flight: Option<u32>,
    /// Seconds without a word after which a device counts as failed; a trial may last two hours where the network is down.
    #[arg(long, value_name = "SECONDS")]
    pub silent_after_s: Option<u32>,
    /// Seconds to watch a finished wave before the next begins.
    #[arg(long, value_name = "SECONDS")]
    pub soak_s: Option<u32>,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::Create(create) => {
                let answer = api.post(&["rollouts"], &create.body()?)?;
                Ok(Report::new(format!("{} begun: {}", create.id, create.title), answer))
            }
            Self::List => {
                let views = api.list(&ALL, &[], limits::PAGE_ROWS)?;
                let rows: Vec<_> = views.iter().map(row).collect();
                Ok(Report::table(&COLUMNS, &rows, Value::Array(views)))
            }
            Self::Show { id } => Ok(Report::document(api.get(&["rollouts", id.as_str()], &[])?)),
            Self::Halt { id, reason } => act(&api, id, "stop", reason),
            Self::Resume { id, reason } => act(&api, id, "resume", reason),
        }
    }
}

impl Create {
    fn body(&self) -> Result<Value, Failure> {
        let waves = self.wave.iter().map(|text| wave(text)).collect::<Result<Vec<_>, _>>()?;
        let limits = [
            ("failure_limit_permille", self.failure_limit_permille),
            ("in_flight", self.in_flight),
            ("silent_after_s", self.silent_after_s),
            ("soak_s", self.soak_s),
        ];
        let given =
            limits.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), json!(value))));
        let mut fields: serde_json::Map<_, _> = given.collect();
        fields.insert("id".to_owned(), json!(self.id.as_str()));
        fields.insert("title".to_owned(), json!(self.title));
        fields.insert("waves".to_owned(), json!(waves));
        Ok(Value::Object(fields))
    }
}

fn wave(text: &str) -> Result<Value, Failure> {
    let parts: Vec<_> = text.splitn(3, '=').collect();
    match parts.as_slice() {
        [name, order] => Ok(json!({"name": name, "order": order})),
        [name, order, file] => {
            let list = ScopeList::read(Path::new(file))?;
            let members: Vec<_> = list.identities().map(ToString::to_string).collect();
            Ok(json!({"name": name, "order": order, "members": members}))
        }
        _ => {
            let form = "write NAME=ORDER=FILE, such as first=vp3-422-1=ward-3.tsv";
            Err(Failure::Usage(format!("`{text}` is no wave: {form}")))
        }
    }
}

/// A rollout in one line.
fn row(view: &Value) -> Value {
    let field = |path: &str| view.pointer(path).cloned().unwrap_or(Value::Null);
    let waves = view.get("waves").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let confirmed: u64 = waves.iter().filter_map(|wave| wave.get("confirmed")?.as_u64()).sum();
    let devices: usize = waves.iter().filter_map(|wave| Some(wave.get("devices")?.as_array()?.len())).sum();
    json!({
        "id": field("/rollout/id"),
        "title": field("/rollout/title"),
        "release": field("/rollout/release"),
        "state": field("/rollout/state/kind"),
        "confirmed": confirmed,
        "devices": devices,
    })
}

fn act(api: &Api, id: &Name, act: &str, reason: &str) -> Result<Report, Failure> {
    let answer = api.post(&["rollouts", id.as_str(), act], &json!({"reason": reason}))?;
    Ok(Report::new(format!("{id}: {act} done"), answer))
}
