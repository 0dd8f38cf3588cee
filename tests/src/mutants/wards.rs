//! The breakages of what the wards found: words of before a go, and receipts under a clock that was set back.
//!
//! Read next: `rollouts.rs` for the other rules of the engine, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of these rules that a named test must catch.
pub const WARDS: &[Breakage] = &[
    Breakage {
        name: "a word of before the go takes it back",
        file: "server/core/src/rollout/facts.rs",
        find: "let since = self.heard.is_none_or(",
        replace: "let since = true || self.heard.is_none_or(",
        package: "cordon-server-core",
        test: "rollout::tests::a_word_of_before_the_go_takes_no_go_back",
    },
    Breakage {
        name: "our own clock alone makes a receipt old",
        file: "server/core/src/rollout/receipt.rs",
        find: "let later = received.max(receipt.time);",
        replace: "let later = received;",
        package: "cordon-server-core",
        test: "rollout::offer_tests::only_the_receipt_of_this_order_this_image_and_an_open_row_ends_it",
    },
];
