//! Faults of an update on the device: the real agent is killed or its disk loses power, again and again, until its
//! update has ended; after each the device is judged.
//!
//! What is laid once is the [`stage`]: an owner, a maker, a device that has taken one update and holds the next one in a
//! bundle. A [`life`] is that update from its hand-over to its end. The [`agent`] is a process of this program over the
//! shipped library, its boot loader is [`device`]'s, and what must hold is in [`judge`]. A harness that never fails shows
//! nothing, so each fate has a control that must be caught. Beside it: [`calls`], [`swaps`], [`sparse`]. Read next:
//! [`life`].

pub mod agent;
pub mod calls;
pub mod device;
pub mod judge;
pub mod life;
pub mod seen;
pub mod sparse;
pub mod stage;
pub mod swaps;

use std::path::Path;

use anyhow::Context;

use self::life::{Habit, Life, Turn};
use self::stage::Stage;
use crate::soak::{Outcome, Rounds};

/// Strikes that one update takes before it may end undisturbed.
const STRIKES: u32 = 6;
/// Rounds in which the control must have been caught.
const CONTROL_ROUNDS: u64 = 5;

/// What strikes a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its disk loses power.
    Cut,
    /// Its agent is killed.
    Kill,
}

/// Rounds of one fate. A round is one strike; an update lives through several of them.
#[derive(Debug)]
pub struct Strikes {
    fate: Fate,
    // Before the stage: its processes end before their folders go.
    life: Option<Life>,
    stage: Stage,
}

impl Strikes {
    /// Lays the stage. `sim` is this program.
    ///
    /// # Errors
    /// If this machine does not let us cut a disk's power, or the stage cannot be laid.
    pub fn new(sim: &Path, fate: Fate) -> anyhow::Result<Self> {
        if fate == Fate::Cut {
            super::image::probe().context("power cannot be cut here")?;
        }
        Ok(Self { fate, life: None, stage: Stage::lay(sim)? })
    }

    /// One strike, and the update's end where it has taken enough of them.
    ///
    /// # Errors
    /// If the round could not be played to its end; what it found wrong is the outcome's.
    pub fn strike(&mut self, seed: u64, habit: Habit) -> anyhow::Result<Outcome> {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut tally = Tally::default();
        loop {
            let mut life = match self.life.take() {
                Some(life) => life,
                None => Life::begin(&mut self.stage, self.fate, &mut chance)?,
            };
            let strikes = life.strikes() < STRIKES;
            match life.play(&self.stage, &mut chance, (habit, strikes))? {
                Err(fault) => return Ok(tally.outcome(Some(format!("{fault}\n{}", life.story())))),
                Ok(Turn::Struck { in_flag }) => {
                    tally.strikes += 1;
                    tally.in_flag += u64::from(in_flag);
                    let takes_more = life.strikes() < STRIKES;
                    self.life = Some(life);
                    if takes_more {
                        return Ok(tally.outcome(None));
                    }
                }
                Ok(Turn::Over { confirmed }) => {
                    tally.confirmed += u64::from(confirmed);
                    tally.rolled_back += u64::from(!confirmed);
                    if tally.strikes > 0 {
                        return Ok(tally.outcome(None));
                    }
                }
            }
        }
    }
}

/// What a round adds up.
#[derive(Debug, Default)]
struct Tally {
    strikes: u64,
    in_flag: u64,
    confirmed: u64,
    rolled_back: u64,
}

impl Tally {
    fn outcome(self, fault: Option<String>) -> Outcome {
        let counts = vec![
            ("strikes", self.strikes),
            ("strikes while the boot flag was written", self.in_flag),
            ("updates that ended confirmed", self.confirmed),
            ("updates that ended rolled back", self.rolled_back),
        ];
        Outcome { counts, fault }
    }
}

impl Rounds for Strikes {
    fn title(&self) -> &'static str {
        match self.fate {
            Fate::Cut => "power cuts of an update",
            Fate::Kill => "kills of an agent that updates",
        }
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        self.strike(seed, Habit::Right)
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        let (habit, what) = match self.fate {
            Fate::Cut => (Habit::Unsynced, "the same without syncs"),
            Fate::Kill => (Habit::Forgetful, "the same where a kill takes the newest record"),
        };
        for round in 1..=CONTROL_ROUNDS {
            let outcome = self.strike(seed.wrapping_add(round), habit)?;
            if let Some(fault) = outcome.fault {
                let first = fault.lines().next().unwrap_or_default();
                return Ok(format!("{what}, strike {round}: {first}"));
            }
        }
        self.life = None;
        anyhow::bail!("{what} was never caught in {CONTROL_ROUNDS} strikes: this harness shows nothing")
    }
}
