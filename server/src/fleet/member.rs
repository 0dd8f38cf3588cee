//! One device as the fleet view holds it: its documents, what ticks, and what was gathered from the documents.
//!
//! Documents are read by everybody and changed here alone, through one door that forgets what was gathered from them: so a score
//! cannot stand on a document that is no more. A heartbeat without news touches none. Nothing is judged here. Read next:
//! [`crate::appraisal`], which gathers.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use cordon_proto::checkin::{InterlockState, UpdateState};
use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::inventory::{Row, Section};
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::clone::Trace;
use cordon_server_core::device::{Device, Report, State};
use cordon_server_core::exposure::Listed;
use cordon_server_core::order_plan::Meant;
use cordon_server_core::triage;

use super::ReceiptView;
use crate::appraisal::{Gathered, noticed};
use crate::store::Revision;

/// Findings of one device that are held; a device that reports more is told of elsewhere.
pub const FINDINGS: usize = 1000;
/// Receipts of one device that are held, the newest.
pub const RECEIPTS: usize = 64;
/// Seconds after which a device that says nothing new is written down as seen once more.
pub const SEEN_S: i64 = 3600;
/// The same for a device that has the go.
const AMID_SEEN_S: i64 = 60;

/// One device as it is now. Cloning shares all that is large.
#[derive(Clone, Debug)]
pub struct Member {
    documents: Documents,
    /// What its documents say for its score, made when it is first asked for after one of them changed.
    gathered: OnceLock<Gathered>,
    /// The last authenticated request.
    pub seen: Option<Timestamp>,
    /// Until when it listens, by its last request.
    pub listens: Option<Timestamp>,
    /// What ticks.
    pub pulse: Option<Pulse>,
    /// What was noticed of its voice, in the search for clones.
    pub(super) trace: Trace,
    pub(super) applied: Applied,
}

/// What was told about a device: it changes by a document or by news, never by a heartbeat alone.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The stored document.
    pub device: Arc<Device>,
    /// The transaction that wrote it.
    pub revision: Revision,
    /// The last check-in that said something new; newer than the stored one, if they differ.
    pub report: Option<Arc<Report>>,
    /// When it came.
    pub reported: Option<Millis>,
    /// The inventory without its packages.
    pub inventory: Option<Arc<InventoryView>>,
    /// Findings by the digest of their detector and key.
    pub findings: Arc<BTreeMap<Sha256, Arc<triage::Record>>>,
    /// The newest receipts, oldest first.
    pub receipts: Arc<Vec<Arc<ReceiptView>>>,
}

/// The transactions that wrote the documents held beside the device's own. Kept for removed ones too, so that an older
/// document that is delivered late does not come back.
#[derive(Clone, Debug, Default)]
pub(super) struct Applied {
    pub(super) inventory: Option<Revision>,
    pub(super) findings: Arc<BTreeMap<Sha256, Revision>>,
}

/// What of a check-in is true only now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// When it came, by our clock.
    pub at: Timestamp,
    /// The device's own clock then.
    pub device_time: Timestamp,
    /// Seconds since its agent started.
    pub uptime_s: u64,
    /// Records waiting in its spool.
    pub spool_records: u64,
}

/// An inventory as pages and scores need it. The packages are many and stay in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryView {
    /// Root over all rows, packages included.
    pub root: Sha256,
    /// All rows but packages.
    pub rows: Vec<Row>,
    /// How many packages there are.
    pub packages: usize,
    /// The hash of what is installed: of two devices with the same one the same is known.
    pub composition: Sha256,
}

impl Member {
    pub(super) fn new(device: Device, revision: Revision) -> Self {
        let (seen, listens) = (device.last_seen, device.listens);
        let documents = Documents {
            revision,
            report: device.report.clone().map(Arc::new),
            reported: device.reported,
            device: Arc::new(device),
            inventory: None,
            findings: Arc::default(),
            receipts: Arc::default(),
        };
        Self {
            documents,
            gathered: OnceLock::new(),
            seen,
            listens,
            pulse: None,
            trace: Trace::default(),
            applied: Applied::default(),
        }
    }

    /// What its documents say for its score.
    #[must_use]
    pub fn gathered(&self) -> &Gathered {
        self.gathered.get_or_init(|| Gathered::of(&self.documents))
    }

    /// The one way to a document: what was gathered from all of them before is forgotten.
    fn tell<T>(&mut self, change: impl FnOnce(&mut Documents) -> T) -> T {
        self.gathered = OnceLock::new();
        change(&mut self.documents)
    }

    /// The document that should be written down for this device, if that is due.
    #[must_use]
    pub fn unwritten(&self) -> Option<Device> {
        let news =
            self.report.as_deref() != self.device.report.as_ref() && self.reported > self.device.reported;
        let after_s = if self.is_amid() { AMID_SEEN_S } else { SEEN_S };
        let seen_since = match (self.seen, self.device.last_seen) {
            (Some(seen), Some(written)) => seen.seconds_since(written) >= after_s,
            (Some(_), None) => true,
            (None, _) => false,
        };
        (news || seen_since).then(|| self.current())
    }

    /// Whether it has the go and is about to reboot, or has: whoever runs the rollouts, perhaps elsewhere, would call it
    /// silent if it were not known to be heard.
    fn is_amid(&self) -> bool {
        self.report.as_deref().is_some_and(|report| match report.update.state {
            UpdateState::Armed | UpdateState::Trial => true,
            UpdateState::Waiting => report.wants.is_some() && report.update.blocked_by.is_empty(),
            UpdateState::Idle
            | UpdateState::Fetching
            | UpdateState::Confirmed
            | UpdateState::RolledBack
            | UpdateState::Refused => false,
        })
    }

    /// The stored document with what the device has said since.
    #[must_use]
    pub fn current(&self) -> Device {
        Device {
            report: self.report.as_deref().cloned(),
            reported: self.reported,
            last_seen: self.seen,
            listens: self.listens,
            spoke: self.spoke(),
            noticed: noticed(self),
            ..Device::clone(&self.device)
        }
    }

    /// It as an order means it, with what it has said since it was last written down.
    #[must_use]
    pub fn meant(&self) -> Meant<'_> {
        let (report, seen, spoke) = (self.report.as_deref(), self.seen, self.spoke());
        Meant { device: &self.device, report, seen, spoke }
    }

    /// When something on it first said whether it is in use.
    fn spoke(&self) -> Option<Timestamp> {
        self.device.spoke.or_else(|| self.first_word())
    }

    /// When it said what it says now, if that is whether it is in use.
    fn first_word(&self) -> Option<Timestamp> {
        let report = self.report.as_deref().filter(|report| report.interlock != InterlockState::Unknown);
        report.and(self.reported).map(Millis::seconds).or(report.and(self.seen))
    }

    /// The device's name.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.device.id
    }

    /// The machine that it last said it is on.
    pub(super) fn machine(&self) -> Option<Sha256> {
        self.report.as_deref().and_then(Report::machine)
    }

    /// Whether it is trusted.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.device.state == State::Active
    }
}

impl Member {
    /// Takes a device's document in the place of an older one.
    pub(super) fn put_device(&mut self, device: Device, revision: Revision) {
        self.seen = self.seen.max(device.last_seen);
        self.listens = self.listens.max(device.listens);
        let cleared = self.device.doubt.is_some() && device.doubt.is_none();
        if cleared {
            // A person has looked: whoever of two voices is left begins anew.
            self.trace = Trace::default();
        }
        self.tell(|documents| {
            // What another server heard later is newer than what was heard here.
            if device.reported >= documents.reported {
                documents.report = device.report.clone().map(Arc::new);
                documents.reported = device.reported;
            }
            if cleared && let Some(report) = &mut documents.report {
                Arc::make_mut(report).voice = None;
            }
            (documents.device, documents.revision) = (Arc::new(device), revision);
        });
    }

    /// Takes what it says anew, by a check-in of now.
    pub(super) fn put_report(&mut self, report: Report, now: Millis) {
        self.tell(|documents| {
            // Later than what was told before, however coarse the clock is.
            documents.reported = documents.reported.map(|before| before.plus(1)).max(Some(now));
            documents.report = Some(Arc::new(report));
        });
    }

    /// Takes an inventory, unless it is older than the one held; says whether it did.
    pub(super) fn put_inventory(&mut self, inventory: InventoryView, revision: Revision) -> bool {
        let is_newer = self.applied.inventory < Some(revision);
        if is_newer {
            self.applied.inventory = Some(revision);
            self.tell(|documents| documents.inventory = Some(Arc::new(inventory)));
        }
        is_newer
    }

    pub(super) fn put_finding(&mut self, finding: Sha256, record: triage::Record, revision: Revision) {
        let is_newer = self.applied.findings.get(&finding).is_none_or(|known| *known < revision);
        if is_newer && (self.findings.len() < FINDINGS || self.findings.contains_key(&finding)) {
            self.tell(|documents| Arc::make_mut(&mut documents.findings).insert(finding, Arc::new(record)));
            Arc::make_mut(&mut self.applied.findings).insert(finding, revision);
        }
    }

    pub(super) fn remove_finding(&mut self, finding: &Sha256, revision: Revision) {
        if self.applied.findings.get(finding).is_none_or(|known| *known <= revision) {
            self.tell(|documents| Arc::make_mut(&mut documents.findings).remove(finding));
            Arc::make_mut(&mut self.applied.findings).insert(*finding, revision);
        }
    }

    pub(super) fn put_receipt(&mut self, receipt: ReceiptView) {
        if self.receipts.iter().any(|known| known.digest == receipt.digest) {
            return;
        }
        self.tell(|documents| {
            let receipts = Arc::make_mut(&mut documents.receipts);
            receipts.push(Arc::new(receipt));
            receipts.sort_by_key(|receipt| (receipt.received, receipt.digest));
            let surplus = receipts.len().saturating_sub(RECEIPTS);
            receipts.drain(..surplus);
        });
    }
}

impl Deref for Member {
    type Target = Documents;

    fn deref(&self) -> &Documents {
        &self.documents
    }
}

impl InventoryView {
    /// The same without its packages.
    #[must_use]
    pub fn of(listed: &Listed<'_>) -> Self {
        let inventory = listed.inventory();
        let (packages, rows): (Vec<&Row>, Vec<&Row>) =
            inventory.rows().iter().partition(|row| row.section == Section::Package);
        Self {
            root: inventory.root(),
            packages: packages.len(),
            rows: rows.into_iter().cloned().collect(),
            composition: listed.composition(),
        }
    }

    /// The first field of a row.
    #[must_use]
    pub fn field(&self, section: Section, key: &str) -> Option<&str> {
        let row = self.rows.iter().find(|row| row.section == section && row.key.as_str() == key)?;
        row.fields.first().map(String::as_str)
    }
}
