//! The breakages, each one line of a check that a promise rests on.
//!
//! An entry is added with the check it breaks. The names of the tests and the fragments must follow the code: a quick
//! test compares them with the tree on every run. Read next: `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage that a named test must catch.
pub const BREAKAGES: &[Breakage] = &[
    Breakage {
        name: "expired metadata accepted",
        file: "proto/src/update/trust.rs",
        find: "if self.now >= at {",
        replace: "if false && self.now >= at {",
        package: "cordon-proto",
        test: "update::trust::attacks::freeze_ends_when_any_role_expires",
    },
    Breakage {
        name: "threshold minus one",
        file: "proto/src/update/key.rs",
        find: "if valid < self.threshold {",
        replace: "if valid + 1 < self.threshold {",
        package: "cordon-proto",
        test: "update::trust::attacks::thresholds_count_different_keys",
    },
    Breakage {
        name: "expired order accepted",
        file: "proto/src/update/decide.rs",
        find: "if now >= order.expires {",
        replace: "if now >= order.expires && false {",
        package: "cordon-proto",
        test: "update::decide::tests::both_ends_of_an_order_are_exact_to_the_second",
    },
    Breakage {
        name: "permit ignored",
        file: "agent/core/src/update/gate.rs",
        find: "        permitted(cleared, look, now),",
        replace: "        permitted(cleared, look, now).or(Ok(())),",
        package: "cordon-agent-core",
        test: "update::gate::tests::nothing_in_the_way_is_go_and_each_obstacle_is_named",
    },
    Breakage {
        name: "another order's permit accepted",
        file: "proto/src/update/permit.rs",
        find: "word.go(order, action).ok_or(PermitMiss::Withheld)?",
        replace: "word.permit.as_ref().ok_or(PermitMiss::Withheld)?",
        package: "cordon-proto",
        test: "update::permit::tests::silence_another_order_and_the_other_act_are_no_permit",
    },
    Breakage {
        name: "floor ignored",
        file: "proto/src/update/decide.rs",
        find: "if release.counter < device.floor {",
        replace: "if release.counter < device.floor && false {",
        package: "cordon-proto",
        test: "update::decide::tests::of_two_things_wrong_the_earlier_one_is_named_for_install_and_for_the_way_back",
    },
    Breakage {
        name: "foreign proof accepted",
        file: "proto/src/update/scope.rs",
        find: "if inclusion.proves(&leaf.0, &root.0) {",
        replace: "if inclusion.proves(&leaf.0, &root.0) || proof.index < count {",
        package: "cordon-proto",
        test: "update::decide::tests::an_order_for_another_device_is_refused_with_that_devices_own_valid_proof",
    },
    Breakage {
        name: "revoked leaf accepted",
        file: "server/core/src/device.rs",
        find: "(State::Lost, _) => Err(Refused::Lost),",
        replace: "(State::Lost, _) => Ok(()),",
        package: "cordon-server-core",
        test: "device::tests::quarantine_closes_all_doors_but_status_and_update",
    },
    Breakage {
        name: "superseded leaf accepted",
        file: "server/core/src/device.rs",
        find: ".filter(|identity| identity.leaf == *leaf)",
        replace: "",
        package: "cordon-server-core",
        test: "device::tests::quarantine_closes_all_doors_but_status_and_update",
    },
    Breakage {
        name: "no last look before reboot",
        file: "agent/core/src/update/machine.rs",
        find: "if gate::blocked(&self.record, &job, look, self.now).is_empty() {",
        replace: "if gate::blocked(&self.record, &job, look, self.now).is_empty() || true {",
        package: "cordon-agent-core",
        test: "update::machine::tests::the_patient_who_comes_between_flag_and_reboot_stops_it",
    },
    Breakage {
        name: "slot not compared",
        file: "agent/core/src/update/machine.rs",
        find: "if sha256 == written.job.cleared.image.sha256 {",
        replace: "if sha256 == written.job.cleared.image.sha256 || true {",
        package: "cordon-agent-core",
        test: "update::machine::tests::an_image_with_one_flipped_byte_is_fetched_again_and_then_given_up_with_one_receipt",
    },
];
