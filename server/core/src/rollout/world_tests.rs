//! Random worlds of the engine, enough of them to trust each change: two thousand a run of the tests.

use alloc::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::State;
use super::world::{run, two};

/// The same worlds in every run, unless somebody asks for others: what a run finds, the next one finds too.
fn the_same_worlds() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let rng_seed = match asked.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    ProptestConfig { cases: asked.cases.max(2000), rng_seed, ..asked }
}

proptest! {
    #![proptest_config(the_same_worlds())]
    #[test]
    fn whatever_pumps_and_people_do_the_promises_hold_and_the_end_is_reached(seed: u64) {
        // Goal: never more in flight than allowed, never a go outside an order, an end. Method: a random world a seed.
        let _ended = run(seed);
    }

    #[test]
    fn two_rollouts_at_once_break_no_promise(seed: u64) {
        // Goal: the same of two rollouts that share pumps and places. Method: a random world a seed.
        let _ended = two::run(seed);
    }

    #[test]
    fn two_rollouts_under_a_clock_that_goes_wrong_break_no_promise(seed: u64) {
        // Goal: the same where the server's clock is an hour, a day or a year ahead for a while, or behind.
        let _ended = two::run_with_a_wrong_clock(seed);
    }
}

#[test]
fn worlds_end_in_each_way_there_is() {
    // Goal: the worlds above are wild enough. Method: two hundred seeds, and how they end.
    let ends: Vec<State> = (1..=200).map(run).collect();
    let count = |is: fn(&State) -> bool| ends.iter().filter(|state| is(state)).count();
    assert!(count(|state| matches!(state, State::Finished { .. })) > 20);
    assert!(count(|state| matches!(state, State::Halted { .. })) > 20);
    assert!(count(|state| matches!(state, State::Returned { .. })) > 5);
}

#[test]
#[should_panic(expected = "gos")]
fn an_engine_that_gives_everybody_the_go_is_caught() {
    // Goal: the worlds see what they are there for. Method: the same world over a spoilt engine.
    let _ended = super::world::run_spoilt(1);
}

#[test]
fn worlds_of_two_end_in_each_way_there_is() {
    // Goal: the worlds of two are wild enough. Method: two hundred seeds, and how the two rollouts of each end.
    let ends: Vec<Vec<State>> = (1..=200).map(two::run).collect();
    for rollout in [0, 1] {
        let count = |is: fn(&State) -> bool| ends.iter().filter(|states| is(&states[rollout])).count();
        assert!(count(|state| matches!(state, State::Finished { .. })) > 20);
        assert!(count(|state| matches!(state, State::Halted { .. })) > 10);
    }
    let returned = |states: &&Vec<State>| states.iter().any(|state| matches!(state, State::Returned { .. }));
    assert!(ends.iter().filter(returned).count() > 5);
}

#[test]
#[should_panic(expected = "gos of")]
fn an_engine_that_gives_everybody_of_two_rollouts_the_go_is_caught() {
    // Goal: the worlds of two see what they are there for. Method: the same world over a spoilt engine.
    let _ended = two::run_spoilt(1);
}
