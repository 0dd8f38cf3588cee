//! What a CVSS vector tells beside its score: the attack, automation, control.
//!
//! CVSS was not made to answer SSVC's questions, so a "no" is only said where a metric says it plainly (CERT/CC, SSVC:
//! "Automatable", "Technical Impact"); everything else is unknown, which counts as yes. Of several vectors of one
//! weakness the newest version speaks, then the higher base. Read next: [`crate::risk::facts`].

use super::{Vector, Version};
use crate::risk::facts::{self, Answer, CvssSource};

/// Places of metrics that stand alike in the tables of both versions.
const AV: usize = 0;
const AC: usize = 1;
const CONFIDENTIALITY: usize = 5;
const INTEGRITY: usize = 6;

impl Vector {
    /// From where the weakness can be attacked.
    #[must_use]
    pub fn attack(&self) -> facts::Vector {
        match self.at(AV) {
            b'P' => facts::Vector::Physical,
            b'L' => facts::Vector::Local,
            b'A' => facts::Vector::Adjacent,
            _ => facts::Vector::Network,
        }
    }

    /// Whether a machine alone can attack it, one device after the other.
    #[must_use]
    pub fn automatable(&self) -> Answer {
        let (privileges, interaction, said) = match self.version {
            Version::V30 | Version::V31 => (self.at(2), self.at(3), b'X'),
            Version::V40 => (self.at(3), self.at(4), self.at(27)),
        };
        let near = matches!(self.at(AV), b'L' | b'P');
        match said {
            b'Y' => Answer::Yes,
            b'N' => Answer::No,
            // A session or a hand on each device, or a person who has to play along.
            _ if near || interaction != b'N' => Answer::No,
            _ if self.at(AV) == b'N' && self.at(AC) == b'L' && privileges == b'N' => Answer::Yes,
            _ => Answer::Unknown,
        }
    }

    /// Whether it gives control of the whole device.
    #[must_use]
    pub fn total_control(&self) -> Answer {
        match [CONFIDENTIALITY, INTEGRITY].map(|place| self.at(place) == b'H') {
            [true, true] => Answer::Yes,
            [false, false] => Answer::No,
            _ => Answer::Unknown,
        }
    }

    /// The score as a fact about a device: the base, or what the maker says of this very device.
    #[must_use]
    pub fn fact(&self, by_maker: bool) -> facts::Cvss {
        let scores = self.scores();
        if by_maker && self.has_environment() {
            return facts::Cvss { tenths: scores.whole, source: CvssSource::MakerEnvironmental };
        }
        facts::Cvss { tenths: scores.base, source: CvssSource::Base }
    }

    /// By what one vector goes before another about the same weakness: version 4 before 3.1 before 3.0, then the graver one.
    #[must_use]
    pub fn weight(&self) -> (Version, u8, Self) {
        (self.version, self.scores().base, *self)
    }
}
