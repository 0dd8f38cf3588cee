//! Tests of what comes by itself later: holds that lapse, devices that join, and what a tick of a large rollout costs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::update::scope::Scope;
use cordon_server_core::audit::Recorded;
use cordon_server_core::change::{Index, Kind};
use cordon_server_core::device::Device;
use cordon_server_core::rollout::{Covers, HOLD_KEPT_S, Policy, State};
use tokio::time::Instant;

use super::tests::{NOW, asking, by, desk, name, order, person, publish, pump, receipt, wave};
use super::{RolloutError, Rollouts, Turn, Wanted};
use crate::store::memory::Memory;
use crate::store::{Cursor, Store, StoreError};

async fn journal(store: &dyn Store) -> Vec<String> {
    let page = store.scan(Index::All(Kind::Audit), Cursor::First, 500).await.expect("read");
    let entries = page.rows.iter().map(|(_, row)| Recorded::from_bytes(&row.body).expect("an entry"));
    entries.map(|entry| entry.entry.action.to_string()).collect()
}

#[tokio::test]
async fn a_hold_with_an_end_lapses_by_itself_and_says_so_in_the_journal_once() {
    // Goal: nobody has to remember. Method: two holds, one with an end; the second before it, at it, and after; a
    // second book that has not heard of it yet; the document stays a week.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let load =
        async || Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let rollouts = load().await;
    let reason = "the ward moves tonight";
    let until = NOW.plus_seconds(3600);
    let site = || Covers::Site("St. Brigid".to_owned());
    rollouts.hold(name("h-1"), (site(), Some(until)), reason, by(&person())).await.expect("holds");
    rollouts.hold(name("h-2"), (site(), None), reason, by(&person())).await.expect("holds");
    let other = load().await;
    let turn = |now| Turn { now, lease: None };
    let early = rollouts.lapse_holds(turn(until.plus_seconds(-1))).await.expect("looks");
    assert!(!early.changed && rollouts.book().holds.len() == 2);
    assert!(rollouts.book().held(&pump(1), until.plus_seconds(-1)));
    let lapsed = rollouts.lapse_holds(turn(until)).await.expect("lapses");
    assert!(lapsed.everybody, "whom it covered may now be told something else");
    assert_eq!(rollouts.book().holds[&name("h-1")].lapsed, Some(until), "it stays as a document");
    assert!(!rollouts.lapse_holds(turn(until.plus_seconds(9))).await.expect("looks").changed);
    let again = other.lapse_holds(turn(until)).await.expect("somebody was faster");
    assert!(!again.changed);
    let told = journal(&*store).await;
    assert_eq!(told.iter().filter(|action| *action == "hold.lapse").count(), 1, "{told:?}");
    let week = until.plus_seconds(HOLD_KEPT_S);
    assert!(!rollouts.lapse_holds(turn(week.plus_seconds(-1))).await.expect("looks").changed);
    assert!(rollouts.lapse_holds(turn(week)).await.expect("goes").changed);
    let left: Vec<String> = rollouts.book().holds.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["h-2"]);
}

#[tokio::test]
async fn a_hold_that_a_clock_ahead_called_over_holds_again() {
    // Goal: a clock that was ahead takes nothing away. Method: one hold for an hour; a tick of a clock that is a year ahead,
    // then of one that is right; at the true end; the name of the one that is over is taken for another.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let rollouts = Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let (reason, until) = ("the ward moves tonight", NOW.plus_seconds(3600));
    let site = || Covers::Site("St. Brigid".to_owned());
    let set = async |until| rollouts.hold(name("h"), (site(), until), reason, by(&person())).await;
    set(Some(until)).await.expect("holds");
    assert!(matches!(set(None).await, Err(RolloutError::Store(StoreError::Conflict(_)))), "it holds");
    let turn = |now| Turn { now, lease: None };
    rollouts.lapse_holds(turn(NOW.plus_seconds(400 * 86_400))).await.expect("lapses");
    let right = NOW.plus_seconds(60);
    assert!(rollouts.book().held(&pump(1), right), "by the clock alone");
    assert!(rollouts.lapse_holds(turn(right)).await.expect("holds again").everybody);
    assert_eq!(rollouts.book().holds[&name("h")].lapsed, None);
    rollouts.lapse_holds(turn(until)).await.expect("lapses");
    assert!(!rollouts.book().held(&pump(1), until));
    let told = journal(&*store).await;
    let of_holds: Vec<&str> = told.iter().filter_map(|action| action.strip_prefix("hold.")).collect();
    assert_eq!(of_holds, ["set", "lapse", "again", "lapse"]);
    let (actor, now) = (person(), until.plus_seconds(5));
    let doer = crate::people::Doer { actor: &actor, now };
    rollouts.hold(name("h"), (site(), None), reason, doer).await.expect("its name is free");
    assert!(rollouts.book().held(&pump(1), now));
}

#[tokio::test]
async fn who_comes_to_fit_is_taken_into_a_wave_of_facts_and_no_other() {
    // Goal: devices that enrol later are not forgotten. Method: an order by facts over one pump; a second pump, another
    // model, one of another rollout; a wave of a list that is to take in.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let (first, later) = (asking(pump(1), "w1"), asking(pump(2), "w1"));
    let mut scanner = asking(pump(3), "w1");
    scanner.hardware.model = Text::lossy("MR-1");
    let listed = pump(4);
    let mut facts = order("w1", &[&first]);
    let (model, hardware) = (Text::lossy("VP-3"), Text::lossy("C"));
    facts.scope = Scope::Match { model, hardware, from_least: 0, from_most: 9 };
    publish(&desk, &[facts, order("w2", &[&listed])]).await;
    let rollouts = Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let wanted = |id: &str, wave, joins: &[usize]| Wanted {
        joins: joins.iter().copied().collect(),
        ..Wanted::new(name(id), String::new(), vec![wave], Policy::default())
    };
    let list = rollouts.create(wanted("r-2", wave("a", "w2", &[&listed]), &[0]), by(&person())).await;
    assert!(
        matches!(&list, Err(error @ RolloutError::NobodyJoins(_)) if error.rule() == Some("joins_a_list"))
    );
    rollouts.create(wanted("r-2", wave("a", "w2", &[&listed]), &[]), by(&person())).await.expect("a list");
    rollouts.create(wanted("r-1", wave("a", "w1", &[&first]), &[0]), by(&person())).await.expect("creates");
    let all: Vec<Arc<Device>> = [&first, &later, &scanner, &listed].map(|one| Arc::new(one.clone())).to_vec();
    let look = |id: DeviceId| all.iter().find(|device| device.id == id).cloned();
    let strangers = |rollout: &cordon_server_core::rollout::Rollout| {
        let others = all.iter().filter(|device| rollout.wave_of(device.id).is_none());
        others.cloned().collect::<Vec<_>>()
    };
    let turn = Turn { now: NOW, lease: None };
    let mut woken = BTreeSet::new();
    for _ in 0..3 {
        woken.extend(rollouts.tick_with(turn, || turn.now, (look, strangers)).await.expect("ticks").devices);
    }
    let members = rollouts.book().rollouts[&name("r-1")].waves[0].devices.clone();
    let wanted: BTreeSet<DeviceId> = [first.id, later.id].into();
    assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), wanted);
    assert!(woken.contains(&later.id), "it is told at once");
    assert!(rollouts.tell(&later, NOW).0.permit.is_some(), "it takes part as everybody does");
    assert!(journal(&*store).await.iter().any(|action| action == "rollout.join"));
}

#[tokio::test]
async fn a_go_that_was_given_after_a_turn_began_is_not_taken_back_in_it() {
    // Goal: a turn that takes long does not take a go of its own time for one of a time to come. Method: a pump has its go
    // since a moment; a turn that began before it comes to the rollout only now.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let pump = asking(pump(1), "w1");
    publish(&desk, &[order("w1", &[&pump])]).await;
    let rollouts = Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let waves = vec![wave("a", "w1", &[&pump])];
    let wanted = Wanted::new(name("r-1"), String::new(), waves, Policy::default());
    rollouts.create(wanted, by(&person())).await.expect("creates");
    let all = [Arc::new(pump.clone())];
    let look = |id: DeviceId| all.iter().find(|device| device.id == id).cloned();
    let nobody = |_: &cordon_server_core::rollout::Rollout| Vec::new();
    let turn = |now| Turn { now, lease: None };
    for _ in 0..2 {
        rollouts.tick(turn(NOW), look).await.expect("gives the go");
    }
    let given = rollouts.tell(&pump, NOW).0.permit;
    assert!(given.is_some());
    let long_ago = turn(NOW.plus_seconds(-5));
    rollouts.tick_with(long_ago, || NOW, (look, nobody)).await.expect("ticks");
    assert_eq!(rollouts.tell(&pump, NOW).0.permit, given);
    assert_eq!(rollouts.book().progress[&name("r-1")][&pump.id].taken_back, None);
}

#[tokio::test]
async fn ten_thousand_devices_are_one_list_and_twenty_gos() {
    // Goal: a rollout over a whole hospital fits its documents and its ticks. Method: ten thousand that all ask; what the
    // ticks did, how long each took (printed), and that every device is told its order with a proof.
    const DEVICES: u32 = 10_000;
    let number = |n: u32| {
        let mut device = asking(pump(1), "w1");
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        device.id = DeviceId::from_random(bytes);
        device.hardware.serial = Text::lossy(&format!("VP3-{n}"));
        device
    };
    let devices: Vec<Device> = (0..DEVICES).map(number).collect();
    let all: Vec<&Device> = devices.iter().collect();
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    publish(&desk, &[order("w1", &all)]).await;
    let rollouts = Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let waves = vec![wave("all", "w1", &all)];
    let wanted = Wanted::new(name("r-1"), String::new(), waves, Policy::default());
    rollouts.create(wanted, by(&person())).await.expect("creates");
    let known: HashMap<DeviceId, Arc<Device>> =
        devices.iter().map(|device| (device.id, Arc::new(device.clone()))).collect();
    let look = |id: DeviceId| known.get(&id).cloned();
    for _ in 0..4 {
        let begun = Instant::now();
        rollouts.tick(Turn { now: NOW, lease: None }, look).await.expect("ticks");
        println!("a tick over {DEVICES} devices: {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    let told: Vec<_> = devices[..500].iter().map(|device| rollouts.tell(device, NOW).0).collect();
    println!("what 500 of them are told: {:?}", begun.elapsed());
    assert!(told.iter().all(|told| told.order.as_ref().is_some_and(|offer| offer.proof.is_some())));
    let gos = devices.iter().filter(|device| rollouts.tell(device, NOW).0.permit.is_some()).count();
    assert_eq!(gos, 20);
}

#[tokio::test]
async fn a_rollout_that_stops_itself_is_told_to_those_who_have_the_go_at_once() {
    // Goal: a go in hand ends with the stop, not with the next report. Method: two pumps with the go, one rolls back.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let (failed, other) = (asking(pump(1), "w1"), asking(pump(2), "w1"));
    publish(&desk, &[order("w1", &[&failed, &other])]).await;
    let rollouts = Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let waves = vec![wave("all", "w1", &[&failed, &other])];
    let wanted = Wanted::new(name("r-1"), "VP-3".to_owned(), waves, Policy::default());
    rollouts.create(wanted, by(&person())).await.expect("creates");
    let devices = [Arc::new(failed.clone()), Arc::new(other.clone())];
    let look = |id: DeviceId| devices.iter().find(|device| device.id == id).cloned();
    let turn = Turn { now: NOW, lease: None };
    for _ in 0..2 {
        rollouts.tick(turn, look).await.expect("begins, and gives the go");
    }
    assert!(rollouts.tell(&other, NOW).0.permit.is_some());
    rollouts.count_receipt(&receipt(&failed, "w1", Outcome::RolledBack), turn).await.expect("counts");
    let ticked = rollouts.tick(turn, look).await.expect("stops itself");
    assert!(matches!(rollouts.book().rollouts[&name("r-1")].state, State::Halted { .. }));
    assert!(ticked.devices.contains(&other.id), "{ticked:?}");
    assert!(rollouts.tell(&other, NOW).0.permit.is_none());
}
