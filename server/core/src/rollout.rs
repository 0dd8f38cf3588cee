//! Rollouts: the server's execution of owner-signed orders, wave by wave, with its automatic stop.
//!
//! Four pure steps in a row: [`plan`] reads facts and proposes acts, [`check`] refuses any plan that would break an
//! invariant, the caller commits what is left, [`apply`] says what the documents are then. Nothing here can widen what
//! the owner signed: a rollout only decides *when* a device inside an order's scope is offered it and given the fresh
//! go. A claim without a receipt is no success; a silent device is a failure; an unreached one is neither. Read next:
//! [`Book`] for what a device is told, [`DeviceFacts`] for how far one is, [`tally`] for how a wave is counted.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::checkin::Action;
use cordon_proto::ids::{DeviceId, Name, Sha256, TargetPath};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use serde::{Deserialize, Serialize};

mod accept;
mod apply;
mod at_check_in;
pub mod calendar;
mod check;
mod content;
mod facts;
mod hold;
mod offer;
mod opening;
mod plan;
mod progress;
mod receipt;
mod retry;
mod tally;
mod waves;
mod way_back;

pub use accept::unaccepted;
pub use apply::{apply, apply_progress};
pub use at_check_in::{go_at_check_in, may_be_given};
pub use check::{Violation, check, passed};
pub use content::{CONTENT_SILENT_S, Contents, ToldContent, content_key, content_name};
pub use facts::{BackFacts, DeviceFacts, Failure, Fleet, Stage};
pub use hold::{Covers, HOLD_KEPT_S, Hold, Passing};
pub use offer::{Book, OtherList, Reason, ScopeList, Seen, Told, fits, ward_name};
pub use opening::{Listed, NotReady, ready};
pub use plan::{Act, plan, would_stop};
pub use progress::{Accepted, BackEnd, GoTold, Progress};
pub use receipt::{NotCounted, Row, count};
pub use retry::{Again, Class, again, class_of};
use tally::has_shown;
pub use tally::{Break, Tally, broken, may_settle, tally, wilson};
pub use waves::{Size, SplitError, split};

/// Devices that may hold a go at once, over all rollouts.
pub const IN_FLIGHT_TOTAL: u32 = 200;

/// What a plan is made over.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The facts of the rollout's devices.
    pub fleet: &'a Fleet,
    /// The owner's orders as they are listed now, as far as they are the rollout's: see [`Book::orders_of`].
    pub orders: &'a BTreeMap<Name, Order>,
    /// Places that the other rollouts leave of [`IN_FLIGHT_TOTAL`].
    pub room: u32,
    /// The time.
    pub now: Timestamp,
}

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
    /// Of two rollouts for one device the one with the higher number is offered, 0 to 1000.
    #[serde(default = "usual_priority", skip_serializing_if = "is_usual_priority")]
    pub priority: u16,
    /// How a silent device is tried again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pace: Pace,
    /// Which devices a person has to accept before a wave is settled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub acceptance: Acceptance,
    /// The number of the work order in the hospital's own books.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_order: Option<String>,
    /// The return to the signed way back, once a person has begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_back: Option<WayBack>,
    /// What is rolled out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: RolloutKind,
    /// Of a content: its version, which devices name when it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_version: Option<u64>,
}

/// What a rollout brings to its devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutKind {
    /// An image.
    #[default]
    Firmware,
    /// Settings, profiles and thresholds.
    Content,
}

/// How a silent device that is heard again is tried again under the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How often.
    pub silent_tries: u32,
    /// Seconds before the first time; doubled each time.
    pub back_off_s: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { silent_tries: 2, back_off_s: 3600 }
    }
}

/// Which confirmed devices a person has to look at before their wave is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Acceptance {
    /// None: the receipt is enough.
    #[default]
    None,
    /// So many of each wave, chosen by chance that nobody can steer.
    Sample {
        /// How many.
        per_wave: u32,
    },
    /// All.
    Every,
}

/// A return to the signed way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// Since when.
    pub at: Timestamp,
    /// Who began it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Devices that may be on their way at once.
    pub in_flight: u32,
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
    /// Whether enrolled devices that come to fit the order's facts are taken in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub joins: bool,
    /// What its order said when the rollout was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

impl Wave {
    /// When it began. One that a clock ahead began has begun all the same, at a time that is not known.
    #[must_use]
    pub fn started_by(&self, now: Timestamp) -> Option<Timestamp> {
        self.started.filter(|at| *at <= now)
    }

    /// When its watch began. What a clock ahead settled has shown nothing yet: whom it did not wait for any more was
    /// counted by that clock.
    #[must_use]
    pub fn settled_by(&self, now: Timestamp) -> Option<Timestamp> {
        self.settled.filter(|at| *at <= now)
    }
}

/// What a receipt is held against, kept with the wave: its order may be withdrawn before the receipt comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// When the order was signed.
    pub issued: Timestamp,
    /// The image that it installs.
    pub sha256: Sha256,
    /// Whether it needs no go.
    pub offline: bool,
    /// The image of its way back.
    pub back: Option<Sha256>,
}

impl From<&Order> for Signed {
    fn from(order: &Order) -> Self {
        Self {
            issued: order.issued,
            sha256: order.image.sha256,
            offline: order.permit_s.is_none(),
            back: order.back.as_ref().map(|back| back.image.sha256),
        }
    }
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
    /// So many failures in one wave stop it, whatever their share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_count: Option<u32>,
    /// A plain share of failures, in thousandths, above which it stops once `rate_from` devices have finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate_permille: Option<u32>,
    /// Finished devices of a wave from which on the plain share is looked at.
    #[serde(default = "usual_rate_from", skip_serializing_if = "is_usual_rate_from")]
    pub rate_from: u32,
    /// Failures below which the statistical limit is not asked; in waves of at most [`SMALL_WAVE`] devices one is enough.
    #[serde(default = "usual_least_failures", skip_serializing_if = "is_usual_least_failures")]
    pub least_failures: u32,
    /// When a wave is settled although not every device has ended.
    #[serde(default, skip_serializing_if = "is_default")]
    pub advance: Advance,
}

/// Devices of a wave up to which one failure is enough for the statistical limit to be asked.
pub const SMALL_WAVE: u32 = 25;

/// When a wave is settled although some devices have not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Advance {
    /// Seconds after the wave began, and since it was last heard, after which a device is no longer waited for.
    pub unreached_after_s: u32,
    /// Seconds after the wave began after which a device that waits is no longer waited for; `None`: it always is.
    pub waiting_after_s: Option<u32>,
    /// Thousandths of the wave that must be confirmed.
    pub least_confirmed_permille: u32,
    /// Devices that must be confirmed, and never fewer than one.
    pub least_confirmed: u32,
}

impl Default for Advance {
    fn default() -> Self {
        Self {
            unreached_after_s: 259_200,
            waiting_after_s: None,
            least_confirmed_permille: 100,
            least_confirmed: 1,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            failure_limit_permille: 20,
            in_flight: 20,
            silent_after_s: SILENT_AFTER_S,
            soak_s: 86_400,
            failure_count: None,
            failure_rate_permille: None,
            rate_from: usual_rate_from(),
            least_failures: usual_least_failures(),
            advance: Advance::default(),
        }
    }
}

impl Policy {
    /// What of it could not do what it is there for, in words for the person who asked for it.
    #[must_use]
    pub fn unfit(&self) -> Option<&'static str> {
        let permille = |share: u32| (1..=999).contains(&share);
        let rules = [
            (permille(self.failure_limit_permille), "`failure_limit_permille` is 1 to 999"),
            (self.failure_rate_permille.is_none_or(permille), "`failure_rate_permille` is 1 to 999"),
            (self.failure_count != Some(0), "`failure_count` is at least 1"),
            ((1..=IN_FLIGHT_TOTAL).contains(&self.in_flight), "`in_flight` is 1 to 200"),
            (
                self.silent_after_s >= LEAST_SILENT_AFTER_S,
                "`silent_after_s` is at least 4500: a trial and its go",
            ),
            (self.advance.least_confirmed_permille <= 1000, "`least_confirmed_permille` is at most 1000"),
        ];
        rules.into_iter().find(|(fits, _)| !fits).map(|(_, words)| words)
    }
}

/// The priority of a rollout that nobody gave another.
pub const USUAL_PRIORITY: u16 = 500;

fn usual_priority() -> u16 {
    USUAL_PRIORITY
}

fn usual_rate_from() -> u32 {
    20
}

fn usual_least_failures() -> u32 {
    2
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usual_priority(priority: &u16) -> bool {
    *priority == usual_priority()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usual_rate_from(count: &u32) -> bool {
    *count == usual_rate_from()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usual_least_failures(count: &u32) -> bool {
    *count == usual_least_failures()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Default seconds of silence after which a device that may install counts as failed.
const SILENT_AFTER_S: u32 = 3 * 3600;
const _: () = assert!(
    SILENT_AFTER_S >= 2 * limits::TRIAL_S + offer::GO_S + 1800,
    "a device on trial whose network is down has its time twice, after the go and before the boots back"
);

/// Seconds below which a device that does all in time would be called silent.
const LEAST_SILENT_AFTER_S: u32 = limits::TRIAL_S + offer::GO_S;
const _: () =
    assert!(LEAST_SILENT_AFTER_S == 4500 && IN_FLIGHT_TOTAL == 200, "`Policy::unfit` says both numbers");

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
    /// A person keeps it from giving new gos; those that were given are kept.
    Paused {
        /// When.
        at: Timestamp,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A person stopped it, or its orders ended: every go is withheld.
    Stopped {
        /// When.
        at: Timestamp,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A person ended it for good: nothing is offered any more.
    Aborted {
        /// When.
        at: Timestamp,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Confirmed devices are offered the signed way back; nothing is installed.
    Returning,
    /// Every confirmed device has gone back or failed to.
    Returned {
        /// When.
        at: Timestamp,
    },
    /// Every wave is settled and watched.
    Finished {
        /// When.
        at: Timestamp,
    },
}

impl Rollout {
    /// The wave that a device belongs to.
    #[must_use]
    pub fn wave_of(&self, device: DeviceId) -> Option<(usize, &Wave)> {
        self.waves.iter().enumerate().find(|(_, wave)| wave.devices.binary_search(&device).is_ok())
    }

    /// Whether devices of a begun wave are offered their order, so that they may fetch it. A paused, stopped or halted
    /// rollout still offers; only the go is withheld.
    #[must_use]
    pub fn offers(&self) -> bool {
        match self.state {
            State::Running | State::Paused { .. } | State::Halted { .. } | State::Stopped { .. } => true,
            State::Aborted { .. } | State::Returning | State::Returned { .. } | State::Finished { .. } => {
                false
            }
        }
    }

    /// Whether a new go may be given for an install.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state == State::Running
    }

    /// Whether a go that was given for an install still holds.
    #[must_use]
    pub fn keeps_gos(&self) -> bool {
        matches!(self.state, State::Running | State::Paused { .. })
    }

    /// Since when its gos for this act are withheld from those who have not rebooted on them, if they are.
    #[must_use]
    pub fn withholds(&self, action: Action) -> Option<Timestamp> {
        match &self.state {
            State::Halted { at, .. } | State::Stopped { at, .. } => Some(*at),
            State::Returning if action == Action::Install => self.way_back.as_ref().map(|way| way.at),
            _ => None,
        }
    }

    /// Whether the server has work with it.
    #[must_use]
    pub fn moves(&self) -> bool {
        matches!(self.state, State::Running | State::Returning)
    }

    /// Whether it may still want something of its devices: a second rollout of the same release would be in its way. Its
    /// gos take places, also while it stands still: their devices may be rebooting.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.offers() || self.state == State::Returning
    }
}

#[cfg(test)]
mod absence_tests;
#[cfg(any(test, feature = "world"))]
#[cfg_attr(not(test), expect(dead_code, reason = "the worlds need half of it, the tests all"))]
#[expect(clippy::indexing_slicing, reason = "a missing pump ends the test")]
mod fixture;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod offer_tests;
#[cfg(test)]
mod return_tests;
#[cfg(test)]
mod review_tests;
#[cfg(test)]
mod sleepers_tests;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "world"))]
#[expect(clippy::indexing_slicing, reason = "a missing pump ends the world, as a broken promise does")]
pub mod world;
#[cfg(test)]
mod world_tests;
