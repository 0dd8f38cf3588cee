//! What the devices of the bench went through: their receipts, their findings, the releases of their models.
//!
//! By the number of a device alone, so that each run weighs the same. Read next: [`super`].

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::{DeviceId, Name, Sha256, Text};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;
use cordon_proto::wire;
use cordon_server_core::change::Key;
use cordon_server_core::device::{Device, Proof};
use cordon_server_core::risk::gather::Newest;
use cordon_server_core::triage;

/// Models of the fleet.
const MODELS: usize = 10;
/// What was published for them.
const ORDER: &str = "0187";

/// The newest release of each model: what runs is one behind.
pub(super) fn newest() -> BTreeMap<Text, Newest> {
    let newest = |model: usize| {
        let newest = Newest {
            release: "bench/4.2".parse().expect("a path"),
            counter: 42,
            known: vec![(41, Timestamp(1_770_000_000)), (42, Timestamp(1_780_000_000))],
        };
        (Text::lossy(&format!("Model-{model}")), newest)
    };
    (0..MODELS).map(newest).collect()
}

/// The orders that were published.
pub(super) fn orders() -> BTreeSet<Name> {
    BTreeSet::from([order()])
}

fn order() -> Name {
    ORDER.parse().expect("a name")
}

/// The receipts of a device: what it confirmed once, and how it ended the last time.
pub(super) fn receipts(device: &Device, number: usize, now: Timestamp) -> Vec<(Key, Vec<u8>)> {
    let failed = (number % 20 == 3).then_some(Outcome::RolledBack);
    let returned = (number % 50 == 7).then_some(Outcome::WentBack);
    let outcomes = [Some(Outcome::Confirmed), failed, returned].into_iter().flatten();
    outcomes
        .zip(-3..)
        .map(|(outcome, days)| receipt(device, outcome, now.plus_seconds(days * 86_400)))
        .collect()
}

fn receipt(device: &Device, outcome: Outcome, at: Timestamp) -> (Key, Vec<u8>) {
    let body = ReceiptBody {
        device: device.id,
        hardware: device.hardware.identity(),
        order: order(),
        action: Action::Install,
        outcome,
        release: Some("bench/4.1".parse().expect("a path")),
        counter: 41,
        sha256: Sha256([4; 32]),
        previous_sha256: Sha256([3; 32]),
        slot: Text::lossy("A"),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: at,
        reason: None,
    };
    let Ok(signed) = Receipt::sign::<Infallible>(&body, |_| Ok(vec![1]));
    let bytes = wire::write(&signed);
    let key = Key::Receipt { order: body.order, device: device.id, digest: Sha256::of(&bytes) };
    (key, Proof::new(&bytes, Sha256([5; 32]), at).to_body())
}

/// The findings of a device, if it has any.
pub(super) fn findings(device: DeviceId, number: usize, now: Timestamp) -> Vec<(Key, Vec<u8>)> {
    if number % 10 != 1 {
        return Vec::new();
    }
    vec![finding(device, ("beacon", Severity::High), now), finding(device, ("listener", Severity::Low), now)]
}

fn finding(device: DeviceId, (detector, severity): (&str, Severity), now: Timestamp) -> (Key, Vec<u8>) {
    let last = now.plus_seconds(-86_400);
    let found = Finding {
        detector: detector.parse().expect("a name"),
        key: Text::lossy("198.51.100.7"),
        first: last,
        last,
        count: 4,
        peer: None,
        severity,
        attack: Vec::new(),
        evidence: BTreeMap::new(),
        title: Text::lossy("Calls an unknown address every minute"),
        what_changed: Text::lossy("since yesterday"),
        why_it_matters: Text::lossy("Malware asks for orders so."),
        how_sure: Text::lossy("high"),
        what_to_do: Text::lossy("Look at the address."),
    };
    let (record, _) = triage::take_in(None, device, found, last);
    let digest = Sha256::of(format!("{detector} 198.51.100.7").as_bytes());
    (Key::Finding { device, finding: digest }, serde_json::to_vec(&record).expect("a record is JSON"))
}
