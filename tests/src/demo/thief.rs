//! The stolen server: everything that its disk holds, used to push firmware that nobody signed.
//!
//! The thief has the store, the CA, the API token and the two online keys, and writes past every check of the server:
//! a forged order for every device, listed by a snapshot and a timestamp with genuine signatures, the go already given,
//! the image in place. Nothing of it is simulated on the device's side. Read next: `proto`'s `update::trust` for why
//! this gets nowhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use cordon_proto::canonical::Value;
use cordon_proto::ids::{DeviceId, HardwareId, Name, Sha256, TargetPath, Text};
use cordon_proto::merkle::Tree;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer, sign};
use cordon_proto::update::delegation::Delegations;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::{MetaFile, Snapshot, TargetFile, Targets, Timestamp as TimestampRole};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use cordon_server::clock::Clock;
use cordon_server::online::{OnlineKeys, OnlineRole};
use cordon_server::store::blobs::Blobs;
use cordon_server::store::redb::{Options, Redb};
use cordon_server::store::{Cursor, Store};
use cordon_server_core::audit::Actor;
use cordon_server_core::change::{Commit, Index, Key, Kind};
use cordon_server_core::device::Device;
use cordon_server_core::rollout::{
    Acceptance, Pace, Policy, Progress, Rollout, RolloutKind, ScopeList, State, Wave,
};

/// The order that nobody signed.
pub const ORDER: &str = "forged-1";
/// What the thief wants to run everywhere.
const IMAGE: &[u8] = b"firmware of a thief\n";

/// What the thief wrote.
#[derive(Clone, Debug)]
pub struct Forgery {
    /// SHA-256 of the thief's image.
    pub sha256: Sha256,
    /// Devices that were offered it, with the go.
    pub devices: Vec<DeviceId>,
}

/// Writes the forgery into the folder of a server that does not run.
pub async fn forge(server: &Path) -> anyhow::Result<Forgery> {
    forge_at(server, Clock::system().now()).await
}

/// The same at a time of the thief's choice.
pub async fn forge_at(server: &Path, now: Timestamp) -> anyhow::Result<Forgery> {
    let store: Arc<dyn Store> = Arc::new(Redb::open(&server.join("store.redb"), Options::default())?);
    let keys = OnlineKeys::load(&server.join("keys"))?;
    let devices = devices(&*store).await?;
    let blobs = Blobs::open(server.join("blobs")).await?;
    blobs.put(1 << 20).await?.write(IMAGE.into()).await?.finish(None).await?;

    let order = order(&devices, now);
    let mut draft = Commit::draft(now, Actor::Server(name("thief")));
    for (key, body) in documents(&*store, &keys, &order, now).await? {
        draft = draft.put(key, body);
    }
    let ids: Vec<DeviceId> = devices.iter().map(|(device, _)| *device).collect();
    for (key, body) in rollout(&ids, &devices, now)? {
        draft = draft.put(key, body);
    }
    store.commit(draft.finish()?).await?;
    Ok(Forgery { sha256: Sha256::of(IMAGE), devices: ids })
}

/// Takes the receipts of a device out of the store of a server that does not run, and says how many there were.
pub async fn withhold(server: &Path, serial: &str) -> anyhow::Result<usize> {
    let store: Arc<dyn Store> = Arc::new(Redb::open(&server.join("store.redb"), Options::default())?);
    let page = store.scan(Index::All(Kind::Device), Cursor::First, 400).await?;
    let known = page.rows.iter().filter_map(|(_, row)| Device::from_body(&row.body));
    let of_serial: Vec<DeviceId> =
        known.filter(|device| device.hardware.serial.as_str() == serial).map(|device| device.id).collect();
    let page = store.scan(Index::All(Kind::Receipt), Cursor::First, 400).await?;
    let is_meant = |key: &Key| matches!(key, Key::Receipt { device, .. } if of_serial.contains(device));
    let meant: Vec<Key> = page.rows.into_iter().map(|(key, _)| key).filter(is_meant).collect();
    let taken = meant.len();
    let draft = Commit::draft(Clock::system().now(), Actor::Server(name("thief")));
    let draft = meant.into_iter().fold(draft, |draft, key| draft.delete(key));
    store.commit(draft.finish()?).await?;
    Ok(taken)
}

async fn devices(store: &dyn Store) -> anyhow::Result<Vec<(DeviceId, HardwareId)>> {
    let page = store.scan(Index::All(Kind::Device), Cursor::First, 400).await?;
    let known = page.rows.iter().filter_map(|(_, row)| Device::from_body(&row.body));
    let enrolled = known.filter(|device| device.identity.is_some());
    Ok(enrolled.map(|device| (device.id, device.hardware.identity())).collect())
}

fn order(devices: &[(DeviceId, HardwareId)], now: Timestamp) -> Order {
    let mut leaves: Vec<[u8; 32]> = devices.iter().map(|(_, hardware)| hardware.0).collect();
    leaves.sort_unstable();
    let count = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    let root = Sha256(leaves.into_iter().collect::<Tree>().root());
    Order {
        id: name(ORDER),
        repository: name("halden"),
        image: Image {
            release: path("vp-3/9.9.9"),
            length: u64::try_from(IMAGE.len()).unwrap_or(0),
            sha256: Sha256::of(IMAGE),
        },
        scope: Scope::Set { root, count },
        issued: now,
        not_before: now,
        expires: now.plus_seconds(86_400),
        windows: vec![Window::ALWAYS],
        back: None,
        permit_s: Some(900),
        reason: Text::lossy("you have been robbed"),
    }
}

/// The forged orders document, and genuine signatures of the server's own roles over it.
async fn documents(
    store: &dyn Store,
    keys: &OnlineKeys,
    order: &Order,
    now: Timestamp,
) -> anyhow::Result<Vec<(Key, Vec<u8>)>> {
    let heads_key = Key::Meta(name("director"));
    let row = store.get(heads_key.clone()).await?.context("no director repository")?;
    let mut heads: serde_json::Value = serde_json::from_slice(&row.body)?;
    let number = |pointer: &str| heads.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let (orders, snapshot, timestamp) =
        (number("/delegated/orders") + 1, number("/snapshot") + 1, number("/timestamp") + 1);

    let file = TargetFile::new(order.image.length, order.image.sha256, Some(order.custom()));
    let targets = BTreeMap::from([(order.path().as_str().to_owned(), file)]);
    // As long as the server's own, so that it does not renew them by itself and move on.
    let expires = now.plus_seconds(3 * 86_400);
    let forged = Targets { version: orders, expires, targets, delegations: Delegations::default() };
    // Both keys of the house, and neither is a key of the role.
    let orders_bytes =
        signed(&author::targets(&forged), keys, &[OnlineRole::Snapshot, OnlineRole::Timestamp]);

    let file = director_file(&format!("{}.snapshot.json", snapshot - 1));
    let earlier = store.get(file).await?.context("no snapshot")?;
    let document = Document::parse(&earlier.body, 1 << 20).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let mut meta = Snapshot::read(document.signed()).map_err(|fault| anyhow::anyhow!("{fault}"))?.meta;
    meta.insert("orders.json".to_owned(), MetaFile::of(orders, &orders_bytes));
    let role = Snapshot { version: snapshot, expires, meta };
    let snapshot_bytes = signed(&author::snapshot(&role), keys, &[OnlineRole::Snapshot]);
    let role =
        TimestampRole { version: timestamp, expires, snapshot: MetaFile::of(snapshot, &snapshot_bytes) };
    let timestamp_bytes = signed(&author::timestamp(&role), keys, &[OnlineRole::Timestamp]);

    let expiry = expires.0.unsigned_abs();
    for (pointer, value) in [
        ("/delegated/orders", orders),
        ("/snapshot", snapshot),
        ("/timestamp", timestamp),
        ("/timestamp_expires", expiry),
    ] {
        *heads.pointer_mut(pointer).with_context(|| format!("no {pointer} in the heads"))? = value.into();
    }
    Ok(vec![
        (heads_key, serde_json::to_vec(&heads)?),
        (director_file(&format!("{orders}.orders.json")), orders_bytes),
        (director_file(&format!("{snapshot}.snapshot.json")), snapshot_bytes),
        (director_file("timestamp.json"), timestamp_bytes),
    ])
}

/// A running rollout in which every device already has the go.
fn rollout(
    ids: &[DeviceId],
    devices: &[(DeviceId, HardwareId)],
    now: Timestamp,
) -> anyhow::Result<Vec<(Key, Vec<u8>)>> {
    let mut sorted = ids.to_vec();
    sorted.sort();
    let wave = Wave {
        name: "all".to_owned(),
        order: name(ORDER),
        devices: sorted,
        started: Some(now),
        settled: None,
        joins: false,
        signed: None,
    };
    let rollout = Rollout {
        v: 1,
        id: name("zz-forged"),
        title: "Nothing to see here".to_owned(),
        repository: name("halden"),
        release: path("vp-3/9.9.9"),
        back: None,
        waves: vec![wave],
        policy: Policy::default(),
        state: State::Running,
        created: now,
        by: "thief".to_owned(),
        priority: 1000,
        pace: Pace::default(),
        acceptance: Acceptance::None,
        work_order: None,
        way_back: None,
        kind: RolloutKind::Firmware,
        content_version: None,
    };
    let mut members: Vec<HardwareId> = devices.iter().map(|(_, hardware)| *hardware).collect();
    members.sort();
    let list = ScopeList { v: 1, members };
    let mut rows = vec![
        (Key::Rollout(rollout.id.clone()), serde_json::to_vec(&rollout)?),
        (Key::Order(name(ORDER)), serde_json::to_vec(&list)?),
    ];
    for device in ids {
        let key = Key::Progress { rollout: rollout.id.clone(), device: *device };
        rows.push((key, serde_json::to_vec(&Progress::default().permitted(now))?));
    }
    Ok(rows)
}

fn signed(value: &Value, keys: &OnlineKeys, roles: &[OnlineRole]) -> Vec<u8> {
    let makers: Vec<_> = roles.iter().map(|role| move |message: &[u8]| keys.sign(*role, message)).collect();
    let signers = roles.iter().zip(&makers).map(|(role, sign)| Signer { key: keys.public(*role).id(), sign });
    let signers: Vec<Signer<'_>> = signers.collect();
    sign(value, &signers)
}

fn director_file(file: &str) -> Key {
    Key::RepositoryFile { repository: name("director"), file: path(file) }
}

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

fn path(text: &str) -> TargetPath {
    text.parse().expect("a valid path")
}
