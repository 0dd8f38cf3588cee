//! Usage descriptions of makers: MUD files (RFC 8520) read, compiled for a device, written.
//!
//! A file is read whole or refused with the place and what to do. What it asks for and a sensor of flows cannot see (a
//! frame's address, a packet's lifetime) is kept as a note beside its entry, never dropped in silence. Nothing here
//! resolves a name, fetches a URL or opens a file. Read next: [`read`] for the file, [`entry`] for one entry,
//! [`compile`] for what a device gets, [`generate`] for the way back.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::canonical::{FieldError, ParseError};
use cordon_proto::limits;
use cordon_proto::mud::{HostName, Net, Ports};
use cordon_proto::telemetry::Direction;

pub mod check;
pub mod compile;
pub mod entry;
pub mod generate;
pub mod read;
#[cfg(test)]
mod tests;

/// Names below a name fit too: our own extension, since RFC 8520 knows no wildcards. Who does not know it reads the bare name.
pub const BELOW: &str = "cordon-below";

/// A MUD file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MudFile {
    /// Where the maker publishes it.
    pub url: String,
    /// When it last changed, as it says.
    pub last_update: String,
    /// Hours for which it may be kept unasked.
    pub cache_hours: u64,
    /// Whether the maker still looks after the device.
    pub supported: bool,
    /// What the maker says of the device, by the name of the field.
    pub words: Vec<(&'static str, String)>,
    /// Extensions that it names.
    pub extensions: Vec<String>,
    /// Lists for what the device sends, by name, in order.
    pub from_device: Vec<String>,
    /// Lists for what is sent to it.
    pub to_device: Vec<String>,
    /// All lists.
    pub lists: Vec<List>,
    /// What was passed over, with its place.
    pub passed_over: Vec<String>,
}

/// An access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Its name.
    pub name: String,
    /// Of what it speaks.
    pub kind: Kind,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
}

/// Of what a list speaks (RFC 8519).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Frames.
    Ethernet,
    /// Several, or it does not say.
    Mixed,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What packets it is about.
    pub matches: Matches,
    /// Whether they may pass.
    pub accept: bool,
}

/// The conditions of an entry. All that are set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// Classes of peers.
    pub classes: Vec<Class>,
    /// Only this version of IP.
    pub family: Option<u8>,
    /// Only this protocol of IP.
    pub protocol: Option<u8>,
    /// Only from this network.
    pub source: Option<Net>,
    /// Only to this network.
    pub destination: Option<Net>,
    /// Only from this name.
    pub source_name: Option<HostName>,
    /// Only to this name.
    pub destination_name: Option<HostName>,
    /// Only from this port.
    pub source_port: Option<Ports>,
    /// Only to this port.
    pub destination_port: Option<Ports>,
    /// Only on connections that this side opened.
    pub opened: Option<Direction>,
    /// Only ICMP messages of this type.
    pub icmp_type: Option<u8>,
    /// Only ICMP messages of this code.
    pub icmp_code: Option<u8>,
    /// The type of its frames, where it is about frames.
    pub ethertype: Option<u16>,
    /// Conditions that a sensor of flows cannot see, or that nobody here knows, as the file writes them.
    pub unseen: Vec<String>,
}

/// A class of peers (RFC 8520, 5 and 8).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Devices of this maker, by the authority of their MUD URL.
    Manufacturer(String),
    /// Devices of the same maker.
    SameManufacturer,
    /// Devices of this model, by their MUD URL.
    Model(String),
    /// Whoever is on the site.
    LocalNetworks,
    /// Controllers of this class.
    Controller(String),
    /// Controllers of this very device.
    MyController,
}

impl Class {
    /// As it is bound on a command line and shown.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Manufacturer(authority) => alloc::format!("manufacturer:{authority}"),
            Self::SameManufacturer => "same-manufacturer".into(),
            Self::Model(url) => alloc::format!("model:{url}"),
            Self::LocalNetworks => "local-networks".into(),
            Self::Controller(class) => alloc::format!("controller:{class}"),
            Self::MyController => "my-controller".into(),
        }
    }

    /// The class of such a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word.split_once(':') {
            Some(("manufacturer", authority)) => Self::Manufacturer(authority.into()),
            Some(("model", url)) => Self::Model(url.into()),
            Some(("controller", class)) => Self::Controller(class.into()),
            Some(_) => return None,
            None => match word {
                "same-manufacturer" => Self::SameManufacturer,
                "local-networks" => Self::LocalNetworks,
                "my-controller" => Self::MyController,
                _ => return None,
            },
        })
    }
}

impl MudFile {
    /// What the maker calls the device: its model, or what it says of it, or the URL.
    #[must_use]
    pub fn device(&self) -> &str {
        let said =
            |name: &str| self.words.iter().find(|(own, _)| *own == name).map(|(_, text)| text.as_str());
        said("model-name").or_else(|| said("systeminfo")).unwrap_or(&self.url)
    }

    /// The lists of a direction in order, as far as they exist.
    pub fn lists_of(&self, says: Direction) -> impl Iterator<Item = &List> {
        let names = match says {
            Direction::Outbound => &self.from_device,
            Direction::Inbound => &self.to_device,
        };
        names.iter().filter_map(|name| self.lists.iter().find(|list| list.name == *name))
    }
}

/// Why a file is no MUD file, or none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MudError {
    /// It is longer than any.
    #[error(
        "the file has more than {} bytes: split the device's duties over fewer entries",
        limits::MUD_BYTES
    )]
    TooLong,
    /// It is no JSON.
    #[error("the file is no JSON that is read here: {0}")]
    Json(#[from] ParseError),
    /// A field is missing or of another form.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// Another version of the form.
    #[error("mud-version is {0}: only version 1 is known, which RFC 8520 defines")]
    Version(u64),
    /// No lists.
    #[error(
        "the file has no `ietf-access-control-list:acls`: add the container with the lists that the policies name"
    )]
    NoLists,
    /// A policy names a list that is not there.
    #[error("the policy names the access list `{0}`, which is not in the file: add it or take the name out")]
    MissingList(String),
    /// Two lists, or two entries of one list, have one name.
    #[error("the name `{0}` stands twice: give each list, and each entry of a list, its own")]
    Twice(String),
    /// More lists or entries than are read.
    #[error("the file has more than {} lists or {} entries", limits::MUD_LISTS, limits::MUD_ENTRIES)]
    TooMany,
    /// An entry cannot be used.
    #[error("entry `{entry}` of list `{list}`: {problem}")]
    Entry {
        /// The list.
        list: String,
        /// The entry.
        entry: String,
        /// What is wrong, and what to do.
        problem: EntryProblem,
    },
}

/// What is wrong with an entry, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// A field is missing or of another form.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// A number is out of its bounds.
    #[error("`{0}` is out of range: it is a number from {1} to {2}")]
    Range(&'static str, u64, u64),
    /// A network is none.
    #[error("`{0}` is no network: write an address and the length of its prefix, such as 192.0.2.0/24")]
    Network(String),
    /// A name is none.
    #[error("`{0}` is no host name: write letters, digits, hyphens and dots, and no wildcard")]
    Name(String),
    /// A port condition is none.
    #[error(
        "`{0}` is no condition on ports: write {{\"operator\":\"eq\",\"port\":443}} or {{\"lower-port\":1024,\"upper-port\":2000}}"
    )]
    Ports(&'static str),
    /// An operator is unknown.
    #[error("the operator `{0}` is unknown: RFC 8519 has eq, neq, lte and gte")]
    Operator(String),
    /// A range ends before it begins.
    #[error("`{0}` ends before it begins: swap lower-port and upper-port")]
    Backwards(&'static str),
    /// A direction is none.
    #[error("direction-initiated is `{0}`: write from-device or to-device")]
    Opened(String),
    /// An action is none.
    #[error("forwarding is `{0}`: write accept, drop or reject")]
    Action(String),
    /// Ports of TCP in an entry about UDP, or the like.
    #[error("`{0}` conditions do not fit protocol {1}: take one of them out")]
    Contradiction(&'static str, u8),
}
