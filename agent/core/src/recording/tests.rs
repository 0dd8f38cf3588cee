//! What the readers of recordings promise: each form gives the same packets and times, in whatever pieces it comes, and
//! no bytes make them panic or run for ever.

use super::conn_log::{BadLine, ConnLog, Recorded};
use super::*;
use crate::flow::State;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

/// A recording of packets of the given lengths, a second and a half apart.
fn pcap(magic: [u8; 4], big: bool, lengths: &[u32]) -> Vec<u8> {
    let number = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let nanoseconds = magic.contains(&0x3c);
    let mut file = magic.to_vec();
    file.extend(
        [if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] }, [0; 4], [0; 4], number(65_535), number(1)].concat(),
    );
    for (place, length) in (1_u32..).zip(lengths) {
        let half = if nanoseconds { 500_000_000 } else { 500_000 };
        file.extend([number(place * 2), number(half), number(*length), number(*length)].concat());
        file.extend((0..*length).map(|_| 0x2a));
    }
    file
}

/// One block in little-endian order.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = u32::try_from(padded + 12).expect("small").to_le_bytes();
    let mut block = [kind.to_le_bytes(), length].concat();
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

fn pcapng(resolution: u8, ticks: u64, packets: u32) -> Vec<u8> {
    let mut file =
        block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    file.extend(block(1, &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0]));
    file.extend(block(0x0bad, b"somebody's comment"));
    for packet in 1..=packets {
        let at = ticks * u64::from(packet);
        let [a, b, c, d, e, f, g, h] = at.to_be_bytes();
        let body = [&[0, 0, 0, 0, d, c, b, a, h, g, f, e, 3, 0, 0, 0, 3, 0, 0, 0][..], b"abc"].concat();
        file.extend(block(6, &body));
    }
    file
}

/// All packets of a file as time and length, fed in pieces of so many bytes; and how it ended.
fn read(file: &[u8], piece: usize) -> (Vec<(i64, usize)>, Result<(), BadRecording>) {
    let mut packets = Vec::new();
    let (mut capture, mut from) = match Capture::open(file) {
        Ok(opened) => opened,
        Err(bad) => return (packets, Err(bad)),
    };
    let mut to = piece;
    loop {
        match capture.step(file.get(from..to.min(file.len())).unwrap_or_default()) {
            Ok(Step::Took(length, captured)) => {
                packets.extend(captured.map(|captured| (captured.at.0, captured.bytes.len())));
                assert!(length > 0, "it goes on");
                from += length;
            }
            Ok(Step::Needs(length)) if from + length <= file.len() => to = (from + length).max(to + piece),
            Ok(Step::Needs(_)) => return (packets, Ok(())),
            Err(bad) => return (packets, Err(bad)),
        }
    }
}

#[test]
fn every_form_of_pcap_gives_the_same_packets() {
    // Goal: byte orders and resolutions. Method: one recording four times, whole and in small pieces.
    for (magic, big) in [
        ([0xd4, 0xc3, 0xb2, 0xa1], false),
        ([0xa1, 0xb2, 0xc3, 0xd4], true),
        ([0x4d, 0x3c, 0xb2, 0xa1], false),
        ([0xa1, 0xb2, 0x3c, 0x4d], true),
    ] {
        let file = pcap(magic, big, &[3, 0, 60]);
        for piece in [1, 7, 10_000] {
            let expected = [(2500, 3), (4500, 0), (6500, 60)];
            assert_eq!(read(&file, piece), (expected.to_vec(), Ok(())), "{magic:x?} in pieces of {piece}");
        }
    }
}

#[test]
fn pcapng_times_follow_their_interface() {
    // Goal: resolutions by powers of ten and of two. Method: 1.5 s a packet in each; unknown blocks between.
    for (resolution, ticks) in [(6, 1_500_000), (9, 1_500_000_000), (0x80 | 10, 1536), (3, 1500)] {
        let file = pcapng(resolution, ticks, 2);
        assert_eq!(read(&file, 5), (Vec::from([(1500, 3), (3000, 3)]), Ok(())), "resolution {resolution}");
    }
}

#[test]
fn what_cannot_be_is_refused_and_a_cut_end_is_the_end() {
    // Goal: clear errors, nothing lost before them. Method: each kind of damage after one good packet.
    assert_eq!(read(b"GIF89a and some more of a picture", 99).1, Err(BadRecording::Foreign));
    assert_eq!(read(b"", 99).1, Err(BadRecording::Foreign));
    let mut long = pcap([0xd4, 0xc3, 0xb2, 0xa1], false, &[3]);
    let whole = long.len();
    long.extend([9, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 0, 255, 255, 255, 0]);
    assert_eq!(read(&long, 99), (Vec::from([(2500, 3)]), Err(BadRecording::Length)));
    assert_eq!(read(long.get(..whole - 1).expect("shorter"), 99), (Vec::new(), Ok(())));
    let mut torn = pcapng(6, 1_500_000, 1);
    let last = torn.len() - 4;
    torn[last] ^= 8;
    assert_eq!(read(&torn, 99), (Vec::new(), Err(BadRecording::Block)));
    let stray = [block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0]), block(6, &[0; 20])].concat();
    assert_eq!(read(&stray, 99), (Vec::new(), Err(BadRecording::Interface)));
}

const FIELDS: &str = "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\torig_bytes\tresp_bytes\tconn_state\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes";

fn listed(lines: &[&str]) -> Result<Vec<Recorded>, BadLine> {
    let mut list = ConnLog::default();
    let mut read = Vec::new();
    for line in lines {
        read.extend(list.line(line)?);
    }
    read.extend(core::iter::from_fn(|| list.pop()));
    Ok(read)
}

#[test]
fn columns_and_json_give_the_same_connections_in_order_of_time() {
    // Goal: both forms of Zeek. Method: two lines in the order in which they ended, as columns and as JSON.
    let columns = [
        FIELDS,
        "9.5\tC2\t10.0.0.2\t50001\t192.0.2.7\t22\ttcp\t0.017\t0\t0\tREJ\t1\t60\t1\t40",
        "8.25\tC1\t10.0.0.2\t50000\t192.0.2.7\t443\ttcp\t1.5\t5\t-\tSF\t3\t165\t2\t100",
        "9.6\tC3\t10.0.0.2\t0\t192.0.2.7\t0\tunknown_transport\t-\t-\t-\tOTH\t1\t60\t0\t0",
    ];
    let json = [
        r#"{"ts":9.5,"uid":"C2","id.orig_h":"10.0.0.2","id.orig_p":50001,"id.resp_h":"192.0.2.7","id.resp_p":22,"proto":"tcp","duration":0.017,"conn_state":"REJ","tunnel_parents":["x]","y"],"orig_pkts":1,"orig_ip_bytes":60,"resp_pkts":1,"resp_ip_bytes":40}"#,
        r#"{ "ts" : 8.25, "note":"\"},", "id.orig_h":"10.0.0.2","id.orig_p":50000,"id.resp_h":"192.0.2.7","id.resp_p":443,"proto":"tcp","duration":1.5,"conn_state":"SF","orig_pkts":3,"orig_ip_bytes":165,"resp_pkts":2,"resp_ip_bytes":100}"#,
    ];
    let (columns, json) = (listed(&columns).expect("reads"), listed(&json).expect("reads"));
    assert_eq!(columns, json);
    let told: Vec<_> = columns.iter().map(|c| (c.start.0, c.end.0, c.ended, c.answered, c.sent)).collect();
    let first = (8250, 9750, Some(State::Closed), true, [(3, 165), (2, 100)]);
    assert_eq!(told, [first, (9500, 9517, Some(State::Refused), false, [(1, 60), (1, 40)])]);
}

#[test]
fn lines_that_are_no_connection_say_so() {
    // Goal: another file is not taken for a quiet network. Method: text without columns, and broken lines.
    assert_eq!(listed(&["hello"]), Err(BadLine::Headless));
    for bad in ["{\"ts\":1", "{}", "{\"ts\":\"x\"}", "x\ty"] {
        assert_eq!(listed(&[FIELDS, bad]), Err(BadLine::Malformed), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300), form in 0_usize..3, piece in 1_usize..64) {
        let head = [pcap([0xd4, 0xc3, 0xb2, 0xa1], false, &[]), pcapng(6, 1, 1), Vec::new()];
        let file = [head.get(form).expect("one of them").clone(), bytes].concat();
        let (whole, end) = read(&file, file.len());
        prop_assert_eq!((whole, end), read(&file, piece), "pieces change nothing");
    }

    #[test]
    fn any_line_is_read_or_refused(lines in proptest::collection::vec("\\PC{0,80}", 0..8)) {
        let mut list = ConnLog::default();
        let _ = list.line(FIELDS);
        for line in &lines {
            let _ = list.line(line);
            let _ = list.line(&format!("{{{line}"));
            let with_tabs: String = line.chars().map(|c| if c == ' ' { '\t' } else { c }).collect();
            let _ = list.line(&with_tabs);
        }
    }
}
