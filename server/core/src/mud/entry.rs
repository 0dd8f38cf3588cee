//! One entry of an access list: its conditions (RFC 8519, RFC 8520) and its action.
//!
//! Every condition becomes a value, a note of what no sensor of flows sees, or an error. A field that nobody knows is a
//! note too: it may narrow the entry, and narrowing in silence would be wrong. Read next: [`super::compile`].

use alloc::format;
use alloc::string::{String, ToString};

use cordon_proto::canonical::{Fields, Value};
use cordon_proto::limits;
use cordon_proto::mud::{HostName, Net, Ports};
use cordon_proto::telemetry::Direction;

use super::read::{cut, long, short};
use super::{BELOW, Class, Entry, EntryProblem, Kind, List, Matches, MudError};

/// Reads an entry of a list.
pub(super) fn read(ace: &Fields<'_>, list: &List) -> Result<Entry, MudError> {
    let name = cut(ace.text("name")?);
    let wrong = |problem| MudError::Entry { list: list.name.clone(), entry: name.clone(), problem };
    let (matches, accept) = parts(ace, list.kind).map_err(wrong)?;
    Ok(Entry { name, matches, accept })
}

fn parts(ace: &Fields<'_>, kind: Kind) -> Result<(Matches, bool), EntryProblem> {
    let actions = ace.map("actions")?;
    let accept = match short(actions.text("forwarding")?) {
        "accept" => true,
        "drop" | "reject" => false,
        other => return Err(EntryProblem::Action(cut(other))),
    };
    let mut matches = Matches {
        family: match kind {
            Kind::Ipv4 => Some(4),
            Kind::Ipv6 => Some(6),
            Kind::Ethernet | Kind::Mixed => None,
        },
        ..Matches::default()
    };
    if ace.optional("matches").is_some() {
        let conditions = ace.map("matches")?;
        for at in conditions.entries().keys() {
            container(&mut matches, &conditions, at)?;
        }
    }
    let transports = [("tcp", 6), ("udp", 17), ("icmp", 1)];
    for (word, number) in transports {
        let told = conditions_of(ace, word);
        let fits = |protocol| protocol == number || (number, protocol) == (1, 58);
        match matches.protocol {
            Some(protocol) if told && !fits(protocol) => {
                return Err(EntryProblem::Contradiction(word, protocol));
            }
            None if told => {
                matches.protocol = Some(if number == 1 && matches.family == Some(6) { 58 } else { number })
            }
            Some(_) | None => {}
        }
    }
    Ok((matches, accept))
}

fn conditions_of(ace: &Fields<'_>, word: &str) -> bool {
    ace.optional("matches").is_some() && ace.map("matches").is_ok_and(|all| long(&all, word).is_some())
}

fn container(matches: &mut Matches, all: &Fields<'_>, at: &str) -> Result<(), EntryProblem> {
    match short(at) {
        "mud" => classes(matches, &all.map(at)?),
        "ipv4" => internet(matches, &all.map(at)?, 4),
        "ipv6" => internet(matches, &all.map(at)?, 6),
        "tcp" | "udp" => transport(matches, &all.map(at)?, at),
        "icmp" => icmp(matches, &all.map(at)?),
        "eth" => frames(matches, &all.map(at)?),
        // An interface of whatever filters: the site's matter, not the maker's.
        _ => {
            matches.unseen.push(cut(at));
            Ok(())
        }
    }
}

fn classes(matches: &mut Matches, fields: &Fields<'_>) -> Result<(), EntryProblem> {
    for at in fields.entries().keys() {
        let class = match short(at) {
            "manufacturer" => Class::Manufacturer(cut(fields.text(at)?)),
            "same-manufacturer" => Class::SameManufacturer,
            "model" => Class::Model(cut(fields.text(at)?)),
            "local-networks" => Class::LocalNetworks,
            "controller" => Class::Controller(cut(fields.text(at)?)),
            "my-controller" => Class::MyController,
            "direction-initiated" => {
                matches.opened = Some(opened(fields.text(at)?)?);
                continue;
            }
            _ => {
                matches.unseen.push(format!("mud.{}", cut(at)));
                continue;
            }
        };
        matches.classes.push(class);
    }
    Ok(())
}

fn internet(matches: &mut Matches, fields: &Fields<'_>, family: u8) -> Result<(), EntryProblem> {
    matches.family = Some(family);
    let below = long(fields, BELOW).is_some();
    for at in fields.entries().keys() {
        match short(at) {
            "protocol" => matches.protocol = Some(small(fields, at, "protocol", 255)?),
            "destination-ipv4-network" | "destination-ipv6-network" => {
                matches.destination = Some(network(fields.text(at)?)?);
            }
            "source-ipv4-network" | "source-ipv6-network" => {
                matches.source = Some(network(fields.text(at)?)?)
            }
            "dst-dnsname" => matches.destination_name = Some(host(fields.text(at)?, below)?),
            "src-dnsname" => matches.source_name = Some(host(fields.text(at)?, below)?),
            name if name == BELOW => {}
            // dscp, ecn, ttl, length, flow-label, fragments, and what RFC 8519 may yet get.
            other => matches.unseen.push(format!("ipv{family}.{other}")),
        }
    }
    Ok(())
}

fn transport(matches: &mut Matches, fields: &Fields<'_>, word: &str) -> Result<(), EntryProblem> {
    for at in fields.entries().keys() {
        match short(at) {
            "source-port" => matches.source_port = Some(ports(&fields.map(at)?, "source-port")?),
            "destination-port" => {
                matches.destination_port = Some(ports(&fields.map(at)?, "destination-port")?)
            }
            "direction-initiated" => matches.opened = Some(opened(fields.text(at)?)?),
            other => matches.unseen.push(format!("{}.{other}", short(word))),
        }
    }
    Ok(())
}

fn icmp(matches: &mut Matches, fields: &Fields<'_>) -> Result<(), EntryProblem> {
    for at in fields.entries().keys() {
        match short(at) {
            "type" => matches.icmp_type = Some(small(fields, at, "icmp type", 255)?),
            "code" => matches.icmp_code = Some(small(fields, at, "icmp code", 255)?),
            other => matches.unseen.push(format!("icmp.{other}")),
        }
    }
    Ok(())
}

fn frames(matches: &mut Matches, fields: &Fields<'_>) -> Result<(), EntryProblem> {
    for at in fields.entries().keys() {
        match short(at) {
            "ethertype" => {
                let ethertype = match fields.value(at)? {
                    Value::Text(text) => {
                        let digits = text.trim_start_matches("0x");
                        u16::from_str_radix(digits, 16).ok()
                    }
                    Value::Integer(number) => number.unsigned().and_then(|number| u16::try_from(number).ok()),
                    Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
                };
                matches.ethertype = Some(ethertype.ok_or(EntryProblem::Range("ethertype", 0, 0xffff))?);
            }
            other => matches.unseen.push(format!("eth.{other}")),
        }
    }
    Ok(())
}

fn ports(fields: &Fields<'_>, name: &'static str) -> Result<Ports, EntryProblem> {
    let port = |at: &str| match fields.optional_unsigned(at)?.map(u16::try_from) {
        None => Ok(None),
        Some(Ok(port)) => Ok(Some(port)),
        Some(Err(_)) => Err(EntryProblem::Range(name, 0, 65_535)),
    };
    if let (Some(least), Some(most)) = (port("lower-port")?, port("upper-port")?) {
        return if least <= most {
            Ok(Ports::Within(least, most))
        } else {
            Err(EntryProblem::Backwards(name))
        };
    }
    let single = port("port")?.ok_or(EntryProblem::Ports(name))?;
    match fields.optional_text("operator")?.map_or("eq", short) {
        "eq" => Ok(Ports::Within(single, single)),
        "neq" => Ok(Ports::Not(single)),
        "lte" => Ok(Ports::Within(0, single)),
        "gte" => Ok(Ports::Within(single, u16::MAX)),
        other => Err(EntryProblem::Operator(cut(other))),
    }
}

fn opened(text: &str) -> Result<Direction, EntryProblem> {
    match short(text) {
        "from-device" => Ok(Direction::Outbound),
        "to-device" => Ok(Direction::Inbound),
        other => Err(EntryProblem::Opened(cut(other))),
    }
}

fn small(fields: &Fields<'_>, at: &str, name: &'static str, most: u64) -> Result<u8, EntryProblem> {
    let number = fields.unsigned(at)?;
    u8::try_from(number).map_err(|_| EntryProblem::Range(name, 0, most))
}

fn network(text: &str) -> Result<Net, EntryProblem> {
    Net::parse(text).ok_or_else(|| EntryProblem::Network(cut(text)))
}

fn host(text: &str, below: bool) -> Result<HostName, EntryProblem> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let letters =
        |label: &str| label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let whole = |label: &str| !label.is_empty() && label.len() <= 63 && letters(label);
    if name.len() <= limits::HOST_NAME_BYTES && name.split('.').all(whole) {
        Ok(HostName { name: name.into_boxed_str(), below })
    } else {
        Err(EntryProblem::Name(cut(text).to_string()))
    }
}

/// An entry's own name and its list's, as findings and reports name it.
#[must_use]
pub fn place(list: &List, entry: &Entry) -> String {
    format!("{}/{}", list.name, entry.name)
}
