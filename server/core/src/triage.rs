//! Triage: one record a finding, what people decided about it, and nothing ever deleted.
//!
//! The same detector and key on the same device is one finding however often it is reported. Muting and closing hide
//! a finding from lists, never from the record, and no decision here changes a score by itself: the risk model reads
//! the state. A closed finding that is seen again opens again; an allowed one does not, until its day or until it grows
//! worse. Read next: `risk` for what an open finding weighs, [`crate::cohort`] for one finding of many devices.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Name, Sha256};
use cordon_proto::telemetry::Finding;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

mod allowance;
mod preview;
mod verdicts;

pub use allowance::Allowance;
pub use preview::{PAST_S, Preview};
pub use verdicts::{Likeness, VERDICTS, Verdict, verdicts_on};

/// Characters a reason must at least have.
pub const REASON_CHARS_MIN: usize = 10;
/// Steps of history kept.
const HISTORY_MAX: usize = 100;
/// Seconds for which a device may have kept to itself what it saw; what it calls older was not seen by this clock.
const LATE_S: i64 = 7 * 86_400;

/// How the words of a step begin, so that what was written is also what is understood.
const OPENED: &str = "Opened by detector";
const RAISED: &str = "severity raised";
const AGAIN: &str = "Opened again";
const ACKNOWLEDGED: &str = "Acknowledged";
const MUTED: &str = "Muted until";
const ALLOWED: &str = "Allowed until";
const CLOSED: &str = "Closed";

/// One finding as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this document.
    pub v: u32,
    /// Its name, see [`record_id`].
    pub id: Name,
    /// The device that reported it.
    pub device: DeviceId,
    /// The newest report, with `first` and `count` over all of them.
    pub finding: Finding,
    /// What people decided.
    pub state: State,
    /// Who works on it.
    pub assigned: Option<String>,
    /// What happened to it, oldest first.
    pub history: Vec<Step>,
}

/// What people decided about a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum State {
    /// Nobody has decided yet.
    Open,
    /// Somebody has seen it and works on it.
    Acknowledged,
    /// Not worth attention until then.
    Muted {
        /// When it comes back.
        until: Timestamp,
    },
    /// What the device is meant to do: it weighs nothing, and is no news when it is seen again before then.
    Allowed {
        /// From when on it is news again.
        until: Timestamp,
    },
    /// Dealt with.
    Closed,
}

/// One step of a finding's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// Who: a person, or `device` for reports.
    pub by: String,
    /// What, in words.
    pub what: String,
    /// Why, for people's decisions.
    pub reason: Option<String>,
}

/// What a step did to a finding, for whoever follows findings from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// It was seen for the first time.
    Opened,
    /// It was reported as worse than before.
    Raised,
    /// It is open once more.
    Again,
    /// A person has seen it.
    Acknowledged,
    /// It is not worth attention for a time.
    Muted,
    /// It is what the device is meant to do.
    Allowed,
    /// It is dealt with.
    Closed,
}

impl Turn {
    /// The word for it, in programs of others.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Raised => "raised",
            Self::Again => "reopened",
            Self::Acknowledged => "acknowledged",
            Self::Muted => "muted",
            Self::Allowed => "allowed",
            Self::Closed => "closed",
        }
    }
}

/// A person's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// I have seen it.
    Acknowledge,
    /// Not until then.
    Mute {
        /// When it comes back.
        until: Timestamp,
    },
    /// The device is meant to do this.
    Allow {
        /// From when on it is news again.
        until: Timestamp,
    },
    /// It is dealt with.
    Close,
    /// It is not dealt with after all.
    Reopen,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A finding never seen before.
    New,
    /// A known finding, seen again.
    Again,
    /// A closed finding, or one whose mute or allowance has run out, seen again.
    Reopened,
}

/// Why a decision is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No reason worth reading.
    #[error("give a reason of at least {REASON_CHARS_MIN} characters: the next shift reads it")]
    Reason,
    /// A mute or an allowance that ends in the past or later than a year from now.
    #[error("a mute or an allowance ends between now and a year from now")]
    Until,
    /// The finding is already in that state.
    #[error("nothing to do: the finding is already so")]
    Already,
}

/// The stable name of a finding: device, detector and key hashed, so that a repeated report finds its record.
#[must_use]
pub fn record_id(device: DeviceId, finding: &Finding) -> Name {
    let digest = Sha256::of(format!("{device}\n{}\n{}", finding.detector, finding.key).as_bytes());
    let digits: String = digest.to_string().chars().take(12).collect();
    format!("f-{digits}").parse().expect("hexadecimal digits make a name")
}

/// Takes in a report. Counts never fall and first never rises, whatever the device says later.
#[must_use]
pub fn take_in(known: Option<Record>, device: DeviceId, report: Finding, now: Timestamp) -> (Record, Change) {
    let Some(mut record) = known else {
        let opened = format!("{OPENED} {}", report.detector);
        let id = record_id(device, &report);
        let step = Step { at: now, by: "device".to_string(), what: opened, reason: None };
        let history = Vec::from([step]);
        return (
            Record { v: 1, id, device, finding: report, state: State::Open, assigned: None, history },
            Change::New,
        );
    };
    let worse = report.severity > record.finding.severity;
    if worse {
        let what =
            format!("{RAISED} from {:?} to {:?}", record.finding.severity, report.severity).to_lowercase();
        record.push(now, "device", what, None);
    }
    let first = record.finding.first.min(report.first);
    let count = record.finding.count.max(report.count);
    let last = record.finding.last.max(report.last);
    record.finding = Finding { first, last, count, ..report };
    let change = match record.state {
        State::Closed => Change::Reopened,
        State::Muted { until } | State::Allowed { until } if until <= now || worse => Change::Reopened,
        State::Muted { .. } | State::Allowed { .. } | State::Open | State::Acknowledged => Change::Again,
    };
    if change == Change::Reopened {
        record.state = State::Open;
        record.push(now, "device", format!("{AGAIN}: it was seen again"), None);
    }
    (record, change)
}

/// Applies a person's decision.
pub fn decide(
    mut record: Record,
    verb: Verb,
    by: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Record, Refused> {
    if reason.trim().chars().count() < REASON_CHARS_MIN {
        return Err(Refused::Reason);
    }
    let (state, what) = match verb {
        Verb::Acknowledge => (State::Acknowledged, ACKNOWLEDGED.to_string()),
        Verb::Mute { until } => (State::Muted { until }, format!("{MUTED} {}", good_end(until, now)?)),
        Verb::Allow { until } => (State::Allowed { until }, format!("{ALLOWED} {}", good_end(until, now)?)),
        Verb::Close => (State::Closed, CLOSED.to_string()),
        Verb::Reopen => (State::Open, AGAIN.to_string()),
    };
    if record.state == state {
        return Err(Refused::Already);
    }
    record.state = state;
    record.push(now, by, what, Some(reason.trim().to_string()));
    Ok(record)
}

/// The end of a mute or an allowance, if it is one.
fn good_end(until: Timestamp, now: Timestamp) -> Result<Timestamp, Refused> {
    let length = until.seconds_since(now);
    if length <= 0 || length > 366 * 86_400 { Err(Refused::Until) } else { Ok(until) }
}

/// Closes a finding of a check that looked again and sees it no more; whatever people decided about it is over too.
#[must_use]
pub fn pass(mut record: Record, by: &str, why: &str, now: Timestamp) -> Record {
    if record.weighs() {
        record.state = State::Closed;
        record.push(now, by, format!("{CLOSED} by itself"), Some(why.to_string()));
    }
    record
}

impl Step {
    /// What it did; nothing if a newer server wrote a step that this one does not know.
    #[must_use]
    pub fn turn(&self) -> Option<Turn> {
        let turns = [
            (OPENED, Turn::Opened),
            (RAISED, Turn::Raised),
            (AGAIN, Turn::Again),
            (ACKNOWLEDGED, Turn::Acknowledged),
            (MUTED, Turn::Muted),
            (ALLOWED, Turn::Allowed),
            (CLOSED, Turn::Closed),
        ];
        turns.into_iter().find(|(begin, _)| self.what.starts_with(begin)).map(|(_, turn)| turn)
    }
}

impl Record {
    /// Whether it stands in the list of open findings now. A mute that has run out no longer hides it.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        match self.state {
            State::Open => true,
            State::Muted { until } => until <= now,
            State::Acknowledged | State::Allowed { .. } | State::Closed => false,
        }
    }

    /// Whether the risk model counts it: everything but what is dealt with or meant to be. Muting changes no score.
    #[must_use]
    pub fn weighs(&self) -> bool {
        match self.state {
            State::Open | State::Acknowledged | State::Muted { .. } => true,
            State::Allowed { .. } | State::Closed => false,
        }
    }

    /// When it was first seen: by the device's own clock where that can be, else when it was first told here. A device
    /// that was away tells late, and one whose clock is wrong must not move what it tells to another day.
    #[must_use]
    pub fn first_seen(&self) -> Timestamp {
        let told = self.history.first().map_or(self.finding.last, |step| step.at);
        let late_s = told.seconds_since(self.finding.first);
        if (0..=LATE_S).contains(&late_s) { self.finding.first } else { told }
    }

    fn push(&mut self, at: Timestamp, by: &str, what: String, reason: Option<String>) {
        if self.history.len() >= HISTORY_MAX {
            // The opening step and the newest ones tell the story.
            self.history.remove(1);
        }
        self.history.push(Step { at, by: by.to_string(), what, reason });
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use cordon_proto::telemetry::Severity;

    pub(crate) const NOW: Timestamp = Timestamp(1_795_251_906);

    pub(crate) fn report(count: u32, severity: Severity) -> Finding {
        let text = |t: &str| t.parse().expect("a text");
        Finding {
            detector: "beacon".parse().expect("a name"),
            key: text("203.0.113.0/16 443/tcp"),
            first: NOW,
            last: NOW.plus_seconds(i64::from(count) * 60),
            count,
            peer: Some(text("203.0.113.9")),
            severity,
            attack: Vec::new(),
            evidence: [].into(),
            title: text("Calls one outside address every 60 seconds"),
            what_changed: text("Since 05:58 today."),
            why_it_matters: text("A fixed rhythm."),
            how_sure: text("High."),
            what_to_do: text("Quarantine it."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{NOW, report};
    use super::*;
    use cordon_proto::telemetry::Severity;
    use proptest::prelude::*;

    pub(super) fn open() -> Record {
        take_in(None, DeviceId::from_random([1; 16]), report(4, Severity::High), NOW).0
    }

    #[test]
    fn a_repeated_report_is_one_finding_whose_count_rises() {
        // Goal: one finding however often seen. Method: two reports, the second worse.
        let first = open();
        let (second, change) =
            take_in(Some(first.clone()), first.device, report(190, Severity::Critical), NOW);
        assert_eq!((change, second.finding.count, second.id.clone()), (Change::Again, 190, first.id));
        let words: Vec<&str> = second.history.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(words, ["Opened by detector beacon", "severity raised from high to critical"]);
        let (third, _) = take_in(Some(second), first.device, report(3, Severity::Critical), NOW);
        assert_eq!(third.finding.count, 190, "a restarted device cannot talk the count down");
    }

    #[test]
    fn a_closed_finding_that_is_seen_again_opens_again() {
        // Goal: nothing stays hidden by habit. Method: close, report; mute, report before and after its end.
        let closed = decide(open(), Verb::Close, "M. Okafor", "replaced the helper", NOW).expect("closes");
        assert!(!closed.is_open(NOW) && !closed.weighs());
        let (again, change) = take_in(Some(closed), open().device, report(5, Severity::High), NOW);
        assert_eq!((change, again.state), (Change::Reopened, State::Open));
        let until = NOW.plus_seconds(3600);
        let muted =
            decide(open(), Verb::Mute { until }, "M. Okafor", "known print server", NOW).expect("mutes");
        assert!(!muted.is_open(NOW) && muted.is_open(until) && muted.weighs());
        let device = open().device;
        assert_eq!(take_in(Some(muted.clone()), device, report(5, Severity::High), NOW).1, Change::Again);
        assert_eq!(
            take_in(Some(muted.clone()), device, report(5, Severity::Critical), NOW).1,
            Change::Reopened
        );
        assert_eq!(take_in(Some(muted), device, report(5, Severity::High), until).1, Change::Reopened);
    }

    #[test]
    fn decisions_need_a_reason_and_an_end() {
        // Goal: who, when, why and until. Method: one refusal each.
        let year = NOW.plus_seconds(367 * 86_400);
        assert_eq!(decide(open(), Verb::Acknowledge, "a", " short ", NOW), Err(Refused::Reason));
        assert_eq!(decide(open(), Verb::Mute { until: NOW }, "a", "a long reason", NOW), Err(Refused::Until));
        assert_eq!(
            decide(open(), Verb::Mute { until: year }, "a", "a long reason", NOW),
            Err(Refused::Until)
        );
        assert_eq!(decide(open(), Verb::Reopen, "a", "a long reason", NOW), Err(Refused::Already));
        let taken =
            decide(open(), Verb::Acknowledge, "M. Okafor", "looking at it now", NOW).expect("acknowledges");
        let step = taken.history.last().expect("a step");
        assert_eq!((step.by.as_str(), step.reason.as_deref()), ("M. Okafor", Some("looking at it now")));
    }

    #[test]
    fn what_is_allowed_is_no_news_until_its_day_or_until_it_grows_worse() {
        // Goal: meant behaviour stays quiet, and only that. Method: allow; report the same, worse, and after the end.
        let until = NOW.plus_seconds(3600);
        let verb = Verb::Allow { until };
        let allowed = decide(open(), verb, "M. Okafor", "the new time server", NOW).expect("allows");
        assert!(!allowed.is_open(until) && !allowed.weighs());
        let seen = |severity, at| take_in(Some(allowed.clone()), allowed.device, report(9, severity), at);
        let (same, change) = seen(Severity::High, NOW);
        assert_eq!((change, same.state, same.finding.count), (Change::Again, State::Allowed { until }, 9));
        assert_eq!(seen(Severity::Critical, NOW).1, Change::Reopened);
        assert_eq!(seen(Severity::High, until).1, Change::Reopened);
        let never = Verb::Allow { until: NOW.plus_seconds(367 * 86_400) };
        assert_eq!(decide(open(), never, "a", "a long reason", NOW), Err(Refused::Until));
    }

    #[test]
    fn a_clock_that_cannot_be_does_not_move_what_was_seen() {
        // Goal: findings of many devices can be compared in time. Method: told now; seen an hour, a month ago, tomorrow.
        let first = |first: Timestamp| {
            let finding = Finding { first, ..report(1, Severity::Low) };
            take_in(None, open().device, finding, NOW).0.first_seen()
        };
        let hour = NOW.plus_seconds(-3600);
        assert_eq!(first(hour), hour);
        assert_eq!(first(NOW.plus_seconds(-30 * 86_400)), NOW);
        assert_eq!(first(NOW.plus_seconds(86_400)), NOW);
    }

    #[test]
    fn what_a_check_sees_no_more_closes_by_itself_once() {
        // Goal: nobody clicks away what is over. Method: pass an open and a muted finding; again; see it again.
        let until = NOW.plus_seconds(3600);
        let muted =
            decide(open(), Verb::Mute { until }, "M. Okafor", "known print server", NOW).expect("mutes");
        for record in [open(), muted] {
            let passed = pass(record.clone(), "server", "no longer so", NOW);
            assert_eq!((&passed.state, passed.history.len()), (&State::Closed, record.history.len() + 1));
            assert_eq!(pass(passed.clone(), "server", "no longer so", NOW), passed);
            assert_eq!(
                take_in(Some(passed), record.device, report(5, Severity::High), NOW).1,
                Change::Reopened
            );
        }
    }

    #[test]
    fn every_step_that_is_written_says_what_it_did() {
        // Goal: programs of others follow a finding's life. Method: a whole life, the turn of each step.
        let by = |record, verb| decide(record, verb, "M. Okafor", "a long reason", NOW).expect("decides");
        let device = open().device;
        let seen = |record, severity| take_in(Some(record), device, report(9, severity), NOW).0;
        let raised = seen(open(), Severity::Critical);
        let muted = by(by(raised, Verb::Acknowledge), Verb::Mute { until: NOW.plus_seconds(60) });
        let again = seen(by(muted, Verb::Close), Severity::Critical);
        let ended = pass(by(by(again, Verb::Close), Verb::Reopen), "server", "no longer so", NOW);
        let turns: Vec<&str> =
            ended.history.iter().map(|step| step.turn().expect("a known step").word()).collect();
        assert_eq!(
            turns.join(" "),
            "opened raised acknowledged muted closed reopened closed reopened closed"
        );
        let strange = Step { what: "Handed to the moon".to_string(), ..ended.history[0].clone() };
        assert_eq!(strange.turn(), None);
    }

    proptest! {
        #[test]
        fn history_is_bounded_and_keeps_its_beginning(counts in proptest::collection::vec(1_u32..1000, 1..200)) {
            let mut record = open();
            for count in counts {
                record = decide(record, Verb::Close, "a", "a long reason", NOW).expect("closes");
                record = take_in(Some(record), open().device, report(count, Severity::High), NOW).0;
                prop_assert!(record.history.len() <= HISTORY_MAX);
                prop_assert_eq!(&record.history[0], &open().history[0]);
            }
        }
    }
}
