//! The breakages of what is one finding of a model, what is rare, what is allowed, and what a service visit means.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;

/// A rule of the ground: its name, the file, the line, the line broken, and the test that must notice.
const fn ground(
    name: &'static str,
    file: &'static str,
    (find, replace): (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    Breakage { name, file, find, replace, package: "cordon-server-core", test }
}

const COHORT: &str = "server/core/src/cohort.rs";
const GROUP: &str = "server/core/src/cohort/group.rs";
const RARITY: &str = "server/core/src/cohort/rarity.rs";
const TRIAGE: &str = "server/core/src/triage.rs";
const ALLOWANCE: &str = "server/core/src/triage/allowance.rs";
const PREVIEW: &str = "server/core/src/triage/preview.rs";
const VERDICTS: &str = "server/core/src/triage/verdicts.rs";
const VISIT: &str = "server/core/src/visit.rs";

/// Every breakage of these that a named test must catch.
pub const FLEET: &[Breakage] = &[
    ground(
        "two devices are a pattern",
        GROUP,
        ("pub const DEVICES_MIN: usize = 3;", "pub const DEVICES_MIN: usize = 2;"),
        "cohort::tests::two_devices_a_twentieth_of_the_model_and_a_slow_spread_are_no_pattern",
    ),
    ground(
        "three of two thousand are a pattern",
        GROUP,
        ("DEVICES_MIN.max(heard.len().div_ceil(SHARE))", "DEVICES_MIN"),
        "cohort::tests::two_devices_a_twentieth_of_the_model_and_a_slow_spread_are_no_pattern",
    ),
    ground(
        "a slow spread is at once",
        GROUP,
        ("last.first.seconds_since(begin.first) <= SPAN_S)", "last.first >= begin.first)"),
        "cohort::tests::two_devices_a_twentieth_of_the_model_and_a_slow_spread_are_no_pattern",
    ),
    ground(
        "silent devices thin a pattern",
        COHORT,
        ("now.seconds_since(heard) <= HEARD_S", "now >= heard"),
        "cohort::tests::silent_devices_do_not_thin_a_pattern",
    ),
    ground(
        "an update explains what was there before",
        GROUP,
        (
            "(0..AFTER_UPDATE_S).contains(&first.seconds_since(update.at))",
            "first.seconds_since(update.at) < AFTER_UPDATE_S",
        ),
        "cohort::tests::what_is_new_within_a_day_of_a_confirmed_update_is_one_finding_of_the_release",
    ),
    ground(
        "a scan is the release's doing",
        GROUP,
        ("!OWN_DOING.contains(&record.finding.detector.as_str())", "OWN_DOING.is_empty()"),
        "cohort::tests::what_is_new_within_a_day_of_a_confirmed_update_is_one_finding_of_the_release",
    ),
    ground(
        "a critical finding hidden with the rest",
        GROUP,
        ("record.finding.severity < Severity::Critical,", "record.finding.severity <= Severity::Critical,"),
        "cohort::tests::nobody_hides_a_critical_finding_together_with_harmless_ones",
    ),
    ground(
        "one of three is an outlier",
        RARITY,
        ("self.told == 0 && self.others >= PEERS_MIN", "self.told == 0"),
        "cohort::tests::only_one_of_enough_is_an_outlier_and_too_few_are_too_few",
    ),
    ground(
        "what is allowed stays so when it grows worse",
        TRIAGE,
        (
            "State::Muted { until } | State::Allowed { until } if until <= now || worse",
            "State::Muted { until } | State::Allowed { until } if until <= now",
        ),
        "triage::tests::what_is_allowed_is_no_news_until_its_day_or_until_it_grows_worse",
    ),
    ground(
        "a wrong clock dates a finding",
        TRIAGE,
        ("if (0..=LATE_S).contains(&late_s)", "if late_s >= 0"),
        "triage::tests::a_clock_that_cannot_be_does_not_move_what_was_seen",
    ),
    ground(
        "an allowance covers what is worse",
        ALLOWANCE,
        ("|| finding.severity > self.severity ", ""),
        "triage::allowance::tests::what_a_model_may_do_is_no_news_on_its_next_device_and_nothing_else_is",
    ),
    ground(
        "a critical thing allowed for a model",
        ALLOWANCE,
        ("is_one && gravest.severity < Severity::Critical", "is_one"),
        "triage::allowance::tests::nothing_critical_and_no_mixture_is_allowed_for_a_model",
    ),
    ground(
        "a preview that looks back for ever",
        PREVIEW,
        ("step.at > from && step.at <= now", "step.at <= now"),
        "triage::preview::tests::a_preview_counts_what_is_open_now_and_what_came_up_in_thirty_days",
    ),
    ground(
        "this server's own word is a verdict",
        VERDICTS,
        ("matches!(step.by.as_str(), \"device\" | \"server\")", "step.by.is_empty()"),
        "triage::verdicts::tests::verdicts_on_the_like_come_closest_first_and_only_people_give_them",
    ),
    ground(
        "a visit lowers what is critical",
        VISIT,
        ("let is_expected = record.finding.severity < Severity::Critical;", "let is_expected = true;"),
        "visit::tests::a_finding_that_begins_inside_a_visit_is_tied_to_it_and_a_critical_one_is_never_lowered",
    ),
    ground(
        "a visit for a finding of last week",
        VISIT,
        ("(-DAY_S..=limits::VISIT_AHEAD_DAYS * DAY_S)", "(-8 * DAY_S..=limits::VISIT_AHEAD_DAYS * DAY_S)"),
        "visit::tests::no_visit_is_for_everything_or_invented_for_last_week",
    ),
    Breakage {
        name: "an allowance that no device is held against",
        file: "server/src/app/report.rs",
        find: "Some(allowance) => allowance.cover(record, model, now),",
        replace: "Some(_) => record,",
        package: "cordon-server",
        test: "http::operator::tests::findings::the_same_on_many_devices_is_one_finding_that_is_decided_in_one_act",
    },
];
