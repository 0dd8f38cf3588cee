//! Lines of OCSF, the Open Cybersecurity Schema Framework, version 1.6.0.
//!
//! A finding is a Detection Finding (2004), the connection behind it a Network Activity (4001), an entry of the journal an
//! Entity Management (3004), a test a Base Event (0). Numbers stand beside their captions, times are milliseconds, and a
//! line is ASCII: what is not is escaped as JSON allows. Every text of others goes through [`Room::say`]. An outside test
//! holds lines against the published schema. Read next: [`super::cef`].

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::Sha256;
use cordon_proto::telemetry::Severity;
use cordon_proto::time::{Millis, Timestamp};
use serde_json::{Map, Value, json};

use super::{Activity, Event, Kind, PRODUCT, Peer, Reporter, Room, Told, fitting, parted};
use crate::audit::{Actor, Recorded, Summary};
use crate::device::Device;
use crate::triage::{State, Turn};

/// The version of the schema that lines are written to.
pub const VERSION: &str = "1.6.0";

/// The line of an event, as what it is asked for.
pub(super) fn write(event: Event<'_>, kind: Kind, reporter: &Reporter) -> String {
    fitting(|room| {
        let page = Page { reporter, room, at: event.at() };
        let value = match event {
            Event::Finding(told) if kind == Kind::Network => page.network(&told),
            Event::Finding(told) => page.finding(&told),
            Event::Audit(entry) => page.audit(entry),
            Event::Test { by, .. } => page.test(by),
        };
        ascii(&value.to_string())
    })
}

/// What all events of a line share.
struct Page<'a> {
    reporter: &'a Reporter,
    room: Room,
    at: Millis,
}

/// A class of the schema with one of its activities: their numbers and captions.
struct Class {
    uid: u32,
    name: &'static str,
    category: (u32, &'static str),
    activity: (u32, String),
}

/// What stands in `metadata` beside the product.
struct Named<'a> {
    uid: String,
    /// What ties events together: the finding.
    correlation: Option<&'a str>,
    log: &'static str,
    profiles: &'static [&'static str],
}

impl Page<'_> {
    fn event(&self, class: &Class, named: &Named<'_>, severity: (u32, &'static str)) -> Map<String, Value> {
        let mut metadata = json!({
            "version": VERSION,
            "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": self.room.say(&self.reporter.version)},
            "uid": named.uid,
            "log_name": named.log,
            "log_provider": self.room.say(&self.reporter.host),
            "is_truncated": self.room.is_cut,
        });
        if let Value::Object(fields) = &mut metadata {
            fields.extend(named.correlation.map(|uid| ("correlation_uid".to_owned(), json!(uid))));
            if !named.profiles.is_empty() {
                fields.insert("profiles".to_owned(), json!(named.profiles));
            }
        }
        let (activity, activity_name) = &class.activity;
        object(json!({
            "activity_id": activity,
            "activity_name": activity_name,
            "category_uid": class.category.0,
            "category_name": class.category.1,
            "class_uid": class.uid,
            "class_name": class.name,
            "type_uid": class.uid * 100 + activity,
            "type_name": format!("{}: {activity_name}", class.name),
            "severity_id": severity.0,
            "severity": severity.1,
            "time": self.at.0,
            "timezone_offset": 0,
            "metadata": metadata,
        }))
    }

    fn finding(&self, told: &Told<'_>) -> Value {
        let finding = &told.record.finding;
        let class = Class {
            uid: 2004,
            name: "Detection Finding",
            category: (2, "Findings"),
            activity: match told.activity() {
                Activity::Create => (1, "Create".to_owned()),
                Activity::Update => (2, "Update".to_owned()),
                Activity::Close => (3, "Close".to_owned()),
            },
        };
        let named = Named {
            uid: uid(told, class.uid),
            correlation: Some(told.record.id.as_str()),
            log: "findings",
            profiles: &[],
        };
        let mut event = self.event(&class, &named, severity(finding.severity));
        let status = status(told);
        event.extend(object(json!({
            "message": self.room.say(told.title()),
            "status_id": status.0,
            "status": status.1,
            "status_detail": self.room.say(&told.step.what),
            "is_alert": told.is_alert(),
            "count": finding.count,
            "start_time": Millis::from(finding.first).0,
            "end_time": Millis::from(finding.last).0,
            "device": self.device(told),
            "finding_info": self.info(told),
            "observables": self.observables(told, "evidences[0].dst_endpoint"),
        })));
        event.extend(told.step.reason.as_ref().map(|why| ("comment".to_owned(), json!(self.room.say(why)))));
        if let Some((number, word)) = confidence(finding.how_sure.as_str()) {
            event.extend(object(json!({"confidence_id": number, "confidence": word})));
        }
        if told.may_name_peers() {
            event.insert(
                "remediation".to_owned(),
                json!({"desc": self.room.say(finding.what_to_do.as_str())}),
            );
            event.insert("risk_details".to_owned(), json!(self.room.say(finding.why_it_matters.as_str())));
            event.insert("evidences".to_owned(), json!([self.evidence(told)]));
        }
        Value::Object(event)
    }

    fn info(&self, told: &Told<'_>) -> Value {
        let (record, finding) = (told.record, &told.record.finding);
        let created = record.history.first().map_or(told.step.at, |step| step.at);
        let attacks: Vec<Value> = told.techniques().take(self.room.entries).map(attack).collect();
        let mut info = object(json!({
            "uid": record.id.as_str(),
            "title": self.room.say(told.title()),
            "types": [finding.detector.as_str()],
            "analytic": {"uid": finding.detector.as_str(), "name": finding.detector.as_str(), "type_id": 2, "type": "Behavioral"},
            "created_time": Millis::from(created).0,
            "modified_time": self.at.0,
            "first_seen_time": Millis::from(finding.first).0,
            "last_seen_time": Millis::from(finding.last).0,
            "attacks": attacks,
        }));
        if told.may_name_peers() {
            info.insert("desc".to_owned(), json!(self.room.say(finding.what_changed.as_str())));
        }
        Value::Object(info)
    }

    /// What the judgement rests on: the figures of the detector, and the peer.
    fn evidence(&self, told: &Told<'_>) -> Value {
        let finding = &told.record.finding;
        let figures = finding.evidence.iter().take(self.room.entries);
        let figures: Vec<Value> = figures
            .map(|(name, value)| json!({"name": self.room.say(name), "value": self.room.say(value)}))
            .collect();
        let mut evidence = object(json!({
            "name": finding.detector.as_str(),
            "data": {"how_sure": self.room.say(finding.how_sure.as_str()), "figures": figures},
        }));
        evidence.extend(self.peer(told).map(|peer| ("dst_endpoint".to_owned(), peer)));
        Value::Object(evidence)
    }

    fn peer(&self, told: &Told<'_>) -> Option<Value> {
        let mut endpoint = object(match told.peer()? {
            Peer::Address(address) => json!({"ip": address.to_string()}),
            Peer::Host(name) => json!({"hostname": self.room.say(name)}),
            Peer::Name(name) => json!({"name": self.room.say(name)}),
        });
        endpoint.extend(told.port().map(|port| ("port".to_owned(), json!(port))));
        Some(Value::Object(endpoint))
    }

    fn network(&self, told: &Told<'_>) -> Value {
        let finding = &told.record.finding;
        let class = Class {
            uid: 4001,
            name: "Network Activity",
            category: (4, "Network Activity"),
            activity: (6, "Traffic".to_owned()),
        };
        let named = Named {
            uid: uid(told, class.uid),
            correlation: Some(told.record.id.as_str()),
            log: "findings",
            profiles: &["host"],
        };
        let mut event = self.event(&class, &named, severity(finding.severity));
        let mut source = object(json!({"uid": told.record.device.to_string()}));
        source.extend(told.address().map(|address| ("ip".to_owned(), json!(address.to_string()))));
        event.extend(object(json!({
            "message": self.room.say(told.title()),
            "count": finding.count,
            "start_time": Millis::from(finding.first).0,
            "end_time": Millis::from(finding.last).0,
            "device": self.device(told),
            "src_endpoint": source,
            // A detector may have seen either side begin.
            "is_src_dst_assignment_known": false,
            "connection_info": {"direction_id": 0, "direction": "Unknown"},
            "observables": self.observables(told, "dst_endpoint"),
        })));
        event.extend(self.peer(told).map(|peer| ("dst_endpoint".to_owned(), peer)));
        Value::Object(event)
    }

    fn device(&self, told: &Told<'_>) -> Value {
        let mut fields = object(json!({"uid": told.record.device.to_string()}));
        let Some(device) = told.device else {
            fields.extend(object(json!({"type_id": 0, "type": "Unknown"})));
            return Value::Object(fields);
        };
        let (kind, called) = super::called(device);
        let Device { hardware, placement, .. } = device;
        fields.extend(object(json!({
            "type_id": 99,
            "type": kind,
            "name": self.room.say(&called),
            "vendor_name": self.room.say(hardware.manufacturer.as_str()),
            "model": self.room.say(hardware.model.as_str()),
            "hw_info": {"serial_number": self.room.say(hardware.serial.as_str())},
            "groups": [
                {"name": self.room.say(placement.site.as_str()), "type": "site"},
                {"name": self.room.say(placement.ward.as_str()), "type": "ward"},
            ],
        })));
        fields.extend(told.address().map(|address| ("ip".to_owned(), json!(address.to_string()))));
        Value::Object(fields)
    }

    /// What an analyst searches by: the device, its serial, the peer.
    fn observables(&self, told: &Told<'_>, peer: &str) -> Vec<Value> {
        let one = |name: &str, (number, word): (u32, &str), value: String| json!({"name": name, "type_id": number, "type": word, "value": value});
        let mut all =
            Vec::from([one("device.uid", (47, "Device Object: uid"), told.record.device.to_string())]);
        all.extend(told.device.map(|device| {
            let serial = self.room.say(device.hardware.serial.as_str());
            one("device.hw_info.serial_number", (37, "Serial Number"), serial)
        }));
        all.extend(told.peer().map(|named| match named {
            Peer::Address(address) => one(&format!("{peer}.ip"), (2, "IP Address"), address.to_string()),
            Peer::Host(name) => one(&format!("{peer}.hostname"), (1, "Hostname"), self.room.say(name)),
            Peer::Name(name) => one(&format!("{peer}.name"), (20, "Endpoint"), self.room.say(name)),
        }));
        all
    }

    fn audit(&self, entry: &Recorded) -> Value {
        let act = &entry.entry;
        let action = self.room.say(act.action.as_str());
        let class = Class {
            uid: 3004,
            name: "Entity Management",
            category: (3, "Identity & Access Management"),
            activity: activity(&action),
        };
        let named = Named {
            uid: format!("audit-{}", entry.sequence),
            correlation: None,
            log: "audit",
            profiles: &[],
        };
        let mut event = self.event(&class, &named, (1, "Informational"));
        let (kind, id) = parted(act.object.as_str());
        let kind_id = match kind {
            "device" => 1,
            "person" => 2,
            "policy" => 5,
            _ => 99,
        };
        event.extend(object(json!({
            "message": self.room.say(&format!("{}: {} {}", entry.actor, act.action, act.object)),
            "status_id": 1,
            "status": "Success",
            "actor": {"user": user(&entry.actor, self.room)},
            "entity": {"type_id": kind_id, "type": self.room.say(kind), "uid": self.room.say(id)},
        })));
        let reason = act.reason.as_ref().map(|reason| self.room.say(reason.as_str()));
        event.extend(reason.map(|reason| ("comment".to_owned(), json!(reason))));
        let said = |summary: &Option<Summary>| summary.as_ref().map(|text| self.room.say(text.as_str()));
        event.insert(
            "unmapped".to_owned(),
            json!({
                "action": action,
                "sequence": entry.sequence,
                "before": said(&act.before),
                "after": said(&act.after),
                "request": act.request.as_ref().map(|request| self.room.say(request.as_str())),
            }),
        );
        Value::Object(event)
    }

    fn test(&self, by: &Actor) -> Value {
        let class = Class {
            uid: 0,
            name: "Base Event",
            category: (0, "Uncategorized"),
            activity: (99, "Test".to_owned()),
        };
        let named =
            Named { uid: format!("test-{}", self.at.0), correlation: None, log: "test", profiles: &[] };
        let mut event = self.event(&class, &named, (1, "Informational"));
        let message = format!("{} ({})", super::TEST, self.room.say(&by.to_string()));
        event.insert("message".to_owned(), json!(message));
        Value::Object(event)
    }
}

/// The activities of Entity Management, by the last word of an action of the journal.
fn activity(action: &str) -> (u32, String) {
    let verb = action.rsplit('.').next().unwrap_or(action);
    let known = match verb {
        "create" | "add" | "open" | "import" | "make" => (1, "Create"),
        "change" | "set" | "update" | "renew" | "decide" | "reopen" | "raise" => (3, "Update"),
        "delete" | "remove" | "revoke" | "end" | "withdraw" => (4, "Delete"),
        "enrol" => (6, "Enroll"),
        "retire" => (7, "Unenroll"),
        "quarantine" | "pause" | "stop" => (12, "Suspend"),
        "release" | "resume" => (13, "Resume"),
        _ => return (99, action.to_owned()),
    };
    (known.0, known.1.to_owned())
}

fn user(actor: &Actor, room: Room) -> Value {
    let (number, word) = match actor {
        Actor::Person(_) => (1, "User"),
        Actor::Token(_) => (4, "Service"),
        Actor::Server(_) => (3, "System"),
        Actor::Device(_) => (99, "Device"),
    };
    let text = actor.to_string();
    json!({"type_id": number, "type": word, "name": room.say(parted(&text).1), "uid": room.say(&text)})
}

fn severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

/// How the finding stood after the step; at first telling, as it stands.
fn status(told: &Told<'_>) -> (u32, &'static str) {
    let (new, seen, muted, closed) = ((1, "New"), (2, "In Progress"), (3, "Suppressed"), (4, "Resolved"));
    let stands = match told.record.state {
        State::Open => new,
        State::Acknowledged => seen,
        State::Muted { .. } | State::Allowed { .. } => muted,
        State::Closed => closed,
    };
    match told.step.turn() {
        Some(Turn::Opened | Turn::Again) if !told.first => new,
        Some(Turn::Acknowledged) => seen,
        Some(Turn::Muted | Turn::Allowed) => muted,
        Some(Turn::Closed) => closed,
        Some(Turn::Opened | Turn::Again | Turn::Raised) | None => stands,
    }
}

/// The confidence that a detector's sentence begins with.
fn confidence(sentence: &str) -> Option<(u32, &'static str)> {
    [("Low", 1), ("Medium", 2), ("High", 3)]
        .into_iter()
        .find(|(word, _)| sentence.starts_with(word))
        .map(|(word, number)| (number, word))
}

fn attack(id: &str) -> Value {
    match id.split_once('.') {
        Some((technique, _)) => json!({"technique": {"uid": technique}, "sub_technique": {"uid": id}}),
        None => json!({"technique": {"uid": id}}),
    }
}

/// One name for one event, so that one that arrives twice is known: it may, after a break or a change of servers.
fn uid(told: &Told<'_>, class: u32) -> String {
    let Timestamp(at) = told.step.at;
    let text = format!("{class}\n{}\n{at}\n{}", told.record.id, told.step.what);
    Sha256::of(text.as_bytes()).to_string().chars().take(32).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// The same JSON without a character beyond ASCII; outside of its strings JSON has none.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}
