//! `mud conformance`: each observed flow held against a MUD file, and which entry decides.
//!
//! Packets each way are judged apart, as a filter would: a flow conforms when every way that packets went is allowed. What
//! goes by a name that was not seen anywhere in the record is unjudged, which is neither. Read next:
//! `cordon_agent_core::mud`, the judge of the devices themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use cordon_agent_core::mud::{Misses, Verdict, judge, nearest};
use cordon_agent_core::profile::key::protocol_word;
use cordon_proto::mud::Usage;
use cordon_proto::telemetry::Direction;
use serde_json::{Value, json};

use super::flows::{Flow, read};
use super::{SiteArgs, compiled};
use crate::failure::Failure;
use crate::report::{Report, plain};

/// Hold observed flows against a MUD file.
#[derive(Clone, Debug, Args)]
pub struct Conformance {
    /// The MUD file.
    #[arg(long, value_name = "FILE")]
    pub mud: PathBuf,
    /// Flows as `cordon-agent observe` writes them.
    #[arg(long, value_name = "FILE")]
    pub flows: PathBuf,
    /// The device; without it, the one that opens most flows.
    #[arg(long, value_name = "IP")]
    pub device: Option<IpAddr>,
    /// What the site knows.
    #[command(flatten)]
    pub site: SiteArgs,
}

/// What is said of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every way is allowed.
    Conforms,
    /// A way goes by a name that nobody saw.
    Unjudged,
    /// A way is not allowed.
    Violates,
}

/// The judgement of one flow: of each way that packets went, the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// All in all.
    pub outcome: Outcome,
    /// Way by way.
    pub ways: Vec<(Direction, Verdict)>,
}

/// Judges one flow.
#[must_use]
pub fn judged(usage: &Usage, flow: &Flow, sees_names: bool) -> Judged {
    let ways: Vec<(Direction, Verdict)> =
        flow.ways().map(|says| (says, judge(usage, &flow.way(says), sees_names))).collect();
    let worst = ways.iter().map(|(_, verdict)| match verdict {
        Verdict::Allowed(_) => Outcome::Conforms,
        Verdict::Unjudged(_) => Outcome::Unjudged,
        Verdict::Stopped(_) | Verdict::Unlisted => Outcome::Violates,
    });
    let outcome = worst.fold(Outcome::Conforms, |sofar, next| match (sofar, next) {
        (Outcome::Violates, _) | (_, Outcome::Violates) => Outcome::Violates,
        (Outcome::Unjudged, _) | (_, Outcome::Unjudged) => Outcome::Unjudged,
        (Outcome::Conforms, Outcome::Conforms) => Outcome::Conforms,
    });
    Judged { outcome, ways }
}

/// A verdict in words, with the entry that decides, or almost does.
#[must_use]
pub fn explained(
    (usage, names): (&Usage, &[String]),
    flow: &Flow,
    says: Direction,
    verdict: Verdict,
) -> String {
    let name = |place: usize| names.get(place).map_or("?", String::as_str);
    match verdict {
        Verdict::Allowed(place) => format!("allowed by {}", name(place)),
        Verdict::Stopped(place) => format!("STOPPED by {}", name(place)),
        Verdict::Unjudged(place) => format!("not judged: {} goes by a name, and none was seen", name(place)),
        Verdict::Unlisted => match nearest(usage, &flow.way(says)) {
            None => "NOT LISTED, and no entry is near".to_owned(),
            Some((place, misses)) => format!("NOT LISTED; {} would, but for {}", name(place), missed(misses)),
        },
    }
}

fn missed(misses: Misses) -> String {
    let words = [
        (Misses::PROTOCOL, "its protocol"),
        (Misses::PEER, "its network"),
        (Misses::NAME, "its name"),
        (Misses::NAMELESS, "its name, which the peer has not"),
        (Misses::PEER_PORT, "the peer's port"),
        (Misses::OWN_PORT, "the device's port"),
        (Misses::OPENER, "who opened the connection"),
        (Misses::ICMP, "the kind of message"),
    ];
    let had: Vec<&str> = words.iter().filter(|(miss, _)| misses.has(*miss)).map(|(_, word)| *word).collect();
    had.join(" and ")
}

fn word(says: Direction) -> &'static str {
    match says {
        Direction::Outbound => "out",
        Direction::Inbound => "in",
    }
}

impl Conformance {
    pub(super) fn run(&self) -> Result<Report, Failure> {
        let (_, compiled) = compiled(&self.mud, &self.site)?;
        let (device, flows) = read(&self.flows, self.device)?;
        let sees_names = flows.iter().any(|flow| flow.name.is_some());
        let usage = (&compiled.usage, compiled.names.as_slice());
        let mut counts = [0_usize; 3];
        let mut used: BTreeMap<usize, usize> = BTreeMap::new();
        let (mut rows, mut alike): (Vec<Value>, BTreeMap<String, usize>) = (Vec::new(), BTreeMap::new());
        for flow in &flows {
            let judged = judged(&compiled.usage, flow, sees_names);
            let [conforms, unjudged, violates] = &mut counts;
            *match judged.outcome {
                Outcome::Conforms => conforms,
                Outcome::Unjudged => unjudged,
                Outcome::Violates => violates,
            } += 1;
            let mut said = Vec::new();
            for (says, verdict) in &judged.ways {
                if let Verdict::Allowed(place) | Verdict::Stopped(place) = verdict {
                    *used.entry(*place).or_default() += 1;
                }
                said.push(format!("{}: {}", word(*says), explained(usage, flow, *says, *verdict)));
            }
            *alike.entry(line(flow, &said.join("; "))).or_default() += 1;
            rows.push(row(flow, judged.outcome, &said));
        }
        let unused: Vec<&String> = compiled
            .names
            .iter()
            .enumerate()
            .filter(|(place, _)| !used.contains_key(place))
            .map(|(_, name)| name)
            .collect();
        let [conforms, unjudged, violates] = counts;
        let mut text = String::new();
        for (line, count) in &alike {
            text.push_str(&format!("{count:>6} x {line}\n"));
        }
        text.push_str(&format!(
            "{device}: {} flows, {conforms} conform, {violates} do not, {unjudged} not judged; {} of {} rules used\n",
            flows.len(),
            used.len(),
            compiled.names.len()
        ));
        let entries: Vec<Value> = compiled
            .names
            .iter()
            .enumerate()
            .map(|(place, name)| json!({"entry": name, "ways": used.get(&place).copied().unwrap_or(0)}))
            .collect();
        let json = json!({
            "v": 1, "device": device, "flows": flows.len(), "conform": conforms, "violate": violates,
            "unjudged": unjudged, "entries": entries, "unused": unused, "judged": rows,
        });
        Ok(Report::new(text, json))
    }
}

/// A flow in a line, without what differs from one to the next of its kind.
fn line(flow: &Flow, said: &str) -> String {
    let who = flow.name.as_deref().map_or_else(|| flow.peer.to_string(), plain);
    let way = if flow.opened == Direction::Outbound { "calls" } else { "is called by" };
    format!("{way} {who} {}/{}  {}", protocol_word(flow.protocol), flow.service(), plain(said))
}

fn row(flow: &Flow, outcome: Outcome, said: &[String]) -> Value {
    let outcome = match outcome {
        Outcome::Conforms => "conforms",
        Outcome::Unjudged => "unjudged",
        Outcome::Violates => "violates",
    };
    json!({
        "start": flow.start, "protocol": protocol_word(flow.protocol), "peer": flow.peer, "name": flow.name,
        "port": flow.service(), "opened": word(flow.opened), "outcome": outcome, "ways": said,
    })
}
