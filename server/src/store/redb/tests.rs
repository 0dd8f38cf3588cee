//! Tests of what only a real file can do: locks, modes, full and broken disks, syncs.

use std::fs;
use std::sync::Arc;

use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::Commit;

use super::*;
use crate::store::{Key, Store};

struct Bench {
    _folder: tempfile::TempDir,
    path: PathBuf,
    options: Options,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("store.redb");
        let options = Options { cache_bytes: 1 << 20, reserve_bytes: 0, ..Options::default() };
        Self { _folder: folder, path, options }
    }

    /// The store, and its disk to break.
    fn open(&self) -> (KvStore<Redb>, Arc<DiskState>) {
        let engine = Redb::engine(&self.path, self.options).expect("opened");
        let disk = engine.disk.clone();
        (KvStore::open(engine, self.options.gather).expect("opened"), disk)
    }
}

fn site(text: &str) -> Key {
    Key::Site(text.parse().expect("name"))
}

fn put(text: &str, bytes: usize) -> Commit {
    let actor = Actor::Server("test".parse().expect("name"));
    Commit::draft(Timestamp(1), actor).put(site(text), vec![1; bytes]).finish().expect("fine")
}

async fn there(store: &KvStore<Redb>, text: &str) -> bool {
    store.get(site(text)).await.expect("read").is_some()
}

#[tokio::test]
async fn the_file_is_for_its_owner_only_and_for_one_process() {
    // Goal: nobody else reads it, nobody opens it twice. Method: a loose mode is tightened; open it twice.
    let bench = Bench::new();
    fs::write(&bench.path, b"").expect("made");
    fs::set_permissions(&bench.path, Permissions::from_mode(0o644)).expect("loosened");
    let (store, _) = bench.open();
    assert_eq!(fs::metadata(&bench.path).expect("there").permissions().mode() & 0o777, 0o600);
    let second = Redb::open(&bench.path, bench.options).err().expect("refused");
    assert!(
        matches!(second, OpenError::InUse { .. }) && second.to_string().contains("local socket"),
        "{second}"
    );
    drop(store);
    assert!(Redb::open(&bench.path, bench.options).is_ok());
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    // Goal: an operator knows the next step. Method: no folder, a file of something else, a damaged store.
    let bench = Bench::new();
    let missing = bench.path.parent().expect("folder").join("none").join("store.redb");
    let refused = |path: &Path| Redb::open(path, bench.options).err().expect("refused");
    assert!(matches!(refused(&missing), OpenError::Unreachable { .. }));
    fs::write(&bench.path, vec![b'x'; 100_000]).expect("written");
    let error = refused(&bench.path);
    assert!(matches!(error, OpenError::Damaged { .. }) && error.to_string().contains("restore"), "{error:?}");
    fs::remove_file(&bench.path).expect("removed");
    drop(bench.open());
    let mut bytes = fs::read(&bench.path).expect("read");
    bytes[..4096].fill(0);
    fs::write(&bench.path, bytes).expect("damaged");
    assert!(matches!(refused(&bench.path), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_costs_nothing_else() {
    // Goal: reads go on, nothing answered is lost, writing goes on once there is room, without a restart. Method:
    // writes find no room, at several sizes; then they do.
    let bench = Bench::new();
    let (store, disk) = bench.open();
    store.commit(put("before", 10)).await.expect("committed");
    disk.fault.full.store(true, Ordering::Relaxed);
    for bytes in [10, 100_000, 5_000_000] {
        let refused = store.commit(put("full", bytes)).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        disk.fault.full.store(false, Ordering::Relaxed);
        assert!(there(&store, "before").await && !there(&store, "full").await);
        disk.fault.full.store(true, Ordering::Relaxed);
    }
    disk.fault.full.store(false, Ordering::Relaxed);
    store.commit(put("after", 10)).await.expect("there is room again");
    drop(store);
    let (store, _) = bench.open();
    assert!(there(&store, "before").await && there(&store, "after").await && !there(&store, "full").await);
}

#[tokio::test]
async fn below_the_reserve_only_removals_are_let_through() {
    // Goal: the disk is never filled to the brim, and can be freed. Method: a reserve that no disk has.
    let mut bench = Bench::new();
    let (store, _) = bench.open();
    store.commit(put("a", 10)).await.expect("committed");
    drop(store);
    bench.options.reserve_bytes = u64::MAX;
    let (store, _) = bench.open();
    assert!(matches!(store.commit(put("b", 10)).await, Err(StoreError::Full)));
    assert!(store.health().await.expect("well").problem.expect("a problem").contains("free space"));
    store.expire(cordon_proto::time::Millis(i64::MAX)).await.expect("removals free room");
    assert!(there(&store, "a").await);
}

#[tokio::test]
async fn forgotten_telemetry_gives_its_room_back_to_a_full_disk() {
    // Goal: shorter retention ends a full disk. Method: megabytes of telemetry, a reserve above all disks, forget; the
    // file is smaller, and all else is there.
    use cordon_proto::ids::DeviceId;
    use cordon_proto::telemetry::{Batch, Position, Record};
    use cordon_proto::time::Millis;
    let mut bench = Bench::new();
    let (store, _) = bench.open();
    for sequence in 1..=40_u64 {
        let record = |n: u64| {
            let position = Position { boot: 1, sequence: sequence * 100 + n };
            Record { position, time: Millis(1), kind: 99, body: vec![7; 3000].into() }
        };
        let batch = Batch { records: (0..100).map(record).collect() };
        let delivery = crate::store::Delivery::new(DeviceId::from_random([1; 16]), Millis(1), batch);
        store.append(delivery.expect("in order")).await.expect("appended");
    }
    store.commit(put("kept", 1000)).await.expect("committed");
    drop(store);
    let size = |path: &Path| fs::metadata(path).expect("there").len();
    let before = size(&bench.path);
    bench.options.reserve_bytes = u64::MAX;
    let (store, _) = bench.open();
    let expired = store.expire(Millis(i64::MAX)).await.expect("removals free room");
    assert_eq!(expired.events, 4000);
    assert!(size(&bench.path) * 4 < before, "{} of {before} bytes are left", size(&bench.path));
    assert!(there(&store, "kept").await);
    drop(store);
    bench.options.reserve_bytes = 0;
    let (store, _) = bench.open();
    store.commit(put("after", 10)).await.expect("writes go on");
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_until_people_have_looked() {
    // Goal: never answer for pages that the kernel may have dropped. Method: one sync fails, later ones would not.
    let bench = Bench::new();
    let (store, disk) = bench.open();
    store.commit(put("before", 10)).await.expect("committed");
    disk.fault.broken.store(true, Ordering::Relaxed);
    assert!(matches!(store.commit(put("lost", 10)).await, Err(StoreError::Unavailable { .. })));
    disk.fault.broken.store(false, Ordering::Relaxed);
    let refused = store.commit(put("later", 10)).await.expect_err("refused");
    assert!(refused.to_string().contains("check the disk"), "{refused}");
    assert!(store.health().await.expect("answers").problem.expect("a problem").contains("check the disk"));
    assert!(there(&store, "before").await, "reads go on");
}

#[tokio::test]
async fn many_writers_share_the_syncs_of_the_disk() {
    // Goal: durable commits cost less than a sync each. Method: 64 at once; count the syncs under redb.
    let bench = Bench::new();
    let (store, disk) = bench.open();
    store.commit(put("alone", 1)).await.expect("committed");
    let before = disk.syncs();
    store.commit(put("alone", 2)).await.expect("committed");
    let one = disk.syncs() - before;
    assert!(one > 0, "a commit is synced before it is answered");
    let before = disk.syncs();
    let names: Vec<String> = (0..64).map(|n| format!("s{n}")).collect();
    let all = futures_util::future::join_all(names.iter().map(|name| store.commit(put(name, 1)))).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(disk.syncs() - before <= 8 * one, "{} syncs for 64 commits", disk.syncs() - before);
}

#[tokio::test]
async fn a_copy_of_the_file_at_any_answer_holds_all_that_was_answered() {
    // Goal: durable when answered, not when closed. Method: copy the file under the running store after each answer,
    // as a kill would leave it; open the copy.
    let bench = Bench::new();
    let (store, _) = bench.open();
    for n in 0..6 {
        store.commit(put(&format!("s{n}"), 3000)).await.expect("committed");
        let copy = Bench::new();
        fs::copy(&bench.path, &copy.path).expect("copied");
        let (copied, _) = copy.open();
        for m in 0..=n {
            assert!(there(&copied, &format!("s{m}")).await, "s{m} after s{n}");
        }
    }
}
