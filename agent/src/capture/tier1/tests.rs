//! The real kernel and real packets on loopback, through the running agent's sensor. Without `CAP_NET_RAW` they are skipped.

use super::super::tier0::tests::alone;
use super::*;
use crate::clock::SystemClock;
use cordon_agent_core::detect::Detectors;
use cordon_agent_core::dissect::link::{Link, packet};
use cordon_agent_core::flow::Flow;
use cordon_agent_core::flow::table::FlowTable;
use cordon_agent_core::profile::{Learning, Profile};
use cordon_agent_core::sensor::{Output, Sensor};
use cordon_proto::telemetry::{Direction, Protocol};
use std::collections::BTreeMap;
use std::hash::RandomState;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// A capture with the sensor behind it, as the agent runs them.
struct Watch {
    capture: Tier1,
    sensor: Sensor<RandomState>,
    output: Output,
    seen: Vec<Sighting>,
}

impl Watch {
    /// `None` after saying why packets cannot be looked at here.
    fn new() -> Option<Self> {
        let capture = Tier1::new(Arc::new(SystemClock::new()), true);
        let detectors = Detectors::new(Profile::new(), Learning::default());
        let sensor = Sensor::new(FlowTable::new(RandomState::new()), detectors);
        let mut watch = Self { capture, sensor, output: Output::default(), seen: Vec::new() };
        watch.look();
        if watch.capture.sight().tier == Some(1) {
            return Some(watch);
        }
        writeln!(io::stderr(), "SKIPPED: {}", watch.capture.sight().note).expect("stderr is open");
        None
    }

    fn look(&mut self) {
        let now = self.capture.clock.now();
        self.capture.poll(now, &mut self.seen);
        let (sensor, output) = (&mut self.sensor, &mut self.output);
        self.capture.caught(&mut |caught| match caught {
            Caught::Home(addresses) => sensor.move_home(addresses, now),
            Caught::Packet(bytes, at) => {
                sensor.packet(&packet(Link::Bare, bytes).expect("the kernel's are whole"), at, output);
            }
        });
        for sighting in self.seen.drain(..) {
            self.sensor.observe(&sighting, &mut self.output);
        }
    }

    /// Flows of a port, once there are so many ended ones, or after a while.
    fn flows(&mut self, port: u16, enough: usize) -> Vec<Flow> {
        let of = |flow: &&Flow| [flow.tuple.local.port, flow.tuple.remote.port].contains(&port);
        for _ in 0..200 {
            self.look();
            if self.output.flows.iter().filter(of).count() >= enough {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // What comes late would be a second one.
        std::thread::sleep(Duration::from_millis(100));
        self.look();
        let now = self.capture.clock.now();
        self.sensor.finish(now, &mut self.output);
        self.output.flows.iter().filter(of).cloned().collect()
    }
}

fn talk(server: &TcpListener, number: usize) -> u16 {
    let mut client = TcpStream::connect(server.local_addr().expect("bound")).expect("connects");
    let (mut accepted, _) = server.accept().expect("accepts");
    client.write_all(&vec![1; number]).expect("writes");
    accepted.read_exact(&mut vec![0; number]).expect("reads");
    accepted.write_all(b"done").expect("writes");
    client.read_exact(&mut [0; 4]).expect("reads");
    client.local_addr().expect("bound").port()
}

#[test]
fn real_connections_are_counted_once_with_their_sockets_bytes_though_their_packets_are_seen_too() {
    // Goal: the two tiers agree flow by flow. Method: 200 short connections, looked at now and then, from both of our own ends;
    // every one is a flow at each end, with exact bytes, and no other is.
    let _alone = alone();
    let Some(mut watch) = Watch::new() else { return };
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
    let port = server.local_addr().expect("bound").port();
    let mut sent = BTreeMap::new();
    for number in 1..=200 {
        sent.insert(talk(&server, number), u64::try_from(number).expect("small"));
        if number % 7 == 0 {
            watch.look();
        }
    }
    let flows = watch.flows(port, 400);
    for direction in [Direction::Outbound, Direction::Inbound] {
        let told: Vec<_> = flows.iter().filter(|flow| flow.direction == direction).collect();
        let bytes: BTreeMap<u16, u64> = told
            .iter()
            .map(|flow| match direction {
                Direction::Outbound => (flow.tuple.local.port, flow.total.bytes_out),
                // The closing handshake counts for one or two.
                Direction::Inbound => {
                    let into = sent.get(&flow.tuple.remote.port).copied().unwrap_or(0);
                    let exact = (into..=into + 2).contains(&flow.total.bytes_in);
                    (flow.tuple.remote.port, if exact { into } else { flow.total.bytes_in })
                }
            })
            .collect();
        assert_eq!((told.len(), &bytes), (sent.len(), &sent), "{direction:?}");
    }
    assert_eq!(watch.capture.sight().note, "connections by sock_diag; names and probes by packets");
}

#[test]
fn real_names_probes_and_datagrams_are_seen_that_have_no_socket_to_tell_them() {
    // Goal: what tier 1 adds. Method: an answer of DNS, then a call of its address; a closed port; a datagram of 100 bytes.
    let _alone = alone();
    let Some(mut watch) = Watch::new() else { return };
    let named = Ipv4Addr::new(127, 0, 0, 78);
    let Ok(resolver) = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 77), 53)) else {
        writeln!(io::stderr(), "SKIPPED: port 53 cannot be bound").expect("stderr is open");
        return;
    };
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
    let mut answer = b"\0\x01\x81\0\0\x01\0\x01\0\0\0\0\x04pump\x07example\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04".to_vec();
    answer.extend(named.octets());
    let asker = client.local_addr().expect("bound");
    resolver.send_to(&answer, asker).expect("is sent");
    watch.look();
    let server = TcpListener::bind((named, 0)).expect("binds");
    let (port, _) = (server.local_addr().expect("bound").port(), talk(&server, 5));
    let closed = TcpStream::connect((Ipv4Addr::LOCALHOST, 1)).expect_err("nobody listens");
    assert_eq!(closed.kind(), io::ErrorKind::ConnectionRefused);
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
    let to: SocketAddr = receiver.local_addr().expect("bound");
    client.send_to(&[7; 100], to).expect("is sent");
    let flows = watch.flows(port, 2);
    assert_eq!(flows.len(), 2);
    for flow in &flows {
        let name = (flow.direction == Direction::Outbound).then_some("pump.example");
        assert_eq!(name.or(flow.name.as_deref()), flow.name.as_deref(), "{flow:?}");
    }
    let all = &watch.output.flows;
    let refused: Vec<_> =
        all.iter().filter(|flow| flow.tuple.remote.port == 1 || flow.tuple.local.port == 1).collect();
    assert_eq!(refused.iter().map(|flow| flow.state).collect::<Vec<_>>(), [State::Refused], "{refused:?}");
    assert!(all.iter().all(|flow| flow.tuple.remote.port != 0 || flow.tuple.protocol != Protocol::Tcp));
    let told: Vec<_> = all
        .iter()
        .filter(|flow| flow.tuple.protocol == Protocol::Udp)
        .filter(|flow| [flow.tuple.local.port, flow.tuple.remote.port].contains(&to.port()))
        .map(|flow| flow.total.bytes_out + flow.total.bytes_in)
        .collect();
    assert_eq!(told, [128], "once, though loopback sends and receives it");
}

#[test]
fn packets_that_the_kernel_dropped_show_within_seconds_and_for_a_minute() {
    // Goal: a flood does not look like calm. Method: more questions to DNS than all queues hold, and nobody takes them.
    let _alone = alone();
    let Some(mut watch) = Watch::new() else { return };
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
    for _ in 0..4000 {
        // Nobody may listen there; what comes back says so to the next one.
        let _ = client.send_to(&[7; 1000], (Ipv4Addr::new(127, 0, 0, 79), 53));
    }
    let now = watch.capture.clock.now();
    let after = |seconds: i64| Millis(now.0 + seconds * 1000);
    watch.capture.poll(after(6), &mut Vec::new());
    let Means::Open(_) = watch.capture.losses else {
        writeln!(io::stderr(), "SKIPPED: {}", watch.capture.losses.why()).expect("stderr is open");
        return;
    };
    assert!(watch.capture.sight().note.contains("the kernel dropped some"), "{:?}", watch.capture.sight());
    let mut bytes = 0;
    watch.capture.caught(&mut |caught| {
        if let Caught::Packet(packet, _) = caught {
            bytes += packet.len();
        }
    });
    assert!((1..=limits::PACKETS_WAITING_BYTES).contains(&bytes), "{bytes}");
    // What still waits in the kernel is taken; then there is peace.
    for _ in 0..20 {
        watch.look();
        std::thread::sleep(Duration::from_millis(10));
    }
    watch.capture.poll(after(12), &mut Vec::new());
    watch.capture.poll(after(80), &mut Vec::new());
    assert_eq!(watch.capture.sight().note, "connections by sock_diag; names and probes by packets");
}

#[test]
fn what_is_not_seen_is_said_and_what_was_lost_comes_back() {
    // Goal: never a quiet device that is a blind one. Method: switched off; a socket that fails; no address; a diagnosis that the
    // kernel has not.
    let _alone = alone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut off = Tier1::new(Arc::clone(&clock), false);
    off.poll(Millis(0), &mut Vec::new());
    assert!(
        off.sight().tier == Some(0) && off.sight().note.contains("; no packets (switched off)"),
        "{:?}",
        off.sight()
    );
    let mut told = Vec::new();
    off.caught(&mut |caught| told.push(matches!(caught, Caught::Home([]))));
    off.caught(&mut |_| told.push(false));
    assert_eq!(told, [true], "the sensor is told once that there are no packets");

    let Some(mut watch) = Watch::new() else { return };
    let start = watch.capture.clock.now();
    watch.capture.packets = Means::Refused { at: start, why: "the right CAP_NET_RAW is missing".to_owned() };
    watch.capture.poll(Millis(start.0 + 1000), &mut Vec::new());
    let sight = watch.capture.sight().clone();
    assert_eq!(sight.tier, Some(0));
    assert!(sight.note.contains("; no packets (the right CAP_NET_RAW is missing)"), "{sight:?}");
    watch.capture.poll(Millis(start.0 + 62_000), &mut Vec::new());
    assert_eq!(watch.capture.sight().tier, Some(1), "it is tried again");

    watch.capture.losses = Means::Refused { at: Millis(start.0 + 62_000), why: "unknown family".to_owned() };
    watch.capture.home = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let sight = watch.capture.now_seen(Millis(start.0 + 62_000), true);
    assert!(
        sight.note.ends_with("how many are lost is not known (unknown family); the machine has no address"),
        "{sight:?}"
    );
}
