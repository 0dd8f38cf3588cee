//! States of a device as people see them: shape and word, the word carrying the measure.
//!
//! A list shows the one that matters most ([`DeviceState::rank`]); the device's own page shows all that hold. Read
//! next: [`super::marks`] for the shapes.

use cordon_proto::time::Timestamp;

use super::marks::{Markup, Shape, shape};
use super::words::Clock;

/// What holds for a device now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// We stopped trusting it.
    Quarantined,
    /// It has not reported for longer than it should.
    Silent {
        /// Its last report; none: never.
        last_seen: Option<Timestamp>,
    },
    /// Its last update was rolled back.
    RolledBack,
    /// It refused its last order.
    Refused,
    /// It is installing.
    Updating,
    /// It is in clinical use.
    InUse {
        /// A patient is attached.
        patient: bool,
    },
    /// Ready and not in use.
    Standby,
    /// Reports, and has no notion of use.
    Online,
    /// It asked to enrol and waits for a person.
    ToApprove,
    /// It stands in a list of assets; nothing of it was measured.
    Listed,
    /// A token was made for it; it has not come yet.
    Expected,
    /// Nobody knows where it is.
    Lost,
    /// Its use has ended.
    Retired,
}

impl DeviceState {
    /// Order of what matters most in a list, most first.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Quarantined => 0,
            Self::Lost => 1,
            Self::Silent { .. } => 2,
            Self::RolledBack => 3,
            Self::Refused => 4,
            Self::Updating => 5,
            Self::InUse { .. } => 6,
            Self::ToApprove => 7,
            Self::Standby => 8,
            Self::Online => 9,
            Self::Listed => 10,
            Self::Expected => 11,
            Self::Retired => 12,
        }
    }

    /// The value that filters a list by this state.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Silent { .. } => "silent",
            Self::RolledBack => "rolled-back",
            Self::Refused => "refused",
            Self::Updating => "updating",
            Self::InUse { .. } => "in-use",
            Self::Standby => "standby",
            Self::Online => "online",
            Self::ToApprove => "to-approve",
            Self::Listed => "listed",
            Self::Expected => "expected",
            Self::Lost => "lost",
            Self::Retired => "retired",
        }
    }

    /// The word, as short as a column wants it.
    #[must_use]
    pub fn word(self, clock: &Clock) -> String {
        match self {
            Self::Quarantined => "Quarantined".into(),
            Self::Silent { last_seen: Some(at) } => format!("Silent {}", clock.age_words(at)),
            Self::Silent { last_seen: None } => "Never seen".into(),
            Self::RolledBack => "Rolled back".into(),
            Self::Refused => "Refused".into(),
            Self::Updating => "Updating".into(),
            Self::InUse { .. } => "In use".into(),
            Self::Standby => "Standby".into(),
            Self::Online => "Online".into(),
            Self::ToApprove => "To approve".into(),
            Self::Listed => "Listed only".into(),
            Self::Expected => "Not enrolled".into(),
            Self::Lost => "Lost".into(),
            Self::Retired => "Retired".into(),
        }
    }

    /// Shape and word.
    #[must_use]
    pub fn mark(self, clock: &Clock) -> Markup {
        self.with_word(&self.word(clock))
    }

    /// Shape and the longer word of the device's own page.
    #[must_use]
    pub fn long_mark(self, clock: &Clock) -> Markup {
        match self {
            Self::InUse { patient: true } => self.with_word("In use, patient attached"),
            Self::Quarantined
            | Self::Silent { .. }
            | Self::RolledBack
            | Self::Refused
            | Self::Updating
            | Self::InUse { patient: false }
            | Self::Standby
            | Self::Online
            | Self::ToApprove
            | Self::Listed
            | Self::Expected
            | Self::Lost
            | Self::Retired => self.mark(clock),
        }
    }

    fn with_word(self, word: &str) -> Markup {
        let mark = shape(self.shape());
        Markup::new(format!("<span class=\"state {}\">{mark}<span>{word}</span></span>", self.colour()))
    }

    /// Its shape.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Self::Quarantined => Shape::BarredSquare,
            Self::Silent { .. } => Shape::DashedRing,
            Self::RolledBack | Self::Refused | Self::Lost => Shape::Cross,
            Self::Updating | Self::ToApprove => Shape::HalfRing,
            Self::InUse { .. } => Shape::RingDot,
            Self::Standby | Self::Online => Shape::Dot,
            Self::Listed | Self::Expected | Self::Retired => Shape::ThinRing,
        }
    }

    /// The class of its colour.
    #[must_use]
    pub fn colour(self) -> &'static str {
        match self {
            Self::Quarantined | Self::RolledBack | Self::Refused | Self::Lost => "is-critical",
            Self::Silent { .. } => "is-medium",
            Self::Updating | Self::InUse { .. } => "is-accent",
            Self::ToApprove | Self::Standby | Self::Online => "is-plain",
            Self::Listed | Self::Expected | Self::Retired => "is-quiet",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_a_shape_and_a_word_with_its_measure() {
        // Goal: never colour alone. Method: golden markup of a silent device.
        let clock = Clock::utc(Timestamp(1_000_000));
        let silent = DeviceState::Silent { last_seen: Some(Timestamp(1_000_000 - 9 * 86_400 - 5)) };
        let markup = silent.mark(&clock).to_string();
        assert!(markup.starts_with("<span class=\"state is-medium\"><svg class=\"shape\""), "{markup}");
        assert!(markup.ends_with("</svg><span>Silent 9 d</span></span>"), "{markup}");
        let long = DeviceState::InUse { patient: true }.long_mark(&clock).to_string();
        assert!(long.contains("<span>In use, patient attached</span>"), "{long}");
    }
}
