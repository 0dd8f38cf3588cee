//! Tests of publishing and rollouts over the memory store, with real signatures.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::canonical::Value;
use cordon_proto::checkin::{
    Action, Blocked, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::ids::{DeviceId, Hardware, Name, Sha256, Text, TokenId};
use cordon_proto::merkle::Tree;
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer, sign};
use cordon_proto::update::content::Assignment;
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::key::{Authority, PublicKey};
use cordon_proto::update::metadata::{Root, TargetFile, Targets};
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::{Index, Kind};
use cordon_server_core::device::{
    Device, DeviceKind, Identity, Placement, Report, State as Trust, Wanted as WantedGo,
};
use cordon_server_core::risk::facts::Reach;
use cordon_server_core::rollout::{Covers, Policy, State};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::online::{OnlineKeys, OnlineRole};
use crate::people::Doer;
use crate::repositories::{PublishError, Repositories};
use crate::rollouts::{Deed, RolloutError, Rollouts, Turn, Wanted};
use crate::store::memory::Memory;
use crate::store::{Cursor, Store};

pub(crate) const NOW: Timestamp = Timestamp(1_795_251_906);
pub(super) const AT: Turn<'_> = Turn { now: NOW, lease: None };

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::ed25519(key(seed).verifying_key().to_bytes())
}

fn authority(seeds: &[u8]) -> Authority {
    Authority::new(seeds.iter().map(|seed| public(*seed)), 1).expect("a reachable threshold")
}

fn signed(value: &Value, seed: u8) -> Vec<u8> {
    let make = |message: &[u8]| key(seed).sign(message).to_bytes().to_vec();
    sign(value, &[Signer { key: public(seed).id(), sign: &make }])
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

pub(crate) fn person() -> Actor {
    Actor::Person(Text::lossy("m.okafor"))
}

pub(crate) fn by(actor: &Actor) -> Doer<'_> {
    Doer { actor, now: NOW }
}

/// The server's own keys, and repositories that sign with them.
pub(crate) struct Desk {
    pub(crate) online: Arc<OnlineKeys>,
    pub(crate) repositories: Repositories,
}

pub(super) fn desk(store: &Arc<dyn Store>) -> Desk {
    let online = Arc::new(OnlineKeys::make());
    Desk { repositories: Repositories::new(Arc::clone(store), Arc::clone(&online)), online }
}

fn root(online: &OnlineKeys) -> Vec<u8> {
    let one = |role| Authority::new([online.public(role)], 1).expect("a reachable threshold");
    let root = Root {
        version: 1,
        expires: NOW.plus_seconds(86_400 * 365),
        consistent_snapshot: true,
        root: authority(&[1]),
        timestamp: one(OnlineRole::Timestamp),
        snapshot: one(OnlineRole::Snapshot),
        targets: authority(&[4]),
    };
    signed(&author::root(&root), 1)
}

fn targets() -> Vec<u8> {
    let role = |(name, pattern): (&str, &str)| DelegatedRole {
        name: name.to_owned(),
        authority: authority(&[9]),
        paths: Paths::Patterns(vec![pattern.to_owned()]),
        terminating: true,
    };
    let (version, expires) = (1, NOW.plus_seconds(86_400 * 365));
    let roles = [("orders", "order/*"), ("content", "content/*")].map(role).into();
    let delegations = Delegations { roles };
    signed(&author::targets(&Targets { version, expires, targets: BTreeMap::new(), delegations }), 4)
}

pub(crate) fn orders(version: u64, orders: &[Order]) -> Vec<u8> {
    let listed = |order: &Order| {
        let file = TargetFile::new(order.image.length, order.image.sha256, Some(order.custom()));
        (order.path().as_str().to_owned(), file)
    };
    let targets = orders.iter().map(listed).collect();
    let expires = NOW.plus_seconds(86_400 * 60);
    signed(&author::targets(&Targets { version, expires, targets, delegations: Delegations::default() }), 9)
}

/// Publishes the next document of contents.
pub(crate) async fn publish_contents(desk: &Desk, version: u64, listed: &[Assignment]) {
    let target = |content: &Assignment| {
        let file = TargetFile::new(content.length, content.sha256, Some(content.custom()));
        (Assignment::path_of(&content.id).as_str().to_owned(), file)
    };
    let targets = listed.iter().map(target).collect();
    let expires = NOW.plus_seconds(86_400 * 60);
    let document = Targets { version, expires, targets, delegations: Delegations::default() };
    let (file, bytes) = (format!("{version}.content.json"), signed(&author::targets(&document), 9));
    desk.repositories.publish_director(&file, &bytes, by(&person())).await.expect("is taken in");
}

pub(crate) fn order(id: &str, members: &[&Device]) -> Order {
    let mut leaves: Vec<_> = members.iter().map(|device| device.hardware.identity().0).collect();
    leaves.sort_unstable();
    let count = leaves.len() as u64;
    Order {
        id: name(id),
        repository: name("halden"),
        image: Image { release: "vp-3/4.2.2".parse().expect("a path"), length: 9, sha256: Sha256([1; 32]) },
        scope: Scope::Set { root: Sha256(leaves.into_iter().collect::<Tree>().root()), count },
        issued: NOW,
        not_before: NOW,
        expires: NOW.plus_seconds(86_400 * 7),
        windows: Vec::new(),
        back: None,
        permit_s: Some(900),
        reason: Text::lossy("removes a flaw under attack"),
    }
}

pub(super) fn pump(number: u8) -> Device {
    let text = Text::lossy;
    let placement = Placement {
        site: text("St. Brigid"),
        ward: text("4B"),
        kind: DeviceKind::InfusionPump,
        impact: DeviceKind::InfusionPump.usual_impact(),
        reach: Reach::default(),
        tags: Vec::new(),
    };
    let identity = Identity {
        leaf: Sha256([number; 32]),
        key: Sha256([number; 32]),
        token: Some(TokenId([0; 32])),
        renews: false,
        issued: NOW,
        not_after: NOW.plus_seconds(86_400),
    };
    let serial = text(&format!("VP3-{number}"));
    let hardware =
        Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial };
    Device {
        stated: true,
        reason: text("enrolled"),
        identity: Some(identity),
        listens: Some(Timestamp(i64::MAX)),
        ..Device::bare(DeviceId::from_random([number; 16]), hardware, placement, Trust::Active, NOW)
    }
}

pub(super) fn asking(mut device: Device, order: &str) -> Device {
    let update = UpdateReport {
        state: UpdateState::Waiting,
        order: Some(name(order)),
        blocked_by: Vec::new(),
        fetched_bytes: 9,
    };
    device.report = Some(Report {
        boot: 1,
        agent_version: Text::lossy("0.1.0"),
        software: Software {
            release: None,
            counter: 1,
            sha256: Sha256([0; 32]),
            floor: 0,
            slot: Text::lossy("A"),
        },
        update,
        interlock: InterlockState::Standby,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([0; 32]),
        key_protection: Text::lossy("file"),
        spool_lost: 0,
        content_version: 0,
        director_root_version: 1,
        ca_version: 0,
        content_fault: None,
        wants: Some(WantedGo { order: name(order), action: Action::Install }),
        voice: None,
    });
    device
}

pub(super) fn receipt(device: &Device, order: &str, outcome: Outcome) -> ReceiptBody {
    ReceiptBody {
        device: device.id,
        hardware: device.hardware.identity(),
        order: name(order),
        action: Action::Install,
        outcome,
        release: None,
        counter: 2,
        sha256: Sha256([1; 32]),
        previous_sha256: Sha256([0; 32]),
        slot: Text::lossy("B"),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: NOW,
        reason: None,
    }
}

pub(super) fn wave(
    name_: &str,
    order: &str,
    devices: &[&Device],
) -> (String, Name, Vec<(DeviceId, cordon_proto::ids::HardwareId)>) {
    let members = devices.iter().map(|device| (device.id, device.hardware.identity())).collect();
    (name_.to_owned(), name(order), members)
}

pub(crate) async fn publish(desk: &Desk, live: &[Order]) {
    let repositories = &desk.repositories;
    let files = [
        ("1.root.json", root(&desk.online)),
        ("1.targets.json", targets()),
        ("1.orders.json", orders(1, live)),
    ];
    for (file, bytes) in files {
        repositories.publish_director(file, &bytes, by(&person())).await.expect(file);
    }
}

#[tokio::test]
async fn every_end_of_the_owners_documents_and_orders_is_told() {
    // Goal: orders, their ways back and the documents above them end with a warning. Method: publish one order with a way
    // back; what ends.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let back = Image { release: "vp-3/4.2.1".parse().expect("a path"), length: 9, sha256: Sha256([2; 32]) };
    let until = NOW.plus_seconds(86_400 * 9);
    publish(&desk, &[Order { back: Some(Back { image: back, until }), ..order("w1", &[&pump(1)]) }]).await;
    let ends = desk.repositories.ends(NOW).await.expect("reads");
    let mut told: Vec<_> =
        ends.iter().map(|lapse| (lapse.at.seconds_since(NOW) / 86_400, lapse.name.as_str())).collect();
    told.sort_unstable();
    let wanted = [
        (3, "the owner's timestamp"),
        (7, "order w1"),
        (9, "the way back of order w1"),
        (60, "the owner's orders 1"),
        (365, "the owner's root 1"),
        (365, "the owner's targets 1"),
    ];
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn a_publication_is_one_transaction_with_its_snapshot_and_its_audit_entry() {
    // Goal: devices never see half a publication. Method: publish, list the files, count the journal.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let repositories = desk.repositories.clone();
    publish(&desk, &[order("w1", &[&pump(1)])]).await;
    let page = store.scan(Index::FilesOf(name("director")), Cursor::First, 100).await.expect("scans");
    let files: Vec<String> = page.rows.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(files.len(), 6, "root, targets, orders, two snapshots and the timestamp: {files:?}");
    let journal = store.scan(Index::All(Kind::Audit), Cursor::First, 100).await.expect("scans");
    assert_eq!(journal.rows.len(), 3);
    let (live, version) = repositories.orders(NOW).await.expect("orders");
    assert_eq!((live.len(), version), (1, 2));
    let refused = repositories.publish_director("2.orders.json", &orders(2, &[])[..50], by(&person())).await;
    assert!(matches!(refused, Err(PublishError::Refused(_))), "{refused:?}");
    assert!(!repositories.renew_if_due(NOW, None).await.expect("looks"));
    assert!(repositories.renew_if_due(NOW.plus_seconds(2 * 86_400), None).await.expect("renews"));
    assert_eq!(repositories.orders(NOW).await.expect("orders").1, 3);
}

#[tokio::test]
async fn two_waves_run_by_receipts_and_survive_a_restart() {
    // Goal: begin, go, receipt, settle, next wave, finish; the book is rebuilt from the store. Method: tick by tick.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let repositories = desk.repositories.clone();
    let (first, second) = (asking(pump(1), "w1"), asking(pump(2), "w2"));
    publish(&desk, &[order("w1", &[&first]), order("w2", &[&second])]).await;
    let rollouts = Rollouts::load(Arc::clone(&store), repositories.clone(), NOW).await.expect("loads");
    let policy = Policy { soak_s: 0, ..Policy::default() };
    let waves = vec![wave("canary", "w1", &[&first]), wave("rest", "w2", &[&second])];
    let wanted = Wanted::new(name("r-1"), "VP-3 4.2.2".to_owned(), waves, policy);
    rollouts.create(wanted.clone(), by(&person())).await.expect("creates");
    let twice = rollouts.create(wanted, by(&person())).await;
    assert!(matches!(twice, Err(RolloutError::Exists(_))), "{twice:?}");

    let devices = [Arc::new(first.clone()), Arc::new(second.clone())];
    let look = |id: DeviceId| devices.iter().find(|device| device.id == id).cloned();
    assert!(rollouts.tell(&first, NOW).0.order.is_none(), "not before its wave");
    rollouts.tick(AT, look).await.expect("begins");
    let ticked = rollouts.tick(AT, look).await.expect("gives the go");
    assert!(ticked.devices.contains(&first.id));
    assert!(rollouts.tell(&first, NOW).0.permit.is_some());
    assert!(rollouts.tell(&second, NOW).0.order.is_none(), "the second wave has not begun");

    let rollouts = Rollouts::load(Arc::clone(&store), repositories, NOW).await.expect("loads again");
    rollouts.count_receipt(&receipt(&first, "w1", Outcome::Confirmed), AT).await.expect("counts");
    for _ in 0..3 {
        rollouts.tick(AT, look).await.expect("goes on");
    }
    assert!(rollouts.tell(&second, NOW).0.permit.is_some());
    rollouts.count_receipt(&receipt(&second, "w2", Outcome::Confirmed), AT).await.expect("counts");
    for _ in 0..2 {
        rollouts.tick(AT, look).await.expect("ends");
    }
    assert_eq!(rollouts.book().rollouts[&name("r-1")].state, State::Finished { at: NOW });
}

#[tokio::test]
async fn a_hold_and_a_stop_bite_with_their_commit() {
    // Goal: a person's stop needs no key and takes effect at once. Method: hold, release, stop, resume on one pump.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let repositories = desk.repositories.clone();
    let pump = asking(pump(1), "w1");
    publish(&desk, &[order("w1", &[&pump])]).await;
    let rollouts = Rollouts::load(Arc::clone(&store), repositories, NOW).await.expect("loads");
    let waves = vec![wave("canary", "w1", &[&pump])];
    let wanted = Wanted::new(name("r-1"), "VP-3".to_owned(), waves, Policy::default());
    rollouts.create(wanted, by(&person())).await.expect("creates");
    let shared = Arc::new(pump.clone());
    let look = |_| Some(Arc::clone(&shared));
    for _ in 0..2 {
        rollouts.tick(AT, look).await.expect("ticks");
    }
    let go = || rollouts.tell(&pump, NOW).0.permit.is_some();
    assert!(go());
    let ward = Covers::Ward("St. Brigid/4B".to_owned());
    assert!(matches!(
        rollouts.hold(name("h"), (ward.clone(), None), "short", by(&person())).await,
        Err(RolloutError::Reason)
    ));
    rollouts.hold(name("h"), (ward, None), "the ward moves tonight", by(&person())).await.expect("holds");
    assert!(!go());
    let unsaid = rollouts.release_hold(&name("h"), "moved", by(&person())).await;
    assert!(matches!(unsaid, Err(RolloutError::Reason)) && !go());
    rollouts.release_hold(&name("h"), "the ward has moved", by(&person())).await.expect("releases");
    assert!(go());
    let act = async |deed, reason| rollouts.act(&name("r-1"), deed, reason, by(&person())).await;
    act(Deed::Stop, "a nurse reported noise").await.expect("stops");
    assert!(!go());
    act(Deed::Resume, "it was another pump").await.expect("resumes");
    assert!(go());
    let twice = act(Deed::Resume, "it was another pump").await;
    assert!(matches!(twice, Err(RolloutError::State("running"))));
}

#[tokio::test]
async fn a_rollout_for_other_devices_than_the_signed_ones_is_refused() {
    // Goal: the server cannot widen a scope. Method: one device more; no such order; a device twice.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let repositories = desk.repositories.clone();
    let (first, second) = (pump(1), pump(2));
    publish(&desk, &[order("w1", &[&first])]).await;
    let rollouts = Rollouts::load(store, repositories, NOW).await.expect("loads");
    let ask = |waves| Wanted::new(name("r"), String::new(), waves, Policy::default());
    let wider = rollouts.create(ask(vec![wave("a", "w1", &[&first, &second])]), by(&person())).await;
    assert!(matches!(wider, Err(RolloutError::List { .. })));
    let unsigned = rollouts.create(ask(vec![wave("a", "w9", &[&first])]), by(&person())).await;
    assert!(matches!(unsigned, Err(RolloutError::NoOrder(_))));
    let twice = rollouts
        .create(ask(vec![wave("a", "w1", &[&first]), wave("b", "w1", &[&first])]), by(&person()))
        .await;
    assert!(matches!(twice, Err(RolloutError::Twice(_))));
    let none = rollouts.create(ask(Vec::new()), by(&person())).await;
    assert!(matches!(none, Err(RolloutError::Empty(_))));
}

#[tokio::test]
async fn waves_may_share_an_order_and_no_device_stands_in_two_open_rollouts_of_a_release() {
    // Goal: sub-waves of one signed list. Method: the list once, parts of it as waves; a foreign device; a second
    // rollout beside the first, and after it was aborted.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let (first, second, third) = (pump(1), pump(2), pump(3));
    publish(&desk, &[order("w1", &[&first, &second])]).await;
    let rollouts = Rollouts::load(store, desk.repositories.clone(), NOW).await.expect("loads");
    let parts = |id: &str, waves| Wanted::new(name(id), String::new(), waves, Policy::default());
    let alone = rollouts.create(parts("r", vec![wave("a", "w1", &[&first])]), by(&person())).await;
    assert!(matches!(alone, Err(RolloutError::List { .. })), "a part without the list proves nothing");
    let list = [&first, &second].map(|device| device.hardware.identity()).to_vec();
    let listed = |mut wanted: Wanted| {
        wanted.lists.insert(name("w1"), list.clone());
        wanted
    };
    let foreign = listed(parts("r", vec![wave("a", "w1", &[&third])]));
    assert!(matches!(rollouts.create(foreign, by(&person())).await, Err(RolloutError::Outside(_))));
    let two = parts("r", vec![wave("a", "w1", &[&first]), wave("b", "w1", &[&second])]);
    let made = rollouts.create(two, by(&person())).await.expect("together they are the list");
    assert_eq!(made.waves.len(), 2);
    let again = || listed(parts("r-2", vec![wave("a", "w1", &[&second])]));
    let beside = rollouts.create(again(), by(&person())).await;
    assert!(matches!(beside, Err(RolloutError::Overlap { .. })), "{beside:?}");
    desk.repositories
        .publish_director("2.orders.json", &orders(2, &[]), by(&person()))
        .await
        .expect("withdrawn");
    let gone = rollouts.create(again(), by(&person())).await;
    assert!(matches!(gone, Err(RolloutError::NoOrder(_))), "{gone:?}");
    let both = [order("w1", &[&first, &second]), order("w2", &[&first, &second])];
    let anew = |version| orders(version, if version == 3 { &both[1..] } else { &both });
    desk.repositories.publish_director("3.orders.json", &anew(3), by(&person())).await.expect("signed anew");
    let waves = vec![wave("a", "w2", &[&first]), wave("b", "w2", &[&second])];
    let beside =
        rollouts.create(parts("r-1", waves), by(&person())).await.expect("the first one's order is gone");
    rollouts.act(&beside.id, Deed::Abort, "only for this test", by(&person())).await.expect("aborts");
    desk.repositories.publish_director("4.orders.json", &anew(4), by(&person())).await.expect("both again");
    let reason = "the other one is better";
    rollouts.act(&name("r"), Deed::Abort, reason, by(&person())).await.expect("aborts");
    rollouts.create(again(), by(&person())).await.expect("the first wants nothing any more");
    let ended = NOW.plus_seconds(8 * 86_400);
    let late = Doer { actor: &person(), now: ended };
    let late = rollouts.create(listed(parts("r-3", vec![wave("a", "w1", &[&first])])), late).await;
    assert!(matches!(late, Err(RolloutError::Ended(_))), "{late:?}");
}

#[tokio::test]
async fn a_person_sends_confirmed_devices_back_without_a_new_signature() {
    // Goal: the signed way back, over a restart, for latecomers too. Method: one pump confirms; back; the offer, the go,
    // the receipt, the end; then another confirms, which had the go when the return began.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let (pump, late) = (asking(pump(1), "w1"), asking(pump(2), "w1"));
    let mut signed = order("w1", &[&pump, &late]);
    let image = Image { release: "vp-3/4.1.0".parse().expect("a path"), length: 9, sha256: Sha256([3; 32]) };
    signed.back = Some(Back { image, until: NOW.plus_seconds(86_400 * 30) });
    publish(&desk, &[signed]).await;
    let load =
        async || Rollouts::load(Arc::clone(&store), desk.repositories.clone(), NOW).await.expect("loads");
    let rollouts = load().await;
    let wanted = Wanted::new(
        name("r-1"),
        "VP-3".to_owned(),
        vec![wave("all", "w1", &[&pump, &late])],
        Policy::default(),
    );
    rollouts.create(wanted, by(&person())).await.expect("creates");
    let devices = [Arc::new(pump.clone()), Arc::new(late.clone())];
    let look = |id: DeviceId| devices.iter().find(|device| device.id == id).cloned();
    for _ in 0..2 {
        rollouts.tick(AT, look).await.expect("ticks");
    }
    let mut other = receipt(&pump, "w1", Outcome::Confirmed);
    other.sha256 = Sha256([7; 32]);
    assert_eq!(rollouts.count_receipt(&other, AT).await.expect("looked at"), None, "of another image");
    let confirmed = receipt(&pump, "w1", Outcome::Confirmed);
    assert_eq!(rollouts.count_receipt(&confirmed, AT).await.expect("counts"), Some(name("r-1")));
    let reason = "it drifts in therapy";
    rollouts.act(&name("r-1"), Deed::Back, reason, by(&person())).await.expect("begins the return");
    let (told, _) = rollouts.tell(&pump, NOW);
    assert_eq!(told.order.map(|offer| offer.action), Some(Action::Back));

    let rollouts = load().await;
    let mut back = pump.clone();
    let report = back.report.as_mut().expect("it spoke");
    report.wants = Some(WantedGo { order: name("w1"), action: Action::Back });
    let back = Arc::new(back);
    let mut trying = late.clone();
    trying.report.as_mut().expect("it spoke").update.state = UpdateState::Trial;
    let devices = [Arc::clone(&back), Arc::new(trying)];
    let look = |id: DeviceId| devices.iter().find(|device| device.id == id).cloned();
    rollouts.tick(AT, look).await.expect("gives the go");
    assert_eq!(rollouts.tell(&back, NOW).0.permit.map(|permit| permit.action), Some(Action::Back));
    let mut went = receipt(&pump, "w1", Outcome::WentBack);
    (went.action, went.sha256) = (Action::Back, Sha256([3; 32]));
    assert_eq!(rollouts.count_receipt(&went, AT).await.expect("counts"), Some(name("r-1")));
    rollouts.tick(AT, look).await.expect("waits for the other one");
    assert_eq!(rollouts.book().rollouts[&name("r-1")].state, State::Returning);
    let silent = Turn { now: NOW.plus_seconds(4 * 3600), lease: None };
    for _ in 0..2 {
        rollouts.tick(silent, look).await.expect("ends");
    }
    assert_eq!(rollouts.book().rollouts[&name("r-1")].state, State::Returned { at: silent.now });
    let confirmed = receipt(&late, "w1", Outcome::Confirmed);
    assert_eq!(rollouts.count_receipt(&confirmed, AT).await.expect("counts"), Some(name("r-1")));
    rollouts.act(&name("r-1"), Deed::Back, reason, by(&person())).await.expect("begins it again");
    let offered = |device| rollouts.tell(device, NOW).0.order.map(|offer| offer.action);
    assert_eq!((offered(&pump), offered(&late)), (None, Some(Action::Back)));
}

#[tokio::test]
async fn a_device_that_comes_into_use_gives_its_place_to_the_next() {
    // Goal: twenty pumps in therapy stop nobody. Method: one place; the go; a patient; the other pump.
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let desk = desk(&store);
    let pumps = [1, 2].map(|number| asking(pump(number), "w1"));
    publish(&desk, &[order("w1", &[&pumps[0], &pumps[1]])]).await;
    let rollouts = Rollouts::load(store, desk.repositories.clone(), NOW).await.expect("loads");
    let policy = Policy { in_flight: 1, ..Policy::default() };
    let waves = vec![wave("all", "w1", &[&pumps[0], &pumps[1]])];
    rollouts
        .create(Wanted::new(name("r-1"), String::new(), waves, policy), by(&person()))
        .await
        .expect("creates");
    let free = |device: &Device| rollouts.tell(device, NOW).0.permit.is_some();
    let all = |devices: &[Device; 2]| {
        let devices = devices.clone().map(Arc::new);
        move |id: DeviceId| devices.iter().find(|device| device.id == id).cloned()
    };
    for _ in 0..2 {
        rollouts.tick(AT, all(&pumps)).await.expect("ticks");
    }
    let (has, waits) = if free(&pumps[0]) { (0, 1) } else { (1, 0) };
    assert!(free(&pumps[has]) && !free(&pumps[waits]));
    let mut busy = pumps.clone();
    let blocked = Blocked { code: Text::lossy("interlock"), sentence: Text::lossy("In use since 11:40.") };
    busy[has].report.as_mut().expect("it spoke").update.blocked_by = vec![blocked];
    assert!(!free(&busy[has]), "withheld with that very check-in");
    rollouts.tick(AT, all(&busy)).await.expect("ticks");
    assert!(free(&pumps[waits]) && !free(&pumps[has]), "the place is the other one's");
}
