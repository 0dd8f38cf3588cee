//! A console over a small fleet in memory: what the tests ask, and what they are answered.
//!
//! The router is the operator plane's own, so that a test sees what a browser sees. Nothing here is used elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use cordon_proto::checkin::{
    Action, Blocked, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::ids::{DeviceId, Hardware, Name, Sha256, Text, TokenId};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::telemetry::{
    Batch, Body as Told, Direction, Finding, FlowRow, Position, Protocol, Severity,
};
use cordon_proto::time::Timestamp;
use cordon_proto::wire;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::{Commit, Draft};
use cordon_server_core::device::{Device, DeviceKind, Identity, Placement, Proof, Report, State as Trust};
use cordon_server_core::policy::{Role, Session};
use cordon_server_core::risk::facts::Reach;
use cordon_server_core::rollout::{
    Acceptance, Pace, Policy, Progress, Rollout, RolloutKind, State as Standing, Wave,
};
use cordon_server_core::triage::take_in;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::super::live::Live;
use crate::app::App;
use crate::fleet::Pulse;
use crate::http::operator::Operator;
use crate::repositories::Repositories;
use crate::rollouts::Rollouts;
use crate::serve::operator_router;
use crate::store::Key;
use crate::testing::{Bench, text};

/// Serials of the fleet; the place in the list is the device's number.
pub(super) const SERIALS: [&str; 6] = ["VP3-0001", "VP3-0002", "VP3-0003", "VP3-0004", "K1-0001", "K1-0002"];

/// A console, and what is behind it.
pub(super) struct Console {
    pub(super) bench: Bench,
    pub(super) router: Router,
    pub(super) live: Live,
    pub(super) cookie: String,
    pub(super) csrf: String,
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
}

impl Reply {
    /// Where it sends the browser.
    pub(super) fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        &self.headers["location"]
    }

    pub(super) fn has(&self, words: &str) -> bool {
        self.text.contains(words)
    }

    /// Panics with the page unless it holds these words.
    pub(super) fn must(&self, words: &str) -> &Self {
        assert!(self.has(words), "no {words:?} in:\n{}", self.read());
        self
    }

    /// The words of the page's content, for a failing test's message.
    pub(super) fn read(&self) -> String {
        let content = self.text.split_once("<main").map_or(self.text.as_str(), |(_, content)| content);
        let parts = content.split('<').filter_map(|part| part.split_once('>').map(|(_, text)| text.trim()));
        parts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" | ")
    }

    /// How often a piece of markup stands in the page.
    pub(super) fn count(&self, piece: &str) -> usize {
        self.text.matches(piece).count()
    }
}

impl Console {
    /// A console without any device.
    pub(super) async fn empty() -> Self {
        Self::over(Bench::start(&[]).await).await
    }

    /// A console over the fleet: an in-use pump with a finding and flows, a quarantined one, a silent one, one that
    /// rolled back in a halted rollout, and two kiosks in the hall.
    pub(super) async fn with_fleet() -> Self {
        let bench = Bench::start(&[]).await;
        fill(bench.app()).await;
        Self::over(bench).await
    }

    /// The operator plane over what the bench's store holds.
    pub(super) async fn over(bench: Bench) -> Self {
        let app = bench.app().clone();
        let repositories = Repositories::new(app.store.clone(), app.online.clone());
        let rollouts = Rollouts::load(app.store.clone(), repositories.clone(), app.clock.now()).await;
        let operator = Operator { app: app.clone(), rollouts: rollouts.expect("a book"), repositories };
        operator.rollouts.belong_to(&app);
        let secret = app.sign_in.make(app.clock.now());
        let cookie = app.open_session(&secret).await.expect("stored").expect("a session");
        let caller = app.caller_by_session(&cookie).await.expect("read").expect("a person");
        let (router, live) = operator_router(operator);
        Self { bench, router, live, cookie, csrf: caller.csrf.expect("a proof") }
    }

    /// The same session with another role.
    pub(super) async fn with_role(self, role: Role) -> Self {
        let key = Key::Session(TokenId::of(&self.cookie));
        let row = self.app().store.get(key.clone()).await.expect("read").expect("a session");
        let session = Session { role, ..Session::from_body(&row.body).expect("reads") };
        commit(self.app(), |draft| draft.put(key, session.to_body())).await;
        self
    }

    pub(super) fn app(&self) -> &Arc<App> {
        self.bench.app()
    }

    /// A page, as the person who is signed in.
    pub(super) async fn get(&self, address: &str) -> Reply {
        self.ask("GET", address, &[("cookie", &format!("cordon-session={}", self.cookie))], "").await
    }

    /// A form with the session's proof.
    pub(super) async fn post(&self, address: &str, fields: &[(&str, &str)]) -> Reply {
        let fields: Vec<(&str, &str)> =
            [("csrf", self.csrf.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.post_bare(address, &fields).await
    }

    /// A form with these fields only.
    pub(super) async fn post_bare(&self, address: &str, fields: &[(&str, &str)]) -> Reply {
        let query = crate::ui::paths::with_query("", fields);
        let cookie = format!("cordon-session={}", self.cookie);
        let form = ("content-type", "application/x-www-form-urlencoded");
        self.ask("POST", address, &[("cookie", &cookie), form], query.trim_start_matches('?')).await
    }

    /// Status and content type of an answer without end.
    pub(super) async fn ask_head(&self, address: &str) -> (StatusCode, String) {
        let cookie = format!("cordon-session={}", self.cookie);
        let request = Request::get(address).header("cookie", cookie).body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
        (response.status(), kind)
    }

    /// Any request.
    pub(super) async fn ask(
        &self,
        method: &str,
        address: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response: Response<Body> = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("a header of text").to_owned()));
        let bytes = body.collect().await.expect("a body").to_bytes();
        Reply {
            status: parts.status,
            headers: headers.collect(),
            text: String::from_utf8(bytes.to_vec()).expect("text"),
        }
    }
}

/// The name of a device of the fleet.
/// Puts the fleet, what it said, and its rollouts into a server.
pub(super) async fn fill(app: &App) {
    for number in 0..SERIALS.len() {
        enrol(app, number).await;
    }
    speak(app).await;
    roll_out(app).await;
}

pub(super) fn id(number: usize) -> DeviceId {
    DeviceId::from_random([u8::try_from(number + 1).expect("small"); 16])
}

/// The name of the one finding of a device.
pub(super) fn finding_id(app: &App, number: usize) -> String {
    let member = app.fleet.get(id(number)).expect("a device");
    member.findings.values().next().expect("a finding").id.to_string()
}

pub(super) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(super) async fn commit(app: &App, draft: impl FnOnce(Draft) -> Draft) {
    app.commit(draft(Commit::draft(app.clock.now(), Actor::Server(name("tests"))))).await.expect("stored");
}

async fn enrol(app: &App, number: usize) {
    let device = device(app.clock.now(), number);
    commit(app, |draft| draft.put(Key::Device(device.id), device.to_body())).await;
}

pub(super) fn device(now: Timestamp, number: usize) -> Device {
    let serial = SERIALS[number];
    let kiosk = serial.starts_with('K');
    let kind = if kiosk { DeviceKind::Kiosk } else { DeviceKind::InfusionPump };
    let (maker, model) = if kiosk { ("Porta", "K-1") } else { ("Halden", "VP-3") };
    let mark = u8::try_from(number + 1).expect("small");
    let state = if number == 1 { Trust::Quarantined } else { Trust::Active };
    let hardware =
        Hardware { manufacturer: text(maker), model: text(model), revision: text("C"), serial: text(serial) };
    let placement = Placement {
        site: text("St. Brigid"),
        ward: text(if kiosk { "Hall" } else { "4B" }),
        kind,
        impact: kind.usual_impact(),
        reach: Reach::default(),
        tags: if number == 0 { vec![text("act-this-week")] } else { Vec::new() },
    };
    Device {
        stated: true,
        reason: text("enrolled"),
        identity: Some(Identity {
            leaf: Sha256([mark; 32]),
            key: Sha256([mark; 32]),
            token: Some(TokenId([0; 32])),
            renews: false,
            issued: now.plus_seconds(-86_400),
            not_after: now.plus_seconds(29 * 86_400),
        }),
        last_seen: Some(now.plus_seconds(if number == 2 { -9 * 86_400 } else { -30 })),
        ..Device::bare(id(number), hardware, placement, state, now.plus_seconds(-20 * 86_400))
    }
}

fn report(state: UpdateState, interlock: InterlockState) -> Report {
    let blocked = Blocked {
        code: text("interlock"),
        sentence: text("The device is in use. It reboots in standby; nothing to do until it is free."),
    };
    let blocked_by = if interlock == InterlockState::InUse { vec![blocked] } else { Vec::new() };
    Report {
        boot: 1,
        agent_version: text("0.1.0"),
        software: Software {
            release: Some("vp-3/4.1.0".parse().expect("a path")),
            counter: 41,
            sha256: Sha256([4; 32]),
            floor: 40,
            slot: text("A"),
        },
        update: UpdateReport { state, order: Some(name("0187")), blocked_by, fetched_bytes: 0 },
        interlock,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 4, learning: false },
        inventory_root: Sha256([5; 32]),
        key_protection: text("file"),
        spool_lost: 0,
        content_version: 0,
        director_root_version: 1,
        ca_version: 0,
        content_fault: None,
        wants: None,
        voice: None,
    }
}

/// Check-ins, one finding with its flows, an inventory and a receipt.
async fn speak(app: &App) {
    let now = app.clock.now();
    let pulse = Pulse { at: now, device_time: now, uptime_s: 60, spool_records: 0 };
    let states = [
        (0, UpdateState::Waiting, InterlockState::InUse),
        (3, UpdateState::RolledBack, InterlockState::Standby),
        (4, UpdateState::Idle, InterlockState::Unknown),
    ];
    for (number, state, interlock) in states {
        app.fleet.heard(id(number), Some(report(state, interlock)), Some(pulse), now);
    }
    put_finding(app, 0, finding(now, "Calls one outside address every 60 s", Severity::High)).await;
    put_finding(app, 4, finding(now, "New program listens on 4444/tcp", Severity::Low)).await;
    flows(app, now).await;
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: text(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let inventory = Inventory::new(vec![
        row(Section::System, "pretty-name", &["Debian GNU/Linux 12"]),
        row(Section::Package, "deb/tomcat9/all", &["9.0.31-1", "tomcat9", "9.0.31-1"]),
        row(Section::Package, "deb/apt/amd64", &["2.6.1", "apt", "2.6.1"]),
    ]);
    commit(app, |draft| draft.put(Key::Inventory(id(0)), wire::write(&inventory))).await;
    let receipt = receipt(now);
    let bytes = wire::write(&receipt);
    let digest = Sha256::of(&bytes);
    let key = Key::Receipt { order: name("0187"), device: id(3), digest };
    let proof = Proof::new(&bytes, Sha256([4; 32]), now.plus_seconds(-600));
    commit(app, |draft| draft.put(key, proof.to_body())).await;
}

pub(super) fn finding(now: Timestamp, title: &str, severity: Severity) -> Finding {
    Finding {
        detector: name("beacon"),
        key: text(&format!("{title} key")),
        first: now.plus_seconds(-7200),
        last: now.plus_seconds(-60),
        count: 118,
        peer: Some(text("203.0.113.9")),
        severity,
        attack: vec![text("T1071")],
        evidence: [("gap_s".to_owned(), "60".to_owned())].into(),
        title: text(title),
        what_changed: text("Since two hours this device opens a connection every 60 seconds."),
        why_it_matters: text("A fixed rhythm is how planted software asks for orders."),
        how_sure: text("High. 118 connections."),
        what_to_do: text("Quarantine it, or say that the address is yours."),
    }
}

pub(super) async fn put_finding(app: &App, number: usize, finding: Finding) {
    let (device, digest) = (id(number), Sha256::of(finding.key.as_str().as_bytes()));
    let (record, _) = take_in(None, device, finding, app.clock.now());
    let body = serde_json::to_vec(&record).expect("JSON");
    commit(app, |draft| draft.put(Key::Finding { device, finding: digest }, body)).await;
}

async fn flows(app: &App, now: Timestamp) {
    let start = now.plus_seconds(-3600);
    let row = |peer: &str, known, minutes: Vec<u16>| {
        Told::Flows(FlowRow {
            start,
            end: now,
            direction: Direction::Outbound,
            protocol: Protocol::Tcp,
            peer: text(peer),
            port: 443,
            connections: 60,
            bytes_out: 24_000,
            bytes_in: 6000,
            minutes,
            known: Some(known),
        })
    };
    let bodies = [row("10.20.0.5", true, vec![0, 20, 40]), row("203.0.113.9", false, (0..60).collect())];
    let record = |(place, body): (u64, Told)| body.record(Position { boot: 1, sequence: place }, now.into());
    let records = (1..).zip(bodies).map(record).collect();
    app.telemetry(id(0), Batch { records }).await.expect("stored");
}

fn receipt(now: Timestamp) -> Receipt {
    let body = ReceiptBody {
        device: id(3),
        hardware: device(now, 3).hardware.identity(),
        order: name("0187"),
        action: Action::Install,
        outcome: Outcome::RolledBack,
        release: Some("vp-3/4.1.0".parse().expect("a path")),
        counter: 41,
        sha256: Sha256([4; 32]),
        previous_sha256: Sha256([4; 32]),
        slot: text("A"),
        boots: 2,
        floor: 40,
        interlock: InterlockState::Standby,
        time: now,
        reason: Some(Blocked {
            code: text("self_test"),
            sentence: text("Motor self-test failed 41 s after the reboot."),
        }),
    };
    Receipt::sign::<std::convert::Infallible>(&body, |_| Ok(vec![1])).expect("signed")
}

/// A halted rollout of two waves, a running one, and one that a person stopped.
async fn roll_out(app: &App) {
    let now = app.clock.now();
    let wave = |name_: &str, devices: &[usize], started: Option<Timestamp>| Wave {
        name: name_.to_owned(),
        order: name("0187"),
        devices: devices.iter().map(|number| id(*number)).collect(),
        started,
        settled: None,
        joins: false,
        signed: None,
    };
    let rollout = |id: &str, title: &str, waves: Vec<Wave>, state: Standing| Rollout {
        v: 1,
        id: name(id),
        title: title.to_owned(),
        repository: name("halden"),
        release: "vp-3/4.2.2".parse().expect("a path"),
        back: Some("vp-3/4.1.0".parse().expect("a path")),
        waves,
        policy: Policy::default(),
        state,
        created: now.plus_seconds(-7200),
        by: "person:m.okafor".to_owned(),
        priority: 500,
        pace: Pace::default(),
        acceptance: Acceptance::None,
        work_order: None,
        way_back: None,
        kind: RolloutKind::Firmware,
        content_version: None,
    };
    let begun = Some(now.plus_seconds(-5400));
    let reason = "1 of 1 finished devices failed, at least 20.6 %; the limit is 2 %".to_owned();
    let halted = Standing::Halted { at: now.plus_seconds(-500), wave: 0, reason };
    let waves = vec![wave("Canary", &[0, 3], begun), wave("The rest", &[1, 2], None)];
    let kiosks = vec![wave("All", &[4, 5], begun)];
    let stopped = Standing::Stopped {
        at: now.plus_seconds(-900),
        by: "person:j.weiss".to_owned(),
        reason: "The ward asked for quiet tonight".to_owned(),
    };
    let rollouts = [
        rollout("vp3-422", "VP-3 4.2.2 to 4 infusion pumps", waves, halted),
        rollout("k1-704", "K-1 7.0.4 to 2 kiosks", kiosks.clone(), Standing::Running),
        rollout("k1-703", "K-1 7.0.3 to 2 kiosks", kiosks, stopped),
    ];
    let progress = Progress {
        v: 1,
        permitted: Some(now.plus_seconds(-900)),
        outcome: Some(Outcome::RolledBack),
        ended: Some(now.plus_seconds(-600)),
        reason: Some(Blocked {
            code: text("self_test"),
            sentence: text("Motor self-test failed 41 s after the reboot."),
        }),
        ..Progress::default()
    };
    let body = |value: &Rollout| serde_json::to_vec(value).expect("JSON");
    let key = Key::Progress { rollout: name("vp3-422"), device: id(3) };
    let progress = serde_json::to_vec(&progress).expect("JSON");
    commit(app, |draft| {
        let draft = kiosks_confirmed(draft.put(key, progress), begun);
        rollouts
            .iter()
            .fold(draft, |draft, rollout| draft.put(Key::Rollout(rollout.id.clone()), body(rollout)))
    })
    .await;
}

/// The kiosks have confirmed: of a rollout whose order is not live and that somebody still waits in, the server itself
/// would make a stopped one.
fn kiosks_confirmed(draft: Draft, ended: Option<Timestamp>) -> Draft {
    let confirmed = Progress { v: 1, outcome: Some(Outcome::Confirmed), ended, ..Progress::default() };
    let confirmed = serde_json::to_vec(&confirmed).expect("JSON");
    let kiosk = |number| Key::Progress { rollout: name("k1-704"), device: id(number) };
    draft.put(kiosk(4), confirmed.clone()).put(kiosk(5), confirmed)
}

/// A text as long as the wire allows.
pub(super) fn lossy(words: &str) -> Text {
    Text::lossy(words)
}
