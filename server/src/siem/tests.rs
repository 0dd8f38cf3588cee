//! The whole server beside a collector of syslog over TLS that is slow, gone, strange or restarted.
//!
//! What arrived is read by the length that each frame says of itself. Read next: `collector` for the other side.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::{Query, State};
use cordon_proto::telemetry::{Batch, Body, Finding, Position as Place, Severity};
use cordon_proto::time::Millis;
use cordon_proto::wire;
use cordon_server_core::policy::Role;
use cordon_server_core::triage::Verb;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use self::collector::{Collector, Manner};
use super::*;
use crate::clock::Clock;
use crate::http::operator::findings::settle;
use crate::http::operator::{Operator, coverage};
use crate::people::Caller;
use crate::repositories::Repositories;
use crate::rollouts::Rollouts;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::testing::shared::Seat;
use crate::testing::{Bench, Enrolled, PATIENCE, Wire, person, text};

mod collector;

/// A finding of a device with this key.
fn finding(key: &str, at: Timestamp) -> Body {
    Body::Finding(Finding {
        detector: "beacon".parse().expect("a name"),
        key: text(key),
        first: at,
        last: at,
        count: 4,
        peer: Some(text("203.0.113.9")),
        severity: Severity::High,
        attack: vec![text("T1071.001")],
        evidence: [].into(),
        title: text("Calls one address every 60 seconds"),
        what_changed: text("Since 05:58."),
        why_it_matters: text("A fixed rhythm."),
        how_sure: text("High."),
        what_to_do: text("Quarantine it."),
    })
}

/// A device's telemetry, a record after another.
struct Speaker {
    wire: Wire,
    sequence: u64,
}

impl Speaker {
    async fn of(bench: &Bench, device: &Enrolled, sequence: u64) -> Self {
        Self { wire: bench.device(device).await, sequence }
    }

    async fn report(&mut self, bench: &Bench, keys: impl IntoIterator<Item = String>) {
        let now = bench.clock.now();
        let records = keys.into_iter().map(|key| {
            self.sequence += 1;
            finding(&key, now).record(Place { boot: 1, sequence: self.sequence }, Millis(1))
        });
        let batch = wire::write(&Batch { records: records.collect() });
        assert_eq!(self.wire.post("/v1/telemetry", &batch).await.status, 200);
    }
}

fn sets(collector: &Collector, what: &str) -> Vec<String> {
    let address = format!("siem.address=localhost:{}", collector.address.port());
    let ca = format!("siem.ca='{}'", collector.ca.display());
    vec![address, ca, "siem.format=ocsf".to_owned(), format!("siem.what={what}")]
}

async fn bench(collector: &Collector, what: &str) -> Bench {
    let sets = sets(collector, what);
    Bench::start(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Waits until what arrived looks so.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// The detection findings that arrived: the numbers of their kinds, and their names.
fn told(collector: &Collector) -> Vec<(i64, String)> {
    let events =
        collector.lines().into_iter().map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
    let named = |event: Value| {
        let name = event["metadata"]["uid"].as_str().expect("a name").to_owned();
        (event["type_uid"].as_i64().expect("a number"), name)
    };
    events.map(named).filter(|(kind, _)| kind / 100 == 2004).collect()
}

fn names(collector: &Collector) -> BTreeSet<String> {
    told(collector).into_iter().map(|(_, name)| name).collect()
}

fn siem(bench: &Bench) -> Arc<Siem> {
    bench.app().siem.clone().expect("a SIEM")
}

async fn operator(bench: &Bench) -> Operator {
    let app = bench.app().clone();
    let repositories = Repositories::new(app.store.clone(), app.online.clone());
    let loaded = Rollouts::load(app.store.clone(), repositories.clone(), app.clock.now()).await;
    Operator { app, rollouts: loaded.expect("read"), repositories }
}

async fn failing(bench: &Bench) -> Option<String> {
    let standing = siem(bench).standing(bench.app()).await.expect("read");
    Some(standing.position?.failing?.why)
}

#[tokio::test]
async fn a_findings_life_arrives_in_order_and_a_restart_goes_on_where_it_was() {
    // Goal: nothing is lost or told twice by a restart. Method: a finding opened and acknowledged; a server that stops, and
    // another over the same folder; a second finding; everything that arrived.
    let collector = Collector::start(Manner::Take, false).await;
    let sets = sets(&collector, "['findings']");
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let folder = Bench::laid().await;
    let first = Bench::open(folder.clone(), &sets).await;
    let device = first.enrol("A").await;
    let mut speaker = Speaker::of(&first, &device, 0).await;
    until("the first look", async || siem(&first).standing(first.app()).await.ok()?.position?.taken).await;
    speaker.report(&first, ["one".to_owned()]).await;
    until("an opening", async || (told(&collector).len() == 1).then_some(())).await;
    first.clock.hold_at(first.clock.now_ms().plus(60_000));
    let member = first.app().fleet.get(device.id).expect("there");
    let digest = *member.findings.keys().next().expect("a finding");
    let caller = Caller { actor: person(), name: text("ines"), role: Role::Administrator, csrf: None };
    let place = (device.id, digest);
    settle(&operator(&first).await, &caller, place, Verb::Acknowledge, "looking at it now")
        .await
        .expect("decided");
    until("the decision", async || (told(&collector).len() == 2).then_some(())).await;
    drop(speaker);
    first.server.stop().await;
    let second = Bench::open(folder, &sets).await;
    Speaker::of(&second, &device, 1).await.report(&second, ["two".to_owned()]).await;
    until("a second opening", async || (told(&collector).len() == 3).then_some(())).await;
    sleep(Duration::from_secs(3)).await;
    let kinds: Vec<i64> = told(&collector).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!((kinds, names(&collector).len()), (vec![200_401, 200_402, 200_401], 3));
    second.server.stop().await;
}

#[tokio::test]
async fn a_siem_that_goes_away_in_the_middle_gets_everything_when_it_is_back() {
    // Goal: nothing is lost. Method: a collector that reads a little and goes away, while findings are reported; it is said;
    // then one that takes all. Each finding arrives once by name, however often it travelled.
    let collector = Collector::start(Manner::Break, false).await;
    let bench = bench(&collector, "['findings']").await;
    let device = bench.enrol("A").await;
    let mut speaker = Speaker::of(&bench, &device, 0).await;
    speaker.report(&bench, (0..120).map(|number| format!("key {number}"))).await;
    let why = until("a failure", async || failing(&bench).await).await;
    assert!(why.contains("ended the connection before it had read everything"), "{why}");
    speaker.report(&bench, (120..200).map(|number| format!("key {number}"))).await;
    collector.now(Manner::Take);
    until("all findings", async || (names(&collector).len() == 200).then_some(())).await;
    until("an end of the failure", async || failing(&bench).await.is_none().then_some(())).await;
    bench.server.stop().await;
}

#[tokio::test]
async fn a_siem_that_reads_nothing_holds_nobody_up() {
    // Goal: the server's work does not wait. Method: more than any buffer holds for a collector that stands still; devices are
    // answered, and the server ends in time.
    let collector = Collector::start(Manner::Stand, false).await;
    let bench = bench(&collector, "['findings', 'audit']").await;
    let device = bench.enrol("A").await;
    let mut speaker = Speaker::of(&bench, &device, 0).await;
    for round in 0..3 {
        speaker.report(&bench, (0..200).map(|number| format!("key {round} {number}"))).await;
    }
    until("a connection", async || (collector.connections() > 0).then_some(())).await;
    let asked = speaker.report(&bench, ["last".to_owned()]);
    timeout(Duration::from_secs(10), asked).await.expect("telemetry is taken");
    drop(speaker);
    timeout(Duration::from_secs(20), bench.server.stop()).await.expect("the server ends");
    assert!(told(&collector).is_empty());
}

#[tokio::test]
async fn a_siem_with_another_certificate_is_told_nothing_and_people_are_told_why() {
    // Goal: events go to the owner's SIEM alone. Method: the authority of another collector; the coverage after an hour.
    let (collector, other) =
        (Collector::start(Manner::Take, false).await, Collector::start(Manner::Take, false).await);
    let mut sets = sets(&collector, "['findings']");
    sets.push(format!("siem.ca='{}'", other.ca.display()));
    let bench = Bench::start(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let why = until("a failure", async || failing(&bench).await).await;
    assert!(why.contains("siem.ca") && why.contains("certificate"), "{why}");
    assert!(collector.lines().is_empty());
    bench.clock.hold_at(bench.clock.now_ms().plus(3_600_000));
    let coverage = coverage::of(&operator(&bench).await).await.expect("counted");
    let spots = coverage.blind_spots.concat();
    assert!(spots.contains("has taken nothing ever"), "{spots}");
    let refused = siem(&bench).test(bench.app(), &person()).await.expect_err("not believed");
    assert!(matches!(refused, SendError::Handshake(..)), "{refused}");
    bench.server.stop().await;
}

#[tokio::test]
async fn a_siem_that_asks_for_our_certificate_is_shown_it() {
    // Goal: collectors that know their senders. Method: one that asks, with and without a certificate of ours.
    let collector = Collector::start(Manner::Take, true).await;
    let without = bench(&collector, "['audit']").await;
    let error = siem(&without).test(without.app(), &person()).await.expect_err("it wants a certificate");
    assert!(matches!(error, SendError::Broken(..) | SendError::Handshake(..)), "{error:?}");
    without.server.stop().await;
    assert!(collector.lines().is_empty());
    let mut sets = sets(&collector, "['audit']");
    sets.push(format!("siem.certificate='{}'", collector.client.0.display()));
    sets.push(format!("siem.key='{}'", collector.client.1.display()));
    let with = Bench::start(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let sent = siem(&with).test(with.app(), &person()).await.expect("arrives");
    assert!(sent.tls.is_some_and(|tls| tls.starts_with("TLSv1_3 ")));
    let lines = collector.lines().concat();
    assert!(lines.contains("\"type_uid\":99") && lines.contains("person:ines"), "{lines}");
    // The journal is told from the sender's beginning on, which may come late on a busy machine.
    until("a beginning", async || siem(&with).standing(with.app()).await.expect("read").position).await;
    with.token("B").await;
    until("the journal", async || collector.lines().concat().contains("token.create").then_some(())).await;
    with.server.stop().await;
}

#[tokio::test]
async fn people_see_how_the_siem_stands_and_take_its_lines_as_a_file() {
    // Goal: what the API says is what is so. Method: no SIEM; one that takes; the export in both words against what arrived.
    let none = Bench::start(&[]).await;
    let view = crate::http::operator::siem::show(State(operator(&none).await)).await.expect("read").0;
    assert_eq!(serde_json::to_value(view).expect("JSON")["state"], "none");
    none.server.stop().await;
    let collector = Collector::start(Manner::Take, false).await;
    let bench = bench(&collector, "['findings']").await;
    let device = bench.enrol("A").await;
    Speaker::of(&bench, &device, 0).await.report(&bench, ["one".to_owned()]).await;
    until("an opening", async || (told(&collector).len() == 1).then_some(())).await;
    let view = until("an event that is counted", async || {
        let view = crate::http::operator::siem::show(State(operator(&bench).await)).await.expect("read").0;
        (view.events == 1).then_some(view)
    })
    .await;
    assert_eq!((view.state, view.format, view.why), ("well", Some("ocsf"), None));
    let export = async |format: &str| {
        let asked = format!("/x?format={format}").parse().expect("an address");
        let asked = Query::try_from_uri(&asked).expect("a question");
        let answer = crate::http::operator::siem::findings(State(operator(&bench).await), asked).await;
        let body = answer.expect("lines").into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(body.to_vec()).expect("UTF-8")
    };
    let lines: Vec<String> = export("ocsf").await.lines().map(str::to_owned).collect();
    assert_eq!(lines, collector.lines(), "the finding and the connection behind it");
    assert!(export("cef").await.starts_with("CEF:0|Cordon|Cordon|"));
    bench.server.stop().await;
}

#[tokio::test]
async fn of_two_servers_one_tells_and_the_other_goes_on_when_it_is_gone() {
    // Goal: one voice. Method: two servers on one store, findings at each; then the one that tells stops.
    let collector = Collector::start(Manner::Take, false).await;
    let sets = sets(&collector, "['findings']");
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let folder = Bench::laid().await;
    let clock = Clock::held(Clock::system().now_ms());
    let mut servers = Vec::new();
    for control in ["control=one.sock", "control=two.sock"] {
        let sets: Vec<&str> = sets.iter().map(String::as_str).chain([control]).collect();
        let seat = Arc::new(Seat::new(store.clone()));
        servers.push(Bench::over(seat, folder.clone(), &sets, clock.clone()).await);
    }
    let [one, two] = <[Bench; 2]>::try_from(servers).ok().expect("two");
    let device = one.enrol("A").await;
    let mut speaker = Speaker::of(&one, &device, 0).await;
    speaker.report(&one, ["one".to_owned(), "two".to_owned()]).await;
    until("two findings", async || (names(&collector).len() == 2).then_some(())).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(told(&collector).len(), 2, "once each");
    speaker.report(&one, ["three".to_owned()]).await;
    drop(speaker);
    one.server.stop().await;
    until("the third", async || (names(&collector).len() == 3).then_some(())).await;
    two.server.stop().await;
}
