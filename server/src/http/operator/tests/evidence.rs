//! An evidence pack over the API: made by the server, judged as a stranger would, with the server's words worth nothing.

use std::collections::BTreeMap;

use cordon_proto::audit::{Head, SignedHead};
use cordon_proto::canonical::Value as Document;
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer, sign};
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::key::{Authority, Ed25519Strict, PublicKey};
use cordon_proto::update::metadata::{Root, TargetFile, Targets};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::trust::{Freshness, Rules, Sizes};
use cordon_proto::update::window::Window;
use cordon_server_core::evidence::{Anchors, Broken, Devices, Examination as Evidence, Verified};
use ed25519_dalek::{Signer as _, SigningKey};
use rustls::pki_types::CertificateDer;

use super::receipts::signed as receipt;
use super::*;
use crate::audit_log::AuditKey;
use crate::ca::PeerLeaf;
use crate::online::OnlineRole;

const ISSUED: Timestamp = Timestamp(1_780_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn one(seed: u8) -> Authority {
    let public = PublicKey::ed25519(key(seed).verifying_key().to_bytes());
    Authority::new([public], 1).expect("a reachable threshold")
}

fn signed(value: &Document, seed: u8) -> Vec<u8> {
    let make = |message: &[u8]| key(seed).sign(message).to_bytes().to_vec();
    let id = PublicKey::ed25519(key(seed).verifying_key().to_bytes()).id();
    sign(value, &[Signer { key: id, sign: &make }])
}

fn order() -> Order {
    Order {
        id: "o-1".parse().expect("a name"),
        repository: "halden".parse().expect("a name"),
        image: Image { release: "vp-3/4.2.2".parse().expect("a path"), length: 9, sha256: Sha256([1; 32]) },
        scope: Scope::Set { root: Sha256([5; 32]), count: 3 },
        issued: ISSUED,
        not_before: ISSUED,
        expires: ISSUED.plus_seconds(30 * 86_400),
        windows: vec![Window::ALWAYS],
        back: None,
        permit_s: Some(900),
        reason: text("closes a hole"),
    }
}

fn targets(role: &str, seed: u8, expires: Timestamp) -> Document {
    let role = DelegatedRole {
        name: role.to_owned(),
        authority: one(seed),
        paths: Paths::Patterns(vec![if role == "orders" { "order/*" } else { "vp-3/*" }.to_owned()]),
        terminating: true,
    };
    let delegations = Delegations { roles: vec![role] };
    author::targets(&Targets { version: 1, expires, targets: BTreeMap::new(), delegations })
}

fn listing(version: u64, file: Option<(String, TargetFile)>, expires: Timestamp) -> Document {
    let targets = file.into_iter().collect();
    author::targets(&Targets { version, expires, targets, delegations: Delegations::default() })
}

/// Publishes what both parties signed: the owner's keys are 1, 2 and 3, the maker's 11, 12 and 13. The order is listed in
/// version 1 and withdrawn in version 2. Gives both first roots.
async fn publish(api: &Api) -> [Vec<u8>; 2] {
    let app = api.bench.app();
    let expires = app.clock.now().plus_seconds(60 * 86_400);
    let online = |role| Authority::new([app.online.public(role)], 1).expect("a reachable threshold");
    let root = |root: u8, targets: u8| {
        let root_value = Root {
            version: 1,
            expires,
            consistent_snapshot: true,
            root: one(root),
            timestamp: online(OnlineRole::Timestamp),
            snapshot: online(OnlineRole::Snapshot),
            targets: one(targets),
        };
        signed(&author::root(&root_value), root)
    };
    let roots = [root(1, 2), root(11, 12)];
    let order = order();
    let ordered = TargetFile::new(order.image.length, order.image.sha256, Some(order.custom()));
    let released = TargetFile::new(order.image.length, order.image.sha256, None);
    let listed = Some((order.path().to_string(), ordered));
    let files = [
        ("director/1.root.json", roots[0].clone()),
        ("director/1.targets.json", signed(&targets("orders", 3, expires), 2)),
        ("director/1.orders.json", signed(&listing(1, listed, expires), 3)),
        ("director/2.orders.json", signed(&listing(2, None, expires), 3)),
        ("image/halden/1.root.json", roots[1].clone()),
        ("image/halden/1.targets.json", signed(&targets("vp-3", 13, expires), 12)),
        (
            "image/halden/1.vp-3.json",
            signed(&listing(1, Some((order.image.release.to_string(), released)), expires), 13),
        ),
    ];
    for (file, bytes) in files {
        let (status, problem) = api.ask("PUT", &format!("/api/v1/repositories/{file}"), "*", bytes).await;
        assert_eq!(status, StatusCode::OK, "{file}: {problem}");
    }
    roots
}

/// A stranger who has our root certificate.
struct Stranger(CertificateDer<'static>);

fn issued_by(child: &[u8], parent: &[u8]) -> bool {
    let Ok((_, read)) = x509_parser::parse_x509_certificate(child) else { return false };
    let parent = PeerLeaf::of(&CertificateDer::from(parent.to_vec()));
    parent.is_some_and(|key| key.verifies(read.tbs_certificate.as_ref(), &read.signature_value.data))
}

impl Devices for Stranger {
    fn open(&self, receipt: &Receipt, leaf: &[u8], issuers: &[Vec<u8>]) -> Option<ReceiptBody> {
        let issuer = issuers.iter().find(|issuer| issued_by(leaf, issuer))?;
        let key =
            PeerLeaf::of(&CertificateDer::from(leaf.to_vec())).filter(|_| issued_by(issuer, &self.0))?;
        receipt.open(|message, signature| key.verifies(message, signature)).ok()
    }
}

fn judged(pack: &[u8], anchors: &Anchors, stranger: &Stranger) -> Result<Verified, Broken> {
    let mut evidence = Evidence::default();
    let lines = pack.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.for_each(|line| evidence.line(line, stranger));
    let now = Timestamp(4_000_000_000);
    let rules = Rules { verifier: &Ed25519Strict, now, sizes: Sizes::DEVICE, freshness: Freshness::Own };
    evidence.finish(anchors, &rules)
}

#[tokio::test]
async fn a_pack_of_a_withdrawn_order_proves_who_approved_it_and_what_devices_did() {
    // Goal: evidence without the server. Method: two receipts, a pack by order and by release, judged with the roots, our
    // CA and the log's key from elsewhere; a receipt left out; another log.
    let api = Api::start().await;
    let [director, maker] = publish(&api).await;
    for (serial, outcome) in [("A", Outcome::Confirmed), ("B", Outcome::RolledBack)] {
        let device = api.bench.enrol(serial).await;
        let sent = receipt(&device, "o-1", outcome);
        assert_eq!(api.bench.device(&device).await.post("/v1/receipts", &sent).await.status, 204);
    }
    let app = api.bench.app();
    app.audit.seal(app.clock.now_ms()).await.expect("sealed");
    let log = app.audit.head().await.expect("read").expect("a head").head().log;
    let makers = [("halden".parse().expect("a name"), Sha256::of(&maker))].into();
    let anchors = Anchors { director: Sha256::of(&director), makers, log, kept: Vec::new() };
    let stranger = Stranger(app.ca.standing().present.root().clone());
    for ask in [json!({"order": "o-1"}), json!({"release": "vp-3/4.2.2"})] {
        let pack = api.file("/api/v1/evidence", ask).await;
        let verified = judged(&pack, &anchors, &stranger).expect("it holds");
        let [approved] = verified.orders.as_slice() else { panic!("one order") };
        assert_eq!((&approved.order, approved.document, approved.threshold), (&order(), 1, 1));
        assert_eq!(verified.ended(approved, Outcome::Confirmed), 1);
        assert_eq!((verified.words.len(), verified.silent(approved)), (2, Some(1)));
        assert_eq!(verified.entries, 3, "the publications of the documents that approve it");
    }
    let pack = String::from_utf8(api.file("/api/v1/evidence", json!({"order": "o-1"})).await).expect("UTF-8");
    let without: String =
        pack.split_inclusive('\n').filter(|line| !line.contains("evidence-receipt")).collect();
    let refused = judged(without.as_bytes(), &anchors, &stranger).expect_err("receipts are missing");
    assert!(refused.to_string().contains("for order o-1 is missing"), "{refused}");
    let other = judged(pack.as_bytes(), &Anchors { log: [7; 32], ..anchors }, &stranger);
    assert!(matches!(other, Err(Broken::OtherLog { .. })));
    let journal = api.bench.journal().await;
    assert_eq!(journal.iter().filter(|action| *action == "evidence.export").count(), 3);
}

#[tokio::test]
async fn a_pack_goes_on_from_the_heads_that_it_was_asked_for_with() {
    // Goal: a kept head is worth its content. Method: two heads kept on the way, judged with each of them; a pack without
    // them; heads that this log does not go on from: another root, more entries, another key; text that is no head.
    let api = Api::start().await;
    let app = api.bench.app();
    let sealed = async || {
        app.audit.seal(app.clock.now_ms()).await.expect("sealed");
        app.audit.head().await.expect("read").expect("a head")
    };
    api.bench.enrol("A").await;
    let first = sealed().await;
    let [director, maker] = publish(&api).await;
    let second = sealed().await;
    assert!(first.size() < second.size());
    let line = |head: &SignedHead| String::from_utf8(head.to_bytes()).expect("UTF-8");
    let makers = [("halden".parse().expect("a name"), Sha256::of(&maker))].into();
    let log = first.head().log;
    let anchors = Anchors { director: Sha256::of(&director), makers, log, kept: Vec::new() };
    let stranger = Stranger(app.ca.standing().present.root().clone());
    let held = |pack: &[u8], head: &SignedHead| {
        judged(pack, &Anchors { kept: vec![head.clone()], ..anchors.clone() }, &stranger)
    };
    let ask = |heads: Value| json!({"order": "o-1", "heads": heads});
    let pack = api.file("/api/v1/evidence", ask(json!([line(&second), line(&first), line(&first)]))).await;
    held(&pack, &first).expect("it goes on from the first");
    held(&pack, &second).expect("it goes on from the second");
    let without = api.file("/api/v1/evidence", json!({"order": "o-1"})).await;
    let bare = held(&without, &first).expect_err("no proof");
    assert!(matches!(bare, Broken::NotContinued { size, .. } if size == first.size()), "{bare}");

    let own = key(77);
    let by = |key: &SigningKey, head: Head| {
        let head = Head { log: key.verifying_key().to_bytes(), ..head };
        line(&SignedHead::new(head, key.sign(&head.signed_bytes()).to_bytes()).expect("signed"))
    };
    let refused = async |heads: Value| {
        let (status, problem) = api.post("/api/v1/evidence", "*", ask(heads)).await;
        assert_eq!(status.as_u16(), 422, "{problem}");
        problem["detail"].as_str().unwrap_or_default().to_owned()
    };
    let journal = api.bench.journal().await.len();
    let (ours, _) = AuditKey::load_or_make(&app.config.path(&app.config.keys)).expect("the log's key");
    let ours = |change: Head| line(&ours.sign(change).expect("its own log"));
    let other = ours(Head { root: [7; 32], ..*first.head() });
    assert!(refused(json!([other])).await.contains("it was rewritten, or restored from a backup"));
    let longer = ours(Head { size: 9999, ..*first.head() });
    assert!(refused(json!([longer])).await.contains("its log was cut off"));
    assert!(refused(json!([by(&own, *first.head())])).await.contains("another audit log"));
    assert!(refused(json!(["{}"])).await.contains("not a head of an audit log"));
    assert!(refused(json!(vec![line(&first); 17])).await.contains("more than 16 kept heads"));
    assert_eq!(api.bench.journal().await.len(), journal, "what is refused is no export");
}

#[tokio::test]
async fn a_pack_of_nothing_or_of_an_advisory_is_refused_with_a_reason() {
    // Goal: no empty evidence. Method: an unknown order, an unknown rollout, an advisory, two questions, a reader.
    let api = Api::start().await;
    let ask = async |token: &str, ask: Value| {
        let (status, problem) = api.post("/api/v1/evidence", token, ask).await;
        (status.as_u16(), problem["detail"].as_str().unwrap_or_default().to_owned())
    };
    let (status, detail) = ask("*", json!({"order": "o-9"})).await;
    assert!(status == 422 && detail.contains("no order was ever published for order:o-9"), "{detail}");
    assert_eq!(ask("*", json!({"rollout": "r-9"})).await.0, 404);
    assert!(ask("*", json!({"advisory": "CVE-2026-1"})).await.1.contains("no advisories were imported"));
    assert_eq!(ask("*", json!({"order": "o-9", "release": "vp-3/1"})).await.0, 422);
    assert_eq!(ask("read", json!({"order": "o-9"})).await.0, 403);
}
