//! Tests of the device plane over real mutual TLS: who is let in, and what each route answers. What slow and greedy
//! clients get stands in [`greedy`], the end of an identity in [`farewell`], the bite of a quarantine in [`revoked`].

use cordon_proto::audit::SignedHead;
use cordon_proto::checkin::{Action, CheckinAnswer, InterlockState};
use cordon_proto::ids::{Name, Sha256, TargetPath};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::telemetry::{
    BatchAnswer, Body as RecordBody, Finding, Gap, GapReason, Position, Record, Severity,
};
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::change::Commit;
use cordon_server_core::device::{Act, State as Trust};
use rcgen::SigningKey;
use tokio::time::{Instant, timeout};

use super::*;
use crate::ca::Subject;
use crate::store::{EventQuery, Key, Kind};
use crate::testing::{
    Bench, Enrolled, PATIENCE, Reply, Wire, checkin as checkin_of, device_key, in_time, person, text,
};

mod farewell;
mod greedy;
mod imported;
mod revoked;

const SECOND: Duration = Duration::from_secs(1);

async fn check_in(wire: &mut Wire, device: &Enrolled) -> CheckinAnswer {
    wire.post("/v1/checkin", &wire::write(&checkin_of(device))).await.message()
}

fn batch(records: Vec<(u64, RecordBody)>) -> Batch {
    let record = |(sequence, body): (u64, RecordBody)| body.record(Position { boot: 1, sequence }, Millis(1));
    Batch { records: records.into_iter().map(record).collect() }
}

fn gap(count: u64) -> RecordBody {
    let position = Position { boot: 1, sequence: 1 };
    RecordBody::Gap(Gap { after: position, before: position, count, reason: GapReason::DiskFull })
}

fn finding(count: u32) -> RecordBody {
    RecordBody::Finding(Finding {
        detector: "beacon".parse().expect("a name"),
        key: text("203.0.113.0/16 443/tcp"),
        first: Timestamp(1),
        last: Timestamp(2),
        count,
        peer: None,
        severity: Severity::High,
        attack: vec![],
        evidence: [].into(),
        title: text("Calls one address every 60 seconds"),
        what_changed: text("Since 05:58."),
        why_it_matters: text("A fixed rhythm."),
        how_sure: text("High."),
        what_to_do: text("Quarantine it."),
    })
}

fn inventory() -> Inventory {
    let row = |section, key| Row { section, key: text(key), fields: vec!["x".to_owned()] };
    Inventory::new(vec![row(Section::Package, "deb/bash/amd64"), row(Section::Posture, "secure-boot")])
}

#[tokio::test]
async fn a_checkin_is_answered_and_shows_in_the_fleet() {
    // Goal: the heart of the plane. Method: check in twice; look at answer, view and store; hand the inventory in.
    let bench = Bench::start(&["device.checkin_s=7"]).await;
    let device = bench.enrol("A").await;
    let mut wire = bench.device(&device).await;
    let answer = check_in(&mut wire, &device).await;
    assert_eq!((answer.time, answer.next_s, answer.want_inventory), (bench.clock.now(), 7, true));
    assert_eq!((answer.order, answer.permit, answer.ca_bundle), (None, None, Some(bench.app().ca_bundle())));
    let member = bench.app().fleet.get(device.id).expect("there");
    assert_eq!(member.seen, Some(bench.clock.now()));
    assert_eq!(member.pulse.map(|pulse| pulse.uptime_s), Some(60));
    assert_eq!(member.device.report, None, "a heartbeat is no write");
    // None, where the server's own round was faster; written it is in both cases.
    assert!(bench.app().write_down().await.expect("written") <= 1);
    assert_eq!(bench.app().write_down().await.expect("nothing"), 0);
    let member = bench.app().fleet.get(device.id).expect("there");
    assert!(member.device.report.is_some());
    assert_eq!(member.device.report.as_ref(), member.report.as_deref());
    let list = inventory();
    let sent = wire::write(&batch(vec![(1, RecordBody::Inventory(list.clone()))]));
    assert_eq!(wire.post("/v1/telemetry", &sent).await.status, 200);
    bench.app().audit.seal(bench.clock.now_ms()).await.expect("sealed");
    let request = CheckinRequest { inventory_root: list.root(), ..checkin_of(&device) };
    let answer: CheckinAnswer = wire.post("/v1/checkin", &wire::write(&request)).await.message();
    assert!(!answer.want_inventory);
    let head = answer.audit_head.expect("the newest head goes to devices");
    assert_eq!(SignedHead::parse(&head).ok(), bench.app().audit.head().await.expect("read"));
    let view = bench.app().fleet.get(device.id).and_then(|member| member.inventory.clone()).expect("held");
    assert_eq!((view.packages, view.rows.len(), view.root), (1, 1, list.root()));
    assert_eq!(bench.app().inventory(device.id).await.expect("read"), Some(list));
}

#[tokio::test]
async fn what_is_no_message_of_this_plane_is_refused_by_name() {
    // Goal: bad input, each with a word for programs. Method: one mistake a request on one connection.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let mut wire = bench.device(&device).await;
    let code = |reply: Reply| (reply.status, reply.code());
    for (path, name) in [
        ("/v1/checkin", "CheckinRequest"),
        ("/v1/wait", "WaitRequest"),
        ("/v1/telemetry", "Batch"),
        ("/v1/receipts", "Receipt"),
    ] {
        let reply = wire.post(path, b"\xff not cbor").await;
        assert!(reply.text().contains(name), "{}", reply.text());
        assert_eq!(code(reply), (400, "malformed_message".to_owned()));
    }
    let trailing = [wire::write(&checkin_of(&device)), vec![0]].concat();
    assert_eq!(code(wire.post("/v1/checkin", &trailing).await), (400, "malformed_message".to_owned()));
    let json = wire.ask("POST", "/v1/checkin", &[("Content-Type", "application/json")], b"{}").await;
    assert_eq!(code(json), (415, "unsupported_form".to_owned()));
    assert_eq!(code(wire.post("/v2/checkin", b"").await), (404, "no_such_route".to_owned()));
    assert_eq!(code(wire.get("/v1/checkin", &[]).await), (405, "no_such_method".to_owned()));
    let other = CheckinRequest { hardware: crate::testing::hardware("B"), ..checkin_of(&device) };
    let reply = wire.post("/v1/checkin", &wire::write(&other)).await;
    assert_eq!(code(reply), (403, "hardware_mismatch".to_owned()));
    let oversize = wire.post("/v1/checkin", &vec![0; limits::BODY_BYTES + 1]).await;
    assert_eq!(code(oversize), (413, "too_large".to_owned()));
    assert!(wire.ended().await, "an unread body ends the connection");
    check_in(&mut bench.device(&device).await, &device).await;
}

#[tokio::test]
async fn only_a_certificate_in_the_table_gets_in() {
    // Goal: TLS is the door, the table the guard. Method: none, a foreign one, one of ours that the table lacks.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let address = bench.server.ready.device;
    // In TLS 1.3 a client learns of the refusal with its first read.
    let refused = async |config| match Wire::open(address, config).await {
        Err(_) => true,
        Ok(mut wire) => {
            wire.send("GET", "/", &[], b"").await;
            wire.reply().await.is_none()
        }
    };
    assert!(refused(bench.client(None)).await, "no certificate");
    let other = Bench::start(&[]).await;
    let foreign = other.enrol("A").await;
    assert!(refused(bench.client(Some(&foreign))).await, "another authority's");
    let key = device_key();
    let request = {
        use base64::Engine;
        let der =
            base64::engine::general_purpose::STANDARD.decode(crate::testing::csr("Z", &key)).expect("base64");
        crate::ca::request::Request::parse(&der).expect("a request")
    };
    let serial = text("A");
    let subject = Subject { device: device.id, serial: &serial };
    let unlisted =
        bench.app().ca.for_devices(0).issue(&request.key, subject, 30, bench.clock.now()).expect("issued");
    let stranger = Enrolled { leaf: unlisted.der, key, id: device.id, hardware: device.hardware.clone() };
    let mut wire = bench.device(&stranger).await;
    let reply = wire.post("/v1/checkin", &wire::write(&checkin_of(&stranger))).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "unknown_device"));
    assert!(wire.ended().await);
    let metrics = bench.app().metrics.plane("device");
    assert!(metrics.count_shed("handshake") >= 2);
    assert_eq!(bench.app().connections.distinct(), 1, "only what our authority signed counts");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_an_open_connection() {
    // Goal: the end of validity is asked on every request, not only at the handshake. Method: move the server's clock.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let mut wire = bench.device(&device).await;
    check_in(&mut wire, &device).await;
    bench.clock.hold_at(bench.clock.now_ms().plus(31 * 86_400_000));
    let reply = wire.post("/v1/checkin", &wire::write(&checkin_of(&device))).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "expired"));
}

#[tokio::test]
async fn sessions_are_never_resumed() {
    // Goal: E7, the hole that was measured. Method: two connections of one client configuration that keeps tickets.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let config = bench.client(Some(&device));
    for _ in 0..2 {
        let mut wire = Wire::open(bench.server.ready.device, config.clone()).await.expect("a connection");
        check_in(&mut wire, &device).await;
        assert_eq!(wire.tls().handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(wire.tls().protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test]
async fn quarantine_ends_open_connections_and_leaves_the_way_to_an_update() {
    // Goal: it bites within a second. Method: an idle connection and a waiting one; again with another device where the
    // machine was too busy to tell; then new ones, route by route.
    let bench = Bench::start(&[]).await;
    let (mut device, bystander) = (bench.enrol("A").await, bench.enrol("B").await);
    let mut other = bench.device(&bystander).await;
    check_in(&mut other, &bystander).await;
    let mut long = Vec::new();
    in_time("a quarantine", SECOND, async |round| {
        device = bench.enrol(&format!("A{round}")).await;
        let (mut idle, mut waiting) = (bench.device(&device).await, bench.device(&device).await);
        let token = check_in(&mut idle, &device).await.wait_token;
        long = wire::write(&WaitRequest { token, max_s: 300 });
        waiting.send("POST", "/v1/wait", &[("Content-Type", "application/cbor")], &long).await;
        bench.app().act(device.id, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
        let begin = Instant::now();
        assert!(idle.ended().await && waiting.reply().await.is_none());
        begin.elapsed()
    })
    .await;
    check_in(&mut other, &bystander).await;
    let mut anew = bench.device(&device).await;
    check_in(&mut anew, &device).await;
    assert_eq!(anew.get("/v1/tuf/director/timestamp.json", &[]).await.code(), "no_such_file");
    for path in ["/v1/wait", "/v1/telemetry"] {
        let mut anew = bench.device(&device).await;
        let reply = anew.post(path, &long).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "quarantined"));
    }
    bench.app().act(device.id, Act::Release, text("cleaned"), &person()).await.expect("released");
    let mut anew = bench.device(&device).await;
    assert_eq!(anew.post("/v1/telemetry", &wire::write(&batch(vec![]))).await.status, 200);
}

#[tokio::test]
async fn a_retired_device_is_refused_on_every_route_and_every_connection() {
    // Goal: a revoked leaf opens nothing. Method: retire during a keep-alive connection; ask every route anew.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let mut open = bench.device(&device).await;
    check_in(&mut open, &device).await;
    bench.app().act(device.id, Act::Retire, text("sold"), &person()).await.expect("retired");
    assert!(open.ended().await);
    let paths = ["/v1/checkin", "/v1/wait", "/v1/telemetry", "/v1/receipts"];
    for path in paths {
        let reply = bench.device(&device).await.post(path, b"").await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "retired"), "{path}");
    }
    for path in [
        "/v1/tuf/director/1.root.json",
        "/v1/tuf/image/halden/1.root.json",
        &format!("/v1/targets/{}", Sha256([0; 32])),
    ] {
        let reply = bench.device(&device).await.get(path, &[]).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "retired"), "{path}");
    }
    assert_eq!(bench.app().fleet.get(device.id).expect("there").device.state, Trust::Retired);
}

#[tokio::test]
async fn a_superseded_leaf_is_told_so_and_ended() {
    // Goal: no two identities of one device. Method: re-enrol with a token that replaces; use the old certificate until the
    // new one has spoken, and then.
    use cordon_server_core::admit::Binding;
    let bench = Bench::start(&[]).await;
    let old = bench.enrol("A").await;
    let mut open = bench.device(&old).await;
    check_in(&mut open, &old).await;
    let binding = Binding::Serial { serial: text("A"), replaces: true };
    let token = bench.app().make_token(crate::testing::order(binding), &person()).await.expect("a token");
    let key = device_key();
    let leaf = bench.ask_to_enrol("A", &key, &token.secret).await.leaf();
    check_in(&mut open, &old).await;
    let new = Enrolled { leaf, key, id: old.id, hardware: old.hardware.clone() };
    check_in(&mut bench.device(&new).await, &new).await;
    assert!(open.ended().await);
    let reply = bench.device(&old).await.post("/v1/checkin", &wire::write(&checkin_of(&old))).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "superseded"));
}

#[tokio::test]
async fn a_wait_wakes_for_a_change_and_ends_with_its_time() {
    // Goal: the push, and that who waits is known to listen. Method: a wait that is rung, one that is stale, one whose time
    // is over, one during a drain.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let mut wire = bench.device(&device).await;
    let token = check_in(&mut wire, &device).await.wait_token;
    let ask = |token, max_s| wire::write(&WaitRequest { token, max_s });
    let begin = Instant::now();
    let (app, id) = (bench.app().clone(), device.id);
    let listens = || app.fleet.get(id).and_then(|member| member.listens);
    assert_eq!(listens(), None, "a check-in alone is no listening");
    let late: WaitAnswer = wire.post("/v1/wait", &ask(token, 0)).await.message();
    assert_eq!(late, WaitAnswer { token, changed: false });
    assert_eq!(listens(), Some(app.clock.now().plus_seconds(60)), "and what is on its way to the next wait");
    let bell = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.waits.ring(id);
    });
    let woken: WaitAnswer = wire.post("/v1/wait", &ask(token, 300)).await.message();
    assert!(woken.changed && woken.token != token && begin.elapsed() < PATIENCE);
    bell.await.expect("rung");
    let stale: WaitAnswer = wire.post("/v1/wait", &ask(token, 300)).await.message();
    assert_eq!(stale, woken, "what changed between two waits is not missed");
    wire.send("POST", "/v1/wait", &[("Content-Type", "application/cbor")], &ask(woken.token, 300)).await;
    // So that the server has begun to wait: a request it has not read yet ends unanswered.
    tokio::time::sleep(SECOND).await;
    timeout(PATIENCE, bench.server.stop()).await.expect("a drain does not wait for waits");
    let drained: WaitAnswer = wire.reply().await.expect("an answer").message();
    assert_eq!(drained, WaitAnswer { token: woken.token, changed: false });
    assert!(wire.ended().await);
}

#[tokio::test]
async fn telemetry_is_stored_once_however_often_it_comes() {
    // Goal: at least once in, stored once. Method: resend a batch whole, in part and overlapping; count rows.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let mut wire = bench.device(&device).await;
    let first = wire::write(&batch((1..=40).map(|sequence| (sequence, gap(sequence))).collect()));
    let through = |sequence| Position { boot: 1, sequence };
    let mut send = async |bytes: &[u8]| wire.post("/v1/telemetry", bytes).await.message::<BatchAnswer>();
    assert_eq!(send(&first).await, BatchAnswer { stored_through: through(40), duplicates: 0 });
    for _ in 0..3 {
        assert_eq!(send(&first).await, BatchAnswer { stored_through: through(40), duplicates: 40 });
    }
    let overlap = wire::write(&batch((31..=50).map(|sequence| (sequence, gap(sequence))).collect()));
    assert_eq!(send(&overlap).await, BatchAnswer { stored_through: through(50), duplicates: 10 });
    let page = bench.app().store.events(EventQuery::all()).await.expect("read");
    assert_eq!(page.events.len(), 50);
}

#[tokio::test]
async fn a_finding_is_one_record_however_often_it_is_told() {
    // Goal: what follows from a batch is there, once. Method: two batches with one finding, the first one twice.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let mut wire = bench.device(&device).await;
    let (one, two) = (batch(vec![(1, finding(4))]), batch(vec![(2, finding(190)), (3, gap(1))]));
    for sent in [&one, &one, &two, &one] {
        assert_eq!(wire.post("/v1/telemetry", &wire::write(sent)).await.status, 200);
    }
    assert_eq!(bench.count(Kind::Finding).await, 1);
    let member = bench.app().fleet.get(device.id).expect("there");
    let record = member.findings.values().next().expect("a finding");
    assert_eq!((member.findings.len(), record.finding.count), (1, 190));
    assert_eq!(bench.journal().await, ["token.create", "device.enrol", "finding.open"]);
}

#[tokio::test]
async fn records_unknown_here_are_kept_and_stop_nothing() {
    // Goal: one odd record does not block a stream. Method: a kind of the future and a broken body amid good ones.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let odd = |sequence, kind, body: &[u8]| Record {
        position: Position { boot: 1, sequence },
        time: Millis(1),
        kind,
        body: body.to_vec().into(),
    };
    let mut sent = batch(vec![(1, gap(1))]);
    sent.records.extend([odd(2, 999, b"future"), odd(3, 2, b"\xff"), odd(4, 3, b"\x00")]);
    let answer: BatchAnswer =
        bench.device(&device).await.post("/v1/telemetry", &wire::write(&sent)).await.message();
    assert_eq!(answer.stored_through.sequence, 4);
    assert_eq!(bench.app().store.events(EventQuery::all()).await.expect("read").events.len(), 4);
    assert!(bench.app().metrics.text().contains(r#"cordon_telemetry_records_total{fate="unreadable"} 2"#));
}

#[tokio::test]
async fn compressed_telemetry_is_bounded_before_and_after() {
    // Goal: no bomb. Method: a good zstd body, zeros beyond the limit with and without their size in the head, rubbish.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let post = async |body: &[u8], encoding: &str| {
        let headers = [("Content-Type", "application/cbor"), ("Content-Encoding", encoding)];
        bench.device(&device).await.ask("POST", "/v1/telemetry", &headers, body).await
    };
    let good = wire::write(&batch((1..=100).map(|sequence| (sequence, gap(sequence))).collect()));
    let packed = zstd::bulk::compress(&good, 3).expect("packed");
    assert!(packed.len() * 4 < good.len());
    let answer: BatchAnswer = post(&packed, "zstd").await.message();
    assert_eq!(answer.stored_through.sequence, 100);
    let zeros = vec![0; limits::TELEMETRY_DECOMPRESSED_BYTES + 1];
    let sized = zstd::bulk::compress(&zeros, 3).expect("packed");
    let unsized_ = zstd::stream::encode_all(&zeros[..], 3).expect("packed");
    for bomb in [sized, unsized_] {
        assert!(bomb.len() < limits::TELEMETRY_BYTES);
        assert_eq!(post(&bomb, "zstd").await.code(), "too_large");
    }
    let full = zstd::bulk::compress(&zeros[1..], 3).expect("packed");
    assert_eq!(post(&full, "zstd").await.code(), "malformed_message", "as large as allowed, and no batch");
    assert_eq!(post(b"rubbish", "zstd").await.code(), "malformed_message");
    assert_eq!(post(&good, "br").await.code(), "unsupported_form");
    let oversize = vec![0; limits::TELEMETRY_BYTES + 1];
    assert_eq!(post(&oversize, "identity").await.code(), "too_large");
}

fn receipt(device: &Enrolled, key: &rcgen::KeyPair) -> (ReceiptBody, Vec<u8>) {
    let body = ReceiptBody {
        device: device.id,
        hardware: device.hardware.identity(),
        order: "o-1".parse().expect("a name"),
        action: Action::Install,
        outcome: Outcome::Confirmed,
        release: Some("vp-3/4.2.2".parse().expect("a path")),
        counter: 42,
        sha256: Sha256([1; 32]),
        previous_sha256: Sha256([2; 32]),
        slot: text("B"),
        boots: 1,
        floor: 40,
        interlock: InterlockState::Standby,
        time: Timestamp(9),
        reason: None,
    };
    let signed = Receipt::sign(&body, |message| SigningKey::sign(key, message)).expect("signs");
    (body, wire::write(&signed))
}

#[tokio::test]
async fn a_receipt_counts_only_from_the_device_itself() {
    // Goal: device-signed proof. Method: a good one twice; one by another key; one about another device; a flipped bit.
    let bench = Bench::start(&[]).await;
    let (device, other) = (bench.enrol("A").await, bench.enrol("B").await);
    let mut wire = bench.device(&device).await;
    let (body, good) = receipt(&device, &device.key);
    for _ in 0..2 {
        let reply = wire.post("/v1/receipts", &good).await;
        assert_eq!((reply.status, reply.body.len()), (204, 0));
    }
    let (_, forged) = receipt(&device, &other.key);
    assert_eq!(wire.post("/v1/receipts", &forged).await.code(), "receipt_not_believed");
    let (_, foreign) = receipt(&other, &device.key);
    assert_eq!(wire.post("/v1/receipts", &foreign).await.code(), "receipt_of_another");
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    assert_eq!(wire.post("/v1/receipts", &flipped).await.code(), "receipt_not_believed");
    let key = Key::Receipt {
        order: body.order.clone(),
        device: device.id,
        digest: Sha256::of(&wire::write(&body)),
    };
    let row = bench.app().store.get(key).await.expect("read").expect("stored");
    let proof = cordon_server_core::device::Proof::from_body(&row.body).expect("a proof");
    assert_eq!((proof.bytes(), proof.leaf), (Some(good), Sha256::of(&device.leaf)));
    let member = bench.app().fleet.get(device.id).expect("there");
    assert_eq!(member.receipts.iter().map(|receipt| &receipt.body).collect::<Vec<_>>(), [&body]);
    assert_eq!(bench.journal().await.iter().filter(|action| *action == "receipt.accept").count(), 1);
}

#[tokio::test]
async fn metadata_is_served_as_received_and_nothing_else_is() {
    // Goal: bit for bit, and no path leads elsewhere. Method: publish a file by hand; ask rightly and crookedly.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let file = |repository: &str, file: &str| Key::RepositoryFile {
        repository: repository.parse::<Name>().expect("a name"),
        file: file.parse::<TargetPath>().expect("a path"),
    };
    let bytes = b"{ \"signed\" : 1 }\n".to_vec();
    let draft = Commit::draft(bench.clock.now(), person())
        .put(file("director", "1.root.json"), bytes.clone())
        .put(file("halden", "timestamp.json"), b"t".to_vec());
    bench.app().commit(draft).await.expect("published");
    let mut wire = bench.device(&device).await;
    let reply = wire.get("/v1/tuf/director/1.root.json", &[]).await;
    assert_eq!(
        (reply.status, &reply.body, reply.headers["content-type"].as_str()),
        (200, &bytes, "application/json")
    );
    let tag = reply.headers["etag"].clone();
    assert_eq!(tag, format!("\"{}\"", Sha256::of(&bytes)));
    let known = wire.get("/v1/tuf/director/1.root.json", &[("If-None-Match", &tag)]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(wire.get("/v1/tuf/image/halden/timestamp.json", &[]).await.body, b"t");
    for path in [
        "/v1/tuf/director/2.root.json",
        "/v1/tuf/image/vell/timestamp.json",
        "/v1/tuf/image/director/1.root.json",
        "/v1/tuf/director/..%2f1.root.json",
        "/v1/tuf/director/.hidden",
        "/v1/tuf/image/..%2f..%2fetc/passwd",
    ] {
        let reply = wire.get(path, &[]).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "no_such_file"), "{path}");
    }
}

#[tokio::test]
async fn images_are_served_whole_and_in_ranges() {
    // Goal: a download goes on where it broke off. Method: every form of range against one image.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let image: Vec<u8> = (0..200_000_u32).map(|number| u8::try_from(number % 251).expect("small")).collect();
    let incoming = bench.app().blobs.put(1 << 20).await.expect("begun");
    let info = incoming.write(image.clone().into()).await.expect("written").finish(None).await.expect("kept");
    let path = format!("/v1/targets/{}", info.sha256);
    let tag = format!("\"{}\"", info.sha256);
    let mut wire = bench.device(&device).await;
    let whole = wire.get(&path, &[]).await;
    assert_eq!((whole.status, whole.body == image), (200, true));
    assert_eq!(
        (whole.headers["etag"].as_str(), whole.headers["accept-ranges"].as_str()),
        (tag.as_str(), "bytes")
    );
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, 200_000),
        ("bytes=-7", 199_993, 200_000),
        ("bytes=65530-131080", 65_530, 131_081),
    ] {
        let part = wire.get(&path, &[("Range", range), ("If-Range", &tag)]).await;
        assert_eq!((part.status, part.body == image[start..end]), (206, true), "{range}");
        assert_eq!(part.headers["content-range"], format!("bytes {start}-{}/200000", end - 1));
    }
    let beyond = wire.get(&path, &[("Range", "bytes=200000-")]).await;
    assert_eq!((beyond.status, beyond.headers["content-range"].as_str()), (416, "bytes */200000"));
    let other = wire.get(&path, &[("Range", "bytes=5-"), ("If-Range", "\"other\"")]).await;
    assert_eq!((other.status, other.body.len()), (200, 200_000), "a range of another file is no range");
    for path in [format!("/v1/targets/{}", Sha256([9; 32])), "/v1/targets/nonsense".to_owned()] {
        assert_eq!(wire.get(&path, &[]).await.code(), "no_such_target");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_unpacked_or_refused_without_a_panic(bytes: Vec<u8>) {
        let _ = Unpack::default().run(&bytes);
    }
}
