//! The breakages of the score and of what is told about it: what would make a number that nobody can trust.
//!
//! Read next: `cordon_server_core::risk`, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of the score, its record, or its tables that a named test must catch.
pub const RISK: &[Breakage] = &[
    Breakage {
        name: "an order of figures turned round",
        file: "server/core/src/risk/model/order.rs",
        find: "if lower_value > upper_value {",
        replace: "if lower_value > upper_value && false {",
        package: "cordon-server-core",
        test: "risk::model::order::tests::a_refusal_names_both_figures_and_the_reason",
    },
    Breakage {
        name: "a site's figures kept from the score",
        file: "server/core/src/risk/score.rs",
        find: "set_by_site: model.site_figures(),",
        replace: "set_by_site: Vec::new(),",
        package: "cordon-server-core",
        test: "risk::model::tests::a_site_may_change_a_figure_and_the_hash_tells",
    },
    Breakage {
        name: "a later release's repair taken for this one's",
        file: "server/core/src/risk/what_if.rs",
        find: "(Some(_), Some(counter)) => counter <= release.counter,",
        replace: "(Some(_), Some(_)) => true,",
        package: "cordon-server-core",
        test: "risk::what_if::tests::a_release_without_a_bill_of_materials_removes_only_what_is_said_of_it",
    },
    Breakage {
        name: "what nobody could match called gone",
        file: "server/core/src/risk/what_if.rs",
        find: "unknown: after.exposures_unknown.saturating_add(after.components_unmatchable),",
        replace: "unknown: 0,",
        package: "cordon-server-core",
        test: "risk::what_if::tests::what_a_release_brings_and_what_nobody_can_match_is_told",
    },
    Breakage {
        name: "moves that are not named forgotten",
        file: "server/core/src/risk/history.rs",
        find: "if rest != 0 {",
        replace: "if false && rest != 0 {",
        package: "cordon-server-core",
        test: "risk::history::tests::a_restless_device_keeps_a_bounded_history_that_still_adds_up",
    },
    Breakage {
        name: "a red date for who waits for the maker",
        file: "server/core/src/risk/remedy.rs",
        find: "due: repaired.and_then(|newest| exposure_due(exposure, newest, case)),",
        replace: "due: target.and_then(|newest| exposure_due(exposure, newest, case)),",
        package: "cordon-server-core",
        test: "risk::remedy::tests::each_exposure_has_its_act_its_owner_and_its_date",
    },
    Breakage {
        name: "a formula in a register",
        file: "server/core/src/risk/register.rs",
        find: "Some('=' | '+' | '-' | '@' ",
        replace: "Some('+' | '-' | '@' ",
        package: "cordon-server-core",
        test: "risk::register::tests::no_cell_begins_like_a_formula",
    },
    Breakage {
        name: "support without a date",
        file: "server/core/src/risk/support.rs",
        find: "(None, None) => Stage::Unknown,",
        replace: "(None, None) => Stage::Supported,",
        package: "cordon-server-core",
        test: "risk::support::tests::the_stages_follow_the_dates_that_the_maker_signed",
    },
];
