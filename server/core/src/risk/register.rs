//! The risk register: a row for each device with its reasons, what is to be done, by whom, by when, and what was accepted.
//!
//! What auditors and risk managers keep beside ISO 14971 and IEC 80001-1. Texts in it come from devices and files: a cell of
//! the CSV form never begins like a formula, so that a table program shows it and runs nothing. Read next: [`super::board`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::board::is_overdue;
use super::next_step::{NextStep, Owner};
use super::score::{Band, Kind, Score};

/// Reasons that a row names.
const REASONS: usize = 3;

/// The columns of the CSV form.
pub const COLUMNS: [&str; 19] = [
    "device",
    "manufacturer",
    "model",
    "serial",
    "site",
    "ward",
    "release",
    "score",
    "band",
    "reasons",
    "not_known",
    "next_step",
    "owner",
    "due",
    "overdue",
    "waiting_since",
    "score_after",
    "exceptions",
    "model_sha256",
];

/// Who a device is and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Whose {
    /// Its name.
    pub device: String,
    /// Its maker.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its maker's number.
    pub serial: String,
    /// Where it stands.
    pub site: String,
    /// Where it stands.
    pub ward: String,
    /// What it runs.
    pub release: Option<String>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The device.
    #[serde(flatten)]
    pub whose: Whose,
    /// Its score in hundredths of a point.
    pub score_hundredths: u16,
    /// Its band.
    pub band: Band,
    /// The weightiest reasons.
    pub reasons: Vec<String>,
    /// Questions nobody answered.
    pub not_known: Vec<String>,
    /// The first step, if there is one.
    pub next_step: Option<String>,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// By when.
    pub due: Option<Timestamp>,
    /// Whether that is over.
    pub overdue: bool,
    /// Since when it waits for its maker.
    pub waiting_since: Option<Timestamp>,
    /// The score once the step is done, in hundredths.
    pub score_after_hundredths: Option<u16>,
    /// Accepted risks that cover it, each in a line. They change no score.
    pub exceptions: Vec<String>,
    /// SHA-256 of the table of figures.
    pub model_sha256: String,
}

impl Row {
    /// The row of a device.
    #[must_use]
    pub fn of(whose: Whose, score: &Score, steps: &[NextStep], exceptions: Vec<String>) -> Self {
        let reasons = score.contributions.iter().filter(|part| part.kind != Kind::Impact).take(REASONS);
        let step = steps.first();
        let waits = steps.iter().find_map(|step| step.waiting_since);
        Self {
            whose,
            score_hundredths: score.value_hundredths,
            band: score.band,
            reasons: reasons.map(|part| part.reason.clone()).collect(),
            not_known: score.unknown.clone(),
            next_step: step.map(|step| step.words.clone()),
            owner: step.map(|step| step.owner),
            due: step.and_then(|step| step.due),
            overdue: step.is_some_and(|step| is_overdue(step, score.at)),
            waiting_since: waits,
            score_after_hundredths: step.map(|step| step.after_hundredths),
            exceptions,
            model_sha256: score.model_sha256.clone(),
        }
    }

    /// The cells of the CSV form, in the order of [`COLUMNS`].
    #[must_use]
    pub fn cells(&self) -> [String; 19] {
        let Whose { device, manufacturer, model, serial, site, ward, release } = self.whose.clone();
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let overdue = if self.overdue { "yes" } else { "no" };
        [
            device,
            manufacturer,
            model,
            serial,
            site,
            ward,
            release.unwrap_or_default(),
            points(self.score_hundredths),
            self.band.word().to_string(),
            self.reasons.join("; "),
            self.not_known.join("; "),
            self.next_step.clone().unwrap_or_default(),
            self.owner.map(Owner::word).unwrap_or_default().to_string(),
            time(self.due),
            overdue.to_string(),
            time(self.waiting_since),
            self.score_after_hundredths.map(points).unwrap_or_default(),
            self.exceptions.join("; "),
            self.model_sha256.clone(),
        ]
    }
}

/// Hundredths as a number with two decimals.
#[must_use]
pub fn points(hundredths: u16) -> String {
    alloc::format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A line of CSV (RFC 4180), with its end.
#[must_use]
pub fn csv_line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (place, text) in cells.into_iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        line.push_str(&csv_cell(text));
    }
    line.push_str("\r\n");
    line
}

/// A cell of CSV. What a table program would take for a formula gets an apostrophe before it, as those programs write a text
/// themselves; control characters become blanks, so that one device is one line.
#[must_use]
pub fn csv_cell(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let first = plain.trim_start().chars().next();
    let guarded = match first {
        Some('=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}') => {
            alloc::format!("'{plain}")
        }
        Some(_) | None => plain,
    };
    if guarded.contains(['"', ',', ';', '\'']) {
        alloc::format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::examples::{NOW, flat_pump};
    use crate::risk::model::RISK_V1;
    use crate::risk::{plan, score};
    use alloc::{format, vec};
    use proptest::prelude::*;

    #[test]
    fn a_row_says_what_to_do_by_whom_and_by_when() {
        // Goal: the register of a device in one line. Method: golden text of the pump of example 3.
        let mut pump = flat_pump();
        pump.exposures.iter_mut().for_each(|one| one.fixed_in = Some("4.2.2".into()));
        let (score, steps) = (score(&pump, &RISK_V1, NOW), plan(&pump, &RISK_V1, NOW));
        let whose = Whose {
            device: "d-1".into(),
            manufacturer: "Halden".into(),
            model: "VP-3".into(),
            serial: "=cmd|' /C calc'!A0".into(),
            site: "St. Anna".into(),
            ward: "ICU 2".into(),
            release: None,
        };
        let row = Row::of(whose, &score, &steps, vec!["EX-1 until 2027-01-01".into()]);
        assert!(row.overdue && row.owner == Some(Owner::It));
        let cells = row.cells();
        let line = csv_line(cells.iter().map(String::as_str));
        let golden = "d-1,Halden,VP-3,\"'=cmd|' /C calc'!A0\",St. Anna,ICU 2,,77.25,critical,\"CVE-2020-1938 in tomcat9 \
                      9.0.31-1, exploited in the wild; Secure boot is off; 90 days behind release 4.2.2\",";
        assert!(line.starts_with(golden), "{line}");
        let end = format!(
            ",Install release 4.2.2,it,2026-11-09T14:26:00Z,yes,,7.64,EX-1 until 2027-01-01,{}\r\n",
            score.model_sha256
        );
        assert!(line.ends_with(&end), "{line}");
        assert_eq!(cells.len(), COLUMNS.len());
    }

    #[test]
    fn no_cell_begins_like_a_formula() {
        // Goal: a device's name runs nothing on somebody's desk. Method: each beginning, with blanks and tabs before it.
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r\n=1", "\u{ff1d}1"] {
            let cell = csv_cell(text);
            assert!(cell.starts_with("\"'"), "{text:?} {cell:?}");
        }
        assert_eq!(csv_cell("a\"b,c"), "\"a\"\"b,c\"");
        assert_eq!(csv_cell("ICU 2"), "ICU 2");
    }

    proptest! {
        #[test]
        fn any_text_is_one_cell_of_one_line(texts in proptest::collection::vec(any::<String>(), 1..6)) {
            let line = csv_line(texts.iter().map(String::as_str));
            prop_assert!(line.ends_with("\r\n") && !line[..line.len() - 2].contains(['\r', '\n']));
            let quotes = line.chars().filter(|c| *c == '"').count();
            prop_assert!(quotes % 2 == 0);
        }
    }
}
