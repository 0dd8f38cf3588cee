//! Ends of life. As endoflife.date publishes them: one JSON document a product, in its first form and in that of API v1.
//!
//! A release whose end is not said is *not said*, neither supported nor over. Read next: [`super::age`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::Deserialize;

use super::date;
use crate::matching::json::{self, AtMost, Refused};

/// One product with its releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// The product, where the document says it.
    pub product: Option<String>,
    /// Of when it is, where the document says it.
    pub as_of: Option<Timestamp>,
    /// Its releases in the document's order.
    pub releases: Vec<Release>,
    /// Releases without a name or with a date that is none.
    pub refused: usize,
}

/// One release of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its name, such as `12` or `8.1-industry`.
    pub cycle: String,
    /// When it came.
    pub released: Option<Timestamp>,
    /// When active support ends.
    pub support: End,
    /// When security repairs end.
    pub life: End,
}

/// When something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// On that day.
    On(Timestamp),
    /// It has ended, the day is not said.
    Over,
    /// It has not ended, and no day is said.
    Open,
    /// Not said.
    Unsaid,
}

impl End {
    /// Whether it has ended by then; `None` where nobody says.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> Option<bool> {
        match self {
            Self::On(day) => Some(day <= now),
            Self::Over => Some(true),
            Self::Open => Some(false),
            Self::Unsaid => None,
        }
    }
}

impl Lifecycle {
    /// The release that a version belongs to: the one with the longest name that the version begins with, piece by piece.
    #[must_use]
    pub fn release_of(&self, version: &str) -> Option<&Release> {
        let begins = |release: &&Release| {
            let rest = version.strip_prefix(release.cycle.as_str());
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
        };
        self.releases.iter().filter(begins).max_by_key(|release| release.cycle.len())
    }
}

type Releases = AtMost<Row, { limits::EOL_ROWS }>;

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Old(Releases),
    New(New),
}

#[derive(Deserialize)]
struct New {
    #[serde(default)]
    last_modified: String,
    result: Product,
}

#[derive(Deserialize)]
struct Product {
    #[serde(default)]
    name: String,
    releases: Releases,
}

/// A release in either form.
#[derive(Deserialize)]
struct Row {
    #[serde(default, alias = "name")]
    cycle: Option<Text>,
    #[serde(default, rename = "releaseDate")]
    released: Option<String>,
    #[serde(default)]
    support: Option<Said>,
    #[serde(default)]
    eol: Option<Said>,
    #[serde(default, rename = "isEoas")]
    is_eoas: Option<bool>,
    #[serde(default, rename = "eoasFrom")]
    eoas_from: Option<String>,
    #[serde(default, rename = "isEol")]
    is_eol: Option<bool>,
    #[serde(default, rename = "eolFrom")]
    eol_from: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Day(String),
    Is(bool),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Number(u32),
}

/// Reads one product.
///
/// # Errors
/// It is too long or of another form, or names no release.
pub fn read(bytes: &[u8]) -> Result<Lifecycle, Refused> {
    let (mut lifecycle, rows) = match json::read(bytes, limits::ADVISORY_BYTES)? {
        Form::Old(rows) => (Lifecycle::default(), rows),
        Form::New(new) => {
            let product = Some(new.result.name).filter(|name| !name.is_empty());
            let as_of = date::read(&new.last_modified);
            (Lifecycle { product, as_of, ..Lifecycle::default() }, new.result.releases)
        }
    };
    for row in rows.0 {
        match release(row) {
            Some(release) => lifecycle.releases.push(release),
            None => lifecycle.refused += 1,
        }
    }
    if lifecycle.releases.is_empty() {
        return Err(Refused::OtherForm("no release was understood".into()));
    }
    Ok(lifecycle)
}

fn release(row: Row) -> Option<Release> {
    let cycle = match row.cycle? {
        Text::Text(text) => text.trim().to_string(),
        Text::Number(number) => number.to_string(),
    };
    let released = match row.released {
        Some(day) => Some(date::read(&day)?),
        None => None,
    };
    // In the first form `support: true` means that it goes on, `eol: true` that it is over.
    let support = match row.support {
        Some(Said::Is(goes_on)) => Some(Said::Is(!goes_on)),
        said => said,
    };
    let support = end(support, row.is_eoas, row.eoas_from)?;
    let life = end(row.eol, row.is_eol, row.eol_from)?;
    (!cycle.is_empty()).then_some(Release { cycle, released, support, life })
}

/// When it ends; `None` for a day that is none.
fn end(old: Option<Said>, is: Option<bool>, from: Option<String>) -> Option<End> {
    let day = match old {
        Some(Said::Day(day)) => Some(day),
        Some(Said::Is(over)) => return Some(if over { End::Over } else { End::Open }),
        None => from,
    };
    match (day, is) {
        (Some(day), _) => date::read(&day).map(End::On),
        (None, Some(true)) => Some(End::Over),
        (None, Some(false)) => Some(End::Open),
        (None, None) => Some(End::Unsaid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        // Goal: day, over, open and not said stay four things. Method: one release of each, in each form.
        let day = |text| date::read(text).expect("a day");
        let old = br#"[{"cycle":"12","releaseDate":"2023-06-10","support":"2026-06-10","eol":"2028-06-30","latest":"12.9"},
            {"cycle":"11","support":true,"eol":true},{"cycle":10,"eol":false},{"cycle":"9"},{"cycle":"8","eol":"soon"},{"eol":true}]"#;
        let read_old = read(old).expect("a product");
        let ends: Vec<_> =
            read_old.releases.iter().map(|release| (release.cycle.as_str(), release.life)).collect();
        let wanted =
            [("12", End::On(day("2028-06-30"))), ("11", End::Over), ("10", End::Open), ("9", End::Unsaid)];
        assert_eq!((&ends[..], read_old.refused), (&wanted[..], 2));
        assert_eq!(read_old.releases[0].support, End::On(day("2026-06-10")));
        assert_eq!(read_old.releases[1].support, End::Open);
        let new = br#"{"schema_version":"1.2.0","last_modified":"2025-04-01T10:00:00+00:00","result":{"name":"debian","releases":[
            {"name":"12","releaseDate":"2023-06-10","isEoas":false,"eoasFrom":"2026-06-10","isEol":false,"eolFrom":"2028-06-30"},
            {"name":"11","isEol":true,"eolFrom":null},{"name":"10","isEol":false},{"name":"9"}]}}"#;
        let new = read(new).expect("a product");
        assert_eq!((new.product.as_deref(), new.as_of), (Some("debian"), Some(day("2025-04-01T10:00:00Z"))));
        let ends: Vec<_> =
            new.releases.iter().map(|release| (release.cycle.as_str(), release.life)).collect();
        assert_eq!(ends, wanted);
        let now = day("2028-06-30");
        let over: Vec<_> = new.releases.iter().map(|release| release.life.is_over(now)).collect();
        assert_eq!(over, [Some(true), Some(true), Some(false), None]);
    }

    #[test]
    fn a_version_belongs_to_the_release_with_the_longest_name() {
        // Goal: 3.1 is no 3.10. Method: names that begin alike.
        let text = br#"[{"cycle":"3","eol":true},{"cycle":"3.1","eol":true},{"cycle":"3.10","eol":false}]"#;
        let lifecycle = read(text).expect("a product");
        let cycle = |version| lifecycle.release_of(version).map(|release| release.cycle.as_str());
        for (version, wanted) in [
            ("3.1.4", Some("3.1")),
            ("3.10.2", Some("3.10")),
            ("3.2", Some("3")),
            ("31", None),
            ("3.1a", Some("3")),
        ] {
            assert_eq!(cycle(version), wanted, "{version}");
        }
    }

    #[test]
    fn what_is_no_product_is_refused() {
        // Goal: a wrong file is no silence. Method: nothing, another form.
        for text in ["[]", "{}", "{\"result\":{}}", "[{\"cycle\":\"1\",\"eol\":\"x\"}]"] {
            assert_eq!(read(text.as_bytes()).map_err(|refused| refused.word()), Err("other-form"), "{text}");
        }
    }
}
