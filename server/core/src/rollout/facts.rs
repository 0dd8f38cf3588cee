//! What is known of one device with regard to its wave's order, and how far it is by that.
//!
//! Facts come from two places: what the device last said of itself, and what is stored of its way in the rollout. They
//! are read here and never written. A device that speaks is not silent, whatever is in its way; one that may not
//! reboot now takes up no place of those that may. Read next: [`super::plan`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::ids::{DeviceId, Name, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;

use super::{GoTold, Policy};

/// The only code that stands in the way of a device to which nothing but the go is missing.
pub(super) const NO_PERMIT: &str = "no-permit";

/// Seconds after which a go that its device never came for is given to another. At a tick only who listens is given one,
/// and comes within seconds.
pub(super) const UNCLAIMED_S: i64 = 900;

/// What is known of one device with regard to its wave's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Whether we trust the device at all: active and not lost, retired or expected.
    pub trusted: bool,
    /// Whether a hold covers it.
    pub held: bool,
    /// Since when one does.
    pub held_since: Option<Timestamp>,
    /// When it was last heard.
    pub heard: Option<Timestamp>,
    /// Since when this server has been there to hear it.
    pub heard_out: Option<Timestamp>,
    /// Until when it listens, by its last request.
    pub listens: Option<Timestamp>,
    /// The act for which it asks the go.
    pub asks: Option<(Name, Action)>,
    /// Whether it last spoke of another order than this one.
    pub elsewhere: bool,
    /// Where its update stands, if it speaks of this order.
    pub state: Option<UpdateState>,
    /// Codes of all that stands in its way, by its own word, if it speaks of this order.
    pub rules: Vec<Text>,
    /// Its own sentence for why it waits, the missing go last.
    pub blocked: Option<String>,
    /// Whether it has taken the image and works on it.
    pub installing: bool,
    /// The code for which it will never take the order, by its own word.
    pub refused: Option<Text>,
    /// Whether it runs the ordered image without having been given the go for it.
    pub already: bool,
    /// When it was given the go that is in force for the install.
    pub permitted: Option<Timestamp>,
    /// Whether it has been told of it.
    pub told: GoTold,
    /// When a go was taken back that it never heard of, if it was not given one since.
    pub unclaimed: Option<Timestamp>,
    /// When it was called silent, if it was not given the go since.
    pub silent: Option<Timestamp>,
    /// How often it was called silent.
    pub tries: u32,
    /// How it ended, by its receipt.
    pub receipt: Option<Outcome>,
    /// What a person said who looked at it afterwards.
    pub accepted: Option<bool>,
    /// Its way back.
    pub back: BackFacts,
    /// The wave that it would join, for an enrolled device that stands in none.
    pub joins: Option<usize>,
}

/// What is known of one device's way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackFacts {
    /// When it was given the go that is in force for the way back.
    pub permitted: Option<Timestamp>,
    /// Whether it has been told of it.
    pub told: GoTold,
    /// When a go was taken back that it never heard of, if it was not given one since.
    pub unclaimed: Option<Timestamp>,
    /// When it was called silent on its way back, if it was not given the go since.
    pub silent: Option<Timestamp>,
    /// How often.
    pub tries: u32,
    /// How it ended, by its receipt.
    pub outcome: Option<Outcome>,
    /// Whether it runs something else by now, by another rollout's receipt or its own word: nothing takes it back.
    pub left: bool,
}

/// Facts of all devices of a rollout.
pub type Fleet = BTreeMap<DeviceId, DeviceFacts>;

/// How far one device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its wave has not begun, or it has not taken the order up since.
    Unreached,
    /// It has the order and something blocks it.
    Waiting,
    /// It fetches, installs or runs the trial.
    Installing,
    /// It runs the ordered image, but not by this rollout: neither a success nor a failure.
    Already,
    /// Its receipt says that the image runs and is healthy.
    Confirmed,
    /// Its receipt says that it has taken the signed way back.
    Returned,
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
    /// A person looked at it and did not accept it.
    NotAccepted,
    /// The way back was ordered and it did not arrive there.
    NotReturned,
}

impl Stage {
    /// Whether nothing more is expected of the device.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Unreached | Self::Waiting | Self::Installing => false,
            Self::Already | Self::Confirmed | Self::Returned | Self::Failed(_) => true,
        }
    }
}

impl DeviceFacts {
    /// The stage of a device whose wave has begun.
    #[must_use]
    pub fn stage(&self, policy: &Policy, now: Timestamp) -> Stage {
        if let Some(ended) = self.ended() {
            return ended;
        }
        match self.permitted.filter(|_| !self.is_unclaimed(Action::Install, now)) {
            _ if self.refused.is_some() => Stage::Failed(Failure::Refused),
            _ if self.fell_silent(Action::Install) => Stage::Failed(Failure::Silent),
            Some(_) if self.is_kept() => Stage::Waiting,
            Some(_) if self.is_silent(Action::Install, policy, now) => Stage::Failed(Failure::Silent),
            Some(_) => Stage::Installing,
            None if self.already => Stage::Already,
            None if self.blocked.is_some() || self.asks.is_some() => Stage::Waiting,
            None if self.installing => Stage::Installing,
            None => Stage::Unreached,
        }
    }

    /// The end that a receipt tells of, and a person's word after it.
    fn ended(&self) -> Option<Stage> {
        Some(match (self.receipt?, self.back.outcome) {
            (_, Some(Outcome::WentBack)) | (Outcome::WentBack, _) => Stage::Returned,
            (_, Some(Outcome::RolledBack | Outcome::Refused)) => Stage::Failed(Failure::NotReturned),
            (Outcome::Confirmed, None | Some(Outcome::Confirmed)) if self.accepted == Some(false) => {
                Stage::Failed(Failure::NotAccepted)
            }
            (Outcome::Confirmed, None | Some(Outcome::Confirmed)) => Stage::Confirmed,
            (Outcome::RolledBack, _) => Stage::Failed(Failure::RolledBack),
            (Outcome::Refused, _) => Stage::Failed(Failure::Refused),
        })
    }

    /// Whether nothing but the go stands in the way, by the device's own last word.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.rules.iter().all(|code| code.as_str() == NO_PERMIT)
    }

    /// Whether a go is of no use to the device: it stands before the reboot and something other than the missing go is in
    /// its way, by its own word or by a person's hold; or it speaks and does not work on this order at all. A word of
    /// before the go counts for nothing: a server that has just started may not know the one that the go was given for.
    /// A hold counts once the device was heard under it, or if it never heard of the go: one that was let go and
    /// has not been heard since the hold may be lying there broken, and no hold makes that good. One that a person has
    /// called lost or taken out of service is nobody's failure.
    pub(super) fn is_kept(&self) -> bool {
        let go = self.permitted.max(self.back.permitted);
        let since = self.heard.is_none_or(|heard| go.is_none_or(|at| heard >= at));
        let before = matches!(self.state, Some(UpdateState::Waiting | UpdateState::Armed));
        let rests = matches!(self.state, None | Some(UpdateState::Idle | UpdateState::Refused))
            && self.asks.is_none()
            && self.heard.is_some();
        let untold = self.has_go().is_some_and(|action| self.told_of(action) == GoTold::NotYet);
        let under_hold = self.held_since.zip(self.heard).is_some_and(|(at, heard)| heard > at);
        let dismissed = self.heard.is_some() && !self.trusted;
        dismissed
            || (since && (rests || self.elsewhere))
            || (before && ((self.held && under_hold) || (since && !self.is_free())))
            || (self.held && untold)
    }

    /// Whether it stands before the reboot without its go for this act, which is withheld since then: it never heard of it,
    /// or has said since, and since it was told, that it misses one or fetches again. Who tries the image has rebooted,
    /// whatever is stored of what it heard. A time that has not come bounds nothing.
    pub(super) fn stands_without(&self, action: Action, since: Timestamp, now: Timestamp) -> bool {
        let told = match self.told_of(action) {
            GoTold::NotYet => return self.state != Some(UpdateState::Trial),
            GoTold::At(told) => Some(told),
            GoTold::Unwritten => self.go_of(action),
        };
        let misses = self.rules.iter().any(|code| code.as_str() == NO_PERMIT);
        let before = match self.state {
            Some(UpdateState::Waiting | UpdateState::Armed) => misses,
            state => state == Some(UpdateState::Fetching),
        };
        let last = told.max(Some(since).filter(|since| *since <= now));
        before && self.heard > last
    }

    /// When the go for this act was given that is in force.
    pub(super) fn go_of(&self, action: Action) -> Option<Timestamp> {
        match action {
            Action::Install => self.permitted,
            Action::Back => self.back.permitted,
        }
    }

    fn told_of(&self, action: Action) -> GoTold {
        match action {
            Action::Install => self.told,
            Action::Back => self.back.told,
        }
    }

    /// Whether it counts as silent by the mark that it has: not heard since, or marked a second time. Who speaks again
    /// after the first time has failed at nothing yet.
    pub(super) fn fell_silent(&self, action: Action) -> bool {
        let (mark, tries) = match action {
            Action::Install => (self.silent, self.tries),
            Action::Back => (self.back.silent, self.back.tries),
        };
        mark.is_some_and(|since| tries > 1 || self.heard.is_none_or(|heard| heard <= since))
    }

    /// Forgets marks of a time that has not come: they were set by a clock that was ahead.
    pub(super) fn without_marks_after(mut self, now: Timestamp) -> Self {
        let back = &mut self.back;
        for (mark, tries) in [(self.silent, &mut self.tries), (back.silent, &mut back.tries)] {
            *tries = tries.saturating_sub(u32::from(mark > Some(now)));
        }
        for mark in [&mut self.unclaimed, &mut self.silent, &mut back.unclaimed, &mut back.silent] {
            *mark = mark.filter(|since| *since <= now);
        }
        for told in [&mut self.told, &mut self.back.told] {
            if matches!(told, GoTold::At(at) if *at > now) {
                *told = GoTold::NotYet;
            }
        }
        self
    }

    /// Whether nothing was heard for too long since it was told of its go for this act, while this server was there to
    /// hear it: a server that was off has learned nothing about anybody.
    pub(super) fn is_silent(&self, action: Action, policy: &Policy, now: Timestamp) -> bool {
        let Some(at) = self.go_of(action) else { return false };
        let at = match self.told_of(action) {
            GoTold::NotYet => return false,
            GoTold::At(told) if at > now => told,
            GoTold::At(told) => told.max(at),
            GoTold::Unwritten => at,
        };
        let there = self.heard_out.filter(|since| *since <= now);
        let last = self.heard.max(there).map_or(at, |heard| heard.max(at));
        now.seconds_since(last) > i64::from(policy.silent_after_s)
    }

    /// Whether it has not come for its go for this act for so long that another may have the place, or the go is of a time
    /// that has not come.
    pub(super) fn is_unclaimed(&self, action: Action, now: Timestamp) -> bool {
        let at = self.go_of(action).filter(|_| self.told_of(action) == GoTold::NotYet);
        at.is_some_and(|at| now.seconds_since(at) > UNCLAIMED_S || at > now)
    }

    /// Whether it will come for a go that it is given at a tick, far from any word of its own: it listens, and it was heard
    /// since it slept over a go or fell silent with one. Who speaks at this very moment is asked neither.
    pub(super) fn will_come(&self, action: Action, now: Timestamp) -> bool {
        let missed = match action {
            Action::Install => self.unclaimed.max(self.silent),
            Action::Back => self.back.unclaimed.max(self.back.silent),
        };
        let listens = self.listens.is_some_and(|until| now <= until);
        listens && missed.is_none_or(|since| self.heard.is_some_and(|heard| heard > since))
    }

    /// Whether it asks the go for this act and may be given it, as far as it and people's holds are concerned.
    #[must_use]
    pub fn may_take_the_go(&self, order: &Name, action: Action) -> bool {
        let asks = self.asks.as_ref().is_some_and(|(asked, act)| asked == order && *act == action);
        asks && self.trusted && !self.held && self.is_free()
    }

    /// Whether it has a go that is in force and its end is not known: for the install or for the way back.
    #[must_use]
    pub fn has_go(&self) -> Option<Action> {
        match (self.permitted, self.back.permitted) {
            (Some(_), _) if self.receipt.is_none() => Some(Action::Install),
            (_, Some(_)) if self.back.outcome.is_none() => Some(Action::Back),
            _ => None,
        }
    }
}
