//! The boot loader's half of an update: which slot starts, and how often a trial may.
//!
//! Pure: the real loader, every boot control and the simulator's loader all compute with [`choose`] and the four
//! changes of [`Change`]. A trial whose boots are used up stays marked, so that the agent in the old slot can tell that
//! the loader fell back. It must never choose a slot that is neither active nor on trial with a boot left. Read next:
//! [`super::machine`].

use cordon_proto::limits;
use minicbor::{Decode, Encode};

use super::record::Slot;

/// What the boot control holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BootState {
    /// The slot that starts unless another is on trial.
    #[n(0)]
    pub active: Slot,
    /// The slot on trial.
    #[n(1)]
    pub trial: Option<Slot>,
    /// Boots the trial has left.
    #[n(2)]
    pub attempts_left: u8,
    /// The slot that was started last.
    #[n(3)]
    pub booted: Slot,
    /// Starts ever, where the boot control counts them; zero elsewhere.
    #[n(4)]
    pub boots: u64,
    /// The loader could not count a boot of the trial and has started the active slot without trying it.
    #[n(5)]
    #[cbor(default)]
    pub refused: bool,
}

/// A change of the boot control that the agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Puts a slot on trial.
    Arm {
        /// The slot.
        slot: Slot,
        /// Boots that the trial gets.
        attempts: u8,
    },
    /// Takes the trial back; the active slot starts next.
    Disarm,
    /// Makes the running slot the active one.
    Confirm {
        /// The slot.
        slot: Slot,
    },
    /// Makes the old slot the one that starts next.
    RollBack {
        /// The old slot.
        to: Slot,
    },
}

/// The boot control as the agent sees it when it starts.
pub type View = BootState;

/// Why a change of the boot control makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootChangeError {
    /// The active slot cannot be on trial.
    #[error("slot {0} is the active one and cannot be tried; this is a mistake of the agent")]
    TrialOfActive(Slot),
    /// Only the running slot can be confirmed.
    #[error("slot {0} does not run and cannot be confirmed; start it first")]
    NotRunning(Slot),
}

impl BootState {
    /// A device whose factory image runs in this slot.
    #[must_use]
    pub fn factory(slot: Slot) -> Self {
        Self { active: slot, trial: None, attempts_left: 0, booted: slot, boots: 0, refused: false }
    }

    /// What the boot control holds after a change.
    ///
    /// # Errors
    /// The change makes no sense.
    pub fn changed(self, change: Change) -> Result<Self, BootChangeError> {
        match change {
            Change::Arm { slot, attempts } => self.armed(slot, attempts),
            Change::Disarm => Ok(self.disarmed()),
            Change::Confirm { slot } => self.confirmed(slot),
            Change::RollBack { to } => Ok(self.rolled_back(to)),
        }
    }

    /// Puts a slot on trial.
    ///
    /// # Errors
    /// It is the active one.
    pub fn armed(self, slot: Slot, attempts: u8) -> Result<Self, BootChangeError> {
        if slot == self.active {
            return Err(BootChangeError::TrialOfActive(slot));
        }
        Ok(Self { trial: Some(slot), attempts_left: attempts.max(1), ..self })
    }

    /// Takes the trial back; the active slot starts next.
    #[must_use]
    pub fn disarmed(self) -> Self {
        Self { trial: None, attempts_left: 0, ..self }
    }

    /// Makes the running slot the active one.
    ///
    /// # Errors
    /// It is not the one that runs.
    pub fn confirmed(self, slot: Slot) -> Result<Self, BootChangeError> {
        if slot != self.booted {
            return Err(BootChangeError::NotRunning(slot));
        }
        Ok(Self { active: slot, ..self.disarmed() })
    }

    /// Makes the old slot the one that starts next.
    #[must_use]
    pub fn rolled_back(self, to: Slot) -> Self {
        Self { active: to, ..self.disarmed() }
    }

    /// Whether the loader has started the active slot in place of a trial: its boots are used up, or cannot be counted.
    #[must_use]
    pub fn fell_back(&self) -> bool {
        let over = self.attempts_left == 0 || self.refused;
        self.trial.is_some() && over && self.booted == self.active
    }

    /// Boots that the marked trial of this slot took; `None` where it is not marked.
    #[must_use]
    pub fn tried(&self, slot: Slot) -> Option<u32> {
        let taken = limits::TRIAL_BOOTS.saturating_sub(self.attempts_left);
        (self.trial == Some(slot)).then_some(taken.into())
    }
}

/// The slot to start, and what to store before starting it.
#[must_use]
pub fn choose(state: &BootState) -> (Slot, BootState) {
    let boots = state.boots.saturating_add(1);
    match (state.trial, state.attempts_left.checked_sub(1)) {
        (Some(slot), Some(attempts_left)) => {
            (slot, BootState { attempts_left, booted: slot, boots, ..*state })
        }
        (Some(_), None) | (None, _) => (state.active, BootState { booted: state.active, boots, ..*state }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_trial_gets_its_boots_and_then_the_old_slot_starts_marked() {
        // Goal: the loader counts, and leaves a mark. Method: arm with 3, boot 5 times.
        let mut state = BootState::factory(Slot::A).armed(Slot::B, 3).expect("armed");
        let mut seen = alloc::vec::Vec::new();
        for _ in 0..5 {
            let (slot, next) = choose(&state);
            state = next;
            seen.push((slot, state.fell_back()));
        }
        let (a, b) = ((Slot::A, true), (Slot::B, false));
        assert_eq!(seen, [b, b, b, a, a]);
        assert_eq!(state.boots, 5);
        assert_eq!((state.tried(Slot::B), state.tried(Slot::A)), (Some(3), None));
        assert!(!state.disarmed().fell_back());
    }

    #[test]
    fn a_trial_that_the_loader_refuses_has_fallen_back_without_a_boot() {
        // Goal: a loader that cannot count never starts a trial, and the agent learns of it. Method: the mark.
        let armed = BootState::factory(Slot::A).armed(Slot::B, limits::TRIAL_BOOTS).expect("armed");
        assert!(!armed.fell_back(), "killed between flag and reboot");
        let refused = BootState { refused: true, ..armed };
        assert!(refused.fell_back() && refused.tried(Slot::B) == Some(0));
    }

    #[test]
    fn only_the_running_slot_is_confirmed_and_the_active_one_never_tried() {
        // Goal: no change that could strand the device. Method: the two mistakes.
        let state = BootState::factory(Slot::A);
        assert_eq!(state.armed(Slot::A, 3), Err(BootChangeError::TrialOfActive(Slot::A)));
        let armed = state.armed(Slot::B, 0).expect("armed");
        assert_eq!(armed.attempts_left, 1, "no trial without a boot");
        assert_eq!(armed.confirmed(Slot::B), Err(BootChangeError::NotRunning(Slot::B)));
        let (_, running) = choose(&armed);
        assert_eq!(running.confirmed(Slot::B).map(|state| choose(&state).0), Ok(Slot::B));
        assert_eq!(choose(&running.rolled_back(Slot::A)).0, Slot::A);
    }

    proptest! {
        #[test]
        fn the_loader_starts_only_the_active_slot_or_a_trial_with_a_boot_left(
            active in any::<bool>(), trial in proptest::option::of(any::<bool>()), left in any::<u8>(), boots in any::<u64>(),
        ) {
            let slot = |b| if b { Slot::A } else { Slot::B };
            let (active, trial) = (slot(active), trial.map(slot));
            let state = BootState { active, trial, attempts_left: left, booted: active, boots, refused: false };
            let (started, next) = choose(&state);
            prop_assert!(started == active || (trial == Some(started) && left > 0));
            prop_assert_eq!(next.booted, started);
            prop_assert!(next.attempts_left < left || started == active);
            prop_assert_eq!((next.active, next.trial), (active, trial));
        }
    }
}
