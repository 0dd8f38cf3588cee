//! Waiting devices and the bells that wake them: the push of the device plane.
//!
//! A token is a number that rises whenever something changes for a device. Tokens start at a random number, so that
//! one from before a restart never looks current: the device checks in once more, and nothing is missed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cordon_proto::ids::DeviceId;
use tokio::sync::watch;

use crate::chance;

/// One bell for each device that has ever waited or been rung for.
#[derive(Debug)]
pub struct Waits {
    start: u64,
    bells: Mutex<HashMap<DeviceId, watch::Sender<u64>>>,
}

impl Default for Waits {
    fn default() -> Self {
        Self { start: u64::from_be_bytes(chance::random()) >> 1, bells: Mutex::default() }
    }
}

impl Waits {
    /// The number of the last change for a device.
    #[must_use]
    pub fn token(&self, device: DeviceId) -> u64 {
        self.lock().get(&device).map_or(self.start, |bell| *bell.borrow())
    }

    /// Something changed for one device.
    pub fn ring(&self, device: DeviceId) {
        let mut bells = self.lock();
        let bell = bells.entry(device).or_insert_with(|| watch::Sender::new(self.start));
        bell.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Something changed for some devices.
    pub fn ring_all(&self, devices: impl IntoIterator<Item = DeviceId>) {
        devices.into_iter().for_each(|device| self.ring(device));
    }

    /// Waits until the device's number is another one than `token`, and returns it.
    pub async fn changed(&self, device: DeviceId, token: u64) -> u64 {
        let mut bell =
            self.lock().entry(device).or_insert_with(|| watch::Sender::new(self.start)).subscribe();
        let changed = bell.wait_for(|number| *number != token).await.map(|number| *number);
        match changed {
            Ok(number) => number,
            // The bells live as long as we do.
            Err(_) => std::future::pending().await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, watch::Sender<u64>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn device(byte: u8) -> DeviceId {
        DeviceId::from_random([byte; 16])
    }

    #[tokio::test]
    async fn a_change_between_two_waits_is_not_missed() {
        // Goal: the token closes the gap. Method: ring while nobody waits, then wait with the old token.
        let waits = Waits::default();
        let token = waits.token(device(1));
        waits.ring(device(1));
        let newer = waits.changed(device(1), token).await;
        assert_eq!((newer, waits.token(device(1))), (token + 1, token + 1));
        waits.ring_all([device(2), device(1)]);
        assert_eq!(waits.changed(device(1), newer).await, newer + 1);
    }

    #[tokio::test]
    async fn a_waiting_device_wakes_for_its_own_bell_only() {
        // Goal: no thundering herd. Method: ring another device's bell, then its own.
        let waits = Waits::default();
        let token = waits.token(device(1));
        waits.ring(device(2));
        let wait = waits.changed(device(1), token);
        tokio::pin!(wait);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut wait).await.is_err());
        waits.ring(device(1));
        assert_eq!(wait.await, token + 1);
    }

    #[tokio::test]
    async fn a_token_of_an_earlier_start_is_answered_at_once() {
        // Goal: a restart loses no change. Method: another registry's token.
        let (old, new) = (Waits::default(), Waits::default());
        let stale = old.token(device(1));
        assert_ne!(new.changed(device(1), stale).await, stale);
    }
}
