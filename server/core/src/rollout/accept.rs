//! The acceptance check: which confirmed devices of a wave a person still has to look at.
//!
//! The sample is drawn by a hash over the rollout's name and the device's, so that nobody can choose the easy ones and
//! every server draws the same. Read next: [`super::may_settle`].

use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Sha256};

use super::{Acceptance, Fleet, Rollout, Wave};
use cordon_proto::receipt::Outcome;

/// The confirmed devices of this wave that a person has to look at and has not.
#[must_use]
pub fn unaccepted(rollout: &Rollout, wave: &Wave, fleet: &Fleet) -> Vec<DeviceId> {
    let confirmed = wave.devices.iter().filter_map(|device| Some((*device, fleet.get(device)?)));
    let confirmed = confirmed.filter(|(_, facts)| facts.receipt == Some(Outcome::Confirmed));
    let mut drawn: Vec<(Sha256, DeviceId, bool)> = match rollout.acceptance {
        Acceptance::None => return Vec::new(),
        Acceptance::Sample { .. } | Acceptance::Every => confirmed
            .map(|(device, facts)| (lot(rollout, device), device, facts.accepted.is_some()))
            .collect(),
    };
    drawn.sort();
    if let Acceptance::Sample { per_wave } = rollout.acceptance {
        drawn.truncate(usize::try_from(per_wave).unwrap_or(usize::MAX));
    }
    drawn.into_iter().filter(|(_, _, seen)| !seen).map(|(_, device, _)| device).collect()
}

fn lot(rollout: &Rollout, device: DeviceId) -> Sha256 {
    Sha256::of(&[rollout.id.as_str().as_bytes(), &[0], device.as_bytes()].concat())
}
