//! Tests of the device plane's limits: slow clients, large heads, too many connections, too many requests.

use std::time::Duration;

use cordon_proto::wire;
use tokio::time::{Instant, timeout};

use super::{SECOND, check_in};
use crate::testing::{Bench, PATIENCE, Wire, checkin as checkin_of, in_time};

#[tokio::test]
async fn slow_clients_are_shed_and_others_served() {
    // Goal: slow clients hold nothing for ever. Method: 40 half heads against a limit of three seconds; a probe meanwhile;
    // all are gone within the limit and a second, by the server's own count.
    let bench = Bench::start(&["limits.headers_s=3", "limits.handshake_s=3"]).await;
    let device = bench.enrol("A").await;
    let metrics = bench.app().metrics.plane("device");
    in_time("slow clients", 4 * SECOND, async |round| {
        let mut slow = Vec::new();
        for _ in 0..40 {
            let mut wire = bench.device(&device).await;
            wire.raw(b"POST /v1/checkin HTTP/1.1\r\nHost: loc").await;
            slow.push(wire);
        }
        let address = bench.server.ready.device;
        let connecting = (0..10).map(|_| tokio::net::TcpStream::connect(address));
        let mute: Vec<_> = futures_util::future::join_all(connecting).await;
        check_in(&mut bench.device(&device).await, &device).await;
        let begin = Instant::now();
        for wire in &mut slow {
            assert!(wire.ended().await);
        }
        let before = u64::from(round);
        let all_gone = async {
            while metrics.open() > 0 || metrics.count_shed("slow-handshake") < 10 * (before + 1) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, all_gone).await.expect("no connection is left");
        assert!(metrics.count_shed("slow") >= 40 * (before + 1));
        drop(mute);
        begin.elapsed()
    })
    .await;
}

#[tokio::test]
async fn a_head_beyond_its_size_is_refused() {
    // Goal: 16 KiB of head. Method: one header below, one above.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let mut wire = bench.device(&device).await;
    let fits = "x".repeat(12 * 1024);
    assert_eq!(wire.get("/v1/nothing", &[("X-Long", &fits)]).await.status, 404);
    let surplus = "x".repeat(17 * 1024);
    let reply = wire.get("/v1/nothing", &[("X-Long", &surplus)]).await;
    assert_eq!(reply.status, 431);
    assert!(wire.ended().await);
}

#[tokio::test]
async fn more_connections_than_allowed_are_asked_to_come_back() {
    // Goal: a cap that says so. Method: a cap of two; the third is answered 503, the fourth is dropped; room comes back.
    let bench = Bench::start(&["limits.connections=2"]).await;
    let device = bench.enrol("A").await;
    let (mut one, mut two) = (bench.device(&device).await, bench.device(&device).await);
    check_in(&mut one, &device).await;
    check_in(&mut two, &device).await;
    let mut third = bench.device(&device).await;
    assert!(
        Wire::open(bench.server.ready.device, bench.client(Some(&device))).await.is_err(),
        "no room even to say so"
    );
    let reply = third.post("/v1/checkin", &wire::write(&checkin_of(&device))).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "busy"));
    assert!((5..=10).contains(&reply.headers["retry-after"].parse::<u64>().expect("seconds")));
    assert!(third.ended().await);
    drop(one);
    let again = async {
        loop {
            if let Ok(mut wire) = Wire::open(bench.server.ready.device, bench.client(Some(&device))).await {
                wire.send(
                    "POST",
                    "/v1/checkin",
                    &[("Content-Type", "application/cbor")],
                    &wire::write(&checkin_of(&device)),
                )
                .await;
                if wire.reply().await.is_some_and(|reply| reply.status == 200) {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("room came back");
}

#[tokio::test]
async fn a_device_that_asks_too_often_is_told_to_wait() {
    // Goal: per-identity rates. Method: a burst of three; another device is not touched; the clock gives more.
    let bench = Bench::start(&["device.requests=3", "device.requests_per_minute=60"]).await;
    let (device, other) = (bench.enrol("A").await, bench.enrol("B").await);
    let mut wire = bench.device(&device).await;
    for _ in 0..3 {
        check_in(&mut wire, &device).await;
    }
    let reply = wire.post("/v1/checkin", &wire::write(&checkin_of(&device))).await;
    assert_eq!(
        (reply.status, reply.code().as_str(), reply.headers["retry-after"].as_str()),
        (429, "too_many", "1")
    );
    check_in(&mut bench.device(&other).await, &other).await;
    bench.clock.hold_at(bench.clock.now_ms().plus(1000));
    check_in(&mut wire, &device).await;
}

#[tokio::test]
async fn counters_tell_devices_from_connections() {
    // Goal: the demo's own proof. Method: two devices, five connections.
    let bench = Bench::start(&[]).await;
    let (one, two) = (bench.enrol("A").await, bench.enrol("B").await);
    for device in [&one, &one, &one, &two, &two] {
        check_in(&mut bench.device(device).await, device).await;
    }
    let metrics = bench.app().metrics.plane("device");
    assert_eq!((metrics.connections(), bench.app().connections.distinct()), (5, 2));
    assert_eq!(bench.app().metrics.checkins(), 5);
}
