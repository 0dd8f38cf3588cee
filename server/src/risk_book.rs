//! The site's own risk model in memory, and the record of what was said of devices and of the fleet.
//!
//! The model comes from the store, follows what other servers commit, and goes with every score. Scores themselves are never
//! stored: what is written down is that a score was said on a day, with its reasons ([`record`]), by the one server that has
//! the job's lease. A table that this program does not understand is not used, and said loudly. What is due and what is
//! kept is decided in `cordon_server_core::risk::history`. Read next: `http/operator/risk`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use cordon_proto::ids::{DeviceId, Name, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::{Commit, Draft, Index, Key, Kind, Malformed, Revision};
use cordon_server_core::risk::Model;
use cordon_server_core::risk::history::fleet::{FleetPoint, FleetSaid};
use cordon_server_core::risk::history::{Last, Said};
use cordon_server_core::risk::model::site::{Changes, SiteModel, SiteRefused, summary};
use cordon_server_core::risk::score::{Score, score};
use tokio::sync::Mutex;

use crate::app::{App, CommitError, name, server};
use crate::appraisal::{Published, facts, is_counted, rescore};
use crate::fleet::Member;
use crate::http::operator::Operator;
use crate::people::Doer;
use crate::store::{Change, Cursor, Expected, Lease, Store, StoreError};

/// The name of the document with the site's figures.
const MODEL: &str = "risk-model";
/// The name of the document with the fleet's history.
const FLEET: &str = "risk-history";
/// Devices written down in one commit: their documents are read for it.
const BATCH: usize = 100;
/// Devices written down in one run; the others wait for the next, the greatest moves first.
const RUN: usize = 20_000;

/// The model in force, and who has the record in hand.
#[derive(Default)]
pub struct RiskBook {
    held: RwLock<Held>,
    recorder: Mutex<Recorder>,
}

/// The site's figures as they were read last.
#[derive(Clone, Default)]
struct Held {
    model: Arc<Model>,
    site: Option<Arc<SiteModel>>,
    revision: Option<Revision>,
    unread: bool,
}

/// What was said last of each device, as far as this server has the job.
#[derive(Default)]
struct Recorder {
    /// The turn at the job for which it holds; another server may have written since.
    token: Option<Revision>,
    last: HashMap<DeviceId, Last>,
}

/// The model with who set it.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The model.
    pub model: Arc<Model>,
    /// What the site set, if it set anything.
    pub site: Option<Arc<SiteModel>>,
    /// Whether a table is stored that this program does not understand; then the model's own figures are in force.
    pub unread: bool,
}

/// Why a site's figures were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ModelChange {
    /// They would have no meaning.
    #[error(transparent)]
    Refused(#[from] SiteRefused),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why nothing could be written down.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More than one commit holds.
    #[error("the history of scores does not fit one commit")]
    TooMuch(#[from] Malformed),
    /// The scores were not computed.
    #[error("the scores could not be computed")]
    Stopped(#[from] tokio::task::JoinError),
}

/// What a run wrote down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Devices whose score was written down.
    pub devices: usize,
    /// Devices that wait for the next run.
    pub waiting: usize,
}

impl RiskBook {
    /// The model by which scores are made.
    #[must_use]
    pub fn model(&self) -> Arc<Model> {
        self.held().model
    }

    /// The same with who set it.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        let Held { model, site, unread, revision: _ } = self.held();
        InForce { model, site, unread }
    }

    /// Whether what `revision` wrote under this key, or something later, is held, or does not belong here.
    #[must_use]
    pub fn has(&self, key: &Key, revision: Revision) -> bool {
        *key != model_key() || self.held().revision >= Some(revision)
    }

    /// Takes in documents of one commit, and says whether the model is another one now. An older one changes nothing.
    pub fn follow<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, revision: Revision) -> bool {
        let mut is_other = false;
        for change in changes.into_iter().filter(|change| *change.key() == model_key()) {
            if self.has(change.key(), revision) {
                continue;
            }
            let body = match change {
                Change::Put(_, body) => Some(body.as_slice()),
                Change::Delete(_) => None,
            };
            let held = read(body, revision);
            is_other |= held.model != self.held().model;
            *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        }
        is_other
    }

    /// Reads the stored figures.
    pub async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        if let Some(row) = store.get(model_key()).await? {
            self.follow([&Change::Put(model_key(), row.body)], row.revision);
        }
        Ok(())
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A stored table, or the model's own figures where there is none that can be used.
fn read(body: Option<&[u8]>, revision: Revision) -> Held {
    let own = Held { revision: Some(revision), ..Held::default() };
    let Some(body) = body else { return own };
    match SiteModel::from_body(body).map(|site| (site.model(), site)) {
        Some((Ok(model), site)) => Held { model: Arc::new(model), site: Some(Arc::new(site)), ..own },
        Some((Err(error), _)) => {
            tracing::error!(%error, "the site's risk figures are not used: set them anew");
            Held { unread: true, ..own }
        }
        None => {
            tracing::error!(
                "the site's risk figures are of no version known here, and not used: set them anew"
            );
            Held { unread: true, ..own }
        }
    }
}

fn model_key() -> Key {
    Key::Meta(name(MODEL))
}

fn fleet_key() -> Key {
    Key::Meta(name(FLEET))
}

impl App {
    /// Changes the site's figures, with a reason in the journal.
    pub async fn set_risk_model(
        &self,
        changes: &Changes,
        reason: Text,
        by: Doer<'_>,
    ) -> Result<InForce, ModelChange> {
        let row = self.store.get(model_key()).await?;
        let before = self.risk.in_force();
        let (model, figures) = changes.over(&before.model)?;
        let action: Name = name("risk.set-model");
        let words = |model: &Model| Some(Summary::of(&format!("{} {}", model.sha256_hex(), summary(model))));
        let entry = Entry {
            reason: Some(reason.clone()),
            before: words(&before.model),
            after: words(&model),
            ..Entry::new(action, Text::lossy("risk-model"))
        };
        let draft = Commit::draft(by.now, by.actor.clone());
        let draft = draft.expect(model_key(), Expected::of(row.as_ref())).audit(entry);
        let draft = if figures.is_empty() {
            draft.delete(model_key())
        } else {
            let site = SiteModel::new(figures, reason, by.actor.to_string(), by.now);
            draft.put(model_key(), site.to_body())
        };
        self.commit(draft).await?;
        self.fleet.nudge();
        Ok(self.risk.in_force())
    }

    /// What was said of a device's risk, if anything.
    pub async fn risk_history(&self, device: DeviceId) -> Result<Said, StoreError> {
        let row = self.store.get(Key::RiskHistory(device)).await?;
        Ok(row.and_then(|row| Said::from_body(&row.body)).unwrap_or_default())
    }

    /// What was said of the fleet's risk.
    pub async fn fleet_risk_history(&self) -> Result<FleetSaid, StoreError> {
        let row = self.store.get(fleet_key()).await?;
        Ok(row.and_then(|row| FleetSaid::from_body(&row.body)).unwrap_or_default())
    }
}

/// Writes down the scores that moved, and the fleet's own line, for whoever has the lease.
pub async fn record(operator: &Operator, lease: Option<&Lease>) -> Result<Recorded, RecordError> {
    let app = &operator.app;
    let mut recorder = app.risk.recorder.lock().await;
    let (published, now) = (operator.published(), app.clock.now());
    let members: Vec<_> = app.fleet.all().into_iter().filter(|member| is_counted(member)).collect();
    let token = lease.map(|lease| lease.token);
    if recorder.token != token || recorder.token.is_none() {
        let counted: BTreeSet<DeviceId> = members.iter().map(|member| member.id()).collect();
        recorder.last = last_said(&*app.store).await?;
        recorder.last.retain(|device, _| counted.contains(device));
        recorder.token = token;
    }
    let (last, shared) = (recorder.last.clone(), Arc::new(published));
    let by = shared.clone();
    let seen = tokio::task::spawn_blocking(move || look(&members, &by, &last, now)).await?;
    let gone = recorder.last.len().saturating_sub(seen.known);
    let mut recorded = Recorded { devices: 0, waiting: seen.due.len().saturating_sub(RUN) };
    for some in seen.due.chunks(BATCH).take(RUN / BATCH) {
        let scores = said_now(app, some, &shared, now);
        recorded.devices += write(app, lease, &scores, &mut recorder.last).await?;
    }
    let point = FleetPoint { gone: u32::try_from(gone).unwrap_or(u32::MAX), ..seen.point };
    write_fleet(app, lease, point).await?;
    recorder.last.retain(|device, _| seen.devices.contains(device));
    Ok(recorded)
}

/// What one look at the fleet found.
struct Seen {
    point: FleetPoint,
    /// Devices to be written down, the greatest moves first.
    due: Vec<DeviceId>,
    devices: BTreeSet<DeviceId>,
    /// How many of them something was said of before.
    known: usize,
}

fn look(
    members: &[Arc<Member>],
    published: &Published,
    last: &HashMap<DeviceId, Last>,
    now: Timestamp,
) -> Seen {
    let model = &*published.model;
    let (mut point, mut devices, mut known) = (FleetPoint::begin(now, model), BTreeSet::new(), 0);
    let mut due: Vec<(u16, DeviceId)> = Vec::new();
    rescore(members, published, now, |member, value, kinds| {
        let id = member.id();
        let before = last.get(&id);
        point.add(value, kinds, before.map(|last| last.value.band));
        devices.insert(id);
        known += usize::from(before.is_some());
        let moved = before.map_or(u16::MAX, |last| last.value.hundredths.abs_diff(value.hundredths));
        if before.is_none_or(|last| last.is_due(value, now)) {
            due.push((moved, id));
        }
    });
    due.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.cmp(b)));
    Seen { point, due: due.into_iter().map(|(_, id)| id).collect(), devices, known }
}

/// The scores of some devices with their reasons: few at a time, since reasons are long.
fn said_now(app: &App, some: &[DeviceId], published: &Published, now: Timestamp) -> Vec<(DeviceId, Score)> {
    let members = some.iter().filter_map(|device| app.fleet.get(*device));
    members.map(|member| (member.id(), score(&facts(&member, published), &published.model, now))).collect()
}

/// What was said last of every device.
async fn last_said(store: &dyn Store) -> Result<HashMap<DeviceId, Last>, StoreError> {
    let (mut all, mut from) = (HashMap::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let page = store.scan(Index::All(Kind::RiskHistory), cursor, limits::PAGE_ROWS).await?;
        for (key, row) in page.rows {
            let Key::RiskHistory(device) = key else { continue };
            all.extend(Said::from_body(&row.body).and_then(|said| Some((device, said.last()?))));
        }
        from = page.next;
    }
    Ok(all)
}

/// Writes some devices down in one commit, and says how many. A history of no version known here is begun anew.
async fn write(
    app: &App,
    lease: Option<&Lease>,
    some: &[(DeviceId, Score)],
    last: &mut HashMap<DeviceId, Last>,
) -> Result<usize, RecordError> {
    let mut draft = begin(app, lease);
    let mut written = Vec::new();
    for (device, score) in some {
        let key = Key::RiskHistory(*device);
        let row = app.store.get(key.clone()).await?;
        let mut said = row.as_ref().and_then(|row| Said::from_body(&row.body)).unwrap_or_default();
        said.record(score);
        written.push((*device, Last { at: score.at, value: score.value() }));
        draft = draft.expect(key.clone(), Expected::of(row.as_ref())).put(key, said.to_body());
    }
    app.store.commit(draft.finish()?).await?;
    let count = written.len();
    last.extend(written);
    Ok(count)
}

async fn write_fleet(app: &App, lease: Option<&Lease>, point: FleetPoint) -> Result<(), RecordError> {
    let row = app.store.get(fleet_key()).await?;
    let mut said = row.as_ref().and_then(|row| FleetSaid::from_body(&row.body)).unwrap_or_default();
    said.record(point);
    let draft = begin(app, lease).expect(fleet_key(), Expected::of(row.as_ref()));
    app.store.commit(draft.put(fleet_key(), said.to_body()).finish()?).await?;
    Ok(())
}

/// A commit of the job: it fails once another server has the lease.
fn begin(app: &App, lease: Option<&Lease>) -> Draft {
    let draft = Commit::draft(app.clock.now(), server("risk"));
    match lease.map(Lease::guard) {
        Some((key, expected)) => draft.expect(key, expected),
        None => draft,
    }
}
