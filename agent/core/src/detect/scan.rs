//! The detector `scan`: a search for hosts or services, by the device or at it.
//!
//! Threshold random walk (Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection Using Sequential Hypothesis
//! Testing, IEEE S&P 2004) over first contacts: with theta0 = 0.8, theta1 = 0.2 and alpha = beta = 0.01 every failure
//! multiplies the likelihood by four and every success divides it by four, so the walk is one of whole steps with its
//! bounds at +4 and -4 (4^4 > 99). Beyond it, eight different contacts must have failed within five minutes, for a device
//! whose servers are away fails with a few; where a third of all fail, eight are enough without the walk. A contact fails
//! when it is refused, or not answered within three seconds. Ten unanswered ports of one host need no waiting. What the
//! profile holds is no search. Pings, and searches for neighbours that are not there (ARP), are counted by hosts.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;

use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Finding, Protocol, Severity};
use cordon_proto::time::Millis;

use super::ledger::{Detector, Ledger};
use super::words::{Judgement, counted, moment};
use crate::flow::{Flow, State};
use crate::profile::key::{Key, Who, is_local};

/// The walk's bounds.
const BOUND: i8 = 4;
/// Different contacts that must have failed.
const LEAST_FAILED: usize = 8;
/// Unanswered ports of one host.
const LEAST_PORTS: usize = 10;
/// Hosts that must have been pinged.
const LEAST_PINGED: usize = 10;
/// Neighbours that must have been looked for in vain.
const LEAST_ABSENT: usize = 16;
/// Milliseconds after which an unanswered contact has failed.
const ANSWER_MS: i64 = 3000;
/// Milliseconds after which a walk begins anew.
const WALK_MS: i64 = 300_000;

/// What of a host was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Port(u16),
    Ping,
    Neighbour,
}

/// Whom and what was tried.
type Contact = (IpAddr, Door);

/// One who may be searching.
#[derive(Clone, Debug)]
struct Walker {
    /// `None` for the device itself.
    source: Option<IpAddr>,
    began: Millis,
    walk: i8,
    /// Those that were tried, each once.
    tried: Vec<Contact>,
    failed: usize,
}

/// A contact that may still be answered.
#[derive(Clone, Copy, Debug)]
struct Pending {
    source: Option<IpAddr>,
    contact: Contact,
    at: Millis,
}

/// Those who may be searching.
#[derive(Clone, Debug, Default)]
pub struct Scans {
    walkers: Vec<Walker>,
    pending: Vec<Pending>,
}

impl Scans {
    /// Takes the beginning of a flow; `usual` if the profile holds it.
    pub fn began(
        &mut self,
        flow: &Flow,
        (usual, now): (bool, Millis),
        ledger: &mut Ledger,
    ) -> Option<Finding> {
        // Silence says nothing of UDP; only word that it did not arrive does, which is its end.
        let says = flow.tuple.protocol != Protocol::Udp && flow.state == State::New && !flow.answered;
        if usual || !says || !is_single(flow) {
            return None;
        }
        let (source, contact) = contact(flow);
        if !self.walker(source, now).first(contact) {
            return None;
        }
        let oldest = self.pending.first().copied().filter(|_| self.pending.len() >= limits::PENDING_CONTACTS);
        let late = oldest.and_then(|pending| {
            self.pending.remove(0);
            self.judge((pending.source, pending.contact), false, now, ledger)
        });
        self.pending.push(Pending { source, contact, at: now });
        late.or_else(|| self.at_once((source, contact), now, ledger))
    }

    /// Takes the first answer to a flow.
    pub fn answered(&mut self, flow: &Flow, now: Millis, ledger: &mut Ledger) -> Option<Finding> {
        let known = contact(flow);
        self.resolve(known).then(|| self.judge(known, true, now, ledger)).flatten()
    }

    /// Takes the end of a flow.
    pub fn ended(
        &mut self,
        flow: &Flow,
        (usual, now): (bool, Millis),
        ledger: &mut Ledger,
    ) -> Option<Finding> {
        let silent = match flow.state {
            State::Refused => false,
            State::Reset | State::Expired | State::New if !flow.answered => true,
            State::Reset | State::Expired | State::New | State::Established | State::Closed => return None,
        };
        let (source, contact) = contact(flow);
        let waited = self.resolve((source, contact));
        // One that was refused before anybody saw it begin has not been counted yet.
        let at_once = !silent && !usual && is_single(flow) && self.walker(source, now).first(contact);
        (waited || at_once).then(|| self.judge((source, contact), false, now, ledger)).flatten()
    }

    /// Takes a search for a neighbour's hardware address.
    pub fn searched(&mut self, neighbour: IpAddr, now: Millis, ledger: &mut Ledger) -> Option<Finding> {
        let contact = (neighbour, Door::Neighbour);
        let first = self.walker(None, now).first(contact);
        first.then(|| self.at_once((None, contact), now, ledger)).flatten()
    }

    /// A neighbour that was looked for is there.
    pub fn found(&mut self, neighbour: IpAddr) {
        if let Some(own) = self.walkers.iter_mut().find(|walker| walker.source.is_none()) {
            own.tried.retain(|tried| *tried != (neighbour, Door::Neighbour));
        }
    }

    /// Lets time pass: what was not answered has failed. At most one finding at a time.
    pub fn pass(&mut self, now: Millis, ledger: &mut Ledger) -> Option<Finding> {
        let mut found = None;
        while let Some(oldest) =
            self.pending.first().copied().filter(|oldest| now.since(oldest.at) > ANSWER_MS)
        {
            self.pending.remove(0);
            found = self.judge((oldest.source, oldest.contact), false, now, ledger).or(found);
        }
        found
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let tried: usize =
            self.walkers.iter().map(|walker| walker.tried.capacity() * size_of::<Contact>()).sum();
        self.walkers.capacity() * size_of::<Walker>() + tried + self.pending.capacity() * size_of::<Pending>()
    }

    fn resolve(&mut self, (source, contact): (Option<IpAddr>, Contact)) -> bool {
        let waits = |pending: &Pending| pending.source == source && pending.contact == contact;
        let place = self.pending.iter().position(waits);
        place.map(|place| self.pending.remove(place)).is_some()
    }

    /// The walk of a source; a new one where there is none, or its time is over. Where there is no room, the one that
    /// tried least, and of these the oldest, goes.
    fn walker(&mut self, source: Option<IpAddr>, now: Millis) -> &mut Walker {
        let fresh = || Walker { source, began: now, walk: 0, tried: Vec::new(), failed: 0 };
        let place = self.walkers.iter().position(|walker| walker.source == source).unwrap_or_else(|| {
            if self.walkers.len() >= limits::SCAN_WALKERS {
                let worth = |(_, walker): &(usize, &Walker)| (walker.tried.len(), walker.began);
                let least = self.walkers.iter().enumerate().min_by_key(worth).map_or(0, |(place, _)| place);
                self.walkers.swap_remove(least);
            }
            self.walkers.push(fresh());
            self.walkers.len() - 1
        });
        let walker = self.walkers.get_mut(place).expect("it was found or pushed just now");
        if now.since(walker.began) > WALK_MS {
            *walker = fresh();
        }
        walker
    }

    /// Takes the outcome of a contact.
    fn judge(
        &mut self,
        (source, contact): (Option<IpAddr>, Contact),
        answered: bool,
        now: Millis,
        ledger: &mut Ledger,
    ) -> Option<Finding> {
        // One that was pushed out by others did too little to be one who searches.
        let walker = self.walkers.iter_mut().find(|walker| walker.source == source)?;
        walker.walk = if answered { walker.walk.saturating_sub(1) } else { walker.walk.saturating_add(1) };
        if walker.walk <= -BOUND {
            // Taken for an honest one; the walk begins anew.
            walker.walk = 0;
        }
        if answered {
            return None;
        }
        walker.failed += 1;
        let often = walker.walk >= BOUND || walker.failed * 3 >= walker.tried.len();
        let searches = often && walker.failed >= LEAST_FAILED;
        searches.then(|| walker.tell(contact, ledger, now)).flatten()
    }

    /// Looks at what shows without waiting for an answer: many ports of one host, many hosts.
    fn at_once(
        &mut self,
        (source, contact): (Option<IpAddr>, Contact),
        now: Millis,
        ledger: &mut Ledger,
    ) -> Option<Finding> {
        let (host, door) = contact;
        let (count, least) = match door {
            Door::Port(_) => {
                let of_host = |pending: &&Pending| pending.source == source && pending.contact.0 == host;
                (self.pending.iter().filter(of_host).count(), LEAST_PORTS)
            }
            Door::Ping => (self.walker(source, now).count(door), LEAST_PINGED),
            Door::Neighbour => (self.walker(source, now).count(door), LEAST_ABSENT),
        };
        (count >= least).then(|| self.walker(source, now).tell(contact, ledger, now)).flatten()
    }
}

impl Walker {
    /// Notes a contact; whether it is the first with that host and port.
    fn first(&mut self, contact: Contact) -> bool {
        if self.tried.contains(&contact) {
            return false;
        }
        if self.tried.len() >= limits::SCAN_CONTACTS {
            self.tried.remove(0);
        }
        self.tried.push(contact);
        true
    }

    /// How many were tried at this door, where it is one that all hosts have.
    fn count(&self, door: Door) -> usize {
        self.tried.iter().filter(|(_, other)| *other == door).count()
    }

    fn tell(&self, (host, door): Contact, ledger: &mut Ledger, now: Millis) -> Option<Finding> {
        let key = self.source.map_or_else(|| "by-device".to_string(), |source| format!("at-device/{source}"));
        let tally = ledger.count(Detector::Scan, &key, now.seconds())?;
        let hosts = distinct(self.tried.iter().map(|(host, _)| *host));
        let ports = distinct(self.tried.iter().filter_map(|(_, door)| match door {
            Door::Port(port) => Some(*port),
            Door::Ping | Door::Neighbour => None,
        }));
        let local = self.source.is_none_or(is_local);
        let (tried, seconds) = (self.tried.len(), now.since(self.began).max(0) / 1000);
        let hosts_word = counted(hosts, "machine", "machines");
        let what = match ports {
            0 => hosts_word,
            1.. => format!("{} of {hosts_word}", counted(ports, "service", "services")),
        };
        let (who, title) = match (self.source, hosts > ports) {
            (None, true) => ("this device".to_string(), "Searches the network for other machines"),
            (None, false) => ("this device".to_string(), "Tries the doors of another machine"),
            (Some(source), _) => (source.to_string(), "Somebody tries the doors of this device"),
        };
        let judgement = Judgement {
            detector: Detector::Scan,
            severity: if local { Severity::High } else { Severity::Medium },
            attack: if ports == 0 { &["T1018", "T0846"] } else { &["T1046", "T0846"] },
            evidence: Vec::from([
                ("tried", tried.to_string()),
                ("failed", self.failed.to_string()),
                ("hosts", hosts.to_string()),
                ("services", ports.to_string()),
                ("seconds", seconds.to_string()),
                ("walk", self.walk.to_string()),
                (
                    "last-door",
                    match door {
                        Door::Port(port) => port.to_string(),
                        Door::Ping => "ping".to_string(),
                        Door::Neighbour => "neighbour".to_string(),
                    },
                ),
            ]),
            title: title.to_string(),
            what_changed: format!(
                "Since {} {who} tried {what} within {}; {} had failed by then.",
                moment(self.began.seconds()),
                super::words::period(u32::try_from(seconds).unwrap_or(u32::MAX)),
                self.failed
            ),
            why_it_matters: "Looking for machines and open services is what comes before an attack spreads.",
            how_sure: if self.failed >= LEAST_FAILED {
                "High: an honest machine knows whom to call; one in a hundred would fail like this by chance.".to_string()
            } else {
                "Medium: they were tried one after the other, as inventory tools do too.".to_string()
            },
            what_to_do: match self.source {
                None => "Quarantine the device and look at its programs. A scan that IT has ordered looks the same.",
                Some(_) => "Find the machine that does it. A vulnerability scan or inventory tool of your own looks the same.",
            }
            .to_string(),
            peer: Some(self.source.unwrap_or(host).to_string()),
        };
        Some(judgement.finding(&tally))
    }
}

/// Who tried, and what.
fn contact(flow: &Flow) -> (Option<IpAddr>, Contact) {
    let door = match flow.tuple.protocol {
        Protocol::Tcp | Protocol::Udp => Door::Port(flow.service_port()),
        Protocol::Icmp => Door::Ping,
    };
    match flow.direction {
        Direction::Outbound => (None, (flow.tuple.remote.address, door)),
        Direction::Inbound => (Some(flow.tuple.remote.address), (flow.tuple.local.address, door)),
    }
}

/// Whether the flow is with one peer: a group does not answer.
fn is_single(flow: &Flow) -> bool {
    Key::by_network(flow).who != Who::Group
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> u64 {
    let mut seen: Vec<T> = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    u64::try_from(seen.len()).unwrap_or(u64::MAX)
}
