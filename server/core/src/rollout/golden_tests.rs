//! Golden scripts: a fleet and what happens to it in, the plan out, one text for every rule.
//!
//! A script is read by people first. Lines that begin with two blanks are what the engine said; all others are what it
//! was given. `T+300 D3 waits interlock` is a check-in, `T+300 D3 confirmed` a receipt, `T+300 plan` one step of the
//! engine. A changed rule changes a text, and the change is read before it is taken in. Read next: [`rules`], the table
//! of all rules with the scripts that show each; [`script`] for the lines there are.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

mod preview;
mod pumps;
mod rules;
mod said;
mod script;

use script::Script;

/// What a script reads like with the engine's words of today. Its first line says the sizes of the waves.
fn played(text: &str) -> String {
    let mut given = text.lines().filter(|line| !line.starts_with("  "));
    let first = given.next().expect("a first line");
    let sizes: Vec<u8> = first.split_whitespace().skip(1).map(|size| size.parse().expect("a size")).collect();
    let mut script = Script::new(&sizes);
    let mut out = Vec::from([first.to_string()]);
    for line in given {
        out.push(line.to_string());
        out.extend(script.line(line));
    }
    out.join("\n") + "\n"
}

macro_rules! scripts {
    ($($name:ident: $file:literal,)*) => {
        /// All scripts, by the names of their files.
        const SCRIPTS: &[(&str, &str)] = &[$(($file, include_str!(concat!("golden/", $file, ".txt"))),)*];
        $(
        #[test]
        fn $name() {
            // Goal: the rule that the script is named after. Method: play it, compare with the text.
            let text = include_str!(concat!("golden/", $file, ".txt"));
            let played = played(text);
            assert!(played == text, "golden/{}.txt reads now:\n{played}", $file);
        }
    )*};
}

scripts! {
    a_device_in_use_takes_no_place: "01-in-use",
    silence_is_a_failure_and_is_tried_again: "02-silent",
    older_and_other_receipts_count_for_nothing: "03-receipts",
    forty_percent_unreached_do_not_stop_a_rollout: "04-unreached",
    failing_and_silent_stop_and_unreached_do_not: "05-mixed",
    final_refusals_end_a_device: "06-refused",
    a_bad_release_stops_in_the_first_wave: "07-bad-release",
    the_way_back_returns_all_who_confirmed: "08-way-back",
    people_stop_pause_and_abort: "09-people",
    a_hold_takes_the_go_and_lapses: "10-hold",
    orders_that_end_stop_the_rollout: "11-orders-end",
    the_more_urgent_rollout_is_offered: "12-priority",
    a_count_and_a_share_stop: "13-count-and-rate",
    a_sample_is_accepted_by_a_person: "14-acceptance",
    who_comes_to_fit_joins: "15-joins",
    latecomers_of_a_settled_wave_still_count: "16-latecomers",
    who_waits_too_long_is_not_waited_for: "17-waiting",
    who_was_stopped_before_its_reboot_does_not_reboot: "18-stop-before-reboot",
    holds_cover_a_ward_a_site_or_a_model: "19-hold-by-site-and-model",
    no_hold_makes_good_that_one_went_dark: "20-hold-and-dark",
    each_class_of_ends_has_its_own_tries: "21-retry-classes",
    a_silent_one_is_tried_as_often_as_the_pace_says: "22-pace",
    all_are_looked_at_and_who_is_not_accepted_failed: "23-acceptance-every",
    nobody_chooses_the_sample: "24-acceptance-sample",
    who_refuses_the_way_back_stops_the_return: "25-way-back-refused",
    a_way_back_that_closes_stops_the_return: "26-way-back-closes",
    a_silent_one_is_tried_again_on_its_way_back: "27-way-back-silent",
    no_order_leads_down: "28-downgrade",
    every_device_has_a_fate_before_anybody_signs: "29-order-preview",
    who_has_the_newer_release_is_there_for_the_older: "30-two-rollouts",
    each_return_asks_its_own_devices: "31-two-returns",
    rollouts_share_the_places: "32-places",
    who_does_not_listen_has_its_go_in_its_own_check_in: "33-metered",
    a_go_that_nobody_came_for_goes_to_another: "34-unclaimed",
    a_server_that_was_off_calls_nobody_silent: "35-server-off",
    who_is_out_of_service_is_no_failure: "36-out-of-service",
    who_does_something_else_gives_its_go_back: "37-does-something-else",
    a_content_goes_in_waves_by_the_devices_own_word: "38-content",
    a_content_that_nobody_decided_on_is_offered_to_nobody: "39-content-theft",
    a_rollout_whose_orders_ended_is_finished_by_a_person: "40-finish-by-a-person",
    a_clock_a_year_ahead_gives_nothing_and_forgets_it: "41-clock-a-year-ahead",
    a_clock_behind_loses_no_receipt: "42-clock-behind",
    an_order_without_a_go_counts_by_receipts: "43-offline-order",
    a_wave_with_too_few_confirmed_is_the_end: "44-too-few",
    who_had_it_already_shows_nothing: "45-already-there",
    the_second_opinion_refuses_each_breach: "46-second-opinion",
    an_opening_names_what_is_missing: "47-opening",
    a_list_is_split_whole: "48-splitting",
    limits_that_do_nothing_are_refused: "49-limits",
    every_code_waits_or_ends: "50-codes",
    every_code_of_a_content_ends_it: "51-content-codes",
    an_order_signed_anew_is_another: "52-signed-anew",
    a_content_has_places_of_its_own: "53-content-beside-firmware",
    a_word_is_no_receipt: "54-armed-and-says-more",
    a_go_ends_with_its_order: "55-permit-ends-with-its-order",
    what_was_aborted_can_be_sent_back: "56-abort",
    one_failure_of_a_large_wave_is_not_enough: "57-least-failures",
    who_fell_silent_and_has_the_newer_release_is_not_waited_for: "58-silent-and-further",
    a_stopped_rollout_keeps_the_places_of_who_is_on_the_way: "59-stopped-keeps-places",
}
