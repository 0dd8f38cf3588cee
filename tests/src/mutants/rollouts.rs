//! The breakages of the rollouts: one for each rule of the plan, its checker, the receipts that count, the stop by
//! failures, and what a device is told.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;
use super::rooms::server_core;

const CHECK: &str = "server/core/src/rollout/check.rs";
const FACTS: &str = "server/core/src/rollout/facts.rs";
const OFFER: &str = "server/core/src/rollout/offer.rs";
const PLAN: &str = "server/core/src/rollout/plan.rs";
const RECEIPT: &str = "server/core/src/rollout/receipt.rs";
const RETRY: &str = "server/core/src/rollout/retry.rs";
const TALLY: &str = "server/core/src/rollout/tally.rs";
const WAY_BACK: &str = "server/core/src/rollout/way_back.rs";

const RECEIPTS_TEST: &str =
    "rollout::offer_tests::only_the_receipt_of_this_order_this_image_and_an_open_row_ends_it";
const IN_USE_TEST: &str = "rollout::tests::who_speaks_is_not_silent_and_who_is_in_use_takes_no_place";
const CHECKER_TEST: &str =
    "rollout::tests::the_checker_lets_no_go_out_of_its_wave_its_order_or_beside_a_halt";
const ASKERS_TEST: &str =
    "rollout::tests::only_asking_devices_of_the_begun_wave_get_the_go_up_to_the_limit_in_flight";
const WAVES_TEST: &str = "rollout::tests::the_second_wave_begins_only_when_the_first_is_settled_and_watched";
const ACCEPTANCE_TEST: &str =
    "rollout::tests::what_a_person_does_not_accept_is_a_failure_and_what_nobody_looked_at_does_not_settle";
const UNREACHED_TEST: &str = "rollout::tests::a_wave_settles_without_the_unreached_but_never_of_them_alone";
const SILENCE_TEST: &str = "rollout::tests::a_silent_device_is_a_failure_and_an_unreached_one_is_not";
const BOUND_TEST: &str = "rollout::tests::one_failure_stops_a_small_wave_and_two_a_large_one";
const PACE_TEST: &str =
    "rollout::retry::tests::a_silent_device_is_tried_again_with_growing_patience_and_a_failed_image_never";
const BACK_ENDS_TEST: &str =
    "rollout::return_tests::the_way_back_stays_open_after_the_order_and_closes_when_it_says";
const BACK_TEST: &str =
    "rollout::return_tests::the_way_back_is_offered_to_those_who_confirmed_and_installs_stop_at_once";
const GO_STOPS_TEST: &str = "rollout::offer_tests::the_go_is_the_first_thing_that_stops";
const OVERLAP_TEST: &str =
    "rollout::offer_tests::of_two_rollouts_the_one_that_moves_then_the_more_urgent_then_the_newer_is_offered";
const FITS_TEST: &str = "rollout::offer_tests::who_fits_the_facts_of_an_order_is_decided_by_all_of_them";
const SAID_TEST: &str = "rollout::offer_tests::what_a_check_in_says_of_the_order_is_read_by_its_codes";

/// Every breakage of the engine that a named test must catch.
pub const ROLLOUTS: &[Breakage] = &[
    server_core(
        "the hash of a receipt is not compared",
        RECEIPT,
        (
            "Outcome::Confirmed if receipt.sha256 != row.signed.sha256 =>",
            "Outcome::Confirmed if receipt.sha256 != row.signed.sha256 && false =>",
        ),
        RECEIPTS_TEST,
    ),
    server_core(
        "an older receipt is counted",
        RECEIPT,
        ("if receipt.time < row.signed.issued {", "if receipt.time < row.signed.issued && false {"),
        RECEIPTS_TEST,
    ),
    server_core(
        "a receipt from before the wave is counted",
        RECEIPT,
        ("if later < row.begun && !offline {", "if later < row.begun && !offline && false {"),
        RECEIPTS_TEST,
    ),
    server_core(
        "a go to a device in use",
        FACTS,
        ("asks && self.trusted && !self.held && self.is_free()", "asks && self.trusted && !self.held"),
        IN_USE_TEST,
    ),
    server_core(
        "a device in use is called silent",
        FACTS,
        (
            "Some(_) if self.is_kept() => Stage::Waiting,",
            "Some(_) if self.is_kept() && false => Stage::Waiting,",
        ),
        IN_USE_TEST,
    ),
    server_core(
        "a device that speaks is called silent",
        FACTS,
        (
            "self.heard.max(there).map_or(at, |heard| heard.max(at))",
            "self.heard.max(there).map_or(at, |_| at)",
        ),
        IN_USE_TEST,
    ),
    server_core(
        "the checker lets a device in use go",
        CHECK,
        ("asks && facts.trusted && !facts.held && !other", "asks && facts.trusted && !facts.held"),
        IN_USE_TEST,
    ),
    server_core(
        "the checker forgets the wave's devices",
        CHECK,
        (
            "wave.filter(|wave| wave.devices.binary_search(&device).is_ok())",
            "wave.filter(|wave| !wave.devices.is_empty())",
        ),
        CHECKER_TEST,
    ),
    server_core(
        "the checker forgets the other rollouts",
        CHECK,
        ("all > size(sight.room)", "all > size(u32::MAX)"),
        CHECKER_TEST,
    ),
    server_core(
        "one device more in flight",
        PLAN,
        (
            "let places = rollout.policy.in_flight.min(sight.room);",
            "let places = rollout.policy.in_flight.min(sight.room) + 1;",
        ),
        ASKERS_TEST,
    ),
    server_core(
        "finished while somebody is left",
        PLAN,
        ("if nobody_left && !takes_in", "if !takes_in"),
        WAVES_TEST,
    ),
    server_core(
        "settled without the acceptance",
        PLAN,
        ("&& unaccepted(rollout, wave, sight.fleet).is_empty()", ""),
        ACCEPTANCE_TEST,
    ),
    server_core(
        "a wave of the unreached settles",
        TALLY,
        ("u64::from(counted.confirmed) >= least", "least > 0"),
        UNREACHED_TEST,
    ),
    server_core(
        "an unreached device is a failure",
        TALLY,
        ("Stage::Unreached => &mut self.unreached,", "Stage::Unreached => &mut self.silent,"),
        SILENCE_TEST,
    ),
    server_core(
        "one early failure stops a large wave",
        TALLY,
        ("if failed >= least && low", "if failed >= least.min(1) && low"),
        BOUND_TEST,
    ),
    server_core(
        "patience with the silent left out",
        RETRY,
        ("if now >= at { Again::Now }", "if now >= since { Again::Now }"),
        PACE_TEST,
    ),
    server_core(
        "the way back after its time",
        WAY_BACK,
        ("is_some_and(|back| sight.now < back.until)", "is_some_and(|back| back.until == back.until)"),
        BACK_ENDS_TEST,
    ),
    server_core(
        "the way back for one that did not confirm",
        OFFER,
        ("(open && outcome == Some(Outcome::Confirmed) && !gone)", "(open && !gone)"),
        BACK_TEST,
    ),
    server_core(
        "a go outlives the stop",
        OFFER,
        ("progress.go_at(now).filter(|_| rollout.keeps_gos())?;", "progress.go_at(now)?;"),
        GO_STOPS_TEST,
    ),
    server_core(
        "a go for a device that came into use",
        OFFER,
        ("if facts.held || !facts.trusted || facts.is_kept() {", "if facts.held || !facts.trusted {"),
        GO_STOPS_TEST,
    ),
    server_core(
        "the priority is ignored",
        OFFER,
        ("(rollout.moves(), rollout.priority, rollout.created", "(rollout.moves(), 0_u16, rollout.created"),
        OVERLAP_TEST,
    ),
    server_core("a misfit joins", OFFER, ("&& (*from_least..=*from_most).contains(&counter)", ""), FITS_TEST),
    server_core(
        "a final refusal waits for ever",
        OFFER,
        (
            "filter(|code| is_final_code(code.as_str())).cloned()",
            "filter(|code| code.as_str().is_empty()).cloned()",
        ),
        SAID_TEST,
    ),
];
