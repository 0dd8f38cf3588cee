//! Generated ordinary weeks of five kinds of devices, as a tier-0 sensor would sight them: no names.
//!
//! Machines keep their rhythms with jitter, people come in the day and in bursts, NTP pools hand out another server each
//! time. The same dice give the same week.

use super::*;

pub(crate) const WEEK_S: i64 = 7 * 86_400;
const DAY: i64 = 86_400;

/// Monday, 2 November 2026, 00:00 UTC.
pub(crate) fn start() -> i64 {
    Timestamp::parse("2026-11-02T00:00:00Z").expect("a time").0
}

/// A xorshift generator: enough for weeks, never for secrets.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        u32::try_from(((self.roll() >> 32) * u64::from(end.max(1))) >> 32).expect("below a u32")
    }

    /// An exponentially distributed interval with this mean, at least a second.
    pub(crate) fn exponential(&mut self, mean: u32) -> i64 {
        let uniform = (f64::from(self.below(1 << 24)) + 0.5) / f64::from(1 << 24);
        let drawn = -libm::log(uniform) * f64::from(mean);
        #[expect(clippy::cast_possible_truncation, reason = "a few hours of seconds")]
        let seconds = drawn as i64;
        seconds.max(1)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    InfusionPump,
    Monitor,
    Ventilator,
    ImagingWorkstation,
    Kiosk,
}

pub(crate) const KINDS: [Kind; 5] =
    [Kind::InfusionPump, Kind::Monitor, Kind::Ventilator, Kind::ImagingWorkstation, Kind::Kiosk];

/// A short outbound TCP connection.
pub(crate) fn call(second: i64, remote: &str, port: u16) -> Sighting {
    sight(second, Protocol::Tcp, (remote, port), Direction::Outbound)
}

fn sight(second: i64, protocol: Protocol, (remote, port): (&str, u16), direction: Direction) -> Sighting {
    // The client's port differs from call to call, as the kernel's does.
    let client = 33_000 + u16::try_from(second.rem_euclid(28_000)).expect("small");
    let remote: IpAddr = remote.parse().expect("address");
    let (local_port, remote_port) = match direction {
        Direction::Outbound => (client, port),
        Direction::Inbound => (port, client),
    };
    let tuple = Tuple {
        protocol,
        local: Endpoint { address: "10.40.2.9".parse().expect("address"), port: local_port },
        remote: Endpoint { address: remote, port: remote_port },
    };
    let traffic = Traffic { packets_out: 9, bytes_out: 1200, packets_in: 8, bytes_in: 5000 };
    let phase = Phase::Over(State::Closed);
    let connection = Connection { tuple, direction, phase, counted: Counted::Total(traffic), name: None };
    Sighting { at: Millis(second * 1000), seen: Seen::Connection(connection) }
}

impl Kind {
    pub(crate) fn seed(self) -> u64 {
        match self {
            Self::InfusionPump => 11,
            Self::Monitor => 12,
            Self::Ventilator => 13,
            Self::ImagingWorkstation => 14,
            Self::Kiosk => 15,
        }
    }

    /// The sightings of week `number`.
    pub(crate) fn week(self, number: i64, dice: &mut Dice) -> Vec<Sighting> {
        let from = start() + number * WEEK_S;
        let mut week = Vec::new();
        // Every device: the time from a pool, names from the local resolver.
        every(&mut week, (from, 4 * 3600, 10), dice, |dice, second| {
            let server = format!("{}.{}.{}.1", 20 + dice.below(180), dice.below(250), dice.below(250));
            sight(second, Protocol::Udp, (&server, 123), Direction::Outbound)
        });
        every(&mut week, (from, 3600, 30), dice, |_, second| {
            sight(second, Protocol::Udp, ("10.40.1.2", 53), Direction::Outbound)
        });
        match self {
            Self::InfusionPump => {
                every(&mut week, (from, 900, 5), dice, |_, second| call(second, "10.40.1.20", 2575));
                every(&mut week, (from, DAY, 3), dice, |_, second| call(second, "198.51.100.20", 443));
            }
            Self::Monitor => {
                every(&mut week, (from, 600, 2), dice, |_, second| call(second, "10.40.1.30", 8883));
                every(&mut week, (from, 6 * 3600, 20), dice, |_, second| {
                    sight(second, Protocol::Udp, ("239.255.255.250", 1900), Direction::Outbound)
                });
            }
            Self::Ventilator => {
                every(&mut week, (from, 8 * 3600, 20), dice, |_, second| call(second, "10.40.1.21", 2575))
            }
            Self::ImagingWorkstation => imaging(&mut week, from, dice),
            Self::Kiosk => kiosk(&mut week, from, dice),
        }
        week
    }
}

/// A regular activity: interval in seconds, jitter in per cent.
fn every(
    week: &mut Vec<Sighting>,
    (from, interval, jitter): (i64, i64, u32),
    dice: &mut Dice,
    make: impl Fn(&mut Dice, i64) -> Sighting,
) {
    for n in 0..WEEK_S / interval {
        let width = u32::try_from(interval).expect("small") * jitter / 100;
        let second = from + n * interval + i64::from(dice.below(width + 1));
        week.push(make(dice, second));
    }
}

/// Studies in, studies out, files, and a person who looks things up in a cloud of thirty networks.
fn imaging(week: &mut Vec<Sighting>, from: i64, dice: &mut Dice) {
    for day in 0..5 {
        let morning = from + day * DAY + 8 * 3600;
        for _ in 0..20 {
            let second = morning + i64::from(dice.below(9 * 3600));
            week.push(sight(second, Protocol::Tcp, ("10.40.5.11", 104), Direction::Inbound));
            week.push(call(second + 40, "10.40.1.40", 11_112));
            week.push(call(second + 90, "10.40.1.41", 445));
        }
        for _ in 0..6 {
            let second = morning + i64::from(dice.below(9 * 3600));
            burst(week, dice, second, 30);
        }
    }
}

/// People in the day, a status call, a printer.
fn kiosk(week: &mut Vec<Sighting>, from: i64, dice: &mut Dice) {
    for day in 0..7 {
        let mut second = from + day * DAY + 7 * 3600;
        while second < from + day * DAY + 21 * 3600 {
            second += dice.exponential(2400);
            week.push(call(second, "198.51.100.40", 443));
            if dice.below(3) == 0 {
                week.push(call(second + 60, "10.40.1.50", 9100));
            }
        }
    }
    every(week, (from, 1800, 5), dice, |_, second| call(second, "198.51.100.41", 443));
}

/// One page: some parallel connections to one network, some more within two minutes.
fn burst(week: &mut Vec<Sighting>, dice: &mut Dice, second: i64, networks: u32) {
    let favourite = dice.below(networks).min(dice.below(networks));
    let remote = format!("151.{favourite}.7.{}", 1 + dice.below(4));
    for _ in 0..4 + dice.below(14) {
        week.push(call(second + i64::from(dice.below(120)), &remote, 443));
    }
}
