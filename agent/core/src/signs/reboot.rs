//! The sign `reboot`: the machine started at an hour of the week at which it never did.
//!
//! Hours are those of the server's clock, in UTC: the device's own may not know them after a start. Four weeks of starts are
//! learned; a start within an hour of one of them is usual, so that summer time changes nothing. What an update restarted is
//! explained. Whether the run before ended in order is told beside it. Source: ATT&CK T1529, T0816.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;
use minicbor::{Decode, Encode};

use super::{Mark, Saying, Told};
use crate::detect::ledger::Detector;
use crate::detect::words::moment;

const HOURS: usize = 168;
/// Seconds in which starts are learned.
const LEARN_S: i64 = 28 * 24 * 3600;

/// A start of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// What tells it from others.
    pub mark: Mark,
    /// When it was, by the server's clock; `None` before that has spoken.
    pub at: Option<Timestamp>,
}

/// What is known of starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Starts {
    /// The start that was judged last.
    #[n(0)]
    last: Option<Mark>,
    /// The first that was seen.
    #[n(1)]
    since: Option<Timestamp>,
    /// The hours of the week in which it started, in order.
    #[n(2)]
    hours: Vec<u8>,
    /// The agent's last run ended in order.
    #[n(3)]
    ended: bool,
    /// So did the run before the start that is not judged yet.
    #[n(4)]
    orderly: bool,
    /// The start that was seen last.
    #[n(5)]
    seen: Option<Mark>,
}

impl Starts {
    pub(super) fn ends(&mut self) {
        self.ended = true;
    }

    pub(super) fn bytes(&self) -> usize {
        self.hours.capacity()
    }

    pub(super) fn fits(&self) -> bool {
        self.hours.len() <= HOURS && self.hours.iter().all(|hour| usize::from(*hour) < HOURS)
    }

    pub(super) fn look(&mut self, start: &Start, updating: bool, told: &mut Told<'_>) {
        if self.seen != Some(start.mark) {
            (self.seen, self.orderly) = (Some(start.mark), self.ended);
        }
        self.ended = false;
        if updating {
            self.last = Some(start.mark);
        }
        let Some(at) = start.at.filter(|_| self.last != Some(start.mark)) else { return };
        let first = self.last.replace(start.mark).is_none();
        let hour = hour_of_week(at);
        let near = |known: &u8| (usize::from(*known) + HOURS + 1 - usize::from(hour)) % HOURS <= 2;
        let usual = self.hours.iter().any(near);
        let since = *self.since.get_or_insert(at);
        let days = at.seconds_since(since) / (24 * 3600);
        if at.seconds_since(since) < LEARN_S {
            if !self.hours.contains(&hour) {
                self.hours.push(hour);
            }
        } else if !first && !usual {
            self.tell((at, days), told);
        }
    }

    fn tell(&self, (at, days): (Timestamp, i64), told: &mut Told<'_>) {
        let severity = if self.orderly { Severity::Low } else { Severity::Medium };
        let end = if self.orderly { "in order" } else { "without a word" };
        let evidence =
            Vec::from([("hours-known", self.hours.len().to_string()), ("run-before-ended", end.to_string())]);
        told.tell("reboot", &Saying { severity, ..SAYING }, evidence, |_, times| {
            format!("It started at {}, an hour of the week at which it never did while {days} days of starts were seen, {times} such so far. Its run before ended {end}.", moment(at))
        });
    }
}

fn hour_of_week(at: Timestamp) -> u8 {
    let (day, second) = at.week();
    u8::try_from(day * 24 + second / 3600).unwrap_or(0)
}

const SAYING: Saying = Saying {
    detector: Detector::Machine,
    severity: Severity::Low,
    attack: &["T1529", "T0816"],
    title: "Restarted at an unusual hour",
    why: "Who changes a device restarts it when nobody looks, and a device that restarts in use harms its work.",
    sure: "Medium: the hour is certain; that it is odd rests on the starts of four weeks.",
    act: "Ask the ward what happened then, and look at what changed since. A power cut or a move to another bed looks the same.",
};
