//! The breakages of the search among connections: a device missed, a near miss taken, a question that nobody recorded.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;
use super::rooms::{server, server_core};

const INDEX: &str = "server/core/src/contacts.rs";
const SOUGHT: &str = "server/core/src/contacts/sought.rs";
const KEPT: &str = "server/src/app/contacts.rs";
const FORGOTTEN: &str =
    "contacts::tests::what_the_index_has_forgotten_or_never_knew_is_unknown_and_not_absent";
const FOUND: &str = "contacts::tests::a_peer_is_found_by_its_address_its_network_and_every_name_above_it";
const ASKED: &str = "http::operator::tests::contacts::who_talked_to_a_peer_since_a_day_is_answered_whole_and_each_question_is_recorded";

/// Every breakage of these rules that a named test must catch.
pub const CONTACTS: &[Breakage] = &[
    server_core(
        "what was forgotten counts as absent",
        INDEX,
        ("self.forgotten = self.forgotten.max(Some(last));", "let _ = last;"),
        FORGOTTEN,
    ),
    server_core(
        "days before the index count as known",
        INDEX,
        ("} else if since < self.since || self.forgotten", "} else if self.forgotten"),
        FORGOTTEN,
    ),
    server_core(
        "a name that only ends alike is taken",
        SOUGHT,
        ("rest.is_empty() || rest.ends_with('.')", "rest.is_empty() || rest.len() < 99"),
        FOUND,
    ),
    server_core(
        "another service of the same port is taken",
        SOUGHT,
        (
            "port.protocol.is_none_or(|protocol| protocol == row.protocol)",
            "port.protocol.is_none_or(|_| true)",
        ),
        FOUND,
    ),
    server(
        "rows that come are not indexed",
        "server/src/app/report.rs",
        ("self.keep_contacts(device, &news.flows, stored).await?;", ""),
        ASKED,
    ),
    server(
        "a device without an index is passed over",
        KEPT,
        (
            "if member.report.is_some() { Standing::Unknown } else { Standing::No }",
            "if member.report.is_some() { Standing::No } else { Standing::No }",
        ),
        "http::operator::tests::contacts::a_device_whose_rows_are_older_than_the_index_is_read_and_not_passed_over",
    ),
    server(
        "a search that nobody recorded",
        "server/src/http/operator/contacts.rs",
        ("Commit::draft(now, caller.actor.clone()).audit(entry)", "Commit::draft(now, caller.actor.clone())"),
        ASKED,
    ),
];
