//! The index never misses what the rows hold, and forgets in the open.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, FlowRow, Protocol};
use cordon_proto::time::Timestamp;
use proptest::prelude::*;

use super::sought::Sought;
use super::{Contacts, Day, OTHERS, Standing};

const NOW: Timestamp = Timestamp(1_795_251_906);

fn row(peer: &str, port: u16, protocol: Protocol) -> FlowRow {
    FlowRow {
        start: NOW.plus_seconds(-3600),
        end: NOW,
        direction: Direction::Outbound,
        protocol,
        peer: Text::lossy(peer),
        port,
        connections: 3,
        bytes_out: 100,
        bytes_in: 20,
        minutes: vec![0, 5],
        known: Some(true),
    }
}

fn sought(peer: &str, port: &str) -> Sought {
    Sought::read(peer, port).unwrap_or_else(|error| panic!("{peer} {port}: {error}"))
}

fn day(days: u32) -> Day {
    Day::of(Timestamp(i64::from(days) * 86_400))
}

#[test]
fn a_peer_is_found_by_its_address_its_network_and_every_name_above_it() {
    // Goal: what people type finds what devices told. Method: a table of rows and words, with near misses.
    let table = [
        ("203.0.113.9", 443, "203.0.113.9", "", true),
        ("203.0.113.9", 443, "::ffff:203.0.113.9", "443", true),
        ("203.0.113.9", 443, "203.0.113.0/24", "443/tcp", true),
        ("203.0.113.9", 443, "203.0.113.8/30", "", true),
        ("203.0.113.9", 443, "203.0.0.0/16", "", true),
        ("203.0.113.9", 443, "203.0.112.0/23", "", true),
        ("203.0.113.9", 443, "203.0.113.9/32", "", true),
        ("203.0.113.9", 443, "203.0.113.16/28", "", false),
        ("203.0.113.9", 443, "203.0.113.90", "", false),
        ("203.0.113.9", 443, "203.0.113.9", "443/udp", false),
        ("203.0.113.9", 443, "", "443", true),
        ("203.0.113.9", 443, "", "44", false),
        ("2001:db8::1", 53, "2001:DB8:0:0::1", "", true),
        ("2001:db8::1", 53, "2001:db8::/64", "53", true),
        ("2001:db8::1", 53, "2001:db8:1::/48", "", false),
        ("2001:db8::1", 53, "0.0.0.0/16", "", false),
        ("Time.Example.org.", 123, "time.example.org", "", true),
        ("time.example.org", 123, "example.org", "", true),
        ("time.example.org", 123, "*.Example.org.", "", true),
        ("time.example.org", 123, "ample.org", "", false),
        ("example.org", 123, "time.example.org", "", false),
        ("a.b.c.d.e.f.g.h.i.j.k.l.org", 1, "l.org", "", true),
        ("a.b.c.d.e.f.g.h.i.j.k.l.org", 1, "b.c.d.e.f.g.h.i.j.k.l.org", "", true),
        ("a.b.c.d.e.f.g.h.i.j.k.l.org", 1, "x.c.d.e.f.g.h.i.j.k.l.org", "", false),
    ];
    for (told, port, peer, at, is_found) in table {
        let row = row(told, port, Protocol::Tcp);
        let wanted = sought(peer, at);
        assert_eq!(wanted.fits(&row), is_found, "{wanted} in {told}:{port}");
        let mut contacts = Contacts::from(day(10));
        assert!(contacts.told([&row], day(10), 30));
        if is_found {
            assert_eq!(contacts.standing(&wanted, day(10)), Standing::Likely, "{wanted} in {told}:{port}");
        }
        assert_eq!(contacts.standing(&wanted, day(11)), Standing::No, "later");
    }
}

#[test]
fn what_is_nothing_to_look_for_is_refused_with_what_to_type() {
    // Goal: clear refusals. Method: each form that is none.
    let words: Vec<String> = [
        ("", " "),
        ("two words", ""),
        ("203.0.113.9/33", ""),
        ("203.0.113.9/x", ""),
        ("10.0.0.0/8", ""),
        ("2001:db8::/32", ""),
        ("a..b", ""),
        ("", "70000"),
        ("", "4444/sctp"),
    ]
    .into_iter()
    .map(|(peer, port)| format!("{}\n", Sought::read(peer, port).expect_err("refused")))
    .collect();
    assert_eq!(words.concat(), include_str!("tests/refused.txt"));
    let shown = [("203.0.113.77/24", "4444"), ("*.Example.org", "53/udp"), ("", "22/tcp")];
    let shown = shown.map(|(peer, port)| sought(peer, port).to_string());
    assert_eq!(shown, ["203.0.113.0/24, port 4444", "example.org, port 53/udp", "any peer, port 22/tcp"]);
}

#[test]
fn what_the_index_has_forgotten_or_never_knew_is_unknown_and_not_absent() {
    // Goal: one device too many, never one too few. Method: a day before the index; more peers than it holds; rows older
    // than they are kept.
    let wanted = sought("203.0.113.9", "");
    let mut contacts = Contacts::from(day(10));
    assert_eq!(contacts.standing(&wanted, day(9)), Standing::Unknown);
    assert_eq!(contacts.standing(&wanted, day(10)), Standing::No);
    contacts.told([&row("203.0.113.9", 443, Protocol::Tcp)], day(10), 30);
    for some in 0..=u16::MAX {
        let [a, b] = some.to_be_bytes();
        contacts.told([&row(&format!("10.{a}.{b}.1"), 443, Protocol::Tcp)], day(11), 30);
        if contacts.forgotten.is_some() && contacts.standing(&wanted, day(10)) != Standing::Likely {
            break;
        }
    }
    assert_eq!(contacts.len(), limits::CONTACT_TERMS);
    assert_eq!(contacts.standing(&wanted, day(10)), Standing::Unknown);
    assert_eq!(contacts.standing(&wanted, day(12)), Standing::No);
    assert!(contacts.to_body().len() <= limits::CONTACTS_BYTES);
    assert_eq!(Contacts::from_body(&contacts.to_body()), Some(contacts.clone()));
    contacts.told([&row("192.0.2.1", 443, Protocol::Tcp)], day(50), 30);
    assert!(contacts.len() <= 4, "{}", contacts.len());
}

#[test]
fn peers_that_a_device_had_no_room_to_name_are_told() {
    // Goal: an answer says what it cannot know. Method: a row of the sum.
    let mut contacts = Contacts::from(day(10));
    contacts.told([&row(OTHERS, 0, Protocol::Tcp)], day(10), 30);
    assert!(contacts.has_unnamed(day(10)) && !contacts.has_unnamed(day(11)));
}

#[test]
fn rows_come_to_one_answer_within_their_time() {
    // Goal: the sums, and the edges of the time. Method: two that fit, one of another peer, one before, one after.
    let wanted = sought("203.0.113.9", "443");
    let one = row("203.0.113.9", 443, Protocol::Tcp);
    let other =
        FlowRow { direction: Direction::Inbound, known: Some(false), protocol: Protocol::Udp, ..one.clone() };
    let before = FlowRow { end: NOW.plus_seconds(-7200), start: NOW.plus_seconds(-9000), ..one.clone() };
    let after = FlowRow { start: NOW.plus_seconds(1), end: NOW.plus_seconds(2), ..one.clone() };
    let rows = [one, other, before, after, row("203.0.113.8", 443, Protocol::Tcp)];
    let hit = wanted.among(&rows, (NOW.plus_seconds(-3600), NOW)).expect("there");
    assert_eq!((hit.connections, hit.bytes_out, hit.bytes_in), (6, 200, 40));
    assert_eq!((hit.first, hit.last), (NOW.plus_seconds(-3600), NOW));
    assert_eq!(hit.services.into_iter().collect::<Vec<_>>(), ["443/tcp", "443/udp"]);
    assert!(hit.opened && hit.accepted && hit.is_new);
    assert_eq!(sought("192.0.2.1", "").among(&rows, (NOW.plus_seconds(-3600), NOW)), None);
}

proptest! {
    #[test]
    fn no_row_that_fits_is_ever_missed(
        peers in prop::collection::vec((any::<[u8; 4]>(), 0_u16..4, any::<bool>()), 1..60),
        pick in any::<prop::sample::Index>(), bits in 16_u8..=32, by_port in any::<bool>(),
    ) {
        // Goal: the index may name too many, never too few. Method: rows of chance over some days; any network around one of them.
        let told: Vec<(FlowRow, Day)> = peers
            .iter()
            .zip(0_u32..)
            .map(|(([a, b, c, d], port, is_udp), number)| {
                let protocol = if *is_udp { Protocol::Udp } else { Protocol::Tcp };
                (row(&format!("{a}.{b}.{c}.{d}"), *port, protocol), day(100 + number / 10))
            })
            .collect();
        let mut contacts = Contacts::from(day(100));
        for (row, at) in &told {
            contacts.told([row], *at, 30);
        }
        let (chosen, at) = &told[pick.index(told.len())];
        let port = if by_port { chosen.port.to_string() } else { String::new() };
        let wanted = sought(&format!("{}/{bits}", chosen.peer), &port);
        prop_assert!(wanted.fits(chosen));
        prop_assert_eq!(contacts.standing(&wanted, *at), Standing::Likely);
        let reread = Contacts::from_body(&contacts.to_body());
        prop_assert_eq!(reread, Some(contacts));
    }

    #[test]
    fn any_words_are_read_or_refused_and_what_is_read_reads_again(peer in "\\PC{0,40}", port in "\\PC{0,12}") {
        // Goal: typed words never break anything. Method: any text; what it is shown as is the same search.
        if let Ok(wanted) = Sought::read(&peer, &port) {
            let _ = wanted.fits(&row("203.0.113.9", 443, Protocol::Tcp));
            let shown = wanted.to_string();
            let (peer, port) = shown.split_once(", port ").unwrap_or((&shown, ""));
            let peer = if peer == "any peer" { "" } else { peer };
            prop_assert_eq!(Sought::read(peer, port), Ok(wanted));
        }
    }
}
