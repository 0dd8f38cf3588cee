//! What the documents claim must exist: the tests that README and THREATS name, and the files they link to.
//!
//! A word in backticks made of four or more parts joined by underscores is taken for a test. Nothing is said here
//! about whether the test is good. Read next: `README.md`, `docs/THREATS.md`.

use super::syntax::see;
use super::{Fault, Source};
use std::collections::BTreeSet;

/// The documents whose promises name tests.
const PROMISING: &[&str] = &["README.md", "docs/THREATS.md", "docs/ARCHITECTURE.md", "SECURITY.md"];
/// Fewer parts are an ordinary name, not a sentence of behaviour.
const TEST_NAME_PARTS_MIN: usize = 4;

/// Every test that a document names exists.
#[must_use]
pub fn named_tests(sources: &[Source]) -> Vec<Fault> {
    let seen =
        sources.iter().filter(|source| source.ends_in(&[".rs"])).filter_map(|source| see(source.text()).ok());
    let functions: BTreeSet<String> =
        seen.flat_map(|seen| seen.functions).map(|function| function.name).collect();
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| PROMISING.contains(&source.path.as_str())) {
        for (line, number) in source.text().lines().zip(1..) {
            let named = line.split('`').skip(1).step_by(2).filter(|word| is_test_name(word));
            let missing = named.filter(|name| !functions.contains(*name));
            faults.extend(missing.map(|name| Fault::new(source, number, format!("there is no test {name}"))));
        }
    }
    faults
}

/// Every link of a Markdown file to a file of the tree leads somewhere.
#[must_use]
pub fn links(sources: &[Source]) -> Vec<Fault> {
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.ends_in(&[".md"])) {
        for (line, number) in source.text().lines().zip(1..) {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = link.split('#').next().unwrap_or_default();
                if !target.is_empty()
                    && !target.contains("://")
                    && !leads_somewhere(&resolve(&source.path, target), &paths)
                {
                    faults.push(Fault::new(source, number, format!("the link to {link} leads nowhere")));
                }
            }
        }
    }
    faults
}

fn is_test_name(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    plain && word.split('_').filter(|part| !part.is_empty()).count() >= TEST_NAME_PARTS_MIN
}

/// A file, or a folder with a file below it.
fn leads_somewhere(path: &str, paths: &BTreeSet<&str>) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    paths.contains(path)
        || paths.range(folder.as_str()..).next().is_some_and(|next| next.starts_with(&folder))
}

/// `target` as seen from the file `from`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}
