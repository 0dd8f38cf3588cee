//! Rollouts over the wards: the real server without its listeners, devices with real identities, decisions and receipts.
//!
//! What is shown here is what no single step can show: how far a bad release gets, that a killed server does nothing twice
//! and forgets nothing, that a return needs no key, what a thief gets out of a server, and what weeks and wrong clocks
//! do. Read next: `cordon_sim::wards`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use cordon_proto::checkin::Action;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server::rollouts::Deed;
use cordon_server::store::{Key, Kind, Store};
use cordon_server_core::rollout::{Policy, Rollout, Size, State, Wave};
use cordon_sim::bench::rollout::{Scene, play};
use cordon_sim::demo::thief::forge_at;
use cordon_sim::postgres::Shared;
use cordon_sim::wards::dying::{Dying, Killer};
use cordon_sim::wards::owner::{factory, ordered};
use cordon_sim::wards::seat::{Place, START, Seat};
use cordon_sim::wards::unit::Nature;
use cordon_sim::wards::{Standing, Wards, all};

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
/// One cluster for all tests of this program.
static CLUSTER: LazyLock<Option<Shared>> =
    LazyLock::new(|| Shared::start(Path::new(SIM)).expect("a cluster of the tests' own"));
const DAY_S: i64 = 86_400;
const YEAR_S: i64 = 365 * DAY_S;

fn sound(count: usize) -> impl Iterator<Item = Nature> {
    std::iter::repeat_n(Nature::Sound, count)
}

fn has_ended(_: &Wards, rollout: &Rollout) -> bool {
    rollout.state != State::Running
}

/// A fleet at a server that nobody kills, over documents in memory.
async fn fleet(natures: impl IntoIterator<Item = Nature>) -> (Wards, Seat) {
    let place = Place::lay("memory").await.expect("laid");
    let seat = place.open().await.expect("starts");
    let wards = Wards::open(place, &seat, natures).await.expect("enrolled");
    (wards, seat)
}

#[tokio::test]
async fn a_bad_release_stops_at_the_first_places_and_the_unreached_stop_nothing() {
    // Goal: whom a bad release reaches. Method: three small fleets: bad on all, mixed, silent only; then two in five away
    // and nothing else, which has to go on. The large ones are `cordon-sim bench rollout`.
    let bare = Scene { devices: 300, first: 10, shares: [0.0; 4], limit: 20, places: 20 };
    let bad = Scene { shares: [1.0, 0.0, 0.0, 0.0], ..bare };
    let came = play(bad, "memory").await.expect("plays");
    came.check(bad).expect("held");
    assert_eq!((came.touched, came.beyond, came.running), (20, 0, 0), "{came:?}");
    let mixed = Scene { devices: 400, shares: [0.0, 0.05, 0.03, 0.40], ..bare };
    let came = play(mixed, "memory").await.expect("plays");
    came.check(mixed).expect("held");
    let (_, reason) = came.halted.as_ref().expect("halted");
    assert!(reason.contains("rolled back") && reason.contains("the limit is 2 %"), "{reason}");
    let silent = Scene { shares: [0.0, 0.0, 0.20, 0.0], ..bare };
    let came = play(silent, "memory").await.expect("plays");
    came.check(silent).expect("held");
    assert!(came.halted.is_some_and(|(_, reason)| reason.contains("silent")));
    let away = Scene { shares: [0.0, 0.0, 0.0, 0.40], ..bare };
    let (mut wards, mut seat) = fleet(away.natures()).await;
    wards.period_s = 4 * 3600;
    let sizes = [Size::Percent(10), Size::Rest];
    wards.order(&seat, &sizes, Policy::default()).await.expect("begins");
    let second = |_: &Wards, rollout: &Rollout| rollout.waves[1].started.is_some() || !rollout.runs();
    wards.run(&mut [&mut seat], (150, 3600), second).await.expect("goes on");
    let rollout = seat.rollout().expect("there");
    assert_eq!(rollout.state, State::Running, "nobody has failed");
    assert!(wards.now.seconds_since(START) >= 3 * DAY_S, "it waited for them for three days");
}

/// A rollout of 200 devices in four waves, some of which fail or have a patient, on a server that is killed as told.
async fn ward_of_200(place: Place, store: Arc<dyn Store>, killer: &Arc<Killer>) -> (Wards, Seat) {
    let natures = (0..200).map(|number| match number {
        7 | 57 | 107 | 157 => Nature::Failing,
        3 | 43 | 83 | 123 | 163 => Nature::InUse(START.plus_seconds(2400)),
        _ => Nature::Sound,
    });
    let seat = place.seat(Arc::new(Dying::new(store, killer.clone()))).await.expect("starts");
    let mut wards = Wards::open(place, &seat, natures).await.expect("enrolled");
    let sizes = [Size::Count(10), Size::Count(40), Size::Count(50), Size::Rest];
    let policy = Policy { failure_limit_permille: 100, in_flight: 40, soak_s: 60, ..Policy::default() };
    wards.order(&seat, &sizes, policy).await.expect("begins");
    (wards, seat)
}

/// How often each device was given the go and has started the new image.
fn counted(wards: &Wards, killer: &Killer) -> BTreeMap<String, (usize, usize)> {
    let gos = killer.gos();
    let of = |unit: &cordon_sim::wards::unit::Unit| {
        (unit.hardware.serial.to_string(), (gos.get(&unit.id).map_or(0, Vec::len), unit.started.len()))
    };
    wards.units.iter().map(of).collect()
}

/// The run that nobody disturbs.
async fn straight() -> (Standing, BTreeMap<String, (usize, usize)>) {
    let killer = Arc::new(Killer::default());
    let place = Place::lay("memory").await.expect("laid");
    let store = place.store().await.expect("opened");
    let (mut wards, mut seat) = ward_of_200(place, store.clone(), &killer).await;
    wards.run(&mut [&mut seat], (1000, 20), has_ended).await.expect("ends");
    (wards.standing(&*store).await.expect("read"), counted(&wards, &killer))
}

async fn killed_at_every_commit(setting: &str) {
    let (expected, once) = straight().await;
    assert_eq!((expected.state.as_str(), expected.waves), ("finished", (4, 4)), "{expected:?}");
    assert!(expected.acts.values().all(|times| *times == 1), "{:?}", expected.acts);
    assert!(once.values().all(|counts| *counts == (1, 1)), "{once:?}");

    let killer = Arc::new(Killer::default());
    let place = Place::lay(setting).await.expect("laid");
    let store = place.store().await.expect("opened");
    let (mut wards, mut seat) = ward_of_200(place, store, &killer).await;
    let (set_up, _, _) = killer.account();
    killer.arm();
    for turn in 0.. {
        assert!(turn < 3000, "it does not end: {:?}", seat.rollout());
        wards.pass(20);
        wards.turn(&mut [&mut seat]).await.expect("nothing but a kill");
        while seat.is_dead() {
            drop(seat);
            let store = wards.place.store().await.expect("opened again");
            let store = Arc::new(Dying::new(store, killer.clone()));
            seat = wards.place.seat(store).await.expect("starts again");
            wards.turn(&mut [&mut seat]).await.expect("nothing but a kill");
        }
        if seat.rollout().is_some_and(|rollout| rollout.state != State::Running) {
            break;
        }
    }
    drop(seat);
    let store = wards.place.store().await.expect("opened");
    let (commits, before, after) = killer.account();
    println!(
        "{setting}: {} commits, died before {before} of them and after {after} others",
        commits - set_up
    );
    assert!(before + after > 300, "every commit but those that were spared");
    assert_eq!(wards.standing(&*store).await.expect("read"), expected);
    assert_eq!(counted(&wards, &killer), once, "goes and starts, each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_every_commit_of_a_rollout_ends_the_same() {
    // Goal: exactly once over any death. Method: 200 devices; at each commit in turn the server dies, before it was made
    // or after, and another one begins from the disk; what stands in the end is held against a run without a death.
    killed_at_every_commit("redb:rollout.redb").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_postgresql_killed_at_every_commit_of_a_rollout_ends_the_same() {
    // Goal: the same over the store of several servers. Method: the same, in a cluster of the tests' own.
    let Some(cluster) = CLUSTER.as_ref() else { return };
    killed_at_every_commit(&format!("postgres:{}", cluster.url_of("killed"))).await;
}

/// The documents of the director that the owner signs, and how many of those that the server signs there are.
async fn signed(seat: &Seat) -> (BTreeMap<String, Vec<u8>>, usize) {
    let files = all(&*seat.operator.app.store, Kind::RepositoryFile).await.expect("read");
    let named = files.into_iter().filter_map(|(key, body)| match key {
        Key::RepositoryFile { file, .. } => Some((file.as_str().to_owned(), body)),
        _ => None,
    });
    let (online, offline): (BTreeMap<_, _>, BTreeMap<_, _>) =
        named.partition(|(file, _)| file.ends_with("snapshot.json") || file.ends_with("timestamp.json"));
    (offline, online.len())
}

#[tokio::test]
async fn a_bad_release_found_on_day_three_returns_a_thousand_devices_without_a_new_signature() {
    // Goal: the way back was signed with the order. Method: a thousand devices confirm; on day three a person sends them
    // back; every device runs what it had, and of what the owner signed not a byte is other than before.
    let (mut wards, mut seat) = fleet(sound(1000)).await;
    wards.period_s = 6 * 3600;
    let policy = Policy { in_flight: 200, soak_s: 3600, ..Policy::default() };
    wards.order(&seat, &[Size::Percent(10), Size::Rest], policy).await.expect("begins");
    wards.run(&mut [&mut seat], (200, 310), has_ended).await.expect("ends");
    assert!(wards.units.iter().all(|unit| unit.runs(&ordered())));
    let (before, _) = signed(&seat).await;
    let third_day = START.plus_seconds(3 * DAY_S);
    wards.run(&mut [&mut seat], (30, 4 * 3600), |wards, _| wards.now >= third_day).await.expect("three days");
    wards.act(&seat, Deed::Back).await.expect("begins the return");
    wards
        .run(&mut [&mut seat], (200, 310), |_, rollout| rollout.state != State::Returning)
        .await
        .expect("ends");
    let standing = wards.standing(&*seat.operator.app.store).await.expect("read");
    assert_eq!(standing.state, "returned", "{:?}", standing.acts);
    let back = (Some(Outcome::Confirmed), Some(Outcome::WentBack));
    assert!(standing.ends.values().all(|end| *end == back), "{:?}", standing.ends);
    let both = [(Action::Install, ordered().image.sha256), (Action::Back, factory().image.sha256)];
    assert!(wards.units.iter().all(|unit| unit.runs(&factory()) && unit.started == both));
    let (after, online) = signed(&seat).await;
    assert_eq!(after, before, "the owner signed nothing");
    assert!(after.contains_key("1.orders.json") && !after.contains_key("2.orders.json"));
    assert!(online > 2, "the server kept its own signatures fresh meanwhile");
}

#[tokio::test]
async fn a_captured_server_installs_nothing_that_was_not_ordered() {
    // Goal: all that a thief of the whole server gets. Method: a rollout in its first wave; the thief forges an order for
    // every device with the server's keys and gives all the go; a day passes. Then the thief plays only what was signed,
    // early and to everybody at once.
    let place = Place::lay("redb:store.redb").await.expect("laid");
    let mut seat = place.open().await.expect("starts");
    let mut wards = Wards::open(place, &seat, sound(60)).await.expect("enrolled");
    let policy = Policy { soak_s: 30 * 86_400, ..Policy::default() };
    wards.order(&seat, &[Size::Count(10), Size::Rest], policy).await.expect("begins");
    let first_done =
        |wards: &Wards, _: &Rollout| wards.units.iter().filter(|unit| unit.runs(&ordered())).count() == 10;
    wards.run(&mut [&mut seat], (200, 30), first_done).await.expect("the first wave");
    drop(seat);
    let forgery = forge_at(wards.place.path(), wards.server_time()).await.expect("forged");
    assert_eq!(forgery.devices.len(), 60);
    let mut seat = wards.place.open().await.expect("starts with the thief's store");
    let tomorrow = wards.now.plus_seconds(DAY_S);
    wards.run(&mut [&mut seat], (200, 900), |wards, _| wards.now >= tomorrow).await.expect("a day");
    assert!(wards.chain.refused.is_some(), "every device has seen the forgery and believes nothing of it");
    let ordered_only = |wards: &Wards| {
        let images = wards.units.iter().flat_map(|unit| &unit.started);
        images.clone().all(|(action, image)| *action == Action::Install && *image == ordered().image.sha256)
    };
    assert!(ordered_only(&wards) && wards.touched() == 10, "nothing has moved");
    assert!(wards.units.iter().all(|unit| unit.runs != forgery.sha256));
}

#[tokio::test]
async fn a_thief_of_the_go_can_only_be_early_with_what_was_ordered() {
    // Goal: the go widens nothing. Method: the thief begins the last wave and gives every device the go, in the store; the
    // devices install the ordered image, once each, and nothing else ever.
    let (mut wards, mut seat) = fleet(sound(30)).await;
    let policy = Policy { soak_s: 30 * 86_400, ..Policy::default() };
    wards.order(&seat, &[Size::Count(5), Size::Rest], policy).await.expect("begins");
    wards
        .run(&mut [&mut seat], (5, 30), |_, rollout| rollout.waves[0].started.is_some())
        .await
        .expect("begun");
    let mut rollout = seat.rollout().expect("there");
    let now = wards.server_time();
    let early = |wave: &mut Wave| wave.started = Some(now);
    rollout.waves.iter_mut().for_each(early);
    rollout.policy.in_flight = 200;
    let store = &seat.operator.app.store;
    let key = Key::Rollout(rollout.id.clone());
    let thief = cordon_server_core::audit::Actor::Server("thief".parse().expect("a name"));
    let draft = cordon_server_core::change::Commit::draft(now, thief)
        .put(key.clone(), serde_json::to_vec(&rollout).expect("JSON"));
    store.commit(draft.finish().expect("small")).await.expect("stolen");
    let row = store.get(key.clone()).await.expect("read").expect("there");
    seat.operator.rollouts.follow(&cordon_server::store::Change::Put(key, row.body), row.revision);
    let tomorrow = wards.now.plus_seconds(DAY_S);
    wards.run(&mut [&mut seat], (200, 900), |wards, _| wards.now >= tomorrow).await.expect("a day");
    let once = [(Action::Install, ordered().image.sha256)];
    assert!(wards.units.iter().all(|unit| unit.started == once && unit.runs(&ordered())));
}

#[tokio::test]
async fn two_in_five_offline_for_weeks_hold_nobody_up_and_are_served_when_they_come() {
    // Goal: cupboards. Method: 120 devices, 48 of them away for 25 days; all waves pass without them and without a
    // failure, and the same rollout brings them up to date when they come back.
    let back = START.plus_seconds(25 * DAY_S);
    let natures = (0..120).map(|number| if number % 5 < 2 { Nature::Away(back) } else { Nature::Sound });
    let (mut wards, mut seat) = fleet(natures).await;
    wards.period_s = 6 * 3600;
    let sizes = [Size::Percent(10), Size::Percent(40), Size::Rest];
    wards.order(&seat, &sizes, Policy::default()).await.expect("begins");
    let settled = |_: &Wards, rollout: &Rollout| rollout.waves.iter().all(|wave| wave.settled.is_some());
    wards.run(&mut [&mut seat], (600, 3600), settled).await.expect("all waves pass");
    assert!(wards.now < back);
    assert_eq!(wards.units.iter().filter(|unit| unit.runs(&ordered())).count(), 72);
    assert_eq!(seat.rollout().map(|rollout| rollout.state), Some(State::Running), "it waits for them");
    wards.run(&mut [&mut seat], (600, 3600), has_ended).await.expect("ends");
    let standing = wards.standing(&*seat.operator.app.store).await.expect("read");
    assert_eq!(standing.state, "finished");
    assert!(standing.ends.values().all(|end| *end == (Some(Outcome::Confirmed), None)));
    assert!(wards.now >= back);
}

#[tokio::test]
async fn of_two_servers_one_moves_the_rollout_and_the_other_takes_it_over() {
    // Goal: two servers are one. Method: devices speak to either; the one with the lease is killed in the middle; every
    // go, act and start is there once.
    let killer = Arc::new(Killer::default());
    let place = Place::lay("memory").await.expect("laid");
    let store = place.store().await.expect("opened");
    let seat = async |place: &Place| {
        let store = Arc::new(Dying::shared(store.clone(), killer.clone()));
        place.seat(store).await.expect("starts")
    };
    let mut one = seat(&place).await;
    let mut wards = Wards::open(place, &one, sound(80)).await.expect("enrolled");
    let policy = Policy { in_flight: 10, soak_s: 60, ..Policy::default() };
    wards.order(&one, &[Size::Count(20), Size::Rest], policy).await.expect("begins");
    let mut two = seat(&wards.place).await;
    let half =
        |wards: &Wards, _: &Rollout| wards.units.iter().filter(|unit| unit.runs(&ordered())).count() >= 40;
    wards.run(&mut [&mut one, &mut two], (600, 20), half).await.expect("half of them");
    assert_eq!(one.operator.app.leases.held().iter().filter(|(_, held)| *held).count(), 1, "it does the job");
    drop(one);
    wards.run(&mut [&mut two], (600, 20), has_ended).await.expect("the other one ends it");
    let standing = wards.standing(&*store).await.expect("read");
    assert_eq!(standing.state, "finished");
    assert!(standing.acts.values().all(|times| *times == 1), "{:?}", standing.acts);
    assert!(counted(&wards, &killer).values().all(|counts| *counts == (1, 1)));
}

/// A rollout in whose second wave the server's clock goes wrong by so much for two hours.
async fn with_a_wrong_clock(skew_s: i64) -> (Wards, Seat) {
    let (mut wards, mut seat) = fleet(sound(60)).await;
    let policy = Policy { in_flight: 10, soak_s: 600, ..Policy::default() };
    wards.order(&seat, &[Size::Count(10), Size::Rest], policy).await.expect("begins");
    let gone_out = |wards: &Wards, _: &Rollout| wards.touched() > 15;
    wards.run(&mut [&mut seat], (200, 30), gone_out).await.expect("the second wave is under way");
    wards.skew_s = skew_s;
    let touched = wards.touched();
    let later = wards.now.plus_seconds(2 * 3600);
    wards.run(&mut [&mut seat], (400, 30), |wards, _| wards.now >= later).await.expect("two hours");
    assert!(wards.touched() <= touched + 10, "at most those who had the go already have used it");
    wards.skew_s = 0;
    wards
        .run(&mut [&mut seat], (3, 30), |wards, _| wards.now > later.plus_seconds(60))
        .await
        .expect("set right");
    (wards, seat)
}

#[tokio::test]
async fn a_server_whose_clock_is_a_year_ahead_stops_and_goes_on_when_it_is_set_right() {
    // Goal: a wrong clock installs nothing and spoils nothing. Method: two hours in which every order has ended for the
    // server; then the right time, and a person who lets it go on.
    let (mut wards, mut seat) = with_a_wrong_clock(YEAR_S).await;
    let rollout = seat.rollout().expect("there");
    assert!(matches!(rollout.state, State::Stopped { .. } | State::Halted { .. }), "{:?}", rollout.state);
    wards.act(&seat, Deed::Resume).await.expect("goes on");
    wards.run(&mut [&mut seat], (1000, 30), has_ended).await.expect("ends");
    assert_eq!(wards.standing(&*seat.operator.app.store).await.expect("read").state, "finished");
    assert!(wards.units.iter().all(|unit| unit.runs(&ordered())));
}

#[tokio::test]
async fn a_server_whose_clock_is_a_year_behind_gives_no_go_that_counts_and_loses_no_receipt() {
    // Goal: the same the other way. Method: two hours in which nothing has begun for the server; then the right time.
    let (mut wards, mut seat) = with_a_wrong_clock(-YEAR_S).await;
    wards.run(&mut [&mut seat], (1000, 30), has_ended).await.expect("ends");
    assert_eq!(wards.standing(&*seat.operator.app.store).await.expect("read").state, "finished");
    assert!(wards.units.iter().all(|unit| unit.runs(&ordered())));
}

#[test]
fn natures_are_spread_evenly_over_the_fleet() {
    // Goal: a wave has its share of each. Method: count the natures in stretches of a hundred.
    let scene = Scene { devices: 1000, first: 1, shares: [0.0, 0.05, 0.03, 0.40], limit: 20, places: 20 };
    let natures: Vec<Nature> = scene.natures().collect();
    for some in natures.chunks(100) {
        let count = |wanted: fn(&Nature) -> bool| some.iter().filter(|nature| wanted(nature)).count();
        assert!((4..=6).contains(&count(|nature| *nature == Nature::Failing)));
        assert!((2..=4).contains(&count(|nature| *nature == Nature::Silent)));
        assert!((37..=43).contains(&count(|nature| matches!(nature, Nature::Away(Timestamp(_))))));
    }
}
