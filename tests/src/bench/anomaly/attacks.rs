//! The classes of attack, recorded and made up.
//!
//! Of a recorded one an address becomes the device; where none is recorded, one is made up and called so.
//! Each class names the detectors that count as having found it. What a capture shows between its packets is kept, pauses
//! too. Read next: [`super::watch`] for how they are fed.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use cordon_agent_core::dissect::Mac;
use cordon_agent_core::dissect::flags::{FIN, PSH, SYN, URG};
use cordon_agent_core::dissect::link::Link;
use cordon_agent_core::flow::{Claim, Endpoint, Phase, Seen, State};
use cordon_agent_core::recording::conn_log::{ConnLog, Recorded};
use cordon_agent_core::recording::{Capture, Step};
use cordon_proto::telemetry::Protocol;
use cordon_proto::time::Millis;
use fastrand::Rng;

use super::watch::{Event, OWN, connection};

/// A class of attack.
pub struct Attack {
    /// What it is, and whether it is recorded or made up.
    pub name: &'static str,
    /// Who counts as having found it.
    pub detectors: &'static [&'static str],
    kind: Kind,
}

enum Kind {
    /// Recordings, of which each round takes the next.
    Recorded(Vec<Vec<(i64, Event)>>),
    /// Made up from chance.
    MadeUp(fn(&mut Rng) -> Vec<(i64, Event)>),
}

/// Whatever compares with a profile or a description.
const NEW_PEER: &[&str] = &["allow-list", "beacon", "mud"];
const SEARCH: &[&str] = &["scan"];

impl Attack {
    /// What it does, each at its offset in milliseconds, in order.
    #[must_use]
    pub fn events(&self, round: usize, chance: &mut Rng) -> Vec<(i64, Event)> {
        match &self.kind {
            Kind::Recorded(all) => all.get(round % all.len().max(1)).cloned().unwrap_or_default(),
            Kind::MadeUp(make) => make(chance),
        }
    }
}

/// All classes.
///
/// # Errors
/// A recording is missing or cannot be read.
pub fn attacks(folder: &Path) -> anyhow::Result<Vec<Attack>> {
    let captured = |name: &'static str, detectors, file: &str, whose: &[&str]| {
        let each = whose.iter().map(|whose| capture(&folder.join(file), whose.parse()?));
        anyhow::Ok(Attack { name, detectors, kind: Kind::Recorded(each.collect::<anyhow::Result<_>>()?) })
    };
    let listed = |name: &'static str, detectors, file: &str, whose: (&str, &str)| {
        let one = list(&folder.join(file), whose)?;
        anyhow::Ok(Attack { name, detectors, kind: Kind::Recorded(vec![one]) })
    };
    let made = |name, detectors, make| Attack { name, detectors, kind: Kind::MadeUp(make) };
    Ok(vec![
        captured("SYN scan by the device (nmap)", SEARCH, "ndpi/synscan.pcap", &["172.16.0.8"])?,
        captured("SYN scan of the device (nmap)", SEARCH, "ndpi/synscan.pcap", &["64.13.134.52"])?,
        captured("ICMP sweep", SEARCH, "slips/test12-icmp-portscan.pcap", &["192.168.1.109"])?,
        captured("ARP scan (malware)", SEARCH, "slips/test8-malicious.pcap", &["192.168.1.247"])?,
        listed("horizontal scan", SEARCH, "slips/port-scans_horizontal_conn.log", ("10.0.2.112", ""))?,
        captured("DNS tunnel (iodine)", &["dns-tunnel"], "ndpi/dns-tunnel-iodine.pcap", &["10.0.2.30"])?,
        captured("DNS tunnel over TCP (dns2tcp)", NEW_PEER, "ndpi/dns2tcp_tunnel.pcap", &["192.168.20.211"])?,
        captured("DHCP flood", &["volume"], "zeek/dhcp_flood.pcap", &["128.2.5.243"])?,
        Attack {
            name: "DHCP scan (Slips), packets made from its list",
            detectors: SEARCH,
            kind: Kind::Recorded(vec![leases(
                &folder.join("slips/test13-malicious-dhcpscan-zeek-dir_dhcp.log"),
            )?]),
        },
        captured(
            "command and control (CTU)",
            NEW_PEER,
            "slips/test-cc_test-cc-capture-1.pcap",
            &["147.32.80.37"],
        )?,
        captured("Emotet", NEW_PEER, "ndpi/emotet.pcap", &EMOTET)?,
        listed(
            "RemcosRAT",
            &["allow-list", "beacon", "mud", "scan"],
            "slips/test18-malicious-ctu-sme-11-win_zeek-labeled_conn.log.labeled",
            ("192.168.1.107", "\tMalicious\t"),
        )?,
        made("logins at the device, made up", &["brute-force"], logins_at),
        made("logins by the device, made up", &["brute-force"], logins_by),
        made("NULL scan of the device, made up", SEARCH, |chance| probes(chance, 0)),
        made("FIN scan of the device, made up", SEARCH, |chance| probes(chance, FIN)),
        made("XMAS scan of the device, made up", SEARCH, |chance| probes(chance, FIN | PSH | URG)),
        made("ARP spoofing, made up", &["peer-identity"], spoofing),
        made("flood of connections, made up", &["volume"], flood),
        made("beacon a minute, made up", &["beacon"], |chance| beacon(chance, 60)),
        made("beacon ten minutes, made up", &["beacon"], |chance| beacon(chance, 600)),
        made("one call to a stranger, made up", NEW_PEER, stranger),
        made("a shell at a neighbour, made up", NEW_PEER, neighbour),
    ])
}

/// The infected hosts of the recording of Emotet.
const EMOTET: [&str; 4] = ["10.2.25.102", "10.3.29.101", "10.4.20.102", "10.4.25.101"];

/// The packets of a capture that a host sent or got, and those of nobody's address.
fn capture(path: &Path, whose: IpAddr) -> anyhow::Result<Vec<(i64, Event)>> {
    let file = std::fs::read(path).with_context(|| path.display().to_string())?;
    let (mut capture, mut from) = Capture::open(&file)?;
    let mut events: Vec<(i64, Event)> = Vec::new();
    let mut begun = None;
    while let Some(rest) = file.get(from..).filter(|rest| !rest.is_empty()) {
        let Step::Took(length, captured) = capture.step(rest)? else { break };
        from += length;
        let Some((captured, link)) = captured.and_then(|captured| Some((captured, captured.link?))) else {
            continue;
        };
        if is_of(captured.bytes, whose) {
            let begun: Millis = *begun.get_or_insert(captured.at);
            events.push((captured.at.since(begun), Event::Packet(link, captured.bytes.to_vec(), whose)));
        }
    }
    events.sort_by_key(|(offset, _)| *offset);
    Ok(events)
}

/// The requests of a list of leases as Zeek writes it, as the packets that they were.
pub fn leases(path: &Path) -> anyhow::Result<Vec<(i64, Event)>> {
    #[derive(serde::Deserialize)]
    struct Lease {
        ts: f64,
        mac: String,
        requested_addr: std::net::Ipv4Addr,
        msg_types: Vec<String>,
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut events = Vec::new();
    let mut begun = None;
    for line in text.lines() {
        let lease: Lease = serde_json::from_str(line)?;
        let begun = *begun.get_or_insert(lease.ts);
        let mac: Mac = lease.mac.parse()?;
        let offset = Duration::try_from_secs_f64(lease.ts - begun).unwrap_or_default().as_millis();
        for _ in lease.msg_types.iter().filter(|kind| *kind == "REQUEST") {
            let packet = request(mac, lease.requested_addr);
            events.push((i64::try_from(offset)?, Event::Packet(Link::Bare, packet, OWN)));
        }
    }
    Ok(events)
}

/// A DHCPREQUEST to everybody, from its IPv4 header on (RFC 2131).
fn request(Mac(mac): Mac, asked: std::net::Ipv4Addr) -> Vec<u8> {
    let options = [&[0x63, 0x82, 0x53, 0x63, 53, 1, 3, 50, 4][..], &asked.octets(), &[255]].concat();
    let message = [&[1, 1, 6, 0][..], &[7; 4], &[0; 20], &mac, &[0; 10 + 64 + 128], &options].concat();
    let length = |more: usize| u16::try_from(message.len() + more).unwrap_or(0).to_be_bytes();
    let head = [&[0x45, 0][..], &length(28), &[0, 0, 0, 0, 64, 17, 0, 0], &[0; 4], &[255; 4]].concat();
    [&head[..], &[0, 68, 0, 67], &length(8), &[0, 0], &message].concat()
}

/// Whether a packet holds an address, or is one of DHCP or ARP, which concern all.
fn is_of(bytes: &[u8], whose: IpAddr) -> bool {
    let IpAddr::V4(whose) = whose else { return true };
    let holds = bytes.windows(4).take(64).any(|four| four == whose.octets());
    // Behind Ethernet and a plain header of IPv4, the port that is sent to.
    let dhcp = bytes.get(36..38) == Some(&[0, 67]);
    holds || dhcp || bytes.get(12..14) == Some(&[8, 6])
}

/// The connections of a list that a host opened, of lines that hold a text.
fn list(path: &Path, (whose, holds): (&str, &str)) -> anyhow::Result<Vec<(i64, Event)>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut log = ConnLog::default();
    let mut all: Vec<Recorded> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('#') || line.contains(holds)) {
        all.extend(log.line(line)?);
    }
    while let Some(recorded) = log.pop() {
        all.push(recorded);
    }
    let whose: IpAddr = whose.parse()?;
    all.retain(|recorded| recorded.opener.address == whose);
    all.sort_by_key(|recorded| recorded.start);
    let begun = all.first().context("a list without the host")?.start;
    let own = |recorded: Recorded| {
        let opener = Endpoint { address: OWN, ..recorded.opener };
        (recorded.start.since(begun), Event::Listed(Recorded { opener, ..recorded }))
    };
    Ok(all.into_iter().map(own).collect())
}

fn at(offset: i64, seen: Seen) -> (i64, Event) {
    (offset, Event::Sighting(seen))
}

fn local(chance: &mut Rng, port: u16) -> Endpoint {
    Endpoint { address: IpAddr::from([192, 168, 1, chance.u8(100..200)]), port }
}

/// An address that none of the recordings has.
fn outside(chance: &mut Rng, port: u16) -> Endpoint {
    Endpoint { address: IpAddr::from([203, 0, 113, chance.u8(1..250)]), port }
}

/// Thirty logins of a second each, two seconds apart.
fn logins(chance: &mut Rng, outbound: bool) -> Vec<(i64, Event)> {
    let service = *chance.choice(&[22, 23, 3389]).unwrap_or(&22);
    let peer = local(chance, 0);
    let mut events = Vec::new();
    for round in 0..30_u16 {
        let (own, other) = if outbound { (50_000 + round, service) } else { (service, 50_000 + round) };
        let peer = Endpoint { port: other, ..peer };
        let begun = i64::from(round) * 2000;
        for (offset, phase) in [(0, Phase::Opening), (20, Phase::Open), (1000, Phase::Over(State::Closed))] {
            events.push(at(begun + offset, connection((Protocol::Tcp, own, peer), outbound, phase)));
        }
    }
    events
}

fn logins_at(chance: &mut Rng) -> Vec<(i64, Event)> {
    logins(chance, false)
}

fn logins_by(chance: &mut Rng) -> Vec<(i64, Event)> {
    logins(chance, true)
}

/// A hundred ports of the device, ten a second, with flags that open nothing; closed ones break off.
fn probes(chance: &mut Rng, flags: u8) -> Vec<(i64, Event)> {
    let peer = local(chance, 41_000);
    let mut events = Vec::new();
    for number in 0..100_u16 {
        let begun = i64::from(number) * 100;
        let port = 20 + number * 7;
        let probe = Phase::Segment { from_local: false, flags };
        events.push(at(begun, connection((Protocol::Tcp, port, peer), false, probe)));
        if chance.u8(..4) > 0 {
            let broken = Phase::Segment { from_local: true, flags: 0x14 };
            events.push(at(begun + 1, connection((Protocol::Tcp, port, peer), false, broken)));
        }
    }
    events
}

/// The router's address moves to another machine.
fn spoofing(chance: &mut Rng) -> Vec<(i64, Event)> {
    let address = IpAddr::from([192, 168, 1, 1]);
    let claim = |last| Seen::Neighbour(Claim { address, mac: Mac([2, 0, 0, 0, 0, last]), told: Some(OWN) });
    let mut events: Vec<(i64, Event)> = (0..5).map(|round| at(round * 1000, claim(1))).collect();
    let first = chance.i64(6000..30_000);
    events.extend((0..10).map(|round| at(first + round * 2000, claim(66))));
    events
}

/// Two thousand connections in eight seconds that nobody answers.
fn flood(chance: &mut Rng) -> Vec<(i64, Event)> {
    let peer = outside(chance, 80);
    let open = |number: u16| {
        let syn = Phase::Segment { from_local: true, flags: SYN };
        at(i64::from(number) * 4, connection((Protocol::Tcp, 20_000 + number, peer), true, syn))
    };
    (0..2000).map(open).collect()
}

/// Fifty calls at a rhythm, a tenth early or late.
fn beacon(chance: &mut Rng, every_s: i64) -> Vec<(i64, Event)> {
    let peer = outside(chance, 443);
    let mut events = Vec::new();
    for round in 0..50_u16 {
        let jitter = chance.i64(-every_s * 100..every_s * 100);
        let begun = (i64::from(round) * every_s * 1000 + jitter).max(0);
        for (offset, phase) in [(0, Phase::Opening), (30, Phase::Open), (900, Phase::Over(State::Closed))] {
            events.push(at(begun + offset, connection((Protocol::Tcp, 52_000 + round, peer), true, phase)));
        }
    }
    events
}

fn stranger(chance: &mut Rng) -> Vec<(i64, Event)> {
    let port = *chance.choice(&[21, 443, 4444, 6667]).unwrap_or(&443);
    let peer = outside(chance, port);
    vec![at(0, connection((Protocol::Tcp, 53_000, peer), true, Phase::Open))]
}

fn neighbour(chance: &mut Rng) -> Vec<(i64, Event)> {
    let peer = local(chance, 22);
    vec![at(0, connection((Protocol::Tcp, 53_000, peer), true, Phase::Open))]
}
