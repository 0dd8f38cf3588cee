//! Tests of planning, counting and the stop.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_795_251_906);

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

fn device(number: u8) -> DeviceId {
    DeviceId::from_random([number; 16])
}

/// Two waves of `first` and `second` devices; wave 1 has begun.
fn rollout(first: u8, second: u8) -> Rollout {
    let wave = |title: &str, range: core::ops::Range<u8>, started| {
        let mut devices: Vec<DeviceId> = range.map(device).collect();
        devices.sort();
        Wave { name: title.to_string(), order: name(title), devices, started, settled: None }
    };
    Rollout {
        v: 1,
        id: name("r-1"),
        title: "VP-3 4.2.2".to_string(),
        repository: name("halden"),
        release: "vp-3/4.2.2".parse().expect("a path"),
        back: None,
        waves: vec![wave("w1", 0..first, Some(NOW)), wave("w2", first..first + second, None)],
        policy: Policy { failure_limit_permille: 20, in_flight: 3, silent_after_s: 600, soak_s: 60 },
        state: State::Running,
        created: NOW,
        by: "M. Okafor".to_string(),
    }
}

fn asking(order: &str) -> DeviceFacts {
    DeviceFacts { trusted: true, asks: Some((name(order), Action::Install)), ..DeviceFacts::default() }
}

fn ended(outcome: Outcome) -> DeviceFacts {
    DeviceFacts { trusted: true, permitted: Some(NOW), receipt: Some(outcome), ..DeviceFacts::default() }
}

#[test]
fn only_asking_devices_of_the_begun_wave_get_the_go_up_to_the_limit_in_flight() {
    // Goal: the plan's first duty. Method: five askers in wave 1, two in wave 2, three places.
    let rollout = rollout(5, 2);
    let fleet: Fleet = (0..7).map(|n| (device(n), asking(if n < 5 { "w1" } else { "w2" }))).collect();
    let acts = plan(&rollout, &fleet, NOW);
    assert_eq!(acts, [0, 1, 2].map(|n| Act::Permit { wave: 0, device: device(n) }));
    assert_eq!(check(&rollout, &fleet, &acts, NOW), Ok(()));
}

#[test]
fn held_quarantined_and_other_orders_askers_get_nothing() {
    // Goal: a hold needs no key and takes effect at once. Method: one reason a device.
    let rollout = rollout(4, 0);
    let held = DeviceFacts { held: true, ..asking("w1") };
    let distrusted = DeviceFacts { trusted: false, ..asking("w1") };
    let back = DeviceFacts { asks: Some((name("w1"), Action::Back)), ..asking("w1") };
    let fleet: Fleet =
        [(device(0), held), (device(1), distrusted), (device(2), asking("other")), (device(3), back)].into();
    assert_eq!(plan(&rollout, &fleet, NOW), []);
}

#[test]
fn the_second_wave_begins_only_when_the_first_is_settled_and_watched() {
    // Goal: wave order. Method: walk the clock through settle, soak and begin.
    let mut rollout = rollout(2, 1);
    let fleet: Fleet =
        [(device(0), ended(Outcome::Confirmed)), (device(1), ended(Outcome::Confirmed))].into();
    assert_eq!(plan(&rollout, &fleet, NOW), [Act::Settle { wave: 0 }]);
    rollout.waves[0].settled = Some(NOW);
    assert_eq!(plan(&rollout, &fleet, NOW.plus_seconds(59)), []);
    assert_eq!(plan(&rollout, &fleet, NOW.plus_seconds(60)), [Act::Begin { wave: 1 }]);
    assert_eq!(check(&rollout, &fleet, &[Act::Begin { wave: 1 }], NOW), Err(Violation::WaveTooEarly));
    rollout.waves[1].started = Some(NOW.plus_seconds(60));
    rollout.waves[1].settled = Some(NOW.plus_seconds(90));
    assert_eq!(plan(&rollout, &fleet, NOW.plus_seconds(150)), [Act::Finish]);
}

#[test]
fn a_bad_release_stops_itself_and_says_by_how_much() {
    // Goal: automatic stop. Method: three of four roll back; then nothing more is planned once halted.
    let mut rollout = rollout(4, 4);
    let mut fleet: Fleet = (0..3).map(|n| (device(n), ended(Outcome::RolledBack))).collect();
    fleet.insert(device(3), asking("w1"));
    let reason = "3 of 3 finished devices failed, at least 43.8 %; the limit is 2 %".to_string();
    assert_eq!(plan(&rollout, &fleet, NOW), [Act::Halt { wave: 0, reason: reason.clone() }]);
    rollout.state = State::Halted { at: NOW, wave: 0, reason };
    assert_eq!(plan(&rollout, &fleet, NOW), []);
    let go = [Act::Permit { wave: 0, device: device(3) }];
    assert_eq!(check(&rollout, &fleet, &go, NOW), Err(Violation::NotRunning));
}

#[test]
fn a_silent_device_is_a_failure_and_an_unreached_one_is_not() {
    // Goal: the words of the design. Method: one device a stage.
    let rollout = rollout(5, 0);
    let silent = DeviceFacts { permitted: Some(NOW), ..asking("w1") };
    let waiting =
        DeviceFacts { blocked: Some("in use".to_string()), trusted: true, ..DeviceFacts::default() };
    let working = DeviceFacts { installing: true, trusted: true, ..DeviceFacts::default() };
    let fleet: Fleet = [
        (device(0), silent),
        (device(1), waiting),
        (device(2), working),
        (device(3), ended(Outcome::Refused)),
    ]
    .into();
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
}

fn any_facts() -> impl Strategy<Value = DeviceFacts> {
    let outcome = prop_oneof![
        Just(None),
        Just(Some(Outcome::Confirmed)),
        Just(Some(Outcome::RolledBack)),
        Just(Some(Outcome::Refused))
    ];
    let asks = prop_oneof![Just(None), Just(Some("w1")), Just(Some("w2"))];
    (any::<[bool; 4]>(), asks, outcome, proptest::option::of(0_i64..1200)).prop_map(
        |(bits, asks, receipt, age)| {
            let [trusted, held, installing, blocked] = bits;
            DeviceFacts {
                trusted,
                asks: asks.map(|order| (name(order), Action::Install)),
                permitted: age.map(|age| NOW.plus_seconds(-age)),
                receipt,
                blocked: blocked.then(|| "in use".to_string()),
                installing,
                held,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_plan_passes_its_own_check_and_counts_add_up(
        facts in proptest::collection::vec(any_facts(), 10), begun in any::<bool>(), settled in any::<bool>()
    ) {
        let mut rollout = rollout(6, 4);
        rollout.waves[0].settled = settled.then_some(NOW.plus_seconds(-100));
        rollout.waves[1].started = begun.then_some(NOW);
        let fleet: Fleet = (0..10).map(device).zip(facts).collect();
        let acts = plan(&rollout, &fleet, NOW);
        prop_assert_eq!(check(&rollout, &fleet, &acts, NOW), Ok(()), "{}", format!("{acts:?}"));
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
