//! `cordonctl devices import`, `devices coverage`: devices that a list of assets names, and what nobody can see.
//!
//! The list goes to the server as the spreadsheet wrote it, and the server says row by row what became of it. What is
//! refused is shown and the rest is taken; nothing is deleted. Read next: [`crate::devices`].

use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::limits;
use serde_json::{Value, json};

use crate::api::Api;
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// Rows of each kind that people are shown; programs get all that the server says.
const SHOWN: usize = 40;

/// A list of assets to be imported.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// The list as CSV: a column `model`, and beside it manufacturer, version, serial, tag, site, department, type, ip, mac.
    file: PathBuf,
    /// What this list is called here: the same name each time it comes. Without it the name of the file.
    #[arg(long, value_name = "NAME")]
    list: Option<String>,
    /// The site of rows that name none.
    #[arg(long)]
    site: Option<String>,
    /// Say what it would do, and do nothing.
    #[arg(long)]
    preview: bool,
}

impl Import {
    /// Does it.
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let bytes = read_file(&self.file, limits::ASSET_LIST_BYTES as u64)?;
        let list = self.list.clone().unwrap_or_else(|| name_of(&self.file));
        let mut query = vec![("list", list)];
        query.extend(self.site.clone().map(|site| ("site", site)));
        if self.preview {
            query.push(("preview", "1".to_owned()));
        }
        let answer = Api::new(session.options)?.post_table(&["devices", "import"], &query, bytes)?;
        Ok(Report::new(told(&answer), answer))
    }
}

/// The name of a list by its file: small letters, digits and dashes.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = |sign: char| if sign.is_ascii_lowercase() || sign.is_ascii_digit() { sign } else { '-' };
    let name: String = stem.chars().map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "assets".to_owned() } else { name.to_owned() }
}

fn rows<'a>(answer: &'a Value, field: &str) -> &'a [Value] {
    answer.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn number(answer: &Value, field: &str) -> u64 {
    answer.get(field).and_then(Value::as_u64).unwrap_or(0)
}

/// What became of a list, for people.
fn told(answer: &Value) -> String {
    let word = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut text = String::new();
    let changes: Vec<Value> = rows(answer, "changes").iter().take(SHOWN).cloned().collect();
    if !changes.is_empty() {
        text.push_str(&Report::table(&["row", "name", "what", "device"], &changes, Value::Null).text);
    }
    let refused: Vec<Value> = rows(answer, "refused_rows").iter().take(SHOWN).cloned().collect();
    if !refused.is_empty() {
        text.push_str("not taken:\n");
        text.push_str(&Report::table(&["row", "why"], &refused, Value::Null).text);
    }
    let all: u64 = answer
        .get("refused")
        .and_then(Value::as_object)
        .map_or(0, |reasons| reasons.values().filter_map(Value::as_u64).sum());
    if all > SHOWN as u64 {
        text.push_str(&format!("… {all} rows in all; --output json names the first 500\n"));
    }
    let did = if answer.get("preview") == Some(&Value::Bool(true)) { "would make" } else { "made" };
    let (unlisted, before) = (number(answer, "unlisted"), number(answer, "unlisted_before"));
    text.push_str(&format!(
        "list {}: {} rows {did} {} new devices and changed {}; {} unchanged, {all} rows not taken\n",
        word(answer, "list"),
        number(answer, "rows"),
        number(answer, "new"),
        number(answer, "changed"),
        number(answer, "unchanged"),
    ));
    if unlisted + before > 0 {
        text.push_str(&format!(
            "{} devices are not in the list any more ({unlisted} since this import): they stay until somebody retires them\n",
            unlisted + before
        ));
    }
    text
}

/// What is known of how much of the fleet, for people.
pub(crate) fn coverage(session: &Session<'_>) -> Result<Report, Failure> {
    let answer = Api::new(session.options)?.get(&["coverage"], &[])?;
    let mut lines = vec![json!({"what": "devices", "count": number(&answer, "devices")})];
    for (group, title) in [("sources", "known by"), ("sensors", "sensor")] {
        let counts = answer.get(group).and_then(Value::as_object).into_iter().flatten();
        lines.extend(counts.map(|(name, count)| json!({"what": format!("{title} {name}"), "count": count})));
    }
    for (field, title) in [
        ("silent", "agent silent for a day"),
        ("with_inventory", "list of software here"),
        ("with_version", "else maker, model and version known"),
        ("with_model", "else maker and model known, no version"),
        ("unmatchable", "else no maker or model known"),
        ("unlisted", "not in their list any more"),
    ] {
        lines.push(json!({"what": title, "count": number(&answer, field)}));
    }
    let mut report = Report::table(&["what", "count"], &lines, answer);
    let spots: Vec<String> =
        rows(&report.json, "blind_spots").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    report.text.push_str("what cannot be seen:\n");
    for spot in &spots {
        report.text.push_str(&format!("  {spot}\n"));
    }
    if spots.is_empty() {
        report.text.push_str("  nothing that is known of\n");
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_called_by_its_file_unless_somebody_names_it() {
        // Goal: the same export is the same list each night. Method: names of files.
        for (file, name) in [
            ("/tmp/CMMS Export.csv", "cmms-export"),
            ("assets.csv", "assets"),
            ("Geräte_2026.csv", "ger-te-2026"),
            ("ÄÖ.csv", "assets"),
        ] {
            assert_eq!(name_of(Path::new(file)), name);
        }
    }

    #[test]
    fn people_read_what_became_of_each_row() {
        // Goal: nobody has to guess. Method: golden text of an answer.
        let answer = json!({
            "list": "cmms", "preview": false, "rows": 5, "new": 2, "changed": 1, "unchanged": 1, "unlisted": 1,
            "unlisted_before": 2, "refused": {"twice": 1},
            "refused_rows": [{"row": 4, "code": "twice", "why": "this device stands in row 3 too: leave one of the two"}],
            "changes": [{"row": 2, "device": "d", "name": "S1", "what": "version: 1 → 2"}],
        });
        let text = told(&answer);
        assert!(
            text.contains("version: 1 → 2") && text.contains("this device stands in row 3 too"),
            "{text}"
        );
        assert!(
            text.contains(
                "list cmms: 5 rows made 2 new devices and changed 1; 1 unchanged, 1 rows not taken"
            ),
            "{text}"
        );
        assert!(text.contains("3 devices are not in the list any more (1 since this import)"), "{text}");
    }
}
