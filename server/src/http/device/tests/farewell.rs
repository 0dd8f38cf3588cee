//! The end of an identity over real TLS: who may take leave, of what, and what stays open for it.

use cordon_proto::farewell::{Cause, FarewellBody};
use cordon_server_core::audit::Recorded;
use cordon_server_core::device::Taken;

use super::*;
use crate::store::{Cursor, Index};

fn farewell(device: &Enrolled, key: &rcgen::KeyPair, cause: Cause) -> Vec<u8> {
    let body = FarewellBody {
        device: device.id,
        hardware: device.hardware.identity(),
        cause,
        time: Timestamp(9),
        counter: 41,
        sha256: Sha256([4; 32]),
        records_unsent: 12,
    };
    wire::write(&Farewell::sign(&body, |message| SigningKey::sign(key, message)).expect("signs"))
}

fn taken(bench: &Bench, device: &Enrolled) -> Option<Taken> {
    bench.app().fleet.get(device.id).expect("there").device.farewell.clone()
}

async fn say(bench: &Bench, device: &Enrolled, bytes: &[u8]) -> Reply {
    bench.device(device).await.post("/v1/farewell", bytes).await
}

#[tokio::test]
async fn a_retired_or_lost_device_may_take_leave_and_nothing_else() {
    // Goal: the last receipt, once. Method: retire and lose a device each; every other route; the farewell, twice.
    let bench = Bench::start(&[]).await;
    for (serial, act, cause, word) in
        [("A", Act::Retire, Cause::Retired, "retired"), ("B", Act::ReportLost, Cause::Lost, "lost")]
    {
        let device = bench.enrol(serial).await;
        let mut open = bench.device(&device).await;
        check_in(&mut open, &device).await;
        bench.app().act(device.id, act, text("because"), &person()).await.expect("done");
        assert!(open.ended().await, "how soon is shown for a quarantine");
        for path in ["/v1/checkin", "/v1/wait", "/v1/telemetry", "/v1/receipts"] {
            let reply = bench.device(&device).await.post(path, b"").await;
            assert_eq!((reply.status, reply.code().as_str()), (403, word), "{path}");
        }
        let bytes = farewell(&device, &device.key, cause);
        let before = bench.journal().await.len();
        for _ in 0..3 {
            let reply = say(&bench, &device, &bytes).await;
            assert_eq!((reply.status, reply.body.len()), (204, 0));
        }
        assert_eq!(bench.journal().await[before..], ["device.farewell"], "the same one again is no write");
        let kept = taken(&bench, &device).expect("kept");
        assert_eq!(cordon_proto::enrol::from_base64url(&kept.bytes), Some(bytes.clone()));
        let state = bench.app().fleet.get(device.id).expect("there").device.state;
        assert_eq!(state.word(), word, "only noted");
        let anew = farewell(&device, &device.key, cause);
        assert_eq!(say(&bench, &device, &anew).await.status, 204, "the same words, signed anew");
        let other = farewell(&device, &device.key, Cause::AtDevice);
        let reply = say(&bench, &device, &other).await;
        assert_eq!((reply.status, reply.code().as_str()), (409, "farewell_held"));
        assert_eq!(taken(&bench, &device), Some(kept));
    }
}

#[tokio::test]
async fn a_device_that_a_person_retires_at_the_device_is_retired_by_itself() {
    // Goal: an act at the device is an act. Method: an active and a quarantined device; state, actor, connections; and one
    // that only claims to have been told.
    let bench = Bench::start(&[]).await;
    let (active, quarantined, told) =
        (bench.enrol("A").await, bench.enrol("B").await, bench.enrol("C").await);
    bench.app().act(quarantined.id, Act::Quarantine, text("beacons"), &person()).await.expect("done");
    for device in [&active, &quarantined] {
        let mut other = bench.device(device).await;
        check_in(&mut other, device).await;
        assert_eq!(say(&bench, device, &farewell(device, &device.key, Cause::AtDevice)).await.status, 204);
        assert!(other.ended().await);
        let member = bench.app().fleet.get(device.id).expect("there");
        assert_eq!(member.device.state, Trust::Retired);
        assert_eq!(member.device.reason.as_str(), "retired at the device itself");
        let reply = bench.device(device).await.post("/v1/checkin", b"").await;
        assert_eq!(reply.code(), "retired");
    }
    assert_eq!(say(&bench, &told, &farewell(&told, &told.key, Cause::Lost)).await.status, 204);
    assert_eq!(bench.app().fleet.get(told.id).expect("there").device.state, Trust::Active);
    let page = bench.app().store.scan(Index::All(Kind::Audit), Cursor::First, 500).await.expect("read");
    let entries = page.rows.iter().map(|(_, row)| Recorded::from_bytes(&row.body).expect("an entry"));
    let retired: Vec<String> = entries
        .filter(|entry| entry.entry.action.as_str() == "device.retire")
        .map(|entry| entry.actor.to_string())
        .collect();
    assert_eq!(retired, [active.id, quarantined.id].map(|id| format!("device:{id}")));
}

#[tokio::test]
async fn nobody_takes_leave_for_another() {
    // Goal: only the device itself. Method: another's key, another's name, a flipped bit, no message, no certificate of
    // ours any more.
    let bench = Bench::start(&[]).await;
    let (device, other) = (bench.enrol("A").await, bench.enrol("B").await);
    let good = farewell(&device, &device.key, Cause::AtDevice);
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    for (bytes, code) in [
        (farewell(&device, &other.key, Cause::AtDevice), "farewell_not_believed"),
        (farewell(&other, &device.key, Cause::AtDevice), "farewell_of_another"),
        (flipped, "farewell_not_believed"),
        (b"\xff".to_vec(), "malformed_message"),
        (vec![0; limits::BODY_BYTES + 1], "too_large"),
    ] {
        assert_eq!(say(&bench, &device, &bytes).await.code(), code);
    }
    assert_eq!((taken(&bench, &device), taken(&bench, &other)), (None, None));
    assert_eq!(bench.app().fleet.get(device.id).expect("there").device.state, Trust::Active);
    bench.clock.hold_at(bench.clock.now_ms().plus(31 * 86_400_000));
    assert_eq!(say(&bench, &device, &good).await.code(), "expired");
}

#[tokio::test]
async fn a_certificate_that_took_leave_and_comes_back_is_doubted() {
    // Goal: a wiped device is silent for ever; a copy is not. Method: take leave, then try again a minute apart.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    bench.app().act(device.id, Act::Retire, text("sold"), &person()).await.expect("retired");
    for _ in 0..3 {
        assert_eq!(bench.device(&device).await.post("/v1/checkin", b"").await.code(), "retired");
        bench.clock.hold_at(bench.clock.now_ms().plus(61_000));
    }
    let doubt = || bench.app().fleet.get(device.id).expect("there").device.doubt.clone();
    assert_eq!(doubt(), None, "it has not been told to anybody who could wipe it");
    let bytes = farewell(&device, &device.key, Cause::Retired);
    assert_eq!(say(&bench, &device, &bytes).await.status, 204);
    assert_eq!(bench.device(&device).await.post("/v1/checkin", b"").await.code(), "retired");
    assert_eq!(doubt(), None);
    bench.clock.hold_at(bench.clock.now_ms().plus(61_000));
    assert_eq!(bench.device(&device).await.post("/v1/checkin", b"").await.code(), "retired");
    assert_eq!(doubt().map(|doubt| doubt.kind.word()), Some("reuse"));
}
