//! What a pack proves: the last word of each device on each issue of an order.
//!
//! An order may be signed anew under its name, with another image, list or time; each issue stands for itself, and a receipt
//! counts for one of them alone: of those that it can answer, the one that was signed last. A device is its hardware, so
//! one that was enrolled twice is one device. Read next: [`super::verify`] for the check of the pack itself.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::audit::SignedHead;
use cordon_proto::ids::{DeviceId, HardwareId, TargetPath};
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;

use super::Approved;

/// What a pack proves.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The server that made it, by its own word.
    pub owner: String,
    /// What was asked for.
    pub asked: String,
    /// When it was made, by the server's clock.
    pub made: Timestamp,
    /// The orders, each issue of a name for itself, with whose keys approved it.
    pub orders: Vec<Approved>,
    /// What devices stated of these orders: one word for each device and issue, the last one.
    pub words: Vec<Word>,
    /// Receipts that are the devices' own but prove nothing for these orders: an older order of the name, another image.
    pub others: usize,
    /// Words that were left out because their devices stand in no list of their order; see [`Verified::only`].
    pub outside: usize,
    /// Devices that spoke under more than one identity.
    pub renamed: usize,
    /// When releases came to the server, by its word.
    pub available: Vec<(TargetPath, Timestamp)>,
    /// Rollouts, as the server stored them.
    pub rollouts: Vec<String>,
    /// Entries of the audit log.
    pub entries: usize,
    /// Lines of the body.
    pub lines: u64,
    /// The head that covers all of it.
    pub head: SignedHead,
    /// Heads that the reader kept from before: the log of this head goes on from each of them.
    pub kept: Vec<SignedHead>,
}

/// The last word of one device on one issue of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The place of the issue in [`Verified::orders`].
    pub issue: usize,
    /// What the device stated.
    pub body: ReceiptBody,
}

impl Verified {
    /// What devices stated of this very issue.
    pub fn of<'a>(&'a self, order: &Approved) -> impl Iterator<Item = &'a ReceiptBody> {
        let issue = self.orders.iter().position(|one| one == order);
        self.words.iter().filter(move |word| Some(word.issue) == issue).map(|word| &word.body)
    }

    /// Devices of an order's list that proved nothing; unknown for an order by facts. As long as the list itself was not
    /// looked at, see [`Verified::only`], there may be more of them.
    #[must_use]
    pub fn silent(&self, order: &Approved) -> Option<u64> {
        let Scope::Set { count, .. } = order.order.scope else { return None };
        let proved = self.of(order).count();
        Some(count.saturating_sub(u64::try_from(proved).unwrap_or(u64::MAX)))
    }

    /// Devices that ended so.
    #[must_use]
    pub fn ended(&self, order: &Approved, outcome: Outcome) -> usize {
        self.of(order).filter(|body| body.outcome == outcome).count()
    }

    /// Keeps only the words of devices for which `listed` says that they stand in the list of their order.
    pub fn only(&mut self, listed: impl Fn(&Order, &HardwareId) -> bool) {
        let (orders, before) = (&self.orders, self.words.len());
        self.words
            .retain(|word| orders.get(word.issue).is_some_and(|one| listed(&one.order, &word.body.hardware)));
        self.outside += before - self.words.len();
    }
}

/// Receipts, counted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) words: Vec<Word>,
    pub(super) others: usize,
    pub(super) renamed: usize,
}

impl Counted {
    pub(super) fn of(stated: &[ReceiptBody], orders: &[Approved]) -> Self {
        let mut last: BTreeMap<(usize, HardwareId), &ReceiptBody> = BTreeMap::new();
        let mut identities: BTreeMap<HardwareId, BTreeSet<DeviceId>> = BTreeMap::new();
        let mut others = 0;
        for body in stated {
            let Some(issue) = issue_of(body, orders) else {
                others += 1;
                continue;
            };
            identities.entry(body.hardware).or_default().insert(body.device);
            let known = last.entry((issue, body.hardware)).or_insert(body);
            if known.time <= body.time {
                *known = body;
            }
        }
        let words = last.into_iter().map(|((issue, _), body)| Word { issue, body: body.clone() });
        let renamed = identities.values().filter(|names| names.len() > 1).count();
        Self { words: words.collect(), others, renamed }
    }
}

/// The issue that a receipt answers: of those of its name that it can answer, the one that was signed last. A device refuses
/// an order before its `issued`, so what is older than an issue answers one before it.
fn issue_of(body: &ReceiptBody, orders: &[Approved]) -> Option<usize> {
    let answered = orders.iter().enumerate().filter(|(_, approved)| counts(body, &approved.order));
    answered.max_by_key(|(_, approved)| (approved.order.issued, approved.document)).map(|(place, _)| place)
}

/// Whether a receipt can prove something for this very order.
fn counts(body: &ReceiptBody, order: &Order) -> bool {
    let image = match body.outcome {
        Outcome::Confirmed => body.sha256 == order.image.sha256,
        Outcome::WentBack => order.back.as_ref().is_some_and(|back| body.sha256 == back.image.sha256),
        Outcome::RolledBack | Outcome::Refused => true,
    };
    body.order == order.id && image && body.time >= order.issued
}
