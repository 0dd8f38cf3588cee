//! What an OSV record says to people: its texts, dates and links, read again from its file when somebody asks.
//!
//! None of it decides a match, so none of it is kept in memory. A record that cannot be read has no text. Read next:
//! [`super::osv`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use serde::{Deserialize, Serialize};

use super::json::{self, AtMost};

/// Characters of a text that are shown.
const CHARS: usize = 20_000;
/// Links that are shown.
const LINKS: usize = 50;

/// What a record says to people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Text {
    /// The record.
    pub record: String,
    /// Its line.
    pub summary: String,
    /// Its text, in the publisher's own words and signs: nothing of it is a command for whoever shows it.
    pub details: String,
    /// When it was published, as it says.
    pub published: String,
    /// When it was last changed, as it says.
    pub modified: String,
    /// Where more stands.
    pub references: Vec<String>,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    published: String,
    #[serde(default)]
    modified: String,
    #[serde(default)]
    references: AtMost<Reference, { limits::CSAF_LIST }>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    url: String,
}

/// The texts of a record.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Text> {
    let record: Record = json::read(bytes, limits::ADVISORY_BYTES).ok()?;
    let short = |text: String| text.chars().take(CHARS).collect::<String>();
    let web = |link: &String| link.starts_with("https://") || link.starts_with("http://");
    let links = record.references.0.into_iter().map(|reference| reference.url).filter(web);
    Some(Text {
        record: record.id,
        summary: short(record.summary),
        details: short(record.details),
        published: short(record.published),
        modified: short(record.modified),
        references: links.take(LINKS).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_a_record_says_and_no_link_that_is_none() {
        // Goal: texts as they are, links of the web alone. Method: a record, and bytes that are none.
        let text = br#"{"id":"DSA-1-1","summary":"pump","details":"d","modified":"2024-05-01T00:00:00Z",
            "references":[{"type":"WEB","url":"https://x.example/1"},{"type":"WEB","url":"javascript:alert(1)"}]}"#;
        let read_text = read(text).expect("a record");
        assert_eq!((read_text.record.as_str(), read_text.summary.as_str()), ("DSA-1-1", "pump"));
        assert_eq!(read_text.references, ["https://x.example/1"]);
        assert_eq!(read(b"{}"), None);
    }
}
