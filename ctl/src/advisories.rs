//! `cordonctl advisories`: which weaknesses the fleet has, and which devices an advisory is about.
//!
//! Asked by a CVE, another name of a weakness, or an advisory's own name. Until a server has read its feeds it says so, and
//! this command refuses: an empty list would look like safety. Read next: [`crate::feeds`].

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::{Api, Pages};
use crate::failure::Failure;
use crate::report::Report;
use crate::risk::written;
use crate::session::Session;

/// What the lists show.
const COLUMNS: [&str; 8] = ["id", "exploited", "epss", "cvss", "affected", "unknown", "fixed", "about"];
const DEVICES: [&str; 8] = ["id", "model", "serial", "site", "ward", "answer", "stands_on", "interlock"];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the weaknesses that devices have or may have, what is exploited first.
    List {
        /// Words to look for: a name, a record, a package, a model.
        #[arg(long)]
        search: Option<String>,
        /// At least this grave: low, medium, high, critical.
        #[arg(long)]
        severity: Option<String>,
        /// Only what is exploited in the wild.
        #[arg(long)]
        exploited: bool,
        /// Also what no device has; needs --search.
        #[arg(long, requires = "search")]
        all: bool,
        /// So many at most.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Write the console's list of vulnerabilities, with what to do first, as a file.
    Export {
        /// Words to look for: a name, a package, a model.
        #[arg(long)]
        search: Option<String>,
        /// Only of this severity: critical, high, medium, low.
        #[arg(long)]
        severity: Option<String>,
        /// Only what is exploited in the wild.
        #[arg(long)]
        exploited: bool,
        /// Only this model.
        #[arg(long)]
        model: Option<String>,
        /// csv or json.
        #[arg(long, default_value = "csv")]
        format: String,
        /// The file to write, instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show all about one weakness or advisory: its texts, its packages and products, how the fleet stands to it.
    Show {
        /// Its name.
        id: String,
    },
    /// List the devices that one is about, each with what the answer stands on.
    Devices {
        /// Its name.
        id: String,
        /// Only this answer: affected, unknown, fixed, not-affected.
        #[arg(long)]
        answer: Option<String>,
        /// So many at most.
        #[arg(long, default_value_t = 20_000)]
        limit: usize,
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
            Self::List { search, severity, exploited, all, limit } => {
                let mut query: Vec<(&str, String)> = Vec::new();
                query.extend(search.clone().map(|text| ("q", text)));
                query.extend(severity.clone().map(|word| ("severity", word)));
                query.extend(exploited.then(|| ("exploited", "true".to_owned())));
                query.extend(all.then(|| ("all", "true".to_owned())));
                list(&api, &query, *limit)
            }
            Self::Export { search, severity, exploited, model, format, out } => {
                let mut query: Vec<(&str, &str)> = vec![("format", format)];
                query.extend(search.as_deref().map(|text| ("q", text)));
                query.extend(severity.as_deref().map(|word| ("severity", word)));
                query.extend(exploited.then_some(("exploited", "exploited")));
                query.extend(model.as_deref().map(|model| ("model", model)));
                written(api.lines(&["vulnerabilities"], &query)?, out.as_deref())
            }
            Self::Show { id } => Ok(Report::document(api.get(&["advisories", id], &[])?)),
            Self::Devices { id, answer, limit } => devices(&api, id, answer.as_deref(), *limit),
        }
    }
}

fn list(api: &Api, query: &[(&str, String)], limit: usize) -> Result<Report, Failure> {
    let first = api.get(&["advisories"], &[("limit", "1".to_owned())])?;
    let state = first.get("matching").and_then(Value::as_str).unwrap_or_default();
    if matches!(state, "no-feeds" | "preparing") {
        let words = first.get("matching_words").and_then(Value::as_str).unwrap_or(state);
        return Err(Failure::refused("no answers yet", words));
    }
    let pages = Pages { path: &["advisories"], rows: "advisories", cursor: "after" };
    let rows = api.list(&pages, query, limit)?;
    let row = |one: &Value| {
        let tenths = one["cvss_tenths"].as_u64().map(|tenths| format!("{}.{}", tenths / 10, tenths % 10));
        let percent = one["epss_millionths"].as_u64();
        let percent = percent.map(|parts| format!("{}.{:02} %", parts / 10_000, parts / 100 % 100));
        let about = one["about"].as_array().into_iter().flatten().filter_map(Value::as_str).take(3);
        json!({
            "id": one["id"],
            "exploited": match (one["exploited"].as_bool(), one["ransomware"].as_bool()) {
                (Some(true), Some(true)) => json!("yes, ransomware"),
                (Some(true), _) => json!("yes"),
                _ => Value::Null,
            },
            "epss": percent, "cvss": tenths,
            "affected": one.pointer("/devices/affected"), "unknown": one.pointer("/devices/unknown"),
            "fixed": one.pointer("/devices/fixed"), "about": about.collect::<Vec<_>>(),
        })
    };
    let shown: Vec<Value> = rows.iter().map(row).collect();
    Ok(Report::table(&COLUMNS, &shown, Value::Array(rows)))
}

fn devices(api: &Api, id: &str, answer: Option<&str>, limit: usize) -> Result<Report, Failure> {
    let pages = Pages { path: &["advisories", id, "devices"], rows: "devices", cursor: "after" };
    let query: Vec<(&str, String)> = answer.map(|word| ("answer", word.to_owned())).into_iter().collect();
    let rows = api.list(&pages, &query, limit)?;
    let row = |one: &Value| {
        let evidence = one.get("evidence");
        let text = |name: &str| evidence.and_then(|of| of.get(name)?.as_str()).unwrap_or_default();
        let stands_on = match (text("why_words"), text("bound")) {
            ("", "") => format!("{} {}: {}", text("source"), text("installed"), text("advisory")),
            ("", bound) => format!(
                "{} {}, {} {bound}: {}",
                text("source"),
                text("installed"),
                if text("event").is_empty() { "range" } else { text("event") },
                text("advisory")
            ),
            (why, _) => why.to_owned(),
        };
        let word = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let model = format!("{} {}", word("manufacturer"), word("model"));
        let mut row = one.clone();
        if let Some(fields) = row.as_object_mut() {
            fields.insert("stands_on".to_owned(), json!(stands_on));
            fields.insert("model".to_owned(), json!(model));
        }
        row
    };
    let shown: Vec<Value> = rows.iter().map(row).collect();
    let mut report = Report::table(&DEVICES, &shown, Value::Array(rows.clone()));
    let count = |word: &str| rows.iter().filter(|row| row["answer"] == word).count();
    report.text += &format!(
        "{} affected, {} unknown, {} fixed, {} not affected\n",
        count("affected"),
        count("unknown"),
        count("fixed"),
        count("not-affected")
    );
    Ok(report)
}
