//! Refusals: every reason for which a device does not install, in the order in which they are checked (decision 0002).
//!
//! One closed list, used by the decision, by the device's own `status`, by check-ins and on the console: the same code
//! and the same sentence everywhere. The sentence says what is wrong and what to do, and never repeats secrets or
//! bytes of an offered document. Read next: [`super::decide`] for the checks up to `min_from`, the update machine in
//! the agent's core for those at the reboot.

use alloc::string::ToString;

use super::decide::GaveUp;
use super::fault::{Role, TrustError};
use super::permit::PermitMiss;
use super::release::InterlockClass;
use super::scope::ScopeMiss;
use super::unreadable::Unreadable;
use crate::checkin::{Blocked, InterlockState};
use crate::ids::{Name, TargetPath, Text};
use crate::time::Timestamp;

mod sentence;

/// Which of the two signatures a chain of metadata stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The owner's director repository.
    Director,
    /// The manufacturer's image repository.
    Image,
}

/// The place of a check in the fixed order. Of two things that are wrong, the earlier one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The root of either chain.
    Root,
    /// Its timestamp.
    Timestamp,
    /// Its snapshot.
    Snapshot,
    /// Its targets, delegated ones included.
    Targets,
    /// The order is listed and readable.
    Listed,
    /// The order, or its way back, holds now.
    Validity,
    /// The clock is not before the order was signed.
    Issued,
    /// The device is in the scope.
    Scope,
    /// The maker lists the release.
    Maker,
    /// Length and hash are the same in both signatures.
    Image,
    /// Model and hardware revision fit.
    Hardware,
    /// The counter is newer, or it is the way back that is open to this device.
    Counter,
    /// The counter is not below the floor.
    Floor,
    /// The installed release is not too old for it.
    MinFrom,
    /// The permit is fresh.
    Permit,
    /// A window is open.
    Window,
    /// There is enough power.
    Power,
    /// The device is not in use.
    Interlock,
}

/// What the device runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Mains.
    Mains,
    /// A battery that is not being charged, with this charge.
    Battery {
        /// Per cent of its charge.
        percent: u8,
    },
    /// It cannot be told.
    Unknown,
}

/// One reason for which a device does not install, or not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A chain of metadata is not believed.
    Chain {
        /// Whose chain.
        party: Party,
        /// The role and what is wrong with it.
        error: TrustError,
    },
    /// The owner's document does not list the order.
    OrderNotListed {
        /// The order.
        order: Name,
    },
    /// The order is listed but cannot be read here.
    OrderUnreadable {
        /// The order.
        order: Name,
        /// What is wrong with it.
        why: Unreadable,
    },
    /// The order's time has not come.
    OrderNotYet {
        /// The order.
        order: Name,
        /// When it begins.
        not_before: Timestamp,
    },
    /// The order's time is over.
    OrderExpired {
        /// The order.
        order: Name,
        /// When it ended.
        expires: Timestamp,
    },
    /// The order has no way back.
    NoWayBack {
        /// The order.
        order: Name,
    },
    /// The time of the way back is over.
    WayBackClosed {
        /// The order.
        order: Name,
        /// When it ended.
        until: Timestamp,
    },
    /// The device's clock shows a time before the order was signed.
    ClockBeforeOrder {
        /// The order.
        order: Name,
        /// When it was signed.
        issued: Timestamp,
    },
    /// The device is not in the order's scope.
    NotInScope {
        /// The order.
        order: Name,
        /// Why not.
        why: ScopeMiss,
    },
    /// The maker does not list the release.
    UnknownToMaker {
        /// The release.
        release: TargetPath,
    },
    /// The maker lists it, but it cannot be read here.
    ReleaseUnreadable {
        /// The release.
        release: TargetPath,
        /// What is wrong with it.
        why: Unreadable,
    },
    /// Owner and maker signed different lengths.
    LengthDiffers {
        /// The release.
        release: TargetPath,
        /// The length in the owner's signature.
        ordered: u64,
        /// The length in the maker's.
        listed: u64,
    },
    /// Owner and maker signed different images.
    HashDiffers {
        /// The release.
        release: TargetPath,
    },
    /// The release is for another model.
    OtherModel {
        /// The model it is for.
        needed: Text,
        /// The device's.
        device: Text,
    },
    /// The release does not fit this hardware revision.
    OtherHardware {
        /// The device's revision.
        device: Text,
    },
    /// The device takes this order no more.
    GivenUp {
        /// The order.
        order: Name,
        /// Why.
        why: GaveUp,
    },
    /// The release is not newer than the installed one.
    NotNewer {
        /// Its counter.
        offered: u64,
        /// The installed one.
        installed: u64,
    },
    /// The way back is open only to a device that confirmed this order's image and runs it.
    NotConfirmedHere {
        /// The order.
        order: Name,
    },
    /// The way back would lead forward.
    BackNotOlder {
        /// Its counter.
        back: u64,
        /// The installed one.
        installed: u64,
    },
    /// The release is older than the oldest accepted version.
    BelowFloor {
        /// Its counter.
        offered: u64,
        /// The floor.
        floor: u64,
    },
    /// An intermediate release must come first.
    MinFrom {
        /// The lowest installed counter it can be installed from.
        needed: u64,
        /// The installed one.
        installed: u64,
    },
    /// The server's fresh go is missing.
    NoPermit {
        /// The order.
        order: Name,
        /// Why.
        why: PermitMiss,
    },
    /// No window is open.
    OutsideWindow {
        /// When the next one opens, in UTC; `None`: never.
        next: Option<Timestamp>,
        /// The device's offset from UTC in minutes, for people.
        zone_minutes: i16,
    },
    /// There is not enough power for a reboot.
    Power {
        /// What the device runs on.
        power: Power,
    },
    /// The device is in use, or nobody says that it is not.
    Interlock {
        /// Who must say.
        class: InterlockClass,
        /// What is said.
        state: InterlockState,
        /// Whether service is needed.
        service: bool,
    },
}

impl Refusal {
    /// The place of the check in the fixed order.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::Chain { error, .. } => match error.role {
                Role::Root => Step::Root,
                Role::Timestamp => Step::Timestamp,
                Role::Snapshot => Step::Snapshot,
                Role::Targets | Role::Delegated(_) => Step::Targets,
            },
            Self::OrderNotListed { .. } | Self::OrderUnreadable { .. } => Step::Listed,
            Self::OrderNotYet { .. }
            | Self::OrderExpired { .. }
            | Self::NoWayBack { .. }
            | Self::WayBackClosed { .. } => Step::Validity,
            Self::ClockBeforeOrder { .. } => Step::Issued,
            Self::NotInScope { .. } => Step::Scope,
            Self::UnknownToMaker { .. } | Self::ReleaseUnreadable { .. } => Step::Maker,
            Self::LengthDiffers { .. } | Self::HashDiffers { .. } => Step::Image,
            Self::OtherModel { .. } | Self::OtherHardware { .. } => Step::Hardware,
            Self::GivenUp { .. }
            | Self::NotNewer { .. }
            | Self::NotConfirmedHere { .. }
            | Self::BackNotOlder { .. } => Step::Counter,
            Self::BelowFloor { .. } => Step::Floor,
            Self::MinFrom { .. } => Step::MinFrom,
            Self::NoPermit { .. } => Step::Permit,
            Self::OutsideWindow { .. } => Step::Window,
            Self::Power { .. } => Step::Power,
            Self::Interlock { .. } => Step::Interlock,
        }
    }

    /// Whether waiting cannot help: the act is dropped, and only a new order brings it back.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Chain { .. }
            | Self::OrderNotYet { .. }
            | Self::ClockBeforeOrder { .. }
            | Self::NotInScope { .. }
            | Self::NoPermit { .. }
            | Self::OutsideWindow { .. }
            | Self::Power { .. }
            | Self::Interlock { .. } => false,
            Self::OrderNotListed { .. }
            | Self::OrderUnreadable { .. }
            | Self::OrderExpired { .. }
            | Self::NoWayBack { .. }
            | Self::WayBackClosed { .. }
            | Self::UnknownToMaker { .. }
            | Self::ReleaseUnreadable { .. }
            | Self::LengthDiffers { .. }
            | Self::HashDiffers { .. }
            | Self::OtherModel { .. }
            | Self::OtherHardware { .. }
            | Self::GivenUp { .. }
            | Self::NotNewer { .. }
            | Self::NotConfirmedHere { .. }
            | Self::BackNotOlder { .. }
            | Self::BelowFloor { .. }
            | Self::MinFrom { .. } => true,
        }
    }

    /// The stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Chain { party, error } => chain_code(*party, &error.role),
            Self::OrderNotListed { .. } => "order-not-listed",
            Self::OrderUnreadable { .. } => "order-unreadable",
            Self::OrderNotYet { .. } => "order-not-yet",
            Self::OrderExpired { .. } => "order-expired",
            Self::NoWayBack { .. } => "no-way-back",
            Self::WayBackClosed { .. } => "way-back-closed",
            Self::ClockBeforeOrder { .. } => "clock-before-order",
            Self::NotInScope { .. } => "not-in-scope",
            Self::UnknownToMaker { .. } => "unknown-to-maker",
            Self::ReleaseUnreadable { .. } => "release-unreadable",
            Self::LengthDiffers { .. } => "length-differs",
            Self::HashDiffers { .. } => "hash-differs",
            Self::OtherModel { .. } => "other-model",
            Self::OtherHardware { .. } => "other-hardware",
            Self::GivenUp { .. } => "given-up",
            Self::NotNewer { .. } => "not-newer",
            Self::NotConfirmedHere { .. } => "not-confirmed-here",
            Self::BackNotOlder { .. } => "way-back-not-older",
            Self::BelowFloor { .. } => "below-floor",
            Self::MinFrom { .. } => "min-from",
            Self::NoPermit { .. } => "no-permit",
            Self::OutsideWindow { .. } => "outside-window",
            Self::Power { .. } => "power",
            Self::Interlock { .. } => "interlock",
        }
    }

    /// Code and sentence as they travel and as `status` prints them.
    #[must_use]
    pub fn blocked(&self) -> Blocked {
        Blocked { code: Text::lossy(self.code()), sentence: Text::lossy(&self.to_string()) }
    }
}

/// Whether a check-in that names this code first says that the device will not take the order, however long one waits:
/// [`Refusal::is_final`] for those who know the code alone. A code that is not known here is not final.
#[must_use]
pub fn is_final_code(code: &str) -> bool {
    matches!(
        code,
        "order-not-listed"
            | "order-unreadable"
            | "order-expired"
            | "no-way-back"
            | "way-back-closed"
            | "unknown-to-maker"
            | "release-unreadable"
            | "length-differs"
            | "hash-differs"
            | "other-model"
            | "other-hardware"
            | "given-up"
            | "not-newer"
            | "not-confirmed-here"
            | "way-back-not-older"
            | "below-floor"
            | "min-from"
    )
}

fn chain_code(party: Party, role: &Role) -> &'static str {
    match (party, role) {
        (Party::Director, Role::Root) => "director-root",
        (Party::Director, Role::Timestamp) => "director-timestamp",
        (Party::Director, Role::Snapshot) => "director-snapshot",
        (Party::Director, Role::Targets | Role::Delegated(_)) => "director-targets",
        (Party::Image, Role::Root) => "image-root",
        (Party::Image, Role::Timestamp) => "image-timestamp",
        (Party::Image, Role::Snapshot) => "image-snapshot",
        (Party::Image, Role::Targets | Role::Delegated(_)) => "image-targets",
    }
}

#[cfg(test)]
mod tests;
