//! The breakages of the evidence: receipts on a workstation, the pack and its seal, the measures, the calendar, the watch.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;
use super::rooms::{ctl, server, server_core};

const ACTS: &str = "server/src/http/console/acts/rollouts.rs";
const CALENDAR: &str = "server/core/src/rollout/calendar.rs";
const KEPT: &str = "server/core/src/evidence/kept.rs";
const HOLD: &str = "server/core/src/rollout/hold.rs";
const JUDGE: &str = "ctl/src/evidence/judge.rs";
const LINE: &str = "server/core/src/evidence/line.rs";
const MEASURES: &str = "server/core/src/evidence/measures.rs";
const RECEIPTS: &str = "ctl/src/order/receipts.rs";
const REPORT: &str = "server/core/src/evidence/report.rs";
const TRUST: &str = "server/core/src/evidence/trust.rs";
const VERIFIED: &str = "server/core/src/evidence/verified.rs";
const VERIFY: &str = "server/core/src/evidence/verify.rs";
const WATCH: &str = "ctl/src/rollouts/watch.rs";

/// Every breakage of the evidence that a named test must catch.
pub const EVIDENCE: &[Breakage] = &[
    server_core(
        "a dropped line of a pack is not missed",
        VERIFY,
        ("return Err(self.differs(seal));", "return Ok(());"),
        "evidence::tests::every_line_that_is_dropped_doubled_or_moved_is_named",
    ),
    server_core(
        "any audit log may seal a pack",
        VERIFY,
        ("if head.head().log != log {", "if false {"),
        "evidence::tests::a_reader_with_other_anchors_believes_nothing",
    ),
    server_core(
        "a kept head is worth its key alone",
        VERIFY,
        ("continued(&self.earlier, kept, (line, &head))?;", "continued(&self.earlier, &[], (line, &head))?;"),
        "evidence::tests::a_head_that_was_kept_holds_the_log_of_a_pack_to_its_past",
    ),
    server_core(
        "a pack goes on from a head by its size",
        KEPT,
        ("if one.head().root == kept.head().root => Ok(()),", "if one.size() == kept.size() => Ok(()),"),
        "evidence::tests::a_head_that_was_kept_holds_the_log_of_a_pack_to_its_past",
    ),
    server_core(
        "an earlier head goes on without a proof",
        KEPT,
        ("if !proof.proves(&earlier.head().root, &head.head().root) {", "if proof.first > proof.second {"),
        "evidence::tests::a_head_that_was_kept_holds_the_log_of_a_pack_to_its_past",
    ),
    server_core(
        "a clock that jumps ahead takes a hold away",
        HOLD,
        ("(false, None) => Some(Passing::Lapses),", "(false, None) => Some(Passing::Goes),"),
        "rollout::hold::tests::a_hold_that_is_over_stays_a_week_and_holds_again_where_the_clock_was_ahead",
    ),
    server_core(
        "what a pause leaves is planned for tonight",
        CALENDAR,
        ("match (rollout.moves() || goes, wave.started) {", "match (rollout.is_open(), wave.started) {"),
        "rollout::calendar::tests::a_rollout_that_stands_still_disturbs_nobody_and_a_return_those_who_confirmed",
    ),
    server_core(
        "a line of a pack has two forms",
        LINE,
        ("if line.to_bytes() == bytes {", "if !bytes.is_empty() {"),
        "evidence::tests::lines_read_back_in_one_form_only",
    ),
    server_core(
        "any root is the owner's in a pack",
        TRUST,
        ("if found != anchor {", "if false {"),
        "evidence::tests::a_reader_with_other_anchors_believes_nothing",
    ),
    server_core(
        "a receipt of before counts in a pack",
        VERIFIED,
        ("body.order == order.id && image && body.time >= order.issued", "body.order == order.id && image"),
        "evidence::tests::a_receipt_of_before_or_of_another_image_counts_for_nothing_and_breaks_nothing",
    ),
    server_core(
        "a device that went back is patched",
        MEASURES,
        ("since.remove(&body.hardware);", "since.entry(body.hardware).or_insert(body.time);"),
        "evidence::tests::a_receipt_of_before_or_of_another_image_counts_for_nothing_and_breaks_nothing",
    ),
    server_core(
        "a receipt counts for an issue that is not the last it can answer",
        VERIFIED,
        ("answered.max_by_key(|(_, approved)|", "answered.min_by_key(|(_, approved)|"),
        "evidence::tests::a_receipt_counts_for_the_very_issue_that_it_answers",
    ),
    server_core(
        "a receipt counts for every issue of its order",
        VERIFIED,
        ("filter(move |word| Some(word.issue) == issue)", "filter(move |word| Some(word.issue) >= issue)"),
        "evidence::tests::a_receipt_counts_for_the_very_issue_that_it_answers",
    ),
    server_core(
        "a device that was enrolled twice is two",
        VERIFIED,
        (
            "let known = last.entry((issue, body.hardware)).or_insert(body);",
            "let name = alloc::format!(\"{}\", body.device);
            let name = HardwareId(cordon_proto::ids::Sha256::of(name.as_bytes()).0);
            let known = last.entry((issue, name)).or_insert(body);",
        ),
        "evidence::tests::a_device_that_was_enrolled_twice_is_one_device",
    ),
    server_core(
        "a second identity of a device is not told",
        VERIFIED,
        (".filter(|names| names.len() > 1)", ".filter(|names| names.len() > 2)"),
        "evidence::tests::a_device_that_was_enrolled_twice_is_one_device",
    ),
    server_core(
        "an order signed anew doubles the devices that were to have it",
        MEASURES,
        ("in pack.orders.iter().filter(last) {", "in pack.orders.iter().filter(|one| last(one) || true) {"),
        "evidence::tests::a_receipt_counts_for_the_very_issue_that_it_answers",
    ),
    ctl(
        "a receipt of hardware outside the list counts in a pack",
        JUDGE,
        (
            ".is_none_or(|list| list.contains(device)));",
            ".is_none_or(|list| list.count() > 0 || list.contains(device)));",
        ),
        "evidence::tests::a_receipt_of_hardware_that_is_not_on_the_list_counts_for_nothing",
    ),
    server_core(
        "a maker is told what nobody approved",
        REPORT,
        ("let fields = approved.iter().filter_map(", "let fields = Field::ALL.iter().filter_map("),
        "evidence::tests::a_makers_report_holds_no_field_that_nobody_approved",
    ),
    server_core(
        "the calendar looks past a hold",
        CALENDAR,
        ("(false, _) => day.held += 1,", "(false, _) => day.devices += 1,"),
        "rollout::calendar::tests::a_hold_takes_the_nights_that_it_covers_to_their_end",
    ),
    ctl(
        "a receipt counts without its chain",
        RECEIPTS,
        (".filter(|_| anchored(chain, anchors))?;", "?;"),
        "order::receipts::tests::what_no_device_of_the_owner_signed_does_not_count",
    ),
    ctl(
        "a certificate speaks for any device",
        RECEIPTS,
        (
            ".filter(|body| speaks_for(&leaf, body.device))",
            ".filter(|body| speaks_for(&leaf, body.device) || true)",
        ),
        "order::receipts::tests::a_certificate_speaks_for_its_own_device_alone",
    ),
    ctl(
        "who proved nothing is not named",
        RECEIPTS,
        ("list.without(|device| last.contains_key(device))", "list.without(|_| !last.is_empty())"),
        "order::receipts::tests::who_proved_nothing_is_named_and_an_older_order_of_the_same_name_proves_nothing",
    ),
    ctl(
        "a watch ends well although it halted",
        WATCH,
        ("\"finished\" | \"returned\" => {", "\"finished\" | \"returned\" | \"halted\" => {"),
        "tests::watching::a_rollout_is_followed_to_its_end_and_the_exit_status_says_which",
    ),
    server(
        "a reader changes what the pages offer",
        "server/src/http/console/visitor.rs",
        (
            "if self.caller.role.may(access) {",
            "if self.caller.role.may(Access::Read) || access == Access::Read {",
        ),
        "http::console::tests::rollouts::whoever_may_stop_stops_in_the_console_too",
    ),
    server(
        "an order in its last second called live",
        "server/src/ui/orders.rs",
        ("() if now >= expires => Self::Over(expires),", "() if now > expires => Self::Over(expires),"),
        "ui::orders::tests::an_order_is_ahead_in_force_or_over",
    ),
    server(
        "a device that rolled back called patched",
        "server/src/http/console/evidence.rs",
        ("known.outcome == Some(Outcome::Confirmed) && !went_back", "known.outcome.is_some() && !went_back"),
        "http::console::tests::evidence::the_measures_count_receipts_and_say_what_is_unknown",
    ),
    server(
        "a device that never confirmed offered for use",
        "server/src/http/console/acceptance.rs",
        ("!= Some(Outcome::Confirmed) {", "== Some(Outcome::Refused) {"),
        "http::console::tests::rollouts::a_person_returns_a_device_to_use",
    ),
    server(
        "a bar that hides who went back",
        "server/src/ui/wave_bar.rs",
        (
            "[(tally.already, \"had it already\"), (tally.returned, \"went back\")]",
            "[(tally.already, \"had it already\"), (0, \"went back\")]",
        ),
        "ui::wave_bar::tests::what_went_back_is_not_drawn_as_confirmed",
    ),
    server(
        "a clinical engineer ends a rollout in the console",
        ACTS,
        ("\"stop\" | \"pause\")", "\"stop\" | \"pause\" | \"abort\")"),
        "http::console::tests::endings::a_page_offers_to_each_role_what_it_may_and_stop_to_all",
    ),
    server(
        "a reader is offered a pause",
        "server/src/ui/rollouts/acts.rs",
        ("self.page.rights.stop && matches!", "matches!"),
        "http::console::tests::endings::a_page_offers_to_each_role_what_it_may_and_stop_to_all",
    ),
    server(
        "a question that hides who is under way",
        ACTS,
        ("{ 0 } else { all.installing };", "{ all.installing } else { 0 };"),
        "http::console::tests::endings::a_person_pauses_resumes_and_finishes_from_the_page_and_other_pages_hear_of_it",
    ),
    server(
        "ending for good hides who may go back",
        ACTS,
        ("{ to_go_back(fleet) } else { 0 };", "{ 0 } else { to_go_back(fleet) };"),
        "http::console::tests::endings::ending_for_good_leaves_the_way_back_open_and_says_so",
    ),
    server_core(
        "an order that is in force called withdrawn",
        "server/core/src/withdrawn.rs",
        ("!after.contains(order) && !in_force.contains(order)", "!after.contains(order)"),
        "withdrawn::tests::what_the_next_document_does_not_list_was_withdrawn_by_it",
    ),
    server(
        "an order that was over called withdrawn",
        "server/src/repositories/withdrawn.rs",
        ("is_some_and(|(_, at)| *at >= gone.order.expires)", "is_some_and(|(_, at)| *at < Timestamp(0))"),
        "http::console::tests::orders::an_order_that_was_taken_back_says_by_whom_when_and_what_it_ended",
    ),
    server(
        "a person's stop called the end of a withdrawn order",
        "server/src/http/console/orders/withdrawn.rs",
        (
            "if by.starts_with(\"server:\") && since(*at) =>",
            "if by.starts_with(\"server:\") || !since(*at) =>",
        ),
        "http::console::tests::orders::an_order_that_was_taken_back_says_by_whom_when_and_what_it_ended",
    ),
    server_core(
        "a rollout of a release that its maker took back",
        "server/core/src/rollout/opening.rs",
        ("if !listed.still {", "if !listed.still && !image_is_here {"),
        "rollout::opening::tests::a_rollout_of_what_is_not_here_is_refused_by_the_rule_that_says_so",
    ),
    ctl(
        "a maker's late clock signs a release",
        "ctl/src/clock.rs",
        ("if expires >= ends {", "if expires > Timestamp(0) || expires >= ends {"),
        "tests::clocks::a_maker_whose_clock_is_a_year_behind_or_ahead_signs_no_release",
    ),
    ctl(
        "a bundle that lacks an image is taken in",
        "ctl/src/release/import.rs",
        (
            "in_folder(&maker.folder, &release.image.release, file)?;",
            "let _ = in_folder(&maker.folder, &release.image.release, file);",
        ),
        "tests::importing::a_bundle_that_lacks_a_target_is_refused_at_import_by_the_name_of_what_is_missing",
    ),
    server(
        "a stopped rollout without an order told to go on",
        "server/src/http/console/rollout.rs",
        ("if !self.is_in_force() => {", "if self.is_in_force() => {"),
        "http::console::tests::rollouts::a_page_names_who_stopped_it_in_words_and_advises_only_what_can_be_done",
    ),
    Breakage {
        name: "an order for who runs it already",
        file: "proto/src/update/order.rs",
        find: "&& *from_least >= release.counter",
        replace: "&& *from_least > release.counter",
        package: "cordon-proto",
        test: "update::order::tests::a_person_is_kept_from_signing_what_no_device_could_follow",
    },
    ctl(
        "anybody signs a report to a maker",
        "ctl/src/evidence/people.rs",
        (
            "if self.role_of(key).is_some() {",
            "if self.role_of(key).is_some() || !self.documents.is_empty() {",
        ),
        "tests::reports::a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers",
    ),
    ctl(
        "a report in another form read",
        "ctl/src/evidence/people.rs",
        ("if value.json() != bytes {", "if value.json().len() > bytes.len() {"),
        "tests::reports::a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers",
    ),
    ctl(
        "a changed report read",
        "ctl/src/evidence/people.rs",
        (
            "if alone.is_some_and(|alone| document.demand(&alone, rules.verifier).is_ok()) {",
            "if alone.is_some_and(|alone| document.demand(&alone, rules.verifier).is_ok() || key.id() == signature.key) {",
        ),
        "tests::reports::a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers",
    ),
    ctl(
        "the proof of a report's signature changed",
        "ctl/src/evidence/people.rs",
        (
            "if signed.text(PEOPLE).map_err(odd)? != digest(&people.documents).to_string() {",
            "if signed.text(PEOPLE).map_err(odd)?.is_empty() {",
        ),
        "tests::reports::a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers",
    ),
];
