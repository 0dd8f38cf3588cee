//! What is left when a key asks no more: after a person's no, or when nobody answered it in time.

use cordon_proto::ids::Text;
use cordon_server_core::admit::{Left, stale};
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::{Commit, Draft};
use cordon_server_core::device::Device;

use crate::app::{App, CommitError, name, server};
use crate::store::{Expected, Key, StoreError};

impl App {
    /// Puts what is left of a device into a commit. One that was known by its asking alone goes, with its serial.
    pub(in crate::app) async fn let_go(
        &self,
        draft: Draft,
        (device, row): (&Device, Expected),
        left: &Left,
    ) -> Result<Draft, StoreError> {
        let key = Key::Device(device.id);
        let draft = draft.expect(key.clone(), row);
        if let Left::Device(after) = left {
            return Ok(draft.put(key, after.to_body()));
        }
        let serial = Key::DeviceBySerial {
            model: device.hardware.model.clone(),
            serial: device.hardware.serial.clone(),
        };
        let found = self.store.get(serial.clone()).await?;
        let draft = draft.delete(key);
        Ok(match found.filter(|found| found.body == device.id.as_bytes()) {
            Some(found) => draft.expect(serial.clone(), Expected::of(Some(&found))).delete(serial),
            None => draft,
        })
    }

    /// Forgets keys that nobody answered in time, and says how many. A device that was changed meanwhile is passed over
    /// until the next time.
    pub async fn forget_waiting(&self) -> Result<usize, CommitError> {
        let mut forgotten = 0;
        for member in self.fleet.all() {
            let now = self.clock.now();
            if stale(&member.device, now).is_none() {
                continue;
            }
            let Some((device, row)) = self.stored_device(member.id()).await? else { continue };
            let Some(left) = stale(&device, now) else { continue };
            let asking =
                device.asking.as_ref().map(|asking| format!("key {}, from {}", asking.key, asking.from));
            let entry = Entry {
                before: asking.as_deref().map(Summary::of),
                ..Entry::new(name("enrol.forget"), Text::lossy(&format!("device:{}", device.id)))
            };
            let draft = Commit::draft(now, server("enrolment")).audit(entry);
            match self.commit(self.let_go(draft, (&device, row), &left).await?).await {
                Ok(_) => forgotten += 1,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(forgotten)
    }
}
