//! Vectors of each kind, what is none, and what holds of every vector. The large sets are in `tests/tests/matching/cvss.rs`.

use alloc::format;
use alloc::string::{String, ToString};

use proptest::prelude::*;

use super::*;
use crate::risk::facts::{Answer, CvssSource, Vector as From};

fn scores(text: &str) -> [u8; 3] {
    let scores = Vector::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).scores();
    [scores.base, scores.threat, scores.whole]
}

#[test]
fn vectors_of_all_versions_have_the_scores_of_their_specifications() {
    // Goal: base, threat and environment each count where they should. Method: examples of the specifications and of the
    // traps between them: the changed scope, the two roundings, the modified privileges, safety in 4.0.
    for (vector, wanted) in [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", [98, 98, 98]),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", [100, 100, 100]),
        ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", [64, 64, 64]),
        (
            "CVSS:3.0/AV:L/AC:L/PR:H/UI:R/S:U/C:H/I:N/A:H/E:H/RL:W/RC:U/CR:H/IR:H/AR:M/MAV:L/MAC:L/MPR:H/MUI:N/MS:C/MC:N/MI:H/MA:L",
            [58, 52, 74],
        ),
        ("CVSS:3.0/AV:L/AC:L/PR:H/UI:R/S:U/C:H/I:N/A:H/MPR:N", [58, 58, 71]),
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N", [0, 0, 0]),
        ("CVSS:3.1/AV:A/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N/MS:C/MC:H/CR:H", [54, 54, 91]),
        ("CVSS:3.0/AV:A/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N/MS:C/MC:H/CR:H", [54, 54, 90]),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", [100, 100, 100]),
        ("CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:P/VC:L/VI:L/VA:N/SC:L/SI:L/SA:N/MSI:S", [21, 21, 67]),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:H/SC:N/SI:H/SA:N", [92, 92, 92]),
        ("CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H/E:U", [73, 41, 41]),
        ("CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H/CR:L/IR:L/AR:M", [73, 73, 55]),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N/U:Red", [0, 0, 0]),
    ] {
        assert_eq!(scores(vector), wanted, "{vector}");
    }
}

#[test]
fn what_is_not_exactly_a_vector_is_none() {
    // Goal: no score by half of a vector. Method: each thing that may be wrong, by its reason.
    let whole = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
    let four = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:H/SC:N/SI:H/SA:N";
    let long = whole.to_string() + &"/E:X".repeat(100);
    for (text, why) in [
        ("", NoVector::Version),
        ("7.5", NoVector::Version),
        ("CVSS:2.0/AV:N", NoVector::Version),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", NoVector::Version),
        (&whole.replace("CVSS", "cvss"), NoVector::Version),
        (&whole.replace("/S:U", ""), NoVector::Missing("S")),
        (&format!("{whole}/"), NoVector::Metric(9)),
        (&format!("{whole}/XX:N"), NoVector::Metric(9)),
        (&whole.replace("C:H", "C:C"), NoVector::Value("C")),
        (&whole.replace("C:H", "C:"), NoVector::Value("C")),
        (&whole.replace("C:H", "C:X"), NoVector::Value("C")),
        (&format!("{whole}/C:H"), NoVector::Twice("C")),
        (&format!("{whole}/E:X/E:X"), NoVector::Twice("E")),
        (&four.replace("/AV:N/AC:L", "/AC:L/AV:N"), NoVector::Order("AV")),
        (&format!("{four}/U:R"), NoVector::Value("U")),
        (&long, NoVector::TooLong),
    ] {
        assert_eq!(Vector::parse(text), Err(why), "{text}");
    }
    let turned = Vector::parse("CVSS:3.1/A:H/I:H/C:H/S:U/UI:N/PR:N/AC:L/AV:N/E:X").expect("in any order");
    assert_eq!(turned.to_string(), whole);
}

#[test]
fn a_vector_tells_where_it_is_attacked_and_only_says_no_where_a_metric_does() {
    // Goal: hints never calm without a reason. Method: vectors of each kind.
    let hints = |text: &str| {
        let vector = Vector::parse(text).expect("a vector");
        (vector.attack(), vector.automatable(), vector.total_control())
    };
    use Answer::{No, Unknown, Yes};
    for (text, wanted) in [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", (From::Network, Yes, Yes)),
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:L/A:H", (From::Network, Unknown, Unknown)),
        ("CVSS:3.1/AV:A/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:H", (From::Adjacent, Unknown, No)),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", (From::Network, No, Yes)),
        ("CVSS:3.0/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", (From::Local, No, Yes)),
        ("CVSS:4.0/AV:P/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N", (From::Physical, No, No)),
        ("CVSS:4.0/AV:P/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N/AU:Y", (From::Physical, Yes, No)),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N/AU:N", (From::Network, No, Yes)),
    ] {
        assert_eq!(hints(text), wanted, "{text}");
    }
}

#[test]
fn the_makers_own_score_counts_only_where_the_maker_speaks_of_an_environment() {
    // Goal: impact is not taken twice, and a stranger's environment is not ours. Method: both, with and without.
    let of = |text: &str, by_maker| {
        let fact = Vector::parse(text).expect("a vector").fact(by_maker);
        (fact.tenths, fact.source)
    };
    let plain = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:U";
    assert_eq!(of(plain, true), (98, CvssSource::Base));
    let own = alloc::format!("{plain}/MAV:P");
    assert_eq!(of(&own, false), (98, CvssSource::Base));
    assert_eq!(of(&own, true), (62, CvssSource::MakerEnvironmental));
}

/// Any vector, written with as many optional metrics as chance wants.
fn any_vector() -> impl Strategy<Value = String> {
    (0..3_usize, proptest::collection::vec(0..64_usize, METRICS)).prop_map(|(version, choices)| {
        let mut choices = choices.into_iter();
        Version::ALL[version].spell(|| choices.next().expect("one for each metric"))
    })
}

proptest! {
    #[test]
    fn every_vector_has_scores_and_one_canonical_form(text in any_vector()) {
        let vector = Vector::parse(&text).expect("a vector");
        let scores = vector.scores();
        prop_assert!(scores.base.max(scores.threat).max(scores.whole) <= 100);
        prop_assert!(scores.threat <= scores.base, "no threat is more than the worst one");
        let written = vector.to_string();
        prop_assert_eq!(Vector::parse(&written), Ok(vector));
        prop_assert!(written.len() <= text.len() && !written.contains(":X"));
    }
}
