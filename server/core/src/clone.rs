//! Clones: when one identity speaks with two voices.
//!
//! Copied keys cannot be told from their originals, but two machines cannot live one life: they count on their own, they
//! are asked at the same time, they renew at different times. [`Trace`] remembers of each device just enough to notice.
//! It must never doubt an honest device: a restart, a power cut, a move to another address, a word that the network held
//! back, a restart of the server, several servers side by side are all ordinary life. So whatever one late word could
//! explain is not enough; a network that fails can hold back one word, never two. Nothing here cuts anybody off: what
//! follows of a [`Suspicion`] is a doubt and a finding, and people decide.
//!
//! Read next: [`Trace::hear`]; [`words`] for what people are told; `device::Doubt` for what is kept.

use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;

use cordon_proto::checkin::CheckinRequest;
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::time::Millis;

use crate::device::{DoubtKind, Report};

#[cfg(test)]
mod tests;
pub mod words;

/// How much later than another voice's first word a word must have been *spoken*, to show that both live: more than
/// whole seconds and the network's moods can make of it.
const SLACK_MS: i64 = 2_000;
/// How long after its first refusal a certificate that was replaced may still be tried by whoever has not noticed: a
/// second connection of the same agent, or one that was asleep.
const TAIL_MS: i64 = 60_000;
/// How recently another device must have been heard to be alive beside this one.
pub const ALIVE_MS: i64 = 24 * 3_600_000;
/// Repeated numbers that make a suspicion: one could be a repetition on the way.
const REPEATS: u8 = 2;

/// One check-in, as far as it says which running agent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// When it came, by our clock.
    pub at: Millis,
    /// The connection it came on.
    pub from: SocketAddr,
    /// The boot number; 0 for no statement.
    pub boot: u64,
    /// The number of the agent's start, drawn by chance; 0 for no statement.
    pub run: u64,
    /// The count of check-ins in this run; 0 for no statement.
    pub sequence: u64,
    /// Seconds since the agent started, by a clock that nobody sets.
    pub uptime_s: u64,
}

impl Word {
    /// What a check-in says of its speaker.
    #[must_use]
    pub fn of(request: &CheckinRequest, from: SocketAddr, at: Millis) -> Self {
        let CheckinRequest { boot, run, sequence, uptime_s, .. } = *request;
        Self { at, from, boot, run, sequence, uptime_s }
    }

    /// How people may tell it from another.
    fn named(&self) -> String {
        named(self.boot, self.run, Some(self.from))
    }
}

/// Something that one honest machine does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Of which kind.
    pub kind: DoubtKind,
    /// What exactly.
    pub evidence: Text,
}

impl Suspicion {
    fn new(kind: DoubtKind, evidence: &str) -> Self {
        Self { kind, evidence: Text::lossy(evidence) }
    }

    /// One machine under two identities, seen from one of them; `other` names the other.
    #[must_use]
    pub fn same_machine(other: &str) -> Self {
        Self::new(DoubtKind::SameMachine, &format!("says that it is the same machine as {other}"))
    }
}

/// A running agent as it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Voice {
    boot: u64,
    run: u64,
    /// Where its last word came from; unknown if another server heard it.
    from: Option<SocketAddr>,
    /// When it was heard first, if here.
    first: Option<Millis>,
    /// Arrival and uptime of its last word.
    last: (Millis, u64),
    /// Whether it has spoken once since another followed it.
    echoed: bool,
}

impl Voice {
    fn of(word: &Word) -> Self {
        Self {
            boot: word.boot,
            run: word.run,
            from: Some(word.from),
            first: Some(word.at),
            last: (word.at, word.uptime_s),
            echoed: false,
        }
    }

    /// Whether `word` is said by this voice, the one in use being of boot `boot`. Whoever states no run is known by its
    /// connection, and once its boot is over by that.
    fn says(&self, word: &Word, boot: u64) -> bool {
        if word.run != 0 || self.run != 0 {
            return word.run == self.run;
        }
        let elsewhere = self.boot != 0 && self.boot != boot;
        word.boot == self.boot && (elsewhere || self.from == Some(word.from))
    }

    fn is_at(&self, word: &Word) -> bool {
        self.from.is_some_and(|from| from.ip() == word.from.ip())
    }

    /// When `word` was spoken, by our clock, going by the time that passed for the speaker since its last word. The
    /// network may have held it back; the speaker's own clock cannot.
    fn spoken(&self, word: &Word) -> Millis {
        let (at, uptime_s) = self.last;
        let passed = i64::try_from(word.uptime_s).unwrap_or(i64::MAX).saturating_sub_unsigned(uptime_s);
        at.plus(passed.saturating_mul(1000)).min(word.at)
    }

    fn named(&self) -> String {
        named(self.boot, self.run, self.from)
    }
}

/// Which of the last numbers of a run were heard: the highest, and one bit for each of the 64 up to it (the window of
/// RFC 4303 section 3.4.3, for the same reason: numbers may come out of order, but none twice).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    highest: u64,
    heard: u64,
}

impl Numbers {
    /// Takes a number in, and says whether it was heard before or lies so far back that it cannot be told.
    fn is_repeated(&mut self, number: u64) -> bool {
        if number > self.highest {
            let shift = u32::try_from(number - self.highest).unwrap_or(u32::MAX);
            self.heard = self.heard.checked_shl(shift).unwrap_or(0) | 1;
            self.highest = number;
            return false;
        }
        let back = u32::try_from(self.highest - number).unwrap_or(u32::MAX);
        let Some(bit) = 1_u64.checked_shl(back) else { return true };
        let repeated = self.heard & bit != 0;
        self.heard |= bit;
        repeated
    }
}

/// The first use of a certificate that no longer opens doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reused {
    leaf: Sha256,
    at: Millis,
    /// Whether the rightful holder has been heard since.
    heard: bool,
}

/// Which certificates are refused, and so must not be used for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was replaced by a newer one.
    Replaced,
    /// Its device took leave and wiped itself.
    TookLeave,
}

/// What is remembered of one device, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The certificate under which all of this was said. A new one begins anew: after a board was exchanged, counts begin
    /// anew too.
    leaf: Option<Sha256>,
    current: Option<Voice>,
    former: Option<Voice>,
    numbers: Numbers,
    repeats: u8,
    reused: Option<Reused>,
}

/// The voice that a stored report speaks of, whichever server heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The certificate.
    pub leaf: Sha256,
    /// The boot number.
    pub boot: u64,
    /// The run.
    pub run: u64,
    /// When that report came.
    pub at: Millis,
}

impl Kept {
    /// The voice behind a report, if it names one.
    #[must_use]
    pub fn of(report: &Report, at: Option<Millis>) -> Option<Self> {
        let voice = report.voice.as_ref()?;
        Some(Self { leaf: voice.leaf, boot: report.boot, run: voice.run, at: at? })
    }
}

impl Trace {
    /// Takes a check-in in, said under the certificate `leaf`. `kept` is what the store knows: what this server heard
    /// before it was started anew, or what another one heard.
    pub fn hear(&mut self, leaf: &Sha256, word: &Word, kept: Option<Kept>) -> Option<Suspicion> {
        if self.leaf != Some(*leaf) {
            *self = Self { leaf: Some(*leaf), reused: self.reused, ..Self::default() };
        }
        if let Some(reused) = &mut self.reused {
            reused.heard = true;
        }
        let kept = kept.filter(|kept| kept.leaf == *leaf);
        self.learn(kept);
        let Some(current) = &mut self.current else {
            self.follow(word);
            return None;
        };
        let boot = current.boot;
        let beside = |kept: &Kept| kept.boot == word.boot && kept.run != word.run && kept.run != 0;
        if let Some(other) = kept.filter(beside).filter(|_| word.run != 0) {
            return Some(one_start(current, &format!("run {:x} at another server", other.run), word));
        }
        if current.says(word, boot) {
            current.from = Some(word.from);
            current.last = (word.at, word.uptime_s);
            return self.count(word);
        }
        if word.boot != 0 && word.boot == boot && word.run != 0 && current.run != 0 {
            return Some(one_start(current, &current.named(), word));
        }
        if self.former.as_ref().is_some_and(|former| former.says(word, boot)) {
            return self.hear_again(word);
        }
        if word.boot != 0 && word.boot < boot {
            // One such word may have been held back by the network; a second one was not.
            self.former = Some(Voice { echoed: true, ..Voice::of(word) });
            return None;
        }
        self.follow(word);
        None
    }

    /// Takes in that the certificate `leaf` was tried although it had `ended`.
    pub fn refuse(&mut self, leaf: &Sha256, ended: Ended, at: Millis) -> Option<Suspicion> {
        let Some(reused) = self.reused.filter(|reused| reused.leaf == *leaf) else {
            self.reused = Some(Reused { leaf: *leaf, at, heard: false });
            return None;
        };
        let late = at.since(reused.at) >= TAIL_MS;
        let (enough, what) = match ended {
            Ended::Replaced => (late && reused.heard, "was replaced, and the newer one has spoken since"),
            Ended::TookLeave => (late, "belongs to a device that has taken leave and wiped itself"),
        };
        enough.then(|| Suspicion::new(DoubtKind::Reuse, &format!("certificate {leaf} is used; it {what}")))
    }

    /// A word of a voice that another has followed.
    fn hear_again(&mut self, word: &Word) -> Option<Suspicion> {
        let (Some(current), Some(former)) = (&mut self.current, &mut self.former) else { return None };
        if word.run == 0 && word.boot == current.boot {
            // Connections of an agent that names no runs. One that was heard once may have been left since; the doubt
            // comes when each has been used after the other, from different places.
            let alive = current.first.is_some_and(|first| former.spoken(word).since(first) > SLACK_MS);
            if !alive {
                return None;
            }
            let turns = former.echoed && !current.is_at(word);
            let suspicion = two_alive(current, word);
            former.last = (word.at, word.uptime_s);
            core::mem::swap(current, former);
            former.echoed = true;
            return turns.then_some(suspicion);
        }
        let alive = match current.first {
            Some(first) if former.first.is_some() && !former.echoed => {
                former.spoken(word).since(first) > SLACK_MS
            }
            _ => former.echoed && word.uptime_s > former.last.1,
        };
        former.echoed = true;
        alive.then(|| two_alive(current, word))
    }

    /// The next voice. Its start ends the one before.
    fn follow(&mut self, word: &Word) {
        self.former = self.current.replace(Voice::of(word));
        (self.numbers, self.repeats) = (Numbers::default(), 0);
        let _ = self.numbers.is_repeated(word.sequence);
    }

    /// What the store knows and this server did not hear.
    fn learn(&mut self, kept: Option<Kept>) {
        let boot = self.current.as_ref().map_or(0, |current| current.boot);
        let Some(kept) = kept.filter(|kept| kept.boot > boot) else { return };
        self.former = None;
        (self.numbers, self.repeats) = (Numbers::default(), 0);
        self.current = Some(Voice {
            boot: kept.boot,
            run: kept.run,
            from: None,
            first: None,
            last: (kept.at, 0),
            echoed: false,
        });
    }

    /// The count within one run.
    fn count(&mut self, word: &Word) -> Option<Suspicion> {
        if word.sequence == 0 || !self.numbers.is_repeated(word.sequence) {
            return None;
        }
        self.repeats = self.repeats.saturating_add(1);
        let evidence = format!("check-in {} of {} was made before", word.sequence, word.named());
        (self.repeats >= REPEATS).then(|| Suspicion::new(DoubtKind::Backwards, &evidence))
    }
}

/// How people may tell one agent from another.
fn named(boot: u64, run: u64, from: Option<SocketAddr>) -> String {
    let run = if run == 0 { String::new() } else { format!(", run {run:x}") };
    let from = from.map_or_else(String::new, |from| format!(", from {}", from.ip()));
    format!("boot {boot}{run}{from}")
}

/// Two agents that are alive.
fn two_alive(current: &Voice, word: &Word) -> Suspicion {
    let evidence = format!("two agents are alive: {}; and {}", current.named(), word.named());
    Suspicion::new(two(current, word), &evidence)
}

/// One start of the device with two agents.
fn one_start(current: &Voice, one: &str, word: &Word) -> Suspicion {
    let evidence = format!("one start of the device with two agents: {one}; and {}", word.named());
    Suspicion::new(two(current, word), &evidence)
}

/// What two living agents are called: by their addresses, if these differ.
fn two(current: &Voice, word: &Word) -> DoubtKind {
    let elsewhere = current.from.is_some() && !current.is_at(word);
    if elsewhere { DoubtKind::Overlap } else { DoubtKind::Backwards }
}
