//! Rules over Rust syntax: sizes of functions, names, panics, and what a ground crate may lean on.
//!
//! What clippy already says is repeated here only where clippy can be silenced in the file itself. Read next:
//! `syntax.rs` for what is seen, `manifest.rs` for the same gates over the manifests.

use super::syntax::{Seen, see};
use super::{Fault, Source};
use std::collections::BTreeSet;

/// The most lines of a function, from its signature to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 70;
/// The most arguments of a function, the receiver included.
pub const ARGUMENTS_MAX: usize = 5;

/// Words that say nothing, wherever they stand in the name of a type.
const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils", "Misc", "Stuff"];
/// Words that say nothing at the end of the name of a type.
const EMPTY_ENDINGS: &[&str] = &["Data", "Info"];
/// Names that end so all the same, each with its reason.
const FULL_NAMES: &[(&str, &str)] =
    &[("PatientData", "the term of the field for what a device may hold of people")];
/// Modules that would become bags.
const BAGS: &[&str] = &["common", "util", "utils", "helper", "helpers", "misc", "types"];

/// The sources of the ground crates.
pub const GROUND: &[&str] = &["proto/src/", "agent/core/src/", "server/core/src/"];

/// Every Rust file is Rust; else the other rules would pass by seeing nothing.
#[must_use]
pub fn parses(source: &Source) -> Vec<Fault> {
    if !source.ends_in(&[".rs"]) {
        return Vec::new();
    }
    match see(source.text()) {
        Ok(_) => Vec::new(),
        Err(error) => vec![Fault::new(source, error.span().start().line, error.to_string())],
    }
}

/// No function is longer than [`FUNCTION_LINES_MAX`], tests included.
#[must_use]
pub fn function_length(source: &Source) -> Vec<Fault> {
    let long = |seen: Seen| seen.functions.into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    let say = |name, lines| format!("fn {name} has {lines} lines: {FUNCTION_LINES_MAX} is the end");
    looked_at(source)
        .into_iter()
        .flat_map(long)
        .map(|function| Fault::new(source, function.line, say(function.name, function.lines)))
        .collect()
}

/// No function of ours takes more than [`ARGUMENTS_MAX`] arguments.
#[must_use]
pub fn arguments(source: &Source) -> Vec<Fault> {
    let many = |seen: Seen| seen.functions.into_iter().filter(|function| function.arguments > ARGUMENTS_MAX);
    let say = |name, count| {
        format!("fn {name} takes {count} arguments: {ARGUMENTS_MAX} is the end, pass a value of a type")
    };
    looked_at(source)
        .into_iter()
        .flat_map(many)
        .filter(|function| !function.given)
        .map(|function| Fault::new(source, function.line, say(function.name, function.arguments)))
        .collect()
}

/// No empty words in the names of types, no `get_` functions, no modules that are bags.
#[must_use]
pub fn names(source: &Source) -> Vec<Fault> {
    let Some(seen) = looked_at(source) else { return Vec::new() };
    let mut faults = Vec::new();
    for name in &seen.names {
        let empty = if name.module { BAGS.contains(&name.text.as_str()) } else { is_empty_word(&name.text) };
        if empty {
            faults.push(Fault::new(
                source,
                name.line,
                format!("{} says nothing: name what it is", name.text),
            ));
        }
    }
    for function in seen.functions.iter().filter(|function| !function.given) {
        if function.name.starts_with("get_") {
            faults.push(Fault::new(source, function.line, format!("fn {}: drop the get_", function.name)));
        }
    }
    faults
}

/// No `unwrap`, `todo!`, `unimplemented!` or `dbg!` outside tests.
#[must_use]
pub fn panics(sources: &[Source]) -> Vec<Fault> {
    let tests = test_files(sources);
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| !is_test_path(&source.path) && !tests.contains(&source.path))
    {
        let panics = looked_at(source).map(|seen| seen.panics).unwrap_or_default();
        for panic in panics.into_iter().filter(|panic| !panic.test) {
            let say =
                format!("{}: handle it, or `expect(\"why it holds\")` for a local invariant", panic.call);
            faults.push(Fault::new(source, panic.line, say));
        }
    }
    faults
}

/// Ground crates say `#![no_std]` at their root and never bring `std` back outside tests.
#[must_use]
pub fn ground(sources: &[Source]) -> Vec<Fault> {
    let tests = test_files(sources);
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| GROUND.iter().any(|room| source.path.starts_with(room))) {
        let Some(seen) = looked_at(source) else { continue };
        if GROUND.iter().any(|room| source.path == format!("{room}lib.rs")) && !seen.no_std {
            faults.push(Fault::new(source, 1, "a ground crate begins with #![no_std]"));
        }
        if !tests.contains(&source.path) {
            let say = "a ground crate brings std back only in tests";
            faults.extend(seen.std_lines.iter().map(|line| Fault::new(source, *line, say)));
        }
    }
    faults
}

/// The files that `#[cfg(test)] mod name;` declares, with all below them.
fn test_files(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        let Some(seen) = looked_at(source) else { continue };
        let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
        let stem = file.trim_end_matches(".rs");
        let home = if ["lib", "main", "mod"].contains(&stem) {
            folder.to_owned()
        } else {
            format!("{folder}/{stem}")
        };
        for module in &seen.test_modules {
            let one = format!("{home}/{module}.rs");
            let below = format!("{home}/{module}/");
            let under = sources.iter().filter(|other| other.path == one || other.path.starts_with(&below));
            found.extend(under.map(|other| other.path.clone()));
        }
    }
    found
}

/// Whether the path alone says that a file is a test: an integration test or its fuzz target.
fn is_test_path(path: &str) -> bool {
    path.starts_with("tests/tests/") || path.starts_with("tests/fuzz/") || path.contains("/tests/")
}

fn looked_at(source: &Source) -> Option<Seen> {
    if source.ends_in(&[".rs"]) { see(source.text()).ok() } else { None }
}

fn is_empty_word(name: &str) -> bool {
    if FULL_NAMES.iter().any(|(full, _)| *full == name) {
        return false;
    }
    let words = camel_words(name);
    let last = words.last().map(String::as_str).unwrap_or_default();
    words.iter().any(|word| EMPTY_WORDS.contains(&word.as_str())) || EMPTY_ENDINGS.contains(&last)
}

/// `TlsInfo` as `Tls`, `Info`.
fn camel_words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for letter in name.chars() {
        match words.last_mut() {
            Some(word) if !letter.is_uppercase() => word.push(letter),
            Some(_) | None => words.push(letter.to_string()),
        }
    }
    words
}
