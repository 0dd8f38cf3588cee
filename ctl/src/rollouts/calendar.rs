//! `cordonctl rollouts calendar`: on which days devices of which wards may reboot, and of which nothing is planned.
//!
//! The server's own calendar, line by line; nothing is decided here. Hours are those of the devices' own clocks, as they were
//! signed. Read next: `cordon_server_core::rollout::calendar`.

use clap::Args;
use cordon_proto::time::Timestamp;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::Report;

/// What it shows.
const COLUMNS: [&str; 8] = ["day", "ward", "open", "devices", "held", "still", "later", "rollouts"];
const DAY_S: i64 = 86_400;

/// Show when devices may reboot.
#[derive(Clone, Debug, Args)]
pub struct Calendar {
    /// A time of the first day, such as 2026-11-22T00:00:00Z; today if not given.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// How many days, 1 to 31.
    #[arg(long, value_name = "N", default_value_t = 7)]
    days: u32,
}

impl Calendar {
    /// Does it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub(super) fn shown(&self, api: &Api) -> Result<Report, Failure> {
        let mut asked = vec![("days", self.days.to_string())];
        asked.extend(self.from.clone().map(|from| ("from", from)));
        let answer = api.get(&["rollouts", "calendar"], &asked)?;
        let first = answer.get("from").and_then(Value::as_str).unwrap_or_default();
        let first = Timestamp::parse(first).unwrap_or(Timestamp(0));
        let wards = list(&answer, "wards");
        let mut rows: Vec<(i64, Value)> = Vec::new();
        for ward in wards {
            for (number, day) in (0..).zip(list(ward, "days")) {
                let open: Vec<String> = list(day, "open").map(hours).collect();
                if !open.is_empty() {
                    rows.push((number, row(first, number, ward, day, &open.join(", "))));
                }
            }
        }
        rows.sort_by_key(|(number, _)| *number);
        let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
        Ok(Report::table(&COLUMNS, &rows, answer))
    }
}

/// A day of a ward on which windows are open.
fn row(first: Timestamp, number: i64, ward: &Value, day: &Value, open: &str) -> Value {
    let text = |name: &str| ward.get(name).and_then(Value::as_str).unwrap_or_default();
    let still: Vec<&str> = list(ward, "still").filter_map(Value::as_str).collect();
    let rollouts: Vec<String> = list(ward, "rollouts")
        .filter_map(Value::as_str)
        .map(|id| if still.contains(&id) { format!("{id} (stands still)") } else { id.to_owned() })
        .collect();
    let date: String =
        first.plus_seconds(number.saturating_mul(DAY_S)).to_string().chars().take(10).collect();
    json!({
        "day": date,
        "ward": format!("{}/{}", text("site"), text("ward")),
        "open": open,
        "devices": day.get("devices"),
        "held": day.get("held"),
        "still": day.get("still"),
        "later": day.get("later"),
        "rollouts": rollouts.join(", "),
    })
}

/// "22:00-24:00".
fn hours(stretch: &Value) -> String {
    let clock = |place: usize| {
        let minute = stretch.get(place).and_then(Value::as_u64).unwrap_or_default();
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    format!("{}-{}", clock(0), clock(1))
}

fn list<'a>(document: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    document.get(name).and_then(Value::as_array).into_iter().flatten()
}
