//! What every order owes: the same for a pair turned round, no circles, and no panic whatever comes.
//!
//! Versions are drawn from the grammar of each scheme, short and from few words, so that equal beginnings are common.
//! Read next: `tests.rs` for the vectors.

use alloc::string::String;
use core::cmp::Ordering;

use proptest::prelude::*;

use super::{Scheme, compare, is_valid};

const DEB: &str = "([0-2]:)?[0-2]{1,2}([.+~a-]?[0-2a~]){0,3}(-[0-2a~+]{1,3})?";
const RPM: &str = "([0-2]:)?[0-2a]([._~^]{0,2}[0-2a]{0,2}){0,3}(-[0-2]{1,2}([.~^][0-2a]{1,2})?)?";
const APK: &str = "[0-2]{1,2}(\\.[0-2]{1,2}){0,2}[ab]?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-2]{0,2}){0,2}(~[0a]{1,2})?(-r[0-2]{0,2})?";
const SEMVER: &str =
    "v?(0|1[0-2]?|2)(\\.(0|1[0-2]?|2)){0,2}(-(0|1[0-2]?|a|rc|A)(\\.(0|1[0-2]?|a1|rc)){0,2})?(\\+[0a]{1,2})?";
const PEP440: &str = "([01]!)?[0-2]{1,2}(\\.[0-2]{1,2}){0,2}([.-]?(a|alpha|b|c|rc|pre)[_.]?[0-2]?)?(-[01]|\\.?(post|r)[01]?)?(\\.?dev[01]?)?(\\+(a|0|1|B)([._](a|0|01))?)?";

/// A scheme and three of its versions.
fn three() -> impl Strategy<Value = (Scheme, [String; 3])> {
    let of = |scheme: Scheme, grammar: &'static str| {
        (Just(scheme), [grammar, grammar, grammar].map(|grammar| grammar.prop_map(String::from)))
    };
    prop_oneof![
        of(Scheme::Deb, DEB),
        of(Scheme::Rpm, RPM),
        of(Scheme::Apk, APK),
        of(Scheme::Semver, SEMVER),
        of(Scheme::Pep440, PEP440),
    ]
}

/// The order of two versions that have one.
fn order(scheme: Scheme, a: &str, b: &str) -> Ordering {
    compare(scheme, a, b).unwrap_or_else(|| panic!("{scheme:?}: {a} and {b} have no order"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn valid_versions_have_an_order_without_circles((scheme, three) in three()) {
        // Goal: what is sorted once is sorted. Method: three versions of a grammar, those that are valid: each equals
        // itself, a pair turned round is turned round, and of three no one is above itself.
        let [a, b, c] = &three;
        prop_assume!([a, b, c].iter().all(|version| is_valid(scheme, version)));
        for version in [a, b, c] {
            prop_assert_eq!(order(scheme, version, version), Ordering::Equal);
        }
        for (left, right) in [(a, b), (b, c), (a, c)] {
            prop_assert_eq!(order(scheme, left, right), order(scheme, right, left).reverse());
        }
        let (first, second, both) = (order(scheme, a, b), order(scheme, b, c), order(scheme, a, c));
        if first == second || second.is_eq() {
            prop_assert_eq!(both, first, "{:?}: {:?}", scheme, three);
        }
        if first.is_eq() {
            prop_assert_eq!(both, second, "{:?}: {:?}", scheme, three);
        }
    }

    #[test]
    fn any_text_is_compared_or_not_without_a_panic(
        a in "[0-9a-z:.~^+_!v-]{0,24}|\\PC{0,24}", b in "[0-9a-z:.~^+_!v-]{0,24}|\\PC{0,24}"
    ) {
        // Goal: hostile feeds end no process. Method: any text in every scheme; what has an answer has the opposite one
        // turned round and equals itself, what is valid has an answer.
        for scheme in Scheme::ALL {
            let forth = compare(scheme, &a, &b);
            prop_assert_eq!(forth, compare(scheme, &b, &a).map(Ordering::reverse), "{:?}", scheme);
            if forth.is_some() {
                prop_assert_eq!(compare(scheme, &a, &a), Some(Ordering::Equal), "{:?}", scheme);
            }
            if is_valid(scheme, &a) && is_valid(scheme, &b) {
                prop_assert!(forth.is_some(), "{:?}", scheme);
            }
        }
    }
}

#[test]
fn most_of_what_is_drawn_is_valid() {
    // Goal: the property above is about something. Method: a thousand draws of each grammar by a fixed seed.
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut counts = [(0, 0); Scheme::ALL.len()];
    for _ in 0..4000 {
        let (scheme, versions) = three().new_tree(&mut runner).expect("drawn").current();
        let at = Scheme::ALL.iter().position(|other| *other == scheme).expect("one of all");
        let valid = versions.iter().all(|version| is_valid(scheme, version));
        counts[at] = (counts[at].0 + usize::from(valid), counts[at].1 + 1);
    }
    for (scheme, (valid, all)) in Scheme::ALL.iter().zip(counts) {
        assert!(valid * 3 >= all * 2, "{scheme:?}: {valid} of {all}");
    }
}
