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

/// How long after its first refusal a certificate that was replaced may still be tried by whoever has not noticed: a
/// second connection of the same agent, or one that was asleep.
const TAIL_MS: i64 = 60_000;
/// How recently another device must have been heard to be alive beside this one.
pub const ALIVE_MS: i64 = 24 * 3_600_000;
/// Repeated numbers that make a suspicion: one could be a repetition on the way.
const REPEATS: u8 = 2;
/// Turns of two connections that make a suspicion, where agents name no runs: a word that was held back makes two, its own
/// and that of the connection in use.
const TURNS: u8 = 3;

/// One check-in, as far as it says which running agent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The connection it came on.
    pub from: SocketAddr,
    /// The boot number; 0 for no statement.
    pub boot: u64,
    /// The number of the agent's start, drawn by chance; 0 for no statement.
    pub run: u64,
    /// The count of check-ins in this run; 0 for no statement.
    pub sequence: u64,
}

impl Word {
    /// What a check-in says of its speaker.
    #[must_use]
    pub fn of(request: &CheckinRequest, from: SocketAddr) -> Self {
        let CheckinRequest { boot, run, sequence, .. } = *request;
        Self { from, boot, run, sequence }
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
    /// Whether it has spoken once since another followed it.
    echoed: bool,
}

impl Voice {
    fn of(word: &Word) -> Self {
        Self { boot: word.boot, run: word.run, from: Some(word.from), echoed: false }
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
    turns: u8,
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
}

impl Kept {
    /// The voice behind a report, if it names one.
    #[must_use]
    pub fn of(report: &Report) -> Option<Self> {
        let voice = report.voice.as_ref()?;
        Some(Self { leaf: voice.leaf, boot: report.boot, run: voice.run })
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

    /// A word of a voice that another has followed. One may have been held back by the network, and says nothing.
    fn hear_again(&mut self, word: &Word) -> Option<Suspicion> {
        let (Some(current), Some(former)) = (&mut self.current, &mut self.former) else { return None };
        let suspicion = two_alive(current, word);
        if word.run == 0 && word.boot == current.boot {
            // Connections of an agent that names no runs, and that of two places.
            self.turns = if current.is_at(word) { 0 } else { self.turns.saturating_add(1) };
            core::mem::swap(current, former);
            return (self.turns >= TURNS).then_some(suspicion);
        }
        core::mem::replace(&mut former.echoed, true).then_some(suspicion)
    }

    /// The next voice. Its start ends the one before.
    fn follow(&mut self, word: &Word) {
        self.former = self.current.replace(Voice::of(word));
        (self.numbers, self.repeats, self.turns) = (Numbers::default(), 0, 0);
        let _ = self.numbers.is_repeated(word.sequence);
    }

    /// What the store knows and this server did not hear.
    fn learn(&mut self, kept: Option<Kept>) {
        let boot = self.current.as_ref().map_or(0, |current| current.boot);
        let Some(kept) = kept.filter(|kept| kept.boot > boot) else { return };
        self.former = None;
        (self.numbers, self.repeats, self.turns) = (Numbers::default(), 0, 0);
        self.current = Some(Voice { boot: kept.boot, run: kept.run, from: None, echoed: false });
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
