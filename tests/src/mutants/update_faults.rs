//! Breakages of what keeps an update whole between check and use, and through cuts and kills.
//!
//! Read next: `mutants.rs`.

use super::Breakage;

/// What holds when time passes between a check and what rests on it.
pub const UPDATE_FAULTS: &[Breakage] = &[
    Breakage {
        name: "what waited is armed unread",
        file: "agent/core/src/update/machine.rs",
        find: "        if !proved {",
        replace: "        if !proved && false {",
        package: "cordon-agent-core",
        test: "update::machine::tests::what_waited_is_read_back_once_more_and_armed_only_if_it_is_still_the_ordered_image",
    },
    Breakage {
        name: "a swapped slot armed in the search",
        file: "agent/core/src/update/machine.rs",
        find: "            self.read(&job);\n            return State::Waiting",
        replace: "            self.push(Effect::Arm { slot: job.slot, attempts: limits::TRIAL_BOOTS });\n            return State::Armed",
        package: "cordon-agent-core",
        test: "update::machine::search::no_pair_of_interruptions_in_any_world_breaks_an_invariant",
    },
    Breakage {
        name: "a read-back that outlives a patient",
        file: "agent/core/src/update/machine.rs",
        find: "let proved = mem::take(&mut self.record.proved);",
        replace: "let proved = self.record.proved;",
        package: "cordon-agent-core",
        test: "update::machine::tests::what_waited_is_read_back_once_more_and_armed_only_if_it_is_still_the_ordered_image",
    },
    Breakage {
        name: "a mark left by a loader that fell back",
        file: "agent/core/src/update/machine/start.rs",
        find: "                self.clear_mark(view);\n                self.rolled_back",
        replace: "                self.rolled_back",
        package: "cordon-agent-core",
        test: "update::machine::tests::a_fall_back_of_the_loader_before_it_was_told_to_leaves_no_mark_behind",
    },
];
