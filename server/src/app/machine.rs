//! What devices tell of the machine itself: the inventory, whole or as a change, and the points of its health.
//!
//! A change is applied to the inventory that is stored and believed only if it leads to the root that it names; if it does
//! not, nothing is written, the device's root still differs from ours, and the next check-in asks for the whole. What comes
//! of both lies in the ground: `cordon_proto::inventory::delta` and `cordon_server_core::vitals`.

use cordon_proto::health::Health;
use cordon_proto::ids::DeviceId;
use cordon_proto::inventory::Inventory;
use cordon_proto::inventory::delta::Delta;
use cordon_proto::{limits, wire};
use cordon_server_core::audit::Actor;
use cordon_server_core::change::Commit;
use cordon_server_core::vitals::Points;

use super::App;
use super::report::CheckinError;
use crate::store::{Expected, Key, StoreError};

/// What one batch says of the inventory: the last whole one, and the changes after it.
#[derive(Debug, Default)]
pub(super) struct Restated {
    whole: Option<Vec<u8>>,
    deltas: Vec<Delta>,
}

impl Restated {
    /// A whole inventory, which needs nothing that was said before it.
    pub(super) fn whole(&mut self, body: Vec<u8>) {
        *self = Self { whole: Some(body), deltas: Vec::new() };
    }

    /// A change of what was said before it.
    pub(super) fn change(&mut self, delta: Delta) {
        self.deltas.push(delta);
    }
}

impl App {
    /// The points that are kept of a device's health, oldest first.
    pub async fn health(&self, device: DeviceId) -> Result<Points, StoreError> {
        let key = Key::Health(device);
        let Some(row) = self.store.get(key.clone()).await? else { return Ok(Points::default()) };
        Points::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))
    }

    /// Takes in what a batch says of the inventory.
    pub(super) async fn restate_inventory(
        &self,
        device: DeviceId,
        restated: Restated,
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        let Restated { whole, deltas } = restated;
        if whole.is_none() && deltas.is_empty() {
            return Ok(());
        }
        let held = self.held_inventory(device).await?;
        let read = |body: &Vec<u8>| wire::read::<Inventory>(body, limits::RECORD_BYTES).unwrap_or_default();
        let mut said = whole.map(|body| (read(&body), body));
        for delta in deltas {
            let base = said.as_ref().map_or(&held, |(now, _)| now);
            // A change that comes twice has been applied already.
            if base.root() == delta.root {
                continue;
            }
            match delta.apply(base).map(|now| (wire::write(&now), now)) {
                Ok((body, now)) if body.len() <= limits::RECORD_BYTES => said = Some((now, body)),
                Ok(_) => self.metrics.records("over-limit", 1),
                Err(mismatch) => {
                    self.metrics.records("mismatch", 1);
                    tracing::debug!(%device, %mismatch, "a change of an inventory was left out");
                }
            }
        }
        let Some((now, body)) = said else { return Ok(()) };
        // What follows comes first: if this ends in between, the same batch comes again and finds the former still held.
        self.judge_files(device, (&held, &now), stored).await?;
        let draft = Commit::draft(self.clock.now(), Actor::Device(device));
        let draft = draft.expect(stored.0.clone(), stored.1).put(Key::Inventory(device), body);
        self.commit(draft).await?;
        Ok(())
    }

    /// The inventory that is stored. One that cannot be read is as good as none: the whole is then asked for.
    async fn held_inventory(&self, device: DeviceId) -> Result<Inventory, StoreError> {
        match self.inventory(device).await {
            Err(StoreError::Corrupt(_)) => Ok(Inventory::default()),
            held => held.map(Option::unwrap_or_default),
        }
    }

    /// Takes in the points of a batch. A document that cannot be read begins anew: points are many, and none is proof.
    pub(super) async fn keep_health(
        &self,
        device: DeviceId,
        points: Vec<Health>,
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        if points.is_empty() {
            return Ok(());
        }
        let key = Key::Health(device);
        let row = self.store.get(key.clone()).await?;
        let mut kept = row.and_then(|row| Points::from_body(&row.body)).unwrap_or_default();
        let now = self.clock.now();
        if points.into_iter().filter(|point| kept.add(point.clone(), now)).count() == 0 {
            return Ok(());
        }
        let draft = Commit::draft(now, Actor::Device(device)).expect(stored.0.clone(), stored.1);
        self.commit(draft.put(key, kept.to_body())).await?;
        Ok(())
    }
}
