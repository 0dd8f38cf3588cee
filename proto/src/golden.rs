//! Golden samples of the device wire: bytes that every later version must still read, for ever.
//!
//! Tests only. A change that alters a sample breaks devices in the field: add a new sample beside the old one
//! instead. `proto/golden/v1/*.hex` holds the bytes; the values stand here.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;

use minicbor::{Decode, Encode};

use crate::authorities::{Authorities, RootSignature, SignedAuthorities};
use crate::checkin::{
    Action, Blocked, CheckinAnswer, CheckinRequest, ContentFault, ContentOffer, InterlockState, OrderOffer,
    Permit, PermitRequest, ScopeProof, SensorReport, Software, UpdateReport, UpdateState, WaitAnswer,
    WaitRequest,
};
use crate::farewell::{Cause, Farewell, FarewellBody};
use crate::health;
use crate::ids::{DeviceId, Hardware, Sha256, Text};
use crate::inventory::delta::{Delta, RowName};
use crate::inventory::packed::Packed;
use crate::inventory::{Inventory, Row, Section};
use crate::receipt::{Outcome, Receipt, ReceiptBody};
use crate::telemetry::{
    Batch, BatchAnswer, Body, Direction, Finding, FlowRow, Gap, GapReason, Position, Protocol, SensorChange,
    Severity, UpdateEvent,
};
use crate::time::{Millis, Timestamp};
use crate::wire;

fn text(value: &str) -> Text {
    value.parse().expect("a valid text")
}

fn hardware() -> Hardware {
    Hardware {
        manufacturer: text("Halden"),
        model: text("VP-3"),
        revision: text("C"),
        serial: text("VP3-004417"),
    }
}

fn blocked() -> Blocked {
    Blocked { code: text("interlock"), sentence: text("In use since 11:40. Reboots only in standby.") }
}

fn request() -> CheckinRequest {
    CheckinRequest {
        boot: 7,
        device_time: Timestamp(1_795_251_906),
        agent_version: text("0.1.0"),
        uptime_s: 3600,
        hardware: hardware(),
        software: Software {
            release: Some("vp-3/4.1.0".parse().expect("a path")),
            counter: 41,
            sha256: Sha256([0x11; 32]),
            floor: 40,
            slot: text("A"),
        },
        update: UpdateReport {
            state: UpdateState::Waiting,
            order: Some("0187".parse().expect("a name")),
            blocked_by: vec![blocked()],
            fetched_bytes: 65_536,
        },
        interlock: InterlockState::InUse,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 12, learning: false },
        inventory_root: Sha256([0x22; 32]),
        key_protection: text("file"),
        spool_records: 3,
        spool_lost: 0,
        content_version: 0,
        director_root_version: 1,
        want_permit: Some(PermitRequest { order: "0187".parse().expect("a name"), action: Action::Install }),
        sequence: 0,
        run: 0,
        machine: None,
        ca_version: 0,
        content_fault: None,
    }
}

/// As [`request`], from an agent that counts its check-ins.
fn counted_request() -> CheckinRequest {
    CheckinRequest {
        sequence: 12,
        run: 0x0123_4567_89ab_cdef,
        machine: Some(Sha256([0x77; 32])),
        ca_version: 2,
        ..request()
    }
}

/// As [`counted_request`], from a device that gave a content back.
fn faulty_request() -> CheckinRequest {
    let fault = ContentFault {
        content: "icu-quiet".parse().expect("a name"),
        version: 3,
        why: Blocked { code: text("content-crash"), sentence: text("It is in force no more.") },
    };
    CheckinRequest { content_version: 2, content_fault: Some(fault), ..counted_request() }
}

/// As [`answer`], with a content for the device.
fn content_answer() -> CheckinAnswer {
    let proof = ScopeProof { index: 0, hashes: vec![Sha256([0x66; 32])] };
    let offer = ContentOffer { content: "icu-quiet".parse().expect("a name"), proof: Some(proof) };
    CheckinAnswer { ca_version: 2, content_version: 3, content: Some(offer), ..answer() }
}

/// As [`content_answer`], from a server that holds an earlier inventory.
fn base_answer() -> CheckinAnswer {
    CheckinAnswer { inventory_base: Some(Sha256([0x99; 32])), reads_packed: Some(true), ..content_answer() }
}

fn answer() -> CheckinAnswer {
    CheckinAnswer {
        time: Timestamp(1_795_251_907),
        order: Some(OrderOffer {
            order: "0187".parse().expect("a name"),
            proof: Some(ScopeProof { index: 2, hashes: vec![Sha256([0x33; 32]), Sha256([0x44; 32])] }),
            action: Action::Install,
        }),
        permit: Some(Permit {
            order: "0187".parse().expect("a name"),
            action: Action::Install,
            until: Timestamp(1_795_252_807),
        }),
        content_version: 0,
        ca_bundle: Some(Sha256([0x55; 32])),
        audit_head: None,
        next_s: 300,
        want_inventory: true,
        director_version: 9,
        wait_token: 77,
        ca_version: 0,
        content: None,
        inventory_base: None,
        reads_packed: None,
    }
}

fn finding() -> Finding {
    Finding {
        detector: "beacon".parse().expect("a name"),
        key: text("203.0.113.0/16 443/tcp"),
        first: Timestamp(1_795_240_000),
        last: Timestamp(1_795_251_900),
        count: 190,
        peer: Some(text("203.0.113.9")),
        severity: Severity::Critical,
        attack: vec![text("T1071")],
        evidence: [("period-s".to_owned(), "60".to_owned())].into(),
        title: text("Calls one outside address every 60 seconds"),
        what_changed: text("Since 05:58 today. It never did while learning."),
        why_it_matters: text("A fixed rhythm to a new address is how planted software asks for orders."),
        how_sure: text("High. 190 connections, the gap varies by 0.8 s."),
        what_to_do: text("Quarantine it. If the address is a service of yours, allow it."),
    }
}

fn flow() -> FlowRow {
    FlowRow {
        start: Timestamp(1_795_248_000),
        end: Timestamp(1_795_251_600),
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        peer: text("10.40.2.9"),
        port: 5671,
        connections: 12,
        bytes_out: 12_300,
        bytes_in: 4_560,
        minutes: vec![0, 5, 10],
        known: Some(true),
    }
}

fn batch() -> Batch {
    let inventory = Inventory::new(vec![Row {
        section: Section::Package,
        key: text("deb/openssl/amd64"),
        fields: vec!["3.0.19-1".to_owned(), "openssl".to_owned(), "3.0.19-1".to_owned()],
    }]);
    let gap = Gap {
        after: Position { boot: 6, sequence: 9 },
        before: Position { boot: 6, sequence: 14 },
        count: 4,
        reason: GapReason::SpoolFull,
    };
    let bodies = [
        Body::Flows(flow()),
        Body::Finding(finding()),
        Body::Inventory(inventory),
        Body::Gap(gap),
        Body::Sensor(SensorChange { tier: None, reason: text("netlink refused") }),
        Body::Update(UpdateEvent { order: None, state: UpdateState::Idle, note: Some(text("no order")) }),
    ];
    let record = |(sequence, body): (u64, &Body)| {
        body.record(Position { boot: 7, sequence }, Millis(1_795_251_906_123))
    };
    Batch { records: (1..).zip(&bodies).map(record).collect() }
}

/// Bodies of kinds that were added after [`batch`].
fn later_batch() -> Batch {
    let name = RowName { section: Section::Package, key: text("deb/libgone/amd64") };
    let row = Row {
        section: Section::Package,
        key: text("deb/openssl/amd64"),
        fields: vec!["3.0.20-1".to_owned(), "openssl".to_owned(), "3.0.20-1".to_owned()],
    };
    let delta =
        Delta { base: Sha256([0x22; 32]), root: Sha256([0x99; 32]), removed: vec![name], added: vec![row] };
    let packed = Packed::of(&Inventory::new(delta.added.clone())).expect("no value holds a mark");
    let bodies =
        [Body::Health(health::tests::sample()), Body::InventoryDelta(delta), Body::InventoryPacked(packed)];
    let record = |(sequence, body): (u64, &Body)| {
        body.record(Position { boot: 7, sequence }, Millis(1_795_251_906_123))
    };
    Batch { records: (7..).zip(&bodies).map(record).collect() }
}

/// A record of health that counts services and blocks, as agents write it since they do.
fn newest_batch() -> Batch {
    let health = Body::Health(health::tests::looping());
    let position = Position { boot: 7, sequence: 10 };
    Batch { records: vec![health.record(position, Millis(1_795_251_906_123))] }
}

fn receipt() -> Receipt {
    let body = ReceiptBody {
        device: DeviceId::from_random([9; 16]),
        hardware: hardware().identity(),
        order: "0187".parse().expect("a name"),
        action: Action::Install,
        outcome: Outcome::Confirmed,
        release: Some("vp-3/4.2.2".parse().expect("a path")),
        counter: 42,
        sha256: Sha256([0x66; 32]),
        previous_sha256: Sha256([0x11; 32]),
        slot: text("B"),
        boots: 1,
        floor: 40,
        interlock: InterlockState::Standby,
        time: Timestamp(1_795_252_000),
        reason: None,
    };
    Receipt::sign::<()>(&body, |_| Ok(vec![0x30, 0x00])).expect("the signer does not fail")
}

fn farewell() -> Farewell {
    let body = FarewellBody {
        device: DeviceId::from_random([9; 16]),
        hardware: hardware().identity(),
        cause: Cause::Retired,
        time: Timestamp(1_795_252_000),
        counter: 42,
        sha256: Sha256([0x66; 32]),
        records_unsent: 3,
    };
    Farewell::sign::<()>(&body, |_| Ok(vec![0x30, 0x00])).expect("the signer does not fail")
}

fn authorities() -> SignedAuthorities {
    let bundle =
        Authorities { version: 2, issued: Timestamp(1_795_252_000), roots: vec![vec![0x30, 0x01].into()] };
    SignedAuthorities {
        body: wire::write(&bundle).into(),
        signatures: vec![RootSignature { key: Sha256([0x88; 32]), signature: vec![0x30, 0x00].into() }],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok()).expect("a digit");
    text.trim().as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, c| byte << 4 | digit(c))).collect()
}

/// The sample must read as `value` (old bytes, this reader) and `value` must write the sample (this writer, old readers).
fn same<T>(name: &str, sample: &str, value: &T)
where
    T: PartialEq + Debug + Encode<()> + for<'b> Decode<'b, ()>,
{
    assert_eq!(hex(&wire::write(value)), sample.trim(), "{name}: this version writes other bytes");
    assert_eq!(&wire::read::<T>(&unhex(sample), 1 << 20).expect("reads"), value, "{name}");
}

/// The sample of an earlier version, which has fewer fields, must read as `value`.
fn reads<T>(name: &str, sample: &str, value: &T)
where
    T: PartialEq + Debug + for<'b> Decode<'b, ()>,
{
    assert_eq!(&wire::read::<T>(&unhex(sample), 1 << 20).expect("reads"), value, "{name}");
}

#[test]
fn samples_of_version_one_parse_for_ever() {
    // Goal: devices in the field and servers of later versions understand each other. Method: stored bytes.
    reads("checkin-request", include_str!("../golden/v1/checkin-request.hex"), &request());
    reads("checkin-answer", include_str!("../golden/v1/checkin-answer.hex"), &answer());
    same("checkin-request-2", include_str!("../golden/v1/checkin-request-2.hex"), &counted_request());
    same("checkin-request-3", include_str!("../golden/v1/checkin-request-3.hex"), &faulty_request());
    same("checkin-answer-3", include_str!("../golden/v1/checkin-answer-3.hex"), &content_answer());
    same(
        "checkin-answer-2",
        include_str!("../golden/v1/checkin-answer-2.hex"),
        &CheckinAnswer { ca_version: 2, ..answer() },
    );
    same("farewell", include_str!("../golden/v1/farewell.hex"), &farewell());
    same("authorities", include_str!("../golden/v1/authorities.hex"), &authorities());
    same(
        "wait-request",
        include_str!("../golden/v1/wait-request.hex"),
        &WaitRequest { token: 77, max_s: 300 },
    );
    same(
        "wait-answer",
        include_str!("../golden/v1/wait-answer.hex"),
        &WaitAnswer { token: 78, changed: true },
    );
    same("checkin-answer-4", include_str!("../golden/v1/checkin-answer-4.hex"), &base_answer());
    same("batch", include_str!("../golden/v1/batch.hex"), &batch());
    same("batch-2", include_str!("../golden/v1/batch-2.hex"), &later_batch());
    same("batch-3", include_str!("../golden/v1/batch-3.hex"), &newest_batch());
    let stored = BatchAnswer { stored_through: Position { boot: 7, sequence: 6 }, duplicates: 1 };
    same("batch-answer", include_str!("../golden/v1/batch-answer.hex"), &stored);
    same("receipt", include_str!("../golden/v1/receipt.hex"), &receipt());
}

#[test]
fn bodies_of_a_batch_read_back_and_unknown_kinds_survive() {
    // Goal: an older server keeps what a newer agent sends. Method: every known kind, then a kind of the future.
    let mut batch = batch();
    batch.records.extend(later_batch().records);
    for record in &batch.records {
        let body = Body::of(record).expect("reads").expect("known");
        assert_eq!(&body.record(record.position, record.time), record);
    }
    for record in &mut batch.records {
        record.kind = 999;
        assert_eq!(Body::of(record), Ok(None));
    }
    assert_eq!(Batch::read(&wire::write(&batch)), Ok(batch));
}

#[test]
fn newer_fields_are_skipped_and_missing_ones_are_none() {
    // Goal: mixed versions both ways. Method: a wait request with a surplus field; a check-in answer cut after `time`.
    let mut newer = Vec::new();
    minicbor::encode((77_u64, 300_u32, "a field of the future"), &mut newer).expect("encodes");
    assert_eq!(wire::read(&newer, 100), Ok(WaitRequest { token: 77, max_s: 300 }));
    let gap: Result<SensorChange, _> = wire::read(&wire::write(&(Option::<u8>::None, "blind")), 100);
    assert_eq!(gap, Ok(SensorChange { tier: None, reason: text("blind") }));
}

#[test]
fn damaged_messages_are_refused_by_name() {
    // Goal: no panic and a reason for each damage. Method: cut, surplus, limit, order of records.
    let whole = wire::write(&request());
    for length in 0..whole.len() {
        let cut = whole.get(..length).expect("shorter");
        assert!(wire::read::<CheckinRequest>(cut, 1 << 20).is_err(), "cut at {length}");
    }
    let surplus = [whole.as_slice(), &[0]].concat();
    assert_eq!(wire::read::<CheckinRequest>(&surplus, 1 << 20), Err(wire::WireError::Trailing(1)));
    let limit = wire::WireError::TooLarge { found: whole.len(), limit: 10 };
    assert_eq!(wire::read::<CheckinRequest>(&whole, 10), Err(limit));
    let mut swapped = batch();
    swapped.records.reverse();
    assert_eq!(Batch::read(&wire::write(&swapped)), Err(wire::WireError::Malformed));
}

#[test]
fn a_receipt_opens_only_for_its_signer() {
    // Goal: the signature covers the labelled received bytes. Method: a verifier that knows the message.
    let receipt = receipt();
    let mut seen = Vec::new();
    let body = receipt.open(|message, _| {
        seen = message.to_vec();
        true
    });
    assert_eq!(body.map(|b| b.counter), Ok(42));
    assert!(seen.starts_with(b"cordon receipt v1\0") && seen.ends_with(&receipt.body));
    assert_eq!(receipt.open(|_, _| false), Err(crate::receipt::ReceiptError::Signature));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
        let _ = (wire::read::<CheckinRequest>(&bytes, 1024), wire::read::<CheckinAnswer>(&bytes, 1024));
        let _ = (Batch::read(&bytes), wire::read::<Receipt>(&bytes, 1024), wire::read::<ReceiptBody>(&bytes, 1024));
    }

    #[test]
    fn a_flipped_byte_of_a_batch_never_panics(position in 0_usize..1200, flip in 1_u8..) {
        let mut bytes = wire::write(&batch());
        let length = bytes.len();
        if let Some(byte) = bytes.get_mut(position % length) { *byte ^= flip; }
        if let Ok(batch) = Batch::read(&bytes) {
            batch.records.iter().for_each(|record| { let _ = Body::of(record); });
        }
    }
}
