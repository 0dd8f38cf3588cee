//! Service visits: announced maintenance, so that what begins while a technician works is read as what it probably is.
//!
//! A visit names devices, a time, who comes and why, and whose word it is. A finding that begins inside it is tied to it
//! and stands lower in lists; it is kept, told to a SIEM and counted in the score like any other, and a critical one is
//! not lowered at all: a visit is also the best hour to plant something. Nothing is announced more than a day late, so
//! that no visit is invented for a finding of last week. Read next: [`crate::select`] for which devices are meant.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exception::Word;
use crate::select::{Filter, FilterRefused, Seen};
use crate::triage::{REASON_CHARS_MIN, Record};

/// The version of the document under `Key::Visit`.
pub const VERSION: u32 = 1;
const DAY_S: i64 = 86_400;

/// One announced visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub id: Name,
    /// For which devices: pairs of `NAME=VALUE`, all of which must fit.
    pub filter: Vec<String>,
    /// Who comes: a person and a firm.
    pub who: Text,
    /// The ticket or work order, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Text>,
    /// When it begins.
    pub from: Timestamp,
    /// The first second after it.
    pub until: Timestamp,
    /// Who announced it, when and why.
    pub announced: Word,
    /// Who ended it before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Word>,
}

/// What a person announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// For which devices.
    pub filter: Vec<String>,
    /// Who comes.
    pub who: Text,
    /// The ticket.
    pub ticket: Option<Text>,
    /// When it begins.
    pub from: Timestamp,
    /// When it is over.
    pub until: Timestamp,
}

/// Where a visit is in its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is now.
    Now,
    /// It is to come.
    Ahead,
    /// It is over.
    Over,
}

/// Why a visit is not announced or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is for everything.
    #[error("say for which devices, as NAME=VALUE: a visit to all of them would lower every finding")]
    Everywhere,
    /// The devices cannot be chosen so.
    #[error(transparent)]
    Filter(FilterRefused),
    /// Which devices fit would change by itself while the visit lasts.
    #[error(
        "choose the devices by site, ward, model, kind, tag, source or device: what those are does not change by itself"
    )]
    Moving,
    /// No reason worth reading.
    #[error("give a reason of at least {REASON_CHARS_MIN} characters: the next shift reads it")]
    Reason,
    /// Its times are none.
    #[error(
        "a visit begins at most a day ago and at most {} days from now, is not over yet, and lasts at most {} days",
        limits::VISIT_AHEAD_DAYS,
        limits::VISIT_DAYS
    )]
    Times,
    /// It is over.
    #[error("the visit is over already")]
    Over,
}

/// How a finding stands to the visit inside which it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie<'a> {
    /// The visit.
    pub visit: &'a Visit,
    /// Whether it is lowered to what a visit makes one expect. A critical finding never is.
    pub is_expected: bool,
}

impl Visit {
    /// A visit that somebody announces.
    pub fn announce(id: Name, asked: Announced, word: Word) -> Result<Self, Refused> {
        let Announced { filter, who, ticket, from, until } = asked;
        if filter.is_empty() {
            return Err(Refused::Everywhere);
        }
        let chosen = Filter::read(filter.iter().map(String::as_str)).map_err(Refused::Filter)?;
        let Filter { band, from: counters, release, advisory, .. } = &chosen;
        if band.is_some() || counters.is_some() || release.is_some() || advisory.is_some() {
            return Err(Refused::Moving);
        }
        if word.reason.as_str().trim().chars().count() < REASON_CHARS_MIN {
            return Err(Refused::Reason);
        }
        let (begins_in, length) = (from.seconds_since(word.at), until.seconds_since(from));
        let begins = (-DAY_S..=limits::VISIT_AHEAD_DAYS * DAY_S).contains(&begins_in);
        if !begins || !(1..=limits::VISIT_DAYS * DAY_S).contains(&length) || until <= word.at {
            return Err(Refused::Times);
        }
        Ok(Self { v: VERSION, id, filter, who, ticket, from, until, announced: word, ended: None })
    }

    /// The visit ended before its time: what begins from now on is not tied to it. One that has not begun is called off.
    pub fn end(&self, word: Word) -> Result<Self, Refused> {
        match self.standing(word.at) {
            Standing::Over => Err(Refused::Over),
            Standing::Now | Standing::Ahead => Ok(Self { ended: Some(word), ..self.clone() }),
        }
    }

    /// The first second after it.
    #[must_use]
    pub fn over(&self) -> Timestamp {
        self.ended.as_ref().map_or(self.until, |word| word.at.min(self.until))
    }

    /// Where it is in its time.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        if now >= self.over() {
            Standing::Over
        } else if now < self.from {
            Standing::Ahead
        } else {
            Standing::Now
        }
    }

    /// Whether a device is meant. A filter that cannot be judged any more means none.
    #[must_use]
    pub fn covers(&self, seen: &Seen<'_>) -> bool {
        Filter::read(self.filter.iter().map(String::as_str)).is_ok_and(|filter| filter.fits(seen))
    }

    /// How a finding of a device is tied to this visit, if it began inside it.
    #[must_use]
    pub fn tie(&self, record: &Record, seen: &Seen<'_>) -> Option<Tie<'_>> {
        let began = record.first_seen();
        let inside = self.from <= began && began < self.over();
        let is_expected = record.finding.severity < Severity::Critical;
        (inside && self.covers(seen)).then_some(Tie { visit: self, is_expected })
    }

    /// The bytes under `Key::Visit`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|visit: &Self| visit.v == VERSION)
    }
}

/// The visit inside which a finding began; of several the one that was announced first.
#[must_use]
pub fn tie_of<'a>(visits: &'a [Visit], record: &Record, seen: &Seen<'_>) -> Option<Tie<'a>> {
    let ties = visits.iter().filter_map(|visit| visit.tie(record, seen));
    ties.min_by(|a, b| (a.visit.announced.at, &a.visit.id).cmp(&(b.visit.announced.at, &b.visit.id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order_plan::fixture::pump;
    use crate::risk::Band;
    use crate::triage::take_in;
    use alloc::string::ToString;
    use cordon_proto::telemetry::Finding;

    const NOW: Timestamp = Timestamp(1_795_251_906);

    fn text(text: &str) -> Text {
        text.parse().expect("a text")
    }

    fn word(at: Timestamp) -> Word {
        Word { by: "person:ines".to_string(), at, reason: text("battery exchange, VP-3 of ICU 2") }
    }

    fn asked(from: i64, until: i64) -> Announced {
        Announced {
            filter: ["ward=ICU 2", "model=VP-3"].map(str::to_string).into(),
            who: text("K. Lang, Halden field service"),
            ticket: Some(text("WO-1187")),
            from: NOW.plus_seconds(from),
            until: NOW.plus_seconds(until),
        }
    }

    fn announce(from: i64, until: i64) -> Result<Visit, Refused> {
        Visit::announce("v-1".parse().expect("a name"), asked(from, until), word(NOW))
    }

    fn began(at: i64, severity: Severity) -> Record {
        let finding = Finding {
            first: NOW.plus_seconds(at),
            last: NOW.plus_seconds(at),
            ..crate::triage::fixture::report(1, severity)
        };
        let device = cordon_proto::ids::DeviceId::from_random([1; 16]);
        take_in(None, device, finding, NOW.plus_seconds(at)).0
    }

    #[test]
    fn a_finding_that_begins_inside_a_visit_is_tied_to_it_and_a_critical_one_is_never_lowered() {
        // Goal: a technician's work is expected, and hides nothing grave. Method: before, at both ends, after; critical;
        // another ward; ended early.
        let visit = announce(0, 7200).expect("a visit");
        let device = pump("1");
        let seen = Seen { device: &device, report: None, band: Band::Low, is_affected: false };
        let expected =
            |visit: &Visit, at, severity| visit.tie(&began(at, severity), &seen).map(|tie| tie.is_expected);
        let high = Severity::High;
        assert_eq!(
            [-1, 0, 7199, 7200].map(|at| expected(&visit, at, high)),
            [None, Some(true), Some(true), None]
        );
        assert_eq!(expected(&visit, 60, Severity::Critical), Some(false));
        let elsewhere = Visit { filter: ["ward=4B".to_string()].into(), ..visit.clone() };
        assert_eq!(expected(&elsewhere, 60, high), None);
        let ended = visit.end(word(NOW.plus_seconds(3600))).expect("ends");
        assert_eq!([3599, 3600].map(|at| expected(&ended, at, high)), [Some(true), None]);
        assert_eq!(ended.end(word(NOW.plus_seconds(3601))), Err(Refused::Over));
        let later = Visit {
            id: "v-0".parse().expect("a name"),
            announced: word(NOW.plus_seconds(1)),
            ..visit.clone()
        };
        let both = [later, visit];
        assert_eq!(tie_of(&both, &began(60, high), &seen).map(|tie| tie.visit.id.as_str()), Some("v-1"));
    }

    #[test]
    fn no_visit_is_for_everything_or_invented_for_last_week() {
        // Goal: a visit cannot be a blanket. Method: each refusal beside what is just allowed.
        const DAY: i64 = 86_400;
        assert!(announce(-DAY, 60).is_ok() && announce(90 * DAY, 104 * DAY).is_ok());
        for (from, until) in [(-DAY - 1, 60), (91 * DAY, 92 * DAY), (-60, 0), (60, 60), (0, 14 * DAY + 1)] {
            assert_eq!(announce(from, until), Err(Refused::Times), "{from} {until}");
        }
        let with = |filter: &[&str]| {
            let filter = filter.iter().map(ToString::to_string).collect();
            Visit::announce("v-1".parse().expect("a name"), Announced { filter, ..asked(0, 60) }, word(NOW))
        };
        assert_eq!(with(&[]), Err(Refused::Everywhere));
        assert_eq!(with(&["band=low"]), Err(Refused::Moving));
        assert!(matches!(with(&["floor=2"]), Err(Refused::Filter(_))));
        let mute = Word { reason: text("short"), ..word(NOW) };
        assert_eq!(Visit::announce("v-1".parse().expect("a name"), asked(0, 60), mute), Err(Refused::Reason));
    }

    #[test]
    fn a_stored_visit_reads_for_ever() {
        // Goal: old documents survive an upgrade. Method: golden JSON.
        let text = r#"{"v":1,"id":"v-1","filter":["ward=ICU 2","model=VP-3"],"who":"K. Lang, Halden field service","ticket":"WO-1187","from":1795251906,"until":1795259106,"announced":{"by":"person:ines","at":1795251906,"reason":"battery exchange, VP-3 of ICU 2"}}"#;
        let visit = announce(0, 7200).expect("a visit");
        assert_eq!(visit.to_body(), text.as_bytes());
        assert_eq!(Visit::from_body(text.as_bytes()), Some(visit));
        assert_eq!(Visit::from_body(text.replace("\"v\":1", "\"v\":2").as_bytes()), None);
    }
}
