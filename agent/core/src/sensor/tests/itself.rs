//! The device's own packets beside its own sockets: one flow whichever showed it first, what packets alone show, and a
//! profile that does not judge what it was learned without.

use super::*;
use crate::flow::{Endpoint, Tuple};
use crate::profile::{Learning, Profile};
use cordon_proto::telemetry::Protocol;

/// The sensor of the pump itself, whose packets are seen beside its sockets.
fn of_itself(profile: Profile) -> Wire {
    let mut wire = by_sockets(profile);
    wire.sensor.move_home(&[IpAddr::V4(Ipv4Addr::from(PUMP))], Millis(wire.now));
    wire
}

/// The same, of whom only sockets are seen.
fn by_sockets(profile: Profile) -> Wire {
    let detectors = Detectors::new(profile, Learning { least_s: 3600, most_s: 3600 });
    let table = FlowTable::new(BuildHasherDefault::default());
    let mut wire = Wire::new(Learn::Off);
    wire.sensor = Sensor::new(table, detectors);
    wire.sensor.move_home(&[], Millis(wire.now));
    wire
}

impl Wire {
    /// What tier 0 tells of a socket of the pump.
    fn socket(&mut self, port: u16, remote: ([u8; 4], u16), phase: Phase, bytes_out: u64) {
        let end = |(address, port)| Endpoint { address: IpAddr::V4(Ipv4Addr::from(address)), port };
        let total = Traffic { packets_out: 7, bytes_out, packets_in: 6, bytes_in: 9 };
        let connection = Connection {
            tuple: Tuple { protocol: Protocol::Tcp, local: end((PUMP, port)), remote: end(remote) },
            direction: Direction::Outbound,
            phase,
            counted: Counted::Total(total),
            name: None,
        };
        let sighting = Sighting { at: Millis(self.now), seen: Seen::Connection(connection) };
        self.sensor.observe(&sighting, &mut self.output);
    }
}

fn flows(output: &Output) -> Vec<String> {
    let line = |flow: &Flow| {
        let (tuple, total) = (flow.tuple, flow.total);
        let name = flow.name.as_deref().or(flow.asked_for.as_deref()).unwrap_or("-");
        format!(
            "{:?} {:?} {}→{} {} {}/{} {name}",
            flow.direction,
            tuple.protocol,
            tuple.local.port,
            tuple.remote.port,
            flow.state.as_str(),
            total.bytes_out,
            total.bytes_in
        )
    };
    output.flows.iter().map(line).collect()
}

#[test]
fn a_connection_that_shows_as_packets_and_as_a_socket_is_one_flow_with_the_sockets_figures() {
    // Goal: nothing is counted twice, by whichever of the two it is seen first. Method: one that is over before its socket is
    // looked at, one whose socket is seen in between, one that is broken off, and one whose last packets come late.
    let mut wire = of_itself(Profile::new());
    let server = (CLOUD, 443);
    wire.udp((ROUTER, 53), (PUMP, 40_000), &question("cloud.example", Some(CLOUD)));
    wire.call((PUMP, 41_000), server, b"short");
    wire.socket(41_000, server, Phase::Over(State::Closed), 5);

    wire.tcp((PUMP, 41_001), server, SYN, b"");
    wire.tcp(server, (PUMP, 41_001), SYN | ACK, b"");
    wire.socket(41_001, server, Phase::Open, 100);
    wire.tcp((PUMP, 41_001), server, FIN | ACK, b"");
    wire.tcp(server, (PUMP, 41_001), FIN | ACK, b"");
    wire.socket(41_001, server, Phase::Over(State::Closed), 200);
    wire.tcp((PUMP, 41_001), server, FIN | ACK, b"");

    wire.call((PUMP, 41_002), server, b"off");
    wire.tcp(server, (PUMP, 41_002), RST, b"");
    wire.socket(41_002, server, Phase::Over(State::Closed), 3);

    wire.tcp((PUMP, 41_003), server, PSH | ACK, b"in the middle");
    wire.tcp((PUMP, 41_003), server, FIN | ACK, b"");
    wire.socket(41_003, server, Phase::Over(State::Closed), 13);
    let output = wire.ends();
    assert_eq!(
        flows(&output),
        [
            "Outbound Tcp 41000→443 closed 5/9 cloud.example",
            "Outbound Tcp 41001→443 closed 200/9 cloud.example",
            "Outbound Tcp 41002→443 reset 3/9 cloud.example",
            "Outbound Tcp 41003→443 closed 13/9 cloud.example",
            "Outbound Udp 40000→53 established 0/75 -",
        ]
    );
}

#[test]
fn what_has_no_socket_is_told_by_packets_alone() {
    // Goal: what tier 1 adds. Method: a probe of a closed port, one without flags, a ping, a datagram, one between strangers, one in the middle of a connection;
    // and a refusal of a call of our own, which its socket tells as well.
    let mut wire = of_itself(Profile::new());
    let stranger = host(9);
    wire.tcp((stranger, 50_000), (PUMP, 23), SYN, b"");
    wire.tcp((PUMP, 23), (stranger, 50_000), RST | ACK, b"");
    wire.tcp((stranger, 50_001), (PUMP, 24), 0, b"");
    wire.tcp((PUMP, 24), (stranger, 50_001), RST | ACK, b"");
    wire.tcp((stranger, 50_002), (host(8), 23), SYN, b"");
    wire.tcp((stranger, 50_003), (PUMP, 25), PSH | ACK, b"of a connection whose socket will tell");
    wire.ip(1, stranger, PUMP, &[8, 0, 0, 0, 0, 0, 0, 0]);
    wire.udp((PUMP, 45_000), (stranger, 514), b"log");
    wire.tcp((PUMP, 41_000), (CLOUD, 81), SYN, b"");
    wire.tcp((CLOUD, 81), (PUMP, 41_000), RST | ACK, b"");
    wire.socket(41_000, (CLOUD, 81), Phase::Over(State::Refused), 0);
    assert_eq!(
        flows(&wire.ends()),
        [
            "Inbound Tcp 23→50000 refused 0/0 -",
            "Inbound Tcp 24→50001 refused 0/0 -",
            "Outbound Tcp 41000→81 refused 0/0 -",
            "Inbound Icmp 0→8 new 0/28 -",
            "Outbound Udp 45000→514 new 31/0 -",
        ]
    );
}

#[test]
fn a_search_at_the_device_itself_is_found_by_its_packets() {
    // Goal: what tier 0 cannot see. Method: twenty closed ports, knocked at with and without a handshake's flag.
    for flags in [SYN, FIN, 0, FIN | PSH | 0x20] {
        let mut wire = of_itself(Profile::new());
        for port in 1..=20 {
            wire.tcp((host(9), 50_000), (PUMP, port), flags, b"");
            wire.tcp((PUMP, port), (host(9), 50_000), RST | ACK, b"");
        }
        assert_eq!(told(&wire.ends()), ["this device scan at-device/10.0.1.9"], "{flags}");
    }
}

#[test]
fn a_profile_does_not_judge_what_it_was_learned_without() {
    // Goal: a better sensor, or a worse one, is no wave of false alarms. Method: an hour of sockets, then packets beside them;
    // then an hour of both, by name, and a start that has not heard the names yet.
    let mut wire = by_sockets(Profile::new());
    for _ in 0..62 {
        wire.socket(41_000, (ROUTER, 443), Phase::Opening, 1);
        wire.wait(60_000);
    }
    assert!(!wire.sensor.detectors().profile().learns());
    wire.sensor.move_home(&[IpAddr::V4(Ipv4Addr::from(PUMP))], Millis(wire.now));
    wire.udp((PUMP, 123), (CLOUD, 123), b"what time is it");
    assert_eq!(told(&wire.output), Vec::<String>::new(), "it never saw such packets");
    wire.socket(41_001, (CLOUD, 443), Phase::Opening, 1);
    assert_eq!(told(&wire.ends()), ["this device allow-list out/TCP/443/203.0.0.0/16"]);

    let mut wire = of_itself(Profile::new());
    for minute in 0..62_u8 {
        wire.udp((ROUTER, 53), (PUMP, 40_000), &question("cloud.example", Some([203, 0, 113, minute])));
        wire.socket(41_000 + u16::from(minute), ([203, 0, 113, minute], 443), Phase::Opening, 1);
        wire.wait(60_000);
    }
    let profile = wire.sensor.detectors().profile().clone();
    assert!(!profile.learns());
    let mut wire = of_itself(profile);
    wire.socket(41_001, ([198, 51, 100, 9], 443), Phase::Opening, 1);
    wire.udp((ROUTER, 53), (PUMP, 40_000), &question("cloud.example", Some(CLOUD)));
    wire.socket(41_002, ([198, 51, 100, 10], 443), Phase::Opening, 1);
    assert_eq!(told(&wire.output), Vec::<String>::new(), "names that were looked up before may be in use");
    wire.socket(41_003, ([198, 51, 100, 11], 8883), Phase::Opening, 1);
    wire.wait(limits::NAMES_SETTLE_S * 1000);
    wire.socket(41_004, ([198, 51, 100, 12], 443), Phase::Opening, 1);
    wire.udp((PUMP, 45_000), (host(7), 514), b"log");
    assert_eq!(
        told(&wire.ends()),
        [
            "this device allow-list out/TCP/8883/198.51.0.0/16",
            "this device allow-list out/TCP/443/198.51.0.0/16",
            "this device allow-list out/UDP/514/10.0.0.0/16",
        ]
    );
}
