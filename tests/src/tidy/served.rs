//! The committed OpenAPI document is the one the server serves, to the byte.
//!
//! `cordon-sim openapi --write` writes it; nobody edits it. A change of the API is then a change of a file in review.
//! Read next: `cordon_server::http::operator`, where the document comes from.

use super::{Fault, Source, tree};
use anyhow::{Context, Result};
use cordon_server::http::operator::openapi;

/// Where the document is committed.
pub const DOCUMENT: &str = "docs/openapi.json";

/// Prints the served document, or writes it into the tree.
///
/// # Errors
/// If it cannot be written.
pub fn run(write: bool) -> Result<()> {
    if !write {
        print!("{}", openapi());
        return Ok(());
    }
    std::fs::write(tree::root().join(DOCUMENT), openapi()).with_context(|| format!("cannot write {DOCUMENT}"))
}

/// The committed document is the served one.
#[must_use]
pub fn openapi_is_committed(sources: &[Source]) -> Vec<Fault> {
    differs(sources, &openapi())
}

/// Where the committed document first differs from `served`.
#[must_use]
pub(super) fn differs(sources: &[Source], served: &str) -> Vec<Fault> {
    let nothing = Source::new(DOCUMENT, "");
    let document = sources.iter().find(|source| source.path == DOCUMENT).unwrap_or(&nothing);
    if document.text() == served {
        return Vec::new();
    }
    let same =
        document.text().lines().zip(served.lines()).take_while(|(committed, served)| committed == served);
    let line = same.count() + 1;
    let say = "differs from what the server serves: run `cargo run -p cordon-sim -- openapi --write`";
    vec![Fault::new(document, line, say)]
}
