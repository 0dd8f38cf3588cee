//! Scripted connections, watched by the agent's capture and sensor as they run in the device program.
//!
//! Each connection has its own bytes and its own length in time, from ten milliseconds up; what was sent is held against what
//! the sensor tells, and where packets are seen, against the sequence numbers in them. It is a process of its own, so that
//! it can be started without any right. Read next: `tests/sensor_tiers.rs`, which says what is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use cordon_agent::capture::tier1::Tier1;
use cordon_agent::capture::{Capture, Caught};
use cordon_agent::clock::{Clock, SystemClock};
use cordon_agent_core::detect::Detectors;
use cordon_agent_core::dissect::link::{Link, packet};
use cordon_agent_core::flow::table::FlowTable;
use cordon_agent_core::flow::{Flow, State};
use cordon_agent_core::profile::{Learning, Profile};
use cordon_agent_core::sensor::{Output, Sensor};
use cordon_proto::telemetry::{Direction, Protocol};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

/// Connections that are open side by side.
const SIDE_BY_SIDE: usize = 100;
/// Between two looks, as in the agent; and how often between them packets are taken, as the agent does when it is hurried.
const LOOK: Duration = Duration::from_secs(1);
const TAKES: u32 = 20;
/// Looks after the last connection, for ends that are told late.
const LATE_LOOKS: usize = 3;

/// What is run.
#[derive(Clone, Debug, Args)]
pub struct Task {
    /// Connections.
    #[arg(long, default_value_t = 1000)]
    pub connections: usize,
    /// Milliseconds of the longest.
    #[arg(long, default_value_t = 10_000)]
    pub longest_ms: u32,
    /// Without looking at packets.
    #[arg(long)]
    pub sockets_alone: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// The sensor's tier.
    pub tier: Option<u8>,
    /// What it said of itself.
    pub note: String,
    /// Connections that were made.
    pub connections: usize,
    /// Those that it told as one ended flow from our end.
    pub seen: usize,
    /// Those with the bytes that were sent, and received with at most two more for the closing handshake.
    pub exact: usize,
    /// Flows too many: the same connection told again.
    pub again: usize,
    /// Connections of which the packets say the same bytes both ways, by their sequence numbers.
    pub agreed: usize,
}

/// A connection by our address, which is its own: bytes sent and received.
type Bytes = BTreeMap<IpAddr, (u64, u64)>;
/// The first sequence number and the one behind the last byte, from each address to each.
type Sequences = BTreeMap<(IpAddr, IpAddr), (Option<u32>, Option<u32>)>;

/// Runs the script and prints the figures as a line of JSON.
pub fn run(task: &Task) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&figures(task)?)?);
    Ok(())
}

fn figures(task: &Task) -> anyhow::Result<Figures> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut watch = Watch::new(Tier1::new(Arc::clone(&clock), !task.sockets_alone), clock);
    watch.look();
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let place = server.local_addr()?;
    let (made, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let sent: Bytes = std::thread::scope(|scope| {
        let answering = scope.spawn(|| answer(&server, task.connections));
        let script = || {
            let mut own = Bytes::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= task.connections {
                    made.fetch_add(1, Ordering::Relaxed);
                    return own;
                }
                own.extend(connect(place, number, task));
            }
        };
        let scripts: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(script)).collect();
        while made.load(Ordering::Relaxed) < SIDE_BY_SIDE {
            watch.wait();
        }
        let sent = scripts.into_iter().flat_map(|script| script.join().unwrap_or_default()).collect();
        answering.join().ok().transpose().map(|_| sent)
    })?;
    for _ in 0..LATE_LOOKS {
        watch.wait();
    }
    Ok(watch.judge(place, &sent))
}

/// The connection of a number: its address and bytes by the number, and a length evenly spread on a logarithmic scale.
fn connect(place: SocketAddr, number: usize, task: &Task) -> Option<(IpAddr, (u64, u64))> {
    // Mixed, for a prime stride visits all.
    let share = u32::try_from(number * 617 % 1000).ok()?;
    let factor = f64::from(task.longest_ms) / 10.0;
    let length = Duration::from_secs_f64(0.01 * factor.powf(f64::from(share) / 1000.0));
    let [.., high, low] = u32::try_from(number).ok()?.to_be_bytes();
    let own = IpAddr::V4(Ipv4Addr::new(127, 1, high, low));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&SocketAddr::new(own, 0).into()).ok()?;
    socket.connect(&place.into()).ok()?;
    let mut stream = TcpStream::from(socket);
    let (first, second) = (vec![1; number], vec![2; number % 7 + 1]);
    stream.write_all(&first).ok()?;
    sleep(length);
    stream.write_all(&second).ok()?;
    stream.shutdown(Shutdown::Write).ok()?;
    let received = stream.read_to_end(&mut Vec::new()).ok()?;
    Some((own, (u64::try_from(first.len() + second.len()).ok()?, u64::try_from(received).ok()?)))
}

/// Answers each connection with half of what it said and one byte.
fn answer(server: &TcpListener, connections: usize) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        for _ in 0..connections {
            let (mut stream, _) = server.accept().context("the script's server")?;
            scope.spawn(move || {
                let mut said = Vec::new();
                let heard = stream.read_to_end(&mut said);
                heard.and_then(|heard| stream.write_all(&vec![3; heard / 2 + 1]))
            });
        }
        Ok(())
    })
}

/// The agent's capture and sensor.
struct Watch {
    capture: Tier1,
    clock: Arc<dyn Clock>,
    sensor: Sensor<RandomState>,
    output: Output,
    sequences: Sequences,
}

impl Watch {
    fn new(capture: Tier1, clock: Arc<dyn Clock>) -> Self {
        let detectors = Detectors::new(Profile::new(), Learning::default());
        let sensor = Sensor::new(FlowTable::new(RandomState::new()), detectors);
        Self { capture, clock, sensor, output: Output::default(), sequences: BTreeMap::new() }
    }

    fn wait(&mut self) {
        for _ in 0..TAKES {
            sleep(LOOK / TAKES);
            self.take();
        }
        self.look();
    }

    fn look(&mut self) {
        let (now, mut seen) = (self.clock.now(), Vec::new());
        self.capture.poll(now, &mut seen);
        self.take();
        for sighting in seen {
            self.sensor.observe(&sighting, &mut self.output);
        }
        self.sensor.pass(now, &mut self.output);
    }

    fn take(&mut self) {
        let now = self.clock.now();
        let (sensor, output, sequences) = (&mut self.sensor, &mut self.output, &mut self.sequences);
        self.capture.caught(&mut |caught| match caught {
            Caught::Home(addresses) => sensor.move_home(addresses, now),
            Caught::Packet(bytes, at) => {
                if let Ok(packet) = packet(Link::Bare, bytes) {
                    sensor.packet(&packet, at, output);
                }
                note(bytes, sequences);
            }
        });
    }

    fn judge(&self, place: SocketAddr, sent: &Bytes) -> Figures {
        let ours = |flow: &&Flow| {
            let tuple = flow.tuple;
            tuple.protocol == Protocol::Tcp
                && tuple.remote.port == place.port()
                && flow.direction == Direction::Outbound
        };
        let (mut told, mut again, mut exact) = (BTreeSet::new(), 0, 0);
        for flow in self.output.flows.iter().filter(ours) {
            let own = flow.tuple.local.address;
            if !told.insert(own) {
                again += 1;
                continue;
            }
            let (out, into) = (flow.total.bytes_out, flow.total.bytes_in);
            let right =
                |(sent, received): &(u64, u64)| out == *sent && (*received..=received + 2).contains(&into);
            exact += usize::from(flow.state == State::Closed && sent.get(&own).is_some_and(right));
        }
        let counted = |from, to| match self.sequences.get(&(from, to)) {
            Some((Some(first), Some(end))) => Some(u64::from(end.wrapping_sub(*first).wrapping_sub(1))),
            Some(_) | None => None,
        };
        let agrees = |(own, (out, into)): &(&IpAddr, &(u64, u64))| {
            (counted(**own, place.ip()), counted(place.ip(), **own)) == (Some(*out), Some(*into))
        };
        let sight = self.capture.sight();
        Figures {
            tier: sight.tier,
            note: sight.note.clone(),
            connections: sent.len(),
            seen: told.iter().filter(|own| sent.contains_key(own)).count(),
            exact,
            again,
            agreed: sent.iter().filter(agrees).count(),
        }
    }
}

/// Notes the sequence numbers of a SYN and a FIN over IPv4 (RFC 9293, 3.1): between them lies what was sent.
fn note(bytes: &[u8], sequences: &mut Sequences) {
    let Some(header) =
        bytes.first().filter(|first| **first >> 4 == 4).map(|first| usize::from(first & 15) * 4)
    else {
        return;
    };
    let stated = bytes.get(2..4).and_then(|two| two.try_into().ok()).map_or(0, u16::from_be_bytes);
    let Some((&[_, _, _, _, s, t, u, v, _, _, _, _, offset, flags], _)) =
        bytes.get(header..).filter(|_| bytes.get(9) == Some(&6)).and_then(<[u8]>::split_first_chunk)
    else {
        return;
    };
    let end = |at: usize| -> Option<IpAddr> {
        Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?).into())
    };
    let (Some(from), Some(to)) = (end(12), end(16)) else { return };
    let sequence = u32::from_be_bytes([s, t, u, v]);
    let headers = header + usize::from(offset >> 4) * 4;
    let carried = u32::try_from(usize::from(stated).saturating_sub(headers)).unwrap_or(0);
    let (first, end) = sequences.entry((from, to)).or_default();
    if flags & 2 != 0 {
        *first = Some(sequence);
    }
    if flags & 1 != 0 {
        *end = Some(sequence.wrapping_add(carried));
    }
}
