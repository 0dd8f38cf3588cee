//! The agent's own link against the real server: that both sides mean the same by the wire.
//!
//! Each side has its tests against the written contract; here neither is imitated. The server is the library behind
//! the program, on loopback; the agent is its identity and link, without the event loop around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cordon_agent::clock::{Floor, SystemClock, TrustedClock};
use cordon_agent::files::Folder;
use cordon_agent::host::machine::{self, Moment};
use cordon_agent::host::services::Services;
use cordon_agent::host::{Root, take};
use cordon_agent::identity::{Applicant, Home, Identity, IdentityError, Site, enrol, renew};
use cordon_agent::link::{Link, LinkError, Patience, Repository};
use cordon_agent::tls::Route;
use cordon_proto::checkin::{CheckinRequest, WaitRequest};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::health::{ClockState, Health};
use cordon_proto::ids::{Hardware, Sha256, Text};
use cordon_proto::inventory::delta::Delta;
use cordon_proto::inventory::packed::Packed;
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::telemetry::{Batch, Body, Position, Record};
use cordon_proto::time::{Millis, Timestamp};
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::init;
use cordon_server::serve::Server;
use cordon_server::store::EventQuery;
use cordon_server_core::admit::{Binding, TokenOrder};
use cordon_server_core::audit::Actor;
use cordon_server_core::device::{Act, DeviceKind, Placement};
use cordon_server_core::risk::facts::{Impact, Reach};
use cordon_sim::light::says;

struct Meeting {
    server: Server,
    folder: tempfile::TempDir,
}

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

fn person() -> Actor {
    Actor::Person(text("ines"))
}

fn hardware(serial: &str) -> Hardware {
    Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial: text(serial) }
}

fn clock() -> TrustedClock {
    TrustedClock::new(Arc::new(SystemClock::new()), Floor::new(None))
}

impl Meeting {
    async fn start() -> Self {
        Self::start_at("localhost", 0).await
    }

    /// A server of this name, with both planes of devices at this port, or each at a free one of its own.
    async fn start_at(host: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = init::Options {
            folder: folder.path().join("server"),
            admin_token_file: None,
            host: host.to_owned(),
            example_keys: false,
            store: init::STORE.to_owned(),
            ca_key: None,
        };
        let clock = Clock::system();
        let laid = init::run(&options, clock.now()).await.expect("laid");
        let planes = [("enrolment", port), ("device", port), ("operator", 0)];
        let sets = planes.map(|(plane, port)| format!("{plane}.listen=127.0.0.1:{port}"));
        let config = Config::load(&laid.config, &sets).expect("settings");
        let server = Server::start(config, clock).await.expect("starts");
        Self { server, folder }
    }

    /// The line that a person would paste at the device.
    async fn enrolment_string(&self, serial: &str) -> EnrolmentString {
        let order = TokenOrder {
            manufacturer: Some(text("Halden")),
            model: text("VP-3"),
            binding: Binding::Serial { serial: text(serial), replaces: false },
            placement: Placement {
                site: text("St. Anna"),
                ward: text("ICU 2"),
                kind: DeviceKind::InfusionPump,
                impact: Impact::default(),
                reach: Reach::default(),
                tags: Vec::new(),
            },
            hours: 1,
        };
        let made = self.server.app.make_token(order, &person()).await.expect("a token");
        EnrolmentString {
            host: self.server.app.config.host.clone(),
            enrolment_port: self.server.ready.enrolment.port(),
            device_port: self.server.ready.device.port(),
            ca_pin: self.server.app.ca.pin(),
            director_root: Sha256([7; 32]),
            token: made.secret,
        }
    }

    fn state(&self, name: &str) -> Folder {
        Folder::open(self.folder.path().join(name)).expect("a state folder")
    }

    async fn enrol(&self, serial: &str) -> Identity {
        let string = self.enrolment_string(serial).await;
        enrol(&self.state(serial), &string, &applicant(serial)).await.expect("enrols")
    }
}

fn applicant(serial: &str) -> Applicant {
    Applicant {
        hardware: hardware(serial),
        addresses: Vec::new(),
        proxy: None,
        metered: false,
        clock: clock(),
    }
}

fn link(identity: &Identity) -> Link {
    let route = Route { host: "localhost".to_owned(), ..Route::default() };
    Link::new(identity, &route, clock(), Patience::default()).expect("a link")
}

fn checkin(serial: &str, inventory: &Inventory) -> CheckinRequest {
    CheckinRequest { inventory_root: inventory.root(), ..says(&hardware(serial)) }
}

#[tokio::test]
async fn an_agent_enrols_checks_in_tells_waits_and_fetches() {
    // Goal: one wire. Method: every call of the link once, and what the server made of it.
    let meeting = Meeting::start().await;
    let app = &meeting.server.app;
    let identity = meeting.enrol("A").await;
    assert_eq!(identity.site, Site::from(&meeting.enrolment_string("B").await));
    let member = app.fleet.get(identity.device).expect("in the fleet");
    assert_eq!((&member.device.hardware, member.device.stated), (&hardware("A"), true));
    let mut link = link(&identity);
    let row = Row { section: Section::System, key: text("id"), fields: vec!["debian".to_owned(); 16] };
    let inventory = Inventory::new(vec![row]);
    let answer = link.checkin(&checkin("A", &inventory)).await.expect("answered");
    assert!(answer.want_inventory && answer.ca_bundle == Some(app.ca_bundle()));
    let body = Body::Inventory(inventory.clone());
    let records = (1..=20).map(|sequence| body.record(Position { boot: 1, sequence }, Millis(1))).collect();
    let told = link.telemetry(&Batch { records }).await.expect("stored");
    assert_eq!((told.stored_through.sequence, told.duplicates), (20, 0));
    assert!(!link.checkin(&checkin("A", &inventory)).await.expect("answered").want_inventory);
    let waiter = link.waiter();
    let wait = WaitRequest { token: answer.wait_token, max_s: 30 };
    assert!(waiter.wait(&wait).await.expect("answered").changed, "the inventory was a change");
    let missing = link.metadata(&Repository::Director, "1.root.json", 1024).await.expect("answered");
    assert_eq!(missing, None, "nothing is published yet");
    let image: Vec<u8> = (0..100_000_u32).map(|number| u8::try_from(number % 251).expect("small")).collect();
    let incoming = app.blobs.put(1 << 20).await.expect("begun").write(image.clone().into()).await;
    let info = incoming.expect("written").finish(None).await.expect("kept");
    for from in [0, 70_000] {
        let mut download = link.target(&info.sha256, from).await.expect("found");
        let mut bytes = Vec::new();
        while let Some(piece) = download.next().await.expect("a piece") {
            bytes.extend_from_slice(&piece);
        }
        let start = usize::try_from(from).expect("small");
        assert_eq!((download.start(), bytes == image[start..]), (from, true));
    }
    meeting.server.stop().await;
}

#[tokio::test]
async fn what_changed_of_an_inventory_is_applied_and_a_wrong_change_is_asked_for_whole() {
    // Goal: a change leads the server to the device's very rows, and never to others. Method: the whole, a change, a change
    // of something else, the whole again; health beside it.
    let meeting = Meeting::start().await;
    let app = &meeting.server.app;
    let identity = meeting.enrol("A").await;
    let mut link = link(&identity);
    let of = |version: &str| {
        let row = |n: usize| Row {
            section: Section::Package,
            key: text(&format!("deb/p{n}/all")),
            fields: [if n == 3 { version } else { "1" }, "p", "1"].map(str::to_owned).to_vec(),
        };
        Inventory::new((0..50).map(row).collect())
    };
    let (one, two, three) = (of("1"), of("2"), of("3"));
    let mut sequence = 0;
    let mut record = |body: &Body| {
        sequence += 1;
        Batch { records: vec![body.record(Position { boot: 1, sequence }, Millis(1))] }
    };
    let answer = link.checkin(&checkin("A", &one)).await.expect("answered");
    assert_eq!((answer.want_inventory, answer.inventory_base), (true, None), "nothing is held");
    link.telemetry(&record(&Body::Inventory(one.clone()))).await.expect("stored");
    let answer = link.checkin(&checkin("A", &two)).await.expect("answered");
    assert_eq!((answer.want_inventory, answer.inventory_base), (true, Some(one.root())));
    let change = Body::InventoryDelta(Delta::between(&one, &two));
    link.telemetry(&record(&change)).await.expect("stored");
    let answer = link.checkin(&checkin("A", &two)).await.expect("answered");
    assert_eq!((answer.want_inventory, answer.inventory_base), (false, None));
    assert_eq!(app.inventory(identity.device).await.expect("read"), Some(two.clone()));
    let member = app.fleet.get(identity.device).expect("in the fleet");
    assert_eq!(member.inventory.as_ref().map(|view| (view.root, view.packages)), Some((two.root(), 50)));
    // The change before is no way from here; it is kept as a record and moves nothing.
    let astray = Body::InventoryDelta(Delta::between(&one, &three));
    link.telemetry(&record(&astray)).await.expect("stored");
    let answer = link.checkin(&checkin("A", &three)).await.expect("answered");
    assert_eq!((answer.want_inventory, answer.inventory_base), (true, Some(two.root())));
    assert_eq!(answer.reads_packed, Some(true));
    let packed = Packed::of(&three).expect("no value holds a mark");
    link.telemetry(&record(&Body::InventoryPacked(packed))).await.expect("stored");
    assert!(!link.checkin(&checkin("A", &three)).await.expect("answered").want_inventory);

    let health = |uptime_s| Health {
        time: Clock::system().now(),
        uptime_s: Some(uptime_s),
        disks: Vec::new(),
        drives: Vec::new(),
        hottest_mc: Some(41_000),
        memory_bytes: None,
        available_bytes: None,
        corrected: None,
        uncorrected: None,
        clock: ClockState::default(),
        boots: 1,
        starts: 1,
        crashes: None,
        memory_kills: None,
        restarts: None,
    };
    let body = Body::Health(health(60));
    link.telemetry(&record(&body)).await.expect("stored");
    let later = Health { time: Timestamp(health(0).time.0 - 1), ..health(0) };
    link.telemetry(&record(&Body::Health(later))).await.expect("stored");
    let points = app.health(identity.device).await.expect("read");
    assert_eq!(points.all().iter().map(|point| point.uptime_s).collect::<Vec<_>>(), [Some(60)]);
    meeting.server.stop().await;
}

#[tokio::test]
async fn a_changed_file_and_a_service_in_a_loop_are_findings_until_they_are_mended() {
    // Goal: from the machine's own files to what a person reads, and back. Method: an image with a list, read by the agent's own
    // reader; its file is changed, then mended; a service that systemd starts anew six times, then a day of rest.
    let meeting = Meeting::start().await;
    let identity = meeting.enrol("A").await;
    let mut link = link(&identity);
    let image = tempfile::tempdir().expect("a folder");
    let put = |path: &str, text: &str| {
        let path = image.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        std::fs::write(path, text).expect("writes");
    };
    put("opt/bin/pump", "as released");
    put("usr/share/cordon/files.sha256", &format!("{}  opt/bin/pump\n", Sha256::of(b"as released")));
    put("run/systemd/units/invocation:pump-ui.service", "");
    let root = Root::at(image.path()).expect("opens");
    let mut sequence = 0;
    let mut record = |body: &Body| {
        sequence += 1;
        Batch { records: vec![body.record(Position { boot: 1, sequence }, Millis(1))] }
    };
    let open = || {
        let member = meeting.server.app.fleet.get(identity.device).expect("in the fleet");
        let open = member.findings.values().filter(|finding| finding.weighs());
        open.map(|finding| finding.finding.title.to_string()).collect::<Vec<_>>()
    };
    let sound = take(&root);
    link.checkin(&checkin("A", &sound)).await.expect("answered");
    link.telemetry(&record(&Body::Inventory(sound.clone()))).await.expect("stored");
    assert_eq!(open(), [] as [&str; 0]);
    put("opt/bin/pump", "of somebody else");
    let changed = take(&root);
    link.telemetry(&record(&Body::InventoryDelta(Delta::between(&sound, &changed)))).await.expect("stored");
    assert_eq!(open(), ["Not as released: pump"]);
    put("opt/bin/pump", "as released");
    let mended = take(&root);
    link.telemetry(&record(&Body::InventoryDelta(Delta::between(&changed, &mended)))).await.expect("stored");
    assert_eq!(open(), [] as [&str; 0]);

    let mut services = Services::below(image.path());
    let now = Clock::system().now().0 - 7200;
    let mut figures = |lived_s: u64| {
        let time = Timestamp(now + i64::try_from(lived_s % 7200).unwrap_or(0));
        let moment = Moment { now: time, ahead_ms: None, boots: 1, starts: 1, lived_s };
        Body::Health(Health { restarts: services.tell(&root, lived_s), ..machine::read(&root, moment) })
    };
    link.telemetry(&record(&figures(0))).await.expect("stored");
    let unit = image.path().join("run/systemd/units/invocation:pump-ui.service");
    for _ in 0..6 {
        std::fs::remove_file(&unit).expect("removes");
        std::fs::write(&unit, "").expect("writes");
    }
    link.telemetry(&record(&figures(3600))).await.expect("stored");
    assert_eq!(open(), ["Restarted 6 times: pump-ui"]);
    link.telemetry(&record(&figures(26 * 3600 - 10))).await.expect("stored");
    assert_eq!(open(), [] as [&str; 0]);
    meeting.server.stop().await;
}

/// Tells numbered records until it is stopped; what was not acknowledged is sent again, as an agent's spool does.
async fn tells(mut link: Link, (stop, told): (Arc<AtomicBool>, Arc<AtomicU64>)) {
    while !stop.load(Ordering::Relaxed) {
        let first = told.load(Ordering::Relaxed) + 1;
        let record = |sequence| Record {
            position: Position { boot: 1, sequence },
            time: Millis(1),
            kind: 99,
            body: vec![7; 64].into(),
        };
        match link.telemetry(&Batch { records: (first..first + 5).map(record).collect() }).await {
            Ok(answer) => told.store(answer.stored_through.sequence, Ordering::Relaxed),
            // The connection of the former certificate ended under it, or the certificate did.
            Err(LinkError::Rejected { status, code, .. }) => {
                assert_eq!((status, code.as_str()), (403, "superseded"))
            }
            Err(error) => assert!(error.word().is_none(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_tells_and_fetches_while_its_certificate_is_exchanged_loses_nothing() {
    // Goal: a renewal costs no record and no byte of an update. Method: twice over, records told without a pause and an
    // image half fetched while the next certificate is asked for, taken up and used; the image is fetched on from where
    // it broke off; then every record is there once.
    let meeting = Meeting::start().await;
    let app = &meeting.server.app;
    let mut identity = meeting.enrol("A").await;
    let home = Home::from(&meeting.state("A"));
    let link = link(&identity);
    let image: Vec<u8> = (0..48_000_000_u32).map(|at| at.to_le_bytes()[usize::from(at % 7 == 0)]).collect();
    let incoming = app.blobs.put(1 << 26).await.expect("begun").write(image.clone().into()).await;
    let info = incoming.expect("written").finish(None).await.expect("kept");
    let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let teller = tokio::spawn(tells(link.waiter(), (Arc::clone(&stop), Arc::clone(&told))));
    for _ in 0..2 {
        let mut download = link.target(&info.sha256, 0).await.expect("found");
        let mut bytes = download.next().await.expect("a piece").expect("not the end").to_vec();
        let next = renew(&home, &identity, &applicant("A")).await.expect("renewed");
        let route = Route { host: "localhost".to_owned(), ..Route::default() };
        link.exchange(&next, &route, clock()).expect("a client");
        link.checkin(&says(&hardware("A"))).await.expect("the next one speaks");
        let before = told.load(Ordering::Relaxed);
        // What was on its way comes; then the connection has ended with its certificate.
        while let Ok(Some(piece)) = download.next().await {
            bytes.extend_from_slice(&piece);
            // Slowly, so that the server has seconds to end it before it is through.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(bytes.len() < image.len(), "the connection outlived its certificate");
        let mut rest = link.target(&info.sha256, bytes.len().try_into().expect("fits")).await.expect("found");
        assert_eq!(rest.start(), u64::try_from(bytes.len()).expect("fits"), "it goes on where it broke off");
        while let Some(piece) = rest.next().await.expect("a piece") {
            bytes.extend_from_slice(&piece);
        }
        assert!(bytes == image, "the image is whole");
        let known = app.fleet.get(identity.device).expect("there").device.clone();
        let in_force = known.identity.as_ref().map(|identity| identity.leaf);
        assert_eq!((in_force, &known.next, &known.doubt), (Some(next.fingerprint()), &None, &None));
        let heard = async {
            while told.load(Ordering::Relaxed) < before + 20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), heard).await.expect("records go on under the next one");
        identity = next;
    }
    stop.store(true, Ordering::Relaxed);
    teller.await.expect("no panic");
    assert_eq!(stored(&meeting, &identity).await, (1..=told.load(Ordering::Relaxed)).collect::<Vec<_>>());
    meeting.server.stop().await;
}

/// The places of all records that are stored of a device.
async fn stored(meeting: &Meeting, identity: &Identity) -> Vec<u64> {
    let mut query = EventQuery { device: Some(identity.device), ..EventQuery::all() };
    let mut places = Vec::new();
    loop {
        let page = meeting.server.app.store.events(query.clone()).await.expect("read");
        places.extend(page.events.iter().map(|(id, _)| id.position.sequence));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return places,
        }
    }
}

#[tokio::test]
async fn one_port_serves_both_planes_to_an_agent_that_asks_by_name() {
    // Goal: decision 0010, one port. Method: a name that no look-up knows, found at a configured address; enrolment and
    // a report through the same port; then the string by address, which is refused before anything is sent.
    let port = cordon_sim::ports::free(std::net::Ipv4Addr::LOCALHOST).expect("a port");
    let meeting = Meeting::start_at("cordon.test", port).await;
    let ready = &meeting.server.ready;
    assert_eq!((ready.enrolment.port(), ready.device.port()), (port, port));
    let string = meeting.enrolment_string("A").await;
    let addresses = vec!["127.0.0.1".parse().expect("an address")];
    let applicant = Applicant { addresses: addresses.clone(), ..applicant("A") };
    let by_address = EnrolmentString { host: "127.0.0.1".to_owned(), ..string.clone() };
    let refused = enrol(&meeting.state("B"), &by_address, &applicant).await;
    assert!(matches!(refused, Err(IdentityError::NoName(_))), "{refused:?}");
    let identity = enrol(&meeting.state("A"), &string, &applicant).await.expect("enrols");
    let route = Route { host: "cordon.test".to_owned(), addresses, ..Route::default() };
    let link = Link::new(&identity, &route, clock(), Patience::default()).expect("a link");
    link.checkin(&checkin("A", &Inventory::default())).await.expect("answered");
    assert!(meeting.server.app.fleet.get(identity.device).is_some_and(|member| member.is_active()));
    meeting.server.stop().await;
}

/// Asks until the answer is as wanted.
async fn until<T: std::fmt::Debug>(
    wanted: impl Fn(&Result<T, LinkError>) -> bool,
    mut ask: impl AsyncFnMut() -> Result<T, LinkError>,
) {
    let mut last = String::new();
    for _ in 0..1200 {
        let answer = ask().await;
        if wanted(&answer) {
            return;
        }
        last = format!("{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never as wanted: {last}");
}

/// Whether it is a refusal with this word.
fn refused<T>(word: &str) -> impl Fn(&Result<T, LinkError>) -> bool {
    move |answer| answer.as_ref().is_err_and(|error| format!("{error:?}").to_lowercase().contains(word))
}

#[tokio::test]
async fn each_refusal_reaches_the_agent_by_its_name() {
    // Goal: only a stranger drops its identity. Method: quarantine, release, retire; what the link makes of each.
    let meeting = Meeting::start().await;
    let identity = meeting.enrol("A").await;
    let link = link(&identity);
    let inventory = Inventory::default();
    link.checkin(&checkin("A", &inventory)).await.expect("answered");
    let act = async |act| {
        meeting.server.app.act(identity.device, act, text("because"), &person()).await.expect("done")
    };
    act(Act::Quarantine).await;
    // The server ends the open connection; the agent comes back by itself, here with hardly a pause.
    until(Result::is_ok, async || link.checkin(&checkin("A", &inventory)).await).await;
    until(refused("quarantined"), async || link.wait(&WaitRequest { token: 0, max_s: 1 }).await).await;
    act(Act::Release).await;
    until(Result::is_ok, async || link.checkin(&checkin("A", &inventory)).await).await;
    let other = link.checkin(&checkin("Z", &inventory)).await;
    assert!(refused("hardware")(&other), "{other:?}");
    act(Act::Retire).await;
    until(refused("retired"), async || link.checkin(&checkin("A", &inventory)).await).await;
    meeting.server.stop().await;
}

#[tokio::test]
async fn a_wrong_pin_never_sees_the_token_and_a_wrong_token_enrols_nobody() {
    // Goal: E17, and bad input. Method: a pin of another authority; a token of nobody; the server's own counters.
    let meeting = Meeting::start().await;
    let string = meeting.enrolment_string("A").await;
    let false_pin = EnrolmentString { ca_pin: Sha256([9; 32]), ..string.clone() };
    let state = meeting.state("A");
    assert!(enrol(&state, &false_pin, &applicant("A")).await.is_err());
    let metrics = &meeting.server.app.metrics;
    assert!(!metrics.text().contains("cordon_enrolments_total"), "no request for a certificate came");
    let guess = EnrolmentString { token: "a-guess-of-sufficient-length".to_owned(), ..string.clone() };
    let refused: Result<Identity, IdentityError> = enrol(&state, &guess, &applicant("A")).await;
    assert!(refused.is_err());
    assert!(metrics.text().contains(r#"cordon_enrolments_total{outcome="unknown_token"} 1"#));
    let identity = enrol(&state, &string, &applicant("A")).await.expect("the same key with the right token");
    assert_eq!(meeting.server.app.fleet.all().len(), 1);
    assert!(meeting.server.app.fleet.get(identity.device).is_some_and(|member| member.is_active()));
    meeting.server.stop().await;
}
