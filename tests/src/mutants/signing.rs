//! The breakages of the signing room: who must sign, what a server may bend, clocks, ends, and drafts side by side.
//!
//! Read next: `desk.rs` for what leaves the desk on a stick, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of a check of the signing room that a named test must catch.
pub const SIGNING: &[Breakage] = &[
    Breakage {
        name: "a rotation by the new people alone",
        file: "ctl/src/repo/signatories.rs",
        find: "parties: vec![party(before), party(after)]",
        replace: "parties: vec![party(after)]",
        package: "cordon-ctl",
        test: "tests::rotation::a_rotation_is_signed_by_the_people_of_both_roots_and_by_nobody_else",
    },
    Breakage {
        name: "a bent document of a draft signed",
        file: "ctl/src/order/pulled.rs",
        find: "|| !same {",
        replace: "{",
        package: "cordon-ctl",
        test: "tests::drafts::a_draft_that_was_bent_on_the_server_is_shown_as_bent_and_not_signed",
    },
    Breakage {
        name: "a draft signed over other orders",
        file: "ctl/src/order/pulled.rs",
        find: "if base != self.draft.base {",
        replace: "if base < self.draft.base {",
        package: "cordon-ctl",
        test: "tests::drafts::two_drafts_made_at_once_both_land_and_the_second_is_signed_anew",
    },
    Breakage {
        name: "a workstation's late clock signs",
        file: "ctl/src/clock.rs",
        find: "if now.plus_seconds(limits::SIGNING_CLOCK_S) >= *at {",
        replace: "if *at > Timestamp(0) {",
        package: "cordon-ctl",
        test: "tests::clocks::a_workstation_a_year_behind_or_ahead_signs_no_order",
    },
    Breakage {
        name: "a clock far from the server's signs",
        file: "ctl/src/clock.rs",
        find: "if now.seconds_since(server).abs() <= limits::SERVER_CLOCK_S {",
        replace: "if now.seconds_since(server) <= limits::SERVER_CLOCK_S * 100_000 {",
        package: "cordon-ctl",
        test: "clock::tests::a_clock_a_day_from_the_servers_signs_nothing",
    },
    Breakage {
        name: "a timestamp that falls",
        file: "ctl/src/repo/timestamp.rs",
        find: "let version = (known + 1).max(snapshot.version);",
        replace: "let version = snapshot.version.max(known.min(1));",
        package: "cordon-ctl",
        test: "tests::rotation::a_timestamp_made_anew_goes_on_and_so_do_those_after_it",
    },
    Breakage {
        name: "another model's release signed",
        file: "ctl/src/release/sign.rs",
        find: "if named == delegation.name {",
        replace: "if !named.is_empty() {",
        package: "cordon-ctl",
        test: "tests::makers::papers_and_models_that_are_not_what_they_are_named_for_are_not_signed",
    },
    Breakage {
        name: "a paper of another kind signed",
        file: "ctl/src/release/papers.rs",
        find: "Self::Sbom if is_sbom(bytes) => Ok(()),",
        replace: "Self::Sbom if is_sbom(bytes) || !bytes.is_empty() => Ok(()),",
        package: "cordon-ctl",
        test: "release::papers::tests::a_paper_is_what_it_is_named_for",
    },
    Breakage {
        name: "one name for two orders of drafts",
        file: "proto/src/update/draft.rs",
        find: "if known.is_some_and(|known| known != order) || goes.contains(&order.id) {",
        replace: "if known.is_none() && goes.contains(&order.id) {",
        package: "cordon-proto",
        test: "update::draft::tests::two_drafts_over_one_base_both_land_or_say_why_not",
    },
    Breakage {
        name: "ends announced too late",
        file: "server/core/src/expiry.rs",
        find: "left <= i64::from(*days) * DAY_S).min()",
        replace: "left <= i64::from(*days) * DAY_S / 10).min()",
        package: "cordon-server-core",
        test: "expiry::tests::ends_are_announced_90_30_and_7_days_ahead_and_when_they_are_past",
    },
    Breakage {
        name: "the server believes every card",
        file: "server/src/verifier.rs",
        find: "Scheme::EcdsaP256 => by_ring(&ECDSA_P256_SHA256_ASN1, key, message, signature),",
        replace: "Scheme::EcdsaP256 => key.material().is_some(),",
        package: "cordon-server",
        test: "verifier::tests::the_server_counts_the_schemes_that_devices_count",
    },
    Breakage {
        name: "a draft written over another's",
        file: "server/src/drafts.rs",
        find: "let expected = expected.or(over).map_or(Expected::Absent, Expected::At);",
        replace: "let row = self.store.get(Key::Draft(name.clone())).await?; let expected = Expected::of(row.as_ref()); let _ = over;",
        package: "cordon-server",
        test: "http::operator::tests::drafts::a_draft_is_written_over_what_was_read_or_not_at_all",
    },
];
