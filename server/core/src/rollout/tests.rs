//! Tests of planning, counting and the stop.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::receipt::Outcome;

use super::fixture::*;
use super::*;

fn asking(order: &str) -> DeviceFacts {
    let listens = Some(Timestamp(i64::MAX));
    let asks = Some((name(order), Action::Install));
    DeviceFacts { trusted: true, listens, asks, ..DeviceFacts::default() }
}

fn ended(outcome: Outcome) -> DeviceFacts {
    DeviceFacts { trusted: true, permitted: Some(NOW), receipt: Some(outcome), ..DeviceFacts::default() }
}

#[test]
fn only_asking_devices_of_the_begun_wave_get_the_go_up_to_the_limit_in_flight() {
    // Goal: the plan's first duty. Method: five askers in wave 1, two in wave 2, three places.
    let rollout = rollout(5, 2);
    let fleet: Fleet = (0..7).map(|n| (id(n), asking(if n < 5 { "w1" } else { "w2" }))).collect();
    let acts = plan_at(&rollout, &fleet, NOW);
    assert_eq!(acts, [0, 1, 2].map(|n| Act::Permit { wave: 0, device: id(n) }));
    assert_eq!(check_at(&rollout, &fleet, &acts, NOW), Ok(()));
}

#[test]
fn held_quarantined_and_other_orders_askers_get_nothing() {
    // Goal: a hold needs no key and takes effect at once. Method: one reason a device.
    let rollout = rollout(4, 0);
    let held = DeviceFacts { held: true, ..asking("w1") };
    let distrusted = DeviceFacts { trusted: false, ..asking("w1") };
    let back = DeviceFacts { asks: Some((name("w1"), Action::Back)), ..asking("w1") };
    let fleet: Fleet = [(id(0), held), (id(1), distrusted), (id(2), asking("other")), (id(3), back)].into();
    assert_eq!(plan_at(&rollout, &fleet, NOW), []);
}

#[test]
fn the_second_wave_begins_only_when_the_first_is_settled_and_watched() {
    // Goal: wave order. Method: walk the clock through settle, soak and begin.
    let mut rollout = rollout(2, 1);
    let fleet: Fleet = [(id(0), ended(Outcome::Confirmed)), (id(1), ended(Outcome::Confirmed))].into();
    assert_eq!(plan_at(&rollout, &fleet, NOW), [Act::Settle { wave: 0 }]);
    rollout.waves[0].settled = Some(NOW);
    assert_eq!(plan_at(&rollout, &fleet, NOW.plus_seconds(59)), []);
    assert_eq!(plan_at(&rollout, &fleet, NOW.plus_seconds(60)), [Act::Begin { wave: 1 }]);
    assert_eq!(check_at(&rollout, &fleet, &[Act::Begin { wave: 1 }], NOW), Err(Violation::WaveTooEarly));
    rollout.waves[1].started = Some(NOW.plus_seconds(60));
    rollout.waves[1].settled = Some(NOW.plus_seconds(90));
    assert_eq!(plan_at(&rollout, &fleet, NOW.plus_seconds(150)), [], "somebody is left");
    let fleet: Fleet = (0..3).map(|n| (id(n), ended(Outcome::Confirmed))).collect();
    assert_eq!(plan_at(&rollout, &fleet, NOW.plus_seconds(150)), [Act::Finish]);
}

#[test]
fn a_bad_release_stops_itself_and_says_by_how_much() {
    // Goal: automatic stop. Method: three of four roll back; then nothing more is planned once halted.
    let mut rollout = rollout(4, 4);
    let mut fleet: Fleet = (0..3).map(|n| (id(n), ended(Outcome::RolledBack))).collect();
    fleet.insert(id(3), asking("w1"));
    let reason =
        "3 of 3 finished devices failed, at least 43.8 %; the limit is 2 % (3 rolled back)".to_string();
    assert_eq!(plan_at(&rollout, &fleet, NOW), [Act::Halt { wave: 0, reason: reason.clone() }]);
    rollout.state = State::Halted { at: NOW, wave: 0, reason };
    assert_eq!(plan_at(&rollout, &fleet, NOW), []);
    let go = [Act::Permit { wave: 0, device: id(3) }];
    assert_eq!(check_at(&rollout, &fleet, &go, NOW), Err(Violation::NotRunning));
}

#[test]
fn a_silent_device_is_a_failure_and_an_unreached_one_is_not() {
    // Goal: the words of the design. Method: one device a stage.
    let rollout = rollout(5, 0);
    let silent = DeviceFacts { permitted: Some(NOW), ..asking("w1") };
    let waiting =
        DeviceFacts { blocked: Some("in use".to_string()), trusted: true, ..DeviceFacts::default() };
    let working = DeviceFacts { installing: true, trusted: true, ..DeviceFacts::default() };
    let fleet: Fleet =
        [(id(0), silent), (id(1), waiting), (id(2), working), (id(3), ended(Outcome::Refused))].into();
    let later = NOW.plus_seconds(601);
    let counted = tally(&rollout.waves[0], &fleet, &rollout.policy, later);
    let expected =
        Tally { unreached: 1, waiting: 1, installing: 1, refused: 1, silent: 1, ..Tally::default() };
    assert_eq!(counted, expected);
    assert_eq!((counted.failed(), counted.finished(), counted.total()), (2, 2, 5));
}

#[test]
fn the_interval_matches_published_figures() {
    // Goal: the Wilson interval itself. Method: values from Newcombe (1998), table I (81/263, 15/148, 0/20, 1/29).
    for (failed, finished, low, high) in
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    {
        let (lower, upper) = wilson(failed, finished);
        assert!(
            (lower - low).abs() < 1e-4 && (upper - high).abs() < 1e-4,
            "{failed}/{finished}: {lower} {upper}"
        );
    }
}

#[test]
fn the_stored_document_reads_for_ever() {
    // Goal: rollouts outlive versions. Method: golden JSON.
    let text = r#"{"v":1,"id":"r-1","title":"VP-3 4.2.2","repository":"halden","release":"vp-3/4.2.2","back":null,"waves":[{"name":"w1","order":"w1","devices":["00000000-0000-4000-8000-000000000000"],"started":1795251906,"settled":null},{"name":"w2","order":"w2","devices":[],"started":null,"settled":null}],"policy":{"failure_limit_permille":20,"in_flight":3,"silent_after_s":600,"soak_s":60},"state":{"kind":"running"},"created":1795251906,"by":"M. Okafor"}"#;
    assert_eq!(serde_json::to_string(&rollout(1, 0)).expect("writes"), text);
    assert_eq!(serde_json::from_str::<Rollout>(text).expect("reads"), rollout(1, 0));
    let mut grown = rollout(1, 0);
    grown.waves[0].joins = true;
    grown.policy.failure_count = Some(3);
    grown.policy.failure_rate_permille = Some(50);
    grown.policy.advance.waiting_after_s = Some(7200);
    grown.state = State::Returning;
    grown.priority = 700;
    grown.acceptance = Acceptance::Sample { per_wave: 2 };
    grown.work_order = Some("WO-1".to_string());
    let (by, reason) = ("m".to_string(), "it drifts".to_string());
    grown.way_back = Some(WayBack { at: NOW, by, reason, in_flight: 100 });
    let text = r#"{"v":1,"id":"r-1","title":"VP-3 4.2.2","repository":"halden","release":"vp-3/4.2.2","back":null,"waves":[{"name":"w1","order":"w1","devices":["00000000-0000-4000-8000-000000000000"],"started":1795251906,"settled":null,"joins":true},{"name":"w2","order":"w2","devices":[],"started":null,"settled":null}],"policy":{"failure_limit_permille":20,"in_flight":3,"silent_after_s":600,"soak_s":60,"failure_count":3,"failure_rate_permille":50,"advance":{"unreached_after_s":259200,"waiting_after_s":7200,"least_confirmed_permille":100,"least_confirmed":1}},"state":{"kind":"returning"},"created":1795251906,"by":"M. Okafor","priority":700,"acceptance":{"kind":"sample","per_wave":2},"work_order":"WO-1","way_back":{"at":1795251906,"by":"m","reason":"it drifts","in_flight":100}}"#;
    assert_eq!(serde_json::to_string(&grown).expect("writes"), text);
    assert_eq!(serde_json::from_str::<Rollout>(text).expect("reads"), grown);
}

#[test]
fn the_stored_progress_and_hold_read_for_ever() {
    // Goal: as above. Method: golden JSON of before and of now.
    let old = r#"{"v":1,"permitted":1795251906,"outcome":"confirmed","ended":1795251907,"reason":null}"#;
    let progress: Progress = serde_json::from_str(old).expect("reads");
    assert_eq!((progress.go(), progress.tries, &progress.back), (Some(NOW), 0, &None));
    assert_eq!(serde_json::to_string(&progress).expect("writes"), old);
    let back = BackEnd { permitted: Some(NOW), ..BackEnd::default() };
    let grown = Progress { silent: Some(NOW), tries: 1, back: Some(back), ..progress };
    let text = r#"{"v":1,"permitted":1795251906,"outcome":"confirmed","ended":1795251907,"reason":null,"silent":1795251906,"tries":1,"back":{"permitted":1795251906,"taken_back":null,"silent":null,"tries":0,"outcome":null,"ended":null,"reason":null}}"#;
    assert_eq!(serde_json::to_string(&grown).expect("writes"), text);
    assert_eq!(serde_json::from_str::<Progress>(text).expect("reads"), grown);
    let hold = r#"{"v":1,"id":"h","covers":{"kind":"site","name":"a"},"by":"m","reason":"a move","at":1}"#;
    let hold: Hold = serde_json::from_str(hold).expect("reads");
    assert!(hold.until.is_none() && hold.holds(NOW));
    let hold = Hold { until: Some(NOW), ..hold };
    assert!(!hold.holds(NOW) && hold.holds(NOW.plus_seconds(-1)), "its last second is over");
}

#[test]
fn one_failure_stops_a_small_wave_and_two_a_large_one() {
    // Goal: the figures in the head of tally.rs. Method: the last count at which so many failures stop, and one more.
    let stops = |failed, confirmed, open| {
        let counted =
            Tally { rolled_back: failed, confirmed: confirmed - failed, unreached: open, ..Tally::default() };
        broken(&counted, &Policy::default()).is_some()
    };
    assert!(stops(1, 8, 0) && !stops(1, 9, 0), "a small wave");
    assert!(!stops(1, 1, 25) && stops(1, 1, 24), "one early failure of a large wave is bad luck");
    for (failed, finished) in [(2, 27), (3, 51), (4, 78), (5, 107), (6, 138), (7, 170)] {
        assert!(stops(failed, finished, 100) && !stops(failed, finished + 1, 100), "{failed} of {finished}");
    }
    let at_the_limit = Policy { failure_limit_permille: 0, ..Policy::default() };
    assert_eq!(broken(&Tally { confirmed: 3, ..Tally::default() }, &at_the_limit), None, "nothing failed");
}

#[test]
fn a_count_and_a_plain_share_stop_too() {
    // Goal: the two other rules. Method: each at its limit and one beyond.
    let policy = Policy {
        failure_limit_permille: 1000,
        failure_count: Some(3),
        failure_rate_permille: Some(50),
        ..Policy::default()
    };
    let counted =
        |failed, finished| Tally { refused: failed, confirmed: finished - failed, ..Tally::default() };
    assert_eq!(broken(&counted(2, 3), &policy), None, "too few to speak of a share");
    assert_eq!(broken(&counted(3, 300), &policy), Some(Break::Count { failed: 3, limit: 3 }));
    assert_eq!(broken(&counted(1, 20), &policy), None, "at the limit");
    let rate = Break::Rate { failed: 2, finished: 20, limit_permille: 50 };
    assert_eq!(broken(&counted(2, 20), &policy), Some(rate));
    assert_eq!(rate.to_string(), "2 of 20 finished devices failed; the limit is 5 %");
}

#[test]
fn a_true_rate_of_one_percent_seldom_halts_a_wave_of_fifty() {
    // Goal: why two failures are asked for in large waves. Method: 20,000 waves by seeded chance, one failure and two.
    let mut seed = 7_u64;
    let mut below = |bound: u64| {
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_shr(33) % bound
    };
    let mut halted = [0_u32; 2];
    for _ in 0..20_000 {
        let ends: [bool; 50] = core::array::from_fn(|_| below(100) == 0);
        for (least, halted) in [1, 2].into_iter().zip(&mut halted) {
            let policy = Policy { least_failures: least, ..Policy::default() };
            let breaks = (1..=50_u32).any(|finished| {
                let failed: u32 = (1..=finished).zip(&ends).map(|(_, failed)| u32::from(*failed)).sum();
                let (confirmed, unreached) = (finished - failed, 50 - finished);
                let counted = Tally { rolled_back: failed, confirmed, unreached, ..Tally::default() };
                broken(&counted, &policy).is_some()
            });
            *halted += u32::from(breaks);
        }
    }
    let share = halted.map(|count| f64::from(count) / 20_000.0);
    assert!((0.08..0.11).contains(&share[0]), "with one: {share:?}");
    assert!((0.025..0.045).contains(&share[1]), "with two: {share:?}");
}

/// A pump with the go since `NOW` that was last heard `heard_s` later and then named these codes.
fn heard(heard_s: i64, codes: &[&str]) -> DeviceFacts {
    DeviceFacts {
        heard: Some(NOW.plus_seconds(heard_s)),
        permitted: Some(NOW),
        state: Some(UpdateState::Waiting),
        rules: codes.iter().map(|code| text(code)).collect(),
        ..asking("w1")
    }
}

#[test]
fn a_word_of_before_the_go_takes_no_go_back() {
    // Goal: a server that starts anew may know older words than those that the gos were given for. Method: at rest, and in
    // use, a second before the go and in the second of the go; a hold, which is no word.
    let rollout = rollout(1, 0);
    let taken = [Act::TakeBack { wave: 0, device: id(0), action: Action::Install }];
    let plan = |facts: DeviceFacts| plan_at(&rollout, &[(id(0), facts)].into(), NOW.plus_seconds(60));
    let rests = |heard_s| DeviceFacts { asks: None, state: None, ..heard(heard_s, &[]) };
    assert_eq!((plan(rests(-1)), plan(rests(0))), (vec![], taken.to_vec()));
    let busy = |heard_s| heard(heard_s, &["interlock"]);
    assert_eq!((plan(busy(-1)), plan(busy(0))), (vec![], taken.to_vec()));
    let held = |heard_s| DeviceFacts { held: true, held_since: Some(NOW), ..heard(heard_s, &[]) };
    assert_eq!((plan(held(0)), plan(held(1))), (vec![], taken.to_vec()), "heard under the hold");
}

#[test]
fn who_speaks_is_not_silent_and_who_is_in_use_takes_no_place() {
    // Goal: twenty pumps in therapy fill no places and count as no failures. Method: a go an hour ago, by what was said.
    let policy = Policy { silent_after_s: 600, ..Policy::default() };
    let at = |facts: &DeviceFacts, s: i64| facts.stage(&policy, NOW.plus_seconds(s));
    let silent = Stage::Failed(Failure::Silent);
    assert_eq!((at(&heard(0, &[]), 600), at(&heard(0, &[]), 601)), (Stage::Installing, silent));
    assert_eq!(at(&heard(3000, &[]), 3600), Stage::Installing, "it speaks");
    assert_eq!(at(&heard(3000, &["interlock"]), 90_000), Stage::Waiting, "it said that it is in use");
    let mut rollout = rollout(4, 0);
    rollout.policy.in_flight = 1;
    let fleet: Fleet = [(id(0), heard(300, &["interlock"])), (id(1), asking("w1"))].into();
    let acts = [
        Act::TakeBack { wave: 0, device: id(0), action: Action::Install },
        Act::Permit { wave: 0, device: id(1) },
    ];
    assert_eq!(plan_at(&rollout, &fleet, NOW.plus_seconds(4000)), acts);
    assert_eq!(check_at(&rollout, &fleet, &acts, NOW), Ok(()));
    assert_eq!(check_at(&rollout, &fleet, &acts[1..], NOW), Err(Violation::TooManyInFlight));
    let busy = DeviceFacts { permitted: None, ..heard(300, &["no-permit", "interlock"]) };
    assert_eq!(plan_at(&rollout, &[(id(0), busy.clone())].into(), NOW), []);
    let go = [Act::Permit { wave: 0, device: id(0) }];
    assert_eq!(check_at(&rollout, &[(id(0), busy)].into(), &go, NOW), Err(Violation::NotEntitled));
}

#[test]
fn a_wave_settles_without_the_unreached_but_never_of_them_alone() {
    // Goal: forty per cent in cupboards do not stop a rollout. Method: six of ten confirm; then nobody; then one waits.
    let rollout = rollout(10, 1);
    let mut fleet: Fleet = (0..6).map(|n| (id(n), ended(Outcome::Confirmed))).collect();
    let patience = i64::from(rollout.policy.advance.unreached_after_s);
    assert_eq!(plan_at(&rollout, &fleet, NOW.plus_seconds(patience - 1)), []);
    let late = NOW.plus_seconds(patience);
    assert_eq!(plan_at(&rollout, &fleet, late), [Act::Settle { wave: 0 }]);
    let settle = [Act::Settle { wave: 0 }];
    assert_eq!(check_at(&rollout, &fleet, &settle, NOW), Err(Violation::SettledTooEarly));
    assert_eq!(plan_at(&rollout, &Fleet::new(), late), [], "nobody was reached");
    assert_eq!(check_at(&rollout, &Fleet::new(), &settle, late), Err(Violation::SettledTooEarly));
    let busy = DeviceFacts { permitted: None, ..heard(patience - 60, &["interlock"]) };
    fleet.insert(id(7), busy.clone());
    assert_eq!(plan_at(&rollout, &fleet, late), [], "one that speaks is waited for");
    fleet.insert(id(7), DeviceFacts { heard: Some(NOW), ..busy });
    assert_eq!(plan_at(&rollout, &fleet, late), settle, "one that went into a cupboard is not");
}

#[test]
fn a_final_refusal_in_a_check_in_is_a_failure_and_running_it_already_is_neither() {
    // Goal: no wave waits for devices that said no. Method: the stage of each, and the count without the second.
    let no = DeviceFacts { refused: Some(text("min-from")), ..DeviceFacts::default() };
    assert_eq!(no.stage(&Policy::default(), NOW), Stage::Failed(Failure::Refused));
    let has = DeviceFacts { already: true, ..DeviceFacts::default() };
    assert_eq!(has.stage(&Policy::default(), NOW), Stage::Already);
    let rollout = rollout(3, 0);
    let fleet: Fleet = [(id(0), no), (id(1), has), (id(2), ended(Outcome::Confirmed))].into();
    let counted = tally(&rollout.waves[0], &fleet, &rollout.policy, NOW);
    assert_eq!((counted.finished(), counted.ended(), counted.failed()), (2, 3, 1));
}

#[test]
fn what_a_person_does_not_accept_is_a_failure_and_what_nobody_looked_at_does_not_settle() {
    // Goal: the acceptance check. Method: one of two is drawn; unseen, good, bad.
    let mut rollout = rollout(2, 0);
    rollout.acceptance = Acceptance::Sample { per_wave: 1 };
    let mut fleet: Fleet = (0..2).map(|n| (id(n), ended(Outcome::Confirmed))).collect();
    let drawn = unaccepted(&rollout, &rollout.waves[0], &fleet);
    assert_eq!((drawn.len(), plan_at(&rollout, &fleet, NOW)), (1, vec![]));
    let mut seen = |good| {
        fleet.get_mut(&drawn[0]).expect("a member").accepted = Some(good);
        plan_at(&rollout, &fleet, NOW)
    };
    assert_eq!(seen(true), [Act::Settle { wave: 0 }]);
    assert!(matches!(seen(false).as_slice(), [Act::Halt { .. }]));
}

/// Facts as they can be stored and said: everything that the plan or its check reads takes part.
fn any_facts() -> impl Strategy<Value = DeviceFacts> {
    let outcome = || {
        let ends = [Outcome::Confirmed, Outcome::RolledBack, Outcome::Refused];
        proptest::option::weighted(0.4, proptest::sample::select(ends.to_vec()))
    };
    let ago = || proptest::option::of((0_i64..300_000).prop_map(|s| NOW.plus_seconds(-s)));
    let told = prop_oneof![
        Just(GoTold::Unwritten),
        Just(GoTold::NotYet),
        (0_i64..20_000).prop_map(|s| GoTold::At(NOW.plus_seconds(-s)))
    ];
    let state = proptest::option::of(proptest::sample::select(vec![
        UpdateState::Idle,
        UpdateState::Fetching,
        UpdateState::Waiting,
        UpdateState::Armed,
        UpdateState::Trial,
        UpdateState::Refused,
    ]));
    let said = (any::<[bool; 9]>(), proptest::sample::select(vec!["", "w1", "w2"]), state);
    let stored = (ago(), told, 0_u32..4, outcome(), outcome(), ago(), ago());
    (said, stored, ago()).prop_map(|((bits, asks, state), stored, heard)| {
        let [trusted, held, installing, blocked, refuses, elsewhere, back, free, listens] = bits;
        let (permitted, told, tries, receipt, returned, silent, accepted) = stored;
        let action = if back { Action::Back } else { Action::Install };
        let (silent, permitted) = if permitted.is_some() { (None, permitted) } else { (silent, None) };
        let way =
            BackFacts { permitted, told, silent, tries, outcome: returned, unclaimed: None, left: false };
        let confirmed = receipt == Some(Outcome::Confirmed);
        DeviceFacts {
            trusted,
            held,
            held_since: held.then_some(NOW.plus_seconds(-100)),
            heard,
            listens: listens.then_some(NOW),
            asks: (!asks.is_empty()).then(|| (name(asks), action)),
            elsewhere: elsewhere && state.is_none(),
            state,
            rules: if free { vec![text("no-permit")] } else { vec![text("interlock")] },
            blocked: blocked.then(|| "in use".to_string()),
            installing,
            refused: (refuses && elsewhere).then(|| text("min-from")),
            already: permitted.is_none() && silent.is_none() && installing && refuses,
            permitted,
            told,
            silent,
            tries,
            receipt,
            accepted: accepted.map(|at| at.0 % 2 == 0),
            back: if confirmed && back { way } else { BackFacts::default() },
            ..DeviceFacts::default()
        }
    })
}

proptest! {
    #[test]
    fn every_plan_passes_its_own_check_and_counts_add_up(
        facts in proptest::collection::vec(any_facts(), 10), begun in any::<bool>(), settled in any::<bool>(),
        returns in any::<bool>(), patient in any::<bool>(), limit in 1_u32..=999
    ) {
        let mut rollout = rollout(6, 4);
        rollout.policy.failure_limit_permille = limit;
        rollout.policy.advance.waiting_after_s = patient.then_some(3600);
        rollout.waves[0].started = Some(NOW.plus_seconds(-280_000));
        rollout.waves[0].settled = settled.then_some(NOW.plus_seconds(-100));
        rollout.waves[1].started = begun.then_some(NOW);
        if returns {
            let (by, reason) = ("m".to_string(), "it drifts".to_string());
            rollout.way_back = Some(WayBack { at: NOW, by, reason, in_flight: 2 });
            rollout.state = State::Returning;
        }
        // Of a wave that has not begun nothing is stored.
        let some = facts.into_iter().take(if begun { 10 } else { 6 });
        let fleet: Fleet = (0..10).map(id).zip(some).collect();
        let acts = plan_at(&rollout, &fleet, NOW);
        prop_assert_eq!(check_at(&rollout, &fleet, &acts, NOW), Ok(()), "{}", format!("{acts:?}"));
        for wave in &rollout.waves {
            let counted = tally(wave, &fleet, &rollout.policy, NOW);
            prop_assert_eq!(counted.total() as usize, wave.devices.len());
        }
    }

    #[test]
    fn the_interval_holds_its_share_and_narrows(finished in 1_u32..5000, failed in 0_u32..5000) {
        let failed = failed.min(finished);
        let (low, high) = wilson(failed, finished);
        let share = f64::from(failed) / f64::from(finished);
        prop_assert!(0.0 <= low && low <= share + 1e-12 && share <= high + 1e-12 && high <= 1.0);
        let (wider_low, wider_high) = wilson(failed * 2, finished * 2);
        prop_assert!(wider_high - wider_low <= high - low + 1e-12);
    }
}

#[test]
fn the_checker_lets_no_go_out_of_its_wave_its_order_or_beside_a_halt() {
    // Goal: the second opinion stands alone. Method: forged plans over askers, one thing wrong at a time.
    let rollout = rollout(2, 2);
    let fleet: Fleet = (0..4).map(|n| (id(n), asking(if n < 2 { "w1" } else { "w2" }))).collect();
    let go = |wave, n| Act::Permit { wave, device: id(n) };
    let refused = |acts: &[Act]| check_at(&rollout, &fleet, acts, NOW);
    assert_eq!(refused(&[go(0, 0), go(0, 1)]), Ok(()));
    assert_eq!(refused(&[go(0, 2)]), Err(Violation::OutsideItsWave), "of another wave");
    assert_eq!(refused(&[go(1, 2)]), Err(Violation::OutsideItsWave), "its wave has not begun");
    assert_eq!(refused(&[go(0, 0), go(0, 0)]), Err(Violation::NotEntitled), "twice");
    let halt = Act::Halt { wave: 0, reason: "failures".to_string() };
    assert_eq!(refused(&[go(0, 0), halt]), Err(Violation::GoWhileHalting));
    let listed = orders();
    let checked =
        |room, now| check(&rollout, &Sight { fleet: &fleet, orders: &listed, room, now }, &[go(0, 0)]);
    assert_eq!(checked(1, NOW), Ok(()));
    assert_eq!(checked(0, NOW), Err(Violation::TooManyInFlight), "other rollouts have all places");
    assert_eq!(checked(1, order("w1").expires), Err(Violation::NotEntitled), "its order has ended");
}

#[test]
fn a_rollout_that_takes_in_stays_open_until_its_order_ends() {
    // Goal: devices that enrol later are not forgotten because the first were quick. Method: one device, confirmed and
    // watched; the day before the order's end, and that day; the same without joining.
    for joins in [true, false] {
        let mut ward = Ward::new(rollout(1, 0));
        ward.rollout().waves.truncate(1);
        ward.rollout().waves[0].joins = joins;
        ward.waits(0, "w1", &["no-permit"], NOW);
        ward.step(NOW);
        ward.count(&receipt(&ward.pumps[&0].clone(), "w1", Outcome::Confirmed), NOW).expect("counts");
        assert_eq!(ward.step(NOW), [Act::Settle { wave: 0 }]);
        let end = NOW.plus_seconds(14 * 86_400);
        let open: &[Act] = if joins { &[] } else { &[Act::Finish] };
        let rollout = ward.rollout().clone();
        let before = end.plus_seconds(-1);
        assert_eq!(plan_at(&rollout, &ward.fleet(before), before), open);
        let finished = check_at(&rollout, &ward.fleet(before), &[Act::Finish], before);
        assert_eq!(finished.is_err(), joins, "the checker says the same");
        assert_eq!(plan_at(&rollout, &ward.fleet(end), end), [Act::Finish]);
    }
}

#[test]
fn a_policy_that_could_not_stop_or_begin_anything_is_named() {
    // Goal: no typing mistake switches a stop off. Method: each number just inside its bounds, and just outside.
    let base = Policy::default();
    assert_eq!(base.unfit(), None);
    let advance = |least_confirmed_permille| Advance { least_confirmed_permille, ..Advance::default() };
    for fits in [
        Policy { failure_limit_permille: 999, in_flight: 200, silent_after_s: 4500, ..base },
        Policy { failure_limit_permille: 1, in_flight: 1, failure_count: Some(1), ..base },
        Policy { failure_rate_permille: Some(999), advance: advance(1000), ..base },
    ] {
        assert_eq!(fits.unfit(), None, "{fits:?}");
    }
    for (unfit, word) in [
        (Policy { failure_limit_permille: 1000, ..base }, "failure_limit_permille"),
        (Policy { failure_limit_permille: 0, ..base }, "failure_limit_permille"),
        (Policy { failure_rate_permille: Some(1000), ..base }, "failure_rate_permille"),
        (Policy { failure_count: Some(0), ..base }, "failure_count"),
        (Policy { in_flight: 0, ..base }, "in_flight"),
        (Policy { in_flight: 201, ..base }, "in_flight"),
        (Policy { silent_after_s: 4499, ..base }, "silent_after_s"),
        (Policy { advance: advance(1001), ..base }, "least_confirmed_permille"),
    ] {
        assert!(unfit.unfit().is_some_and(|words| words.contains(word)), "{unfit:?}");
    }
}
