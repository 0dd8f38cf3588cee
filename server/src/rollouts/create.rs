//! How a rollout begins: live orders of one release, devices that each stand in one wave, and the very lists that were
//! signed.
//!
//! Waves may share one order; what they name of its list must be in it, and the whole list is what the owner signed. A
//! device that another open rollout of the same release has is refused: which of two halts would count for it could
//! not be said. Read next: `people` for what is done with it then.

use std::collections::{BTreeMap, BTreeSet};

use cordon_proto::ids::{DeviceId, HardwareId, Name, TargetPath};
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::{Commit, Key};
use cordon_server_core::rollout::{Book, Pace, Rollout, RolloutKind, ScopeList, State, Wave};

use super::{RolloutError, Rollouts, TRIES, Wanted, WaveWanted, body, entry};
use crate::people::Doer;
use crate::store::{Expected, StoreError};

impl Rollouts {
    /// Begins a rollout of orders that are live.
    pub async fn create(&self, wanted: Wanted, by: Doer<'_>) -> Result<Rollout, RolloutError> {
        let Doer { actor, now } = by;
        for _ in 0..TRIES {
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
            let mut draft = Commit::draft(now, actor.clone())
                .expect(heads.clone(), published)
                .expect(key.clone(), Expected::Absent)
                .put(key, body(&rollout))
                .audit(audit);
            for (order, list) in &lists {
                draft = draft.put(Key::Order(order.clone()), body(list));
            }
            match self.commit(draft).await {
                Err(RolloutError::Store(StoreError::Conflict(key))) if key == heads => {}
                Err(RolloutError::Store(StoreError::Conflict(_))) => {
                    return Err(RolloutError::Exists(rollout.id));
                }
                outcome => return outcome.map(|_| rollout),
            }
        }
        Err(StoreError::Conflict(Key::Rollout(wanted.id)).into())
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
        Ok(Wave { joins, ..wave_of(wave)? })
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
    Ok(Wave { name, order, devices, started: None, settled: None, joins: false })
}
