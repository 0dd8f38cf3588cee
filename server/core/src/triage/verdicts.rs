//! Past verdicts: what people decided about the like of a finding, by whom and why, the closest first.
//!
//! They inform and decide nothing: no verdict is repeated by itself. Only people's words count; what a device or this
//! server wrote is no verdict, and one word that was said for many devices is one verdict. Read next: [`super::Step`].

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Name, Text};
use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::{Record, Turn};

/// Verdicts that are shown at most.
pub const VERDICTS: usize = 10;

/// How much another finding is like the one that is looked at, the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likeness {
    /// The finding itself, earlier.
    Itself,
    /// The same detector and key on another device.
    SameKey,
    /// The same detector on a device of the same model.
    SameModel,
}

/// What a person decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How much it is like.
    pub likeness: Likeness,
    /// The finding that it was about.
    pub finding: Name,
    /// Its device.
    pub device: DeviceId,
    /// What that was.
    pub title: Text,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What was decided: `acknowledged`, `muted`, `allowed`, `closed`.
    pub turn: &'static str,
    /// In words.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What people decided about the like of `record`, on a device of `model`: the closest first, then the newest, ten at most.
#[must_use]
pub fn verdicts_on<'a>(
    record: &Record,
    model: &Text,
    all: impl IntoIterator<Item = (&'a Text, &'a Record)>,
) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (other_model, other) in all {
        let Some(likeness) = likeness((record, model), (other, other_model)) else { continue };
        for step in &other.history {
            let (Some(turn), Some(reason)) = (verdict_of(step.turn()), &step.reason) else { continue };
            if matches!(step.by.as_str(), "device" | "server") {
                continue;
            }
            verdicts.push(Verdict {
                likeness,
                finding: other.id.clone(),
                device: other.device,
                title: other.finding.title.clone(),
                at: step.at,
                by: step.by.clone(),
                turn,
                what: step.what.clone(),
                reason: reason.clone(),
            });
        }
    }
    verdicts.sort_by(|a, b| {
        let newest = b.at.cmp(&a.at);
        a.likeness.cmp(&b.likeness).then(newest).then_with(|| a.finding.cmp(&b.finding))
    });
    let mut said = BTreeSet::new();
    verdicts.retain(|verdict| said.insert((verdict.by.clone(), verdict.turn, verdict.reason.clone())));
    verdicts.truncate(VERDICTS);
    verdicts
}

fn likeness((record, model): (&Record, &Text), (other, other_model): (&Record, &Text)) -> Option<Likeness> {
    let (finding, like) = (&record.finding, &other.finding);
    if finding.detector != like.detector {
        None
    } else if record.id == other.id {
        Some(Likeness::Itself)
    } else if finding.key == like.key {
        Some(Likeness::SameKey)
    } else {
        (model == other_model).then_some(Likeness::SameModel)
    }
}

/// The word of what a person decided; that it is open once more is no verdict.
fn verdict_of(turn: Option<Turn>) -> Option<&'static str> {
    match turn? {
        verdict @ (Turn::Acknowledged | Turn::Muted | Turn::Allowed | Turn::Closed) => Some(verdict.word()),
        Turn::Opened | Turn::Raised | Turn::Again => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, report};
    use super::*;
    use crate::triage::{Verb, decide, pass, take_in};
    use alloc::format;
    use cordon_proto::telemetry::{Finding, Severity};

    fn seen(device: u8, key: &str) -> Record {
        let finding = Finding { key: Text::lossy(key), ..report(1, Severity::High) };
        take_in(None, DeviceId::from_random([device; 16]), finding, NOW).0
    }

    #[test]
    fn verdicts_on_the_like_come_closest_first_and_only_people_give_them() {
        // Goal: the next analyst reads what the last one knew. Method: itself, the same elsewhere, another of the model, a
        // stranger, and one that this server closed; the newest of them last in time but not in place.
        let (vp3, k1) = (Text::lossy("VP-3"), Text::lossy("K-1"));
        let say = |record, seconds: i64| {
            let at = NOW.plus_seconds(seconds);
            decide(record, Verb::Close, "ines", &format!("said after {seconds} s"), at).expect("closes")
        };
        let mine = say(seen(1, "a"), 1);
        let same = say(seen(2, "a"), 2);
        let model = say(seen(3, "b"), 3);
        let stranger = say(seen(4, "c"), 4);
        let own = pass(seen(5, "a"), "server", "no longer so", NOW.plus_seconds(5));
        let all = [(&vp3, &mine), (&k1, &same), (&vp3, &model), (&k1, &stranger), (&vp3, &own)];
        let told = verdicts_on(&mine, &vp3, all);
        let words: Vec<(Likeness, &str)> =
            told.iter().map(|verdict| (verdict.likeness, verdict.reason.as_str())).collect();
        assert_eq!(
            words,
            [
                (Likeness::Itself, "said after 1 s"),
                (Likeness::SameKey, "said after 2 s"),
                (Likeness::SameModel, "said after 3 s")
            ]
        );
        assert_eq!((told[0].turn, told[0].by.as_str()), ("closed", "ines"));
    }

    #[test]
    fn ten_verdicts_are_enough() {
        // Goal: a page that can be read. Method: 30 devices, each with a verdict; the newest ten are shown; and once more
        // with one word for all of them.
        let model = Text::lossy("VP-3");
        let said = |reason: fn(u8) -> String| -> Vec<Record> {
            (1..31)
                .map(|n| {
                    let at = NOW.plus_seconds(i64::from(n));
                    decide(seen(n, "a"), Verb::Close, "ines", &reason(n), at).expect("closes")
                })
                .collect()
        };
        let told_of =
            |said: &[Record]| verdicts_on(&seen(99, "a"), &model, said.iter().map(|record| (&model, record)));
        let told = told_of(&said(|n| format!("seen on pump {n}")));
        assert_eq!(told.len(), VERDICTS);
        assert_eq!(told[0].at, NOW.plus_seconds(30));
        assert_eq!(told_of(&said(|_| "the new time server".into())).len(), 1);
    }
}
