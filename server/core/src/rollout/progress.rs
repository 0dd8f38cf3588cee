//! What is remembered of one device in one rollout, under `Key::Progress`.
//!
//! Only what the server itself did and what receipts and people said: what a device tells of itself stands in the
//! fleet. Of a content, for which there is no receipt, the device's first word of its end stands here too. Read
//! next: [`super::apply_progress`] and [`super::count`] for what changes it.

use alloc::string::String;

use cordon_proto::checkin::{Action, Blocked};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What is remembered of one device in one rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of this document.
    pub v: u32,
    /// When it was last given the go.
    pub permitted: Option<Timestamp>,
    /// How it ended, by its receipt.
    pub outcome: Option<Outcome>,
    /// When.
    pub ended: Option<Timestamp>,
    /// The receipt's own reason for a bad end.
    pub reason: Option<Blocked>,
    /// When the go was taken back, because something else came into the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<Timestamp>,
    /// When it was called silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<Timestamp>,
    /// How often it was called silent.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub tries: u32,
    /// Its way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<BackEnd>,
    /// What a person said who looked at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// Whether it has been told of the go.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub told: GoTold,
    /// Of a content: when the device was told of it for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<Timestamp>,
}

/// Whether a device has been told of its go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoTold {
    /// Nobody wrote it down: a go that an earlier version of the server gave. It is taken for told, so that a device that
    /// died of it is not overlooked.
    #[default]
    Unwritten,
    /// It has not checked in since.
    NotYet,
    /// In the answer to its check-in at that time, for the first time.
    At(Timestamp),
}

impl GoTold {
    /// Whether the device is told for the first time now: what a clock that was ahead has written is no telling.
    fn is_news(self, now: Timestamp) -> bool {
        match self {
            Self::NotYet => true,
            Self::At(told) => told > now,
            Self::Unwritten => false,
        }
    }
}

/// How far a device is on its way back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackEnd {
    /// When it was last given the go.
    pub permitted: Option<Timestamp>,
    /// When the go was taken back, because something else came into the way.
    pub taken_back: Option<Timestamp>,
    /// When it was called silent.
    pub silent: Option<Timestamp>,
    /// How often.
    pub tries: u32,
    /// How it ended, by its receipt.
    pub outcome: Option<Outcome>,
    /// When.
    pub ended: Option<Timestamp>,
    /// The receipt's own reason for a bad end.
    pub reason: Option<Blocked>,
    /// Whether it has been told of the go.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub told: GoTold,
}

/// A person's word on a device that was looked at after the install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Whether it may stay in use so.
    pub good: bool,
    /// The number of the work order in the hospital's own books.
    pub work_order: Option<String>,
    /// What was seen.
    pub note: String,
}

impl Progress {
    /// When the go was given that is in force, by what is stored.
    #[must_use]
    pub fn go(&self) -> Option<Timestamp> {
        self.permitted.filter(|_| self.taken_back.is_none() && self.silent.is_none())
    }

    /// The same, if a clock that was ahead called the device silent: that ended no go that was given before.
    #[must_use]
    pub fn go_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.go().or(self.permitted.filter(|at| self.taken_back.is_none() && outlives(*at, self.silent, now)))
    }

    /// After the go was given; the device does not know it yet. Of a content that it was offered before it needs not be
    /// told again: it may be trying it.
    #[must_use]
    pub fn permitted(&self, now: Timestamp) -> Self {
        let told = if self.offered.is_some() { GoTold::At(now) } else { GoTold::NotYet };
        Self { v: 1, permitted: Some(now), taken_back: None, silent: None, told, ..self.clone() }
    }

    /// After the answer to a check-in has told the device of the go for this act; nothing if it is told already, or has
    /// no go.
    #[must_use]
    pub fn told(&self, action: Action, now: Timestamp) -> Option<Self> {
        let at = GoTold::At(now);
        match action {
            Action::Install => {
                let news = self.go_at(now).is_some() && self.told.is_news(now);
                news.then(|| Self { v: 1, told: at, ..self.clone() })
            }
            Action::Back => {
                let back = self.back.as_ref().filter(|back| back.go_at(now).is_some());
                let back = back.filter(|back| back.told.is_news(now))?;
                let back = BackEnd { told: at, ..back.clone() };
                Some(Self { v: 1, back: Some(back), ..self.clone() })
            }
        }
    }

    /// After the answer to a check-in has offered the device its content for the first time; nothing if it was offered
    /// before, or has no place. A `late` one needs none: the rollout is finished.
    #[must_use]
    pub fn offered(&self, late: bool, now: Timestamp) -> Option<Self> {
        let place = self.go_at(now).or(late.then_some(now)).filter(|_| self.offered.is_none())?;
        let (permitted, told, offered) = (Some(place), GoTold::At(now), Some(now));
        Some(Self { v: 1, permitted, told, offered, taken_back: None, silent: None, ..self.clone() })
    }

    /// When a go was taken back that the device never heard of.
    #[must_use]
    pub fn unclaimed(&self) -> Option<Timestamp> {
        self.taken_back.filter(|taken| is_unheard_of(self.told, *taken))
    }
}

impl BackEnd {
    /// When the go was given that is in force, by what is stored.
    #[must_use]
    pub fn go(&self) -> Option<Timestamp> {
        self.permitted.filter(|_| self.taken_back.is_none() && self.silent.is_none())
    }

    /// The same, if a clock that was ahead called the device silent: that ended no go that was given before.
    #[must_use]
    pub fn go_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.go().or(self.permitted.filter(|at| self.taken_back.is_none() && outlives(*at, self.silent, now)))
    }

    /// When a go was taken back that the device never heard of.
    #[must_use]
    pub fn unclaimed(&self) -> Option<Timestamp> {
        self.taken_back.filter(|taken| is_unheard_of(self.told, *taken))
    }
}

/// Whether a go that was given then stands although its device is marked as silent: the mark is of a time that has not
/// come, and the go is not.
fn outlives(given: Timestamp, silent: Option<Timestamp>, now: Timestamp) -> bool {
    given <= now && silent.is_some_and(|silent| silent > now)
}

/// Whether nobody knows that the device heard of the go that was taken back: it was told by a clock that was ahead, or not
/// at all.
fn is_unheard_of(told: GoTold, taken: Timestamp) -> bool {
    match told {
        GoTold::NotYet => true,
        GoTold::At(told) => told > taken,
        GoTold::Unwritten => false,
    }
}
