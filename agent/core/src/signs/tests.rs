//! What signs promise: nothing at first, what is new once, nothing after an update, the words, and bounds.

extern crate std;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::time::Millis;
use proptest::prelude::*;

use super::account::{Kind, Way};
use super::attached::Device;
use super::cabinet::Switch;
use super::program::{Place, Program, Programs};
use super::reboot::Start;
use super::rewrite::{File, Files};
use super::*;
use crate::detect::Detectors;
use crate::profile::{Learning, Profile};

const DAY_S: i64 = 24 * 3600;
/// A Monday, 00:00.
const START: i64 = 1_799_625_600;

fn way(account: &str, kind: Kind) -> Way {
    Way { account: account.to_string(), kind }
}

fn stick(serial: u64) -> Device {
    Device { types: false, product: "0781:5583".to_string(), serial: Some(Mark(serial)) }
}

fn keyboard() -> Device {
    Device { types: true, product: "046d:c31c".to_string(), serial: None }
}

fn program(name: &str, place: Place) -> Program {
    Program { name: name.to_string(), place, path: Mark::of(&[name]) }
}

fn programs(outside: &[Program]) -> Option<Programs> {
    Some(Programs { outside: outside.to_vec(), seen: 80, unseen: 3 })
}

/// `count` files of one folder, rewritten `times` times, with an ending.
fn files(count: u32, times: u64, ending: u32) -> Files {
    let file = |name| File { folder: 7, name: name + ending * 100_000, stamp: Mark(times), ending };
    Files { files: (0..count).map(file).collect(), cut: Vec::new() }
}

/// A pump as it should be.
fn pump() -> Look {
    Look {
        accounts: Some(Vec::from([
            way("root", Kind::Shell),
            way("root", Kind::Root),
            way("service", Kind::Shell),
        ])),
        programs: programs(&[]),
        attached: Some(Vec::from([keyboard()])),
        medium: Some(Mark(1)),
        settings: Some(Mark(2)),
        start: Some(Start { mark: Mark(3), at: Some(Timestamp(START)) }),
        cabinet: Vec::from([Switch { name: "door".to_string(), open: false, openings: 0 }]),
        files: Some(files(200, 0, 1)),
        release: Some(Mark(9)),
        updating: false,
    }
}

/// Detectors of the pump after its first look, still learning or not.
fn begun(learns: bool) -> Detectors {
    let mut detectors = Detectors::new(Profile::new(), Learning::default());
    assert!(detectors.looked(&pump(), at(0)).is_empty(), "the first look says nothing");
    if !learns {
        detectors.freeze(at(0));
    }
    detectors
}

fn at(second: i64) -> Millis {
    Millis((START + second) * 1000)
}

fn keys(findings: &[Finding]) -> Vec<&str> {
    assert!(findings.iter().all(|finding| finding.detector.as_str() == "host"));
    findings.iter().map(|finding| finding.key.as_str()).collect()
}

/// A look with everything wrong.
fn broken_into() -> Look {
    let mut look = pump();
    if let Some(ways) = &mut look.accounts {
        ways.extend([
            way("support2", Kind::Shell),
            way("support2", Kind::Root),
            way("service", Kind::Keys(Mark(5))),
        ]);
    }
    look.programs = programs(&[program("kthreadd0", Place::Memory), program("xmrig", Place::Passing)]);
    look.attached = Some(Vec::from([keyboard(), keyboard(), stick(4)]));
    (look.medium, look.settings) = (Some(Mark(11)), Some(Mark(12)));
    look.cabinet = Vec::from([Switch { name: "door".to_string(), open: true, openings: 3 }]);
    look.files = Some(files(200, 0, 2));
    look
}

#[test]
fn the_words_of_signs_are_these() {
    // Goal: a nurse manager understands the first line, an analyst finds the evidence. Method: golden text of every sign.
    let mut detectors = begun(false);
    let mut findings = detectors.looked(&broken_into(), at(60));
    let mut restart = Look { medium: None, settings: None, files: None, ..pump() };
    restart.start = Some(Start { mark: Mark(30), at: Some(Timestamp(START + 30 * DAY_S + 3 * 3600)) });
    findings.extend(detectors.looked(&restart, at(30 * DAY_S + 4 * 3600)));
    let text: Vec<String> = findings.iter().map(crate::detect::tests::laid_out).collect();
    let expected = include_str!("../../golden/host-signs.txt");
    assert_eq!(text.join("\n"), expected, "\n{}", text.join("\n"));
    for finding in &findings {
        assert!(finding.title.as_str().chars().count() <= 48, "{}", finding.title);
        for text in [&finding.what_changed, &finding.why_it_matters, &finding.how_sure, &finding.what_to_do] {
            assert!(text.as_str().ends_with('.'), "{text} is cut");
        }
    }
}

#[test]
fn each_sign_is_told_once_and_not_again_over_a_restart() {
    // Goal: no finding a minute. Method: the same look again, restored, and a day later.
    let mut detectors = begun(false);
    let first = detectors.looked(&broken_into(), at(60));
    assert_eq!(first.len(), 11, "{:?}", keys(&first));
    let mut still = broken_into();
    still.cabinet = Vec::from([Switch { name: "door".to_string(), open: true, openings: 0 }]);
    assert_eq!(keys(&detectors.looked(&still, at(120))), [] as [&str; 0]);
    let mut restored = Detectors::restore(&detectors.keep(), Learning::default()).expect("restores");
    assert_eq!(restored.keep(), detectors.keep());
    assert_eq!(keys(&restored.looked(&still, at(DAY_S))), [] as [&str; 0]);
}

#[test]
fn what_went_and_came_again_is_new_unless_it_was_there_at_the_beginning() {
    // Goal: a known keyboard is plugged again in silence; an account that was made again is news. Method: each goes and comes.
    let mut detectors = begun(false);
    let mut bare = pump();
    bare.attached = Some(Vec::new());
    bare.accounts = Some(Vec::from([way("root", Kind::Shell), way("root", Kind::Root)]));
    assert!(detectors.looked(&bare, at(60)).is_empty());
    assert_eq!(keys(&detectors.looked(&pump(), at(120))), ["account:service"]);
    let mut with_stick = pump();
    with_stick.attached = Some(Vec::from([keyboard(), stick(4)]));
    assert_eq!(keys(&detectors.looked(&with_stick, at(180))), ["storage:0781:5583"]);
    detectors.looked(&pump(), at(240));
    let again = detectors.looked(&with_stick, at(2 * 3600));
    assert_eq!((keys(&again), again[0].count), (Vec::from(["storage:0781:5583"]), 2));
}

#[test]
fn what_cannot_be_looked_at_neither_begins_nor_ends_anything() {
    // Goal: unseen is not gone. Method: nothing can be seen, then all as before; then a sign that is seen for the first time.
    let mut detectors = begun(false);
    assert!(detectors.looked(&Look::default(), at(60)).is_empty());
    assert!(detectors.looked(&pump(), at(120)).is_empty());
    let mut fresh = Detectors::new(Profile::new(), Learning::default());
    fresh.looked(&Look::default(), at(0));
    assert!(fresh.looked(&pump(), at(60)).is_empty(), "what is seen for the first time begins then");
}

#[test]
fn a_confirmed_update_explains_what_it_brings_and_nothing_else() {
    // Goal: no false alarm after an update, no hole through it. Method: trial, confirmation, way back; then the same unexplained.
    let mut detectors = begun(false);
    let new = Look {
        medium: Some(Mark(21)),
        settings: Some(Mark(22)),
        programs: programs(&[program("app", Place::Writable)]),
        ..pump()
    };
    assert!(detectors.looked(&Look { updating: true, ..new.clone() }, at(60)).is_empty(), "on trial");
    assert!(detectors.looked(&pump(), at(120)).is_empty(), "rolled back");
    assert!(
        detectors.looked(&Look { release: Some(Mark(10)), ..new.clone() }, at(180)).is_empty(),
        "confirmed"
    );
    let back = Look { release: Some(Mark(10)), ..pump() };
    assert_eq!(
        keys(&detectors.looked(&back, at(240))),
        ["boot:medium", "boot:settings"],
        "no update leads back"
    );
    let account = Look { accounts: broken_into().accounts, updating: true, release: Some(Mark(11)), ..new };
    assert!(
        keys(&detectors.looked(&account, at(300))).contains(&"account:support2"),
        "no update makes accounts"
    );
}

#[test]
fn programs_of_writable_places_are_learned_and_those_of_memory_never() {
    // Goal: an attack in the learning window is told where its form tells. Method: both while it learns, and after.
    let mut detectors = begun(true);
    let both = programs(&[program("app", Place::Writable), program("dropper", Place::Memory)]);
    let look = Look { programs: both, ..pump() };
    assert_eq!(keys(&detectors.looked(&look, at(60))), ["program:memory/dropper"]);
    detectors.freeze(at(120));
    let more = programs(&[program("app", Place::Writable), program("other", Place::Writable)]);
    assert_eq!(
        keys(&detectors.looked(&Look { programs: more, ..pump() }, at(180))),
        ["program:writable/other"]
    );
}

#[test]
fn a_chattering_switch_is_one_finding_with_a_count() {
    // Goal: a worn switch is no flood. Method: sixty openings a minute for an hour.
    let mut detectors = begun(false);
    let chatter = |open| Look {
        cabinet: Vec::from([Switch { name: "door".to_string(), open, openings: 60 }]),
        ..pump()
    };
    let told: Vec<u32> = (0..=60)
        .flat_map(|minute| detectors.looked(&chatter(minute % 2 == 0), at(60 + minute * 60)))
        .map(|finding| finding.count)
        .collect();
    assert_eq!(told, [1, 3601]);
}

#[test]
fn a_restart_is_odd_only_after_four_weeks_and_away_from_known_hours() {
    // Goal: a nightly restart is silent, summer time too; another hour is told, by the server's clock alone. Method: five weeks.
    let mut detectors = begun(false);
    let start = |day: i64, hour: i64, known: bool| {
        let at = Timestamp(START + day * DAY_S + hour * 3600);
        Look {
            start: Some(Start { mark: Mark(100 + at.0.unsigned_abs()), at: known.then_some(at) }),
            ..pump()
        }
    };
    for day in 1..28 {
        assert!(detectors.looked(&start(day, 3, true), at(day * DAY_S)).is_empty());
    }
    // The device's own clock is a year off from here on, either way.
    let (late, early) = (at(400 * DAY_S), at(-365 * DAY_S));
    assert!(detectors.looked(&start(29, 4, true), late).is_empty(), "summer time");
    assert!(detectors.looked(&start(30, 14, false), late).is_empty(), "the hour is not known yet");
    detectors.ends();
    let mut orderly = Detectors::restore(&detectors.keep(), Learning::default()).expect("restores");
    let told = orderly.looked(&start(31, 14, true), late);
    assert_eq!((keys(&told), told[0].severity), (Vec::from(["reboot"]), Severity::Low));
    let mut again = orderly.looked(&start(32, 15, true), early);
    again.extend(orderly.looked(&start(32, 16, true), at(400 * DAY_S + 7200)));
    assert_eq!(
        again.last().map(|finding| finding.severity),
        Some(Severity::Medium),
        "its run did not end in order"
    );
    let explained = Look { updating: true, ..start(33, 20, true) };
    assert!(orderly.looked(&explained, at(401 * DAY_S)).is_empty(), "an update restarted it");
    assert!(orderly.looked(&start(33, 20, true), at(401 * DAY_S + 60)).is_empty(), "and still explains it");
}

#[test]
fn ransom_is_told_by_its_form_while_learning_and_backups_and_logs_are_not() {
    // Goal: mass rewriting within one look, honest work never. Method: files replaced, imported, deleted, rotated, read.
    let mut learning = begun(true);
    let told = learning.looked(&Look { files: Some(files(200, 0, 2)), ..pump() }, at(60));
    assert_eq!((keys(&told), told[0].severity), (Vec::from(["rewrite"]), Severity::Critical));
    let quiet: [(&str, Files); 5] = [
        ("a backup reads", files(200, 0, 1)),
        (
            "an import adds",
            Files { files: [files(200, 0, 1).files, files(300, 0, 2).files].concat(), cut: Vec::new() },
        ),
        ("what is old is deleted", files(100, 0, 1)),
        (
            "logs rotate",
            Files {
                files: [files(12, 9, 1).files, files(200, 0, 1).files.split_off(12)].concat(),
                cut: Vec::new(),
            },
        ),
        ("not all was looked at", Files { files: files(40, 0, 2).files, cut: Vec::from([7]) }),
    ];
    for (name, now) in quiet {
        let mut detectors = begun(false);
        assert_eq!(
            keys(&detectors.looked(&Look { files: Some(now), ..pump() }, at(60))),
            [] as [&str; 0],
            "{name}"
        );
    }
}

#[test]
fn rewriting_in_place_is_held_against_the_most_that_was_learned() {
    // Goal: a nightly job of 60 files is usual, 90 at once and on are not. Method: Page's sum, worked out by hand.
    let mut detectors = begun(true);
    let rewritten = |count: usize, times: u64| {
        let all = files(200, 0, 1).files;
        let changed = all.iter().take(count).map(|file| File { stamp: Mark(times), ..*file });
        let files = changed.chain(all.iter().skip(count).copied()).collect();
        Look { files: Some(Files { files, cut: Vec::new() }), ..pump() }
    };
    assert!(detectors.looked(&rewritten(60, 1), at(60)).is_empty());
    detectors.freeze(at(90));
    // Sixty change each look: 60 - 90 each. Then 130 each: 40, 80.
    let told: Vec<usize> = (2..12)
        .filter(|look| {
            !detectors.looked(&rewritten(60, *look), at(i64::try_from(*look).expect("small") * 60)).is_empty()
        })
        .map(|look| usize::try_from(look).expect("small"))
        .collect();
    assert_eq!(told, [] as [usize; 0]);
    let told: Vec<u64> = (12..16)
        .filter(|look| {
            !detectors
                .looked(&rewritten(130, *look), at(i64::try_from(*look).expect("small") * 60))
                .is_empty()
        })
        .collect();
    assert_eq!(told, [13]);
}

#[test]
fn eight_sticks_hide_no_account() {
    // Goal: noise of one kind does not swallow another. Method: twenty sticks of different makers, then an account.
    let mut detectors = begun(false);
    let stick = |n: u16| Device { product: format!("{n:04x}:0001"), ..stick(u64::from(n)) };
    let mut look = Look { attached: Some((0..20).map(stick).collect()), ..pump() };
    let told = detectors.looked(&look, at(60));
    assert_eq!((told.len(), keys(&told)[8]), (9, "machine:many"));
    look.accounts = broken_into().accounts;
    assert_eq!(
        keys(&detectors.looked(&look, at(120))),
        ["account:support2", "root:support2", "keys:service"]
    );
}

proptest! {
    #[test]
    fn any_looks_keep_their_bounds_and_travel(
        steps in prop::collection::vec((0_u16..900, 0_u8..4, any::<bool>(), -40_000_i64..400_000), 0..60),
    ) {
        let mut detectors = begun(false);
        let mut second = 0;
        for (many, kind, some, wait) in steps {
            second += wait;
            let named = |n: u16| format!("a{}", u32::from(n) * 7 + u32::from(many));
            let mut look = pump();
            match kind {
                0 => look.accounts = some.then(|| (0..many).map(|n| way(&named(n), Kind::Shell)).collect()),
                1 => look.attached = Some((0..many).map(|n| stick(u64::from(n) * u64::from(many))).collect()),
                2 => look.programs = programs(&(0..many).map(|n| program(&named(n), Place::Stick)).collect::<Vec<_>>()),
                _ => look.files = some.then(|| files(u32::from(many) * 3, second.unsigned_abs(), 1)),
            }
            look.release = some.then(|| Mark(u64::from(many % 3)));
            look.start = Some(Start { mark: Mark(u64::from(many)), at: some.then(|| Timestamp(START + second)) });
            prop_assert!(detectors.looked(&look, at(second)).len() <= 40);
            prop_assert!(detectors.bytes() <= limits::DETECTOR_BYTES);
        }
        let kept = detectors.keep();
        prop_assert!(kept.len() <= limits::DETECTOR_KEPT_BYTES);
        prop_assert!(Detectors::restore(&kept, Learning::default()).is_ok());
    }
}
