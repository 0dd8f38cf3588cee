//! Tests of channel binding: a request is of one connection, where it says so or the owner demands it.

use cordon_proto::enrol::{BINDING_EXPORTER, base64url};

use super::*;

/// What our own agent sends, made for this connection.
fn header_of(wire: &Wire, key: &rcgen::KeyPair, body: &str) -> String {
    let exporter = wire.tls().export_keying_material([0; 32], BINDING_EXPORTER, Some(&[])).expect("TLS 1.3");
    let der = STANDARD.decode(body).expect("base64");
    let signature = rcgen::SigningKey::sign(key, &binding_message(&exporter, &der)).expect("signed");
    base64url(&signature)
}

async fn enrol(wire: &mut Wire, body: &str, token: &str, binding: &str) -> Reply {
    let basic = format!("Basic {}", STANDARD.encode(format!("x:{token}")));
    let headers = [("Authorization", basic.as_str()), ("X-Enrol-Binding", binding)];
    wire.ask("POST", &format!("{EST}simpleenroll"), &headers, body.as_bytes()).await
}

#[tokio::test]
async fn a_binding_of_another_connection_or_request_is_refused() {
    // Goal: E19. Method: a right header on its own connection, on a second one, beside another request, garbled; the
    // token is unspent until the right one.
    let bench = Bench::start(&["enrolment.require_binding=true"]).await;
    let token = bench.token("A").await;
    let (key, other) = (device_key(), device_key());
    let (body, foreign) = (csr("A", &key), csr("A", &other));
    let mut first = bench.enrolment().await;
    let right = header_of(&first, &key, &body);
    let mut second = bench.enrolment().await;
    let replayed = enrol(&mut second, &body, &token.secret, &right).await;
    assert_eq!((replayed.status, replayed.code().as_str()), (403, "binding_refused"));
    for (body, header) in [(&foreign, right.as_str()), (&body, "!"), (&body, ""), (&body, &right[2..])] {
        let reply = enrol(&mut first, body, &token.secret, header).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "binding_refused"), "{header}");
    }
    let unbound = bench.simpleenroll(&body, Some(&token.secret), &[]).await;
    assert_eq!((unbound.status, unbound.code().as_str()), (403, "binding_required"));
    assert_eq!(enrol(&mut first, &body, &token.secret, &right).await.status, 200);
}

#[tokio::test]
async fn a_plain_client_needs_no_binding_where_nobody_demands_it() {
    // Goal: RFC 7030 clients stay welcome, and a wrong binding is wrong all the same. Method: without, with a wrong one.
    let bench = Bench::start(&[]).await;
    let token = bench.token("A").await;
    let body = csr("A", &device_key());
    let mut wire = bench.enrolment().await;
    assert_eq!(enrol(&mut wire, &body, &token.secret, "AAAA").await.code(), "binding_refused");
    assert_eq!(bench.simpleenroll(&body, Some(&token.secret), &[]).await.status, 200);
}
