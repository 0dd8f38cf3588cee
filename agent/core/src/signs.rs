//! Signs at the machine itself: of ransom, of tampering, of somebody who comes back.
//!
//! Adapters say what is there; a sign is what was not there before. The first look at each is where it begins and says nothing;
//! what cannot be looked at is unseen, which is never quiet, and is told by the adapter. What is kept of a thing is a mark, never
//! its name. A confirmed update brings its own medium, settings and programs, and they are begun anew with it. State is
//! bounded: a thing that does not fit is told again, not passed over. No payload, no argument, no name of a file of data comes
//! in here. Read next: [`account`] for the simplest, docs/decisions/0034-host-signs.md.

pub mod account;
pub mod attached;
pub mod boot;
pub mod cabinet;
pub mod program;
pub mod reboot;
pub mod rewrite;

#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;
use cordon_proto::wire::WireError;
use minicbor::{Decode, Encode};

use crate::detect::ledger::{Detector, Ledger};
use crate::detect::words::Judgement;

/// What one look at the machine brought. `None` is unseen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Ways to sign in.
    pub accounts: Option<Vec<account::Way>>,
    /// Programs that run from outside a sealed image.
    pub programs: Option<program::Programs>,
    /// Keyboards and storage on USB.
    pub attached: Option<Vec<attached::Device>>,
    /// What the machine was started from.
    pub medium: Option<Mark>,
    /// The settings that its kernel was given.
    pub settings: Option<Mark>,
    /// This start of it.
    pub start: Option<reboot::Start>,
    /// Switches of its cabinet.
    pub cabinet: Vec<cabinet::Switch>,
    /// Files of the folders of data that are watched.
    pub files: Option<rewrite::Files>,
    /// What is confirmed to run, where that is known.
    pub release: Option<Mark>,
    /// An update is under way that changes what runs.
    pub updating: bool,
}

/// What tells a thing from others, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Mark(#[n(0)] pub u64);

impl Mark {
    /// The mark of a thing by its parts.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        let Sha256(digest) = Sha256::of(parts.join("\0").as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// What is remembered from look to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
enum Sign {
    #[n(0)]
    Account,
    #[n(1)]
    Program,
    #[n(2)]
    Attached,
    #[n(3)]
    Medium,
    #[n(4)]
    Settings,
    #[n(5)]
    Cabinet,
}

impl Sign {
    /// What was there at the beginning may come and go; of the rest, what went is new when it comes again.
    fn comes_and_goes(self) -> bool {
        matches!(self, Self::Attached | Self::Program)
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Known {
    #[n(0)]
    sign: Sign,
    #[n(1)]
    mark: Mark,
    /// There at the beginning, and no news however often it goes.
    #[n(2)]
    usual: bool,
}

/// What is known of the machine, kept over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Signs {
    #[n(0)]
    known: Vec<Known>,
    /// The signs that were looked at before.
    #[n(1)]
    begun: u8,
    #[n(2)]
    release: Option<Mark>,
    #[n(3)]
    starts: reboot::Starts,
    /// Files lost in one look while it was learned, at most.
    #[n(4)]
    rewritten: u32,
}

impl Signs {
    /// Takes a look. `learns` is whether the device is still being learned.
    pub fn look(
        &mut self,
        look: &Look,
        (watched, learns): (&mut rewrite::Watched, bool),
        ledger: &mut Ledger,
        now: Timestamp,
    ) -> Vec<Finding> {
        let mut told = Told { findings: Vec::new(), ledger, now };
        if let Some(ways) = &look.accounts {
            account::look(self, ways, &mut told);
        }
        if let Some(devices) = &look.attached {
            attached::look(self, devices, &mut told);
        }
        cabinet::look(self, &look.cabinet, &mut told);
        if !look.updating {
            self.follow(look.release);
            boot::look(self, look, &mut told);
            if let Some(programs) = &look.programs {
                program::look(self, programs, learns, &mut told);
            }
        }
        if let Some(start) = &look.start {
            self.starts.look(start, look.updating, &mut told);
        }
        if let Some(files) = &look.files {
            watched.look(files, (&mut self.rewritten, learns), &mut told);
        }
        told.findings
    }

    /// The run of the agent ends in order.
    pub fn ends(&mut self) {
        self.starts.ends();
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.known.capacity() * size_of::<Known>() + self.starts.bytes()
    }

    /// What is known if it keeps its bounds, as it must after it was read back.
    pub fn bounded(self) -> Result<Self, WireError> {
        let limit = limits::SIGN_MARKS;
        if self.known.len() <= limit && self.starts.fits() {
            Ok(self)
        } else {
            Err(WireError::TooMany { limit })
        }
    }

    /// A release that was confirmed since brings its own medium, settings and programs.
    fn follow(&mut self, release: Option<Mark>) {
        if release.is_some() && release != self.release {
            if self.release.is_some() {
                for sign in [Sign::Medium, Sign::Settings, Sign::Program] {
                    self.begun &= !sign.bit();
                    self.known.retain(|known| known.sign != sign);
                }
            }
            self.release = release;
        }
    }

    /// Of marks that are there now, the places of those that are news. `usual` are usual from now on.
    fn news(&mut self, sign: Sign, marks: &[Mark], usual: impl Fn(usize) -> bool) -> Vec<usize> {
        let first = self.begun & sign.bit() == 0;
        self.begun |= sign.bit();
        let stays = |known: &Known| {
            known.sign != sign || (known.usual && sign.comes_and_goes()) || marks.contains(&known.mark)
        };
        self.known.retain(stays);
        let mut news = Vec::new();
        for (place, mark) in marks.iter().enumerate() {
            if self.knows(sign, *mark) {
                continue;
            }
            let usual = first || usual(place);
            if self.known.len() < limits::SIGN_MARKS {
                self.known.push(Known { sign, mark: *mark, usual });
            }
            if !usual {
                news.push(place);
            }
        }
        news
    }

    fn knows(&self, sign: Sign, mark: Mark) -> bool {
        self.known.iter().any(|known| known.sign == sign && known.mark == mark)
    }
}

/// Where signs are told.
pub(crate) struct Told<'a> {
    findings: Vec<Finding>,
    ledger: &'a mut Ledger,
    now: Timestamp,
}

/// What one kind of sign always says.
struct Saying {
    detector: Detector,
    severity: Severity,
    attack: &'static [&'static str],
    title: &'static str,
    why: &'static str,
    sure: &'static str,
    act: &'static str,
}

impl Told<'_> {
    /// Counts a sign under a key, and tells it if it is to be told now. `say` is given since when, and how often so far.
    fn tell(
        &mut self,
        key: &str,
        saying: &Saying,
        evidence: Vec<(&'static str, String)>,
        say: impl FnOnce(&str, u32) -> String,
    ) {
        let Some(tally) = self.ledger.count(saying.detector, key, self.now) else { return };
        let since = crate::detect::words::moment(tally.first);
        let judgement = Judgement {
            detector: saying.detector,
            peer: None,
            severity: saying.severity,
            attack: saying.attack,
            evidence,
            title: saying.title.to_string(),
            what_changed: say(&since, tally.count),
            why_it_matters: saying.why,
            how_sure: saying.sure.to_string(),
            what_to_do: saying.act.to_string(),
        };
        self.findings.push(judgement.finding(&tally));
    }
}
