//! Shows the tree of the architecture being rendered, compared and kept.
//!
//! Read next: `map.rs`.

use super::messages;
use crate::tidy::Source;
use crate::tidy::map::{DOCUMENT, compare, head_sentence, render};

const TREE: &str = "\
./
  run                Is the gate
proto/src/
  lib.rs             Says what is said
server/
  ui/…               pages and their assets
server/src/
  main.rs            Starts the program
docs/
  ARCHITECTURE.md    House
  a.json             the served document";

fn tree(block: &str) -> Vec<Source> {
    let document = format!(
        "# House\n<!-- tree: written by `cordon-sim tree --write` -->\n```text\n{block}\n```\n<!-- end of tree -->\n"
    );
    vec![
        Source::new("run", "#!/usr/bin/env bash\n# Is the gate.\n# More.\n"),
        Source::new("server/ui/a.html", ""),
        Source::new("server/ui/b/c.css", ""),
        Source::new("server/src/main.rs", "//! Starts the program. Decides\n//! nothing.\n\nfn main() {}"),
        Source::new("proto/src/lib.rs", "//! Says what is said.\n//!\n//! More.\n#![no_std]"),
        Source::new("docs/a.json", "{}"),
        Source::new(DOCUMENT, &document),
    ]
}

fn said(block: &str) -> String {
    messages(&compare(&tree(block)))
}

#[test]
fn the_tree_is_rendered_by_rooms_and_keeps_the_sentences_of_files_without_a_head() {
    // Goal: one command writes the tree. Method: golden text, rendered over itself.
    let sources = tree(TREE);
    let document = sources.last().expect("the document").text().to_owned();
    assert_eq!(render(&sources, &document), TREE);
    assert_eq!(said(TREE), "");
}

#[test]
fn a_tree_that_differs_from_the_real_one_is_refused() {
    // Goal: the document cannot drift. Method: a line taken out, one put in, one reworded, one without sentence.
    assert!(
        said(&TREE.replace("  lib.rs             Says what is said\n", ""))
            .contains("proto/src/lib.rs is missing")
    );
    assert!(said(&format!("{TREE}\n  b.md               Gone")).contains("docs/b.md does not exist"));
    assert!(said(&TREE.replace("Starts the", "Stops the")).contains("its head `Starts the program`"));
    assert!(
        said(&TREE.replace("  a.json             the served document", ""))
            .contains("docs/a.json has neither")
    );
    assert!(
        said(&TREE.replace("  ui/…               pages and their assets\n", ""))
            .contains("server/ui/… has neither")
    );
}

#[test]
fn a_long_first_sentence_is_cut_at_a_word() {
    // Goal: one line a file. Method: a head of thirty words without a full stop.
    let head = Source::new("a.rs", &format!("//! {}\n", "word ".repeat(30)));
    let sentence = head_sentence(&head).expect("a sentence");
    assert!(sentence.ends_with("word …") && sentence.chars().count() <= 102, "{sentence}");
}
