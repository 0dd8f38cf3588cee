//! Tests of the link role against a real TLS server: schedule, delivery, quarantine, the server gone and back.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cordon_proto::checkin::{
    CheckinAnswer, InterlockState, SensorReport, Software, UpdateReport, UpdateState, WaitAnswer,
};
use cordon_proto::ids::Sha256;
use cordon_proto::telemetry::{BatchAnswer, Body, Gap, GapReason, Position, Record, SensorChange};
use cordon_proto::wire;

use super::*;
use crate::fake::{Asked, Options, Reply, Server};
use crate::identity::tests::{hardware, trusted_clock};
use crate::identity::{Applicant, Home, Identity};
use crate::link::Patience;
use crate::link::proxy::{Proxy, ProxyFault};
use crate::link::tests::{MUTUAL, Site};

/// The sensor and updater of a device that does nothing.
struct Rig {
    site: Site,
    sensor: watch::Sender<SensorView>,
    update: watch::Sender<UpdateView>,
    content: watch::Sender<Applied>,
    heard: watch::Receiver<Option<Heard>>,
    view: watch::Receiver<ContactView>,
    spool: Arc<Mutex<Vec<Record>>>,
    peers: Option<Peers>,
}

fn sensor_view() -> SensorView {
    SensorView {
        report: SensorReport { tier: Some(0), note: None, profile_keys: 0, learning: false },
        inventory_root: Sha256([1; 32]),
        declared: Vec::new(),
        unseen: Vec::new(),
        spool_records: 0,
        spool_lost: 0,
        spool_fault: None,
        urgent: 0,
    }
}

fn update_view() -> UpdateView {
    UpdateView {
        software: Software {
            release: None,
            counter: 0,
            sha256: Sha256([2; 32]),
            floor: 0,
            slot: "A".parse().expect("a text"),
        },
        update: UpdateReport {
            state: UpdateState::Idle,
            order: None,
            blocked_by: Vec::new(),
            fetched_bytes: 0,
        },
        interlock: InterlockState::Standby,
        want_permit: None,
        director_root_version: 0,
        whole: None,
        urgent: 0,
    }
}

impl Rig {
    async fn new(records: u64) -> Self {
        let gap = Gap {
            after: Position::default(),
            before: Position::default(),
            count: 1,
            reason: GapReason::Damaged,
        };
        let record = |sequence| Body::Gap(gap).record(Position { boot: 1, sequence }, Millis(1));
        let spool = Arc::new(Mutex::new((1..=records).map(record).collect::<Vec<_>>()));
        let (sensor, sensor_seen) = watch::channel(sensor_view());
        let (update, update_seen) = watch::channel(update_view());
        let (content, content_seen) = watch::channel(Applied::default());
        let (to_sensor, mut calls) = mpsc::channel(4);
        let (heard_at, heard) = watch::channel(None);
        let (view_at, view) = watch::channel(ContactView::default());
        let kept = Arc::clone(&spool);
        tokio::spawn(async move {
            while let Some(call) = calls.recv().await {
                let mut kept = kept.lock().expect("no panic");
                match call {
                    ToSensor::Take(bytes, back) => {
                        let some = (bytes / 1000).max(1);
                        let _ = back.send(kept.iter().take(some).cloned().collect());
                    }
                    ToSensor::Stored(position) => kept.retain(|record| record.position > position),
                    ToSensor::Keep(_) | ToSensor::WantInventory(_) => {}
                }
            }
        });
        let peers = Peers {
            sensor: sensor_seen,
            update: update_seen,
            content: content_seen,
            to_sensor,
            heard: heard_at,
            view: view_at,
        };
        Self { site: Site::new().await, sensor, update, content, heard, view, spool, peers: Some(peers) }
    }

    fn contact(&mut self, server: &Server) -> Contact {
        let facts = Facts { boot: 1, hardware: hardware(), run: 7, machine: Some(Sha256([3; 32])) };
        let pace = Pace {
            backoff: Backoff::new(40, 400),
            slowly: Duration::from_secs(60),
            gap: Duration::from_millis(1),
            urgent_gap: Duration::from_millis(100),
            metered: None,
        };
        let peers = self.peers.take().expect("one contact a rig");
        let (link, keeping) = (self.site.link(server), self.site.keeping());
        Contact::new((link, keeping), facts, trusted_clock(), pace, peers)
    }

    fn waiting(&self) -> usize {
        self.spool.lock().expect("no panic").len()
    }
}

fn checked_in(next_s: u32) -> Reply {
    let answer = CheckinAnswer {
        time: Timestamp(1_900_000_000),
        order: None,
        permit: None,
        content_version: 0,
        ca_bundle: None,
        audit_head: None,
        next_s,
        want_inventory: false,
        director_version: 0,
        wait_token: 5,
        ca_version: 0,
        content: None,
        inventory_base: None,
        reads_packed: None,
    };
    Reply::ok(wire::write(&answer))
}

fn stored(asked: &Asked) -> Reply {
    let plain = match asked.headers.contains_key("content-encoding") {
        true => zstd::bulk::decompress(&asked.body, 1 << 20).expect("is zstd"),
        false => asked.body.clone(),
    };
    let batch = Batch::read(&plain).expect("is a batch");
    let last = batch.records.last().expect("is not empty").position;
    Reply::ok(wire::write(&BatchAnswer { stored_through: last, duplicates: 0 }))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_server_that_is_gone_costs_nothing_and_everything_is_delivered_once_when_it_returns() {
    // Goal: the hour without a server, in miniature. Method: no server, watch the failures grow, then a server on the
    // same port that counts every record.
    let mut rig = Rig::new(300).await;
    let gone = Server::start(&rig.site.authority, MUTUAL, |_| Reply::Hangup);
    let (port, contact) = (gone.port, rig.contact(&gone));
    let running = tokio::spawn(contact.run());
    until("hang-ups are counted", || rig.view.borrow().failures >= 2).await;
    assert_eq!(rig.view.borrow().dark, 0, "who hangs up is there");
    gone.stop();
    until("refused connections are counted", || rig.view.borrow().failures >= 4).await;
    until("the network counts as down", || rig.view.borrow().dark >= limits::DARK_ATTEMPTS).await;
    assert!(matches!(rig.view.borrow().error, Some(LinkError::Unreachable { .. })));
    assert_eq!(rig.waiting(), 300, "the spool holds");
    let counted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counted);
    let back = Server::start(&rig.site.authority, Options { port, ..MUTUAL }, move |asked| {
        match asked.line.as_str() {
            "POST /v1/checkin" => checked_in(300),
            "POST /v1/telemetry" => {
                let reply = stored(asked);
                count.fetch_add(1, Ordering::Relaxed);
                reply
            }
            _ => Reply::Stall(9, Vec::new()),
        }
    });
    until("everything is delivered", || rig.waiting() == 0).await;
    let view = rig.view.borrow().clone();
    assert_eq!((view.failures, view.dark), (0, 0), "success clears the failures");
    assert_eq!(counted.load(Ordering::Relaxed), 300_usize.div_ceil(BATCH_BYTES / 1000), "each batch once");
    assert!(rig.heard.borrow().is_some());
    drop(back);
    running.abort();
}

#[tokio::test]
async fn a_metered_device_reports_seldom_at_once_and_never_listens() {
    // Goal: the metered profile. Method: every line the server is asked, while the sensor and then the updater have
    // something urgent.
    let mut rig = Rig::new(3).await;
    let server = Server::start(&rig.site.authority, MUTUAL, |asked| match asked.line.as_str() {
        "POST /v1/checkin" => checked_in(1),
        "POST /v1/telemetry" => stored(asked),
        _ => Reply::Hangup,
    });
    let mut contact = rig.contact(&server);
    contact.pace.metered = Some(Duration::from_secs(10));
    let running = tokio::spawn(contact.run());
    let report = ["POST /v1/checkin", "POST /v1/telemetry"];
    until("the first report", || rig.waiting() == 0).await;
    assert_eq!(server.lines(), report, "what waits is handed in with the report");
    let gap =
        Gap { after: Position::default(), before: Position::default(), count: 1, reason: GapReason::Damaged };
    rig.spool
        .lock()
        .expect("no panic")
        .push(Body::Gap(gap).record(Position { boot: 1, sequence: 9 }, Millis(1)));
    rig.sensor.send_modify(|view| view.urgent += 1);
    sleep(Duration::from_millis(400)).await;
    assert_eq!(server.lines().len(), 2, "a finding waits for the report");
    rig.update.send_modify(|view| view.urgent += 1);
    until("the updater is heard at once", || server.lines().len() == 3).await;
    assert_eq!((server.lines()[2].as_str(), rig.waiting()), (report[0], 1));
    until("the second report", || rig.waiting() == 0).await;
    assert!(!server.lines().iter().any(|line| line.contains("/v1/wait")), "{:?}", server.lines());
    assert_eq!(server.seen.lock().expect("no panic").handshakes.len(), 1, "on one connection");
    running.abort();
}

#[tokio::test]
async fn the_waits_after_failures_grow_and_are_spread() {
    // Goal: backoff with jitter, and a person's matter is retried rarely. Method: the pauses themselves.
    let mut rig = Rig::new(0).await;
    let server = Server::start(&rig.site.authority, MUTUAL, |_| Reply::Hangup);
    let mut contact = rig.contact(&server);
    let down = || LinkError::Unreachable { cause: "down".to_owned(), met: false };
    let pauses: Vec<u128> = (0..5).map(|_| contact.pause(down()).as_millis()).collect();
    for (pause, step) in pauses.iter().zip([40, 80, 160, 320, 400]) {
        assert!((step / 2..=step).contains(pause), "{pauses:?}");
    }
    let spread: std::collections::BTreeSet<_> = (0..20).map(|_| contact.pause(down())).collect();
    assert!(spread.len() > 5, "{spread:?}");
    let busy = LinkError::Busy { status: 503, retry_after_s: Some(30) };
    assert!(contact.pause(busy).as_secs() >= 30);
    let unknown = LinkError::Refused { refusal: Refusal::UnknownDevice, detail: String::new() };
    assert!(contact.pause(unknown).as_secs() >= 50);
}

#[tokio::test]
async fn an_answer_of_any_kind_between_two_attempts_ends_the_count_of_those_that_met_nobody() {
    // Goal: one attempt that meets nobody is no network that is down. Method: failures one after the other, and the count.
    let mut rig = Rig::new(0).await;
    let server = Server::start(&rig.site.authority, MUTUAL, |_| Reply::Hangup);
    let mut contact = rig.contact(&server);
    let nobody = || LinkError::Unreachable { cause: "no route".to_owned(), met: false };
    let somebody = [
        LinkError::Unreachable { cause: "reset".to_owned(), met: true },
        LinkError::Busy { status: 503, retry_after_s: None },
        LinkError::Stalled { seconds: 30 },
        LinkError::CertificateRefused { alert: "CertificateRevoked".to_owned() },
        LinkError::Proxy(ProxyFault::Refused("unsuccessful".to_owned())),
    ];
    for answer in somebody {
        contact.failed(nobody());
        contact.failed(LinkError::Proxy(ProxyFault::Unreachable("no route".to_owned())));
        assert_eq!(rig.view.borrow().dark, 2);
        contact.failed(answer);
        assert_eq!(rig.view.borrow().dark, 0);
    }
}

#[tokio::test]
async fn an_unknown_device_keeps_its_identity_and_its_spool() {
    // Goal: no answer whatsoever deletes anything. Method: the one reason for which a person might, then look.
    let mut rig = Rig::new(3).await;
    let server = Server::start(&rig.site.authority, MUTUAL, |_| Reply::problem(403, "unknown_device"));
    let running = tokio::spawn(rig.contact(&server).run());
    until("the refusal is shown", || rig.view.borrow().error.is_some()).await;
    let shown = rig.view.borrow().error.as_ref().expect("is shown").to_string();
    assert!(shown.contains("unknown_device") && shown.contains("ask the owner's IT"), "{shown}");
    assert_eq!(rig.waiting(), 3);
    assert!(Identity::load(&rig.site.folder).expect("reads").is_some());
    running.abort();
}

#[tokio::test]
async fn a_quarantined_device_goes_on_checking_in_and_keeps_what_waits() {
    // Goal: quarantine stops telemetry, not contact. Method: check-ins are answered, all else is refused.
    let mut rig = Rig::new(3).await;
    let server = Server::start(&rig.site.authority, MUTUAL, |asked| match asked.line.as_str() {
        "POST /v1/checkin" => checked_in(1),
        _ => Reply::problem(403, "quarantined"),
    });
    let running = tokio::spawn(rig.contact(&server).run());
    let lines = || server.lines().iter().filter(|line| line.ends_with("checkin")).count();
    until("a second check-in comes", || lines() >= 2).await;
    assert_eq!((rig.waiting(), rig.view.borrow().failures), (3, 0));
    running.abort();
}

#[tokio::test]
async fn a_push_brings_a_check_in_at_once_and_an_urgent_word_does_not_wait() {
    // Goal: push within a second, urgent news beside the wait. Method: the first wait says changed; later ones hang;
    // then the updater becomes urgent, then the sensor.
    let mut rig = Rig::new(0).await;
    let waits = AtomicU64::new(0);
    let server = Server::start(&rig.site.authority, MUTUAL, move |asked| match asked.line.as_str() {
        "POST /v1/checkin" => checked_in(300),
        "POST /v1/telemetry" => stored(asked),
        _ if waits.fetch_add(1, Ordering::Relaxed) == 0 => {
            Reply::ok(wire::write(&WaitAnswer { token: 6, changed: true }))
        }
        _ => Reply::Stall(9, Vec::new()),
    });
    let running = tokio::spawn(rig.contact(&server).run());
    let count = |end: &str| server.lines().iter().filter(|line| line.ends_with(end)).count();
    until("the push brings a second check-in", || count("checkin") == 2).await;
    until("the next wait hangs", || count("wait") == 2).await;
    rig.update.send_modify(|view| view.urgent += 1);
    until("an urgent update checks in beside the wait", || count("checkin") == 3).await;
    assert_eq!(count("wait"), 2, "the wait went on");
    rig.sensor.send_modify(|view| view.spool_records = 1);
    let record = Body::Sensor(SensorChange { tier: None, reason: "blind".parse().expect("a text") });
    rig.spool.lock().expect("no panic").push(record.record(Position { boot: 1, sequence: 1 }, Millis(1)));
    sleep(Duration::from_millis(150)).await;
    assert_eq!(count("telemetry"), 0, "what is not urgent waits for the report");
    rig.sensor.send_modify(|view| view.urgent += 1);
    until("an urgent finding goes out beside the wait", || rig.waiting() == 0).await;
    assert_eq!((count("wait"), count("checkin")), (2, 3));
    running.abort();
}

#[tokio::test]
async fn a_record_that_the_server_will_not_take_does_not_hold_back_the_rest() {
    // Goal: no poisoned record stops telemetry. Method: the server refuses any batch that holds record 7.
    let mut rig = Rig::new(20).await;
    let poison = Position { boot: 1, sequence: 7 };
    let server = Server::start(&rig.site.authority, MUTUAL, move |asked| match asked.line.as_str() {
        "POST /v1/checkin" => checked_in(300),
        "POST /v1/telemetry" => {
            let plain = zstd::bulk::decompress(&asked.body, 1 << 20).unwrap_or_else(|_| asked.body.clone());
            let batch = Batch::read(&plain).expect("is a batch");
            match batch.records.iter().any(|record| record.position == poison) {
                true => Reply::problem(400, "malformed_message"),
                false => stored(asked),
            }
        }
        _ => Reply::Stall(9, Vec::new()),
    });
    let mut contact = rig.contact(&server);
    contact.report().await.expect("goes on");
    assert_eq!((rig.waiting(), rig.view.borrow().given_up), (0, 1));
}

#[tokio::test]
async fn the_servers_clock_raises_the_floor() {
    // Goal: the pinned server's time is remembered. Method: an answer from the future.
    let mut rig = Rig::new(0).await;
    let server = Server::start(&rig.site.authority, MUTUAL, |_| checked_in(300));
    let mut contact = rig.contact(&server);
    let next_ms = contact.report().await.expect("is answered");
    assert!((300_000..=330_000).contains(&next_ms), "never before the server's word: {next_ms}");
    assert_eq!(contact.clock.floor().at(), Timestamp(1_900_000_000));
    assert_eq!(rig.view.borrow().server_time, Some(Timestamp(1_900_000_000)));
}

#[tokio::test]
async fn a_proxys_password_that_was_mended_is_read_without_a_restart() {
    // Goal: 407 heals by the file alone. Method: a proxy that always wants another one; the file changes; what it is told.
    let mut rig = Rig::new(0).await;
    let server = Server::start(&rig.site.authority, MUTUAL, |_| Reply::Hangup);
    let head = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
    let (url, asked) = crate::link::proxy::tests::answering(head);
    let path = rig.site.state().join("proxy-auth");
    let write = |text: &str| {
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("sets");
    };
    write("pump:former");
    let proxy = Proxy::parse(Some(url), Some(path.clone())).expect("is read");
    let applicant = Applicant { proxy, ..crate::identity::tests::applicant() };
    let home = Home::from(&rig.site.folder);
    let held = home.held().expect("reads").expect("is there");
    let route = applicant.route("localhost");
    let mut contact = rig.contact(&server);
    contact.link = Link::new(&held.identity, &route, trusted_clock(), Patience::default()).expect("is built");
    contact.keeping = Keeping::new(home, held, applicant);
    contact.pace.slowly = Duration::from_millis(200);
    let running = tokio::spawn(contact.run());
    until("the proxy refuses", || rig.view.borrow().error.is_some()).await;
    write("pump:mended");
    // base64 of the two words.
    until("it is told the new word", || asked.try_iter().any(|head| head.contains("cHVtcDptZW5kZWQ="))).await;
    running.abort();
}

#[tokio::test]
async fn a_content_makes_check_ins_rarer_and_is_told_in_each() {
    // Goal: `checkin_s` of the content in force, never sooner than the server asks. Method: three answers of 300 s and
    // what is said in the requests.
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let mut rig = Rig::new(0).await;
    let server = Server::start(&rig.site.authority, MUTUAL, move |asked| {
        if asked.line.contains("checkin") {
            let request: CheckinRequest = wire::read(&asked.body, limits::BODY_BYTES).expect("is a check-in");
            seen.lock().expect("no panic").push((request.content_version, request.content_fault));
        }
        checked_in(300)
    });
    let mut contact = rig.contact(&server);
    let mut next = async |checkin_s: Option<u32>, in_force: u64| {
        rig.content.send_replace(Applied { checkin_s, in_force, ..Applied::default() });
        contact.report().await.expect("answers")
    };
    assert!((300_000..=330_000).contains(&next(None, 0).await));
    assert!((3_200_000..=4_000_000).contains(&next(Some(3600), 3).await));
    assert!((300_000..=330_000).contains(&next(Some(60), 4).await), "the server asks for more");
    assert_eq!(*asked.lock().expect("no panic"), [(0, None), (3, None), (4, None)]);
}
