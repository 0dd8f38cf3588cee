//! What the filter lets through, told by a small machine of the classic packet filter: so much of each kind of packet, and
//! never a byte of what people send.

extern crate std;

use super::*;
use crate::dissect::flags::{ACK, FIN, PSH, RST, SYN};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

/// What the kernel knows of a packet beside its bytes.
#[derive(Clone, Copy)]
struct Beside {
    protocol: u32,
    kind: u32,
    hardware: u32,
    tag: Option<u32>,
}

const FOUR: Beside = Beside { protocol: 0x0800, kind: 0, hardware: 1, tag: None };
const SIX: Beside = Beside { protocol: 0x86dd, ..FOUR };

/// Runs the program as `___bpf_prog_run` would; the bytes that pass, 0 for none.
fn passes(bytes: &[u8], beside: Beside) -> usize {
    let (mut a, mut x, mut place) = (0_u32, 0_u32, 0_usize);
    let load = |from: u32, width: usize| {
        let from = usize::try_from(from).ok()?;
        let found = bytes.get(from..from.checked_add(width)?)?;
        Some(found.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)))
    };
    let ancillary = |operand| match operand {
        PROTOCOL => beside.protocol,
        KIND => beside.kind,
        HARDWARE => beside.hardware,
        TAG => beside.tag.unwrap_or(0),
        HAS_TAG => u32::from(beside.tag.is_some()),
        other => panic!("no such place: {other:x}"),
    };
    loop {
        let Instruction { code, yes, no, operand } = PROGRAM[place];
        place += 1;
        let loaded = match code {
            LOAD_WORD => Some(ancillary(operand)),
            LOAD_HALF => load(operand, 2),
            LOAD_BYTE => load(operand, 1),
            LOAD_HALF_BEHIND => load(x + operand, 2),
            LOAD_BYTE_BEHIND => load(x + operand, 1),
            HEADER4 => load(operand, 1).inspect(|byte| x = (byte & 0xf) * 4).and(Some(a)),
            _ => Some(a),
        };
        // The kernel drops a packet when a load leads behind its end.
        let Some(loaded) = loaded else { return 0 };
        a = loaded;
        let jump = |holds: bool| usize::from(if holds { yes } else { no });
        match code {
            INDEX => x = operand,
            TO_INDEX => x = a,
            FROM_INDEX => a = x,
            ADD => a += operand,
            ADD_INDEX => a += x,
            AND => a &= operand,
            SHIFT_RIGHT => a >>= operand,
            EQUAL => place += jump(a == operand),
            ABOVE => place += jump(a > operand),
            ANY_BIT => place += jump(a & operand != 0),
            PASS => return bytes.len().min(usize::try_from(operand).expect("small")),
            PASS_COUNTED => return bytes.len().min(usize::try_from(a).expect("small")),
            _ => {}
        }
    }
}

fn four(protocol: u8, options: usize, body: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options / 4).expect("few");
    let head = [0x40 | words, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 2, 203, 0, 113, 9];
    [&head[..], &std::vec![1; options], body].concat()
}

fn six(next: u8, body: &[u8]) -> Vec<u8> {
    [&[0x60, 0, 0, 0, 0, 0, next, 64][..], &[0xfd; 32], body].concat()
}

fn tcp(flags: u8, options: usize, payload: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options / 4).expect("few");
    let head = [0xc3, 0x50, 1, 187, 0, 0, 0, 0, 0, 0, 0, 0, words << 4, flags, 255, 255, 0, 0, 0, 0];
    [&head[..], &std::vec![1; options], payload].concat()
}

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 4], payload].concat()
}

fn kinds() -> Vec<(&'static str, Vec<u8>, Beside)> {
    let said = [b'P'; 300];
    let hello = [&[22, 3, 1, 1, 40, 1, 0][..], &[7; 293]].concat();
    let arp = Beside { protocol: 0x0806, ..FOUR };
    let later = {
        let mut bytes = four(17, 0, &said);
        bytes[7] = 7;
        bytes
    };
    let to = |kind| Beside { kind, ..FOUR };
    let tagged = |tag| Beside { tag: Some(tag), ..FOUR };
    let syn = four(6, 0, &tcp(SYN, 20, b""));
    std::vec![
        ("ARP, padded", [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 38]].concat(), arp),
        ("a handshake", syn.clone(), FOUR),
        ("its answer, over IPv6", six(6, &tcp(SYN | ACK, 20, b"")), SIX),
        ("its last word", four(6, 0, &tcp(ACK, 12, b"")), FOUR),
        ("data", four(6, 0, &tcp(PSH | ACK, 12, &said)), FOUR),
        ("data, over IPv6", six(6, &tcp(PSH | ACK, 12, &said)), SIX),
        ("an end with data", four(6, 8, &tcp(FIN | PSH | ACK, 12, &said)), FOUR),
        ("a refusal", four(6, 0, &tcp(RST | ACK, 0, b"")), FOUR),
        ("a probe without flags", four(6, 0, &tcp(0, 0, &said)), FOUR),
        ("a ClientHello", four(6, 4, &tcp(PSH | ACK, 12, &hello)), FOUR),
        ("a ClientHello, over IPv6", six(6, &tcp(ACK, 0, &hello)), SIX),
        ("a ServerHello", four(6, 0, &tcp(PSH | ACK, 0, &[&[22, 3, 3, 0, 90, 2][..], &said].concat())), FOUR),
        ("DNS, asked", four(17, 0, &udp(40_000, 53, &said)), FOUR),
        ("DNS, answered over IPv6", six(17, &udp(53, 40_000, &said)), SIX),
        ("DHCP, to a server", four(17, 0, &udp(68, 67, &said)), FOUR),
        ("DHCP, from a server", four(17, 0, &udp(67, 68, &said)), FOUR),
        ("mDNS", four(17, 0, &udp(5353, 5353, &said)), FOUR),
        ("other UDP with options", four(17, 8, &udp(2575, 40_000, &said)), FOUR),
        ("a later fragment", later, FOUR),
        ("a ping with contents", four(1, 0, &[&[8, 0, 0, 0, 0, 0, 0, 0][..], &said].concat()), FOUR),
        (
            "word of a lost packet",
            four(1, 0, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &four(17, 0, &udp(9, 9, &said))].concat()),
            FOUR
        ),
        (
            "the same over IPv6",
            six(58, &[&[1, 4, 0, 0, 0, 0, 0, 0][..], &six(17, &udp(9, 9, &said))].concat()),
            SIX
        ),
        (
            "a neighbour",
            six(58, &[&[136, 0, 0, 0, 0, 0, 0, 0][..], &[0xfd; 16], &[2, 1, 2, 0, 0, 0, 0, 7]].concat()),
            SIX
        ),
        (
            "behind an extension header",
            six(0, &[&[6, 0, 0, 0, 0, 0, 0, 0][..], &tcp(SYN, 0, &said)].concat()),
            SIX
        ),
        ("another protocol", four(47, 0, &said), FOUR),
        ("another protocol over IPv6", six(50, &said), SIX),
        ("another ether type", said.to_vec(), Beside { protocol: 0x88cc, ..FOUR }),
        ("to everybody", syn.clone(), to(1)),
        ("to another station", syn.clone(), to(OTHER_HOST)),
        ("sent", syn.clone(), to(OUTGOING)),
        ("sent on loopback", syn.clone(), Beside { hardware: LOOPBACK, ..to(OUTGOING) }),
        ("arrived on loopback", syn.clone(), Beside { hardware: LOOPBACK, ..to(0) }),
        ("multicast come back", syn.clone(), to(5)),
        ("on the cable of a VLAN", syn.clone(), tagged(7)),
        ("with a priority alone", syn.clone(), tagged(0xe000)),
        ("cut within its header", syn[..30].to_vec(), FOUR),
        ("nothing", Vec::new(), FOUR),
    ]
}

#[test]
fn so_much_of_each_kind_of_packet_passes() {
    // Goal: headers, names and probes, and no payload. Method: every kind beside the bytes that pass, of how many.
    let told: Vec<String> = kinds()
        .iter()
        .map(|(name, bytes, beside)| format!("{:3} of {:3} {name}", passes(bytes, *beside), bytes.len()))
        .collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(told, PASSED);
}

const PASSED: &[&str] = &[
    " 28 of  46 ARP, padded",
    " 60 of  60 a handshake",
    " 80 of  80 its answer, over IPv6",
    "  0 of  52 its last word",
    "  0 of 352 data",
    "  0 of 372 data, over IPv6",
    " 60 of 360 an end with data",
    " 40 of  40 a refusal",
    " 40 of 340 a probe without flags",
    "356 of 356 a ClientHello",
    "360 of 360 a ClientHello, over IPv6",
    "  0 of 346 a ServerHello",
    "328 of 328 DNS, asked",
    "348 of 348 DNS, answered over IPv6",
    "328 of 328 DHCP, to a server",
    "328 of 328 DHCP, from a server",
    " 28 of 328 mDNS",
    " 36 of 336 other UDP with options",
    "  0 of 320 a later fragment",
    " 28 of 328 a ping with contents",
    " 56 of 356 word of a lost packet",
    " 96 of 396 the same over IPv6",
    " 72 of  72 a neighbour",
    " 68 of 368 behind an extension header",
    "  0 of 320 another protocol",
    "  0 of 340 another protocol over IPv6",
    "  0 of 300 another ether type",
    " 60 of  60 to everybody",
    "  0 of  60 to another station",
    " 60 of  60 sent",
    "  0 of  60 sent on loopback",
    " 60 of  60 arrived on loopback",
    "  0 of  60 multicast come back",
    "  0 of  60 on the cable of a VLAN",
    " 60 of  60 with a priority alone",
    "  0 of  30 cut within its header",
    "  0 of   0 nothing",
];

#[test]
fn what_the_headers_say_is_read_the_same_before_and_after_the_filter() {
    // Goal: nothing that is read is cut away. Method: each kind that passes, dissected whole and cut; payload aside.
    use crate::dissect::link::{Link, packet};
    use crate::dissect::{Carries, Datagram, Packet, What};
    fn without_payload(read: Packet<'_>) -> Packet<'_> {
        let What::Ip(datagram) = read.what else { return read };
        let carries = match datagram.carries {
            Carries::Tcp { ports, flags, .. } => Carries::Tcp { ports, flags, payload: &[] },
            Carries::Udp { ports, .. } => Carries::Udp { ports, payload: &[] },
            other @ (Carries::Icmp(_) | Carries::Fragment | Carries::Other(_)) => other,
        };
        Packet { what: What::Ip(Datagram { carries, bytes: 0, ..datagram }), ..read }
    }
    for (name, bytes, beside) in kinds() {
        let passed = passes(&bytes, beside);
        if passed > 0 {
            let whole = packet(Link::Bare, &bytes).map(without_payload);
            assert!(
                matches!(whole, Ok(Packet { what: What::Arp(_) | What::Ip(_), .. })),
                "{name}: {whole:?}"
            );
            assert_eq!(packet(Link::Bare, &bytes[..passed]).map(without_payload), whole, "{name}");
        }
    }
}

proptest! {
    #[test]
    fn the_program_ends_on_any_bytes_and_passes_no_more_than_is_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..2100), version in 4_u8..7, kind in 0_u32..8,
    ) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = version << 4 | *first & 0xf;
        }
        for protocol in [0x0800, 0x86dd, 0x0806, 0x1234] {
            let passed = passes(&bytes, Beside { protocol, kind, hardware: 1, tag: None });
            prop_assert!(passed <= limits::PACKET_BYTES);
        }
    }

    #[test]
    fn of_what_people_send_over_tcp_and_udp_nothing_passes(
        said in proptest::collection::vec(any::<u8>(), 1..200), flags in 0_u8..64, port in 1024_u16..u16::MAX,
    ) {
        let mut said = said;
        said[0] = b'M';
        let (head, bytes) = (40, four(6, 0, &tcp(flags, 0, &said)));
        prop_assert!(passes(&bytes, FOUR) <= head);
        let (head, bytes) = (48, six(17, &udp(port, 2575, &said)));
        prop_assert!(passes(&bytes, SIX) <= head);
    }
}
