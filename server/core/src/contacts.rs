//! With whom a device talked: an index that answers who talked to this peer.
//!
//! Flow rows are many and stay where they are. Of each device one document keeps the peers and ports of its rows as digests,
//! each with the last day on which it was told. It may name a device too many, whose rows are then read, and never one too few: what it
//! forgot it says. Read next: [`Contacts::told`], [`sought::Sought`] for what is looked for.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::telemetry::FlowRow;
use cordon_proto::time::Timestamp;
use cordon_proto::wire;
use minicbor::{Decode, Encode};

use self::sought::Sought;

pub mod sought;
#[cfg(test)]
mod tests;

/// Peer of the rows in which a device sums what its report has no room for.
pub const OTHERS: &str = "others";
const DAY_S: i64 = 86_400;

/// A day of the server's clock, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Day(#[n(0)] u32);

/// What a device said about its connections, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Contacts {
    /// From this day on every row is in here.
    #[n(0)]
    since: Day,
    /// The last day of what had no room and was forgotten.
    #[n(1)]
    forgotten: Option<Day>,
    /// Digests and the last day of each, by digest.
    #[n(2)]
    terms: BTreeMap<u64, Day>,
}

/// Whether a device can have talked to what is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not.
    No,
    /// Its rows were told before the index, or were forgotten in it: only they can say.
    Unknown,
    /// Peer and port are both there; whether together, its rows say.
    Likely,
}

impl Day {
    /// The day of a point in time; the first or the last for what lies outside.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let days = at.0.div_euclid(DAY_S);
        Self(u32::try_from(days).unwrap_or(if days < 0 { 0 } else { u32::MAX }))
    }

    fn less(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl Contacts {
    /// Nothing, from this day on.
    #[must_use]
    pub fn from(today: Day) -> Self {
        Self { since: today, forgotten: None, terms: BTreeMap::new() }
    }

    /// Takes in rows that arrived today, and says whether that was news. What is older than rows are kept goes first, then
    /// what was told longest ago.
    pub fn told<'a>(
        &mut self,
        rows: impl IntoIterator<Item = &'a FlowRow>,
        today: Day,
        kept_days: u32,
    ) -> bool {
        let mut is_news = false;
        for row in rows {
            for term in sought::terms_of(row) {
                is_news |= self.terms.insert(term, today).is_none_or(|before| before < today);
            }
        }
        if is_news {
            let oldest = today.less(kept_days.saturating_add(1));
            self.terms.retain(|_, last| oldest <= *last);
            self.make_room();
        }
        is_news
    }

    fn make_room(&mut self) {
        let surplus = self.terms.len().saturating_sub(limits::CONTACT_TERMS);
        if surplus == 0 {
            return;
        }
        let mut by_age: Vec<(Day, u64)> = self.terms.iter().map(|(term, last)| (*last, *term)).collect();
        cordon_proto::sorting::sort(&mut by_age);
        for (last, term) in by_age.into_iter().take(surplus) {
            self.terms.remove(&term);
            self.forgotten = self.forgotten.max(Some(last));
        }
    }

    /// Whether the device can have told of what is sought on that day or later.
    #[must_use]
    pub fn standing(&self, sought: &Sought, since: Day) -> Standing {
        let is_told = |term: &u64| self.terms.get(term).is_some_and(|last| since <= *last);
        if sought.terms().iter().all(|some| some.iter().any(is_told)) {
            Standing::Likely
        } else if since < self.since || self.forgotten.is_some_and(|last| since <= last) {
            Standing::Unknown
        } else {
            Standing::No
        }
    }

    /// Whether on that day or later it summed peers that it had no room to name.
    #[must_use]
    pub fn has_unnamed(&self, since: Day) -> bool {
        self.terms.get(&digest(&["peer", OTHERS])).is_some_and(|last| since <= *last)
    }

    /// How many digests are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The bytes under `Key::Contacts`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        wire::write(self)
    }

    /// Reads stored bytes; `None` for what this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        wire::read(body, limits::CONTACTS_BYTES).ok()
    }
}

/// The digest of a term. Two terms with the same cost a look at rows, nothing else.
fn digest(words: &[&str]) -> u64 {
    let mut text = alloc::string::String::new();
    for word in words {
        text.push_str(word);
        text.push('\n');
    }
    let [a, b, c, d, e, f, g, h, ..] = *Sha256::of(text.as_bytes()).as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
