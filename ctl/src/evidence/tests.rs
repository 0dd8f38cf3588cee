//! What is told of a pack beside the lists of its orders: whose words count, and who is missing.

use cordon_proto::audit::{Head, SignedHead};
use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::{DeviceId, Hardware, Sha256};
use cordon_proto::receipt::ReceiptBody;
use cordon_proto::update::key::KeyId;
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use cordon_server_core::evidence::Word;
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;
use crate::order::list::ScopeList;

const LIST: &str = "Halden\tVP-3\t1\nHalden\tVP-3\t2\n";

fn hardware(serial: &str) -> HardwareId {
    let text = |text: &str| text.parse().unwrap();
    let (manufacturer, model, revision) = (text("Halden"), text("VP-3"), text("C"));
    Hardware { manufacturer, model, revision, serial: text(serial) }.identity()
}

fn approved(list: &ScopeList) -> Approved {
    let image = Image { release: "vp-3/2".parse().unwrap(), length: 9, sha256: Sha256([2; 32]) };
    let order = Order {
        id: "o-1".parse().unwrap(),
        repository: "halden".parse().unwrap(),
        image,
        scope: Scope::Set { root: list.root(), count: list.count() },
        issued: Timestamp(0),
        not_before: Timestamp(0),
        expires: Timestamp(100),
        windows: vec![Window::ALWAYS],
        back: None,
        permit_s: None,
        reason: "closes a hole".parse().unwrap(),
    };
    let signed_by = vec![KeyId("a".repeat(64)), KeyId("b".repeat(64))];
    Approved { order, document: 1, signed_by, threshold: 2 }
}

fn confirmed(serial: &str) -> Word {
    let body = ReceiptBody {
        device: DeviceId::from_random([7; 16]),
        hardware: hardware(serial),
        order: "o-1".parse().unwrap(),
        action: Action::Install,
        outcome: Outcome::Confirmed,
        release: None,
        counter: 2,
        sha256: Sha256([2; 32]),
        previous_sha256: Sha256([1; 32]),
        slot: "B".parse().unwrap(),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: Timestamp(50),
        reason: None,
    };
    Word { issue: 0, body }
}

/// A pack of one order for two devices, of which these have confirmed.
fn pack(serials: &[&str]) -> Verified {
    let log = SigningKey::from_bytes(&[9; 32]);
    let head = Head { log: log.verifying_key().to_bytes(), size: 1, root: [0; 32], at: Timestamp(60) };
    let signature = log.sign(&head.signed_bytes()).to_bytes();
    Verified {
        owner: "cordon.example".to_owned(),
        asked: "order:o-1".to_owned(),
        made: Timestamp(60),
        orders: vec![approved(&ScopeList::parse(LIST).unwrap())],
        words: serials.iter().map(|serial| confirmed(serial)).collect(),
        others: 0,
        outside: 0,
        renamed: 0,
        available: Vec::new(),
        rollouts: Vec::new(),
        entries: 0,
        lines: 9,
        head: SignedHead::new(head, signature).unwrap(),
        kept: Vec::new(),
    }
}

fn judged(verified: Verified, lists: &[&str]) -> Result<Report, Failure> {
    let lists = lists.iter().map(|text| ScopeList::parse(text).unwrap()).collect();
    Ok(told(&Judged::of(verified, lists)?))
}

#[test]
fn a_receipt_of_hardware_that_is_not_on_the_list_counts_for_nothing() {
    // Goal: whoever holds the authority does not confirm for a pump that kept silent. Method: two devices in the list; one
    // of them and a stranger confirmed; with the list, and without it.
    let with = judged(pack(&["1", "9"]), &[LIST]).expect("its own list");
    assert!(with.text.contains("  devices    1 confirmed,"), "{}", with.text);
    assert!(with.text.contains(", 1 without a proof\n"), "{}", with.text);
    assert!(with.text.contains("missing    1 devices proved nothing"), "{}", with.text);
    assert!(with.text.contains("1 receipts are of devices outside the lists"), "{}", with.text);
    let order = &with.json["orders"][0];
    assert_eq!((&order["confirmed"], &order["missing"]), (&json!(1), &json!(1)));
    assert_eq!(order["absent"][0]["name"], "Halden VP-3 2");
    assert_eq!(with.json["outside"], 1);
    let without = judged(pack(&["1", "9"]), &[]).expect("no list");
    assert!(without.text.contains("2 confirmed"), "{}", without.text);
    assert!(without.text.contains("at least 0 without a proof"), "{}", without.text);
}

#[test]
fn the_measures_and_the_makers_report_count_the_listed_too() {
    // Goal: one pack has one count. Method: the same stranger; the measures and the report of what is left.
    let lists = vec![ScopeList::parse(LIST).unwrap()];
    let Judged { verified, .. } = Judged::of(pack(&["1", "9"]), lists).expect("its own list");
    let known = [Known { name: "CVE-2026-1".to_owned(), at: Timestamp(0) }];
    assert_eq!(measures(&cases(&verified, &known), verified.made).patched_permille, Some(500));
    let report = String::from_utf8(maker_report(&verified, &BTreeSet::new()).json()).unwrap();
    assert!(report.contains("\"confirmed\":1"), "{report}");
}

#[test]
fn a_list_of_no_order_is_refused() {
    // Goal: nobody is missed in silence. Method: a list of other devices; the list of a part of them.
    for foreign in ["Halden\tVP-3\t9\n", "Halden\tVP-3\t1\n"] {
        let refused = judged(pack(&["1"]), &[LIST, foreign]).expect_err("a foreign list").to_string();
        assert!(refused.contains("is of no order in this pack"), "{refused}");
    }
}

#[test]
fn a_device_under_two_identities_is_told() {
    // Goal: a certificate that somebody made for a pump is at least seen as one too many. Method: the count in words.
    let told = judged(Verified { renamed: 1, ..pack(&["1"]) }, &[]).expect("no list");
    assert!(told.text.contains("1 devices spoke under more than one identity"), "{}", told.text);
    assert_eq!(told.json["renamed"], 1);
}
