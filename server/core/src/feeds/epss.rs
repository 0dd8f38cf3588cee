//! The rows of EPSS. It is FIRST's chance that a weakness is attacked anywhere within 30 days, published each day.
//!
//! The adapter splits the text into cells; here they get a meaning. The table begins with a line `#model_version:…,score_date:…`
//! and a header; columns are found by their names. A row that is none is counted. Chances are kept as millionths, so that one
//! text is one number. Read next: [`super::age`].

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use cordon_proto::limits;
use cordon_proto::time::Timestamp;

use super::date;
use crate::matching::advisory::is_cve;

/// The table as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    /// The version of the model, as it was written.
    pub model: String,
    /// Of when the scores are.
    pub as_of: Option<Timestamp>,
    /// By CVE.
    pub scores: BTreeMap<String, Chance>,
    /// Rows that were not understood, by reason.
    pub refused: BTreeMap<&'static str, usize>,
    columns: Option<Columns>,
}

/// What it says of one weakness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance {
    /// The chance, in millionths.
    pub millionths: u32,
    /// The share of all weaknesses with at most this chance, in millionths.
    pub percentile_millionths: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    cve: usize,
    chance: usize,
    percentile: usize,
}

/// Why a table is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTable {
    /// No header with the columns.
    #[error("no columns cve, epss and percentile: take the table that FIRST publishes each day")]
    NoHeader,
    /// More rows than are read.
    #[error("more than {} rows", limits::EPSS_ROWS)]
    TooLong,
    /// No row was understood.
    #[error("no row of the table was understood")]
    Empty,
}

impl Scores {
    /// Takes one row, cells in order.
    ///
    /// # Errors
    /// The first rows are no head of such a table, or there are too many.
    pub fn row(&mut self, cells: &[&str]) -> Result<(), NoTable> {
        let Some(columns) = self.columns else { return self.head(cells) };
        if self.scores.len() == limits::EPSS_ROWS {
            return Err(NoTable::TooLong);
        }
        let cell = |at: usize| cells.get(at).map(|cell| cell.trim()).unwrap_or_default();
        let read = || {
            let cve = Some(cell(columns.cve)).filter(|cve| is_cve(cve)).ok_or("no-cve")?;
            let millionths = millionths(cell(columns.chance)).ok_or("no-chance")?;
            let percentile_millionths = self::millionths(cell(columns.percentile)).ok_or("no-percentile")?;
            Ok((cve.to_string(), Chance { millionths, percentile_millionths }))
        };
        match read() {
            Err(why) => *self.refused.entry(why).or_default() += 1,
            Ok((cve, chance)) => {
                if self.scores.insert(cve, chance).is_some() {
                    *self.refused.entry("twice").or_default() += 1;
                }
            }
        }
        Ok(())
    }

    /// The whole table.
    ///
    /// # Errors
    /// Nothing of it was understood.
    pub fn finish(self) -> Result<Self, NoTable> {
        match self.columns {
            None => Err(NoTable::NoHeader),
            Some(_) if self.scores.is_empty() => Err(NoTable::Empty),
            Some(_) => Ok(self),
        }
    }

    fn head(&mut self, cells: &[&str]) -> Result<(), NoTable> {
        let first = cells.first().map(|cell| cell.trim_start_matches('\u{feff}')).unwrap_or_default();
        if let Some(first) = first.strip_prefix('#') {
            for pair in core::iter::once(first).chain(cells.iter().skip(1).copied()) {
                match pair.trim().split_once(':') {
                    Some(("model_version", model)) => self.model = model.trim().chars().take(64).collect(),
                    Some(("score_date", day)) => self.as_of = date::read(day),
                    Some(_) | None => {}
                }
            }
            return Ok(());
        }
        let place = |names: [&str; 2]| {
            let is = |cell: &&str| {
                let cell = cell.trim_start_matches('\u{feff}').trim();
                names.iter().any(|name| cell.eq_ignore_ascii_case(name))
            };
            cells.iter().position(is).ok_or(NoTable::NoHeader)
        };
        let (cve, chance) = (place(["cve", "cve id"])?, place(["epss", "epss score"])?);
        self.columns = Some(Columns { cve, chance, percentile: place(["percentile", "epss percentile"])? });
        Ok(())
    }
}

/// A chance between 0 and 1 in millionths, the rest cut off; scientific notation as `9.7e-05` is read too.
fn millionths(text: &str) -> Option<u32> {
    let value: f64 = text.parse().ok()?;
    let fits = text.bytes().all(|byte| byte.is_ascii_digit() || b".eE-+".contains(&byte));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 1000000"
    )]
    let whole = |value: f64| libm::round(value * 1e6) as u32;
    (fits && (0.0..=1.0).contains(&value)).then(|| whole(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&str]) -> Result<Scores, NoTable> {
        let mut scores = Scores::default();
        for row in rows {
            scores.row(&row.split(',').collect::<alloc::vec::Vec<_>>())?;
        }
        scores.finish()
    }

    #[test]
    fn the_table_is_read_with_its_model_and_date() {
        // Goal: both forms that are published; what is no row is counted. Method: rows of each kind.
        let read = table(&[
            "\u{feff}#model_version:v2025.03.14,score_date:2025-04-15T12:55:00Z",
            "cve,epss,percentile",
            "CVE-2024-0001,0.00043,0.11",
            "CVE-2024-0002,9.7e-05,1",
            "CVE-2024-0002,1.0,0.99999",
            "CWE-1,0.1,0.1",
            "CVE-2024-0003,1.1,0.1",
            "CVE-2024-0004,NaN,0.1",
            "CVE-2024-0005,0.1",
        ])
        .expect("a table");
        assert_eq!((read.model.as_str(), read.as_of), ("v2025.03.14", date::read("2025-04-15T12:55:00Z")));
        let chance = |millionths, percentile_millionths| Chance { millionths, percentile_millionths };
        assert_eq!(read.scores.get("CVE-2024-0001"), Some(&chance(430, 110_000)));
        assert_eq!(read.scores.get("CVE-2024-0002"), Some(&chance(1_000_000, 999_990)));
        assert_eq!(
            read.refused,
            [("no-cve", 1), ("no-chance", 2), ("no-percentile", 1), ("twice", 1)].into()
        );
        let other =
            table(&["CVE,CVSS3,EPSS,EPSS Percentile", "CVE-2024-0001,8.8,0.01015,0.60644"]).expect("a table");
        assert_eq!(other.scores.get("CVE-2024-0001"), Some(&chance(10_150, 606_440)));
        assert_eq!(other.as_of, None);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        // Goal: a wrong file is no silence. Method: no header, no rows, nothing.
        assert_eq!(table(&["name,score"]).map(drop), Err(NoTable::NoHeader));
        assert_eq!(table(&[]).map(drop), Err(NoTable::NoHeader));
        assert_eq!(table(&["cve,epss,percentile", "x,y,z"]).map(drop), Err(NoTable::Empty));
    }
}
