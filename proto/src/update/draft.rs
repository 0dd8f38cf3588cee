//! A draft: what somebody wants to change in the owner's document of orders, as changes and not as a document.
//!
//! The document holds all live orders, so of two people who each made the next version one would lose. A draft says what
//! comes and what goes; [`lay`] puts that onto whatever is in force, and says so where the two contradict each other.
//! The order in which changes are named means nothing. A draft is no authority: what counts is the document that people
//! sign after they have seen it whole. Read next: [`summary`], which they see first.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::author;
use super::delegation::Delegations;
use super::metadata::{TargetFile, Targets};
use super::order::Order;
use super::release::{Listed, digest, digest_value};
use super::scope::Scope;
use super::unreadable::{Unreadable, bounded, parsed, version_one};
use crate::canonical::{FieldProblem, Fields, Value};
use crate::ids::{Name, TargetPath, Text};
use crate::limits;
use crate::time::Timestamp;

/// Bytes of a document of orders that people sign: a quarter less than devices read, for its signatures and for those
/// who come later.
pub const SIGNED_BYTES: usize = limits::DEVICE_TARGETS_BYTES * 3 / 4;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most changes are orders that come, and there are at most a few hundred"
)]
pub enum Intent {
    /// An order that comes.
    Add(Order),
    /// An order that goes, with its way back.
    Withdraw(Name),
}

/// What somebody wants to change, and over what they thought it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its name.
    pub name: Name,
    /// The version of the document of orders over which it was made; 0 where there was none.
    pub base: u64,
    /// The changes; none where the document only gets a later end.
    pub intents: Vec<Intent>,
    /// When the next document expires.
    pub expires: Timestamp,
    /// Who made it, in their own words.
    pub by: Text,
    /// When.
    pub made: Timestamp,
}

/// Why changes cannot be laid onto the orders in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// Another order has the name.
    #[error("another order is called {0}: name yours otherwise")]
    NameTaken(Name),
    /// The order that is to go is not there.
    #[error("the order {0} is not in force any more: somebody else withdrew it, or it is over")]
    Gone(Name),
    /// More orders than a document holds.
    #[error("there would be more than {} live orders: withdraw those that are done", limits::ORDERS)]
    TooMany,
    /// A larger document than people sign.
    #[error("the document would have {bytes} bytes, at most {}: withdraw orders that are done", SIGNED_BYTES)]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
}

impl Draft {
    /// Reads a draft.
    ///
    /// # Errors
    /// The first field that is unknown, missing or out of bounds.
    pub fn read(value: &Value) -> Result<Self, Unreadable> {
        let fields = value.map()?;
        version_one(&fields)?;
        fields.only(&["v", "name", "base", "intents", "expires", "by", "made"])?;
        let expires = fields.time("expires")?;
        let listed = fields.maps("intents")?;
        if listed.len() > limits::DRAFT_INTENTS {
            return Err(fields.error("intents", FieldProblem::Range).into());
        }
        let intents = listed.iter().map(|intent| Intent::read(intent, expires));
        Ok(Self {
            name: parsed(&fields, "name", "a draft's name")?,
            base: fields.unsigned("base")?,
            intents: intents.collect::<Result<_, _>>()?,
            expires,
            by: parsed(&fields, "by", "a name of 1 to 256 characters")?,
            made: fields.time("made")?,
        })
    }

    /// The draft as a document.
    #[must_use]
    pub fn value(&self) -> Value {
        Value::object([
            ("v", Value::from(1_u64)),
            ("name", self.name.as_str().into()),
            ("base", self.base.into()),
            ("intents", Value::list(self.intents.iter().map(Intent::value))),
            ("expires", self.expires.into()),
            ("by", self.by.as_str().into()),
            ("made", self.made.into()),
        ])
    }
}

impl Intent {
    fn read(fields: &Fields<'_>, document_expires: Timestamp) -> Result<Self, Unreadable> {
        fields.only(&["add", "withdraw"])?;
        match (fields.optional_map("add")?, fields.optional_text("withdraw")?) {
            (Some(add), None) => {
                let path: TargetPath = parsed(&add, "path", "the target path of an order")?;
                let length = bounded(&add, "length", 1, limits::IMAGE_BYTES)?;
                let custom = add.value("custom")?;
                let listed = Listed { path: &path, length, sha256: digest(&add)?, custom };
                Ok(Self::Add(Order::read(listed, document_expires)?))
            }
            (None, Some(_)) => Ok(Self::Withdraw(parsed(fields, "withdraw", "an order's name")?)),
            (Some(_), Some(_)) | (None, None) => {
                Err(fields.error("add", FieldProblem::Form("exactly one of add and withdraw")).into())
            }
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Add(order) => {
                let listed = [
                    ("path", Value::from(order.path().as_str())),
                    ("length", order.image.length.into()),
                    ("sha256", digest_value(order.image.sha256)),
                    ("custom", order.custom()),
                ];
                Value::object([("add", Value::object(listed))])
            }
            Self::Withdraw(name) => Value::object([("withdraw", Value::from(name.as_str()))]),
        }
    }
}

/// The changes that lead from one document to another.
#[must_use]
pub fn intents(before: &[Order], after: &[Order]) -> Vec<Intent> {
    let comes = after.iter().filter(|order| !before.contains(order)).cloned().map(Intent::Add);
    let stays = |order: &&Order| after.iter().any(|other| other.id == order.id);
    let goes = before.iter().filter(|order| !stays(order));
    comes.chain(goes.map(|order| Intent::Withdraw(order.id.clone()))).collect()
}

/// The orders that are in force once the changes are laid onto `base`, sorted by name.
///
/// # Errors
/// A change contradicts what is in force or another change, or there would be too much.
pub fn lay(base: &[Order], intents: &[Intent]) -> Result<Vec<Order>, Clash> {
    let mut orders: BTreeMap<&Name, &Order> = BTreeMap::new();
    orders.extend(base.iter().map(|order| (&order.id, order)));
    let goes: BTreeSet<&Name> = intents
        .iter()
        .filter_map(|intent| match intent {
            Intent::Withdraw(name) => Some(name),
            Intent::Add(_) => None,
        })
        .collect();
    // All of what comes is looked at before anything goes: a name is used once, and the order of changes means nothing.
    for intent in intents {
        let Intent::Add(order) = intent else { continue };
        let known = orders.insert(&order.id, order);
        if known.is_some_and(|known| known != order) || goes.contains(&order.id) {
            return Err(Clash::NameTaken(order.id.clone()));
        }
    }
    for name in goes {
        orders.remove(name).ok_or_else(|| Clash::Gone(name.clone()))?;
    }
    let orders: Vec<Order> = orders.into_values().cloned().collect();
    if orders.len() > limits::ORDERS {
        return Err(Clash::TooMany);
    }
    let bytes = author::targets(&document(0, Timestamp(0), &orders)).json().len();
    if bytes > SIGNED_BYTES { Err(Clash::TooLarge { bytes }) } else { Ok(orders) }
}

/// The document that lists these orders.
#[must_use]
pub fn document(version: u64, expires: Timestamp, orders: &[Order]) -> Targets {
    let listed = |order: &Order| {
        let file = TargetFile::new(order.image.length, order.image.sha256, Some(order.custom()));
        (order.path().as_str().to_owned(), file)
    };
    let targets = orders.iter().map(listed).collect();
    Targets { version, expires, targets, delegations: Delegations::default() }
}

/// One line of a summary: the orders of one release that come, or that go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whether they come.
    pub comes: bool,
    /// The release.
    pub release: TargetPath,
    /// The orders.
    pub orders: Vec<Name>,
    /// Devices that are listed for them.
    pub devices: u64,
    /// Whether one of them is for every device of some kind, new ones too.
    pub open: bool,
    /// When the last of them ends.
    pub until: Timestamp,
}

/// What one person sees first of many changes: a line for each release whose orders come or go.
#[must_use]
pub fn summary(before: &[Order], after: &[Order]) -> Vec<Line> {
    let comes = after.iter().filter(|order| !before.contains(order)).map(|order| (true, order));
    let goes = before.iter().filter(|order| !after.contains(order)).map(|order| (false, order));
    let mut lines: BTreeMap<(bool, &TargetPath), Line> = BTreeMap::new();
    for (comes, order) in comes.chain(goes) {
        let release = &order.image.release;
        let line = lines.entry((!comes, release)).or_insert_with(|| Line {
            comes,
            release: release.clone(),
            orders: Vec::new(),
            devices: 0,
            open: false,
            until: order.expires,
        });
        line.orders.push(order.id.clone());
        line.until = line.until.max(order.expires);
        match &order.scope {
            Scope::Set { count, .. } => line.devices = line.devices.saturating_add(*count),
            Scope::Match { .. } => line.open = true,
        }
    }
    lines.into_values().collect()
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.comes { "adds" } else { "withdraws" };
        let names: Vec<&str> = self.orders.iter().map(Name::as_str).collect();
        let plural = |count: u64, word: &str| -> String {
            alloc::format!("{count} {word}{}", if count == 1 { "" } else { "s" })
        };
        let orders = plural(u64::try_from(names.len()).unwrap_or(u64::MAX), "order");
        let devices = match (self.devices, self.open) {
            (0, _) => "every device of a kind".to_owned(),
            (count, false) => plural(count, "device"),
            (count, true) => alloc::format!("{} and every device of a kind", plural(count, "device")),
        };
        write!(
            f,
            "{verb} {orders} of {} for {devices}, until {}: {}",
            self.release,
            self.until,
            names.join(", ")
        )
    }
}

#[cfg(test)]
mod tests;
