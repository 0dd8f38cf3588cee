//! The soak of the score: random devices by the thousand, every promise of the score looked at for each.
//!
//! The devices are the ground's own, those of its tests; here there are only many more of them. A device of which a promise is
//! broken is told by its number, with which it is made again. Read next: `cordon_server_core::risk::cases`.

use anyhow::bail;
use cordon_server_core::risk::cases::{Chance, check, device, is_monotone, mean_of_parts};

use crate::soak::{Outcome, Rounds};

/// Devices of one round.
const CASES: u64 = 5_000;

/// Rounds of so many devices.
pub struct ScoreCases {
    cases: u64,
}

impl Default for ScoreCases {
    fn default() -> Self {
        Self { cases: CASES }
    }
}

impl Rounds for ScoreCases {
    fn title(&self) -> &'static str {
        "random devices, every promise of the score looked at for each"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        let mut chance = fastrand::Rng::with_seed(seed);
        let (mut cases, mut parts, mut critical) = (0, 0, 0);
        for _ in 0..self.cases {
            match check(chance.u64(..)) {
                Ok(score) => {
                    cases += 1;
                    parts += score.contributions.len() as u64;
                    critical += u64::from(score.points() >= 70);
                }
                Err(broken) => {
                    let fault = Some(format!("device {}: {} does not hold", broken.seed, broken.promise));
                    return Ok(Outcome { counts: counts(cases, parts, critical), fault });
                }
            }
        }
        Ok(Outcome { counts: counts(cases, parts, critical), fault: None })
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        let mut seeds = fastrand::Rng::with_seed(seed);
        for tried in 1..=1000 {
            let chance = &mut Chance::new(seeds.u64(..));
            let facts = device(chance);
            if !is_monotone(&facts, chance, mean_of_parts) {
                return Ok(format!("a score that takes the mean of its parts, at device {tried}"));
            }
        }
        bail!("a score that takes the mean of its parts was not caught")
    }
}

fn counts(cases: u64, parts: u64, critical: u64) -> Vec<(&'static str, u64)> {
    vec![("devices", cases), ("parts of their scores", parts), ("devices of 70 points and more", critical)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_looks_at_its_devices_and_the_control_is_caught() {
        // Goal: the soak shows what it says. Method: a short round, twice with one seed; the control.
        let mut rounds = ScoreCases { cases: 50 };
        let once = rounds.play(7).expect("plays");
        assert_eq!((once.fault.clone(), once.counts.first()), (None, Some(&("devices", 50))));
        assert_eq!(rounds.play(7).expect("plays"), once, "a seed is played again as it was");
        assert!(rounds.control(7).is_ok());
    }
}
