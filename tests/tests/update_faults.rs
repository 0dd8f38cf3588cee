//! A few rounds of each fault of an update, and what shows that the rounds would notice: the long ones are soaks.
//!
//! Read next: `cordon_sim::faults::update`.

use std::path::Path;

use cordon_sim::faults::image;
use cordon_sim::faults::update::calls::Calls;
use cordon_sim::faults::update::swaps::{self, Swaps};
use cordon_sim::faults::update::{Fate, Strikes};
use cordon_sim::skip;
use cordon_sim::soak::Rounds;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");

fn survives(fate: Fate, rounds: u64) {
    let mut strikes = Strikes::new(Path::new(SIM), fate).expect("the stage is laid");
    println!("{}", strikes.control(7).expect("caught"));
    for seed in (1..=rounds).map(|round| round * 1_000_003) {
        let outcome = strikes.play(seed).expect("played");
        assert_eq!(outcome.fault, None, "seed {seed}");
    }
}

#[test]
fn an_update_survives_kills_of_its_agent_at_any_moment() {
    // Goal: a signed slot boots, nothing falls, and the update ends. Method: kills of the real agent, judged after each;
    // the control, in which a kill takes the newest record, is caught first.
    survives(Fate::Kill, 5);
}

#[test]
fn an_update_survives_power_cuts_at_any_moment() {
    // Goal and method: as for kills, on ext4 whose power is cut; the control, an agent without syncs, has to lose first.
    if let Err(error) = image::probe() {
        assert!(!skip::require_right(&format!("to cut a disk's power ({error:#})"), "power cuts", false));
        return;
    }
    if skip::require_package("strace").is_some() {
        survives(Fate::Cut, 3);
    }
}

#[test]
fn an_update_survives_the_failure_of_any_one_system_call() {
    // Goal: a clean error, nothing lost, and the next try succeeds. Method: some of all calls on the device's own files
    // get EIO, ENOSPC, EINTR or a kill by strace; the soak takes all of them.
    if skip::require_package("strace").is_none() {
        return;
    }
    let mut calls = Calls::new(Path::new(SIM)).expect("the stage is laid");
    println!("{}", calls.control(1).expect("caught"));
    let outcome = calls.comb(11, 331).expect("played");
    assert_eq!(outcome.fault, None);
    assert!(outcome.counts.iter().map(|(_, count)| count).sum::<u64>() > 3, "{outcome:?}");
}

#[test]
fn of_1000_swaps_of_a_slot_between_check_and_use_none_wins() {
    // Goal: no unsigned image is armed that was there before the last read-back. Method: the update machine over real
    // slots, swapped once at any moment; the control, which believes without reading, is beaten.
    let [signed, nothing, late] = swaps::tries(1, 1000).expect("none is won");
    println!("{signed} signed, {nothing} refused, {late} behind the last read-back");
    assert!(
        signed > 20 && nothing > 20,
        "a mixture, as the machine's load has it: {signed} {nothing} {late}"
    );
    let won = (0..200).any(|seed| swaps::try_slot(seed, true).expect("played") == swaps::Try::Won);
    assert!(won, "read-backs that are believed unread were never beaten: this shows nothing");
}

#[test]
fn an_agent_whose_stick_is_swapped_under_it_arms_nothing_that_nobody_signed() {
    // Goal: a bundle is believed by what was read of it, not by what lies there. Method: two rounds of the soak.
    let mut swaps = Swaps::new(Path::new(SIM)).expect("the stage is laid");
    for seed in [3, 4] {
        let outcome = swaps.play(seed).expect("played");
        assert_eq!(outcome.fault, None, "seed {seed}");
    }
}
