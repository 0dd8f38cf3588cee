//! Backups of a whole server and the way back, on real files.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::telemetry::{Batch, Position, Record};
use cordon_proto::time::Millis;
use cordon_server_core::change::Commit;
use cordon_server_core::feeds::intake::Kind as FeedKind;

use super::*;
use crate::age::{AgeError, Identity};
use crate::app::server;
use crate::care::bundle::Contents;
use crate::care::restore::{self, RestoreError, Restored};
use crate::care::scheduled;
use crate::knowledge::Readiness;
use crate::knowledge::import::Brought;
use crate::people::Doer;
use crate::store::{Cursor, Delivery, EventQuery, Index, Key, Kind};
use crate::testing::{Bench, PATIENCE, checkin};

/// A key, and where it lies.
struct Holder {
    identity: Identity,
    folder: tempfile::TempDir,
}

impl Holder {
    fn new() -> Self {
        let (identity, folder) = (Identity::make(), tempfile::tempdir().expect("a folder"));
        files::create_secret(&folder.path().join("key"), identity.text().as_bytes()).expect("written");
        Self { identity, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn setting(&self) -> String {
        format!("backup.recipient={}", self.identity.recipient())
    }

    async fn restore(&self, from: &str, into: &str) -> Result<Restored, RestoreError> {
        let order = restore::Order {
            from: self.path(from),
            identity: self.path("key"),
            folder: self.path(into),
            store: Some("redb:store.redb".to_owned()),
        };
        restore::run(&order, Timestamp(1_900_000_000)).await
    }

    fn names(&self, file: &str) -> Vec<String> {
        let file = File::open(self.path(file)).expect("there");
        let opener = crate::age::Opener::new(file, std::slice::from_ref(&self.identity)).expect("ours");
        let mut contents = Contents::open(opener).expect("a bundle");
        std::iter::from_fn(|| contents.next().expect("read")).collect()
    }
}

async fn back_up(bench: &Bench, order: Order) -> Result<Made, BackupError> {
    scheduled::now_of(bench.app(), &order, Arc::default()).await
}

fn plain(to: PathBuf) -> Order {
    Order { to, with_ca_key: false, with_blobs: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_restored_from_its_backup_and_its_devices_go_on() {
    // Goal: after a loss the fleet goes on. Method: a device, telemetry and an image; back up with all; restore into a
    // new folder; the same certificate checks in there, and the journal says what happened.
    let holder = Holder::new();
    let bench = Bench::start(&["store=redb:store.redb", &holder.setting()]).await;
    let device = bench.enrol("A").await;
    let body = cordon_proto::wire::write(&checkin(&device));
    assert_eq!(bench.device(&device).await.post("/v1/checkin", &body).await.status, 200);
    let incoming = bench.app().blobs.put(1 << 20).await.expect("begun");
    let image =
        incoming.write(vec![7; 200_000].into()).await.expect("written").finish(None).await.expect("kept");
    let order = Order { with_ca_key: true, with_blobs: true, ..plain(holder.path("b.age")) };
    let made = back_up(&bench, order).await.expect("written");
    assert_eq!((made.blobs, made.damaged.len()), (1, 0));
    let metadata = fs::metadata(holder.path("b.age")).expect("there");
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, made.bytes));
    bench.server.stop().await;
    let restored = holder.restore("b.age", "new").await.expect("restored");
    assert!(restored.missing.is_empty() && restored.issuing_key.is_none() && restored.unsigned.is_none());
    assert!(matches!(holder.restore("b.age", "new").await, Err(RestoreError::Occupied(_))));
    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("x");
    fs::rename(holder.path("new"), &new).expect("moved");
    let folder = Arc::new(folder);
    let config = Config::load(&new.join("cordon.toml"), &loopback()).expect("settings");
    let clock = crate::clock::Clock::held(crate::clock::Clock::system().now_ms());
    let server = crate::serve::Server::start(config, clock.clone()).await.expect("starts");
    let bench = Bench { server, clock, folder };
    assert_eq!(bench.device(&device).await.post("/v1/checkin", &body).await.status, 200);
    assert!(bench.app().blobs.verify(image.sha256).await.expect("read").is_some());
    let journal = bench.journal().await;
    assert!(
        journal.iter().any(|action| action == "device.enrol" || action.starts_with("device")),
        "{journal:?}"
    );
    assert_eq!(journal.last().map(String::as_str), Some("store.restore"));
    bench.server.stop().await;
}

fn loopback() -> Vec<String> {
    ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0")).into()
}

/// Brings a feed of Debian's with one weakness.
async fn bring(bench: &Bench, name: &str, file: &str) -> Sha256 {
    let app = bench.app();
    let incoming = app.knowledge.receive(1 << 20).await.expect("begun");
    let incoming = incoming.write(file.to_owned().into()).await.expect("written");
    let stored = incoming.finish(None).await.expect("kept");
    let brought = Brought {
        name: name.parse().expect("a name"),
        kind: FeedKind::Debian,
        as_of: None,
        signature: None,
        confirmed: true,
    };
    let by = Doer { actor: &crate::testing::person(), now: app.clock.now() };
    app.knowledge.import(app, brought, stored, by).await.expect("taken").sha256
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_come_back_with_their_files_and_one_without_is_named() {
    // Goal: at night nobody has to find last week's advisories. Method: three feeds, one with a damaged file and one that
    // was replaced; a plain backup; restore, start: what is known is known again, and of the damaged one by name what to do.
    const HEAD: &str = "release,source,cve,fixed_version,advisory\n";
    let holder = Holder::new();
    let bench = Bench::start(&["store=redb:store.redb", &holder.setting()]).await;
    bring(&bench, "mine", &format!("{HEAD}bookworm,old,CVE-2024-0009,1-1,\n")).await;
    let mine = bring(&bench, "mine", &format!("{HEAD}bookworm,pump,CVE-2024-0001,2-1,DSA-1-1\n")).await;
    let rotten = bring(&bench, "rotten", &format!("{HEAD}bookworm,hose,CVE-2024-0002,2-1,\n")).await;
    let name = rotten.to_string();
    let folder = bench.app().config.path(&bench.app().config.blobs).join("feeds");
    fs::write(folder.join(&name[..2]).join(&name), b"rotten").expect("damaged");
    let order = Order { with_ca_key: true, ..plain(holder.path("b.age")) };
    let made = back_up(&bench, order).await.expect("written");
    assert_eq!((made.feeds, made.damaged_feeds, made.damaged), (2, vec![rotten], vec![]));
    let names = holder.names("b.age");
    assert_eq!(names.iter().filter(|name| name.starts_with("feeds/")).count(), 2, "{names:?}");
    bench.server.stop().await;
    let restored = holder.restore("b.age", "new").await.expect("restored");
    assert_eq!(restored.feeds, 1);
    let missing: Vec<_> =
        restored.missing_feeds.iter().map(|(name, kind)| (name.as_str(), kind.word())).collect();
    assert_eq!(missing, [("rotten", "debian")]);
    let config = Config::load(&holder.path("new/cordon.toml"), &loopback()).expect("settings");
    let server = crate::serve::Server::start(config, crate::clock::Clock::system()).await.expect("starts");
    let waited = tokio::time::timeout(PATIENCE, async {
        while server.app.knowledge.matched().readiness != Readiness::Ready {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("knowledge is made of the restored file");
    assert_eq!(server.app.knowledge.files().await, [mine]);
    let matched = server.app.knowledge.matched();
    let known = matched.made.as_ref().expect("made");
    assert_eq!(known.missing.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["rotten"]);
    assert_eq!(known.world.index.counts().statements, 1);
    server.app.gauge();
    let text = server.app.metrics.text();
    for line in [
        r#"cordon_feed_missing{feed="rotten",kind="debian"} 1"#,
        r#"cordon_feed_missing{feed="mine",kind="debian"} 0"#,
        r#"cordon_feed_records{feed="mine",kind="debian"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn no_key_of_the_authority_leaves_unless_it_is_asked_for() {
    // Goal: a stolen backup makes no devices; the root's key is in none. Method: entries of both kinds of backup.
    let holder = Holder::new();
    let bench = Bench::start(&[&holder.setting()]).await;
    back_up(&bench, plain(holder.path("plain.age"))).await.expect("written");
    let with = Order { with_ca_key: true, ..plain(holder.path("with.age")) };
    back_up(&bench, with).await.expect("written");
    let names = holder.names("plain.age");
    assert_eq!(names[..2], ["about.json", "cordon.toml"]);
    for wanted in
        ["keys/snapshot.key.pem", "keys/timestamp.key.pem", "ca/root.pem", "ca/issuing.pem", "store"]
    {
        assert!(names.iter().any(|name| name == wanted), "{wanted} in {names:?}");
    }
    let authority = |names: &[String]| {
        names.iter().filter(|name| name.starts_with("ca/") && name.contains("key")).count()
    };
    assert_eq!((authority(&names), authority(&holder.names("with.age"))), (0, 1));
    assert!(holder.names("with.age").iter().any(|name| name == "ca/issuing.key.pem"));
    let restored = holder.restore("plain.age", "new").await.expect("restored");
    let key = restored.issuing_key.expect("missing");
    assert!(key.ends_with("ca/issuing.key.pem"));
}

#[tokio::test]
async fn what_is_damaged_foreign_or_in_the_way_leaves_nothing_behind() {
    // Goal: nothing of a bad backup is believed. Method: a flipped byte, a cut, another key, an open key file, a
    // recipient missing, a file in the way, a folder that is not empty.
    let (holder, other) = (Holder::new(), Holder::new());
    let bench = Bench::start(&[&holder.setting()]).await;
    back_up(&bench, plain(holder.path("b.age"))).await.expect("written");
    assert!(matches!(back_up(&bench, plain(holder.path("b.age"))).await, Err(BackupError::Exists(_))));
    assert!(matches!(back_up(&bench, plain("b.age".into())).await, Err(BackupError::Relative(_))));
    let whole = fs::read(holder.path("b.age")).expect("read");
    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    for (name, bytes) in
        [("flipped", flipped.as_slice()), ("cut", &whole[..last]), ("more", &[&whole[..], b"x"].concat())]
    {
        fs::write(holder.path(name), bytes).expect("written");
        assert!(matches!(holder.restore(name, "new").await, Err(RestoreError::Read(_))), "{name}");
        assert!(!holder.path("new").exists(), "{name}");
    }
    fs::copy(holder.path("b.age"), other.path("b.age")).expect("copied");
    assert!(matches!(other.restore("b.age", "new").await, Err(RestoreError::Age(AgeError::NotForUs))));
    fs::create_dir(holder.path("new")).expect("made");
    fs::write(holder.path("new/mine"), b"mine").expect("written");
    assert!(matches!(holder.restore("b.age", "new").await, Err(RestoreError::Occupied(_))));
    fs::set_permissions(holder.path("key"), fs::Permissions::from_mode(0o644)).expect("opened");
    assert!(matches!(holder.restore("b.age", "other").await, Err(RestoreError::File(_))));
    let keyless = Bench::start(&[]).await;
    let refused = back_up(&keyless, plain(holder.path("c.age"))).await.expect_err("refused");
    assert!(refused.to_string().contains("age-keygen"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment_of_the_store() {
    // Goal: all commits up to one revision and none after, telemetry once. Method: writers that number their commits
    // and batches while a backup is written; what is restored is a prefix of what each wrote.
    let holder = Holder::new();
    let bench = Bench::start(&["store=redb:store.redb", &holder.setting()]).await;
    let device = bench.enrol("A").await.id;
    let app = bench.app().clone();
    let stop = Arc::new(AtomicBool::new(false));
    let appended = Arc::new(AtomicU64::new(0));
    let (store, ended, so_far) = (app.store.clone(), stop.clone(), appended.clone());
    let writer = tokio::spawn(async move {
        let mut number = 0_u64;
        while !ended.load(Ordering::Relaxed) {
            number += 1;
            let site = Key::Site(format!("s{number}").parse().expect("a name"));
            let draft = Commit::draft(Timestamp(1), server("test")).put(site, vec![7; 500]);
            store.commit(draft.finish().expect("small")).await.expect("committed");
            let position = Position { boot: 1, sequence: number };
            let record = Record { position, time: Millis(1), kind: 99, body: vec![7; 200].into() };
            let batch = Batch { records: vec![record] };
            let at = Millis(i64::try_from(number).expect("small"));
            store.append(Delivery::new(device, at, batch).expect("in order")).await.expect("appended");
            so_far.store(number, Ordering::Relaxed);
        }
        number
    });
    let reaches = async |wanted: u64| {
        let look = async {
            while appended.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the writer goes on");
    };
    reaches(3).await;
    let made = back_up(&bench, plain(holder.path("b.age"))).await.expect("written");
    reaches(appended.load(Ordering::Relaxed) + 2).await;
    stop.store(true, Ordering::Relaxed);
    let written = writer.await.expect("ended");
    holder.restore("b.age", "new").await.expect("restored");
    let path = holder.path("new/store.redb");
    let store = crate::store::redb::Redb::open(&path, crate::store::redb::Options::default()).expect("opens");
    let (mut sites, mut cursor) = (0, Some(Cursor::First));
    while let Some(from) = cursor {
        let page = store.scan(Index::All(Kind::Site), from, 500).await.expect("read");
        sites += page.rows.len() as u64;
        cursor = page.next;
    }
    assert!(sites > 0 && sites < written, "{sites} of {written}: the backup was taken in the middle");
    for number in [1, sites, sites + 1] {
        let site = Key::Site(format!("s{number}").parse().expect("a name"));
        assert_eq!(store.get(site).await.expect("read").is_some(), number <= sites, "s{number}");
    }
    let mut sequences = Vec::new();
    let mut query = EventQuery { kind: Some(99), ..EventQuery::all() };
    loop {
        let page = store.events(query.clone()).await.expect("read");
        sequences.extend(page.events.iter().map(|(_, record)| record.position.sequence));
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let events = sequences.len() as u64;
    assert!(events == sites || events + 1 == sites, "{events} batches, {sites} commits: one moment of both");
    assert_eq!(sequences, (1..=events).collect::<Vec<_>>(), "each once, in order, none missing");
    assert_eq!(made.events, events);
    bench.server.stop().await;
}

#[tokio::test]
async fn the_server_backs_itself_up_and_keeps_so_many() {
    // Goal: backups happen without a person. Method: a clock that is moved; count the files.
    let holder = Holder::new();
    let folder = format!("backup.folder={}", holder.path("backups").display());
    let bench = Bench::start(&[&holder.setting(), &folder, "backup.keep=2", "backup.every_hours=24"]).await;
    let mut now = bench.app().clock.now_ms();
    let count = || fs::read_dir(holder.path("backups")).map_or(0, |entries| entries.count());
    for (hours, wanted) in [(0, 1), (23, 1), (1, 2), (24, 2), (24, 2)] {
        now = now.plus(hours * 3_600_000);
        bench.clock.hold_at(now);
        scheduled::run_if_due(bench.app()).await.expect("well");
        assert_eq!(count(), wanted, "after {hours} more hours");
    }
    let newest = format!("backups/cordon-{}.age", bench.app().clock.now().0);
    assert!(holder.path(&newest).exists(), "the newest is kept");
}

#[tokio::test]
async fn a_backup_that_is_given_up_leaves_nothing() {
    // Goal: no half file. Method: give up before the first byte; look at the folder; a second at the same time.
    let holder = Holder::new();
    let bench = Bench::start(&[&holder.setting()]).await;
    let progress = Arc::new(Progress::default());
    progress.give_up();
    let given_up = scheduled::now_of(bench.app(), &plain(holder.path("b.age")), progress).await;
    assert!(matches!(given_up, Err(BackupError::GivenUp)), "{given_up:?}");
    assert_eq!(fs::read_dir(holder.folder.path()).expect("listed").count(), 1, "the key alone");
    let _turn = bench.app().care.backing_up.clone().try_lock_owned().expect("free");
    assert!(matches!(back_up(&bench, plain(holder.path("b.age"))).await, Err(BackupError::Busy)));
}
