//! Tests of enrolment against a real TLS server: the pin guards the token, a crash anywhere loses nothing.

pub(crate) mod join;
mod life;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use cordon_proto::ids::Hardware;

use super::keystore::KEY_SUFFIX;
use super::*;
use crate::clock::{Floor, SystemClock};
use crate::fake::{Authority, DEVICE, Server, enrolment_plane};
use crate::files::Folder;
use crate::tls;

const TOKEN: &str = "dGhlLW9uZS10aW1lLXNlY3JldA";

pub(crate) fn hardware() -> Hardware {
    let text = |t: &str| t.parse().expect("a text");
    Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial: text("VP3-1") }
}

pub(crate) fn trusted_clock() -> TrustedClock {
    TrustedClock::new(Arc::new(SystemClock::new()), Floor::new(None))
}

pub(crate) fn applicant() -> Applicant {
    Applicant {
        hardware: hardware(),
        addresses: vec!["127.0.0.1".parse().expect("an address")],
        proxy: None,
        metered: false,
        clock: trusted_clock(),
    }
}

fn string(server: &Server, pin: Sha256) -> EnrolmentString {
    EnrolmentString {
        host: "127.0.0.1".to_owned(),
        enrolment_port: server.port,
        device_port: 1,
        ca_pin: pin,
        director_root: Sha256([7; 32]),
        token: TOKEN.to_owned(),
    }
}

fn scratch() -> (tempfile::TempDir, Folder) {
    let root = tempfile::tempdir().expect("a scratch folder");
    let folder = Folder::open(root.path().join("identity")).expect("opens");
    (root, folder)
}

#[tokio::test]
async fn a_device_enrols_once_and_reads_its_identity_back() {
    // Goal: key, certificate and site are kept, the token is not. Method: enrol, load, look at every byte on disk.
    let authority = Arc::new(Authority::new());
    let server = enrolment_plane(Arc::clone(&authority), TOKEN);
    let (_root, folder) = scratch();
    assert!(Identity::load(&folder).expect("reads").is_none());
    let string = string(&server, authority.pin());
    let enrolled = enrol(&folder, &string, &applicant()).await.expect("enrols");
    assert_eq!(enrolled.device.to_string(), DEVICE);
    let loaded = Identity::load(&folder).expect("reads").expect("is there");
    assert_eq!(loaded.key().spki(), enrolled.key().spki());
    assert_eq!(loaded.site, Site::from(&string));
    assert_eq!(loaded.roots, std::slice::from_ref(&authority.root));
    for name in folder.names().expect("lists") {
        let bytes = fs::read(folder.path().join(&name)).expect("reads");
        assert!(!bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()), "{name} holds the token");
    }
    let asked = server.seen.lock().expect("no panic").asked.clone();
    assert_eq!(asked[1].line, "POST /.well-known/est/simpleenroll");
    assert_eq!(
        asked[1].headers["x-cordon-hardware"],
        cordon_proto::enrol::hardware_header(&hardware()),
        "the hardware is stated"
    );
    enrol(&folder, &string, &applicant()).await.expect("enrolling again at the same site is no error");
    assert_eq!(server.lines().len(), 2, "and asks nobody");
}

#[tokio::test]
async fn a_server_without_the_pinned_key_never_receives_the_token() {
    // Goal: no trust on first use. Method: a well-formed server of another CA; it must see no request at all.
    let authority = Arc::new(Authority::new());
    let server = enrolment_plane(Arc::clone(&authority), TOKEN);
    let (_root, folder) = scratch();
    let error =
        enrol(&folder, &string(&server, Sha256([1; 32])), &applicant()).await.expect_err("is refused");
    assert!(
        matches!(&error, IdentityError::Server { source: LinkError::WrongServer(_), .. }),
        "{error}: {error:?}"
    );
    assert!(error.to_string().contains("does not end in the pinned CA"), "{error}");
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn a_pinned_root_that_did_not_sign_the_server_is_not_enough() {
    // Goal: the pin is an anchor, not a password. Method: a server of CA 1 that appends the root of CA 2.
    let (one, two) = (Authority::new(), Authority::new());
    let honest = one.root.clone();
    let mixed = Authority { root: two.root.clone(), ..one };
    let server = enrolment_plane(Arc::new(mixed), TOKEN);
    let (_root, folder) = scratch();
    let pin = two.pin();
    assert_ne!(tls::key_hash(&honest), Some(pin));
    let error = enrol(&folder, &string(&server, pin), &applicant()).await.expect_err("is refused");
    assert!(error.to_string().contains("does not end in the pinned CA"), "{error}");
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn a_wrong_token_and_another_site_are_refused_in_words() {
    // Goal: errors say what to do. Method: one wrong token; then a second site for an enrolled device.
    let authority = Arc::new(Authority::new());
    let server = enrolment_plane(Arc::clone(&authority), TOKEN);
    let (_root, folder) = scratch();
    let right = string(&server, authority.pin());
    let wrong = EnrolmentString { token: "d3JvbmctdG9rZW4td3JvbmctdG9rZW4".to_owned(), ..right.clone() };
    let error = enrol(&folder, &wrong, &applicant()).await.expect_err("is refused");
    assert!(matches!(error, IdentityError::Token), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    enrol(&folder, &right, &applicant()).await.expect("the right token still works");
    let elsewhere = EnrolmentString { host: "other.example".to_owned(), ..right };
    let error = enrol(&folder, &elsewhere, &applicant()).await.expect_err("is refused").to_string();
    assert!(error.contains(DEVICE) && error.contains("forget-site"), "{error}");
}

#[test]
fn one_port_for_both_planes_is_asked_for_by_another_name() {
    // Goal: one port by SNI, and no silent try without a name. Method: a site with one port, by name and by address.
    let site = |host: &str, device_port| Site {
        host: host.to_owned(),
        enrolment_port: 443,
        device_port,
        ca_pin: Sha256([1; 32]),
        director_root: Sha256([2; 32]),
    };
    let name = |site: Site| site.enrolment_host().map_err(|error| error.to_string());
    assert_eq!(name(site("cordon.example", 443)).as_deref(), Ok("enrol.cordon.example"));
    assert_eq!(name(site("192.0.2.7", 8443)).as_deref(), Ok("192.0.2.7"));
    let error = name(site("192.0.2.7", 443)).expect_err("has no name");
    assert!(error.contains("192.0.2.7 is an address") && error.contains("`server`"), "{error}");
}

#[tokio::test]
async fn a_key_file_that_others_may_read_is_refused() {
    // Goal: the refusal of sshd. Method: mode 0644 on the key of an enrolled device.
    let authority = Arc::new(Authority::new());
    let server = enrolment_plane(Arc::clone(&authority), TOKEN);
    let (_root, folder) = scratch();
    enrol(&folder, &string(&server, authority.pin()), &applicant()).await.expect("enrols");
    let names = folder.names().expect("lists");
    let key = names.iter().find(|name| name.ends_with(KEY_SUFFIX)).expect("has a key");
    let path = folder.path().join(key);
    assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changes the mode");
    let error = Identity::load(&folder).expect_err("is refused");
    let too_open =
        |error: &KeyStoreError| matches!(error, KeyStoreError::File(FileError::TooOpen { mode: 0o644, .. }));
    assert!(matches!(&error, IdentityError::KeyStore(error) if too_open(error)), "{error}");
}

#[tokio::test]
async fn a_crash_at_any_point_of_enrolment_costs_no_token() {
    // Goal: one token, one key, one certificate, whatever dies. Method: the fake server binds the token to the first
    // key; the n-th persistence step fails; then the device tries again without faults.
    let mut points = 0;
    for crash_at in 0.. {
        let authority = Arc::new(Authority::new());
        let server = enrolment_plane(Arc::clone(&authority), TOKEN);
        let (_root, folder) = scratch();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let dying = folder.clone().hooked(move |_, _| {
            if counter.fetch_add(1, Ordering::Relaxed) >= crash_at {
                Err(io::Error::other("power"))
            } else {
                Ok(())
            }
        });
        let string = string(&server, authority.pin());
        let first = enrol(&dying, &string, &applicant()).await;
        let identity = enrol(&folder, &string, &applicant()).await.expect("the second try succeeds");
        let loaded = Identity::load(&folder).expect("reads").expect("is there");
        assert_eq!(loaded.key().spki(), identity.key().spki(), "crash at step {crash_at}");
        if first.is_ok() {
            points = crash_at;
            break;
        }
    }
    assert!(points >= 16, "key, request and certificate have five steps each, litter one: {points}");
}

#[tokio::test]
async fn forgetting_removes_key_and_certificate() {
    // Goal: `forget-site` leaves nothing to be stolen. Method: enrol, forget, list.
    let authority = Arc::new(Authority::new());
    let server = enrolment_plane(Arc::clone(&authority), TOKEN);
    let (_root, folder) = scratch();
    enrol(&folder, &string(&server, authority.pin()), &applicant()).await.expect("enrols");
    Home::from(&folder).forget().expect("forgets");
    assert!(Identity::load(&folder).expect("reads").is_none());
    assert!(folder.names().expect("lists").is_empty());
}
