//! Tests of enrolment under faults of the store, of the bounds of the queue, and of what is forgotten.

use std::sync::Arc;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::{Admit, Anchor, Binding};
use cordon_server_core::device::{Access, Act, State, may};

use super::*;
use crate::ca::request::Request as CertificationRequest;
use crate::clock::Clock;
use crate::store::memory::Memory;
use crate::store::{Kind, Store};
use crate::testing::faulty::{Fault, Faulty};
use crate::testing::{Bench, Enrolled, Reply, Wire, csr, device_key, hardware, order, person, text};

const FAULTS: [Fault; 3] = [Fault::Before, Fault::After, Fault::Conflict];

async fn faulty() -> (Bench, Arc<Faulty>) {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let clock = Clock::held(Clock::system().now_ms());
    let bench = Bench::over(store.clone() as Arc<dyn Store>, Bench::laid().await, &[], clock).await;
    (bench, store)
}

async fn renew(bench: &Bench, device: &Enrolled, key: &rcgen::KeyPair) -> Reply {
    let client = bench.client(Some(device));
    let mut wire = Wire::open(bench.server.ready.enrolment, client).await.expect("a connection");
    let body = csr(device.hardware.serial.as_str(), key);
    wire.ask("POST", "/.well-known/est/simplereenroll", &[], body.as_bytes()).await
}

/// What the store has of a device; what is in memory may lag behind a commit whose answer was lost.
async fn stored(bench: &Bench, id: DeviceId) -> Device {
    bench.app().stored_device(id).await.expect("read").expect("there").0
}

async fn opens(bench: &Bench, id: DeviceId, leaf: &CertificateDer<'_>) -> bool {
    let device = stored(bench, id).await;
    may(Some(&device), &Sha256::of(leaf), Access::Telling, bench.clock.now()).is_ok()
}

/// The device that a lost commit made, taken in as a restart or a follower does.
async fn reload(bench: &Bench) {
    bench.app().rebuild().await.expect("read");
}

#[tokio::test]
async fn an_enrolment_that_fails_at_its_commit_succeeds_on_the_next_ask() {
    // Goal: the persistence point of enrolment. Method: each fault at it, then the same request again: one device, one
    // token's worth, a certificate that opens every door.
    for fault in FAULTS {
        let (bench, store) = faulty().await;
        let binding = Binding::Count { count: 1 };
        let token = bench.app().make_token(order(binding), &person()).await.expect("a token");
        let key = device_key();
        store.next(fault);
        let first = bench.ask_to_enrol("A", &key, &token.secret).await;
        assert_eq!(first.status, if fault == Fault::Conflict { 200 } else { 503 }, "{fault:?}");
        reload(&bench).await;
        let leaf = bench.ask_to_enrol("A", &key, &token.secret).await.leaf();
        assert_eq!(bench.ask_to_enrol("A", &device_key(), &token.secret).await.code(), "token_used");
        let id = bench.app().fleet.by_leaf(&Sha256::of(&leaf)).expect("in the table").id();
        assert!(opens(&bench, id, &leaf).await, "{fault:?}");
        assert_eq!((bench.count(Kind::Device).await, bench.count(Kind::Leaf).await), (1, 1));
    }
}

#[tokio::test]
async fn a_renewal_that_fails_at_its_commit_leaves_one_that_works() {
    // Goal: the persistence points of renewal: the certificate's, and its first word's. Method: each fault at each; after
    // every step the device's present certificate still opens its doors; in the end the new one does.
    for (at_renewal, at_word) in FAULTS.iter().flat_map(|one| FAULTS.map(|other| (*one, other))) {
        let (bench, store) = faulty().await;
        let old = bench.enrol("A").await;
        let key = device_key();
        store.next(at_renewal);
        let first = renew(&bench, &old, &key).await;
        assert_eq!(first.status, if at_renewal == Fault::Conflict { 200 } else { 503 }, "{at_renewal:?}");
        reload(&bench).await;
        assert!(opens(&bench, old.id, &old.leaf).await, "{at_renewal:?}");
        let leaf = renew(&bench, &old, &key).await.leaf();
        assert!(opens(&bench, old.id, &old.leaf).await && opens(&bench, old.id, &leaf).await);
        assert_eq!(bench.count(Kind::Leaf).await, 2, "{at_renewal:?}: one certificate for one key");
        let member = bench.app().fleet.get(old.id).expect("there");
        store.next(at_word);
        let word = bench.app().spoke(&member, &Sha256::of(&leaf)).await;
        assert_eq!(word.is_ok(), at_word == Fault::Conflict);
        assert!(opens(&bench, old.id, &leaf).await, "{at_word:?}");
        reload(&bench).await;
        let member = bench.app().fleet.get(old.id).expect("there");
        bench.app().spoke(&member, &Sha256::of(&leaf)).await.expect("heeded");
        assert!(opens(&bench, old.id, &leaf).await && !opens(&bench, old.id, &old.leaf).await);
    }
}

#[tokio::test]
async fn a_key_that_waits_is_noted_or_asks_again() {
    // Goal: the persistence point of waiting. Method: each fault at it; the identity in force is untouched throughout.
    for fault in FAULTS {
        let (bench, store) = faulty().await;
        let old = bench.enrol("A").await;
        let second = bench.token("A").await;
        let key = device_key();
        store.next(fault);
        let first = bench.ask_to_enrol("A", &key, &second.secret).await;
        assert_eq!(first.status, if fault == Fault::Conflict { 202 } else { 503 }, "{fault:?}");
        reload(&bench).await;
        assert_eq!(bench.ask_to_enrol("A", &key, &second.secret).await.status, 202);
        let device = stored(&bench, old.id).await;
        assert!(device.asking.is_some() && opens(&bench, old.id, &old.leaf).await, "{fault:?}");
    }
}

/// A request that brings nothing, as many as are wanted from one proved key.
fn bare(serial: &str, number: u32) -> (admit::Request, DeviceKey) {
    let der = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(csr("A", &device_key())).expect("base64")
    };
    let parsed = CertificationRequest::parse(&der).expect("a request");
    let request = admit::Request {
        credential: Credential::Nothing,
        key: Sha256::of(&number.to_be_bytes()),
        serial: text(serial),
        hardware: None,
        from: text("192.0.2.7"),
        bound: false,
    };
    (request, parsed.key)
}

#[tokio::test]
async fn no_more_wait_than_may_and_none_for_ever() {
    // Goal: APPROVAL_QUEUE and APPROVAL_DAYS. Method: one more than may, at once from many; then two weeks pass.
    let bench = Bench::start(&["enrolment.approval_queue=true"]).await;
    let app = bench.app();
    let most = u32::try_from(limits::APPROVAL_QUEUE).expect("small");
    let (request, key) = bare("S", 0);
    let asks = (0..most + 20).map(|number| {
        let request = admit::Request {
            serial: text(&format!("S{number}")),
            key: Sha256::of(&number.to_be_bytes()),
            ..request.clone()
        };
        let key = &key;
        async move { app.enrol(&request, key).await }
    });
    let answers = futures_util::future::join_all(asks).await;
    let waiting = answers.iter().filter(|answer| matches!(answer, Ok(Granted::Wait(Line::Joined)))).count();
    let full = |answer: &&Result<Granted, EnrolError>| {
        matches!(answer, Err(EnrolError::Refused(Refused::QueueFull)))
    };
    assert_eq!((waiting, answers.iter().filter(full).count()), (limits::APPROVAL_QUEUE, 20));
    let (again, key) = bare("S1", 1);
    assert_eq!(app.enrol(&again, &key).await.expect("waits"), Granted::Wait(Line::Kept));
    bench.clock.hold_at(bench.clock.now_ms().plus(limits::APPROVAL_DAYS * 86_400_000));
    assert_eq!(app.forget_waiting().await.expect("forgotten"), limits::APPROVAL_QUEUE);
    assert_eq!((app.fleet.all().len(), app.fleet.waiting(bench.clock.now())), (0, 0));
    for kind in [Kind::Device, Kind::DeviceBySerial] {
        assert_eq!(bench.count(kind).await, 0, "{kind:?}");
    }
}

#[tokio::test]
async fn a_denied_key_goes_and_does_not_come_back() {
    // Goal: denials are remembered, and what was known by its asking alone is gone. Method: a person's no; ask again.
    let bench = Bench::start(&["enrolment.approval_queue=true"]).await;
    let app = bench.app();
    let (request, key) = bare("A", 1);
    app.enrol(&request, &key).await.expect("waits");
    let id = app.fleet.all()[0].id();
    let (device, _) = app.stored_device(id).await.expect("read").expect("there");
    app.deny((id, request.key), &text("unknown"), &person()).await.expect("denied");
    assert!(app.fleet.get(id).is_none() && app.fleet.by_hardware(device.hardware.identity()).is_none());
    let again = app.enrol(&request, &key).await;
    assert!(matches!(again, Err(EnrolError::Refused(Refused::ApprovalDenied))));
    let (other, key) = bare("A", 2);
    assert_eq!(app.enrol(&other, &key).await.expect("waits"), Granted::Wait(Line::Joined));
    assert_eq!((bench.count(Kind::Device).await, bench.count(Kind::DeviceBySerial).await), (1, 1));
}

#[tokio::test]
async fn a_new_board_takes_the_record_over_and_leaves_the_former_serial() {
    // Goal: a changed main board is no second device. Method: enrol, let the new board ask first with nothing, then with
    // its token; one record under the new serial; the former serial is free for whoever gets the old board.
    let bench = Bench::start(&["enrolment.approval_queue=true"]).await;
    let old = bench.enrol("A").await;
    let key = device_key();
    let header = cordon_proto::enrol::hardware_header(&hardware("B"));
    let headers = [("X-Cordon-Hardware", header.as_str())];
    assert_eq!(bench.simpleenroll(&csr("B", &key), None, &headers).await.status, 202);
    assert_eq!(bench.count(Kind::Device).await, 2);
    let board = Binding::Board { serial: text("B"), instead_of: old.id };
    let token = bench.app().make_token(order(board), &person()).await.expect("a token");
    let leaf = bench.ask_to_enrol("B", &key, &token.secret).await.leaf();
    assert_eq!(
        bench.ask_to_enrol("B", &key, &token.secret).await.leaf(),
        leaf,
        "a lost answer costs nothing"
    );
    let member = bench.app().fleet.by_leaf(&Sha256::of(&leaf)).expect("in the table");
    assert_eq!((member.id(), &member.device.hardware), (old.id, &hardware("B")));
    assert_eq!(member.device.superseded, [Sha256::of(&old.leaf)]);
    assert_eq!((bench.count(Kind::Device).await, bench.count(Kind::DeviceBySerial).await), (1, 1));
    let found = |serial: &str| bench.app().device_by_serial(text("VP-3"), text(serial));
    assert_eq!(found("B").await.expect("read"), Some(old.id));
    assert_eq!(found("A").await.expect("read"), None);
    let again = bench.enrol("A").await;
    assert_ne!(again.id, old.id, "the old board in another machine is another device");
    let taken = Binding::Board { serial: text("A"), instead_of: old.id };
    let token = bench.app().make_token(order(taken), &person()).await.expect("a token");
    assert_eq!(bench.ask_to_enrol("A", &device_key(), &token.secret).await.code(), "serial_taken");
}

#[tokio::test]
async fn an_approved_stranger_is_active_once_and_announced_nowhere_twice() {
    // Goal: the clock decides about a person's yes, too. Method: approve, wait too long, ask.
    let bench = Bench::start(&["enrolment.approval_queue=true"]).await;
    let app = bench.app();
    let (request, key) = bare("A", 1);
    app.enrol(&request, &key).await.expect("waits");
    let device = app.fleet.all()[0].device.clone();
    let now: Timestamp = app.clock.now();
    let yes = admit::approve(&device, &request.key, person().to_string(), now).expect("asks");
    let draft = Commit::draft(now, person()).put(Key::Device(yes.id), yes.to_body());
    app.commit(draft).await.expect("committed");
    bench.clock.hold_at(bench.clock.now_ms().plus(limits::APPROVAL_DAYS * 86_400_000));
    assert_eq!(app.enrol(&request, &key).await.expect("waits"), Granted::Wait(Line::Joined));
    assert_eq!(app.fleet.get(device.id).expect("there").device.state, State::Pending);
}

#[tokio::test]
async fn a_waiting_key_asks_for_news_at_a_measured_pace() {
    // Goal: waiting is not free of bounds, and does not spend what the device itself has. Method: more questions than may
    // be; another device of the same bounds.
    let bench =
        Bench::start(&["enrolment.approval_queue=true", "device.requests=3", "device.requests_per_minute=1"])
            .await;
    let app = bench.app();
    let (request, key) = bare("A", 1);
    assert_eq!(app.enrol(&request, &key).await.expect("waits"), Granted::Wait(Line::Joined));
    for _ in 0..3 {
        assert_eq!(app.enrol(&request, &key).await.expect("waits"), Granted::Wait(Line::Kept));
    }
    assert!(matches!(app.enrol(&request, &key).await, Err(EnrolError::TooOften(1..))));
    let (other, key) = bare("B", 2);
    app.enrol(&other, &key).await.expect("waits");
    assert_eq!(app.enrol(&other, &key).await.expect("waits"), Granted::Wait(Line::Kept));
    let id = app.fleet.by_serial(&text("A"))[0].id();
    assert!(app.device_rates.take(id, app.clock.now_ms()).is_ok(), "the device's own allowance is untouched");
}

#[tokio::test]
async fn a_board_in_the_line_takes_nobodys_serial_before_the_yes() {
    // Goal: what waits changes nothing. Method: a quarantined device's new board waits; the index of serials and whoever
    // asks under the new serial stay as they are; the yes moves both.
    let bench = Bench::start(&["enrolment.approval_queue=true"]).await;
    let app = bench.app();
    let old = bench.enrol("A").await;
    app.act(old.id, Act::Quarantine, text("beacons"), &person()).await.expect("done");
    let (stranger, key) = bare("B", 1);
    let stranger = admit::Request { hardware: Some(hardware("B")), ..stranger };
    app.enrol(&stranger, &key).await.expect("waits");
    let board = Binding::Board { serial: text("B"), instead_of: old.id };
    let token = app.make_token(order(board), &person()).await.expect("a token");
    let key = device_key();
    assert_eq!(bench.ask_to_enrol("B", &key, &token.secret).await.status, 202);
    let found = |serial: &str| app.device_by_serial(text("VP-3"), text(serial));
    assert_eq!(found("A").await.expect("read"), Some(old.id));
    assert_ne!(found("B").await.expect("read"), Some(old.id));
    assert_eq!(bench.count(Kind::Device).await, 2, "whoever asked before still asks");
    let asking = stored(&bench, old.id).await.asking.expect("noted");
    let yes =
        admit::approve(&stored(&bench, old.id).await, &asking.key, "person:ines".into(), app.clock.now());
    let draft = Commit::draft(app.clock.now(), person());
    app.commit(draft.put(Key::Device(old.id), yes.expect("asks").to_body())).await.expect("committed");
    assert_eq!(bench.ask_to_enrol("B", &key, &token.secret).await.status, 200);
    assert_eq!((found("A").await.expect("read"), found("B").await.expect("read")), (None, Some(old.id)));
    assert_eq!(bench.count(Kind::Device).await, 1);
}

#[tokio::test]
async fn whoever_only_asks_has_no_say_in_anothers_model() {
    // Goal: a stranger's word does not keep an announced device out. Method: a stranger waits under the serial with one
    // model; the birth certificate, without a model of its own, comes for the announced other one.
    let bench = Bench::start(&["enrolment.approval_queue=true"]).await;
    let app = bench.app();
    let (stranger, key) = bare("A", 1);
    let stranger = admit::Request { hardware: Some(hardware("A")), ..stranger };
    app.enrol(&stranger, &key).await.expect("waits");
    let announced = admit::TokenOrder {
        model: text("VP-4"),
        ..order(Binding::Serial { serial: text("A"), replaces: false })
    };
    app.make_token(announced, &person()).await.expect("announced");
    let anchor = Anchor {
        name: text("halden"),
        manufacturer: text("Halden"),
        models: vec![text("VP-3"), text("VP-4")],
        admit: Admit::Expected,
        require_binding: false,
    };
    let (born, key) = bare("A", 2);
    let credential = Credential::Birth { anchor: Arc::new(anchor), serial: text("A") };
    let granted = app.enrol(&admit::Request { credential, ..born }, &key).await.expect("comes in");
    let Granted::Leaf(leaf) = granted else { panic!("should be let in: {granted:?}") };
    let member = app.fleet.by_leaf(&Sha256::of(&leaf)).expect("in the table");
    assert_eq!(member.device.hardware.model, text("VP-4"));
}
