//! `cordonctl approvals`: keys that ask for a device's identity and wait for a person.
//!
//! What is approved is a key, named by its whole fingerprint as the device itself shows it; a server that swaps the
//! key meanwhile gets a refusal, not an approval. Read next: [`crate::api`].

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cordon_proto::ids::Sha256;
use serde_json::{Value, json};

use crate::api::Api;
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::placing::Placing;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 8] = ["serial", "model", "fingerprint", "from", "with", "since", "replaces", "device"];
/// What the answers to a list show.
const ANSWERS: [&str; 4] = ["serial", "fingerprint", "outcome", "detail"];
/// Bytes of a list of keys.
const LIST_BYTES: u64 = 4 * 1024 * 1024;
/// Rows that are sent at once.
const BATCH: usize = 500;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the keys that wait, the one that waits longest first.
    List,
    /// Let a key in: it is given its certificate when its device asks again. Model and place count only where nobody
    /// has said so before: an approval moves no device.
    Approve(Box<Approval>),
    /// Turn a key away: the certificate in force, if there is one, lives on.
    Deny(Answer),
}

/// A yes, and what is said of the devices with it.
#[derive(Clone, Debug, Args)]
pub struct Approval {
    /// To which keys, and why.
    #[command(flatten)]
    pub answer: Answer,
    /// What the devices are, where nobody has said so.
    #[arg(long)]
    pub model: Option<String>,
    /// Where they will stand, where nobody has said so.
    #[command(flatten)]
    pub placing: Placing,
}

/// To which keys, and why.
#[derive(Clone, Debug, Args)]
pub struct Answer {
    /// The device's id, or its serial.
    #[arg(required_unless_present = "all_from", requires = "fingerprint", conflicts_with = "all_from")]
    pub device: Option<String>,
    /// The whole fingerprint of the key, as the device shows it: 64 hexadecimal digits in any groups.
    #[arg(long, value_name = "HEX", value_parser = fingerprint)]
    pub fingerprint: Option<Sha256>,
    /// Pairs of serial and fingerprint, read off the devices: CSV with the header `serial,fingerprint`.
    #[arg(long, value_name = "FILE")]
    pub all_from: Option<PathBuf>,
    /// Why.
    #[arg(long)]
    pub reason: String,
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
                let answer = api.get(&["approvals"], &[])?;
                let rows = answer.get("approvals").and_then(Value::as_array).cloned().unwrap_or_default();
                Ok(Report::table(&COLUMNS, &rows, Value::Array(rows.clone())))
            }
            Self::Approve(approval) => approval.answer.send(&api, &approval.body()),
            Self::Deny(answer) => answer.send(&api, &json!({"verb": "deny"})),
        }
    }
}

impl Approval {
    /// The answer without its keys and its reason.
    fn body(&self) -> Value {
        let place: serde_json::Map<String, Value> = self.placing.given().collect();
        let mut body = json!({"verb": "approve", "placement": place});
        if let (Some(model), Value::Object(fields)) = (&self.model, &mut body) {
            fields.insert("model".to_owned(), json!(model));
        }
        body
    }
}

impl Answer {
    /// Gives the answer `common` to each key.
    fn send(&self, api: &Api, common: &Value) -> Result<Report, Failure> {
        let asked = match (&self.device, self.fingerprint, &self.all_from) {
            (Some(device), Some(key), None) => {
                let name =
                    if device.parse::<cordon_proto::ids::DeviceId>().is_ok() { "device" } else { "serial" };
                vec![json!({name: device, "fingerprint": key.to_string()})]
            }
            (None, None, Some(file)) => read_pairs(file)?,
            _ => {
                let form = "name a device with its --fingerprint, or a list with --all-from";
                return Err(Failure::Usage(form.to_owned()));
            }
        };
        let mut rows = Vec::new();
        for batch in asked.chunks(BATCH) {
            let mut body = common.clone();
            if let Value::Object(fields) = &mut body {
                fields.insert("reason".to_owned(), json!(self.reason));
                fields.insert("rows".to_owned(), json!(batch));
            }
            let answer = api.post(&["approvals"], &body)?;
            let told = answer.get("rows").and_then(Value::as_array);
            let odd = || Failure::refused("unexpected answer", "the server sent no rows");
            rows.extend(told.ok_or_else(odd)?.iter().cloned());
        }
        let refused: Vec<&Value> =
            rows.iter().filter(|row| row.get("outcome").and_then(Value::as_str) != Some("done")).collect();
        if let [row] = refused.as_slice()
            && rows.len() == 1
        {
            let why = row.get("detail").and_then(Value::as_str).unwrap_or("the server refused");
            return Err(Failure::refused("not done", crate::report::plain(why)));
        }
        let report = Report::table(&ANSWERS, &rows, Value::Array(rows.clone()));
        if refused.is_empty() {
            return Ok(report);
        }
        let detail = format!("{} of {} rows were refused:\n{}", refused.len(), rows.len(), report.text);
        Err(Failure::refused("partly done", detail))
    }
}

/// A fingerprint as people write it.
fn fingerprint(text: &str) -> Result<Sha256, String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ' | '-')).collect();
    let wrong = |_| "a fingerprint has 64 hexadecimal digits: give the whole one, in any groups".to_owned();
    digits.to_lowercase().parse().map_err(wrong)
}

/// Pairs of serial and fingerprint; all are read before any is sent.
fn read_pairs(path: &Path) -> Result<Vec<Value>, Failure> {
    let bytes = read_file(path, LIST_BYTES)?;
    parse_pairs(&bytes).map_err(|fault| {
        Failure::refused("bad list", format!("{}: nothing was sent. {fault}", path.display()))
    })
}

fn parse_pairs(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the file is not in UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.lines().next().unwrap_or_default();
    let parting = if head.contains(';') { b';' } else { b',' };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(parting).trim(csv::Trim::All).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| error.to_string())?;
    if !head.iter().map(str::to_lowercase).eq(["serial", "fingerprint"]) {
        return Err("the header row is `serial,fingerprint`".to_owned());
    }
    let (mut rows, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let (serial, key) = (record.get(0).unwrap_or_default(), record.get(1).unwrap_or_default());
        let key = fingerprint(key).map_err(|error| format!("line {line}: {error}"))?;
        if serial.is_empty() {
            return Err(format!("line {line}: it has no serial"));
        }
        if !seen.insert(serial.to_owned()) {
            return Err(format!("line {line}: this serial stands in the list twice"));
        }
        rows.push(json!({"serial": serial, "fingerprint": key.to_string()}));
    }
    if rows.is_empty() { Err("there is no row under the header row".to_owned()) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_whole_and_lists_are_read_before_anything_is_sent() {
        // Goal: nobody approves a key by its first digits. Method: groups, short ones, lists good and bad.
        let digits = "0123456789abcdef".repeat(4);
        let grouped = digits.as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four).to_uppercase());
        let grouped = grouped.collect::<Vec<_>>().join(":");
        assert_eq!(fingerprint(&grouped).unwrap().to_string(), digits);
        assert!(fingerprint(&digits[..60]).is_err());
        let rows = parse_pairs(format!("Serial;Fingerprint\nVP3-1;{grouped}\n").as_bytes()).unwrap();
        assert_eq!(rows, [json!({"serial": "VP3-1", "fingerprint": digits})]);
        for (bad, why) in [
            (format!("serial,fingerprint\nVP3-1,{digits}\nVP3-1,{digits}\n"), "line 3"),
            ("serial,fingerprint\nVP3-1,0123\n".to_owned(), "line 2"),
            (format!("serial,fingerprint\n,{digits}\n"), "no serial"),
            ("fingerprint,serial\n".to_owned(), "header"),
            ("serial,fingerprint\n".to_owned(), "no row"),
        ] {
            assert!(parse_pairs(bad.as_bytes()).unwrap_err().contains(why), "{bad}");
        }
    }
}
