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
        find: "            self.push(Effect::HashSlot { slot: job.slot, length: job.cleared.image.length });\n            return State::Waiting",
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
    Breakage {
        name: "a reboot on an old look",
        file: "agent/src/run/updating/effects.rs",
        find: "if !gate::may_reboot(&self.record, &look, self.now()) {",
        replace: "if false && !gate::may_reboot(&self.record, &look, self.now()) {",
        package: "cordon-agent",
        test: "run::updating::tests::a_patient_who_comes_while_the_disk_refuses_the_last_step_stops_the_reboot",
    },
    Breakage {
        name: "a last look that sees no patient",
        file: "agent/core/src/update/gate.rs",
        find: "State::Armed(job) => blocked(record, job, look, now).is_empty(),",
        replace: "State::Armed(_) => now.wall >= now.wall,",
        package: "cordon-agent-core",
        test: "update::machine::tests::a_reboot_is_done_only_while_the_look_of_that_moment_is_free",
    },
    Breakage {
        name: "a way back in use",
        file: "agent/core/src/update/gate.rs",
        find: "State::Reverting(reverting) => may_leave_trial(record, &reverting.job, look),",
        replace: "State::Reverting(_) => true,",
        package: "cordon-agent-core",
        test: "update::machine::tests::a_reboot_is_done_only_while_the_look_of_that_moment_is_free",
    },
    Breakage {
        name: "what is held never falls",
        file: "agent/core/src/update/machine.rs",
        find: "fetching.offset = offset.min(fetching.job.cleared.image.length);",
        replace: "fetching.offset = offset.min(fetching.job.cleared.image.length).max(fetching.offset);",
        package: "cordon-agent-core",
        test: "update::machine::tests::a_slot_that_no_longer_holds_what_was_synced_is_believed",
    },
];
