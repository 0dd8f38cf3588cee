//! The soak of the rollout engine: random small worlds, some hundred a round, every promise looked at after every step.
//!
//! The worlds are the ground's own, those of its tests, with one rollout and with two; here there are only many more of
//! them. A world that breaks a promise is told by its seed, with which it can be played again. Read next:
//! `cordon_server_core::rollout::world`.

use std::panic::catch_unwind;

use anyhow::bail;
use cordon_server_core::rollout::{State, world};

use crate::soak::{Outcome, Rounds};

/// Worlds of one round.
const WORLDS: usize = 500;

/// Rounds of so many worlds.
pub struct Planner {
    worlds: usize,
}

impl Default for Planner {
    fn default() -> Self {
        Self { worlds: WORLDS }
    }
}

/// How worlds ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    finished: u64,
    halted: u64,
    returned: u64,
    stopped: u64,
}

impl Ends {
    fn count(&mut self, state: &State) {
        let count = match state {
            State::Finished { .. } => &mut self.finished,
            State::Halted { .. } => &mut self.halted,
            State::Returned { .. } => &mut self.returned,
            State::Running
            | State::Returning
            | State::Paused { .. }
            | State::Stopped { .. }
            | State::Aborted { .. } => &mut self.stopped,
        };
        *count += 1;
    }

    fn counts(self) -> Vec<(&'static str, u64)> {
        let Self { finished, halted, returned, stopped } = self;
        let worlds = finished + halted + returned + stopped;
        vec![
            ("worlds", worlds),
            ("finished", finished),
            ("halted by failures", halted),
            ("returned by the way back", returned),
            ("stopped by people", stopped),
        ]
    }
}

impl Rounds for Planner {
    fn title(&self) -> &'static str {
        "random worlds of the rollout engine, its promises looked at after every step"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut ends = Ends::default();
        for _ in 0..self.worlds {
            let world = chance.u64(..);
            // Every other one is of two rollouts, half of those by a clock that goes wrong, and counts by the end of its first.
            let play = || {
                let of_two = match world % 4 {
                    1 => world::two::run(world),
                    3 => world::two::run_with_a_wrong_clock(world),
                    _ => return world::run(world),
                };
                of_two.into_iter().next().expect("an end of each")
            };
            match catch_unwind(play) {
                Ok(state) => ends.count(&state),
                Err(panic) => {
                    let words = panic.downcast_ref::<String>().cloned();
                    let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                    let words = words.unwrap_or_else(|| "no words".to_owned());
                    return Ok(Outcome {
                        counts: ends.counts(),
                        fault: Some(format!("world {world}: {words}")),
                    });
                }
            }
        }
        Ok(Outcome { counts: ends.counts(), fault: None })
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        match catch_unwind(|| world::run_spoilt(seed)) {
            Err(_) => Ok("an engine that gives everybody the go".to_owned()),
            Ok(state) => bail!("an engine that gives everybody the go was not caught: it ended as {state:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_plays_its_worlds_and_the_control_is_caught() {
        // Goal: the soak shows what it says. Method: a short round, twice with one seed; the control.
        let mut planner = Planner { worlds: 40 };
        let once = planner.play(7).expect("plays");
        assert_eq!((once.fault.clone(), once.counts.first()), (None, Some(&("worlds", 40))));
        assert_eq!(planner.play(7).expect("plays"), once, "a seed is played again as it was");
        assert!(planner.control(7).is_ok());
    }
}
