//! Revocation that bites (E7): open connections, waiting polls, saved sessions, every route, every server.
//!
//! Each test prints how long it took from the person's act to the refusal; the promise is one second, and where a busy
//! machine took longer it is asked of another device again.

use super::*;
use crate::testing::shared::Seat;

/// Every route with what a quarantined device is answered there; `None` where it may go on.
fn routes() -> Vec<(&'static str, String, Option<&'static str>)> {
    let none = Sha256([9; 32]);
    vec![
        ("POST", "/v1/checkin".to_owned(), None),
        ("POST", "/v1/receipts".to_owned(), None),
        ("GET", "/v1/tuf/director/1.root.json".to_owned(), None),
        ("GET", "/v1/tuf/image/halden/1.root.json".to_owned(), None),
        ("GET", format!("/v1/targets/{none}"), None),
        ("POST", "/v1/farewell".to_owned(), None),
        ("POST", "/v1/wait".to_owned(), Some("quarantined")),
        ("POST", "/v1/telemetry".to_owned(), Some("quarantined")),
    ]
}

#[tokio::test]
async fn e7_quarantine_ends_a_keep_alive_connection_within_a_second() {
    // Goal: no life in an old connection. Method: check in, quarantine, and use the same connection at once.
    let bench = Bench::start(&[]).await;
    in_time("E7: an open keep-alive connection", SECOND, async |round| {
        let device = bench.enrol(&format!("A{round}")).await;
        let mut open = bench.device(&device).await;
        check_in(&mut open, &device).await;
        let begin = Instant::now();
        bench.app().act(device.id, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
        assert!(open.ended().await);
        begin.elapsed()
    })
    .await;
}

#[tokio::test]
async fn e7_quarantine_ends_a_waiting_long_poll_within_a_second() {
    // Goal: nobody waits on. Method: a poll of five minutes; quarantine; it ends without an answer.
    let bench = Bench::start(&[]).await;
    in_time("E7: a waiting long poll", SECOND, async |round| {
        let device = bench.enrol(&format!("A{round}")).await;
        let mut waiting = bench.device(&device).await;
        let token = check_in(&mut waiting, &device).await.wait_token;
        let long = wire::write(&WaitRequest { token, max_s: 300 });
        waiting.send("POST", "/v1/wait", &[("Content-Type", "application/cbor")], &long).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begin = Instant::now();
        bench.app().act(device.id, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
        assert!(waiting.reply().await.is_none_or(|reply| reply.status == 403));
        begin.elapsed()
    })
    .await;
}

#[tokio::test]
async fn e7_a_saved_session_opens_nothing_after_quarantine_and_is_never_resumed() {
    // Goal: the hole that was measured with tickets. Method: a client that keeps whatever it is given to resume with;
    // quarantine; the same client again.
    let bench = Bench::start(&[]).await;
    in_time("E7: a saved session", SECOND, async |round| {
        let device = bench.enrol(&format!("A{round}")).await;
        let config = bench.client(Some(&device));
        let mut first = Wire::open(bench.server.ready.device, config.clone()).await.expect("a connection");
        check_in(&mut first, &device).await;
        let begin = Instant::now();
        bench.app().act(device.id, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
        let mut again = Wire::open(bench.server.ready.device, config).await.expect("a connection");
        let reply = again.post("/v1/telemetry", &wire::write(&batch(vec![]))).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "quarantined"));
        assert_eq!(again.tls().handshake_kind(), Some(rustls::HandshakeKind::Full));
        begin.elapsed()
    })
    .await;
}

#[tokio::test]
async fn e7_a_quarantined_device_may_check_its_status_and_take_updates_and_nothing_else() {
    // Goal: the table of routes. Method: each route on a connection of its own, before and after.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let ask = async |method: &str, path: &str| {
        let headers = [("Content-Type", "application/cbor")];
        bench.device(&device).await.ask(method, path, &headers, b"\xff").await
    };
    for (method, path, _) in routes() {
        assert_ne!(ask(method, &path).await.status, 403, "{path} of an active device");
    }
    bench.app().act(device.id, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
    for (method, path, refused) in routes() {
        let reply = ask(method, &path).await;
        match refused {
            Some(code) => assert_eq!((reply.status, reply.code().as_str()), (403, code), "{path}"),
            None => assert_ne!(reply.status, 403, "{path}"),
        }
    }
}

#[tokio::test]
async fn e7_a_quarantine_at_one_server_bites_at_the_others_within_a_second() {
    // Goal: several servers are one door. Method: connection and poll at the second server, act at the first; then new
    // connections at the second, route by route.
    let [(one, _), (two, _)]: [(Bench, Arc<Seat>); 2] = Bench::pair().await;
    in_time("E7: connection, long poll and every route at another server", SECOND, async |round| {
        let device = one.enrol(&format!("A{round}")).await;
        let (mut open, mut waiting) = (two.device(&device).await, two.device(&device).await);
        let ask = wire::write(&checkin_of(&device));
        let answer: CheckinAnswer = open.post_in_touch("/v1/checkin", &ask).await.message();
        let long = wire::write(&WaitRequest { token: answer.wait_token, max_s: 300 });
        waiting.send("POST", "/v1/wait", &[("Content-Type", "application/cbor")], &long).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begin = Instant::now();
        one.app().act(device.id, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
        assert!(open.ended().await);
        assert!(waiting.reply().await.is_none_or(|reply| matches!(reply.status, 403 | 503)));
        for (method, path, refused) in routes() {
            let headers = [("Content-Type", "application/cbor")];
            let reply = loop {
                let reply = two.device(&device).await.ask(method, &path, &headers, b"\xff").await;
                if reply.status != 503 {
                    break reply;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            assert_eq!(reply.status == 403, refused.is_some(), "{path}");
        }
        begin.elapsed()
    })
    .await;
}
