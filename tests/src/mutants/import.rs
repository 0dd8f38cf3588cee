//! The breakages of import and of order planning: what a server takes in, and what people are told before they sign.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;

/// A rule of the server's ground: what its breakage would mean, the file, the line, the line broken, and the test that
/// must notice.
const fn rule(
    name: &'static str,
    file: &'static str,
    (find, replace): (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    Breakage { name, file, find, replace, package: "cordon-server-core", test }
}

const IMPORT: &str = "server/core/src/import.rs";
const IMAGE: &str = "server/core/src/publish/image.rs";
const ORDER_PLAN: &str = "server/core/src/order_plan.rs";
const PATHS_UP: &str = "server/core/src/paths_up.rs";

/// Every breakage of import and planning that a named test must catch.
pub const IMPORTS: &[Breakage] = &[
    rule(
        "a release for a foreign model is taken in",
        IMPORT,
        (
            "Some(pin) if !pin.models.contains(&release.model) =>",
            "Some(pin) if !pin.models.contains(&release.model) && false =>",
        ),
        "import::tests::a_makers_repository_lists_its_own_models_only",
    ),
    rule(
        "a release is taken in without its files",
        IMPORT,
        (
            "if here.get(&file.sha256) != Some(&file.length) {",
            "if here.get(&file.sha256) != Some(&file.length) && false {",
        ),
        "import::tests::every_file_of_a_new_release_must_be_here",
    ),
    rule(
        "an older publication is taken in",
        IMAGE,
        ("Ask::Stored(file) => self.earlier.0.get(file).cloned(),", "Ask::Stored(_) => None,"),
        "import::tests::an_older_publication_and_another_one_of_the_same_number_are_refused",
    ),
    rule(
        "the date of the first import is overwritten",
        IMPORT,
        ("before.map_or(rules.now, |before| before.imported)", "rules.now"),
        "import::tests::the_first_import_keeps_its_date_and_what_the_maker_delists_is_not_listed",
    ),
    rule(
        "a file in force is replaced",
        IMPORT,
        (
            "if files.contains_key(file) && stands_on(files, rules).contains(file) {",
            "if files.contains_key(file) && stands_on(files, rules).contains(file) && false {",
        ),
        "import::tests::a_file_in_force_never_changes_and_a_root_follows_from_the_one_before",
    ),
    rule(
        "a release is a step from too low a counter",
        PATHS_UP,
        ("&& release.min_from <= stands.counter", ""),
        "paths_up::tests::a_device_that_is_too_old_goes_by_the_release_between",
    ),
    rule(
        "devices without an application are planned",
        ORDER_PLAN,
        ("&& meant.device.spoke.is_none() {", "&& false {"),
        "order_plan::tests::who_never_spoke_is_planned_where_no_application_is_asked_for",
    ),
    rule(
        "the floor is ignored in the preview of a way back",
        ORDER_PLAN,
        ("} else if counter < floor {", "} else if counter < floor && false {"),
        "order_plan::tests::a_way_back_that_could_not_be_taken_is_seen_before_it_is_signed",
    ),
    Breakage {
        name: "windows meet where one of them is open",
        file: "proto/src/update/window/meet.rs",
        find: "map(|(a, b)| *a && *b)",
        replace: "map(|(a, b)| *a || *b)",
        package: "cordon-proto",
        test: "update::window::meet::tests::two_sets_meet_where_both_are_open",
    },
];
