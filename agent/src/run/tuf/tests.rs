//! Tests of the repositories on the device: first roots, kept files, rollback, example keys, over a real connection.

use std::sync::{Arc, Mutex};

use cordon_proto::update::metadata::TargetFile;
use cordon_proto::update::{Authority, Fault, PublicKey, Role};

use super::*;
use crate::fake::repository::{Contents, Repository as Signed};
use crate::fake::{Reply, Server};
use crate::link::tests::{MUTUAL, Site};
use crate::run::contact;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn contents(version: u64) -> Contents {
    let file = TargetFile::new(5, Sha256::of(b"image"), None);
    Contents {
        seed: 100,
        version,
        expires: NOW.plus_seconds(86_400),
        delegation: Some(("orders", "order/*")),
        targets: BTreeMap::from([("order/7".to_owned(), file)]),
    }
}

/// A device of a site whose server serves what stands in `files`.
struct Rig {
    _site: Site,
    _root: tempfile::TempDir,
    folder: Folder,
    server: Server,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    link: mpsc::Sender<ToLink>,
}

impl Rig {
    async fn new() -> Self {
        let site = Site::new().await;
        let files = Arc::new(Mutex::new(Signed::new(&contents(1)).files));
        let served = Arc::clone(&files);
        let server = Server::start(&site.authority, MUTUAL, move |asked| {
            let file = asked.line.rsplit('/').next().unwrap_or_default();
            let found = served.lock().expect("no panic").get(file).cloned();
            found.map_or_else(|| Reply::problem(404, "no_such_file"), Reply::ok)
        });
        let (link, calls) = mpsc::channel(1);
        tokio::spawn(contact::serve(site.link(&server), calls));
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = Folder::open(root.path().join("tuf")).expect("opens");
        Self { _site: site, _root: root, folder, server, files, link }
    }

    fn repositories(&self, pin: Sha256, host: &str) -> Repositories {
        let folder = (self.folder.clone(), DIRECTOR.to_owned());
        Repositories::new(folder, BTreeMap::new(), (pin, host), self.link.clone())
    }

    fn serve(&self, files: BTreeMap<String, Vec<u8>>) {
        *self.files.lock().expect("no panic") = files;
    }
}

#[tokio::test]
async fn the_director_is_found_by_its_hash_and_kept_as_received() {
    // Goal: first trust by hash, then the disk. Method: refresh, look at the bytes kept, count what a second asks for.
    let rig = Rig::new().await;
    let signed = Signed::new(&contents(1));
    let repositories = rig.repositories(signed.pin(), "localhost");
    assert_eq!(repositories.director_root_version(NOW), 0);
    let fresh = repositories.refresh(Repository::Director, NOW).await.expect("is believed");
    let found = repositories.find(&fresh, "order/7").await.expect("searches").expect("is listed");
    assert_eq!((found.role, found.file.length), (Role::Delegated("orders".to_owned()), 5));
    assert_eq!(repositories.find(&fresh, "order/8").await.expect("searches"), None);
    assert_eq!(repositories.director_root_version(NOW), 1);
    let director = rig.folder.inside("director").expect("opens");
    for (kept, served) in
        [("root", "1.root"), ("timestamp", "timestamp"), ("targets", "1.targets"), ("orders", "1.orders")]
    {
        let kept = director.read(&format!("{kept}.json"), FILE_BYTES).expect("reads").expect("is kept");
        assert_eq!(kept, signed.files[&format!("{served}.json")], "{served}");
    }
    let before = rig.server.lines().len();
    let fresh = repositories.refresh(Repository::Director, NOW).await.expect("is believed");
    repositories.find(&fresh, "order/7").await.expect("searches").expect("is listed");
    let asked = rig.server.lines().split_off(before);
    assert_eq!(asked, ["GET /v1/tuf/director/2.root.json", "GET /v1/tuf/director/timestamp.json"]);
}

#[tokio::test]
async fn another_director_an_older_one_and_an_expired_one_are_refused() {
    // Goal: a captured server shows nothing new. Method: three lies after one truth.
    let rig = Rig::new().await;
    let signed = Signed::new(&contents(1));
    let stranger = rig.repositories(Sha256([9; 32]), "localhost");
    let fault = |error: Option<TufError>| match error {
        Some(TufError::Trust(error)) => format!("{error:?}"),
        other => panic!("{other:?}"),
    };
    let wrong = stranger.refresh(Repository::Director, NOW).await.err();
    assert!(fault(wrong).contains("NotPinned"));
    let repositories = rig.repositories(signed.pin(), "localhost");
    rig.serve(Signed::new(&contents(3)).files);
    repositories.refresh(Repository::Director, NOW).await.expect("is believed");
    rig.serve(Signed::new(&contents(2)).files);
    let older = repositories.refresh(Repository::Director, NOW).await.err();
    assert!(matches!(older, Some(TufError::Trust(_))), "{older:?}");
    rig.serve(Signed::new(&contents(3)).files);
    let late = NOW.plus_seconds(90_000);
    let expired = repositories.refresh(Repository::Director, late).await.err();
    let Some(TufError::Trust(error)) = expired else { panic!("{expired:?}") };
    assert!(matches!(error.fault, Fault::Expired { .. }), "{error}");
}

#[tokio::test]
async fn an_image_repository_needs_the_makers_root_in_the_system_image() {
    // Goal: no maker is trusted by the server's word. Method: without, then with the shipped file.
    let rig = Rig::new().await;
    let signed = Signed::new(&contents(1));
    let halden: Name = "halden".parse().expect("a name");
    let repositories = rig.repositories(signed.pin(), "localhost");
    let error = repositories.refresh(Repository::Image(halden.clone()), NOW).await.err().expect("is refused");
    assert!(error.to_string().contains("image_root"), "{error}");
    let shipped = rig.folder.path().join("shipped.json");
    std::fs::write(&shipped, signed.root()).expect("writes");
    let known = BTreeMap::from([(halden.clone(), shipped)]);
    let folder = (rig.folder.clone(), DIRECTOR.to_owned());
    let repositories = Repositories::new(folder, known, (signed.pin(), "localhost"), rig.link.clone());
    let fresh = repositories.refresh(Repository::Image(halden), NOW).await.expect("is believed");
    assert_eq!(fresh.trusted.root().version, 1);
    assert!(rig.server.lines().contains(&"GET /v1/tuf/image/halden/timestamp.json".to_owned()));
}

#[tokio::test]
async fn a_person_at_the_device_gives_the_first_root_and_no_second() {
    // Goal: `trust-director` is for devices without one, and for the next one of the same owner. Method: once, again the
    // same, another owner's, then the next version; and which join files the owner may write.
    let root = tempfile::tempdir().expect("a scratch folder");
    let tuf = Folder::open(root.path().join("tuf")).expect("opens");
    let folder = tuf.inside(DIRECTOR).expect("opens");
    let signed = Signed::new(&contents(1));
    let named = |root: &[u8]| is_owners(&folder, &Sha256::of(root)).expect("reads");
    let other = Signed::new(&Contents { seed: 150, ..contents(1) });
    assert!(named(other.root()), "while nobody is obeyed, any owner may come");
    assert_eq!(trust_director(&folder, signed.root(), NOW).expect("is taken"), 1);
    assert_eq!(trust_director(&folder, signed.root(), NOW).expect("the same is no error"), 1);
    assert_eq!(director_root_version(&tuf, DIRECTOR, NOW), 1);
    let error = trust_director(&folder, other.root(), NOW).expect_err("is refused").to_string();
    assert!(error.contains("change of owner") && error.contains(&signed.pin().to_string()), "{error}");
    assert!(matches!(trust_director(&folder, b"{}", NOW), Err(TufError::Trust(_))));
    let next = signed.next_root(2);
    assert!(trust_director(&folder, &signed.next_root(3), NOW).is_err(), "one after the other");
    assert_eq!(trust_director(&folder, &next, NOW).expect("the next one of the same owner"), 2);
    assert!(trust_director(&folder, signed.root(), NOW).is_err(), "and none before it");
    assert!(named(&next) && named(signed.root()) && !named(other.root()));
}

#[tokio::test]
async fn example_keys_are_refused_off_loopback() {
    // Goal: keys that everyone has prove nothing. Method: one published seed as a root key, two hosts.
    let seed = Sha256::of(b"cordon example key: director-root-1");
    let public = PublicKey::ed25519(published(&seed));
    let other = PublicKey::ed25519(published(&Sha256([1; 32])));
    let authority = |key: &PublicKey| Authority::new([key.clone()], 1).expect("a reachable threshold");
    let root = |key: &PublicKey| Root {
        version: 1,
        expires: NOW,
        consistent_snapshot: true,
        root: authority(key),
        timestamp: authority(&other),
        snapshot: authority(&other),
        targets: authority(&other),
    };
    let rig = Rig::new().await;
    let (far, near) = (rig.repositories(seed, "cordon.example"), rig.repositories(seed, "127.0.0.1"));
    assert!(matches!(far.refuse_example(&root(&public)), Err(TufError::ExampleKeys)));
    assert!(far.refuse_example(&root(&other)).is_ok());
    assert!(near.refuse_example(&root(&public)).is_ok());
}

fn published(seed: &Sha256) -> [u8; 32] {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(seed.as_bytes()).expect("a seed");
    ring::signature::KeyPair::public_key(&pair).as_ref().try_into().expect("32 bytes")
}

#[test]
fn loopback_is_known_by_its_addresses_and_its_name() {
    // Goal: where example keys may be used. Method: the forms, and near misses.
    assert!(["localhost", "127.0.0.1", "127.1.2.3", "::1"].into_iter().all(is_loopback));
    assert!(!["localhost.example", "10.0.0.1", "::2", ""].into_iter().any(is_loopback));
}
