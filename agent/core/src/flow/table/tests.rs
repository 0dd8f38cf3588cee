//! What the flow table promises: bounds, directions, states and ends, and the same changes for the same sightings.

use super::*;
use crate::flow::Endpoint;
use alloc::vec;
use core::hash::{BuildHasherDefault, Hasher};
use core::net::{IpAddr, Ipv4Addr};
use proptest::prelude::*;

/// FNV-1a, which is enough where nobody attacks.
#[derive(Clone, Default)]
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

type Table = FlowTable<BuildHasherDefault<Fnv>>;

fn table(capacity: usize) -> Table {
    FlowTable::bounded(BuildHasherDefault::default(), Timeouts::default(), capacity)
}

fn tuple(protocol: Protocol, number: u32) -> Tuple {
    let [_, high, low, port] = number.to_be_bytes();
    Tuple {
        protocol,
        local: Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), port: 40_000 + u16::from(port) },
        remote: Endpoint { address: IpAddr::V4(Ipv4Addr::new(192, 0, high, low)), port: 443 },
    }
}

fn seen(number: u32, phase: Phase, bytes_out: u64) -> Connection {
    Connection {
        tuple: tuple(Protocol::Tcp, number),
        direction: Direction::Outbound,
        phase,
        counted: Counted::Total(Traffic { bytes_out, ..Traffic::default() }),
        name: None,
    }
}

fn ends(changes: &[Change]) -> Vec<(State, u64)> {
    let ended = |change: &Change| match change {
        Change::Ended(flow) => Some((flow.state, flow.traffic.bytes_out)),
        Change::Began(_) | Change::Answered(_) | Change::Continues(_) => None,
    };
    changes.iter().filter_map(ended).collect()
}

#[test]
fn a_connection_begins_once_grows_and_ends_with_its_totals() {
    // Goal: the ordinary life of a flow. Method: four looks at one socket, then its remnant.
    let mut table = table(8);
    let mut changes = Vec::new();
    for (second, phase, bytes) in [(0, Phase::Opening, 0), (1, Phase::Open, 100), (2, Phase::Open, 900)] {
        table.observe(&seen(1, phase, bytes), Millis(second * 1000), &mut changes);
    }
    table.observe(&seen(1, Phase::Over(State::Closed), 1000), Millis(3000), &mut changes);
    table.observe(&seen(1, Phase::Lingering, 0), Millis(4000), &mut changes);
    assert_eq!(changes.len(), 3, "one beginning, one answer, one end: {changes:?}");
    let Change::Ended(flow) = &changes[2] else { panic!("an end") };
    assert_eq!((flow.start, flow.end, flow.state), (Millis(0), Millis(3000), State::Closed));
    assert_eq!((flow.traffic.bytes_out, flow.service_port()), (1000, 443));
}

#[test]
fn the_same_ports_used_again_are_a_new_flow() {
    // Goal: a client that reuses its port is not overlooked. Method: open, close, open again while remembered.
    let mut table = table(8);
    let mut changes = Vec::new();
    table.observe(&seen(1, Phase::Open, 10), Millis(0), &mut changes);
    table.observe(&seen(1, Phase::Over(State::Closed), 20), Millis(1000), &mut changes);
    table.observe(&seen(1, Phase::Opening, 0), Millis(2000), &mut changes);
    table.observe(&seen(1, Phase::Over(State::Refused), 0), Millis(3000), &mut changes);
    assert_eq!(ends(&changes), [(State::Closed, 20), (State::Refused, 0)]);
    assert_eq!(changes.iter().filter(|change| matches!(change, Change::Began(_))).count(), 2);
}

#[test]
fn a_connection_seen_only_as_a_remnant_still_counts() {
    // Goal: without destroy events, a short connection is seen as TIME_WAIT alone. Method: twice the same remnant.
    let mut table = table(8);
    let mut changes = Vec::new();
    table.observe(&seen(1, Phase::Lingering, 0), Millis(0), &mut changes);
    table.observe(&seen(1, Phase::Lingering, 0), Millis(1000), &mut changes);
    assert_eq!((changes.len(), ends(&changes)), (2, vec![(State::Closed, 0)]));
}

#[test]
fn silence_ends_flows_by_their_kind() {
    // Goal: idle times. Method: UDP, half-open, established and ended flows at one instant; then time passes.
    let mut table = table(8);
    let mut changes = Vec::new();
    let udp = Connection { tuple: tuple(Protocol::Udp, 9), ..seen(9, Phase::Open, 5) };
    table.observe(&udp, Millis(0), &mut changes);
    table.observe(&seen(1, Phase::Opening, 0), Millis(0), &mut changes);
    table.observe(&seen(2, Phase::Open, 7), Millis(0), &mut changes);
    table.observe(&seen(3, Phase::Over(State::Reset), 8), Millis(0), &mut changes);
    changes.clear();
    table.expire(Millis(60_000), &mut changes);
    assert_eq!((table.len(), changes.len()), (4, 0));
    table.expire(Millis(60_001), &mut changes);
    assert_eq!(ends(&changes), [(State::Expired, 5), (State::Expired, 0)]);
    table.expire(Millis(75_001), &mut changes);
    assert_eq!(table.len(), 1, "the ended one is forgotten without being told twice");
    table.expire(Millis(600_001), &mut changes);
    assert_eq!((ends(&changes).last().copied(), table.len()), (Some((State::Expired, 7)), 0));
}

#[test]
fn a_long_connection_is_reported_while_it_lives() {
    // Goal: traffic of a week-long connection is not told after a week. Method: a look a minute for two hours.
    let mut table = table(8);
    let mut changes = Vec::new();
    for minute in 0..=120_u32 {
        let at = Millis(i64::from(minute) * 60_000);
        table.observe(&seen(1, Phase::Open, u64::from(minute) * 10), at, &mut changes);
    }
    table.observe(&seen(1, Phase::Over(State::Closed), 1234), Millis(7_200_001), &mut changes);
    let told: Vec<u64> = changes
        .iter()
        .map(|change| match change {
            Change::Began(_) | Change::Answered(_) => 0,
            Change::Continues(flow) | Change::Ended(flow) => flow.traffic.bytes_out,
        })
        .collect();
    assert_eq!(told, [0, 300, 300, 300, 300, 34], "each byte is told once");
}

#[test]
fn a_flood_of_half_open_connections_leaves_the_established_ones() {
    // Goal: pressure is bounded, counted, and does not blind the table. Method: 20 established, 10,000 SYNs, 64 slots.
    let mut table = table(64);
    let mut changes = Vec::new();
    for number in 0..20 {
        table.observe(&seen(number, Phase::Open, 1), Millis(0), &mut changes);
    }
    for number in 0..10_000_u32 {
        table.observe(&seen(1000 + number, Phase::Opening, 0), Millis(i64::from(number)), &mut changes);
    }
    assert_eq!((table.len(), table.peak(), table.forced()), (64, 64, 10_000 - 44));
    changes.clear();
    for number in 0..20 {
        table.observe(&seen(number, Phase::Over(State::Closed), 2), Millis(10_000), &mut changes);
    }
    assert_eq!(ends(&changes), [(State::Closed, 2); 20], "all twenty were still known");
}

#[test]
fn the_full_table_fits_its_memory() {
    // Goal: 14,336 flows stay within two megabytes, so that a flood keeps the agent under 8 MB. Method: size of a slot.
    let slots = size_of::<Slot>() * limits::FLOWS;
    let index = (limits::FLOWS * 8 / 7).next_power_of_two() * 5;
    let free = limits::FLOWS * 4;
    assert!(slots + index + free <= 2_300_000, "{} B a slot", size_of::<Slot>());
}

#[derive(Clone, Copy, Debug)]
enum Act {
    See(u32, u8, u64),
    Wait(i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        5 => (0_u32..40, 0_u8..6, 0_u64..1000).prop_map(|(number, phase, bytes)| Act::See(number, phase, bytes)),
        1 => (0_i64..400_000).prop_map(Act::Wait),
    ];
    proptest::collection::vec(act, 1..200)
}

fn play(acts: &[Act], capacity: usize) -> (Vec<Change>, Table) {
    let mut table = table(capacity);
    let mut changes = Vec::new();
    let mut now = Millis(0);
    for act in acts {
        match act {
            Act::Wait(ms) => now = now.plus(*ms),
            Act::See(number, phase, bytes) => {
                let phase = match phase {
                    0 => Phase::Opening,
                    1 | 2 => Phase::Open,
                    3 => Phase::Over(State::Closed),
                    4 => Phase::Over(State::Refused),
                    _ => Phase::Lingering,
                };
                let before = changes.len();
                table.observe(&seen(*number, phase, *bytes), now, &mut changes);
                assert!(changes.len() <= before + 4);
            }
        }
        table.expire(now, &mut changes);
    }
    (changes, table)
}

#[test]
fn the_hash_of_a_tuple_takes_in_all_of_it() {
    // Goal: nobody makes long chains by what is left out. Method: tuples that differ in one field, and in the address' form.
    use core::hash::Hash;
    let end = |address: [u8; 4], port| Endpoint { address: IpAddr::from(address), port };
    let plain =
        Tuple { protocol: Protocol::Tcp, local: end([10, 0, 0, 2], 5000), remote: end([10, 0, 0, 7], 443) };
    let wide = |end: Endpoint| match end.address {
        IpAddr::V4(v4) => Endpoint { address: v4.to_ipv6_mapped().into(), ..end },
        IpAddr::V6(_) => end,
    };
    let mut tuples =
        Vec::from([plain, Tuple { local: wide(plain.local), remote: wide(plain.remote), ..plain }]);
    for first in tuples.clone() {
        let other = |end: Endpoint| Endpoint { port: end.port + 1, ..end };
        tuples.push(Tuple { protocol: Protocol::Udp, ..first });
        tuples.push(Tuple { local: other(first.local), ..first });
        tuples.push(Tuple { remote: other(first.remote), ..first });
        tuples.push(first.flipped());
    }
    tuples.push(Tuple { local: end([10, 0, 0, 3], 5000), ..plain });
    tuples.push(Tuple { remote: end([11, 0, 0, 7], 443), ..plain });
    let mut hashes: Vec<u64> = tuples
        .iter()
        .map(|tuple| {
            let mut state = Fnv::default();
            tuple.hash(&mut state);
            state.finish()
        })
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), tuples.len());
}

proptest! {
    #[test]
    fn every_flow_that_begins_ends_exactly_once(acts in acts(), capacity in 1_usize..32) {
        // Goal: no flow is lost or told twice, whatever happens. Method: count by tuple along the changes.
        let (mut changes, mut table) = play(&acts, capacity);
        prop_assert!(table.peak() <= capacity);
        prop_assert!(!table.finish(usize::MAX, &mut changes));
        prop_assert!(table.is_empty());
        let mut live = alloc::collections::BTreeSet::new();
        for change in &changes {
            match change {
                Change::Began(flow) => prop_assert!(live.insert(flow.tuple)),
                Change::Answered(flow) | Change::Continues(flow) => prop_assert!(live.contains(&flow.tuple)),
                Change::Ended(flow) => {
                    prop_assert!(live.remove(&flow.tuple));
                }
            }
        }
        prop_assert!(live.is_empty());
    }

    #[test]
    fn the_hasher_changes_nothing_that_is_told(acts in acts(), key in any::<u64>()) {
        // Goal: same input, same changes, however the table is keyed. Method: another start value of the hash.
        #[derive(Clone)]
        struct Keyed(u64);
        impl BuildHasher for Keyed {
            type Hasher = Fnv;
            fn build_hasher(&self) -> Fnv { Fnv(self.0) }
        }
        let (changes, _) = play(&acts, 8);
        let mut other = FlowTable::bounded(Keyed(key), Timeouts::default(), 8);
        let (mut told, mut now) = (Vec::new(), Millis(0));
        for act in &acts {
            match act {
                Act::Wait(ms) => now = now.plus(*ms),
                Act::See(number, phase, bytes) => {
                    let phase = match phase {
                        0 => Phase::Opening,
                        1 | 2 => Phase::Open,
                        3 => Phase::Over(State::Closed),
                        4 => Phase::Over(State::Refused),
                        _ => Phase::Lingering,
                    };
                    other.observe(&seen(*number, phase, *bytes), now, &mut told);
                }
            }
            other.expire(now, &mut told);
        }
        prop_assert_eq!(changes, told);
    }
}
