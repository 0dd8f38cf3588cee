//! Rollouts at work: the book of orders, rollouts, progress and holds in memory, every change a commit first.
//!
//! What a device is told, who gets the go and when a rollout stops itself are decided in `server/core`'s `rollout`;
//! this file loads, plans, checks, commits and only then changes its memory. The book is rebuilt from the store at
//! start. It never holds its lock across a commit: commits expect what was read, and a conflict is loaded again.
//! Read next: `http/operator` for the people's side, `http/device` for what a check-in is answered with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use cordon_proto::checkin::CheckinRequest;
use cordon_proto::ids::{DeviceId, HardwareId, Name, TargetPath, Text};
use cordon_proto::receipt::ReceiptBody;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::{Commit, Draft, Index, Key, Kind, Malformed};
use cordon_server_core::device::{Device, Report};
use cordon_server_core::risk::gather::Newest;
use cordon_server_core::rollout::{
    Act, Book, Covers, Fleet, Hold, OtherList, Policy, Progress, Rollout, ScopeList, State, Told, Wave,
    check, plan,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::{App, Director, Orders};
use crate::fleet::{Fleet as FleetView, Member, ReceiptView};
use crate::people::Doer;
use crate::repositories::{KnownRelease, PublishError, Repositories};
use crate::store::{Answer, Cursor, Expected, Store, StoreError};

/// The book and the store behind it.
#[derive(Clone)]
pub struct Rollouts {
    store: Arc<dyn Store>,
    repositories: Repositories,
    book: Arc<RwLock<Shelf>>,
}

/// The book, the version of the director's timestamp that its orders are from, the newest release of each model.
#[derive(Default)]
struct Shelf {
    book: Book,
    director_version: u64,
    newest: BTreeMap<Text, Newest>,
}

/// A wave's name, its order, its devices.
pub type WaveWanted = (String, Name, Vec<(DeviceId, HardwareId)>);

/// What a person asks for when a rollout begins.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub id: Name,
    /// What people call it.
    pub title: String,
    /// The waves: name, order, devices. For an order whose scope is a set, the very devices it was signed for.
    pub waves: Vec<WaveWanted>,
    /// Its limits.
    pub policy: Policy,
}

/// Why a rollout or hold is not changed. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// No order of that name is live.
    #[error("no order `{0}` is live: sign it, and publish the orders document first")]
    NoOrder(Name),
    /// A wave without devices.
    #[error("wave `{0}` has no device")]
    Empty(String),
    /// A device in two waves.
    #[error("device {0} stands in two waves")]
    Twice(DeviceId),
    /// Orders of one rollout that install different releases.
    #[error("the orders of one rollout install one release; `{0}` installs another")]
    OtherRelease(Name),
    /// Not the list that was signed.
    #[error("wave `{wave}`: {source}")]
    List {
        /// The wave.
        wave: String,
        /// Why.
        #[source]
        source: OtherList,
    },
    /// The name is taken.
    #[error("a rollout `{0}` exists already")]
    Exists(Name),
    /// No such rollout or hold.
    #[error("there is no `{0}` here")]
    Unknown(Name),
    /// The act does not fit the state.
    #[error("the rollout is {0}; it cannot be moved so")]
    State(&'static str),
    /// A reason is missing.
    #[error("give a reason of at least 10 characters: the next shift reads it")]
    Reason,
    /// The orders cannot be read.
    #[error(transparent)]
    Orders(#[from] PublishError),
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More than one transaction holds.
    #[error(transparent)]
    TooMuch(#[from] Malformed),
}

/// What one tick did, for those who wake devices and tell people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Devices that would now be told something new.
    pub devices: BTreeSet<DeviceId>,
    /// Rollouts that changed.
    pub rollouts: BTreeSet<Name>,
}

impl Rollouts {
    /// Rebuilds the book from the store.
    pub async fn load(
        store: Arc<dyn Store>,
        repositories: Repositories,
        now: Timestamp,
    ) -> Result<Self, RolloutError> {
        let mut book = Book::default();
        for (_, rollout) in all::<Rollout>(&*store, Index::All(Kind::Rollout)).await? {
            book.rollouts.insert(rollout.id.clone(), rollout);
        }
        for (key, progress) in all::<Progress>(&*store, Index::All(Kind::Progress)).await? {
            if let Key::Progress { rollout, device } = key {
                book.progress.entry(rollout).or_default().insert(device, progress);
            }
        }
        for (key, list) in all::<ScopeList>(&*store, Index::All(Kind::Order)).await? {
            if let Key::Order(order) = key {
                book.lists.insert(order, list);
            }
        }
        for (_, hold) in all::<Hold>(&*store, Index::All(Kind::Hold)).await? {
            book.holds.insert(hold.id.clone(), hold);
        }
        let shelf = Shelf { book, ..Shelf::default() };
        let rollouts = Self { store, repositories, book: Arc::new(RwLock::new(shelf)) };
        rollouts.read_orders(now).await?;
        Ok(rollouts)
    }

    /// Reads the owner's live orders and the makers' releases anew, after a publication or a renewal.
    pub async fn read_orders(&self, now: Timestamp) -> Result<(), RolloutError> {
        let (orders, version) = self.repositories.orders(now).await?;
        let orders: BTreeMap<Name, Order> =
            orders.into_iter().map(|order| (order.id.clone(), order)).collect();
        let newest = newest_of(&self.repositories.releases().await?);
        self.write(|shelf| {
            shelf.book.orders = orders;
            shelf.director_version = version;
            shelf.newest = newest;
        });
        Ok(())
    }

    /// What a device is told at its check-in, and the version of the director's timestamp.
    #[must_use]
    pub fn tell(&self, device: &Device, now: Timestamp) -> (Told, u64) {
        self.read(|shelf| (shelf.book.tell(device, now), shelf.director_version))
    }

    /// A copy of the book, for pages.
    #[must_use]
    pub fn book(&self) -> Book {
        self.read(|shelf| shelf.book.clone())
    }

    /// Looks into the book without copying it; it stays shut for writers meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.read(|shelf| look(&shelf.book))
    }

    /// The newest release of each model.
    #[must_use]
    pub fn newest(&self) -> BTreeMap<Text, Newest> {
        self.read(|shelf| shelf.newest.clone())
    }

    /// Begins a rollout of orders that are live.
    pub async fn create(&self, wanted: Wanted, by: Doer<'_>) -> Result<Rollout, RolloutError> {
        let Doer { actor, now } = by;
        let orders = self.read(|shelf| shelf.book.orders.clone());
        let (rollout, lists) = rollout_of(wanted, &orders, actor, now)?;
        let key = Key::Rollout(rollout.id.clone());
        let audit = entry("rollout.create", &format!("rollout:{}", rollout.id), None, &rollout.title);
        let mut draft = Commit::draft(now, actor.clone())
            .expect(key.clone(), Expected::Absent)
            .put(key, body(&rollout))
            .audit(audit);
        for (order, list) in &lists {
            draft = draft.put(Key::Order(order.clone()), body(list));
        }
        match self.store.commit(draft.finish()?).await {
            Err(StoreError::Conflict(_)) => return Err(RolloutError::Exists(rollout.id)),
            other => other?,
        };
        self.write(|shelf| {
            shelf.book.lists.extend(lists);
            shelf.book.rollouts.insert(rollout.id.clone(), rollout.clone());
        });
        Ok(rollout)
    }

    /// A person stops a rollout or lets it go on.
    pub async fn set_running(
        &self,
        id: &Name,
        running: bool,
        reason: &str,
        by: Doer<'_>,
    ) -> Result<Rollout, RolloutError> {
        let Doer { actor, now } = by;
        let reason = good_reason(reason)?;
        let act = if running { "rollout.resume" } else { "rollout.stop" };
        let name = actor.to_string();
        let audit = entry(act, &format!("rollout:{id}"), Some(&reason), "");
        self.change(id, by, audit, |rollout| {
            let next = match (&rollout.state, running) {
                (State::Running | State::Halted { .. }, false) => {
                    State::Stopped { at: now, by: name, reason: reason.to_string() }
                }
                (State::Halted { .. } | State::Stopped { .. }, true) => State::Running,
                (State::Running, true) => return Err(RolloutError::State("running")),
                (State::Stopped { .. }, false) => return Err(RolloutError::State("stopped")),
                (State::Finished { .. }, _) => return Err(RolloutError::State("finished")),
            };
            rollout.state = next;
            Ok(())
        })
        .await
    }

    /// A person holds a ward, a site or a model. No key is needed and it takes effect with this commit.
    pub async fn hold(
        &self,
        id: Name,
        covers: Covers,
        reason: &str,
        by: Doer<'_>,
    ) -> Result<Hold, RolloutError> {
        let Doer { actor, now } = by;
        let reason = good_reason(reason)?;
        let hold =
            Hold { v: 1, id: id.clone(), covers, by: actor.to_string(), reason: reason.to_string(), at: now };
        let audit = entry("hold.set", &format!("hold:{id}"), Some(&reason), &format!("{:?}", hold.covers));
        let draft = Commit::draft(now, actor.clone()).put(Key::Hold(id.clone()), body(&hold)).audit(audit);
        self.store.commit(draft.finish()?).await?;
        self.write(|shelf| shelf.book.holds.insert(id, hold.clone()));
        Ok(hold)
    }

    /// A person ends a hold.
    pub async fn release_hold(&self, id: &Name, by: Doer<'_>) -> Result<(), RolloutError> {
        let Doer { actor, now } = by;
        self.end_hold(id, None, actor, now).await
    }

    /// A person ends a hold and says why.
    pub async fn end_hold(
        &self,
        id: &Name,
        reason: Option<&Text>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), RolloutError> {
        if !self.read(|shelf| shelf.book.holds.contains_key(id)) {
            return Err(RolloutError::Unknown(id.clone()));
        }
        let audit = entry("hold.end", &format!("hold:{id}"), reason, "");
        let draft = Commit::draft(now, actor.clone()).delete(Key::Hold(id.clone())).audit(audit);
        self.store.commit(draft.finish()?).await?;
        self.write(|shelf| shelf.book.holds.remove(id));
        Ok(())
    }

    /// Counts a verified receipt. Its bytes and its audit entry are the caller's commit.
    pub async fn count_receipt(
        &self,
        receipt: &ReceiptBody,
        now: Timestamp,
    ) -> Result<Option<Name>, RolloutError> {
        let found = self.read(|shelf| {
            let rollouts = shelf.book.rollouts.values().rev();
            let mut of_order = rollouts.filter(|rollout| {
                rollout.wave_of(receipt.device).is_some_and(|(_, wave)| wave.order == receipt.order)
            });
            let rollout = of_order.next()?.id.clone();
            let progress = shelf.book.progress.get(&rollout).and_then(|devices| devices.get(&receipt.device));
            Some((rollout, progress.cloned().unwrap_or_default()))
        });
        let Some((rollout, progress)) = found else { return Ok(None) };
        let ended = progress.ended(receipt, now);
        if ended != progress {
            let job = Actor::Device(receipt.device);
            self.put_progress(Commit::draft(now, job), &rollout, &[(receipt.device, ended)]).await?;
        }
        Ok(Some(rollout))
    }

    /// One tick of all rollouts: plan, check, commit. `device` looks a device up in the fleet.
    pub async fn tick(
        &self,
        now: Timestamp,
        device: impl Fn(DeviceId) -> Option<Arc<Device>> + Send + Sync,
    ) -> Result<Ticked, RolloutError> {
        let mut ticked = Ticked::default();
        let book = self.book();
        for rollout in book.rollouts.values().filter(|rollout| rollout.runs()) {
            let members = rollout.waves.iter().flat_map(|wave| &wave.devices);
            let fleet: Fleet =
                members.filter_map(|id| Some((*id, book.facts(rollout, &*device(*id)?)))).collect();
            let acts = plan(rollout, &fleet, now);
            if acts.is_empty() {
                continue;
            }
            if let Err(violation) = check(rollout, &fleet, &acts, now) {
                tracing::error!(rollout = %rollout.id, ?violation, "a plan was refused by its own check; nothing was done");
                continue;
            }
            let done = self.execute(rollout, &book, &acts, now).await?;
            ticked.devices.extend(done.devices);
            ticked.rollouts.extend(done.rollouts);
        }
        Ok(ticked)
    }

    async fn execute(
        &self,
        rollout: &Rollout,
        book: &Book,
        acts: &[Act],
        now: Timestamp,
    ) -> Result<Ticked, RolloutError> {
        let mut ticked = Ticked::default();
        let actor = Actor::Server("rollouts".parse().expect("a valid name"));
        let mut given = Vec::new();
        for act in acts {
            let Act::Permit { device, .. } = act else { continue };
            let before = book.progress.get(&rollout.id).and_then(|devices| devices.get(device));
            given.push((*device, before.cloned().unwrap_or_default().permitted(now)));
            ticked.devices.insert(*device);
        }
        for some in given.chunks(cordon_proto::limits::COMMIT_CHANGES) {
            self.put_progress(Commit::draft(now, actor.clone()), &rollout.id, some).await?;
        }
        for act in acts {
            let words = match act {
                Act::Permit { .. } => continue,
                Act::Halt { reason, .. } => ("rollout.halt", reason.clone()),
                Act::Begin { wave } => ("rollout.begin-wave", wave_name(rollout, *wave)),
                Act::Settle { wave } => ("rollout.settle-wave", wave_name(rollout, *wave)),
                Act::Finish => ("rollout.finish", String::new()),
            };
            let audit = entry(words.0, &format!("rollout:{}", rollout.id), None, &words.1);
            let changed = self.change(&rollout.id, Doer { actor: &actor, now }, audit, |rollout| {
                apply(rollout, act, now);
                Ok(())
            });
            changed.await?;
            ticked.rollouts.insert(rollout.id.clone());
            if let Act::Begin { wave } = act {
                ticked.devices.extend(rollout.waves.get(*wave).into_iter().flat_map(|wave| &wave.devices));
            }
        }
        Ok(ticked)
    }

    async fn put_progress(
        &self,
        mut draft: Draft,
        rollout: &Name,
        some: &[(DeviceId, Progress)],
    ) -> Result<(), RolloutError> {
        for (device, progress) in some {
            draft = draft.put(Key::Progress { rollout: rollout.clone(), device: *device }, body(progress));
        }
        self.store.commit(draft.finish()?).await?;
        self.write(|shelf| {
            shelf.book.progress.entry(rollout.clone()).or_default().extend(some.iter().cloned())
        });
        Ok(())
    }

    /// Loads a rollout, changes it, and commits it if nobody was faster.
    async fn change(
        &self,
        id: &Name,
        by: Doer<'_>,
        audit: Entry,
        change: impl FnOnce(&mut Rollout) -> Result<(), RolloutError>,
    ) -> Result<Rollout, RolloutError> {
        let key = Key::Rollout(id.clone());
        let row = self.store.get(key.clone()).await?.ok_or_else(|| RolloutError::Unknown(id.clone()))?;
        let mut rollout: Rollout = read(&key, &row.body)?;
        change(&mut rollout)?;
        let draft = Commit::draft(by.now, by.actor.clone()).expect(key.clone(), Expected::At(row.revision));
        let draft = draft.put(key, body(&rollout)).audit(audit);
        self.store.commit(draft.finish()?).await?;
        self.write(|shelf| shelf.book.rollouts.insert(id.clone(), rollout.clone()));
        Ok(rollout)
    }

    /// Counts receipts that the fleet holds and no rollout has counted yet.
    pub async fn count_receipts(&self, fleet: &FleetView, now: Timestamp) -> Result<Ticked, RolloutError> {
        let mut ticked = Ticked::default();
        for (rollout, receipt) in self.uncounted(fleet) {
            self.count_receipt(&receipt.body, now).await?;
            ticked.devices.insert(receipt.body.device);
            ticked.rollouts.insert(rollout);
        }
        Ok(ticked)
    }

    fn uncounted(&self, fleet: &FleetView) -> Vec<(Name, Arc<ReceiptView>)> {
        let book = self.book();
        let mut found = Vec::new();
        for rollout in book.rollouts.values() {
            let progress = book.progress.get(&rollout.id);
            for wave in &rollout.waves {
                for device in &wave.devices {
                    let counted = progress.and_then(|devices| devices.get(device));
                    let open = counted.is_none_or(|progress| progress.outcome.is_none());
                    let Some(member) = fleet.get(*device).filter(|_| open) else { continue };
                    let receipt = member.receipts.iter().find(|receipt| receipt.body.order == wave.order);
                    found.extend(receipt.map(|receipt| (rollout.id.clone(), Arc::clone(receipt))));
                }
            }
        }
        found
    }

    fn read<T>(&self, look: impl FnOnce(&Shelf) -> T) -> T {
        look(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        act(&mut self.book.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Director for Rollouts {
    fn orders_for<'a>(
        &'a self,
        _: &'a App,
        member: &'a Member,
        request: &'a CheckinRequest,
        now: Timestamp,
    ) -> Answer<'a, Orders> {
        let device = Device { report: Some(Report::of(request)), ..member.current() };
        let (told, _) = self.tell(&device, now);
        Box::pin(async move { Ok(Orders { order: told.order, permit: told.permit }) })
    }

    fn content_version(&self) -> u64 {
        0
    }

    fn director_version(&self) -> u64 {
        self.read(|shelf| shelf.director_version)
    }
}

fn newest_of(releases: &[KnownRelease]) -> BTreeMap<Text, Newest> {
    let mut newest: BTreeMap<Text, Newest> = BTreeMap::new();
    for known in releases {
        let candidate =
            Newest { release: known.release.clone(), counter: known.counter, since: known.imported };
        let best = newest.entry(known.model.clone()).or_insert_with(|| candidate.clone());
        if candidate.counter > best.counter {
            *best = candidate;
        }
    }
    newest
}

fn rollout_of(
    wanted: Wanted,
    orders: &BTreeMap<Name, Order>,
    actor: &Actor,
    now: Timestamp,
) -> Result<(Rollout, BTreeMap<Name, ScopeList>), RolloutError> {
    let mut waves = Vec::new();
    let mut lists = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut image: Option<(Name, TargetPath, Option<TargetPath>)> = None;
    for (name, id, devices) in wanted.waves {
        let order = orders.get(&id).ok_or_else(|| RolloutError::NoOrder(id.clone()))?;
        let back = order.back.as_ref().map(|back| back.image.release.clone());
        let (repository, release, _) =
            image.get_or_insert_with(|| (order.repository.clone(), order.image.release.clone(), back));
        if *repository != order.repository || *release != order.image.release {
            return Err(RolloutError::OtherRelease(id));
        }
        if let Some((device, _)) = devices.iter().find(|(device, _)| !seen.insert(*device)) {
            return Err(RolloutError::Twice(*device));
        }
        if let Scope::Set { root, count } = order.scope {
            let members = devices.iter().map(|(_, hardware)| *hardware).collect();
            let list = ScopeList::of(members, root, count)
                .map_err(|source| RolloutError::List { wave: name.clone(), source })?;
            lists.insert(id.clone(), list);
        }
        let mut devices: Vec<DeviceId> = devices.into_iter().map(|(device, _)| device).collect();
        if devices.is_empty() {
            return Err(RolloutError::Empty(name));
        }
        devices.sort();
        waves.push(Wave { name, order: id, devices, started: None, settled: None });
    }
    let (repository, release, back) = image.ok_or_else(|| RolloutError::Empty("1".to_owned()))?;
    let (id, title, policy) = (wanted.id, wanted.title, wanted.policy);
    let (created, by, state) = (now, actor.to_string(), State::Running);
    Ok((Rollout { v: 1, id, title, repository, release, back, waves, policy, state, created, by }, lists))
}

fn apply(rollout: &mut Rollout, act: &Act, now: Timestamp) {
    match act {
        Act::Halt { wave, reason } => {
            rollout.state = State::Halted { at: now, wave: *wave, reason: reason.clone() }
        }
        Act::Begin { wave } => {
            if let Some(wave) = rollout.waves.get_mut(*wave) {
                wave.started = wave.started.or(Some(now));
            }
        }
        Act::Settle { wave } => {
            if let Some(wave) = rollout.waves.get_mut(*wave) {
                wave.settled = wave.settled.or(Some(now));
            }
        }
        Act::Finish => rollout.state = State::Finished { at: now },
        Act::Permit { .. } => {}
    }
}

fn wave_name(rollout: &Rollout, index: usize) -> String {
    rollout.waves.get(index).map(|wave| wave.name.clone()).unwrap_or_default()
}

fn good_reason(reason: &str) -> Result<Text, RolloutError> {
    let reason = reason.trim();
    if reason.chars().count() < cordon_server_core::triage::REASON_CHARS_MIN {
        return Err(RolloutError::Reason);
    }
    Ok(Text::lossy(reason))
}

fn entry(action: &str, object: &str, reason: Option<&Text>, after: &str) -> Entry {
    let after = (!after.is_empty()).then(|| Summary::of(after));
    let action = action.parse().expect("a valid name");
    Entry { reason: reason.cloned(), after, ..Entry::new(action, Text::lossy(object)) }
}

fn body<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("strings, integers and lists are always JSON")
}

fn read<T: DeserializeOwned>(key: &Key, body: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|_| StoreError::Corrupt(key.to_string()))
}

async fn all<T: DeserializeOwned>(store: &dyn Store, index: Index) -> Result<Vec<(Key, T)>, StoreError> {
    let mut documents = Vec::new();
    let mut from = Some(Cursor::First);
    while let Some(cursor) = from {
        let page = store.scan(index.clone(), cursor, cordon_proto::limits::PAGE_ROWS).await?;
        for (key, row) in page.rows {
            let document = read(&key, &row.body)?;
            documents.push((key, document));
        }
        from = page.next;
    }
    Ok(documents)
}

#[cfg(test)]
mod tests;
