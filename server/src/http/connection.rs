//! One connection's clock: how long it may take for a head, lie idle, or leave an answer unread.
//!
//! The HTTP library's own head timeout also ends idle connections, so the phases are watched here, at the bytes. All
//! of it happens in the connection's own task: reading moves the phase, [`drive`] holds the deadline. Bodies have
//! their own clock in [`super::body`].

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long each phase may last.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The head of a request, from its first byte; the first one from the end of the handshake.
    pub headers: Duration,
    /// Nothing at all.
    pub idle: Duration,
    /// An answer that the other side does not read.
    pub stall: Duration,
}

/// The phases of one connection, shared by its stream, its service and its answers' bodies.
#[derive(Debug)]
pub(super) struct Activity {
    times: Times,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// End of the phase, if it has one.
    deadline: Option<Instant>,
    /// End of the present stall of writing.
    stalled: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Request,
    Idle,
}

impl Activity {
    pub(super) fn begin(times: Times) -> Arc<Self> {
        let deadline = Some(Instant::now() + times.headers);
        let state = State { phase: Phase::Head, deadline, stalled: None };
        Arc::new(Self { times, state: Mutex::new(state) })
    }

    /// A head has arrived.
    pub(super) fn request(&self) {
        let mut state = self.lock();
        (state.phase, state.deadline) = (Phase::Request, None);
    }

    /// An answer is out.
    fn answered(&self) {
        let mut state = self.lock();
        (state.phase, state.deadline) = (Phase::Idle, Some(Instant::now() + self.times.idle));
    }

    fn received(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            (state.phase, state.deadline) = (Phase::Head, Some(Instant::now() + self.times.headers));
        }
    }

    fn written(&self, blocked: bool) {
        let mut state = self.lock();
        match (blocked, state.stalled) {
            (true, None) => state.stalled = Some(Instant::now() + self.times.stall),
            (false, Some(_)) => state.stalled = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        [state.deadline, state.stalled].into_iter().flatten().min()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a connection until it ends (`Some`) or a deadline of `activity` passes (`None`).
pub(super) async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    mut timer: Pin<&mut Sleep>,
) -> Option<C::Output> {
    std::future::poll_fn(move |context| {
        if let Poll::Ready(end) = connection.as_mut().poll(context) {
            return Poll::Ready(Some(end));
        }
        let Some(deadline) = activity.deadline() else { return Poll::Pending };
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// A stream that tells its activity what comes and goes.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.written(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.activity.written(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.activity.written(shut.is_pending());
        shut
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.activity.written(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// An answer's body; when it is gone, the connection is idle again.
pub(super) struct Answer {
    body: Body,
    activity: Arc<Activity>,
}

impl Answer {
    pub(super) fn new(body: Body, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.activity.answered();
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const TIMES: Times = Times {
        headers: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        stall: Duration::from_secs(30),
    };

    async fn ends_after(activity: &Activity) -> Duration {
        let begin = Instant::now();
        let never = std::future::pending::<()>();
        tokio::pin!(never);
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let end = tokio::time::timeout(Duration::from_secs(3600), drive(never, activity, timer)).await;
        if end == Ok(None) { begin.elapsed() } else { Duration::MAX }
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_end() {
        // Goal: 5 s for a head, 60 s idle, none for a request. Method: held time, through the phases of a connection.
        let activity = Activity::begin(TIMES);
        assert_eq!(ends_after(&activity).await, TIMES.headers, "no head after the handshake");
        activity.request();
        assert_eq!(ends_after(&activity).await, Duration::MAX, "a wait is no idleness");
        activity.received();
        assert_eq!(ends_after(&activity).await, Duration::MAX, "a body does not start a head");
        drop(Answer::new(Body::empty(), activity.clone()));
        assert_eq!(ends_after(&activity).await, TIMES.idle);
        drop(Answer::new(Body::empty(), activity.clone()));
        activity.received();
        assert_eq!(ends_after(&activity).await, TIMES.headers, "the first byte starts the head's clock");
        activity.received();
        assert!(ends_after(&activity).await <= TIMES.headers, "more bytes do not start it again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_ends_the_connection() {
        // Goal: the stall of 30 s. Method: a pipe of 8 bytes that is full, then read from.
        let activity = Activity::begin(TIMES);
        activity.request();
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut stream = Watched::new(ours, activity.clone());
        stream.write_all(b"12345678").await.expect("fits");
        let stalled = tokio::time::timeout(Duration::from_secs(1), stream.write_all(b"9")).await;
        assert!(stalled.is_err());
        assert_eq!(ends_after(&activity).await, TIMES.stall - Duration::from_secs(1));
        let mut read = [0; 8];
        theirs.read_exact(&mut read).await.expect("read");
        stream.write_all(b"9").await.expect("fits again");
        assert_eq!(ends_after(&activity).await, Duration::MAX);
    }
}
