//! The reader of OSV records (ossf.github.io/osv-schema, 1.7), one JSON document each.
//!
//! What it keeps is all that decides a match; what it cannot say in our words makes the whole record refused, with a word
//! that the caller counts, for half of a record would be a safe answer too many. Read next: [`super::advisory`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use serde::Deserialize;

use super::advisory::{Advisory, Affected, Event, Order, Range, Stated};
use super::ecosystem::Ecosystem;
use super::json::{self, AtMost, Refused};
use crate::cvss::Vector;

/// A record, and what of it could not be taken or had to be mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The record.
    pub advisory: Advisory,
    /// Packages that it names no ecosystem for: they stand for no installed component.
    pub without_package: usize,
    /// Ranges that did not say where the weakness came in: read as always there.
    pub without_introduced: usize,
    /// Ranges with both a repair and a last affected version, which the schema forbids: both are judged.
    pub two_ends: usize,
    /// CVSS vectors that are none: what they would say is not known.
    pub bad_severities: usize,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    aliases: AtMost<String, { limits::ALIASES }>,
    #[serde(default)]
    upstream: AtMost<String, { limits::ALIASES }>,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    severity: Severities,
    #[serde(default)]
    affected: AtMost<Entry, { limits::ADVISORY_AFFECTED }>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    package: Option<Package>,
    #[serde(default)]
    ranges: AtMost<Stretch, { limits::ADVISORY_EVENTS }>,
    #[serde(default)]
    versions: AtMost<String, { limits::ADVISORY_VERSIONS }>,
    #[serde(default)]
    severity: Severities,
}

type Severities = AtMost<Severity, { limits::ALIASES }>;

/// A severity: of CVSS, or in a publisher's own words, which stay its own.
#[derive(Deserialize)]
struct Severity {
    r#type: String,
    score: String,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: Ecosystem,
    name: String,
}

#[derive(Deserialize)]
struct Stretch {
    r#type: Kind,
    #[serde(default)]
    events: AtMost<Happening, { limits::ADVISORY_EVENTS }>,
}

#[derive(Deserialize)]
enum Kind {
    #[serde(rename = "ECOSYSTEM")]
    Ecosystem,
    #[serde(rename = "SEMVER")]
    Semver,
    #[serde(rename = "GIT")]
    Git,
}

/// An event of an unknown kind is refused: it may open or close.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Happening {
    #[serde(default)]
    introduced: Option<String>,
    #[serde(default)]
    fixed: Option<String>,
    #[serde(default)]
    last_affected: Option<String>,
    #[serde(default)]
    limit: Option<String>,
}

/// Reads one record.
///
/// # Errors
/// It is too long, too deep, of another form, or names itself in a way that nobody could show.
pub fn read(bytes: &[u8]) -> Result<Read, Refused> {
    let record: Record = json::read(bytes, limits::ADVISORY_BYTES)?;
    let names = [&record.aliases.0, &record.upstream.0].into_iter().flatten();
    for name in names.chain([&record.id]) {
        if !is_name(name) {
            return Err(Refused::OtherForm("a name that is none".into()));
        }
    }
    let mut read = Read {
        advisory: Advisory::default(),
        without_package: 0,
        without_introduced: 0,
        two_ends: 0,
        bad_severities: 0,
    };
    let mut severity = read.gravest(None, record.severity);
    let mut affected = Vec::with_capacity(record.affected.0.len());
    for entry in record.affected.0 {
        severity = read.gravest(severity, entry.severity);
        match entry.package {
            None => read.without_package += 1,
            Some(Package { ecosystem, name }) => {
                let ranges = entry.ranges.0.into_iter().map(|stretch| read.range(stretch)).collect();
                let versions = entry.versions.0;
                affected.push(Affected { ecosystem, name, state: Stated::ByVersion, ranges, versions });
            }
        }
    }
    read.advisory = Advisory {
        id: record.id,
        aliases: record.aliases.0,
        upstream: record.upstream.0,
        withdrawn: record.withdrawn.is_some(),
        severity,
        affected,
    };
    Ok(read)
}

impl Read {
    /// The vector that goes before the others.
    fn gravest(&mut self, known: Option<Vector>, said: Severities) -> Option<Vector> {
        let mut vectors: Vec<Vector> = known.into_iter().collect();
        for severity in
            said.0.iter().filter(|severity| matches!(severity.r#type.as_str(), "CVSS_V3" | "CVSS_V4"))
        {
            match Vector::parse(severity.score.trim()) {
                Ok(vector) => vectors.push(vector),
                Err(_) => self.bad_severities += 1,
            }
        }
        vectors.into_iter().max_by_key(Vector::weight)
    }

    fn range(&mut self, stretch: Stretch) -> Range {
        let order = match stretch.r#type {
            Kind::Ecosystem => Order::Ecosystem,
            Kind::Semver => Order::Semver,
            Kind::Git => Order::Git,
        };
        let mut events = Vec::with_capacity(stretch.events.0.len());
        for happening in stretch.events.0 {
            events.extend(happening.introduced.map(Event::Introduced));
            events.extend(happening.fixed.map(Event::Fixed));
            events.extend(happening.last_affected.map(Event::LastAffected));
            events.extend(happening.limit.map(Event::Limit));
        }
        let any = |of: fn(&Event) -> bool| events.iter().any(of);
        let two_ends = any(|event| matches!(event, Event::Fixed(_)))
            && any(|event| matches!(event, Event::LastAffected(_)));
        let introduced = any(|event| matches!(event, Event::Introduced(_)));
        self.two_ends += usize::from(two_ends);
        if !introduced {
            self.without_introduced += 1;
            events.push(Event::Introduced("0".into()));
        }
        Range { order, events }
    }
}

/// Whether a text can stand as an advisory's name in a list.
fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    const WHOLE: &str = r#"{"schema_version":"1.7.0","id":"DSA-1-1","aliases":null,"upstream":["CVE-2024-0001"],"withdrawn":null,
        "details":"…","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"},{"type":"Ubuntu","score":"low"},
        {"type":"CVSS_V3","score":"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"},{"type":"CVSS_V3","score":"CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected":[{"package":{"ecosystem":"Debian:12","name":"pump","purl":"pkg:deb/debian/pump"},
            "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.2-3"}],"database_specific":{}}],
            "versions":["1.1-1"],"ecosystem_specific":{"urgency":"high"}},
            {"ranges":[{"type":"GIT","repo":"x","events":[{"introduced":"0"}]}]}]}"#;

    #[test]
    fn a_record_is_read_in_our_words() {
        // Goal: all that decides, nothing else. Method: a record with what real ones carry, golden; of its severities the newest
        // version of CVSS speaks, and half a vector is counted.
        let read = read(WHOLE.as_bytes()).expect("a record");
        let text = serde_json::to_string(&read.advisory).expect("JSON");
        let wanted = r#"{"id":"DSA-1-1","upstream":["CVE-2024-0001"],"severity":"CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","affected":[{"ecosystem":"Debian:12","name":"pump","ranges":[{"order":"ecosystem","events":[{"introduced":"0"},{"fixed":"1.2-3"}]}],"versions":["1.1-1"]}]}"#;
        assert_eq!(text, wanted);
        assert_eq!(serde_json::from_str::<Advisory>(&text).expect("the same"), read.advisory);
        let counts = [read.without_package, read.without_introduced, read.two_ends, read.bad_severities];
        assert_eq!(counts, [1, 0, 0, 1]);
    }

    #[test]
    fn a_range_without_a_beginning_was_always_there() {
        // Goal: a hole in a record is no safe answer. Method: no `introduced`, and both ends at once.
        let text = WHOLE
            .replace(r#"{"introduced":"0"},{"fixed":"1.2-3"}"#, r#"{"fixed":"1.2-3","last_affected":"1.1"}"#);
        let read = read(text.as_bytes()).expect("a record");
        let events = &read.advisory.affected[0].ranges[0].events;
        assert!(events.contains(&Event::Introduced("0".to_string())), "{events:?}");
        assert_eq!((read.without_introduced, read.two_ends), (1, 1));
    }

    #[test]
    fn what_cannot_be_said_in_our_words_is_refused_whole() {
        // Goal: no half of a record. Method: each thing that is not ours, in the record above.
        for (find, replace) in [
            ("ECOSYSTEM", "CALENDAR"),
            ("\"fixed\"", "\"closed\""),
            ("Debian:12", ""),
            ("DSA-1-1", "DSA 1\\u001b"),
            ("CVE-2024-0001", ""),
            ("\"name\":\"pump\",", ""),
            ("[\"1.1-1\"]", "\"1.1-1\""),
        ] {
            let text = WHOLE.replace(find, replace);
            assert_ne!(text, WHOLE, "{find}");
            assert_eq!(read(text.as_bytes()).map_err(|refused| refused.word()), Err("other-form"), "{find}");
        }
        let many = format!("[{}]", ["\"CVE-2024-0001\""].repeat(limits::ALIASES + 1).join(","));
        let text = WHOLE.replace("[\"CVE-2024-0001\"]", &many);
        assert_eq!(read(text.as_bytes()).map_err(|refused| refused.word()), Err("other-form"));
        assert_eq!(read(b"{\"id\":").map_err(|refused| refused.word()), Err("no-json"));
        let long = " ".repeat(limits::ADVISORY_BYTES + 1);
        assert_eq!(read(long.as_bytes()).map_err(|refused| refused.word()), Err("too-long"));
    }
}
