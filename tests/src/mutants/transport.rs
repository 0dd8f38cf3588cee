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
        find: "let mirrors = !self.record.doubts_mirrors() && self.trusts_mirrors();",
        replace: "let mirrors = true;",
        package: "cordon-agent",
        test: "run::tests::transport::a_mirror_that_lies_is_found_out_at_the_end_and_the_server_alone_is_asked_from_then_on",
    },
    Breakage {
        name: "a liar that is not named",
        file: "agent/src/run/updating/proving.rs",
        find: "self.peers.mirrors.blame();",
        replace: "",
        package: "cordon-agent",
        test: "run::tests::transport::a_mirror_that_lies_is_found_out_at_the_end_and_the_server_alone_is_asked_from_then_on",
    },
    Breakage {
        name: "a mirror with another file believed",
        file: "agent/src/link/mirrors.rs",
        find: "let ends = download.end() == Some(wanted.end());",
        replace: "let ends = true;",
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
        name: "a part of another place believed",
        file: "agent/src/link/mirrors.rs",
        find: "Some(_) if ends && download.start() == wanted.from => {",
        replace: "Some(_) if ends || download.start() < wanted.length => {",
        package: "cordon-agent",
        test: "link::mirrors::tests::a_part_comes_from_the_first_mirror_that_has_it_and_else_from_the_server_at_the_very_byte",
    },
    Breakage {
        name: "a mirror blamed for the server's part",
        file: "agent/src/link/mirrors.rs",
        find: "                standing.lately = false;\n",
        replace: "",
        package: "cordon-agent",
        test: "link::mirrors::tests::only_who_sent_of_the_last_part_is_blamed_for_it",
    },
    Breakage {
        name: "a liar hidden from the server",
        file: "agent/src/run/updating/view.rs",
        find: "        self.name_mirrors(&mut update);\n",
        replace: "",
        package: "cordon-agent",
        test: "run::tests::transport::a_mirror_that_lies_is_found_out_at_the_end_and_the_server_alone_is_asked_from_then_on",
    },
];
