//! A map as an engine, and the tests of what the layer adds to any engine: groups, checks, formats.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::telemetry::{Batch, Position, Record};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::{Draft, Expected};

use super::*;

type Pairs = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// An engine of tests: a map that all its clones share, with a gate before its writes and a switch that fails them.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct MapKv(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pairs: Mutex<Pairs>,
    shut: Mutex<bool>,
    opened: Condvar,
    fails: AtomicBool,
    writes: AtomicU64,
}

struct Snapshot(Pairs);

impl MapKv {
    fn with<T>(&self, work: impl FnOnce(&mut Pairs) -> T) -> T {
        work(&mut self.0.pairs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shut(&self, shut: bool) {
        *self.0.shut.lock().expect("no panic") = shut;
        self.0.opened.notify_all();
    }

    fn writes(&self) -> u64 {
        self.0.writes.load(Ordering::Relaxed)
    }
}

impl Kv for MapKv {
    fn name(&self) -> &'static str {
        "map"
    }

    fn view(&self) -> Result<Box<dyn View + '_>, StoreError> {
        Ok(Box::new(Snapshot(self.with(|pairs| pairs.clone()))))
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let shut = self.0.shut.lock().expect("no panic");
        drop(self.0.opened.wait_while(shut, |shut| *shut).expect("no panic"));
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Full);
        }
        self.with(|pairs| {
            for (place, value) in batch.entries {
                match value {
                    Some(value) => pairs.insert(place, value),
                    None => pairs.remove(&place),
                };
            }
        });
        Ok(())
    }

    fn condition(&self) -> Condition {
        Condition::default()
    }
}

impl View for Snapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&(space, key.to_vec())).cloned())
    }

    fn range(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if span.is_empty() {
            return Ok(());
        }
        let to = span.to.clone().map(|to| (span.space, to));
        let from = Bound::Included((span.space, span.from.clone()));
        let inside = self.0.range((from, to.map_or(Bound::Unbounded, Bound::Excluded)));
        let mut pairs: Vec<_> = inside.filter(|((space, _), _)| *space == span.space).collect();
        if span.down {
            pairs.reverse();
        }
        for ((_, key), value) in pairs {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("name")
}

fn site(text: &str) -> Key {
    Key::Site(name(text))
}

fn draft() -> Draft {
    Commit::draft(Timestamp(1), Actor::Server(name("test")))
}

fn fine(draft: Draft) -> Commit {
    draft.finish().expect("fine")
}

fn open(map: &MapKv) -> KvStore<MapKv> {
    KvStore::open(map.clone(), Gather::default()).expect("opened")
}

fn delivery(received: i64, sequences: std::ops::Range<u64>) -> Delivery {
    let record = |sequence| Record {
        position: Position { boot: 1, sequence },
        time: Millis(0),
        kind: u16::try_from(sequence % 2).expect("small"),
        body: vec![1; 100].into(),
    };
    let records = sequences.map(record).collect();
    Delivery::new(DeviceId::from_random([1; 16]), Millis(received), Batch { records }).expect("rising")
}

/// Shuts the gate, lets one write run into it, and waits until the others stand behind it.
async fn behind_the_gate<T: Send + 'static>(
    map: &MapKv,
    store: &Arc<KvStore<MapKv>>,
    writes: Vec<Answer<'static, T>>,
) -> Vec<Result<T, StoreError>> {
    map.shut(true);
    let first = store.clone();
    let first = tokio::spawn(async move { first.commit(fine(draft().put(site("first"), vec![]))).await });
    while store.writer.counts().1 == 0 {
        tokio::task::yield_now().await;
    }
    let opener = map.clone();
    let all = futures_util::future::join_all(writes);
    // The writes are polled, and so queued, before the gate opens.
    let gate = async move {
        tokio::task::yield_now().await;
        opener.shut(false);
    };
    let (answers, ()) = tokio::join!(all, gate);
    first.await.expect("no panic").expect("committed");
    answers
}

fn owned(store: &Arc<KvStore<MapKv>>, commit: Commit) -> Answer<'static, Committed> {
    let store = store.clone();
    Box::pin(async move { store.commit(commit).await })
}

#[tokio::test]
async fn writes_that_wait_together_share_one_sync_and_keep_their_own_outcomes() {
    // Goal: group commit. Method: forty writers behind a shut gate, some of which conflict with a neighbour of the
    // same group; the engine is written twice in all.
    let map = MapKv::default();
    let store = Arc::new(open(&map));
    let before = map.writes();
    let writes = (0..40).map(|n: u8| {
        let key = if n.is_multiple_of(4) { site("contested") } else { site(&format!("own{n}")) };
        owned(&store, fine(draft().expect(key.clone(), Expected::Absent).put(key, vec![n])))
    });
    let answers = behind_the_gate(&map, &store, writes.collect()).await;
    assert_eq!(map.writes() - before, 2, "the first alone, then all others together");
    assert_eq!(store.writer.counts(), (41, 2));
    let won: Vec<usize> = (0..40).filter(|n| answers[*n].is_ok()).collect();
    let wanted: Vec<usize> = (0..40).filter(|n| n % 4 != 0 || *n == 0).collect();
    assert_eq!(won, wanted, "the first of the contested wins, every other loser loses alone");
    let revisions: Vec<Revision> = answers.iter().flatten().map(|committed| committed.revision).collect();
    assert!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "in order of arrival");
}

#[tokio::test]
async fn a_removal_sees_the_writes_that_waited_before_it() {
    // Goal: what reads ranges never runs beside what its group has not written. Method: load, drop and load again,
    // queued behind the gate in this order.
    let map = MapKv::default();
    let store = Arc::new(open(&map));
    let rows = |row: u8| Chunk::new(vec![(vec![row], vec![]), (vec![row, row], vec![])]).expect("small");
    let (one, two, three) = (store.clone(), store.clone(), store.clone());
    let writes: Vec<Answer<'static, u64>> = vec![
        Box::pin(async move { one.load(Set::Advisories, 5, rows(1)).await.map(|()| 0) }),
        Box::pin(async move { two.drop_generation(Set::Advisories, 5).await }),
        Box::pin(async move { three.load(Set::Advisories, 5, rows(2)).await.map(|()| 0) }),
    ];
    let answers = behind_the_gate(&map, &store, writes).await;
    assert_eq!(answers.into_iter().map(|answer| answer.expect("written")).collect::<Vec<_>>(), [0, 2, 0]);
    assert_eq!(store.drop_generation(Set::Advisories, 5).await.expect("dropped"), 2);
}

#[tokio::test]
async fn a_group_that_cannot_be_written_fails_for_all_its_members() {
    // Goal: nobody is told of a conflict with something that never happened. Method: a failing engine behind the gate.
    let map = MapKv::default();
    let store = Arc::new(open(&map));
    let once = |n| fine(draft().expect(site("a"), Expected::Absent).put(site("a"), vec![n]));
    store.commit(fine(draft().put(site("first"), vec![]))).await.expect("committed");
    map.0.fails.store(true, Ordering::Relaxed);
    let answers = futures_util::future::join_all([owned(&store, once(1)), owned(&store, once(2))]).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Full))), "{answers:?}");
    map.0.fails.store(false, Ordering::Relaxed);
    assert_eq!(store.get(site("a")).await.expect("read"), None);
    store.commit(once(3)).await.expect("the store goes on");
}

#[tokio::test]
async fn a_write_whose_caller_went_away_does_not_hold_up_the_others() {
    // Goal: a dropped request harms nobody. Method: drop one answer behind the gate; the next write is answered.
    let map = MapKv::default();
    let store = Arc::new(open(&map));
    map.shut(true);
    let mut dropped = owned(&store, fine(draft().put(site("dropped"), vec![])));
    assert!(futures_util::FutureExt::now_or_never(&mut dropped).is_none());
    drop(dropped);
    map.shut(false);
    store.commit(fine(draft().put(site("next"), vec![]))).await.expect("committed");
    assert!(store.get(site("dropped")).await.expect("read").is_some(), "it was asked for, and it happened");
}

#[tokio::test]
async fn a_damaged_value_is_named_and_never_believed() {
    // Goal: no engine's damage becomes a document. Method: flip a bit of every stored value; read by each verb.
    let map = MapKv::default();
    let store = open(&map);
    store.commit(fine(draft().put(site("a"), vec![7; 9]))).await.expect("committed");
    store.append(delivery(5, 1..3)).await.expect("appended");
    map.with(|pairs| {
        for ((space, _), value) in pairs.iter_mut() {
            if *space != Space::Own {
                *value.last_mut().expect("never empty") ^= 4;
            }
        }
    });
    let corrupt = |answer: Result<(), StoreError>, what: &str| {
        assert!(matches!(&answer, Err(StoreError::Corrupt(place)) if place.contains(what)), "{answer:?}");
    };
    corrupt(store.get(site("a")).await.map(drop), "Site a");
    corrupt(store.scan(Index::All(super::super::Kind::Site), Cursor::First, 5).await.map(drop), "Site a");
    corrupt(store.changes(Revision(0), 5).await.map(drop), "feed");
    corrupt(store.events(EventQuery::all()).await.map(drop), "events");
    let device = Some(DeviceId::from_random([1; 16]));
    corrupt(store.events(EventQuery { device, ..EventQuery::all() }).await.map(drop), "hours");
    corrupt(store.append(delivery(6, 3..4)).await.map(drop), "Watermark");
    corrupt(store.commit(fine(draft().expect(site("a"), Expected::Absent))).await.map(drop), "Site a");
    corrupt(store.expire(Millis(3_600_000)).await.map(drop), "events");
    let folder = tempfile::tempdir().expect("folder");
    let to = folder.path().join("backup");
    corrupt(store.backup(to.clone()).await.map(drop), "");
    assert!(!to.exists(), "no backup of damaged documents gets its name");
    store.commit(fine(draft().put(site("b"), vec![]))).await.expect("others go on");
}

#[tokio::test]
async fn a_store_of_another_version_or_half_restored_is_not_opened() {
    // Goal: no version reads what it does not know. Method: another format byte; the mark of a restore.
    let map = MapKv::default();
    drop(open(&map));
    let sealed = |key: &[u8], payload: &[u8]| frame::seal(Space::Own, key, payload);
    let refused =
        |map: &MapKv| KvStore::open(map.clone(), Gather::default()).err().expect("refused").to_string();
    map.with(|pairs| {
        pairs.insert((Space::Own, frame::FORMAT_KEY.to_vec()), sealed(frame::FORMAT_KEY, &[2]));
    });
    assert!(refused(&map).contains("version"));
    let map = MapKv::default();
    drop(open(&map));
    map.with(|pairs| {
        pairs.insert((Space::Own, frame::RESTORING_KEY.to_vec()), sealed(frame::RESTORING_KEY, &[]));
    });
    assert!(refused(&map).contains("restore the backup again"));
}

#[tokio::test]
async fn a_long_history_is_read_and_forgotten_in_bounded_steps() {
    // Goal: no query and no expiry holds a thread for long, and none ends early for it. Method: more hours of a device
    // than one page looks at, a filter that finds little, more chunks than one step removes.
    const HOUR: i64 = 3_600_000;
    let map = MapKv::default();
    let store = open(&map);
    let device = Some(DeviceId::from_random([1; 16]));
    // An arrival at the first millisecond of every hour around those where a page's effort ends, upwards and downwards.
    let hours: Vec<i64> = [1].into_iter().chain(4080..4110).chain(4890..4920).chain([9000]).collect();
    for (sequence, hour) in (1..).zip(&hours) {
        store.append(delivery(hour * HOUR, sequence..sequence + 1)).await.expect("appended");
    }
    for newest_first in [false, true] {
        let mut query = EventQuery { device, newest_first, ..EventQuery::all() };
        let mut found = Vec::new();
        let mut pages = 0;
        loop {
            let page = store.events(query.clone()).await.expect("read");
            pages += 1;
            found.extend(page.events.iter().map(|(id, _)| id.received.0 / HOUR));
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        if newest_first {
            found.reverse();
        }
        assert_eq!(found, hours);
        assert_eq!(pages, 3, "9,000 hours, 4,096 a page");
    }
    for n in 0..3 {
        let from = 100 + n * 30_000;
        store.append(delivery(9000 * HOUR + 1, from..from + 30_000)).await.expect("appended");
    }
    let kind = Some(7);
    let page = store.events(EventQuery { kind, ..EventQuery::all() }).await.expect("read");
    assert!(page.events.is_empty());
    assert_eq!(page.next, None, "fewer chunks than one page looks at");
    let before = store.writer.counts().1;
    let expired = store.expire(Millis(i64::MAX)).await.expect("expired");
    assert_eq!(expired.events, 90_062);
    assert!(store.writer.counts().1 - before > 1, "others get between the steps");
    assert!(map.with(|pairs| pairs.keys().all(|(space, _)| matches!(space, Space::Own | Space::Rows))));
}
