//! A small pack for the tests of this folder: two parties with real keys from fixed seeds, two devices, a sealed log.
//!
//! Devices' certificates are stand-ins: what they are worth is the adapter's business.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::audit::{Head, SignedHead};
use cordon_proto::canonical::Value;
use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::{DeviceId, HardwareId, Name, Sha256};
use cordon_proto::merkle::Tree;
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer, sign};
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::key::{Authority, Ed25519Strict, PublicKey};
use cordon_proto::update::metadata::{Root, TargetFile, Targets};
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::trust::{Freshness, Rules, Sizes};
use cordon_proto::update::window::Window;
use cordon_proto::wire;
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;
use crate::audit::{Actor, Entry, Recorded};

pub(super) const NOW: Timestamp = Timestamp(1_795_251_906);
const YEAR_S: i64 = 365 * 86_400;

pub(super) fn rules() -> Rules<'static> {
    // A pack is read years later: the time must not matter.
    let now = NOW.plus_seconds(20 * YEAR_S);
    Rules { verifier: &Ed25519Strict, now, sizes: Sizes::DEVICE, freshness: Freshness::Own }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::ed25519(key(seed).verifying_key().to_bytes())
}

fn authority(seeds: &[u8]) -> Authority {
    let threshold = u64::try_from(seeds.len()).expect("few");
    Authority::new(seeds.iter().map(|seed| public(*seed)), threshold).expect("a reachable threshold")
}

pub(super) fn signed(value: &Value, seeds: &[u8]) -> Vec<u8> {
    let makers: Vec<_> =
        seeds.iter().map(|seed| move |m: &[u8]| key(*seed).sign(m).to_bytes().to_vec()).collect();
    let signers: Vec<Signer<'_>> =
        seeds.iter().zip(&makers).map(|(seed, sign)| Signer { key: public(*seed).id(), sign }).collect();
    sign(value, &signers)
}

/// A root: its own key, and that of targets.
fn root(root: u8, targets: u8) -> Vec<u8> {
    let value = author::root(&Root {
        version: 1,
        expires: NOW.plus_seconds(YEAR_S),
        consistent_snapshot: true,
        root: authority(&[root]),
        timestamp: authority(&[8]),
        snapshot: authority(&[7]),
        targets: authority(&[targets]),
    });
    signed(&value, &[root])
}

fn targets(role: &str, pattern: &str, seeds: &[u8], signer: u8) -> Vec<u8> {
    let role = DelegatedRole {
        name: role.to_string(),
        authority: authority(seeds),
        paths: Paths::Patterns(vec![pattern.to_string()]),
        terminating: true,
    };
    let value = author::targets(&Targets {
        version: 1,
        expires: NOW.plus_seconds(YEAR_S),
        targets: BTreeMap::new(),
        delegations: Delegations { roles: vec![role] },
    });
    signed(&value, &[signer])
}

pub(super) fn listing(version: u64, files: Vec<(String, TargetFile)>) -> Value {
    author::targets(&Targets {
        version,
        expires: NOW.plus_seconds(80 * 86_400),
        targets: files.into_iter().collect(),
        delegations: Delegations::default(),
    })
}

fn image(name: &str, bytes: &[u8]) -> Image {
    Image { release: name.parse().expect("a path"), length: 9, sha256: Sha256::of(bytes) }
}

pub(super) fn order() -> Order {
    Order {
        id: "o-1".parse().expect("a name"),
        repository: "halden".parse().expect("a name"),
        image: image("vp-3/2", b"image two"),
        scope: Scope::Set { root: Sha256([5; 32]), count: 3 },
        issued: NOW,
        not_before: NOW,
        expires: NOW.plus_seconds(30 * 86_400),
        windows: vec![Window::ALWAYS],
        back: Some(Back { image: image("vp-3/1", b"image one"), until: NOW.plus_seconds(40 * 86_400) }),
        permit_s: Some(900),
        reason: "closes a hole".parse().expect("a text"),
    }
}

pub(super) fn order_file() -> TargetFile {
    let order = order();
    TargetFile::new(order.image.length, order.image.sha256, Some(order.custom()))
}

pub(super) fn orders_document(order: &Order) -> Value {
    listing(1, vec![(order.path().to_string(), order_file())])
}

pub(super) fn device(number: u8) -> DeviceId {
    DeviceId::from_random([number; 16])
}

pub(super) fn stated(number: u8, outcome: Outcome) -> ReceiptBody {
    ReceiptBody {
        device: device(number),
        hardware: HardwareId([number; 32]),
        order: "o-1".parse().expect("a name"),
        action: Action::Install,
        outcome,
        release: None,
        counter: 2,
        sha256: Sha256::of(b"image two"),
        previous_sha256: Sha256::of(b"image one"),
        slot: "B".parse().expect("a text"),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: NOW.plus_seconds(600 * i64::from(number)),
        reason: None,
    }
}

/// A receipt in its line. The stand-in for a certificate is a text, its signature a hash.
pub(super) fn receipt(body: &ReceiptBody) -> Line {
    let leaf = body.device.to_string().into_bytes();
    let made = |message: &[u8]| Ok::<_, ()>(Sha256::of(&[message, &leaf].concat()).0.to_vec());
    let receipt = wire::write(&Receipt::sign(body, made).expect("signs"));
    let received = body.time.plus_seconds(5);
    Line::Receipt { order: body.order.clone(), device: body.device, received, receipt, leaf }
}

/// Believes what the authority `ca` issued.
pub(super) struct StandIn;

impl Devices for StandIn {
    fn open(&self, receipt: &Receipt, leaf: &[u8], issuers: &[Vec<u8>]) -> Option<ReceiptBody> {
        let known = issuers.iter().any(|issuer| issuer == b"ca");
        let made = |message: &[u8], signature: &[u8]| signature == Sha256::of(&[message, leaf].concat()).0;
        receipt.open(made).ok().filter(|_| known)
    }
}

fn file(repository: &str, file: &str, bytes: Vec<u8>) -> Line {
    Line::File { repository: repository.parse().expect("a name"), file: file.to_string(), bytes }
}

fn entry(sequence: u64, action: &str) -> Recorded {
    let actor = Actor::Person("ines".parse().expect("a text"));
    let action: Name = action.parse().expect("a name");
    Recorded { sequence, at: NOW, actor, entry: Entry::new(action, "rollout:r-1".parse().expect("a text")) }
}

fn text(recorded: &Recorded) -> String {
    String::from_utf8(recorded.to_bytes()).expect("UTF-8")
}

/// The body of a good pack. Keys: the owner's root 1, targets 2, orders 3 and 4; the maker's root 11, targets 12, model 13.
pub(super) fn body() -> Vec<Line> {
    let order = order();
    let releases = ["one", "two"].map(|word| {
        let bytes = alloc::format!("image {word}").into_bytes();
        let name = if word == "one" { "vp-3/1" } else { "vp-3/2" };
        (name.to_string(), TargetFile::new(9, Sha256::of(&bytes), None))
    });
    vec![
        Line::Header {
            owner: "cordon.example".to_string(),
            asked: "order:o-1".to_string(),
            made: NOW.plus_seconds(86_400),
            orders: vec![order.id.clone()],
        },
        file("director", "1.root.json", root(1, 2)),
        file("director", "1.targets.json", targets("orders", "order/*", &[3, 4], 2)),
        file("director", "1.orders.json", signed(&orders_document(&order), &[3, 4])),
        file("halden", "1.root.json", root(11, 12)),
        file("halden", "1.targets.json", targets("vp-3", "vp-3/*", &[13], 12)),
        file("halden", "1.vp-3.json", signed(&listing(1, releases.into()), &[13])),
        Line::Release {
            repository: order.repository,
            release: "vp-3/2".to_string(),
            available: NOW.plus_seconds(-3600),
        },
        Line::Rollout { id: "r-1".parse().expect("a name"), document: "{\"v\":1}".to_string() },
        Line::Issuer { certificate: b"ca".to_vec() },
        receipt(&stated(1, Outcome::Confirmed)),
        receipt(&stated(2, Outcome::RolledBack)),
        Line::Audit { entry: text(&entry(1, "rollout.create")) },
        Line::Audit { entry: text(&entry(3, "rollout.halt")) },
    ]
}

pub(super) fn log() -> SigningKey {
    key(99)
}

/// The whole pack of a body, sealed by the log's own key as any server can do it with any body.
pub(super) fn sealed(body: &[Line]) -> Vec<u8> {
    sealed_after(body, &[kept(2), kept(4)])
}

/// The journal before the export. Whoever rewrites it does so in its second entry.
fn journal(second: &str) -> [Recorded; 4] {
    [entry(1, "rollout.create"), entry(2, second), entry(3, "rollout.halt"), entry(4, "b")]
}

/// A head of a log with this key over so many entries, as somebody kept it, and as the log would have it if its second
/// entry had been another.
pub(super) fn head(seed: u8, size: usize, second: &str) -> SignedHead {
    let mut tree = Tree::new();
    journal(second).iter().take(size).for_each(|recorded| tree.push_data(&recorded.to_bytes()));
    let log = key(seed);
    let head = Head { log: log.verifying_key().to_bytes(), size: tree.size(), root: tree.root(), at: NOW };
    SignedHead::new(head, log.sign(&head.signed_bytes()).to_bytes()).expect("our own")
}

/// A head of the pack's own log.
pub(super) fn kept(size: usize) -> SignedHead {
    head(99, size, "a")
}

/// The same with these earlier heads, whether the log goes on from them or not.
pub(super) fn sealed_after(body: &[Line], earlier: &[SignedHead]) -> Vec<u8> {
    let mut builder = Builder::default();
    body.iter().for_each(|line| builder.push(line));
    let (mut bytes, seal) = builder.close();
    let mut export = entry(5, ACTION);
    export.entry.after = Some(seal.summary());
    let mut tree = Tree::new();
    journal("a").iter().chain([&export]).for_each(|recorded| tree.push_data(&recorded.to_bytes()));
    let head = Head { log: log().verifying_key().to_bytes(), size: 5, root: tree.root(), at: NOW };
    let head = SignedHead::new(head, log().sign(&head.signed_bytes()).to_bytes()).expect("our own");
    let path = |sequence: u64| tree.inclusion(sequence - 1).expect("there").path;
    let listed = body.iter().filter_map(|line| match line {
        Line::Audit { entry } => {
            Recorded::from_bytes(entry.as_bytes()).ok().map(|recorded| recorded.sequence)
        }
        _ => None,
    });
    let proofs = listed.map(|sequence| (sequence, path(sequence))).collect();
    let going_on = |head: &SignedHead| tree.consistency(head.size()).expect("smaller").path;
    let earlier = earlier.iter().map(|head| (head.clone(), going_on(head))).collect();
    bytes.extend(tail(&Sealed { entry: text(&export), path: path(5), proofs, earlier, head }));
    bytes
}

pub(super) fn anchors() -> Anchors {
    Anchors {
        director: Sha256::of(&root(1, 2)),
        makers: [("halden".parse().expect("a name"), Sha256::of(&root(11, 12)))].into(),
        log: log().verifying_key().to_bytes(),
        kept: vec![kept(2), kept(4)],
    }
}

/// The lines of a pack as a reader splits them.
pub(super) fn lines(pack: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = pack.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}

pub(super) fn examined(lines: &[&[u8]]) -> Result<Verified, Broken> {
    let mut examination = Examination::default();
    lines.iter().for_each(|line| examination.line(line, &StandIn));
    examination.finish(&anchors(), &rules())
}
