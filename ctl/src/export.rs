//! `cordonctl export`: tables for auditors, buyers and regulators, from live data, as files.
//!
//! The register is CSV whose cells never begin like a formula; the sheet and the versions are CSV made here from the same rows
//! that the API gives as JSON. Read next: [`crate::risk`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cordon_server_core::risk::register::csv_line;
use cordon_server_core::siem::Format;
use serde_json::Value;

use crate::api::Api;
use crate::failure::Failure;
use crate::report::{Report, cell_text};
use crate::risk::{Chosen, register, written};
use crate::session::Session;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The risk register: a row for each device with its reasons, what to do, by whom, by when.
    Register {
        /// Which devices.
        #[command(flatten)]
        chosen: Chosen,
        /// Where to.
        #[command(flatten)]
        to: To,
    },
    /// A security sheet of one model, in the manner of MDS2: questions, and how many devices answer yes, no, or nothing.
    Mds2 {
        /// The model.
        #[arg(long)]
        model: String,
        /// Where to.
        #[command(flatten)]
        to: To,
    },
    /// How fast vulnerabilities are closed (section 524B): a line for each with its dates; the three measures are printed.
    Measures {
        /// Only devices of this model.
        #[arg(long)]
        model: Option<String>,
        /// Only what became known from this day on, such as 2026-01-01.
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// Only what became known before this day.
        #[arg(long, value_name = "DAY")]
        until: Option<String>,
        /// Where to.
        #[command(flatten)]
        to: To,
    },
    /// Findings in the words of a SIEM, a line for each and in OCSF one for the connection behind it: the very lines that
    /// a server sends.
    Findings {
        /// The words: OCSF as JSON lines, or CEF.
        #[arg(long)]
        format: Words,
        /// Also those that are closed.
        #[arg(long)]
        all: bool,
        /// Where to.
        #[command(flatten)]
        to: To,
    },
    /// Which versions run, by model, and how long they are supported.
    Versions {
        /// Only this model.
        #[arg(long)]
        model: Option<String>,
        /// Where to.
        #[command(flatten)]
        to: To,
    },
}

/// In which words findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Words {
    /// The Open Cybersecurity Schema Framework.
    Ocsf,
    /// The Common Event Format.
    Cef,
}

/// Where a table goes.
#[derive(Clone, Debug, Args)]
pub struct To {
    /// The file to write; without it the table is printed.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

const SHEET: [&str; 7] = ["topic", "question", "yes", "no", "unknown", "from", "id"];
const CASES: [&str; 8] = [
    "vulnerability",
    "known",
    "available",
    "devices",
    "patched",
    "first_patched",
    "last_patched",
    "open_days",
];
const VERSIONS: [&str; 11] = [
    "model",
    "release",
    "counter",
    "devices",
    "newer",
    "listed",
    "stage",
    "full_until",
    "until",
    "days_left",
    "ending",
];

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::Register { chosen, to } => register(&api, chosen, to.out.as_deref()),
            Self::Mds2 { model, to } => {
                let answer = api.get(&["risk", "sheet"], &[("model", model.clone())])?;
                table(&SHEET, answer.pointer("/sheet/answers"), to)
            }
            Self::Measures { model, from, until, to } => {
                let given = [("model", model), ("from", from), ("until", until)];
                let query: Vec<_> =
                    given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
                let answer = api.get(&["risk", "measures"], &query)?;
                measures(&answer, to)
            }
            Self::Findings { format, all, to } => {
                let format = match format {
                    Words::Ocsf => Format::Ocsf,
                    Words::Cef => Format::Cef,
                };
                let state = if *all { "all" } else { "open" };
                let query = [("format", format.word()), ("state", state)];
                written(api.lines(&["siem", "findings"], &query)?, to.out.as_deref())
            }
            Self::Versions { model, to } => {
                let query: Vec<_> = model.iter().map(|model| ("model", model.clone())).collect();
                let answer = api.get(&["risk", "versions"], &query)?;
                table(&VERSIONS, answer.get("rows"), to)
            }
        }
    }
}

/// The three measures for people, and the cases as a file or as JSON.
fn measures(answer: &Value, to: &To) -> Result<Report, Failure> {
    let share = |name: &str| {
        let permille = answer.get(name).and_then(Value::as_u64);
        permille.map_or("not known".to_owned(), |share| format!("{}.{} %", share / 10, share % 10))
    };
    let days = |name: &str| {
        let part = |part: &str| answer.pointer(&format!("/{name}/{part}")).and_then(Value::as_i64);
        let spread = part("median_s").zip(part("most_s"));
        spread.map_or("not known".to_owned(), |(half, all)| {
            format!("half within {} days, all within {}", half.div_euclid(86_400), all.div_euclid(86_400))
        })
    };
    let mut text = format!(
        "patched: {}\nidentified to available: {}\navailable to deployed: {}\nclosed on every device: {} of {} vulnerabilities\n",
        share("patched_permille"),
        days("identified_to_available"),
        days("available_to_deployed"),
        share("closed_permille"),
        cell_text(answer.get("vulnerabilities")),
    );
    for line in answer.get("explained").and_then(Value::as_array).into_iter().flatten() {
        text.push_str(&format!("  {}\n", cell_text(Some(line))));
    }
    let cases = table(&CASES, answer.get("cases"), to)?;
    Ok(Report::new(format!("{text}{}", cases.text), answer.clone()))
}

/// Rows as CSV, their columns named in the first line.
fn table(columns: &[&str], rows: Option<&Value>, to: &To) -> Result<Report, Failure> {
    let odd = || Failure::refused("unexpected answer", "the server sent no rows; is it of another version?");
    let rows = rows.and_then(Value::as_array).ok_or_else(odd)?;
    let mut text = csv_line(columns.iter().copied());
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|column| cell_text(row.get(column))).collect();
        text.push_str(&csv_line(cells.iter().map(String::as_str)));
    }
    written(text.into_bytes(), to.out.as_deref())
}
