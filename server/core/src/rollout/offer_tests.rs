//! Tests of what a device is told.

use alloc::string::ToString;
use alloc::vec;

use cordon_proto::checkin::{InterlockState, SensorReport, Software, UpdateReport};
use cordon_proto::ids::{Hardware, Text, TokenId};
use cordon_proto::update::release::Image;

use super::*;
use crate::device::{DeviceKind, Identity, Placement, Report, Source, State as Trust, Wanted};
use cordon_proto::checkin::{Blocked, UpdateState};
use cordon_proto::ids::{HardwareId, Sha256};
use cordon_proto::merkle::{Inclusion, Tree};
use cordon_proto::receipt::ReceiptBody;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;

const NOW: Timestamp = Timestamp(1_795_251_906);

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

fn text(value: &str) -> Text {
    Text::lossy(value)
}

fn device(number: u8) -> crate::device::Device {
    let serial = alloc::format!("VP3-{number}");
    let hardware = Hardware {
        manufacturer: text("Halden"),
        model: text("VP-3"),
        revision: text("C"),
        serial: text(&serial),
    };
    let placement = Placement {
        site: text("St. Brigid"),
        ward: text("4B"),
        kind: DeviceKind::InfusionPump,
        impact: DeviceKind::InfusionPump.usual_impact(),
        reach: crate::risk::facts::Reach::default(),
        tags: vec![],
    };
    let identity = Identity {
        leaf: Sha256([number; 32]),
        key: Sha256([number; 32]),
        token: Some(TokenId([0; 32])),
        renews: false,
        issued: NOW,
        not_after: NOW.plus_seconds(86_400),
    };
    crate::device::Device {
        v: 1,
        id: DeviceId::from_random([number; 16]),
        hardware,
        stated: true,
        source: Source::Agent,
        placement,
        state: Trust::Active,
        since: NOW,
        reason: text("enrolled"),
        identity: Some(identity),
        superseded: vec![],
        replaced: Vec::new(),
        asking: None,
        next: None,
        doubt: None,
        farewell: None,
        report: Some(report()),
        reported: None,
        last_seen: None,
    }
}

fn report() -> Report {
    let blocked = Blocked { code: text("interlock"), sentence: text("In use since 11:40.") };
    Report {
        boot: 1,
        agent_version: text("0.1.0"),
        software: Software { release: None, counter: 1, sha256: Sha256([0; 32]), floor: 0, slot: text("A") },
        update: UpdateReport {
            state: UpdateState::Waiting,
            order: Some(name("w1")),
            blocked_by: vec![blocked],
            fetched_bytes: 10,
        },
        interlock: InterlockState::InUse,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([0; 32]),
        key_protection: text("file"),
        spool_lost: 0,
        content_version: 0,
        director_root_version: 1,
        ca_version: 0,
        wants: Some(Wanted { order: name("w1"), action: Action::Install }),
        voice: None,
    }
}

/// One begun wave of three devices whose order is for exactly these.
fn book() -> Book {
    let devices: Vec<_> = (0..3).map(device).collect();
    let members: Vec<HardwareId> = devices.iter().map(|device| device.hardware.identity()).collect();
    let mut sorted = members.clone();
    sorted.sort();
    let root = Sha256(sorted.iter().map(|member| member.0).collect::<Tree>().root());
    let mut ids: Vec<_> = devices.iter().map(|device| device.id).collect();
    ids.sort();
    let order = Order {
        id: name("w1"),
        repository: name("halden"),
        image: Image { release: "vp-3/4.2.2".parse().expect("a path"), length: 9, sha256: Sha256([1; 32]) },
        scope: Scope::Set { root, count: 3 },
        issued: NOW,
        not_before: NOW,
        expires: NOW.plus_seconds(600),
        windows: vec![],
        back: None,
        permit_s: Some(900),
        reason: text("fixes the motor"),
    };
    let wave = Wave {
        name: "canary".to_string(),
        order: name("w1"),
        devices: ids,
        started: Some(NOW),
        settled: None,
    };
    let rollout = Rollout {
        v: 1,
        id: name("r-1"),
        title: "VP-3 4.2.2".to_string(),
        repository: name("halden"),
        release: "vp-3/4.2.2".parse().expect("a path"),
        back: None,
        waves: vec![wave],
        policy: Policy::default(),
        state: State::Running,
        created: NOW,
        by: "M. Okafor".to_string(),
    };
    let list = ScopeList::of(members, root, 3).expect("the signed list");
    Book {
        orders: [(name("w1"), order)].into(),
        lists: [(name("w1"), list)].into(),
        rollouts: [(name("r-1"), rollout)].into(),
        ..Book::default()
    }
}

fn permitted(mut book: Book, device: &crate::device::Device) -> Book {
    let progress = Progress::default().permitted(NOW);
    book.progress.entry(name("r-1")).or_default().insert(device.id, progress);
    book
}

#[test]
fn the_offer_carries_a_proof_that_the_device_itself_can_check() {
    // Goal: a set order reaches its devices with their own proof. Method: verify each proof; a foreign device gets none.
    let book = book();
    let Scope::Set { root, count } = book.orders[&name("w1")].scope else { panic!("a set") };
    for number in 0..3 {
        let device = device(number);
        let offer = book.tell(&device, NOW).order.expect("an offer");
        let proof = offer.proof.expect("a proof");
        let path = proof.hashes.iter().map(|hash| hash.0).collect();
        let inclusion = Inclusion { index: proof.index, size: count, path };
        assert!(inclusion.proves(&device.hardware.identity().0, &root.0));
    }
    assert_eq!(book.tell(&device(9), NOW), Told::default());
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
        let hold =
            Hold { v: 1, id: name("h"), covers, by: "a".to_string(), reason: "a move".to_string(), at: NOW };
        let mut held = permitted(book(), &pump);
        held.holds.insert(name("h"), hold);
        assert_eq!(held.tell(&pump, NOW).permit, None);
        assert!(held.facts(&held.rollouts[&name("r-1")], &pump).held);
    }
    let lost = crate::device::Device { state: Trust::Lost, ..pump.clone() };
    assert_eq!(permitted(book(), &pump).tell(&lost, NOW).permit, None);
    let late = NOW.plus_seconds(i64::from(Policy::default().silent_after_s) + 1);
    assert_eq!(
        permitted(book(), &pump).tell(&pump, late).permit,
        None,
        "a silent device has to be looked at"
    );
    let mut withdrawn = permitted(book(), &pump);
    withdrawn.orders.clear();
    assert_eq!(withdrawn.tell(&pump, NOW), Told::default());
}

#[test]
fn a_device_that_has_ended_is_offered_nothing_and_its_first_end_counts() {
    // Goal: one end a device. Method: a confirmation, then a later contradiction, then the way back.
    let pump = device(0);
    let receipt = |outcome| ReceiptBody {
        device: pump.id,
        hardware: pump.hardware.identity(),
        order: name("w1"),
        action: Action::Install,
        outcome,
        release: None,
        counter: 2,
        sha256: Sha256([1; 32]),
        previous_sha256: Sha256([0; 32]),
        slot: text("B"),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: NOW,
        reason: None,
    };
    let confirmed = Progress::default().permitted(NOW).ended(&receipt(Outcome::Confirmed), NOW);
    assert_eq!(confirmed.ended(&receipt(Outcome::RolledBack), NOW), confirmed);
    assert_eq!(confirmed.ended(&receipt(Outcome::WentBack), NOW).outcome, Some(Outcome::WentBack));
    let mut book = book();
    book.progress.entry(name("r-1")).or_default().insert(pump.id, confirmed);
    assert_eq!(book.tell(&pump, NOW), Told::default());
    assert_eq!(
        book.facts(&book.rollouts[&name("r-1")], &pump).stage(&Policy::default(), NOW),
        Stage::Confirmed
    );
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
