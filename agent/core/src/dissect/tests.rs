//! What the dissectors promise: published layouts are read, payload is not, and no bytes at all make them panic.

use super::link::{Link, packet};
use super::*;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

/// Bytes of a text of hexadecimal digits and blanks.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |place| u8::from_str_radix(digits.get(place..place + 2).expect("a pair"), 16).expect("digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

const FRAME: &str = "ffffffffffff 020000000001";
/// 10.0.0.2 to 192.0.2.7, TCP 50000 to 443, SYN, and four bytes of payload; then padding that is no part of it.
const SYN_WITH_PAYLOAD: &str = "45 00 002c 0001 4000 40 06 0000 0a000002 c0000207
    c350 01bb 00000000 00000000 50 02 ffff 0000 0000  41424344  0000";

fn datagram<'a>(packet: &Packet<'a>) -> Datagram<'a> {
    let What::Ip(datagram) = packet.what else { panic!("{packet:?}") };
    datagram
}

#[test]
fn every_link_leads_to_the_same_packet() {
    // Goal: captures of all kinds. Method: one SYN behind each link's header, plain, tagged once and twice.
    let ip = hex(SYN_WITH_PAYLOAD);
    let before = [
        (Link::Ethernet, hex(&[FRAME, "0800"].concat())),
        (Link::Ethernet, hex(&[FRAME, "8100 0007 0800"].concat())),
        (Link::Ethernet, hex(&[FRAME, "88a8 0007 8100 0008 0800"].concat())),
        (Link::Cooked1, hex("0000 0001 0006 020000000001 0000 0800")),
        (Link::Cooked2, hex("0800 0000 00000002 0001 00 06 020000000001 0000")),
        (Link::Raw, Vec::new()),
        (Link::Loopback, hex("02000000")),
        (Link::Loopback, hex("00000002")),
    ];
    for (link, head) in before {
        let bytes = [head, ip.clone()].concat();
        let read = datagram(&packet(link, &bytes).expect("reads"));
        let expected = Carries::Tcp { ports: (50_000, 443), flags: flags::SYN, payload: b"ABCD" };
        assert_eq!((read.bytes, read.carries), (44, expected), "{link:?}: padding is not payload");
        assert_eq!(read.source, "10.0.0.2".parse::<IpAddr>().expect("address"));
        for cut in 0..bytes.len() - 30 {
            let cut = packet(link, bytes.get(..cut).expect("shorter"));
            assert!(
                !matches!(cut, Ok(Packet { what: What::Ip(_), .. })),
                "{link:?}: a cut header is no packet"
            );
        }
    }
    assert_eq!(Link::of(147), None, "a private link is not guessed");
}

#[test]
fn extension_headers_are_looked_past_and_later_fragments_have_no_ports() {
    // Goal: IPv6 as it is. Method: hop-by-hop and destination options before UDP; a first and a later fragment.
    let addresses = "20010db8000000000000000000000001 20010db8000000000000000000000002";
    let udp = "1234 0035 000a 0000 aabb";
    let plain =
        hex(&["60000000 001a 00 40", addresses, "3c 00 000000000000", "11 00 000000000000", udp].concat());
    let read = ip::datagram(&plain).expect("reads");
    assert_eq!(read.carries, Carries::Udp { ports: (0x1234, 53), payload: &[0xaa, 0xbb] });
    let fragment =
        |offset: &str| hex(&["60000000 0012 2c 40", addresses, "11 00", offset, "00000001", udp].concat());
    assert!(matches!(ip::datagram(&fragment("0001")).expect("reads").carries, Carries::Udp { .. }));
    assert_eq!(ip::datagram(&fragment("0009")).expect("reads").carries, Carries::Fragment);
    let mut endless = hex(&["60000000 ffff 00 40", addresses].concat());
    endless.extend([0_u8; 800]);
    assert_eq!(
        ip::datagram(&endless).expect("reads").carries,
        Carries::Other(0),
        "a chain without end is left"
    );
    let early = hex("45 00 0028 0001 2000 40 06 0000 0a000002 c0000207");
    assert_eq!(ip::datagram(&early), Err(Damage::Cut));
    let later = hex("45 00 0028 0001 2001 40 06 0000 0a000002 c0000207");
    assert_eq!(ip::datagram(&later).expect("reads").carries, Carries::Fragment);
}

#[test]
fn headers_that_contradict_themselves_are_damage() {
    // Goal: nothing is guessed. Method: a version, a header length and a total length that cannot be.
    for bad in [
        "55 00 0028 0001 4000 40 06 0000 0a000002 c0000207",
        "44 00 0028 0001 4000 40 06 0000 0a000002 c0000207",
        "45 00 0013 0001 4000 40 06 0000 0a000002 c0000207",
        "45 00 0028 0001 4000 40 06 0000 0a000002 c0000207 c350 01bb 00000000 00000000 40 02 ffff 0000 0000",
    ] {
        assert_eq!(ip::datagram(&hex(bad)), Err(Damage::Malformed), "{bad}");
    }
}

#[test]
fn arp_says_who_claims_what() {
    // Goal: the claim of a reply and of a request; other hardware is left. Method: one each.
    let reply =
        hex(&[FRAME, "0806 0001 0800 06 04 0002 020000000009 0a000001 020000000001 0a000002"].concat());
    let What::Arp(arp) = packet(Link::Ethernet, &reply).expect("reads").what else {
        panic!("an ARP message")
    };
    assert_eq!((arp.reply, arp.sender_mac), (true, Mac([2, 0, 0, 0, 0, 9])));
    assert_eq!((arp.sender, arp.target), ("10.0.0.1".parse().expect("a"), "10.0.0.2".parse().expect("a")));
    let token_ring =
        hex(&[FRAME, "0806 0006 0800 06 04 0002 020000000009 0a000001 020000000001 0a000002"].concat());
    assert_eq!(packet(Link::Ethernet, &token_ring).expect("reads").what, What::Other);
}

#[test]
fn icmp_pairs_questions_with_answers_and_errors_with_what_they_are_about() {
    // Goal: an echo is one flow from either side; an error is about another flow. Method: one of each.
    let head = "45 00 003c 0001 4000 40 01 0000 c0000207 0a000002";
    let of = |body: &str| {
        let bytes = hex(&[head, body].concat());
        let Carries::Icmp(icmp) = ip::datagram(&bytes).expect("reads").carries else { panic!("ICMP") };
        icmp
    };
    assert_eq!(of("08 00 0000 0001 0001"), Icmp::Exchange { kinds: (8, 0), answers: false });
    assert_eq!(of("00 00 0000 0001 0001"), Icmp::Exchange { kinds: (0, 8), answers: true });
    assert_eq!(of("05 01 0000 00000000"), Icmp::OneWay(5, 1));
    let inside = "45 00 0020 0001 4000 01 11 0000 0a000002 c0000207 9c40 00a1 0000 0000";
    let undelivered = of(&["03 03 0000 00000000", inside].concat());
    let ends = ("10.0.0.2".parse().expect("a"), "192.0.2.7".parse().expect("a"));
    let Icmp::Undelivered(packet) = undelivered else { panic!("{undelivered:?}") };
    assert_eq!(
        (packet.protocol, packet.source, packet.destination),
        (Protocol::Udp, (ends.0, 40_000), (ends.1, 161))
    );
}

fn question(name: &str, answers: &str) -> Vec<u8> {
    let mut bytes = hex(if answers.is_empty() {
        "0001 0100 0001 0000 0000 0000"
    } else {
        "0001 8180 0001 0003 0000 0000"
    });
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("short"));
        bytes.extend(label.bytes());
    }
    bytes.extend(hex("00 0001 0001"));
    bytes.extend(hex(answers));
    bytes
}

#[test]
fn dns_gives_the_question_and_the_addresses_of_its_answer() {
    // Goal: names for addresses. Method: a question; an answer with an alias, an IPv4 and an IPv6 address, then cut.
    let bytes = question("Pump.Example", "");
    let asked = dns::message(&bytes).expect("reads");
    assert_eq!((asked.response, asked.name.as_str(), asked.kind), (false, "pump.example", 1));
    let answers = "c00c 0005 0001 00000010 0002 c00c  c00c 0001 0001 00000010 0004 cb007109
        c00c 001c 0001 00000010 0010 20010db8000000000000000000000001";
    let bytes = question("pump.example", answers);
    let addresses = |bytes: &[u8]| {
        let mut addresses = Vec::new();
        dns::message(bytes).expect("reads").addresses(|address| addresses.push(alloc::format!("{address}")));
        addresses
    };
    assert_eq!(addresses(&bytes), ["203.0.113.9", "2001:db8::1"]);
    assert_eq!(addresses(bytes.get(..bytes.len() - 1).expect("shorter")), ["203.0.113.9"]);
    let odd = dns::message(&question("a\u{1}b", "")).map(|message| String::from(message.name.as_str()));
    assert_eq!(odd.as_deref(), Some("a?b"), "nothing unprintable comes out");
    assert_eq!(dns::message(&question(&vec!["a"; 130].join("."), "")), None, "no name is that long");
}

#[test]
fn dhcp_gives_kind_and_client_and_no_host_name() {
    // Goal: nothing that may name a person. Method: a DISCOVER with a host name before its kind.
    let mut bytes = hex("01 01 06 00 00000001 0000 0000 00000000 00000000 00000000 00000000 020000000007");
    bytes.extend([0; 10 + 64 + 128]);
    bytes.extend(hex("63825363 0c 05 4a6f686e73 35 01 01 ff"));
    assert_eq!(
        dhcp::message(&bytes),
        Some(dhcp::Message { client: Mac([2, 0, 0, 0, 0, 7]), kind: 1, asked: None, server: None })
    );
    assert_eq!(dhcp::message(bytes.get(..240).expect("shorter")).map(|message| message.kind), Some(0));
}

fn hello(name: &str) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
    let name = [&[0][..], &length(name.as_bytes()), name.as_bytes()].concat();
    let names = [&length(&name)[..], &name].concat();
    let extensions = [&hex("000b 0002 0100")[..], &[0, 0], &length(&names), &names].concat();
    let body =
        [&hex("0303")[..], &[7; 32], &hex("00 0002 1301 01 00"), &length(&extensions), &extensions].concat();
    [&hex("160301 0000 01 000000")[..], &body].concat()
}

#[test]
fn a_client_hello_gives_the_server_it_asks_for() {
    // Goal: a name for a connection whose look-up was not seen. Method: a name behind another extension; then odd ones.
    assert_eq!(tls::server_name(&hello("cloud.example")), Some("cloud.example"));
    assert_eq!(tls::server_name(&hello("")), None);
    assert_eq!(tls::server_name(&hello("a b")), None);
    let bytes = hello("cloud.example");
    for cut in 0..bytes.len() {
        assert_eq!(tls::server_name(bytes.get(..cut).expect("shorter")), None, "cut at {cut}");
    }
}

#[test]
fn a_hardware_address_is_written_and_read() {
    // Goal: people's form. Method: there and back, and what is none.
    let mac: Mac = "00:1b:44:11:3a:B7".parse().expect("reads");
    assert_eq!(alloc::format!("{mac}"), "00:1b:44:11:3a:b7");
    assert!(
        ["", "00:1b:44:11:3a", "00:1b:44:11:3a:b7:00", "00:1b:44:11:3a:+7"]
            .iter()
            .all(|bad| bad.parse::<Mac>().is_err())
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), link in 0_usize..5) {
        let links = [Link::Ethernet, Link::Cooked1, Link::Cooked2, Link::Raw, Link::Loopback];
        let _ = packet(*links.get(link).expect("one of them"), &bytes);
        let _ = dhcp::message(&bytes);
        let _ = tls::server_name(&bytes);
        if let Some(message) = dns::message(&bytes) {
            let mut count = 0;
            message.addresses(|_| count += 1);
            prop_assert!(count <= 64 && message.name.as_str().is_ascii());
        }
    }
}
