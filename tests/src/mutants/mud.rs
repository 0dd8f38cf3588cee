//! The breakages of makers' descriptions: what is read, and what is judged by it.
//!
//! Read next: `server/core/src/mud/tests.rs` and `agent/core/src/mud/tests.rs`, whose tests catch them; `mutants.rs`,
//! which tries them.

use super::Breakage;

/// Every breakage of usage descriptions that a named test must catch.
pub const MUD: &[Breakage] = &[
    Breakage {
        name: "lte is a single port",
        file: "server/core/src/mud/entry.rs",
        find: "\"lte\" => Ok(Ports::Within(0, single)),",
        replace: "\"lte\" => Ok(Ports::Within(single, single)),",
        package: "cordon-server-core",
        test: "mud::tests::every_condition_becomes_the_rule_it_says",
    },
    Breakage {
        name: "a class that is unbound is everybody",
        file: "server/core/src/mud/compile.rs",
        find: "told.push(Remark::Unbound(class.word()));\n                Place::Local",
        replace: "told.push(Remark::Unbound(class.word()));\n                Place::Anywhere",
        package: "cordon-server-core",
        test: "mud::tests::classes_are_what_the_site_binds_and_else_whoever_is_local",
    },
    Breakage {
        name: "a condition is left out in silence",
        file: "server/core/src/mud/compile.rs",
        find: "told.extend(asked.unseen.iter().cloned().map(Remark::Unseen));",
        replace: "",
        package: "cordon-server-core",
        test: "mud::tests::what_flows_do_not_show_is_said_and_never_left_out_in_silence",
    },
    Breakage {
        name: "a list that is missing is an empty one",
        file: "server/core/src/mud/read.rs",
        find: "Some(name) => Err(MudError::MissingList(name.clone())),",
        replace: "Some(_) => Ok(file),",
        package: "cordon-server-core",
        test: "mud::tests::a_mistake_is_named_with_its_entry_and_what_to_do",
    },
    Breakage {
        name: "a drop lets pass",
        file: "agent/core/src/mud.rs",
        find: "(false, None) => Verdict::Stopped(place),",
        replace: "(false, None) => Verdict::Allowed(place),",
        package: "cordon-agent-core",
        test: "mud::tests::the_first_rule_that_fits_decides",
    },
    Breakage {
        name: "a nameless peer is a named one",
        file: "agent/core/src/mud.rs",
        find: "misses.note(Misses::NAMELESS, way.name.is_none());",
        replace: "",
        package: "cordon-agent-core",
        test: "mud::tests::a_name_that_nobody_sees_accuses_nobody",
    },
    Breakage {
        name: "whoever opened it",
        file: "agent/core/src/mud.rs",
        find: "way.opened.is_some_and(|by| by != asked)",
        replace: "way.opened.is_some_and(|by| by != asked && false)",
        package: "cordon-agent-core",
        test: "mud::tests::every_condition_that_is_missed_is_named",
    },
    Breakage {
        name: "a name that ends alike is below",
        file: "proto/src/mud.rs",
        find: "self.below && head.ends_with(b\".\")",
        replace: "self.below",
        package: "cordon-proto",
        test: "mud::tests::networks_and_names_hold_what_they_say",
    },
];
