//! The breakages of an image's transport: the cap, the mirrors and what they learn, and what a synced offset means.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of a rule of transport that a named test must catch.
pub const TRANSPORT: &[Breakage] = &[
    Breakage {
        name: "a cap that is not kept",
        file: "agent/src/link/download.rs",
        find: "cap.pay(chunk.len()).await;",
        replace: "let _ = cap;",
        package: "cordon-agent",
        test: "run::tests::transport::a_capped_image_comes_no_faster_and_check_ins_do_not_wait_for_it",
    },
    Breakage {
        name: "a burst without a bound",
        file: "proto/src/update/fetch.rs",
        find: "self.paid = self.paid.max(now.saturating_sub(burst)).saturating_add(cost);",
        replace: "let _ = burst;\n        self.paid = self.paid.saturating_add(cost);",
        package: "cordon-proto",
        test: "update::fetch::tests::whatever_comes_the_cap_holds_over_every_stretch_and_costs_no_more_than_it_must",
    },
    Breakage {
        name: "a mirror held to more than the cap",
        file: "proto/src/update/fetch.rs",
        find: "bytes_per_s: limits::MIRROR_BYTES_PER_S.min(fair)",
        replace: "bytes_per_s: limits::MIRROR_BYTES_PER_S.max(fair.min(1))",
        package: "cordon-proto",
        test: "update::fetch::tests::a_mirror_is_asked_for_more_but_never_for_more_than_half_the_cap",
    },
    Breakage {
        name: "a liar asked again",
        file: "agent/src/run/updating/fetch.rs",
        find: "mirrors: !self.record.doubts_mirrors()",
        replace: "mirrors: true",
        package: "cordon-agent",
        test: "run::tests::transport::a_mirror_that_lies_is_found_out_at_the_end_and_the_server_alone_is_asked_from_then_on",
    },
    Breakage {
        name: "a liar that is not named",
        file: "agent/src/run/updating/effects.rs",
        find: "self.peers.mirrors.blame();",
        replace: "",
        package: "cordon-agent",
        test: "run::tests::transport::a_mirror_that_lies_is_found_out_at_the_end_and_the_server_alone_is_asked_from_then_on",
    },
    Breakage {
        name: "a mirror with another file believed",
        file: "agent/src/link/mirrors.rs",
        find: "if download.end() == Some(wanted.length) {",
        replace: "if true {",
        package: "cordon-agent",
        test: "run::tests::transport::mirrors_that_fail_are_followed_in_their_order_and_then_by_the_server_at_the_very_byte",
    },
    Breakage {
        name: "a slow mirror endured",
        file: "agent/src/link/mirrors.rs",
        find: "let pace = Pace::with_mirror(link.patience.stall, cap.as_ref().map(super::Cap::bytes_per_s));",
        replace: "let pace = Pace::with_mirror(link.patience.stall, Some(2));",
        package: "cordon-agent",
        test: "run::tests::transport::a_mirror_that_trickles_is_left_within_the_stall_limit",
    },
    Breakage {
        name: "an offset told before its sync",
        file: "agent/src/slot/writing.rs",
        find: "flush()?;\n        let _ = told.blocking_send(Told::Synced(offset));",
        replace: "let _ = told.blocking_send(Told::Synced(offset));\n        flush()?;",
        package: "cordon-agent",
        test: "slot::writing::tests::bytes_are_written_while_a_sync_is_under_way_and_none_is_told_before_its_sync_returned",
    },
    Breakage {
        name: "a failed sync beside the writing ignored",
        file: "agent/src/slot/writing.rs",
        find: "synced.map_err(failed)?;",
        replace: "let _ = synced;",
        package: "cordon-agent",
        test: "slot::writing::tests::a_sync_that_fails_behind_the_writing_is_never_told_as_done",
    },
    Breakage {
        name: "a lie that ends the writing is nobody's",
        file: "agent/src/run/updating/fetch.rs",
        find: "            self.peers.mirrors.blame();\n",
        replace: "",
        package: "cordon-agent",
        test: "run::updating::tests::folder::a_mirror_that_lies_in_the_archive_itself_is_named",
    },
    Breakage {
        name: "a mirror's bytes are nobody's",
        file: "agent/src/link/mirrors.rs",
        find: "            mirrors.sends(index);\n",
        replace: "            let _ = (mirrors, index);\n",
        package: "cordon-agent",
        test: "run::updating::tests::folder::a_mirror_that_lies_in_the_archive_itself_is_named",
    },
];
