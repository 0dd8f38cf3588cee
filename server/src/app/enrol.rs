//! Enrolment and renewal: load what is known, let the policy decide, commit certificate and device together.
//!
//! Token, device and serial are preconditions of one commit, so of any number of racing requests one wins and the
//! others decide anew. A certificate is handed out only after the commit is durable; a request that is repeated after
//! a lost answer finds it in the store. A key that has to wait is noted, nothing else. Read next: `known` for what is
//! loaded, `renewal` for the next certificate, `guesses` for credentials that mean nothing.

use cordon_proto::enrol::{base64url, from_base64url};
use cordon_proto::ids::{DeviceId, Sha256, Text, TokenId};
use cordon_server_core::admit::{self, Admission, Admitted, Credential, Outcome, Refused, decide};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::{Commit, Draft};
use cordon_server_core::device::{Device, Leaf, VERSION};
use rustls::pki_types::CertificateDer;

use self::known::Loaded;
use super::{App, CommitError, name, server};
use crate::ca::request::DeviceKey;
use crate::ca::{CaError, Issued, Subject};
use crate::chance;
use crate::store::{Expected, Key, StoreError};

mod guesses;
mod known;
mod renewal;
#[cfg(test)]
mod tests;
mod waiting;

pub use guesses::Guesses;

/// How often a request decides anew when others were faster.
const TRIES: u32 = 16;

/// What a request is answered with that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// A certificate.
    Leaf(CertificateDer<'static>),
    /// Come again: a person has to decide first.
    Wait(Line),
}

/// Where a key stands in the line of those who wait for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It was written down just now, which an address may not cause without end.
    Joined,
    /// It was written down before.
    Kept,
    /// Another one is asked about first.
    Behind,
}

impl Line {
    fn of(asked: &Sha256, known: Option<&Device>, noted: Option<&Device>) -> Self {
        let stands = |device: &Device| device.asking.as_ref().is_some_and(|asking| asking.key == *asked);
        match (noted, known) {
            (Some(_), _) => Self::Joined,
            (None, Some(device)) if stands(device) => Self::Kept,
            (None, _) => Self::Behind,
        }
    }
}

/// Why no certificate was handed out.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The policy says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The policy says no to a renewal.
    #[error(transparent)]
    Renewal(#[from] admit::RenewalRefused),
    /// It waits for a person, and asks for news too often: seconds until it is heard again.
    #[error("this key waits for a person: ask again in {0} s")]
    TooOften(u64),
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

impl App {
    /// Answers one request for enrolment whose key was proved.
    pub async fn enrol(&self, request: &admit::Request, key: &DeviceKey) -> Result<Granted, EnrolError> {
        let turn = self.turn(&queue_of(request));
        let _turn = turn.lock().await;
        for _ in 0..TRIES {
            match self.enrol_once(request, key).await {
                Err(EnrolError::Commit(error)) if error.is_conflict() => {}
                outcome => return outcome,
            }
        }
        Err(EnrolError::Busy)
    }

    async fn enrol_once(&self, request: &admit::Request, key: &DeviceKey) -> Result<Granted, EnrolError> {
        let now = self.clock.now();
        let loaded = self.parties(request).await?;
        let fresh = DeviceId::from_random(chance::random());
        match decide(request, loaded.known(), &self.config.enrolment.terms(), fresh, now) {
            Ok(Admission::Same(leaf)) => {
                self.metrics.enrolment("repeated");
                self.leaf(leaf).await
            }
            Ok(Admission::Issue(admitted)) => {
                let leaf = self.grant(*admitted, request, key, &loaded).await?;
                self.metrics.enrolment("issued");
                Ok(Granted::Leaf(leaf))
            }
            Ok(Admission::Wait(device)) => {
                let known = loaded.device.as_ref().map(|(device, _)| device);
                let line = Line::of(&request.key, known, device.as_deref());
                if let Some(device) = device {
                    self.note_waiting(&device, request, &loaded).await?;
                }
                self.keeps_waiting(line, request.key)
            }
            Err(refused) => {
                self.note_refusal(refused, request).await?;
                self.metrics.enrolment(refused.code());
                Err(refused.into())
            }
        }
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
        let issued = self.issue(admitted.device(), key)?;
        let Outcome { device, token } = admitted.with(issued.fingerprint, now, issued.not_after);
        let actor = match request.credential {
            Credential::Token(id) => Actor::Token(id),
            Credential::Birth { .. } | Credential::Nothing => server("enrolment"),
        };
        let before = loaded.device.as_ref().map_or("unknown", |(device, _)| device.state.word());
        let entry = Entry {
            reason: Some(device.reason.clone()),
            before: Some(Summary::of(before)),
            ..told("device.enrol", &device, &issued, (&request.key, &request.from))
        };
        let row = Expected::of(loaded.device.as_ref().map(|(_, row)| row));
        let mut draft = handed_out(Commit::draft(now, actor), &device, row, &issued).audit(entry);
        if let Credential::Token(id) = request.credential {
            // Expected even where it is not spent: taken back meanwhile, it lets nobody in.
            let row = loaded.token.as_ref().map(|(_, row)| row);
            draft = draft.expect(Key::Token(id), Expected::of(row));
            if let Some(token) = token {
                draft = draft.put(Key::Token(id), token.to_body());
            }
        }
        self.commit(self.indexed(draft, &device, loaded).await?).await?;
        Ok(issued.der)
    }

    /// Makes a device's certificate.
    fn issue(&self, device: &Device, key: &DeviceKey) -> Result<Issued, CaError> {
        let subject = Subject { device: device.id, serial: &device.hardware.serial };
        let issuing = self.issuing_for(device.id);
        issuing.issue(key, subject, self.config.enrolment.leaf_days, self.clock.now())
    }

    /// A certificate that was handed out before.
    async fn leaf(&self, fingerprint: Sha256) -> Result<Granted, EnrolError> {
        let key = Key::Leaf(fingerprint);
        let row = self.store.get(key.clone()).await?;
        let der = row.and_then(|row| from_base64url(&Leaf::from_body(&row.body)?.der));
        let der = der.map(CertificateDer::from).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
        Ok(Granted::Leaf(der))
    }

    /// The answer to a key that waits. One that is in the line may ask for news as often as a device may speak.
    fn keeps_waiting(&self, line: Line, key: Sha256) -> Result<Granted, EnrolError> {
        self.metrics.enrolment("waiting");
        if line == Line::Kept {
            self.asking_rates.take(key, self.clock.now_ms()).map_err(EnrolError::TooOften)?;
        }
        Ok(Granted::Wait(line))
    }

    /// Writes a waiting key down, with the device that it asked for.
    async fn note_waiting(
        &self,
        device: &Device,
        request: &admit::Request,
        loaded: &Loaded,
    ) -> Result<(), EnrolError> {
        let now = self.clock.now();
        let entry = Entry {
            reason: device.asking.as_ref().map(|asking| asking.with.clone()),
            after: Some(asked(request)),
            ..Entry::new(name("enrol.wait"), Text::lossy(&format!("device:{}", device.id)))
        };
        let row = Expected::of(loaded.device.as_ref().map(|(_, row)| row));
        let draft = Commit::draft(now, server("enrolment"))
            .expect(Key::Device(device.id), row)
            // A person who says no at this moment is heard.
            .expect(Key::Pending(request.key), Expected::Absent)
            .put(Key::Device(device.id), device.to_body())
            .audit(entry);
        // A device that is known keeps its serial, and whoever has the new board's keeps it, until a person said yes.
        let draft = match loaded.device {
            None => self.indexed(draft, device, loaded).await?,
            Some(_) => draft,
        };
        self.commit(draft).await?;
        Ok(())
    }

    /// Writes the refusal into the journal. What brings no credential of ours is counted instead, so that a stranger
    /// cannot fill the journal.
    async fn note_refusal(&self, refused: Refused, request: &admit::Request) -> Result<(), EnrolError> {
        let object = match (refused, &request.credential) {
            (Refused::UnknownToken, _) => {
                self.guesses.note(&request.from);
                return Ok(());
            }
            (Refused::NoCredential | Refused::QueueFull | Refused::ApprovalDenied, _)
            | (_, Credential::Nothing) => return Ok(()),
            (_, Credential::Token(id)) => format!("token:{id}"),
            (_, Credential::Birth { anchor, .. }) => format!("anchor:{}", anchor.name),
        };
        let entry = Entry {
            reason: Some(Text::lossy(refused.code())),
            after: Some(asked(request)),
            ..Entry::new(name("enrol.refuse"), Text::lossy(&object))
        };
        self.commit(Commit::draft(self.clock.now(), server("enrolment")).audit(entry)).await?;
        Ok(())
    }
}

/// The queue that a request stands in: requests that would change the same thing decide one after the other.
fn queue_of(request: &admit::Request) -> TokenId {
    match &request.credential {
        Credential::Token(id) => *id,
        Credential::Birth { .. } => TokenId(Sha256::of(request.serial.as_str().as_bytes()).0),
        // All in one, so that no more wait than may.
        Credential::Nothing => TokenId([0; 32]),
    }
}

/// A device with a certificate of its own, whatever led to it.
fn handed_out(draft: Draft, device: &Device, row: Expected, issued: &Issued) -> Draft {
    let leaf = Leaf { v: VERSION, device: device.id, der: base64url(&issued.der) };
    draft
        .expect(Key::Device(device.id), row)
        .expect(Key::Leaf(issued.fingerprint), Expected::Absent)
        .put(Key::Device(device.id), device.to_body())
        .put(Key::Leaf(issued.fingerprint), leaf.to_body())
}

/// What the journal says of a certificate that was handed out.
fn told(act: &str, device: &Device, issued: &Issued, (key, from): (&Sha256, &Text)) -> Entry {
    let after = format!(
        "{}, {} {}, certificate {} until {}, key {key}, from {from}",
        device.state.word(),
        device.hardware.model,
        device.hardware.serial,
        issued.fingerprint,
        issued.not_after,
    );
    Entry {
        after: Some(Summary::of(&after)),
        ..Entry::new(name(act), Text::lossy(&format!("device:{}", device.id)))
    }
}

fn asked(request: &admit::Request) -> Summary {
    Summary::of(&format!("serial {}, key {}, from {}", request.serial, request.key, request.from))
}
