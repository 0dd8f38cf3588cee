//! The breakages of bills of materials and CVSS.
//!
//! What would lose a component, a difference or a severity. Read next: `cordon_server_core::sbom`,
//! `cordon_server_core::cvss`, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of a reader, of a comparison or of a formula that a named test must catch.
pub const SBOMS: &[Breakage] = &[
    Breakage {
        name: "parts counted only at the end",
        file: "server/core/src/sbom/cyclonedx.rs",
        find: "if taken.components.len() >= limits::SBOM_COMPONENTS {",
        replace: "if taken.components.len() >= 2 * limits::SBOM_COMPONENTS {",
        package: "cordon-server-core",
        test: "sbom::tests::more_parts_than_are_read_are_refused_while_they_are_read",
    },
    Breakage {
        name: "nested parts passed over",
        file: "server/core/src/sbom/cyclonedx.rs",
        find: "Part::Components => map.next_value_seed(List(&mut *taken, One))?,",
        replace: "Part::Components => pass(&mut map)?,",
        package: "cordon-server-core",
        test: "sbom::tests::cyclonedx_is_read_with_all_that_lies_inside",
    },
    Breakage {
        name: "what has no package URL silently safe",
        file: "server/core/src/sbom/matchable.rs",
        find: "Err(word) => *matchable.left_out.entry(word).or_default() += 1,",
        replace: "Err(_) => {}",
        package: "cordon-server-core",
        test: "sbom::tests::what_nobody_can_be_asked_about_is_counted_and_never_safe",
    },
    Breakage {
        name: "the release of another family taken",
        file: "server/core/src/sbom/matchable.rs",
        find: "purl.namespace.first() == Some(name)",
        replace: "(purl.namespace.first() == Some(name) || !name.is_empty())",
        package: "cordon-server-core",
        test: "sbom::tests::what_nobody_can_be_asked_about_is_counted_and_never_safe",
    },
    Breakage {
        name: "an epoch lost in a comparison",
        file: "server/core/src/sbom/drift.rs",
        find: "alloc::format!(\"{epoch}:{version}\")",
        replace: "String::from(&*version)",
        package: "cordon-server-core",
        test: "sbom::tests::drift_tells_what_is_missing_extra_and_changed_and_what_was_not_compared",
    },
    Breakage {
        name: "what the agent could not read forgotten",
        file: "server/core/src/sbom/found.rs",
        find: "sbom.tell(\"unread-by-the-agent\", inventory.section(Section::Unread).count());",
        replace: "",
        package: "cordon-server-core",
        test: "sbom::tests::a_device_as_found_is_matched_as_its_inventory_is",
    },
    Breakage {
        name: "the impact of 3.0 for 3.1",
        file: "server/core/src/cvss/v3.rs",
        find: "let curve = if modified && vector.version() == Version::V31 {",
        replace: "let curve = if modified && vector.version() == Version::V40 {",
        package: "cordon-server-core",
        test: "cvss::tests::vectors_of_all_versions_have_the_scores_of_their_specifications",
    },
    Breakage {
        name: "environmental metrics passed over",
        file: "server/core/src/cvss/v3.rs",
        find: "let letter = |place: usize| match vector.at(place + MODIFIED) {",
        replace: "let letter = |place: usize| match vector.at(place + MODIFIED + 99) {",
        package: "cordon-server-core",
        test: "cvss::tests::vectors_of_all_versions_have_the_scores_of_their_specifications",
    },
    Breakage {
        name: "safety forgotten in 4.0",
        file: "server/core/src/cvss/v4.rs",
        find: "let four = if self.is(SI, b'S') || self.is(SA, b'S') {",
        replace: "let four = if self.is(SA, b'S') {",
        package: "cordon-server-core",
        test: "cvss::tests::vectors_of_all_versions_have_the_scores_of_their_specifications",
    },
    Breakage {
        name: "half a vector scored",
        file: "server/core/src/cvss.rs",
        find: "Some((metric, _)) => Err(NoVector::Missing(metric.name)),",
        replace: "Some(_) => Ok(vector.settled()),",
        package: "cordon-server-core",
        test: "cvss::tests::what_is_not_exactly_a_vector_is_none",
    },
    Breakage {
        name: "an old severity before a new one",
        file: "server/core/src/cvss/hints.rs",
        find: "(self.version, self.scores().base, *self)",
        replace: "(Version::V30, self.scores().base, *self)",
        package: "cordon-server-core",
        test: "matching::osv::tests::a_record_is_read_in_our_words",
    },
];
