//! The sentences of findings, and their putting together.
//!
//! A title of at most 48 characters says what the device does, in the present. Four sentences follow: what changed, why
//! it matters (no threat names), how sure (low, medium or high, with the evidence), what to do (the act first, then the
//! harmless explanation). What the network says of itself appears only after [`crate::profile::key::clean`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use super::ledger::{Detector, Tally};
use crate::flow::Flow;
use crate::profile::key::clean;
use crate::profile::{Profile, Stage};

/// Characters of a name within a sentence, so that no sentence is cut.
const SENTENCE_NAME_CHARS: usize = 40;

/// Everything a detector has to say.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Whose judgement it is.
    pub detector: Detector,
    /// The peer, where there is one.
    pub peer: Option<String>,
    /// How bad.
    pub severity: Severity,
    /// ATT&CK techniques.
    pub attack: &'static [&'static str],
    /// Named figures and texts.
    pub evidence: Vec<(&'static str, String)>,
    /// The title.
    pub title: String,
    /// Since when, how often, compared with what.
    pub what_changed: String,
    /// One sentence.
    pub why_it_matters: &'static str,
    /// Low, medium or high, and why.
    pub how_sure: String,
    /// The act, then the harmless explanation.
    pub what_to_do: String,
}

impl Judgement {
    /// The finding of this judgement under its tally.
    #[must_use]
    pub fn finding(self, tally: &Tally) -> Finding {
        let mut evidence = BTreeMap::new();
        for (name, value) in self.evidence {
            evidence.insert(name.to_owned(), value.chars().take(64).collect());
        }
        Finding {
            detector: self.detector.as_str().parse().expect("a detector's name is a name"),
            key: Text::lossy(if tally.is_common() { self.detector.common() } else { &tally.key }),
            first: tally.first,
            last: tally.last,
            count: tally.count,
            peer: self.peer.map(|peer| Text::lossy(&peer)),
            severity: self.severity,
            attack: self.attack.iter().copied().map(Text::lossy).collect(),
            evidence,
            title: Text::lossy(&self.title),
            what_changed: Text::lossy(&self.what_changed),
            why_it_matters: Text::lossy(self.why_it_matters),
            how_sure: Text::lossy(&self.how_sure),
            what_to_do: Text::lossy(&self.what_to_do),
        }
    }
}

/// The peer of a flow as one reads it: its name, or its address.
#[must_use]
pub fn peer(flow: &Flow) -> String {
    match &flow.name {
        Some(name) => clean(name),
        None => format!("{}", flow.tuple.remote.address),
    }
}

/// A peer or program within a sentence: of a long name, the end.
#[must_use]
pub fn shortened(name: &str) -> String {
    let surplus = name.chars().count().saturating_sub(SENTENCE_NAME_CHARS);
    if surplus == 0 {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(surplus + 1).collect::<String>())
    }
}

/// A point in time to the minute.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    let [year, month, day, hour, minute, _] = at.civil();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// A number with its noun.
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// A length of time in the largest unit that keeps it above one.
#[must_use]
pub fn period(seconds: u32) -> String {
    match seconds {
        0..=119 => counted(u64::from(seconds), "second", "seconds"),
        120..=7199 => format!("{} minutes", (seconds + 30) / 60),
        7200.. => format!("{} hours", seconds.saturating_add(1800) / 3600),
    }
}

/// What a profile rests on, such as "7 days of learning (1204 connections)".
#[must_use]
pub fn experience(profile: &Profile) -> String {
    let days = u64::try_from(profile.learned_s() / (24 * 3600)).unwrap_or(0);
    let connections = counted(profile.observations(), "connection", "connections");
    format!("{} of learning ({connections})", counted(days, "day", "days"))
}

/// How sure one can be that something outside the profile is unusual.
#[must_use]
pub fn how_sure(profile: &Profile) -> String {
    let complete = matches!(profile.stage(), Stage::Frozen { complete: true, .. });
    if complete {
        format!(
            "Medium: at the end of learning about {} in 1000 connections were first-time ones, so a new one is unusual.",
            profile.missing_per_mille()
        )
    } else {
        "Low: learning ended while much was still new, so this may be ordinary and merely not seen before."
            .to_owned()
    }
}
