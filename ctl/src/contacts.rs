//! `cordonctl contacts`: who talked to this address, name or port.
//!
//! The server answers from what devices reported, and writes the search with its reason into its audit log. Of what it cannot know
//! it says how much that is. Read next: `cordon_server_core::contacts`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::{Report, cell_text, plain};
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 9] = ["serial", "model", "ward", "first", "last", "connections", "out", "in", "with"];
/// Pages that are fetched at most.
const PAGES: usize = 1000;

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Find the devices that talked to an address, a network, a name or a port.
    Search(Search),
}

/// Whom, when and why.
#[derive(Clone, Debug, Args)]
pub struct Search {
    /// An address (203.0.113.9), a network (203.0.113.0/24), or a name with all below it (example.org).
    #[arg(long, default_value = "")]
    peer: String,
    /// 4444, 4444/tcp or 4444/udp.
    #[arg(long, default_value = "")]
    port: String,
    /// From when on: 2026-11-20 or 2026-11-20T14:00:00Z. Without it as long as connections are kept.
    #[arg(long)]
    since: Option<String>,
    /// Before when; without it until now.
    #[arg(long)]
    until: Option<String>,
    /// Why, for the audit log.
    #[arg(long)]
    reason: String,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::Search(search) => {
                let (mut devices, mut after) = (Vec::new(), Value::Null);
                for _ in 0..PAGES {
                    let mut answer = api.post(&["contacts", "search"], &search.ask(&after))?;
                    devices.extend(rows_of(&answer));
                    after = answer.get("next").cloned().unwrap_or_default();
                    if after.is_null() {
                        if let Some(all) = answer.get_mut("devices") {
                            *all = json!(devices);
                        }
                        return Ok(found(answer));
                    }
                }
                Err(Failure::refused(
                    "too many devices",
                    "name a port, a shorter time or a smaller network".to_owned(),
                ))
            }
        }
    }
}

impl Search {
    fn ask(&self, after: &Value) -> Value {
        json!({
            "peer": self.peer, "port": self.port, "since": self.since, "until": self.until,
            "reason": self.reason, "after": after,
        })
    }
}

fn rows_of(answer: &Value) -> Vec<Value> {
    answer.get("devices").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn found(answer: Value) -> Report {
    let word = |value: &Value, name: &str| plain(&cell_text(value.get(name)));
    let devices = rows_of(&answer);
    let rows: Vec<Value> = devices
        .iter()
        .map(|device| {
            let listed = |name: &str| {
                let words = device.get(name).and_then(Value::as_array).into_iter().flatten();
                words.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
            };
            let mut with = format!("{} {}", listed("peers"), listed("services"));
            if device.get("is_new").and_then(Value::as_bool) == Some(true) {
                with.push_str(", new to it");
            }
            if device.get("is_cut").and_then(Value::as_bool) == Some(true) {
                with.push_str(", the newest rows only");
            }
            json!({
                "serial": device.get("serial"), "model": device.get("model"), "ward": device.get("ward"),
                "first": device.get("first"), "last": device.get("last"),
                "connections": device.get("connections"),
                "out": device.get("bytes_out"), "in": device.get("bytes_in"), "with": with,
            })
        })
        .collect();
    let mut text = format!(
        "{}, from {} to {}: {} devices\n",
        word(&answer, "sought"),
        word(&answer, "since"),
        word(&answer, "until"),
        devices.len()
    );
    if let Some(unnamed) = answer.get("unnamed").and_then(Value::as_u64).filter(|unnamed| *unnamed > 0) {
        text.push_str(&format!(
            "unknown of {unnamed}: their reports had no room to name every peer in that time\n"
        ));
    }
    Report::new(format!("{text}\n{}", Report::table(&COLUMNS, &rows, Value::Null).text), answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_each_device_and_what_nobody_can_say() {
        // Goal: one look is enough. Method: golden text of two devices; of none.
        let device = json!({
            "serial": "VP3-1", "model": "VP-3", "ward": "4B", "first": "2026-11-20T08:00:00Z",
            "last": "2026-11-22T09:00:00Z", "connections": 40, "bytes_out": 100, "bytes_in": 20,
            "peers": ["203.0.113.9"], "services": ["443/tcp", "4444/tcp"], "is_new": true, "is_cut": false,
        });
        let mut other = device.clone();
        other["serial"] = json!("VP3-2\u{1b}[2J");
        other["is_new"] = json!(false);
        let answer = json!({
            "sought": "203.0.113.9", "since": "2026-11-20T00:00:00Z", "until": "2026-11-23T00:00:00Z",
            "kept_days": 30, "likely": 2, "unnamed": 3, "devices": [device, other], "next": null,
        });
        assert_eq!(found(answer).text, include_str!("tests/contacts_found.txt"));
        let none =
            json!({"sought": "any peer, port 1", "since": "a", "until": "b", "unnamed": 0, "devices": []});
        assert_eq!(found(none).text, "any peer, port 1, from a to b: 0 devices\n\nnone\n");
    }
}
