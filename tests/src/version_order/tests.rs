//! Our orders before their judges. What is missing here is skipped by its name.

use cordon_server_core::matching::version::{compare, is_valid};

use super::*;
use crate::skip;

/// Says a figure on the stderr handle, which the harness does not swallow.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr is open");
}

#[test]
fn the_vectors_of_others_are_all_answered_alike() {
    // Goal: every line of the large sets, none left out. Method: each compared both ways; what the set calls an order and
    // PEP 440 calls no version has no answer here, and neither side then counts as valid.
    let Some(folder) = folder() else {
        skip::skip("no version vectors: name a folder with risk/versions in CORDON_DATA");
        return;
    };
    for (scheme, name, least) in [
        (Scheme::Deb, "debian", 7_257),
        (Scheme::Rpm, "redhat", 78),
        (Scheme::Apk, "alpine", 7_397),
        (Scheme::Semver, "semver", 43),
        (Scheme::Pep440, "pypi", 6_200),
    ] {
        let vectors = vectors(&folder, name).expect("the vectors are readable");
        let (mut alike, mut unanswered) = (0, 0);
        for (a, b, wanted) in &vectors {
            let ours = compare(scheme, a, b);
            assert_eq!(
                ours,
                compare(scheme, b, a).map(Ordering::reverse),
                "{name}: {a} and {b} turned round"
            );
            if ours.is_none() && scheme == Scheme::Pep440 {
                assert!(!(is_valid(scheme, a) && is_valid(scheme, b)), "{name}: {a} and {b}");
                unanswered += 1;
            } else {
                assert_eq!(ours, *wanted, "{name}: {a} and {b}");
                alike += 1;
            }
        }
        say(&format!(
            "version vectors, {name}: {alike} of {} alike, {unanswered} no versions",
            vectors.len()
        ));
        assert!(vectors.len() >= least && unanswered <= 44, "{name}: {} lines", vectors.len());
    }
}

/// `count` random pairs, ours beside the judge's answer for each.
fn judged(scheme: Scheme, count: usize, judge: impl Fn(&[(String, String)]) -> Vec<Option<Ordering>>) {
    let seed = fastrand::u64(..);
    let (fronts, pieces) = alphabet(scheme);
    let pairs = pairs(&mut Rng::with_seed(seed), fronts, pieces, count);
    let judged = judge(&pairs);
    assert_eq!(judged.len(), pairs.len(), "an answer a pair");
    let (mut equal, mut unanswered) = (0, 0);
    for ((a, b), theirs) in pairs.iter().zip(judged) {
        let ours = compare(scheme, a, b);
        assert_eq!(ours, theirs, "{}: `{a}` and `{b}`, seed {seed}", scheme.name());
        equal += usize::from(ours == Some(Ordering::Equal));
        unanswered += usize::from(ours.is_none());
    }
    let name = scheme.name();
    say(&format!("{name}: {count} random pairs alike, {equal} equal, {unanswered} without an answer"));
    assert!(unanswered * 10 < count * 9, "{name}: most pairs say nothing, seed {seed}");
}

#[test]
fn dpkg_orders_random_pairs_as_we_do() {
    // Goal: Debian's order is dpkg's, errors included. Method: 300 pairs by chance, a process or two each.
    let Some(dpkg) = skip::look_up("dpkg") else {
        skip::skip("dpkg not found: this is no Debian");
        return;
    };
    judged(Scheme::Deb, 300, |pairs| super::dpkg(&dpkg, pairs).expect("dpkg judges"));
}

#[test]
fn rpm_orders_random_pairs_as_we_do() {
    // Goal: RPM's order is rpm's. Method: 500 pairs by chance in one process.
    let Some(rpm) = skip::require_package("rpm") else { return };
    judged(Scheme::Rpm, 500, |pairs| super::rpm(&rpm, pairs).expect("rpm judges"));
}

#[test]
fn python_orders_random_pairs_as_we_do() {
    // Goal: PEP 440 as `packaging` reads it, what is no version included. Method: 4,000 pairs by chance in one process.
    let missing = "python3 with `packaging` not found (apt-get install python3-packaging)";
    let Some(python) = skip::look_up("python3") else {
        skip::skip(missing);
        return;
    };
    if super::python(&python, &[]).expect("Python starts").is_none() {
        skip::skip(missing);
        return;
    }
    judged(Scheme::Pep440, 4000, |pairs| {
        super::python(&python, pairs).expect("Python judges").expect("it can")
    });
}
