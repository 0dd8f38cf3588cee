//! Tests of what is one finding of a model, what an update did, and what is rare.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use cordon_proto::telemetry::{Finding, Severity};
use proptest::prelude::*;

use super::*;
use crate::triage::fixture::{NOW, report};
use crate::triage::{Record, Verb, take_in};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn text(text: &str) -> Text {
    text.parse().expect("a text")
}

fn id(number: usize) -> DeviceId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&u64::try_from(number).expect("small").to_be_bytes());
    DeviceId::from_random(bytes)
}

/// A finding of a device that began so many seconds from now.
fn seen(number: usize, key: &str, at: i64, severity: Severity) -> Record {
    let at = NOW.plus_seconds(at);
    let finding = Finding { key: text(key), first: at, last: at, ..report(1, severity) };
    take_in(None, id(number), finding, at).0
}

/// So many devices of a model, all heard an hour ago, with what each of the first ones found.
struct Ward {
    model: Text,
    release: TargetPath,
    order: Name,
    records: Vec<Vec<Record>>,
    updated: Vec<Option<i64>>,
}

impl Ward {
    fn of(devices: usize) -> Self {
        Self {
            model: text("VP-3"),
            release: "vp-3/4.2.1".parse().expect("a path"),
            order: "o-17".parse().expect("a name"),
            records: vec![Vec::new(); devices],
            updated: vec![None; devices],
        }
    }

    fn with(mut self, number: usize, key: &str, at: i64) -> Self {
        self.records[number].push(seen(number, key, at, Severity::Medium));
        self
    }

    fn peers(&self) -> Vec<Peer<'_>> {
        let digest = |record: &Record| Sha256::of(record.id.as_str().as_bytes());
        let mut peers = Vec::new();
        for (number, records) in self.records.iter().enumerate() {
            let at = self.updated[number].map(|at| NOW.plus_seconds(at));
            let update = at.map(|at| Update { release: &self.release, order: &self.order, at });
            peers.push(Peer {
                device: id(number),
                model: &self.model,
                heard: Some(NOW.plus_seconds(-HOUR)),
                updates: update.into_iter().collect(),
                findings: records.iter().map(|record| (digest(record), record)).collect(),
            });
        }
        peers
    }

    fn cohorts(&self) -> Cohorts {
        Cohorts::of(&self.peers(), NOW)
    }
}

#[test]
fn what_begins_on_many_devices_of_a_model_within_a_day_is_one_finding() {
    // Goal: one finding for the model, not 200. Method: 200 of 400 pumps; beside it another key on two of them.
    let ward = (0..200).fold(Ward::of(400), |ward, number| {
        ward.with(number, "new.example 443/tcp", -DAY + i64::try_from(number).expect("small"))
    });
    let ward = ward.with(300, "other", -60).with(301, "other", -60);
    let cohorts = ward.cohorts();
    let [group] = cohorts.groups.as_slice() else { panic!("{:?}", cohorts.groups) };
    assert_eq!((group.devices(), group.parts.len(), group.of, group.kind()), (200, 200, 400, "model"));
    assert_eq!(
        group.what_changed(),
        "Since 2026-11-20T09:05:06Z the same was first seen on 200 of 400 VP-3, on 200 of them within a day."
    );
    assert_eq!(cohorts.group_of(&ward.records[7][0].id).map(|group| &group.id), Some(&group.id));
    assert_eq!(cohorts.group_of(&ward.records[300][0].id), None);
    assert_eq!(cohorts.group(&group.id).map(|group| group.parts.len()), Some(200));
}

#[test]
fn two_devices_a_twentieth_of_the_model_and_a_slow_spread_are_no_pattern() {
    // Goal: only a pattern is one. Method: just below each threshold, and just at it.
    let spread = |devices: usize, of: usize, step: i64| {
        let ward = (0..devices).fold(Ward::of(of), |ward, number| {
            ward.with(number, "key", -6 * DAY + i64::try_from(number).expect("small") * step)
        });
        ward.cohorts().groups.len()
    };
    assert_eq!((spread(2, 2, 0), spread(3, 3, 0)), (0, 1), "two may be neighbours");
    assert_eq!((spread(3, 31, 0), spread(3, 30, 0)), (0, 1), "a tenth of the model");
    assert_eq!((spread(3, 3, DAY / 2 + 1), spread(3, 3, DAY / 2)), (0, 1), "within a day");
    assert_eq!(spread(8, 8, DAY / 2 + 1), 0, "a slow spread never is at once");
}

#[test]
fn who_comes_later_joins_and_who_had_it_long_before_does_not() {
    // Goal: the group is what began then. Method: one 6 days before, three within an hour, one two days later.
    let ward = Ward::of(10).with(0, "key", -6 * DAY);
    let ward = (1..4).fold(ward, |ward, number| ward.with(number, "key", -3 * DAY));
    let ward = ward.with(4, "key", -DAY);
    let cohorts = ward.cohorts();
    let devices: Vec<DeviceId> = cohorts.groups[0].parts.iter().map(|part| part.device).collect();
    assert_eq!(devices, [1, 2, 3, 4].map(id));
    assert!(matches!(cohorts.groups[0].cause, Cause::Model { at_once: 3, .. }));
}

#[test]
fn silent_devices_do_not_thin_a_pattern() {
    // Goal: 300 devices in a cellar hide nothing. Method: three of 30 heard, beside 300 that are silent.
    let ward = (0..3).fold(Ward::of(330), |ward, number| ward.with(number, "key", -HOUR));
    let mut peers = ward.peers();
    for peer in &mut peers[30..] {
        peer.heard = Some(NOW.plus_seconds(-8 * DAY));
    }
    assert_eq!(Cohorts::of(&peers, NOW).groups.len(), 1);
}

#[test]
fn what_is_new_within_a_day_of_a_confirmed_update_is_one_finding_of_the_release() {
    // Goal: the release is asked first. Method: two updated pumps with three new things, one of them an hour too late, one
    // from before; a scan of somebody else; and a pump that took it without news.
    let mut ward = Ward::of(20)
        .with(0, "new.example 443/tcp", -2 * DAY + HOUR)
        .with(0, "tcp/8080/network", -2 * DAY + DAY - 1)
        .with(1, "new.example 443/tcp", -2 * DAY + 2 * HOUR)
        .with(1, "late", -2 * DAY + DAY)
        .with(1, "before", -2 * DAY - 1);
    let scanned = &mut ward.records[0];
    let mut scan = seen(0, "198.51.100.7", -2 * DAY + HOUR, Severity::High);
    scan.finding.detector = "scan".parse().expect("a name");
    scanned.push(scan);
    ward.updated[..3].fill(Some(-2 * DAY));
    let cohorts = ward.cohorts();
    let [group] = cohorts.groups.as_slice() else { panic!("{:?}", cohorts.groups) };
    assert_eq!((group.kind(), group.devices(), group.parts.len(), group.of), ("post-update-drift", 2, 3, 3));
    let told: [String; 4] = [
        group.title.as_str().into(),
        group.what_changed(),
        group.what_to_do(&["vp3-421"]),
        group.what_to_do(&[]),
    ];
    assert_eq!(told.join("\n"), DRIFT);
}

const DRIFT: &str = "Post-update drift: vp-3/4.2.1
Within a day of the confirmed update to vp-3/4.2.1, 2 of the 3 VP-3 that took it showed 2 things they had not shown before, the first at 2026-11-19T10:05:06Z.
Ask the maker whether vp-3/4.2.1 is meant to do this. If it is, allow it for the model and have it added to the profile. If it is not, stop the rollout vp3-421, and take the signed way back.
Ask the maker whether vp-3/4.2.1 is meant to do this. If it is, allow it for the model and have it added to the profile. If it is not, hold the model, so that no further device takes it, and take the signed way back.";

#[test]
fn only_one_of_enough_is_an_outlier_and_too_few_are_too_few() {
    // Goal: rare is said in words, and never of too few. Method: alone among 1, 3, 5, 6 and 41; five of 41.
    let words = |devices: usize, with: usize| {
        let ward = (0..with).fold(Ward::of(devices), |ward, number| {
            ward.with(number, "key", -HOUR - i64::try_from(number).expect("small") * 2 * DAY)
        });
        let rarity = ward.cohorts().rarity(&ward.model, &ward.records[0][0]);
        format!("{} {}", rarity.is_outlier(), rarity.words())
    };
    let told = [words(1, 1), words(2, 1), words(5, 1), words(6, 1), words(41, 1), words(41, 3)];
    assert_eq!(told.join("\n"), RARE);
}

const RARE: &str = "false There is no other VP-3 to compare it with.
false No other VP-3 reported it, but only 1 other was heard in the last 7 days.
false No other VP-3 reported it, but only 4 others were heard in the last 7 days.
true Only this one of 6 VP-3 reported it.
true Only this one of 41 VP-3 reported it.
false 3 of 41 VP-3 reported it.";

#[test]
fn nobody_hides_a_critical_finding_together_with_harmless_ones() {
    // Goal: one act for many, and none for the one that matters. Method: each verb on a critical and a medium finding.
    let until = NOW.plus_seconds(DAY);
    let verbs = [Verb::Acknowledge, Verb::Mute { until }, Verb::Allow { until }, Verb::Close, Verb::Reopen];
    let reached = |severity| verbs.map(|verb| group::reaches(verb, &seen(0, "key", 0, severity)));
    assert_eq!(reached(Severity::Critical), [true, false, false, false, true]);
    assert_eq!(reached(Severity::High), [true; 5]);
}

proptest! {
    #[test]
    fn every_finding_is_in_one_group_at_most_and_the_order_of_devices_changes_nothing(
        found in proptest::collection::vec((0_usize..12, 0_usize..3, -6 * DAY..0), 0..60),
        updated in proptest::collection::vec(proptest::option::of(-6 * DAY..0), 12),
        turn in 0_usize..12,
    ) {
        let mut ward = Ward::of(12);
        for (number, key, at) in found {
            let key = format!("key {key}");
            if ward.records[number].iter().all(|record| record.finding.key.as_str() != key) {
                ward = ward.with(number, &key, at);
            }
        }
        ward.updated = updated;
        let cohorts = ward.cohorts();
        let mut names = BTreeSet::new();
        for group in &cohorts.groups {
            prop_assert!(!group.parts.is_empty() && group.devices() <= group.of);
            if let Cause::Model { at_once, .. } = group.cause {
                prop_assert!(at_once >= group::DEVICES_MIN && at_once <= group.parts.len());
            }
            for part in &group.parts {
                prop_assert!(names.insert(part.id.clone()), "twice: {}", part.id);
            }
        }
        let mut peers = ward.peers();
        peers.rotate_left(turn);
        prop_assert_eq!(Cohorts::of(&peers, NOW).groups, cohorts.groups);
    }
}
