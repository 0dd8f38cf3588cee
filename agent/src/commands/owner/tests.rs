//! A change of owner on one device: loans and returns, every file step at which it may die, and who must be there.
//!
//! Tests only; see [`super`].

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use cordon_agent_core::interlock::Claim;
use cordon_agent_core::update::{Installed, Record, Slot};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::farewell::Cause;
use cordon_proto::time::Timestamp;
use cordon_proto::update::bundle::INDEX;
use cordon_proto::update::handover::{Carried, HandOver};
use cordon_proto::update::scope::Scope;

use super::*;
use crate::fake::owner::Owner as Site;
use crate::fake::repository::{Contents, DIRECTOR as A, END, MAKER, Repository, signed};
use crate::identity::farewell::Kept;
use crate::identity::tests::join::config;
use crate::identity::tests::{hardware, trusted_clock};
use crate::identity::{Applicant, Home, enrol};
use crate::interlock::Client;
use crate::run::leaving::Leaver;
use crate::stick;
use crate::store::{Found, SecurityStore};

const B: u8 = 150;
const HOUR_S: i64 = 3600;

fn repository(seed: u8) -> Repository {
    Repository::new(&Contents { seed, version: 1, expires: END, delegation: None, targets: BTreeMap::new() })
}

fn root(seed: u8) -> Vec<u8> {
    repository(seed).root().to_vec()
}

fn now() -> Timestamp {
    trusted_clock().now()
}

/// What hands this device over from one root to another, signed by the key of a third so many seconds after an hour ago.
fn brought(from: &[u8], to: &[u8], (signer, after_s): (u8, i64)) -> Brought {
    let device = hardware().identity();
    let issued = now().plus_seconds(after_s - HOUR_S);
    let hand_over = HandOver {
        scope: Scope::Set { root: Sha256(device.0), count: 1 },
        from: Sha256::of(from),
        to: Sha256::of(to),
        issued,
        expires: issued.plus_seconds(24 * HOUR_S),
    };
    let document = signed(&hand_over.value(), signer);
    Brought { root: to.to_vec(), file: Carried::write(&document, [&device]).expect("JSON") }
}

/// A person at the device.
struct Person {
    root: bool,
    free: bool,
    asked: Cell<bool>,
}

/// Root at the device, which is free.
fn somebody() -> Person {
    Person { root: true, free: true, asked: Cell::new(false) }
}

impl AtDevice for Person {
    fn is_root(&self) -> bool {
        self.root
    }

    fn is_free(&self, class: InterlockClass) -> anyhow::Result<bool> {
        assert_eq!(class, InterlockClass::Application, "the class of what is installed");
        self.asked.set(true);
        Ok(self.free)
    }

    fn leave(&self, base: &Base, identity: &Identity) -> anyhow::Result<()> {
        let leaver = Leaver::new(base, hardware().identity(), identity);
        local::runtime()?.block_on(leaver.leave(Cause::AtDevice, None))?;
        Ok(())
    }
}

/// A device that obeys A, belongs to A's site where it has one, and holds a floor and a version of A's orders.
struct Device {
    _root: tempfile::TempDir,
    state: Folder,
    config: Config,
}

impl Device {
    fn new(site: Option<&Site>) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let state = Folder::open(scratch.path().join("state")).expect("opens");
        let maker = scratch.path().join("maker.json");
        std::fs::write(&maker, root(MAKER)).expect("writes");
        let image_root = BTreeMap::from([("halden".parse().expect("a name"), maker)]);
        let config = Config { image_root, ..config(state.path()) };
        let installed = Installed {
            release: None,
            counter: 41,
            sha256: Sha256([1; 32]),
            length: 1,
            slot: Slot::A,
            interlock: InterlockClass::Application,
        };
        let mut record = Record::factory(installed);
        assert!(record.raise_version(&"director/orders".parse().expect("a text"), 7));
        SecurityStore::new(state.clone()).create(&record).expect("creates");
        let director = state.inside("tuf").and_then(|tuf| tuf.inside(DIRECTOR)).expect("opens");
        tuf::keep_root(&director, &root(A)).expect("is kept");
        director.write("timestamp.json", b"A's").expect("writes");
        if let Some(site) = site {
            let applicant = Applicant {
                hardware: hardware(),
                addresses: vec!["127.0.0.1".parse().expect("an address")],
                proxy: None,
                metered: false,
                clock: trusted_clock(),
            };
            let home = Home::of(&config, &state).expect("opens");
            let runtime = local::runtime().expect("starts");
            runtime.block_on(enrol(&home, &site.string(), &applicant)).expect("enrols");
        }
        state.inside("spool").and_then(|spool| spool.write("0000000001.seg", b"x")).expect("writes");
        state.inside("bundle").and_then(|bundle| bundle.write(INDEX, b"A's")).expect("writes");
        Self { _root: scratch, state, config }
    }

    fn base(&self) -> Base {
        Base::open(&self.config, Arc::new(SystemClock::new())).expect("opens")
    }

    fn change(&self, brought: &Brought) -> anyhow::Result<()> {
        change(&self.base(), &self.config, brought, &somebody())
    }

    fn refusal(&self, brought: &Brought, person: &Person) -> String {
        change(&self.base(), &self.config, brought, person).expect_err("is refused").to_string()
    }

    fn record(&self) -> Record {
        match SecurityStore::new(self.state.clone()).load().expect("reads") {
            Found::Newest { value, .. } => value,
            Found::Nothing => panic!("there is a record"),
        }
    }

    /// The folder of the director that is obeyed now.
    fn director(&self) -> Folder {
        let name = self.record().owners(DIRECTOR);
        self.state.inside("tuf").and_then(|tuf| tuf.inside(&name)).expect("opens")
    }

    fn obeys(&self) -> Vec<u8> {
        self.director().read(ROOT, 65_536).expect("reads").expect("is there")
    }

    fn identity(&self) -> Option<Identity> {
        Identity::load(Home::of(&self.config, &self.state).expect("opens")).expect("reads")
    }

    fn holds_a_bundle(&self) -> bool {
        stick::stamp(self.state.path()).is_some()
    }

    fn spool(&self) -> Vec<String> {
        self.state.inside("spool").and_then(|spool| spool.names()).expect("lists")
    }
}

#[test]
fn a_loan_its_return_and_no_replay_of_the_loan() {
    // Goal: decision 0010, change of owner. Method: A, enrolled, to B; back to A; the first hand-over once more; then a
    // new one, and what was held of both owners meanwhile.
    let site = Site::new();
    let device = Device::new(Some(&site));
    let (a, b) = (root(A), root(B));
    let loan = brought(&a, &b, (A, 0));
    device.change(&loan).expect("A hands over");
    assert_eq!(device.obeys(), b);
    assert!(device.identity().is_none() && device.spool().is_empty(), "nothing of A is used at B");
    assert!(!device.holds_a_bundle(), "nor a stick that was handed over for A");
    assert!(Kept::read(&device.state).expect("reads").is_some_and(|kept| kept.cause == Cause::AtDevice));
    assert_eq!(device.director().read("timestamp.json", 100).expect("reads"), None, "B begins anew");
    device.change(&loan).expect("the same once more is no error");

    let back = brought(&b, &a, (B, 60));
    device.change(&back).expect("B gives back");
    assert_eq!(device.obeys(), a);
    let kept = device.director().read("timestamp.json", 100).expect("reads");
    assert_eq!(kept.as_deref(), Some(b"A's".as_slice()), "and what was held of A still holds");
    let record = device.record();
    assert_eq!(record.version(&"director/orders".parse().expect("a text")), 7);
    assert!(device.refusal(&loan, &somebody()).contains("an old one is not taken again"));
    assert_eq!(device.obeys(), a);
    device.change(&brought(&a, &b, (A, 120))).expect("a new one is taken");
    assert_eq!(device.obeys(), b);
    assert!(device.refusal(&back, &somebody()).contains("an old one is not taken again"));
}

#[test]
fn an_owner_whose_root_was_renewed_meanwhile_is_the_same_owner() {
    // Goal: no version falls by a loan. Method: A to B; back to A's next root; out again, back to A's first root.
    let device = Device::new(None);
    let (a, b, next) = (root(A), root(B), repository(A).next_root(2));
    device.change(&brought(&a, &b, (A, 0))).expect("A hands over");
    device.change(&brought(&b, &next, (B, 1))).expect("B gives back");
    assert_eq!(device.obeys(), next);
    assert_eq!(device.record().owners(DIRECTOR), DIRECTOR, "where the rest of A is");
    device.change(&brought(&next, &b, (A, 2))).expect("A hands over");
    device.change(&brought(&b, &a, (B, 3))).expect("B gives back to an older root");
    assert_eq!(device.obeys(), next, "which does not fall");
    assert!(tuf::is_owners(&device.director(), &Sha256::of(&a)).expect("reads"));
    assert!(!tuf::is_owners(&device.director(), &Sha256::of(&b)).expect("reads"));
}

#[test]
fn a_change_that_dies_at_any_step_obeys_one_owner_and_is_ended_by_the_next_try() {
    // Goal: two states only. Method: the disk dies at each step of a write; look with a whole disk; try again.
    let (a, b) = (root(A), root(B));
    for last in 0.. {
        let site = Site::new();
        let device = Device::new(Some(&site));
        let loan = brought(&a, &b, (A, 0));
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let broken =
            device.state.clone().hooked(move |_, _| match counter.fetch_add(1, Ordering::Relaxed) >= last {
                true => Err(io::Error::other("power")),
                false => Ok(()),
            });
        let home = Home::of(&device.config, &broken).expect("opens");
        let tried = change(&device.base().on(broken, home), &device.config, &loan, &somebody());
        let obeyed = device.obeys();
        assert!(obeyed == a || obeyed == b, "step {last}");
        assert!(device.identity().is_none() || obeyed == a, "step {last}: no identity of A under B");
        assert!(!device.holds_a_bundle() || obeyed == a, "step {last}: no bundle of A under B");
        assert!(tried.is_err() || obeyed == b, "step {last}: what is said to be done is done");
        let record = device.record();
        assert_eq!(record.version(&"director/orders".parse().expect("a text")), 7, "step {last}");
        assert_eq!(record.installed.counter, 41, "step {last}");
        device.change(&loan).expect("the next try ends it");
        assert_eq!(device.obeys(), b, "step {last}");
        assert!(device.identity().is_none() && device.spool().is_empty(), "step {last}");
        if count.load(Ordering::Relaxed) <= last {
            assert!(tried.is_ok() && last > 20, "{last}");
            break;
        }
    }
}

#[test]
fn the_makers_word_needs_a_forgotten_site_root_and_a_device_that_is_not_in_use() {
    // Goal: neither the maker from afar nor presence alone. Method: one of the four missing each time; then all.
    let site = Site::new();
    let device = Device::new(Some(&site));
    let (a, b) = (root(A), root(B));
    let (maker, stranger) = (brought(&a, &b, (MAKER, 0)), brought(&a, &b, (B, 0)));
    assert_eq!(device.refusal(&maker, &somebody()), Refused::NotForgotten.to_string());
    assert!(device.holds_a_bundle());
    leaving::wipe(&device.state, &Home::of(&device.config, &device.state).expect("opens")).expect("forgets");
    assert!(!device.holds_a_bundle(), "a site that is forgotten takes its bundle along");
    let nobody = Person { root: false, ..somebody() };
    assert_eq!(device.refusal(&maker, &nobody), Refused::NotRoot.to_string());
    assert!(!nobody.asked.get(), "nobody is asked for a device that is not taken over anyway");
    let busy = Person { free: false, ..somebody() };
    assert_eq!((device.refusal(&maker, &busy), busy.asked.get()), (Refused::InUse.to_string(), true));
    assert!(device.refusal(&stranger, &somebody()).contains("0 of the 1 signatures"), "presence alone");
    assert_eq!(device.obeys(), a);
    device.change(&maker).expect("all four");
    assert_eq!(device.obeys(), b);
}

#[test]
fn a_join_file_of_another_owner_is_refused_in_words_that_say_what_to_do() {
    // Goal: no enrolment into a dead end. Method: B's join file at a device of A, before any connection; A's renewed root.
    let device = Device::new(None);
    let join = |root: &[u8]| {
        let string = EnrolmentString {
            host: "b.example".to_owned(),
            enrolment_port: 1,
            device_port: 1,
            ca_pin: Sha256([1; 32]),
            director_root: Sha256::of(root),
            token: "dGhlLW9uZS10aW1lLXNlY3JldA".to_owned(),
        };
        let file = device.state.path().join("join");
        std::fs::write(&file, string.to_string()).expect("writes");
        local::enrol(&device.config, &file, 0).expect_err("is refused").to_string()
    };
    let refused = join(&root(B));
    assert!(refused.contains("obeys another owner") && refused.contains("--hand-over"), "{refused}");
    assert!(refused.contains(&Sha256::of(&root(B)).to_string()), "{refused}");
}

#[tokio::test]
async fn the_devices_own_software_says_at_the_socket_whether_it_is_in_use() {
    // Goal: the interlock without a running agent. Method: silence, then each word.
    let device = Device::new(None);
    let quick = Duration::from_millis(100);
    assert_eq!(said(&device.config, quick).await.expect("waits"), (InterlockState::Unknown, false));
    for (claim, state) in [(Claim::InUse, InterlockState::InUse), (Claim::Standby, InterlockState::Standby)] {
        let software = async {
            let path = setup::interlock_path(&device.config);
            let mut client = loop {
                match Client::connect(&path).await {
                    Ok(client) => break client,
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            };
            client.hold(claim, None).await.expect("is heard");
            sleep(Duration::from_secs(60)).await;
        };
        let heard = async {
            tokio::select! { heard = said(&device.config, PATIENCE) => heard, () = software => panic!("not heard") }
        };
        assert_eq!(heard.await.expect("is asked"), (state, false));
    }
}

#[test]
fn an_owner_who_comes_back_by_its_first_root_goes_on_with_its_last_one() {
    // Goal: roots never fall, however many keys were exchanged between the two. Method: a folder of an owner that holds
    // another root than it began with, which neither signed; the first one is brought again; then one that nobody knows.
    let device = Device::new(None);
    let (first, last) = (root(B), root(MAKER));
    let hash = Sha256::of(&first);
    let tuf = device.state.inside("tuf").expect("opens");
    let folder = tuf.inside(&format!("{DIRECTOR}-{hash}")).expect("opens");
    tuf::keep_root(&folder, &first).expect("is kept");
    tuf::keep_root(&folder, &last).expect("is kept");
    assert_eq!(place(&tuf, &first, &device.base()).expect("is found"), (Some(hash), false));
    let stranger = root(77);
    let found = place(&tuf, &stranger, &device.base()).expect("is new");
    assert_eq!(found, (Some(Sha256::of(&stranger)), true));
}
