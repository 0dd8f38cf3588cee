//! The sealer and the export over a real file: one head a size, nothing signed over a tampered store, all of it named.

use std::sync::Arc;

use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::audit::export::{Examination, Tampering, Verified};
use cordon_server_core::audit::{Actor, Entry, Recorded};
use cordon_server_core::change::Commit;

use super::*;
use crate::store::kv::KvStore;
use crate::store::redb::{Options, Redb};

const NOW: Millis = Millis(1_800_000_000_000);

/// A store in a file, and its log.
struct Bench {
    _folder: tempfile::TempDir,
    store: Arc<KvStore<Redb>>,
    key: AuditKey,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { cache_bytes: 1 << 20, reserve_bytes: 0, ..Options::default() };
        let store = Redb::open(&folder.path().join("store.redb"), options).expect("opened");
        Self { _folder: folder, store: Arc::new(store), key: AuditKey::make() }
    }

    /// Another server on the same store.
    fn log(&self) -> AuditLog {
        AuditLog::new(self.store.clone(), self.key.clone())
    }

    async fn write(&self, entries: usize) {
        let mut left = entries;
        while left > 0 {
            let some = left.min(limits::COMMIT_CHANGES);
            let mut draft = Commit::draft(Timestamp(5), actor());
            for _ in 0..some {
                draft = draft.audit(act("device.quarantine"));
            }
            self.store.commit(draft.finish().expect("fine")).await.expect("committed");
            left -= some;
        }
    }

    /// Whole, as `cordonctl audit export` writes it, checked against the head that was kept.
    async fn verify(&self, kept: &SignedHead) -> Result<Verified, Tampering> {
        let log = self.log();
        let size = log.head().await.expect("read").map_or(kept.size(), |head| head.size());
        let (mut lines, mut after) = (Vec::new(), 0);
        while after < size {
            lines.extend(log.export(after, size).await.expect("exported"));
            after = size.min(after + limits::AUDIT_EXPORT_ROWS);
        }
        let mut check = Examination::default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            check.line(line.strip_suffix(b"\n").expect("whole lines"));
        }
        for head in log.heads(0).await.expect("read") {
            check.line(&head.to_bytes());
        }
        check.finish(std::slice::from_ref(kept), None)
    }

    async fn stored(&self, sequence: u64) -> Vec<u8> {
        self.store.get(Key::Audit(sequence)).await.expect("read").expect("there").body
    }
}

fn actor() -> Actor {
    Actor::Server("tests".parse().expect("name"))
}

fn act(action: &str) -> Entry {
    Entry::new(action.parse().expect("name"), "device:x".parse().expect("text"))
}

fn forged(sequence: u64) -> Vec<u8> {
    Recorded { sequence, at: Timestamp(5), actor: actor(), entry: act("device.release") }.to_bytes()
}

#[tokio::test]
async fn what_was_written_is_sealed_in_order_proved_and_verified() {
    // Goal: from the journal to a verified export, over restarts. Method: batches of odd sizes, a new sealer for each.
    let bench = Bench::new();
    assert_eq!(bench.log().seal(NOW).await.expect("nothing"), 0);
    let mut heads = Vec::new();
    for (round, count) in (0..).zip([1, 254, 1, 1, 700, 2500]) {
        bench.write(count).await;
        let log = bench.log();
        let now = NOW.plus(round * 10_000);
        assert_eq!(log.seal(now).await.expect("sealed"), u64::try_from(count).expect("small"));
        assert_eq!(log.seal(now).await.expect("nothing new"), 0);
        let standing = log.standing();
        assert_eq!((standing.entries, standing.unsealed_since), (standing.sealed(), None));
        heads.push(log.head().await.expect("read").expect("a head"));
    }
    let log = bench.log();
    assert_eq!(log.heads(0).await.expect("read"), heads);
    let newest = heads.last().expect("six");
    assert_eq!(newest.size(), 3457);
    for kept in &heads {
        assert_eq!(bench.verify(kept).await.expect("whole").entries, 3457);
        let proof = log.consistency(kept.size(), newest.size()).await.expect("read").expect("proved");
        assert!(proof.proves(&kept.head().root, &newest.head().root));
        let leaf = cordon_proto::merkle::leaf_hash(&bench.stored(kept.size()).await);
        let proof = log.inclusion(kept.size(), newest.size()).await.expect("read").expect("proved");
        assert!(proof.proves(&leaf, &newest.head().root));
    }
    assert_eq!(log.inclusion(3458, 3458).await.expect("read"), None, "no such entry");
    assert_eq!(log.consistency(1, 3458).await.expect("read"), None, "no such head");
    log.check(NOW.seconds()).await.expect("as it was sealed");
    assert_eq!(log.standing().verified, Some(NOW.seconds()));
}

#[tokio::test]
async fn a_sealer_that_lost_its_lease_writes_nothing() {
    // Goal: fencing. Method: one prepares a batch and sleeps; another takes the lease over before it has written
    // anything; the first wakes up. Then once more, where the other has written.
    let bench = Bench::new();
    bench.write(10).await;
    let (first, second) = (bench.log(), bench.log());
    let late = first.prepare(NOW).await.expect("read").expect("a batch");
    assert!(second.prepare(NOW).await.expect("read").is_none(), "the lease is held");
    let taken = NOW.plus(60_000);
    let batch = second.prepare(taken).await.expect("read").expect("taken over");
    assert!(!first.write(late).await.expect("refused"), "the lease is another's");
    assert_eq!(first.head().await.expect("read"), None, "nothing was written");
    assert!(second.write(batch).await.expect("written"));
    bench.write(1).await;
    let late = second.prepare(taken).await.expect("read").expect("a batch");
    assert_eq!(first.seal(taken.plus(60_000)).await.expect("sealed"), 1);
    assert!(!second.write(late).await.expect("refused"));
    assert_eq!(first.heads(0).await.expect("read").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_sealers_never_sign_two_heads_of_one_size() {
    // Goal: one log, whoever seals. Method: four sealers without regard to their leases, each a minute ahead of the
    // one before so that every lease has run out, over a journal that grows; every head ever returned is one of one line.
    let bench = Arc::new(Bench::new());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..4 {
        let bench = bench.clone();
        tasks.spawn(async move {
            let log = bench.log();
            for round in 0..25 {
                bench.write(3).await;
                log.seal(NOW.plus((round * 4 + n) * 60_000)).await.expect("sealed or not ours");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    let log = bench.log();
    log.seal(NOW.plus(10_000_000_000)).await.expect("the rest");
    let heads = log.heads(0).await.expect("read");
    let newest = heads.last().expect("heads").clone();
    assert_eq!(newest.size(), 300);
    for head in &heads {
        let proof = log.consistency(head.size(), 300).await.expect("read").expect("proved");
        assert!(proof.proves(&head.head().root, &newest.head().root));
    }
    assert_eq!(bench.verify(&heads[0]).await.expect("whole").entries, 300);
}

#[tokio::test]
async fn nothing_is_signed_over_a_store_that_was_tampered_with() {
    // Goal: the sealer stops and names it. Method: each thing the next head would stand on is changed, on a store of
    // its own, and then more is written.
    let cases: [(&str, Key, Option<Vec<u8>>, Fault); 6] = [
        ("a kept hash", tile(1), Some(Tile::default().to_body()), Fault::Tiles(300)),
        ("a lost tile", tile(1), None, Fault::Tiles(300)),
        ("a dropped head", Key::AuditHead(300), None, Fault::Tiles(290)),
        ("a foreign head", Key::AuditHead(300), Some(b"{}".to_vec()), Fault::Head(0)),
        ("an edited entry", Key::Audit(299), Some(forged(299)), Fault::Changed(299)),
        ("a dropped entry", Key::Audit(302), None, Fault::Missing(302)),
    ];
    for (what, key, body, fault) in cases {
        let bench = Bench::new();
        bench.write(290).await;
        bench.log().seal(NOW).await.expect("sealed");
        bench.write(10).await;
        bench.log().seal(NOW.plus(60_000)).await.expect("sealed");
        bench.write(5).await;
        bench.store.tamper([(key, body)]);
        let log = bench.log();
        let error = log.seal(NOW.plus(120_000)).await.expect_err(what);
        assert!(matches!(&error, SealError::Fault(found) if *found == fault), "{what}: {error}");
        let standing = log.standing();
        assert_eq!(standing.fault(), Some(&fault), "{what}");
        assert!(standing.unsealed_s(NOW.seconds().plus_seconds(150)) <= 30);
        assert!(bench.store.get(Key::AuditHead(305)).await.expect("read").is_none(), "{what}");
    }
    let bench = Bench::new();
    bench.write(3).await;
    bench.log().seal(NOW).await.expect("sealed");
    let other = AuditLog::new(bench.store.clone(), AuditKey::make());
    bench.write(1).await;
    let error = other.seal(NOW.plus(60_000)).await.expect_err("another key");
    assert!(matches!(error, SealError::Fault(Fault::OtherKey)), "{error}");
    bench.store.tamper([3, 4].map(|sequence| (Key::Audit(sequence), None)));
    let error = bench.log().seal(NOW.plus(60_000)).await.expect_err("truncated");
    assert!(matches!(error, SealError::Fault(Fault::Missing(3))), "{error}");
}

fn tile(index: u64) -> Key {
    Key::AuditTile(TileAt { level: 0, index })
}

/// What is done to stored entries: the entry, and what stands there then.
type Act = Vec<(u64, Option<Vec<u8>>)>;

/// Every kind of tampering with the stored entry `at` of `last`.
async fn acts(bench: &Bench, at: u64, last: u64) -> Vec<(&'static str, Act, u64)> {
    let other = if at == last { 1 } else { at + 1 };
    let (mine, its) = (bench.stored(at).await, bench.stored(other).await);
    let mut flipped = mine.clone();
    flipped[usize::try_from(at).expect("small") % mine.len()] ^= 1;
    vec![
        ("edit", vec![(at, Some(forged(at)))], at),
        ("flip", vec![(at, Some(flipped))], at),
        ("drop", vec![(at, None)], at),
        ("empty", vec![(at, Some(Vec::new()))], at),
        ("reorder", vec![(at, Some(its.clone())), (other, Some(mine))], at.min(other)),
        ("replace", vec![(at, Some(its))], at),
        ("truncate", (at..=last).map(|sequence| (sequence, None)).collect(), at),
    ]
}

#[tokio::test]
async fn whatever_is_done_to_a_stored_entry_the_export_names_it_and_so_does_the_server() {
    // Goal: nobody with the database edits history unnoticed. Method: every kind of tampering in the file itself, at
    // the edges of tiles and batches and at places by chance; each is undone again.
    let bench = Bench::new();
    let mut kept = None;
    for (round, count) in (0..).zip([200, 56, 1, 343]) {
        bench.write(count).await;
        let log = bench.log();
        log.seal(NOW.plus(round * 60_000)).await.expect("sealed");
        kept = kept.or(log.head().await.expect("read"));
    }
    let (kept, last) = (kept.expect("a head"), 600);
    let chance = (0..12).map(|_| u64::from_be_bytes(chance::random()) % last + 1);
    let places: Vec<u64> = [1, 2, 200, 201, 256, 257, 512, 513, last].into_iter().chain(chance).collect();
    for at in places {
        for (what, act, first) in acts(&bench, at, last).await {
            let mut before = Vec::new();
            for (sequence, _) in &act {
                before.push((Key::Audit(*sequence), Some(bench.stored(*sequence).await)));
            }
            bench.store.tamper(act.into_iter().map(|(sequence, body)| (Key::Audit(sequence), body)));
            let named = bench.verify(&kept).await.expect_err(what);
            assert_eq!(named.entries().map(|(first, _)| first), Some(first), "{what} {at}: {named}");
            let log = bench.log();
            log.check(NOW.seconds()).await.expect_err(what);
            assert_eq!(log.standing().fault().and_then(Fault::entry), Some(first), "{what} {at}");
            bench.store.tamper(before);
        }
        let honest = bench.stored(at).await;
        bench.store.overwrite([(Key::Audit(at), Some(b"not what the store wrote".to_vec()))]);
        let named = bench.verify(&kept).await.expect_err("damaged");
        assert!(matches!(named, Tampering::Unreadable { sequence, .. } if sequence == at), "{at}: {named}");
        bench.store.tamper([(Key::Audit(at), Some(honest))]);
        assert!(bench.verify(&kept).await.is_ok(), "undone: {at}");
    }
}

#[tokio::test]
async fn old_heads_are_thinned_out_and_the_rest_still_verifies() {
    // Goal: years of heads stay few, and a head that was kept elsewhere is worth as much as before. Method: heads of
    // two hours, thinned a day later.
    let bench = Bench::new();
    let log = bench.log();
    for minutes in [0, 1, 2, 70, 71] {
        bench.write(2).await;
        log.seal(NOW.plus(minutes * 60_000)).await.expect("sealed");
    }
    let heads = log.heads(0).await.expect("read");
    assert_eq!(log.thin(NOW.seconds().plus_seconds(86_400)).await.expect("thinned"), 3);
    let sizes: Vec<u64> = log.heads(0).await.expect("read").iter().map(SignedHead::size).collect();
    assert_eq!(sizes, [6, 10]);
    assert!(bench.verify(&heads[0]).await.is_ok());
    bench.write(1).await;
    assert_eq!(log.seal(NOW.plus(90_000_000)).await.expect("goes on"), 1);
}
