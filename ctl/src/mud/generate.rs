//! `mud generate`: a MUD file from what a device was seen to do.
//!
//! From flows it has names in full; from a learned profile only what a profile keeps, the registered part of a name, which
//! is written with our own extension for names below. A person reviews the file before it is signed: it describes what
//! was seen, an attack included. Read next: `cordon_server_core::mud::generate`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use cordon_agent_core::profile::Profile;
use cordon_agent_core::profile::kept::Profiles;
use cordon_agent_core::profile::key::{Key, Service, Who, is_local};
use cordon_proto::limits;
use cordon_proto::mud::Net;
use cordon_proto::telemetry::{Direction, Protocol};
use cordon_server_core::mud::generate::{About, Peer, Seen, generate};
use serde_json::json;

use super::flows::{Flow, read};
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::folder::write_whole;
use crate::report::Report;
use crate::session::Session;

/// High ports with one peer from which on they are taken for any.
const MANY_PORTS: usize = 4;
/// The port of the time.
const NTP: u16 = 123;

/// Write a MUD file from what was seen.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("seen").required(true)))]
pub struct Generate {
    /// A profile that `cordon-agent observe --save-profile` wrote.
    #[arg(long, value_name = "FILE", group = "seen")]
    pub profile: Option<PathBuf>,
    /// Flows that `cordon-agent observe` wrote.
    #[arg(long, value_name = "FILE", group = "seen")]
    pub flows: Option<PathBuf>,
    /// The device, where the file holds several: its address, or its name in the profile.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Where the file will be published.
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// What the device is, in a few words.
    #[arg(long, value_name = "TEXT")]
    pub system: String,
    /// Whose it is.
    #[arg(long, value_name = "TEXT")]
    pub maker: Option<String>,
    /// Its model.
    #[arg(long, value_name = "TEXT")]
    pub model: Option<String>,
    /// The new file; without it, standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl Generate {
    pub(super) fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        if !self.url.starts_with("https://") {
            return Err(Failure::Usage("--url must be an https URL: RFC 8520 knows no other".to_owned()));
        }
        let seen = match (&self.profile, &self.flows) {
            (Some(profile), _) => of_profile(&self.profile_of(profile)?),
            (None, Some(flows)) => {
                let wrong = |text: &String| Failure::Usage(format!("--device {text} is no address"));
                let device =
                    self.device.as_ref().map(|text| text.parse().map_err(|_| wrong(text))).transpose()?;
                of_flows(&read(flows, device)?.1)
            }
            (None, None) => return Err(Failure::Usage("give --profile or --flows".to_owned())),
        };
        let about = About {
            url: self.url.clone(),
            made: session.now.to_string(),
            system: self.system.clone(),
            maker: self.maker.clone(),
            model: self.model.clone(),
        };
        let text = generate(&about, &seen).map_err(|error| Failure::refused("too much", error))?;
        let json = serde_json::from_str(&text).map_err(|error| Failure::refused("MUD file", error))?;
        let Some(out) = &self.out else { return Ok(Report::new(text, json)) };
        write_whole(out, text.as_bytes())?;
        let different = seen.iter().collect::<BTreeSet<_>>().len();
        let line = format!(
            "{}: {different} different things were seen, two entries each. Read it before you sign it: what was seen is in it, good or bad\n",
            out.display()
        );
        Ok(Report::new(line, json!({"file": out.display().to_string(), "seen": different})))
    }

    fn profile_of(&self, path: &std::path::Path) -> Result<Profile, Failure> {
        let refuse =
            |what: String| Failure::refused("unusable profile", format!("{}: {what}", path.display()));
        let bytes = read_file(path, u64::try_from(limits::PROFILES_BYTES).unwrap_or(u64::MAX))?;
        let all = Profiles::decode(&bytes)
            .map_err(|error| refuse(format!("{error}: `cordon-agent observe --save-profile` writes them")))?;
        let names: Vec<&str> = all.devices.iter().map(|named| named.device.as_str()).collect();
        let wanted = |name: &str| self.device.as_deref().is_none_or(|device| device == name);
        let mut fitting = all.devices.iter().filter(|named| wanted(&named.device));
        match (fitting.next(), fitting.next()) {
            (Some(named), None) => Ok(named.profile.clone()),
            (Some(_), Some(_)) | (None, _) => {
                Err(refuse(format!("name one of its devices with --device: {}", names.join(", "))))
            }
        }
    }
}

/// What a profile holds, as things that were seen.
#[must_use]
pub fn of_profile(profile: &Profile) -> Vec<Seen> {
    profile.peers().iter().flat_map(|(key, _)| of_key(key)).collect()
}

fn of_key(key: &Key) -> Vec<Seen> {
    let four = |a: u8, b: u8| IpAddr::from([a, b, 0, 0]);
    let local = |address: IpAddr, prefix| {
        if is_local(address) { Some(Peer::Local) } else { Net::of(address, prefix).map(Peer::Net) }
    };
    let (peer, families): (Option<Peer>, &[bool]) = match &key.who {
        Who::Net4([a, b]) => (local(four(*a, *b), 16), &[false]),
        Who::Net6([a, b, c, d, e, f]) => {
            (local(IpAddr::from([*a, *b, *c, *d, *e, *f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 48), &[true])
        }
        Who::Group => (Some(Peer::Local), &[false, true]),
        Who::Anyone => (Some(Peer::Anyone), &[false, true]),
        // A name belongs to whoever is called; of who calls by it nothing is known.
        Who::Name(name) if key.direction == Direction::Outbound => {
            (Some(Peer::Name(name.to_string(), true)), &[false, true])
        }
        Who::Name(_) => (Some(Peer::Anyone), &[false, true]),
    };
    let ports = match (key.protocol, key.service) {
        (Protocol::Icmp, _) | (_, Service::Port(0)) => None,
        (Protocol::Tcp | Protocol::Udp, Service::Port(port)) => Some((port, port)),
        (Protocol::Tcp | Protocol::Udp, Service::High) => Some((1024, u16::MAX)),
    };
    let seen = |six: &bool| {
        let (protocol, opened, peer) = (key.protocol, key.direction, peer.clone()?);
        Some(Seen { protocol, six: *six, opened, ports, peer })
    };
    families.iter().filter_map(seen).collect()
}

/// Flows as things that were seen. More than a few high ports with one peer are any high port.
#[must_use]
pub fn of_flows(flows: &[Flow]) -> Vec<Seen> {
    let all: BTreeSet<Seen> = flows.iter().map(of_flow).collect();
    let high = |seen: &Seen| seen.ports.is_some_and(|(port, _)| port >= 1024);
    let widened = |seen: &Seen| {
        let alike = |other: &&Seen| Seen { ports: seen.ports, ..(*other).clone() } == *seen && high(other);
        let many = high(seen) && all.iter().filter(alike).count() > MANY_PORTS;
        Seen { ports: if many { Some((1024, u16::MAX)) } else { seen.ports }, ..seen.clone() }
    };
    let widened: BTreeSet<Seen> = all.iter().map(widened).collect();
    widened.into_iter().collect()
}

fn of_flow(flow: &Flow) -> Seen {
    let outbound = flow.opened == Direction::Outbound;
    let site = is_local(flow.peer) || flow.peer.is_multicast() || flow.peer == IpAddr::from([255; 4]);
    let time = outbound && (flow.protocol, flow.peer_port) == (Protocol::Udp, NTP);
    let whole = if flow.peer.is_ipv4() { 32 } else { 128 };
    let peer = match &flow.name {
        _ if site => Peer::Local,
        _ if time => Peer::Anyone,
        Some(name) if is_host(name) => Peer::Name(name.clone(), false),
        Some(_) | None => Net::of(flow.peer, whole).map_or(Peer::Anyone, Peer::Net),
    };
    let service = flow.service();
    let ports = (flow.protocol != Protocol::Icmp && service != 0).then_some((service, service));
    Seen { protocol: flow.protocol, six: flow.peer.is_ipv6(), opened: flow.opened, ports, peer }
}

/// Whether a name can stand in a MUD file.
fn is_host(name: &str) -> bool {
    let letters =
        |label: &str| label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let name = name.trim_end_matches('.');
    name.len() <= limits::HOST_NAME_BYTES
        && name.split('.').all(|label| !label.is_empty() && label.len() <= 63 && letters(label))
}
