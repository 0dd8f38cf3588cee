//! Renewal, and the first word of a certificate that was handed out to follow another.
//!
//! The present certificate lives until the next one has spoken: whatever is lost on the way, one of the two works. The
//! commit that follows from the first word ends the former one, and with it its live connections.

use cordon_proto::ids::{Sha256, Text, TokenId};
use cordon_server_core::admit::{self, RenewalRefused, Renewed, first_word, renew};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::device::{Device, Leaf};

use super::known::queue_of_device;
use super::{EnrolError, Granted, Line, TRIES, handed_out, told};
use crate::app::{App, CommitError, name, server};
use crate::ca::request::DeviceKey;
use crate::fleet::Member;
use crate::store::{Expected, Key, StoreError};

impl App {
    /// Answers one request for the next certificate, over a connection that proved the present one.
    pub async fn renew(&self, renewal: &admit::Renewal, key: &DeviceKey) -> Result<Granted, EnrolError> {
        let known = self.store.get(Key::Leaf(renewal.leaf)).await?;
        let Some(leaf) = known.and_then(|row| Leaf::from_body(&row.body)) else {
            return Err(RenewalRefused::Identity(cordon_server_core::device::Refused::UnknownDevice).into());
        };
        let turn = self.turn(&TokenId(queue_of_device(leaf.device).0));
        let _turn = turn.lock().await;
        for _ in 0..TRIES {
            match self.renew_once(renewal, key, &leaf).await {
                Err(EnrolError::Commit(error)) if error.is_conflict() => {}
                outcome => return outcome,
            }
        }
        Err(EnrolError::Busy)
    }

    async fn renew_once(
        &self,
        renewal: &admit::Renewal,
        key: &DeviceKey,
        leaf: &Leaf,
    ) -> Result<Granted, EnrolError> {
        let now = self.clock.now();
        let stored = self.stored_device(leaf.device).await?;
        let (device, row) = match &stored {
            Some((device, row)) => (Some(device), *row),
            None => (None, Expected::Absent),
        };
        let denied = self.store.get(Key::Pending(renewal.key)).await?.is_some();
        match renew(device, renewal, denied, &self.config.enrolment.terms(), now) {
            Ok(Renewed::Same(leaf)) => {
                self.metrics.enrolment("repeated");
                self.leaf(leaf).await
            }
            Ok(Renewed::Issue(renewing)) => {
                let issued = self.issue(renewing.device(), key)?;
                let device = renewing.with(issued.fingerprint, now, issued.not_after);
                let entry = Entry {
                    before: Some(Summary::of(&format!("certificate {}", renewal.leaf))),
                    ..told("device.renew", &device, &issued, (&renewal.key, &renewal.from))
                };
                let draft = Commit::draft(now, Actor::Device(device.id));
                self.commit(handed_out(draft, &device, row, &issued).audit(entry)).await?;
                self.metrics.enrolment("renewed");
                Ok(Granted::Leaf(issued.der))
            }
            Ok(Renewed::Wait(noted)) => {
                let line = Line::of(&renewal.key, device, noted.as_deref());
                if let Some(device) = &noted {
                    self.note_waiting_renewal(device, row, renewal).await?;
                }
                self.keeps_waiting(line, renewal.key)
            }
            Err(refused) => {
                self.metrics.enrolment(refused.code());
                Err(refused.into())
            }
        }
    }

    /// Writes down that a device in doubt, or one that a person chose another key for, asks for its next certificate.
    async fn note_waiting_renewal(
        &self,
        device: &Device,
        row: Expected,
        renewal: &admit::Renewal,
    ) -> Result<(), CommitError> {
        let after = format!("key {}, from {}", renewal.key, renewal.from);
        let entry = Entry {
            reason: device.doubt.as_ref().map(|doubt| doubt.evidence.clone()),
            after: Some(Summary::of(&after)),
            ..Entry::new(name("enrol.wait"), Text::lossy(&format!("device:{}", device.id)))
        };
        let key = Key::Device(device.id);
        let draft = Commit::draft(self.clock.now(), server("enrolment"))
            .expect(key.clone(), row)
            // A person who says no at this moment is heard.
            .expect(Key::Pending(renewal.key), Expected::Absent)
            .put(key, device.to_body())
            .audit(entry);
        self.commit(draft).await?;
        Ok(())
    }

    /// Heeds that a certificate spoke. If it was handed out to follow another, it is in force from now on, and the
    /// former one is over. Costs nothing otherwise.
    pub async fn spoke(&self, member: &Member, leaf: &Sha256) -> Result<(), CommitError> {
        if member.device.next.as_ref().is_none_or(|next| next.leaf != *leaf) {
            return Ok(());
        }
        for _ in 0..TRIES {
            let Some((device, row)) = self.stored_device(member.id()).await? else { return Ok(()) };
            let Some(after) = first_word(&device, leaf) else { return Ok(()) };
            let former = device.identity.as_ref().map(|identity| format!("certificate {}", identity.leaf));
            let entry = Entry {
                before: former.as_deref().map(Summary::of),
                after: Some(Summary::of(&format!("certificate {leaf}"))),
                ..Entry::new(name("device.renewed"), Text::lossy(&format!("device:{}", device.id)))
            };
            let key = Key::Device(device.id);
            let draft = Commit::draft(self.clock.now(), Actor::Device(device.id))
                .expect(key.clone(), row)
                .put(key, after.to_body())
                .audit(entry);
            match self.commit(draft).await {
                Err(error) if error.is_conflict() => {}
                outcome => return outcome.map(|_| ()),
            }
        }
        Err(StoreError::Conflict(Key::Device(member.id())).into())
    }
}
