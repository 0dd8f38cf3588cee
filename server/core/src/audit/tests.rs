//! Tests of the entries' bytes.

use super::*;
use proptest::prelude::*;

/// Bytes of the first version. They are in journals: this text may never change.
const GOLDEN: &str = concat!(
    r#"{"action":"device.quarantine","actor":"person:ines@clinic.example","after":"quarantined","at":1767225600,"#,
    r#""before":"trusted","object":"device:00000000-0000-4000-8000-000000000000","reason":"beacons to \"203.0.113.9\"","#,
    r#""request":"r-81","sequence":42,"v":1}"#
);
const GOLDEN_SHORT: &str =
    r#"{"action":"audit.seal","actor":"server:sealer","at":-1,"object":"audit","sequence":1,"v":1}"#;

fn text(text: &str) -> Text {
    text.parse().expect("text")
}

fn golden() -> Recorded {
    let object = text("device:00000000-0000-4000-8000-000000000000");
    Recorded {
        sequence: 42,
        at: Timestamp(1_767_225_600),
        actor: Actor::Person(text("ines@clinic.example")),
        entry: Entry {
            reason: Some(text("beacons to \"203.0.113.9\"")),
            before: Some(Summary::of("trusted")),
            after: Some(Summary::of("quarantined")),
            request: Some(text("r-81")),
            ..Entry::new("device.quarantine".parse().expect("name"), object)
        },
    }
}

#[test]
fn entries_of_the_first_version_are_read_for_ever() {
    // Goal: journals outlive versions. Method: golden bytes, read and written, with and without optional fields.
    assert_eq!(String::from_utf8(golden().to_bytes()).expect("UTF-8"), GOLDEN);
    assert_eq!(Recorded::from_bytes(GOLDEN.as_bytes()), Ok(golden()));
    let short = Recorded::from_bytes(GOLDEN_SHORT.as_bytes()).expect("reads");
    assert_eq!(short.actor, Actor::Server("sealer".parse().expect("name")));
    assert_eq!(String::from_utf8(short.to_bytes()).expect("UTF-8"), GOLDEN_SHORT);
}

#[test]
fn a_line_with_two_meanings_or_another_version_is_refused() {
    // Goal: one line, one meaning. Method: a duplicate key, a foreign actor, a later version, a long line.
    let refused = |from: &str, to: &str| Recorded::from_bytes(GOLDEN.replace(from, to).as_bytes());
    assert_eq!(refused("\"v\":1", "\"v\":1,\"sequence\":43"), Err(AuditError::Malformed));
    assert_eq!(refused("person:", "robot:"), Err(AuditError::Malformed));
    assert_eq!(refused("\"v\":1", "\"v\":2"), Err(AuditError::Malformed));
    let long = "x".repeat(limits::AUDIT_ENTRY_BYTES);
    assert_eq!(refused("quarantined", &long), Err(AuditError::TooLong));
}

#[test]
fn the_longest_entry_can_be_read_back() {
    // Goal: nothing that is written is too long to be read. Method: every text at its limit, in characters that
    // take most bytes in JSON.
    let longest = text(&"\u{10ffff}".repeat(limits::TEXT_CHARS));
    let quotes = Some(Summary::of(&"\u{10ffff}".repeat(limits::SUMMARY_CHARS)));
    let mut entry = golden();
    entry.actor = Actor::Person(longest.clone());
    entry.entry.object = longest.clone();
    (entry.entry.reason, entry.entry.request) = (Some(longest.clone()), Some(longest));
    (entry.entry.before, entry.entry.after) = (quotes.clone(), quotes);
    assert_eq!(Recorded::from_bytes(&entry.to_bytes()), Ok(entry));
}

proptest! {
    #[test]
    fn any_bytes_are_an_entry_or_refused_without_a_panic(bytes: Vec<u8>) {
        let _ = Recorded::from_bytes(&bytes);
    }

    #[test]
    fn entries_read_back(sequence: u64, at: i64, reason in "\\PC{1,40}", summary in ".{0,40}", id: [u8; 32]) {
        let entry = Recorded {
            sequence,
            at: Timestamp(at),
            actor: Actor::Token(TokenId(id)),
            entry: Entry {
                reason: Some(Text::lossy(&reason)),
                after: Some(Summary::of(&summary)),
                ..golden().entry
            },
        };
        prop_assert_eq!(Recorded::from_bytes(&entry.to_bytes()), Ok(entry));
    }
}
