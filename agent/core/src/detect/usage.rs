//! The detector `mud`: what the maker's description does not allow.
//!
//! Source: RFC 8520, 3: whatever a usage description does not list is denied.
//! It needs no learning. A peer and service is told once, when the connection begins, or when an answer comes that only
//! the way back forbids. What it tells is left to it by `allow-list`; what the description allows by naming the peer is no
//! news to `beacon` either. What a finished profile holds was told while it was learned, and is not told again. Where nobody sees names, rules that go by a name judge nobody. Read next: [`crate::mud`] for the judge.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::mud::{Rule, Usage};
use cordon_proto::telemetry::{Direction, Finding, Severity};
use cordon_proto::time::Timestamp;

use super::ledger::{Detector, Ledger, Tally};
use super::words::{self, Judgement, counted, moment};
use crate::flow::Flow;
use crate::mud::{Verdict, Way, judge};
use crate::profile::key::{Key, is_local, protocol_word};

/// What came of holding packets against a description.
#[derive(Debug, Default)]
pub struct Described {
    /// The finding, where there is one to be told now.
    pub finding: Option<Finding>,
    /// It is not described, and told here: `allow-list` need not look.
    pub told: bool,
    /// The maker names the peer: nobody who compares need look.
    pub vouched: bool,
}

/// Looks at packets of a flow one way.
pub fn observe(
    (usage, sees_names): (&Usage, bool),
    (flow, says): (&Flow, Direction),
    ledger: &mut Ledger,
    now: Timestamp,
) -> Described {
    let stopped = match judge(usage, &Way::of(flow, says), sees_names) {
        Verdict::Allowed(place) => {
            let vouched = usage.rules.get(place).is_some_and(Rule::names_peer);
            return Described { vouched, ..Described::default() };
        }
        Verdict::Unjudged(_) => return Described::default(),
        Verdict::Stopped(_) => true,
        Verdict::Unlisted => false,
    };
    let tally = ledger.count(Detector::Mud, &Key::of(flow).to_string(), now);
    let finding = tally.map(|tally| told(usage, flow, stopped, &tally).finding(&tally));
    Described { finding, told: true, vouched: false }
}

fn told(usage: &Usage, flow: &Flow, stopped: bool, tally: &Tally) -> Judgement {
    let peer = words::peer(flow);
    let (named, port) = (words::shortened(&peer), flow.service_port());
    let protocol = protocol_word(flow.tuple.protocol);
    let so_far = counted(u64::from(tally.count), "connection", "connections");
    let since = moment(tally.first);
    let maker = words::shortened(usage.device.as_str());
    let what_changed = if tally.is_common() {
        format!(
            "Since {since} this device has {so_far} that its maker's description of {maker} does not allow, beyond those reported one by one; the last was with {named} port {port}."
        )
    } else {
        let who = match flow.direction {
            Direction::Outbound => format!("this device opens {protocol} connections to {named} port {port}"),
            Direction::Inbound => {
                format!("{named} opens {protocol} connections to port {port} of this device")
            }
        };
        let how = if stopped { "forbids that" } else { "does not list that" };
        format!("Since {since} {who}, {so_far} so far. Its maker's description of {maker} {how}.")
    };
    let title = match (tally.is_common(), flow.direction) {
        (true, _) => "Does much that its maker does not describe",
        (false, Direction::Outbound) => "Calls whom its maker does not list",
        (false, Direction::Inbound) => "Answers whom its maker does not list",
    };
    Judgement {
        detector: Detector::Mud,
        severity: if is_local(flow.tuple.remote.address) && !stopped {
            Severity::Low
        } else {
            Severity::Medium
        },
        attack: if flow.direction == Direction::Outbound { &["T0884", "T1071"] } else { &["T0886"] },
        evidence: evidence(flow, stopped),
        title: title.to_string(),
        what_changed,
        why_it_matters: "A device that does what its maker never foresaw was changed, misused, or described badly.",
        how_sure:
            "High that it is not described; medium that it is wrong: descriptions are often incomplete."
                .to_string(),
        what_to_do: format!(
            "Ask the maker whether {named} belongs in the description; if not, quarantine the device. If an update or a new server explains it, press Allow."
        ),
        peer: Some(peer),
    }
}

fn evidence(flow: &Flow, stopped: bool) -> Vec<(&'static str, String)> {
    Vec::from([
        ("protocol", protocol_word(flow.tuple.protocol).to_string()),
        ("port", flow.service_port().to_string()),
        ("address", flow.tuple.remote.address.to_string()),
        ("rule", if stopped { "forbidden" } else { "not listed" }.to_string()),
    ])
}
