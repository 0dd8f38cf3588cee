//! A MUD file from what a device was seen to do.
//!
//! Each thing that was seen becomes one entry for each way, so that the file passes as it is at a filter of packets too.
//! Peers outside become names where names were seen; who is on the site becomes `local-networks`, for a maker cannot know
//! a site's addresses. It describes what was seen and says nothing of what was not: a person reviews it. Read next:
//! [`super::read`], which reads what is written here.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::canonical::Value;
use cordon_proto::limits;
use cordon_proto::mud::Net;
use cordon_proto::telemetry::{Direction, Protocol};

use super::BELOW;

/// With whom something was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Whoever is on the site.
    Local,
    /// A network.
    Net(Net),
    /// A name; of names below it too, where `true`.
    Name(String, bool),
    /// Anyone, as servers of the time are.
    Anyone,
}

/// One thing that a device was seen to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Over what.
    pub protocol: Protocol,
    /// Whether over IPv6.
    pub six: bool,
    /// Who opened it.
    pub opened: Direction,
    /// The ports of whoever was called, from the first to the second; none where it is not known.
    pub ports: Option<(u16, u16)>,
    /// With whom.
    pub peer: Peer,
}

/// What a maker says of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Where the file will be published.
    pub url: String,
    /// When it was made, in RFC 3339.
    pub made: String,
    /// What the device is.
    pub system: String,
    /// Whose it is.
    pub maker: Option<String>,
    /// Its model.
    pub model: Option<String>,
}

/// More was seen than a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found} different things were seen, a file holds {}: watch one device, or join its peers first",
    limits::MUD_GENERATED
)]
pub struct TooMuch {
    /// How many.
    pub found: usize,
}

/// Writes a file. `seen` may be in any order, and name a thing twice.
///
/// # Errors
/// More different things than a file holds.
pub fn generate(about: &About, seen: &[Seen]) -> Result<String, TooMuch> {
    let mut seen: Vec<&Seen> = seen.iter().collect();
    cordon_proto::sorting::sort(&mut seen);
    seen.dedup();
    if seen.len() > limits::MUD_GENERATED {
        return Err(TooMuch { found: seen.len() });
    }
    let mut lists = Vec::new();
    let mut named = [Vec::new(), Vec::new()];
    for (says, word) in [(Direction::Outbound, "from"), (Direction::Inbound, "to")] {
        for (six, family) in [(false, "ipv4"), (true, "ipv6")] {
            let own = seen.iter().filter(|one| one.six == six);
            let entries: Vec<Value> = own
                .enumerate()
                .map(|(number, one)| entry(one, says, &format!("{word}-{family}-{number}")))
                .collect();
            if entries.is_empty() {
                continue;
            }
            let name = format!("{word}-{family}");
            let [from, to] = &mut named;
            if says == Direction::Outbound { from } else { to }.push(name.clone());
            lists.push(Value::object([
                ("name", Value::from(name.as_str())),
                ("type", format!("{family}-acl-type").as_str().into()),
                ("aces", Value::object([("ace", Value::List(entries))])),
            ]));
        }
    }
    let below = seen.iter().any(|one| matches!(one.peer, Peer::Name(_, true)));
    let document = Value::object([
        ("ietf-mud:mud", container(about, named, below)),
        ("ietf-access-control-list:acls", Value::object([("acl", Value::List(lists))])),
    ]);
    Ok(laid_out(&document))
}

fn container(about: &About, [from, to]: [Vec<String>; 2], below: bool) -> Value {
    let policy = |names: Vec<String>| {
        let named = names.iter().map(|name| Value::object([("name", Value::from(name.as_str()))]));
        let lists = Value::object([("access-list", Value::list(named))]);
        Value::object([("access-lists", lists)])
    };
    let mut fields = Vec::from([
        ("mud-version", Value::from(1_u64)),
        ("mud-url", about.url.as_str().into()),
        ("last-update", about.made.as_str().into()),
        ("cache-validity", 48_u64.into()),
        ("is-supported", true.into()),
        ("systeminfo", about.system.as_str().into()),
    ]);
    fields.extend(about.maker.iter().map(|maker| ("mfg-name", maker.as_str().into())));
    fields.extend(about.model.iter().map(|model| ("model-name", model.as_str().into())));
    if below {
        fields.push(("extensions", Value::list([BELOW])));
    }
    for (name, names) in [("from-device-policy", from), ("to-device-policy", to)] {
        if !names.is_empty() {
            fields.push((name, policy(names)));
        }
    }
    Value::object(fields)
}

fn entry(seen: &Seen, says: Direction, name: &str) -> Value {
    let outward = says == Direction::Outbound;
    let mut matches = Vec::new();
    let number: u64 = match (seen.protocol, seen.six) {
        (Protocol::Tcp, _) => 6,
        (Protocol::Udp, _) => 17,
        (Protocol::Icmp, false) => 1,
        (Protocol::Icmp, true) => 58,
    };
    let family = if seen.six { "ipv6" } else { "ipv4" };
    let mut internet = Vec::from([("protocol".to_string(), Value::from(number))]);
    match &seen.peer {
        Peer::Local => matches.push((
            "ietf-mud:mud",
            Value::object([("local-networks", Value::List(Vec::from([Value::Null])))]),
        )),
        Peer::Net(net) => {
            let side = if outward { "destination" } else { "source" };
            internet.push((format!("{side}-{family}-network"), net.to_string().as_str().into()));
        }
        Peer::Name(name, below) => {
            let side = if outward { "dst" } else { "src" };
            internet.push((format!("ietf-acldns:{side}-dnsname"), name.as_str().into()));
            if *below {
                internet.push((format!("{BELOW}:{BELOW}"), Value::List(Vec::from([Value::Null]))));
            }
        }
        Peer::Anyone => {}
    }
    matches.push((family, Value::object(internet)));
    if let Some(transport) = transport(seen, says) {
        matches.push((if seen.protocol == Protocol::Tcp { "tcp" } else { "udp" }, transport));
    }
    Value::object([
        ("name", Value::from(name)),
        ("matches", Value::object(matches)),
        ("actions", Value::object([("forwarding", Value::from("accept"))])),
    ])
}

/// The conditions on ports and on who opened the connection; nothing for ICMP, nor for UDP of an unknown service.
fn transport(seen: &Seen, says: Direction) -> Option<Value> {
    // The service is where packets to whoever was called go.
    let side = if seen.opened == says { "destination-port" } else { "source-port" };
    let port = seen.ports.map(|(least, most)| {
        if least == most {
            Value::object([("operator", Value::from("eq")), ("port", u64::from(least).into())])
        } else {
            Value::object([
                ("lower-port", Value::from(u64::from(least))),
                ("upper-port", u64::from(most).into()),
            ])
        }
    });
    let mut fields: Vec<(&str, Value)> = port.into_iter().map(|port| (side, port)).collect();
    match seen.protocol {
        Protocol::Tcp => {
            let opened = if seen.opened == Direction::Outbound { "from-device" } else { "to-device" };
            fields.push(("ietf-mud:direction-initiated", opened.into()));
            Some(Value::object(fields))
        }
        Protocol::Udp if !fields.is_empty() => Some(Value::object(fields)),
        Protocol::Udp | Protocol::Icmp => None,
    }
}

/// A document with one field a line, for people and for tools that compare lines.
fn laid_out(document: &Value) -> String {
    let mut text = String::new();
    write(&mut text, document, 0);
    text.push('\n');
    text
}

fn write(text: &mut String, value: &Value, depth: usize) {
    let indent = |text: &mut String, depth: usize| (0..depth).for_each(|_| text.push_str("  "));
    match value {
        Value::Map(entries) if !entries.is_empty() => {
            text.push_str("{\n");
            for (number, (name, value)) in entries.iter().enumerate() {
                indent(text, depth + 1);
                text.push_str(&json(&Value::from(name.as_str())));
                text.push_str(": ");
                write(text, value, depth + 1);
                text.push_str(if number + 1 < entries.len() { ",\n" } else { "\n" });
            }
            indent(text, depth);
            text.push('}');
        }
        Value::List(items) if !items.is_empty() && items.iter().any(|item| matches!(item, Value::Map(_))) => {
            text.push_str("[\n");
            for (number, item) in items.iter().enumerate() {
                indent(text, depth + 1);
                write(text, item, depth + 1);
                text.push_str(if number + 1 < items.len() { ",\n" } else { "\n" });
            }
            indent(text, depth);
            text.push(']');
        }
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => text.push_str(&json(value)),
    }
}

fn json(value: &Value) -> String {
    String::from_utf8(value.json()).expect("JSON is text")
}
