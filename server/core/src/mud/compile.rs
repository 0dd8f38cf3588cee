//! From a MUD file to the rules that a device holds, with what the site knows put in.
//!
//! A class that the site has not bound stands for whoever is local: that may hide a stranger on the site and is said. A
//! condition that flows do not show is left out and said. An entry that no flow can ever meet (frames, other protocols,
//! a name on the wrong side) becomes no rule and is said. Read next: [`super::check`], which shows the same notes.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::mud::{Net, Place, Rule, Usage};
use cordon_proto::telemetry::{Direction, Protocol};

use super::{Class, Entry, Kind, List, Matches, MudFile, entry};

/// What a site knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Its networks beside the private ones.
    pub local: Vec<Net>,
    /// Who its controllers and other classes are.
    pub bound: Vec<(Class, Net)>,
}

/// What a file became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// What a device holds.
    pub usage: Usage,
    /// For each rule, the entry it came from.
    pub names: Vec<String>,
    /// What became of entries that are not rules one to one.
    pub notes: Vec<Note>,
}

/// Something to know of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which entry, with its list.
    pub entry: String,
    /// What.
    pub what: Remark,
}

/// What there is to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// It is about frames, which are no flows.
    Frames,
    /// It is about a protocol of IP that has no flows here.
    Protocol(u8),
    /// It never fits: the name or network is the device's own side, or of the other version of IP.
    Never(&'static str),
    /// A condition that flows do not show is left out.
    Unseen(String),
    /// A class that the site has not bound: whoever is local fits.
    Unbound(String),
    /// It has no condition at all.
    Anything,
}

/// Compiles a file for a site.
#[must_use]
pub fn compile(file: &MudFile, site: &Site) -> Compiled {
    let (mut rules, mut names, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for says in [Direction::Outbound, Direction::Inbound] {
        for list in file.lists_of(says) {
            for entry in &list.entries {
                let name = entry::place(list, entry);
                let mut remarks = Vec::new();
                if let Some(rule) = rule(says, (list, entry), site, &mut remarks) {
                    rules.push(rule);
                    names.push(name.clone());
                }
                notes.extend(remarks.into_iter().map(|what| Note { entry: name.clone(), what }));
            }
        }
    }
    let usage = Usage::of(Text::lossy(file.device()), site.local.clone(), rules);
    Compiled { usage, names, notes }
}

fn rule(
    says: Direction,
    (list, entry): (&List, &Entry),
    site: &Site,
    told: &mut Vec<Remark>,
) -> Option<Rule> {
    let asked = &entry.matches;
    let frames = asked.ethertype.is_some_and(|kind| !matches!(kind, 0x0800 | 0x86dd));
    if frames || list.kind == Kind::Ethernet {
        told.push(Remark::Frames);
        return None;
    }
    let protocol = match asked.protocol {
        None => None,
        Some(6) => Some(Protocol::Tcp),
        Some(17) => Some(Protocol::Udp),
        Some(1 | 58) => Some(Protocol::Icmp),
        Some(other) => {
            told.push(Remark::Protocol(other));
            return None;
        }
    };
    // The peer of what the device sends is the destination, of what it is sent the source.
    let (net, own_net) = turned(says, asked.destination, asked.source);
    let (name, own_name) = turned(says, &asked.destination_name, &asked.source_name);
    let (peer_port, own_port) = turned(says, asked.destination_port, asked.source_port);
    if own_name.is_some() {
        told.push(Remark::Never(
            "the name stands on the device's own side: swap src-dnsname and dst-dnsname",
        ));
        return None;
    }
    if asked.family.zip(net).is_some_and(|(family, net)| net.family() != family) {
        told.push(Remark::Never("the network is of the other version of IP: write one of the list's own"));
        return None;
    }
    if own_net.is_some() {
        told.push(Remark::Unseen("the device's own network".into()));
    }
    told.extend(asked.unseen.iter().cloned().map(Remark::Unseen));
    if *asked == (Matches { family: asked.family, ..Matches::default() }) {
        told.push(Remark::Anything);
    }
    Some(Rule {
        says,
        accept: entry.accept,
        family: asked.family,
        protocol,
        place: place(&asked.classes, site, told),
        net,
        name: name.clone(),
        peer_port,
        own_port,
        opened: asked.opened,
        icmp_type: asked.icmp_type,
        icmp_code: asked.icmp_code,
    })
}

/// The peer's side and the device's own of a pair that the file writes as destination and source.
fn turned<T>(says: Direction, destination: T, source: T) -> (T, T) {
    match says {
        Direction::Outbound => (destination, source),
        Direction::Inbound => (source, destination),
    }
}

/// The peers of some classes, of which a file names one. A second one only narrows what the first lets through.
fn place(classes: &[Class], site: &Site, told: &mut Vec<Remark>) -> Place {
    let mut place = Place::Anywhere;
    for class in classes {
        let bound: Vec<Net> =
            site.bound.iter().filter(|(own, _)| own == class).map(|(_, net)| *net).collect();
        let of_class = match (class, bound.is_empty()) {
            (Class::LocalNetworks, true) => Place::Local,
            (_, true) => {
                told.push(Remark::Unbound(class.word()));
                Place::Local
            }
            (_, false) => Place::Bound(bound.into_iter().take(limits::MUD_BOUND).collect()),
        };
        if !matches!(place, Place::Bound(_)) {
            place = of_class;
        }
    }
    place
}
