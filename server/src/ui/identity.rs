//! The identity of one device: how it stands, what asks for it, what makes us doubt it, and its history.
//!
//! The first line says whether it is in order; what waits for a person comes before the history. The acts on an
//! identity start here, each with a question of its own. Read next: [`super::device`] for the head,
//! `server/ui/identity.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::device::Head;
use super::marks::{fingerprint, short_ids};
use super::said::Said;
use super::{Frame, Markup, paths};

/// The page.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The device's head.
    pub head: Head,
    /// How the identity stands, in a sentence.
    pub answer: String,
    /// What follows from that, in a sentence.
    pub means: String,
    /// A key that waits for a person.
    pub asking: Option<Asking>,
    /// Why there may be more than one machine.
    pub doubt: Option<Doubt>,
    /// The last signed receipt.
    pub farewell: Option<Timestamp>,
    /// Its certificates.
    pub certificates: Vec<Certificate>,
    /// In which tier it keeps its key.
    pub protection: Option<Said>,
    /// What can be done: label, address, whether it is an end.
    pub acts: Vec<(&'static str, String, bool)>,
    /// What happened, newest first.
    pub events: Vec<Event>,
    /// The page with what was before.
    pub older: Option<String>,
}

/// A key that waits.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Its whole fingerprint.
    pub key: String,
    /// From where it asked.
    pub from: Said,
    /// What it brought.
    pub with: Said,
    /// Since when.
    pub since: Timestamp,
    /// Whether a person said yes already.
    pub approved: bool,
}

/// Why there may be more than one machine.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// What was seen.
    pub what: &'static str,
    /// What exactly.
    pub evidence: Said,
    /// When it was seen first.
    pub since: Timestamp,
}

/// One certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// How it stands: "In force".
    pub standing: &'static str,
    /// Its whole fingerprint.
    pub print: String,
    /// Its first second.
    pub from: Option<Timestamp>,
    /// Its last second.
    pub until: Option<Timestamp>,
    /// Why it was issued.
    pub why: Said,
}

/// Something that happened to the identity.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Said,
    /// Who did it.
    pub who: Said,
    /// Why.
    pub reason: Said,
    /// What changed by it.
    pub change: Said,
}

#[derive(Template)]
#[template(path = "identity.html")]
struct Page<'a> {
    frame: &'a Frame,
    head: &'a Head,
    tab: &'static str,
    page: &'a Identity,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Identity) -> String {
    super::page(&Page { frame, head: &page.head, tab: "identity", page })
}

impl Page<'_> {
    fn print(&self, digits: &str) -> Markup {
        fingerprint(digits)
    }

    fn ids(&self, text: &Said) -> Markup {
        short_ids(&text.to_string())
    }

    /// The question about the one key that waits.
    fn answer_href(&self, asking: &Asking, verb: &str) -> String {
        let key = format!("{}:{}", self.head.id, asking.key);
        paths::with_query(&paths::answer(verb), &[("key", &key)])
    }

    fn farewell_href(&self) -> String {
        paths::farewell(&self.head.id)
    }
}
