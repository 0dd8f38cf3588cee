//! What matching owes, judged by a second way of counting: events sorted and walked through, as the OSV schema writes it.
//!
//! The matcher looks for the last event that a version reached and sorts nothing; here they are sorted. Read next:
//! `tests.rs` for each rule by itself.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::advisory::{Advisory, Affected, Event, Order, Range, Stated};
use super::component::{Component, ComponentSet};
use super::ecosystem::Ecosystem;
use super::index::Index;
use super::range::{Stands, holds};
use super::verdict::{Answer, Role, Verdict};
use super::version::{Scheme, compare};
use super::{dpkg, osv, purl};

const VERSION: &str = "([01]:)?[0-3](\\.[0-2])?(~[a1])?(-[0-2])?";

fn event() -> impl Strategy<Value = Event> {
    (0..3_u8, VERSION).prop_map(|(kind, version)| match kind {
        0 => Event::Introduced(version),
        1 => Event::Fixed(version),
        _ => Event::LastAffected(version),
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    (any::<bool>(), prop::collection::vec(event(), 0..5)).prop_map(|(start, mut events)| {
        events.extend(start.then(|| Event::Introduced("0".to_string())));
        events
    })
}

fn order(a: &str, b: &str) -> core::cmp::Ordering {
    compare(Scheme::Deb, a, b).expect("two versions")
}

/// The walk of the schema: events in order, the state after the last that counts.
fn walked(events: &[Event], installed: &str) -> bool {
    let rank = |event: &Event| match event {
        Event::Fixed(_) | Event::Limit(_) => 0,
        Event::Introduced(_) => 1,
        Event::LastAffected(_) => 2,
    };
    let is_start = |event: &Event| *event == Event::Introduced("0".to_string());
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by(|a, b| {
        let start = is_start(b).cmp(&is_start(a));
        start.then_with(|| order(a.parts().1, b.parts().1)).then_with(|| rank(a).cmp(&rank(b)))
    });
    let mut affected = !events.iter().any(|event| matches!(event, Event::Introduced(_)));
    for event in sorted {
        match event {
            Event::Introduced(_) if is_start(event) => affected = true,
            Event::Introduced(version) if order(installed, version).is_ge() => affected = true,
            Event::Fixed(version) if order(installed, version).is_ge() => affected = false,
            Event::LastAffected(version) if order(installed, version).is_gt() => affected = false,
            Event::Introduced(_) | Event::Fixed(_) | Event::LastAffected(_) | Event::Limit(_) => {}
        }
    }
    affected
}

fn advisory(at: usize, names: &[usize], ranges: Vec<Vec<Event>>) -> Advisory {
    let range = |events| Range { order: Order::Ecosystem, events };
    let affected = Affected {
        ecosystem: Ecosystem::debian("12"),
        name: "pump".to_string(),
        state: Stated::ByVersion,
        ranges: ranges.into_iter().map(range).collect(),
        versions: Vec::new(),
    };
    let aliases = names.iter().map(|name| alloc::format!("CVE-2024-000{name}")).collect();
    Advisory { id: alloc::format!("DSA-{at}-1"), aliases, affected: vec![affected], ..Advisory::default() }
}

fn advisories() -> impl Strategy<Value = Vec<Advisory>> {
    let one = (prop::collection::vec(0..3_usize, 0..3), prop::collection::vec(events(), 1..3));
    prop::collection::vec(one, 1..5).prop_map(|all| {
        all.into_iter().enumerate().map(|(at, (names, ranges))| advisory(at, &names, ranges)).collect()
    })
}

/// The groups with their words and repairs.
fn answers(records: &[Advisory], version: &str) -> Vec<(String, &'static str, Option<String>)> {
    let index = Index::build(records).expect("few records");
    let set = ComponentSet::new(vec![Component::new(Ecosystem::debian("12"), "pump", version)]);
    let verdicts = index.matches(&set).verdicts;
    let fixed = |answer: Answer<'_>| match answer {
        Answer::Affected { fixed } => fixed.map(ToString::to_string),
        Answer::Unknown(_) | Answer::Fixed | Answer::NotAffected => None,
    };
    verdicts.iter().map(|v| (v.group.to_string(), v.answer.word(), fixed(v.answer))).collect()
}

/// Whether the comparison that an answer shows, made again, says what the answer says.
fn is_repeatable(verdict: &Verdict<'_>) -> bool {
    let compared = verdict.evidence.compared;
    let Some(bound) = compared.bound else { return true };
    let order = compare(compared.scheme, compared.installed, bound.version).expect("two versions");
    match (verdict.answer, bound.role) {
        (Answer::Affected { .. }, Role::Fixed | Role::Limit) => order.is_lt(),
        (Answer::Affected { .. }, Role::LastAffected) => order.is_le(),
        (Answer::Affected { .. }, Role::Introduced) => order.is_ge(),
        (Answer::Affected { .. }, Role::Listed) => order.is_eq(),
        (Answer::Fixed, Role::Fixed | Role::Limit) => order.is_ge(),
        (Answer::Fixed, Role::LastAffected) => order.is_gt(),
        (Answer::NotAffected, Role::Introduced) => order.is_lt(),
        (Answer::Fixed, Role::Introduced | Role::Listed) => false,
        (Answer::NotAffected, Role::Fixed | Role::LastAffected | Role::Limit | Role::Listed) => false,
        (Answer::Unknown(_), _) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn a_range_holds_as_the_schema_walks_it(events in events(), installed in VERSION) {
        // Goal: the evaluation of the schema. Method: random events in any order, beside the walk.
        let held = holds(Scheme::Deb, events.iter().map(Event::parts), &installed);
        prop_assert_eq!(matches!(held.stands, Stands::In { .. }), walked(&events, &installed), "{:?} of {:?}", held, events);
        prop_assert!(!matches!(held.stands, Stands::Unknown(_)));
        if let Stands::In { fixed: Some(fixed) } = held.stands {
            prop_assert!(order(fixed, &installed).is_gt());
        }
    }

    #[test]
    fn the_comparison_that_is_shown_can_be_repeated(mut records in advisories(), version in VERSION, rpm in any::<bool>(), listed in VERSION) {
        // Goal: evidence is what was compared and not what might have been. Method: records of two worlds, with and without a
        // release in their bounds, some listing versions; the comparison is made again from the evidence alone.
        let place = if rpm { Ecosystem::new("AlmaLinux", Some("9")) } else { Ecosystem::debian("12") };
        for affected in records.iter_mut().flat_map(|record| &mut record.affected) {
            affected.ecosystem = place.clone();
            affected.versions.push(listed.clone());
        }
        let index = Index::build(&records).expect("few records");
        let set = ComponentSet::new(vec![Component::new(place, "pump", &version)]);
        for verdict in index.matches(&set).verdicts {
            prop_assert!(is_repeatable(&verdict), "{:?}", verdict);
        }
    }

    #[test]
    fn what_is_told_as_the_repair_repairs(records in advisories(), version in VERSION) {
        // Goal: nobody installs a repair and is still affected. Method: the version named is asked about again.
        for (group, word, fixed) in answers(&records, &version) {
            if let Some(fixed) = fixed {
                prop_assert_eq!(word, "affected");
                let then = answers(&records, &fixed).into_iter().find(|(name, _, _)| *name == group);
                prop_assert!(then.is_some_and(|(_, word, _)| word != "affected"), "{} at {}", group, fixed);
            }
        }
    }

    #[test]
    fn the_order_of_records_and_of_equal_versions_changes_nothing(mut records in advisories(), version in VERSION) {
        // Goal: the same feed gives the same answers. Method: records backwards; the version written with its epoch.
        let forwards = answers(&records, &version);
        let with_epoch = if version.contains(':') { version.clone() } else { alloc::format!("0:{version}") };
        prop_assert_eq!(&answers(&records, &with_epoch), &forwards);
        records.reverse();
        prop_assert_eq!(answers(&records, &version), forwards);
    }

    #[test]
    fn one_more_record_never_hides_a_weakness(mut records in advisories(), version in VERSION) {
        // Goal: no feed can make a device look safer by saying more. Method: the answers with one record fewer.
        let whole = answers(&records, &version);
        records.pop();
        for (group, word, _) in answers(&records, &version) {
            let with = whole.iter().find(|(name, _, _)| *name == group).map(|(_, word, _)| *word);
            prop_assert!(word != "affected" || with == Some("affected"), "{}: {} became {:?}", group, word, with);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,120}") {
        // Goal: hostile files end no process. Method: any bytes, any text, to every reader.
        let _ = osv::read(&bytes);
        let _ = super::debian::read(&bytes, &mut |_| ());
        let _ = dpkg::read(&text, &Ecosystem::debian("12"));
        let _ = purl::Purl::parse(&text);
    }
}
