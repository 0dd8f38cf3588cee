//! What the profile promises: what counts as the same, when learning ends, bounds, and stable bytes.

use super::key::{Reach, Service, clean, registrable};
use super::*;
use crate::flow::{Endpoint, State, Traffic, Tuple};
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use cordon_proto::telemetry::{Direction, Protocol};
use cordon_proto::time::Millis;
use core::net::IpAddr;
use proptest::prelude::*;

const DAY: i64 = 24 * 3600;

fn flow(remote: &str, port: u16, name: Option<&str>) -> Flow {
    Flow {
        tuple: Tuple {
            protocol: Protocol::Tcp,
            local: Endpoint { address: "10.40.2.9".parse().expect("address"), port: 50_000 },
            remote: Endpoint { address: remote.parse().expect("address"), port },
        },
        direction: Direction::Outbound,
        start: Millis(0),
        end: Millis(0),
        state: State::New,
        traffic: Traffic::default(),
        total: Traffic::default(),
        answered: false,
        name: name.map(Arc::from),
        asked_for: None,
    }
}

fn inbound(local_port: u16) -> Flow {
    let mut flow = flow("10.40.7.7", 55_555, None);
    flow.direction = Direction::Inbound;
    flow.tuple.local.port = local_port;
    flow
}

fn listener(address: &str, port: u16, program: Option<&str>) -> Listener {
    let local = Endpoint { address: address.parse().expect("address"), port };
    Listener { protocol: Protocol::Tcp, local, program: program.map(Arc::from) }
}

fn learned(flows: &[Flow]) -> Profile {
    let mut profile = Profile::new();
    flows.iter().for_each(|flow| profile.learn(flow, Timestamp(1)));
    profile.freeze(Timestamp(2));
    profile
}

#[test]
fn keys_are_read_as_direction_protocol_service_and_peer() {
    // Goal: what counts as the same. Method: golden texts of typical flows.
    let texts = [
        (flow("203.0.113.9", 443, None), "out/TCP/443/203.0.0.0/16"),
        (flow("203.0.113.9", 443, Some("a.b.Example.com.")), "out/TCP/443/example.com"),
        (flow("203.0.113.9", 49_999, None), "out/TCP/1024+/203.0.0.0/16"),
        (flow("10.40.1.1", 2575, None), "out/TCP/2575/10.40.0.0/16"),
        (flow("2001:db8:7:1::9", 443, None), "out/TCP/443/2001:db8:7::/48"),
        (flow("::ffff:203.0.113.9", 443, None), "out/TCP/443/203.0.0.0/16"),
        (flow("10.40.2.255", 138, Some("x.example")), "out/TCP/138/a multicast group"),
        (flow("239.255.255.250", 1900, None), "out/TCP/1900/a multicast group"),
        (inbound(2222), "in/TCP/2222/10.40.0.0/16"),
        (inbound(44_444), "in/TCP/1024+/10.40.0.0/16"),
    ];
    for (flow, text) in texts {
        assert_eq!(Key::of(&flow).to_string(), text);
    }
    let mut ntp = flow("203.0.113.9", 123, Some("3.pool.ntp.org"));
    ntp.tuple.protocol = Protocol::Udp;
    assert_eq!(Key::of(&ntp).to_string(), "out/UDP/123/any server");
}

#[test]
fn names_are_reduced_to_what_someone_registered() {
    // Goal: one device's many host names of one service are one peer. Method: pairs, hostile text included.
    for (name, expected) in [
        ("oculus689-vir.dropcam.com", "dropcam.com"),
        ("www.nhs.gov.uk", "nhs.gov.uk"),
        ("gov.uk", "gov.uk"),
        ("printer", "printer"),
        ("a.b.c.de", "c.de"),
        ("evil\u{202e}\n<b>.example", "evil???b?.example"),
        ("", "?"),
        (".", "?"),
    ] {
        assert_eq!(&*registrable(name), expected, "{name:?}");
    }
    assert_eq!(clean(&"x".repeat(300)).len(), key::NAME_CHARS);
}

#[test]
fn a_name_stands_for_its_peer_wherever_it_is_hosted() {
    // Goal: a moved cloud service is not news, a new name in a known place is. Method: learn by name, look around.
    let profile = learned(&[flow("203.0.113.9", 443, Some("api.maker.example"))]);
    assert_eq!(profile.knows(&flow("198.51.100.1", 443, Some("eu.maker.example")), &[]), Knowledge::Known);
    assert_eq!(profile.knows(&flow("203.0.113.9", 443, Some("cdn-metrics.example")), &[]), Knowledge::New);
    assert_eq!(profile.knows(&flow("203.0.113.9", 443, None), &[]), Knowledge::New);
    assert_eq!(profile.knows(&flow("203.0.113.9", 22, Some("api.maker.example")), &[]), Knowledge::New);
    let nameless = learned(&[flow("203.0.113.9", 443, None)]);
    assert_eq!(nameless.knows(&flow("203.0.200.1", 443, Some("api.maker.example")), &[]), Knowledge::Known);
}

#[test]
fn a_failed_attempt_without_a_port_is_judged_by_its_peer() {
    // Goal: a known server that is down is no news, a strange one is. Method: port 0, as the kernel tells it.
    let profile = learned(&[flow("203.0.113.9", 443, None)]);
    assert_eq!(profile.knows(&flow("203.0.113.10", 0, None), &[]), Knowledge::Known);
    assert_eq!(profile.knows(&flow("198.51.100.10", 0, None), &[]), Knowledge::New);
}

#[test]
fn a_service_with_many_networks_is_wide() {
    // Goal: a device that uses a large cloud does not cry at each of its networks. Method: three, then four networks.
    let nets: Vec<Flow> = (1..=4).map(|n| flow(&format!("52.{n}.0.1"), 443, None)).collect();
    let new = flow("54.9.0.1", 443, None);
    assert_eq!(learned(&nets[..3]).knows(&new, &[]), Knowledge::New);
    assert_eq!(learned(&nets[..3]).knows(&new, &[Key::of(&nets[3])]), Knowledge::Wide);
    assert_eq!(learned(&nets).knows(&new, &[]), Knowledge::Wide);
    assert_eq!(learned(&nets).knows(&flow("54.9.0.1", 22, None), &[]), Knowledge::New);
    assert_eq!(learned(&nets).knows(&flow("54.9.0.1", 443, Some("x.example")), &[]), Knowledge::New);
}

#[test]
fn learning_ends_when_little_is_missing_and_not_before() {
    // Goal: Good and Turing's rule with its two bounds. Method: a busy, a restless and a quiet device.
    let learning = Learning::default();
    let mut busy = Profile::new();
    let mut froze = None;
    for hour in 0..24 * 30 {
        let now = Timestamp(hour * 3600);
        busy.learn(&flow("203.0.113.9", 443, None), now);
        if busy.pass(now, &learning) {
            froze = froze.or(Some(hour / 24));
        }
    }
    assert_eq!(froze, Some(7));
    assert!(matches!(busy.stage(), Stage::Frozen { complete: true, .. }));

    let mut restless = Profile::new();
    for hour in 0..24 * 28 {
        let remote = format!("{}.{}.0.1", 1 + hour / 200, hour % 200);
        restless.learn(&flow(&remote, 443, None), Timestamp(hour * 3600));
        assert!(!restless.pass(Timestamp(hour * 3600), &learning), "hour {hour}");
    }
    assert!(restless.pass(Timestamp(28 * DAY), &learning));
    assert!(matches!(restless.stage(), Stage::Frozen { complete: false, .. }));

    let mut quiet = Profile::new();
    (0..20).for_each(|n| quiet.learn(&flow("203.0.113.9", 443, None), Timestamp(n)));
    (0..8).for_each(|day| {
        quiet.pass(Timestamp(day * DAY), &learning);
    });
    assert!(quiet.learns(), "twenty connections prove nothing");
}

#[test]
fn a_clock_set_right_is_not_experience() {
    // Goal: a device that boots in 1970 does not freeze when the time comes in. Method: 50 years in one step.
    let mut profile = Profile::new();
    (0..200).for_each(|n| profile.learn(&flow("203.0.113.9", 443, None), Timestamp(n)));
    profile.pass(Timestamp(0), &Learning::default());
    assert!(!profile.pass(Timestamp(1_795_251_906), &Learning::default()));
    assert_eq!(profile.learned_s(), DAY);
    profile.pass(Timestamp(0), &Learning::default());
    assert_eq!(profile.learned_s(), DAY, "and time that goes back takes nothing away");
}

#[test]
fn a_frozen_profile_takes_nothing_in() {
    // Goal: nothing is learned silently. Method: the bytes before and after.
    let mut profile = learned(&[flow("203.0.113.9", 443, None)]);
    let before = profile.encode();
    profile.learn(&flow("198.51.100.1", 22, None), Timestamp(9));
    profile.learn_listener(&listener("0.0.0.0", 22, None), Timestamp(9));
    assert_eq!(profile.encode(), before);
}

#[test]
fn sockets_are_told_apart_by_port_reach_and_program() {
    // Goal: what a listener is. Method: one learned socket and its neighbours.
    let mut profile = Profile::new();
    profile.learn_listener(&listener("0.0.0.0", 22, Some("sshd")), Timestamp(1));
    profile.learn_listener(&listener("127.0.0.1", 40_001, None), Timestamp(1));
    let knows = |listener: Listener| profile.knows_socket(&Socket::of(&listener).expect("a listener"));
    assert!(knows(listener("::", 22, Some("sshd"))), "IPv4 and IPv6 are one");
    assert!(knows(listener("0.0.0.0", 22, None)), "not to know the program is no difference");
    assert!(!knows(listener("0.0.0.0", 22, Some("nc"))));
    assert!(!knows(listener("0.0.0.0", 2222, Some("sshd"))));
    assert!(knows(listener("127.0.0.1", 51_000, None)), "the device's own high ports are one");
    assert!(!knows(listener("0.0.0.0", 40_001, None)));
    let udp = Listener { protocol: Protocol::Udp, ..listener("0.0.0.0", 40_001, None) };
    assert_eq!(Socket::of(&udp), None, "a UDP client is no listener");
    let odd = Socket::of(&listener("0.0.0.0", 22, Some("nc"))).expect("a listener");
    assert_eq!(
        (odd.reach, odd.service, profile.usual_program(&odd)),
        (Reach::Network, Service::Port(22), Some("sshd"))
    );
}

#[test]
fn the_bytes_of_a_profile_stay_what_they_are() {
    // Goal: a profile kept by an older agent is read by a newer one. Method: golden bytes of one small profile.
    let mut profile = Profile::new();
    profile.learn(&flow("203.0.113.9", 443, None), Timestamp(1_000));
    profile.learn(&flow("203.0.113.9", 443, Some("a.example")), Timestamp(2_000));
    profile.learn_listener(&listener("0.0.0.0", 22, Some("sshd")), Timestamp(3_000));
    profile.pass(Timestamp(3_000), &Learning::default());
    let text: alloc::string::String = profile.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, GOLDEN);
    assert_eq!(Profile::decode(&profile.encode()), Ok(profile));
}

const GOLDEN: &str = "8782008000190bb8020082828400008200811901bb8200818218cb00831903e81903e801828400008200811901bb\
    82048169612e6578616d706c65831907d01907d001818284008200811601647373686483190bb8190bb801";

#[test]
fn a_full_profile_keeps_its_bounds_and_still_travels() {
    // Goal: no traffic makes the profile grow without end. Method: far too many long names, networks and sockets.
    let mut profile = Profile::new();
    for n in 0..3_000_u32 {
        let name = format!("{}{n}.example", "n".repeat(60));
        profile.learn(
            &flow(&format!("{}.{}.0.1", 1 + n / 250, n % 250), 443, Some(&name)),
            Timestamp(i64::from(n)),
        );
    }
    for n in 0..5_000_u32 {
        profile.learn(&flow(&format!("{}.{}.0.1", 20 + n / 250, n % 250), 80, None), Timestamp(i64::from(n)));
    }
    for port in 0..600 {
        profile.learn_listener(&listener("0.0.0.0", port, Some(&"p".repeat(99))), Timestamp(1));
    }
    profile.freeze(Timestamp(9_999));
    assert_eq!(
        (profile.peers().len(), profile.sockets().len()),
        (limits::PROFILE_KEYS, limits::PROFILE_LISTENERS)
    );
    assert!(
        matches!(profile.stage(), Stage::Frozen { complete: false, .. }),
        "what did not fit makes it incomplete"
    );
    assert!(profile.bytes() <= 330 * 1024, "{} bytes", profile.bytes());
    let bytes = profile.encode();
    assert!(bytes.len() <= limits::PROFILE_BYTES, "{} bytes", bytes.len());
    assert_eq!(Profile::decode(&bytes), Ok(profile));
}

#[test]
fn a_profile_out_of_order_is_refused() {
    // Goal: search stays right: a list that is not sorted is no profile. Method: two keys exchanged.
    let mut profile = learned(&[flow("203.0.113.9", 443, None), flow("198.51.100.1", 443, None)]);
    profile.peers.swap(0, 1);
    assert_eq!(Profile::decode(&profile.encode()), Err(WireError::Malformed));
}

proptest! {
    #[test]
    fn the_same_observations_give_the_same_bytes(
        steps in proptest::collection::vec((any::<[u8; 4]>(), any::<u16>(), proptest::option::of("[a-z.]{0,20}")), 0..60),
    ) {
        // Goal: byte-identical for the same input, and read back. Method: learn twice.
        let build = || {
            let mut profile = Profile::new();
            for (second, (address, port, name)) in steps.iter().enumerate() {
                let now = Timestamp(i64::try_from(second).expect("small"));
                let remote = IpAddr::from(*address).to_string();
                profile.learn(&flow(&remote, *port, name.as_deref()), now);
                profile.pass(now, &Learning::default());
            }
            profile
        };
        let profile = build();
        prop_assert_eq!(profile.encode(), build().encode());
        for (address, port, name) in &steps {
            let again = flow(&IpAddr::from(*address).to_string(), *port, name.as_deref());
            prop_assert_eq!(profile.knows(&again, &[]), Knowledge::Known);
        }
        prop_assert_eq!(Profile::decode(&profile.encode()), Ok(profile));
    }

    #[test]
    fn any_bytes_are_a_profile_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(profile) = Profile::decode(&bytes) {
            prop_assert!(profile.peers().len() <= limits::PROFILE_KEYS);
        }
    }

    #[test]
    fn any_damage_to_a_profile_is_read_or_refused(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let profile = learned(&[flow("203.0.113.9", 443, Some("a.example")), flow("198.51.100.1", 22, None)]);
        let mut bytes = profile.encode();
        let at = place.index(bytes.len());
        bytes[at] = byte;
        let _ = Profile::decode(&bytes);
    }
}
