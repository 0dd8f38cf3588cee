//! What changed of an inventory: rows that went, rows that came, and the roots before and after.
//!
//! One updated package costs two hashes and a row instead of a thousand rows. Nothing is taken on trust: whoever applies a
//! delta computes both roots, and asks for the whole where one differs, so that a lost delta costs a few kilobytes and
//! never a wrong list. Read next: [`super::Inventory`].

use alloc::vec::Vec;
use core::cmp::Ordering;

use minicbor::{Decode, Encode};

use super::{Inventory, Row, Section};
use crate::ids::{Sha256, Text};
use crate::limits;
use crate::wire::WireError;

/// The difference between two inventories.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Delta {
    /// Root of the inventory that it starts from.
    #[n(0)]
    pub base: Sha256,
    /// Root of the inventory that it leads to.
    #[n(1)]
    pub root: Sha256,
    /// Rows that went, in order.
    #[n(2)]
    pub removed: Vec<RowName>,
    /// Rows that came, or came in the place of the one with their name, in order.
    #[n(3)]
    pub added: Vec<Row>,
}

/// What a row is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct RowName {
    /// What it is about.
    #[n(0)]
    pub section: Section,
    /// Its key within the section.
    #[n(1)]
    pub key: Text,
}

/// Why a delta leads nowhere. Either way the whole inventory is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It starts from another inventory than this one.
    #[error("the change is about another inventory than the one held: the whole is asked for")]
    Base,
    /// What came out is not what it says.
    #[error("the change leads to another inventory than it says: the whole is asked for")]
    Root,
}

impl Delta {
    /// What leads from one inventory to another.
    #[must_use]
    pub fn between(base: &Inventory, now: &Inventory) -> Self {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let (mut before, mut after) = (base.rows.iter().peekable(), now.rows.iter().peekable());
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => (old.section, &old.key).cmp(&(new.section, &new.key)),
            };
            let old = if order == Ordering::Greater { None } else { before.next() };
            let new = if order == Ordering::Less { None } else { after.next() };
            match (old, new) {
                (Some(old), None) => removed.push(RowName { section: old.section, key: old.key.clone() }),
                (old, Some(new)) if old != Some(new) => added.push(new.clone()),
                _ => {}
            }
        }
        Self { base: base.root(), root: now.root(), removed, added }
    }

    /// How many rows it speaks of.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.removed.len() + self.added.len()
    }

    /// The inventory that it leads to, from the one that it must start from.
    pub fn apply(self, base: &Inventory) -> Result<Inventory, Mismatch> {
        if base.root() != self.base {
            return Err(Mismatch::Base);
        }
        let Self { base: _, root, removed, added } = self;
        let goes = |row: &&Row| {
            let is_removed =
                removed.binary_search_by(|name| (name.section, &name.key).cmp(&(row.section, &row.key)));
            let is_replaced =
                added.binary_search_by(|new| (new.section, &new.key).cmp(&(row.section, &row.key)));
            is_removed.is_ok() || is_replaced.is_ok()
        };
        let mut rows: Vec<Row> = base.rows.iter().filter(|row| !goes(row)).cloned().collect();
        rows.extend(added);
        let now = Inventory::new(rows);
        if now.root() == root { Ok(now) } else { Err(Mismatch::Root) }
    }

    /// The delta if it keeps its bounds and order, as it must after travelling.
    pub(crate) fn bounded(self) -> Result<Self, WireError> {
        if self.rows() > limits::INVENTORY_ROWS {
            return Err(WireError::TooMany { limit: limits::INVENTORY_ROWS });
        }
        let in_order = self.removed.is_sorted_by(|one, other| one < other) && super::in_order(&self.added);
        if in_order && self.added.iter().all(super::fits) { Ok(self) } else { Err(WireError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec;
    use alloc::{collections::BTreeMap, format};

    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::{Body, Position};
    use crate::time::Millis;
    use crate::wire;

    fn row(key: &str, version: &str) -> Row {
        Row { section: Section::Package, key: Text::lossy(key), fields: vec![version.to_string()] }
    }

    #[test]
    fn one_changed_package_costs_less_than_three_hundred_bytes() {
        // Goal: the bar of the wire, before compression. Method: a thousand packages, one of them newer.
        let of = |version: &str| {
            let package = |n: usize| Row {
                section: Section::Package,
                key: Text::lossy(&format!("deb/libward-component{n}/amd64")),
                fields: vec![version.to_string(), "ward-source".to_string(), "1.2.3-4+deb12u1".to_string()],
            };
            let others = (1..1000).map(package).map(|row| Row { fields: vec!["1".to_string()], ..row });
            Inventory::new(others.chain([package(0)]).collect())
        };
        let delta = Delta::between(&of("3.0.11-1~deb12u2"), &of("3.0.15-1~deb12u1"));
        assert_eq!((delta.removed.len(), delta.added.len()), (0, 1));
        let record =
            Body::InventoryDelta(delta).record(Position { boot: 70, sequence: 4000 }, Millis(1 << 40));
        assert!(wire::write(&record).len() <= 300, "{}", wire::write(&record).len());
        let none = Delta::between(&of("1"), &of("1"));
        assert_eq!((none.rows(), none.base), (0, none.root));
    }

    #[test]
    fn a_delta_of_another_inventory_or_of_a_liar_leads_nowhere() {
        // Goal: a wrong list is never taken. Method: another base; another root; a removed row put back.
        let before = Inventory::new(vec![row("deb/a/all", "1"), row("deb/b/all", "1")]);
        let after = Inventory::new(vec![row("deb/b/all", "2"), row("deb/c/all", "1")]);
        let delta = Delta::between(&before, &after);
        assert_eq!(delta.clone().apply(&before), Ok(after.clone()));
        assert_eq!(delta.clone().apply(&after), Err(Mismatch::Base));
        assert_eq!(Delta { root: before.root(), ..delta.clone() }.apply(&before), Err(Mismatch::Root));
        assert_eq!(Delta { removed: vec![], ..delta }.apply(&before), Err(Mismatch::Root));
    }

    #[test]
    fn a_delta_out_of_order_is_refused() {
        // Goal: rows are found by search, so their order must hold. Method: swapped and doubled rows and names.
        let of = |delta: Delta| {
            Body::of(&Body::InventoryDelta(delta).record(Position::default(), Millis(0))).map(|_| ())
        };
        let rows = |keys: &[&str]| keys.iter().map(|key| row(key, "1")).collect::<Vec<_>>();
        let names = |keys: &[&str]| {
            let name = |row: Row| RowName { section: row.section, key: row.key };
            rows(keys).into_iter().map(name).collect::<Vec<_>>()
        };
        let (base, root) = (Sha256([0; 32]), Sha256([0; 32]));
        let delta = |removed: &[&str], added: &[&str]| Delta {
            base,
            root,
            removed: names(removed),
            added: rows(added),
        };
        assert_eq!(of(delta(&["a", "b"], &["a", "b"])), Ok(()));
        assert_eq!(of(delta(&["b", "a"], &[])), Err(WireError::Malformed));
        assert_eq!(of(delta(&["a", "a"], &[])), Err(WireError::Malformed));
        assert_eq!(of(delta(&[], &["b", "a"])), Err(WireError::Malformed));
    }

    proptest! {
        #[test]
        fn any_two_inventories_are_joined_by_their_delta(
            before in prop::collection::btree_map("[a-d]{1,2}", "[1-3]", 0..12),
            after in prop::collection::btree_map("[a-d]{1,2}", "[1-3]", 0..12),
        ) {
            let of = |rows: &BTreeMap<String, String>| {
                Inventory::new(rows.iter().map(|(key, version)| row(key, version)).collect())
            };
            let (before, after) = (of(&before), of(&after));
            let delta = Delta::between(&before, &after);
            let record = Body::InventoryDelta(delta.clone()).record(Position::default(), Millis(0));
            prop_assert_eq!(Body::of(&record), Ok(Some(Body::InventoryDelta(delta.clone()))));
            prop_assert_eq!(delta.apply(&before), Ok(after));
        }
    }
}
