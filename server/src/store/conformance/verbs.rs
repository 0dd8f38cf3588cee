//! One function a promise of the port.

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_server_core::audit::{Entry, Recorded};
use cordon_server_core::change::generation_body;

use super::*;
use crate::store::{
    Chunk, Expected, Expired, Idempotency, Lease, LeaseAnswer, LeaseRequest, Row, Set, StoreError,
};

async fn put(store: &dyn Store, key: Key, body: &[u8]) -> Revision {
    let commit = draft().put(key, body.to_vec()).finish().expect("fine");
    store.commit(commit).await.expect("committed").revision
}

async fn get(store: &dyn Store, key: Key) -> Option<Row> {
    store.get(key).await.expect("read")
}

fn is_conflict<T>(answer: &Result<T, StoreError>, key: &Key) -> bool {
    matches!(answer, Err(StoreError::Conflict(found)) if found == key)
}

pub(super) async fn a_document_is_absent_then_there_then_gone(subject: &Subject) {
    // Goal: put, get, delete. Method: one key; its revisions rise.
    let store = subject.open();
    assert_eq!(get(&*store, site("a")).await, None);
    let first = put(&*store, site("a"), b"1").await;
    assert_eq!(get(&*store, site("a")).await, Some(Row { revision: first, body: b"1".to_vec() }));
    let second = put(&*store, site("a"), b"").await;
    assert!(first < second);
    assert_eq!(get(&*store, site("a")).await, Some(Row { revision: second, body: vec![] }));
    let gone = store
        .commit(draft().delete(site("a")).delete(site("b")).finish().expect("fine"))
        .await
        .expect("committed");
    assert!(second < gone.revision);
    assert_eq!(get(&*store, site("a")).await, None);
    assert_eq!(store.health().await.expect("well").problem, None);
}

pub(super) async fn a_commit_whose_expectation_fails_changes_nothing(subject: &Subject) {
    // Goal: all or nothing. Method: a commit over three keys with one stale expectation, absent and present.
    let store = subject.open();
    let revision = put(&*store, site("a"), b"1").await;
    let stale = put(&*store, site("b"), b"1").await;
    put(&*store, site("b"), b"2").await;
    let before = dump(&*store).await;
    for (key, expected) in
        [(site("b"), Expected::At(stale)), (site("a"), Expected::Absent), (site("c"), Expected::At(revision))]
    {
        let commit = draft()
            .expect(site("z"), Expected::Absent)
            .expect(key.clone(), expected)
            .put(site("a"), b"9".to_vec())
            .delete(site("b"))
            .audit(Entry::new(name("site.change"), text("a")));
        assert!(is_conflict(&store.commit(commit.finish().expect("fine")).await, &key));
    }
    assert_eq!(dump(&*store).await, before);
    let commit = draft().expect(site("a"), Expected::At(revision)).delete(site("a")).finish().expect("fine");
    assert!(store.commit(commit).await.is_ok());
}

pub(super) async fn each_of_many_writers_has_its_own_outcome(subject: &Subject) {
    // Goal: one winner of a race, and no neighbour fails with a loser. Method: twelve writers at once, four on one key.
    let store = subject.open();
    let writers = (0..12).map(|n: u8| {
        let contested = n.is_multiple_of(3);
        let key = if contested { site("contested") } else { site(&format!("own{n}")) };
        let commit = draft().expect(key.clone(), Expected::Absent).put(key, vec![n]).finish().expect("fine");
        let store = store.clone();
        async move { (contested, store.commit(commit).await) }
    });
    let outcomes = futures_util::future::join_all(writers).await;
    let won = outcomes.iter().filter(|(contested, outcome)| *contested && outcome.is_ok()).count();
    let lost = outcomes.iter().filter(|(_, outcome)| is_conflict(outcome, &site("contested"))).count();
    assert_eq!((won, lost), (1, 3));
    assert!(outcomes.iter().all(|(contested, outcome)| *contested || outcome.is_ok()));
    assert_eq!(scan_all(&*store, Index::All(Kind::Site), Cursor::First, 500).await.len(), 9);
}

pub(super) async fn one_of_16_racing_writers_wins(subject: &Subject) {
    // Goal: an expectation is a promise, however close the others are. Method: twenty rounds of 16 writers, each a task
    // of its own, that want the same key absent and leave an audit entry; then who won, by all accounts.
    let store = subject.open();
    for round in 0..20 {
        let key = site(&format!("round{round}"));
        let gate = Arc::new(tokio::sync::Barrier::new(16));
        let writers: Vec<_> = (0..16_u8)
            .map(|writer| {
                let commit = draft()
                    .expect(key.clone(), Expected::Absent)
                    .put(key.clone(), vec![writer])
                    .audit(Entry::new(name("site.add"), text(&format!("{round}/{writer}"))));
                let (store, gate) = (store.clone(), gate.clone());
                let commit = commit.finish().expect("fine");
                tokio::spawn(async move {
                    gate.wait().await;
                    (writer, store.commit(commit).await)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for outcome in writers {
            match outcome.await.expect("no panic") {
                (writer, Ok(_)) => winners.push(writer),
                (_, lost) => assert!(is_conflict(&lost, &key), "{lost:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(get(&*store, key).await.map(|row| row.body), Some(winners));
    }
    assert_eq!(scan_all(&*store, Index::All(Kind::Audit), Cursor::First, 500).await.len(), 20);
}

pub(super) async fn a_repeated_request_gets_the_first_outcome(subject: &Subject) {
    // Goal: idempotency, across a restart too. Method: repeat; repeat after reopening; misuse the key.
    let once = |request| Idempotency {
        key: text("k"),
        request: Sha256([request; 32]),
        outcome: b"made".to_vec(),
        until: Timestamp(2000),
    };
    let make = |request| {
        draft()
            .expect(site("a"), Expected::Absent)
            .put(site("a"), vec![1])
            .once(once(request))
            .finish()
            .expect("fine")
    };
    let first = subject.open().commit(make(1)).await.expect("committed");
    assert_eq!((first.outcome.as_deref(), first.repeated), (Some(&b"made"[..]), false));
    let store = subject.open();
    let before = dump(&*store).await;
    let again = store.commit(make(1)).await.expect("repeated");
    assert_eq!((again.revision, again.outcome, again.repeated), (first.revision, first.outcome, true));
    assert!(matches!(store.commit(make(2)).await, Err(StoreError::Conflict(Key::Idempotency(_)))));
    assert_eq!(dump(&*store).await, before);
}

pub(super) async fn a_commit_of_500_changes_is_one_transaction(subject: &Subject) {
    // Goal: the largest commit works. Method: 500 puts with 500 expectations; one revision; one entry for followers.
    let store = subject.open();
    let keys = || (0..limits::COMMIT_CHANGES).map(|n| site(&format!("s{n:03}")));
    let commit =
        keys().fold(draft(), |draft, key| draft.expect(key.clone(), Expected::Absent).put(key, vec![1]));
    let committed = store.commit(commit.finish().expect("500 are allowed")).await.expect("committed");
    let rows = scan_all(&*store, Index::All(Kind::Site), Cursor::First, limits::PAGE_ROWS).await;
    assert_eq!(rows.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys().collect::<Vec<_>>());
    assert!(rows.iter().all(|(_, row)| row.revision == committed.revision));
    let feed = feed_all(&*store).await.expect("whole");
    assert_eq!((feed.len(), feed[0].keys.len()), (1, 500));
}

pub(super) async fn audit_entries_are_kept_in_order_without_gaps(subject: &Subject) {
    // Goal: a journal in commit order. Method: entries over several commits, one of which conflicts; read both ways.
    let store = subject.open();
    let entry = |object: &str| Entry::new(name("site.add"), text(object));
    let commit = |draft: Draft| store.commit(draft.finish().expect("fine"));
    commit(draft().audit(entry("1")).audit(entry("2"))).await.expect("committed");
    let lost = draft().expect(site("x"), Expected::At(Revision(1))).audit(entry("lost"));
    assert!(commit(lost).await.is_err());
    commit(draft().put(site("a"), vec![]).audit(entry("3"))).await.expect("committed");
    let read = |rows: Vec<(Key, Row)>| -> Vec<(u64, String)> {
        let read = rows.iter().map(|(_, row)| Recorded::from_bytes(&row.body).expect("an entry"));
        read.map(|recorded| (recorded.sequence, recorded.entry.object.to_string())).collect()
    };
    let mut wanted = vec![(1, "1".to_owned()), (2, "2".to_owned()), (3, "3".to_owned())];
    assert_eq!(read(scan_all(&*store, Index::All(Kind::Audit), Cursor::First, 2).await), wanted);
    wanted.reverse();
    assert_eq!(read(scan_all(&*store, Index::All(Kind::Audit), Cursor::Last, 2).await), wanted);
    assert!(get(&*store, Key::Audit(2)).await.is_some());
}

pub(super) async fn records_are_stored_once_however_often_they_come(subject: &Subject) {
    // Goal: at least once in, stored once. Method: repeat, overlap, another boot, another device, a reset watermark.
    let store = subject.open();
    let append = async |delivery| {
        let appended = store.append(delivery).await.expect("appended");
        (appended.stored, appended.duplicates, appended.through.boot, appended.through.sequence)
    };
    assert_eq!(append(delivery(1, 100, [])).await, (0, 0, 0, 0));
    assert_eq!(append(delivery(1, 100, [(1, 1), (1, 2)])).await, (2, 0, 1, 2));
    assert_eq!(append(delivery(1, 101, [(1, 1), (1, 2)])).await, (0, 2, 1, 2));
    assert_eq!(append(delivery(1, 101, [(1, 2), (1, 3), (2, 1)])).await, (2, 1, 2, 1));
    assert_eq!(
        append(delivery(2, 101, [(1, 1)])).await,
        (1, 0, 1, 1),
        "another device has its own watermark"
    );
    let all = events_all(&*store, EventQuery::all()).await;
    let places: Vec<_> =
        all.iter().map(|(id, _)| (id.received.0, id.position.boot, id.position.sequence)).collect();
    assert_eq!(places, [(100, 1, 1), (100, 1, 2), (101, 1, 3), (101, 2, 1), (101, 1, 1)]);
    assert!(all.iter().all(|(id, found)| *found == record(id.position.boot, id.position.sequence)));
    let reset = draft().delete(Key::Watermark(device(1))).finish().expect("fine");
    store.commit(reset).await.expect("committed");
    assert_eq!(append(delivery(1, 100, [(1, 2)])).await, (1, 0, 1, 2), "a device that began again is heard");
    let of_one = EventQuery { device: Some(device(1)), ..EventQuery::all() };
    let all = events_all(&*store, of_one).await;
    let places: Vec<_> = all.iter().map(|(id, _)| (id.received.0, id.position.sequence)).collect();
    assert_eq!(
        places,
        [(100, 1), (100, 2), (101, 3), (101, 1), (102, 2)],
        "beside, not over, what it sent before"
    );
}

pub(super) async fn pages_of_documents_meet_without_gap_or_overlap(subject: &Subject) {
    // Goal: cursors. Method: every page size, both ways, from every key, beside neighbouring kinds; rows that come and
    // go between two pages.
    let store = subject.open();
    let keys: Vec<Key> = ["a", "ab", "b", "c0", "c1"].map(site).to_vec();
    let draft = keys.iter().fold(draft(), |draft, key| draft.put(key.clone(), vec![1]));
    let neighbours = draft.put(Key::Profile(device(9)), vec![]).put(Key::Feed(name("0")), vec![]);
    store.commit(neighbours.finish().expect("fine")).await.expect("committed");
    let listed = async |from, limit| -> Vec<Key> {
        scan_all(&*store, Index::All(Kind::Site), from, limit).await.into_iter().map(|(key, _)| key).collect()
    };
    let fallen: Vec<Key> = keys.iter().rev().cloned().collect();
    for limit in 1..=6 {
        assert_eq!(listed(Cursor::First, limit).await, keys);
        assert_eq!(listed(Cursor::Last, limit).await, fallen);
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(listed(Cursor::After(key.clone()), limit).await, keys[n + 1..]);
            assert_eq!(listed(Cursor::Before(key.clone()), limit).await, fallen[keys.len() - n..]);
        }
    }
    let page = store.scan(Index::All(Kind::Site), Cursor::First, 2).await.expect("scanned");
    store
        .commit(super::draft().delete(site("ab")).delete(site("b")).finish().expect("fine"))
        .await
        .expect("committed");
    let rest = listed(page.next.expect("more"), 2).await;
    assert_eq!(rest, [site("c0"), site("c1")], "a cursor does not need its row");
    assert!(listed(Cursor::After(site("zz")), 2).await.is_empty());
}

async fn scatter(store: &dyn Store) {
    const HOUR: i64 = 3_600_000;
    for (of, received, positions) in [
        (1, -HOUR - 1, 1..4),
        (2, -1, 1..2),
        (1, 0, 4..6),
        (3, HOUR - 1, 1..300),
        (1, HOUR, 6..7),
        (1, HOUR + 1, 7..200),
        (2, 9 * HOUR, 2..5),
        (1, 9 * HOUR, 200..203),
    ] {
        let positions = positions.map(|sequence| (1, sequence));
        store.append(delivery(of, received, positions)).await.expect("appended");
    }
}

pub(super) async fn pages_of_events_meet_without_gap_or_overlap(subject: &Subject) {
    // Goal: cursors of telemetry, over chunks, batches, devices and hours. Method: page sizes against one long read.
    let store = subject.open();
    scatter(&*store).await;
    let whole = events_all(&*store, EventQuery::all()).await;
    assert_eq!(whole.len(), 3 + 1 + 2 + 299 + 1 + 193 + 3 + 3);
    assert!(whole.windows(2).all(|pair| pair[0].0 < pair[1].0), "time first, each once");
    for of in [None, Some(device(1)), Some(device(3)), Some(device(7))] {
        for (newest_first, limit) in [(false, 37), (true, 37), (true, 200), (false, 500), (true, 1)] {
            let query = EventQuery { device: of, newest_first, limit, ..EventQuery::all() };
            let mut wanted: Vec<_> =
                whole.iter().filter(|(id, _)| of.is_none_or(|of| of == id.device)).cloned().collect();
            if newest_first {
                wanted.reverse();
            }
            assert_eq!(events_all(&*store, query).await, wanted, "{of:?} {newest_first} {limit}");
        }
    }
}

pub(super) async fn telemetry_is_found_by_device_kind_and_time(subject: &Subject) {
    // Goal: filters. Method: windows around the edges of hours and batches, against a filter of everything.
    const HOUR: i64 = 3_600_000;
    let store = subject.open();
    scatter(&*store).await;
    let whole = events_all(&*store, EventQuery::all()).await;
    let edges =
        [i64::MIN, -HOUR - 1, -HOUR, -1, 0, 1, HOUR, HOUR + 1, HOUR + 2, 9 * HOUR, 9 * HOUR + 1, i64::MAX];
    for (from, until) in edges.iter().flat_map(|from| edges.iter().map(move |until| (*from, *until))) {
        for (of, kind, newest_first) in
            [(Some(1), None, true), (Some(2), Some(2), false), (None, Some(0), true)]
        {
            let query = EventQuery {
                device: of.map(device),
                kind,
                from: Millis(from),
                until: Millis(until),
                newest_first,
                ..EventQuery::all()
            };
            let wanted = whole.iter().filter(|(id, record)| query.wants(*id, record)).count();
            let found = events_all(&*store, query.clone()).await;
            assert_eq!(found.len(), wanted, "{query:?}");
            assert!(found.iter().all(|(id, record)| query.wants(*id, record)));
        }
    }
}

async fn ask(store: &dyn Store, holder: &str, now: i64) -> Result<Lease, (String, i64)> {
    let request = LeaseRequest { name: name("job"), holder: text(holder), ttl_ms: 100, now: Millis(now) };
    match store.lease(request).await.expect("answered") {
        LeaseAnswer::Granted(lease) => Ok(lease),
        LeaseAnswer::Held { by, until } => Err((by.to_string(), until.0)),
    }
}

pub(super) async fn a_lease_has_one_holder_and_fences_the_last(subject: &Subject) {
    // Goal: a holder that lost its lease can change nothing. Method: take, refuse, renew, lapse, guard, give back.
    let store = subject.open();
    let guarded = |lease: &Lease, body: u8| {
        let (key, expected) = lease.guard();
        draft().expect(key, expected).put(site("sealed"), vec![body]).finish().expect("fine")
    };
    let first = ask(&*store, "one", 1000).await.expect("free");
    assert_eq!(ask(&*store, "two", 1099).await, Err(("one".to_owned(), 1100)));
    let renewed = ask(&*store, "one", 1050).await.expect("its own");
    assert_eq!((renewed.token, renewed.until), (first.token, Millis(1150)));
    store.commit(guarded(&first, 1)).await.expect("still the holder");
    let second = ask(&*store, "two", 1150).await.expect("lapsed");
    assert!(second.token > first.token);
    assert!(is_conflict(&store.commit(guarded(&renewed, 2)).await, &Key::Lease(name("job"))));
    store.commit(guarded(&second, 3)).await.expect("the holder now");
    assert_eq!(get(&*store, site("sealed")).await.map(|row| row.body), Some(vec![3]));
    let (key, expected) = second.guard();
    store
        .commit(draft().expect(key.clone(), expected).delete(key).finish().expect("fine"))
        .await
        .expect("given back");
    let third = ask(&*store, "three", 1151).await.expect("free");
    assert!(third.token > second.token, "tokens rise although the lease was removed");
}

pub(super) async fn followers_read_commits_in_order(subject: &Subject) {
    // Goal: changes order is commit order. Method: writers at once; the feed against each document's last revision.
    let store = subject.open();
    let writers = (0..20).map(|n: u8| {
        let (store, key) = (store.clone(), site(&format!("s{}", n % 4)));
        let draft = if n % 7 == 6 { draft().delete(key) } else { draft().put(key, vec![n]) };
        async move { store.commit(draft.finish().expect("fine")).await.expect("committed").revision }
    });
    let mut revisions = futures_util::future::join_all(writers).await;
    store.append(delivery(1, 5, [(1, 1)])).await.expect("appended");
    store
        .commit(draft().audit(Entry::new(name("a"), text("b"))).finish().expect("fine"))
        .await
        .expect("committed");
    let feed = feed_all(&*store).await.expect("whole");
    revisions.sort_unstable();
    assert_eq!(feed.iter().map(|changed| changed.revision).collect::<Vec<_>>(), revisions, "documents only");
    for n in 0..4 {
        let key = site(&format!("s{n}"));
        let mut touches = feed.iter().filter(|changed| changed.keys[0].key == key);
        let last = touches.next_back().expect("touched");
        let row = get(&*store, key).await;
        assert_eq!(row.map(|row| row.revision), (!last.keys[0].deleted).then_some(last.revision));
    }
    let Feed::Commits(rest) = store.changes(revisions[9], 500).await.expect("read") else { panic!("gone") };
    assert_eq!(rest, feed[10..]);
}

pub(super) async fn a_generation_is_unseen_until_the_pointer_moves(subject: &Subject) {
    // Goal: bulk data is swapped whole. Method: load two generations in chunks, swap, drop the old, refuse the current.
    let store = subject.open();
    let set = Set::Advisories;
    let chunk = |rows: &[(&str, &str)]| {
        let rows = rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
        Chunk::new(rows.collect()).expect("small")
    };
    let rows = async |generation| {
        let rows = scan_all(&*store, Index::RowsOf(set, generation), Cursor::First, 2).await;
        rows.into_iter().map(|(_, row)| String::from_utf8(row.body).expect("UTF-8")).collect::<Vec<_>>()
    };
    let point =
        |generation| draft().put(Key::Generation(set), generation_body(generation)).finish().expect("fine");
    store.load(set, 1, chunk(&[("b", "1b"), ("a", "1a")])).await.expect("loaded");
    store.load(set, 1, chunk(&[("c", "1c"), ("a", "1a")])).await.expect("a chunk may overlap");
    store.commit(point(1)).await.expect("pointed");
    store.load(set, 2, chunk(&[("a", "2a")])).await.expect("loaded");
    assert_eq!((rows(1).await.concat(), rows(2).await.concat()), ("1a1b1c".to_owned(), "2a".to_owned()));
    let pointer = Key::Generation(set);
    assert!(is_conflict(&store.load(set, 1, chunk(&[("d", "x")])).await, &pointer));
    assert!(is_conflict(&store.drop_generation(set, 1).await, &pointer));
    store.commit(point(2)).await.expect("swapped");
    assert_eq!(store.drop_generation(set, 1).await.expect("dropped"), 3);
    assert_eq!(store.drop_generation(set, 1).await.expect("nothing left"), 0);
    assert_eq!((rows(1).await.len(), rows(2).await.concat()), (0, "2a".to_owned()));
    assert_eq!(feed_all(&*store).await.expect("whole").len(), 2, "followers see the pointer, not the rows");
    assert!(Chunk::new(vec![(vec![0; limits::BULK_KEY_BYTES + 1], vec![])]).is_err());
}

pub(super) async fn what_is_old_is_forgotten_and_nothing_else(subject: &Subject) {
    // Goal: retention. Method: telemetry, outcomes and followed commits on both sides of a time; documents and audit stay.
    let store = subject.open();
    let once = |key: &str, until| Idempotency {
        key: text(key),
        request: Sha256([1; 32]),
        outcome: vec![],
        until: Timestamp(until),
    };
    let old =
        draft_at(10).put(site("old"), vec![]).once(once("old", 50)).audit(Entry::new(name("a"), text("b")));
    let old = store.commit(old.finish().expect("fine")).await.expect("committed").revision;
    let new = draft_at(7201).put(site("new"), vec![]).once(once("new", 7202)).finish().expect("fine");
    let new = store.commit(new).await.expect("committed").revision;
    for (of, received) in [(1, 7_199_999), (2, 7_199_999), (1, 7_200_000)] {
        let sequence = 2 * u64::try_from(received).expect("positive");
        store.append(delivery(of, received, [(1, sequence), (1, sequence + 1)])).await.expect("appended");
    }
    let expired = store.expire(Millis(7_200_001)).await.expect("expired");
    assert_eq!(expired, Expired { events: 4, outcomes: 1, commits: 1 });
    assert_eq!(store.expire(Millis(7_200_001)).await.expect("expired"), Expired::default());
    assert_eq!(events_all(&*store, EventQuery::all()).await.len(), 2);
    let of_one = EventQuery { device: Some(device(1)), ..EventQuery::all() };
    assert_eq!(events_all(&*store, of_one).await.len(), 2);
    assert!(
        matches!(store.changes(Revision(0), 5).await.expect("read"), Feed::Gone { resume } if resume >= new)
    );
    let Feed::Commits(rest) = store.changes(old, 5).await.expect("read") else { panic!("gone") };
    assert_eq!(rest.iter().map(|changed| changed.revision).collect::<Vec<_>>(), [new]);
    assert_eq!(scan_all(&*store, Index::All(Kind::Site), Cursor::First, 5).await.len(), 2);
    assert_eq!(scan_all(&*store, Index::All(Kind::Audit), Cursor::First, 5).await.len(), 1);
    let again = store.append(delivery(1, 7_200_001, [(1, 99_999)])).await.expect("appended");
    assert_eq!(again.duplicates, 1, "the watermark does not expire");
}

async fn fill(store: &dyn Store) {
    scatter(store).await;
    let once =
        Idempotency { key: text("k"), request: Sha256([1; 32]), outcome: vec![7], until: Timestamp(2000) };
    let commit = draft().put(site("a"), vec![1; 5000]).audit(Entry::new(name("a"), text("b"))).once(once);
    store.commit(commit.finish().expect("fine")).await.expect("committed");
    store
        .commit(draft().put(site("b"), vec![]).delete(site("a")).finish().expect("fine"))
        .await
        .expect("committed");
    ask(store, "one", 5).await.expect("free");
    store
        .load(Set::Suppressions, 3, Chunk::new(vec![(vec![0, 255], vec![1])]).expect("small"))
        .await
        .expect("loaded");
}

pub(super) async fn a_backup_restores_to_the_same_store(subject: &Subject) {
    // Goal: a backup opens and equals, in every engine. Method: restore into the model and into each engine; go on there.
    let store = subject.open();
    fill(&*store).await;
    let path = subject.path("backup");
    let backup = store.backup(path.clone()).await.expect("backed up");
    let (before, feed) = (dump(&*store).await, feed_all(&*store).await);
    assert_eq!(backup.events, 505);
    for into in [Subject::memory(), Subject::redb()] {
        let other = into.open();
        assert_eq!(other.restore(path.clone()).await.expect("restored"), backup);
        drop(other);
        let other = into.open();
        assert_eq!(dump(&*other).await, before);
        assert_eq!(
            feed_all(&*other).await,
            feed,
            "revisions are kept, so followers and fencing tokens go on"
        );
        assert_eq!(other.append(delivery(3, 77, [(1, 299)])).await.expect("appended").duplicates, 1);
        let entry = draft().audit(Entry::new(name("c"), text("d"))).finish().expect("fine");
        let next = other.commit(entry).await.expect("committed").revision;
        assert!(next > store.health().await.expect("well").revision);
        assert!(get(&*other, Key::Audit(2)).await.is_some(), "the journal goes on without a gap");
    }
}

pub(super) async fn a_damaged_backup_or_a_full_store_is_not_restored(subject: &Subject) {
    // Goal: nothing is believed of a damaged backup, nothing overwritten by a good one. Method: flip a byte; restore twice.
    let store = subject.open();
    fill(&*store).await;
    let path = subject.path("backup");
    store.backup(path.clone()).await.expect("backed up");
    assert!(store.backup(path.clone()).await.is_err(), "a backup is never replaced");
    let before = dump(&*store).await;
    assert!(store.restore(path.clone()).await.is_err());
    assert_eq!(dump(&*store).await, before);
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("damaged");
    let other = Subject::memory().open();
    assert!(matches!(other.restore(path).await, Err(StoreError::Corrupt(_))));
    assert_eq!(dump(&*other).await, dump(&Memory::new()).await);
}

pub(super) async fn a_watcher_is_told_of_commits_and_not_of_telemetry(subject: &Subject) {
    // Goal: pushes need no polling, and ingest wakes nobody. Method: the hint after each verb.
    let store = subject.open();
    let mut latest = store.latest();
    latest.mark_unchanged();
    store.append(delivery(1, 5, [(1, 1)])).await.expect("appended");
    ask(&*store, "one", 5).await.expect("free");
    assert!(!latest.has_changed().expect("open"));
    let revision = put(&*store, site("a"), b"1").await;
    assert!(latest.has_changed().expect("open"));
    assert_eq!(*latest.borrow_and_update(), revision);
}

pub(super) async fn everything_answered_is_there_after_reopening(subject: &Subject) {
    // Goal: what was answered stays. Method: fill, close, open, compare; numbers go on above the old ones.
    let store = subject.open();
    fill(&*store).await;
    let (before, revision) = (dump(&*store).await, store.health().await.expect("well").revision);
    drop(store);
    let store = subject.open();
    assert_eq!(dump(&*store).await, before);
    assert_eq!(store.health().await.expect("well").revision, revision);
    assert!(put(&*store, site("z"), b"").await > revision);
}
