//! Enrolment: load what is known, let the policy decide, commit certificate and token together.
//!
//! Token, device and serial are preconditions of one commit, so of any number of racing requests one wins and the
//! others decide anew. The certificate is handed out only after the commit is durable; a request that is repeated
//! after a lost answer finds it in the store.

use cordon_proto::enrol::{base64url, from_base64url};
use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_server_core::admit::{self, Admission, Admitted, Known, Refused, Token, decide};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::device::{Device, Leaf, VERSION};
use rustls::pki_types::CertificateDer;

use super::{App, CommitError, name, serial_row, server};
use crate::ca::request::DeviceKey;
use crate::ca::{CaError, Subject};
use crate::chance;
use crate::store::{Expected, Key, Row, StoreError};

/// How often a request decides anew when others were faster.
const TRIES: u32 = 16;

/// Why no certificate was handed out.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The policy says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Others were faster all the time.
    #[error("too many requests for one device at once")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The authority.
    #[error(transparent)]
    Ca(#[from] CaError),
}

/// What is stored about the parties of one request, with what the commit will expect of it.
struct Loaded {
    token: Option<(Token, Row)>,
    serial: Option<(Key, Option<Row>)>,
    device: Option<(Device, Row)>,
}

impl App {
    /// Answers one request for enrolment whose key was proved.
    pub async fn enrol(
        &self,
        request: &admit::Request,
        key: &DeviceKey,
    ) -> Result<CertificateDer<'static>, EnrolError> {
        let turn = self.turn(&request.token);
        let _turn = turn.lock().await;
        for _ in 0..TRIES {
            match self.enrol_once(request, key).await {
                Err(EnrolError::Commit(error)) if error.is_conflict() => {}
                outcome => return outcome,
            }
        }
        Err(EnrolError::Busy)
    }

    async fn enrol_once(
        &self,
        request: &admit::Request,
        key: &DeviceKey,
    ) -> Result<CertificateDer<'static>, EnrolError> {
        let now = self.clock.now();
        let loaded = self.parties(request).await?;
        let known = Known {
            token: loaded.token.as_ref().map(|(token, _)| token),
            device: loaded.device.as_ref().map(|(device, _)| device),
        };
        let fresh = DeviceId::from_random(chance::random());
        match decide(request.clone(), known, fresh, now) {
            Ok(Admission::Same(leaf)) => {
                self.metrics.enrolment("repeated");
                self.leaf(leaf).await
            }
            Ok(Admission::Issue(admitted)) => {
                let leaf = self.grant(*admitted, request, key, &loaded).await?;
                self.metrics.enrolment("issued");
                Ok(leaf)
            }
            Err(refused) => {
                self.note_refusal(refused, request, &loaded).await?;
                self.metrics.enrolment(refused.code());
                Err(refused.into())
            }
        }
    }

    async fn parties(&self, request: &admit::Request) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded { token: None, serial: None, device: None };
        let token_key = Key::Token(request.token);
        let Some(row) = self.store.get(token_key.clone()).await? else { return Ok(loaded) };
        let token = Token::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(token_key.to_string()))?;
        let key = Key::DeviceBySerial { model: token.order.model.clone(), serial: request.serial.clone() };
        loaded.token = Some((token, row));
        let serial = self.store.get(key.clone()).await?;
        if let Some(found) = &serial {
            let device = Key::Device(serial_row(&key, &found.body)?);
            let row = self.store.get(device.clone()).await?;
            let read = row.and_then(|row| Some((Device::from_body(&row.body)?, row)));
            loaded.device = Some(read.ok_or_else(|| StoreError::Corrupt(device.to_string()))?);
        }
        loaded.serial = Some((key, serial));
        Ok(loaded)
    }

    /// Makes the certificate and commits it with everything that must be true of it.
    async fn grant(
        &self,
        admitted: Admitted,
        request: &admit::Request,
        key: &DeviceKey,
        loaded: &Loaded,
    ) -> Result<CertificateDer<'static>, EnrolError> {
        let now = self.clock.now();
        let (id, days) = (admitted.device().id, self.config.enrolment.leaf_days);
        let subject = Subject { device: id, serial: &request.serial };
        let issued = self.issuing_for(id).issue(key, subject, days, now)?;
        let (device, token) = admitted.with(issued.fingerprint, now, issued.not_after);
        let before = loaded.device.as_ref().map_or("unknown", |(device, _)| device.state.word());
        let entry = Entry {
            reason: Some(device.reason.clone()),
            before: Some(Summary::of(before)),
            after: Some(Summary::of(&format!(
                "{}, {} {}, certificate {} until {}, key {}, from {}",
                device.state.word(),
                device.hardware.model,
                device.hardware.serial,
                issued.fingerprint,
                issued.not_after,
                request.key,
                request.from
            ))),
            ..Entry::new(name("device.enrol"), Text::lossy(&format!("device:{id}")))
        };
        let leaf = Leaf { v: VERSION, device: id, der: base64url(&issued.der) };
        let mut draft = Commit::draft(now, Actor::Token(request.token))
            .expect(Key::Token(request.token), Expected::of(loaded.token.as_ref().map(|(_, row)| row)))
            .expect(Key::Device(id), Expected::of(loaded.device.as_ref().map(|(_, row)| row)))
            .expect(Key::Leaf(issued.fingerprint), Expected::Absent)
            .put(Key::Token(request.token), token.to_body())
            .put(Key::Device(id), device.to_body())
            .put(Key::Leaf(issued.fingerprint), leaf.to_body())
            .audit(entry);
        if let Some((key, row)) = &loaded.serial {
            draft = draft.expect(key.clone(), Expected::of(row.as_ref()));
            if row.is_none() {
                draft = draft.put(key.clone(), id.as_bytes().to_vec());
            }
        }
        self.commit(draft).await?;
        Ok(issued.der)
    }

    /// A certificate that was handed out before.
    async fn leaf(&self, fingerprint: Sha256) -> Result<CertificateDer<'static>, EnrolError> {
        let key = Key::Leaf(fingerprint);
        let row = self.store.get(key.clone()).await?;
        let der = row.and_then(|row| from_base64url(&Leaf::from_body(&row.body)?.der));
        Ok(der.map(CertificateDer::from).ok_or_else(|| StoreError::Corrupt(key.to_string()))?)
    }

    /// Writes the refusal into the journal, and a foreign key onto the device it asked for.
    async fn note_refusal(
        &self,
        refused: Refused,
        request: &admit::Request,
        loaded: &Loaded,
    ) -> Result<(), EnrolError> {
        let now = self.clock.now();
        let entry = Entry {
            reason: Some(Text::lossy(refused.code())),
            after: Some(Summary::of(&format!(
                "serial {}, key {}, from {}",
                request.serial, request.key, request.from
            ))),
            ..Entry::new(name("enrol.refuse"), Text::lossy(&format!("token:{}", request.token)))
        };
        let mut draft = Commit::draft(now, server("enrolment"));
        if let (Refused::PendingApproval, Some((device, row))) = (refused, &loaded.device) {
            let Some(noted) = admit::contested(device, request, now) else { return Ok(()) };
            let key = Key::Device(device.id);
            draft = draft.expect(key.clone(), Expected::of(Some(row))).put(key, noted.to_body());
        }
        self.commit(draft.audit(entry)).await?;
        Ok(())
    }
}
