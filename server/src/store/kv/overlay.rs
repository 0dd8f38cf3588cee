//! The writes of one group before they are written: what the next caller of the same group already sees.
//!
//! Each caller's writes are set aside until it has succeeded, so a conflict leaves no trace in the group's batch.

use std::collections::BTreeMap;

use cordon_server_core::change::{Key, Row};

use super::frame::{self, COUNTERS_KEY};
use super::{Space, Span, View, WriteBatch};
use crate::store::StoreError;
use crate::store::archive::Counters;

/// A key and a value as the engine keeps them.
type Pair = (Vec<u8>, Vec<u8>);
type Entries = BTreeMap<(Space, Vec<u8>), Option<Vec<u8>>>;

/// A moment of the engine with the group's writes over it.
pub(super) struct Overlay<'v> {
    base: &'v dyn View,
    kept: Entries,
    tried: Entries,
    frees: bool,
}

impl<'v> Overlay<'v> {
    pub(super) fn new(base: &'v dyn View) -> Self {
        Self { base, kept: Entries::new(), tried: Entries::new(), frees: true }
    }

    /// Runs one caller's write: its entries are kept if it succeeds, and forgotten if it does not.
    pub(super) fn attempt<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let answer = write(self);
        let tried = std::mem::take(&mut self.tried);
        if answer.is_ok() {
            self.frees &= tried.iter().all(|((space, _), value)| *space == Space::Own || value.is_none());
            self.kept.extend(tried);
        }
        answer
    }

    /// The batch of all that succeeded.
    pub(super) fn into_batch(self) -> WriteBatch {
        WriteBatch { entries: self.kept, frees: self.frees }
    }

    /// A payload as the group sees it.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let place = (space, key.to_vec());
        let value = match self.tried.get(&place).or_else(|| self.kept.get(&place)) {
            Some(value) => value.clone(),
            None => self.base.get(space, key)?,
        };
        value.map(|value| frame::open(space, key, &value).map(<[u8]>::to_vec)).transpose()
    }

    /// Writes a payload.
    pub(super) fn put(&mut self, space: Space, key: Vec<u8>, payload: &[u8]) {
        let value = frame::seal(space, &key, payload);
        self.tried.insert((space, key), Some(value));
    }

    /// Removes a payload.
    pub(super) fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.tried.insert((space, key), None);
    }

    /// A document.
    pub(super) fn row(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        let payload = self.get(Space::Rows, &key.to_bytes())?;
        let row = payload
            .map(|payload| frame::row_of(&payload).ok_or_else(|| StoreError::Corrupt(key.to_string())));
        row.transpose()
    }

    /// Writes a document.
    pub(super) fn put_row(&mut self, key: &Key, row: &Row) {
        self.put(Space::Rows, key.to_bytes(), &frame::row_bytes(row));
    }

    /// Removes a document.
    pub(super) fn delete_row(&mut self, key: &Key) {
        self.delete(Space::Rows, key.to_bytes());
    }

    /// The store's numbers.
    pub(super) fn counters(&self) -> Result<Counters, StoreError> {
        match self.get(Space::Own, COUNTERS_KEY)? {
            Some(payload) => {
                Counters::from_bytes(&payload).ok_or_else(|| frame::damaged(Space::Own, COUNTERS_KEY))
            }
            None => Ok(Counters::default()),
        }
    }

    /// Moves the store's numbers.
    pub(super) fn set_counters(&mut self, counters: Counters) {
        self.put(Space::Own, COUNTERS_KEY.to_vec(), &counters.to_bytes());
    }

    /// At most `limit` pairs of a span, of the engine's moment: only for a write that is alone in its group.
    pub(super) fn some_of(&self, span: &Span, limit: usize) -> Result<Vec<Pair>, StoreError> {
        use std::ops::ControlFlow::{Break, Continue};
        let mut pairs = Vec::new();
        self.base.range(span, &mut |key, value| {
            pairs.push((key.to_vec(), value.to_vec()));
            if pairs.len() < limit { Continue(()) } else { Break(()) }
        })?;
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::kv::Kv;
    use crate::store::kv::tests::MapKv;

    #[test]
    fn a_write_that_fails_half_way_leaves_nothing_in_the_group() {
        // Goal: all or nothing for each member. Method: one that succeeds, one that fails after a put and a delete.
        let map = MapKv::default();
        let view = map.view().expect("a view");
        let mut overlay = Overlay::new(&*view);
        let put = |overlay: &mut Overlay<'_>, key: u8| overlay.put(Space::Rows, vec![key], &[key]);
        let kept = overlay.attempt(|overlay| {
            put(overlay, 1);
            Ok(())
        });
        let failed: Result<(), StoreError> = overlay.attempt(|overlay| {
            put(overlay, 2);
            overlay.delete(Space::Rows, vec![1]);
            assert_eq!(overlay.get(Space::Rows, &[1])?, None, "it sees its own writes");
            Err(StoreError::Full)
        });
        assert!(kept.is_ok() && failed.is_err());
        assert_eq!(overlay.get(Space::Rows, &[1]).expect("read"), Some(vec![1]));
        assert_eq!(overlay.get(Space::Rows, &[2]).expect("read"), None);
        assert_eq!(overlay.into_batch().entries.len(), 1);
    }
}
