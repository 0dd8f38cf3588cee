//! The whole agent without a network: a stick in, an image, a receipt out; every refusal by name; sticks and power that go.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cordon_agent_core::update::{Owner, Slot, State};
use cordon_proto::ids::{HardwareId, Sha256};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::update::bundle::{INDEX, Kept, list_of};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::{Confirm, InterlockClass, Release};
use cordon_proto::update::scope::Scope;
use cordon_proto::{limits, merkle, wire};

use super::*;
use crate::boot::FileBoot;
use crate::fake::bundle::Made;
use crate::fake::repository::{self, Contents, DIRECTOR, MAKER, Repository};
use crate::identity::tests::hardware;
use crate::run::Exit;
use crate::run::tests::{Rig, new_image, now, order, release};
use crate::run::tuf;
use crate::stick;

/// A release that needs no server and nobody's word, and an order that needs no permit.
fn quiet() -> (Order, Release) {
    let release = Release { confirm: Confirm::Local, interlock: InterlockClass::None, ..release() };
    (Order { permit_s: None, ..order() }, release)
}

fn made((order, release): (Order, Release)) -> Made {
    let both = (repository::director(1, &[order]), repository::maker(1, &[release]));
    Made::new((&both.0, &both.1), &new_image(), "7", now())
}

struct Device {
    rig: Rig,
    stick: tempfile::TempDir,
}

impl Device {
    /// An enrolled device whose server answers nobody, and whose running image needs nobody's word to stop.
    async fn new() -> Self {
        let rig = Rig::new().await;
        rig.world().dark = true;
        let mut record = rig.record();
        record.installed.interlock = InterlockClass::None;
        let mut store = SecurityStore::new(rig.state());
        store.load().expect("reads");
        store.store(&wire::write(&record)).expect("stores");
        Self { rig, stick: tempfile::tempdir().expect("a scratch folder") }
    }

    fn folder(&self) -> PathBuf {
        self.stick.path().join("bundle")
    }

    async fn hand(&self, handing: Handing) -> Result<(), String> {
        let config = self.rig.config();
        let done = tokio::task::spawn_blocking(move || install(&config, &handing)).await.expect("no panic");
        done.map_err(|error| error.to_string())
    }

    async fn install(&self) -> Result<(), String> {
        self.hand(Handing { wait_s: 0, ..Handing::of(self.folder()) }).await.map_err(|told| code(&told))
    }

    /// What a change of owner leaves: obeys the owner of this root, which is kept at this place.
    fn obey(&self, place: Option<Sha256>, root: &[u8]) {
        let state = self.rig.state();
        stick::forget(&state).expect("is dropped with the owner");
        let mut record = self.rig.record();
        assert!(record.change_owner(Owner { place, issued: now() }));
        let folder = state.inside("tuf").and_then(|tuf| tuf.inside(&record.owners(tuf::DIRECTOR)));
        tuf::keep_root(&folder.expect("opens"), root).expect("is kept");
        let mut store = SecurityStore::new(state);
        store.load().expect("reads");
        store.store(&wire::write(&record)).expect("stores");
    }

    fn receipts(&self) -> Vec<ReceiptBody> {
        let identity = &self.rig.site.identity;
        let Ok(files) = fs::read_dir(self.folder().join("receipts")) else { return Vec::new() };
        let read = files.map(|file| {
            let bytes = fs::read(file.expect("lists").path()).expect("reads");
            let receipt: Receipt = wire::read(&bytes, limits::BODY_BYTES).expect("is a receipt");
            receipt.open(|message, signature| identity.verifies(message, signature)).expect("verifies")
        });
        read.collect()
    }

    /// Everything that a refused bundle must leave as it was.
    fn kept(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        walk(self.rig.state().path(), &mut files);
        files
    }
}

fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.is_file() && path.file_name().is_none_or(|name| name != "lock") {
            files.insert(path.clone(), fs::read(path).expect("reads"));
        }
    }
}

/// The word in brackets at the end of a refusal.
fn code(told: &str) -> String {
    let word = told.rsplit_once('(').map_or(told, |(_, word)| word.trim_end_matches(')'));
    word.to_owned()
}

fn boots(rig: &Rig) -> Slot {
    FileBoot::open(&rig.path("boot")).expect("opens").boot().expect("boots")
}

async fn settled(rig: &Rig, holds: impl Fn(&Record) -> bool) {
    for _ in 0..6000 {
        if holds(&rig.record()) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {:?}, {:?}", rig.record().state, Status::read(&rig.state()));
}

#[tokio::test]
async fn an_update_goes_from_a_stick_to_a_receipt_on_it_with_nobody_to_ask() {
    // Goal: the main job without a network, for a device of a list. Method: a stick, both starts of the agent, the same
    // command again; what is kept and what comes back.
    let device = Device::new().await;
    let others = [HardwareId([1; 32]), HardwareId([255; 32])];
    let mut listed = vec![others[0], hardware().identity(), others[1]];
    listed.sort_unstable();
    let root = Sha256(merkle::root(listed.iter().map(|identity| identity.0)));
    let (order, release) = quiet();
    let mut made = made((Order { scope: Scope::Set { root, count: 3 }, ..order }, release));
    made.files.insert("install/7".to_owned(), list_of(&listed));
    made.write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
    assert!(matches!(device.rig.start().ended().await, Exit::Reboot));
    assert_eq!(boots(&device.rig), Slot::B);
    assert_eq!(fs::read(device.rig.path("B")).expect("reads"), new_image());
    let agent = device.rig.start();
    settled(&device.rig, |record| record.installed.counter == 42 && record.state == State::Idle).await;
    assert_eq!(device.install().await, Ok(()), "carried out is no error");
    agent.stop().await;
    let receipts = device.receipts();
    let [receipt] = receipts.as_slice() else { panic!("one receipt: {receipts:?}") };
    assert_eq!((receipt.outcome, receipt.counter, receipt.order.as_str()), (Outcome::Confirmed, 42, "7"));
    let record = device.rig.record();
    assert_eq!((record.bundle().counter, record.floor()), (1, 41));
    assert_eq!(record.version(&"director/orders".parse().expect("a text")), 1);
    assert!(!device.rig.path("bundle").exists(), "what is done is cleared away");
    assert!(device.rig.path("tuf/director/orders.json").exists(), "the chain is kept as online");
    device.rig.world().dark = false;
    let agent = device.rig.start();
    device.rig.until("the network is back", |world| (!world.receipts.is_empty()).then_some(())).await;
    agent.stop().await;
}

#[tokio::test]
async fn every_bad_bundle_is_refused_by_name_and_leaves_no_trace() {
    // Goal: named refusals, nothing half trusted. Method: one fault each; the state folder before and after.
    let device = Device::new().await;
    let (order, release) = quiet();
    let good = made((order.clone(), release.clone()));
    let foreign = Repository::new(&Contents {
        seed: 50,
        version: 1,
        expires: repository::END,
        delegation: Some(("orders", "order/*")),
        targets: BTreeMap::new(),
    });
    let ended = Contents {
        seed: MAKER,
        version: 1,
        expires: now().plus_seconds(-1),
        delegation: None,
        targets: BTreeMap::new(),
    };
    let director = || repository::director(1, std::slice::from_ref(&order));
    let elsewhere = Scope::Match {
        model: "X".parse().expect("a text"),
        hardware: hardware().revision,
        from_least: 0,
        from_most: 99,
    };
    let of =
        |director: &Repository, maker: &Repository| Made::new((director, maker), &new_image(), "7", now());
    let empty = Made { files: BTreeMap::from([("install/7".to_owned(), Vec::new())]), ..good.clone() };
    let cases = [
        ("bundle-not-believed", Made { seed: DIRECTOR + 3, ..good.clone() }),
        ("bundle-other-director", of(&foreign, &repository::maker(1, std::slice::from_ref(&release)))),
        ("bundle-other-director", Made { director: Sha256([1; 32]), ..good.clone() }),
        ("bundle-expired", Made { expires: now().plus_seconds(-1), ..good.clone() }),
        ("bundle-clock", Made { issued: now().plus_seconds(600), ..good.clone() }),
        ("bundle-unreadable", Made { counter: 0, ..good.clone() }),
        ("bundle-unreadable", Made { expires: now().plus_seconds(15 * 86_400), ..good.clone() }),
        ("bundle-other-director", empty),
        ("bundle-needs-permit", made((crate::run::tests::order(), release.clone()))),
        (
            "bundle-needs-server",
            made((order.clone(), Release { confirm: Confirm::Checkin, ..release.clone() })),
        ),
        ("not-newer", made((order.clone(), Release { counter: 41, floor: 0, ..release.clone() }))),
        ("not-in-scope", made((Order { scope: elsewhere, ..order.clone() }, release.clone()))),
        ("unknown-to-maker", of(&director(), &repository::maker(1, &[]))),
        ("image-timestamp", of(&director(), &Repository::new(&ended))),
        (
            "order-not-listed",
            Made::new((&director(), &repository::maker(1, &[release])), &new_image(), "8", now()),
        ),
    ];
    let before = device.kept();
    for (expected, made) in cases {
        made.write(&device.folder());
        assert_eq!(device.install().await, Err(expected.to_owned()));
        assert_eq!(device.kept(), before, "{expected}");
    }
    good.write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
}

#[tokio::test]
async fn a_stick_with_a_file_missing_bent_cut_linked_or_too_many_is_refused_by_the_files_name() {
    // Goal: pulled out half way, flipped, foreign, links. Method: every file of the folder in turn.
    let device = Device::new().await;
    let made = made(quiet());
    let before = device.kept();
    let told = async |bend: &dyn Fn(&Path)| {
        made.write(&device.folder());
        bend(&device.folder());
        let refused = device.install().await.expect_err("is refused");
        assert_eq!(device.kept(), before, "{refused}");
        refused
    };
    for (path, bytes) in &made.files {
        let gone = told(&|folder| fs::remove_file(folder.join(path)).expect("removes")).await;
        assert_eq!(gone, "bundle-file-missing", "{path}");
        let longer =
            told(&|folder| fs::write(folder.join(path), [bytes, &b"x"[..]].concat()).expect("writes")).await;
        assert_eq!(longer, "bundle-file-length", "{path}");
        let linked = told(&|folder| {
            fs::rename(folder.join(path), folder.join("away")).expect("renames");
            symlink(folder.join("away"), folder.join(path)).expect("links");
        })
        .await;
        assert_eq!(linked, "bundle-not-a-file", "{path}");
        if !bytes.is_empty() {
            let mut bent = bytes.clone();
            bent[bytes.len() / 2] ^= 1;
            assert_eq!(
                told(&|folder| fs::write(folder.join(path), &bent).expect("writes")).await,
                "bundle-file-differs"
            );
        }
    }
    let added = |path: &'static str| move |folder: &Path| fs::write(folder.join(path), b"x").expect("writes");
    assert_eq!(told(&added("director/2.root.json")).await, "bundle-foreign-file");
    assert_eq!(told(&added("image/halden/x")).await, "bundle-foreign-file");
    assert_eq!(
        told(&|folder| fs::remove_file(folder.join(INDEX)).expect("removes")).await,
        "bundle-file-missing"
    );
    let long = vec![b' '; limits::BUNDLE_BYTES + 1];
    assert_eq!(
        told(&|folder| fs::write(folder.join(INDEX), &long).expect("writes")).await,
        "bundle-not-believed"
    );
    made.write(&device.folder());
    added("readme.txt")(&device.folder());
    assert_eq!(device.install().await, Ok(()), "what lies beside a bundle's folders is nobody's business");
}

#[tokio::test]
async fn an_old_stick_is_refused_and_the_very_same_one_goes_on() {
    // Goal: the counter. Method: take one with counter 5, then 4, another 5, the same 5, and 6.
    let device = Device::new().await;
    let five = Made { counter: 5, ..made(quiet()) };
    five.write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
    fs::remove_dir_all(device.folder().join("targets")).expect("removes");
    let agent = device.rig.start();
    settled(&device.rig, |record| record.bundle().counter == 5).await;
    agent.stop().await;
    let four = Made { counter: 4, ..five.clone() };
    four.write(&device.folder());
    assert_eq!(device.install().await, Err("bundle-replayed".to_owned()));
    let other = Made { expires: five.expires.plus_seconds(1), ..five.clone() };
    other.write(&device.folder());
    assert_eq!(device.install().await, Err("bundle-same-counter".to_owned()));
    for again in [five.clone(), Made { counter: 6, ..five }] {
        again.write(&device.folder());
        assert_eq!(device.install().await, Ok(()));
    }
}

/// What the agent makes of a bundle whose copy lies in the state folder, however it came there: the reason that it tells,
/// and whether the copy is still there.
async fn copied(device: &Device, made: &Made, bend: &dyn Fn(&Path)) -> (String, bool) {
    made.write(&device.folder());
    let state = device.rig.state();
    Stick::open(&device.folder()).expect("reads").copy_into(&state).expect("copies");
    bend(&device.rig.path("bundle"));
    let _ = fs::remove_file(device.rig.path("status.json"));
    let agent = device.rig.start();
    let told =
        || Status::read(&state).expect("reads")?.blocked_by.first().map(|blocked| blocked.code.to_string());
    settled(&device.rig, |_| told().is_some()).await;
    sleep(Duration::from_millis(150)).await;
    agent.stop().await;
    assert!(!device.rig.path("bundle-tried").exists());
    (told().expect("still told"), stick::stamp(state.path()).is_some())
}

#[tokio::test]
async fn a_copy_that_will_never_be_taken_is_forgotten_and_the_reason_told() {
    // Goal: nothing is tried every minute for ever. Method: copies that were handed over in time and are not any more:
    // ended, overtaken, another owner's; then one whose trouble may pass, and the good one.
    let device = Device::new().await;
    let mut record = device.rig.record();
    record.raise_bundle(Kept { counter: 5, digest: Some(Sha256([5; 32])) });
    let mut store = SecurityStore::new(device.rig.state());
    store.load().expect("reads");
    store.store(&wire::write(&record)).expect("stores");
    let good = Made { counter: 6, ..made(quiet()) };
    let finals = [
        ("bundle-expired", Made { expires: now().plus_seconds(-1), ..good.clone() }),
        ("bundle-replayed", Made { counter: 4, ..good.clone() }),
        ("bundle-same-counter", Made { counter: 5, ..good.clone() }),
        ("bundle-other-director", Made { director: Sha256([1; 32]), ..good.clone() }),
    ];
    for (code, made) in finals {
        assert_eq!(copied(&device, &made, &|_| {}).await, (code.to_owned(), false));
        assert_eq!((device.rig.record().bundle().counter, device.rig.record().state), (5, State::Idle));
    }
    let gone = |folder: &Path| fs::remove_file(folder.join("director/timestamp.json")).expect("removes");
    assert_eq!(copied(&device, &good, &gone).await, ("bundle-file-missing".to_owned(), true));
    good.write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
    assert!(matches!(device.rig.start().ended().await, Exit::Reboot));
}

#[tokio::test]
async fn what_a_try_that_died_left_behind_is_no_roll_back() {
    // Goal: the copy that is tried on begins as what is kept. Method: a newer director in both folders of tries, which
    // this device has never kept; an older bundle, handed over and taken.
    let device = Device::new().await;
    let newer = repository::director(2, &[]);
    for tried in ["bundle-asked", "bundle-tried"] {
        let folder =
            device.rig.state().inside(tried).and_then(|tried| tried.inside("director")).expect("opens");
        folder.write("root.json", newer.root()).expect("writes");
        for (name, bytes) in &newer.files {
            folder.write(name.trim_start_matches("2."), bytes).expect("writes");
        }
    }
    made(quiet()).write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
    assert!(matches!(device.rig.start().ended().await, Exit::Reboot));
}

#[tokio::test]
async fn each_owner_has_sticks_receipts_and_metadata_of_its_own() {
    // Goal: decision 0010 over an air gap. Method: A's stick with counter 5; B's first one, carried out; back at A.
    let device = Device::new().await;
    let (order, release) = quiet();
    let (a, b) =
        (repository::director(1, &[]), repository::director_of(150, 1, std::slice::from_ref(&order)));
    let ours = Made { counter: 5, ..made((order, release.clone())) };
    ours.write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
    fs::remove_dir_all(device.folder().join("targets")).expect("removes");
    let agent = device.rig.start();
    settled(&device.rig, |record| record.bundle().counter == 5).await;
    agent.stop().await;

    device.obey(Some(b.pin()), b.root());
    let newer = Made { counter: 6, ..ours.clone() };
    newer.write(&device.folder());
    assert_eq!(device.install().await, Err("bundle-other-director".to_owned()), "A's, at B");
    let maker = repository::maker(1, std::slice::from_ref(&release));
    let theirs = Made { seed: 154, ..Made::new((&b, &maker), &new_image(), "7", now()) };
    theirs.write(&device.folder());
    assert_eq!(device.install().await, Ok(()), "B's first one");
    assert!(matches!(device.rig.start().ended().await, Exit::Reboot));
    assert_eq!(boots(&device.rig), Slot::B);
    let agent = device.rig.start();
    settled(&device.rig, |record| record.installed.counter == 42 && record.state == State::Idle).await;
    assert_eq!(device.install().await, Ok(()));
    agent.stop().await;
    assert_eq!(device.receipts().len(), 1, "B has B's receipt");
    assert_eq!(device.rig.record().bundle().counter, 1);
    let kept = |name: &str| device.rig.path("tuf").join(name).join("orders.json").exists();
    assert!(kept(&format!("director-{}", b.pin())));

    device.obey(None, a.root());
    Made { counter: 4, ..ours.clone() }.write(&device.folder());
    assert_eq!(device.install().await, Err("bundle-replayed".to_owned()), "A's counter has not fallen");
    assert_eq!(device.receipts().len(), 0, "and B's receipt is not A's");
    Made { expires: ours.expires.plus_seconds(1), ..ours }.write(&device.folder());
    assert_eq!(device.install().await, Err("bundle-same-counter".to_owned()));
    theirs.write(&device.folder());
    assert_eq!(device.install().await, Err("bundle-other-director".to_owned()), "B's, at A");
}

#[tokio::test]
async fn a_stick_pulled_out_under_the_agent_is_told_and_the_update_goes_on_when_it_is_back() {
    // Goal: the stick goes while the image is read. Method: take the image away after handing over; status; bring it back.
    let device = Device::new().await;
    let made = made(quiet());
    made.write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
    fs::remove_dir_all(device.folder()).expect("removes");
    let agent = device.rig.start();
    let gone = || {
        let status = Status::read(&device.rig.state()).expect("reads");
        status.is_some_and(|status| {
            status.blocked_by.iter().any(|blocked| blocked.code.as_str() == "stick-gone")
        })
    };
    settled(&device.rig, |_| gone()).await;
    agent.stop().await;
    made.write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
    assert!(matches!(device.rig.start().ended().await, Exit::Reboot));
}

#[tokio::test]
async fn a_copy_that_was_bent_or_cut_off_on_the_device_is_not_taken() {
    // Goal: what is on the disk is not believed either; the maker's first root is the system image's own and not read. Method: bend each copied file; cut off before the index.
    let device = Device::new().await;
    let made = made(quiet());
    made.write(&device.folder());
    for (path, bytes) in made.files.iter().filter(|(path, bytes)| {
        !path.starts_with("targets/") && !path.ends_with("halden/1.root.json") && !bytes.is_empty()
    }) {
        assert_eq!(device.install().await, Ok(()));
        let mut bent = bytes.clone();
        bent[bytes.len() / 2] ^= 1;
        fs::write(device.rig.path("bundle").join(path), bent).expect("writes");
        let agent = device.rig.start();
        sleep(Duration::from_millis(150)).await;
        agent.stop().await;
        assert_eq!(device.rig.record().bundle().counter, 0, "{path}");
        assert!(!device.rig.path("B").exists(), "{path}");
    }
    assert_eq!(device.install().await, Ok(()));
    fs::remove_file(device.rig.path("bundle").join(INDEX)).expect("removes");
    let agent = device.rig.start();
    sleep(Duration::from_millis(150)).await;
    agent.stop().await;
    assert_eq!((device.rig.record().bundle().counter, device.rig.record().state), (0, State::Idle));
}

#[tokio::test]
async fn an_agent_killed_again_and_again_with_a_stick_ends_with_the_new_image_and_one_receipt() {
    // Goal: persist, then act, here too. Method: cut the agent off after ever longer times; boot as the loader says.
    let device = Device::new().await;
    made(quiet()).write(&device.folder());
    assert_eq!(device.install().await, Ok(()));
    let (mut kills, mut millis) = (0, 5);
    loop {
        match device.rig.start().cut_off(Duration::from_millis(millis), std::future::pending::<()>()).await {
            Some(exit) => {
                assert!(matches!(exit, Exit::Reboot));
                boots(&device.rig);
            }
            None => kills += 1,
        }
        millis += (millis / 10).max(15);
        let record = device.rig.record();
        if record.installed.counter == 42 && record.state == State::Idle {
            break;
        }
        assert!(kills < 60, "it never came to an end: {:?}", record.state);
    }
    assert!(kills > 2, "the agent was too quick to be killed");
    assert_eq!(device.install().await, Ok(()));
    assert_eq!(device.receipts().len(), 1);
}
