//! The breakages of the evidence: receipts on a workstation, the pack and its seal, the measures, the calendar, the watch.
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

/// The same for a rule of the workstation.
const fn desk(
    name: &'static str,
    file: &'static str,
    (find, replace): (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    Breakage { name, file, find, replace, package: "cordon-ctl", test }
}

/// The same for a rule of the console's pages.
const fn page(
    name: &'static str,
    file: &'static str,
    (find, replace): (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    Breakage { name, file, find, replace, package: "cordon-server", test }
}

const CALENDAR: &str = "server/core/src/rollout/calendar.rs";
const LINE: &str = "server/core/src/evidence/line.rs";
const MEASURES: &str = "server/core/src/evidence/measures.rs";
const RECEIPTS: &str = "ctl/src/order/receipts.rs";
const REPORT: &str = "server/core/src/evidence/report.rs";
const TRUST: &str = "server/core/src/evidence/trust.rs";
const VERIFY: &str = "server/core/src/evidence/verify.rs";
const WATCH: &str = "ctl/src/rollouts/watch.rs";

/// Every breakage of the evidence that a named test must catch.
pub const EVIDENCE: &[Breakage] = &[
    ground(
        "a dropped line of a pack is not missed",
        VERIFY,
        ("return Err(self.differs(seal));", "return Ok(());"),
        "evidence::tests::every_line_that_is_dropped_doubled_or_moved_is_named",
    ),
    ground(
        "any audit log may seal a pack",
        VERIFY,
        ("if head.head().log != anchors.log {", "if false {"),
        "evidence::tests::a_reader_with_other_anchors_believes_nothing",
    ),
    ground(
        "a line of a pack has two forms",
        LINE,
        ("if line.to_bytes() == bytes {", "if !bytes.is_empty() {"),
        "evidence::tests::lines_read_back_in_one_form_only",
    ),
    ground(
        "any root is the owner's in a pack",
        TRUST,
        ("if found != anchor {", "if false {"),
        "evidence::tests::a_reader_with_other_anchors_believes_nothing",
    ),
    ground(
        "a receipt of before counts in a pack",
        VERIFY,
        ("body.order == order.id && image && body.time >= order.issued", "body.order == order.id && image"),
        "evidence::tests::a_receipt_of_before_or_of_another_image_counts_for_nothing_and_breaks_nothing",
    ),
    ground(
        "a device that went back is patched",
        MEASURES,
        (
            "pack.receipts.iter().filter(|body| body.outcome == Outcome::Confirmed);",
            "pack.receipts.iter().filter(|body| body.outcome != Outcome::Refused);",
        ),
        "evidence::tests::a_receipt_of_before_or_of_another_image_counts_for_nothing_and_breaks_nothing",
    ),
    ground(
        "a maker is told what nobody approved",
        REPORT,
        ("let fields = approved.iter().filter_map(", "let fields = Field::ALL.iter().filter_map("),
        "evidence::tests::a_makers_report_holds_no_field_that_nobody_approved",
    ),
    ground(
        "the calendar looks past a hold",
        CALENDAR,
        ("(false, _) => day.held += 1,", "(false, _) => day.devices += 1,"),
        "rollout::calendar::tests::a_hold_takes_the_nights_that_it_covers_to_their_end",
    ),
    desk(
        "a receipt counts without its chain",
        RECEIPTS,
        (".filter(|_| anchored(chain, anchors))?;", "?;"),
        "order::receipts::tests::what_no_device_of_the_owner_signed_does_not_count",
    ),
    desk(
        "who proved nothing is not named",
        RECEIPTS,
        ("list.without(|device| last.contains_key(device))", "list.without(|_| !last.is_empty())"),
        "order::receipts::tests::who_proved_nothing_is_named_and_an_older_order_of_the_same_name_proves_nothing",
    ),
    desk(
        "a watch ends well although it halted",
        WATCH,
        ("\"finished\" | \"returned\" => {", "\"finished\" | \"returned\" | \"halted\" => {"),
        "tests::watching::a_rollout_is_followed_to_its_end_and_the_exit_status_says_which",
    ),
    page(
        "a reader changes what the pages offer",
        "server/src/http/console/visitor.rs",
        (
            "if !self.caller.role.may(access) {",
            "if !self.caller.role.may(Access::Read) && access != Access::Read {",
        ),
        "http::console::tests::rollouts::whoever_may_stop_stops_in_the_console_too",
    ),
    page(
        "an order in its last second called live",
        "server/src/ui/orders.rs",
        ("() if now >= expires => Self::Over(expires),", "() if now > expires => Self::Over(expires),"),
        "ui::orders::tests::an_order_is_ahead_in_force_or_over",
    ),
    page(
        "a device that rolled back called patched",
        "server/src/http/console/evidence.rs",
        ("known.outcome == Some(Outcome::Confirmed) && !went_back", "known.outcome.is_some() && !went_back"),
        "http::console::tests::evidence::the_measures_count_receipts_and_say_what_is_unknown",
    ),
    page(
        "a device that never confirmed offered for use",
        "server/src/http/console/acceptance.rs",
        ("!= Some(Outcome::Confirmed) {", "== Some(Outcome::Refused) {"),
        "http::console::tests::rollouts::a_person_returns_a_device_to_use",
    ),
    page(
        "a bar that hides who went back",
        "server/src/ui/wave_bar.rs",
        (
            "[(tally.already, \"had it already\"), (tally.returned, \"went back\")]",
            "[(tally.already, \"had it already\"), (0, \"went back\")]",
        ),
        "ui::wave_bar::tests::what_went_back_is_not_drawn_as_confirmed",
    ),
    desk(
        "anybody signs a report to a maker",
        "ctl/src/evidence/people.rs",
        (
            "if self.role_of(key).is_some() {",
            "if self.role_of(key).is_some() || !self.documents.is_empty() {",
        ),
        "tests::reports::a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers",
    ),
    desk(
        "a report in another form read",
        "ctl/src/evidence/people.rs",
        ("if value.json() != bytes {", "if value.json().len() > bytes.len() {"),
        "tests::reports::a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers",
    ),
    desk(
        "a changed report read",
        "ctl/src/evidence/people.rs",
        (
            "if alone.is_some_and(|alone| document.demand(&alone, rules.verifier).is_ok()) {",
            "if alone.is_some_and(|alone| document.demand(&alone, rules.verifier).is_ok() || key.id() == signature.key) {",
        ),
        "tests::reports::a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers",
    ),
    desk(
        "the proof of a report's signature changed",
        "ctl/src/evidence/people.rs",
        (
            "if signed.text(PEOPLE).map_err(odd)? != digest(&people.documents).to_string() {",
            "if signed.text(PEOPLE).map_err(odd)?.is_empty() {",
        ),
        "tests::reports::a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers",
    ),
];
