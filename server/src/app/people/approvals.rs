//! What people say to a key that asks for a device's identity: yes, no; and to a doubt about one: it is cleared.
//!
//! A person approves the key whose fingerprint they compared, never a serial: the answer names the key, and if another
//! one asks by then nothing happens. Approval hands nothing out by itself; the device is given its certificate when
//! the same key asks again. Read next: `cordon_server_core::admit`, `cordon_server_core::device::Asking`.

use cordon_proto::ids::{DeviceId, Hardware, Sha256, Text};
use cordon_server_core::admit::{Denied, NotAsking, approve, cleared, deny, waiting};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::device::{Device, Placement};

use super::{ActError, TRIES};
use crate::app::{App, name};
use crate::store::{Expected, Key, StoreError};

/// What a person states with an approval, where the device did not or nobody knew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// What it is.
    pub model: Option<Text>,
    /// Where it stands and what it is for.
    pub placement: Option<Placement>,
}

impl App {
    /// Says yes to the key that asks for a device's identity.
    pub async fn approve(
        &self,
        (device, key): (DeviceId, Sha256),
        stated: &Stated,
        reason: &Text,
        actor: &Actor,
    ) -> Result<Device, ActError> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let (known, row) = self.stored_device(device).await?.ok_or(ActError::Unknown("device"))?;
            waiting(&known, now).filter(|asking| asking.key == key).ok_or(NotAsking)?;
            let approved = approve(&known, &key, actor.to_string(), now)?;
            let after = completed(approved, stated)?;
            let entry = Entry {
                before: Some(Summary::of(&asked(&known))),
                after: Some(Summary::of(&format!(
                    "key {key} may come in as {} {}",
                    after.hardware.model, after.hardware.serial
                ))),
                ..answer("device.approve", device, reason)
            };
            let mut draft = Commit::draft(now, actor.clone()).expect(Key::Device(device), row);
            if let Some((old, new)) = self.renamed(&known, &after).await? {
                draft = draft
                    .expect(new.clone(), Expected::Absent)
                    .put(new, device.as_bytes().to_vec())
                    .delete(old);
            }
            match self.commit(draft.put(Key::Device(device), after.to_body()).audit(entry)).await {
                Ok(_) => return Ok(after),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(Key::Device(device)).into())
    }

    /// Says no to the key that asks for a device's identity, and remembers the key. The certificate in force, if there
    /// is one, lives on; a device that was known by its asking alone goes.
    pub async fn deny(
        &self,
        (device, key): (DeviceId, Sha256),
        reason: &Text,
        actor: &Actor,
    ) -> Result<(), ActError> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let (known, row) = self.stored_device(device).await?.ok_or(ActError::Unknown("device"))?;
            let left = deny(&known, &key)?;
            let entry =
                Entry { before: Some(Summary::of(&asked(&known))), ..answer("device.deny", device, reason) };
            let serial = known.hardware.serial.clone();
            let denied = Denied { v: 1, device, serial, at: now, by: actor.to_string() };
            let draft =
                Commit::draft(now, actor.clone()).put(Key::Pending(key), denied.to_body()).audit(entry);
            match self.commit(self.let_go(draft, (&known, row), &left).await?).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(Key::Device(device)).into())
    }

    /// Says that a device's identity is one machine after all, whatever was seen.
    pub async fn clear_doubt(
        &self,
        device: DeviceId,
        reason: &Text,
        actor: &Actor,
    ) -> Result<Device, ActError> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let (known, row) = self.stored_device(device).await?.ok_or(ActError::Unknown("device"))?;
            let doubt = known.doubt.as_ref().ok_or(ActError::NoDoubt)?;
            let after = cleared(&known).ok_or(ActError::NoDoubt)?;
            let entry = Entry {
                before: Some(Summary::of(&format!("since {}: {}", doubt.at, doubt.evidence))),
                ..answer("device.clear-doubt", device, reason)
            };
            let key = Key::Device(device);
            let draft = Commit::draft(now, actor.clone())
                .expect(key.clone(), row)
                .put(key, after.to_body())
                .audit(entry);
            match self.commit(draft).await {
                Ok(_) => return Ok(after),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(Key::Device(device)).into())
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

/// The device with what the person stated; refused while nobody knows what it is.
fn completed(device: Device, stated: &Stated) -> Result<Device, ActError> {
    let model = match &stated.model {
        // What a device says of itself is in its certificate request; a person does not overrule it here.
        Some(model) if !device.stated => model.clone(),
        Some(_) | None => device.hardware.model.clone(),
    };
    if is_unknown(&model) {
        return Err(ActError::ModelUnknown);
    }
    let placement = stated.placement.clone().unwrap_or_else(|| device.placement.clone());
    Ok(Device { hardware: Hardware { model, ..device.hardware.clone() }, placement, ..device })
}

/// Whether nobody has said what a device is.
fn is_unknown(model: &Text) -> bool {
    matches!(model.as_str(), "" | "unknown")
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
