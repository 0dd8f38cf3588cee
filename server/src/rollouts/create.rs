//! How a rollout begins: live orders of one release, devices that each stand in one wave, and the very lists that were
//! signed.
//!
//! Waves may share one order; what they name of its list must be in it, and the whole list is what the owner signed. A
//! device that another open rollout of the same release has is refused: which of two halts would count for it could
//! not be said. Read next: `people` for what is done with it then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cordon_proto::ids::{DeviceId, HardwareId, Name, TargetPath, Text};
use cordon_proto::limits;
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::lease::Lease;
use cordon_server_core::change::{Commit, Index, Key, Kind};
use cordon_server_core::rollout::{Book, Pace, Rollout, RolloutKind, ScopeList, Signed, State, Wave};
use tokio::time::sleep;

use super::{RolloutError, Rollouts, TRIES, Wanted, WaveWanted, body, entry};
use crate::chance;
use crate::people::Doer;
use crate::store::{Change, Cursor, Expected, LeaseAnswer, LeaseRequest, StoreError};

/// Whose turn it is to create a rollout.
const CREATE_JOB: &str = "create-rollout";
/// How often somebody looks whether the turn is free, and how often at most: longer than one that died keeps it.
const LOOK_MS: i64 = 50;
const LOOKS: u32 = 200;

impl Rollouts {
    /// Begins a rollout of orders that are live.
    pub async fn create(&self, wanted: Wanted, by: Doer<'_>) -> Result<Rollout, RolloutError> {
        let Doer { actor, now } = by;
        // Of several servers one creates at a time: two that do not know of each other's would overlap.
        let turn = self.turn_to_create(now).await?;
        let made = self.create_alone(wanted, (actor, now), &turn).await;
        self.give_back(turn, now).await;
        made
    }

    async fn create_alone(
        &self,
        wanted: Wanted,
        (actor, now): (&Actor, Timestamp),
        turn: &Lease,
    ) -> Result<Rollout, RolloutError> {
        for _ in 0..TRIES {
            self.read_rollouts().await?;
            // Another server may have taken a publication in a moment ago: the commit expects the very orders read here.
            let (heads, published) = self.repositories.heads().await?;
            self.read_orders(now).await?;
            let (rollout, lists) = self.look(|book| {
                let mut made = rollout_of(wanted.clone(), book.listed(wanted.kind), actor, now)?;
                let content = made.0.waves.first().and_then(|wave| book.contents.version(&wave.order));
                made.0.content_version = content.filter(|_| wanted.kind == RolloutKind::Content);
                apart(&made.0, book, now)?;
                Ok::<_, RolloutError>(made)
            })?;
            let key = Key::Rollout(rollout.id.clone());
            let audit = entry("rollout.create", &format!("rollout:{}", rollout.id), None, &rollout.title);
            let (lease, held) = turn.guard();
            let mut draft = Commit::draft(now, actor.clone())
                .expect(lease, held)
                .expect(heads.clone(), published)
                .expect(key.clone(), Expected::Absent)
                .put(key, body(&rollout))
                .audit(audit);
            for (order, list) in &lists {
                draft = draft.put(Key::Order(order.clone()), body(list));
            }
            match self.commit(draft).await {
                Err(RolloutError::Store(StoreError::Conflict(key))) if key == heads => {}
                Err(RolloutError::Store(StoreError::Conflict(Key::Lease(_)))) => {
                    return Err(RolloutError::Busy);
                }
                Err(RolloutError::Store(StoreError::Conflict(_))) => {
                    return Err(RolloutError::Exists(rollout.id));
                }
                outcome => return outcome.map(|_| rollout),
            }
        }
        Err(StoreError::Conflict(Key::Rollout(wanted.id)).into())
    }
}

impl Rollouts {
    /// The turn to create a rollout, which one server has at a time. It ends by itself if its server dies.
    async fn turn_to_create(&self, now: Timestamp) -> Result<Lease, RolloutError> {
        let name: Name = CREATE_JOB.parse().expect("a lower-case word");
        let holder = Text::lossy(&format!("create-{:08x}", u32::from_be_bytes(chance::random())));
        for look in 0..LOOKS {
            let now = Millis::from(now).plus(i64::from(look) * LOOK_MS);
            let request =
                LeaseRequest { name: name.clone(), holder: holder.clone(), ttl_ms: limits::LEASE_MS, now };
            match self.store.lease(request).await? {
                LeaseAnswer::Granted(lease) => return Ok(lease),
                LeaseAnswer::Held { .. } => sleep(Duration::from_millis(LOOK_MS.unsigned_abs())).await,
            }
        }
        Err(RolloutError::Busy)
    }

    /// Lets the next one create.
    async fn give_back(&self, turn: Lease, now: Timestamp) {
        let (key, expected) = turn.guard();
        let actor = Actor::Server("rollouts".parse().expect("a valid name"));
        let draft = Commit::draft(now, actor).expect(key.clone(), expected).delete(key);
        let commit = draft.finish().expect("one change is within bounds");
        match self.store.commit(commit).await {
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(error) => {
                let error = crate::log::chain(&error);
                tracing::warn!(
                    error,
                    "the turn to create a rollout could not be given back; it ends by itself"
                );
            }
        }
    }

    /// Takes in the rollouts that other servers have created.
    pub(super) async fn read_rollouts(&self) -> Result<(), StoreError> {
        let mut from = Some(Cursor::First);
        while let Some(cursor) = from {
            let page = self.store.scan(Index::All(Kind::Rollout), cursor, limits::PAGE_ROWS).await?;
            for (key, row) in page.rows {
                self.take_in(&Change::Put(key, row.body), row.revision);
            }
            from = page.next;
        }
        Ok(())
    }
}

/// Refuses devices that an open rollout of the same release has under an order that still holds.
fn apart(rollout: &Rollout, book: &Book, now: Timestamp) -> Result<(), RolloutError> {
    for device in rollout.waves.iter().flat_map(|wave| &wave.devices) {
        if let Some(other) = book.elsewhere(rollout, *device, now) {
            return Err(RolloutError::Overlap { device: *device, rollout: other.id.clone() });
        }
    }
    Ok(())
}

/// What the orders of a rollout have in common.
struct Common {
    repository: Name,
    release: TargetPath,
    back: Option<TargetPath>,
}

impl Common {
    fn of(orders: &[&Order]) -> Result<Self, RolloutError> {
        let (first, others) = orders.split_first().ok_or_else(|| RolloutError::Empty("1".to_owned()))?;
        let (repository, release) = (&first.repository, &first.image.release);
        let is_other = |order: &&&Order| order.repository != *repository || order.image.release != *release;
        match others.iter().find(is_other) {
            Some(other) => Err(RolloutError::OtherRelease(other.id.clone())),
            None => Ok(Self {
                repository: repository.clone(),
                release: release.clone(),
                back: first.back.as_ref().map(|back| back.image.release.clone()),
            }),
        }
    }
}

fn rollout_of(
    wanted: Wanted,
    orders: &BTreeMap<Name, Order>,
    actor: &Actor,
    now: Timestamp,
) -> Result<(Rollout, BTreeMap<Name, ScopeList>), RolloutError> {
    let mut live = Vec::new();
    for (_, id, _) in &wanted.waves {
        let order = orders.get(id).ok_or_else(|| RolloutError::NoOrder(id.clone()))?;
        if now >= order.expires {
            return Err(RolloutError::Ended(id.clone()));
        }
        live.push(order);
    }
    let common = Common::of(&live)?;
    let mut seen = BTreeSet::new();
    let twice = wanted.waves.iter().flat_map(|(_, _, devices)| devices).find(|(id, _)| !seen.insert(*id));
    if let Some((device, _)) = twice {
        return Err(RolloutError::Twice(*device));
    }
    let lists = lists_of(&wanted, orders)?;
    let joins = &wanted.joins;
    let waves = wanted.waves.into_iter().enumerate().map(|(index, wave)| {
        let joins = joins.contains(&index);
        let by_facts = |order: &Order| matches!(order.scope, Scope::Match { .. });
        if joins && !orders.get(&wave.1).is_some_and(by_facts) {
            return Err(RolloutError::NobodyJoins(wave.0));
        }
        let signed = orders.get(&wave.1).map(Signed::from);
        Ok(Wave { joins, signed, ..wave_of(wave)? })
    });
    let waves = waves.collect::<Result<_, _>>()?;
    let Common { repository, release, back } = common;
    let rollout = Rollout {
        v: 1,
        id: wanted.id,
        title: wanted.title,
        repository,
        release,
        back,
        waves,
        policy: wanted.policy,
        state: State::Running,
        created: now,
        by: actor.to_string(),
        priority: wanted.priority,
        pace: Pace::default(),
        acceptance: wanted.acceptance,
        work_order: wanted.work_order,
        way_back: None,
        kind: wanted.kind,
        content_version: None,
    };
    Ok((rollout, lists))
}

/// The signed list of each set order: the one that was given, or else the devices of all its waves.
fn lists_of(
    wanted: &Wanted,
    orders: &BTreeMap<Name, Order>,
) -> Result<BTreeMap<Name, ScopeList>, RolloutError> {
    let mut lists = BTreeMap::new();
    for (wave, id, devices) in &wanted.waves {
        let Some(Scope::Set { root, count }) = orders.get(id).map(|order| &order.scope) else { continue };
        if !lists.contains_key(id) {
            let given = wanted.lists.get(id).cloned();
            let list = ScopeList::of(given.unwrap_or_else(|| members_of(wanted, id)), *root, *count)
                .map_err(|source| RolloutError::List { wave: wave.clone(), source })?;
            lists.insert(id.clone(), list);
        }
        let list = lists.get(id).map(|list| list.members.as_slice()).unwrap_or_default();
        if devices.iter().any(|(_, hardware)| list.binary_search(hardware).is_err()) {
            return Err(RolloutError::Outside(wave.clone()));
        }
    }
    Ok(lists)
}

fn members_of(wanted: &Wanted, order: &Name) -> Vec<HardwareId> {
    let waves = wanted.waves.iter().filter(|(_, of, _)| of == order);
    waves.flat_map(|(_, _, devices)| devices).map(|(_, hardware)| *hardware).collect()
}

fn wave_of((name, order, devices): WaveWanted) -> Result<Wave, RolloutError> {
    let mut devices: Vec<DeviceId> = devices.into_iter().map(|(device, _)| device).collect();
    if devices.is_empty() {
        return Err(RolloutError::Empty(name));
    }
    devices.sort();
    Ok(Wave { name, order, devices, started: None, settled: None, joins: false, signed: None })
}
