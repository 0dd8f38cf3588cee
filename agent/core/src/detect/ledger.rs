//! The open findings of a device: one for each detector and key, counted, told anew only when that says something.
//!
//! A finding that recurs is the same finding with a higher count, told again an hour later at the earliest. A detector
//! that finds many new things within a day has found one thing: the rest is counted in a common finding under
//! [`COMMON`]. Bounded whatever happens. It never closes a finding; people do.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::wire::WireError;
use minicbor::{Decode, Encode};

/// The key under which a detector's further findings are counted together.
pub const COMMON: &str = "many";
const DAY_S: i64 = 24 * 3600;
/// How many detectors there are.
const DETECTORS: usize = 13;
/// Bytes of a key that are kept.
const KEY_BYTES: usize = 128;

/// The detectors that exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Detector {
    /// A peer outside the learned profile.
    #[n(0)]
    AllowList,
    /// A listening socket outside the learned profile.
    #[n(1)]
    Listener,
    /// Regular calls to a peer outside the learned profile.
    #[n(2)]
    Beacon,
    /// More flows than the table holds.
    #[n(3)]
    TablePressure,
    /// An address with another hardware address.
    #[n(4)]
    PeerIdentity,
    /// A search for hosts or services.
    #[n(5)]
    Scan,
    /// Logins tried one after the other.
    #[n(6)]
    BruteForce,
    /// Other traffic inside DNS.
    #[n(7)]
    DnsTunnel,
    /// A flood.
    #[n(8)]
    Volume,
    /// What the maker's usage description does not allow.
    #[n(9)]
    Mud,
    /// Who may sign in at the machine.
    #[n(10)]
    Account,
    /// What runs and writes on the machine.
    #[n(11)]
    Program,
    /// What was done to the machine itself.
    #[n(12)]
    Machine,
}

impl Detector {
    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowList => "allow-list",
            Self::Listener => "listener",
            Self::Beacon => "beacon",
            Self::TablePressure => "table-pressure",
            Self::PeerIdentity => "peer-identity",
            Self::Scan => "scan",
            Self::BruteForce => "brute-force",
            Self::DnsTunnel => "dns-tunnel",
            Self::Volume => "volume",
            Self::Mud => "mud",
            Self::Account | Self::Program | Self::Machine => "host",
        }
    }

    /// The key that its further findings have in common: three of them speak under one name.
    #[must_use]
    pub fn common(self) -> &'static str {
        match self {
            Self::Account => "account:many",
            Self::Program => "program:many",
            Self::Machine => "machine:many",
            Self::AllowList
            | Self::Listener
            | Self::Beacon
            | Self::TablePressure
            | Self::PeerIdentity
            | Self::Scan
            | Self::BruteForce
            | Self::DnsTunnel
            | Self::Volume
            | Self::Mud => COMMON,
        }
    }
}

/// How often, and since when, a finding was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The key it is counted under: the one asked for, or [`COMMON`].
    pub key: String,
    /// First seen.
    pub first: Timestamp,
    /// Last seen.
    pub last: Timestamp,
    /// How often.
    pub count: u32,
    /// Whether it was opened by this sighting.
    pub new: bool,
}

impl Tally {
    /// Whether this is the common finding of a detector with too many.
    #[must_use]
    pub fn is_common(&self) -> bool {
        self.key == COMMON
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Entry {
    #[n(0)]
    detector: Detector,
    #[n(1)]
    key: String,
    #[n(2)]
    first: Timestamp,
    #[n(3)]
    last: Timestamp,
    #[n(4)]
    told: Timestamp,
    #[n(5)]
    count: u32,
}

/// The ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Ledger {
    #[n(0)]
    entries: Vec<Entry>,
}

impl Ledger {
    /// Counts one sighting. `Some` if it is to be told now: the first time, and hourly while it goes on.
    pub fn count(&mut self, detector: Detector, key: &str, now: Timestamp) -> Option<Tally> {
        let key = shortened(key);
        let place = match self.find(detector, key) {
            Some(place) => place,
            None => match self.crowded(detector, now).then(|| self.find(detector, COMMON)).flatten() {
                Some(common) => common,
                None => self.open(detector, key, now),
            },
        };
        let entry = self.entries.get_mut(place)?;
        if now.seconds_since(entry.last) > limits::FINDING_FORGOTTEN_S {
            (entry.first, entry.count) = (now, 0);
        }
        let new = entry.count == 0;
        entry.count = entry.count.saturating_add(1);
        entry.last = entry.last.max(now);
        let due = new || now.seconds_since(entry.told) >= limits::FINDING_REPEAT_S;
        if !due {
            return None;
        }
        entry.told = now;
        Some(Tally { key: entry.key.clone(), first: entry.first, last: entry.last, count: entry.count, new })
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let keys: usize = self.entries.iter().map(|entry| entry.key.capacity()).sum();
        self.entries.capacity() * size_of::<Entry>() + keys
    }

    /// The ledger if it keeps its bounds, as it must after it was read back.
    pub fn bounded(self) -> Result<Self, WireError> {
        let limit = DETECTORS * (limits::OPEN_FINDINGS + 1);
        let fits = self.entries.iter().all(|entry| entry.key.len() <= limits::TEXT_CHARS);
        if self.entries.len() <= limit && fits { Ok(self) } else { Err(WireError::TooMany { limit }) }
    }

    fn find(&self, detector: Detector, key: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.detector == detector && entry.key == key)
    }

    /// Whether a detector has so many findings that a further one is counted in common.
    fn crowded(&self, detector: Detector, now: Timestamp) -> bool {
        let own = || self.entries.iter().filter(|entry| entry.detector == detector && entry.key != COMMON);
        let today = own().filter(|entry| now.seconds_since(entry.first) < DAY_S).count();
        today >= limits::NEW_FINDINGS_A_DAY || own().count() >= limits::OPEN_FINDINGS
    }

    fn open(&mut self, detector: Detector, key: &str, now: Timestamp) -> usize {
        self.entries.retain(|entry| now.seconds_since(entry.last) <= limits::FINDING_FORGOTTEN_S);
        let key = if self.crowded(detector, now) { COMMON } else { key };
        self.entries.push(Entry {
            detector,
            key: key.to_owned(),
            first: now,
            last: now,
            told: now,
            count: 0,
        });
        self.entries.len() - 1
    }
}

/// The start of a key that is longer than any key here.
fn shortened(key: &str) -> &str {
    let end = (0..=KEY_BYTES.min(key.len())).rev().find(|end| key.is_char_boundary(*end)).unwrap_or(0);
    key.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    const HOUR: i64 = 3600;

    #[test]
    fn a_finding_is_told_once_and_then_hourly_with_its_count() {
        // Goal: no finding floods the uplink, none goes stale. Method: a sighting a minute for two hours.
        let mut ledger = Ledger::default();
        let told: Vec<_> = (0..=120)
            .filter_map(|minute| ledger.count(Detector::Beacon, "k", Timestamp(minute * 60)))
            .map(|tally| (tally.last.0 / 60, tally.count, tally.new))
            .collect();
        assert_eq!(told, [(0, 1, true), (60, 61, false), (120, 121, false)]);
    }

    #[test]
    fn the_ninth_of_a_day_is_counted_in_common() {
        // Goal: a scan is one thing, not a thousand. Method: 1,000 keys in a day, then one the day after.
        let mut ledger = Ledger::default();
        let told: Vec<_> = (0..1000)
            .filter_map(|n| ledger.count(Detector::AllowList, &format!("k{n}"), Timestamp(n)))
            .collect();
        assert_eq!(told.len(), 9);
        assert!(told[8].is_common() && told[8].new);
        let common = ledger.count(Detector::AllowList, "k1000", Timestamp(HOUR + 8)).expect("an hour later");
        assert_eq!((common.key.as_str(), common.count, common.new), (COMMON, 993, false));
        let other =
            ledger.count(Detector::Listener, "k", Timestamp(10)).expect("another detector is not crowded");
        assert_eq!(other.key, "k");
        let next = ledger.count(Detector::AllowList, "later", Timestamp(26 * HOUR)).expect("a new day");
        assert_eq!(next.key, "later");
    }

    #[test]
    fn what_was_quiet_for_a_week_is_new_again() {
        // Goal: a finding that comes back after people closed it is not swallowed. Method: 8 days of silence.
        let mut ledger = Ledger::default();
        ledger.count(Detector::Beacon, "k", Timestamp(0));
        let again = ledger.count(Detector::Beacon, "k", Timestamp(8 * 24 * HOUR)).expect("told");
        assert_eq!((again.first, again.count, again.new), (Timestamp(8 * 24 * HOUR), 1, true));
    }

    proptest! {
        #[test]
        fn the_ledger_is_bounded_and_travels(
            steps in proptest::collection::vec((0_u8..4, "\\PC{0,300}", 0_i64..200_000), 0..300),
        ) {
            let mut ledger = Ledger::default();
            let mut now = 0;
            for (detector, key, wait) in steps {
                now += wait;
                let detector = match detector {
                    0 => Detector::AllowList,
                    1 => Detector::Listener,
                    2 => Detector::Beacon,
                    _ => Detector::TablePressure,
                };
                ledger.count(detector, &key, Timestamp(now));
            }
            prop_assert!(ledger.bytes() <= 80 * 1024);
            let bytes = cordon_proto::wire::write(&ledger);
            let read: Ledger = cordon_proto::wire::read(&bytes, 1 << 20).expect("reads");
            prop_assert_eq!(read.bounded().expect("within bounds"), ledger);
        }
    }
}
