//! Feeding each dissector of the sensor, and each reader beside it, by itself: a layer that is reached directly is bent
//! a hundred times as often as one below others.
//!
//! What comes out lies in what went in, and is as bounded as it is promised to be. The same bytes through the whole sensor
//! are the targets of [`super::packets`]. Read next: [`super::targets`].

use cordon_agent::capture::{diag, procnet};
use cordon_agent_core::dissect::link::{Link, packet};
use cordon_agent_core::dissect::{Carries, Datagram, What, dhcp, dns, ip, tls};
use cordon_agent_core::recording::conn_log::ConnLog;
use cordon_agent_core::recording::pcap::Pcap;
use cordon_agent_core::recording::pcapng::PcapNg;
use cordon_agent_core::recording::{BadRecording, Captured, MAGIC_BYTES, Step};
use cordon_proto::limits;
use cordon_proto::telemetry::Protocol;

use super::packets;

/// The links, by the byte before a packet.
const LINKS: [Link; 6] =
    [Link::Ethernet, Link::Cooked1, Link::Cooked2, Link::Raw, Link::Loopback, Link::Bare];

/// Bytes that a reader of recordings may ask for at most: a packet, and what may stand around it.
const ASKED_BYTES: usize = limits::RECORDED_PACKET_BYTES + 64 * 1024 + 64;

/// A packet of every link, its headers alone.
pub fn run_link(input: &[u8]) -> bool {
    let Some((link, bytes)) = input.split_first() else { return false };
    let Some(link) = LINKS.get(usize::from(link % 6)) else { return false };
    let Ok(read) = packet(*link, bytes) else { return false };
    if let What::Ip(datagram) = read.what {
        lies_inside(&datagram, bytes);
    }
    true
}

/// Packets of IP alone.
#[must_use]
pub fn datagrams() -> Vec<Vec<u8>> {
    let behind = |packet: Vec<u8>| packet.get(15..).map(<[u8]>::to_vec);
    packets::packets().into_iter().filter_map(behind).filter(|bytes| ip::datagram(bytes).is_ok()).collect()
}

/// An IP packet.
pub fn run_ip(input: &[u8]) -> bool {
    let Ok(datagram) = ip::datagram(input) else { return false };
    lies_inside(&datagram, input);
    true
}

fn lies_inside(datagram: &Datagram<'_>, bytes: &[u8]) {
    match datagram.carries {
        Carries::Tcp { payload, .. } | Carries::Udp { payload, .. } => {
            let inside = bytes.as_ptr_range();
            assert!(payload.is_empty() || inside.contains(&payload.as_ptr()), "a payload from nowhere");
            assert!(payload.len() < bytes.len(), "a payload longer than its packet");
        }
        Carries::Icmp(_) | Carries::Fragment | Carries::Other(_) => {}
    }
}

/// ARP's messages alone.
#[must_use]
pub fn arps() -> Vec<Vec<u8>> {
    let message = |operation| {
        [
            &[0, 1, 8, 0, 6, 4, 0, operation][..],
            &[2, 0, 0, 0, 0, 9, 10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 2],
        ]
        .concat()
    };
    vec![message(1), message(2)]
}

/// An ARP message, as the kernel hands it over.
pub fn run_arp(input: &[u8]) -> bool {
    matches!(packet(Link::Bare, input), Ok(read) if matches!(read.what, What::Arp(_)))
}

/// What clients and servers of DHCP say.
#[must_use]
pub fn leases() -> Vec<Vec<u8>> {
    let head = |kind: u8| [&[kind, 1, 6, 0][..], &[0; 24], &[2, 0, 0, 0, 0, 7], &[0; 202]].concat();
    let options = |options: &[u8]| [&[0x63, 0x82, 0x53, 0x63][..], options].concat();
    vec![
        [head(1), options(&[53, 1, 1, 12, 4, b'p', b'u', b'm', b'p', 255])].concat(),
        [head(2), options(&[0, 0, 54, 4, 10, 0, 0, 1, 53, 1, 5, 255])].concat(),
        [head(1), options(&[])].concat(),
    ]
}

/// A message of DHCP.
pub fn run_dhcp(input: &[u8]) -> bool {
    dhcp::message(input).is_some()
}

/// Questions and answers of DNS.
#[must_use]
pub fn messages() -> Vec<Vec<u8>> {
    let question = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03abc\x07example\x00\x00\x01\x00\x01";
    let answer = b"\x00\x01\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x03abc\x07example\x00\x00\x1c\x00\x01";
    let four = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x10\x00\x04\x0a\x00\x00\x07";
    let six = [&b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x10\x00\x10"[..], &[0xfd; 16]].concat();
    let alias = b"\x03abc\x00\x00\x05\x00\x01\x00\x00\x00\x10\x00\x02\xc0\x0c";
    vec![question.to_vec(), [&answer[..], four, &six].concat(), [&answer[..], alias, four].concat()]
}

/// A message of DNS: its name is a text, and its addresses are bounded.
pub fn run_dns(input: &[u8]) -> bool {
    let Some(message) = dns::message(input) else { return false };
    let name = message.name.as_str();
    assert!(name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()), "{name:?}");
    let mut addresses = 0;
    message.addresses(|_| addresses += 1);
    assert!(addresses <= limits::DNS_ANSWERS, "{addresses} addresses");
    true
}

/// The beginnings of TLS connections.
#[must_use]
pub fn hellos() -> Vec<Vec<u8>> {
    let hello = |extensions: &[u8]| {
        let length = u8::try_from(extensions.len()).expect("short");
        [
            &[22, 3, 1, 0, length + 47, 1, 0, 0, length + 43, 3, 3][..],
            &[7; 32],
            &[0, 0, 2, 0x13, 1, 1, 0, 0, length],
            extensions,
        ]
        .concat()
    };
    let name = b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example";
    let before = [&b"\x00\x0b\x00\x02\x01\x00\x00\x0a\x00\x04\x00\x02\x00\x17"[..], name].concat();
    vec![hello(name), hello(&before)]
}

/// A ClientHello: the name in it can be told.
pub fn run_hello(input: &[u8]) -> bool {
    let Some(name) = tls::server_name(input) else { return false };
    assert!(!name.is_empty() && name.len() <= limits::HOST_NAME_BYTES, "{name:?}");
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    true
}

/// Capture files of the classic form.
#[must_use]
pub fn classic() -> Vec<Vec<u8>> {
    packets::captures().into_iter().take(1).collect()
}

/// A capture file of the classic form, header and packets.
pub fn run_classic(input: &[u8]) -> bool {
    let Some((header, _)) = input.split_first_chunk() else { return false };
    let Ok(mut pcap) = Pcap::open(header) else { return false };
    steps(input, MAGIC_BYTES, |bytes| pcap.step(bytes)) > 0
}

/// Capture files of blocks.
#[must_use]
pub fn blocks() -> Vec<Vec<u8>> {
    packets::captures().into_iter().skip(1).collect()
}

/// A capture file of blocks.
pub fn run_blocks(input: &[u8]) -> bool {
    let mut pcapng = PcapNg::default();
    steps(input, 0, |bytes| pcapng.step(bytes)) > 0
}

/// Goes through a recording; the packets in it.
fn steps<'a>(
    input: &'a [u8],
    mut from: usize,
    mut step: impl FnMut(&'a [u8]) -> Result<Step<'a>, BadRecording>,
) -> usize {
    let mut packets = 0;
    while let Some(bytes) = input.get(from..) {
        match step(bytes) {
            Ok(Step::Took(length, captured)) => {
                assert!(length > 0, "a reader that takes nothing never ends");
                let held = |captured: Captured<'_>| captured.bytes.len();
                assert!(captured.map_or(0, held) <= bytes.len(), "a packet longer than its file");
                packets += usize::from(captured.is_some());
                from = from.saturating_add(length);
            }
            Ok(Step::Needs(length)) => {
                assert!(length > bytes.len() && length <= ASKED_BYTES, "asks for {length} bytes");
                break;
            }
            Err(_) => break,
        }
    }
    packets
}

/// A list of connections, line by line: no more is held than was read, and it comes in order.
pub fn run_lines(input: &[u8]) -> bool {
    let mut list = ConnLog::default();
    let mut lines = 0;
    for line in String::from_utf8_lossy(input).lines() {
        lines += 1;
        assert!(list.line(line).ok().flatten().is_none(), "what is below the bound is held until the end");
    }
    let (mut held, mut last) = (0, i64::MIN);
    while let Some(recorded) = list.pop() {
        held += 1;
        assert!(recorded.start.0 >= last && recorded.end >= recorded.start, "{recorded:?}");
        last = recorded.start.0;
    }
    assert!(held <= lines && lines <= limits::RECORDED_REORDER.max(input.len()), "{held} of {lines}");
    held > 0
}

/// Datagrams of the kernel's socket diagnosis.
#[must_use]
pub fn diagnoses() -> Vec<Vec<u8>> {
    let message = |kind: u16, body: &[u8]| {
        let length = u32::try_from(16 + body.len()).expect("short").to_ne_bytes();
        [&length[..], &kind.to_ne_bytes(), &[0; 10], body].concat()
    };
    let attribute = |kind: u16, body: &[u8]| {
        let length = u16::try_from(4 + body.len()).expect("short").to_ne_bytes();
        let filling = vec![0; body.len().next_multiple_of(4) - body.len()];
        [&length[..], &kind.to_ne_bytes(), body, &filling].concat()
    };
    let socket = |family: u8, state: u8, attributes: &[u8]| {
        let address = |last: u8| [&[10, 0, 0, last][..], &[0; 12]].concat();
        let ends = [&[0xc3, 0x50, 1, 0xbb][..], &address(2), &address(7), &[0; 12]].concat();
        message(20, &[&[family, state, 0, 0][..], &ends, &[0; 20], attributes].concat())
    };
    let info = attribute(2, &[9; 232]);
    let end = message(3, &[0; 4]);
    vec![
        [socket(2, 1, &info), socket(10, 10, &[]), end.clone()].concat(),
        [socket(2, 7, &[info, attribute(10, &[6])].concat()), socket(2, 7, &attribute(10, &[17]))].concat(),
        [message(2, &(-2_i32).to_ne_bytes()), end].concat(),
    ]
}

/// A datagram of the kernel, as a list and as word of ended sockets: no more sockets than there is room for in it.
pub fn run_diagnosis(input: &[u8]) -> bool {
    let (mut sockets, mut ended) = (Vec::new(), Vec::new());
    let listed = diag::listed(input, Protocol::Tcp, &mut sockets).is_ok();
    let told = diag::told(input, &mut ended).is_ok();
    assert!(sockets.len().max(ended.len()) * 16 <= input.len(), "{} sockets", sockets.len());
    listed && told && !(sockets.is_empty() && ended.is_empty())
}

/// The kernel's tables of sockets as text.
#[must_use]
pub fn socket_tables() -> Vec<Vec<u8>> {
    let four =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1
   1: 0200000A:C350 097100CB:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 77 1
";
    let six = "  sl  local_address                         remote_address                        st
  1: 0000000000000000FFFF00000200000A:9C40 0000000000000000FFFF0000097100CB:0035 01 0:0 00:0 0 108 0 998 2
";
    vec![four.as_bytes().to_vec(), six.as_bytes().to_vec()]
}

/// A table of sockets: no more of them than lines.
pub fn run_socket_table(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let mut sockets = Vec::new();
    let bad = procnet::parse(&text, Protocol::Tcp, &mut sockets);
    assert!(bad + sockets.len() <= text.lines().count());
    !sockets.is_empty()
}
