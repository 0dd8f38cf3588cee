//! The writing thread under a medium whose syncs are slow, fail, or are watched.
//!
//! Tests only; see [`super`].

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cordon_agent_core::update::FetchFault;

use super::*;

const STEP: u64 = limits::SLOT_SYNC_BYTES;
/// How long a sync hangs at most.
const HANG: Duration = Duration::from_secs(60);

/// What happened at the medium, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Written(u64),
    Begun,
    Done,
}

#[derive(Default)]
struct Watched {
    acts: Vec<Act>,
    /// Syncs that may return; each waits for its own.
    allowed: usize,
    fails: bool,
}

#[derive(Clone, Default)]
struct Fake(Arc<(Mutex<Watched>, Condvar)>);

impl Fake {
    fn change(&self, change: impl FnOnce(&mut Watched)) {
        change(&mut self.0.0.lock().expect("no panic"));
        self.0.1.notify_all();
    }

    fn sync_now(&self) -> io::Result<()> {
        self.change(|watched| watched.acts.push(Act::Begun));
        let watched = self.0.0.lock().expect("no panic");
        // A test that fails must end all the same.
        let held = self.0.1.wait_timeout_while(watched, HANG, |watched| watched.allowed == 0);
        let (mut watched, _) = held.expect("no panic");
        watched.allowed = watched.allowed.saturating_sub(1);
        watched.acts.push(Act::Done);
        if watched.fails { Err(io::Error::other("the medium fails")) } else { Ok(()) }
    }

    fn acts(&self) -> Vec<Act> {
        self.0.0.lock().expect("no panic").acts.clone()
    }

    fn written(&self) -> u64 {
        let end = |act: Act| if let Act::Written(end) = act { Some(end) } else { None };
        self.acts().into_iter().filter_map(end).max().unwrap_or(0)
    }
}

impl Medium for Fake {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let end = at + u64::try_from(bytes.len()).expect("small");
        self.change(|watched| watched.acts.push(Act::Written(end)));
        Ok(())
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn apart(&self) -> io::Result<Flush> {
        let medium = self.clone();
        Ok(Box::new(move || medium.sync_now()))
    }
}

fn begin(medium: &Fake, length: u64) -> Writing {
    Writing::begin(Box::new(SlotWriter::resume(medium.clone(), Path::new("slot"), (length, 0))))
}

async fn put(writing: &Writing, from: u64, to: u64) {
    for at in (from..to).step_by(1 << 20) {
        let bytes = Bytes::from(vec![0; usize::try_from((to - at).min(1 << 20)).expect("small")]);
        assert!(writing.put(Piece { at, bytes }).await);
    }
}

async fn last(writing: &mut Writing) -> (Vec<u64>, Told) {
    let mut synced = Vec::new();
    loop {
        match writing.told().await.expect("a last word") {
            Told::Synced(offset) => synced.push(offset),
            last => return (synced, last),
        }
    }
}

#[tokio::test]
async fn bytes_are_written_while_a_sync_is_under_way_and_none_is_told_before_its_sync_returned() {
    // Goal: the overlap, and what an offset means. Method: a sync that does not return until more is written; each
    // offset that is told must have been written before a sync began that has returned since.
    let medium = Fake::default();
    let mut writing = begin(&medium, 5 * STEP);
    put(&writing, 0, 2 * STEP).await;
    let mut at = 2 * STEP;
    let under_way = |acts: &[Act]| acts.iter().position(|act| *act == Act::Begun);
    // A little more with each look, up to a bound; the rest is for the end.
    for _ in 0..1500 {
        if under_way(&medium.acts()).is_some_and(|begun| medium.acts().len() >= begun + 4) {
            break;
        }
        if at < 4 * STEP {
            put(&writing, at, at + (1 << 20)).await;
            at += 1 << 20;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = under_way(&medium.acts()).expect("a sync has begun");
    assert!(medium.acts().len() >= begun + 4, "nothing is written during a sync: {:?}", medium.acts());
    assert!(!medium.acts().contains(&Act::Done));
    assert!(writing.told.try_recv().is_err(), "nothing is told while its sync is under way");
    medium.change(|watched| watched.allowed = 1000);
    let Some(Told::Synced(offset)) = writing.told().await else { panic!("an offset") };
    let acts = medium.acts();
    let begun = under_way(&acts).expect("has begun");
    let before = acts[..begun]
        .iter()
        .rev()
        .find_map(|act| if let Act::Written(end) = act { Some(*end) } else { None });
    assert!(Some(offset) <= before, "{offset} was told, {before:?} was written when its sync began");
    put(&writing, at, 5 * STEP).await;
    let (synced, end) = last(&mut writing).await;
    assert!(matches!(end, Told::Whole), "{end:?}");
    assert!(synced.is_sorted() && synced.last() == Some(&(5 * STEP)), "{synced:?}");
    let acts = medium.acts();
    let end = acts.iter().rposition(|act| *act == Act::Written(5 * STEP)).expect("was written");
    assert!(acts[end..].ends_with(&[Act::Begun, Act::Done]), "the last sync began behind the last byte");
}

#[tokio::test]
async fn a_medium_that_does_not_keep_up_holds_the_writing_back() {
    // Goal: a bound on what a power cut takes. Method: a sync that never returns, and more bytes than the bound.
    let medium = Fake::default();
    let writing = begin(&medium, 100 * STEP);
    // The syncing thread may begin anywhere within the first bound.
    let much = put(&writing, 0, 4 * BEHIND_BYTES);
    assert!(tokio::time::timeout(Duration::from_secs(1), much).await.is_err());
    assert!(medium.written() <= 2 * BEHIND_BYTES + (1 << 20), "{}", medium.written());
    medium.change(|watched| watched.allowed = 1000);
    writing.leave().await;
}

#[tokio::test]
async fn pieces_that_end_early_are_synced_told_and_kept() {
    // Goal: a cut goes on where it stopped. Method: half an image, then nothing more.
    let medium = Fake::default();
    medium.change(|watched| watched.allowed = 1000);
    let mut writing = begin(&medium, 3 * STEP);
    put(&writing, 0, 1000).await;
    writing.end();
    let (synced, end) = last(&mut writing).await;
    assert!(matches!(end, Told::Ended), "{end:?}");
    assert_eq!(synced, [1000]);
}

#[tokio::test]
async fn a_sync_that_fails_behind_the_writing_is_never_told_as_done() {
    // Goal: the operating system tells a lost write once; nobody may miss it. Method: the first sync fails.
    let medium = Fake::default();
    medium.change(|watched| (watched.allowed, watched.fails) = (1000, true));
    let mut writing = begin(&medium, 2 * STEP);
    for at in (0..2 * STEP).step_by(1 << 20) {
        // It is taken until the failure is seen.
        let _ = writing.put(Piece { at, bytes: vec![0; 1 << 20].into() }).await;
    }
    writing.end();
    let (synced, end) = last(&mut writing).await;
    assert!(synced.is_empty(), "{synced:?}");
    assert!(matches!(&end, Told::Failed(error) if error.fault() == FetchFault::SlotFails), "{end:?}");
}

#[tokio::test]
async fn a_hole_or_a_byte_too_many_is_refused() {
    // Goal: bytes go where they belong. Method: a piece beyond the next byte; one beyond the end.
    for (at, length) in [(1, 10), (0, 11)] {
        let medium = Fake::default();
        medium.change(|watched| watched.allowed = 1000);
        let mut writing = begin(&medium, 10);
        assert!(writing.put(Piece { at, bytes: vec![0; length].into() }).await);
        let (_, end) = last(&mut writing).await;
        assert!(matches!(&end, Told::Failed(error) if error.fault() == FetchFault::Damaged), "{end:?}");
    }
}
