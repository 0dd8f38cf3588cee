//! Tests of what no plane shows by itself: writing down, rebuilding, acts of people, sign-in links, the socket.

use std::time::Duration;

use cordon_proto::checkin::InterlockState;
use cordon_proto::telemetry::{Batch, Body, Direction, FlowRow, Position, Protocol, Record};
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::admit::Binding;
use cordon_server_core::device::{Act, DeviceKind, Report, State as Trust};

use super::*;
use crate::control::{Question, Reply, ask};
use crate::testing::{Bench, PATIENCE, checkin, in_time, order, person, text};

#[tokio::test]
async fn a_restart_rebuilds_the_fleet_from_the_store() {
    // Goal: nothing that was acknowledged lives in memory alone. Method: fill, stop, start anew, compare.
    let bench = Bench::start(&["store=redb:store.redb"]).await;
    let (one, two) = (bench.enrol("A").await, bench.enrol("B").await);
    let mut request = checkin(&one);
    request.interlock = InterlockState::InUse;
    let member = bench.app().fleet.get(one.id).expect("there");
    bench.app().checkin(&member, &one.speaker(), &request).await.expect("answered");
    bench.app().act(two.id, Act::ReportLost, text("not in its room"), &person()).await.expect("lost");
    let expected = |app: &App| {
        let report = app.fleet.get(one.id).and_then(|member| member.report.clone());
        (report, app.fleet.get(one.id).and_then(|member| member.seen), app.fleet.count())
    };
    let before = expected(bench.app());
    assert_eq!(before.0.as_deref(), Some(&Report::of(&request)));
    let folder = bench.folder.clone();
    bench.server.stop().await;
    let bench = Bench::open(folder, &["store=redb:store.redb"]).await;
    assert_eq!(expected(bench.app()), before);
    assert_eq!(bench.app().fleet.get(two.id).expect("there").device.state, Trust::Lost);
}

#[tokio::test]
async fn what_was_begun_is_stored_and_seen_even_if_whoever_began_it_goes_away() {
    // Goal: no view stays behind the store because a client hung up. Method: a follower that sees nothing, so that the
    // view is brought up by the commit alone; the caller is dropped while its commit waits for the store.
    let [(bench, seat), _] = Bench::pair().await;
    let device = bench.enrol("A").await;
    seat.lose(true);
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    seat.before_commit(async move { gone.await.expect("is told") });
    let actor = person();
    let mut act = Box::pin(bench.app().act(device.id, Act::Quarantine, text("beacons"), &actor));
    let limit = Duration::from_millis(200);
    assert!(tokio::time::timeout(limit, &mut act).await.is_err(), "it waits for the store");
    drop(act);
    go.send(()).expect("it still goes on");
    let trust = || bench.app().fleet.get(device.id).expect("there").device.state;
    tokio::time::timeout(PATIENCE, async {
        while trust() != Trust::Quarantined {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("is seen");
    let row = bench.app().store.get(Key::Device(device.id)).await.expect("read").expect("there");
    let stored = cordon_server_core::device::Device::from_body(&row.body).expect("a device");
    assert_eq!(stored.state, Trust::Quarantined);
}

#[tokio::test]
async fn writing_down_passes_over_a_device_that_was_changed_meanwhile() {
    // Goal: a heartbeat never undoes a person's act, and one conflict stops no other device. Method: change a device
    // behind the view's back, then write down.
    let bench = Bench::start(&[]).await;
    let (one, two) = (bench.enrol("A").await, bench.enrol("B").await);
    for device in [&one, &two] {
        let member = bench.app().fleet.get(device.id).expect("there");
        bench.app().checkin(&member, &device.speaker(), &checkin(device)).await.expect("answered");
    }
    let stored = bench.app().fleet.get(one.id).expect("there").device.clone();
    let quarantined = stored.after(Act::Quarantine, text("beacons"), bench.clock.now()).expect("possible");
    let key = Key::Device(one.id);
    let behind = Commit::draft(bench.clock.now(), person()).put(key.clone(), quarantined.to_body()).finish();
    bench.app().store.commit(behind.expect("small")).await.expect("committed");
    assert_eq!(bench.app().write_down().await.expect("written"), 1);
    let row = bench.app().store.get(key).await.expect("read").expect("there");
    let device = cordon_server_core::device::Device::from_body(&row.body).expect("a device");
    assert_eq!(device.state, Trust::Quarantined);
    assert!(bench.app().fleet.get(two.id).expect("there").device.report.is_some());
}

#[tokio::test]
async fn flows_are_read_newest_first_and_bounded() {
    // Goal: the device page. Method: three batches at three times; ask for two, for all since the second.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let flow = |port| FlowRow {
        start: Timestamp(0),
        end: Timestamp(60),
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        peer: text("192.0.2.1"),
        port,
        connections: 1,
        bytes_out: 1,
        bytes_in: 1,
        minutes: vec![],
        known: None,
    };
    let begin = bench.clock.now_ms();
    for number in 1..=3_u16 {
        bench.clock.hold_at(begin.plus(i64::from(number) * 1000));
        let position = Position { boot: 1, sequence: number.into() };
        let records = vec![Body::Flows(flow(number)).record(position, Millis(1))];
        bench.app().telemetry(device.id, Batch { records }).await.expect("stored");
    }
    let ports = async |from, limit| {
        let rows = bench.app().flows(device.id, from, limit).await.expect("read");
        rows.iter().map(|row| row.port).collect::<Vec<_>>()
    };
    assert_eq!(ports(Millis(0), 2).await, [3, 2]);
    assert_eq!(ports(begin.plus(2000), 99).await, [3, 2]);
    assert_eq!(ports(Millis(0), 0).await, [0; 0]);
    bench.clock.hold_at(begin.plus(31 * 86_400_000));
    assert_eq!(bench.app().forget().await.expect("forgotten").events, 3);
    assert_eq!(ports(Millis(0), 99).await, [0; 0]);
}

#[tokio::test]
async fn retention_forgets_telemetry_by_the_day_and_nothing_else_ever() {
    // Goal: `retention_days`, end to end. Method: a device that tells something each day for a week, kept for two days,
    // and a clock that is moved by ten years; documents and journal are what they were.
    let bench = Bench::start(&["store=redb:store.redb", "retention_days=2"]).await;
    let device = bench.enrol("A").await;
    let begin = bench.clock.now_ms();
    let day = |number: i64| begin.plus(number * 86_400_000);
    for number in 0..7 {
        bench.clock.hold_at(day(number));
        let position = Position { boot: 1, sequence: u64::try_from(number).expect("small") + 1 };
        let records = vec![Record { position, time: Millis(1), kind: 99, body: vec![7].into() }];
        let body = cordon_proto::wire::write(&Batch { records });
        let reply = bench.device(&device).await.post("/v1/telemetry", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let (journal, devices) = (bench.journal().await, bench.count(Kind::Device).await);
    let mut forgotten = Vec::new();
    for number in [6, 7, 8, 3650] {
        bench.clock.hold_at(day(number).plus(3_600_000));
        forgotten.push(bench.app().forget().await.expect("forgotten").events);
    }
    assert_eq!(forgotten, [5, 1, 1, 0], "each on its day");
    assert_eq!((bench.journal().await, bench.count(Kind::Device).await), (journal, devices));
    assert!(bench.has(Key::Watermark(device.id)).await, "what was stored before is still known as stored");
    bench.server.stop().await;
}

#[tokio::test]
async fn acts_that_do_not_fit_change_nothing() {
    // Goal: refusals by name. Method: an unknown device, a wrong state, a bad order; a placement that fits.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let nobody = DeviceId::from_random([9; 16]);
    let act = async |device, act| bench.app().act(device, act, text("because"), &person()).await;
    assert!(matches!(act(nobody, Act::Retire).await, Err(ActError::Unknown("device"))));
    assert!(matches!(act(device.id, Act::Release).await, Err(ActError::NotPossible(_))));
    let bad = bench.app().make_token(order(Binding::Count { count: 0 }), &person()).await;
    assert!(matches!(bad, Err(ActError::Order(_))));
    let id = TokenId([7; 32]);
    let unknown = bench.app().revoke_token(id, text("lost"), &person()).await;
    assert!(matches!(unknown, Err(ActError::Unknown("token"))));
    let mut placement = order(Binding::Count { count: 1 }).placement;
    (placement.ward, placement.kind) = (text("ICU 9"), DeviceKind::Ventilator);
    bench.app().place(device.id, placement, text("moved"), &person()).await.expect("placed");
    assert_eq!(bench.app().fleet.get(device.id).expect("there").device.placement.ward, text("ICU 9"));
    assert_eq!(bench.journal().await, ["token.create", "device.enrol", "device.place"]);
    let found = bench.app().device_by_serial(text("VP-3"), text("A")).await.expect("read");
    assert_eq!(found, Some(device.id));
}

#[tokio::test]
async fn a_sign_in_link_opens_once_and_not_for_ever() {
    // Goal: one admin session by a one-time link. Method: redeem twice; redeem late; many links push the oldest out.
    let links = SignInLinks::default();
    let (secret, late) = (links.make(Timestamp(0)), links.make(Timestamp(0)));
    assert!(links.redeem(&secret, Timestamp(1)));
    assert!(!links.redeem(&secret, Timestamp(1)), "once");
    assert!(!links.redeem(&late, Timestamp(900)), "a quarter of an hour");
    assert!(!links.redeem("guess", Timestamp(0)));
    let made: Vec<String> = (0..20).map(|_| links.make(Timestamp(0))).collect();
    assert_eq!(made.iter().filter(|secret| links.redeem(secret, Timestamp(1))).count(), 16);
}

#[tokio::test]
async fn the_socket_gives_a_link_to_the_servers_own_user() {
    // Goal: `admin sign-in-link`. Method: ask a running server; the link names its listener and opens once.
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::start(&[]).await;
    let path = bench.app().config.path(&bench.app().config.control);
    assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    let mut link = String::new();
    // Somebody who says nothing keeps nobody waiting.
    in_time("a link beside somebody silent", Duration::from_secs(2), async |_| {
        let _silent = tokio::net::UnixStream::connect(&path).await.expect("listens");
        let begin = tokio::time::Instant::now();
        let answer = tokio::time::timeout(PATIENCE, ask(&path, &Question::SignInLink, |_| ()));
        let Reply::Link(given) = answer.await.expect("in time").expect("answered") else { panic!("no link") };
        link = given;
        begin.elapsed()
    })
    .await;
    let address = bench.server.ready.operator;
    let secret = link.strip_prefix(&format!("http://{address}/sign-in/")).expect("a link to the console");
    assert!(bench.app().sign_in.redeem(secret, bench.clock.now()));
    assert!(crate::control::bind(&path).await.is_err(), "a second server is refused");
    bench.server.stop().await;
    assert!(ask(&path, &Question::SignInLink, |_| ()).await.is_err());
}

#[tokio::test]
async fn an_api_token_opens_what_it_was_made_for() {
    // Goal: scopes and ends. Method: everything, one scope, an end; golden text.
    let token = ApiToken {
        v: 1,
        name: text("ctl"),
        scopes: vec!["read".to_owned()],
        created: Timestamp(1),
        expires: Some(Timestamp(9)),
    };
    assert!(token.opens("read", Timestamp(8)) && !token.opens("read", Timestamp(9)));
    assert!(!token.opens("change", Timestamp(8)));
    let every = ApiToken { scopes: vec!["*".to_owned()], expires: None, ..token.clone() };
    assert!(every.opens("change", Timestamp(i64::MAX)));
    let golden = r#"{"v":1,"name":"ctl","scopes":["read"],"created":1,"expires":9}"#;
    assert_eq!(token.to_body(), golden.as_bytes());
    assert_eq!(ApiToken::from_body(golden.as_bytes()), Some(token));
}

#[tokio::test]
async fn acts_are_decided_anew_when_somebody_was_faster() {
    // Goal: a conflict is no refusal. Method: between decision and commit the other server takes the same token back,
    // moves the same device, and announces the same serial.
    let [(one, seat), (two, _)] = Bench::pair().await;
    let (mine, other) = (one.app().clone(), two.app().clone());
    let token = one.token("A").await;
    let meanwhile = other.clone();
    seat.before_commit(async move {
        meanwhile.revoke_token(token.id, text("faster"), &person()).await.expect("taken back");
    });
    let revoked = mine.revoke_token(token.id, text("slower"), &person()).await.expect("it is so already");
    assert!(revoked.revoked.is_some());
    let acts = one.journal().await;
    assert_eq!(acts.iter().filter(|act| *act == "token.revoke").count(), 1, "{acts:?}");

    let device = one.enrol("B").await.id;
    let placement = order(Binding::Count { count: 1 }).placement;
    let there = cordon_server_core::device::Placement { ward: text("4B"), ..placement.clone() };
    let meanwhile = other.clone();
    seat.before_commit(async move {
        meanwhile.act(device, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
    });
    let placed = mine.place(device, there, text("moved"), &person()).await.expect("decided anew");
    assert_eq!((placed.state, placed.placement.ward.as_str()), (Trust::Quarantined, "4B"));

    let announced = || order(Binding::Serial { serial: text("C"), replaces: false });
    let meanwhile = other.clone();
    seat.before_commit(async move {
        meanwhile.make_token(announced(), &person()).await.expect("made");
    });
    mine.make_token(announced(), &person()).await.expect("decided anew");
}
