//! Tests of renewal over the wire: the certificate that is followed, the grace after its end, and every refusal.

use cordon_server_core::device::{Doubt, DoubtKind};
use futures_util::future::join_all;
use rcgen::KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;
use crate::testing::{Enrolled, checkin};

async fn renew(bench: &Bench, device: &Enrolled, key: &KeyPair) -> Reply {
    let serial = device.hardware.serial.as_str();
    ask(bench, bench.client(Some(device)), "simplereenroll", &csr(serial, key)).await
}

/// The same device under another certificate.
fn under(device: &Enrolled, leaf: rustls::pki_types::CertificateDer<'static>, key: KeyPair) -> Enrolled {
    Enrolled { id: device.id, hardware: device.hardware.clone(), leaf, key }
}

async fn check_in(bench: &Bench, device: &Enrolled) -> Reply {
    bench.device(device).await.post("/v1/checkin", &cordon_proto::wire::write(&checkin(device))).await
}

async fn spoke(bench: &Bench, device: &Enrolled) {
    let member = bench.app().fleet.by_leaf(&Sha256::of(&device.leaf)).expect("in the table");
    bench.app().spoke(&member, &Sha256::of(&device.leaf)).await.expect("heeded");
}

#[tokio::test]
async fn the_next_certificate_follows_and_the_former_ends_when_it_has_spoken() {
    // Goal: renewal as decision 0010 has it. Method: an open connection under the old certificate throughout; the same
    // request twice; then the first word of the new one.
    let bench = Bench::start(&[]).await;
    let old = bench.enrol("A").await;
    let body = cordon_proto::wire::write(&checkin(&old));
    let mut open = bench.device(&old).await;
    assert_eq!(open.post("/v1/checkin", &body).await.status, 200);
    let key = device_key();
    let reply = renew(&bench, &old, &key).await;
    let leaf = reply.leaf();
    assert_eq!(reply.headers["content-type"], CERTIFICATE);
    assert_eq!(renew(&bench, &old, &key).await.leaf(), leaf, "a lost answer costs nothing");
    let new = under(&old, leaf, key);
    assert_eq!(open.post("/v1/checkin", &body).await.status, 200, "the old connection lives on");
    spoke(&bench, &new).await;
    assert!(open.ended().await, "and ends with its certificate");
    assert_eq!(check_in(&bench, &old).await.code(), "superseded");
    assert_eq!(check_in(&bench, &new).await.status, 200);
    assert_eq!(renew(&bench, &old, &device_key()).await.code(), "superseded");
    assert_eq!(bench.count(Kind::Leaf).await, 2);
    let journal = bench.journal().await;
    assert_eq!(journal[..4], ["token.create", "device.enrol", "device.renew", "device.renewed"]);
}

#[tokio::test]
async fn asking_under_the_next_certificate_is_its_first_word() {
    // Goal: a device that renews at once again is not stuck. Method: renew, renew under what came, look.
    let bench = Bench::start(&[]).await;
    let first = bench.enrol("A").await;
    let key = device_key();
    let second = under(&first, renew(&bench, &first, &key).await.leaf(), key);
    let key = device_key();
    let third = under(&first, renew(&bench, &second, &key).await.leaf(), key);
    let device = bench.app().fleet.get(first.id).expect("there").device.clone();
    assert_eq!(device.superseded, [Sha256::of(&first.leaf)]);
    assert_eq!(device.identity.as_ref().map(|identity| identity.leaf), Some(Sha256::of(&second.leaf)));
    assert_eq!(device.next.as_ref().map(|next| next.leaf), Some(Sha256::of(&third.leaf)));
}

#[tokio::test]
async fn an_ended_certificate_renews_in_its_grace_and_does_nothing_else() {
    // Goal: E8. Method: an authority of 60 days ago, a leaf that ended ten days ago; a day within the grace, one after.
    let bench = Bench::aged(60, &["enrolment.grace_days=20"]).await;
    let now = bench.clock.now_ms();
    let days = |days: i64| now.plus(days * 86_400_000);
    bench.clock.hold_at(days(-40));
    let device = bench.enrol("A").await;
    bench.clock.hold_at(now);
    let refused = match Wire::open(bench.server.ready.device, bench.client(Some(&device))).await {
        Err(_) => true,
        Ok(mut wire) => wire.ended().await,
    };
    assert!(refused, "the device plane does not take an ended certificate");
    let key = device_key();
    let new = under(&device, renew(&bench, &device, &key).await.leaf(), key);
    assert_eq!(check_in(&bench, &new).await.status, 200);
    bench.clock.hold_at(days(11));
    let late = renew(&bench, &device, &device_key()).await;
    assert_eq!((late.status, late.code().as_str()), (403, "superseded"), "the next one has spoken");
    let other = Bench::aged(60, &["enrolment.grace_days=9"]).await;
    other.clock.hold_at(days(-40));
    let device = other.enrol("A").await;
    other.clock.hold_at(now);
    let late = renew(&other, &device, &device_key()).await;
    assert_eq!((late.status, late.code().as_str()), (403, "expired"));
}

#[tokio::test]
async fn each_state_is_refused_by_its_own_word() {
    // Goal: one word, one remedy. Method: no certificate, the same key, another serial, each state of trust.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let bare = ask(&bench, bench.client(None), "simplereenroll", &csr("A", &device_key())).await;
    assert_eq!((bare.status, bare.code().as_str()), (403, "no_certificate"));
    let other = ask(&bench, bench.client(Some(&device)), "simplereenroll", &csr("B", &device_key())).await;
    assert_eq!((other.status, other.code().as_str()), (403, "serial_mismatch"));
    let same = renew(&bench, &device, &device.key).await;
    assert_eq!((same.status, same.code().as_str()), (403, "same_key"));
    let moved = async |act| {
        bench.app().act(device.id, act, text("because"), &person()).await.expect("possible");
        let reply = renew(&bench, &device, &device_key()).await;
        (reply.status, if reply.status == 200 { String::new() } else { reply.code() })
    };
    assert_eq!(moved(Act::Quarantine).await, (403, "quarantined".to_owned()));
    assert_eq!(moved(Act::Release).await, (200, String::new()), "after its release");
    assert_eq!(moved(Act::ReportLost).await, (403, "lost".to_owned()));
    assert_eq!(moved(Act::Retire).await, (403, "retired".to_owned()));
    let allowed = Bench::start(&["enrolment.same_key_renewal=true"]).await;
    let device = allowed.enrol("A").await;
    assert_eq!(renew(&allowed, &device, &device.key).await.status, 200, "the owner may allow it");
}

#[tokio::test]
async fn a_doubted_device_waits_for_the_key_that_a_person_chooses() {
    // Goal: no clone is re-keyed silently, and neither is cut off. Method: a doubt, two keys, one yes.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let known = bench.app().fleet.get(device.id).expect("there").device.clone();
    let doubt = Doubt { kind: DoubtKind::Overlap, at: bench.clock.now(), evidence: text("two wards") };
    left(&bench, &Device { doubt: Some(doubt), ..Device::clone(&known) }).await;
    let (one, other) = (device_key(), device_key());
    for key in [&one, &other] {
        let reply = renew(&bench, &device, key).await;
        assert_eq!((reply.status, reply.body.len()), (202, 0));
    }
    assert_eq!(check_in(&bench, &device).await.status, 200);
    yes(&bench, device.id).await;
    assert_eq!(
        renew(&bench, &device, &one).await.status,
        202,
        "the other one was noted last, and was chosen"
    );
    assert_eq!(renew(&bench, &device, &other).await.status, 200);
    let after = bench.app().fleet.get(device.id).expect("there").device.clone();
    assert_eq!((&after.doubt, &after.asking), (&None, &None));
}

#[tokio::test]
async fn of_racing_renewals_every_answer_is_a_certificate_and_one_is_the_next() {
    // Goal: no race leaves a device without an identity. Method: eight keys at once under one certificate.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let keys: Vec<_> = (0..8).map(|_| device_key()).collect();
    let replies = join_all(keys.iter().map(|key| renew(&bench, &device, key))).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    let known = bench.app().fleet.get(device.id).expect("there").device.clone();
    let next = known.next.as_ref().expect("one").leaf;
    assert_eq!(replies.iter().filter(|reply| Sha256::of(&reply.leaf()) == next).count(), 1);
    assert_eq!(known.identity.as_ref().map(|identity| identity.leaf), Some(Sha256::of(&device.leaf)));
    assert_eq!(check_in(&bench, &device).await.status, 200);
}

#[tokio::test]
async fn the_oldest_certificate_is_superseded_and_never_unknown() {
    // Goal: "unknown" lets an agent drop its identity, so nobody hears it who ever had one. Method: more renewals than a
    // device's document remembers, then the first certificate on both planes.
    let bench = Bench::start(&[]).await;
    let first = bench.enrol("A").await;
    let mut present = under(&first, first.leaf.clone(), device_key());
    present.key = KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(first.key.serialize_der()),
        &rcgen::PKCS_ECDSA_P256_SHA256,
    )
    .expect("the same key");
    for _ in 0..cordon_server_core::device::SUPERSEDED + 2 {
        let key = device_key();
        present = under(&first, renew(&bench, &present, &key).await.leaf(), key);
    }
    assert_eq!(check_in(&bench, &present).await.status, 200);
    assert_eq!(check_in(&bench, &first).await.code(), "superseded");
    assert_eq!(renew(&bench, &first, &device_key()).await.code(), "superseded");
    bench.app().rebuild().await.expect("read");
    assert_eq!(check_in(&bench, &first).await.code(), "superseded");
}

#[tokio::test]
async fn a_certificate_that_is_over_spends_nothing_of_its_device() {
    // Goal: whoever has an old key cannot silence the device. Method: more tries with it than a device may make requests.
    let bench = Bench::start(&["device.requests=8", "device.requests_per_minute=1"]).await;
    let old = bench.enrol("A").await;
    let key = device_key();
    let new = under(&old, renew(&bench, &old, &key).await.leaf(), key);
    assert_eq!(check_in(&bench, &new).await.status, 200);
    for _ in 0..10 {
        assert_eq!(renew(&bench, &old, &device_key()).await.code(), "superseded");
    }
    assert_eq!(check_in(&bench, &new).await.status, 200);
}

#[tokio::test]
async fn a_denied_key_does_not_renew() {
    // Goal: a no is a no on every road. Method: deny a key in doubt, clear the doubt, ask again with it and with another.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let known = bench.app().fleet.get(device.id).expect("there").device.clone();
    let doubt = Doubt { kind: DoubtKind::Overlap, at: bench.clock.now(), evidence: text("two wards") };
    left(&bench, &Device { doubt: Some(doubt), ..Device::clone(&known) }).await;
    let key = device_key();
    assert_eq!(renew(&bench, &device, &key).await.status, 202);
    let asking = bench.app().fleet.get(device.id).expect("there").device.asking.clone().expect("noted");
    bench.app().deny((device.id, asking.key), &text("a copy"), &person()).await.expect("denied");
    bench.app().clear_doubt(device.id, &text("looked"), &person()).await.expect("cleared");
    assert_eq!(renew(&bench, &device, &key).await.code(), "approval_denied");
    assert_eq!(renew(&bench, &device, &device_key()).await.status, 200);
}
