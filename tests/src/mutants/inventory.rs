//! The breakages of the inventory: what would lose a package, take half a list for the whole, or believe a wrong change.
//!
//! Read next: `cordon_proto::inventory`, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of a package database, of a change of an inventory or of the points of health that a named test must catch.
pub const INVENTORY: &[Breakage] = &[
    Breakage {
        name: "a change believed whatever it leads to",
        file: "proto/src/inventory/delta.rs",
        find: "if now.root() == root { Ok(now) } else { Err(Mismatch::Root) }",
        replace: "Ok(now)",
        package: "cordon-proto",
        test: "inventory::delta::tests::a_delta_of_another_inventory_or_of_a_liar_leads_nowhere",
    },
    Breakage {
        name: "a change applied to any inventory",
        file: "proto/src/inventory/delta.rs",
        find: "if base.root() != self.base {",
        replace: "if false {",
        package: "cordon-proto",
        test: "inventory::delta::tests::a_delta_of_another_inventory_or_of_a_liar_leads_nowhere",
    },
    Breakage {
        name: "apk's binary in the place of its origin",
        file: "proto/src/inventory/apk.rs",
        find: "b'o' => &mut self.origin,",
        replace: "b'u' => &mut self.origin,",
        package: "cordon-proto",
        test: "inventory::apk::tests::packages_are_known_by_their_origin",
    },
    Breakage {
        name: "an RPM epoch lost",
        file: "proto/src/inventory/rpm.rs",
        find: "let epoch = header.number(EPOCH)?;",
        replace: "let epoch = header.number(EPOCH)?.and(None::<u32>);",
        package: "cordon-proto",
        test: "inventory::rpm::tests::a_package_is_known_by_its_source_epoch_and_module",
    },
    Breakage {
        name: "the last child of a table's inner page forgotten",
        file: "proto/src/inventory/sqlite.rs",
        find: "if kind == INTERIOR {",
        replace: "if kind == INTERIOR && number == 0 {",
        package: "cordon-proto",
        test: "inventory::sqlite::tests::a_database_that_sqlite_wrote_is_read_row_by_row",
    },
    Breakage {
        name: "a slot believed whatever lies at its place",
        file: "proto/src/inventory/ndb.rs",
        find: "&& word(&head, 4) == Some(package)",
        replace: "",
        package: "cordon-proto",
        test: "inventory::ndb::tests::every_slot_in_use_is_a_package_and_a_broken_one_costs_only_itself",
    },
    Breakage {
        name: "a Node version that is said twice believed",
        file: "proto/src/inventory/node.rs",
        find: "(Some(\"version\"), _) if depth == 1 && version.replace(word).is_some() => return None,",
        replace: "(Some(\"version\"), _) if depth == 1 => version = Some(word),",
        package: "cordon-proto",
        test: "inventory::node::tests::only_the_packages_own_name_and_version_are_taken",
    },
    Breakage {
        name: "points of a clock that ran ahead kept",
        file: "server/core/src/vitals.rs",
        find: "self.0.retain(|held| !is_ahead(held.time));",
        replace: "",
        package: "cordon-server-core",
        test: "vitals::tests::what_comes_twice_or_from_the_future_adds_nothing",
    },
    Breakage {
        name: "a change made against whatever was handed in last",
        file: "agent/src/run/kept.rs",
        find: ".filter(|last| last.root() == held)",
        replace: ".filter(|last| last.root() == held || true)",
        package: "cordon-agent",
        test: "run::kept::tests::a_change_is_handed_in_only_against_the_very_inventory_that_the_server_holds",
    },
];
