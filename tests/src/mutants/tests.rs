//! Shows that a breakage fits the present tree, and that no outcome but a failed test counts as caught.
//!
//! The breakages themselves are tried by `cordon-sim mutants`, which builds; here nothing is built.

use super::{ALL, Breakage, Choice, Outcome, broken, choose, clear, outcome};
use crate::tidy::{syntax, tree};
use std::collections::BTreeSet;

const SAMPLE: Breakage = Breakage {
    name: "a check left out",
    file: "a.rs",
    find: "if old {",
    replace: "if false {",
    package: "a",
    test: "tests::old",
};

#[test]
fn every_breakage_fits_the_present_tree() {
    // Goal: the table follows the code. Method: each fragment stands once in its file, each test in its package.
    let sources = tree::root();
    let faults: Vec<String> = ALL.concat().iter().filter_map(|breakage| unfit(&sources, breakage)).collect();
    assert!(faults.is_empty(), "{} do not fit:\n{}", faults.len(), faults.join("\n"));
}

/// Why a breakage does not fit the tree, if it does not.
fn unfit(sources: &std::path::Path, breakage: &Breakage) -> Option<String> {
    let text = std::fs::read_to_string(sources.join(breakage.file)).expect(breakage.file);
    let changed = match broken(&text, breakage) {
        Ok(changed) => changed,
        Err(error) => return Some(error.to_string()),
    };
    if syntax::see(&changed).is_err() {
        return Some(format!("{}: the breakage is not Rust", breakage.name));
    }
    let name = breakage.test.rsplit("::").next().unwrap_or_default();
    let room = breakage.file.split_once("/src/").map_or("", |(room, _)| room);
    let known = has_test(&sources.join(room).join("src"), name);
    (!known).then(|| format!("{}: no test {name} in {room}", breakage.name))
}

/// Whether a function of that name stands anywhere below `folder`.
fn has_test(folder: &std::path::Path, name: &str) -> bool {
    let entries = std::fs::read_dir(folder).expect("a folder of sources").filter_map(Result::ok);
    entries.map(|entry| entry.path()).any(|path| {
        let text = || std::fs::read_to_string(&path).unwrap_or_default();
        if path.is_dir() { has_test(&path, name) } else { text().contains(&format!("fn {name}(")) }
    })
}

#[test]
fn a_fragment_that_stands_twice_or_nowhere_is_refused() {
    // Goal: the breakage hits the line it means. Method: none, one, two.
    assert!(broken("if new {", &SAMPLE).is_err());
    assert_eq!(broken("if old {}", &SAMPLE).expect("one"), "if false {}");
    assert!(broken("if old {} if old {}", &SAMPLE).is_err());
}

#[test]
fn only_a_failed_test_counts_as_caught() {
    // Goal: neither a compile error nor a missing test passes for vigilance. Method: outputs of each kind.
    let failed = "\nrunning 1 test\nF\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out\n";
    let passed =
        "\nrunning 1 test\n.\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out\n";
    let missing =
        "\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 8 filtered out\n";
    assert_eq!(outcome(false, false, failed), Outcome::Failed);
    assert_eq!(outcome(true, false, passed), Outcome::Passed);
    assert_eq!(outcome(true, false, missing), Outcome::NoSuchTest);
    assert_eq!(outcome(false, false, ""), Outcome::NotRun);
    assert_eq!(outcome(false, false, "\nrunning 1 test\n"), Outcome::NotRun);
    assert_eq!(outcome(false, true, "\nrunning 1 test\n"), Outcome::Endless);
}

#[test]
fn a_sample_is_as_large_as_asked_and_keeps_the_order_of_the_table() {
    // Goal: three random mutants in the gate. Method: a hundred draws from three, one name, no name.
    let all = [("a b", 0), ("c", 1), ("a d", 2)].map(|(name, _)| Breakage { name, ..SAMPLE });
    let names =
        |choice: &Choice| choose(&all, choice).iter().map(|breakage| breakage.name).collect::<Vec<_>>();
    for _ in 0..100 {
        let two = names(&Choice { sample: Some(2), only: None });
        assert!([["a b", "c"], ["a b", "a d"], ["c", "a d"]].iter().any(|pair| two == pair), "{two:?}");
    }
    assert_eq!(names(&Choice { sample: None, only: Some("a ".to_owned()) }), ["a b", "a d"]);
    assert!(names(&Choice { sample: Some(9), only: Some("x".to_owned()) }).is_empty());
}

#[test]
fn what_is_no_longer_in_the_tree_leaves_the_copy() {
    // Goal: a moved module does not stay behind beside its new place. Method: one wanted file, one not, one below.
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("b")).expect("a folder");
    for name in ["a.rs", "b/mod.rs", "b.rs"] {
        std::fs::write(path(name), "").expect("a file");
    }
    clear(folder.path(), &BTreeSet::from([path("a.rs"), path("b/mod.rs")])).expect("cleared");
    assert_eq!(
        (path("a.rs").exists(), path("b/mod.rs").exists(), path("b.rs").exists()),
        (true, true, false)
    );
}
