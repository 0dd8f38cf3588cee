//! Each refusal of a device, each attack on its updates and each thing that a captured server cannot do has a test of its
//! own, found here by name.
//!
//! The codes are read from the ground's own list, so that a new refusal without a test fails; the tests are looked up in
//! the sources, so that one that goes away is missed. What they show, they show where they stand. Read next:
//! docs/THREATS.md, `tests/src/mutants/refusals.rs`.

use std::collections::BTreeSet;

use cordon_sim::tidy::syntax::see;
use cordon_sim::tidy::tree;

/// Where the refusals are named.
const CODES: &str = "proto/src/update/refusal.rs";

const DECISION: &str = "of_two_things_wrong_the_earlier_one_is_named_for_install_and_for_the_way_back";
const CHAINS: &str = "the_chains_come_before_everything_else_and_role_by_role";
const HALVES: &str =
    "one_signature_or_two_that_differ_or_are_meant_for_another_install_nothing_and_the_attack_is_named";
const ROLES: &str = "arbitrary_metadata_is_refused_in_every_role";
const FREEZE: &str = "freeze_ends_when_any_role_expires";
const BYTES: &str = "every_flipped_byte_of_an_offered_file_is_refused";
const GATE: &str = "nothing_in_the_way_is_go_and_each_obstacle_is_named";
const LAST_STEP: &str = "the_patient_who_comes_between_flag_and_reboot_stops_it";
const BACK: &str = "an_older_image_comes_back_once_by_the_signed_way_and_not_again";
const CLOSED: &str = "a_way_back_below_the_floor_or_after_its_time_is_closed";

/// Each refusal by its code, in the order in which they are checked.
const REFUSALS: &[(&str, &[&str])] = &[
    (
        "director-root",
        &[
            CHAINS,
            "rollback_of_the_root_is_refused",
            "every_flipped_byte_of_a_root_is_refused_or_changes_nothing",
        ],
    ),
    ("image-root", &[CHAINS, "an_image_repository_needs_the_makers_root_in_the_system_image"]),
    (
        "director-timestamp",
        &[CHAINS, HALVES, "a_director_that_is_older_than_the_one_seen_moves_no_image_any_more"],
    ),
    ("image-timestamp", &[CHAINS, FREEZE, "every_bad_bundle_is_refused_by_name_and_leaves_no_trace"]),
    ("director-snapshot", &[CHAINS, ROLES, "rollback_of_the_snapshot_is_refused"]),
    ("image-snapshot", &[CHAINS, ROLES, FREEZE]),
    ("director-targets", &[CHAINS, ROLES, "rollback_and_removal_of_targets_roles_are_refused"]),
    ("image-targets", &[CHAINS, ROLES, BYTES]),
    ("order-not-listed", &[DECISION, HALVES]),
    ("order-unreadable", &[DECISION]),
    ("order-not-yet", &[DECISION, "both_ends_of_an_order_are_exact_to_the_second"]),
    ("order-expired", &[DECISION, HALVES, "both_ends_of_an_order_are_exact_to_the_second"]),
    ("no-way-back", &[CLOSED]),
    ("way-back-closed", &[DECISION, CLOSED]),
    ("clock-before-order", &[DECISION]),
    (
        "not-in-scope",
        &[DECISION, HALVES, "an_order_for_another_device_is_refused_with_that_devices_own_valid_proof"],
    ),
    ("unknown-to-maker", &[DECISION, HALVES]),
    ("release-unreadable", &[DECISION, HALVES]),
    ("length-differs", &[DECISION, HALVES]),
    ("hash-differs", &[DECISION, HALVES]),
    ("other-model", &[DECISION, HALVES]),
    ("other-hardware", &[DECISION, HALVES]),
    ("given-up", &[DECISION, BACK]),
    ("not-newer", &[DECISION, HALVES]),
    ("not-confirmed-here", &[DECISION, BACK]),
    ("way-back-not-older", &[DECISION]),
    ("below-floor", &[DECISION, CLOSED]),
    ("min-from", &[DECISION, HALVES]),
    ("no-permit", &[GATE, LAST_STEP, "a_stale_permit_stops_although_the_wall_clock_stands_still"]),
    ("outside-window", &[GATE, LAST_STEP]),
    ("power", &[GATE, LAST_STEP, "power_that_goes_between_flag_and_reboot_takes_the_flag_back"]),
    (
        "interlock",
        &[
            GATE,
            LAST_STEP,
            "nobody_reboots_a_device_in_use_or_unknown_and_the_server_says_why_within_a_minute",
        ],
    ),
];

/// The attacks by the names of the TUF specification (1.5.2), and what a captured server cannot do.
const ATTACKS: &[(&str, &[&str])] = &[
    ("arbitrary installation", &[ROLES, BYTES, "every_byte_of_an_image_flipped_once_is_another_image"]),
    (
        "endless data",
        &["endless_data_is_cut_at_the_limit_in_every_role", "an_oversize_metadata_file_is_cut_at_its_cap"],
    ),
    ("extraneous dependencies", &["extraneous_dependencies_are_neither_believed_nor_fetched"]),
    (
        "fast-forward",
        &[
            "fast_forward_is_undone_by_rotating_the_online_keys",
            "fast_forward_is_undone_by_rotating_either_online_key",
        ],
    ),
    ("indefinite freeze", &[FREEZE]),
    ("malicious mirrors", &["malicious_mirrors_only_cost_time"]),
    ("mix-and-match", &["mix_and_match_of_versions_is_refused"]),
    (
        "rollback",
        &[
            "rollback_of_the_timestamp_is_refused_even_if_the_stored_one_has_expired",
            "rollback_of_the_snapshot_is_refused",
        ],
    ),
    (
        "slow retrieval",
        &["a_byte_now_and_then_does_not_hold_a_device", "a_download_that_drips_is_given_up_as_a_stall"],
    ),
    (
        "key compromise",
        &["keys_stolen_below_the_thresholds_sign_nothing_that_counts", "thresholds_count_different_keys"],
    ),
    ("wrong software", &["wrong_software_is_refused_although_the_same_signers_signed_it"]),
    ("choose other firmware", &[HALVES, "an_image_with_one_flipped_byte_is_never_armed"]),
    (
        "leave the scope",
        &[HALVES, "an_order_for_another_device_is_refused_with_that_devices_own_valid_proof"],
    ),
    (
        "downgrade but by a signed way back",
        &[
            BACK,
            "nothing_is_cleared_that_is_not_newer_within_floor_and_time",
            "the_way_back_never_leads_below_the_floor_or_forward",
        ],
    ),
    (
        "choose another content",
        &[
            "a_captured_server_makes_no_device_take_a_content_that_nobody_signed_for_it",
            "a_device_takes_what_is_listed_fresh_its_own_and_newer_and_nothing_else",
        ],
    ),
    ("keep receipts back", &["a_captured_server_that_keeps_receipts_back_is_found_out_on_the_workstation"]),
    ("outlive `expires` or `until`", &[HALVES, CLOSED, "both_ends_of_an_order_are_exact_to_the_second"]),
    (
        "override the interlock",
        &[
            LAST_STEP,
            "no_order_of_events_lowers_the_floor_arms_the_unverified_or_reboots_in_use",
            "no_local_class_is_looser_than_the_makers",
        ],
    ),
];

/// Bad input and faults of releases and rollouts, each at every place where it can come in.
const FAULTS: &[(&str, &[&str])] = &[
    (
        "one signer where two are needed",
        &[
            "one_persons_release_waits_for_the_second_signature",
            "what_one_signer_signed_where_two_must_is_not_believed",
            "too_few_foreign_or_expired_signatures_are_named",
            HALVES,
        ],
    ),
    (
        "release unknown to the manufacturer",
        &[
            "orders_that_could_not_be_followed_or_undone_are_not_signed",
            "a_rollout_begins_only_with_what_its_orders_need_and_says_which_rule_refused_it",
            "a_rollout_of_what_is_not_here_is_refused_by_the_rule_that_says_so",
            DECISION,
        ],
    ),
    (
        "bundle with a missing target",
        &[
            "what_a_bundle_lacks_or_adds_is_refused_before_a_server_sees_it",
            "a_release_is_taken_in_with_its_files_and_shown_with_what_was_signed",
            "every_bad_bundle_is_refused_by_name_and_leaves_no_trace",
        ],
    ),
    (
        "clock wrong by a year",
        &[
            "a_workstation_a_year_behind_or_ahead_signs_no_order",
            "a_maker_whose_clock_is_a_year_behind_or_ahead_signs_no_release",
            "a_server_whose_clock_is_a_year_ahead_stops_and_goes_on_when_it_is_set_right",
            "a_server_whose_clock_is_a_year_behind_gives_no_go_that_counts_and_loses_no_receipt",
            "a_stale_permit_stops_although_the_wall_clock_stands_still",
        ],
    ),
    (
        "server killed mid-wave",
        &[
            "a_server_killed_at_every_commit_of_a_rollout_ends_the_same",
            "a_server_on_postgresql_killed_at_every_commit_of_a_rollout_ends_the_same",
        ],
    ),
    ("two servers at once", &["of_two_servers_one_moves_the_rollout_and_the_other_takes_it_over"]),
    (
        "40 % of devices offline for weeks",
        &["two_in_five_offline_for_weeks_hold_nobody_up_and_are_served_when_they_come"],
    ),
    (
        "a downgrade ordered",
        &[
            "a_plan_that_could_not_be_followed_or_undone_writes_nothing",
            "every_device_falls_to_one_fate_and_the_sum_is_the_whole",
            "orders_that_could_not_be_followed_or_undone_are_not_signed",
            DECISION,
        ],
    ),
];

#[test]
fn every_refusal_is_in_the_table() {
    // Goal: no refusal without a test of its own. Method: the words of the ground's list against the table's.
    let text = std::fs::read_to_string(tree::root().join(CODES)).expect("is there");
    let of = |from: &str| {
        let rest = text.split(from).nth(1).expect("the function is there");
        let body =
            rest.split("\n    }\n").next().unwrap_or_default().split("\n}\n").next().unwrap_or_default();
        body.lines().filter_map(|line| line.split("=> \"").nth(1)?.split('"').next()).collect::<Vec<_>>()
    };
    let named: BTreeSet<&str> = of("pub fn code(&self)").into_iter().chain(of("fn chain_code(")).collect();
    let held: BTreeSet<&str> = REFUSALS.iter().map(|(code, _)| *code).collect();
    assert!(named.len() > 30, "{named:?}");
    assert_eq!(named, held);
    assert_eq!(held.len(), REFUSALS.len(), "each once");
}

#[test]
fn every_test_of_the_tables_exists() {
    // Goal: a table that cannot promise what is gone. Method: the functions of all sources.
    let sources = tree::read(&tree::root()).expect("reads");
    let rust = sources.iter().filter(|source| source.ends_in(&[".rs"]));
    let seen = rust.filter_map(|source| see(source.text()).ok());
    let functions: BTreeSet<String> =
        seen.flat_map(|seen| seen.functions).map(|function| function.name).collect();
    for (what, tests) in REFUSALS.iter().chain(ATTACKS).chain(FAULTS) {
        assert!(!tests.is_empty(), "{what}");
        for test in *tests {
            assert!(functions.contains(*test), "{what}: there is no test {test}");
        }
    }
}
