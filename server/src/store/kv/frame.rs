//! How values and keys stand in an engine: each value behind a check, each key in an order that serves its reads.
//!
//! The check binds a value to its place, so that an engine which returns bytes that were not written there, or not
//! like this, is found out and no damaged document is ever believed. The first byte of `own/format` is the version of
//! all of this; it changes only with a migration.

use cordon_proto::ids::DeviceId;
use cordon_proto::time::Millis;
use cordon_server_core::change::{Revision, Row};
use sha2::{Digest, Sha256 as Hasher};

use super::{Space, Span};
use crate::store::{EventId, StoreError};

/// The version of the encoding.
pub(super) const FORMAT: u8 = 1;
/// Under which the version stands.
pub(super) const FORMAT_KEY: &[u8] = b"format";
/// Under which the store's numbers stand.
pub(super) const COUNTERS_KEY: &[u8] = b"counters";
/// What stands while a restore is under way.
pub(super) const RESTORING_KEY: &[u8] = b"restoring";

const CHECK_BYTES: usize = 4;
/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// A payload behind its check.
pub(super) fn seal(space: Space, key: &[u8], payload: &[u8]) -> Vec<u8> {
    [&check(space, key, payload)[..], payload].concat()
}

/// The payload of a stored value, if it is what was written under this key.
pub(super) fn open<'v>(space: Space, key: &[u8], value: &'v [u8]) -> Result<&'v [u8], StoreError> {
    let split = value.split_first_chunk::<CHECK_BYTES>();
    match split.filter(|(found, payload)| **found == check(space, key, payload)) {
        Some((_, payload)) => Ok(payload),
        None => Err(damaged(space, key)),
    }
}

/// The error for bytes that are not what was written.
pub(super) fn damaged(space: Space, key: &[u8]) -> StoreError {
    let key = match space {
        Space::Rows => cordon_server_core::change::Key::from_bytes(key).map(|key| key.to_string()),
        Space::Own | Space::Feed | Space::Hours | Space::Events => Err(cordon_server_core::change::KeyError),
    };
    StoreError::Corrupt(key.unwrap_or_else(|_| format!("{} of this store", space.name())))
}

/// The first bytes of SHA-256 over the place and the payload.
fn check(space: Space, key: &[u8], payload: &[u8]) -> [u8; CHECK_BYTES] {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    let mut hasher = Hasher::new();
    hasher.update([space.number()]);
    hasher.update(length.to_be_bytes());
    hasher.update(key);
    hasher.update(payload);
    let digest: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

/// A document's payload: revision, body.
pub(super) fn row_bytes(row: &Row) -> Vec<u8> {
    [&row.revision.0.to_be_bytes()[..], &row.body].concat()
}

/// Reads [`row_bytes`].
pub(super) fn row_of(payload: &[u8]) -> Option<Row> {
    let (revision, body) = payload.split_first_chunk::<8>()?;
    Some(Row { revision: Revision(u64::from_be_bytes(*revision)), body: body.to_vec() })
}

/// The key of a chunk of events: that of its first record.
pub(super) fn event_key(id: EventId) -> Vec<u8> {
    let mut key = event_prefix(id.received, Some(id.device));
    key.extend_from_slice(&id.position.boot.to_be_bytes());
    key.extend_from_slice(&id.position.sequence.to_be_bytes());
    key
}

/// The beginning of the keys of all events received then, of all devices or of one.
pub(super) fn event_prefix(received: Millis, device: Option<DeviceId>) -> Vec<u8> {
    let mut key = ordered(received.0).to_vec();
    if let Some(device) = device {
        key.extend_from_slice(device.as_bytes());
    }
    key
}

/// Time and device of an event key.
pub(super) fn event_origin(key: &[u8]) -> Option<(Millis, DeviceId)> {
    let (received, rest) = key.split_first_chunk::<8>()?;
    let (device, _) = rest.split_first_chunk::<16>()?;
    Some((Millis(unordered(*received)), DeviceId::from_bytes(*device)))
}

/// The hour, counted from 1970, in which something arrived.
pub(super) fn hour_of(received: Millis) -> i64 {
    received.0.div_euclid(HOUR_MS)
}

/// The first millisecond of an hour.
pub(super) fn start_of_hour(hour: i64) -> Millis {
    Millis(hour.saturating_mul(HOUR_MS))
}

/// The key of the arrivals of a device within an hour.
pub(super) fn hour_key(hour: i64, device: DeviceId) -> Vec<u8> {
    [&ordered(hour)[..], device.as_bytes()].concat()
}

/// Where the keys of an hour begin.
pub(super) fn hour_start(hour: i64) -> Vec<u8> {
    ordered(hour).to_vec()
}

/// The hour of an [`hour_key`].
pub(super) fn hour_of_key(key: &[u8]) -> Option<i64> {
    number_of(key)
}

/// The arrivals of an hour, sorted, each once.
pub(super) fn arrivals_bytes(arrivals: &[Millis]) -> Vec<u8> {
    arrivals.iter().flat_map(|at| at.0.to_be_bytes()).collect()
}

/// Reads [`arrivals_bytes`].
pub(super) fn arrivals_of(payload: &[u8]) -> Option<Vec<Millis>> {
    let (arrivals, rest) = payload.as_chunks::<8>();
    rest.is_empty().then(|| arrivals.iter().map(|at| Millis(i64::from_be_bytes(*at))).collect())
}

/// The number at the head of a key of the hours or the events: an hour, or a millisecond.
pub(in crate::store) fn number_of(key: &[u8]) -> Option<i64> {
    key.split_first_chunk::<8>().map(|(number, _)| unordered(*number))
}

/// Bytes that sort as the number does.
pub(in crate::store) fn ordered(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

fn unordered(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

impl Span {
    /// All keys that begin with `prefix`, upwards.
    pub(super) fn of(space: Space, prefix: &[u8]) -> Self {
        Self { space, from: prefix.to_vec(), to: after_prefix(prefix), down: false }
    }

    /// The keys of this span below `key`.
    pub(super) fn below(mut self, key: Vec<u8>) -> Self {
        self.to = Some(match self.to.take() {
            Some(to) => to.min(key),
            None => key,
        });
        self
    }

    /// The same, unless there is no such key.
    pub(super) fn below_if(self, key: Option<Vec<u8>>) -> Self {
        match key {
            Some(key) => self.below(key),
            None => self,
        }
    }

    /// The keys of this span that are not below `key`.
    pub(super) fn from(mut self, key: Vec<u8>) -> Self {
        self.from = self.from.max(key);
        self
    }

    /// The same keys, the highest first if `down`.
    pub(super) fn going(mut self, down: bool) -> Self {
        self.down = down;
        self
    }

    /// Whether no key can lie in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// The lowest key above all keys that begin with `prefix`; `None` if there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let (last, head) = prefix.split_last()?;
    match last.checked_add(1) {
        Some(last) => Some([head, &[last]].concat()),
        None => after_prefix(head),
    }
}

/// The lowest key above `key`.
pub(super) fn after_key(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::telemetry::Position;
    use proptest::prelude::*;

    #[test]
    fn values_and_keys_on_disk_never_change() {
        // Goal: every store ever written is read. Method: golden bytes.
        let row = Row { revision: Revision(258), body: b"{}".to_vec() };
        assert_eq!(row_bytes(&row), [0, 0, 0, 0, 0, 0, 1, 2, b'{', b'}']);
        assert_eq!(seal(Space::Rows, &[0x17, b'a', 0], b"{}"), [0x87, 0x10, 0x06, 0x47, b'{', b'}']);
        let (device, position) = (DeviceId::from_random([1; 16]), Position { boot: 2, sequence: 3 });
        let key = event_key(EventId { received: Millis(-1), device, position });
        assert_eq!(key.get(..8), Some(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..]));
        assert_eq!(key.get(24..), Some(&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3][..]));
        assert_eq!(hour_key(hour_of(Millis(-1)), device).get(..8), Some(&ordered(-1)[..]));
        assert_eq!(arrivals_bytes(&[Millis(258)]), [0, 0, 0, 0, 0, 0, 1, 2]);
        let numbers: Vec<u8> = Space::ALL.iter().map(|space| space.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn a_value_is_believed_only_in_its_place(
            key in proptest::collection::vec(any::<u8>(), 0..9), payload: Vec<u8>, at: usize, bit in 0_u8..8
        ) {
            // Goal: no damaged or misplaced value is read. Method: right; one bit wrong; another key, another space.
            let mut value = seal(Space::Rows, &key, &payload);
            prop_assert_eq!(open(Space::Rows, &key, &value).expect("right"), &payload[..]);
            prop_assert!(open(Space::Rows, &after_key(&key), &value).is_err());
            prop_assert!(open(Space::Feed, &key, &value).is_err());
            let at = at % value.len();
            value[at] ^= 1 << bit;
            prop_assert!(open(Space::Rows, &key, &value).is_err());
        }

        #[test]
        fn event_keys_sort_as_events_sort(one: (i64, [u8; 16], u64, u64), other: (i64, [u8; 16], u64, u64)) {
            let id = |(received, device, boot, sequence)| EventId {
                received: Millis(received),
                device: DeviceId::from_bytes(device),
                position: Position { boot, sequence },
            };
            let (one, other) = (id(one), id(other));
            prop_assert_eq!(one.cmp(&other), event_key(one).cmp(&event_key(other)));
            prop_assert_eq!(event_origin(&event_key(one)), Some((one.received, one.device)));
        }

        #[test]
        fn a_prefix_span_holds_what_begins_so(prefix: Vec<u8>, key: Vec<u8>, rest: Vec<u8>) {
            for key in [key, [prefix.clone(), rest].concat()] {
                let inside = prefix <= key && after_prefix(&prefix).is_none_or(|to| key < to);
                prop_assert_eq!(inside, key.starts_with(&prefix));
            }
        }
    }
}
