//! CVSS vectors of 3.0, 3.1 and 4.0: read strictly, scored by integers.
//!
//! Scores are in tenths. No floating point is used, so a vector has one score on every machine. A text that is not
//! exactly a vector is none: what is missing is never filled in, and a metric that is not known is never passed over.
//! What the score does not say (CVSS 2, a word such as "high") stays unsaid. Read next: [`v3`] and [`v4`] for the
//! formulas, [`hints`] for what else a vector tells.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use cordon_proto::limits;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub mod hints;
mod metrics;
#[cfg(test)]
mod tests;
mod v3;
mod v4;

use self::metrics::{METRICS, Metric, UNSAID};

/// A version of CVSS whose vectors are read; a later one says more of the same weakness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 3.0.
    V30,
    /// 3.1.
    V31,
    /// 4.0.
    V40,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V30, Self::V31, Self::V40];

    /// What its vectors begin with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::V30 => "CVSS:3.0",
            Self::V31 => "CVSS:3.1",
            Self::V40 => "CVSS:4.0",
        }
    }

    fn metrics(self) -> &'static [Metric] {
        match self {
            Self::V30 | Self::V31 => &metrics::V3,
            Self::V40 => &metrics::V4,
        }
    }

    /// The text of some vector of this version: `choice` gives a number for each metric.
    #[cfg(any(test, feature = "world"))]
    pub(crate) fn spell(self, mut choice: impl FnMut() -> usize) -> String {
        let mut text = self.prefix().to_string();
        for metric in self.metrics() {
            let choice = choice();
            if !metric.optional || choice.is_multiple_of(2) {
                text = text + "/" + metric.name + ":" + metric.nth(choice / 2);
            }
        }
        text
    }
}

/// A vector. It has every mandatory metric, and no value that its metric does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vector {
    version: Version,
    /// The first letter of each metric's value, in the order of the version's table.
    letters: [u8; METRICS],
}

/// The scores of a vector, in tenths of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scores {
    /// By the base metrics alone.
    pub base: u8,
    /// With what is said of threat (4.0), of exploits and remedies (3.x: temporal).
    pub threat: u8,
    /// With all that is said, the environment too.
    pub whole: u8,
}

/// Why a text is no vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVector {
    /// Longer than any vector.
    #[error("it is longer than {} characters", limits::CVSS_CHARS)]
    TooLong,
    /// Of none of the versions.
    #[error("it does not begin with CVSS:3.0/, CVSS:3.1/ or CVSS:4.0/")]
    Version,
    /// A part that is no metric of this version.
    #[error("part {0} is no metric of its version")]
    Metric(usize),
    /// A value that its metric does not have.
    #[error("{0} has no such value")]
    Value(&'static str),
    /// A metric twice.
    #[error("{0} stands there twice")]
    Twice(&'static str),
    /// A metric before one that has to stand before it; 4.0 has one order.
    #[error("{0} stands out of its order")]
    Order(&'static str),
    /// A mandatory metric is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
}

impl Vector {
    /// Reads a vector.
    ///
    /// # Errors
    /// It is none, to the letter.
    pub fn parse(text: &str) -> Result<Self, NoVector> {
        if text.len() > limits::CVSS_CHARS {
            return Err(NoVector::TooLong);
        }
        let (front, rest) = text.split_once('/').ok_or(NoVector::Version)?;
        let version = Version::ALL.into_iter().find(|version| version.prefix() == front);
        let mut vector = Self { version: version.ok_or(NoVector::Version)?, letters: [UNSAID; METRICS] };
        let mut last = None;
        for (at, part) in rest.split('/').enumerate() {
            let place = vector.take(part, at + 1)?;
            if vector.version == Version::V40 && last > Some(place) {
                return Err(NoVector::Order(vector.name(place)));
            }
            last = Some(place);
        }
        let table = vector.version.metrics();
        match table.iter().zip(vector.letters).find(|(metric, letter)| !metric.optional && *letter == UNSAID)
        {
            Some((metric, _)) => Err(NoVector::Missing(metric.name)),
            None => Ok(vector.settled()),
        }
    }

    /// Sets one metric; gives its place.
    fn take(&mut self, part: &str, at: usize) -> Result<usize, NoVector> {
        let (name, value) = part.split_once(':').ok_or(NoVector::Metric(at))?;
        let mut table = self.version.metrics().iter().zip(&mut self.letters).enumerate();
        let found = table.find(|(_, (metric, _))| metric.name == name);
        let (place, (metric, letter)) = found.ok_or(NoVector::Metric(at))?;
        if *letter != UNSAID {
            return Err(NoVector::Twice(metric.name));
        }
        *letter = metric.letter(value).ok_or(NoVector::Value(metric.name))?;
        Ok(place)
    }

    /// "Not defined" and nothing at all are one thing.
    fn settled(mut self) -> Self {
        for letter in &mut self.letters {
            if *letter == UNSAID {
                *letter = b'X';
            }
        }
        self
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its scores.
    #[must_use]
    pub fn scores(&self) -> Scores {
        match self.version {
            Version::V30 | Version::V31 => v3::scores(self),
            Version::V40 => v4::scores(self),
        }
    }

    /// Whether it says anything of the environment: then its whole score is that of one site or one product.
    #[must_use]
    pub fn has_environment(&self) -> bool {
        let said = self.version.metrics().iter().zip(self.letters);
        said.into_iter().any(|(metric, letter)| metric.environment && letter != b'X')
    }

    /// The first letter of a metric's value, `X` where it is not defined.
    fn at(&self, place: usize) -> u8 {
        self.letters.get(place).copied().unwrap_or(b'X')
    }

    fn name(&self, place: usize) -> &'static str {
        self.version.metrics().get(place).map_or("", |metric| metric.name)
    }
}

impl fmt::Display for Vector {
    /// In its canonical form: in the version's order, without what is not defined.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version.prefix())?;
        for (metric, letter) in self.version.metrics().iter().zip(self.letters) {
            if letter != b'X' {
                write!(f, "/{}:{}", metric.name, metric.value(letter))?;
            }
        }
        Ok(())
    }
}

impl FromStr for Vector {
    type Err = NoVector;

    fn from_str(text: &str) -> Result<Self, NoVector> {
        Self::parse(text)
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|why| de::Error::custom(why.to_string()))
    }
}
