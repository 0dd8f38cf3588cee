//! `cordonctl risk`: which devices, why, what to do; the fleet on one board; what a release would change; the site's figures.
//!
//! Everything is asked of the server and can be computed anew: the facts of a device and the table of figures are in its
//! answers, and `cordonctl score` needs no server. Read next: [`crate::score`], [`model`].

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use cordon_proto::ids::{DeviceId, Name, TargetPath};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde_json::{Value, json};

use crate::api::{Api, Pages};
use crate::failure::Failure;
use crate::report::{Report, plain};
use crate::score::told;
use crate::session::Session;

pub mod model;

/// Where the register is.
const REGISTER: Pages<'static> = Pages { path: &["risk", "register"], rows: "rows", cursor: "after" };
/// What a list of devices shows.
const ROWS: [&str; 9] = ["score", "band", "serial", "model", "site", "ward", "next_step", "owner", "due"];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List devices, the highest score first, with what to do about each.
    List(Chosen),
    /// Show one device's score, its parts, and what to do.
    Show {
        /// Its id.
        id: DeviceId,
    },
    /// Show the fleet's risk by ward, model, site, or whose move it is.
    Fleet {
        /// By what.
        #[arg(long, value_enum, default_value_t = By::Ward)]
        by: By,
    },
    /// Print the risk register as CSV, or write it to a file.
    Register {
        /// Which devices.
        #[command(flatten)]
        chosen: Chosen,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Tell what a release would change, device by device. Nothing is ordered by it.
    WhatIf {
        /// The maker's repository.
        #[arg(long)]
        repository: Name,
        /// The release.
        #[arg(long)]
        release: TargetPath,
        /// So many devices at most.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show what was said of the fleet's risk, or of one device's, and what moved it.
    History {
        /// One device.
        id: Option<DeviceId>,
        /// Only the last so many days.
        #[arg(long)]
        days: Option<u32>,
    },
    /// Show what loses its maker's support within a year, or has lost it.
    Support {
        /// Only this model.
        #[arg(long)]
        model: Option<String>,
    },
    /// Show which versions run, by model.
    Versions {
        /// Only this model.
        #[arg(long)]
        model: Option<String>,
    },
    /// Show the figures of the risk model, set some for this site, or give them back.
    #[command(subcommand)]
    Model(model::Command),
}

/// By what the fleet is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Ward.
    Ward,
    /// Model.
    Model,
    /// Site.
    Site,
    /// Who owns the first step.
    Owner,
}

/// Which devices of the register.
#[derive(Clone, Debug, Default, Args)]
pub struct Chosen {
    /// Only of this model.
    #[arg(long)]
    pub model: Option<String>,
    /// Only at this site.
    #[arg(long)]
    pub site: Option<String>,
    /// Only in this ward.
    #[arg(long)]
    pub ward: Option<String>,
    /// Only whose first step is theirs: it, security, clinical-engineering, network, maker.
    #[arg(long)]
    pub owner: Option<String>,
    /// Only in this band or a higher one: low, medium, high, critical.
    #[arg(long)]
    pub band: Option<String>,
    /// Only whose step should have been done by now.
    #[arg(long)]
    pub overdue: bool,
    /// So many of a list at most.
    #[arg(long, default_value_t = limits::PAGE_ROWS)]
    pub limit: usize,
}

impl Chosen {
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("model", &self.model),
            ("site", &self.site),
            ("ward", &self.ward),
            ("owner", &self.owner),
            ("band", &self.band),
        ];
        let mut query: Vec<_> =
            given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        if self.overdue {
            query.push(("overdue", true.to_string()));
        }
        query
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
            Self::List(chosen) => list(&api, chosen),
            Self::Show { id } => show(&api, id),
            Self::Fleet { by } => fleet(&api, *by),
            Self::Register { chosen, out } => register(&api, chosen, out.as_deref()),
            Self::WhatIf { repository, release, limit } => what_if(&api, (repository, release), *limit),
            Self::History { id: Some(id), days } => device_history(&api, id, *days),
            Self::History { id: None, days } => fleet_history(&api, *days),
            Self::Support { model } => support(&api, model.as_ref()),
            Self::Versions { model } => versions(&api, model.as_ref()),
            Self::Model(command) => command.run(&api),
        }
    }
}

/// The field of a document, or nothing.
fn field(value: &Value, name: &str) -> Value {
    value.get(name).cloned().unwrap_or(Value::Null)
}

fn rows_of(value: &Value, name: &str) -> Vec<Value> {
    value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Hundredths of a point as a number with two decimals.
fn points(value: &Value) -> Value {
    value
        .as_u64()
        .map_or(Value::Null, |hundredths| json!(format!("{}.{:02}", hundredths / 100, hundredths % 100)))
}

/// The same of a change, with its sign.
fn signed(value: &Value) -> Value {
    value.as_i64().map_or(Value::Null, |moved| {
        let (sign, size) = (if moved < 0 { '-' } else { '+' }, moved.unsigned_abs());
        json!(format!("{sign}{}.{:02}", size / 100, size % 100))
    })
}

/// A row with further columns.
fn with<const N: usize>(row: &Value, columns: [(&str, Value); N]) -> Value {
    let mut fields = row.as_object().cloned().unwrap_or_default();
    fields.extend(columns.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(fields)
}

/// Seconds since 1970 as a time.
fn time(value: &Value) -> Value {
    value.as_i64().map_or(Value::Null, |at| json!(Timestamp(at).to_string()))
}

fn list(api: &Api, chosen: &Chosen) -> Result<Report, Failure> {
    let rows = api.list(&REGISTER, &chosen.query(), chosen.limit)?;
    let shown: Vec<Value> = rows
        .iter()
        .map(|row| {
            let due = match (row.get("due"), row.get("waiting_since")) {
                (Some(Value::Null) | None, Some(since)) if !since.is_null() => {
                    json!(format!("waiting since {}", time(since).as_str().unwrap_or_default()))
                }
                (due, _) => time(due.unwrap_or(&Value::Null)),
            };
            with(row, [("score", points(&field(row, "score_hundredths"))), ("due", due)])
        })
        .collect();
    Ok(Report::table(&ROWS, &shown, Value::Array(rows)))
}

fn show(api: &Api, id: &DeviceId) -> Result<Report, Failure> {
    let answer = api.get(&["devices", &id.to_string()], &[])?;
    let odd = || Failure::refused("unexpected answer", "the server sent no score; is it of another version?");
    let score = serde_json::from_value(field(&answer, "score")).map_err(|_| odd())?;
    let steps: Vec<Value> = rows_of(&answer, "next_steps")
        .iter()
        .map(|step| {
            json!({
                "step": field(step, "words"),
                "owner": field(step, "owner"),
                "due": time(&field(step, "due")),
                "waiting since": time(&field(step, "waiting_since")),
                "score after": points(&field(step, "after_hundredths")),
            })
        })
        .collect();
    let steps = Report::table(&["step", "owner", "due", "waiting since", "score after"], &steps, Value::Null);
    let exposed: Vec<Value> = rows_of(&answer, "exposure_steps")
        .iter()
        .map(|step| {
            json!({
                "vulnerability": format!("{} in {}", word(step, "id"), word(step, "package")),
                "step": field(step, "words"),
                "owner": field(step, "owner"),
                "due": time(&field(step, "due")),
                "waiting since": time(&field(step, "waiting_since")),
            })
        })
        .collect();
    let columns = ["vulnerability", "step", "owner", "due", "waiting since"];
    let exposed = match exposed.as_slice() {
        [] => String::new(),
        some => format!("\n{}", Report::table(&columns, some, Value::Null).text),
    };
    let text = format!("{}\nWHAT TO DO\n{}{exposed}", told(&score).text, steps.text);
    Ok(Report::new(text, answer))
}

fn word(value: &Value, name: &str) -> String {
    plain(value.get(name).and_then(Value::as_str).unwrap_or_default())
}

fn fleet(api: &Api, by: By) -> Result<Report, Failure> {
    let word = by.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let answer = api.get(&["risk", "fleet"], &[("by", word.clone())])?;
    let line = |line: &Value| {
        let bands = rows_of(line, "bands");
        let band = |place: usize| bands.get(place).cloned().unwrap_or(Value::Null);
        let permille = line.get("critical_permille").and_then(Value::as_u64);
        json!({
            word.clone(): line.get("key").filter(|key| !key.is_null()).cloned().unwrap_or_else(|| json!("all")),
            "points": points(&field(line, "hundredths")),
            "index": points(&field(line, "index_hundredths")),
            "devices": field(line, "devices"),
            "critical": band(3),
            "high": band(2),
            "share critical": permille.map(|share| format!("{}.{} %", share / 10, share % 10)),
            "steps": field(line, "steps"),
            "overdue": field(line, "overdue"),
            "waiting": field(line, "waiting"),
        })
    };
    let mut rows: Vec<Value> = rows_of(&answer, "lines").iter().map(line).collect();
    rows.push(line(&field(&answer, "all")));
    let columns = [
        word.as_str(),
        "points",
        "index",
        "devices",
        "critical",
        "high",
        "share critical",
        "steps",
        "overdue",
        "waiting",
    ];
    Ok(Report::table(&columns, &rows, answer))
}

pub(crate) fn register(api: &Api, chosen: &Chosen, out: Option<&std::path::Path>) -> Result<Report, Failure> {
    let query = chosen.query();
    let mut query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    query.push(("format", "csv"));
    let bytes = api.lines(&["risk", "register"], &query)?;
    written(bytes, out)
}

/// A text, or the file that it was written to.
pub(crate) fn written(bytes: Vec<u8>, out: Option<&std::path::Path>) -> Result<Report, Failure> {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let Some(out) = out else {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        return Ok(Report::new(text.clone(), json!({"lines": lines, "text": text})));
    };
    crate::folder::write_whole(out, &bytes)?;
    let file = out.display().to_string();
    Ok(Report::new(format!("{file} written"), json!({"file": file, "lines": lines})))
}

fn what_if(api: &Api, (repository, release): (&Name, &TargetPath), limit: usize) -> Result<Report, Failure> {
    let path = ["risk", "what-if", repository.as_str(), release.as_str()];
    let answer = api.get(&path, &[("limit", limit.min(limits::PAGE_ROWS).to_string())])?;
    let mut text = format!("{}\n", word(&answer, "words"));
    for (name, words) in [("removed", "gone"), ("added", "new"), ("other", "weighs otherwise")] {
        let counts = answer.pointer(&format!("/fleet/{name}")).and_then(Value::as_object);
        let mut counts: Vec<_> =
            counts.into_iter().flatten().filter_map(|(id, of)| Some((of.as_u64()?, id))).collect();
        counts.sort_by(|a, b| b.cmp(a));
        for (devices, id) in counts.iter().take(10) {
            text.push_str(&format!("{words} on {devices}: {}\n", plain(id)));
        }
        if counts.len() > 10 {
            text.push_str(&format!("{words}: {} more\n", counts.len() - 10));
        }
    }
    for (why, devices) in answer.get("left_out").and_then(Value::as_object).into_iter().flatten() {
        text.push_str(&format!("left out, {why}: {devices}\n"));
    }
    text.push_str(&format!("{}\n", word(&answer, "by_words")));
    let rows: Vec<Value> = rows_of(&answer, "devices")
        .iter()
        .map(|one| {
            let count = |name: &str| rows_of(one, name).len();
            json!({
                "serial": field(one, "serial"),
                "ward": field(one, "ward"),
                "before": points(&field(one, "before_hundredths")),
                "after": points(&field(one, "after_hundredths")),
                "band": field(one, "after_band"),
                "gone": count("removed"),
                "new": count("added"),
                "unknown": field(one, "unknown"),
            })
        })
        .collect();
    let columns = ["serial", "ward", "before", "after", "band", "gone", "new", "unknown"];
    Ok(Report::new(format!("{text}\n{}", Report::table(&columns, &rows, Value::Null).text), answer))
}

fn since(days: Option<u32>) -> Vec<(&'static str, String)> {
    days.map(|days| ("days", days.to_string())).into_iter().collect()
}

fn device_history(api: &Api, id: &DeviceId, days: Option<u32>) -> Result<Report, Failure> {
    let answer = api.get(&["devices", &id.to_string(), "risk-history"], &since(days))?;
    let mut rows = Vec::new();
    for point in rows_of(&answer, "points") {
        let said = json!({
            "at": field(&point, "at"),
            "score": points(&field(&point, "hundredths")),
            "band": field(&point, "band"),
        });
        rows.push(said);
        for moved in rows_of(&point, "moved") {
            rows.push(json!({
                "moved": signed(&field(&moved, "hundredths")),
                "how": field(&moved, "how"),
                "why": field(&moved, "reason"),
            }));
        }
    }
    Ok(Report::table(&["at", "score", "band", "moved", "how", "why"], &rows, answer))
}

fn fleet_history(api: &Api, days: Option<u32>) -> Result<Report, Failure> {
    let answer = api.get(&["risk", "history"], &since(days))?;
    let rows: Vec<Value> = rows_of(&answer, "points")
        .iter()
        .map(|point| {
            let bands = rows_of(point, "bands");
            json!({
                "at": field(point, "at"),
                "points": points(&field(point, "hundredths")),
                "change": signed(&field(point, "change_hundredths")),
                "devices": field(point, "devices"),
                "critical": bands.get(3),
                "high": bands.get(2),
                "entered": field(point, "entered_critical"),
                "left": field(point, "left_critical"),
            })
        })
        .collect();
    let columns = ["at", "points", "change", "devices", "critical", "high", "entered", "left"];
    Ok(Report::table(&columns, &rows, answer))
}

fn of_model(model: Option<&String>) -> Vec<(&'static str, String)> {
    model.map(|model| ("model", model.clone())).into_iter().collect()
}

/// A release that runs, in one line.
fn version(row: &Value) -> Value {
    json!({
        "model": field(row, "model"),
        "release": field(row, "release"),
        "counter": field(row, "counter"),
        "devices": field(row, "devices"),
        "newer": field(row, "newer"),
        "support": field(row, "stage"),
        "until": time(&field(row, "until")),
        "days": field(row, "days_left"),
    })
}

const VERSIONS: [&str; 8] = ["model", "release", "counter", "devices", "newer", "support", "until", "days"];

fn versions(api: &Api, model: Option<&String>) -> Result<Report, Failure> {
    let answer = api.get(&["risk", "versions"], &of_model(model))?;
    let rows: Vec<Value> = rows_of(&answer, "rows").iter().map(version).collect();
    Ok(Report::table(&VERSIONS, &rows, answer))
}

fn support(api: &Api, model: Option<&String>) -> Result<Report, Failure> {
    let answer = api.get(&["risk", "support"], &of_model(model))?;
    let rows: Vec<Value> = rows_of(&answer, "releases").iter().map(version).collect();
    let releases = Report::table(&VERSIONS, &rows, Value::Null).text;
    let columns = ["model", "stage", "until", "days", "devices"];
    let systems = Report::table(&columns, &rows_of(&answer, "systems"), Value::Null).text;
    let unknown = field(&answer, "systems_unknown");
    let text = format!(
        "RELEASES\n{releases}\nOPERATING SYSTEMS\n{systems}\nnot known of {unknown} devices: how long their system is repaired\n"
    );
    Ok(Report::new(text, answer))
}
