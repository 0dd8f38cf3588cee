//! `cordonctl risk model`: the figures in force, setting some for this site, giving them back.
//!
//! What would change is shown, with the hash of the table that it would be, before a person agrees. Read next:
//! `cordon_server_core::risk::model`.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{field, rows_of, with};
use crate::api::Api;
use crate::failure::Failure;
use crate::report::Report;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show every figure, its bounds, and which the site set. Its JSON is a table for `cordonctl score --model`.
    Show {
        /// Only those that the site set.
        #[arg(long)]
        set: bool,
    },
    /// Set figures for this site. All scores change, and say so.
    Set {
        /// Figures, such as rolled_back=7000.
        #[arg(value_name = "NAME=VALUE", required_unless_present = "give_back")]
        figures: Vec<String>,
        /// A figure that goes back to the model's own. Repeat.
        #[arg(long, value_name = "NAME")]
        give_back: Vec<String>,
        /// Only show what the table would be.
        #[arg(long)]
        preview: bool,
        /// Why.
        #[arg(long, required_unless_present = "preview")]
        reason: Option<String>,
    },
    /// Give all figures back to the model's own.
    Reset {
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, api: &Api) -> Result<Report, Failure> {
        match self {
            Self::Show { set } => Ok(shown(api.get(&["risk", "model"], &[])?, *set)),
            Self::Set { figures, give_back, preview, reason } => {
                let body = json!({
                    "set": named(figures)?,
                    "reset": give_back,
                    "preview": preview,
                    "reason": reason.as_deref().unwrap_or_default(),
                });
                Ok(shown(api.put_json(&["risk", "model"], &[], &body)?, true))
            }
            Self::Reset { reason } => {
                let body = json!({"reset_all": true, "reason": reason});
                Ok(shown(api.put_json(&["risk", "model"], &[], &body)?, true))
            }
        }
    }
}

/// Figures by name.
fn named(figures: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut named = Map::new();
    for text in figures {
        let wrong = || {
            Failure::Usage(format!(
                "`{text}` is no figure: write a name and a number, such as rolled_back=5000"
            ))
        };
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let value: u32 = value.parse().map_err(|_| wrong())?;
        if named.insert(name.to_owned(), value.into()).is_some() {
            return Err(Failure::Usage(format!("the figure {name} is given twice")));
        }
    }
    Ok(named)
}

fn shown(answer: Value, only_set: bool) -> Report {
    let is_set = |row: &Value| row.get("set_by_site") == Some(&Value::Bool(true));
    let figures = rows_of(&answer, "figures");
    let set = figures.iter().filter(|row| is_set(row)).count();
    let rows: Vec<Value> = figures
        .into_iter()
        .filter(|row| !only_set || is_set(row))
        .map(|row| {
            let set = if is_set(&row) { json!("yes") } else { Value::Null };
            with(&row, [("set by site", set)])
        })
        .collect();
    let word = |name: &str| field(&answer, name).as_str().unwrap_or_default().to_owned();
    let mut head = format!("model {}, table {}\n", word("model"), word("model_sha256"));
    head.push_str(&match set {
        0 => "no figure is set by site\n".to_owned(),
        1 => "1 figure is set by site\n".to_owned(),
        many => format!("{many} figures are set by site\n"),
    });
    if let Some(set) = answer.get("set").filter(|set| set.is_object()) {
        let of = |name: &str| crate::report::plain(set.get(name).and_then(Value::as_str).unwrap_or_default());
        head.push_str(&format!("set last at {} by {}: {}\n", of("at"), of("by"), of("reason")));
    }
    if answer.get("unread") == Some(&Value::Bool(true)) {
        head.push_str("A table is stored that the server does not understand: set the figures anew.\n");
    }
    let table =
        Report::table(&["figure", "value", "ours", "set by site", "least", "most"], &rows, Value::Null);
    let table = if only_set && rows.is_empty() { String::new() } else { format!("\n{}", table.text) };
    Report::new(format!("{head}{table}"), answer)
}
