//! Telemetry on its way into the store: which records are new, and how far a device's stream is stored.
//!
//! An agent sends its records in order and repeats a batch until it is answered; a store keeps each record once by a
//! watermark that moves in the batch's own transaction. A record at or below the watermark is a duplicate, so a
//! batch must be in rising order, or records would be lost as duplicates. Record bodies are opaque here.

use alloc::vec::Vec;

use cordon_proto::ids::DeviceId;
use cordon_proto::telemetry::{Batch, Position, Record};
use cordon_proto::time::Millis;

/// One batch of one device, in rising order of position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    device: DeviceId,
    received: Millis,
    records: Vec<Record>,
}

/// The batch is not in rising order. The device is to blame; nothing of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch is not in rising order of boot and sequence")]
pub struct NotRising;

/// What a store answers to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Records stored now.
    pub stored: u32,
    /// Records that had been stored before.
    pub duplicates: u32,
    /// Everything of the device up to here is stored.
    pub through: Position,
}

/// A batch split at the watermark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// The records to store, and nothing else.
    pub records: Vec<Record>,
    /// The answer, once they are durable.
    pub appended: Appended,
}

impl Delivery {
    /// A batch as it came from `device` at `received` by the server's clock.
    pub fn new(device: DeviceId, received: Millis, batch: Batch) -> Result<Self, NotRising> {
        let records = batch.records;
        let mut positions = records.iter().map(|record| record.position);
        let mut last = positions.next();
        for position in positions {
            if last >= Some(position) {
                return Err(NotRising);
            }
            last = Some(position);
        }
        Ok(Self { device, received, records })
    }

    /// Whose records they are.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// When they arrived. Events are kept and forgotten by this time: a device's clock may be wrong.
    #[must_use]
    pub fn received(&self) -> Millis {
        self.received
    }

    /// Bytes of all bodies, for the store's own bounds.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.records.iter().map(|record| record.body.len()).fold(0, usize::saturating_add)
    }

    /// Splits the batch at the watermark that is stored for the device.
    #[must_use]
    pub fn split(self, watermark: Option<Position>) -> Fresh {
        let total = self.records.len();
        let through = self.records.last().map(|record| record.position).max(watermark);
        let is_new = |record: &Record| Some(record.position) > watermark;
        let records: Vec<Record> = self.records.into_iter().filter(is_new).collect();
        let appended = Appended {
            stored: count(records.len()),
            duplicates: count(total.saturating_sub(records.len())),
            through: through.unwrap_or_default(),
        };
        Fresh { records, appended }
    }
}

/// The document under `Key::Watermark`.
#[must_use]
pub fn watermark_body(position: Position) -> Vec<u8> {
    [position.boot.to_be_bytes(), position.sequence.to_be_bytes()].concat()
}

/// Reads [`watermark_body`]; `None` if the bytes are none.
#[must_use]
pub fn watermark_of(body: &[u8]) -> Option<Position> {
    let (boot, sequence) = body.split_first_chunk::<8>()?;
    let sequence = sequence.try_into().ok()?;
    Some(Position { boot: u64::from_be_bytes(*boot), sequence: u64::from_be_bytes(sequence) })
}

fn count(records: usize) -> u32 {
    u32::try_from(records).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn record(boot: u64, sequence: u64) -> Record {
        Record { position: Position { boot, sequence }, time: Millis(1), kind: 1, body: vec![7].into() }
    }

    fn delivery(positions: &[(u64, u64)]) -> Result<Delivery, NotRising> {
        let records = positions.iter().map(|(boot, sequence)| record(*boot, *sequence)).collect();
        Delivery::new(DeviceId::from_random([1; 16]), Millis(5), Batch { records })
    }

    #[test]
    fn a_batch_out_of_order_is_refused() {
        // Goal: no record is lost as a false duplicate. Method: equal and falling neighbours, across boots too.
        for positions in [&[(1, 2), (1, 2)][..], &[(1, 2), (1, 1)], &[(2, 1), (1, 9)]] {
            assert_eq!(delivery(positions), Err(NotRising), "{positions:?}");
        }
        assert!(delivery(&[]).is_ok());
        assert!(delivery(&[(1, 9), (2, 1)]).is_ok(), "a new boot counts from 1 again");
    }

    #[test]
    fn records_up_to_the_watermark_are_duplicates() {
        // Goal: stored once. Method: a batch that overlaps the watermark, lies below it, is empty.
        let position = Position { boot: 1, sequence: 2 };
        let mark = Some(position);
        let fresh = delivery(&[(1, 1), (1, 2), (1, 3), (2, 1)]).expect("rising").split(mark);
        assert_eq!(fresh.records, [record(1, 3), record(2, 1)]);
        let through = Position { boot: 2, sequence: 1 };
        assert_eq!(fresh.appended, Appended { stored: 2, duplicates: 2, through });
        let old = delivery(&[(1, 1)]).expect("rising").split(mark);
        assert_eq!(old.appended, Appended { stored: 0, duplicates: 1, through: position });
        let empty = delivery(&[]).expect("rising").split(None);
        assert_eq!(empty.appended.through, Position::default());
    }

    proptest! {
        #[test]
        fn any_way_of_repeating_a_stream_stores_each_record_once(
            length in 0_usize..40, cuts in proptest::collection::vec((0_usize..40, 0_usize..40), 0..20)
        ) {
            // Goal: at least once in, stored once. Method: an agent resends from anywhere at or before its mark.
            let stream: Vec<Record> = (0..length as u64).map(|n| record(n / 7, n % 7 + 1)).collect();
            let (mut mark, mut stored) = (None, Vec::new());
            for (from, take) in cuts {
                let from = from.min(stored.len());
                let records = stream.iter().skip(from).take(take).cloned().collect();
                let device = DeviceId::from_random([1; 16]);
                let fresh = Delivery::new(device, Millis(5), Batch { records }).expect("rising").split(mark);
                if !fresh.records.is_empty() {
                    mark = Some(fresh.appended.through);
                }
                stored.extend(fresh.records);
            }
            prop_assert_eq!(&stored[..], &stream[..stored.len()]);
        }

        #[test]
        fn a_watermark_reads_back_and_nothing_else_does(boot: u64, sequence: u64, bytes: Vec<u8>) {
            let position = Position { boot, sequence };
            prop_assert_eq!(watermark_of(&watermark_body(position)), Some(position));
            prop_assert_eq!(watermark_of(&bytes).is_some(), bytes.len() == 16);
        }
    }
}
