//! An identity over its life: renewal with an answer lost or the disk gone at any step, wrong clocks, other authorities.
//!
//! Tests only; the server is [`crate::fake::owner`], which follows the same decision as the real one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use cordon_agent_core::renew::Course;
use cordon_proto::authorities::{Authorities, RootSignature, SignedAuthorities};
use cordon_proto::checkin::{
    CheckinRequest, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::ids::Text;
use cordon_proto::wire;
use rcgen::SigningKey;

use super::key::{DeviceKey, KeyError};
use super::keystore::{KeyFiles, KeyStore, KeyStoreError};
use super::*;
use crate::clock::Clock;
use crate::fake::owner::Owner;
use crate::link::proxy::Proxy;
use crate::link::{Link, Patience, Refusal};
use crate::run::keeping::Keeping;

const QUICK: Patience = Patience { answer: Duration::from_secs(30), stall: Duration::from_secs(30) };
/// A certificate that is to be renewed at once.
const OVERDUE: (i64, i64) = (-1000, 100);
const FRESH: (i64, i64) = (-300, 86_400);

pub(super) fn says() -> CheckinRequest {
    CheckinRequest {
        boot: 1,
        device_time: Timestamp(1_790_000_000),
        agent_version: Text::lossy("0"),
        uptime_s: 1,
        hardware: hardware(),
        software: Software {
            release: None,
            counter: 0,
            sha256: Sha256([0; 32]),
            floor: 0,
            slot: Text::lossy("A"),
        },
        update: UpdateReport { state: UpdateState::Idle, order: None, blocked_by: vec![], fetched_bytes: 0 },
        interlock: InterlockState::Unknown,
        sensor: SensorReport { tier: None, note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([0; 32]),
        key_protection: Text::lossy("file"),
        spool_records: 0,
        spool_lost: 0,
        content_version: 0,
        director_root_version: 0,
        want_permit: None,
        sequence: 1,
        run: 1,
        machine: None,
        ca_version: 0,
        content_fault: None,
    }
}

/// From a start of the agent over some check-ins: what the link role does with the identity, and nothing else. Whether
/// the last check-in was answered.
async fn lives(home: &Home, applicant: Applicant, rounds: usize) -> bool {
    let held = home.held().expect("reads").expect("is enrolled");
    let route = applicant.route(&held.identity.site.host);
    let clock = applicant.clock.clone();
    clock.floor().raise(held.identity.not_before);
    let link = Link::new(&held.identity, &route, clock.clone(), QUICK).expect("is built");
    let mut keeping = Keeping::new(home.clone(), held, applicant);
    let mut answered = false;
    for _ in 0..rounds {
        match link.checkin(&says()).await {
            Ok(answer) => {
                answered = true;
                clock.hear(answer.time);
                keeping.answered();
                if answer.ca_version > keeping.identity().believed.version {
                    keeping.follow_authorities(answer.ca_version, &link).await;
                }
                keeping.renew_if_due(&link).await;
            }
            Err(error) => {
                answered = false;
                match keeping.course(&error) {
                    Course::Other => drop(keeping.show_other(&link)),
                    Course::Renew => drop(keeping.renew_if_due(&link).await),
                    Course::Wait => {}
                    Course::Leave(cause) => panic!("told to leave: {cause:?}"),
                }
            }
        }
    }
    answered
}

/// The same folder, whose disk refuses everything from the `last`th step of a write on.
pub(super) fn dying(folder: &Folder, last: usize) -> (Folder, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let folder = folder.clone().hooked(move |_, _| match counter.fetch_add(1, Ordering::Relaxed) >= last {
        true => Err(io::Error::other("power")),
        false => Ok(()),
    });
    (folder, count)
}

/// The device and the server agree on one certificate, and nothing else is left on disk.
async fn one_identity_works(folder: &Folder, owner: &Owner, what: &str) {
    assert!(lives(&Home::from(folder), applicant(), 6).await, "{what}: it is answered");
    let held = Home::from(folder).held().expect("reads").expect("is enrolled");
    assert_eq!(owner.books().leaf(), Some(Sha256::of(&held.identity.leaf)), "{what}: both mean the same");
    assert!(held.other.is_none() && !held.on_trial, "{what}");
    let names = folder.names().expect("lists");
    let keys = names.iter().filter(|name| name.ends_with(KEY_SUFFIX)).count();
    assert_eq!((keys, names.contains(&"current.json".to_owned())), (1, true), "{what}: {names:?}");
    assert!(!names.iter().any(|name| name == "next.json" || name == "pending.json"), "{what}: {names:?}");
}

async fn enrolled(owner: &Owner, life_s: (i64, i64)) -> (tempfile::TempDir, Folder) {
    let (root, folder) = scratch();
    owner.books().life_s = life_s;
    enrol(&folder, &owner.string(), &applicant()).await.expect("enrols");
    owner.books().life_s = FRESH;
    (root, folder)
}

#[tokio::test]
async fn a_renewal_whose_disk_dies_at_any_step_or_whose_answer_is_lost_leaves_one_identity_that_works() {
    // Goal: never neither. Method: for each lost answer, fail from the k-th step of a write on; start anew without faults;
    // in the end device and server hold one and the same certificate and nothing else.
    for lost in [None, Some("simplereenroll"), Some("checkin")] {
        for last in 0.. {
            let owner = Owner::new();
            let (_root, folder) = enrolled(&owner, OVERDUE).await;
            let first = owner.books().leaf();
            let (broken, steps) = dying(&folder, last);
            if lives(&Home::from(&broken), applicant(), 1).await {
                owner.books().lose.extend(lost);
            }
            lives(&Home::from(&broken), applicant(), 4).await;
            let what = format!("lost {lost:?}, step {last}");
            owner.books().lose.clear();
            one_identity_works(&folder, &owner, &what).await;
            assert_ne!(owner.books().leaf(), first, "{what}: and it is a new one");
            if steps.load(Ordering::Relaxed) <= last {
                assert!(last >= 17, "key, request, next and current have five steps each: {last}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_forgot_the_next_certificate_is_asked_with_the_one_before() {
    // Goal: a server restored from before the renewal. Method: the books lose the next one before it speaks; then they
    // lose the one in force as well, and nothing is dropped.
    let owner = Owner::new();
    let (_root, folder) = enrolled(&owner, OVERDUE).await;
    assert!(lives(&Home::from(&folder), applicant(), 1).await);
    assert!(Home::from(&folder).held().expect("reads").expect("is there").on_trial);
    owner.books().next = None;
    one_identity_works(&folder, &owner, "restored").await;
    owner.books().in_force = None;
    let before = folder.names().expect("lists");
    assert!(!lives(&Home::from(&folder), applicant(), 6).await);
    assert_eq!(folder.names().expect("lists"), before, "unknown_device drops nothing");
}

#[tokio::test]
async fn a_third_certificate_is_not_asked_for_before_the_second_has_proved_itself_or_ended() {
    // Goal: of what is on disk, one always works. Method: a next certificate that is overdue when it comes; then one that
    // the server says has ended, followed by a third while the disk dies at each step.
    for last in 0.. {
        let owner = Owner::new();
        let (_root, folder) = enrolled(&owner, FRESH).await;
        let (home, route) = (Home::from(&folder), applicant().route("localhost"));
        let first = Identity::load(&folder).expect("reads").expect("is there");
        owner.books().life_s = OVERDUE;
        let next = renew(&home, &first, &applicant()).await.expect("renews");
        owner.books().life_s = FRESH;
        let link = Link::new(&next, &route, trusted_clock(), QUICK).expect("is built");
        let mut keeping =
            Keeping::new(home.clone(), home.held().expect("reads").expect("is there"), applicant());
        let asked = owner.server.lines().len();
        assert!(!keeping.renew_if_due(&link).await && owner.server.lines().len() == asked, "is not followed");
        let (broken, steps) = dying(&folder, last);
        let third = renew(&Home::from(&broken), &next, &applicant()).await;
        let held = home.held().expect("reads").expect("is there");
        if let Ok(third) = third {
            assert_eq!(held.identity.fingerprint(), third.fingerprint());
            let other = held.other.expect("the one that was answered");
            assert_eq!(other.fingerprint(), next.fingerprint(), "and not the one before it");
        }
        one_identity_works(&folder, &owner, &format!("step {last}")).await;
        if steps.load(Ordering::Relaxed) <= last {
            assert!(last >= 20, "key, request, current and next have five steps each: {last}");
            break;
        }
    }
}

/// A way to a server that no client can be built for: the proxy's name and password are not there.
fn no_way(applicant: &Applicant) -> Applicant {
    let proxy = Proxy::parse(Some("http://127.0.0.1:9".to_owned()), Some("/nowhere/proxy-auth".into()));
    Applicant { proxy: proxy.expect("is read"), ..applicant.clone() }
}

#[tokio::test]
async fn an_identity_that_no_client_can_be_built_for_changes_nothing() {
    // Goal: what is shown and what is held are one, and a certificate that waits to be shown is not asked for twice.
    // Method: the way to the server is lost before the other certificate, other authorities and the next certificate are
    // taken up; then it is back.
    let owner = Owner::new();
    let (_root, folder) = enrolled(&owner, OVERDUE).await;
    let home = Home::from(&folder);
    let present = Identity::load(&folder).expect("reads").expect("is there");
    let link =
        Link::new(&present, &applicant().route("localhost"), trusted_clock(), QUICK).expect("is built");
    let held = || home.held().expect("reads").expect("is enrolled");
    let mut keeping = Keeping::new(home.clone(), held(), no_way(&applicant()));
    owner.books().bundles = vec![bundle(1, &[&owner.authority], &[&owner.authority])];
    keeping.follow_authorities(1, &link).await;
    assert_eq!(keeping.identity().believed.version, 0, "not believed by who cannot speak to them");
    let next = renew(&home, &present, &applicant()).await.expect("renews");
    let mut keeping = Keeping::new(home.clone(), held(), no_way(&applicant()));
    assert!(!keeping.show_other(&link));
    assert_eq!(keeping.identity().fingerprint(), next.fingerprint());
    assert_eq!(
        keeping.in_force().now().fingerprint(),
        next.fingerprint(),
        "who signs with it means the same"
    );
    let asked = owner.server.lines().len();
    let held = Held { identity: present.clone(), other: None, on_trial: false };
    let mut keeping = Keeping::new(home.clone(), held, no_way(&applicant()));
    assert!(!keeping.show_next(next.clone(), &link));
    assert_eq!(keeping.in_force().now().fingerprint(), present.fingerprint());
    assert!(keeping.status().renewal_error.expect("is said").contains("proxy-auth"));
    assert!(keeping.wait_ms().expect("the time is known") > 0, "and not pressed");
    keeping.answered();
    let names = folder.names().expect("lists");
    assert!(names.contains(&"next.json".to_owned()), "what waits to be shown stays: {names:?}");
    assert_eq!(owner.server.lines().len(), asked, "no third certificate is asked for");
}

#[tokio::test]
async fn a_request_is_held_to_its_connection_and_asked_again_where_it_took_another() {
    // Goal: the binding header, checked with the server's own exporter. Method: twice another connection, then three times.
    let owner = Owner::new();
    let (_root, folder) = enrolled(&owner, FRESH).await;
    assert_eq!(owner.books().bindings, 1);
    let present = Identity::load(&folder).expect("reads").expect("is there");
    owner.books().other_connection = 2;
    renew(&Home::from(&folder), &present, &applicant()).await.expect("the third try is bound");
    owner.books().other_connection = 3;
    let error = renew(&Home::from(&folder), &present, &applicant()).await.expect_err("is refused");
    assert!(error.to_string().contains("binding_refused"), "{error}");
}

#[tokio::test]
async fn a_renewal_that_can_never_be_accepted_is_given_up_and_the_next_one_has_another_key() {
    // Goal: no renewal is stuck for good. Method: each word about the request or its key, and a certificate that is for
    // another key; a word about the device costs nothing.
    let owner = Owner::new();
    let (_root, folder) = enrolled(&owner, FRESH).await;
    let present = Identity::load(&folder).expect("reads").expect("is there");
    let home = Home::from(&folder);
    let keys =
        || folder.names().expect("lists").into_iter().filter(|name| name.ends_with(KEY_SUFFIX)).count();
    for word in ["serial_mismatch", "same_key", "approval_denied"] {
        owner.books().word = Some(word);
        let error = renew(&home, &present, &applicant()).await.expect_err("is refused");
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(keys(), 1, "{word}");
    }
    (owner.books().word, owner.books().foreign) = (None, true);
    let error = renew(&home, &present, &applicant()).await.expect_err("is not ours");
    assert!(matches!(error, IdentityError::ForeignCertificate), "{error}");
    assert_eq!(keys(), 1);
    (owner.books().word, owner.books().foreign) = (Some("quarantined"), false);
    renew(&home, &present, &applicant()).await.expect_err("is refused");
    assert_eq!(keys(), 2, "what passes is asked again with the same key");
    owner.books().word = None;
    renew(&home, &present, &applicant()).await.expect("renews");
}

/// A store whose keys sign so many times, and then are gone as a token that is pulled out.
struct Pulled(KeyFiles, Arc<AtomicUsize>);

#[derive(Debug)]
struct PulledKey(Arc<dyn DeviceKey>, Arc<AtomicUsize>);

impl DeviceKey for PulledKey {
    fn spki(&self) -> &[u8] {
        self.0.spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let left = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| KeyError::Token)?;
        self.0.sign(message)
    }

    fn protection(&self) -> &'static str {
        "pkcs11"
    }
}

impl KeyStore for Pulled {
    fn generate(&self) -> Result<(String, Arc<dyn DeviceKey>), KeyStoreError> {
        self.0.generate().map(|(name, key)| (name, Arc::new(PulledKey(key, Arc::clone(&self.1))) as _))
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn DeviceKey>>, KeyStoreError> {
        Ok(self.0.open(name)?.map(|key| Arc::new(PulledKey(key, Arc::clone(&self.1))) as _))
    }

    fn remove(&self, name: &str) -> Result<(), KeyStoreError> {
        self.0.remove(name)
    }

    fn names(&self) -> Result<Vec<String>, KeyStoreError> {
        self.0.names()
    }
}

#[tokio::test]
async fn a_key_that_does_not_sign_the_binding_sends_nothing_and_says_so() {
    // Goal: no unbound request leaves in silence. Method: a key that signs the request and not the binding; the same
    // enrolment again once it signs.
    let owner = Owner::new();
    let (_root, folder) = scratch();
    let left = Arc::new(AtomicUsize::new(1));
    let home = Home::with(folder.clone(), Arc::new(Pulled(KeyFiles::new(folder.clone()), Arc::clone(&left))));
    let error = enrol(&home, &owner.string(), &applicant()).await.expect_err("cannot be bound");
    assert!(matches!(error, IdentityError::Key(KeyError::Token)), "{error}");
    assert_eq!(error.retry(), Retry::Soon);
    assert!(!owner.server.lines().iter().any(|line| line.ends_with("enroll")), "{:?}", owner.server.lines());
    left.store(9, Ordering::Relaxed);
    enrol(&home, &owner.string(), &applicant()).await.expect("enrols by the same key");
    assert_eq!(owner.books().bindings, 1);
}

/// A clock that is wrong by so much.
#[derive(Debug)]
struct Wrong(SystemClock, AtomicI64);

impl Clock for Wrong {
    fn now(&self) -> cordon_proto::time::Millis {
        self.0.now().plus(self.1.load(Ordering::Relaxed) * 1000)
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

fn wrong_by(seconds: i64) -> Applicant {
    let clock = Wrong(SystemClock::new(), AtomicI64::new(seconds));
    Applicant { clock: TrustedClock::new(Arc::new(clock), Floor::new(None)), ..applicant() }
}

#[tokio::test]
async fn a_device_whose_clock_says_1970_or_ten_years_on_keeps_its_identity_and_renews_by_the_servers_word() {
    // Goal: no clock drops an identity or begins a renewal by itself. Method: a server whose certificate was made
    // yesterday and ends in a month; both clocks, before and after the renewal is due.
    let now = SystemClock::new().now().seconds().0;
    for wrong_s in [-now, 10 * 365 * 86_400] {
        let life = (now - 86_400, now + 30 * 86_400);
        let owner = Owner::of(Authority { server_life: life, ..Authority::new() });
        let (_root, folder) = enrolled(&owner, FRESH).await;
        let first = owner.books().leaf();
        assert!(lives(&Home::from(&folder), wrong_by(wrong_s), 3).await, "{wrong_s}");
        assert_eq!(owner.books().leaf(), first, "{wrong_s}: not due by the server's clock");
        // Valid for the server's TLS, which has the machine's clock, and for its own.
        owner.books().ahead_s = 70_000;
        owner.books().life_s = (-80_000, 86_400);
        assert!(lives(&Home::from(&folder), wrong_by(wrong_s), 4).await, "{wrong_s}");
        assert_ne!(owner.books().leaf(), first, "{wrong_s}: due by the server's clock");
        let expired = Authority { server_life: (now - 90_000, now - 86_400), ..Authority::new() };
        let stale = Owner::of(expired);
        let string = stale.string();
        let (_root, folder) = scratch();
        let error = enrol(&folder, &string, &applicant()).await.expect_err("is refused");
        assert!(error.to_string().contains("not valid"), "an honest clock sees that it has ended: {error}");
    }
}

#[tokio::test]
async fn a_thousand_starts_with_any_clock_leave_the_identity_as_it_is() {
    // Goal: restarts are harmless at any time of day. Method: a thousand starts, each with another clock up to sixteen
    // years off; what it makes of the renewal before and after the server's word, and every fiftieth in full, over TLS;
    // every byte on disk compared.
    let owner = Owner::new();
    let (_root, folder) = enrolled(&owner, FRESH).await;
    let bytes = || {
        let names = folder.names().expect("lists");
        names
            .into_iter()
            .map(|name| (fs::read(folder.path().join(&name)).expect("reads"), name))
            .collect::<Vec<_>>()
    };
    let (before, leaf) = (bytes(), owner.books().leaf());
    let now = SystemClock::new().now().seconds();
    for start in 0..1000 {
        let wrong_s = start * 1_000_000 - 500_000_000;
        let (applicant, held) =
            (wrong_by(wrong_s), Home::from(&folder).held().expect("reads").expect("is there"));
        let (clock, due) = (applicant.clock.clone(), held.identity.renews());
        let mut keeping = Keeping::new(Home::from(&folder), held, applicant);
        let alone = keeping.wait_ms();
        match wrong_s {
            ..0 if now.plus_seconds(wrong_s) < clock.floor().at() => assert_eq!(alone, None, "{wrong_s}"),
            _ => assert_eq!(alone == Some(0), now.plus_seconds(wrong_s) >= due, "{wrong_s}: {alone:?}"),
        }
        clock.hear(now);
        let wait_s = keeping.wait_ms().expect("the server said the time") / 1000;
        let right_s = u64::try_from(due.seconds_since(now)).expect("is to come");
        assert!(wait_s.abs_diff(right_s) <= 60, "{wrong_s}: {wait_s} s instead of {right_s} s");
        let refused = LinkError::Refused { refusal: Refusal::UnknownDevice, detail: String::new() };
        assert_eq!(keeping.course(&refused), Course::Wait);
        if start % 50 == 0 {
            assert!(lives(&Home::from(&folder), wrong_by(wrong_s), 2).await, "{wrong_s}");
        }
    }
    assert_eq!((bytes(), owner.books().leaf()), (before, leaf));
}

/// A bundle of these roots, signed by some authorities.
fn bundle(version: u64, roots: &[&Authority], signers: &[&Authority]) -> Vec<u8> {
    let roots = roots.iter().map(|authority| authority.root.to_vec().into()).collect();
    let body = wire::write(&Authorities { version, issued: Timestamp(1), roots });
    let message = SignedAuthorities::message(&body);
    let sign = |authority: &&Authority| RootSignature {
        key: authority.pin(),
        signature: authority.root_key.sign(&message).expect("signs").into(),
    };
    let signatures = signers.iter().map(sign).collect();
    wire::write(&SignedAuthorities { body: body.into(), signatures })
}

#[tokio::test]
async fn other_authorities_are_followed_step_by_step_and_no_dying_disk_makes_their_version_fall() {
    // Goal: decision 0010, authorities. Method: a new root beside the old one, then alone; the disk dies at every step; the
    // version never falls, and in the end a server of the new root is believed and one of the old root is not.
    for last in 0.. {
        let owner = Owner::new();
        let (_root, folder) = enrolled(&owner, FRESH).await;
        let new = Authority::new();
        let (old, both) = (&*owner.authority, [&*owner.authority, &new]);
        owner.books().bundles = vec![bundle(1, &both, &[old])];
        let (broken, steps) = dying(&folder, last);
        let version =
            |folder: &Folder| Identity::load(folder).expect("reads").expect("is there").believed.version;
        lives(&Home::from(&broken), applicant(), 2).await;
        let seen = version(&folder);
        assert!(lives(&Home::from(&folder), applicant(), 2).await, "step {last}");
        assert!(version(&folder) == 1 && seen <= 1, "step {last}");
        owner.books().bundles.push(bundle(2, &[&new], &[old]));
        lives(&Home::from(&broken), applicant(), 2).await;
        assert!(version(&folder) >= 1, "step {last}");
        lives(&Home::from(&folder), applicant(), 2).await;
        let identity = Identity::load(&folder).expect("reads").expect("is there");
        assert_eq!((identity.believed.version, &identity.believed.pins[..]), (2, &[new.pin()][..]));
        assert!(!lives(&Home::from(&folder), applicant(), 1).await, "the old root is not believed any more");
        if steps.load(Ordering::Relaxed) <= last {
            assert!(last >= 9, "two writes of five steps each: {last}");
            break;
        }
    }
}

#[tokio::test]
async fn a_bundle_that_nobody_believed_signed_is_not_followed_and_a_later_pin_finds_its_beginning() {
    // Goal: a captured server brings in no root. Method: a foreign signature; then a device whose pin is the new root.
    let owner = Owner::new();
    let (_root, folder) = enrolled(&owner, FRESH).await;
    let (old, foreign) = (&*owner.authority, Authority::new());
    owner.books().bundles = vec![bundle(1, &[old, &foreign], &[&foreign])];
    assert!(lives(&Home::from(&folder), applicant(), 2).await, "and the reports go on");
    assert_eq!(Identity::load(&folder).expect("reads").expect("is there").believed.version, 0);
    // This device enrolled after the change: the first bundle that its pin has signed is the second.
    owner.books().bundles =
        vec![bundle(1, &[old, &foreign], &[&foreign]), bundle(2, &[old], &[&foreign, old])];
    assert!(lives(&Home::from(&folder), applicant(), 2).await);
    assert_eq!(Identity::load(&folder).expect("reads").expect("is there").believed.version, 2);
    Home::from(&folder).forget().expect("forgets");
    assert_eq!(folder.names().expect("lists").len(), 1, "the version outlives the identity");
}

#[tokio::test]
async fn a_long_past_is_looked_through_once() {
    // Goal: a pin that is younger than many bundles reaches them all. Method: more bundles of strangers than one check-in
    // follows, then one that the pin has signed; what was fetched in one life of the agent.
    let owner = Owner::new();
    let (_root, folder) = enrolled(&owner, FRESH).await;
    let (old, foreign) = (&*owner.authority, Authority::new());
    let past = limits::AUTHORITIES_STEPS * 2 + 3;
    owner.books().bundles = (1..=past).map(|version| bundle(version, &[&foreign], &[&foreign])).collect();
    owner.books().bundles.push(bundle(past + 1, &[old], &[&foreign, old]));
    assert!(lives(&Home::from(&folder), applicant(), 4).await);
    assert_eq!(Identity::load(&folder).expect("reads").expect("is there").believed.version, past + 1);
    let lines = owner.server.lines();
    let fetched = lines.iter().filter(|line| line.contains("/v1/authorities/")).count();
    assert_eq!(fetched, usize::try_from(past + 1).expect("few"), "each once");
}
