//! Generated traffic: what each kind of device says to whom, for a week and for the days after.
//!
//! Seeded, so a device's week is the same in every run; times are the week's own. Addresses are from private and
//! documentation ranges (RFC 1918, RFC 5737). No payload exists, only who, when and how much. Read next: the agent's
//! `capture` for the port these conversations are fed through.

use std::net::{IpAddr, Ipv4Addr};

use cordon_proto::telemetry::{Direction, Protocol};
use cordon_proto::time::{Millis, Timestamp};

use super::catalogue::{Habit, Unit};

/// One connection of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// When it was opened.
    pub at: Millis,
    /// How long it lasted, in milliseconds.
    pub for_ms: i64,
    /// Who opened it.
    pub direction: Direction,
    /// Transport.
    pub protocol: Protocol,
    /// The other side.
    pub peer: IpAddr,
    /// The service's port.
    pub port: u16,
    /// Bytes from the device.
    pub bytes_out: u64,
    /// Bytes to the device.
    pub bytes_in: u64,
}

/// A service that a device calls again and again.
struct Call {
    peer: [u8; 4],
    port: u16,
    protocol: Protocol,
    every_s: i64,
    /// Only between these hours of the day; the same twice means always.
    hours: (i64, i64),
    bytes: (u64, u64),
}

const DAY_S: i64 = 86_400;
/// The address that planted software calls in the demo.
pub const BEACON_PEER: [u8; 4] = [203, 0, 113, 66];
/// Seconds between two of its calls.
pub const BEACON_EVERY_S: i64 = 60;

fn calls(habit: Habit) -> Vec<Call> {
    let tcp = |peer, port, every_s, hours, bytes| Call {
        peer,
        port,
        protocol: Protocol::Tcp,
        every_s,
        hours,
        bytes,
    };
    let time = Call {
        peer: [10, 40, 0, 1],
        port: 123,
        protocol: Protocol::Udp,
        every_s: 3600,
        hours: (0, 0),
        bytes: (76, 76),
    };
    let mut calls = match habit {
        Habit::Pump => vec![
            tcp([10, 40, 2, 10], 5671, 300, (0, 0), (4200, 900)),
            tcp([10, 40, 2, 20], 443, 6 * 3600, (0, 0), (2100, 78_000)),
        ],
        Habit::Monitor => vec![
            tcp([10, 40, 3, 5], 6000, 120, (0, 0), (9000, 400)),
            tcp([10, 40, 3, 9], 2575, 900, (0, 0), (1800, 220)),
        ],
        Habit::Ventilator => vec![tcp([10, 40, 2, 10], 5671, 180, (0, 0), (5200, 700))],
        Habit::Imaging => vec![
            tcp([10, 41, 5, 5], 11_112, 900, (7, 19), (4_800_000, 31_000)),
            tcp([10, 41, 5, 6], 443, 600, (7, 19), (3000, 24_000)),
        ],
        Habit::Kiosk => vec![
            tcp([198, 51, 100, 20], 443, 240, (6, 21), (2600, 8800)),
            tcp([10, 40, 9, 9], 631, 1200, (6, 21), (16_000, 700)),
        ],
    };
    calls.push(time);
    calls
}

/// Everything a device does in `[from, to)`, in order of time.
#[must_use]
pub fn conversations(unit: &Unit, from: Timestamp, to: Timestamp) -> Vec<Conversation> {
    let mut all = Vec::new();
    for (index, call) in calls(unit.model.habit).iter().enumerate() {
        let seed =
            unit.serial().bytes().fold(index as u64 + 1, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
        repeat(call, seed, from, to, &mut all);
    }
    all.sort_by_key(|conversation| conversation.at);
    all
}

/// One call over its whole time. Times depend on the seed and the slot alone, so two halves join without a seam.
fn repeat(call: &Call, seed: u64, from: Timestamp, to: Timestamp, all: &mut Vec<Conversation>) {
    let mut slot = from.0.div_euclid(call.every_s);
    while slot * call.every_s < to.0 {
        let mut chance = fastrand::Rng::with_seed(seed ^ slot.unsigned_abs());
        // Machines are punctual within a few seconds; people spread over the whole slot.
        let spread_s = if call.hours.0 == call.hours.1 { 4 } else { call.every_s };
        let second = slot * call.every_s + chance.i64(0..spread_s);
        let hour = second.rem_euclid(DAY_S) / 3600;
        let open = call.hours.0 == call.hours.1 || (call.hours.0..call.hours.1).contains(&hour);
        if open && (from.0..to.0).contains(&second) {
            all.push(conversation(call, second * 1000 + chance.i64(0..1000), &mut chance));
        }
        slot += 1;
    }
}

fn conversation(call: &Call, at_ms: i64, chance: &mut fastrand::Rng) -> Conversation {
    let around = |bytes: u64, chance: &mut fastrand::Rng| bytes * chance.u64(80..=120) / 100;
    Conversation {
        at: Millis(at_ms),
        for_ms: chance.i64(200..1500),
        direction: Direction::Outbound,
        protocol: call.protocol,
        peer: IpAddr::V4(Ipv4Addr::from(call.peer)),
        port: call.port,
        bytes_out: around(call.bytes.0, chance),
        bytes_in: around(call.bytes.1, chance),
    }
}

/// What planted software adds: one small call to one new address, every minute, nearly to the second.
#[must_use]
pub fn beacon(from: Timestamp, to: Timestamp) -> Vec<Conversation> {
    let mut chance = fastrand::Rng::with_seed(0xbeac);
    let call = Call {
        peer: BEACON_PEER,
        port: 443,
        protocol: Protocol::Tcp,
        every_s: BEACON_EVERY_S,
        hours: (0, 0),
        bytes: (412, 96),
    };
    let starts = (0..).map(|n| from.0 + n * BEACON_EVERY_S).take_while(|second| *second < to.0);
    starts.map(|second| conversation(&call, second * 1000 + chance.i64(0..800), &mut chance)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::catalogue::units;

    const START: Timestamp = Timestamp(1_794_787_200);

    #[test]
    fn a_week_is_the_same_in_every_run_and_joins_without_a_seam() {
        // Goal: reproducible learning. Method: one week whole and in two parts, for each kind.
        for unit in units(5) {
            let middle = START.plus_seconds(3 * DAY_S + 4321);
            let end = START.plus_seconds(7 * DAY_S);
            let whole = conversations(&unit, START, end);
            let parts = [conversations(&unit, START, middle), conversations(&unit, middle, end)].concat();
            assert!(whole.len() > 300, "{} has {} conversations", unit.serial(), whole.len());
            assert_eq!(whole, parts, "{}", unit.serial());
        }
    }

    #[test]
    fn the_beacon_calls_one_address_every_minute() {
        // Goal: the attack is what the demo says. Method: gaps of half an hour.
        let calls = beacon(START, START.plus_seconds(1800));
        assert_eq!(calls.len(), 30);
        for pair in calls.windows(2) {
            let gap = pair[1].at.since(pair[0].at);
            assert!((59_000..=61_000).contains(&gap), "{gap}");
        }
    }
}
