//! The store on PostgreSQL when something breaks: servers that are unsafe, restarted, cut off or frozen; several stores.

use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::sleep;
use std::time::Duration;

use cordon_proto::ids::DeviceId;
use cordon_proto::telemetry::{Batch, Position, Record};
use cordon_proto::time::{Millis, Timestamp};
use cordon_server::store::kv::{Kv, KvStore, Space, Span, WriteBatch};
use cordon_server::store::postgres::{MigrateError, OpenError, Options, Postgres, Refusal};
use cordon_server::store::{Commit, Delivery, EventQuery, Expected, Feed, Key, Revision, Store, StoreError};
use cordon_server_core::audit::Actor;
use cordon_sim::ports;
use cordon_sim::postgres::Cluster;

type PgStore = Arc<KvStore<Postgres>>;

const DAY: i64 = 86_400_000;

/// Opens on a thread of its own: the engine must not be opened on an async one.
fn opened(text: &str, options: Options) -> Result<PgStore, OpenError> {
    let open = || Postgres::open(text, Path::new("/"), options).map(Arc::new);
    std::thread::scope(|scope| scope.spawn(open).join().expect("no panic"))
}

fn store(cluster: &Cluster, schema: &str) -> PgStore {
    opened(&cluster.url_of(schema), Options::default()).expect("opened")
}

/// As [`store`], on a machine so busy that the server may be too slow to be reached twice.
fn opened_at_last(cluster: &Cluster, schema: &str) -> PgStore {
    let try_it = || opened(&cluster.url_of(schema), Options::default());
    let once_more = |error| match error {
        OpenError::Unreachable(_) => try_it(),
        error => Err(error),
    };
    try_it().or_else(once_more).or_else(once_more).expect("opened")
}

fn engine(cluster: &Cluster, schema: &str) -> Postgres {
    Postgres::engine(&cluster.url_of(schema), Path::new("/"), Options::default()).expect("opened")
}

fn site(text: &str) -> Key {
    Key::Site(text.parse().expect("a name"))
}

fn put(key: Key, body: &[u8]) -> Commit {
    let draft = Commit::draft(Timestamp(1), Actor::Server("test".parse().expect("a name")));
    draft.expect(key.clone(), Expected::Absent).put(key, body.to_vec()).finish().expect("fine")
}

fn batch(pairs: &[(Space, &[u8])]) -> WriteBatch {
    let entries = pairs.iter().map(|(space, key)| ((*space, key.to_vec()), Some(b"value".to_vec())));
    WriteBatch { entries: entries.collect(), frees: false }
}

fn delivery(of: u8, received: i64, sequences: std::ops::Range<u64>) -> Delivery {
    let record = |sequence| Record {
        position: Position { boot: 1, sequence },
        time: Millis(0),
        kind: 1,
        body: vec![1; 40].into(),
    };
    let records = sequences.map(record).collect();
    Delivery::new(DeviceId::from_random([of; 16]), Millis(received), Batch { records }).expect("rising")
}

async fn events(store: &PgStore) -> usize {
    let (mut query, mut count) = (EventQuery::all(), 0);
    loop {
        let page = store.events(query.clone()).await.expect("read");
        count += page.events.len();
        let Some(next) = page.next else { return count };
        query.after = Some(next);
    }
}

#[test]
fn a_server_that_loses_commits_or_only_reads_is_refused() {
    // Goal: nothing is entrusted to what cannot keep it. Method: fsync off, full pages off, a standby; and how each is named.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut cluster) = Cluster::init(folder.path()).expect("made") else { return };
    let refusal = |cluster: &Cluster| opened(&cluster.url(), Options::default()).err().expect("refused");
    assert!(matches!(refusal(&cluster), OpenError::Unreachable(_)), "it does not run yet");
    for setting in ["fsync", "full_page_writes"] {
        cluster.start(&["-c", &format!("{setting}=off")]).expect("starts");
        let refused = refusal(&cluster);
        assert!(matches!(refused, OpenError::Refused(Refusal::Unsafe(name)) if name == setting), "{refused}");
        assert!(refused.to_string().contains("switch it on"));
        let unsynced = Options { unsynced: true, ..Options::default() };
        drop(opened(&cluster.url(), unsynced).expect("the power cuts may"));
        cluster.stop().expect("stops");
    }
    cluster.start(&["-c", "synchronous_commit=off"]).expect("starts");
    drop(opened(&cluster.url(), Options::default()).expect("a session sets this for itself"));
    cluster.stop().expect("stops");
    std::fs::write(folder.path().join("data/standby.signal"), b"").expect("written");
    cluster.start(&[]).expect("starts");
    assert!(matches!(refusal(&cluster), OpenError::Refused(Refusal::Standby)));
}

#[test]
fn servers_that_start_together_make_the_tables_once_and_an_old_one_leaves_newer_tables_alone() {
    // Goal: migrations. Method: eight openings at once; a schema that was only begun; steps from the future; a name.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| drop(opened_at_last(&cluster, "together")));
        }
    });
    assert_eq!(cluster.say("SELECT count(*), min(step) FROM together.migrations").expect("read"), "1|1");
    cluster.say("CREATE SCHEMA begun; CREATE TABLE begun.migrations (step int PRIMARY KEY)").expect("made");
    drop(store(&cluster, "begun"));
    cluster.say("INSERT INTO begun.migrations VALUES (99)").expect("written");
    let newer = opened(&cluster.url_of("begun"), Options::default()).err().expect("refused");
    assert!(matches!(newer, OpenError::Migrate(MigrateError::Newer { found: 99, known: 1 })), "{newer}");
    cluster.say("CREATE ROLE guest LOGIN").expect("made");
    let guest = cluster.url_of("guest").replace("user=cordon", "user=guest");
    let refused = opened(&guest, Options::default()).err().expect("refused");
    assert!(refused.to_string().contains("right to create a schema"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_and_restarted_under_load_loses_nothing_that_was_answered() {
    // Goal: acknowledged is kept, unanswered may be either, and no server is restarted for it. Method: two stores with four
    // writers each, of documents and of telemetry that is repeated until it is taken; a kill and an orderly restart.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    let stores = [store(&cluster, "s"), store(&cluster, "s")];
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for (number, store) in (0_u8..).zip(stores.iter().cycle().take(8)) {
        let (store, stop, answered) = (store.clone(), stop.clone(), answered.clone());
        writers.push(tokio::spawn(async move {
            let (mut kept, mut failed, mut sequence) = (Vec::new(), 0, 0);
            for n in 0.. {
                let key = site(&format!("w{number}n{n}"));
                let committed = store.commit(put(key.clone(), &[number])).await;
                let batch = delivery(number, DAY * 20_000, sequence..sequence + 10);
                match (&committed, store.append(batch).await) {
                    (Ok(_), appended) => {
                        kept.push(key);
                        answered.fetch_add(1, Ordering::Relaxed);
                        sequence += if appended.is_ok() { 10 } else { 0 };
                    }
                    (Err(StoreError::Unavailable { .. }), _) => failed += 1,
                    (Err(error), _) => panic!("{error}"),
                }
                if stop.load(Ordering::Relaxed) && committed.is_ok() {
                    return (kept, failed, sequence);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            unreachable!("it counts for ever")
        }));
    }
    // A second of load, or more where the machine is busy.
    let load = || {
        let before = answered.load(Ordering::Relaxed);
        sleep(Duration::from_secs(1));
        for _ in 0..1200 {
            if answered.load(Ordering::Relaxed) > before + 34 {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("they do not go on");
    };
    load();
    cluster.kill().expect("killed");
    sleep(Duration::from_millis(300));
    cluster.start(&[]).expect("recovers");
    load();
    cluster.restart().expect("restarts");
    load();
    stop.store(true, Ordering::Relaxed);
    let (mut kept, mut failed, mut records) = (Vec::new(), 0, 0);
    for writer in writers {
        let (keys, failures, sequence) = writer.await.expect("no panic");
        kept.extend(keys);
        failed += failures;
        records += usize::try_from(sequence).expect("few");
    }
    assert!(failed > 0, "nobody noticed the kill");
    for key in &kept {
        assert!(stores[1].get(key.clone()).await.expect("read").is_some(), "{key} was answered and is lost");
    }
    let stored = events(&stores[0]).await;
    assert!((records..=records + 80).contains(&stored), "{records} answered, {stored} stored");
    assert!(kept.len() > 100, "{} commits", kept.len());
}

#[test]
fn a_transaction_whose_connection_is_killed_leaves_nothing_half_written() {
    // Goal: whole or not at all. Method: the server ends the session between reading and writing.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    let engine = engine(&cluster, "s");
    let both: [(Space, &[u8]); 2] = [(Space::Rows, b"row"), (Space::Feed, b"feedfeed")];
    let broken = engine.transact(&mut |view| {
        assert_eq!(view.get(Space::Rows, b"row").expect("read"), None);
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE application_name = 'cordon-server' AND state = 'idle in transaction'";
        assert_eq!(cluster.say(end).expect("ended"), "t");
        batch(&both)
    });
    assert!(matches!(broken, Err(StoreError::Unavailable { .. })), "{broken:?}");
    for (space, key) in both {
        assert_eq!(engine.look_up(space, key).expect("read"), None);
    }
    engine.transact(&mut |_| batch(&both)).expect("the next one connects again");
    let all =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cordon-server'";
    cluster.say(all).expect("ended");
    assert!(engine.look_up(Space::Rows, b"row").expect("a session that rested is replaced").is_some());
    engine.write(batch(&[(Space::Rows, b"more")])).expect("and so is the writer's");
}

#[test]
fn a_frozen_holder_loses_the_store_after_its_time_and_the_others_go_on() {
    // Goal: no server can stop all others by stopping itself. Method: one holds the store and says nothing until another
    // one has written, or for a minute.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    let (frozen, other) = (engine(&cluster, "s"), engine(&cluster, "s"));
    let (holds, held) = mpsc::channel();
    let (wakes, woken) = mpsc::channel();
    std::thread::scope(|scope| {
        let (frozen, other) = (&frozen, &other);
        let holder = scope.spawn(move || {
            frozen.transact(&mut |_| {
                holds.send(()).expect("heard");
                woken.recv_timeout(Duration::from_secs(60)).expect("another one did not wait for this one");
                batch(&[(Space::Rows, b"late")])
            })
        });
        held.recv().expect("said");
        other.transact(&mut |_| batch(&[(Space::Rows, b"other")])).expect("the lock is free again");
        wakes.send(()).expect("it is still frozen");
        assert!(matches!(holder.join().expect("no panic"), Err(StoreError::Unavailable { .. })));
    });
    assert_eq!(frozen.look_up(Space::Rows, b"late").expect("read"), None);
    assert!(frozen.look_up(Space::Rows, b"other").expect("read").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_writers_in_two_servers_one_wins_and_both_read_one_order() {
    // Goal: an expectation holds across servers, and `changes` has no gap. Method: twenty rounds; a follower on each that
    // reads while they write, and sees every commit once, in order.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    let stores = [store(&cluster, "s"), store(&cluster, "s")];
    let followers = stores.clone().map(|store| {
        tokio::spawn(async move {
            let (mut seen, mut after) = (Vec::new(), Revision::default());
            while seen.len() < 20 {
                let Feed::Commits(page) = store.changes(after, 3).await.expect("read") else {
                    panic!("gone")
                };
                seen.extend(page);
                after = seen.last().map_or(after, |changed: &cordon_server::store::Changed| changed.revision);
            }
            seen
        })
    });
    for round in 0..20 {
        let key = site(&format!("round{round}"));
        let race = (0..16).map(|n: u8| {
            let (store, commit) = (stores[usize::from(n % 2)].clone(), put(key.clone(), &[n]));
            tokio::spawn(async move { (n, store.commit(commit).await) })
        });
        let (mut won, mut lost) = (Vec::new(), 0);
        for writer in race.collect::<Vec<_>>() {
            match writer.await.expect("no panic") {
                (n, Ok(_)) => won.push(n),
                (_, Err(StoreError::Conflict(contested))) if contested == key => lost += 1,
                (_, Err(error)) => panic!("{error}"),
            }
        }
        assert_eq!((won.len(), lost), (1, 15), "round {round}");
        for store in &stores {
            assert_eq!(store.get(key.clone()).await.expect("read").map(|row| row.body), Some(won.clone()));
        }
    }
    let [one, other] = followers;
    let (one, other) = (one.await.expect("no panic"), other.await.expect("no panic"));
    assert!(one.windows(2).all(|pair| pair[0].revision < pair[1].revision));
    assert_eq!(one, other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_one_server_wakes_the_followers_of_another_and_telemetry_does_not() {
    // Goal: hints across servers. Method: the watch of one store while another writes; its connection killed in between.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    let (here, there) = (store(&cluster, "s"), store(&cluster, "s"));
    let listens = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'";
    for round in 0..2 {
        for _ in 0..600 {
            if cluster.say(listens).expect("asked") == "2" {
                break;
            }
            sleep(Duration::from_millis(50));
        }
        let mut latest = here.latest();
        latest.mark_unchanged();
        there.append(delivery(1, DAY, round..round + 1)).await.expect("appended");
        let committed = there.commit(put(site(&format!("s{round}")), b"")).await.expect("committed");
        let heard = tokio::time::timeout(Duration::from_secs(60), latest.changed()).await;
        heard.expect("heard").expect("open");
        assert_eq!(*latest.borrow_and_update(), committed.revision);
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'";
        cluster.say(end).expect("ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_days_are_dropped_whole_and_counted_exactly() {
    // Goal: expiry is a drop, and nobody's count is wrong for it. Method: ordinary days, the ends of time; a reader in the
    // way; a day that another server dropped and this one needs again.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    let (here, there) = (store(&cluster, "s"), store(&cluster, "s"));
    let days = || {
        let days = cluster.say(
            "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_inherits JOIN pg_class ON oid = inhrelid \
             WHERE inhparent = 's.events'::regclass",
        );
        days.expect("read").replace("events_", "")
    };
    for (of, received) in
        [(1, i64::MIN), (2, -1), (3, 0), (4, 20_000 * DAY), (5, 20_001 * DAY - 1), (6, i64::MAX - 9)]
    {
        there.append(delivery(of, received, 0..300)).await.expect("appended");
    }
    assert_eq!(days(), "after before d0 d20000");
    there.append(delivery(4, 20_001 * DAY, 300..350)).await.expect("appended");
    assert_eq!(days(), "after before d0 d20000 d20001");
    assert_eq!(events(&here).await, 1850);
    assert_eq!(here.expire(Millis(20_001 * DAY)).await.expect("expired").events, 1500);
    assert_eq!(days(), "after before d20001");
    assert_eq!(events(&there).await, 350);
    let again = there.append(delivery(5, 20_000 * DAY, 300..310)).await.expect("a dropped day is made again");
    assert_eq!((again.stored, days().as_str()), (10, "after before d20000 d20001"));
    let held = std::thread::scope(|scope| {
        let (begun, begins) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let cluster = &cluster;
        scope.spawn(move || {
            let reader = engine(cluster, "s");
            let view = reader.view().expect("a view");
            let span = Span { space: Space::Events, from: Vec::new(), to: None, down: false };
            view.range(&span, &mut |_, _| ControlFlow::Break(())).expect("read");
            begun.send(()).expect("heard");
            let _ = ended.recv();
        });
        begins.recv().expect("said");
        let expired = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(here.expire(Millis(20_001 * DAY)))
        });
        drop(end);
        expired.expect("expired").events
    });
    assert_eq!(
        (held, days().as_str()),
        (10, "after before d20000 d20001"),
        "by rows, with a reader in the way"
    );
    assert_eq!(here.expire(Millis(i64::MAX)).await.expect("expired").events, 50, "its own hour stays");
    assert_eq!((events(&there).await, days().as_str()), (300, "after before"));
}

#[test]
fn over_a_network_the_certificate_must_be_of_the_named_authority() {
    // Goal: TLS or nothing, and only with the right server. Method: a server that takes TLS alone, on loopback.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut cluster) = Cluster::init(folder.path()).expect("made") else { return };
    let data = folder.path().join("data");
    let (authority, leaf, key) = certificates();
    let (stranger, _, _) = certificates();
    std::fs::write(folder.path().join("ca.pem"), authority).expect("written");
    std::fs::write(folder.path().join("stranger.pem"), stranger).expect("written");
    std::fs::write(data.join("server.crt"), leaf).expect("written");
    // In place of a file of the database's own user, so that it belongs to that user.
    std::fs::write(data.join("pg_ident.conf"), key).expect("written");
    std::fs::rename(data.join("pg_ident.conf"), data.join("server.key")).expect("renamed");
    std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").expect("written");
    let port = format!("port={}", ports::free(Ipv4Addr::LOCALHOST).expect("a port"));
    let network = ["-c", "ssl=on", "-c", "listen_addresses=127.0.0.1", "-c", &port];
    cluster.start(&network).expect("starts");
    let open = |words: &str| {
        let text = format!("host=localhost {port} user=cordon dbname=postgres {words}");
        let open = || Postgres::open(&text, folder.path(), Options::default()).map(drop);
        std::thread::scope(|scope| scope.spawn(open).join().expect("no panic"))
    };
    open("sslmode=verify-full sslrootcert=ca.pem").expect("opened");
    assert!(matches!(open("sslmode=disable"), Err(OpenError::Unreachable(_))), "it takes TLS alone");
    assert!(matches!(open("sslmode=require sslrootcert=stranger.pem"), Err(OpenError::Unreachable(_))));
}

/// An authority, and a certificate of it for `localhost` with its key.
fn certificates() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let (root, leaf) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut authority = CertificateParams::new([]).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&root).expect("signed").pem();
    let issuer = Issuer::new(authority, root);
    let named = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    (pem, named.signed_by(&leaf, &issuer).expect("signed").pem(), leaf.serialize_pem())
}
