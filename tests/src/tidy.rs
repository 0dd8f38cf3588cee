//! Tidy: the rules of the house, checked over the source tree as a test.
//!
//! Each rule is a pure function from sources to faults, with a unit test that shows it failing; only
//! [`tree::read`] touches the disk. A rule has no exception list inside its logic: what is exempt stands in a
//! table with its reason. Read next: `tests/tests/tidy.rs`, which runs them, and [`map`], which also writes the
//! tree of `docs/ARCHITECTURE.md`.

use std::fmt;

pub mod code;
pub mod manifest;
pub mod map;
pub mod promises;
pub mod served;
pub mod syntax;
pub mod text;
pub mod tree;

#[cfg(test)]
mod tests;

/// One file of the tree.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it lies, from the top of the tree, with `/` between the parts.
    pub path: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl Source {
    /// A source of text, for the unit tests of the rules.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), content: text.as_bytes().to_vec() }
    }

    /// The text, or an empty one if the file is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap_or_default()
    }

    /// Whether the name ends in one of `endings`.
    #[must_use]
    pub fn ends_in(&self, endings: &[&str]) -> bool {
        endings.iter().any(|ending| self.path.ends_with(ending))
    }
}

/// One breach of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file at fault.
    pub path: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Fault {
    /// A fault in `source` at `line`.
    #[must_use]
    pub fn new(source: &Source, line: usize, message: impl Into<String>) -> Self {
        Self { path: source.path.clone(), line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Runs a rule of single files over all of them.
pub fn each(sources: &[Source], rule: impl Fn(&Source) -> Vec<Fault>) -> Vec<Fault> {
    sources.iter().flat_map(rule).collect()
}

/// Fails the calling test with every fault on a line of its own.
///
/// # Panics
/// If there is any fault.
pub fn demand_none(faults: &[Fault]) {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), lines.join("\n"));
}
