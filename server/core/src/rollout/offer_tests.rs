//! Tests of what a device is told.

use alloc::string::ToString;
use alloc::vec;

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::ids::{HardwareId, Sha256};
use cordon_proto::merkle::{Inclusion, Tree};
use cordon_proto::receipt::Outcome;
use cordon_proto::update::scope::Scope;

use super::fixture::*;
use super::*;
use crate::device::{Device, State as Trust};

fn device(number: u8) -> Device {
    let mut ward = Ward::new(rollout(10, 0));
    ward.waits(number, "w1", &["no-permit"], NOW);
    ward.pumps.remove(&number).expect("a pump")
}

/// One begun wave of three devices whose order is for exactly these.
fn book() -> Book {
    let devices: Vec<_> = (0..3).map(device).collect();
    let members: Vec<HardwareId> = devices.iter().map(|device| device.hardware.identity()).collect();
    let mut sorted = members.clone();
    sorted.sort();
    let root = Sha256(sorted.iter().map(|member| member.0).collect::<Tree>().root());
    let mut order = order("w1");
    order.scope = Scope::Set { root, count: 3 };
    order.expires = NOW.plus_seconds(600);
    let rollout = Rollout { policy: Policy::default(), ..rollout(3, 0) };
    let list = ScopeList::of(members, root, 3).expect("the signed list");
    Book {
        orders: [(name("w1"), order)].into(),
        trees: [].into(),
        lists: [(name("w1"), list)].into(),
        rollouts: [(name("r-1"), rollout)].into(),
        ..Book::default()
    }
}

fn permitted(mut book: Book, device: &Device) -> Book {
    let progress = Progress::default().permitted(NOW);
    book.progress.entry(name("r-1")).or_default().insert(device.id, progress);
    book
}

#[test]
fn the_offer_carries_a_proof_that_the_device_itself_can_check() {
    // Goal: a set order reaches its devices with their own proof. Method: verify each proof, with the list's tree at
    // hand and without; a foreign device gets none; a list that is gone proves nothing.
    let (bare, mut book) = (book(), book());
    book.put_list(name("w1"), bare.lists[&name("w1")].clone());
    let Scope::Set { root, count } = book.orders[&name("w1")].scope else { panic!("a set") };
    for number in 0..3 {
        let device = device(number);
        let offer = book.tell(&device, NOW).order.expect("an offer");
        assert_eq!(bare.tell(&device, NOW).order.as_ref(), Some(&offer));
        let proof = offer.proof.expect("a proof");
        let path = proof.hashes.iter().map(|hash| hash.0).collect();
        let inclusion = Inclusion { index: proof.index, size: count, path };
        assert!(inclusion.proves(&device.hardware.identity().0, &root.0));
    }
    assert_eq!(book.tell(&device(9), NOW), Told::default());
    book.remove_list(&name("w1"));
    assert!(book.tell(&device(0), NOW).order.is_some_and(|offer| offer.proof.is_none()));
}

#[test]
fn the_go_is_the_first_thing_that_stops() {
    // Goal: silence stops. Method: the same permitted device under halt, hold, distrust, silence and an early end.
    let pump = device(0);
    let told = permitted(book(), &pump).tell(&pump, NOW);
    let permit = told.permit.expect("the go");
    assert_eq!(permit.until, NOW.plus_seconds(600), "no go outlives its order");
    assert_eq!(book().tell(&pump, NOW).permit, None, "nobody gave it");

    let mut halted = permitted(book(), &pump);
    let stop = State::Halted { at: NOW, wave: 0, reason: "failures".to_string() };
    halted.rollouts.get_mut(&name("r-1")).expect("there").state = stop;
    assert_eq!(halted.tell(&pump, NOW).permit, None);
    assert!(halted.tell(&pump, NOW).order.is_some(), "the order stays, so that its way back stays open");

    for covers in [
        Covers::Ward(ward_name("St. Brigid", "4B")),
        Covers::Site("St. Brigid".to_string()),
        Covers::Model("VP-3".to_string()),
    ] {
        let hold = Hold {
            v: 1,
            id: name("h"),
            covers,
            by: "a".to_string(),
            reason: "a move".to_string(),
            at: NOW,
            until: None,
            lapsed: None,
        };
        let mut held = permitted(book(), &pump);
        held.holds.insert(name("h"), hold);
        assert_eq!(held.tell(&pump, NOW).permit, None);
        assert!(held.facts(&held.rollouts[&name("r-1")], &pump, NOW).held);
    }
    let lost = Device { state: Trust::Lost, ..pump.clone() };
    assert_eq!(permitted(book(), &pump).tell(&lost, NOW).permit, None);
    let mut silent = permitted(book(), &pump);
    let known =
        silent.progress.get_mut(&name("r-1")).and_then(|devices| devices.get_mut(&pump.id)).expect("there");
    let act = Act::Silent { wave: 0, device: pump.id, action: Action::Install };
    *known = apply_progress(known, &act, NOW).expect("an act on a device");
    assert_eq!(silent.tell(&pump, NOW).permit, None, "a silent device waits until the plan trusts it again");
    let mut busy = pump.clone();
    busy.report = Some(report(UpdateState::Waiting, Some("w1"), &["interlock"]));
    assert_eq!(permitted(book(), &pump).tell(&busy, NOW).permit, None, "no go for what is in use");
    let mut withdrawn = permitted(book(), &pump);
    withdrawn.orders.clear();
    assert_eq!(withdrawn.tell(&pump, NOW), Told::default());
}

#[test]
fn a_device_that_has_ended_is_offered_nothing_and_its_first_end_counts() {
    // Goal: one end a device. Method: a confirmation, then a later contradiction.
    let mut ward = Ward::new(rollout(1, 0));
    ward.waits(0, "w1", &["no-permit"], NOW);
    ward.step(NOW);
    let pump = ward.pumps[&0].clone();
    assert_eq!(ward.count(&receipt(&pump, "w1", Outcome::Confirmed), NOW), Ok(()));
    let again = ward.count(&receipt(&pump, "w1", Outcome::RolledBack), NOW);
    assert_eq!(again, Err(NotCounted::NoOpenRow));
    assert_eq!(ward.tell(0, NOW), Told::default());
    let stage = ward.fleet(NOW)[&pump.id].stage(&Policy::default(), NOW);
    assert_eq!(stage, Stage::Confirmed);
}

#[test]
fn only_the_receipt_of_this_order_this_image_and_an_open_row_ends_it() {
    // Goal: an older receipt, or one of another image, counts for nothing. Method: one thing wrong at a time.
    let mut ward = Ward::new(rollout(1, 0));
    let pump = ward.pumps[&0].clone();
    let good = receipt(&pump, "w1", Outcome::Confirmed);
    assert_eq!(ward.count(&good, NOW), Err(NotCounted::NoOpenRow), "it was never given the go");
    ward.waits(0, "w1", &["no-permit"], NOW);
    ward.step(NOW);
    let mut other = good.clone();
    other.sha256 = EARLIER;
    assert_eq!(ward.count(&other, NOW), Err(NotCounted::OtherImage));
    let mut older = good.clone();
    older.time = NOW.plus_seconds(-1);
    assert_eq!(ward.count(&older, NOW), Err(NotCounted::Older), "of an order of this name signed before");
    ward.rollout().waves[0].started = Some(NOW.plus_seconds(5));
    assert_eq!(ward.count(&good, NOW.plus_seconds(4)), Err(NotCounted::Older), "it came before the wave");
    let mut set_back = good.clone();
    set_back.time = NOW.plus_seconds(5);
    let (mut copy, year) = (Ward::new(rollout(1, 0)), NOW.plus_seconds(-365 * 86_400));
    (copy.book, copy.pumps) = (ward.book.clone(), ward.pumps.clone());
    assert_eq!(copy.count(&set_back, year), Ok(()), "only our own clock says that it is older");
    ward.rollout().waves[0].started = Some(NOW);
    let mut elsewhere = good.clone();
    elsewhere.order = name("w2");
    assert_eq!(ward.count(&elsewhere, NOW), Err(NotCounted::OtherOrder));
    let back = receipt(&pump, "w1", Outcome::WentBack);
    assert_eq!(ward.count(&back, NOW), Err(NotCounted::NoOpenRow), "it has nothing to go back from");
    let mut forward = back;
    forward.action = Action::Install;
    assert_eq!(ward.count(&forward, NOW), Err(NotCounted::OtherAct));
    assert_eq!(ward.count(&good, NOW), Ok(()));
}

#[test]
fn an_order_without_a_connection_is_ended_by_a_receipt_without_a_go() {
    // Goal: receipts that come by a stick. Method: the same receipt under an order that needs no permit.
    let mut ward = Ward::new(rollout(1, 0));
    ward.book.orders.get_mut(&name("w1")).expect("there").permit_s = None;
    let pump = ward.pumps[&0].clone();
    let good = receipt(&pump, "w1", Outcome::Confirmed);
    assert_eq!(ward.count(&good, NOW.plus_seconds(-1)), Ok(()));
}

#[test]
fn of_two_rollouts_the_one_that_moves_then_the_more_urgent_then_the_newer_is_offered() {
    // Goal: no name decides what a device installs. Method: two rollouts for one pump, changed step by step.
    let mut book = book();
    let pump = device(0);
    let mut second =
        Rollout { id: name("a-later"), created: NOW.plus_seconds(1), ..book.rollouts[&name("r-1")].clone() };
    second.waves[0].order = name("w2");
    let mut order = order("w2");
    order.issued = NOW;
    book.orders.insert(name("w2"), order);
    book.rollouts.insert(name("a-later"), second);
    let offered = |book: &Book| book.tell(&pump, NOW).order.map(|offer| offer.order.to_string());
    assert_eq!(offered(&book).as_deref(), Some("w2"), "the newer");
    book.rollouts.get_mut(&name("r-1")).expect("there").priority = 501;
    assert_eq!(offered(&book).as_deref(), Some("w1"), "the more urgent");
    let (at, by, reason) = (NOW, "m".to_string(), "a person said so".to_string());
    book.rollouts.get_mut(&name("r-1")).expect("there").state = State::Stopped { at, by, reason };
    assert_eq!(offered(&book).as_deref(), Some("w2"), "the one that moves");
    book.rollouts.get_mut(&name("a-later")).expect("there").waves[0].started = None;
    assert_eq!(offered(&book).as_deref(), Some("w1"), "one whose wave has not begun wants nothing");
    book.orders.get_mut(&name("w1")).expect("there").expires = NOW;
    assert_eq!(offered(&book), None, "an order that has ended is offered to nobody");
}

#[test]
fn what_a_check_in_says_of_the_order_is_read_by_its_codes() {
    // Goal: refusals, the image that runs already, and reasons. Method: one check-in a pump; the table of reasons.
    let mut ward = Ward::new(rollout(6, 0));
    let refused = |code: &str| report(UpdateState::Refused, Some("w1"), &[code]);
    ward.say(0, NOW, refused("min-from"), Action::Install);
    ward.say(1, NOW, refused("order-not-yet"), Action::Install);
    let mut runs = refused("not-newer");
    runs.software.sha256 = ORDERED;
    ward.say(2, NOW, runs, Action::Install);
    ward.waits(3, "w1", &["no-permit", "interlock"], NOW);
    ward.waits(4, "w1", &["no-permit", "interlock"], NOW);
    let rollout = ward.book.rollouts[&name("r-1")].clone();
    let fleet = ward.fleet(NOW);
    let stages = |ward: &Ward| -> Vec<Stage> {
        let fleet = ward.fleet(NOW);
        (0..6).map(|n| fleet[&id(n)].stage(&rollout.policy, NOW)).collect()
    };
    let no = Stage::Failed(Failure::Refused);
    let wanted = [no, Stage::Waiting, Stage::Already, Stage::Waiting, Stage::Waiting, Stage::Unreached];
    assert_eq!(stages(&ward), wanted);
    let reasons = ward.book.reasons(&rollout, &fleet, NOW);
    let told: Vec<(&str, u32)> = reasons.iter().map(|reason| (reason.code.as_str(), reason.count)).collect();
    assert_eq!(told, [("interlock", 2), ("min-from", 1), ("order-not-yet", 1), ("unreached", 1)]);
    assert_eq!(reasons[0].sentence.as_deref(), Some("Says interlock."));
    ward.book.orders.clear();
    assert_eq!(stages(&ward)[0], Stage::Waiting, "of a withdrawn order everybody says no");
}

#[test]
fn another_list_than_the_signed_one_is_refused() {
    // Goal: the server cannot widen a scope. Method: one device more, one less, one other.
    let book = book();
    let Scope::Set { root, count } = book.orders[&name("w1")].scope else { panic!("a set") };
    let members = book.lists[&name("w1")].members.clone();
    let other = [&members[..2], &[HardwareId([7; 32])]].concat();
    for list in [members[..2].to_vec(), [members.clone(), vec![HardwareId([7; 32])]].concat(), other] {
        assert!(ScopeList::of(list, root, count).is_err());
    }
    assert!(
        ScopeList::of([members.clone(), members].concat(), root, count).is_ok(),
        "each once, in any order"
    );
}

#[test]
fn who_fits_the_facts_of_an_order_is_decided_by_all_of_them() {
    // Goal: no misfit joins a wave. Method: one fact wrong at a time.
    let (order, pump) = (order("w1"), device(0));
    assert!(fits(&order, &pump));
    let mut other = pump.clone();
    other.hardware.model = text("VP-4");
    assert!(!fits(&order, &other));
    let mut older = pump.clone();
    older.hardware.revision = text("B");
    assert!(!fits(&order, &older));
    let mut newer = pump.clone();
    newer.report.as_mut().expect("it spoke").software.counter = 10;
    assert!(!fits(&order, &newer), "it has a newer release than the order's facts name");
    let set = Scope::Set { root: Sha256([0; 32]), count: 1 };
    assert!(!fits(&Order { scope: set, ..order }, &pump), "a list is no fact");
}

#[test]
fn who_is_on_its_way_elsewhere_does_not_join_and_nobody_joins_an_order_that_has_ended() {
    // Goal: a device stands in one rollout of a release. Method: a stranger; the same one in another rollout, open and
    // ended, of this release and of another; the order over.
    let mut first = rollout(2, 0);
    first.waves[0].joins = true;
    let mut ward = Ward::new(first);
    let stranger = pump(7);
    let joins = |ward: &Ward, now| {
        let rollout = &ward.book.rollouts[&name("r-1")];
        ward.book.facts(rollout, &stranger, now).joins
    };
    assert_eq!(joins(&ward, NOW), Some(0));
    let mut other = Rollout { id: name("r-2"), waves: vec![wave("w2", [7], Some(NOW))], ..rollout(0, 0) };
    ward.book.rollouts.insert(name("r-2"), other.clone());
    assert_eq!(joins(&ward, NOW), None, "it is on its way there");
    other.release = "vp-3/4.3.0".parse().expect("a path");
    ward.book.rollouts.insert(name("r-2"), other.clone());
    assert_eq!(joins(&ward, NOW), Some(0), "to another release");
    other.release = "vp-3/4.2.2".parse().expect("a path");
    other.state = State::Finished { at: NOW };
    ward.book.rollouts.insert(name("r-2"), other);
    assert_eq!(joins(&ward, NOW), Some(0), "that one is over");
    assert_eq!(joins(&ward, NOW.plus_seconds(14 * 86_400)), None, "the order has ended");
}
