//! What a command has to say: once for people, once for programs.
//!
//! Every command makes both, so that no fact is only in the one or the other. Secrets never stand in a report, but
//! for the one that a command exists to hand out. Read next: [`crate::failure`] for the other outcome.

use std::fmt::Write as _;

use serde_json::Value;

/// How to print the outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// For people: lines.
    pub text: String,
    /// For programs.
    pub json: Value,
}

impl Report {
    /// A report of both forms.
    #[must_use]
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json }
    }

    /// A list as a table, with the columns named by the fields of its rows.
    #[must_use]
    pub fn table(columns: &[&str], rows: &[Value], json: Value) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(columns.iter().map(|column| column.to_uppercase()));
        for row in rows {
            table.add_row(columns.iter().map(|column| cell(row.get(column))));
        }
        let mut text: String = table.lines().map(|line| format!("{}\n", line.trim())).collect();
        if rows.is_empty() {
            text = "none\n".to_owned();
        }
        Self { text, json }
    }

    /// A document as `name  value` lines, fields of fields named by their path.
    #[must_use]
    pub fn document(json: Value) -> Self {
        let mut text = String::new();
        lines(&mut text, "", &json);
        Self { text, json }
    }

    /// The same with a further fact for programs, if its document is a map.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        if let Value::Object(fields) = &mut self.json {
            fields.insert(name.to_owned(), value);
        }
        self
    }

    /// The text to print.
    #[must_use]
    pub fn render(&self, output: Output) -> String {
        match output {
            Output::Text if self.text.is_empty() || self.text.ends_with('\n') => self.text.clone(),
            Output::Text => format!("{}\n", self.text),
            Output::Json => format!("{}\n", self.json),
        }
    }
}

fn lines(text: &mut String, path: &str, value: &Value) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| lines(text, &below(name), value)),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(at, item)| lines(text, &below(&at.to_string()), item));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let _ = writeln!(text, "{path:<28} {}", cell(Some(value)));
        }
    }
}

/// One value in one line. Control characters of texts that devices sent must not reach a terminal.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => plain(text),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => plain(&other.to_string()),
    }
}

/// One value as the text of a table's cell; nothing is empty.
#[must_use]
pub fn cell_text(value: Option<&Value>) -> String {
    if value.is_none_or(Value::is_null) { String::new() } else { cell(value) }
}

/// A text without control characters.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_and_documents_are_golden_and_carry_no_control_characters() {
        // Goal: readable, and safe on a terminal. Method: one row with an escape sequence, one nested document.
        let rows = [json!({"name": "VP-3\u{1b}[2J", "count": 2, "x": 1}), json!({"name": null})];
        let report = Report::table(&["name", "count"], &rows, json!(rows));
        let wanted = "NAME      COUNT\nVP-3\u{fffd}[2J  2\n-         -\n";
        assert_eq!(report.render(Output::Text), wanted);
        let report = Report::document(json!({"a": {"b": [1, 2], "c": [{"d": "x"}]}}));
        let line = |name: &str, value: &str| format!("{name:<28} {value}\n");
        assert_eq!(report.render(Output::Text), line("a.b", "1, 2") + &line("a.c.0.d", "x"));
        assert_eq!(report.render(Output::Json), "{\"a\":{\"b\":[1,2],\"c\":[{\"d\":\"x\"}]}}\n");
    }
}
