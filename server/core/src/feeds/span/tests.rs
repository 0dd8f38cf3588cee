//! What people write as ranges of versions, and where installed versions stand: golden, and as properties.
//!
//! Read next: [`super::Versions`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Among, Bound, Span, Versions, Why};
use crate::feeds::device_version;

/// A reading in short: `..9.3]` up to and with it.
fn shown(versions: &Versions) -> String {
    let end = |bound: &Option<Bound>, signs: [char; 2]| {
        let bound = bound.as_ref()?;
        Some((bound.version.clone(), if bound.inclusive { signs[0] } else { signs[1] }))
    };
    match versions {
        Versions::Unsaid => "unsaid".to_string(),
        Versions::All => "all".to_string(),
        Versions::Listed(listed) => format!("={}", listed.join(" =")),
        Versions::NotUnderstood => "?".to_string(),
        Versions::Ranges { spans, .. } => {
            let one = |span: &Span| {
                let low = end(&span.low, ['[', '(']).map(|(version, sign)| format!("{sign}{version}"));
                let high = end(&span.high, [']', ')']).map(|(version, sign)| format!("{version}{sign}"));
                format!("{}..{}", low.unwrap_or_default(), high.unwrap_or_default())
            };
            spans.iter().map(one).collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn ranges_of_advisories_are_understood_or_said_not_to_be() {
    // Goal: what people write. Method: the forms found in ICS medical advisories and in VEX examples, golden.
    for (text, wanted) in [
        ("<7.6.2", "..7.6.2)"),
        ("<= L81", "..L81]"),
        ("<= 2.01 (end-of-life Nov 2017)", "..2.01]"),
        (">= 1.1 | <= 1.3.2", "[1.1..1.3.2]"),
        (">= 1.3.4 | < 1.5.3", "[1.3.4..1.5.3)"),
        (">= 2.0", "[2.0.."),
        ("A10 < A11", "[A10..A11]"),
        ("< 3.x", "..3.x)"),
        ("<  july 1 2017", "?"),
        ("< 3rd edition", "?"),
        ("<May 2018", "?"),
        ("distributed  < april 1, 2018", "?"),
        ("053L000091 (global) / 054U000091 (U.S.) and 053L000092 (global) / 054U000092 (U.S.)", "?"),
        ("6.x (Wireless Battery Modules (16 | 16D38 | >= 20D29))", "=6.x"),
        ("vers:all/*", "all"),
        ("All versions", "all"),
        ("all versions prior to 4.2", "..4.2)"),
        ("Versions 4.0 and prior", "..4.0]"),
        ("1.2 or later", "[1.2.."),
        ("version 1.0 through 2.3", "[1.0..2.3]"),
        ("vers:generic/>=2.9|<=4.1", "[2.9..4.1]"),
        ("vers:semver/<7.0.0|>=1.5.0", "[1.5.0..7.0.0)"),
        ("vers:semver/<1.5.0|>=7.0.0", "..1.5.0) [7.0.0.."),
        ("vers:npm/1.2.3|>=2.0.0|<5.0.0", "[2.0.0..5.0.0) [1.2.3..1.2.3]"),
        ("vers:deb/<1%3A2.0-1", "..1:2.0-1)"),
        ("vers:generic/!=1.0", "?"),
        ("vers:generic/>1|>2", "?"),
        ("vers:maven/<1", "?"),
        ("vers:semver/<x", "..x)"),
        ("vers:", "?"),
        ("", "?"),
    ] {
        assert_eq!(shown(&Versions::range(text)), wanted, "{text}");
    }
    for (text, wanted) in [
        ("12.1.3", "=12.1.3"),
        ("3.36 | 3.40", "=3.36 =3.40"),
        ("* (end-of-life 2011)", "all"),
        ("MMT-508 MiniMed pump", "?"),
        ("(Release 1.3.2 1.4.0)", "?"),
        ("<= 3", "..3]"),
    ] {
        assert_eq!(shown(&Versions::one(text)), wanted, "{text}");
    }
}

#[test]
fn an_installed_version_is_placed_and_never_guessed_safe() {
    // Goal: in, outside with the bound, or unknown with the reason. Method: a row each side of each bound.
    for (range, installed, wanted) in [
        ("<= 9.33", "9.33", "in"),
        ("<= 9.33", "9.33.1", "no-order"),
        ("<= 9.33", "9.34", "above 9.33"),
        ("< 4.2", "4.1", "in 4.2"),
        ("< 4.2", "4.2", "above 4.2"),
        ("< 4.2", "4.2.1", "above 4.2"),
        ("< 4.2", "4", "in 4.2"),
        (">= 4.2", "4", "no-order"),
        (">= 4.2", "4.1", "below 4.2"),
        ("> 4.2", "4.2", "below 4.2"),
        ("< 3.x", "3.1", "no-order"),
        ("< 3.x", "2.9", "in 3.x"),
        ("<= 3.x", "3.1", "in"),
        ("3.x", "3.9", "in"),
        ("3.x", "4.0", "version-not-listed"),
        ("<= L81", "85", "no-order"),
        ("<May 2018", "1.0", "range-not-understood"),
        ("vers:generic/<1.0|>=2.0|<3.0", "1.5", "above 1.0"),
        ("vers:semver/<1.0.0", "nonsense", "no-order"),
        ("vers:semver/<1.0.0", "0.9.0", "in 1.0.0"),
        ("vers:all/*", "anything", "in"),
    ] {
        let versions = Versions::range(range);
        let said = match versions.among(Some(installed)) {
            Among::In(repair) => format!("in {}", repair.unwrap_or_default()).trim_end().to_string(),
            Among::Above(bound) => format!("above {bound}"),
            Among::Below(bound) => format!("below {bound}"),
            Among::Unknown(why) => why.word().to_string(),
        };
        assert_eq!(said, wanted, "{installed} in {range}");
    }
    assert_eq!(Versions::range("< 4.2").among(None), Among::Unknown(Why::NoVersion));
    assert_eq!(Versions::range("< 4.2").among(Some(" ")), Among::Unknown(Why::NoVersion));
    assert_eq!(Versions::Unsaid.among(None), Among::In(None));
}

proptest! {
    #[test]
    fn outside_is_said_only_of_what_was_understood(text in "\\PC{0,40}", installed in "\\PC{0,12}") {
        // Goal: no text makes a device safe by accident. Method: any text; outside needs a bound with an order.
        let versions = Versions::range(&text);
        if let Among::Above(bound) | Among::Below(bound) = versions.among(Some(&installed)) {
            let ordered = device_version::compare(installed.trim(), bound).is_some();
            prop_assert!(ordered || text.trim().starts_with("vers:"), "{} in {}", installed, text);
        }
    }

    #[test]
    fn a_range_is_its_two_bounds(low in 0..6_u8, high in 0..6_u8, at in 0..6_u8) {
        // Goal: judged by a second way of counting. Method: whole numbers.
        let versions = Versions::range(&format!(">= 1.{low} | < 1.{high}"));
        let text = format!("1.{at}");
        let inside = matches!(versions.among(Some(&text)), Among::In(_));
        // Where the ends stand the wrong way round it is the union, as `vers:` has it.
        let wanted = if low < high { (low..high).contains(&at) } else if low > high { at < high || at >= low } else { inside };
        prop_assert_eq!(inside, wanted);
    }
}
