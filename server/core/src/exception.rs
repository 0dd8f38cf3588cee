//! Exceptions: a risk that a person accepts for some devices, until a day, with somebody else's yes.
//!
//! An exception changes no score: it stands beside it and says who carries the risk, why, and what is done instead. It is
//! asked for by one and approved by another, lives a year at most, and says loudly when it is over; nothing renews it by
//! itself. Read next: [`crate::select`] for which devices are meant, [`crate::expiry`] for how its end is announced.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::risk::Kind;
use crate::risk::score::Contribution;
use crate::select::{Filter, FilterRefused, Seen};
use crate::triage::REASON_CHARS_MIN;

#[cfg(test)]
mod tests;

/// The version of the document under `Key::Exception`.
pub const VERSION: u32 = 1;
const DAY_S: i64 = 86_400;
/// The rules of the score that a person can accept, as the parts of a score name them. What a device does is no rule: a
/// finding is decided on, not accepted beforehand.
const RULES: [&str; 12] = [
    "posture:default-credentials",
    "posture:empty-password",
    "posture:cleartext-service",
    "posture:os-support",
    "posture:secure-boot",
    "posture:disk-encryption",
    "posture:debug-port",
    "posture:key-in-file",
    "posture:open-service",
    "freshness:silent",
    "freshness:behind",
    "freshness:update-failed",
];

/// An accepted risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub id: Name,
    /// What is accepted.
    pub about: About,
    /// For which devices: pairs of `NAME=VALUE`, all of which must fit.
    pub filter: Vec<String>,
    /// Who carries the risk.
    pub owner: Text,
    /// Why it is not removed.
    pub reason: Text,
    /// What is done instead.
    pub control: Text,
    /// The first second in which it counts no more.
    pub until: Timestamp,
    /// Who asked for it, and when.
    pub requested: Word,
    /// Whose yes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Word>,
    /// Who took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Word>,
    /// When it was written down that it is over. Decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapsed: Option<Timestamp>,
}

/// What is accepted: a weakness by its name, or a rule of the score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum About {
    /// A weakness, by the name under which scores and lists show it: mostly a CVE.
    Weakness(Text),
    /// A rule of the score, such as `posture:os-support`.
    Rule(Text),
}

/// A person's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Who: the actor as the journal writes it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Text,
}

/// How an exception stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Asked for; nobody else has said yes.
    Requested,
    /// In force.
    Approved,
    /// Its time is over. What it covered is covered no more.
    Lapsed,
    /// Somebody took it back.
    Withdrawn,
}

impl Standing {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Lapsed => "lapsed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is accepted, as a person writes it.
    pub about: String,
    /// For which devices.
    pub filter: Vec<String>,
    /// Who carries the risk.
    pub owner: Text,
    /// Why it is not removed.
    pub reason: Text,
    /// What is done instead.
    pub control: Text,
    /// The end.
    pub until: Timestamp,
}

/// Why an exception is not made, approved or taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not the name of a weakness or a rule.
    #[error(
        "`{0}` is neither a weakness, such as CVE-2026-1107, nor a rule that can be accepted: {rules}",
        rules = RULES.join(", ")
    )]
    About(String),
    /// It is for everything.
    #[error("say for which devices, as NAME=VALUE: an exception for all of them would be a policy")]
    Everywhere,
    /// The devices cannot be chosen so.
    #[error(transparent)]
    Filter(FilterRefused),
    /// Which devices have a weakness changes with every feed: nobody would know for whom the yes was.
    #[error(
        "say what is accepted by its name, and choose the devices by site, ward, model or tag, not by an advisory"
    )]
    ByAdvisory,
    /// A text that says too little.
    #[error("give {0} in at least {REASON_CHARS_MIN} characters: an auditor reads it")]
    Short(&'static str),
    /// It ends too soon or too late.
    #[error("an exception ends at least an hour and at most {} days from now", limits::EXCEPTION_DAYS)]
    Until,
    /// The same person twice.
    #[error("whoever asked for an exception cannot approve it: a second person has to")]
    SamePerson,
    /// It is not in a state for that.
    #[error("the exception is {} already", .0.word())]
    State(Standing),
}

impl Refused {
    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::About(_) => "bad_about",
            Self::Everywhere | Self::Filter(_) | Self::ByAdvisory => "bad_filter",
            Self::Short(_) => "reason_missing",
            Self::Until => "bad_end",
            Self::SamePerson => "same_person",
            Self::State(_) => "not_possible",
        }
    }
}

impl About {
    /// Reads what a person wrote.
    pub fn read(text: &str) -> Result<Self, Refused> {
        let wrong = || Refused::About(text.chars().filter(|sign| !sign.is_control()).take(80).collect());
        let text = text.trim();
        let rule = RULES.iter().any(|rule| {
            let rest = text.strip_prefix(rule);
            rest.is_some_and(|rest| {
                rest.is_empty() || (*rule == "posture:open-service" && rest.starts_with(':'))
            })
        });
        let named: Text = text.parse().map_err(|_| wrong())?;
        if rule {
            return Ok(Self::Rule(named));
        }
        let plain = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '.' | '_');
        // Every publisher's names hold a number: CVE-2026-1107, ICSMA-24-016-01, DSA-5600-1.
        let is_name = text.chars().all(plain)
            && text.contains('-')
            && text.contains(|sign: char| sign.is_ascii_digit());
        if is_name { Ok(Self::Weakness(Text::lossy(&text.to_ascii_uppercase()))) } else { Err(wrong()) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Weakness(name) | Self::Rule(name) => name.as_str(),
        }
    }

    /// Whether a part of a score is what is accepted.
    #[must_use]
    pub fn is(&self, part: &Contribution) -> bool {
        match self {
            Self::Weakness(name) => {
                let id = part.id.split_once(':').map_or(part.id.as_str(), |(id, _)| id);
                part.kind == Kind::Vulnerability && id.eq_ignore_ascii_case(name.as_str())
            }
            Self::Rule(rule) => {
                let rest = part.id.strip_prefix(rule.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            }
        }
    }
}

impl Exception {
    /// An exception that somebody asks for.
    pub fn request(id: Name, asked: Asked, by: String, now: Timestamp) -> Result<Self, Refused> {
        let Asked { about, filter, owner, reason, control, until } = asked;
        let about = About::read(&about)?;
        if filter.is_empty() {
            return Err(Refused::Everywhere);
        }
        let chosen = Filter::read(filter.iter().map(String::as_str)).map_err(Refused::Filter)?;
        if chosen.advisory.is_some() {
            return Err(Refused::ByAdvisory);
        }
        for (text, what) in [(&reason, "the reason"), (&control, "what is done instead")] {
            if text.as_str().trim().chars().count() < REASON_CHARS_MIN {
                return Err(Refused::Short(what));
            }
        }
        let length = until.seconds_since(now);
        if !(3600..=limits::EXCEPTION_DAYS * DAY_S).contains(&length) {
            return Err(Refused::Until);
        }
        let requested = Word { by, at: now, reason: reason.clone() };
        Ok(Self {
            v: VERSION,
            id,
            about,
            filter,
            owner,
            reason,
            control,
            until,
            requested,
            approved: None,
            withdrawn: None,
            lapsed: None,
        })
    }

    /// How it stands now.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        match (&self.withdrawn, &self.approved) {
            (Some(_), _) => Standing::Withdrawn,
            (None, _) if now >= self.until => Standing::Lapsed,
            (None, Some(_)) => Standing::Approved,
            (None, None) => Standing::Requested,
        }
    }

    /// The exception with a second person's yes.
    pub fn approve(&self, word: Word) -> Result<Self, Refused> {
        match self.standing(word.at) {
            Standing::Requested => {}
            standing @ (Standing::Approved | Standing::Lapsed | Standing::Withdrawn) => {
                return Err(Refused::State(standing));
            }
        }
        if word.by == self.requested.by {
            return Err(Refused::SamePerson);
        }
        Ok(Self { approved: Some(word), ..self.clone() })
    }

    /// The exception taken back. One that has lapsed can be taken back too: then somebody has seen that it is over.
    pub fn withdraw(&self, word: Word) -> Result<Self, Refused> {
        match self.standing(word.at) {
            Standing::Withdrawn => Err(Refused::State(Standing::Withdrawn)),
            Standing::Requested | Standing::Approved | Standing::Lapsed => {
                Ok(Self { withdrawn: Some(word), ..self.clone() })
            }
        }
    }

    /// The exception with the note that it is over; `None` if there is nothing to note. Only what was in force lapses
    /// loudly, and a note of a time that has not come counts for nothing.
    #[must_use]
    pub fn lapsing(&self, now: Timestamp) -> Option<Self> {
        let over = self.standing(now) == Standing::Lapsed && self.approved.is_some();
        let noted = self.lapsed.is_some_and(|at| at <= now);
        (over && !noted).then(|| Self { lapsed: Some(now), ..self.clone() })
    }

    /// Whether a device is meant. A filter that cannot be judged any more means none.
    #[must_use]
    pub fn covers(&self, seen: &Seen<'_>) -> bool {
        Filter::read(self.filter.iter().map(String::as_str)).is_ok_and(|filter| filter.fits(seen))
    }

    /// Whether its end is to be announced: it is in force, or was and nobody has said that they saw it end.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.approved.is_some() && self.withdrawn.is_none()
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self, now: Timestamp) -> String {
        let (about, owner) = (self.about.name(), &self.owner);
        match self.standing(now) {
            Standing::Requested => alloc::format!("{about}: somebody asks to accept it until {}", self.until),
            Standing::Approved => alloc::format!(
                "{about} is accepted by {owner} until {}; instead: {}",
                self.until,
                self.control
            ),
            Standing::Lapsed => {
                alloc::format!("{about} was accepted by {owner} until {}, and is no more", self.until)
            }
            Standing::Withdrawn => alloc::format!("{about}: the exception was taken back"),
        }
    }

    /// The bytes under `Key::Exception`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|exception: &Self| exception.v == VERSION)
    }
}

/// The rules that can be accepted, for those who offer them.
#[must_use]
pub fn rules() -> Vec<String> {
    RULES.iter().map(ToString::to_string).collect()
}
