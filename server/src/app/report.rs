//! What devices tell: check-ins, telemetry, receipts.
//!
//! A check-in is memory unless it says something new. What follows from a batch (inventory, findings) is committed
//! before the batch itself, because the device will not send it again once the batch is stored. A receipt counts only
//! if the key of the very certificate on the connection signed it. A record of a kind or form unknown here is kept
//! and counted, never refused: one bad record must not stop a device's stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::checkin::{CheckinAnswer, CheckinRequest};
use cordon_proto::enrol::from_base64url;
use cordon_proto::health::Health;
use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody, ReceiptError};
use cordon_proto::telemetry::{Batch, BatchAnswer, Body, Finding, FlowRow, Position, Record};
use cordon_proto::time::Timestamp;
use cordon_proto::wire;
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::change::delivery::watermark_of;
use cordon_server_core::device::{Access, Leaf, OtherHardware, Proof, Refused, Report, may};
use cordon_server_core::triage::{self, Allowance};

use super::machine::Restated;
use super::{App, CommitError, Orders, Speaker, StatementError, name, server, statement};
use crate::ca::PeerLeaf;
use crate::fleet::{FINDINGS, Member, Pulse};
use crate::store::{Delivery, Expected, Key, StoreError};

/// How often a commit is decided anew when others were faster.
pub(super) const TRIES: u32 = 8;
/// Findings that one commit takes in.
const FINDINGS_A_COMMIT: usize = 100;

/// Why a check-in was not answered.
#[derive(Debug, thiserror::Error)]
pub enum CheckinError {
    /// It says that it is another device.
    #[error(transparent)]
    Hardware(#[from] OtherHardware),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a receipt that a person brought was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The device is not known, or its certificates prove nothing any more.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The receipt itself, or the store.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// What became of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptTaken {
    /// It is stored now.
    Stored,
    /// It was stored before.
    Before,
}

impl App {
    /// Answers a check-in of the device that the connection proved.
    pub async fn checkin(
        &self,
        member: &Arc<Member>,
        speaker: &Speaker,
        request: &CheckinRequest,
    ) -> Result<CheckinAnswer, CheckinError> {
        let (id, now) = (member.id(), self.clock.now());
        self.listen(member, speaker, request).await;
        let device = member.device.stating(&request.hardware)?;
        if device != *member.device {
            self.restate(id, request).await?;
        }
        // The token is read first: what changes from here on is a change after it.
        let wait_token = self.waits.token(id);
        let pulse = Pulse {
            at: now,
            device_time: request.device_time,
            uptime_s: request.uptime_s,
            spool_records: request.spool_records,
        };
        let report = Report::of(request).spoken(request, speaker.leaf);
        self.fleet.heard(id, Some(report), Some(pulse), self.clock.now_ms());
        let member = self.fleet.get(id).unwrap_or_else(|| member.clone());
        let Orders { order, permit, content } = self.orders_for(&member, request, now).await?;
        let held = member.inventory.as_ref().map(|inventory| inventory.root);
        let want_inventory = held != Some(request.inventory_root);
        self.metrics.checkin();
        Ok(CheckinAnswer {
            time: now,
            order,
            permit,
            content_version: content.as_ref().map_or(0, |(_, version)| *version),
            ca_bundle: Some(self.ca_bundle()),
            audit_head: self.audit.standing().head.map(|head| head.to_bytes().into()),
            next_s: self.config.device.checkin_s,
            want_inventory,
            director_version: self.director().map_or(0, |director| director.director_version()),
            wait_token,
            ca_version: self.ca.standing().state.version,
            content: content.map(|(offer, _)| offer),
            inventory_base: held.filter(|_| want_inventory),
            reads_packed: want_inventory.then_some(true),
        })
    }

    /// Takes a batch in: first what follows from it, then the records.
    pub async fn telemetry(&self, device: DeviceId, batch: Batch) -> Result<BatchAnswer, CheckinError> {
        let unreadable = self.heed(device, &batch).await?;
        // The order was checked when the batch was read; if that ever fails, nothing is stored.
        let delivery = Delivery::new(device, self.clock.now_ms(), batch)
            .map_err(|error| StoreError::unavailable("keep telemetry out of order", error))?;
        let appended = self.store.append(delivery).await?;
        self.metrics.records("stored", appended.stored.into());
        self.metrics.records("duplicate", appended.duplicates.into());
        self.metrics.records("unreadable", unreadable);
        Ok(BatchAnswer { stored_through: appended.through, duplicates: appended.duplicates })
    }

    /// Does what follows from the records that are not stored yet, and says how many could not be read. Every commit
    /// expects the watermark that they were chosen by: of one batch at two servers, the one that comes late has
    /// nothing left to say, and cannot put back what the other replaced.
    async fn heed(&self, device: DeviceId, batch: &Batch) -> Result<u64, CheckinError> {
        let key = Key::Watermark(device);
        for _ in 0..TRIES {
            let row = self.store.get(key.clone()).await?;
            let news = self.news(batch, row.as_ref().and_then(|row| watermark_of(&row.body)));
            let stored = (key.clone(), Expected::of(row.as_ref()));
            let unreadable = news.unreadable;
            match self.heed_news(device, news, &stored).await {
                Err(CheckinError::Commit(CommitError::Store(StoreError::Conflict(moved))))
                    if moved == key => {}
                outcome => return outcome.map(|()| unreadable),
            }
        }
        Err(StoreError::Conflict(key).into())
    }

    async fn heed_news(
        &self,
        device: DeviceId,
        news: News,
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        self.restate_inventory(device, news.inventory, stored).await?;
        self.keep_contacts(device, &news.flows, stored).await?;
        let tells_health = !news.health.is_empty();
        self.keep_health(device, news.health, stored).await?;
        if tells_health {
            self.judge_health(device, stored).await?;
        }
        let findings: Vec<(Sha256, Finding)> = news.findings.into_iter().collect();
        for some in findings.chunks(FINDINGS_A_COMMIT) {
            self.take_in(device, some, stored).await?;
        }
        Ok(())
    }

    /// Takes a receipt in. `bytes` are kept as they came.
    pub async fn receipt(
        &self,
        member: &Member,
        leaf: &PeerLeaf,
        bytes: &[u8],
        receipt: &Receipt,
    ) -> Result<ReceiptTaken, StatementError> {
        let body = receipt.open(|message, signature| leaf.verifies(message, signature))?;
        let by = (Actor::Device(body.device), "receipt.accept");
        self.keep_receipt((member, leaf), (bytes, receipt), &body, by).await
    }

    /// Takes in a receipt that a person brings, from a device without a network. It counts as if the device had handed it
    /// in: signed by the key of a certificate that is in force or waits to be. That such a certificate has ended meanwhile
    /// is no fault of a device that nobody could reach; one that was replaced, retired or lost proves nothing.
    pub async fn import_receipt(
        &self,
        bytes: &[u8],
        receipt: &Receipt,
        by: &Actor,
    ) -> Result<(ReceiptBody, ReceiptTaken), ImportError> {
        let body = receipt.open(|_, _| true).map_err(StatementError::Signature)?;
        let member = self.fleet.get(body.device).ok_or(Refused::UnknownDevice)?;
        let leaf = self.signer_of(&member, receipt).await?;
        may(Some(&member.device), &leaf.fingerprint, Access::Update, Timestamp(i64::MIN))?;
        let statement = (bytes, receipt);
        let taken =
            self.keep_receipt((&member, &leaf), statement, &body, (by.clone(), "receipt.import")).await?;
        Ok((body, taken))
    }

    /// The certificate of a device whose key signed a receipt.
    async fn signer_of(&self, member: &Member, receipt: &Receipt) -> Result<PeerLeaf, ImportError> {
        for identity in member.device.identities() {
            let row = self.store.get(Key::Leaf(identity.leaf)).await.map_err(StatementError::Store)?;
            let der = row.and_then(|row| from_base64url(&Leaf::from_body(&row.body)?.der));
            let leaf = der.and_then(|der| PeerLeaf::of(&der.into()));
            let Some(leaf) = leaf else { continue };
            if receipt.open(|message, signature| leaf.verifies(message, signature)).is_ok() {
                return Ok(leaf);
            }
        }
        Err(StatementError::Signature(ReceiptError::Signature).into())
    }

    async fn keep_receipt(
        &self,
        (member, leaf): (&Member, &PeerLeaf),
        (bytes, receipt): (&[u8], &Receipt),
        body: &ReceiptBody,
        (actor, act): (Actor, &str),
    ) -> Result<ReceiptTaken, StatementError> {
        statement::is_of(member, body.device, body.hardware)?;
        let (device, now) = (body.device, self.clock.now());
        // What was stated counts once, however often it was signed: a device signs anew after a renewal.
        let key = Key::Receipt { order: body.order.clone(), device, digest: Sha256::of(&receipt.body) };
        if self.store.get(key.clone()).await?.is_some() {
            return Ok(ReceiptTaken::Before);
        }
        let entry = Entry {
            reason: body.reason.as_ref().map(|reason| reason.sentence.clone()),
            after: Some(Summary::of(&told(body))),
            ..Entry::new(name(act), Text::lossy(&format!("order:{}", body.order)))
        };
        let draft = Commit::draft(now, actor)
            .expect(key.clone(), Expected::Absent)
            .put(key, Proof::new(bytes, leaf.fingerprint, now).to_body())
            .audit(entry);
        match self.commit(draft).await {
            Ok(_) => Ok(ReceiptTaken::Stored),
            Err(error) if error.is_conflict() => Ok(ReceiptTaken::Before),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down hardware that the device stated for the first time, or a new board.
    async fn restate(&self, id: DeviceId, request: &CheckinRequest) -> Result<(), CheckinError> {
        for _ in 0..TRIES {
            let Some((known, expected)) = self.stored_device(id).await? else { return Ok(()) };
            let after = known.stating(&request.hardware)?;
            let words = |hardware: &cordon_proto::ids::Hardware| {
                format!("{} {} board {}", hardware.manufacturer, hardware.model, hardware.revision)
            };
            let entry = Entry {
                before: Some(Summary::of(&words(&known.hardware))),
                after: Some(Summary::of(&words(&after.hardware))),
                ..Entry::new(name("device.state-hardware"), Text::lossy(&format!("device:{id}")))
            };
            let draft = Commit::draft(self.clock.now(), Actor::Device(id))
                .expect(Key::Device(id), expected)
                .put(Key::Device(id), after.to_body())
                .audit(entry);
            match self.commit(draft).await {
                Err(error) if error.is_conflict() => {}
                outcome => return Ok(outcome.map(|_| ())?),
            }
        }
        Err(StoreError::Conflict(Key::Device(id)).into())
    }

    /// What of a batch has consequences beyond being kept: the inventory, health, and each finding once.
    fn news(&self, batch: &Batch, stored: Option<Position>) -> News {
        let mut news = News::default();
        for record in batch.records.iter().filter(|record| Some(record.position) > stored) {
            match Body::of(record) {
                Ok(Some(body)) => news.add(body, record),
                // A newer agent than this server: kept for a newer server.
                Ok(None) => {}
                Err(_) => news.unreadable += 1,
            }
        }
        news
    }

    pub(super) async fn take_in(
        &self,
        device: DeviceId,
        findings: &[(Sha256, Finding)],
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let mut draft = Commit::draft(now, server("findings")).expect(stored.0.clone(), stored.1);
            for (digest, finding) in findings {
                let key = Key::Finding { device, finding: *digest };
                let row = self.store.get(key.clone()).await?;
                if row.is_none() && self.has_its_fill(device) {
                    self.metrics.records("over-limit", 1);
                    continue;
                }
                let known = row.as_ref().and_then(|row| serde_json::from_slice(&row.body).ok());
                let (mut record, change) = triage::take_in(known, device, finding.clone(), now);
                if change == triage::Change::New {
                    record = self.allowed_beforehand(record, now).await?;
                }
                let body = serde_json::to_vec(&record).expect("a finding is always JSON");
                draft = draft.expect(key.clone(), Expected::of(row.as_ref())).put(key, body);
                draft = match change {
                    triage::Change::Again => draft,
                    triage::Change::New => draft.audit(opened("finding.open", device, &record)),
                    triage::Change::Reopened => draft.audit(opened("finding.reopen", device, &record)),
                };
            }
            match self.commit(draft).await {
                Err(CommitError::Store(StoreError::Conflict(Key::Finding { .. }))) => {}
                outcome => return Ok(outcome.map(|_| ())?),
            }
        }
        Err(StoreError::Conflict(Key::Device(device)).into())
    }

    /// A finding that a device shows for the first time, as it stands if its model is allowed to do this.
    async fn allowed_beforehand(
        &self,
        record: triage::Record,
        now: Timestamp,
    ) -> Result<triage::Record, StoreError> {
        let Some(member) = self.fleet.get(record.device) else { return Ok(record) };
        let model = &member.device.hardware.model;
        let id = Allowance::id_of(model, &record.finding.detector, &record.finding.key);
        let row = self.store.get(Key::Mute(id)).await?;
        let allowance = row.and_then(|row| Allowance::from_body(&row.body));
        Ok(match allowance {
            Some(allowance) => allowance.cover(record, model, now),
            None => record,
        })
    }

    /// Whether a device has so many findings that new ones are only counted.
    fn has_its_fill(&self, device: DeviceId) -> bool {
        self.fleet.get(device).is_some_and(|member| member.findings.len() >= FINDINGS)
    }
}

/// What of a batch has consequences.
#[derive(Debug, Default)]
struct News {
    inventory: Restated,
    health: Vec<Health>,
    findings: BTreeMap<Sha256, Finding>,
    flows: Vec<FlowRow>,
    unreadable: u64,
}

impl News {
    fn add(&mut self, body: Body, record: &Record) {
        match body {
            Body::Inventory(_) => self.inventory.whole(record.body.to_vec()),
            Body::InventoryDelta(delta) => self.inventory.change(delta),
            Body::InventoryPacked(packed) => match packed.unpack() {
                Ok(inventory) => self.inventory.whole(wire::write(&inventory)),
                Err(_) => self.unreadable += 1,
            },
            Body::Health(health) => self.health.push(health),
            Body::Finding(finding) => {
                self.findings.insert(finding_digest(&finding), finding);
            }
            Body::Flows(row) => self.flows.push(row),
            Body::Gap(_) | Body::Sensor(_) | Body::Update(_) => {}
        }
    }
}

/// The name of a finding within its device: detector and key.
#[must_use]
pub(crate) fn finding_digest(finding: &Finding) -> Sha256 {
    Sha256::of(&wire::write(&(finding.detector.as_str(), finding.key.as_str())))
}

pub(super) fn opened(action: &str, device: DeviceId, record: &triage::Record) -> Entry {
    Entry {
        after: Some(Summary::of(&format!("{}: {}", record.id, record.finding.title))),
        ..Entry::new(name(action), Text::lossy(&format!("device:{device}")))
    }
}

fn told(body: &ReceiptBody) -> String {
    let outcome = match body.outcome {
        Outcome::Confirmed => "confirmed",
        Outcome::RolledBack => "rolled back",
        Outcome::Refused => "refused",
        Outcome::WentBack => "went back",
    };
    let release = body.release.as_ref().map_or("no release", |release| release.as_str());
    format!("{outcome}: {release}, counter {}, floor {}, image {}", body.counter, body.floor, body.sha256)
}
