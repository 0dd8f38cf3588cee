//! The breakages of lists of assets, accepted risks and the health of machines: one or two for each rule.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;
use super::rooms::server_core;

const ADMIT: &str = "server/core/src/admit.rs";
const ASSET: &str = "server/core/src/device/asset.rs";
const ASSETS: &str = "server/core/src/assets.rs";
const EXCEPTION: &str = "server/core/src/exception.rs";
const HEALTH: &str = "server/core/src/health.rs";

/// Every breakage of these that a named test must catch.
pub const LISTS: &[Breakage] = &[
    server_core(
        "a list announces its devices",
        ADMIT,
        ("Some(device) if !device.is_listed_only() =>", "Some(device) =>"),
        "admit::tests::listed::a_list_opens_no_door",
    ),
    server_core(
        "the same serial of another maker is the listed device",
        ASSET,
        ("(unsaid || is_like(makers.0, makers.1))", "(unsaid || true)"),
        "admit::tests::listed::only_the_very_same_thing_is_the_listed_one",
    ),
    server_core(
        "one of two rows about a device is taken",
        ASSETS,
        ("if twice.contains_key(&asset.row) {", "if false {"),
        "assets::tests::rows_about_one_device_are_refused_with_each_other",
    ),
    server_core(
        "a list moves what a person placed",
        ASSETS,
        ("(known.is_listed_only() && ward_by_list)", "known.is_listed_only()"),
        "assets::tests::a_place_that_a_person_named_stays",
    ),
    server_core(
        "a list says what an enrolled device is",
        ASSETS,
        ("} else if self.contradicts(&device.hardware) {", "} else if false {"),
        "assets::tests::a_device_with_an_agent_gets_its_record_and_keeps_its_identity",
    ),
    server_core(
        "one person accepts a risk alone",
        EXCEPTION,
        ("if word.by == self.requested.by {", "if false {"),
        "exception::tests::an_exception_needs_a_second_person",
    ),
    server_core(
        "an exception never ends",
        EXCEPTION,
        ("(None, _) if now >= self.until => Standing::Lapsed,", "(None, _) if false => Standing::Lapsed,"),
        "exception::tests::it_lapses_on_its_day_once_and_loudly",
    ),
    server_core(
        "a disk that fills is told three days before",
        HEALTH,
        ("const FILLS_DAYS: f64 = 30.0;", "const FILLS_DAYS: f64 = 3.0;"),
        "health::tests::a_disk_that_fills_is_told_with_its_day_weeks_before",
    ),
    server_core(
        "what is open closes on the edge",
        HEALTH,
        ("let full_at = if self.is_open(&key) { FULL.1 } else { FULL.0 };", "let full_at = FULL.0;"),
        "health::tests::what_is_open_does_not_flicker",
    ),
];
