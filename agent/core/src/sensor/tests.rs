//! What the sensor promises of packets: directions, states, names and counts; each attack its finding, in these words; the
//! same work done honestly none; and bounded memory whatever is on the wire.

extern crate std;

mod itself;

use super::*;
use crate::dissect::flags::{ACK, FIN, PSH, RST, SYN};
use crate::dissect::link::{Link, packet as dissected};
use crate::watched::Learn;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use core::hash::{BuildHasherDefault, Hasher};
use core::net::Ipv4Addr;
use proptest::prelude::*;

#[derive(Clone, Default)]
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    }
}

const PUMP: [u8; 4] = [10, 0, 0, 2];
const ROUTER: [u8; 4] = [10, 0, 0, 1];
const CLOUD: [u8; 4] = [203, 0, 113, 9];

/// A wire with a sensor on it.
struct Wire {
    sensor: Sensor<BuildHasherDefault<Fnv>>,
    output: Output,
    now: i64,
}

impl Wire {
    fn new(learn: Learn) -> Self {
        let choice =
            Choice { devices: Vec::new(), local: Vec::new(), learn, profiles: Vec::new(), usage: None };
        let table = FlowTable::new(BuildHasherDefault::default());
        Self { sensor: Sensor::of_others(table, choice), output: Output::default(), now: 1_790_000_000_000 }
    }

    fn wait(&mut self, milliseconds: i64) {
        self.now += milliseconds;
        self.sensor.pass(Millis(self.now), &mut self.output);
    }

    fn sees(&mut self, frame: &[u8]) {
        let packet = dissected(Link::Ethernet, frame).expect("a test's packets are whole");
        self.sensor.packet(&packet, Millis(self.now), &mut self.output);
        self.now += 1;
    }

    fn tcp(&mut self, from: ([u8; 4], u16), to: ([u8; 4], u16), flags: u8, payload: &[u8]) {
        let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        let head = [&ports[..], &[0; 8], &[0x50, flags, 255, 255, 0, 0, 0, 0]].concat();
        self.ip(6, from.0, to.0, &[&head[..], payload].concat());
    }

    fn udp(&mut self, from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) {
        let length = u16::try_from(payload.len() + 8).expect("short").to_be_bytes();
        let head = [from.1.to_be_bytes(), to.1.to_be_bytes(), length, [0, 0]].concat();
        self.ip(17, from.0, to.0, &[&head[..], payload].concat());
    }

    fn ip(&mut self, protocol: u8, from: [u8; 4], to: [u8; 4], payload: &[u8]) {
        let [high, low] = u16::try_from(payload.len() + 20).expect("short").to_be_bytes();
        let head = [&[0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0][..], &from, &to].concat();
        self.sees(&[&[2; 12][..], &[8, 0], &head, payload].concat());
    }

    fn arp(&mut self, operation: u8, (mac, sender): (u8, [u8; 4]), target: [u8; 4]) {
        let own = [2, 0, 0, 0, 0, mac];
        let to = if operation == 2 { [2, 0, 0, 0, 0, 2] } else { [255; 6] };
        let head = [&to[..], &own, &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation]].concat();
        self.sees(&[&head[..], &own, &sender, &[0; 6], &target].concat());
    }

    /// A whole connection from handshake to orderly end.
    fn call(&mut self, from: ([u8; 4], u16), to: ([u8; 4], u16), said: &[u8]) {
        self.tcp(from, to, SYN, b"");
        self.tcp(to, from, SYN | ACK, b"");
        self.tcp(from, to, ACK, b"");
        self.tcp(from, to, PSH | ACK, said);
        self.tcp(to, from, FIN | ACK, b"");
        self.tcp(from, to, FIN | ACK, b"");
        self.tcp(to, from, ACK, b"");
    }

    fn asks(&mut self, name: &str) {
        self.udp((PUMP, 40_000), (ROUTER, 53), &question(name, None));
    }

    fn ends(mut self) -> Output {
        self.sensor.pass(Millis(self.now), &mut self.output);
        self.sensor.finish(Millis(self.now), &mut self.output);
        self.output
    }
}

fn question(name: &str, answer: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = vec![
        0,
        1,
        if answer.is_some() { 0x81 } else { 1 },
        0,
        0,
        1,
        0,
        u8::from(answer.is_some()),
        0,
        0,
        0,
        0,
    ];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("short"));
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    if let Some(address) = answer {
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend(address);
    }
    bytes
}

fn host(number: u8) -> [u8; 4] {
    [10, 0, 1, number]
}

fn told(output: &Output) -> Vec<String> {
    output
        .findings
        .iter()
        .map(|(device, finding)| format!("{device} {} {}", finding.detector, finding.key))
        .collect()
}

#[test]
fn a_connection_is_told_whole_from_the_end_that_opened_it() {
    // Goal: direction, state, exact counts, name. Method: a look-up, a connection out, one in, one refused, one broken off, two
    // that are seen from the middle on, one of them from the answer of its handshake, between ports that tell nothing.
    let mut wire = Wire::new(Learn::Off);
    wire.udp((ROUTER, 53), (PUMP, 40_000), &question("cloud.example", Some(CLOUD)));
    wire.call((PUMP, 50_000), (CLOUD, 443), b"hello");
    wire.call(([198, 51, 100, 4], 1000), (PUMP, 2222), b"");
    wire.tcp((PUMP, 50_001), (CLOUD, 444), SYN, b"");
    wire.tcp((CLOUD, 444), (PUMP, 50_001), RST | ACK, b"");
    wire.tcp((PUMP, 50_002), (CLOUD, 445), SYN, b"");
    wire.tcp((CLOUD, 445), (PUMP, 50_002), SYN | ACK, b"");
    wire.tcp((PUMP, 50_002), (CLOUD, 445), RST, b"");
    wire.tcp((CLOUD, 443), (PUMP, 50_003), ACK, b"from the middle");
    wire.tcp((CLOUD, 4460), (PUMP, 50_004), SYN | ACK, b"");
    let output = wire.ends();
    let flows: Vec<String> = output
        .flows
        .iter()
        .map(|flow| {
            let total = flow.total;
            let (name, state) = (flow.name.as_deref().unwrap_or("-"), flow.state.as_str());
            let counts =
                [u64::from(total.packets_out), total.bytes_out, u64::from(total.packets_in), total.bytes_in];
            format!("{:?} {} {state} {name} {counts:?}", flow.direction, flow.service_port())
        })
        .collect();
    let expected = [
        "Outbound 443 closed cloud.example [4, 165, 3, 120]",
        "Inbound 2222 closed - [3, 120, 4, 160]",
        "Outbound 444 refused cloud.example [1, 40, 1, 40]",
        "Outbound 445 reset cloud.example [2, 80, 1, 40]",
        "Inbound 53 established - [1, 75, 0, 0]",
        "Outbound 4460 new cloud.example [0, 0, 1, 40]",
        "Outbound 443 established cloud.example [0, 0, 1, 55]",
    ];
    assert_eq!(flows, expected);
    assert!(output.findings.is_empty());
}

#[test]
fn a_flow_between_two_devices_is_one_flow_and_shown_to_both() {
    // Goal: no double counting, each detector sees its own side. Method: one login after the other, between two devices.
    let mut wire = Wire::new(Learn::Off);
    for port in 0..12 {
        wire.call((PUMP, 50_000 + port), (host(9), 22), b"guess");
        wire.wait(1000);
    }
    let output = wire.ends();
    assert_eq!(output.flows.len(), 12);
    assert_eq!(
        told(&output),
        ["10.0.0.2 brute-force out/22/10.0.1.9", "10.0.1.9 brute-force in/22/10.0.0.2"]
    );
}

fn attack(act: fn(&mut Wire)) -> Wire {
    let mut wire = Wire::new(Learn::Off);
    act(&mut wire);
    wire
}

/// Every search, on a wire of its own.
fn searches() -> Vec<(&'static str, Wire)> {
    vec![
        (
            "refused ports",
            attack(|wire| {
                for port in 0..9 {
                    wire.tcp((PUMP, 40_000), (CLOUD, 100 + port), SYN, b"");
                    wire.tcp((CLOUD, 100 + port), (PUMP, 40_000), RST | ACK, b"");
                }
            }),
        ),
        (
            "silent ports",
            attack(|wire| {
                wire.asks("time.example");
                (0..10).for_each(|port| wire.tcp((CLOUD, 40_000), (PUMP, 100 + port), FIN | PSH, b""));
            }),
        ),
        (
            "closed ports",
            attack(|wire| {
                for port in 0..8 {
                    wire.tcp((CLOUD, 40_000), (PUMP, 100 + port), SYN, b"");
                    wire.tcp((PUMP, 100 + port), (CLOUD, 40_000), RST | ACK, b"");
                }
            }),
        ),
        (
            "silent hosts",
            attack(|wire| {
                (0..9).for_each(|number| wire.tcp((PUMP, 40_000), (host(number), 445), SYN, b""));
                wire.wait(3500);
            }),
        ),
        (
            "pings",
            attack(|wire| {
                for number in 0..10 {
                    wire.ip(1, PUMP, host(number), &[8, 0, 0, 0, 0, 1, 0, 1]);
                    wire.ip(1, host(number), PUMP, &[0, 0, 0, 0, 0, 1, 0, 1]);
                }
            }),
        ),
        ("absent neighbours", attack(|wire| (0..16).for_each(|number| wire.arp(1, (2, PUMP), host(number))))),
    ]
}

/// Every other attack that needs no baseline, on a wire of its own.
fn other_attacks() -> Vec<(&'static str, Wire)> {
    vec![
        (
            "another router",
            attack(|wire| {
                wire.tcp((PUMP, 40_000), (CLOUD, 443), SYN, b"");
                wire.arp(2, (1, ROUTER), PUMP);
                wire.wait(5000);
                wire.arp(2, (66, ROUTER), PUMP);
            }),
        ),
        (
            "logins",
            attack(|wire| (0..10).for_each(|port| wire.call((CLOUD, 50_000 + port), (PUMP, 22), b"guess"))),
        ),
        (
            "a tunnel",
            attack(|wire| {
                (0..20).for_each(|n| wire.asks(&format!("{n:04}{}.t.evil.example", "x".repeat(40))));
            }),
        ),
        (
            "a flood",
            attack(|wire| {
                wire.asks("time.example");
                (0..500).for_each(|port| wire.tcp(([198, 51, 100, 1], 1024 + port), (PUMP, 80), SYN, b""));
            }),
        ),
        (
            "greedy clients",
            attack(|wire| {
                for client in 0..32 {
                    let head = [&[1, 1, 6, 0][..], &[0; 24], &[2, 0, 0, 0, 0, client], &[0; 202]].concat();
                    let discover = [&head[..], &[0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]].concat();
                    wire.udp(([0; 4], 68), ([255; 4], 67), &discover);
                }
            }),
        ),
    ]
}

#[test]
fn every_attack_has_its_finding_in_these_words() {
    // Goal: seen at once, and understood by whoever reads it. Method: golden text over all attacks that need no baseline.
    let mut text = String::new();
    for (name, wire) in searches().into_iter().chain(other_attacks()) {
        let findings = wire.output.findings;
        assert_eq!(findings.len(), 1, "{name} is one finding: {findings:#?}");
        for (device, finding) in findings {
            let attack: Vec<&str> = finding.attack.iter().map(|technique| technique.as_str()).collect();
            let evidence: Vec<String> =
                finding.evidence.iter().map(|(name, value)| format!("{name}={value}")).collect();
            text.push_str(&format!(
                "{name}: {device} | {} | {} | {:?} | {} | {}\n{}\nWhat changed: {}\nWhy it matters: {}\nHow sure: {}\nWhat to do: {}\n{}\n\n",
                finding.detector,
                finding.key,
                finding.severity,
                finding.peer.as_ref().map_or("-", |peer| peer.as_str()),
                attack.join(" "),
                finding.title,
                finding.what_changed,
                finding.why_it_matters,
                finding.how_sure,
                finding.what_to_do,
                evidence.join(" "),
            ));
            assert!(finding.title.as_str().chars().count() <= 48, "{}", finding.title);
        }
    }
    let expected = include_str!("../../golden/packet-findings.txt");
    assert_eq!(text, expected, "\n{text}");
}

/// A wire whose devices may call their cloud by name and their resolver, and are called by nobody.
fn described(learn: Learn) -> Wire {
    use cordon_proto::mud::{HostName, Place, Ports, Rule, Usage};
    let both =
        |rule: Rule| [Direction::Outbound, Direction::Inbound].map(|says| Rule { says, ..rule.clone() });
    let port = |port| Some(Ports::Within(port, port));
    let any = Rule::anything(Direction::Outbound, true);
    let name = Some(HostName { name: "cloud.example".into(), below: false });
    let cloud = Rule { name, peer_port: port(443), ..any.clone() };
    let resolver = Rule { place: Place::Local, peer_port: port(53), ..any };
    let rules = [both(cloud), both(resolver)].concat();
    let usage = Usage::of(cordon_proto::ids::Text::lossy("Infusion pump"), Vec::new(), rules);
    let usage = Some(alloc::sync::Arc::new(usage));
    let choice = Choice {
        devices: vec!["10.0.0.2".parse().unwrap()],
        local: Vec::new(),
        learn,
        profiles: Vec::new(),
        usage,
    };
    let table = FlowTable::new(BuildHasherDefault::default());
    Wire { sensor: Sensor::of_others(table, choice), output: Output::default(), now: 1_790_000_000_000 }
}

#[test]
fn what_the_maker_does_not_describe_is_told_once_in_these_words() {
    // Goal: a description speaks without learning, and does not accuse by names that nobody has seen yet. Method: a call to an
    // address whose name came before the sensor did, an hour, then the cloud by name, a stranger twice, a caller; golden words.
    let mut wire = described(Learn::Off);
    wire.call((PUMP, 40_000), ([203, 0, 113, 7], 443), b"older than the sensor");
    wire.udp((PUMP, 40_000), (ROUTER, 53), &question("cloud.example", None));
    wire.udp((ROUTER, 53), (PUMP, 40_000), &question("cloud.example", Some(CLOUD)));
    wire.wait(3_700_000);
    wire.call((PUMP, 40_001), (CLOUD, 443), b"work");
    wire.call((PUMP, 40_002), ([198, 51, 100, 7], 443), b"stranger");
    wire.call((PUMP, 40_003), ([198, 51, 100, 7], 443), b"stranger");
    wire.call((host(9), 40_004), (PUMP, 8080), b"caller");
    let output = wire.ends();
    let text: Vec<String> = output
        .findings
        .iter()
        .map(|(_, finding)| format!("{}: {} {}", finding.title, finding.what_changed, finding.what_to_do))
        .collect();
    assert_eq!(
        text,
        [
            "Calls whom its maker does not list: Since 2026-09-21 15:15 UTC this device opens TCP connections to 198.51.100.7 port 443, 1 connection so far. Its maker's description of Infusion pump does not list that. Ask the maker whether 198.51.100.7 belongs in the description; if not, quarantine the device. If an update or a new server explains it, press Allow.",
            "Answers whom its maker does not list: Since 2026-09-21 15:15 UTC 10.0.1.9 opens TCP connections to port 8080 of this device, 1 connection so far. Its maker's description of Infusion pump does not list that. Ask the maker whether 10.0.1.9 belongs in the description; if not, quarantine the device. If an update or a new server explains it, press Allow.",
        ]
    );
    assert!(output.findings.iter().all(|(_, finding)| finding.detector.as_str() == "mud"));
}

#[test]
fn whom_the_maker_names_is_no_news_though_it_was_never_learned() {
    // Goal: one cause, one finding. Method: learn an hour of nothing but the resolver, then the cloud that is described, and a
    // stranger: the first is no finding, the second is one and not two.
    let mut wire = described(Learn::Seconds(3600));
    for minute in 0..62_u16 {
        wire.udp((PUMP, 40_000 + minute), (ROUTER, 53), &question("time.example", None));
        wire.udp((ROUTER, 53), (PUMP, 40_000 + minute), &question("time.example", Some([203, 0, 113, 99])));
        wire.wait(60_000);
    }
    wire.udp((ROUTER, 53), (PUMP, 40_000), &question("cloud.example", Some(CLOUD)));
    wire.call((PUMP, 41_000), (CLOUD, 443), b"work");
    assert_eq!(told(&wire.output), Vec::<String>::new());
    wire.call((PUMP, 41_001), ([198, 51, 100, 7], 443), b"stranger");
    assert_eq!(told(&wire.ends()), ["10.0.0.2 mud out/TCP/443/198.51.0.0/16"]);
}

#[test]
fn honest_work_is_no_finding() {
    // Goal: no false alarms. Method: many services answered, three of them away; a renewed lease; an exchanged machine after
    // two days; look-ups of many short names and of one long name; a login every minute; neighbours that are there.
    let mut wire = Wire::new(Learn::Off);
    for round in 0..5_u16 {
        for number in 0..30_u8 {
            wire.call((PUMP, 41_000 + u16::from(number)), (host(number), 443), b"work");
            wire.arp(1, (2, PUMP), host(100 + number));
            wire.arp(2, (100 + number, host(100 + number)), PUMP);
            wire.asks(&format!("host{number}.ward{round}.hospital.example"));
            wire.asks(&format!("{}.cdn.example", "y".repeat(50)));
        }
        for away in 0..3 {
            wire.tcp((PUMP, 42_000 + round), (host(200 + away), 8080), SYN, b"");
        }
        wire.call((PUMP, 43_000 + round), (host(1), 22), b"backup");
        wire.wait(60_000);
    }
    wire.arp(2, (1, ROUTER), PUMP);
    wire.wait(48 * 3_600_000);
    wire.arp(2, (7, ROUTER), PUMP);
    assert_eq!(told(&wire.ends()), Vec::<String>::new());
}

#[test]
fn what_the_profile_holds_is_no_search_and_what_it_lacks_is_new() {
    // Goal: learned detectors over packets, by names. Method: learn an hour of calls to a name; its servers go away; then
    // the name moves to another address, and another name is called.
    let mut wire = Wire::new(Learn::Seconds(3600));
    for minute in 0..62_u8 {
        wire.udp((ROUTER, 53), (PUMP, 40_000), &question("cloud.example", Some([203, 0, 113, minute])));
        wire.call((PUMP, 50_000 + u16::from(minute)), ([203, 0, 113, minute], 443), b"status");
        wire.wait(60_000);
    }
    for minute in 0..20 {
        wire.tcp((PUMP, 51_000), ([203, 0, 113, minute], 443), SYN, b"");
        wire.wait(4000);
    }
    wire.udp((ROUTER, 53), (PUMP, 40_000), &question("eu.cloud.example", Some([198, 51, 100, 7])));
    wire.call((PUMP, 52_000), ([198, 51, 100, 7], 443), b"status");
    assert_eq!(told(&wire.output), Vec::<String>::new());
    wire.udp((ROUTER, 53), (PUMP, 40_000), &question("other.example", Some([198, 51, 100, 8])));
    wire.call((PUMP, 52_001), ([198, 51, 100, 8], 443), b"status");
    assert_eq!(told(&wire.ends()), ["10.0.0.2 allow-list out/TCP/443/other.example"]);
}

#[test]
fn named_devices_alone_are_watched_by_address_or_by_hardware_address() {
    // Goal: `--device`. Method: two devices search; one is named, by either.
    for device in
        [Device::Address(IpAddr::V4(Ipv4Addr::from(PUMP))), "02:00:00:00:00:02".parse().expect("reads")]
    {
        let mut wire = Wire::new(Learn::Off);
        let choice = Choice {
            devices: vec![device],
            local: Vec::new(),
            learn: Learn::Off,
            profiles: Vec::new(),
            usage: None,
        };
        wire.sensor = Sensor::of_others(FlowTable::new(BuildHasherDefault::default()), choice);
        wire.arp(1, (2, PUMP), PUMP);
        for number in 0..16 {
            wire.arp(1, (2, PUMP), host(number));
            wire.arp(1, (3, host(99)), host(number));
        }
        assert_eq!(told(&wire.ends()), [format!("{device} scan by-device")]);
    }
}

#[test]
fn detectors_stay_in_their_memory_whatever_is_on_the_wire() {
    // Goal: 512 KiB a device. Method: floods of everything at once at one device.
    let mut wire = Wire::new(Learn::Seconds(1));
    for number in 0..20_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let port = 1024 + u16::from(c) * 7;
        wire.tcp(([198, a, b, c], port), (PUMP, u16::from(b) + 1), SYN, b"");
        wire.tcp((PUMP, port), ([198, a, b, c], 4000 + u16::from(b)), SYN, b"");
        wire.call(([192, a, b, c], port), (PUMP, 22), b"");
        wire.asks(&format!("{number:030}.d{b}.example"));
        if number % 997 == 0 {
            wire.wait(1000);
        }
    }
    for number in 0..15_000_u16 {
        let [a, b] = number.to_be_bytes();
        wire.tcp(([198, 51, a, b], 4000), (PUMP, 80), SYN, b"");
    }
    let watched = wire.sensor.roll().all();
    let most = watched.iter().map(|watched| watched.detectors.bytes()).max().expect("one is watched");
    assert!(most <= limits::DETECTOR_BYTES, "{most}");
    assert_eq!(wire.sensor.table().peak(), limits::FLOWS);
    let pressure = told(&wire.ends()).iter().filter(|told| told.contains("table-pressure")).count();
    assert_eq!(pressure, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_packets_are_watched_without_a_panic_and_counted(
        frames in proptest::collection::vec((0_u8..4, 0_u8..4, 0_u8..64, any::<u16>(), 0_i64..5000), 0..150),
    ) {
        let mut wire = Wire::new(Learn::Seconds(60));
        let mut sent = 0_u64;
        for (from, to, flags, port, pause) in frames {
            let packets = wire.sensor.table().len();
            wire.tcp((host(from), 1000 + port % 8), (host(to), 2000 - port % 3), flags, b"x");
            sent += u64::from(wire.sensor.table().len() >= packets);
            wire.wait(pause);
        }
        let output = wire.ends();
        let told: u64 = output.flows.iter().map(|flow| u64::from(flow.total.packets_out + flow.total.packets_in)).sum();
        prop_assert!(told <= sent);
        prop_assert!(output.flows.iter().all(|flow| flow.end >= flow.start));
        for (_, finding) in &output.findings {
            prop_assert!(!finding.title.to_string().is_empty());
        }
    }
}
