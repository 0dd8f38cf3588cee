//! The breakages of the air gap: one for each rule of a bundle, from its signatures to whose counter it is.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of a bundle's rule that a named test must catch.
pub const AIR_GAP: &[Breakage] = &[
    Breakage {
        name: "expired bundle accepted",
        file: "proto/src/update/bundle.rs",
        find: "if now >= self.expires {",
        replace: "if false && now >= self.expires {",
        package: "cordon-proto",
        test: "update::bundle::tests::each_end_of_a_bundles_life_is_exact_to_the_second",
    },
    Breakage {
        name: "an old stick accepted",
        file: "proto/src/update/bundle.rs",
        find: "if self.counter < kept.counter {",
        replace: "if false && self.counter < kept.counter {",
        package: "cordon-proto",
        test: "update::bundle::tests::an_older_stick_and_another_one_with_the_same_counter_are_refused",
    },
    Breakage {
        name: "another bundle with the same counter accepted",
        file: "proto/src/update/bundle.rs",
        find: "if self.counter == kept.counter && kept.digest != Some(digest) {",
        replace: "if false && kept.digest != Some(digest) {",
        package: "cordon-proto",
        test: "update::bundle::tests::an_older_stick_and_another_one_with_the_same_counter_are_refused",
    },
    Breakage {
        name: "a bundle without its signatures",
        file: "proto/src/update/bundle.rs",
        find: "document.demand(orders, verifier).map_err(BundleFault::Index)?;",
        replace: "let _ = (orders, verifier);",
        package: "cordon-proto",
        test: "update::bundle::tests::a_bundle_that_enough_people_signed_is_opened_and_no_other",
    },
    Breakage {
        name: "another owner's bundle accepted",
        file: "proto/src/update/bundle.rs",
        find: "if self.director != against.director {",
        replace: "if false && self.director != against.director {",
        package: "cordon-proto",
        test: "update::bundle::tests::another_owners_bundle_is_refused",
    },
    Breakage {
        name: "a bent file of a bundle accepted",
        file: "agent/src/stick.rs",
        find: "bundle::check(path, listed, &bytes)?;",
        replace: "let _ = listed;",
        package: "cordon-agent",
        test: "commands::bundle::tests::a_copy_that_was_bent_or_cut_off_on_the_device_is_not_taken",
    },
    Breakage {
        name: "a bundle's counter is not kept",
        file: "agent/src/run/updating/handed.rs",
        find: "self.record.raise_bundle(opened.kept);",
        replace: "let _ = opened.kept;",
        package: "cordon-agent",
        test: "commands::bundle::tests::an_old_stick_is_refused_and_the_very_same_one_goes_on",
    },
    Breakage {
        name: "another owner's counter for this one's",
        file: "agent/core/src/update/record.rs",
        find: "self.exchange_bundles(owner.place);",
        replace: "",
        package: "cordon-agent-core",
        test: "update::record::tests::each_owner_has_its_own_last_bundle_which_never_falls",
    },
    Breakage {
        name: "an owner's counter forgotten",
        file: "agent/core/src/update/record.rs",
        find: "self.aside.push(Aside { place: self.place(), counter, digest });",
        replace: "let _ = (counter, digest);",
        package: "cordon-agent-core",
        test: "update::record::tests::each_owner_has_its_own_last_bundle_which_never_falls",
    },
    Breakage {
        name: "a bundle that outlives its owner",
        file: "agent/src/run/leaving.rs",
        find: "stick::forget(state)?;",
        replace: "",
        package: "cordon-agent",
        test: "commands::owner::tests::a_loan_its_return_and_no_replay_of_the_loan",
    },
    Breakage {
        name: "another owner's receipts on the stick",
        file: "agent/src/commands/bundle.rs",
        find: "let outbox = SecurityStore::new(state.clone()).owners(receipts::FOLDER);",
        replace: "let outbox = receipts::FOLDER;",
        package: "cordon-agent",
        test: "commands::bundle::tests::each_owner_has_sticks_receipts_and_metadata_of_its_own",
    },
];
