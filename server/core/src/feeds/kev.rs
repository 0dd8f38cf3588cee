//! CISA's catalogue of what is exploited. It says since when, until when to mend it, and whether by ransomware.
//!
//! One JSON document; an entry that is none is counted and left out, a catalogue without one is refused: silence would look
//! like safety. Read next: [`super::age`].

use alloc::collections::BTreeMap;
use alloc::string::String;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::Deserialize;

use super::date;
use crate::matching::advisory::is_cve;
use crate::matching::json::{self, AtMost, Refused};

/// The catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Its version, as CISA writes it.
    pub version: String,
    /// Of when it is.
    pub as_of: Option<Timestamp>,
    /// By CVE.
    pub entries: BTreeMap<String, Exploited>,
    /// Entries that were not understood, by reason.
    pub refused: BTreeMap<&'static str, usize>,
}

/// What it says of one weakness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exploited {
    /// Since when it is listed.
    pub added: Timestamp,
    /// Until when CISA wants it mended.
    pub due: Option<Timestamp>,
    /// Whether ransomware is known to use it.
    pub ransomware: bool,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default, rename = "catalogVersion")]
    version: String,
    #[serde(default, rename = "dateReleased")]
    released: String,
    vulnerabilities: AtMost<Entry, { limits::KEV_ROWS }>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default, rename = "cveID")]
    cve: String,
    #[serde(default, rename = "dateAdded")]
    added: String,
    #[serde(default, rename = "dueDate")]
    due: String,
    #[serde(default, rename = "knownRansomwareCampaignUse")]
    ransomware: String,
}

/// Reads the catalogue.
///
/// # Errors
/// It is too long or of another form, or nothing of it was understood.
pub fn read(bytes: &[u8]) -> Result<Catalogue, Refused> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let most = usize::try_from(limits::FEED_BYTES).unwrap_or(usize::MAX);
    let whole: Whole = json::read(bytes, most)?;
    let mut catalogue =
        Catalogue { version: whole.version, as_of: date::read(&whole.released), ..Catalogue::default() };
    for entry in whole.vulnerabilities.0 {
        match exploited(&entry) {
            Err(why) => *catalogue.refused.entry(why).or_default() += 1,
            Ok(exploited) => {
                if catalogue.entries.insert(entry.cve, exploited).is_some() {
                    *catalogue.refused.entry("twice").or_default() += 1;
                }
            }
        }
    }
    if catalogue.entries.is_empty() {
        return Err(Refused::OtherForm("no entry of the catalogue was understood".into()));
    }
    Ok(catalogue)
}

fn exploited(entry: &Entry) -> Result<Exploited, &'static str> {
    if !is_cve(&entry.cve) {
        return Err("no-cve");
    }
    let added = date::read(&entry.added).ok_or("no-date-added")?;
    let due = date::read(&entry.due);
    if due.is_none() && !entry.due.is_empty() {
        return Err("no-due-date");
    }
    Ok(Exploited { added, due, ransomware: entry.ransomware.eq_ignore_ascii_case("known") })
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    const ENTRY: &str = r#"{"cveID":"CVE-2024-0001","dateAdded":"2024-05-01","dueDate":"2024-05-22","knownRansomwareCampaignUse":"Known","notes":"x"}"#;

    fn catalogue(entries: &str) -> String {
        format!(
            r#"{{"title":"t","catalogVersion":"2024.05.01","dateReleased":"2024-05-01T17:04:19.9796Z","count":1,"vulnerabilities":[{entries}]}}"#
        )
    }

    #[test]
    fn the_catalogue_is_read_with_its_date() {
        // Goal: who, since when, until when, ransomware; what is none is counted. Method: a row of each.
        let bad = [
            ENTRY.replace("CVE-2024-0001", "CWE-1"),
            ENTRY.replace("2024-05-01", "May"),
            ENTRY.replace("2024-05-22", "x"),
        ];
        let other =
            ENTRY.replace("0001", "0002").replace("\"Known\"", "\"Unknown\"").replace("2024-05-22", "");
        let text = catalogue(&format!("{ENTRY},{},{other},{ENTRY}", bad.join(",")));
        let read = read(text.as_bytes()).expect("a catalogue");
        assert_eq!(read.version, "2024.05.01");
        assert_eq!(read.as_of, date::read("2024-05-01T17:04:19Z"));
        let day = |text| date::read(text).expect("a day");
        let wanted = Exploited { added: day("2024-05-01"), due: Some(day("2024-05-22")), ransomware: true };
        assert_eq!(read.entries.get("CVE-2024-0001"), Some(&wanted));
        assert_eq!(
            read.entries.get("CVE-2024-0002"),
            Some(&Exploited { due: None, ransomware: false, ..wanted })
        );
        assert_eq!(
            read.refused,
            [("no-cve", 1), ("no-date-added", 1), ("no-due-date", 1), ("twice", 1)].into()
        );
    }

    #[test]
    fn a_catalogue_without_an_entry_is_refused() {
        // Goal: silence is no catalogue. Method: none, only broken ones, another document.
        for text in [catalogue(""), catalogue("{}"), "{}".into(), "[]".into()] {
            assert_eq!(read(text.as_bytes()).map_err(|refused| refused.word()), Err("other-form"), "{text}");
        }
        assert_eq!(read(b"{\"vuln").map_err(|refused| refused.word()), Err("no-json"));
    }
}
