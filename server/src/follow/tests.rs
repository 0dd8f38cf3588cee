//! Tests of several servers on one store: what is done on one holds on all, and who lost touch serves nobody.

use cordon_proto::checkin::{CheckinAnswer, InterlockState, WaitAnswer, WaitRequest};
use cordon_proto::ids::Sha256;
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::telemetry::{Batch, Body as RecordBody, Finding, Position, Severity};
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::wire;
use cordon_server_core::change::Commit;
use cordon_server_core::device::{Act, State as Trust};
use cordon_server_core::rollout::Covers;
use cordon_server_core::triage::{self, Verb, decide};

use super::*;
use crate::http::device::router;
use crate::people::Doer;
use crate::repositories::{KnownRelease, Repositories};
use crate::rollouts::Rollouts;
use crate::testing::{
    Bench, Enrolled, PATIENCE as LONG, Reply, Wire, checkin as checkin_of, in_time, person, text,
};

const NOW: Timestamp = Timestamp(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);

async fn check_in(wire: &mut Wire, device: &Enrolled) -> Reply {
    wire.post_in_touch("/v1/checkin", &wire::write(&checkin_of(device))).await
}

async fn wait(wire: &mut Wire, token: u64) {
    let long = wire::write(&WaitRequest { token, max_s: 300 });
    wire.send("POST", "/v1/wait", &[("Content-Type", "application/cbor")], &long).await;
    sleep(Duration::from_millis(50)).await;
}

/// Waits until `wanted` holds, and prints how long it took; that it is less than a second is shown where devices notice.
async fn arrives(what: &str, wanted: impl Fn() -> bool) {
    let begin = Instant::now();
    while !wanted() {
        assert!(begin.elapsed() < LONG, "{what} never arrived");
        sleep(Duration::from_millis(5)).await;
    }
    println!("{what}: {:?}", begin.elapsed());
}

/// Two servers on one store, and a device that enrolled at the first and is known to the second.
async fn pair() -> ([(Bench, Arc<crate::testing::shared::Seat>); 2], Enrolled) {
    let pair = Bench::pair().await;
    let device = pair[0].0.enrol("A").await;
    knows(&pair[1].0, &device).await;
    (pair, device)
}

async fn knows(bench: &Bench, device: &Enrolled) {
    let leaf = Sha256::of(&device.leaf);
    arrives("an enrolment", || bench.app().fleet.by_leaf(&leaf).is_some()).await;
}

fn finding() -> RecordBody {
    RecordBody::Finding(Finding {
        detector: "beacon".parse().expect("a name"),
        key: text("203.0.113.0/16 443/tcp"),
        first: Timestamp(1),
        last: Timestamp(2),
        count: 1,
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

#[tokio::test]
async fn a_quarantine_on_one_server_bites_on_another_within_a_second() {
    // Goal: the promise, across servers. Method: connect and wait on the second, quarantine on the first; again with another
    // device where the machine was too busy to tell.
    let ([(one, _), (two, _)], bystander) = pair().await;
    in_time("a quarantine elsewhere", SECOND, async |round| {
        let device = one.enrol(&format!("B{round}")).await;
        knows(&two, &device).await;
        let (mut idle, mut waiting) = (two.device(&device).await, two.device(&device).await);
        let answer: CheckinAnswer = check_in(&mut idle, &device).await.message();
        wait(&mut waiting, answer.wait_token).await;
        one.app().act(device.id, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
        let begin = Instant::now();
        assert!(idle.ended().await && waiting.ended().await, "the waiting one may be told a last word");
        let took = begin.elapsed();
        let mut anew = two.device(&device).await;
        let ask = wire::write(&WaitRequest { token: 0, max_s: 0 });
        let reply = anew.post_in_touch("/v1/wait", &ask).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "quarantined"));
        took
    })
    .await;
    assert_eq!(check_in(&mut two.device(&bystander).await, &bystander).await.status, 200);
}

#[tokio::test]
async fn a_device_that_enrolled_elsewhere_a_moment_ago_is_not_told_that_it_is_unknown() {
    // Goal: that answer lets an agent drop its identity. Method: enrol at the first while the second hears nothing; again
    // with another device where that took so long that the second serves nobody any more.
    let [(one, _), (two, seat)] = Bench::pair().await;
    for number in 0..20 {
        seat.lose(true);
        let device = one.enrol(&format!("A{number}")).await;
        assert!(two.app().fleet.by_leaf(&Sha256::of(&device.leaf)).is_none(), "it has not heard");
        let ask = wire::write(&checkin_of(&device));
        let reply = two.device(&device).await.post("/v1/checkin", &ask).await;
        if reply.status == 200 {
            return;
        }
        assert_eq!((reply.status, reply.code().as_str()), (503, "stale_view"));
        seat.lose(false);
        knows(&two, &device).await;
    }
    panic!("it was in touch for less than a second each time");
}

#[tokio::test]
async fn a_wait_on_one_server_wakes_for_what_is_done_on_another() {
    // Goal: the push works behind a balancer. Method: wait on the second; hold the ward on the first; end the hold.
    let ([(one, _), (two, _)], device) = pair().await;
    let mut wire = two.device(&device).await;
    let answer: CheckinAnswer = check_in(&mut wire, &device).await.message();
    let now = one.clock.now();
    let repositories = Repositories::new(one.app().store.clone(), one.app().online.clone());
    let rollouts = Rollouts::load(one.app().store.clone(), repositories, now).await.expect("a book");
    let (actor, ward) = (person(), Covers::Ward("St. Anna/ICU 2".to_owned()));
    let by = Doer { actor: &actor, now };
    let mut token = answer.wait_token;
    in_time("a hold and its end elsewhere", SECOND, async |round| {
        let id: cordon_proto::ids::Name = format!("h-{round}").parse().expect("a name");
        wait(&mut wire, token).await;
        let begin = Instant::now();
        rollouts.hold(id.clone(), (ward.clone(), None), "the ward moves tonight", by).await.expect("held");
        let woken: WaitAnswer = wire.reply().await.expect("an answer").message();
        assert!(woken.changed, "by the hold");
        let held = begin.elapsed();
        wait(&mut wire, woken.token).await;
        let begin = Instant::now();
        rollouts.release_hold(&id, "the ward has moved", by).await.expect("ended");
        let woken: WaitAnswer = wire.reply().await.expect("an answer").message();
        assert!(woken.changed, "by its end");
        token = woken.token;
        begin.elapsed().max(held)
    })
    .await;
}

#[tokio::test]
async fn what_a_device_tells_one_server_is_known_on_the_other() {
    // Goal: one fleet, whoever was spoken to. Method: a finding and a report to the first; look at the second.
    let ([(one, _), (two, _)], device) = pair().await;
    let position = Position { boot: 1, sequence: 1 };
    let batch = Batch { records: vec![finding().record(position, Millis(1))] };
    one.app().telemetry(device.id, batch).await.expect("stored");
    let member = one.app().fleet.get(device.id).expect("there");
    one.app().checkin(&member, &device.speaker(), &checkin_of(&device)).await.expect("answered");
    one.app().write_down().await.expect("written");
    let at_two = || two.app().fleet.get(device.id);
    arrives("a finding", || at_two().is_some_and(|member| member.findings.len() == 1)).await;
    arrives("a report", || at_two().is_some_and(|member| member.report.is_some())).await;
    assert_eq!(two.app().write_down().await.expect("nothing"), 0, "what one wrote down the other need not");
}

#[tokio::test]
async fn of_two_servers_accounts_of_a_device_the_later_one_stays() {
    // Goal: servers do not fight over heartbeats. Method: speak to the first, then to the second; both write down.
    let ([(one, _), (two, _)], device) = pair().await;
    let mut request = checkin_of(&device);
    for (bench, interlock) in [(&one, InterlockState::Standby), (&two, InterlockState::InUse)] {
        bench.clock.hold_at(bench.clock.now_ms().plus(1000));
        request.interlock = interlock;
        let member = bench.app().fleet.get(device.id).expect("there");
        bench.app().checkin(&member, &device.speaker(), &request).await.expect("answered");
    }
    let interlock = |bench: &Bench| {
        let member = bench.app().fleet.get(device.id)?;
        Some(member.report.as_ref()?.interlock)
    };
    let stored = || two.app().fleet.get(device.id)?.device.report.as_ref().map(|report| report.interlock);
    let begin = Instant::now();
    // The round of either server may be faster than this one.
    while stored() != Some(InterlockState::InUse) {
        assert!(begin.elapsed() < LONG, "never written down");
        two.app().write_down().await.expect("written");
        sleep(Duration::from_millis(5)).await;
    }
    arrives("a report", || interlock(&one) == Some(InterlockState::InUse)).await;
    for bench in [&one, &two, &one] {
        assert_eq!(bench.app().write_down().await.expect("nothing"), 0);
        assert_eq!(interlock(bench), Some(InterlockState::InUse));
    }
}

#[tokio::test]
async fn a_batch_that_reaches_two_servers_is_heeded_once() {
    // Goal: a slow server puts nothing old back. Method: while the first decides over a batch, the second takes it in
    // with one more record, and a person closes its finding; then the first commits.
    let ([(one, seat), (two, _)], device) = pair().await;
    let inventory = |key: &str| {
        let row = Row { section: Section::Posture, key: text(key), fields: vec!["x".to_owned()] };
        Inventory::new(vec![row])
    };
    let list = |key: &str| RecordBody::Inventory(inventory(key));
    let record = |body: RecordBody, sequence| body.record(Position { boot: 1, sequence }, Millis(1));
    let early = vec![record(finding(), 1), record(list("old"), 2)];
    let both = [early.clone(), vec![record(list("new"), 3)]].concat();
    let (there, id) = (two.app().clone(), device.id);
    seat.before_commit(async move {
        there.telemetry(id, Batch { records: both }).await.expect("stored");
        let record = there.fleet.get(id).expect("there").findings.clone();
        let (digest, record) = record.first_key_value().expect("a finding");
        let closed = decide(triage::Record::clone(record), Verb::Close, "ines", "a printer test", NOW);
        let body = serde_json::to_vec(&closed.expect("closes")).expect("JSON");
        let draft = Commit::draft(NOW, person());
        there.commit(draft.put(Key::Finding { device: id, finding: *digest }, body)).await.expect("closed");
    });
    let answer = one.app().telemetry(device.id, Batch { records: early }).await.expect("known");
    assert_eq!((answer.duplicates, answer.stored_through.sequence), (2, 3));
    let held = one.app().inventory(device.id).await.expect("read").expect("there");
    assert_eq!(held.root(), inventory("new").root());
    let closed = |bench: &Bench| {
        let member = bench.app().fleet.get(device.id);
        member.is_some_and(|member| {
            member.findings.values().all(|record| record.state == triage::State::Closed)
        })
    };
    arrives("a decision", || one.app().fleet.get(id).is_some_and(|one| !one.findings.is_empty())).await;
    assert!(closed(&one) && closed(&two));
}

#[tokio::test]
async fn an_image_that_another_server_took_in_is_waited_for_and_not_denied() {
    // Goal: a device does not give a release up because this server's folder lacks it yet. Method: a release taken in
    // at the first without its bytes; ask the second for it and for another one; then the bytes come.
    let ([(one, _), (two, _)], device) = pair().await;
    let bytes = b"an image".as_slice();
    let release = KnownRelease {
        v: 1,
        repository: "halden".parse().expect("a name"),
        release: "vp-3/4.2.2".parse().expect("a path"),
        model: text("VP-3"),
        counter: 1,
        floor: 0,
        sha256: Sha256::of(bytes),
        length: 8,
        imported: NOW,
        listed: true,
        statement: String::new(),
        signers: Vec::new(),
        expires: None,
        forms: BTreeMap::new(),
    };
    let key = Key::Release { repository: release.repository.clone(), release: release.release.clone() };
    let draft = Commit::draft(NOW, person()).put(key, serde_json::to_vec(&release).expect("JSON"));
    one.app().commit(draft).await.expect("committed");
    let known = || two.app().director().is_some_and(|director| director.knows_image(&release.sha256));
    arrives("a release", known).await;
    let mut wire = two.device(&device).await;
    let reply = wire.get(&format!("/v1/targets/{}", release.sha256), &[]).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "target_not_here"));
    assert!(reply.headers.contains_key("retry-after"));
    let reply = wire.get(&format!("/v1/targets/{}", Sha256([7; 32])), &[]).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "no_such_target"));
    let part = one.app().blobs.put(8).await.expect("begun").write(bytes.into()).await.expect("written");
    part.finish(Some(release.sha256)).await.expect("kept in the folder of both");
    assert_eq!(wire.get(&format!("/v1/targets/{}", release.sha256), &[]).await.body, bytes);
}

#[tokio::test]
async fn a_server_that_lost_touch_is_not_ready_and_says_why() {
    // Goal: whoever runs it knows what to do. Method: the probe and the metrics before, during and after.
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;
    let ([_, (two, seat)], _) = pair().await;
    let ask = async |path: &str| {
        let request = Request::get(path).body(axum::body::Body::empty()).expect("a request");
        let answer = crate::http::probes::router(two.app().clone()).oneshot(request).await.expect("answers");
        let (status, body) = (answer.status(), axum::body::to_bytes(answer.into_body(), 1 << 16).await);
        (status, String::from_utf8(body.expect("a body").to_vec()).expect("text"))
    };
    assert_eq!(ask("/readyz").await.0, StatusCode::OK);
    seat.lose(true);
    sleep(SECOND + PAUSE).await;
    let (status, words) = ask("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(words.contains(" s old") && !words.contains(" 0 s old") && words.contains("database"), "{words}");
    let (_, metrics) = ask("/metrics").await;
    let age = metrics.lines().find_map(|line| line.strip_prefix("cordon_view_age_seconds "));
    let age: f64 = age.and_then(|age| age.parse().ok()).expect("an age");
    assert!((1.0..60.0).contains(&age), "{age}");
    assert!(metrics.contains(r#"cordon_lease_held{job="rollouts"} "#), "{metrics}");
    seat.lose(false);
    arrives("catching up", || !two.app().following.is_stale()).await;
    assert_eq!(ask("/readyz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_lost_touch_serves_no_device_serves_no_device_until_it_has_caught_up() {
    // Goal: quarantine fails closed. Method: lose touch, report lost elsewhere, ask; find touch again, ask.
    let ([(one, _), (two, seat)], device) = pair().await;
    let mut wire = two.device(&device).await;
    assert_eq!(check_in(&mut wire, &device).await.status, 200);
    let stale = two.app().metrics.count_stale();
    seat.lose(true);
    one.app().act(device.id, Act::ReportLost, text("not in its room"), &person()).await.expect("lost");
    sleep(SECOND + PAUSE).await;
    let ask = wire::write(&checkin_of(&device));
    for _ in 0..2 {
        let reply = wire.post("/v1/checkin", &ask).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "stale_view"));
        assert!(reply.headers.contains_key("retry-after"), "and the connection lives");
    }
    assert_eq!(two.app().metrics.count_stale(), stale + 2);
    seat.lose(false);
    arrives("catching up", || !two.app().following.is_stale()).await;
    assert!(wire.ended().await);
    let reply = check_in(&mut two.device(&device).await, &device).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "lost"));
}

#[tokio::test]
async fn a_view_is_believed_for_one_second_and_not_a_millisecond_longer() {
    // Goal: the edge of the promise. Method: the runtime's own time, held; the router without a socket.
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;
    let ([_, (two, seat)], _) = pair().await;
    let app = two.app().clone();
    let ask = async || {
        let request = Request::post("/v1/checkin").body(Body::empty()).expect("a request");
        router(app.clone()).oneshot(request).await.expect("answers").status()
    };
    let others = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    // The time that is held must not begin with a view that is nearly too old.
    arrives("a fresh view", || app.following.age() < Duration::from_millis(300)).await;
    tokio::time::pause();
    seat.lose(true);
    // A look that is under way may still answer; from then on none does.
    tokio::time::advance(PAUSE).await;
    others().await;
    let left = LIMIT.checked_sub(app.following.age()).expect("fresh a moment ago");
    tokio::time::advance(left).await;
    assert_eq!(app.following.age(), LIMIT);
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED, "served, as far as one without a certificate is");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE, "before anything is asked of an identity");
    seat.lose(false);
    others().await;
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED, "one good look is enough");
}

#[test]
fn where_nobody_else_writes_no_view_is_stale() {
    // Goal: an embedded store needs no follower to be believed. Method: an old mark, with and without others.
    let old = Instant::now().checked_sub(SECOND * 3).expect("a machine that has run for seconds");
    for shared in [false, true] {
        let following = Following { shared, begun: Revision(0), fresh: Mutex::new(old) };
        assert_eq!(following.is_stale(), shared);
        following.up_to_date(Instant::now());
        following.up_to_date(old);
        assert!(!following.is_stale(), "an older answer that comes late takes nothing back");
    }
}

#[tokio::test]
async fn changes_that_were_forgotten_are_made_up_for_by_reading_everything() {
    // Goal: a gap in the feed loses nothing. Method: lose touch, change, add, expire the feed, find touch again.
    let ([(one, _), (two, seat)], device) = pair().await;
    seat.lose(true);
    one.app().act(device.id, Act::Quarantine, text("beacons"), &person()).await.expect("quarantined");
    let late = one.enrol("C").await;
    one.app().store.expire(one.clock.now_ms().plus(86_400_000)).await.expect("forgotten");
    seat.lose(false);
    arrives("catching up", || two.app().fleet.get(late.id).is_some()).await;
    let state = two.app().fleet.get(device.id).map(|member| member.device.state);
    assert_eq!(state, Some(Trust::Quarantined));
    assert_eq!(two.app().fleet.all().len(), 2);
    let stop = async { tokio::join!(one.server.stop(), two.server.stop()) };
    timeout(LONG, stop).await.expect("followers end with their server");
}
