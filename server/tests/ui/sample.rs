//! A sample of every page, with invented names, modelled on the reference pictures.
//!
//! [`Sample::hostile`] is the same sample with a canary in place of every text that a device or a file supplies.

use cordon_proto::time::Timestamp;
use cordon_server::ui::act::{Act, FindingVerb, Thing, UnderWay};
use cordon_server::ui::audit::{self, Audit};
use cordon_server::ui::chart::NoChart;
use cordon_server::ui::contacts::{self, Contacts};
use cordon_server::ui::device::{Change, Device, Fact, Head, Network, Peer, StepView};
use cordon_server::ui::devices::{Choice, DeviceQuery, Devices};
use cordon_server::ui::entry::{self, Door, Entry};
use cordon_server::ui::error::{self, Error};
use cordon_server::ui::expiries::{self, Expiries};
use cordon_server::ui::findings::{self, Finding, FindingRow, Findings, Tab};
use cordon_server::ui::frame::{Counts, Person, Section, Toast, model_words};
use cordon_server::ui::software::{self, Known, Package, Software};
use cordon_server::ui::{Clock, DeviceState, Frame, Said, Theme, act, device, devices, overview};
use cordon_server_core::risk::facts::*;
use cordon_server_core::risk::model::RISK_V1;
use cordon_server_core::risk::{Band, Facts, plan, score};
use cordon_server_core::triage::Preview;

use crate::{exceptions, fleet, identities, knowledge, many, orders, releases};

/// Friday 20 November 2026, 14:26 UTC.
pub(crate) const NOW: Timestamp = Timestamp(1_795_184_760);

pub(crate) fn ago(seconds: i64) -> Timestamp {
    NOW.plus_seconds(-seconds)
}

/// Where texts of devices come from.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    canary: Option<&'static str>,
}

impl Sample {
    /// Ordinary texts.
    pub(crate) fn plain() -> Self {
        Self { canary: None }
    }

    /// A canary in place of each.
    pub(crate) fn hostile(canary: &'static str) -> Self {
        Self { canary: Some(canary) }
    }

    pub(crate) fn said(self, text: &str) -> Said {
        self.text(text).into()
    }

    pub(crate) fn prose(self, text: &str) -> Said {
        Said::sentence(self.text(text))
    }

    pub(crate) fn text(self, text: &str) -> String {
        if text.is_empty() { String::new() } else { self.canary.unwrap_or(text).to_owned() }
    }

    /// Every page by file name.
    pub(crate) fn gallery(self) -> Vec<(&'static str, String)> {
        let frame = |section| self.frame(section);
        let findings = frame(Section::Findings);
        let mut done = frame(Section::Devices);
        done.toast = Some(Toast {
            text: "2 devices quarantined in 0.4 s".into(),
            undo: Some("/devices/d1/release".into()),
        });
        let mut pages = vec![
            ("overview", overview::render(&frame(Section::Overview), &self.overview())),
            ("overview-calm", overview::render(&frame(Section::Overview), &self.calm())),
            ("devices", devices::render(&done, &self.devices())),
            ("devices-all", devices::render(&frame(Section::Devices), &self.all_devices())),
            ("devices-empty", devices::render(&self.first(), &Devices::default())),
            ("devices-none", devices::render(&frame(Section::Devices), &self.no_devices())),
            ("enrol", devices::render_enrol(&frame(Section::Devices))),
            ("device", device::render(&frame(Section::Devices), &self.device())),
            ("device-low", device::render(&frame(Section::Devices), &self.quiet_device())),
            ("software", software::render(&frame(Section::Devices), &self.software())),
            ("findings", findings::render(&findings, &self.findings(false))),
            ("finding", findings::render(&findings, &self.findings(true))),
            ("findings-calm", findings::render(&findings, &Findings::default())),
            ("audit", audit::render(&frame(Section::Audit), &self.audit())),
            ("audit-empty", audit::render(&frame(Section::Audit), &Audit::default())),
            ("contacts", contacts::render(&frame(Section::Findings), &self.contacts())),
            ("expiries", expiries::render(&frame(Section::Expiries), &self.expiries())),
            ("expiries-calm", expiries::render(&frame(Section::Expiries), &Expiries::default())),
            (
                "error",
                error::render(
                    &frame(Section::Devices),
                    &Error::store_silent("01JD4Z8Q6K3T".into(), ago(300), "/devices"),
                ),
            ),
            ("not-found", error::render(&frame(Section::Devices), &Error::not_found())),
        ];
        pages.extend(self.acts());
        pages.extend(self.doors());
        pages.extend(fleet::rollout_pages(self));
        pages.extend(releases::release_pages(self));
        pages.extend(orders::order_pages(self));
        pages.extend(identities::pages(self));
        pages.extend(knowledge::pages(self));
        pages.extend(exceptions::pages(self));
        pages.extend(many::pages(self));
        pages
    }

    fn acts(self) -> Vec<(&'static str, String)> {
        let frame = self.frame(Section::Devices);
        let mut two = Act::quarantine(vec![self.thing("d4"), self.thing("d5")]);
        two.reasons = vec![self.prose("Unknown peer since 14:02, F-20871"), self.prose("Asked by the ward")];
        let many = Act::quarantine((0..46).map(|_| self.thing("d9")).collect());
        let faults = many.faults_of("short", Some("40"));
        let many = Act { all: Some("/devices?band=critical".into()), ..many }.refused("short", faults);
        let wards = vec![
            ("ward:4B".into(), self.said("Ward 4B, St. Brigid")),
            ("site:1".into(), self.said("St. Brigid")),
        ];
        let under_way = UnderWay { content: false, going: 9, left: 1774, may_return: 121 };
        vec![
            ("act-quarantine", act::render(&frame, &two)),
            ("act-refused", act::render(&frame, &many)),
            ("act-release", act::render(&frame, &Act::release(self.thing("d7")))),
            (
                "act-mute",
                act::render(&frame, &Act::finding(FindingVerb::Mute, "f-20871", &Preview::default())),
            ),
            (
                "act-acknowledge",
                act::render(&frame, &Act::finding(FindingVerb::Acknowledge, "f-20871", &Preview::default())),
            ),
            ("act-hold", act::render(&frame, &Act::hold(wards, "ward:4B", ""))),
            ("act-lift", act::render(&frame, &Act::lift_hold("h-1", &self.said("ward 4B")))),
            ("act-pause", act::render(&frame, &Act::pause("vp3-422", under_way))),
            ("act-finish", act::render(&frame, &Act::finish("vp3-422", under_way))),
            ("act-abort", act::render(&frame, &Act::abort("vp3-422", under_way))),
            ("act-stop", act::render(&frame, &Act::stop("vp3-422", 9))),
            ("act-resume", act::render(&frame, &Act::resume("vp3-422"))),
            (
                "act-accept",
                act::render(&frame, &Act::accept("vp3-422", self.thing("d4"), &self.text("WO-1187"))),
            ),
            ("act-back", act::render(&frame, &Act::back("vp3-422", &self.said("4.1.0"), 121))),
        ]
    }

    fn doors(self) -> Vec<(&'static str, String)> {
        let door = |door| {
            entry::render(&Entry { owner: self.said("St. Brigid Hospital"), theme: Theme::System, door })
        };
        let link = Door::Link { secret: "one-time".into(), person: self.said("admin"), csrf: "c".into() };
        vec![
            ("sign-in", door(link)),
            ("sign-in-expired", door(Door::Expired)),
            ("sign-in-closed", door(Door::Closed)),
        ]
    }

    pub(crate) fn thing(self, id: &str) -> Thing {
        Thing {
            id: self.text(id),
            name: self.said("VP3-004120"),
            place: self.said("Intensive care 2, bed 7"),
            state: DeviceState::Standby,
            key: None,
        }
    }

    pub(crate) fn frame(self, section: Section) -> Frame {
        Frame {
            owner: self.said("St. Brigid, all sites"),
            clock: Clock::utc(NOW),
            section,
            counts: Counts {
                devices: 4812,
                waiting: 3,
                findings: 27,
                vulnerabilities: Some(318),
                rollouts: 2,
                halted: 1,
            },
            person: Person { name: self.said("M. Okafor"), role: self.said("analyst") },
            theme: Theme::System,
            csrf: "token".into(),
            model: model_words(&RISK_V1),
            advisories: Some(ago(6 * 3600)),
            here: "/devices?band=critical".into(),
            toast: None,
        }
    }

    /// A server on its first day.
    fn first(self) -> Frame {
        let mut frame = self.frame(Section::Devices);
        frame.counts = Counts::default();
        frame.advisories = None;
        frame
    }

    fn devices(self) -> Devices {
        let query = DeviceQuery {
            tag: Some(self.text("act-this-week")),
            site: Some(self.text("St. Brigid")),
            ..DeviceQuery::default()
        };
        Devices { query, matching: 46, ..self.all_devices() }
    }

    fn all_devices(self) -> Devices {
        let silent = DeviceState::Silent { last_seen: None };
        Devices {
            sources: [4637, 41, 134],
            may_import: true,
            query: DeviceQuery::default(),
            total: 4812,
            matching: 4812,
            bands: [63, 214, 1102, 3433],
            states: vec![
                (silent, "Not seen 24 h".into(), 38),
                (DeviceState::Quarantined, "Quarantined".into(), 4),
                (DeviceState::ToApprove, "To approve".into(), 6),
            ],
            rows: fleet::device_rows(self),
            choices: vec![
                Choice {
                    name: "site",
                    label: "Site",
                    values: vec![self.said("St. Brigid"), self.said("Northfield")],
                },
                Choice {
                    name: "ward",
                    label: "Ward",
                    values: vec![self.said("4B Cardiology"), self.said("Radiology")],
                },
                Choice {
                    name: "kind",
                    label: "Kind",
                    values: vec![self.said("Infusion pump"), self.said("Check-in kiosk")],
                },
            ],
            without: Vec::new(),
        }
    }

    fn no_devices(self) -> Devices {
        let query = DeviceQuery {
            ward: Some(self.text("Radiology")),
            band: Some(Band::Critical),
            text: Some(self.text("pump")),
            ..DeviceQuery::default()
        };
        Devices {
            query,
            matching: 0,
            rows: Vec::new(),
            without: vec![("ward", 46), ("band", 1), ("q", 0)],
            ..self.all_devices()
        }
    }

    fn head(self) -> Head {
        Head {
            id: self.text("d1"),
            name: self.said("VP3-004417"),
            trail: vec![
                (self.said("Infusion pumps"), "/devices?kind=Infusion%20pump".into()),
                (self.said("4B Cardiology"), "/devices?ward=4B".into()),
            ],
            states: vec![DeviceState::InUse { patient: true }],
            facts: vec![
                Fact::new("Model", self.text("Halden VP-3, rev C")),
                Fact::new("Where", self.text("St. Brigid, 4B, bed 12")),
                Fact::new("Release", self.text("4.1.0")).note("2 behind").to("/rollouts".into()),
                Fact::new("Seen", "12 s ago"),
                Fact::new("Source", "agent, tier 1"),
                Fact::new("Identity", "valid for 64 d"),
            ],
            quarantined: false,
            trusted: true,
            software: Some(412),
            vulnerabilities: Some(16),
        }
    }

    /// The facts of the reference picture.
    pub(crate) fn facts(self) -> Facts {
        let mut facts = Facts::unknown(&self.text("VP3-004417"));
        facts.impact =
            Impact { severity: Some(Severity::LifeSupporting), patient_data: Some(PatientData::Limited) };
        facts.reach = Reach { zone: Some(Zone::Flat), place: Some(Place::ClinicalArea) };
        facts.posture.secure_boot_off = Answer::Yes;
        facts.posture.read_at = Some(ago(660));
        facts.freshness.release =
            ReleaseAge::Behind { newest: self.text("4.2.2"), since: ago(90 * 86_400), counter: None };
        facts.freshness.last_seen = Some(ago(12));
        let title = self.text("First contact with files-sync.example");
        facts.findings = vec![cordon_server_core::risk::facts::Finding {
            id: self.text("f-20871"),
            kind: "allow-list".into(),
            title,
            severity: FindingSeverity::Medium,
            at: ago(20 * 3600),
            owner: None,
        }];
        let exposure = |id: String, epss, tenths, known_exploited| Exposure {
            id,
            package: self.text("tomcat9 9.0.31-1"),
            epss_millionths: Some(epss),
            cvss: Some(Cvss { tenths, source: CvssSource::Base }),
            vector: Vector::Network,
            known_exploited,
            ransomware: false,
            treatment: Treatment::None,
            source: None,
            fixed_counter: None,
            fixed_version: None,
            fixed_in: Some(self.text("4.2.2")),
            known_since: Some(ago(86_400)),
            automatable: Answer::Unknown,
            total_control: Answer::Unknown,
        };
        facts.exposures = (0..12).map(|n| exposure(format!("CVE-2026-{n:04}"), 600, 55, false)).collect();
        facts.exposures.push(exposure("CVE-2020-1938".into(), 992_700, 98, true));
        facts
    }

    pub(crate) fn device(self) -> Device {
        let facts = self.facts();
        let score = score(&facts, &RISK_V1, NOW);
        let acts =
            [("Order update…", "/rollouts"), ("See network", "/devices"), ("Review", "/findings/f-20871")];
        let steps = plan(&facts, &RISK_V1, NOW).into_iter().zip(acts).enumerate().map(
            |(place, (step, (label, href)))| StepView {
                step,
                blocked: (place == 0).then(|| {
                    self.said("in use since 11:40. Reboots only in standby, next window 02:00 to 04:00")
                }),
                act: Some((label.into(), href.into())),
            },
        );
        let change = |days: i64, what, source, risk| Change {
            at: ago(days * 86_400),
            what: self.said(what),
            source: self.said(source),
            href: None,
            risk,
        };
        Device {
            head: self.head(),
            score,
            model: RISK_V1,
            notes: vec![self.said("In service until 16:00, ticket 4471")],
            steps: steps.collect(),
            events: vec![
                Change {
                    href: Some("/findings/f-20871".into()),
                    ..change(1, "First contact, files-sync.example", "Finding F-20871", Some(2))
                },
                change(3, "Left VLAN pumps for 4b-clinical", "Seen on the wire, not ordered", Some(24)),
                change(14, "Advisory ICSMA-26-311", "tomcat9 is affected", Some(40)),
                change(18, "Tag act-this-week added", "M. Okafor: monthly review", None),
                change(90, "Release 4.1.0 confirmed", "Receipt 9f41 c07e, slot A", Some(-11)),
            ],
            line: Vec::new(),
            history_href: Some("/audit?object=d1".into()),
            network: Ok(self.network()),
            facts,
        }
    }

    fn network(self) -> Network {
        let peer = |name, step: u16, bytes, new| Peer {
            name: self.said(name),
            ticks: (0..1000).step_by(step.into()).collect(),
            bytes,
            new,
        };
        let peers = vec![
            peer("Pump gateway, 5671/tcp", 22, 1_234_000, false),
            peer("Drug library, 443/tcp", 310, 310_000, false),
            peer("Time server, 123/udp", 48, 4000, false),
            peer("Cordon server, 8443/tcp", 18, 19_400, false),
            peer("files-sync.example, 443/tcp", 251, 22_400, true),
        ];
        Network { peers, from: ago(86_400), until: NOW }
    }

    fn quiet_device(self) -> Device {
        let facts = Facts::unknown(&self.text("K1-0204"));
        let score = score(&facts, &RISK_V1, NOW);
        let mut head = self.head();
        (head.software, head.quarantined, head.states) = (
            None,
            true,
            vec![DeviceState::Quarantined, DeviceState::Silent { last_seen: Some(ago(9 * 86_400)) }],
        );
        let network = Err(NoChart("No flows: the sensor lost its right to capture at 09:12.".into()));
        Device {
            head,
            facts,
            score,
            model: RISK_V1.with("debug_port", 2000).unwrap(),
            notes: Vec::new(),
            steps: Vec::new(),
            events: Vec::new(),
            line: Vec::new(),
            history_href: None,
            network,
        }
    }

    fn software(self) -> Software {
        let package = |name: &str, version: &str| Package {
            name: self.said(name),
            version: self.said(version),
            source: self.said(&format!("{name} {version}")),
            architecture: self.said("amd64"),
            known: match name {
                "adduser" => Known::Unmatched,
                "apt" => Known::Unmatchable,
                "base-files" => Known::Matched { affected: 0, unknown: 0, worst: None },
                _ => Known::Matched { affected: 2, unknown: 1, worst: Some(98) },
            },
        };
        let rows = vec![
            package("adduser", "3.134"),
            package("apt", "2.6.1"),
            package("base-files", "12.4+deb12u5"),
            package("tomcat9", "9.0.31-1"),
        ];
        Software {
            head: self.head(),
            read_at: ago(660),
            system: self.said("Debian GNU/Linux 12"),
            text: String::new(),
            matching: 412,
            page: 1,
            rows,
        }
    }

    fn findings(self, chosen: bool) -> Findings {
        let rows = fleet::finding_rows(self);
        let chosen = chosen.then(|| Box::new(self.finding(rows[0].clone())));
        Findings {
            tab: Tab::Open,
            counts: [27, 14, 31, 2, 112],
            unassigned: 9,
            filters: Vec::new(),
            matching: 27,
            groups: many::group_rows(self),
            rows,
            newer: None,
            older: Some("/findings?page=2".into()),
            chosen,
        }
    }

    fn finding(self, row: FindingRow) -> Finding {
        let step = |seconds, what, by, reason| findings::Step {
            at: ago(seconds),
            by: self.said(by),
            what: self.said(what),
            reason: self.prose(reason),
        };
        Finding {
            row,
            state: Tab::Open,
            until: None,
            device: (self.text("d20"), self.said("K1-0231")),
            place: self.said("Check-in kiosk, Main entrance, desk 2"),
            detector: self.said("beacon"),
            attack: vec![self.said("T1071")],
            what_changed: self.prose("Since 05:58 today this kiosk opens a connection to cdn-metrics.example every 60 seconds. It never did in 41 days of learning."),
            why_it_matters: self.prose("A fixed rhythm to a new address is how planted software asks for orders. The kiosk shares a network with check-in data."),
            how_sure: self.prose("High. 508 connections, the gap varies by 0.8 s. Person-driven traffic varies by minutes."),
            what_to_do: self.prose("Quarantine it (stops our trust). Send patients to desk 3. If the address is a service of yours, allow it."),
            evidence: vec![(self.said("Peer"), self.said("cdn-metrics.example")), (self.said("Each call"), self.said("412 B out, 96 B in")), (self.said("Program"), self.said("/opt/kiosk/helper")), (self.said("Who else talked to it"), self.said("no other device"))],
            network: Ok(self.network()),
            contacts: Some("/contacts?peer=cdn-metrics.example".to_owned()),
            quarantined: false,
            compared: many::compared(self),
            verdicts: many::verdicts(self),
            history: vec![step(5 * 3600, "Severity raised from high to critical", "device", ""), step(6 * 3600, "Assigned", "M. Okafor", "Called the desk, nobody plugged anything in"), step(8 * 3600, "Opened by detector beacon", "device", "")],
        }
    }

    fn contacts(self) -> Contacts {
        let row = |name: &str, days: i64| contacts::Row {
            href: "/devices/d20".to_owned(),
            name: self.said(name),
            place: self.said("St. Brigid/Hall"),
            first: ago(days * 86_400),
            last: ago(3600),
            connections: 508,
            bytes_out: 209_296,
            bytes_in: 48_768,
            with: self.said("cdn-metrics.example 443/tcp; new to it"),
        };
        let answer = contacts::Found {
            sought: self.said("cdn-metrics.example"),
            since: ago(3 * 86_400),
            until: ago(0),
            rows: vec![row("K1-0231", 1), row("K1-0232", 2)],
            unnamed: 1,
            next: "d21".to_owned(),
        };
        let typed = contacts::Typed {
            peer: self.said("cdn-metrics.example"),
            reason: self.said("seen in a bulletin"),
            ..contacts::Typed::default()
        };
        Contacts { typed, fault: self.said("no"), kept_days: 30, answer: Some(answer) }
    }

    fn expiries(self) -> Expiries {
        let row = |days: i64, name: &str, whose, todo| expiries::Row {
            at: ago(-days * 86_400),
            name: self.said(name),
            whose,
            todo,
        };
        let [owner, staff] = ["the owner's people with keys", "whoever set it"];
        let order =
            row(3, "order vp3-422-1", owner, "devices that have not taken it by then need another order");
        let hold = row(5, "hold h-0a: the ward moves", staff, "set it anew if devices must still not reboot");
        let root = row(80, "the owner's root 3", owner, "cordonctl repo rotate, then publish");
        let token = row(-2, "the token of the ticket desk", staff, "make the tool another token");
        let group = |within, rows| expiries::Group { within, rows };
        Expiries {
            groups: vec![group(0, vec![token]), group(7, vec![order, hold]), group(90, vec![root])],
            known: 21,
        }
    }

    fn audit(self) -> Audit {
        let entry = |sequence, act: &str, reason: &str, before: &str, after: &str| audit::Entry {
            sequence,
            sealed: sequence < 12_408,
            at: ago(i64::try_from(12_408 - sequence).unwrap() * 420),
            actor: self.said("person:m.okafor"),
            act: self.said(act),
            object: self.said("device VP3-004417"),
            href: Some("/devices/d1".into()),
            reason: self.said(reason),
            before: self.said(before),
            after: self.said(after),
        };
        let rows = vec![
            entry(12_408, "device.quarantine", "Unknown peer since 14:02, F-20871", "active", "quarantined"),
            entry(
                12_407,
                "rollout.halt",
                "6 of 127 finished pumps failed, the limit is 2 %",
                "running",
                "halted",
            ),
            entry(12_406, "finding.mute", "Planned test of the print server until Friday", "open", "muted"),
            entry(12_405, "token.create", "", "", "model VP-3, 1 device"),
        ];
        Audit {
            total: 12_408,
            sealed: Some(audit::Sealed { entries: 12_407, root: "3f5a9c0d17e2b846".into(), at: ago(1) }),
            verified: Some(ago(180)),
            broken: None,
            object: Some(self.said("VP3-004417")),
            actor: None,
            rows,
            newer: None,
            older: Some("/audit?before=12405".into()),
        }
    }
}
