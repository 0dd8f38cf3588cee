//! Tests of the enrolment plane over real TLS: the form that third-party clients need, and every refusal.

use cordon_proto::ids::{DeviceId, Sha256};
use cordon_server_core::admit::Binding;
use cordon_server_core::change::Commit;
use cordon_server_core::device::{Act, Device, State};
use proptest::prelude::*;

use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::form::encode;
use super::*;
use crate::store::{Key, Kind};
use crate::testing::{Bench, Reply, Wire, certificates_in, csr, device_key, hardware, order, person, text};

mod abuse;
mod binding;
mod birth;
mod queue;
mod renewal;

const EST: &str = "/.well-known/est/";

/// Asks for a certificate over a connection of this kind.
async fn ask(bench: &Bench, client: rustls::ClientConfig, route: &str, body: &str) -> Reply {
    let mut wire = Wire::open(bench.server.ready.enrolment, client).await.expect("a connection");
    let kind = [("Content-Type", "application/pkcs10")];
    wire.ask("POST", &format!("{EST}{route}"), &kind, body.as_bytes()).await
}

/// Writes a device down as a person, or a doubt, left it.
async fn left(bench: &Bench, device: &Device) {
    let draft = Commit::draft(bench.clock.now(), person()).put(Key::Device(device.id), device.to_body());
    bench.app().commit(draft).await.expect("committed");
}

/// A person's yes to the key that asks for this device.
async fn yes(bench: &Bench, id: DeviceId) {
    let device = bench.app().fleet.get(id).expect("there").device.clone();
    let key = device.asking.as_ref().expect("asks").key;
    let after = admit::approve(&device, &key, person().to_string(), bench.clock.now()).expect("asks");
    left(bench, &after).await;
}

async fn get(bench: &Bench, route: &str, headers: &[(&str, &str)]) -> Reply {
    bench.enrolment().await.get(&format!("{EST}{route}"), headers).await
}

#[tokio::test]
async fn replies_have_the_form_that_every_measured_client_reads() {
    // Goal: the reply form that foreign clients read. Method: raw heads and bodies of cacerts, folded for libest and for nobody else.
    let bench = Bench::start(&[]).await;
    let reply = get(&bench, "cacerts", &[]).await;
    assert_eq!((reply.status, reply.headers["content-type"].as_str()), (200, "application/pkcs7-mime"));
    assert_eq!(reply.headers["content-length"], reply.body.len().to_string());
    assert!(reply.head.len() < 512, "strongSwan reads 1024 bytes at once: {}", reply.head);
    let body = reply.text();
    assert_eq!((body.matches('\n').count(), body.ends_with('\n')), (1, true));
    let der = STANDARD.decode(body.trim_end()).expect("base64");
    let certificates = certificates_in(&der);
    let ca = bench.app().ca.for_server();
    assert_eq!(certificates.len(), 2);
    assert!(certificates.contains(ca.root()) && certificates.contains(ca.issuing()));
    let folded = get(&bench, "cacerts", &[("User-Agent", "libest 3.2.0")]).await.text();
    assert!(folded.lines().all(|line| line.len() <= 64) && folded.ends_with('\n'));
    assert_eq!(folded.replace('\n', ""), body.trim_end());
}

#[tokio::test]
async fn a_token_buys_one_certificate_and_its_buyer_may_ask_again() {
    // Goal: one-time, and idempotent for the same key. Method: enrol, repeat, try another key; look at store and journal.
    let bench = Bench::start(&[]).await;
    let token = bench.token("A").await;
    let key = device_key();
    let first = bench.ask_to_enrol("A", &key, &token.secret).await;
    assert_eq!(first.headers["content-type"], "application/pkcs7-mime; smime-type=certs-only");
    let leaf = first.leaf();
    assert_eq!(
        bench.ask_to_enrol("A", &key, &token.secret).await.leaf(),
        leaf,
        "a lost answer costs nothing"
    );
    let second = bench.ask_to_enrol("A", &device_key(), &token.secret).await;
    assert_eq!((second.status, second.code().as_str()), (403, "token_used"));
    assert_eq!(bench.count(Kind::Leaf).await, 1);
    assert!(bench.has(Key::Leaf(Sha256::of(&leaf))).await);
    let member = bench.app().fleet.by_leaf(&Sha256::of(&leaf)).expect("in the table");
    assert_eq!((member.device.state, &member.device.hardware), (State::Active, &hardware("A")));
    assert_eq!(bench.journal().await, ["token.create", "device.enrol", "enrol.refuse"]);
}

#[tokio::test]
async fn an_unknown_credential_learns_nothing() {
    // Goal: 401 as BouncyCastle needs it, the same for every reason. Method: no, a wrong, a malformed credential.
    let bench = Bench::start(&[]).await;
    let body = csr("A", &device_key());
    for token in [None, Some("wrong-but-long-enough-to-be-one"), Some("short")] {
        let reply = bench.simpleenroll(&body, token, &[]).await;
        assert_eq!((reply.status, reply.body.len()), (401, 0));
        assert_eq!(reply.headers["www-authenticate"], "Basic realm=\"cordon\"");
        assert_eq!(reply.headers["content-length"], "0");
    }
    let bearer = bench.simpleenroll(&body, None, &[("Authorization", "Bearer abc")]).await;
    assert_eq!(bearer.status, 401);
}

/// A body, more headers, and the status and word that they earn.
type Case<'a> = (String, &'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn each_bad_request_is_refused_by_name() {
    // Goal: E5 and E6 over the wire. Method: one mistake a request; the token stays unspent throughout.
    let bench = Bench::start(&[]).await;
    let token = bench.token("A").await;
    let (key, secret) = (device_key(), Some(token.secret.as_str()));
    let header = hardware_header_of("B");
    let flipped = {
        let mut der = STANDARD.decode(csr("A", &key)).expect("base64");
        *der.last_mut().expect("bytes") ^= 1;
        STANDARD.encode(der)
    };
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let cases: [Case<'_>; 7] = [
        (csr("B", &key), &[], 403, "serial_mismatch"),
        (csr("A", &key), &[("X-Cordon-Hardware", &header)], 403, "serial_mismatch"),
        (csr("A", &key), &[("X-Cordon-Hardware", "!")], 400, "malformed_hardware"),
        ("not base64 !".to_owned(), &[], 400, "malformed_csr"),
        (String::new(), &[], 400, "malformed_csr"),
        (flipped, &[], 400, "malformed_csr"),
        (csr("A", &p384), &[], 400, "unsupported_key"),
    ];
    for (body, headers, status, code) in cases {
        let reply = bench.simpleenroll(&body, secret, headers).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
    }
    let oversize = bench.simpleenroll(&"A".repeat(16 * 1024 + 1), secret, &[]).await;
    assert_eq!((oversize.status, oversize.code().as_str()), (413, "too_large"));
    assert_eq!(bench.ask_to_enrol("A", &key, &token.secret).await.status, 200);
}

fn hardware_header_of(serial: &str) -> String {
    cordon_proto::enrol::hardware_header(&hardware(serial))
}

#[tokio::test]
async fn a_third_party_client_needs_nothing_of_ours() {
    // Goal: plain EST. Method: no header of ours, base64 folded with CRLF, and unpadded; the model is the token's.
    let bench = Bench::start(&[]).await;
    let body = csr("A", &device_key());
    let folded: String =
        body.as_bytes().chunks(10).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect();
    let token = bench.token("A").await;
    let first =
        bench.simpleenroll(&folded, Some(&token.secret), &[("Content-Transfer-Encoding", "base64")]).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let unpadded = bench.simpleenroll(body.trim_end_matches('='), Some(&token.secret), &[]).await;
    assert_eq!(unpadded.leaf(), first.leaf());
    let member = bench.app().fleet.by_leaf(&Sha256::of(&first.leaf())).expect("in the table");
    assert_eq!(member.device.hardware.model, text("VP-3"));
    assert!(!member.device.stated);
}

#[tokio::test]
async fn of_fifty_racing_requests_exactly_one_wins() {
    // Goal: E4. Method: fifty connections, fifty keys, one token.
    let bench = Bench::start(&[]).await;
    let token = bench.token("A").await;
    let keys: Vec<_> = (0..50).map(|_| device_key()).collect();
    let asks = keys.iter().map(|key| bench.ask_to_enrol("A", key, &token.secret));
    let replies = futures_util::future::join_all(asks).await;
    let count = |status| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!((count(200), count(403)), (1, 49));
    assert_eq!((bench.count(Kind::Leaf).await, bench.count(Kind::Device).await), (1, 1));
}

#[tokio::test]
async fn a_token_for_a_model_lets_that_many_in_at_once() {
    // Goal: contention on one token loses nobody. Method: ten devices at once with a token for eight.
    let bench = Bench::start(&[]).await;
    let token = bench.app().make_token(order(Binding::Count { count: 8 }), &person()).await.expect("a token");
    let devices: Vec<_> = (0..10).map(|number| (format!("S{number}"), device_key())).collect();
    let asks = devices.iter().map(|(serial, key)| bench.ask_to_enrol(serial, key, &token.secret));
    let replies = futures_util::future::join_all(asks).await;
    let issued = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!((issued, bench.count(Kind::Device).await), (8, 8));
    assert!(replies.iter().filter(|reply| reply.status != 200).all(|reply| reply.code() == "token_used"));
}

#[tokio::test]
async fn a_restarted_server_gives_the_same_certificate_again() {
    // Goal: E4, a stop between write and reply. Method: enrol on redb, stop, start anew on the same folder, repeat.
    let bench = Bench::start(&["store=redb:store.redb"]).await;
    let token = bench.token("A").await;
    let key = device_key();
    let leaf = bench.ask_to_enrol("A", &key, &token.secret).await.leaf();
    let folder = bench.folder.clone();
    bench.server.stop().await;
    let bench = Bench::open(folder, &["store=redb:store.redb"]).await;
    assert_eq!(bench.ask_to_enrol("A", &key, &token.secret).await.leaf(), leaf);
    assert_eq!(bench.ask_to_enrol("A", &device_key(), &token.secret).await.code(), "token_used");
    assert!(bench.app().fleet.by_leaf(&Sha256::of(&leaf)).is_some_and(|member| member.is_active()));
}

#[tokio::test]
async fn another_key_for_a_living_serial_is_kept_waiting() {
    // Goal: E12. Method: a second token, another key; then one made by a person who knows.
    let bench = Bench::start(&[]).await;
    let old = bench.enrol("A").await;
    let second = bench.token("A").await;
    let reply = bench.ask_to_enrol("A", &device_key(), &second.secret).await;
    assert_eq!((reply.status, reply.body.len()), (202, 0));
    assert_eq!(reply.headers["content-length"], "0");
    assert!(reply.headers["retry-after"].parse::<u64>().is_ok_and(|seconds| (60..=120).contains(&seconds)));
    let member = bench.app().fleet.get(old.id).expect("there");
    assert!(member.device.asking.is_some() && member.is_active(), "noted, and the old one lives");
    let binding = Binding::Serial { serial: text("A"), replaces: true };
    let knowing = bench.app().make_token(order(binding), &person()).await.expect("a token");
    let reply = bench.ask_to_enrol("A", &device_key(), &knowing.secret).await;
    let member = bench.app().fleet.by_leaf(&Sha256::of(&reply.leaf())).expect("in the table");
    assert_eq!(member.id(), old.id, "the same device under a new key");
    let status = bench.device(&old).await.post("/v1/checkin", b"x").await;
    assert_eq!(status.code(), "malformed_message", "the old one lives until the new one has spoken");
    bench.app().spoke(&member, &Sha256::of(&reply.leaf())).await.expect("heeded");
    let member = bench.app().fleet.get(old.id).expect("there");
    assert_eq!(member.device.superseded, [Sha256::of(&old.leaf)]);
    assert_eq!(bench.device(&old).await.post("/v1/checkin", b"x").await.code(), "superseded");
}

#[tokio::test]
async fn expired_and_revoked_tokens_say_so_to_whoever_holds_them() {
    // Goal: an operator at the device learns what to do. Method: move the clock; take a token back.
    let bench = Bench::start(&[]).await;
    let (late, back) = (bench.token("A").await, bench.token("B").await);
    bench
        .app()
        .revoke_token(back.id, text("typed into the wrong ticket"), &person())
        .await
        .expect("taken back");
    assert_eq!(bench.ask_to_enrol("B", &device_key(), &back.secret).await.code(), "token_revoked");
    bench.clock.hold_at(bench.clock.now_ms().plus(24 * 3600 * 1000));
    assert_eq!(bench.ask_to_enrol("A", &device_key(), &late.secret).await.code(), "token_expired");
    let device = bench.enrol("C").await;
    bench.app().act(device.id, Act::Retire, text("sold"), &person()).await.expect("retired");
    let old = bench.app().fleet.get(device.id).expect("there");
    assert_eq!(old.device.state, State::Retired);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_honest_devices_are_not() {
    // Goal: E5, brute force. Method: guess until told to wait; an honest device behind another address is not tried
    // here, but a refill lets this one in again; the journal holds one line for all of them.
    let bench = Bench::start(&["enrolment.refusals=5", "enrolment.refusals_per_minute=60"]).await;
    let body = csr("A", &device_key());
    let mut statuses = Vec::new();
    for guess in 0..20 {
        let reply = bench.simpleenroll(&body, Some(&format!("a-guess-of-some-length-{guess}")), &[]).await;
        if reply.status == 429 {
            assert!(reply.headers["retry-after"].parse::<u64>().is_ok_and(|seconds| seconds >= 1));
        }
        statuses.push(reply.status);
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses[5..].iter().all(|status| *status == 429), "{statuses:?}");
    bench.app().write_guesses().await.expect("written");
    bench.app().write_guesses().await.expect("nothing more to write");
    assert_eq!(bench.journal().await, ["enrol.guess"], "in sum, not one by one");
    bench.clock.hold_at(bench.clock.now_ms().plus(1000));
    bench.enrol("A").await;
}

#[tokio::test]
async fn what_is_not_offered_says_so() {
    // Goal: no stub success. Method: attributes, an unknown route, a wrong method.
    let bench = Bench::start(&[]).await;
    let mut wire = bench.enrolment().await;
    let attributes = get(&bench, "csrattrs", &[]).await;
    assert_eq!(attributes.headers["content-type"], "application/csrattrs");
    let der = STANDARD.decode(attributes.text().trim_end()).expect("base64");
    let (rest, parsed) = x509_parser::der_parser::parse_der(&der).expect("DER");
    let kinds = parsed.as_sequence().expect("a sequence");
    assert_eq!((rest.len(), kinds.len()), (0, 2));
    assert_eq!(kinds[1].as_oid().expect("an OID").to_id_string(), "1.2.840.10045.4.3.2");
    let missing = get(&bench, "fullcmc", &[]).await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "no_such_route"));
    let method = wire.ask("DELETE", &format!("{EST}cacerts"), &[], b"").await;
    assert_eq!((method.status, method.code().as_str()), (405, "no_such_method"));
}

proptest! {
    #[test]
    fn any_authorization_is_a_token_or_none_without_a_panic(value in "[ -~]{0,200}") {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).expect("visible characters"));
        let _ = token(&headers);
    }

    #[test]
    fn any_body_is_base64_or_refused_without_a_panic(body: Vec<u8>) {
        let _ = decode(&body);
    }

    #[test]
    fn a_folded_reply_is_the_same_reply(der: Vec<u8>) {
        let (line, folded) = (encode(&der, false), encode(&der, true));
        prop_assert_eq!(folded.replace('\n', "") + "\n", line.clone());
        prop_assert_eq!(decode(folded.as_bytes()), Some(der));
    }
}
