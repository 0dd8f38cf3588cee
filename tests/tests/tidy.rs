//! Runs the rules of the house over this very tree, one test a rule.
//!
//! A failure names file, line and cure. The rules, and the proof that each can fail, are in `tests/src/tidy/`.

use cordon_sim::skip;
use cordon_sim::tidy::{Source, code, demand_none, each, manifest, map, promises, served, text, tree};
use std::sync::OnceLock;

/// The tree, read once; empty only where there is no git to ask, after saying so.
fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        if skip::require_package("git").is_none() {
            return Vec::new();
        }
        match tree::read(&tree::root()) {
            Ok(sources) => sources,
            Err(error) if skip::everything_demanded() => panic!("{error:#}"),
            Err(error) => {
                skip::skip(&format!("tidy: the tree cannot be read: {error:#}"));
                Vec::new()
            }
        }
    })
}

fn root_manifest() -> &'static Source {
    static NOTHING: OnceLock<Source> = OnceLock::new();
    let found = sources().iter().find(|source| source.path == "Cargo.toml");
    found.unwrap_or_else(|| NOTHING.get_or_init(|| Source::new("Cargo.toml", "")))
}

#[test]
fn every_rust_file_parses() {
    demand_none(&each(sources(), code::parses));
}

#[test]
fn every_file_says_what_it_is_for() {
    demand_none(&each(sources(), text::head));
}

#[test]
fn no_file_is_too_long() {
    demand_none(&each(sources(), text::length));
}

#[test]
fn no_function_is_too_long() {
    demand_none(&each(sources(), code::function_length));
}

#[test]
fn no_function_takes_too_many_arguments() {
    demand_none(&each(sources(), code::arguments));
}

#[test]
fn no_name_is_empty() {
    demand_none(&each(sources(), code::names));
}

#[test]
fn nothing_is_left_undone_in_silence() {
    demand_none(&each(sources(), text::left_over));
}

#[test]
fn nothing_panics_without_a_reason() {
    demand_none(&code::panics(sources()));
}

#[test]
fn the_ground_stays_bare() {
    demand_none(&code::ground(sources()));
    demand_none(&each(sources(), |member| manifest::ground_uses(root_manifest(), member)));
}

#[test]
fn nobody_imports_against_the_direction() {
    demand_none(&each(sources(), manifest::direction));
}

#[test]
fn every_crate_has_its_reason_in_the_one_table() {
    demand_none(&manifest::reasons(root_manifest()));
    demand_none(&each(sources(), manifest::one_table));
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    let foreign = text::folders_of_this_machine(&tree::root().to_string_lossy());
    demand_none(&each(sources(), |source| text::machine_paths(source, &foreign)));
}

#[test]
fn no_file_is_a_blob() {
    demand_none(&each(sources(), text::blob));
}

#[test]
fn the_tree_of_the_architecture_is_the_real_one() {
    demand_none(&map::compare(sources()));
    demand_none(&map::hidden_code(sources()));
}

#[test]
fn every_named_test_and_every_link_exists() {
    demand_none(&promises::named_tests(sources()));
    demand_none(&promises::links(sources()));
}

#[test]
fn the_committed_api_is_the_served_one() {
    if sources().is_empty() {
        return;
    }
    demand_none(&served::openapi_is_committed(sources()));
}
