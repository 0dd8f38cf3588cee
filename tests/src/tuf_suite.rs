//! The TUF community's client conformance suite, driven against the library of the agent.
//!
//! The suite is the package `tuf-conformance` 2.4 in the Python of the path, with `pytest` and `faketime`. It starts
//! `cordon-sim agent tuf-conformance` for every step of its tests. A test that fails, is skipped or is expected to fail is a
//! fault: there is no list of exceptions. The control is a client that says yes to everything, which must fail most tests.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::program::program;
use crate::skip::look_up;
use crate::soak::{Outcome, Rounds};

/// Tests of the suite when it was first passed; a shorter suite is not the suite.
const TESTS: u64 = 113;
const CURE: &str =
    "install theupdateframework/tuf-conformance with pip from its repository, into the python3 of the path";

/// The rounds of `soak tuf-conformance`.
#[derive(Debug)]
pub struct Suite;

/// What pytest counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    other: u64,
    /// Lines that name what did not pass.
    named: Vec<String>,
}

impl Rounds for Suite {
    fn title(&self) -> &'static str {
        "the TUF community's client conformance suite"
    }

    fn play(&mut self, _: u64) -> anyhow::Result<Outcome> {
        let me = std::env::current_exe().context("this program has no path")?;
        let count = suite(&format!("{} agent tuf-conformance", me.display()))?;
        let counts = vec![
            ("tests passed", count.passed),
            ("tests that failed, or were left out or excused", count.other),
        ];
        let whole = count.other == 0 && count.passed >= TESTS;
        Ok(Outcome {
            counts,
            fault: (!whole).then(|| format!("{} passed; {}", count.passed, count.named.join("; "))),
        })
    }

    fn control(&mut self, _: u64) -> anyhow::Result<String> {
        let yes = look_up("true").context("there is no program `true`")?;
        let count = suite(&yes.display().to_string())?;
        ensure!(
            count.other > TESTS / 2,
            "a client that says yes to everything passes {} tests",
            count.passed
        );
        Ok(format!("a client that says yes to everything fails {} tests", count.other))
    }
}

/// Runs the whole suite against a client.
fn suite(client: &str) -> anyhow::Result<Count> {
    ensure!(look_up("faketime").is_some(), "install the package faketime");
    let python = look_up("python3").context(CURE)?;
    let place = program(&python)
        .args(["-c", "import pytest, tuf_conformance; print(tuf_conformance.__path__[0])"])
        .output()?;
    ensure!(place.status.success(), CURE);
    let place = String::from_utf8(place.stdout).context("the suite's folder is no UTF-8")?;
    let folder = tempfile::tempdir()?;
    let output = program(&python)
        .args(["-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-r", "a", "--tb=no"])
        .args(["--entrypoint", client])
        .arg(Path::new(place.trim()))
        .current_dir(folder.path())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    count(&text).with_context(|| format!("pytest said: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Reads the last line, such as `2 failed, 111 passed in 3.2s`, and the lines that name what did not pass.
fn count(text: &str) -> Option<Count> {
    let summary = text.lines().rev().find(|line| line.contains(" in ") && line.contains('s'))?;
    let (parts, _) = summary.trim_matches(['=', ' ']).split_once(" in ")?;
    let mut count = Count::default();
    for part in parts.split(", ") {
        let (number, what) = part.trim().split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        if what == "passed" { count.passed += number } else { count.other += number }
    }
    let named = ["FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS"];
    let names = |line: &&str| named.iter().any(|word| line.starts_with(word));
    count.named = text.lines().filter(names).map(ToOwned::to_owned).collect();
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_did_not_pass_is_counted_and_named() {
        // Goal: no failure, skip or excuse is overlooked. Method: closing lines as pytest writes them.
        let read = |text: &str| count(text).map(|count| (count.passed, count.other));
        assert_eq!(read("....\n113 passed in 3.23s\n"), Some((113, 0)));
        assert_eq!(read("=== 2 failed, 110 passed, 1 xfailed in 61.20s (0:01:01) ===\n"), Some((110, 3)));
        assert_eq!(read("1 passed, 3 skipped, 2 errors in 0.1s"), Some((1, 5)));
        assert_eq!(read("usage: pytest [options]"), None);
        let named =
            count("FAILED test_a.py::test_b - assert 1\nx\n1 failed in 0.1s\n").map(|count| count.named);
        assert_eq!(named, Some(vec!["FAILED test_a.py::test_b - assert 1".to_owned()]));
    }
}
