//! An image on its way over HTTP: asked for from some byte on, read piece by piece, no faster than the cap.
//!
//! It is the same for the server and for a mirror; nothing is believed of the bytes. The cap holds the line itself
//! back, because what is not read is not sent. It must never count anything but image bytes: other calls have
//! connections of their own and never wait here. Read next: `cordon_proto::update::{Pace, Allowance}`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cordon_proto::update::{Allowance, Pace};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, sleep};

use super::{LinkError, http};

/// Bytes of a piece, but for the last: each one wakes whoever writes it, which costs more than to copy it.
const PIECE_BYTES: usize = 96 * 1024;
/// Bytes of a record of TLS, and so of most of what is read at once (RFC 8446 section 5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// The bandwidth cap, one for all image bytes of the device, whoever sends them.
#[derive(Clone, Debug)]
pub struct Cap {
    since: Instant,
    left: Arc<Mutex<Allowance>>,
}

impl Cap {
    /// So many kilobits a second.
    #[must_use]
    pub fn new(kbit_s: u32) -> Self {
        let allowance = Allowance::new(u64::from(kbit_s) * 1000 / 8);
        Self { since: Instant::now(), left: Arc::new(Mutex::new(allowance)) }
    }

    /// Bytes a second.
    #[must_use]
    pub fn bytes_per_s(&self) -> u64 {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).bytes_per_s()
    }

    /// So many bytes have come: waits until they are paid for.
    async fn pay(&self, bytes: usize) {
        let now = self.since.elapsed();
        let pause = self.left.lock().unwrap_or_else(PoisonError::into_inner).spend(bytes, now);
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

/// An image on its way, piece by piece.
#[derive(Debug)]
pub struct Download {
    answer: Response,
    start: u64,
    pace: Pace,
    cap: Option<Cap>,
    /// How it ended, once it has.
    ended: Option<Result<(), LinkError>>,
}

impl Download {
    /// Asks for everything from byte `from` on, up to `until` where there is one. Whoever answers may begin at 0 all the same: see [`Self::start`].
    pub(super) async fn begin(
        mut request: RequestBuilder,
        (from, until): (u64, Option<u64>),
        deadline: Duration,
        (pace, cap): (Pace, Option<Cap>),
    ) -> Result<Self, LinkError> {
        if from > 0 || until.is_some() {
            let last = until.map(|until| until.saturating_sub(1).to_string()).unwrap_or_default();
            request = request.header(RANGE, format!("bytes={from}-{last}"));
        }
        let answer = http::accept(request, deadline).await?;
        let start = match answer.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => match first_byte(&answer) {
                Some(first) if first == from => first,
                Some(_) | None => return Err(LinkError::Malformed { what: "Content-Range" }),
            },
            _ => return Err(http::explained(answer).await),
        };
        Ok(Self { answer, start, pace, cap, ended: None })
    }

    /// The offset of the first piece.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Where it will end by the sender's own word.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.start.checked_add(self.answer.content_length()?)
    }

    /// The next piece; `None` at the end. An error where nothing, or all too little, comes for the stall limit; what came
    /// before it is handed out first. To be awaited to its end: what has come of a piece would be lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LinkError> {
        let mut piece = BytesMut::new();
        while self.ended.is_none() && piece.len() < PIECE_BYTES {
            match http::chunk(&mut self.answer, &mut self.pace).await {
                Ok(Some(chunk)) => {
                    if piece.is_empty() {
                        piece.reserve(PIECE_BYTES + RECORD_BYTES);
                    }
                    piece.extend_from_slice(&chunk);
                    if let Some(cap) = &self.cap {
                        cap.pay(chunk.len()).await;
                    }
                }
                Ok(None) => self.ended = Some(Ok(())),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
        match &self.ended {
            _ if !piece.is_empty() => Ok(Some(piece.freeze())),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(())) | None => Ok(None),
        }
    }
}

fn first_byte(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split('-').next()?.parse().ok()
}
