//! Neighbours: which hardware address stands behind which address, and when that changes.
//!
//! The semantics of arpwatch (LBL, 1992): an address that comes with another hardware address, while its former owner was
//! heard within a day, has changed hands. Bounded; where there is no room the one goes that was silent longest. Read next:
//! [`crate::detect::identity`] for what is said about it.

use core::net::IpAddr;

use cordon_proto::limits;
use cordon_proto::time::Millis;

use crate::addresses::Addresses;
use crate::dissect::Mac;
use crate::flow::Claim;

/// Milliseconds of silence after which an address may have another owner without a word: leases run out.
const FORGOTTEN_MS: i64 = 24 * 3_600_000;

#[derive(Clone, Copy, Debug)]
struct Entry {
    mac: Mac,
    first: Millis,
    last: Millis,
}

/// An address that has changed hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The address.
    pub address: IpAddr,
    /// Whose it was.
    pub before: Mac,
    /// Since when.
    pub since: Millis,
    /// When its former owner was last heard.
    pub heard: Millis,
    /// Who claims it now.
    pub now: Mac,
    /// Whom it was said to, where to one alone.
    pub told: Option<IpAddr>,
}

/// The neighbours.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    entries: Addresses<Entry>,
}

impl Neighbours {
    /// Takes a claim; the change, if it is one.
    pub fn claim(&mut self, claim: &Claim, now: Millis) -> Option<Change> {
        let Claim { address, mac, told } = *claim;
        if address.is_unspecified() || address.is_multicast() || !mac.is_station() {
            return None;
        }
        let claimed = Entry { mac, first: now, last: now };
        let Some(entry) = self.entries.at_mut(address) else {
            self.entries.insert((address, claimed), limits::NEIGHBOURS, |entry| entry.last);
            return None;
        };
        let before = *entry;
        if before.mac == mac {
            entry.last = entry.last.max(now);
            return None;
        }
        *entry = claimed;
        let changed =
            Change { address, before: before.mac, since: before.first, heard: before.last, now: mac, told };
        (now.since(before.last) <= FORGOTTEN_MS).then_some(changed)
    }

    /// Whether the hardware address of an address is known.
    #[must_use]
    pub fn knows(&self, address: IpAddr) -> bool {
        self.entries.at(address).is_some()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(address: &str, last: u8) -> Claim {
        Claim { address: address.parse().expect("address"), mac: Mac([2, 0, 0, 0, 0, last]), told: None }
    }

    #[test]
    fn an_address_that_changes_hands_within_a_day_is_told_once_a_change() {
        // Goal: arpwatch's flip flop, without alarms for leases that ran out. Method: claims over three days.
        let mut neighbours = Neighbours::default();
        let hour = 3_600_000;
        let mut told = |address, owner, at| {
            neighbours.claim(&claim(address, owner), Millis(at)).map(|c| (c.before, c.now))
        };
        assert_eq!(told("10.0.0.1", 1, 0), None);
        assert_eq!(told("10.0.0.1", 1, hour), None);
        let macs = |before, now| Some((Mac([2, 0, 0, 0, 0, before]), Mac([2, 0, 0, 0, 0, now])));
        assert_eq!(told("10.0.0.1", 6, 2 * hour), macs(1, 6));
        assert_eq!(told("10.0.0.1", 6, 3 * hour), None);
        assert_eq!(told("10.0.0.1", 1, 4 * hour), macs(6, 1));
        assert_eq!(told("10.0.0.1", 7, 30 * hour), None, "the lease ran out");
        assert_eq!(told("0.0.0.0", 7, 30 * hour), None);
        assert_eq!(told("0.0.0.0", 8, 30 * hour), None, "a probe claims nothing (RFC 5227)");
    }

    #[test]
    fn claims_without_end_cost_no_memory() {
        // Goal: bounded. Method: ten times as many claims as places.
        let mut neighbours = Neighbours::default();
        let most = 10 * u32::try_from(limits::NEIGHBOURS).expect("small");
        for number in 0..most {
            let address = IpAddr::V4(core::net::Ipv4Addr::from(0x0a00_0001 + number));
            neighbours.claim(
                &Claim { address, mac: Mac([2, 0, 0, 0, 0, 1]), told: None },
                Millis(i64::from(number)),
            );
        }
        assert!(neighbours.entries.len() == limits::NEIGHBOURS && neighbours.bytes() < 80 * 1024);
    }
}
