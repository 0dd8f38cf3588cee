//! CVSS vectors before the sets of Red Hat's library and that library.

use std::collections::BTreeMap;

use cordon_server_core::cvss::Vector;
use cordon_sim::{cvss, skip};

use super::{data, say, text};

#[test]
fn the_vectors_of_cvss_are_all_scored_alike() {
    // Goal: every line of every set: 100 %. Method: base, temporal and environmental of 3.x, the one score of 4.0.
    let Some(folder) = data("cvss") else { return };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder).expect("a folder").flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files.iter().map(std::fs::DirEntry::path) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // Sets of version 2 are of another world.
        if !name.starts_with("vectors_") || name.ends_with('2') {
            continue;
        }
        for line in text(&file).lines() {
            let (vector, wanted) = line.split_once(" - ").unwrap_or_else(|| panic!("{name}: {line}"));
            let wanted: Vec<&str> =
                wanted.trim_matches(['(', ')']).split([',', ' ']).filter(|n| !n.is_empty()).collect();
            let version = vector.split('/').next().map_or("", |front| {
                if front == "CVSS:3.0" {
                    "3.0"
                } else if front == "CVSS:3.1" {
                    "3.1"
                } else {
                    "4.0"
                }
            });
            *counts.entry(version).or_default() += 1;
            let found = Vector::parse(vector).map(|vector| cvss::written(&vector));
            let is_alike = found.as_ref().is_ok_and(|found| found.iter().eq(&wanted));
            if !is_alike {
                wrong.push(format!("{line}: {found:?}"));
            }
        }
    }
    say(&format!("CVSS vectors: {counts:?}, {} wrong", wrong.len()));
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (version, least) in [("3.0", 1_296), ("3.1", 1_238), ("4.0", 851)] {
        assert!(counts.get(version).is_some_and(|count| *count >= least), "too few of {version}: {counts:?}");
    }
}

#[test]
fn random_vectors_are_scored_as_the_python_library_scores_them() {
    // Goal: also what no list has: temporal, environmental, modified and threat metrics together. Method: random vectors of
    // all three versions, the library `cvss` as the judge of each.
    if !cvss::JUDGE.is_here() {
        return skip::skip("no judge of CVSS: python3 without the package cvss");
    }
    let seed = fastrand::u64(..);
    let vectors = cvss::random(seed, 6_000);
    let answers = cvss::JUDGE.answers(&vectors);
    for (vector, answer) in vectors.iter().zip(&answers) {
        let found = cvss::written(&Vector::parse(vector).expect("a vector"));
        assert_eq!(found.join(" "), *answer, "seed {seed}: {vector}");
    }
    say(&format!("random CVSS vectors: {} alike, seed {seed}", vectors.len()));
}
