//! Tests of what a reader found in the rollouts' work with the store: gos inside check-ins, acts over stale pages, receipts
//! after a restart, two servers that create at once.

use std::sync::Arc;

use cordon_proto::checkin::{CheckinRequest, PermitRequest, UpdateReport, UpdateState};
use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_server_core::device::Device;
use cordon_server_core::rollout::{GoTold, Policy, State};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::tests::{AT, NOW, asking, by, desk, name, order, orders, person, publish, pump, receipt, wave};
use super::ward::{desk_of, two_pumps};
use super::{Deed, RolloutError, Rollouts, Turn, Wanted};
use crate::http::operator::Operator;
use crate::jobs;
use crate::store::memory::Memory;
use crate::store::{Change, Key, Revision, Store};
use crate::testing::shared::Seat;
use crate::testing::{Bench, Enrolled, checkin};

const REASON: &str = "a person of the test says so";

fn alone(id: &str, waves: Vec<super::WaveWanted>) -> Wanted {
    Wanted::new(name(id), "VP-3".to_owned(), waves, Policy::default())
}

/// A server with two enrolled pumps in a begun rollout of one place.
struct Ward {
    bench: Bench,
    operator: Operator,
    pumps: Vec<Enrolled>,
}

impl Ward {
    async fn begun() -> Self {
        let two = two_pumps().await;
        publish(&desk_of(two.bench.app()), &[order("w1", &two.both())]).await;
        let policy = Policy { in_flight: 1, ..Policy::default() };
        let wanted = Wanted { policy, ..alone("r-1", vec![wave("all", "w1", &two.both())]) };
        let operator = two.begin(wanted).await;
        let ward = Self { bench: two.bench, operator, pumps: two.pumps };
        ward.ticks().await;
        ward
    }

    async fn ticks(&self) {
        let operator = &self.operator;
        let look = |id| operator.app.fleet.get(id);
        let lease = operator.app.leases.hold(jobs::ROLLOUTS_JOB).await.expect("asked");
        let turn = Turn { now: operator.app.clock.now(), lease: lease.as_ref() };
        operator.rollouts.tick(turn, look).await.expect("ticks");
    }

    /// A pump asks for its go and hears the answer. Says whether it has the go.
    async fn asks(&self, number: usize, state: UpdateState) -> bool {
        let (pump, app) = (&self.pumps[number], &self.operator.app);
        let (order, now) = (name("w1"), app.clock.now());
        let update =
            UpdateReport { state, order: Some(order.clone()), blocked_by: Vec::new(), fetched_bytes: 9 };
        let action = cordon_proto::checkin::Action::Install;
        let want_permit = Some(PermitRequest { order, action });
        let request = CheckinRequest { update, want_permit, ..checkin(pump) };
        let report = cordon_server_core::device::Report::of(&request);
        app.fleet.heard(pump.id, Some(report), None, app.clock.now_ms());
        let member = app.fleet.get(pump.id).expect("there");
        let device =
            Device { report: Some(cordon_server_core::device::Report::of(&request)), ..member.current() };
        self.operator.rollouts.answer(app, &device, now).await.permit.is_some()
    }

    fn told(&self, number: usize) -> GoTold {
        let of = self.pumps[number].id;
        let progress = self.operator.rollouts.look(|book| {
            let known = book.progress.get(&name("r-1"));
            known.and_then(|known| known.get(&of)).cloned()
        });
        progress.map_or(GoTold::Unwritten, |known| known.told)
    }

    fn has_go(&self, number: usize) -> bool {
        let of = self.pumps[number].id;
        self.operator
            .rollouts
            .look(|book| book.progress.get(&name("r-1")).and_then(|known| known.get(&of)?.go()).is_some())
    }

    fn at(&self, seconds: i64) -> Timestamp {
        let now = NOW.plus_seconds(seconds);
        self.bench.clock.hold_at(now.into());
        now
    }
}

#[tokio::test]
async fn the_go_is_in_the_answer_of_the_check_in_that_asks_for_it_and_is_stored_first() {
    // Goal: a device that speaks every six hours is updated. Method: it asks, and has the go; the other one finds no place,
    // and has it in its own check-in when the first one has ended, with no tick between; what is stored says so.
    let ward = Ward::begun().await;
    assert!(ward.asks(0, UpdateState::Waiting).await, "no tick, no bell");
    assert_eq!(ward.told(0), GoTold::At(NOW));
    let key = Key::Progress { rollout: name("r-1"), device: ward.pumps[0].id };
    assert!(ward.bench.has(key).await, "written down before it was told");
    assert!(!ward.asks(1, UpdateState::Waiting).await, "one place");
    let device = ward.operator.app.fleet.get(ward.pumps[0].id).expect("there").current();
    let ended = receipt(&device, "w1", Outcome::Confirmed);
    ward.operator.rollouts.count_receipt(&ended, AT).await.expect("counts");
    ward.ticks().await;
    let later = ward.at(6 * 3600);
    assert!(ward.asks(1, UpdateState::Waiting).await);
    assert!(matches!(ward.told(1), GoTold::At(_)));
    let stopped = ward.operator.rollouts.act(&name("r-1"), Deed::Stop, REASON, by(&person())).await;
    assert!(matches!(stopped.expect("stops").state, State::Stopped { .. }), "{later}");
    assert!(!ward.asks(1, UpdateState::Waiting).await, "withheld in the very next answer");
}

#[tokio::test]
async fn a_go_of_a_tick_is_written_down_when_its_device_is_told_and_given_up_when_it_never_comes() {
    // Goal: silence is only that of a device that knew. Method: a tick gives the go; fifteen minutes without a check-in; the
    // same, with one; then four hours.
    let ward = Ward::begun().await;
    ward.operator.app.leases.lost(jobs::ROLLOUTS_JOB);
    ward.operator.rollouts.giving.full().insert(name("r-1"));
    assert!(!ward.asks(0, UpdateState::Waiting).await, "the tick has the word");
    ward.operator.app.listens(ward.pumps[0].id, 600);
    ward.ticks().await;
    assert_eq!(ward.told(0), GoTold::NotYet);
    ward.at(901);
    ward.ticks().await;
    let state = || ward.operator.rollouts.look(|book| book.rollouts[&name("r-1")].state.clone());
    assert!(!ward.has_go(0) && state() == State::Running, "its place is free, and it has not failed");
    ward.at(5 * 3600);
    assert!(ward.asks(0, UpdateState::Waiting).await);
    assert_eq!(ward.told(0), GoTold::At(NOW.plus_seconds(5 * 3600)));
    ward.at(9 * 3600);
    ward.ticks().await;
    assert!(matches!(state(), State::Halted { .. }), "it knew, and is silent: {:?}", state());
}

#[tokio::test]
async fn a_tick_frees_the_places_of_a_paused_rollout_that_nobody_came_for() {
    // Goal: a rollout that is paused for weeks keeps no place from the others. Method: a go of a tick; a pause; fifteen
    // minutes later its device has not come; the same device asks when the rollout goes on.
    let ward = Ward::begun().await;
    ward.operator.rollouts.giving.full().insert(name("r-1"));
    assert!(!ward.asks(0, UpdateState::Waiting).await, "the tick has the word");
    ward.operator.app.listens(ward.pumps[0].id, 600);
    ward.ticks().await;
    let act = async |deed| {
        ward.operator.rollouts.act(&name("r-1"), deed, REASON, by(&person())).await.expect("acts")
    };
    act(Deed::Pause).await;
    ward.at(900);
    ward.ticks().await;
    assert!(ward.has_go(0), "its time is not over");
    ward.at(901);
    ward.ticks().await;
    assert!(!ward.has_go(0) && ward.told(0) == GoTold::NotYet, "its place is another rollout's");
    act(Deed::Resume).await;
    assert!(ward.asks(0, UpdateState::Waiting).await);
}

#[tokio::test]
async fn a_receipt_counts_in_a_wave_that_a_clock_ahead_began() {
    // Goal: no receipt waits for next year. Method: a server whose clock is two days ahead begins the wave and gives the go;
    // its clock is set right; the receipt comes at once, and after a person has stopped the rollout.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let pumps = [1, 2].map(|number| asking(pump(number), "w1"));
    let both = [&pumps[0], &pumps[1]];
    publish(&desk, &[order("w1", &both)]).await;
    let rollouts = Rollouts::load(store, desk.repositories.clone(), NOW).await.expect("loads");
    rollouts.create(alone("r-1", vec![wave("all", "w1", &both)]), by(&person())).await.expect("creates");
    let look = |id| pumps.iter().find(|pump| pump.id == id).cloned().map(Arc::new);
    let ahead = Turn { now: NOW.plus_seconds(2 * 86_400), lease: None };
    for _ in 0..2 {
        rollouts.tick(ahead, look).await.expect("begins, and gives the go");
    }
    let first = receipt(&pumps[0], "w1", Outcome::Confirmed);
    assert_eq!(rollouts.count_receipt(&first, AT).await.expect("counts"), Some(name("r-1")));
    rollouts.act(&name("r-1"), Deed::Stop, REASON, by(&person())).await.expect("stops");
    let second = receipt(&pumps[1], "w1", Outcome::Confirmed);
    assert_eq!(rollouts.count_receipt(&second, AT).await.expect("counts"), Some(name("r-1")));
    let known = rollouts.read(|shelf| shelf.progress(&name("r-1"), pumps[1].id));
    assert_eq!(known.outcome, Some(Outcome::Confirmed));
}

#[tokio::test]
async fn nobody_is_sent_back_from_what_another_rollout_brings() {
    // Goal: one rollout does not undo the other, back and forth. Method: a pump that confirmed in a finished rollout stands
    // in an open one of the same release, which another server has created; then that one is aborted.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let pump = asking(pump(1), "w1");
    let image = Image { release: "vp-3/4.1.0".parse().expect("a path"), length: 9, sha256: Sha256([3; 32]) };
    let back = Some(Back { image, until: NOW.plus_seconds(86_400 * 30) });
    publish(&desk, &[Order { back, ..order("w1", &[&pump]) }]).await;
    let load =
        async || Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let rollouts = load().await;
    let wanted = |id: &str| alone(id, vec![wave("all", "w1", &[&pump])]);
    rollouts.create(wanted("r-1"), by(&person())).await.expect("creates");
    for _ in 0..2 {
        rollouts.tick(AT, |_| Some(Arc::new(pump.clone()))).await.expect("ticks");
    }
    rollouts.count_receipt(&receipt(&pump, "w1", Outcome::Confirmed), AT).await.expect("counts");
    let act = async |id: &str, deed| rollouts.act(&name(id), deed, REASON, by(&person())).await;
    act("r-1", Deed::Finish).await.expect("finishes");
    load().await.create(wanted("r-2"), by(&person())).await.expect("the first one wants nothing any more");
    let refused = act("r-1", Deed::Back).await;
    let is_other = |error: &RolloutError| matches!(error, RolloutError::Overlap { device, rollout } if *device == pump.id && rollout.as_str() == "r-2");
    assert!(refused.as_ref().is_err_and(is_other), "{refused:?}");
    act("r-2", Deed::Abort).await.expect("aborts");
    assert_eq!(act("r-1", Deed::Back).await.expect("goes back").state, State::Returning);
}

#[tokio::test]
async fn who_waited_for_the_turn_asks_again_whether_there_is_a_place() {
    // Goal: of fifty check-ins at once, the first that finds no place has looked for all of them. Method: one that waits for
    // the turn while somebody finds the rollout full; the next tick looks anew.
    let ward = Ward::begun().await;
    let giving = &ward.operator.rollouts.giving;
    let turn = giving.turn.lock().await;
    let found = async {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        giving.full().insert(name("r-1"));
        drop(turn);
    };
    let (given, ()) = tokio::join!(ward.asks(0, UpdateState::Waiting), found);
    assert!(!given, "a place was looked for once more");
    ward.ticks().await;
    assert!(ward.asks(0, UpdateState::Waiting).await);
}

#[tokio::test]
async fn that_a_device_was_told_is_written_down_once_and_never_of_a_go_that_is_gone() {
    // Goal: what stands under `told` is when the device first heard of the go that it has. Method: a go of a tick; told, and
    // told again; then a go that is taken back by another server between the reading and the commit.
    let memory: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&memory);
    let pump = asking(pump(1), "w1");
    publish(&desk, &[order("w1", &[&pump])]).await;
    let seat = Arc::new(Seat::new(memory.clone()));
    let load = async |store| Rollouts::load(store, desk.repositories.clone(), NOW).await.expect("loads");
    let one = load(memory.clone()).await;
    one.create(alone("r-1", vec![wave("all", "w1", &[&pump])]), by(&person())).await.expect("creates");
    let look = |device: Device| move |_| Some(Arc::new(device.clone()));
    for _ in 0..2 {
        one.tick(AT, look(pump.clone())).await.expect("begins, and gives the go");
    }
    let two = load(seat.clone() as Arc<dyn Store>).await;
    let place = (&name("r-1"), pump.id);
    let told = |now| {
        move |known: &cordon_server_core::rollout::Progress| {
            known.told(cordon_proto::checkin::Action::Install, now)
        }
    };
    let known = |rollouts: &Rollouts| rollouts.read(|shelf| shelf.progress(&name("r-1"), pump.id));
    assert_eq!(known(&two).told, GoTold::NotYet);
    let at = NOW.plus_seconds(5);
    two.write_told(place, told(at), at).await.expect("writes");
    two.write_told(place, told(NOW.plus_seconds(9)), NOW.plus_seconds(9)).await.expect("says nothing new");
    assert_eq!(known(&two).told, GoTold::At(at));
    let one = load(memory.clone()).await;
    assert_eq!(known(&one).told, GoTold::At(at), "stored");
    let busy = Device { last_seen: Some(NOW.plus_seconds(20)), ..idle(&pump) };
    let later = Turn { now: NOW.plus_seconds(20), lease: None };
    one.tick(later, look(busy)).await.expect("takes it back");
    one.tick(later, look(Device { last_seen: Some(NOW.plus_seconds(21)), ..pump.clone() }))
        .await
        .expect("gives it again");
    let two = load(seat.clone() as Arc<dyn Store>).await;
    assert_eq!(known(&two).told, GoTold::NotYet);
    let gone = Device { last_seen: Some(NOW.plus_seconds(30)), ..idle(&pump) };
    let last = Turn { now: NOW.plus_seconds(30), lease: None };
    seat.before_commit(async move {
        one.tick(last, look(gone)).await.expect("takes it back");
    });
    two.write_told(place, told(NOW.plus_seconds(31)), NOW.plus_seconds(31))
        .await
        .expect("finds nothing to tell");
    let left = known(&two);
    assert_eq!((left.told, left.go()), (GoTold::NotYet, None), "{left:?}");
}

/// A pump that speaks and does not work on any order.
fn idle(pump: &Device) -> Device {
    let mut idle = pump.clone();
    let report = idle.report.as_mut().expect("it spoke");
    (report.wants, report.update) = (
        None,
        UpdateReport { state: UpdateState::Idle, order: None, blocked_by: Vec::new(), fetched_bytes: 0 },
    );
    idle
}

#[tokio::test]
async fn going_on_is_refused_while_the_next_tick_would_stop_it_again() {
    // Goal: no withheld go is out again for a second. Method: a halt by a failure; resumed; the same act on a rollout that
    // a person stopped for another reason.
    let ward = Ward::begun().await;
    assert!(ward.asks(0, UpdateState::Waiting).await);
    let rollouts = &ward.operator.rollouts;
    let act = async |deed| rollouts.act(&name("r-1"), deed, REASON, by(&person())).await;
    act(Deed::Stop).await.expect("stops");
    act(Deed::Resume).await.expect("nothing has failed");
    let device = ward.operator.app.fleet.get(ward.pumps[0].id).expect("there").current();
    rollouts.count_receipt(&receipt(&device, "w1", Outcome::RolledBack), AT).await.expect("counts");
    ward.ticks().await;
    let again = act(Deed::Resume).await;
    assert!(
        matches!(&again, Err(RolloutError::StillBroken(why)) if why.contains("1 of 1 finished devices failed")),
        "{again:?}"
    );
    assert!(!ward.asks(1, UpdateState::Waiting).await);
}

#[tokio::test]
async fn what_somebody_decided_meanwhile_is_not_undone_over_a_stale_page() {
    // Goal: a stop stands. Method: a person sees a paused rollout; somebody stops it; the first one resumes what they saw;
    // then what stands. Stopping is done over any state.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let pump = asking(pump(1), "w1");
    publish(&desk, &[order("w1", &[&pump])]).await;
    let rollouts = Rollouts::load(store, desk.repositories.clone(), NOW).await.expect("loads");
    rollouts.create(alone("r-1", vec![wave("all", "w1", &[&pump])]), by(&person())).await.expect("creates");
    let act = async |deed, saw| rollouts.act_on(&name("r-1"), deed, (REASON, saw), by(&person())).await;
    let paused = super::seen(&act(Deed::Pause, None).await.expect("pauses").state);
    act(Deed::Stop, Some("running")).await.expect("stops, whatever was seen");
    for deed in [Deed::Resume, Deed::Back, Deed::Finish] {
        let stale = act(deed, Some(&paused)).await;
        assert!(matches!(stale, Err(RolloutError::Moved("stopped"))), "{stale:?}");
    }
    assert!(
        matches!(act(Deed::Resume, Some("stopped@1")).await, Err(RolloutError::Moved(_))),
        "another stop"
    );
    act(Deed::Resume, Some("stopped")).await.expect("goes on");
}

#[tokio::test]
async fn a_stop_that_comes_between_reading_and_committing_stands() {
    // Goal: the same where both are at it in one moment. Method: a resume of a paused rollout; while it is committed,
    // another server stops it.
    let memory: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&memory);
    let pump = asking(pump(1), "w1");
    publish(&desk, &[order("w1", &[&pump])]).await;
    let seat = Arc::new(Seat::new(memory.clone()));
    let load = async |store| Rollouts::load(store, desk.repositories.clone(), NOW).await.expect("loads");
    let (one, two) = (load(seat.clone() as Arc<dyn Store>).await, load(memory.clone()).await);
    one.create(alone("r-1", vec![wave("all", "w1", &[&pump])]), by(&person())).await.expect("creates");
    one.act(&name("r-1"), Deed::Pause, REASON, by(&person())).await.expect("pauses");
    seat.before_commit(async move {
        two.act(&name("r-1"), Deed::Stop, REASON, by(&person())).await.expect("stops");
    });
    let resumed = one.act(&name("r-1"), Deed::Resume, REASON, by(&person())).await;
    assert!(matches!(resumed, Err(RolloutError::Moved("stopped"))), "{resumed:?}");
}

#[tokio::test]
async fn the_receipt_of_a_withdrawn_order_counts_after_a_restart() {
    // Goal: a restart forgets no receipt. Method: the go; the order is withdrawn; a server that never saw it; the receipt.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let pump = asking(pump(1), "w1");
    publish(&desk, &[order("w1", &[&pump])]).await;
    let load =
        async || Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let rollouts = load().await;
    rollouts.create(alone("r-1", vec![wave("all", "w1", &[&pump])]), by(&person())).await.expect("creates");
    let look = |_| Some(Arc::new(pump.clone()));
    for _ in 0..2 {
        rollouts.tick(AT, look).await.expect("ticks");
    }
    let none = orders(2, &[]);
    desk.repositories.publish_director("2.orders.json", &none, by(&person())).await.expect("withdrawn");
    let rollouts = load().await;
    let mut other = receipt(&pump, "w1", Outcome::Confirmed);
    other.sha256 = Sha256([7; 32]);
    assert_eq!(rollouts.count_receipt(&other, AT).await.expect("looked at"), None, "of another image");
    let confirmed = receipt(&pump, "w1", Outcome::Confirmed);
    assert_eq!(rollouts.count_receipt(&confirmed, AT).await.expect("counts"), Some(name("r-1")));
}

#[tokio::test]
async fn two_servers_that_do_not_know_of_each_other_create_no_two_rollouts_of_one_device() {
    // Goal: which of two halts counts for a device is never open. Method: two books over one store; both loaded, one
    // creates, the other one follows nothing and creates; and both at once.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let pump = pump(1);
    let (model, hardware) = (Text::lossy("VP-3"), Text::lossy("C"));
    let scope = Scope::Match { model, hardware, from_least: 0, from_most: 9 };
    publish(&desk, &[Order { scope, ..order("w1", &[]) }]).await;
    let load =
        async || Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let (one, two) = (load().await, load().await);
    let wanted = |id: &str| alone(id, vec![wave("all", "w1", &[&pump])]);
    one.create(wanted("r-1"), by(&person())).await.expect("creates");
    let beside = two.create(wanted("r-2"), by(&person())).await;
    assert!(matches!(beside, Err(RolloutError::Overlap { .. })), "{beside:?}");
    one.act(&name("r-1"), Deed::Abort, REASON, by(&person())).await.expect("aborts");
    let (first, second) = (load().await, load().await);
    let (actor, other) = (person(), person());
    let both =
        tokio::join!(first.create(wanted("r-3"), by(&actor)), second.create(wanted("r-4"), by(&other)));
    assert_eq!(usize::from(both.0.is_ok()) + usize::from(both.1.is_ok()), 1, "{both:?}");
}

#[tokio::test]
async fn rollouts_that_have_ended_are_looked_at_once_a_minute() {
    // Goal: a tick a second does not walk through the devices of years. Method: the seconds at which it looks back; a
    // clock that was set back is no reason never to look again.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let rollouts = Rollouts::load(store, desk.repositories.clone(), NOW).await.expect("loads");
    let looks = |s: i64| rollouts.looks_back(NOW.plus_seconds(s));
    assert_eq!([0, 1, 59, 60, 61, -3600].map(looks), [true, false, false, true, false, true]);
}

#[tokio::test]
async fn fifty_that_ask_at_once_in_a_large_fleet_are_given_the_places_and_no_more() {
    // Goal: a bell over ten thousand devices stalls nobody. Method: a fleet in memory that does not listen; fifty of it ask at
    // once; who has a go then, and what it took (printed).
    const DEVICES: u32 = 10_000;
    let bench = Bench::start(&[]).await;
    bench.clock.hold_at(NOW.into());
    let app = bench.app().clone();
    let number = |n: u32| {
        let mut device = asking(pump(1), "w1");
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        device.id = DeviceId::from_random(bytes);
        device.hardware.serial = Text::lossy(&format!("VP3-{n}"));
        (device.identity, device.listens, device.last_seen) = (None, None, Some(NOW));
        device
    };
    let devices: Vec<Device> = (0..DEVICES).map(number).collect();
    let all: Vec<&Device> = devices.iter().collect();
    let changes: Vec<Change> =
        devices.iter().map(|device| Change::Put(Key::Device(device.id), device.to_body())).collect();
    app.fleet.follow(&changes, Revision(1 << 40));
    let desk = desk_of(&app);
    publish(&desk, &[order("w1", &all)]).await;
    let rollouts = Rollouts::load(app.store.clone(), desk.repositories, NOW).await.expect("loads");
    rollouts.create(alone("r-1", vec![wave("all", "w1", &all)]), by(&person())).await.expect("creates");
    for _ in 0..2 {
        let begun = Instant::now();
        rollouts.tick(AT, |id| app.fleet.get(id)).await.expect("ticks");
        println!("a tick over {DEVICES} devices: {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    let answers = join_all(devices[..50].iter().map(|device| rollouts.answer(&app, device, NOW))).await;
    println!("fifty of them at once: {:?}", begun.elapsed());
    let given = answers.iter().filter(|told| told.permit.is_some()).count();
    let stored = rollouts.look(|book| book.progress.get(&name("r-1")).map_or(0, |known| known.len()));
    // On a machine that is too busy, who has waited for five seconds has it at the next check-in.
    assert!((1..=20).contains(&given) && stored == given, "{given} told, {stored} given");
}
