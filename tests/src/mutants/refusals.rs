//! The breakages of the refusals: one for each rule of the decision about an order, of the gate before a reboot, of the
//! interlock, and of what the device does around them.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;
use super::rooms::rule;

const DECISION: (&str, &str) = ("cordon-proto", "proto/src/update/decide.rs");
const SCOPE: (&str, &str) = ("cordon-proto", "proto/src/update/scope.rs");
const PERMIT: (&str, &str) = ("cordon-proto", "proto/src/update/permit.rs");
const GATE: (&str, &str) = ("cordon-agent-core", "agent/core/src/update/gate.rs");
const INTERLOCK: (&str, &str) = ("cordon-agent-core", "agent/core/src/interlock.rs");

/// Every refusal alone, and of each two the earlier one.
const EACH_REFUSAL: &str =
    "update::decide::tests::of_two_things_wrong_the_earlier_one_is_named_for_install_and_for_the_way_back";
/// Each obstacle at the reboot alone.
const EACH_OBSTACLE: &str = "update::gate::tests::nothing_in_the_way_is_go_and_each_obstacle_is_named";
/// The whole table of classes and states.
const EACH_CLASS: &str = "interlock::tests::in_use_never_reboots_and_unknown_only_as_the_makers_class_says";

/// Every breakage of a refusal that a named test must catch.
pub const REFUSALS: &[Breakage] = &[
    rule(
        "an order before its time",
        DECISION,
        (
            "let order = listed(case)?;\n    if now < order.not_before {",
            "let order = listed(case)?;\n    if now < order.not_before && false {",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "a way back after its time",
        DECISION,
        ("if now >= back.until {", "if now >= back.until && false {"),
        EACH_REFUSAL,
    ),
    rule(
        "a clock before the order",
        DECISION,
        ("if now < order.issued {", "if now < order.issued && false {"),
        EACH_REFUSAL,
    ),
    rule(
        "an order of another name",
        DECISION,
        ("Some(Ok(order)) if order.id != *case.id =>", "Some(Ok(order)) if order.id != *case.id && false =>"),
        EACH_REFUSAL,
    ),
    rule(
        "an order for other devices",
        DECISION,
        (
            "order.scope.covers(case.device, case.proof).map_err(|why| not_in_scope(order, why))?;",
            "let _ = order.scope.covers(case.device, case.proof);",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "a way back for other devices",
        DECISION,
        (
            "order.scope.covers_kind(case.device, case.proof).map_err(|why| not_in_scope(order, why))?;",
            "let _ = order.scope.covers_kind(case.device, case.proof);",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "another release of the maker",
        DECISION,
        (
            "if release.image.release != image.release {",
            "if release.image.release != image.release && false {",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "lengths that differ",
        DECISION,
        ("if release.image.length != image.length {", "if release.image.length != image.length && false {"),
        EACH_REFUSAL,
    ),
    rule(
        "hashes that differ",
        DECISION,
        ("if release.image.sha256 != image.sha256 {", "if release.image.sha256 != image.sha256 && false {"),
        EACH_REFUSAL,
    ),
    rule(
        "a release of another model",
        DECISION,
        ("if release.model != *device.model {", "if release.model != *device.model && false {"),
        EACH_REFUSAL,
    ),
    rule(
        "a release for another board",
        DECISION,
        (
            "if !release.hardware.contains(device.revision) {",
            "if !release.hardware.contains(device.revision) && false {",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "an order that was given up",
        DECISION,
        (
            "match device.given_up.iter().find(|given_up| given_up.order == order.id) {",
            "match device.given_up.iter().find(|_| false) {",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "an older release for an update",
        DECISION,
        (
            "if release.counter <= case.device.counter {",
            "if release.counter <= case.device.counter && false {",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "a way back for whoever did not come by it",
        DECISION,
        ("if confirmed { Ok(()) } else {", "if confirmed || true { Ok(()) } else {"),
        EACH_REFUSAL,
    ),
    rule(
        "a way back that leads forward",
        DECISION,
        (
            "if release.counter >= case.device.counter {",
            "if release.counter >= case.device.counter && false {",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "a release that must not be skipped",
        DECISION,
        (
            "if case.device.counter < release.min_from {",
            "if case.device.counter < release.min_from && false {",
        ),
        EACH_REFUSAL,
    ),
    rule(
        "an order for other counters",
        SCOPE,
        (
            "if !(*from_least..=*from_most).contains(&device.counter) =>",
            "if !(*from_least..=*from_most).contains(&device.counter) && false =>",
        ),
        "update::decide::tests::a_match_looks_at_model_hardware_and_the_installed_counter",
    ),
    rule(
        "a match of another model",
        SCOPE,
        (
            "Self::Match { model, .. } if model != device.model =>",
            "Self::Match { model, .. } if model != device.model && false =>",
        ),
        "update::decide::tests::a_match_looks_at_model_hardware_and_the_installed_counter",
    ),
    rule(
        "a match of another board",
        SCOPE,
        (
            "Self::Match { hardware, .. } if hardware != device.revision =>",
            "Self::Match { hardware, .. } if hardware != device.revision && false =>",
        ),
        "update::decide::tests::a_match_looks_at_model_hardware_and_the_installed_counter",
    ),
    rule(
        "a permit of any age",
        PERMIT,
        (
            "if !(0..=i64::from(permit_s) * 1000).contains(&age_ms) {",
            "if !(0..=i64::from(permit_s) * 1000).contains(&age_ms) && false {",
        ),
        "update::permit::tests::a_permit_is_fresh_for_its_seconds_of_the_monotonic_clock_and_not_one_longer",
    ),
    rule(
        "a permit after its end",
        PERMIT,
        ("if now.wall >= permit.until {", "if now.wall >= permit.until && false {"),
        "update::permit::tests::a_permit_is_fresh_for_its_seconds_of_the_monotonic_clock_and_not_one_longer",
    ),
    rule(
        "a halt that an offline order does not hear",
        PERMIT,
        (
            "if withheld { Err(PermitMiss::Withheld) } else { Ok(()) }",
            "if withheld && false { Err(PermitMiss::Withheld) } else { Ok(()) }",
        ),
        "update::permit::tests::an_offline_order_needs_no_answer_but_obeys_one_that_withholds",
    ),
    rule(
        "a clearance that is gone",
        GATE,
        ("still_cleared(cleared, look, now),", "still_cleared(cleared, look, now).or(Ok(())),"),
        EACH_OBSTACLE,
    ),
    rule(
        "a reboot outside the window",
        GATE,
        ("in_window(cleared, look, now),", "in_window(cleared, look, now).or(Ok(())),"),
        EACH_OBSTACLE,
    ),
    rule("a reboot without power", GATE, ("powered(look),", "powered(look).or(Ok(())),"), EACH_OBSTACLE),
    rule(
        "a reboot while in use",
        GATE,
        ("free(record, job, look),", "free(record, job, look).or(Ok(())),"),
        EACH_OBSTACLE,
    ),
    rule(
        "a battery of any charge",
        GATE,
        (
            "Power::Battery { percent } if percent >= limits::BATTERY_PERCENT => Ok(()),",
            "Power::Battery { percent } if percent >= limits::BATTERY_PERCENT || true => Ok(()),",
        ),
        EACH_OBSTACLE,
    ),
    rule(
        "a clearance after its end",
        GATE,
        ("if now.wall < again.until {", "if now.wall < again.until || true {"),
        EACH_OBSTACLE,
    ),
    rule(
        "a person's release untold",
        GATE,
        (
            "InterlockState::Unknown if counts => InterlockState::Standby,",
            "InterlockState::Unknown if counts && false => InterlockState::Standby,",
        ),
        "update::gate::tests::a_release_by_hand_counts_where_a_person_is_asked_and_is_told_as_that_persons_word",
    ),
    rule(
        "in use without a lease",
        INTERLOCK,
        ("if now >= self.until {", "if now >= self.until && !self.connected {"),
        "interlock::tests::in_use_ends_by_word_or_becomes_unknown_with_its_lease_and_never_free",
    ),
    rule(
        "a person's word for the application's",
        INTERLOCK,
        ("InterlockClass::Application => false,", "InterlockClass::Application => silence.released,"),
        EACH_CLASS,
    ),
    rule(
        "nobody's word for a person's",
        INTERLOCK,
        ("InterlockClass::Person => silence.released,", "InterlockClass::Person => true,"),
        EACH_CLASS,
    ),
    rule(
        "idle at once",
        INTERLOCK,
        ("InterlockClass::Idle => silence.idle || silence.released,", "InterlockClass::Idle => true,"),
        EACH_CLASS,
    ),
    rule(
        "a site that loosens",
        INTERLOCK,
        (
            "installed.max(offered).max(local.unwrap_or(InterlockClass::None))",
            "local.unwrap_or(installed.max(offered))",
        ),
        "interlock::tests::no_local_class_is_looser_than_the_makers",
    ),
    rule(
        "a release that outlives the next use",
        INTERLOCK,
        ("if claim == Claim::InUse {", "if claim == Claim::InUse && false {"),
        "interlock::tests::a_persons_release_stands_for_its_time_and_ends_with_the_next_use",
    ),
    rule(
        "silence while a lease runs",
        INTERLOCK,
        ("now.since(self.spoken.max(ended))", "now.since(self.spoken.max(ended.min(self.spoken)))"),
        "interlock::tests::silence_is_long_enough_after_the_last_word_and_never_while_a_lease_runs",
    ),
    rule(
        "no room for the next owner's versions",
        ("cordon-agent-core", "agent/core/src/update/record.rs"),
        (
            "of.as_ref().is_none_or(|of| !file.as_str().contains(of))",
            "of.as_ref().is_none_or(|of| !file.as_str().contains(of) || true)",
        ),
        "update::record::tests::no_number_of_owners_leaves_the_next_one_without_room_for_its_versions",
    ),
    rule(
        "a reboot of an image on its own word",
        ("cordon-agent-core", "agent/core/src/update/machine/trial.rs"),
        ("Confirm::Checkin => shown.checked_in,", "Confirm::Checkin => shown.checked_in || true,"),
        "update::machine::tests::a_trial_is_confirmed_only_with_hash_health_and_check_in_in_time",
    ),
    rule(
        "one place named twice for two copies",
        ("cordon-agent", "agent/src/boot/uboot.rs"),
        ("if !copies.contains(&copy) {", "if !copies.contains(&copy) || true {"),
        "boot::tests::what_is_missing_or_wrong_is_said_when_it_is_opened",
    ),
    rule(
        "a copy that cannot be synced",
        ("cordon-agent", "agent/src/boot/uboot.rs"),
        ("&& !path.contains(':'))", "&& !path.is_empty())"),
        "boot::tests::what_is_missing_or_wrong_is_said_when_it_is_opened",
    ),
    rule(
        "a bundle tried for ever",
        ("cordon-agent", "agent/src/run/updating/handed.rs"),
        ("&& (refused || self.is_of_no_use(now)) {", "&& (refused && false || self.is_of_no_use(now)) {"),
        "commands::bundle::tests::a_copy_that_will_never_be_taken_is_forgotten_and_the_reason_told",
    ),
    rule(
        "a try on what another one left",
        ("cordon-agent", "agent/src/run/carried.rs"),
        ("match std::fs::remove_dir_all(&place) {", "match std::io::Result::Ok(()) {"),
        "commands::bundle::tests::what_a_try_that_died_left_behind_is_no_roll_back",
    ),
    rule(
        "an ended bundle told as a snapshot",
        ("cordon-agent", "agent/src/run/carried.rs"),
        ("    stick.claim.holds_at(looker.now)?;", "    let _ = stick.claim.holds_at(looker.now);"),
        "commands::bundle::tests::every_bad_bundle_is_refused_by_name_and_leaves_no_trace",
    ),
    rule(
        "a lapsed word told later",
        ("cordon-agent", "agent/src/run/updating/view.rs"),
        ("|| said(before) != said(now)", "|| said(before) != said(now) && false"),
        "run::tests::bedside::a_word_of_use_that_lapses_is_told_at_once_while_an_update_waits",
    ),
    rule(
        "power looked at once",
        ("cordon-agent", "agent/src/run/updating.rs"),
        (
            "        self.power = self.device.power.power();",
            "        if self.power == Power::Unknown {\n            self.power = self.device.power.power();\n        }",
        ),
        "run::tests::bedside::power_that_goes_between_flag_and_reboot_takes_the_flag_back",
    ),
    rule(
        "a site's stricter class ignored",
        ("cordon-agent", "agent/src/run/updating.rs"),
        ("local_class: self.device.local_class,", "local_class: None,"),
        "run::tests::bedside::a_site_is_stricter_than_the_maker_and_never_looser",
    ),
];
