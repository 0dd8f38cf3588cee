//! Tests of the fleet view: it follows commits, keeps what it heard, and holds no more than it should.

use cordon_proto::checkin::{
    Action, Blocked, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::ids::{Hardware, Name, Text, TokenId};
use cordon_proto::inventory::{Row, Section};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::wire;
use cordon_server_core::device::{Act, Asking, DeviceKind, Identity, Placement, Proof, Wanted};
use cordon_server_core::risk::facts::{Impact, PatientData, Reach};
use cordon_server_core::triage;
use proptest::prelude::*;

use super::*;
use crate::appraisal::Gathered;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

fn id(byte: u8) -> DeviceId {
    DeviceId::from_random([byte; 16])
}

fn device(byte: u8, leaf: u8) -> Device {
    let hardware = Hardware {
        manufacturer: text("Halden"),
        model: text("VP-3"),
        revision: text("C"),
        serial: text(&format!("S{byte}")),
    };
    let placement = Placement {
        site: text("St. Anna"),
        ward: text("ICU 2"),
        kind: DeviceKind::InfusionPump,
        impact: Impact::default(),
        reach: Reach::default(),
        tags: vec![],
    };
    Device {
        stated: true,
        reason: text("enrolled with a token"),
        identity: Some(Identity {
            leaf: Sha256([leaf; 32]),
            key: Sha256([leaf; 32]),
            token: Some(TokenId([1; 32])),
            renews: false,
            issued: NOW,
            not_after: NOW.plus_seconds(1000),
        }),
        ..Device::bare(id(byte), hardware, placement, State::Active, NOW)
    }
}

fn report(interlock: InterlockState) -> Report {
    Report {
        boot: 1,
        agent_version: text("0.1.0"),
        software: Software { release: None, counter: 0, sha256: Sha256([0; 32]), floor: 0, slot: text("A") },
        update: UpdateReport { state: UpdateState::Idle, order: None, blocked_by: vec![], fetched_bytes: 0 },
        interlock,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([0; 32]),
        key_protection: text("file"),
        spool_lost: 0,
        content_version: 0,
        director_root_version: 0,
        ca_version: 0,
        content_fault: None,
        wants: None,
        voice: None,
    }
}

#[test]
fn the_first_word_about_its_use_is_remembered_and_silence_about_it_is_none() {
    // Goal: "an application that ever spoke" outlives what is said now. Method: unknown, then in use, then unknown again.
    let fleet = Fleet::default();
    fleet.follow([&put(&device(1, 10))], Revision(1));
    let heard = |interlock, at: i64| {
        assert!(fleet.heard(id(1), Some(report(interlock)), None, NOW.plus_seconds(at)));
        let member = fleet.get(id(1)).expect("there");
        assert_eq!(
            member.meant().spoke,
            member.current().spoke,
            "an order means it by its word, written down or not"
        );
        member.current()
    };
    assert_eq!(heard(InterlockState::Unknown, 10).spoke, None);
    let spoke = heard(InterlockState::InUse, 20);
    assert_eq!(spoke.spoke, Some(NOW.plus_seconds(20)));
    fleet.follow([&put(&spoke)], Revision(2));
    assert_eq!(heard(InterlockState::Unknown, 30).spoke, Some(NOW.plus_seconds(20)));
}

fn put(device: &Device) -> Change {
    Change::Put(Key::Device(device.id), device.to_body())
}

fn finding(key: &str) -> (Key, Vec<u8>) {
    let finding = Finding {
        detector: "scan".parse().expect("a name"),
        key: text(key),
        first: NOW,
        last: NOW,
        count: 1,
        peer: None,
        severity: Severity::Low,
        attack: vec![],
        evidence: [].into(),
        title: text("t"),
        what_changed: text("c"),
        why_it_matters: text("w"),
        how_sure: text("h"),
        what_to_do: text("d"),
    };
    let (record, _) = triage::take_in(None, id(1), finding, NOW);
    let key = Key::Finding { device: id(1), finding: Sha256::of(key.as_bytes()) };
    (key, serde_json::to_vec(&record).expect("JSON"))
}

#[test]
fn devices_are_found_by_every_certificate_they_had() {
    // Goal: the table of the device plane. Method: enrol, re-enrol, look up old, new and strange certificates.
    let fleet = Fleet::default();
    let first = device(1, 10);
    assert_eq!(fleet.follow(&[put(&first)], Revision(1)), Followed { cut_off: vec![], devices: vec![id(1)] });
    let second = Device { superseded: vec![Sha256([10; 32])], ..device(1, 11) };
    let followed = fleet.follow(&[put(&second)], Revision(2));
    assert_eq!(followed.cut_off, [Sha256([10; 32])], "connections of the old certificate end");
    for leaf in [10, 11] {
        assert_eq!(fleet.by_leaf(&Sha256([leaf; 32])).map(|member| member.id()), Some(id(1)));
    }
    assert!(fleet.by_leaf(&Sha256([12; 32])).is_none());
    assert!(fleet.by_hardware(first.hardware.identity()).is_some());
    let board = Hardware { manufacturer: text("Vell"), ..second.hardware.clone() };
    fleet.follow(&[put(&Device { hardware: board.clone(), ..second })], Revision(3));
    assert!(
        fleet.by_hardware(first.hardware.identity()).is_none()
            && fleet.by_hardware(board.identity()).is_some()
    );
    assert_eq!(fleet.count(), [(State::Active, 1)].into());
}

#[test]
fn an_older_commit_that_comes_back_late_changes_nothing() {
    // Goal: a quarantine is not undone by a slower heartbeat. Method: follow two commits in the wrong order.
    let fleet = Fleet::default();
    let active = device(1, 10);
    let quarantined = active.after(Act::Quarantine, text("beacons"), NOW).expect("possible");
    let followed = fleet.follow(&[put(&quarantined)], Revision(9));
    assert_eq!(followed.cut_off, [Sha256([10; 32])]);
    fleet.follow(&[put(&active)], Revision(8));
    assert_eq!(fleet.get(id(1)).map(|member| member.device.state), Some(State::Quarantined));
}

#[test]
fn a_removed_device_is_not_brought_back_by_an_older_document() {
    // Goal: who was denied is gone for good. Method: a removal that comes before an older write of the same device; a
    // later write counts; no index still names the removed one.
    let fleet = Fleet::default();
    let asks = Device { state: State::Pending, identity: None, asking: Some(asking(3)), ..device(1, 10) };
    fleet.follow(&[put(&asks)], Revision(3));
    assert_eq!((fleet.waiting(NOW), fleet.by_serial(&text("S1")).len()), (1, 1));
    fleet.follow(&[Change::Delete(Key::Device(id(1)))], Revision(9));
    assert_eq!((fleet.waiting(NOW), fleet.by_serial(&text("S1")).len()), (0, 0));
    assert!(fleet.by_hardware(asks.hardware.identity()).is_none());
    fleet.follow(&[put(&asks)], Revision(8));
    assert!(fleet.get(id(1)).is_none(), "delivered late");
    fleet.follow(&[put(&asks)], Revision(10));
    assert!(fleet.get(id(1)).is_some());
}

#[test]
fn serials_and_the_line_are_found_as_a_search_of_all_would_find_them() {
    // Goal: the indexes say what the members say. Method: serials that change, keys that ask and ask no more, against a
    // plain search.
    let fleet = Fleet::default();
    for step in 0_u8..60 {
        let serial = text(&format!("S{}", step % 7));
        let known = device(step % 5, step);
        let hardware = Hardware { serial, ..known.hardware.clone() };
        let asking = (step % 3 == 0).then(|| asking(step));
        fleet.follow(&[put(&Device { hardware, asking, ..known })], Revision(u64::from(step) + 1));
        let all = fleet.all();
        for number in 0..7 {
            let serial = text(&format!("S{number}"));
            let found: Vec<DeviceId> = fleet.by_serial(&serial).iter().map(|member| member.id()).collect();
            let searched = all.iter().filter(|member| member.device.hardware.serial == serial);
            assert_eq!(found, searched.map(|member| member.id()).collect::<Vec<_>>(), "step {step}");
        }
        let waiting = all.iter().filter(|member| member.device.asking.is_some()).count();
        assert_eq!(fleet.waiting(NOW), waiting, "step {step}");
    }
}

fn asking(key: u8) -> Asking {
    Asking { key: Sha256([key; 32]), at: NOW, from: text("192.0.2.7"), with: text("nothing"), approved: None }
}

#[test]
fn what_was_heard_survives_a_commit_and_is_written_down_once() {
    // Goal: heartbeats are coalesced. Method: hear news, the same again, a person's commit meanwhile, an hour.
    let fleet = Fleet::default();
    fleet.follow(&[put(&device(1, 10))], Revision(1));
    let mut version = fleet.version();
    version.mark_unchanged();
    assert!(fleet.heard(id(1), Some(report(InterlockState::Standby)), None, NOW));
    assert!(version.has_changed().expect("alive"));
    version.mark_unchanged();
    assert!(!fleet.heard(id(1), Some(report(InterlockState::Standby)), None, NOW.plus_seconds(5)));
    assert!(!version.has_changed().expect("alive"), "a heartbeat without news wakes nobody");
    let moved = Device { reason: text("moved"), ..device(1, 10) };
    fleet.follow(&[put(&moved)], Revision(2));
    let due = fleet.get(id(1)).and_then(|member| member.unwritten()).expect("due");
    assert_eq!((due.reason.as_str(), due.last_seen), ("moved", Some(NOW.plus_seconds(5))));
    assert_eq!(due.report, Some(report(InterlockState::Standby)));
    fleet.follow(&[put(&due)], Revision(3));
    let member = fleet.get(id(1)).expect("there");
    assert_eq!(member.unwritten(), None);
    fleet.heard(id(1), None, None, NOW.plus_seconds(5 + SEEN_S - 1));
    assert!(fleet.get(id(1)).expect("there").unwritten().is_none());
    fleet.heard(id(1), None, None, NOW.plus_seconds(5 + SEEN_S));
    assert!(fleet.get(id(1)).expect("there").unwritten().is_some(), "seen at least once an hour");
    assert_eq!(member.seen, Some(NOW.plus_seconds(5)), "a snapshot does not change under its reader");
    assert!(!fleet.heard(id(9), Some(report(InterlockState::Standby)), None, NOW), "nobody of that name");
}

#[test]
fn a_request_for_a_go_stays_urgent_until_it_is_written() {
    // Goal: a conflict does not send it to the round of all. Method: ask, fail to write, ask again; then write.
    let fleet = Fleet::default();
    fleet.follow(&[put(&device(1, 10))], Revision(1));
    let wants = Wanted { order: "w1".parse().expect("a name"), action: Action::Install };
    let asking = Report { wants: Some(wants), ..report(InterlockState::Standby) };
    fleet.heard(id(1), Some(asking), None, NOW);
    assert_eq!(fleet.take_urgent().len(), 1);
    assert!(fleet.take_urgent().is_empty(), "taken up by somebody");
    fleet.urgent_again([id(1)]);
    let due = fleet.take_urgent().first().and_then(|member| member.unwritten()).expect("still due");
    fleet.follow(&[put(&due)], Revision(2));
    fleet.urgent_again([id(1)]);
    assert!(fleet.take_urgent().is_empty(), "it is written");
}

#[test]
fn what_decides_about_a_go_is_written_down_for_those_who_decide_elsewhere() {
    // Goal: no other server calls a device silent that speaks here, or waits for one that is free. Method: an asking
    // device that comes free; one that is armed and says nothing new for a minute.
    let fleet = Fleet::default();
    fleet.follow(&[put(&device(1, 10))], Revision(1));
    let say = |state, codes: &[&str], at: i64| {
        let wants = Wanted { order: "w1".parse().expect("a name"), action: Action::Install };
        let mut said = Report { wants: Some(wants), ..report(InterlockState::Standby) };
        said.update.state = state;
        let blocked = |code: &&str| Blocked { code: text(code), sentence: text(code) };
        said.update.blocked_by = codes.iter().map(blocked).collect();
        fleet.heard(id(1), Some(said), None, NOW.plus_seconds(at));
    };
    let write = |revision| {
        let due = fleet.get(id(1)).and_then(|member| member.unwritten()).expect("due");
        fleet.follow(&[put(&due)], Revision(revision));
    };
    say(UpdateState::Waiting, &["no-permit", "interlock"], 0);
    assert_eq!(fleet.take_urgent().len(), 1);
    write(2);
    say(UpdateState::Waiting, &["no-permit"], 1);
    assert_eq!(fleet.take_urgent().len(), 1, "it is free now");
    write(3);
    say(UpdateState::Waiting, &["no-permit"], 600);
    assert!(fleet.get(id(1)).expect("there").unwritten().is_none(), "it waits for its turn");
    say(UpdateState::Armed, &[], 700);
    write(4);
    say(UpdateState::Armed, &[], 759);
    assert!(fleet.get(id(1)).expect("there").unwritten().is_none());
    say(UpdateState::Armed, &[], 760);
    assert!(fleet.get(id(1)).expect("there").unwritten().is_some(), "heard again with the go in its hand");
}

#[test]
fn what_was_gathered_is_never_of_a_document_that_is_no_more() {
    // Goal: no score stands on what a device said before. Method: each kind of document in turn, and news; after each what is
    // gathered is new and that of the documents as they are. A heartbeat makes nothing anew.
    let fleet = Fleet::default();
    fleet.follow([&put(&device(1, 10))], Revision(1));
    let gathered = || {
        let member = fleet.get(id(1)).expect("there");
        assert_eq!(*member.gathered(), Gathered::of(&member));
        member.gathered().clone()
    };
    let mut before = gathered();
    let mut is_new = |what: &str| {
        let after = gathered();
        assert_ne!(after, before, "{what}");
        before = after;
    };
    let impact = Impact { patient_data: Some(PatientData::Bulk), ..Impact::default() };
    let moved = Placement { impact, ..device(1, 10).placement };
    fleet.follow([&put(&Device { placement: moved, ..device(1, 10) })], Revision(2));
    is_new("its document");
    let row = Row { section: Section::Posture, key: text("secure-boot"), fields: vec!["no".into()] };
    let inventory = wire::write(&Inventory::new(vec![row]));
    fleet.follow([&Change::Put(Key::Inventory(id(1)), inventory)], Revision(3));
    is_new("its inventory");
    let (key, body) = finding("0");
    fleet.follow([&Change::Put(key.clone(), body)], Revision(4));
    is_new("a finding");
    fleet.follow([&Change::Delete(key)], Revision(5));
    is_new("a finding that is gone");
    fleet.heard(id(1), Some(report(InterlockState::Standby)), None, NOW);
    is_new("what it says");
    let (key, body) = proof(1, Outcome::WentBack);
    fleet.follow([&Change::Put(key, body)], Revision(6));
    is_new("a receipt");
    let kept = gathered();
    fleet.heard(id(1), Some(report(InterlockState::Standby)), None, NOW.plus_seconds(60));
    let member = fleet.get(id(1)).expect("there");
    assert_eq!((member.seen, member.gathered()), (Some(NOW.plus_seconds(60)), &kept));
}

#[test]
fn findings_and_receipts_are_held_within_bounds() {
    // Goal: no device fills the memory. Method: one more of each than may be held.
    let fleet = Fleet::default();
    fleet.follow(&[put(&device(1, 10))], Revision(1));
    for number in 0..=FINDINGS {
        let (key, body) = finding(&number.to_string());
        fleet.follow(&[Change::Put(key, body)], Revision(2));
    }
    let held = fleet.get(id(1)).expect("there").findings.len();
    assert_eq!(held, FINDINGS);
    let (known, body) = finding("0");
    fleet.follow(&[Change::Put(known.clone(), body)], Revision(3));
    fleet.follow(&[Change::Delete(known)], Revision(4));
    assert_eq!(fleet.get(id(1)).expect("there").findings.len(), FINDINGS - 1);
    for number in 0..=u8::try_from(RECEIPTS).expect("small") {
        let (key, body) = proof(number, Outcome::Confirmed);
        fleet.follow(&[Change::Put(key.clone(), body.clone()), Change::Put(key, body)], Revision(5));
    }
    let receipts = fleet.get(id(1)).expect("there").receipts.clone();
    assert_eq!(
        (receipts.len(), receipts[0].received),
        (RECEIPTS, Timestamp(1)),
        "the oldest went, none stands twice"
    );
}

fn proof(number: u8, outcome: Outcome) -> (Key, Vec<u8>) {
    let body = ReceiptBody {
        device: id(1),
        hardware: device(1, 10).hardware.identity(),
        order: "o-1".parse().expect("a name"),
        action: Action::Install,
        outcome,
        release: None,
        counter: number.into(),
        sha256: Sha256([0; 32]),
        previous_sha256: Sha256([0; 32]),
        slot: text("A"),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: NOW,
        reason: None,
    };
    let receipt = Receipt::sign(&body, |_| Ok::<_, ()>(vec![number])).expect("signs");
    let bytes = wire::write(&receipt);
    let order: Name = "o-1".parse().expect("a name");
    let key = Key::Receipt { order, device: id(1), digest: Sha256::of(&bytes) };
    (key, Proof::new(&bytes, Sha256([10; 32]), Timestamp(number.into())).to_body())
}

proptest! {
    #[test]
    fn any_document_is_followed_or_passed_over_without_a_panic(body: Vec<u8>) {
        let fleet = Fleet::default();
        let (finding, _) = finding("0");
        let (receipt, _) = proof(1, Outcome::Confirmed);
        for key in [Key::Device(id(1)), Key::Inventory(id(1)), finding, receipt] {
            let _ = fleet.follow(&[Change::Put(key, body.clone())], Revision(1));
        }
        prop_assert!(fleet.all().is_empty());
    }
}

/// One of a history of documents of one device, each with its own mark.
fn document(number: u64) -> Change {
    let mark = number.to_string();
    match number % 4 {
        0 => put(&Device { reason: text(&mark), ..device(1, 10) }),
        1 => {
            let row = Row { section: Section::Posture, key: text(&mark), fields: vec![mark] };
            Change::Put(Key::Inventory(id(1)), wire::write(&Inventory::new(vec![row])))
        }
        2 => {
            let (key, body) = finding(&(number % 3).to_string());
            let mut record: triage::Record = serde_json::from_slice(&body).expect("a record");
            record.assigned = Some(mark);
            Change::Put(key, serde_json::to_vec(&record).expect("JSON"))
        }
        _ => Change::Delete(finding(&(number % 3).to_string()).0),
    }
}

fn seen(fleet: &Fleet) -> impl PartialEq + std::fmt::Debug {
    let member = fleet.get(id(1)).expect("there");
    let root = member.inventory.as_ref().map(|inventory| inventory.root);
    let findings: Vec<_> = member.findings.values().map(|record| record.assigned.clone()).collect();
    (member.device.reason.clone(), member.revision, root, findings)
}

proptest! {
    #[test]
    fn any_order_of_delivery_ends_in_the_same_view(
        order in Just((1..40_u64).collect::<Vec<_>>()).prop_shuffle(),
        again in proptest::collection::vec(1..40_u64, 0..20),
    ) {
        // Goal: own commits and the follower may meet in any order, and twice. Method: a history, shuffled.
        let (straight, shuffled) = (Fleet::default(), Fleet::default());
        for fleet in [&straight, &shuffled] {
            fleet.follow(&[document(0)], Revision(1));
        }
        for number in 1..40 {
            straight.follow(&[document(number)], Revision(number + 1));
        }
        for number in order.into_iter().chain(again) {
            let (change, revision) = (document(number), Revision(number + 1));
            shuffled.follow([&change], revision);
            prop_assert!(shuffled.has(change.key(), revision));
        }
        prop_assert_eq!(seen(&straight), seen(&shuffled));
    }
}
