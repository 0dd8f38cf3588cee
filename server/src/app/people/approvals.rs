//! What people say to a key that asks for a device's identity: yes, no; and to a doubt about one: it is cleared.
//!
//! A person approves the key whose fingerprint they compared, never a serial: the answer names the key, and if another
//! one asks by then nothing happens. Approval hands nothing out by itself; the device is given its certificate when
//! the same key asks again. Read next: `cordon_server_core::approval`, `cordon_server_core::admit`.

use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_server_core::admit::{Denied, NotAsking, approve, cleared, deny, waiting};
use cordon_server_core::approval::{Stated, filled_in};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::device::Device;

use super::{ActError, Decided};
use crate::app::{App, name};
use crate::store::{Expected, Key};

impl App {
    /// Says yes to the key that asks for a device's identity. What is stated fills gaps only.
    pub async fn approve(
        &self,
        (device, key): (DeviceId, Sha256),
        stated: &Stated,
        reason: &Text,
        actor: &Actor,
    ) -> Result<Device, ActError> {
        let decide = || async {
            let now = self.clock.now();
            let (known, row) = self.stored_device(device).await?.ok_or(ActError::Unknown("device"))?;
            // Only what stands on the list: a key whose time is over was never shown.
            waiting(&known, now).filter(|asking| asking.key == key).ok_or(NotAsking)?;
            let after = stated.completed(approve(&known, &key, actor.to_string(), now)?)?;
            let entry = Entry {
                before: Some(Summary::of(&asked(&known))),
                after: Some(Summary::of(&let_in(&key, &known, &after))),
                ..answer("device.approve", device, reason)
            };
            let mut draft = Commit::draft(now, actor.clone()).expect(Key::Device(device), row);
            if let Some((old, new)) = self.renamed(&known, &after).await? {
                draft = draft
                    .expect(new.clone(), Expected::Absent)
                    .put(new, device.as_bytes().to_vec())
                    .delete(old);
            }
            Ok::<_, ActError>(Decided::commit(
                draft.put(Key::Device(device), after.to_body()).audit(entry),
                after,
            ))
        };
        self.decided(Key::Device(device), decide).await
    }

    /// Says no to the key that asks for a device's identity, and remembers the key. The certificate in force, if there
    /// is one, lives on; a device that was known by its asking alone goes.
    pub async fn deny(
        &self,
        (device, key): (DeviceId, Sha256),
        reason: &Text,
        actor: &Actor,
    ) -> Result<(), ActError> {
        let decide = || async {
            let now = self.clock.now();
            let (known, row) = self.stored_device(device).await?.ok_or(ActError::Unknown("device"))?;
            let left = deny(&known, &key)?;
            let entry =
                Entry { before: Some(Summary::of(&asked(&known))), ..answer("device.deny", device, reason) };
            let serial = known.hardware.serial.clone();
            let denied = Denied { v: 1, device, serial, at: now, by: actor.to_string() };
            let draft =
                Commit::draft(now, actor.clone()).put(Key::Pending(key), denied.to_body()).audit(entry);
            Ok::<_, ActError>(Decided::commit(self.let_go(draft, (&known, row), &left).await?, ()))
        };
        self.decided(Key::Device(device), decide).await
    }

    /// Says that a device's identity is one machine after all, whatever was seen.
    pub async fn clear_doubt(
        &self,
        device: DeviceId,
        reason: &Text,
        actor: &Actor,
    ) -> Result<Device, ActError> {
        let decide = |known: &Device, _now| {
            let doubt = known.doubt.as_ref().ok_or(ActError::NoDoubt)?;
            let after = cleared(known).ok_or(ActError::NoDoubt)?;
            let entry = Entry {
                before: Some(Summary::of(&format!("since {}: {}", doubt.at, doubt.evidence))),
                ..answer("device.clear-doubt", device, reason)
            };
            Ok((after, entry))
        };
        self.changed(device, actor, decide).await
    }

    /// Under which key a device is found by its serial before and after a person named its model, if that changed.
    async fn renamed(&self, known: &Device, after: &Device) -> Result<Option<(Key, Key)>, ActError> {
        let key = |device: &Device| Key::DeviceBySerial {
            model: device.hardware.model.clone(),
            serial: device.hardware.serial.clone(),
        };
        let (old, new) = (key(known), key(after));
        if old == new {
            return Ok(None);
        }
        match self.store.get(new.clone()).await? {
            Some(_) => Err(ActError::SerialTaken),
            None => Ok(Some((old, new))),
        }
    }
}

/// What a yes says, for the journal: the key, what it may come in as, and what of its place the person filled in.
fn let_in(key: &Sha256, known: &Device, after: &Device) -> String {
    let mut words = format!("key {key} may come in as {} {}", after.hardware.model, after.hardware.serial);
    let place = filled_in(&known.placement, &after.placement);
    if !place.is_empty() {
        words.push_str(&format!("; said with it: {place}"));
    }
    words
}

/// What was asked, for the journal.
fn asked(device: &Device) -> String {
    match &device.asking {
        Some(asking) => {
            format!("key {} asked with {} from {} since {}", asking.key, asking.with, asking.from, asking.at)
        }
        None => "no key asked".to_owned(),
    }
}

fn answer(act: &str, device: DeviceId, reason: &Text) -> Entry {
    Entry { reason: Some(reason.clone()), ..Entry::new(name(act), Text::lossy(&format!("device:{device}"))) }
}
