//! The detector `allow-list`: a peer and service that the learned profile does not hold.
//!
//! One finding a peer and service, told when the connection begins. Where a device uses many networks on one service, a
//! further network alone is no news ([`Knowledge::Wide`]); the beacon detector still watches it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Finding, Severity};
use cordon_proto::time::Timestamp;

use super::ledger::{Detector, Ledger, Tally};
use super::words::{self, Judgement, counted, experience, how_sure, moment};
use crate::flow::Flow;
use crate::profile::key::{Key, Service, Who, is_local, protocol_word};
use crate::profile::{Knowledge, Profile};

/// Services by which a person or program works on another machine.
const REMOTE_CONTROL: [u16; 7] = [22, 23, 445, 2323, 3389, 5900, 5985];

/// Looks at the beginning of a flow. `noticed` are the networks reported so far, `wide` the number of networks on one
/// service from which on a further one is no news.
pub fn observe(
    flow: &Flow,
    (profile, noticed, wide): (&Profile, &mut Vec<Key>, usize),
    ledger: &mut Ledger,
    now: Timestamp,
) -> Option<Finding> {
    let key = Key::of(flow);
    let reported = noticed.contains(&key);
    match profile.knows_beside(flow, noticed, wide) {
        Knowledge::Known => return None,
        Knowledge::Wide if !reported => return None,
        Knowledge::Wide | Knowledge::New => {}
    }
    if key.who.is_network() && !reported && noticed.len() < limits::OPEN_FINDINGS {
        noticed.push(key.clone());
    }
    let tally = ledger.count(Detector::AllowList, &key.to_string(), now)?;
    let judgement =
        if tally.is_common() { many(flow, &tally, profile) } else { one(flow, &key, (&tally, profile)) };
    Some(judgement.finding(&tally))
}

fn one(flow: &Flow, key: &Key, (tally, profile): (&Tally, &Profile)) -> Judgement {
    let peer = words::peer(flow);
    let (named, who) = (words::shortened(&peer), words::shortened(&key.who.to_string()));
    let port = flow.service_port();
    let protocol = protocol_word(key.protocol);
    let since = moment(tally.first);
    let so_far = counted(u64::from(tally.count), "connection", "connections");
    let learned = experience(profile);
    let (title, what_changed) = match key.direction {
        Direction::Outbound => (
            outbound_title(key, flow),
            format!(
                "Since {since} this device opens {protocol} connections to {named} port {port}, {so_far} so far. In {learned} it never used that service of {who}."
            ),
        ),
        Direction::Inbound => (
            "Answers a caller it has not had before".to_string(),
            format!(
                "Since {since} {named} opens {protocol} connections to port {port} of this device, {so_far} so far. In {learned} nobody from {who} did."
            ),
        ),
    };
    Judgement {
        detector: Detector::AllowList,
        severity: severity(flow, key),
        attack: techniques(key, port),
        evidence: evidence(flow, key, (tally, profile)),
        title,
        what_changed,
        why_it_matters: match key.direction {
            Direction::Outbound => {
                "A device that starts to talk to an unknown place may be misconfigured, changed, or sending data out."
            }
            Direction::Inbound => {
                "Whoever may open connections to a device may be able to change how it works."
            }
        },
        how_sure: how_sure(profile),
        what_to_do: format!(
            "Ask the maker or IT what {named} is; if nobody knows, quarantine the device. If an update or a new server explains it, press Allow."
        ),
        peer: Some(peer),
    }
}

/// The judgement on a detector with so many findings that they are one.
fn many(flow: &Flow, tally: &Tally, profile: &Profile) -> Judgement {
    let key = Key::of(flow);
    let peer = words::peer(flow);
    let so_far = counted(u64::from(tally.count), "connection", "connections");
    Judgement {
        detector: Detector::AllowList,
        severity: Severity::High,
        attack: &["T1046", "T1071"],
        evidence: evidence(flow, &key, (tally, profile)),
        title: "Talks to many new places within a day".to_string(),
        what_changed: format!(
            "Since {} this device has {so_far} with peers or services outside its profile, beyond {} reported one by one; the last was {}.",
            moment(tally.first),
            limits::NEW_FINDINGS_A_DAY,
            words::shortened(&peer)
        ),
        why_it_matters: "A device that suddenly talks to many new places was moved, repurposed, or is searching the network.",
        how_sure: format!("High: in {} it had {} usual peers and services.", experience(profile), profile.peers().len()),
        what_to_do: "Find out whether it was moved or serviced; if not, quarantine it. After a move, let it learn again."
            .to_string(),
        peer: None,
    }
}

fn outbound_title(key: &Key, flow: &Flow) -> String {
    let title = match &key.who {
        Who::Group => "Sends to a group address it did not use before",
        Who::Name(_) => "Talks to a name it did not know before",
        Who::Net4(_) | Who::Net6(_) | Who::Anyone if is_local(flow.tuple.remote.address) => {
            "Uses a local service it did not use before"
        }
        Who::Net4(_) | Who::Net6(_) | Who::Anyone => "Talks to a network it did not know before",
    };
    title.to_string()
}

fn severity(flow: &Flow, key: &Key) -> Severity {
    let local = is_local(flow.tuple.remote.address) || key.who == Who::Group;
    let control = matches!(key.service, Service::Port(port) if REMOTE_CONTROL.contains(&port));
    match (local, control, key.direction) {
        (false, true, _) => Severity::High,
        (false, false, _) | (true, true, _) => Severity::Medium,
        (true, false, Direction::Inbound | Direction::Outbound) => Severity::Low,
    }
}

fn techniques(key: &Key, port: u16) -> &'static [&'static str] {
    let control = REMOTE_CONTROL.contains(&port);
    match (key.direction, key.service, control) {
        (Direction::Inbound, _, true) | (Direction::Outbound, _, true) => &["T1021"],
        (Direction::Inbound, _, false) => &["T1133"],
        (Direction::Outbound, Service::High, false) => &["T1571"],
        (Direction::Outbound, Service::Port(_), false) => &["T1071"],
    }
}

fn evidence(flow: &Flow, key: &Key, (tally, profile): (&Tally, &Profile)) -> Vec<(&'static str, String)> {
    Vec::from([
        ("profile-key", key.to_string()),
        ("port", flow.service_port().to_string()),
        ("connections", tally.count.to_string()),
        ("learned-days", (profile.learned_s() / (24 * 3600)).to_string()),
        ("learned-connections", profile.observations().to_string()),
        ("learned-peers", profile.peers().len().to_string()),
        ("first-time-per-mille", profile.missing_per_mille().to_string()),
    ])
}
