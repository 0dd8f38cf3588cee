//! DHCP beside its floods: one station that asks for one address after the other, and a server that nobody knew.
//!
//! A client asks for the address that it had and for one that it was offered; six within ten minutes are tried out (T1046; the
//! class "DHCP scan" of Slips counts from four). A server that answers and was not there while the device was learned can hand out
//! a way through itself (T1557.003). Servers are known by the identifier that they give (RFC 2132, 9.7), which a relay keeps.
//! Where none was heard while it was learned, the first one is believed. Read next: [`super::flood`] for the flood.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use cordon_proto::limits;
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Millis;

use super::ledger::{Detector, Ledger};
use super::words::{Judgement, moment, period};
use crate::dissect::{Mac, dhcp};

/// Addresses of one client that are a search.
const ADDRESSES: usize = 6;
/// Milliseconds in which they count.
const WINDOW_MS: i64 = 600_000;

/// Who asked for what, each once, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    asked: Vec<(Mac, Ipv4Addr, Millis)>,
}

impl Leases {
    /// Takes what a client asks for.
    pub fn asked(&mut self, message: &dhcp::Message, ledger: &mut Ledger, now: Millis) -> Option<Finding> {
        let address = message.asked.filter(|_| matches!(message.kind, 1 | 3))?;
        let client = message.client;
        self.asked.retain(|(.., at)| (0..=WINDOW_MS).contains(&now.since(*at)));
        if !self.asked.iter().any(|(who, what, _)| (*who, *what) == (client, address)) {
            if self.asked.len() >= limits::DHCP_ASKED {
                self.asked.remove(0);
            }
            self.asked.push((client, address, now));
        }
        let own = || self.asked.iter().filter(|(who, ..)| *who == client);
        let count = own().count();
        if count < ADDRESSES {
            return None;
        }
        let since = own().next().map_or(now, |(.., at)| *at);
        let tally = ledger.count(Detector::Scan, &format!("dhcp/{client}"), now.seconds())?;
        let seconds = u32::try_from(now.since(since) / 1000 + 1).unwrap_or(u32::MAX);
        let judgement = Judgement {
            detector: Detector::Scan,
            peer: Some(client.to_string()),
            severity: Severity::Medium,
            attack: &["T1046", "T0846"],
            evidence: Vec::from([("client", client.to_string()), ("addresses", count.to_string()), ("seconds", seconds.to_string())]),
            title: "Somebody tries addresses out by DHCP".to_string(),
            what_changed: format!(
                "Since {} the station {client} asked the servers of addresses for {count} different ones within {}.",
                moment(tally.first),
                period(seconds)
            ),
            why_it_matters: "The answers tell which addresses are free and which are in use, so they are a map of the network.",
            how_sure: "High: the count is exact; a station asks for one or two, even when it is moved.".to_string(),
            what_to_do: "Ask the network team for the port of this hardware address, and look at what stands there. A test of the network's own looks the same.".to_string(),
        };
        Some(judgement.finding(&tally))
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.asked.capacity() * size_of::<(Mac, Ipv4Addr, Millis)>()
    }
}

/// Takes what a server answers. `known` are the servers that are usual.
pub fn answered(
    message: &dhcp::Message,
    (known, learns): (&mut Vec<u32>, bool),
    ledger: &mut Ledger,
    now: Millis,
) -> Option<Finding> {
    let server = message.server.filter(|_| matches!(message.kind, 2 | 5))?;
    let number = u32::from(server);
    if known.contains(&number) {
        return None;
    }
    if known.is_empty() || (learns && known.len() < limits::DHCP_SERVERS) {
        known.push(number);
        return None;
    }
    if learns {
        return None;
    }
    let tally = ledger.count(Detector::PeerIdentity, &format!("dhcp/{server}"), now.seconds())?;
    let judgement = Judgement {
        detector: Detector::PeerIdentity,
        peer: Some(server.to_string()),
        severity: Severity::High,
        attack: &["T1557.003", "T0830"],
        evidence: Vec::from([("server", server.to_string()), ("servers-known", known.len().to_string())]),
        title: "Another server hands out addresses".to_string(),
        what_changed: format!(
            "Since {} {server} answers stations that ask for an address. While the device was learned {} did, and this was none of them.",
            moment(tally.first),
            super::words::counted(u64::try_from(known.len()).unwrap_or(0), "server", "servers")
        ),
        why_it_matters: "Who hands out addresses also names the way out of the network, and can read and change what goes there.",
        how_sure: "High that it is new; medium that it is wrong: networks get new servers.".to_string(),
        what_to_do: "Ask the network team whether the server is theirs; if not, have its port shut. A new or standby server looks the same: then press Allow.".to_string(),
    };
    Some(judgement.finding(&tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(client: u8, kind: u8, asked: Option<u8>, server: Option<u8>) -> dhcp::Message {
        let address = |last: u8| Ipv4Addr::new(192, 168, 1, last);
        let client = Mac([2, 0, 0, 0, 0, client]);
        dhcp::Message { client, kind, asked: asked.map(address), server: server.map(address) }
    }

    #[test]
    fn six_addresses_of_one_station_are_a_search_and_honest_stations_are_none() {
        // Goal: Slips' class, told once. Method: five stations with two addresses each; one with ten; ten over ten days.
        let (mut leases, mut ledger) = (Leases::default(), Ledger::default());
        let mut ask = |client, address, second: i64| {
            leases.asked(&said(client, 3, Some(address), None), &mut ledger, Millis(second * 1000))
        };
        for client in 0..5 {
            assert!(ask(client, 10 + client, 0).is_none() && ask(client, 20 + client, 1).is_none());
            assert!(ask(client, 10 + client, 2).is_none(), "again is no other");
        }
        assert!((0..10).all(|day| ask(7, 30 + day, i64::from(day) * 86_400).is_none()));
        let later = 20 * 86_400;
        let told: Vec<u8> = (100..110).filter(|address| ask(9, *address, later).is_some()).collect();
        assert_eq!(told, [105], "at the sixth");
        let finding = ask(9, 111, later + 4000);
        assert_eq!(finding, None, "the addresses before are forgotten by then");
        assert!(
            (0..300).all(|step| ask(8, 40, later - step * 86_400 * 30).is_none()),
            "a clock that goes back"
        );
    }

    #[test]
    fn a_server_that_was_not_learned_is_told_and_without_any_the_first_is_believed() {
        // Goal: a rogue server in these words. Method: two learned; a third; one that only asks; none learned.
        let mut ledger = Ledger::default();
        let mut known = Vec::new();
        let mut hear = |known: &mut Vec<u32>, message: &dhcp::Message, learns, second: i64| {
            answered(message, (known, learns), &mut ledger, Millis(second * 1000))
        };
        for server in [1, 2, 1] {
            assert!(hear(&mut known, &said(5, 2, None, Some(server)), true, 0).is_none());
        }
        assert!(hear(&mut known, &said(5, 5, None, Some(2)), false, 10).is_none());
        assert!(
            hear(&mut known, &said(5, 3, None, Some(66)), false, 10).is_none(),
            "a client names it, and it did not answer"
        );
        let told = hear(&mut known, &said(5, 2, None, Some(66)), false, 20).expect("told");
        assert_eq!(
            (told.detector.as_str(), told.key.as_str(), told.severity),
            ("peer-identity", "dhcp/192.168.1.66", Severity::High)
        );
        assert!(
            told.what_changed.as_str().contains("2 servers did, and this was none of them."),
            "{}",
            told.what_changed
        );
        let mut none = Vec::new();
        assert!(hear(&mut none, &said(5, 2, None, Some(7)), false, 30).is_none());
        assert!(hear(&mut none, &said(5, 2, None, Some(8)), false, 30).is_some());
        for server in 0..100 {
            hear(&mut none, &said(5, 2, None, Some(server)), true, 40);
        }
        assert!(none.len() <= limits::DHCP_SERVERS);
    }
}
