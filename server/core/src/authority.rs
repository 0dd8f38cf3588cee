//! The authority's own life: how a root is replaced without losing a device, who is told that a certificate is void,
//! and when the end of a certificate is said aloud.
//!
//! Three steps lead from one root to the next (decision 0010): *stage* publishes a bundle with both, *switch* issues
//! under the new one, *finish* takes the old one away. Each is refused while it would strand somebody; a person may
//! overrule that with a reason. Nothing here makes or reads a certificate. Read next: [`Tally`], [`revoked`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::device::{Device, State};

#[cfg(test)]
mod tests;

/// Of a hundred active devices, how many must have the bundle with the new root before it is used.
pub const SWITCH_PERCENT: usize = 99;
/// Days before the end of an authority's certificate at which that is said.
pub const WARN_DAYS: [i64; 3] = [90, 30, 7];
/// Devices that one answer names.
pub const NAMED: usize = 100;

const DAY_S: i64 = 86_400;

/// Where the change of roots stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// One root.
    Settled,
    /// A bundle with both roots is out; the old one still issues.
    Staged,
    /// Leaves come from the new one; the server itself still stands under the old one.
    Switched,
}

/// A device, as far as the roots concern it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Its maker's number.
    pub serial: &'a Text,
    /// Where its identity is in its life.
    pub state: State,
    /// The bundle that it last reported; `None` if it never reported.
    pub believes: Option<u64>,
}

/// How many devices have a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Active devices.
    pub active: usize,
    /// Active devices that reported the bundle or a later one.
    pub ready: usize,
    /// Devices that would be stranded: active or quarantined, without the bundle.
    pub missing: usize,
    /// Serials of some of them, sorted; at most [`NAMED`].
    pub serials: Vec<String>,
}

/// Why a step is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Something is under way already.
    #[error("a new root is staged already: go on with `ca switch` and `ca finish`")]
    UnderWay,
    /// Nothing is under way.
    #[error("no new root is staged: begin with `ca stage`")]
    NotStaged,
    /// It was done before.
    #[error("leaves are issued under the new root already: go on with `ca finish`")]
    SwitchedAlready,
    /// The steps have an order.
    #[error("leaves still come from the old root: run `ca switch` first")]
    NotSwitched,
    /// Too few devices know the new root.
    #[error(
        "{} of {} active devices have bundle {version}, {SWITCH_PERCENT} in 100 are needed; not yet: {}. Wait for their \
         check-ins, or say `--force --reason`",
        .tally.ready, .tally.active, .tally.named()
    )]
    TooFew {
        /// The bundle.
        version: u64,
        /// Who has it.
        tally: Tally,
    },
    /// Somebody would be cut off.
    #[error(
        "{} devices have not reported bundle {version} and would never reach this server again: {}. Wait for them, retire \
         them, or say `--force --reason`",
        .tally.missing, .tally.named()
    )]
    Stranding {
        /// The bundle.
        version: u64,
        /// Who lacks it.
        tally: Tally,
    },
}

impl Tally {
    /// Counts who has bundle `version`. A device in quarantine may be released: it counts among those who would be
    /// stranded, not among those who make the hundred.
    #[must_use]
    pub fn of<'a>(devices: impl IntoIterator<Item = Seen<'a>>, version: u64) -> Self {
        let mut tally = Self::default();
        let mut serials: Vec<&Text> = Vec::new();
        for device in devices {
            let ready = device.believes.is_some_and(|believed| believed >= version);
            let active = device.state == State::Active;
            tally.active += usize::from(active);
            tally.ready += usize::from(active && ready);
            if !ready && (active || device.state == State::Quarantined) {
                serials.push(device.serial);
            }
        }
        serials.sort();
        tally.missing = serials.len();
        tally.serials = serials.into_iter().take(NAMED).map(|serial| String::from(serial.as_str())).collect();
        tally
    }

    /// The serials as a sentence has them.
    #[must_use]
    pub fn named(&self) -> String {
        let mut text = self.serials.join(", ");
        let more = self.missing.saturating_sub(self.serials.len());
        if more > 0 {
            text.push_str(&alloc::format!(" and {more} more"));
        }
        text
    }

    fn is_enough(&self) -> bool {
        self.ready.saturating_mul(100) >= self.active.saturating_mul(SWITCH_PERCENT)
    }
}

/// Whether a new root may be staged.
pub fn may_stage(phase: Phase) -> Result<(), Refused> {
    match phase {
        Phase::Settled => Ok(()),
        Phase::Staged | Phase::Switched => Err(Refused::UnderWay),
    }
}

/// Whether leaves may come from the new root. `version` is the bundle that brought it.
pub fn may_switch(phase: Phase, version: u64, tally: &Tally, forced: bool) -> Result<(), Refused> {
    match phase {
        Phase::Settled => Err(Refused::NotStaged),
        Phase::Switched => Err(Refused::SwitchedAlready),
        Phase::Staged if tally.is_enough() || forced => Ok(()),
        Phase::Staged => Err(Refused::TooFew { version, tally: tally.clone() }),
    }
}

/// Whether the old root may go.
pub fn may_finish(phase: Phase, version: u64, tally: &Tally, forced: bool) -> Result<(), Refused> {
    match phase {
        Phase::Settled => Err(Refused::NotStaged),
        Phase::Staged => Err(Refused::NotSwitched),
        Phase::Switched if tally.missing == 0 || forced => Ok(()),
        Phase::Switched => Err(Refused::Stranding { version, tally: tally.clone() }),
    }
}

/// Whether a device's next leaf comes from the new root: only once that is decided, and only for a device that said it
/// believes it, whatever others say. A device that knows the old root alone gets what it can use.
#[must_use]
pub fn issues_new(phase: Phase, version: u64, believes: u64) -> bool {
    phase == Phase::Switched && believes >= version
}

/// Why a certificate is void before its end, in the words of RFC 5280 section 5.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// `keyCompromise`: nobody knows who has the device.
    KeyCompromise,
    /// `superseded`: a person let another key take its place.
    Superseded,
    /// `cessationOfOperation`: the device was retired.
    Ceased,
    /// `certificateHold`: the device is in quarantine.
    Hold,
}

/// A certificate that others should no longer trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// SHA-256 of its DER.
    pub leaf: Sha256,
    /// Why.
    pub reason: Reason,
    /// Since when: the same on every list, whatever becomes of the device later. Not known of some that were replaced
    /// before this was written down.
    pub since: Option<Timestamp>,
}

/// The certificates of a device that belong on the list for third parties.
///
/// A leaf that an ordinary renewal replaced does not: the device destroyed its key, nobody doubts it, and the list
/// would hold a line for every device of the fleet.
#[must_use]
pub fn revoked(device: &Device) -> Vec<Revoked> {
    let held = device.identity.iter().chain(&device.next).map(|identity| identity.leaf);
    let reason = match device.state {
        State::Quarantined => Some(Reason::Hold),
        State::Retired => Some(Reason::Ceased),
        State::Lost => Some(Reason::KeyCompromise),
        State::Active | State::Listed | State::Expected | State::Pending => None,
    };
    let mut revoked: Vec<Revoked> = Vec::new();
    if let Some(reason) = reason {
        revoked.extend(held.map(|leaf| Revoked { leaf, reason, since: Some(device.since) }));
    }
    let replaced = device.replaced.iter();
    revoked.extend(replaced.map(|one| Revoked { leaf: one.leaf, reason: Reason::Superseded, since: one.at }));
    revoked
}

/// The threshold of [`WARN_DAYS`] that was passed, if any: the number of days to say.
#[must_use]
pub fn warning(not_after: Timestamp, now: Timestamp) -> Option<i64> {
    let left = not_after.seconds_since(now);
    WARN_DAYS.into_iter().filter(|days| left <= days.saturating_mul(DAY_S)).min()
}
