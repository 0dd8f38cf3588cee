//! Group commit: one thread writes for all, and one sync of the disk serves every caller that waited for it.
//!
//! A caller's write is decided over the group's overlay in the order of arrival, so it sees the callers before it in
//! the same group; its conflict is its own. Nobody is answered before the group's batch is durable, not even with a
//! conflict, because that may stem from a neighbour's write. While the disk syncs, the next group gathers; a caller
//! that is alone never waits for company. Waiting bodies are bounded in bytes by permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use cordon_server_core::change::Revision;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::overlay::Overlay;
use super::{Gather, Kv, Place};
use crate::store::StoreError;

/// Permits for bodies that wait, each for [`PERMIT_BYTES`].
const PERMITS: u32 = 16 * 1024;
const PERMIT_BYTES: usize = 4096;

/// Tells a caller how its group ended.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Decides a caller's write; or hands on why there is nothing to decide it over.
type Stage = Box<dyn FnOnce(Result<&mut Overlay<'_>, StoreError>) -> Reply + Send>;

/// What a write will need.
#[derive(Debug, Default)]
pub(super) struct Ask {
    /// Bytes of its bodies.
    pub(super) bytes: usize,
    /// What it will read.
    pub(super) reads: Vec<Place>,
}

struct Request {
    stage: Stage,
    bytes: usize,
    reads: Vec<Place>,
    alone: bool,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Counts {
    writes: AtomicU64,
    groups: AtomicU64,
}

/// The writer thread's other end.
pub(super) struct Writer {
    queue: Option<mpsc::UnboundedSender<Request>>,
    thread: Option<JoinHandle<()>>,
    room: Arc<Semaphore>,
    counts: Arc<Counts>,
    latest: Arc<watch::Sender<Revision>>,
}

impl Writer {
    pub(super) fn start(
        engine: Arc<impl Kv>,
        latest: Arc<watch::Sender<Revision>>,
        gather: Gather,
    ) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let mut line = Line { requests, carried: None, gather, crowded: false };
        let for_thread = counts.clone();
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || {
            while let Some(group) = line.next_group() {
                for_thread.writes.fetch_add(number(group.len()), Ordering::Relaxed);
                for_thread.groups.fetch_add(1, Ordering::Relaxed);
                run(&*engine, group);
            }
        });
        let thread = thread.map_err(|error| StoreError::unavailable("start its writer thread", error))?;
        let room = Arc::new(Semaphore::new(usize::try_from(PERMITS).unwrap_or(usize::MAX)));
        Ok(Self { queue: Some(queue), thread: Some(thread), room, counts, latest })
    }

    /// Writes in a group with whoever waits too.
    pub(super) async fn write<T: Send + Written + 'static>(
        &self,
        ask: Ask,
        write: impl FnOnce(&mut Overlay<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let written = self.submit(ask, false, write).await?;
        if let Some(revision) = written.followed() {
            tell(&self.latest, revision);
        }
        Ok(written)
    }

    /// Writes in a group of its own: for writes that read ranges.
    pub(super) async fn alone<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Overlay<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(Ask::default(), true, write).await
    }

    /// Writes and groups since the start.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.counts.writes.load(Ordering::Relaxed), self.counts.groups.load(Ordering::Relaxed))
    }

    async fn submit<T: Send + 'static>(
        &self,
        ask: Ask,
        alone: bool,
        write: impl FnOnce(&mut Overlay<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ask { bytes, reads } = ask;
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(PERMITS).clamp(1, PERMITS);
        let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| stopped())?;
        let (answer, answered) = oneshot::channel();
        let stage: Stage = Box::new(move |overlay| {
            let decided = overlay.and_then(|overlay| overlay.attempt(write));
            Box::new(move |ended| {
                // A caller that no longer waits does not want the answer.
                let _ = answer.send(ended.and(decided));
            })
        });
        let queue = self.queue.as_ref().expect("the queue is closed by drop alone");
        queue.send(Request { stage, bytes, reads, alone, _room: room }).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Lets the thread finish what was asked of it.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told its callers by hanging up on them.
            let _ = thread.join();
        }
    }
}

/// Answers of which followers want to hear.
pub(super) trait Written {
    /// The revision to tell them.
    fn followed(&self) -> Option<Revision> {
        None
    }
}

impl Written for () {}
impl Written for crate::store::Appended {}
impl Written for crate::store::LeaseAnswer {}
impl Written for crate::store::Committed {
    fn followed(&self) -> Option<Revision> {
        (!self.repeated).then_some(self.revision)
    }
}

/// The queue, seen from the thread.
struct Line {
    requests: mpsc::UnboundedReceiver<Request>,
    carried: Option<Request>,
    gather: Gather,
    /// Whether the last group had company.
    crowded: bool,
}

impl Line {
    /// Waits for a request and gathers more; `None` when the store is closed.
    fn next_group(&mut self) -> Option<Vec<Request>> {
        let first = match self.carried.take() {
            Some(request) => request,
            None => self.requests.blocking_recv()?,
        };
        if first.alone {
            return Some(vec![first]);
        }
        let mut group = vec![first];
        let full = self.gather_into(&mut group);
        if !full && (self.crowded || group.len() > 1) {
            std::thread::sleep(self.gather.wait);
            self.gather_into(&mut group);
        }
        self.crowded = group.len() > 1;
        Some(group)
    }

    /// Takes what waits; says whether the group can take no more.
    fn gather_into(&mut self, group: &mut Vec<Request>) -> bool {
        let mut bytes: usize = group.iter().map(|request| request.bytes).sum();
        while group.len() < self.gather.writes && bytes < self.gather.bytes {
            match self.requests.try_recv() {
                Ok(request) if request.alone => {
                    self.carried = Some(request);
                    return true;
                }
                Ok(request) => {
                    bytes = bytes.saturating_add(request.bytes);
                    group.push(request);
                }
                Err(_) => return false,
            }
        }
        true
    }
}

fn run(engine: &impl Kv, group: Vec<Request>) {
    let mut group = Some(group);
    let mut replies = Vec::new();
    let ended = engine.transact(&mut |view| {
        let mut overlay = Overlay::new(view);
        let stages = group.take().unwrap_or_default();
        view.ahead(&stages.iter().flat_map(|request| request.reads.iter().cloned()).collect::<Vec<_>>());
        let stages = stages.into_iter();
        replies.extend(stages.map(|request| (request.stage)(Ok(&mut overlay))));
        overlay.into_batch()
    });
    if let (Some(undecided), Err(error)) = (group.take(), &ended) {
        replies.extend(undecided.into_iter().map(|request| (request.stage)(Err(error.clone()))));
    }
    for reply in replies {
        reply(ended.clone());
    }
}

/// Tells followers of a revision, never of an earlier one than before.
pub(super) fn tell(latest: &watch::Sender<Revision>, revision: Revision) {
    latest.send_if_modified(|seen| revision > std::mem::replace(seen, revision.max(*seen)));
}

fn stopped() -> StoreError {
    StoreError::unavailable("write any more: restart the server", "the writer thread has stopped")
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
