//! The readers of Debian's own security data: the tracker's JSON, and a plain table of repairs by release.
//!
//! Both say per release which version of a source package repaired a CVE. A state in angle brackets is a word, not a
//! version. What the tracker calls unimportant has no effect on the packages that are built (a file that is not, an example),
//! whatever its status. Several repairs of one CVE stand beside each other: the second is there because the first was not enough, and
//! whoever is below any of them is affected. Read next: [`super::advisory`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use cordon_proto::limits;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::advisory::{Advisory, Affected, Range, Stated};
use super::ecosystem::Ecosystem;
use super::json::{self, Refused};

/// The columns of the table.
pub const COLUMNS: &str = "release,source,cve,fixed_version,advisory";

/// What was read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Statements handed out.
    pub records: usize,
    /// Rows that were not understood, by reason.
    pub refused: BTreeMap<&'static str, usize>,
}

impl Counts {
    fn refuse(&mut self, why: &'static str) {
        *self.refused.entry(why).or_default() += 1;
    }
}

/// Takes an advisory.
pub type Take<'a> = &'a mut dyn FnMut(Advisory);

/// Reads a file of either form: JSON begins with a brace.
///
/// # Errors
/// It is neither.
pub fn read(bytes: &[u8], take: Take<'_>) -> Result<Counts, Refused> {
    let json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if json { tracker(bytes, take) } else { table(bytes, take) }
}

/// The table: a row for each release, source package and CVE; without a CVE the advisory itself is the weakness.
fn table(bytes: &[u8], take: Take<'_>) -> Result<Counts, Refused> {
    let text = str::from_utf8(bytes).map_err(|_| Refused::OtherForm("it is no UTF-8 text".into()))?;
    let mut lines = text.lines();
    if lines.next() != Some(COLUMNS) {
        return Err(Refused::OtherForm(alloc::format!("its first line is not `{COLUMNS}`")));
    }
    let mut counts = Counts::default();
    for line in lines.filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split(',').collect();
        let &[release, source, cve, fixed, advisory] = cells.as_slice() else {
            counts.refuse("columns");
            continue;
        };
        let Some(ecosystem) = Ecosystem::debian_by_name(release) else {
            counts.refuse("release");
            continue;
        };
        let id = if advisory.is_empty() { cve } else { advisory };
        let Some(statement) = statement(ecosystem, source, fixed).filter(|_| !id.is_empty()) else {
            counts.refuse("row");
            continue;
        };
        let upstream = if cve.is_empty() { Vec::new() } else { alloc::vec![cve.to_owned()] };
        counts.records += 1;
        take(Advisory {
            id: id.to_owned(),
            upstream,
            affected: alloc::vec![statement],
            ..Advisory::default()
        });
    }
    Ok(counts)
}

/// What a cell says: a version, or one of the tracker's words. An unknown word is a reason to refuse, not a version.
fn statement(ecosystem: Ecosystem, source: &str, fixed: &str) -> Option<Affected> {
    let (state, ranges) = match fixed {
        "0" | "<not-affected>" => (Stated::Never, Vec::new()),
        "<end-of-life>" | "<undetermined>" | "<ignored>" | "<postponed>" => {
            (Stated::Undetermined, Vec::new())
        }
        "<unfixed>" => (Stated::ByVersion, alloc::vec![Range::below(None)]),
        "" => return None,
        word if word.starts_with('<') => return None,
        version => (Stated::ByVersion, alloc::vec![Range::below(Some(version))]),
    };
    let named = !source.is_empty() && source.bytes().all(|byte| byte.is_ascii_graphic());
    named.then(|| Affected { ecosystem, name: source.to_owned(), state, ranges, versions: Vec::new() })
}

/// The tracker's JSON: source package, CVE, release. Read one source package at a time.
fn tracker(bytes: &[u8], take: Take<'_>) -> Result<Counts, Refused> {
    if !json::depth_within(bytes, limits::JSON_DEPTH) {
        return Err(Refused::TooDeep);
    }
    let mut counts = Counts::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let sources = Sources { counts: &mut counts, take };
    sources.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|error| json::refused(&error))?;
    Ok(counts)
}

struct Sources<'a> {
    counts: &'a mut Counts,
    take: Take<'a>,
}

#[derive(Deserialize)]
struct Weakness {
    #[serde(default)]
    releases: BTreeMap<String, Release>,
}

#[derive(Deserialize)]
struct Release {
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: Option<String>,
}

impl<'de> DeserializeSeed<'de> for Sources<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Sources<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source packages with their CVEs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut sources: A) -> Result<(), A::Error> {
        while let Some((source, weaknesses)) = sources.next_entry::<String, BTreeMap<String, Weakness>>()? {
            for (id, weakness) in weaknesses {
                let mut affected = Vec::with_capacity(weakness.releases.len());
                for (name, release) in &weakness.releases {
                    match placed(name, release, &source) {
                        Ok(statement) => affected.push(statement),
                        Err(why) => self.counts.refuse(why),
                    }
                }
                self.counts.records += affected.len();
                (self.take)(Advisory { id, affected, ..Advisory::default() });
            }
        }
        Ok(())
    }
}

fn placed(name: &str, release: &Release, source: &str) -> Result<Affected, &'static str> {
    let ecosystem = Ecosystem::debian_by_name(name).ok_or("release")?;
    let unimportant = release.urgency.as_deref() == Some("unimportant");
    let fixed = match (release.status.as_str(), release.fixed_version.as_deref()) {
        ("resolved" | "open" | "undetermined", _) if unimportant => "<not-affected>",
        ("resolved", Some(version)) => version,
        ("open", _) => "<unfixed>",
        ("undetermined", _) => "<undetermined>",
        _ => return Err("status"),
    };
    statement(ecosystem, source, fixed).ok_or("row")
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    fn all(text: &str) -> (Vec<String>, Result<Counts, Refused>) {
        let mut lines = Vec::new();
        let counts = read(text.as_bytes(), &mut |advisory| {
            for affected in &advisory.affected {
                let what = match (affected.state, affected.ranges.first()) {
                    (Stated::Never, _) => "never".to_string(),
                    (Stated::Undetermined, _) => "undetermined".to_string(),
                    (Stated::ByVersion, range) => format!("{:?}", range.map(|range| range.events.last())),
                };
                let upstream = advisory.upstream.join(" ");
                lines.push(format!(
                    "{} {upstream} {} {} {what}",
                    advisory.id, affected.ecosystem, affected.name
                ));
            }
        });
        (lines, counts)
    }

    #[test]
    fn the_table_is_read_row_by_row() {
        // Goal: a state is no version, a bad row costs itself. Method: each kind of row.
        let rows = "buster,pump,CVE-2020-0001,1:2-3,DSA-1-1\nwoody,pump,,1.2,DSA-2-1\nbuster,pump,CVE-2020-0002,<not-affected>,DSA-1-1\n\
            buster,pump,CVE-2020-0003,<end-of-life>,DSA-1-1\nbuster,pump,CVE-2020-0004,<strange>,DSA-1-1\nhamm,pump,CVE-2020-0005,1,DSA-1-1\n\
            buster,pump,CVE-2020-0006,1\nbuster,,CVE-2020-0007,1,DSA-1-1\nbuster,pump,CVE-2020-0008,1,\nbuster,pump,,1,\n";
        let (lines, counts) = all(&format!("{COLUMNS}\n{rows}"));
        let wanted = [
            "DSA-1-1 CVE-2020-0001 Debian:10 pump Some(Some(Fixed(\"1:2-3\")))",
            "DSA-2-1  Debian:3.0 pump Some(Some(Fixed(\"1.2\")))",
            "DSA-1-1 CVE-2020-0002 Debian:10 pump never",
            "DSA-1-1 CVE-2020-0003 Debian:10 pump undetermined",
            "CVE-2020-0008 CVE-2020-0008 Debian:10 pump Some(Some(Fixed(\"1\")))",
        ];
        assert_eq!(lines, wanted);
        let refused = [("columns", 1), ("release", 1), ("row", 3)];
        assert_eq!(counts, Ok(Counts { records: 5, refused: refused.into_iter().collect() }));
    }

    #[test]
    fn the_trackers_json_is_read_release_by_release() {
        // Goal: open, resolved and undetermined are three answers, unimportant is none of them, as for debsecan. Method: each, a
        // word that is none, a release that is none.
        let text = r#"{"pump":{"CVE-2020-0001":{"description":"x","scope":"local","releases":{
            "bookworm":{"status":"resolved","repositories":{"bookworm":"1"},"fixed_version":"1.2-3","urgency":"low"},
            "trixie":{"status":"resolved","fixed_version":"0"},"sid":{"status":"open","urgency":"not yet assigned"},
            "bullseye":{"status":"open","urgency":"unimportant"},
            "buster":{"status":"undetermined"},"hamm":{"status":"open"},"stretch":{"status":"resolved"}}},
            "TEMP-0000000-000000":{}}}"#;
        let (lines, counts) = all(text);
        let wanted = [
            "CVE-2020-0001  Debian:12 pump Some(Some(Fixed(\"1.2-3\")))",
            "CVE-2020-0001  Debian:11 pump never",
            "CVE-2020-0001  Debian:10 pump undetermined",
            "CVE-2020-0001  Debian:sid pump Some(Some(Introduced(\"0\")))",
            "CVE-2020-0001  Debian:13 pump never",
        ];
        assert_eq!(lines, wanted);
        let refused = [("release", 1), ("status", 1)];
        assert_eq!(counts, Ok(Counts { records: 5, refused: refused.into_iter().collect() }));
    }

    #[test]
    fn what_is_neither_is_refused_whole() {
        // Goal: a broken feed is no empty feed. Method: half a document, another table, too deep, no text.
        for text in ["{\"pump\":{\"CVE-1\":", "{\"pump\":7}", "a,b\n", "", "{} {}"] {
            assert!(all(text).1.is_err(), "{text}");
        }
        assert!(read(b"\xff", &mut |_| ()).is_err());
        assert_eq!(all(&"{\"a\":".repeat(100)).1, Err(Refused::TooDeep));
    }
}
