//! Feeding what is on the wire, and recordings of it: packets of every link, capture files, lists of connections.
//!
//! A packet goes through the whole sensor, with every detector on, several times over, as a flood would. What comes out is
//! bounded and can be told; time never runs backwards in it. Read next: [`super::targets`].

use std::hash::RandomState;

use cordon_agent::capture::losses::read;
use cordon_agent_core::dissect::link::{Link, packet};
use cordon_agent_core::flow::community;
use cordon_agent_core::flow::table::FlowTable;
use cordon_agent_core::recording::conn_log::ConnLog;
use cordon_agent_core::recording::{Capture, Step};
use cordon_agent_core::sensor::{Output, Sensor};
use cordon_agent_core::watched::{Choice, Learn};
use cordon_proto::limits;
use cordon_proto::time::Millis;

/// A list of connections in Zeek's two forms.
const LIST: &str = "#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\tconn_state\torig_pkts\torig_ip_bytes
1.5\t10.0.0.2\t50000\t192.0.2.7\t443\ttcp\t0.25\tSF\t3\t165
2.5\tfe80::2\t135\tff02::1\t136\ticmp\t-\tOTH\t1\t60
{\"ts\":3.25,\"id.orig_h\":\"10.0.0.2\",\"id.orig_p\":1,\"id.resp_h\":\"10.0.0.3\",\"id.resp_p\":2,\"proto\":\"udp\",\"x\":[\"a\",{}]}
";

fn sensor() -> Sensor<RandomState> {
    let choice = Choice {
        devices: Vec::new(),
        local: Vec::new(),
        learn: Learn::Seconds(2),
        profiles: Vec::new(),
        usage: None,
    };
    Sensor::of_others(FlowTable::new(RandomState::new()), choice)
}

/// Packets, each behind a byte that says of which link.
#[must_use]
pub fn packets() -> Vec<Vec<u8>> {
    let ip = |protocol: u8, body: &[u8]| {
        let length = u8::try_from(20 + body.len()).expect("short");
        [&[0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 2, 10, 0, 0, 53][..], body].concat()
    };
    let ethernet = |kind: [u8; 2], body: &[u8]| [&[0][..], &[2; 12], &kind, body].concat();
    let dns = b"\x9c\x40\x00\x35\x00\x40\x00\x00\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03abc\x07example\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x10\x00\x04\x0a\x00\x00\x07";
    let syn = b"\xc3\x50\x01\xbb\0\0\0\0\0\0\0\0\x50\x02\xff\xff\0\0\0\0";
    let hello = [&b"\xc3\x50\x01\xbb\0\0\0\0\0\0\0\0\x50\x18\xff\xff\0\0\0\0\x16\x03\x01\x00\x50\x01\x00\x00\x4c\x03\x03"[..], &[7; 32],
        b"\x00\x00\x02\x13\x01\x01\x00\x00\x12\x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example"].concat();
    let error = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &ip(17, dns.get(..8).unwrap_or_default())].concat();
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 9, 10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 2][..]]
        .concat();
    let six = [
        &[0x60, 0, 0, 0, 0, 40, 0, 64][..],
        &[0xfe; 32],
        &[58, 0, 0, 0, 0, 0, 0, 0, 136, 0, 0, 0, 0, 0, 0, 0],
        &[0xfd; 16],
        &[2, 1, 2, 0, 0, 0, 0, 7],
    ]
    .concat();
    vec![
        ethernet([8, 0], &ip(17, dns)),
        ethernet([8, 0], &ip(6, syn)),
        ethernet([8, 0], &ip(6, &hello)),
        ethernet([8, 0], &ip(1, &error)),
        ethernet([8, 6], &arp),
        ethernet([0x86, 0xdd], &six),
        ethernet([0x81, 0], &[&[0, 7, 8, 0][..], &ip(6, syn)].concat()),
        [&[3][..], &ip(6, syn)].concat(),
        [&[4, 2, 0, 0, 0][..], &ip(17, dns)].concat(),
        [&[5][..], &ip(17, dns)].concat(),
        [&[5][..], &arp].concat(),
    ]
}

/// Reads a packet and lets the sensor see it, from several senders at several times.
pub fn run_packet(input: &[u8]) -> bool {
    let Some((link, bytes)) = input.split_first() else { return false };
    let link = [Link::Ethernet, Link::Cooked1, Link::Cooked2, Link::Raw, Link::Loopback, Link::Bare]
        .get(usize::from(link % 6))
        .copied();
    let Some(Ok(read)) = link.map(|link| packet(link, bytes)) else { return false };
    let (mut sensor, mut output) = (sensor(), Output::default());
    for second in [1, 2, 3, 9, 400] {
        sensor.packet(&read, Millis(second * 1000), &mut output);
        sensor.pass(Millis(second * 1000 + 1), &mut output);
    }
    tell(sensor, output);
    true
}

/// What the kernel tells of its packet sockets, behind the inode of the own one.
#[must_use]
pub fn losses() -> Vec<Vec<u8>> {
    let message = |kind: u16, body: &[u8]| {
        let length = u32::try_from(16 + body.len()).expect("short").to_ne_bytes();
        [&length[..], &kind.to_ne_bytes(), &[0; 10], body].concat()
    };
    let socket = |inode: u32| {
        let memory = [&40_u16.to_ne_bytes()[..], &6_u16.to_ne_bytes(), &[9; 36]].concat();
        let user = [&8_u16.to_ne_bytes()[..], &5_u16.to_ne_bytes(), &[0; 4]].concat();
        message(20, &[&[17, 2, 0, 3][..], &inode.to_ne_bytes(), &[0; 8], &user, &memory].concat())
    };
    let own = 7_u32.to_ne_bytes();
    let ends = message(3, &[0; 4]);
    vec![
        [&own[..], &socket(6), &socket(7), &ends].concat(),
        [&own[..], &socket(7)].concat(),
        [&own[..], &message(2, &(-2_i32).to_ne_bytes())].concat(),
    ]
}

/// Reads a datagram of the answer; whether it says what was dropped.
pub fn run_losses(input: &[u8]) -> bool {
    let Some((inode, bytes)) = input.split_first_chunk() else { return false };
    read(bytes, u32::from_ne_bytes(*inode)).is_ok_and(|told| told.dropped.is_some())
}

/// Capture files of both forms.
#[must_use]
pub fn captures() -> Vec<Vec<u8>> {
    let mut classic =
        vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for packet in packets().iter().take(4) {
        let length = u32::try_from(packet.len() - 1).expect("short").to_le_bytes();
        classic.extend([[1, 0, 0, 0], [2, 0, 0, 0], length, length].concat());
        classic.extend(packet.iter().skip(1));
    }
    let section = [0x0a, 0x0d, 0x0d, 0x0a, 16, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 16, 0, 0, 0];
    let interface = [1, 0, 0, 0, 20, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0];
    let block = [
        6, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 0, 36,
        0, 0, 0,
    ];
    vec![classic, [&section[..], &interface, &block].concat()]
}

/// Reads a capture file to its end, or to where it cannot be read on.
pub fn run_capture(input: &[u8]) -> bool {
    let Ok((mut capture, mut from)) = Capture::open(input) else { return false };
    let (mut sensor, mut output) = (sensor(), Output::default());
    let mut packets = 0;
    while let Some(bytes) = input.get(from..) {
        let Ok(Step::Took(length, captured)) = capture.step(bytes) else { break };
        assert!(length > 0, "a reader that takes nothing never ends");
        from = from.saturating_add(length);
        let Some(captured) = captured else { continue };
        assert!(captured.bytes.len() <= limits::RECORDED_PACKET_BYTES + 64 * 1024);
        if let Some(Ok(read)) = captured.link.map(|link| packet(link, captured.bytes)) {
            packets += 1;
            sensor.packet(&read, captured.at, &mut output);
        }
    }
    tell(sensor, output);
    packets > 0
}

/// Lists of connections.
#[must_use]
pub fn lists() -> Vec<Vec<u8>> {
    vec![LIST.as_bytes().to_vec()]
}

/// Reads a list and lets the sensor see its connections.
pub fn run_list(input: &[u8]) -> bool {
    let (mut list, mut sensor, mut output) = (ConnLog::default(), sensor(), Output::default());
    let mut read = 0;
    for line in String::from_utf8_lossy(input).lines() {
        let next = list.line(line).ok().flatten();
        next.into_iter().for_each(|recorded| sensor.recorded(&recorded, &mut output));
    }
    while let Some(recorded) = list.pop() {
        read += 1;
        assert!(recorded.end >= recorded.start, "a connection does not end before it begins");
        sensor.recorded(&recorded, &mut output);
    }
    tell(sensor, output);
    read > 0
}

/// Ends a sensor; what it says must be sayable, and its memory within its bounds.
fn tell(mut sensor: Sensor<RandomState>, mut output: Output) {
    sensor.finish(Millis(1_000_000), &mut output);
    for flow in &output.flows {
        assert!(flow.end >= flow.start, "{flow:?}");
        assert_eq!(community::id(&flow.tuple).as_str().len(), 30);
    }
    for (_, finding) in &output.findings {
        assert!(!finding.title.as_str().is_empty() && finding.last >= finding.first, "{finding:?}");
    }
    assert!(sensor.table().peak() <= limits::FLOWS);
    assert!(sensor.roll().all().iter().all(|watched| watched.detectors.bytes() <= limits::DETECTOR_BYTES));
}
