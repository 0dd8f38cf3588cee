//! Searching among connections: the form, and the devices that were found.
//!
//! What nobody can say stands beside what was found. Read next: `cordon_server_core::contacts`, `server/ui/contacts.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::Frame;
use super::said::Said;
use super::words::{bytes, number, plural};

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Contacts {
    /// What was typed.
    pub typed: Typed,
    /// Why it was not searched.
    pub fault: Said,
    /// Days that connections are kept.
    pub kept_days: u32,
    /// What was found; none: nothing was asked yet.
    pub answer: Option<Found>,
}

/// What was typed.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// With whom.
    pub peer: Said,
    /// At which port.
    pub port: Said,
    /// From when on.
    pub since: Said,
    /// Why.
    pub reason: Said,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What was looked for.
    pub sought: Said,
    /// From when on.
    pub since: Timestamp,
    /// Before when.
    pub until: Timestamp,
    /// Devices of this page.
    pub rows: Vec<Row>,
    /// Devices that had no room to name every peer.
    pub unnamed: u64,
    /// Where the next page begins; empty: there is none.
    pub next: String,
}

/// A device that talked to it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its page.
    pub href: String,
    /// Its name.
    pub name: Said,
    /// Where it stands.
    pub place: Said,
    /// Begin of the first interval with a connection.
    pub first: Timestamp,
    /// End of the last.
    pub last: Timestamp,
    /// Connections that began.
    pub connections: u64,
    /// Bytes from the device.
    pub bytes_out: u64,
    /// Bytes to the device.
    pub bytes_in: u64,
    /// Peers and services.
    pub with: Said,
}

#[derive(Template)]
#[template(path = "contacts.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Contacts,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Contacts) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    fn head(&self, answer: &Found) -> String {
        let here = plural(u64::try_from(answer.rows.len()).unwrap_or(u64::MAX), "device", "devices");
        if answer.next.is_empty() { here } else { format!("{here}, and more") }
    }

    fn unnamed(&self, answer: &Found) -> String {
        format!(
            "Unknown of {}: their reports had no room to name every peer in that time.",
            plural(answer.unnamed, "device", "devices")
        )
    }

    fn nobody(&self, answer: &Found) -> &'static str {
        if answer.next.is_empty() {
            "No device reported a connection with it in that time."
        } else {
            "None among the devices that were read so far."
        }
    }

    fn number(&self, count: &u64) -> String {
        number(*count)
    }

    fn bytes(&self, count: &u64) -> String {
        bytes(*count)
    }
}
