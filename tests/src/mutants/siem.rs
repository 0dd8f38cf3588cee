//! The breakages of what a SIEM is told: one or two for each rule, from an escape to the receipt of a batch.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;
use super::rooms::{server, server_core};

const TOLD: &str = "server/core/src/siem.rs";
const CEF: &str = "server/core/src/siem/cef.rs";
const OCSF: &str = "server/core/src/siem/ocsf.rs";
const POSITION: &str = "server/core/src/siem/position.rs";
const SYSLOG: &str = "server/core/src/siem/syslog.rs";
const GATHER: &str = "server/src/siem/gather.rs";
const SENDER: &str = "server/src/siem.rs";
const SETTINGS: &str = "server/src/config/siem.rs";
const WAY: &str = "server/src/siem/way.rs";

/// Every breakage of these that a named test must catch.
pub const SIEM: &[Breakage] = &[
    server_core(
        "a device ends a line",
        TOLD,
        ("    c.is_control()\n        || matches!(", "    matches!("),
        "siem::tests::no_text_of_a_device_begins_a_message_a_field_or_an_end_of_line",
    ),
    server_core(
        "a device begins a field",
        CEF,
        ("        if c == '\\\\' || c == mark {", "        if c == '\\\\' {"),
        "siem::tests::no_text_of_a_device_begins_a_message_a_field_or_an_end_of_line",
    ),
    server_core(
        "a closed finding names its peer",
        TOLD,
        ("self.record.weighs() && self.activity() != Activity::Close", "self.activity() != Activity::Close"),
        "siem::tests::a_closed_finding_names_no_peer_any_more",
    ),
    server_core(
        "a line longer than receivers take",
        TOLD,
        ("if last.len() <= limits::SIEM_BODY_BYTES {", "if last.len() <= usize::MAX {"),
        "siem::tests::what_fits_no_line_is_cut_and_says_so",
    ),
    server_core(
        "a frame that counts characters",
        SYSLOG,
        ("format!(\"{} {text}\", text.len())", "format!(\"{} {text}\", text.chars().count())"),
        "siem::tests::no_text_of_a_device_begins_a_message_a_field_or_an_end_of_line",
    ),
    server_core(
        "no mark before a line that is not ASCII",
        SYSLOG,
        ("if message.text.is_ascii() { \"\" }", "if !message.text.is_empty() { \"\" }"),
        "siem::tests::a_message_that_is_not_all_ascii_begins_with_the_mark_and_one_of_ocsf_always_is",
    ),
    server_core(
        "a close told as an update",
        OCSF,
        ("Activity::Close => (3, \"Close\".to_owned()),", "Activity::Close => (2, \"Update\".to_owned()),"),
        "siem::tests::a_finding_is_created_updated_and_closed_and_its_connection_is_told_once",
    ),
    server_core(
        "a new SIEM is told closed findings",
        POSITION,
        ("record.history.last().filter(|_| record.weighs());", "record.history.last();"),
        "siem::tests::a_walk_tells_open_findings_once_and_later_what_was_missed",
    ),
    server_core(
        "a silent SIEM is told of to nobody",
        POSITION,
        (">= SILENT_S).then(||", ">= SILENT_S * 24).then(||"),
        "siem::tests::a_siem_that_takes_nothing_for_an_hour_is_told",
    ),
    server(
        "events in the open",
        SETTINGS,
        ("if !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {", "if host.is_empty() {"),
        "config::siem::tests::what_a_siem_cannot_be_is_said_at_the_start",
    ),
    server(
        "written is taken for read",
        WAY,
        (
            "    closed.map_err(|error| SendError::Broken(to.to_owned(), error))\n",
            "    drop(closed);\n    Ok(())\n",
        ),
        "siem::tests::a_siem_that_asks_for_our_certificate_is_shown_it",
    ),
    server(
        "the position moves although nothing arrived",
        SENDER,
        ("let failed = held.position.clone().failed(", "let failed = batch.then.clone().failed("),
        "siem::tests::a_siem_that_goes_away_in_the_middle_gets_everything_when_it_is_back",
    ),
    server(
        "a restart begins anew",
        GATHER,
        (
            "Findings::Follow { after, .. } => batch.follow(app, siem, Revision(after)).await?,",
            "Findings::Follow { .. } => batch.follow(app, siem, Revision(0)).await?,",
        ),
        "siem::tests::a_findings_life_arrives_in_order_and_a_restart_goes_on_where_it_was",
    ),
];
