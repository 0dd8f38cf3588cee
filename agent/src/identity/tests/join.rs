//! Coming in: a person's approval, enrolling anew, and the end, each with the disk gone at any step.
//!
//! Tests only; see [`super::life`] for the years in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cordon_proto::farewell::Cause;

use super::life::dying;
use super::*;
use crate::clock::SystemClock;
use crate::config::key_place::KeyPlace;
use crate::config::{Config, Health};
use crate::fake::owner::Owner;
use crate::identity::enrolment::go_on;
use crate::identity::farewell::Kept;
use crate::link::{Link, Patience};
use crate::run::leaving::Leaver;
use crate::run::setup::Base;

#[tokio::test]
async fn a_device_that_waits_for_a_person_keeps_token_and_key_until_it_is_approved_or_denied() {
    // Goal: approval by fingerprint, across restarts. Method: wait, look at what is on disk, another site, approve, go on.
    let owner = Owner::new();
    let (_root, folder) = scratch();
    owner.books().wait = true;
    let string = owner.string();
    let error = enrol(&folder, &string, &applicant()).await.expect_err("waits");
    let IdentityError::Waiting { fingerprint, retry_after_s: Some(1) } = error else {
        panic!("{error}");
    };
    assert_eq!(error.retry(), Retry::After(1));
    let home = Home::from(&folder);
    assert_eq!(home.waiting_key(), Some(fingerprint));
    let mode = fs::metadata(folder.path().join("joining.json")).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let elsewhere = EnrolmentString { host: "other.example".to_owned(), ..string.clone() };
    let error = enrol(&folder, &elsewhere, &applicant()).await.expect_err("is refused");
    assert!(matches!(error, IdentityError::Joining { .. }), "{error}");
    assert!(go_on(&home, &applicant()).await.is_err(), "still waits");
    owner.books().wait = false;
    let identity = go_on(&home, &applicant()).await.expect("enrols").expect("waited");
    assert_eq!(Sha256::of(identity.key().spki()), fingerprint, "the approved key and no other");
    assert!(!home.waits().expect("reads"));
    assert!(go_on(&home, &applicant()).await.expect("reads").is_none());
    assert_eq!(folder.names().expect("lists").len(), 2, "certificate and key, and no token");
}

#[tokio::test]
async fn an_unknown_device_enrols_anew_at_its_own_site_and_no_dying_disk_leaves_it_without_an_identity() {
    // Goal: the only replacement of an identity, by a person. Method: the books forget the device; the disk dies at each
    // step; afterwards the old or the new identity loads, and a second try makes the new one.
    for last in 0.. {
        let owner = Owner::new();
        let (_root, folder) = scratch();
        let first = enrol(&folder, &owner.string(), &applicant()).await.expect("enrols");
        owner.books().in_force = None;
        let (broken, steps) = dying(&folder, last);
        let tried = enrol_anew(&Home::from(&broken), &owner.string(), &applicant()).await;
        let held = Identity::load(&folder).expect("reads").expect("never without one");
        assert!(tried.is_err() || held.leaf != first.leaf, "step {last}");
        let anew = enrol_anew(&Home::from(&folder), &owner.string(), &applicant()).await;
        // A try that was complete on disk has used the token; the real command asks first whether it is still unknown.
        let works = Identity::load(&folder).expect("reads").expect("is there");
        assert!(anew.is_ok() || held.leaf != first.leaf, "step {last}: {anew:?}");
        assert_eq!(owner.books().leaf(), Some(Sha256::of(&works.leaf)), "step {last}");
        let elsewhere = EnrolmentString { host: "other.example".to_owned(), ..owner.string() };
        let refused =
            enrol_anew(&Home::from(&folder), &elsewhere, &applicant()).await.expect_err("is refused");
        assert!(matches!(refused, IdentityError::Enrolled { .. }), "{refused}");
        if steps.load(Ordering::Relaxed) <= last {
            assert!(last >= 15, "{last}");
            break;
        }
    }
}

/// Whether the last request for a certificate named this serial, and its key's hash.
fn last_asked(owner: &Owner, serial: &str) -> (bool, Option<Sha256>) {
    let seen = owner.server.seen.lock().expect("no panic").asked.clone();
    let asked = seen.iter().rfind(|asked| asked.line.ends_with("enroll")).expect("has asked");
    let der =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &asked.body).expect("base64");
    let read = rcgen::CertificateSigningRequestParams::from_der(&der.clone().into()).expect("is a request");
    let spki = rcgen::PublicKeyData::subject_public_key_info(&read.public_key);
    (der::is_request_of(&der, serial, &spki), Some(Sha256::of(&spki)))
}

#[tokio::test]
async fn a_request_that_can_never_be_accepted_is_not_kept_and_the_tokens_key_is() {
    // Goal: no enrolment is stuck for good by what is on disk. Method: a serial that is mended in the configuration, bytes
    // that the server cannot read, a key that a person denied, a certificate for another key; what is asked next.
    let owner = Owner::new();
    let (_root, folder) = scratch();
    let home = Home::from(&folder);
    let mut applicant = applicant();
    let string = owner.string();
    owner.books().word = Some("serial_mismatch");
    enrol(&home, &string, &applicant).await.expect_err("is refused");
    let (named, key) = last_asked(&owner, "VP3-1");
    assert!(named);
    applicant.hardware.serial = "VP3-2".parse().expect("a text");
    owner.books().word = Some("malformed_request");
    enrol(&home, &string, &applicant).await.expect_err("is refused");
    assert_eq!(last_asked(&owner, "VP3-2"), (true, key), "the mended serial, by the same key");
    let request = || fs::read(folder.path().join("pending.json")).expect("is there");
    let before = request();
    assert!(!String::from_utf8_lossy(&before).contains("MII"), "what cannot be read is not sent again");
    owner.books().word = Some("approval_denied");
    enrol(&home, &string, &applicant).await.expect_err("is refused");
    assert_eq!(last_asked(&owner, "VP3-2"), (true, key));
    assert!(folder.names().expect("lists").is_empty(), "a denied key is given up");
    (owner.books().word, owner.books().foreign) = (None, true);
    let foreign = enrol(&home, &string, &applicant).await.expect_err("is not ours");
    assert!(matches!(foreign, IdentityError::ForeignCertificate), "{foreign}");
    assert!(folder.names().expect("lists").is_empty(), "and so is one whose certificate never comes");
    assert_ne!(last_asked(&owner, "VP3-2").1, key);
}

pub(crate) fn config(state: &std::path::Path) -> Config {
    Config {
        state: state.to_owned(),
        slots: None,
        boot: None,
        install: None,
        restart: Vec::new(),
        hardware: hardware(),
        image_root: std::collections::BTreeMap::new(),
        timezone: "UTC".to_owned(),
        interlock_socket: None,
        interlock: None,
        server: Vec::new(),
        proxy: None,
        metered: None,
        mirrors: Vec::new(),
        image_kbit_s: None,
        key: KeyPlace::File,
        clock_floor: None,
        mud: None,
        packets: true,
        data: Vec::new(),
        cabinet: Vec::new(),
        trial_s: 1,
        health: Health::CheckinOnly,
    }
}

#[tokio::test]
async fn a_leave_that_dies_at_any_step_goes_on_with_the_same_farewell_until_nothing_is_left() {
    // Goal: signed once, wiped whole. Method: the disk dies at each step; a second leave by the identity that is left, or
    // the wipe alone where none is; then the folder holds the farewell and what never falls.
    for last in 0.. {
        let owner = Owner::new();
        let root = tempfile::tempdir().expect("a scratch folder");
        let state = Folder::open(root.path().join("state")).expect("opens");
        let identity_folder = state.inside("identity").expect("opens");
        let identity = enrol(&identity_folder, &owner.string(), &applicant()).await.expect("enrols");
        fs::write(state.path().join("profile.cbor"), b"x").expect("writes");
        fs::write(state.path().join("security.x"), b"x").expect("writes");
        let base = Base::open(&config(state.path()), Arc::new(SystemClock::new())).expect("opens");
        let (broken, steps) = dying(&state, last);
        let home = Home::of(&config(state.path()), &broken).expect("opens");
        let base = base.on(broken, home);
        let route = applicant().route("127.0.0.1");
        let link = Link::new(&identity, &route, trusted_clock(), Patience::default()).expect("is built");
        let tried =
            Leaver::new(&base, hardware().identity(), &identity).leave(Cause::Retired, Some(&link)).await;
        let kept = Kept::read(&state).expect("reads");
        let base = base.on(state.clone(), Home::from(&identity_folder));
        if let Some(left) = Identity::load(&identity_folder).expect("reads") {
            let leaver = Leaver::new(&base, hardware().identity(), &left);
            let again = leaver.leave(Cause::Retired, Some(&link)).await;
            let again = again.expect("leaves").expect("has a farewell");
            assert!(kept.is_none_or(|kept| kept.receipt() == again.receipt()), "step {last}: signed once");
        } else {
            crate::run::leaving::wipe(&state, &base.home).expect("wipes");
        }
        let farewell = Kept::read(&state).expect("reads");
        if let Some(farewell) = farewell {
            assert!(farewell.is_of(&identity) && farewell.handed_in, "step {last}");
            let (handed_in, receipt) = (owner.books().farewells.clone(), farewell.receipt().expect("reads"));
            assert!(handed_in.contains(&receipt), "step {last}");
            let opened = receipt.open(|message, signature| identity.verifies(message, signature));
            assert!(opened.is_ok(), "step {last}");
        }
        assert!(identity_folder.names().expect("lists").is_empty(), "step {last}");
        let names = state.names().expect("lists");
        assert!(!names.iter().any(|name| name == "profile.cbor"), "step {last}: {names:?}");
        assert!(names.iter().any(|name| name == "security.x"), "what never falls stays");
        if steps.load(Ordering::Relaxed) <= last {
            assert!(tried.is_ok() && last >= 14, "{last}");
            break;
        }
    }
}
