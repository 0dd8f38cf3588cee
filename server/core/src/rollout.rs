//! Rollouts: the server's execution of owner-signed orders, wave by wave, with its automatic stop.
//!
//! Three pure steps in a row: [`plan`] reads facts and proposes acts, [`check`] refuses any plan that would break an
//! invariant, the caller executes what is left. Nothing here can widen what the owner signed: a rollout only decides
//! *when* a device inside an order's scope is offered it and given the fresh go. A claim without a receipt is no
//! success; a silent device is a failure; an unreached one is neither. Read next: [`Book`] for what a
//! device is told, [`tally`] for how a wave is counted.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::checkin::Action;
use cordon_proto::ids::{DeviceId, Name, TargetPath};
use cordon_proto::limits;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

mod offer;
mod plan;
mod tally;

use offer::GO_S;
pub use offer::{Book, OtherList, Progress, ScopeList, Told, ward_name};
pub use plan::{Act, Violation, check, plan};
pub use tally::{Tally, limit_broken, tally, wilson};

/// One rollout as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub id: Name,
    /// What people call it, such as `VP-3 4.2.2 to 20 infusion pumps`.
    pub title: String,
    /// The manufacturer's repository.
    pub repository: Name,
    /// The release that the orders install.
    pub release: TargetPath,
    /// The release that the orders' way back names, if any.
    pub back: Option<TargetPath>,
    /// The waves, first to last.
    pub waves: Vec<Wave>,
    /// Its limits.
    pub policy: Policy,
    /// Where it stands.
    pub state: State,
    /// When it was created.
    pub created: Timestamp,
    /// Who created it.
    pub by: String,
}

/// One wave: the devices that one order reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// What people call it.
    pub name: String,
    /// The order that these devices are offered.
    pub order: Name,
    /// The devices, sorted; fixed when the rollout is created.
    pub devices: Vec<DeviceId>,
    /// When its first device could be offered the order.
    pub started: Option<Timestamp>,
    /// When its last device had finished and the watch began.
    pub settled: Option<Timestamp>,
}

/// The limits of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Failures of finished devices, in thousandths, above which it stops itself (with 95 % certainty).
    pub failure_limit_permille: u32,
    /// Devices that may hold a permit at once.
    pub in_flight: u32,
    /// Seconds after a permit without a receipt after which a device counts as failed: longer than a trial may last.
    pub silent_after_s: u32,
    /// Seconds to watch a settled wave before the next begins.
    pub soak_s: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { failure_limit_permille: 20, in_flight: 20, silent_after_s: SILENT_AFTER_S, soak_s: 86_400 }
    }
}

/// Default seconds after a go without a receipt after which a device counts as failed.
const SILENT_AFTER_S: u32 = 3 * 3600;
const _: () = assert!(
    SILENT_AFTER_S >= 2 * limits::TRIAL_S + GO_S + 1800,
    "a device on trial whose network is down has its time twice, after the go and before the boots back"
);

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum State {
    /// It goes on.
    Running,
    /// It stopped itself.
    Halted {
        /// When.
        at: Timestamp,
        /// In which wave, from 0.
        wave: usize,
        /// Why, in words.
        reason: String,
    },
    /// A person stopped it.
    Stopped {
        /// When.
        at: Timestamp,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Every wave is settled and watched.
    Finished {
        /// When.
        at: Timestamp,
    },
}

/// A person's stop for a ward, a site or a model. Needs no key and takes effect at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub id: Name,
    /// What it covers.
    pub covers: Covers,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// What a hold covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum Covers {
    /// One ward of one site, written `site/ward`.
    Ward(String),
    /// One site.
    Site(String),
    /// One model.
    Model(String),
}

/// What is known of one device with regard to its wave's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Whether we trust the device at all: active and not lost, retired or expected.
    pub trusted: bool,
    /// The order for which it asks the go.
    pub asks: Option<(Name, Action)>,
    /// When it was given the go for its wave's order.
    pub permitted: Option<Timestamp>,
    /// How it ended, by its receipt.
    pub receipt: Option<Outcome>,
    /// Its own reason for waiting, if it gave one.
    pub blocked: Option<String>,
    /// Whether it has taken the image and works on it.
    pub installing: bool,
    /// Whether a hold covers it.
    pub held: bool,
}

/// Facts of all devices of a rollout.
pub type Fleet = BTreeMap<DeviceId, DeviceFacts>;

/// How far one device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its wave has not begun, or it has not been heard since.
    Unreached,
    /// It has the order and something blocks it.
    Waiting,
    /// It fetches, installs or runs the trial.
    Installing,
    /// Its receipt says that the image runs and is healthy.
    Confirmed,
    /// It rolled back, refused, or went silent after the go.
    Failed(Failure),
}

/// Why a device counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The trial failed and the old image runs.
    RolledBack,
    /// It refused the order.
    Refused,
    /// It was given the go and has not been heard since.
    Silent,
}

impl DeviceFacts {
    /// The stage of a device whose wave has begun.
    #[must_use]
    pub fn stage(&self, policy: &Policy, now: Timestamp) -> Stage {
        match self.receipt {
            Some(Outcome::Confirmed | Outcome::WentBack) => return Stage::Confirmed,
            Some(Outcome::RolledBack) => return Stage::Failed(Failure::RolledBack),
            Some(Outcome::Refused) => return Stage::Failed(Failure::Refused),
            None => {}
        }
        match self.permitted {
            Some(at) if now.seconds_since(at) > i64::from(policy.silent_after_s) => {
                Stage::Failed(Failure::Silent)
            }
            Some(_) => Stage::Installing,
            None if self.blocked.is_some() || self.asks.is_some() => Stage::Waiting,
            None if self.installing => Stage::Installing,
            None => Stage::Unreached,
        }
    }
}

impl Rollout {
    /// The wave that a device belongs to.
    #[must_use]
    pub fn wave_of(&self, device: DeviceId) -> Option<(usize, &Wave)> {
        self.waves.iter().enumerate().find(|(_, wave)| wave.devices.binary_search(&device).is_ok())
    }

    /// Whether devices of a begun wave are offered their order. A stopped rollout still offers it, so that the signed
    /// way back stays open; only the go is withheld.
    #[must_use]
    pub fn offers(&self) -> bool {
        match self.state {
            State::Running | State::Halted { .. } | State::Stopped { .. } | State::Finished { .. } => true,
        }
    }

    /// Whether the go may be given at all.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state == State::Running
    }
}

#[cfg(test)]
mod offer_tests;
#[cfg(test)]
mod tests;
