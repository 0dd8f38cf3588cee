//! Tests of a start: how long an enrolment waits, which farewell is acted on, and what one report does about a refusal.

use std::sync::Arc;

use cordon_proto::farewell::{Cause, FarewellBody};
use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::fake::owner::Owner;
use crate::files::Folder;
use crate::identity::tests::join::config;
use crate::identity::tests::{applicant, hardware};
use crate::identity::{Identity, enrol, renew};
use crate::link::{Patience, Refusal};
use crate::run::tests::ports;
use crate::run::{Exit, OnceError, once};

/// A device in its state folder.
struct Device {
    owner: Owner,
    root: tempfile::TempDir,
}

impl Device {
    fn new() -> Self {
        Self { owner: Owner::new(), root: tempfile::tempdir().expect("a scratch folder") }
    }

    fn config(&self) -> Config {
        let server = vec!["127.0.0.1".parse().expect("an address")];
        Config { server, ..config(&self.root.path().join("state")) }
    }

    /// A start; nothing else runs on the folder while it is kept.
    fn base(&self) -> Base {
        Base::open(&self.config(), Arc::new(SystemClock::new())).expect("opens")
    }

    fn state(&self) -> Folder {
        Folder::open(self.root.path().join("state")).expect("opens")
    }

    async fn enrol(&self) -> Result<Identity, IdentityError> {
        enrol(&self.base().home, &self.owner.string(), &applicant()).await
    }

    /// `run --once`, which never takes long.
    async fn reports_once(&self) -> Result<Exit, OnceError> {
        let (config, clock): (_, Arc<dyn Clock>) = (self.config(), Arc::new(SystemClock::new()));
        let mut ports = ports(&config, &clock);
        // One report has no second try to make up for a busy machine.
        ports.tempo.patience.answer = Duration::from_secs(30);
        tokio::time::timeout(Duration::from_secs(90), once(config, ports)).await.expect("does not wait")
    }

    async fn starts(&self) -> Result<Entered, RunError> {
        enter(&self.base(), &self.config(), tempo(), Time::Enough).await
    }
}

fn tempo() -> Tempo {
    let patience = Patience { answer: Duration::from_secs(30), stall: Duration::from_secs(30) };
    Tempo { pace: pace(), patience, ..Tempo::default() }
}

fn pace() -> Pace {
    Pace { backoff: Backoff::new(100, 10_000), slowly: Duration::from_secs(60), ..Pace::default() }
}

fn down() -> IdentityError {
    let source = LinkError::Unreachable { cause: "down".to_owned(), met: false };
    IdentityError::Server { host: "cordon.example".to_owned(), source }
}

#[test]
fn the_waits_of_an_enrolment_grow_until_the_server_answers() {
    // Goal: no storm of devices that wait for approval on a server that is down. Method: the pauses themselves, then an
    // answer, then a failure again; a refusal for good ends the questions.
    let mut pauses = Pauses::of(pace());
    let mut millis = |error: &IdentityError| pauses.after(error).map(|pause| pause.as_millis());
    for step in [100, 200, 400, 800, 1600] {
        let pause = millis(&down()).expect("is asked again");
        assert!((step / 2..=step).contains(&pause), "{pause} of {step}");
    }
    let waiting = IdentityError::Waiting { fingerprint: Sha256([1; 32]), retry_after_s: Some(2) };
    assert!(millis(&waiting).expect("is asked again") >= 2000);
    assert!(millis(&down()).expect("is asked again") <= 100, "an answer begins the waits again");
    assert_eq!(millis(&IdentityError::Token), None);
}

#[tokio::test]
async fn a_device_that_left_and_comes_back_is_not_wiped_by_its_former_farewell() {
    // Goal: a leave is acted on once. Method: leave; enrol anew with the answer lost; a start in between; enrol again,
    // which must bring the same key to the token; then two more starts.
    let device = Device::new();
    let first = device.enrol().await.expect("enrols");
    {
        let base = device.base();
        let leaver = Leaver::new(&base, hardware().identity(), &first);
        leaver.leave(Cause::AtDevice, None).await.expect("leaves").expect("has a farewell");
    }
    assert!(
        matches!(device.starts().await, Ok(Entered::Left)),
        "it stays away until a person brings it back"
    );
    {
        let mut books = device.owner.books();
        books.in_force = None;
        books.lose.push("simpleenroll");
    }
    device.enrol().await.expect_err("the answer is lost");
    let bound = device.owner.books().leaf();
    assert!(matches!(device.starts().await, Ok(Entered::Left)));
    let second = device.enrol().await.expect("the token's key is still there");
    assert_eq!(Some(second.fingerprint()), bound);
    for _ in 0..2 {
        let Ok(Entered::Held(held)) = device.starts().await else { panic!("the former farewell wiped it") };
        assert_eq!(held.identity.fingerprint(), second.fingerprint());
    }
    assert!(Kept::read(&device.state()).expect("reads").expect("stays").wiped);
}

#[tokio::test]
async fn a_leave_that_died_is_known_by_either_certificate_that_was_held() {
    // Goal: no second certificate outlives its owner's word. Method: the farewell is signed by the certificate in force,
    // or by the next one, while both are on disk; the leave dies there, or after the signer's slot is gone.
    for (next_signs, signer_is_gone) in [(false, false), (true, false), (false, true)] {
        let device = Device::new();
        let current = device.enrol().await.expect("enrols");
        let base = device.base();
        let next = renew(&base.home, &current, &applicant()).await.expect("renews");
        let pair = if next_signs { (&next, Some(&current)) } else { (&current, Some(&next)) };
        let body = FarewellBody {
            device: current.device,
            hardware: hardware().identity(),
            cause: Cause::Retired,
            time: Timestamp(1_795_000_000),
            counter: 0,
            sha256: Sha256([0; 32]),
            records_unsent: 0,
        };
        Kept::sign(&base.state, pair, &body).expect("signs");
        drop(base);
        if signer_is_gone {
            std::fs::remove_file(device.root.path().join("state/identity/current.json")).expect("is there");
        }
        assert!(matches!(device.starts().await, Ok(Entered::Left)), "{next_signs} {signer_is_gone}");
        assert!(device.base().home.held().expect("reads").is_none());
        assert_eq!(device.owner.books().farewells.len(), 1, "and the server has its word");
    }
}

#[tokio::test]
async fn one_report_acts_on_what_the_server_says_of_the_identity() {
    // Goal: a device that is run by a timer alone leaves, renews and falls back as one that runs on. Method: each word of
    // the server, one report each; how often it asked, and what is left.
    let device = Device::new();
    let first = device.enrol().await.expect("enrols");
    assert!(matches!(device.reports_once().await, Ok(Exit::Stopped)));
    device.owner.books().ended = true;
    assert!(matches!(device.reports_once().await, Ok(Exit::Stopped)), "the next certificate is asked for");
    let held = device.base().home.held().expect("reads").expect("is there");
    assert!(!held.on_trial && held.identity.fingerprint() != first.fingerprint(), "and has proved itself");
    renew(&device.base().home, &held.identity, &applicant()).await.expect("renews");
    device.owner.books().next = None;
    assert!(matches!(device.reports_once().await, Ok(Exit::Stopped)), "the other certificate is shown");
    device.owner.books().word = Some("unknown_device");
    let unknown = device.reports_once().await.expect_err("nothing else may be done");
    let refused = LinkError::Refused { refusal: Refusal::UnknownDevice, detail: "said so".to_owned() };
    assert!(matches!(&unknown, OnceError::Link(error) if *error == refused), "{unknown}");
    for word in ["retired", "lost"] {
        let device = Device::new();
        device.enrol().await.expect("enrols");
        device.owner.books().word = Some(word);
        let reported = device.reports_once().await;
        assert!(matches!(reported, Ok(Exit::Left)), "{word}: {reported:?}");
        assert!(device.base().home.held().expect("reads").is_none(), "{word}");
        assert_eq!(device.owner.books().farewells.len(), 1, "{word}");
        let checkins = device.owner.server.lines().iter().filter(|line| line.ends_with("checkin")).count();
        assert_eq!(checkins, 1, "{word}");
    }
}

#[tokio::test]
async fn one_report_does_not_wait_for_a_persons_approval_but_names_the_key() {
    // Goal: a timer's run ends. Method: a server that lets the device wait, then approves.
    let device = Device::new();
    device.owner.books().wait = true;
    device.enrol().await.expect_err("waits");
    let waits = device.reports_once().await.expect_err("still waits").to_string();
    assert!(waits.contains("a person must approve") && waits.contains("fingerprint"), "{waits}");
    device.owner.books().wait = false;
    let reported = device.reports_once().await;
    assert!(matches!(reported, Ok(Exit::Stopped)), "{reported:?}");
}

#[tokio::test]
async fn a_damaged_file_beside_a_whole_identity_is_set_aside_and_the_agent_goes_on() {
    // Goal: the identity in force needs no other file. Method: bytes that mean nothing in the next one, in its key, in a
    // request under way, in its key, and in an enrolment that waits; a report each time; what is left.
    let nonsense = [&b"not json"[..], &[0; 70_000]];
    for (number, bytes) in (0..5).flat_map(|number| nonsense.map(|bytes| (number, bytes))) {
        let device = Device::new();
        let first = device.enrol().await.expect("enrols");
        let home = device.base().home;
        let names = || device.state().inside("identity").expect("opens").names().expect("lists");
        let before = names();
        match number {
            0 | 1 => drop(renew(&home, &first, &applicant()).await.expect("renews")),
            _ => {
                device.owner.books().lose.push("simplereenroll");
                renew(&home, &first, &applicant()).await.expect_err("the answer is lost");
            }
        }
        let new_key = names().into_iter().find(|name| name.ends_with(".p8") && !before.contains(name));
        let new_key = new_key.expect("a second key");
        let file = [("next.json"), (&new_key), "pending.json", &new_key, "joining.json"][number];
        let path = device.state().path().join("identity").join(file);
        std::fs::write(&path, bytes).expect("writes");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("sets");
        let reported = device.reports_once().await;
        assert!(matches!(reported, Ok(Exit::Stopped)), "{file}: {reported:?}");
        assert!(device.base().home.held().expect("reads").is_some());
        let aside = ["next.json", "next.json", "pending.json", "pending.json", "joining.json"][number];
        assert!(names().contains(&format!("{aside}.damaged")), "{file}: {:?}", names());
        assert!(!names().contains(&aside.to_owned()), "{file}");
        device.base().home.forget().expect("forgets");
        assert!(names().is_empty(), "and it goes with the identity: {:?}", names());
    }
}

#[tokio::test]
async fn a_start_sweeps_away_what_a_crash_left() {
    // Goal: a crash leaves no litter for ever, not even a private key's. Method: one file under way in each folder.
    let device = Device::new();
    device.enrol().await.expect("enrols");
    let left = ["state/.status.json.new", "state/identity/.0011223344556677.p8.new"];
    let left = left.map(|name| device.root.path().join(name));
    left.iter().for_each(|path| std::fs::write(path, b"half").expect("writes"));
    assert!(matches!(device.starts().await, Ok(Entered::Held(_))));
    assert!(!left.iter().any(|path| path.exists()));
}
