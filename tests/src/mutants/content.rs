//! The breakages of content: its closed form and bounds, whom it is for, its trial, and how a rollout of it stops.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of a rule of content that a named test must catch.
pub const CONTENT: &[Breakage] = &[
    Breakage {
        name: "an unknown field of a content accepted",
        file: "proto/src/update/content.rs",
        find: "    fields.only(names)?;\n",
        replace: "",
        package: "cordon-proto",
        test: "update::content::tests::crowdstrike_2024_07_19_a_field_defined_and_not_given_or_given_and_not_defined_is_refused",
    },
    Breakage {
        name: "the bound of a threshold is off",
        file: "proto/src/update/content.rs",
        find: "let number = bounded(fields, name, least.into(), most.into())?;",
        replace: "let number = bounded(fields, name, least.into(), u64::from(most) + 1)?;",
        package: "cordon-proto",
        test: "update::content::tests::every_number_is_refused_one_beyond_either_end_of_its_bounds",
    },
    Breakage {
        name: "a content's version falls",
        file: "proto/src/update/content/assign.rs",
        find: "if assignment.version <= case.newest {",
        replace: "if assignment.version < case.newest {",
        package: "cordon-proto",
        test: "update::content::tests::a_device_takes_what_is_listed_fresh_its_own_and_newer_and_nothing_else",
    },
    Breakage {
        name: "a content's scope is not checked",
        file: "proto/src/update/content/assign.rs",
        find: "assignment.scope.covers(case.device, case.proof).map_err(ContentRefusal::NotInScope)?;",
        replace: "let _ = case.proof;",
        package: "cordon-proto",
        test: "update::content::tests::a_device_outside_the_scope_takes_nothing",
    },
    Breakage {
        name: "another document under a content's signature",
        file: "proto/src/update/content/assign.rs",
        find: "if length != assignment.length || Sha256::of(&bytes) != assignment.sha256 {",
        replace: "if length != assignment.length {",
        package: "cordon-proto",
        test: "update::content::tests::a_device_takes_what_is_listed_fresh_its_own_and_newer_and_nothing_else",
    },
    Breakage {
        name: "the trial of a content is cut to a minute",
        file: "agent/core/src/content.rs",
        find: "i64::from(limits::CONTENT_TRIAL_S) * 1000",
        replace: "i64::from(limits::CONTENT_TRIAL_S) * 100",
        package: "cordon-agent-core",
        test: "content::tests::a_content_is_in_force_after_ten_minutes_and_not_a_moment_before",
    },
    Breakage {
        name: "a content that killed the agent stays",
        file: "agent/core/src/content.rs",
        find: "Some(trial) if trial.running =>",
        replace: "Some(trial) if false && trial.running =>",
        package: "cordon-agent-core",
        test: "content::tests::a_crash_within_the_trial_restores_what_was_before_and_never_tries_again",
    },
    Breakage {
        name: "a content under which the agent grows stays",
        file: "agent/core/src/content.rs",
        find: "if kib.is_some_and(|kib| kib > grown.max(limits::CONTENT_RESIDENT_KIB)) {",
        replace: "if kib.is_some_and(|kib| kib > grown + (1 << 40)) {",
        package: "cordon-agent-core",
        test: "content::tests::memory_over_the_bar_restores_and_below_it_does_not",
    },
    Breakage {
        name: "a content that was only tried is gone back to",
        file: "agent/core/src/content.rs",
        find: "        if self.trial.is_none() {\n            self.previous",
        replace: "        {\n            self.previous",
        package: "cordon-agent-core",
        test: "content::tests::a_newer_content_within_a_trial_keeps_what_was_proved_to_go_back_to",
    },
    Breakage {
        name: "a halted content is still offered",
        file: "server/core/src/rollout/content.rs",
        find: "let goes_on = matches!(rollout.state, State::Running | State::Finished { .. });",
        replace: "let goes_on = true;",
        package: "cordon-server-core",
        test: "rollout::content::tests::a_content_that_devices_give_back_stops_its_rollout_and_reaches_nobody_else",
    },
    Breakage {
        name: "a version that no wave staged is offered",
        file: "server/core/src/rollout/content.rs",
        find: "listed.filter(|(_, version)| Some(*version) == rollout.content_version)?;",
        replace: "listed?;",
        package: "cordon-server-core",
        test: "rollout::content::tests::a_finished_rollout_never_brings_a_version_that_it_did_not_stage",
    },
    Breakage {
        name: "a content that was given back counts for nothing",
        file: "server/core/src/rollout/content.rs",
        find: ".filter(|fault| fault.version == version);",
        replace: ".filter(|_| false);",
        package: "cordon-server-core",
        test: "rollout::content::tests::a_refusal_for_good_is_a_failure_and_one_of_another_version_is_not",
    },
];
