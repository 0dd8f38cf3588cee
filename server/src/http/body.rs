//! Bodies read whole, within a size and above a speed.
//!
//! A body that is too large or too slow is given up and its connection closed; until then it holds nothing but its
//! own bytes. Times are the runtime's, so tests can hold them. Read next: [`read`].

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use cordon_proto::limits;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::problem::Problem;

/// Seconds that a body may take before its speed counts.
const GRACE: Duration = Duration::from_secs(limits::HEADERS_S);
/// Bytes of a body that is too large which are still read, so that its sender hears why before the connection ends.
const LINGER_BYTES: usize = 1024 * 1024;
/// For how long they are read.
const LINGER: Duration = Duration::from_secs(2);

/// Reads a body of at most `limit` bytes.
pub async fn read(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    if announced(headers).is_some_and(|length| length > limit) {
        return Err(give_up(body, limit).await);
    }
    let start = Instant::now();
    let mut bytes = BytesMut::new();
    loop {
        // The speed is measured over the whole body: whoever was fast may pause as long as that earned.
        let earned = Duration::from_millis(millis_for(bytes.len()));
        let frame =
            timeout_at(start + GRACE + earned, body.frame()).await.map_err(|_| Problem::too_slow())?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|_| Problem::malformed("HTTP body", "it ended early").closing())?;
        let Ok(piece) = frame.into_data() else { continue };
        if bytes.len().saturating_add(piece.len()) > limit {
            return Err(give_up(body, limit).await);
        }
        bytes.extend_from_slice(&piece);
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Milliseconds that so many bytes may take at the least speed.
fn millis_for(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1000) / limits::BODY_BYTES_PER_S
}

/// Reads on for a moment and throws it away: a connection that is closed over unread bytes is reset, and a reset
/// destroys the answer on its way.
async fn give_up(mut body: Body, limit: usize) -> Problem {
    let mut thrown = 0_usize;
    let end = sleep_until(Instant::now() + LINGER);
    tokio::pin!(end);
    while thrown < LINGER_BYTES {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = &mut end => break,
        };
        let Some(Ok(frame)) = frame else { break };
        thrown = thrown.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
    Problem::too_large(limit)
}

/// Waits for `work`, at most so long.
pub async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    timeout(time, work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    fn pieces(pause: Duration, piece: usize, count: usize) -> Body {
        let stream = futures_util::stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::convert::Infallible>(Bytes::from(vec![7; piece]))
        });
        Body::from_stream(stream)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_at_the_least_speed_passes_and_a_slower_one_does_not() {
        // Goal: ≥ 1 KiB/s after the grace. Method: held time; pieces at exactly the speed, then at half of it.
        let headers = HeaderMap::new();
        let steady = pieces(Duration::from_secs(1), 1024, 40);
        assert_eq!(read(&headers, steady, 64 * 1024).await.map(|bytes| bytes.len()), Ok(40 * 1024));
        let slow = pieces(Duration::from_secs(1), 512, 40);
        assert_eq!(read(&headers, slow, 64 * 1024).await, Err(Problem::too_slow()));
        let silent = pieces(Duration::from_secs(6), 1, 1);
        assert_eq!(read(&headers, silent, 64 * 1024).await, Err(Problem::too_slow()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_over_its_limit_is_refused_announced_or_not() {
        // Goal: the limit holds in both ways of sending. Method: the edge, one beyond, and an announced length.
        let headers = HeaderMap::new();
        let fits = pieces(Duration::ZERO, 10, 10);
        assert_eq!(read(&headers, fits, 100).await.map(|bytes| bytes.len()), Ok(100));
        let surplus = pieces(Duration::ZERO, 101, 1);
        assert_eq!(read(&headers, surplus, 100).await, Err(Problem::too_large(100)));
        let mut announced = HeaderMap::new();
        announced.insert(CONTENT_LENGTH, 101.into());
        let small = pieces(Duration::ZERO, 1, 1);
        assert_eq!(read(&announced, small, 100).await, Err(Problem::too_large(100)));
    }
}
