//! `cordonctl score`: the risk score of a device from its facts, on any machine and without a server.
//!
//! The formula is the ground crate's own, so the number, its rows and the hash of the table are those of the device's
//! page; whoever doubts the page saves its facts, changes one and sees one row move. It must ask nobody, and must take no
//! fact that it does not understand for none. Read next: `cordon_server_core::risk`, `docs/schemas/facts.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::model::RISK_V1;
use cordon_server_core::risk::{self, Facts, Model};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::{read_file, time};
use crate::failure::Failure;
use crate::report::{Report, plain};
use crate::session::Session;

/// Bytes of a file of facts.
const FACTS_BYTES: u64 = 16 << 20;
/// Bytes of a table of figures.
const MODEL_BYTES: u64 = 64 << 10;

/// Compute a risk score.
#[derive(Clone, Debug, Args)]
pub struct Score {
    /// The facts of one device: what its page prints under "Check this score", or `facts` of its answer in the API.
    #[arg(long, value_name = "FILE", required_unless_present = "figures")]
    pub facts: Option<PathBuf>,
    /// The time to score for: RFC 3339 in UTC, or seconds since 1970; otherwise now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub at: Option<String>,
    /// Score as if the site had set a figure of the model otherwise, such as default_credentials=6000; may be given several
    /// times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub figure: Vec<String>,
    /// Score by this table of figures: what `cordonctl --output json risk model show` or `score --figures` prints.
    #[arg(long, value_name = "FILE", conflicts_with = "figure")]
    pub model: Option<PathBuf>,
    /// List the model's figures instead.
    #[arg(long, conflicts_with_all = ["facts", "at"])]
    pub figures: bool,
}

impl Score {
    /// Does it.
    ///
    /// # Errors
    /// The file is none of facts, or a figure is none of the model's.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let model = match &self.model {
            Some(path) => table(path)?,
            None => model(&self.figure)?,
        };
        let Some(path) = self.facts.as_ref().filter(|_| !self.figures) else { return Ok(figures(&model)) };
        let at = self.at.as_deref().map_or(Ok(session.now), |text| moment(text, session.now))?;
        let bytes = read_file(path, FACTS_BYTES)?;
        let facts = facts(&bytes).map_err(|why| {
            let file = path.display();
            Failure::refused("no facts", format!("{file} does not hold the facts of a device: {why}"))
        })?;
        Ok(told(&risk::score(&facts, &model, at)))
    }
}

fn facts(bytes: &[u8]) -> Result<Facts, String> {
    let facts: Facts = serde_json::from_slice(bytes).map_err(|error| {
        let answer = serde_json::from_slice::<Value>(bytes)
            .is_ok_and(|value| value.get("facts").is_some_and(Value::is_object));
        if answer {
            "it is the whole answer about a device; save its member `facts` alone".to_owned()
        } else {
            error.to_string()
        }
    })?;
    facts.check().map_err(|error| error.to_string())?;
    Ok(facts)
}

/// The model as if the site had set these figures.
fn model(figures: &[String]) -> Result<Model, Failure> {
    let mut set: Vec<(&str, u32)> = Vec::new();
    for text in figures {
        let wrong = || {
            Failure::Usage(format!(
                "`{text}` is no figure: write a name and a number, such as rolled_back=5000"
            ))
        };
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        if set.iter().any(|(known, _)| *known == name) {
            return Err(Failure::Usage(format!("the figure {name} is given twice")));
        }
        set.push((name, value.parse().map_err(|_| wrong())?));
    }
    RISK_V1.with_all(set).map_err(|error| Failure::Usage(error.to_string()))
}

/// The model of a file: every figure by its name, in the form of the API or in that of `--figures`. The hash that the file
/// states must be that of its figures.
fn table(path: &Path) -> Result<Model, Failure> {
    let refused = |why: String| Failure::refused("no table of figures", format!("{}: {why}", path.display()));
    let bytes = read_file(path, MODEL_BYTES)?;
    let table: Table = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
    if table.model != RISK_V1.id {
        return Err(refused(format!(
            "it is of the model {}, this program has {}",
            plain(&table.model),
            RISK_V1.id
        )));
    }
    let figures = match table.figures {
        Figures::Named(named) => named,
        Figures::Listed(listed) => listed.into_iter().map(|one| (one.figure, one.value)).collect(),
    };
    let missing: Vec<&str> = RISK_V1
        .figures()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !figures.contains_key(*name))
        .collect();
    if let Some(first) = missing.first() {
        return Err(refused(format!("it lacks the figure {first}; take a whole table and change it")));
    }
    let model = RISK_V1.with_all(figures.iter().map(|(name, value)| (name.as_str(), *value)));
    let model = model.map_err(|error| refused(error.to_string()))?;
    match table.model_sha256 {
        Some(stated) if stated != model.sha256_hex() => Err(refused(format!(
            "it states the hash {}, its figures have {}",
            plain(&stated),
            model.sha256_hex()
        ))),
        Some(_) | None => Ok(model),
    }
}

/// A table of figures in a file; further fields are for people.
#[derive(Deserialize)]
struct Table {
    model: String,
    model_sha256: Option<String>,
    figures: Figures,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Figures {
    Named(BTreeMap<String, u32>),
    Listed(Vec<Listed>),
}

#[derive(Deserialize)]
struct Listed {
    figure: String,
    value: u32,
}

fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    match text.parse() {
        Ok(seconds) => Ok(Timestamp(seconds)),
        Err(_) => time(text, now),
    }
}

fn figures(model: &Model) -> Report {
    let rows: Vec<Value> =
        model.figures().into_iter().map(|(name, value)| json!({"figure": name, "value": value})).collect();
    let of: serde_json::Map<String, Value> =
        model.figures().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let json = json!({"model": model.id, "model_sha256": model.sha256_hex(), "figures": of});
    Report::table(&["figure", "value"], &rows, json)
}

/// The score for people, and `docs/schemas/score.json` for programs.
pub(crate) fn told(score: &risk::Score) -> Report {
    let rows: Vec<Value> = score
        .contributions
        .iter()
        .map(|part| {
            json!({
                "points": two(u32::from(part.hundredths)),
                "alone": part.alone_hundredths.map(|value| two(u32::from(value))),
                "hazard": six(u64::from(part.hazard_micronepers)),
                "part": part.id,
                "reason": part.reason,
                "evidence": part.evidence,
            })
        })
        .collect();
    let json = serde_json::to_value(score).expect("a score is plain values");
    let band = json.get("band").and_then(Value::as_str).unwrap_or_default().to_owned();
    let table = Report::table(&["points", "alone", "hazard", "part", "reason", "evidence"], &rows, json);
    let mut lines = vec![
        format!(
            "{}: {} of 100, {band}, at {}",
            plain(&score.device),
            two(score.value_hundredths.into()),
            score.at
        ),
        format!(
            "100 x I x L with I = {}.{:04}, L = 1 - e^-H = {}.{:06}, H = {}",
            score.impact_e8 / 100_000_000,
            score.impact_e8 % 100_000_000 / 10_000,
            score.likelihood_e12 / 1_000_000_000_000,
            score.likelihood_e12 % 1_000_000_000_000 / 1_000_000,
            six(score.hazard_micronepers),
        ),
        format!("model {}, table {}", score.model, score.model_sha256),
    ];
    let set = score.set_by_site.iter();
    lines.extend(set.map(|one| format!("set by site: {} {} -> {}", plain(&one.figure), one.ours, one.site)));
    let mut text = format!("{}\n\n{}", lines.join("\n"), table.text);
    for (what, words) in
        [("not known, so neither safe nor counted", &score.unknown), ("assumed", &score.assumed)]
    {
        if !words.is_empty() {
            text.push_str(&format!("\n{what}: {}\n", plain(&words.join(", "))));
        }
    }
    Report { text, json: table.json }
}

fn two(hundredths: u32) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn six(millionths: u64) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}
