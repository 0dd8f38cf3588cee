//! Tests of the steps on a folder: what is refused, what a kill leaves behind, what the lists say.

use std::path::PathBuf;
use std::sync::Arc;

use cordon_proto::time::Millis;
use cordon_server_core::authority::{Reason, Revoked};
use cordon_server_core::device::State as Life;

use super::*;
use crate::ca::crl::{LeafFacts, Lists};
use crate::ca::key::is_issuing_key;
use crate::ca::leftovers::tidy_at_start;
use crate::ca::make::Root;
use crate::ca::state::STATE;
use crate::store::memory::Memory;
use crate::store::{Cursor, Index, Kind};
use crate::testing::shared::Seat;
use crate::testing::text;

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A laid folder, the person's keys, and a journal.
struct Office {
    folder: tempfile::TempDir,
    authority: Arc<Authority>,
    store: Arc<Seat>,
    old: Root,
    new: Root,
    believes: Option<u64>,
}

impl Office {
    fn open() -> Self {
        Self::open_with(|_| KeySetting::Plain)
    }

    /// The same with another setting, over a folder that was laid with plain keys.
    fn open_with(setting: impl FnOnce(&Path) -> KeySetting) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        make::lay(&folder.path().join("ca"), &KeySetting::Plain, NOW).expect("laid");
        let setting = setting(folder.path());
        let authority = Authority::load(folder.path().join("ca"), setting, None);
        let authority = Arc::new(authority.expect("loads"));
        let key = std::fs::read_to_string(folder.path().join("ca/root.key.pem")).expect("the root's key");
        let present = authority.for_server();
        let old = Root::held(present.root(), &key).expect("reads").expect("its key");
        let new = Root::make(NOW).expect("made");
        let store = Arc::new(Seat::new(Arc::new(Memory::new())));
        Self { folder, authority, store, old, new, believes: None }
    }

    fn roots_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A file of the authority.
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("ca").join(name)
    }

    /// The pin of an issuing key by its file.
    fn spki(&self, name: &str) -> Vec<u8> {
        let place = KeyPlace::File(name.to_owned());
        place.open(&self.file(""), &KeySetting::Plain).expect("opens").subject_public_key_info()
    }

    async fn ask(&self, ask: &Ask) -> Result<Told, StepError> {
        let roots_file = self.roots_file();
        let device = SeenDevice { serial: text("SN-1"), state: Life::Active, believes: self.believes };
        let desk = Desk {
            authority: &self.authority,
            store: &*self.store,
            devices: vec![device],
            roots_file: &roots_file,
            now: NOW,
        };
        desk.answer(ask).await
    }

    /// A new issuing key and its certificate under `root`.
    async fn issuing(&self, root: &Root) -> (KeyPlace, String) {
        let Ok(Told::Prepared { key, spki }) = self.ask(&Ask::Prepare { token: None }).await else {
            panic!("prepared")
        };
        let spki = from_base64url(&spki).expect("base64url");
        (key, base64url(&root.issuing(&spki, NOW).expect("made")))
    }

    fn bundle(&self, version: u64, roots: &[&Root], by: &[&Root]) -> String {
        let roots: Vec<_> = roots.iter().map(|root| root.certificate()).collect();
        base64url(&make::bundle(version, &roots, by, NOW).expect("signed"))
    }

    async fn stage(&self) -> Ask {
        let (key, issuing) = self.issuing(&self.new).await;
        let root = base64url(self.new.certificate());
        Ask::Stage { key, issuing, root, bundle: self.bundle(1, &[&self.old, &self.new], &[&self.old]) }
    }

    fn finish(&self, by: &[&Root], force: Option<&str>) -> Ask {
        Ask::Finish { bundle: self.bundle(2, &[&self.new], by), force: force.map(str::to_owned) }
    }

    async fn journal(&self) -> usize {
        self.store.scan(Index::All(Kind::Audit), Cursor::First, 500).await.expect("read").rows.len()
    }
}

fn load(folder: PathBuf) -> Result<Authority, CaError> {
    Authority::load(folder, KeySetting::Plain, None)
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        std::fs::copy(&path, to.path().join(name)).expect("copied");
    }
    to
}

#[tokio::test]
async fn a_kill_before_the_one_file_that_counts_leaves_what_was_and_behind_it_what_is() {
    // Goal: a server that starts after a kill between any two writes. Method: before the commit of each step all new
    // files lie there and nothing counts: a copy of the folder from that moment is what was, and with the one file that
    // counts in it it is what is. A file that were written behind that one would be missing there.
    let mut office = Office::open();
    let steps = ["renew", "stage", "switch", "finish"];
    for (at, step) in (0..).zip(steps) {
        let ask = match step {
            "renew" => {
                let (key, issuing) = office.issuing(&office.old).await;
                Ask::Renew { key, issuing }
            }
            "stage" => office.stage().await,
            "switch" => Ask::Switch { force: None },
            _ => office.finish(&[&office.new, &office.old], None),
        };
        let ca = office.folder.path().join("ca");
        let before = office.authority.standing().state.clone();
        let (seen, kept) = (Arc::new(std::sync::Mutex::new(None)), ca.clone());
        let into = seen.clone();
        office.store.before_commit(async move {
            *into.lock().expect("nobody panicked") = Some(copy(&kept));
        });
        office.ask(&ask).await.unwrap_or_else(|error| panic!("{step}: {error}"));
        let cut = seen.lock().expect("nobody panicked").take().expect("the step came to its commit");
        let killed = load(cut.path().to_owned()).unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(killed.standing().state, before, "{step}");
        assert_eq!(office.journal().await, at + 1, "{step}");
        std::fs::copy(ca.join(STATE), cut.path().join(STATE)).expect("the file that counts");
        let after = load(cut.path().to_owned()).unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(after.standing().state, office.authority.standing().state, "{step}");
        assert_ne!(after.standing().state, before, "{step}");
        assert_eq!(load(ca).expect("loads").standing().state, after.standing().state, "{step}");
        assert_eq!(after.pin(), if step == "finish" { office.new.pin() } else { office.old.pin() });
        office.believes = Some(1);
    }
    assert_eq!(office.authority.standing().former.len(), 2, "their leaves still live");
    let roots = std::fs::read_to_string(office.folder.path().join("ca.pem")).expect("roots");
    assert_eq!(roots, make::pem(office.new.certificate()));
}

/// A file as it was written so many seconds before the tests' time.
fn written_before(path: &Path, bytes: &[u8], seconds: i64) {
    files::create_secret(path, bytes).expect("written");
    let at = u64::try_from(NOW.0 - seconds).expect("after 1970");
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at);
    let file = std::fs::File::options().write(true).open(path).expect("opened");
    file.set_modified(at).expect("dated");
}

#[tokio::test]
async fn what_a_kill_leaves_goes_at_the_next_start_and_with_the_next_sealing() {
    // Goal: no plain key outlives the step that was to remove it, and none that waits for its certificate goes. Method:
    // seal, put back what a kill before the tidying up leaves; start, seal again; keys of a moment and of two hours ago.
    let office = Office::open_with(|folder| KeySetting::Sealed(folder.join("identity")));
    let plain = office.file("issuing.key.pem");
    let bytes = std::fs::read(&plain).expect("laid in plain");
    office.ask(&Ask::Seal).await.expect("sealed");
    let sealed = office.authority.standing().state.clone();
    assert!(!plain.exists() && office.file("issuing.key.age").exists());
    let start = || tidy_at_start(&office.authority, &office.roots_file(), NOW);
    written_before(&plain, &bytes, 0);
    std::fs::write(office.roots_file(), "roots of before").expect("written");
    start();
    assert!(!plain.exists(), "its sealed twin is in force");
    let roots = std::fs::read_to_string(office.roots_file()).expect("roots");
    assert_eq!(roots, make::pem(office.old.certificate()));
    written_before(&plain, &bytes, 0);
    let Ok(Told::Done(words)) = office.ask(&Ask::Seal).await else { panic!("tidied up") };
    assert!(!plain.exists() && words.contains("1 files of unused ones were removed"), "{words}");
    assert!(matches!(office.ask(&Ask::Seal).await, Err(StepError::Unfit(_))), "nothing is left");
    let [waits, old] = ["issuing-0a.key.pem", "issuing-0b.key.age"].map(|name| office.file(name));
    written_before(&waits, &bytes, 60);
    written_before(&old, &bytes, 7200);
    start();
    assert_eq!((waits.exists(), old.exists()), (true, false));
    let left: Vec<_> = files::names(&office.file("")).expect("listed");
    let left: Vec<_> = left.into_iter().filter(|name| is_issuing_key(name)).collect();
    assert_eq!(left, ["issuing-0a.key.pem", "issuing.key.age"]);
    assert_eq!(office.authority.standing().state, sealed);
}

#[tokio::test]
async fn a_step_that_was_taken_says_so_whatever_it_could_not_tidy_up() {
    // Goal: nobody repeats a step that counts. Method: the file for people's tools cannot be written.
    let office = Office::open();
    std::fs::create_dir(office.roots_file()).expect("in the way");
    let (key, issuing) = office.issuing(&office.old).await;
    let Ok(Told::Done(words)) = office.ask(&Ask::Renew { key, issuing }).await else { panic!("taken") };
    assert!(words.contains("; not done: ") && words.contains("ca.pem"), "{words}");
    assert_eq!(office.authority.standing().former.len(), 1);
}

#[tokio::test]
async fn a_new_root_gets_a_new_issuing_key_and_a_fault_is_named_as_what_it_is() {
    // Goal: whoever copied the key in force gains nothing under the new root; "not signed by a root" is said only where it
    // is so. Method: stage with the present key; renew with a key that is not there.
    let office = Office::open();
    let before = office.authority.standing().state.clone();
    let issuing = base64url(&office.new.issuing(&office.spki("issuing.key.pem"), NOW).expect("made"));
    let Ask::Stage { root, bundle, .. } = office.stage().await else { panic!("a stage") };
    let key = KeyPlace::File("issuing.key.pem".to_owned());
    let Err(StepError::Unfit(words)) = office.ask(&Ask::Stage { key, issuing, root, bundle }).await else {
        panic!("refused")
    };
    assert!(words.contains("in force already"), "{words}");
    let (_, issuing) = office.issuing(&office.old).await;
    let key = KeyPlace::File("issuing-gone.key.pem".to_owned());
    assert!(matches!(office.ask(&Ask::Renew { key, issuing }).await, Err(StepError::Key(_))));
    assert_eq!(office.authority.standing().state, before);
}

#[tokio::test]
async fn a_renewal_that_a_root_in_force_signed_is_refused_for_what_is_really_wrong() {
    // Goal: nobody fetches the root's key again because of a wrong file. Method: a certificate of the root in force for
    // another key, one that has ended, one that begins tomorrow; then a stranger's; with one root and with two.
    let office = Office::open();
    let stranger = Root::make(NOW).expect("made");
    for staged in [false, true] {
        if staged {
            office.ask(&office.stage().await).await.expect("staged");
        }
        let before = office.authority.standing().state.clone();
        let said = async |key: KeyPlace, issuing: String| {
            let refused = office.ask(&Ask::Renew { key, issuing }).await.expect_err("refused");
            refused.to_string()
        };
        let (key, _) = office.issuing(&office.old).await;
        let (other, issuing) = office.issuing(&office.old).await;
        assert!(said(key.clone(), issuing).await.contains("is not for its key"), "of another key");
        let KeyPlace::File(name) = &other else { panic!("a file") };
        let spki = office.spki(name);
        let made = |at| base64url(&office.old.issuing(&spki, at).expect("made"));
        let ended = made(NOW.plus_seconds(-(make::ISSUING_DAYS + 1) * DAY_S));
        assert!(said(other.clone(), ended).await.contains("the issuing certificate ended at"));
        let early = made(NOW.plus_seconds(2 * DAY_S));
        assert!(said(other, early).await.contains("would not hold under that root"));
        let (key, foreign) = office.issuing(&stranger).await;
        assert!(said(key, foreign).await.contains("not signed by a root in force"));
        assert_eq!(office.authority.standing().state, before);
    }
}

#[tokio::test]
async fn sealing_never_says_that_nothing_lies_in_plain_while_something_does() {
    // Goal: a person who seals knows what still lies open. Method: sealed already; a plain key of a moment ago; one
    // that is removed while a folder is in the way of the file for people's tools: each is named, and none is success.
    let office = Office::open_with(|folder| KeySetting::Sealed(folder.join("identity")));
    let plain = office.file("issuing.key.pem");
    let bytes = std::fs::read(&plain).expect("laid in plain");
    office.ask(&Ask::Seal).await.expect("sealed");
    let refused = async || match office.ask(&Ask::Seal).await {
        Err(error) => error.to_string(),
        Ok(told) => panic!("{told:?}"),
    };
    assert!(refused().await.contains("there is nothing to seal"));
    let waits = office.file("issuing-0a.key.pem");
    written_before(&waits, &bytes, 60);
    let words = refused().await;
    assert!(words.contains("issuing-0a.key.pem") && words.contains("in plain"), "{words}");
    assert!(!words.contains("nothing to seal") && waits.exists(), "{words}");
    std::fs::remove_file(&waits).expect("removed");
    written_before(&plain, &bytes, 0);
    std::fs::remove_file(office.roots_file()).expect("there");
    std::fs::create_dir(office.roots_file()).expect("in the way");
    let entries = office.journal().await;
    let words = refused().await;
    assert!(words.contains("1 files of unused ones were removed; not done: ") && words.contains("ca.pem"));
    assert!(!plain.exists(), "what could be done was done");
    assert_eq!(office.journal().await, entries + 1, "a key that is gone is in the journal");
}

#[tokio::test]
async fn only_what_devices_would_follow_is_published() {
    // Goal: a mistake of the person or of a captured command strands nobody. Method: bundles with a third root, by
    // strangers, of other versions; a certificate of another root; each leaves the folder as it was.
    let mut office = Office::open();
    let stranger = Root::make(NOW).expect("made");
    let before = office.authority.standing().state.clone();
    let (key, issuing) = office.issuing(&office.new).await;
    let root = base64url(office.new.certificate());
    let (old, new) = (&office.old, &office.new);
    for bundle in [
        office.bundle(1, &[old, new], &[new]),
        office.bundle(1, &[old, new], &[&stranger]),
        office.bundle(1, &[new], &[old]),
        office.bundle(1, &[old, new, &stranger], &[old]),
        office.bundle(0, &[old, new], &[old]),
        "nonsense".to_owned(),
    ] {
        let ask = Ask::Stage { key: key.clone(), issuing: issuing.clone(), root: root.clone(), bundle };
        assert!(office.ask(&ask).await.is_err());
    }
    let (key, foreign) = office.issuing(&stranger).await;
    assert!(matches!(office.ask(&Ask::Renew { key, issuing: foreign }).await, Err(StepError::Unfit(_))));
    let (other, _) = office.issuing(&office.old).await;
    let (_, issuing) = office.issuing(&office.old).await;
    assert!(
        matches!(office.ask(&Ask::Renew { key: other, issuing }).await, Err(StepError::Unfit(_))),
        "another key"
    );
    assert_eq!((office.authority.standing().state.clone(), office.journal().await), (before, 0));
    office.ask(&office.stage().await).await.expect("staged");
    assert!(matches!(
        office.ask(&Ask::Switch { force: None }).await,
        Err(StepError::Refused(Refused::TooFew { .. }))
    ));
    assert!(matches!(office.ask(&Ask::Switch { force: Some(" ".into()) }).await, Err(StepError::Unfit(_))));
    assert_eq!(office.authority.for_devices(9).pin(), office.old.pin(), "not before the switch");
    office.ask(&Ask::Switch { force: Some("a trial".into()) }).await.expect("switched");
    assert_eq!(office.authority.for_devices(1).pin(), office.new.pin());
    assert_eq!(office.authority.for_devices(0).pin(), office.old.pin(), "what it can use");
    assert_eq!(
        (office.authority.for_server().pin(), office.authority.pin()),
        (office.old.pin(), office.old.pin())
    );
    let stranding = office.ask(&office.finish(&[&office.new], None)).await;
    assert!(matches!(stranding, Err(StepError::Refused(Refused::Stranding { .. }))));
    office.believes = Some(1);
    assert!(
        office.ask(&office.finish(&[&office.old], None)).await.is_err(),
        "latecomers could not follow it"
    );
    office.ask(&office.finish(&[&office.new], None)).await.expect("finished");
    assert_eq!(office.authority.standing().bundle(3), None);
    assert!(office.authority.standing().bundle(2).is_some());
}

#[tokio::test]
async fn another_server_on_the_same_folder_follows() {
    // Goal: a change needs no restart, wherever it was made. Method: two authorities over one folder.
    let office = Office::open();
    let other = load(office.folder.path().join("ca")).expect("loads");
    assert!(!other.follow().expect("read"));
    office.ask(&office.stage().await).await.expect("staged");
    assert_eq!(other.anchors().len(), 2);
    assert!(other.follow().expect("read"));
    assert_eq!((other.anchors().len(), other.standing().state.version), (4, 1));
    let Ok(Told::Status(status)) = office.ask(&Ask::Status).await else { panic!("a status") };
    assert_eq!((status.phase, status.bundle, status.authorities.len()), (Phase::Staged, 1, 2));
    assert!(status.warnings.is_empty(), "{:?}", status.warnings);
    let late = NOW.plus_seconds((make::ISSUING_DAYS - 29) * DAY_S);
    let words = warnings(&other.standing(), late);
    assert!(
        words.len() == 2 && words.iter().all(|words| words.contains("within 30 days: `ca renew-issuing`")),
        "{words:?}"
    );
}

#[tokio::test]
async fn a_line_without_a_date_has_the_same_one_on_every_list() {
    // Goal: a certificate that was replaced before dates were kept does not move. Method: two lists, half a day apart.
    let office = Office::open();
    let (ca, lists) = (office.authority.for_server(), Lists::default());
    let mut held = lists.hold().await;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let serial = text("SN-1");
    let subject = Subject { device: DeviceId::from_random([1; 16]), serial: &serial };
    let leaf = ca.issue(&key, subject, 30, NOW).expect("issued");
    held.read(leaf.fingerprint, LeafFacts::of(&leaf.der));
    let revoked = [Revoked { leaf: leaf.fingerprint, reason: Reason::Superseded, since: None }];
    for seconds in [0, 43_200] {
        use x509_parser::prelude::FromDer;
        let der = held.list(&ca, &revoked, Millis::from(NOW.plus_seconds(seconds))).expect("signed");
        let (_, list) =
            x509_parser::revocation_list::CertificateRevocationList::from_der(&der).expect("a list");
        let dates: Vec<i64> =
            list.iter_revoked_certificates().map(|one| one.revocation_date.timestamp()).collect();
        assert_eq!(dates, [NOW.0 - limits::BACKDATE_S]);
    }
}

#[tokio::test]
async fn a_list_holds_each_reason_ends_with_its_leaves_and_counts_up() {
    // Goal: E20, the list's form and life. Method: leaves with all four reasons and one of another issuer; the list at
    // once, at half its life, behind the end of the leaves, and under a clock that ran backwards.
    let office = Office::open();
    let (ca, foreign) = (office.authority.for_server(), Office::open().authority.for_server());
    let lists = Lists::default();
    let mut held = lists.hold().await;
    let reasons = [Reason::Hold, Reason::Ceased, Reason::KeyCompromise, Reason::Superseded, Reason::Hold];
    let mut revoked = Vec::new();
    for (number, reason) in (1..).zip(reasons) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let serial = text("SN-1");
        let subject = Subject { device: DeviceId::from_random([number; 16]), serial: &serial };
        let issuer = if number == 5 { &foreign } else { &ca };
        let leaf = issuer.issue(&key, subject, 30, NOW).expect("issued");
        held.read(leaf.fingerprint, LeafFacts::of(&leaf.der));
        revoked.push(Revoked { leaf: leaf.fingerprint, reason, since: Some(NOW) });
    }
    // Of two reasons for one leaf the graver one stands.
    let again = Revoked { reason: Reason::KeyCompromise, ..*revoked.first().expect("one") };
    revoked.push(again);
    assert!(held.unread(&revoked).is_empty());
    let at = |seconds: i64| Millis::from(NOW.plus_seconds(seconds));
    let first = held.list(&ca, &revoked, at(0)).expect("signed");
    let facts = |der: &[u8]| {
        use x509_parser::prelude::FromDer;
        let (_, list) =
            x509_parser::revocation_list::CertificateRevocationList::from_der(der).expect("a list");
        let mut reasons: Vec<u8> = list
            .iter_revoked_certificates()
            .filter_map(|one| one.reason_code().map(|(_, reason)| reason.0))
            .collect();
        reasons.sort_unstable();
        let number = list.crl_number().expect("a number").to_string().parse::<i64>().expect("small");
        (reasons, number, list.next_update().expect("an end").timestamp() - NOW.0)
    };
    assert_eq!(facts(&first), (vec![1, 1, 4, 5], at(0).0, 86_400));
    assert_eq!(held.list(&ca, &revoked, at(43_199)).expect("kept"), first);
    let second = held.list(&ca, &revoked, at(43_200)).expect("signed anew");
    assert_eq!(facts(&second).2, 43_200 + 86_400);
    let fewer = held.list(&ca, &revoked[1..4], at(43_201)).expect("signed anew");
    assert!(facts(&fewer).1 > facts(&second).1 && facts(&fewer).0 == [1, 4, 5]);
    let backwards = held.list(&ca, &revoked, at(-600)).expect("signed anew");
    assert!(facts(&backwards).1 > facts(&fewer).1, "the number rises whatever the clock does");
    let ended = held.list(&ca, &revoked, at(30 * DAY_S + 1)).expect("signed anew");
    assert!(facts(&ended).0.is_empty());
    assert_eq!(held.recent(&ca, at(30 * DAY_S + 1)), Some(ended));
    assert_eq!(held.recent(&ca, at(30 * DAY_S + 2)), None);
}
