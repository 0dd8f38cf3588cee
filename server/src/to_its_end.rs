//! Work that goes on where nobody waits for its end any more.
//!
//! A handler is dropped in the middle when its client goes away. What a store has taken must all the same reach the
//! views in memory, so the two are one piece of work that is begun here and not given up. It is bounded by what its
//! futures wait for; nothing that waits for a client may be put here. Read next: `App::commit`.

use std::panic::resume_unwind;

/// Does the work to its end, whatever becomes of the caller.
pub(crate) async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and the caller with it.
            Err(_) => std::future::pending().await,
        },
    }
}
