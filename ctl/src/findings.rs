//! `cordonctl findings`: what detectors saw, how it compares, what a decision would hide, and the decision.
//!
//! A name is `f-…` for one device's finding and `g-…` for one of many devices. What a model is allowed stands in a list of
//! its own. Read next: `cordon_server_core::cohort`.

use clap::{Args, Subcommand, ValueEnum};
use cordon_proto::ids::Name;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 7] = ["id", "severity", "device", "title", "last", "group", "rarity"];
/// What the list of groups shows.
const GROUPS: [&str; 6] = ["id", "severity", "title", "devices", "open", "what_changed"];
/// What a group shows of its devices.
const PARTS: [&str; 6] = ["id", "severity", "name", "ward", "title", "state"];
/// What past verdicts show.
const VERDICTS: [&str; 5] = ["turn", "likeness", "by", "finding", "reason"];
/// What the list of allowances shows.
const ALLOWANCES: [&str; 6] = ["id", "model", "detector", "key", "until", "by"];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List findings, the gravest first.
    List(List),
    /// List findings of many devices that are one: new on a whole model, or new after a confirmed update.
    Groups,
    /// Show one finding with past verdicts on the like, or one of many devices with each device's own.
    Show {
        /// Its name: f-… or g-….
        id: Name,
    },
    /// Show what a mute or an allowance would hide now, and would have hidden in the last 30 days.
    Preview {
        /// Its name: f-… or g-….
        id: Name,
        /// Of one device's finding: also the same on every device of its model.
        #[arg(long)]
        model: bool,
    },
    /// Say that you have seen it and work on it.
    Acknowledge(Decision),
    /// Hide it until a time; it comes back at once if it grows worse.
    Mute(Hiding),
    /// Say that the device is meant to do this; of many devices: that every device of the model is.
    Allow(Hiding),
    /// Say that it is dealt with. Seen again, it opens again.
    Close(Decision),
    /// Open it again.
    Reopen(Decision),
    /// List what models are allowed to do.
    Allowances,
    /// Take an allowance of a model back: devices that show it from now on open a finding.
    Disallow(Decision),
}

/// Which findings are listed.
#[derive(Clone, Debug, Args)]
pub struct List {
    /// In this state.
    #[arg(long, value_enum, default_value_t)]
    state: State,
    /// Only of this device.
    #[arg(long)]
    device: Option<String>,
    /// Only of this finding of many devices: g-….
    #[arg(long)]
    group: Option<Name>,
}

/// The state that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Nobody has decided.
    #[default]
    Open,
    /// Somebody works on it.
    Acknowledged,
    /// Not now.
    Muted,
    /// Meant to be.
    Allowed,
    /// Dealt with.
    Closed,
    /// All of them.
    All,
}

/// A decision without an end.
#[derive(Clone, Debug, Args)]
pub struct Decision {
    /// Its name.
    id: Name,
    /// Why, at least 10 characters.
    #[arg(long)]
    reason: String,
}

/// A decision with an end.
#[derive(Clone, Debug, Args)]
pub struct Hiding {
    /// Its name: f-… or g-….
    id: Name,
    /// From when on it is news again, at most a year away, such as 2027-03-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Why, at least 10 characters.
    #[arg(long)]
    reason: String,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Muted => "muted",
            Self::Allowed => "allowed",
            Self::Closed => "closed",
            Self::All => "all",
        }
    }
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::List(list) => list.run(&api),
            Self::Groups => {
                let answer = api.get(&["findings", "groups"], &[])?;
                let rows: Vec<Value> = listed(&answer, "groups").map(group_row).collect();
                Ok(Report::table(&GROUPS, &rows, answer))
            }
            Self::Show { id } => show(&api, id),
            Self::Preview { id, model } => {
                let scope = if *model { "model" } else { "device" };
                let query = [("scope", scope.to_owned())];
                let answer = match Place::of(&api, id)? {
                    Place::Group(id) => api.get(&["findings", "groups", &id, "preview"], &[])?,
                    Place::One { device, digest } => {
                        api.get(&["findings", &device, &digest, "preview"], &query)?
                    }
                };
                Ok(Report::document(answer))
            }
            Self::Acknowledge(decision) => {
                decide(&api, "acknowledge", (&decision.id, None, &decision.reason))
            }
            Self::Close(decision) => decide(&api, "close", (&decision.id, None, &decision.reason)),
            Self::Reopen(decision) => decide(&api, "reopen", (&decision.id, None, &decision.reason)),
            Self::Mute(hiding) => decide(&api, "mute", (&hiding.id, Some(&hiding.until), &hiding.reason)),
            Self::Allow(hiding) => decide(&api, "allow", (&hiding.id, Some(&hiding.until), &hiding.reason)),
            Self::Allowances => {
                let answer = api.get(&["allowances"], &[])?;
                let rows: Vec<Value> = listed(&answer, "allowances").map(allowance_row).collect();
                Ok(Report::table(&ALLOWANCES, &rows, answer))
            }
            Self::Disallow(Decision { id, reason }) => {
                let answer = api.delete(&["allowances", id.as_str()], &json!({"reason": reason}))?;
                Ok(Report::new(format!("{id} is taken back"), answer))
            }
        }
    }
}

impl List {
    fn run(&self, api: &Api) -> Result<Report, Failure> {
        let mut query = vec![("state", self.state.word().to_owned())];
        query.extend(self.device.iter().map(|device| ("device", device.clone())));
        query.extend(self.group.iter().map(|group| ("group", group.to_string())));
        let answer = api.get(&["findings"], &query)?;
        let rows: Vec<Value> = listed(&answer, "findings").map(row).collect();
        Ok(Report::table(&COLUMNS, &rows, answer))
    }
}

/// Where the API keeps what a name means.
enum Place {
    Group(String),
    One { device: String, digest: String },
}

impl Place {
    fn of(api: &Api, id: &Name) -> Result<Self, Failure> {
        if id.as_str().starts_with("g-") {
            return Ok(Self::Group(id.to_string()));
        }
        let answer = api.get(&["findings"], &[("id", id.to_string())])?;
        let Some(found) = listed(&answer, "findings").next() else {
            return Err(Failure::refused("Not found", format!("there is no finding {id} here")));
        };
        let word = |name| found.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self::One { device: word("device"), digest: word("digest") })
    }
}

fn show(api: &Api, id: &Name) -> Result<Report, Failure> {
    match Place::of(api, id)? {
        Place::Group(id) => {
            let answer = api.get(&["findings", "groups", &id], &[])?;
            let word = |name| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let rows: Vec<Value> = listed(&answer, "parts").map(part_row).collect();
            let head = format!("{}\n{}\n{}\n\n", word("title"), word("what_changed"), word("what_to_do"));
            let table = Report::table(&PARTS, &rows, answer);
            Ok(Report { text: head + &table.text, ..table })
        }
        Place::One { device, digest } => {
            let answer = api.get(&["findings", &device, &digest], &[])?;
            let word =
                |path: &str| answer.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let four = ["title", "what_changed", "why_it_matters", "how_sure", "what_to_do"];
            let mut head: String = four.map(|name| word(&format!("/finding/{name}")) + "\n").concat();
            head.push_str(&format!("{}\n", word("/rarity/words")));
            if answer.pointer("/visit/id").is_some() {
                head.push_str(&format!("It began during the visit of {}.\n", word("/visit/who")));
            }
            let verdicts: Vec<Value> = listed(&answer, "verdicts").cloned().collect();
            let table = Report::table(&VERDICTS, &verdicts, answer);
            Ok(Report { text: format!("{head}\nPast verdicts on the like:\n{}", table.text), ..table })
        }
    }
}

fn decide(
    api: &Api,
    verb: &str,
    (id, until, reason): (&Name, Option<&String>, &String),
) -> Result<Report, Failure> {
    let mut body = json!({"reason": reason});
    if let (Some(until), Some(fields)) = (until, body.as_object_mut()) {
        fields.insert("until".to_owned(), json!(until));
    }
    match Place::of(api, id)? {
        Place::Group(group) => {
            let answer = api.post(&["findings", "groups", &group, verb], &body)?;
            let number = |name| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
            let [decided, already, critical, allowed] =
                ["decided", "already", "critical", "allowed"].map(number);
            let mut text = format!("{id}: {verb}, {decided} findings; {already} were so already");
            if critical > 0 {
                text.push_str(&format!("; {critical} critical ones are left to be decided one by one"));
            }
            if allowed > 0 {
                text.push_str(&format!("; allowed for the whole model: {allowed}"));
            }
            Ok(Report::new(text, answer))
        }
        Place::One { device, digest } => {
            let answer = api.post(&["findings", &device, &digest, verb], &body)?;
            let state = answer.pointer("/state/kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok(Report::new(format!("{id} is {state}"), answer))
        }
    }
}

fn listed<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    answer.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn row(view: &Value) -> Value {
    let at = |path: &str| view.pointer(path).cloned().unwrap_or(Value::Null);
    json!({
        "id": at("/id"),
        "severity": at("/finding/severity"),
        "device": at("/device"),
        "title": at("/finding/title"),
        "last": time(&at("/finding/last")),
        "group": at("/group"),
        "rarity": at("/rarity/words"),
    })
}

fn group_row(view: &Value) -> Value {
    let at = |name: &str| view.get(name).cloned().unwrap_or(Value::Null);
    let number = |name: &str| at(name).as_u64().unwrap_or(0);
    let model = at("model").as_str().unwrap_or_default().to_owned();
    json!({
        "id": at("id"),
        "severity": at("severity"),
        "title": at("title"),
        "devices": format!("{} of {} {model}", number("devices"), number("of")),
        "open": at("open"),
        "what_changed": at("what_changed"),
    })
}

fn part_row(view: &Value) -> Value {
    let at = |path: &str| view.pointer(path).cloned().unwrap_or(Value::Null);
    let mut row = view.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.insert("state".to_owned(), at("/state/kind"));
    }
    row
}

fn allowance_row(view: &Value) -> Value {
    let mut row = view.clone();
    let until = time(view.get("until").unwrap_or(&Value::Null));
    if let Some(fields) = row.as_object_mut() {
        fields.insert("until".to_owned(), until);
    }
    row
}

fn time(seconds: &Value) -> Value {
    seconds.as_i64().map_or(Value::Null, |at| json!(cordon_proto::time::Timestamp(at).to_string()))
}
