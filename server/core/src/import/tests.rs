//! Tests of the judgement over publications, with throw-away keys and real signatures.

use alloc::vec;

use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer, sign};
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::key::{Authority, Ed25519Strict, PublicKey};
use cordon_proto::update::metadata::{MetaFile, Root, TargetFile, Targets, Timestamp as TimestampRole};
use cordon_proto::update::release::{Confirm, Image, InterlockClass, Needs, Recall};
use cordon_proto::update::trust::{Freshness, Sizes};
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

const NOW: Timestamp = Timestamp(1_795_251_906);
const YEAR_S: i64 = 365 * 86_400;

fn rules() -> Rules<'static> {
    Rules { verifier: &Ed25519Strict, now: NOW, sizes: Sizes::DEVICE, freshness: Freshness::Own }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn authority(seeds: &[u8], threshold: u64) -> Authority {
    let public = |seed: &u8| PublicKey::ed25519(key(*seed).verifying_key().to_bytes());
    Authority::new(seeds.iter().map(public), threshold).expect("a reachable threshold")
}

fn signed(value: &Value, seeds: &[u8]) -> Vec<u8> {
    let makers: Vec<_> =
        seeds.iter().map(|seed| move |m: &[u8]| key(*seed).sign(m).to_bytes().to_vec()).collect();
    let ids = seeds.iter().map(|seed| PublicKey::ed25519(key(*seed).verifying_key().to_bytes()).id());
    let signers: Vec<Signer<'_>> = ids.zip(&makers).map(|(key, sign)| Signer { key, sign }).collect();
    sign(value, &signers)
}

fn text<T: core::str::FromStr<Err: core::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("valid")
}

/// A release of the VP-3 with an image of its own name as bytes.
fn release(path: &str, counter: u64) -> Release {
    let sha256 = Sha256::of(path.as_bytes());
    let length = u64::try_from(path.len()).expect("short");
    Release {
        image: Image { release: text(path), length, sha256 },
        model: text("VP-3"),
        hardware: vec![text("C")],
        counter,
        floor: 0,
        min_from: 0,
        interlock: InterlockClass::Application,
        confirm: Confirm::Checkin,
        recall: Recall::None,
        needs: Needs::None,
        support: BTreeMap::new(),
        sbom: None,
        vex: None,
        mud: None,
        deltas: vec![],
    }
}

/// A whole repository of one version: root keys 1 and 2, targets 3, snapshot 4, timestamp 5, model keys 6 and 7.
fn published(version: u64, releases: &[Release]) -> Files {
    published_by(version, releases, &[6, 7])
}

fn published_by(version: u64, releases: &[Release], seeds: &[u8]) -> Files {
    let expires = NOW.plus_seconds(YEAR_S);
    let root = Root {
        version: 1,
        expires,
        consistent_snapshot: true,
        root: authority(&[1, 2], 2),
        timestamp: authority(&[5], 1),
        snapshot: authority(&[4], 1),
        targets: authority(&[3], 1),
    };
    let pumps = DelegatedRole {
        name: "vp-3".to_string(),
        authority: authority(&[6, 7], 2),
        paths: Paths::Patterns(vec!["vp-3/*".to_string()]),
        terminating: true,
    };
    let delegations = Delegations { roles: vec![pumps] };
    let targets = Targets { version, expires, targets: BTreeMap::new(), delegations };
    let file = |release: &Release| {
        let custom = Some(release.custom());
        TargetFile::new(release.image.length, release.image.sha256, custom)
    };
    let listed = releases.iter().map(|one| (one.image.release.as_str().to_string(), file(one))).collect();
    let role = Targets { version, expires, targets: listed, delegations: Delegations::default() };
    let (targets, role) = (author::targets(&targets), author::targets(&role));
    let (targets, role) = (signed(&targets, &[3]), signed(&role, seeds));
    let meta = BTreeMap::from([
        ("targets.json".to_string(), MetaFile::of(version, &targets)),
        ("vp-3.json".to_string(), MetaFile::of(version, &role)),
    ]);
    let snapshot = signed(&author::snapshot(&Snapshot { version, expires, meta }), &[4]);
    let newest = TimestampRole { version, expires, snapshot: MetaFile::of(version, &snapshot) };
    Files::from([
        ("1.root.json".to_string(), signed(&author::root(&root), &[1, 2])),
        (alloc::format!("{version}.targets.json"), targets),
        (alloc::format!("{version}.vp-3.json"), role),
        (alloc::format!("{version}.snapshot.json"), snapshot),
        ("timestamp.json".to_string(), signed(&author::timestamp(&newest), &[5])),
    ])
}

fn halden() -> Name {
    text("halden")
}

fn nobody() -> Held<'static> {
    Held { known: &[], pins: &[] }
}

fn first(files: &Files, held: Held<'_>) -> Result<Imported, ImportRefused> {
    judge((&halden(), files), Earlier::default(), held, &rules())
}

fn pin(repository: &str, models: &[&str], root_sha256: Sha256) -> Maker {
    let models = models.iter().map(|model| text(model)).collect();
    Maker { v: 1, repository: text(repository), models, root_sha256, by: "person:ines".into(), at: NOW }
}

#[test]
fn a_release_is_known_with_the_makers_own_words_and_signers() {
    // Goal: the release page says what was signed and by whom. Method: take one in; read it back from its stored form;
    // a document of before these fields reads as listed.
    let imported = first(&published(1, &[release("vp-3/4.2.2", 42)]), nobody()).expect("taken in");
    let [known] = &imported.listed[..] else { panic!("{imported:?}") };
    assert_eq!(known.stated(), Some(release("vp-3/4.2.2", 42)));
    assert_eq!((known.signers.len(), known.imported, known.listed), (2, NOW, true));
    assert_eq!(known.expires, Some(NOW.plus_seconds(YEAR_S)));
    let stored = serde_json::to_vec(known).expect("JSON");
    assert_eq!(serde_json::from_slice::<KnownRelease>(&stored).expect("reads"), *known);
    let old = alloc::format!(
        r#"{{"v":1,"repository":"halden","release":"vp-3/4.2.2","model":"VP-3","counter":42,"floor":0,"sha256":"{}","length":10,"imported":1795251906}}"#,
        known.sha256
    );
    let old: KnownRelease = serde_json::from_str(&old).expect("an earlier server's document");
    assert!(old.listed && old.stated().is_none() && old.files().len() == 1);
}

#[test]
fn what_one_signer_signed_where_two_must_is_not_believed() {
    // Goal: thresholds hold at import. Method: one of the model's two keys.
    let refused = first(&published_by(1, &[release("vp-3/4.2.2", 42)], &[6]), nobody()).expect_err("refused");
    assert!(refused.to_string().contains("only 1 of the 2 signatures"), "{refused}");
}

#[test]
fn an_older_publication_and_another_one_of_the_same_number_are_refused() {
    // Goal: the server goes no further back than a device would. Method: 2 in force, then 1, then another 2, then 3.
    let releases = [release("vp-3/4.2.2", 42)];
    let mut files = published(2, &releases);
    let earlier = Earlier::of(&files, &rules());
    assert!(earlier.timestamp().is_some() && earlier.snapshot().is_some());
    let mut offer = |version: u64, releases: &[Release]| {
        files.extend(published(version, releases));
        judge((&halden(), &files), earlier.clone(), nobody(), &rules())
    };
    let older = offer(1, &releases).expect_err("older");
    let wanted = Fault::Rollback { trusted: 2, offered: 1 };
    assert_eq!(older, ImportRefused::Trust(wanted.of(Role::Timestamp)));
    let other = offer(2, &[release("vp-3/4.2.3", 43)]).expect_err("another of its version");
    assert!(
        matches!(&other, ImportRefused::Trust(error) if matches!(error.fault, Fault::Version { wanted: 3, .. }))
    );
    offer(2, &releases).expect("the very same");
    offer(3, &releases).expect("newer");
}

#[test]
fn a_makers_repository_lists_its_own_models_only() {
    // Goal: who makes pumps cannot ship for monitors. Method: pins and listings of others; the own pin; another root.
    let files = published(1, &[release("vp-3/4.2.2", 42)]);
    let root = Sha256::of(&files["1.root.json"]);
    let judged = |pins: &[Maker]| first(&files, Held { known: &[], pins });
    judged(&[pin("halden", &["VP-3", "K-1"], root)]).expect("its own");
    judged(&[pin("other", &["M-8"], root)]).expect("nobody else's");
    let refused = judged(&[pin("halden", &["K-1"], root)]).expect_err("not pinned");
    assert!(refused.to_string().contains("makers pin"), "{refused}");
    let refused = judged(&[pin("other", &["VP-3"], root)]).expect_err("another maker's");
    assert!(refused.to_string().contains("`other`"), "{refused}");
    let refused = judged(&[pin("halden", &["VP-3"], Sha256([9; 32]))]).expect_err("another root");
    assert_eq!(refused, ImportRefused::OtherRoot { pinned: Sha256([9; 32]), found: root });
    let mut known = first(&files, nobody()).expect("taken in").listed;
    known.iter_mut().for_each(|release| release.repository = text("other"));
    let refused = first(&files, Held { known: &known, pins: &[] }).expect_err("listed elsewhere");
    assert!(matches!(refused, ImportRefused::ForeignModel { .. }));
    known.iter_mut().for_each(|release| release.listed = false);
    first(&files, Held { known: &known, pins: &[] }).expect("the other maker gave it up");
}

#[test]
fn the_first_import_keeps_its_date_and_what_the_maker_delists_is_not_listed() {
    // Goal: "behind since" does not jump, and a withdrawn release is seen. Method: three publications in three days.
    let [old, new] = [release("vp-3/4.2.1", 41), release("vp-3/4.2.2", 42)];
    let mut known = first(&published(1, core::slice::from_ref(&old)), nobody()).expect("first").listed;
    let later = Rules { now: NOW.plus_seconds(86_400), ..rules() };
    let files = published(2, &[old, new.clone()]);
    let held = Held { known: &known, pins: &[] };
    let imported = judge((&halden(), &files), Earlier::default(), held, &later).expect("second");
    let dates: Vec<_> = imported.listed.iter().map(|release| release.imported).collect();
    assert_eq!((dates, imported.new.len()), (vec![NOW, later.now], 1));
    known = imported.listed;
    let held = Held { known: &known, pins: &[] };
    let gone = judge((&halden(), &published(3, &[new])), Earlier::default(), held, &later).expect("third");
    let [delisted] = &gone.delisted[..] else { panic!("{gone:?}") };
    assert_eq!((delisted.release.as_str(), delisted.listed, delisted.imported), ("vp-3/4.2.1", false, NOW));
    assert!(gone.new.is_empty());
}

#[test]
fn every_file_of_a_new_release_must_be_here() {
    // Goal: nothing is ordered that cannot be fetched. Method: an SBOM and an image, each missing, each of a wrong length;
    // a release that is known already asks for nothing.
    let sbom = FileRef { length: 7, sha256: Sha256([7; 32]) };
    let files = published(1, &[Release { sbom: Some(sbom), ..release("vp-3/4.2.2", 42) }]);
    let imported = first(&files, nobody()).expect("judged");
    let image = (Sha256::of(b"vp-3/4.2.2"), 10);
    let here = |blobs: &[(Sha256, u64)]| imported.complete(&blobs.iter().copied().collect());
    here(&[image, (sbom.sha256, 7)]).expect("all here");
    let missing = |blobs: &[(Sha256, u64)]| here(blobs).expect_err("missing").to_string();
    assert!(missing(&[image]).contains("lacks its SBOM: 7 bytes"), "{}", missing(&[image]));
    assert!(missing(&[image, (sbom.sha256, 8)]).contains("lacks its SBOM"));
    assert!(missing(&[(sbom.sha256, 7)]).contains("lacks its image: 10 bytes"));
    let known = imported.listed;
    let again = first(&files, Held { known: &known, pins: &[] }).expect("again");
    again.complete(&BTreeMap::new()).expect("known already");
}

#[test]
fn one_name_and_one_counter_have_one_meaning() {
    // Goal: no two signed truths. Method: a counter twice; a known name with another image.
    let twice = published(1, &[release("vp-3/4.2.1", 42), release("vp-3/4.2.2", 42)]);
    let refused = first(&twice, nobody()).expect_err("a counter twice");
    assert!(matches!(refused, ImportRefused::CounterTwice { counter: 42, .. }), "{refused:?}");
    let files = published(1, &[release("vp-3/4.2.2", 42)]);
    let mut known = first(&files, nobody()).expect("taken in").listed;
    known[0].sha256 = Sha256([1; 32]);
    let refused = first(&files, Held { known: &known, pins: &[] }).expect_err("another image");
    assert!(matches!(refused, ImportRefused::OtherImage { .. }), "{refused:?}");
}

#[test]
fn a_file_in_force_never_changes_and_a_root_follows_from_the_one_before() {
    // Goal: an upload cannot break what devices read now. Method: each file of a publication with one byte more, the
    // same again, the next version, and roots.
    let files = published(1, &[release("vp-3/4.2.2", 42)]);
    let put = |file: &str, bytes: &[u8]| may_put(&files, (file, bytes), None, &rules());
    for (file, bytes) in files.iter().filter(|(file, _)| *file != "timestamp.json") {
        put(file, bytes).expect("the very same");
        let other = [&bytes[..], b" "].concat();
        assert_eq!(put(file, &other), Err(ImportRefused::OtherBytes { file: file.clone() }));
    }
    put("2.vp-3.json", b"waits unseen").expect("not in force");
    assert!(matches!(put("2.root.json", b"{}"), Err(ImportRefused::Trust(_))));
    assert!(matches!(put("2.root.json", &files["1.root.json"]), Err(ImportRefused::Trust(_))));
    let none = Files::new();
    may_put(&none, ("1.root.json", b"anything"), None, &rules()).expect("nothing is in force");
    let pinned = pin("halden", &["VP-3"], Sha256([9; 32]));
    assert!(may_put(&none, ("1.root.json", b"anything"), Some(&pinned), &rules()).is_err());
}

#[test]
fn a_pin_contradicts_nothing_that_is_here() {
    // Goal: a model has one maker, whoever comes first. Method: each contradiction once.
    let files = published(1, &[release("vp-3/4.2.2", 42)]);
    let known = first(&files, nobody()).expect("taken in").listed;
    let root = Sha256::of(&files["1.root.json"]);
    let pins = [pin("other", &["M-8"], Sha256([3; 32]))];
    let held = Held { known: &known, pins: &pins };
    let asked = |wanted: &Maker| may_pin(wanted, held, Some(root));
    asked(&pin("halden", &["VP-3"], root)).expect("all agree");
    assert_eq!(asked(&pin("halden", &[], root)), Err(PinRefused::Models));
    assert!(matches!(asked(&pin("halden", &["VP-3", "M-8"], root)), Err(PinRefused::OfAnother { .. })));
    assert!(matches!(asked(&pin("halden", &["VP-3"], Sha256([1; 32]))), Err(PinRefused::OtherRoot { .. })));
    assert!(matches!(asked(&pin("halden", &["K-1"], root)), Err(PinRefused::Lists { .. })));
    let third = may_pin(&pin("third", &["VP-3"], root), held, None).expect_err("halden lists it");
    assert!(third.to_string().contains("`halden`"), "{third}");
}
