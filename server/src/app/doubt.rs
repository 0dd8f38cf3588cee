//! Doubts: what follows when one identity seems to speak with two voices.
//!
//! Listening is memory; only a doubt is a commit, once: the device's `doubt`, a finding for people, and both in the
//! journal. Nothing is cut off and no check-in is refused for it, not even if the doubt cannot be written down: then
//! the next word brings it up again. Who has muted the finding has accepted what it says, and no doubt comes of it
//! until then. Read next: `cordon_server_core::clone`, which decides.

use std::net::SocketAddr;

use cordon_proto::checkin::CheckinRequest;
use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::clone::{Ended, Suspicion, Word};
use cordon_server_core::device::Refused;
use cordon_server_core::triage::{self, Record};

use super::report::{finding_digest, opened};
use super::{App, CommitError, name, server};
use crate::fleet::Member;
use crate::log::chain;
use crate::store::{Expected, Key, StoreError};

/// How often a commit is decided anew when others were faster.
const TRIES: u32 = 8;

/// What a connection proved of whoever speaks on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// SHA-256 of its certificate.
    pub leaf: Sha256,
    /// The other end of the connection.
    pub address: SocketAddr,
}

impl App {
    /// Listens to whose voice a check-in is.
    pub(super) async fn listen(&self, member: &Member, speaker: &Speaker, request: &CheckinRequest) {
        let (id, now) = (member.id(), self.clock.now_ms());
        let word = Word::of(request, speaker.address);
        if let Some(suspicion) = self.fleet.listen(id, &speaker.leaf, &word) {
            self.suspect(id, &suspicion).await;
        }
        let Some(twin) = request.machine.and_then(|machine| self.fleet.twin(id, &machine, now)) else {
            return;
        };
        if member.is_active() {
            for (one, other) in [(member, &*twin), (&*twin, member)] {
                let hardware = &other.device.hardware;
                let named = format!("{} {} ({})", hardware.model, hardware.serial, other.id());
                self.suspect(one.id(), &Suspicion::same_machine(&named)).await;
            }
        }
    }

    /// Notes that a certificate was tried which is refused.
    pub(crate) async fn tried(&self, member: Option<&Member>, leaf: &Sha256, refused: Refused) {
        let Some(member) = member else { return };
        let ended = match refused {
            Refused::Superseded => Ended::Replaced,
            Refused::Retired | Refused::Lost if member.device.farewell.is_some() => Ended::TookLeave,
            Refused::Retired
            | Refused::Lost
            | Refused::UnknownDevice
            | Refused::Expired
            | Refused::Quarantined => return,
        };
        if let Some(suspicion) = self.fleet.tried(member.id(), leaf, ended, self.clock.now_ms()) {
            self.suspect(member.id(), &suspicion).await;
        }
    }

    /// Writes a doubt down, if there is none yet.
    async fn suspect(&self, id: DeviceId, suspicion: &Suspicion) {
        let Some(member) = self.fleet.get(id) else { return };
        // Asked in memory first: who speaks with two voices does so all the time.
        let now = self.clock.now();
        let finding = finding_digest(&suspicion.finding(now));
        let muted = member.findings.get(&finding).is_some_and(|known| is_muted(known, now));
        if member.device.doubt.is_some() || muted {
            return;
        }
        if let Err(error) = self.write_doubt(id, suspicion).await {
            tracing::error!(device = %id, error = chain(&error), "a doubt could not be written down; the next word brings it up again");
        }
    }

    async fn write_doubt(&self, id: DeviceId, suspicion: &Suspicion) -> Result<(), CommitError> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let Some((device, expected)) = self.stored_device(id).await? else { return Ok(()) };
            let Some(doubting) = device.in_doubt(suspicion, now) else { return Ok(()) };
            let finding = suspicion.finding(now);
            let key = Key::Finding { device: id, finding: finding_digest(&finding) };
            let row = self.store.get(key.clone()).await?;
            let known: Option<Record> = row.as_ref().and_then(|row| serde_json::from_slice(&row.body).ok());
            if known.as_ref().is_some_and(|known| is_muted(known, now)) {
                return Ok(());
            }
            let (mut record, change) = triage::take_in(known, id, finding, now);
            if let (triage::Change::New | triage::Change::Reopened, Some(step)) =
                (change, record.history.last_mut())
            {
                // No device reported it.
                step.by = server("clones").to_string();
            }
            let body = serde_json::to_vec(&record).expect("a finding is always JSON");
            let entry = Entry {
                reason: Some(suspicion.evidence.clone()),
                after: Some(Summary::of(suspicion.kind.word())),
                ..Entry::new(name("device.doubt"), Text::lossy(&format!("device:{id}")))
            };
            let draft = Commit::draft(now, server("clones"))
                .expect(Key::Device(id), expected)
                .put(Key::Device(id), doubting.to_body())
                .audit(entry)
                .expect(key.clone(), Expected::of(row.as_ref()))
                .put(key, body);
            let draft = match change {
                triage::Change::Again => draft,
                triage::Change::New => draft.audit(opened("finding.open", id, &record)),
                triage::Change::Reopened => draft.audit(opened("finding.reopen", id, &record)),
            };
            match self.commit(draft).await {
                Ok(_) => {
                    tracing::warn!(device = %id, kind = suspicion.kind.word(), evidence = %suspicion.evidence, "there may be more than one machine behind an identity");
                    return Ok(());
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict(Key::Device(id)).into())
    }
}

/// Whether people have accepted for a time what a finding says.
fn is_muted(record: &Record, now: cordon_proto::time::Timestamp) -> bool {
    match record.state {
        triage::State::Muted { until } | triage::State::Allowed { until } => now < until,
        triage::State::Open | triage::State::Acknowledged | triage::State::Closed => false,
    }
}

#[cfg(test)]
mod tests;
