//! The breakages of feeds on a server, of lists on a page, of papers and declared files: what would make something look safe.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of these that a named test must catch.
pub const FEEDS: &[Breakage] = &[
    Breakage {
        name: "a feed without its file counts as restored",
        file: "server/src/care/restore.rs",
        find: "let is_missing = |feed: &Feed| here.binary_search(&feed.sha256).is_err();",
        replace: "let is_missing = |_: &Feed| here.len() == usize::MAX;",
        package: "cordon-server",
        test: "care::backup::tests::feeds_come_back_with_their_files_and_one_without_is_named",
    },
    Breakage {
        name: "an example key speaks for a feed",
        file: "server/src/serve.rs",
        find: "config.feeds.signed_by_anybody().filter(|_| !is_trial)",
        replace: "config.feeds.signed_by_anybody().filter(|_| is_trial && !is_trial)",
        package: "cordon-server",
        test: "example::tests::a_server_believes_no_feed_by_an_example_key_outside_a_trial",
    },
    Breakage {
        name: "a feed that was removed goes on in the metrics",
        file: "server/src/metrics.rs",
        find: "family.remove(labels);",
        replace: "",
        package: "cordon-server",
        test: "metrics::tests::what_was_counted_stands_in_the_text",
    },
    Breakage {
        name: "a list does something else than was shown",
        file: "server/src/http/console/asset_import.rs",
        find: "if outline(&plan) != waiting.outline {",
        replace: "if outline(&plan) != outline(&plan) {",
        package: "cordon-server",
        test: "http::console::tests::assets::a_list_is_shown_with_what_it_would_do_before_it_does_it",
    },
    Breakage {
        name: "a filter that is not understood is passed over",
        file: "server/src/http/operator/vulnerabilities.rs",
        find: "pairs.iter().find(|(name, _)| known.iter().all(|(known, _)| known != name))",
        replace: "pairs.iter().find(|(name, _)| name.is_empty())",
        package: "cordon-server",
        test: "http::operator::tests::feeds::the_list_of_vulnerabilities_is_a_file_of_the_api",
    },
    Breakage {
        name: "components inside others are not counted",
        file: "server/core/src/import/form.rs",
        find: "count = count.saturating_add(one.count()).saturating_add(1);",
        replace: "count = count.saturating_add(u64::from(one.count() < u64::MAX));",
        package: "cordon-server-core",
        test: "import::form::tests::known_forms_are_named_and_counted_and_others_are_not_readable",
    },
    Breakage {
        name: "a bill of materials that nobody reads is signed",
        file: "ctl/src/release/papers.rs",
        find: "if self == Self::Sbom {",
        replace: "if self == Self::Sbom && bytes.is_empty() {",
        package: "cordon-ctl",
        test: "release::papers::tests::a_bill_of_materials_that_no_server_reads_is_not_signed",
    },
    Breakage {
        name: "a declared file that cannot be read looks sound",
        file: "agent/src/host/declared.rs",
        find: "(false, false) => UNKNOWN,",
        replace: "(false, false) => \"yes\",",
        package: "cordon-agent",
        test: "host::declared::tests::a_file_that_is_not_as_declared_has_a_row_and_one_that_cannot_be_read_is_unknown",
    },
];
