//! Lines of ArcSight's Common Event Format, version 0: a head of seven fields and pairs of standard names.
//!
//! In the head `\` and `|` are escaped, in a value `\` and `=`; no line holds an end of line, because [`super::Room::say`]
//! leaves none. Only names of the published dictionary are used; what it has no name for stands in labelled strings.
//! Read next: [`super::ocsf`] for the richer form.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;

use super::{Event, PRODUCT, Peer, Reporter, Room, Told, fitting, parted};
use crate::audit::{Actor, Recorded};

/// The line of an event.
pub(super) fn write(event: Event<'_>, reporter: &Reporter) -> String {
    fitting(|room| {
        let line = match event {
            Event::Finding(told) => finding(&told, room),
            Event::Audit(entry) => audit(entry, room),
            Event::Test { by, .. } => test(by, room),
        };
        line.text(
            &[("rt", event.at().0.to_string()), ("dvchost", room.say(&reporter.host))],
            &reporter.version,
        )
    })
}

/// A line before it is written down.
struct Line {
    /// The stable name of this kind of event.
    class: String,
    name: String,
    severity: u8,
    pairs: Vec<(&'static str, String)>,
}

impl Line {
    fn text(&self, common: &[(&'static str, String)], version: &str) -> String {
        let head = [PRODUCT, PRODUCT, version, &self.class, &self.name].map(|field| escaped(field, '|'));
        let pairs = common.iter().chain(&self.pairs).filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{name}={}", escaped(value, '='))).collect();
        format!("CEF:0|{}|{}|{}", head.join("|"), self.severity, pairs.join(" "))
    }
}

/// A text whose backslashes and `mark`s begin nothing.
fn escaped(text: &str, mark: char) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || c == mark {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn finding(told: &Told<'_>, room: Room) -> Line {
    let finding = &told.record.finding;
    let word = told.step.turn().map_or("changed", |turn| turn.word());
    let mut pairs = Vec::from([
        ("start", millis(finding.first)),
        ("end", millis(finding.last)),
        ("cnt", finding.count.to_string()),
        ("act", word.to_string()),
        ("cat", finding.detector.to_string()),
        ("externalId", told.record.id.to_string()),
        ("deviceExternalId", told.record.device.to_string()),
        ("suser", room.say(&told.step.by)),
        ("reason", told.step.reason.as_deref().map(|reason| room.say(reason)).unwrap_or_default()),
    ]);
    device(told, room, &mut pairs);
    peer(told, room, &mut pairs);
    let techniques: Vec<&str> = told.techniques().take(room.entries).collect();
    labelled(&mut pairs, ["cs4", "cs4Label", "attack"], techniques.join(","));
    if told.may_name_peers() {
        labelled(&mut pairs, ["cs5", "cs5Label", "whatToDo"], room.say(finding.what_to_do.as_str()));
        let why = format!("{} {}", finding.what_changed, finding.why_it_matters);
        pairs.push(("msg", room.say(&why)));
        let evidence = finding.evidence.iter().take(room.entries);
        let evidence: Vec<String> = evidence.map(|(name, value)| format!("{name}: {value}")).collect();
        labelled(&mut pairs, ["cs6", "cs6Label", "evidence"], room.say(&evidence.join("; ")));
    }
    Line {
        class: format!("finding.{}", finding.detector),
        name: room.say(told.title()),
        severity: match finding.severity {
            Severity::Low => 3,
            Severity::Medium => 6,
            Severity::High => 8,
            Severity::Critical => 10,
        },
        pairs,
    }
}

/// What the device is and where it stands.
fn device(told: &Told<'_>, room: Room, pairs: &mut Vec<(&'static str, String)>) {
    let Some(device) = told.device else { return };
    match told.address() {
        Some(IpAddr::V4(address)) => pairs.push(("src", address.to_string())),
        Some(IpAddr::V6(address)) => {
            labelled(pairs, ["c6a2", "c6a2Label", "Source IPv6 Address"], address.to_string());
        }
        None => {}
    }
    let (kind, called) = super::called(device);
    let model = format!("{} {} ({kind})", device.hardware.manufacturer, device.hardware.model);
    let place = format!("{} / {}", device.placement.site, device.placement.ward);
    labelled(pairs, ["cs1", "cs1Label", "model"], room.say(&model));
    labelled(pairs, ["cs2", "cs2Label", "serial"], room.say(&called));
    labelled(pairs, ["cs3", "cs3Label", "place"], room.say(&place));
}

fn peer(told: &Told<'_>, room: Room, pairs: &mut Vec<(&'static str, String)>) {
    match told.peer() {
        Some(Peer::Address(IpAddr::V4(address))) => pairs.push(("dst", address.to_string())),
        Some(Peer::Address(IpAddr::V6(address))) => {
            labelled(pairs, ["c6a3", "c6a3Label", "Destination IPv6 Address"], address.to_string());
        }
        Some(Peer::Host(name) | Peer::Name(name)) => pairs.push(("dhost", room.say(name))),
        None => return,
    }
    pairs.extend(told.port().map(|port| ("dpt", port.to_string())));
}

fn audit(entry: &Recorded, room: Room) -> Line {
    let act = &entry.entry;
    let said = |text: Option<&str>| text.map(|text| room.say(text)).unwrap_or_default();
    let mut pairs = Vec::from([
        ("act", room.say(act.action.as_str())),
        ("cat", "audit".to_string()),
        ("externalId", format!("audit-{}", entry.sequence)),
        ("suser", room.say(&entry.actor.to_string())),
        ("outcome", "success".to_string()),
        ("reason", said(act.reason.as_ref().map(|reason| reason.as_str()))),
    ]);
    if let ("device", id) = parted(act.object.as_str()) {
        pairs.push(("deviceExternalId", room.say(id)));
    }
    labelled(&mut pairs, ["cs1", "cs1Label", "object"], room.say(act.object.as_str()));
    let summary = |summary: &Option<crate::audit::Summary>| said(summary.as_ref().map(|text| text.as_str()));
    labelled(&mut pairs, ["cs2", "cs2Label", "before"], summary(&act.before));
    labelled(&mut pairs, ["cs3", "cs3Label", "after"], summary(&act.after));
    labelled(
        &mut pairs,
        ["cs4", "cs4Label", "request"],
        said(act.request.as_ref().map(|request| request.as_str())),
    );
    let action = room.say(act.action.as_str());
    Line { class: format!("audit.{action}"), name: action, severity: 2, pairs }
}

fn test(by: &Actor, room: Room) -> Line {
    let pairs = Vec::from([
        ("cat", "test".to_string()),
        ("suser", room.say(&by.to_string())),
        ("msg", super::TEST.to_string()),
    ]);
    Line { class: "test".to_string(), name: "Test of the way to the SIEM".to_string(), severity: 0, pairs }
}

/// A string that the dictionary has no name for, with its label.
fn labelled(
    pairs: &mut Vec<(&'static str, String)>,
    [name, label, called]: [&'static str; 3],
    value: String,
) {
    if !value.is_empty() {
        pairs.extend([(name, value), (label, called.to_string())]);
    }
}

fn millis(at: Timestamp) -> String {
    cordon_proto::time::Millis::from(at).0.to_string()
}
