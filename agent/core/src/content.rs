//! The content of a device: what is in force, what is on trial, and what is restored when the trial goes wrong.
//!
//! A function of values like the update machine: whoever calls [`step`] stores the state first and applies it then. The
//! marker `running` is stored before a content on trial is applied, and taken back by an orderly end; a start that finds
//! it knows that the agent died with that content, and restores the one before. So does an agent that has grown over its
//! bar. A restored content is never taken again: [`State::newest`] does not fall. Nothing here needs a network.
//! Read next: `cordon_proto::update::content`.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::checkin::{Blocked, ContentFault};
use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::time::Millis;
use cordon_proto::update::content::{Content, Taken};
use minicbor::{Decode, Encode};

/// What a device keeps of its contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// The highest version ever taken, 0 for none. It never falls.
    #[n(0)]
    pub newest: u64,
    /// What is applied, if anything is.
    #[n(1)]
    pub current: Option<Held>,
    /// What was in force before the one on trial; none where there was none.
    #[n(2)]
    pub previous: Option<Held>,
    /// The trial of the current one.
    #[n(3)]
    pub trial: Option<Trial>,
    /// Why a content was restored or refused, until a newer one is taken.
    #[n(4)]
    pub fault: Option<ContentFault>,
}

/// A content that was taken: the bytes as they were signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Held {
    /// Its name.
    #[n(0)]
    pub id: Name,
    /// Its version.
    #[n(1)]
    pub version: u64,
    /// Its document.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// The trial of a content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Trial {
    /// Whether an agent runs with it, or died with it.
    #[n(0)]
    pub running: bool,
    /// KiB of resident memory before it was taken, where they could be read.
    #[n(1)]
    pub before_kib: Option<u64>,
    /// Volatile: since when this run of the agent tries it.
    #[cbor(skip)]
    pub since: Option<Millis>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent has started.
    Started,
    /// A content was admitted; KiB of resident memory before it is applied.
    Taken(Taken, Option<u64>),
    /// A content was refused for good.
    Refused(ContentFault),
    /// A content is offered that this device will never take, because a later one was.
    Spent(ContentFault),
    /// The agent looked at itself: KiB of resident memory, nothing while an update needs memory of its own.
    Looked(Option<u64>),
    /// The agent ends as it should.
    Ending,
}

/// One step: the state to be stored before it is applied, or nothing where nothing changed.
#[must_use]
pub fn step(state: &State, event: Event, now: Millis) -> Option<State> {
    let mut next = state.clone();
    match event {
        Event::Started => match &mut next.trial {
            Some(trial) if trial.running => {
                next.restore("content-crash", "The agent did not live through it")
            }
            Some(trial) => *trial = Trial { running: true, since: Some(now), ..*trial },
            None => return None,
        },
        Event::Taken(taken, before_kib) => next.take(taken, before_kib, now),
        Event::Refused(fault) => next.refuse(fault),
        Event::Spent(fault) => next.spent(fault),
        Event::Looked(kib) => next.look(kib, now)?,
        Event::Ending => next.trial.as_mut()?.running = false,
    }
    (next != *state).then_some(next)
}

impl State {
    /// Version of the content in force, which is not the one on trial; 0 for none.
    #[must_use]
    pub fn in_force(&self) -> u64 {
        let held = if self.trial.is_some() { &self.previous } else { &self.current };
        held.as_ref().map_or(0, |held| held.version)
    }

    /// What the current content says. A document that this agent cannot read any more says nothing.
    #[must_use]
    pub fn says(&self) -> Option<Content> {
        Content::read(&self.current.as_ref()?.bytes).ok()
    }

    fn take(&mut self, taken: Taken, before_kib: Option<u64>, now: Millis) {
        let Taken { content, bytes, .. } = taken;
        if content.version <= self.newest {
            return;
        }
        // What an unfinished trial would have replaced is what a restore brings back.
        if self.trial.is_none() {
            self.previous = self.current.take();
        }
        self.newest = content.version;
        self.current = Some(Held { id: content.id, version: content.version, bytes });
        self.trial = Some(Trial { running: true, before_kib, since: Some(now) });
        self.fault = None;
    }

    fn refuse(&mut self, fault: ContentFault) {
        let known = self.fault.as_ref().is_some_and(|known| known.version >= fault.version);
        if fault.version > self.newest && !known {
            self.fault = Some(fault);
        }
    }

    /// Who offers it waits for a word of it: what is applied, or was told of it already, is one.
    fn spent(&mut self, fault: ContentFault) {
        let applied = self.current.as_ref().is_some_and(|held| held.version >= fault.version);
        let told = self.fault.as_ref().is_some_and(|known| known.version == fault.version);
        if !applied && !told {
            self.fault = Some(fault);
        }
    }

    fn look(&mut self, kib: Option<u64>, now: Millis) -> Option<()> {
        let trial = self.trial?;
        let grown = trial.before_kib.map_or(0, |before| before.saturating_add(limits::CONTENT_GROWTH_KIB));
        if kib.is_some_and(|kib| kib > grown.max(limits::CONTENT_RESIDENT_KIB)) {
            self.restore("content-memory", "The agent needed more memory than it may");
            return Some(());
        }
        let tried_ms = now.0.saturating_sub(trial.since?.0);
        let over = tried_ms >= i64::from(limits::CONTENT_TRIAL_S) * 1000;
        // Nobody waits for ever for a look that cannot be had.
        let seen = kib.is_some() || tried_ms >= i64::from(limits::CONTENT_UNSEEN_S) * 1000;
        if over && seen {
            (self.trial, self.previous) = (None, None);
        }
        Some(())
    }

    /// Back to what was in force before, with the reason.
    fn restore(&mut self, code: &str, why: &str) {
        let failed = self.current.take();
        self.current = self.previous.take();
        self.trial = None;
        let back = match &self.current {
            Some(held) => format!("version {} is in force again", held.version),
            None => "the device has no content again".to_string(),
        };
        self.fault = failed.map(|failed| ContentFault {
            content: failed.id,
            version: failed.version,
            why: Blocked {
                code: Text::lossy(code),
                sentence: Text::lossy(&format!("{why} (within {} s); {back}.", limits::CONTENT_TRIAL_S)),
            },
        });
    }
}

#[cfg(test)]
mod tests;
