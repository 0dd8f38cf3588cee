//! Tests of what only real files can do: damage that sled does not see, locks, modes, full and broken disks, syncs.

use std::collections::BTreeMap;

use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::Commit;
use proptest::prelude::*;

use super::*;
use crate::store::{Key, Store};

struct Bench {
    _folder: tempfile::TempDir,
    folder: PathBuf,
    options: Options,
}

impl Bench {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("folder");
        let folder = scratch.path().join("store");
        let options = Options { cache_bytes: 1 << 20, reserve_bytes: 0, ..Options::default() };
        Self { _folder: scratch, folder, options }
    }

    fn engine(&self) -> Sled {
        Sled::engine(&self.folder, self.options).expect("opened")
    }

    fn open(&self) -> KvStore<Sled> {
        Sled::open(&self.folder, self.options).expect("opened")
    }

    fn refused(&self) -> OpenError {
        Sled::open(&self.folder, self.options).err().expect("refused")
    }

    /// A store of the same bytes, folder and mark.
    fn copy(&self) -> Self {
        let copy = Self::new();
        copy_folder(&self.folder, &copy.folder);
        fs::copy(beside(&self.folder), beside(&copy.folder)).expect("copied");
        copy
    }

    /// A copy with its file of rows changed.
    fn damaged(&self, damage: impl FnOnce(&mut Vec<u8>)) -> Self {
        let copy = self.copy();
        let path = copy.folder.join("db");
        let mut bytes = fs::read(&path).expect("read");
        damage(&mut bytes);
        fs::write(&path, bytes).expect("written");
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn site(text: &str) -> Key {
    Key::Site(text.parse().expect("name"))
}

fn put(text: &str, bytes: usize) -> Commit {
    let actor = Actor::Server("test".parse().expect("name"));
    Commit::draft(Timestamp(1), actor).put(site(text), vec![1; bytes]).finish().expect("fine")
}

async fn there(store: &KvStore<Sled>, text: &str) -> bool {
    store.get(site(text)).await.expect("read").is_some()
}

fn batch(entries: impl IntoIterator<Item = (Space, Vec<u8>, Option<Vec<u8>>)>) -> WriteBatch {
    let entries = entries.into_iter().map(|(space, key, value)| ((space, key), value)).collect();
    WriteBatch { entries, frees: false }
}

fn all(engine: &Sled, space: Space, down: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let view = engine.view().expect("a view");
    let mut pairs = Vec::new();
    let span = Span { space, from: Vec::new(), to: None, down };
    let visited = view.range(&span, &mut |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    visited.expect("read");
    pairs
}

#[tokio::test]
async fn the_folder_is_for_its_owner_only_and_for_one_process() {
    // Goal: nobody else reads it, nobody opens it twice. Method: modes of folder, files and mark; open it twice.
    let bench = Bench::new();
    let store = bench.open();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&bench.folder), mode(&beside(&bench.folder))), (0o700, 0o600));
    for file in fs::read_dir(&bench.folder).expect("listed") {
        assert_eq!(mode(&file.expect("a file").path()) & 0o077, 0);
    }
    let second = bench.refused();
    assert!(
        matches!(second, OpenError::InUse { .. }) && second.to_string().contains("local socket"),
        "{second}"
    );
    drop(store);
    drop(bench.open());
}

#[tokio::test]
async fn what_cannot_be_opened_says_what_to_do() {
    // Goal: an operator knows the next step. Method: no parent, an emptied folder, no mark, another store's mark.
    let bench = Bench::new();
    let missing = bench.folder.join("none").join("store");
    assert!(matches!(
        Sled::open(&missing, bench.options).err().expect("refused"),
        OpenError::Unreachable { .. }
    ));
    bench.open().commit(put("a", 10)).await.expect("committed");
    let emptied = bench.copy();
    fs::remove_dir_all(&emptied.folder).expect("removed");
    let unmarked = bench.copy();
    fs::remove_file(beside(&unmarked.folder)).expect("removed");
    let (swapped, other) = (bench.copy(), Bench::new());
    drop(other.open());
    fs::copy(beside(&other.folder), beside(&swapped.folder)).expect("copied");
    for (lost, word) in [(emptied, "none is there"), (unmarked, "mark file is missing"), (swapped, "another")]
    {
        let error = lost.refused();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Lost { .. }), "{error:?}");
        assert!(text.contains(word) && text.contains("restore the last backup"), "{text}");
    }
    drop(bench.open());
}

/// A closed store of `count` documents, each of its own bytes.
async fn filled(count: u16) -> Bench {
    let bench = Bench::new();
    let store = bench.open();
    for n in 0..count {
        store.commit(put(&format!("s{n}"), 300 + usize::from(n))).await.expect("committed");
    }
    drop(store);
    bench
}

/// Whether every document is there and right, or the damage is said: nothing lies between.
async fn found_out(bench: &Bench, count: u16) -> bool {
    let store = match Sled::open(&bench.folder, bench.options) {
        Ok(store) => store,
        Err(error) => {
            assert!(error.to_string().contains("restore the last backup"), "{error}");
            return true;
        }
    };
    for n in 0..count {
        match store.get(site(&format!("s{n}"))).await {
            Ok(row) => assert_eq!(row.map(|row| row.body.len()), Some(300 + usize::from(n)), "s{n} is gone"),
            Err(_) => return true,
        }
    }
    false
}

#[tokio::test]
async fn flipped_bytes_are_found_out() {
    // Goal: damage in the middle never costs rows without a word, as it does in sled alone. Method: 64 bytes flipped at
    // twenty places of the file; each time the store is refused, or whole.
    let bench = filled(200).await;
    let length = fs::metadata(bench.folder.join("db")).expect("there").len();
    let mut caught = 0;
    for step in 0..20 {
        let at = usize::try_from(length * step / 20).expect("small") + 100;
        let damaged =
            bench.damaged(|bytes| bytes.iter_mut().skip(at).take(64).for_each(|byte| *byte ^= 0x5a));
        caught += u32::from(found_out(&damaged, 200).await);
    }
    assert!(caught > 10, "only {caught} of 20 places were noticed: they hold nothing");
}

#[tokio::test]
async fn a_cut_tail_is_found_out() {
    // Goal: lost last rows are never lost unseen. Method: the end cut off or zeroed at several lengths; the uncut
    // store opens.
    let bench = filled(120).await;
    let length = fs::metadata(bench.folder.join("db")).expect("there").len();
    let written = fs::read(bench.folder.join("db")).expect("read").iter().rposition(|byte| *byte != 0);
    let written = written.expect("not all zero") + 1;
    for cut in [40, 4096, 16_384, 100_000] {
        let damaged = bench.damaged(|bytes| bytes.truncate(written.saturating_sub(cut)));
        assert!(found_out(&damaged, 120).await, "{cut} bytes cut of {length}");
        let damaged = bench.damaged(|bytes| bytes[written.saturating_sub(cut)..].fill(0));
        assert!(found_out(&damaged, 120).await, "{cut} bytes zeroed of {length}");
    }
    assert!(!found_out(&bench.copy(), 120).await, "the store itself is whole");
}

#[test]
fn a_store_behind_its_mark_is_refused_and_one_ahead_is_not() {
    // Goal: the comparison at opening. Method: each case of what is held, what is there and what was told.
    let tally = |batches, pairs| Tally { epoch: [1; 16], batches, pairs };
    let judged = |held, pairs, told| judged((held, pairs), told);
    assert_eq!(judged(None, 0, None), Ok(None));
    assert_eq!(judged(None, 0, Some(tally(0, 0))), Ok(None));
    assert!(judged(None, 0, Some(tally(1, 1))).is_err());
    assert!(judged(None, 3, None).is_err());
    assert_eq!(judged(Some(tally(5, 9)), 9, Some(tally(5, 9))), Ok(Some(tally(5, 9))));
    assert_eq!(judged(Some(tally(6, 2)), 2, Some(tally(5, 9))), Ok(Some(tally(6, 2))));
    assert!(judged(Some(tally(4, 9)), 9, Some(tally(5, 9))).is_err());
    assert!(judged(Some(tally(5, 9)), 8, Some(tally(5, 9))).is_err());
    assert!(judged(Some(tally(5, 9)), 9, None).is_err());
    let other = Tally { epoch: [2; 16], ..tally(5, 9) };
    assert!(judged(Some(tally(5, 9)), 9, Some(other)).is_err());
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_costs_nothing_else() {
    // Goal: reads go on, nothing answered is lost, writing goes on once there is room. Method: writes find no room;
    // then they do.
    let bench = Bench::new();
    let engine = bench.engine();
    let one = |key: &[u8]| batch([(Space::Rows, key.to_vec(), Some(vec![1; 100_000]))]);
    engine.write(one(b"before")).expect("written");
    engine.disk.fault.full.store(true, Ordering::Relaxed);
    assert!(matches!(engine.write(one(b"full")), Err(StoreError::Full)));
    assert_eq!(all(&engine, Space::Rows, false).len(), 1);
    engine.disk.fault.full.store(false, Ordering::Relaxed);
    engine.write(one(b"after")).expect("there is room again");
    drop(engine);
    let engine = bench.engine();
    let keys: Vec<Vec<u8>> = all(&engine, Space::Rows, false).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [b"after".to_vec(), b"before".to_vec()]);
}

#[tokio::test]
async fn below_the_reserve_only_removals_are_let_through() {
    // Goal: the disk is never filled to the brim, and can be freed. Method: a reserve that no disk has.
    let mut bench = Bench::new();
    bench.open().commit(put("a", 10)).await.expect("committed");
    bench.options.reserve_bytes = u64::MAX;
    let store = bench.open();
    assert!(matches!(store.commit(put("b", 10)).await, Err(StoreError::Full)));
    assert!(store.health().await.expect("well").problem.expect("a problem").contains("free space"));
    store.expire(cordon_proto::time::Millis(i64::MAX)).await.expect("removals free room");
    assert!(there(&store, "a").await);
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_people_have_looked() {
    // Goal: never answer for pages that the kernel may have dropped. Method: one sync fails, later ones would not.
    let bench = Bench::new();
    let engine = bench.engine();
    let one = |key: &[u8]| batch([(Space::Rows, key.to_vec(), Some(vec![1]))]);
    engine.write(one(b"before")).expect("written");
    engine.disk.fault.broken.store(true, Ordering::Relaxed);
    assert!(matches!(engine.write(one(b"lost")), Err(StoreError::Unavailable { .. })));
    engine.disk.fault.broken.store(false, Ordering::Relaxed);
    let refused = engine.write(one(b"later")).expect_err("refused");
    assert!(refused.to_string().contains("check the disk"), "{refused}");
    assert!(engine.condition().problem.expect("a problem").contains("check the disk"));
    assert!(all(&engine, Space::Rows, false).iter().any(|(key, _)| key == b"before"), "reads go on");
}

#[test]
fn a_sync_reaches_the_kernel() {
    // Goal: no sync is answered by us instead of the disk. Method: a device in the place of sled's file, which the
    // kernel cannot sync: the write must not be answered.
    let bench = Bench::new();
    let engine = bench.engine();
    let one = || batch([(Space::Rows, b"a".to_vec(), Some(vec![1]))]);
    engine.write(one()).expect("written");
    let device = OpenOptions::new().read(true).write(true).open("/dev/null").expect("opened");
    engine.state.write().expect("no panic").tree.as_mut().expect("open").file = device;
    assert!(engine.write(one()).is_err());
}

#[test]
fn a_batch_costs_one_sync() {
    // Goal: the mark costs no second sync. Method: count the syncs of 64 batches.
    let bench = Bench::new();
    let engine = bench.engine();
    let before = engine.disk.syncs();
    for n in 0..64 {
        engine.write(batch([(Space::Rows, vec![n], Some(vec![1]))])).expect("written");
    }
    assert_eq!(engine.disk.syncs() - before, 65);
}

#[tokio::test]
async fn a_copy_of_the_folder_at_any_answer_holds_all_that_was_answered() {
    // Goal: durable when answered, not when closed. Method: copy folder and mark under the running store after each
    // answer, as a kill would leave them; open the copy.
    let bench = Bench::new();
    let store = bench.open();
    for n in 0..6 {
        store.commit(put(&format!("s{n}"), 3000)).await.expect("committed");
        let copy = bench.copy();
        let copied = copy.open();
        for m in 0..=n {
            assert!(there(&copied, &format!("s{m}")).await, "s{m} after s{n}");
        }
    }
}

/// One entry of a made-up batch: a space, a short key, and the bytes of its value or a removal.
fn entry() -> impl Strategy<Value = (Space, Vec<u8>, Option<Vec<u8>>)> {
    let bytes = prop_oneof![0_usize..50, 4090_usize..4100, 8190_usize..8194, Just(200_000)];
    let value = proptest::option::weighted(0.7, (any::<u8>(), bytes));
    let space = prop_oneof![Just(Space::Rows), Just(Space::Feed), Just(Space::Events)];
    (space, proptest::collection::vec(0_u8..3, 0..4), value).prop_map(|(space, key, value)| {
        // A pattern, so that pieces in a wrong order are seen.
        let value = value.map(|(seed, bytes)| (0..251_u8).cycle().take(bytes).map(|at| at ^ seed).collect());
        (space, key, value)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_folder_is_a_map_that_survives_reopening(
        batches in proptest::collection::vec(proptest::collection::vec(entry(), 0..12), 1..8)
    ) {
        // Goal: pairs, large ones in pieces, are a map, and no value makes sled keep a file of its own. Method: made-up
        // batches over few keys beside a map; compare up and down, then again after reopening.
        let bench = Bench::new();
        let mut model: BTreeMap<(Space, Vec<u8>), Vec<u8>> = BTreeMap::new();
        let engine = bench.engine();
        let same = |engine: &Sled, model: &BTreeMap<(Space, Vec<u8>), Vec<u8>>| {
            for space in Space::ALL {
                let wanted = model.iter().filter(|((found, _), _)| *found == space);
                let mut wanted: Vec<_> = wanted.map(|((_, key), value)| (key.clone(), value.clone())).collect();
                assert!(all(engine, space, false) == wanted, "{space:?}");
                wanted.reverse();
                assert!(all(engine, space, true) == wanted, "{space:?}, down");
            }
        };
        for entries in batches {
            let batch = batch(entries);
            for (place, value) in batch.entries.clone() {
                match value {
                    Some(value) => model.insert(place, value),
                    None => model.remove(&place),
                };
            }
            engine.write(batch).expect("written");
            same(&engine, &model);
        }
        drop(engine);
        same(&bench.engine(), &model);
        prop_assert_eq!(fs::read_dir(bench.folder.join("blobs")).expect("listed").count(), 0);
    }
}
