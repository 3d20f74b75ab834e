//! The two background tasks of a TLS listener: one empties the accept queue in a drain, one ends
//! handshakes that take too long.

use std::sync::{Arc, Weak};
use std::task::Poll;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::accept_error::RETRY;
use super::handshake_admission::RetryWhen;
use super::tls_accept_loop::{AcceptAttempt, TlsAcceptLoop, wait_for_retry};
use super::tracker::{ConnTracker, DrainPolicy};

/// Handles of the tasks. Dropping it aborts them.
pub(super) struct TlsBackgroundTasks {
    drain: AbortHandle,
    deadlines: AbortHandle,
}

impl TlsBackgroundTasks {
    /// Spawns the tasks.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled. It panics here, in the caller, and not in a
    /// task.
    pub(super) fn of(acceptor: &Arc<TlsAcceptLoop>) -> Self {
        let tracker = Arc::clone(&acceptor.listener.tracker);
        let drain = drain(tracker, Arc::downgrade(acceptor));
        let handshakes = Arc::clone(&acceptor.handshakes);
        // The time does not matter: `keep_deadlines` sets the timer first.
        let timer = Box::pin(sleep_until(Instant::now()));
        let deadlines = async move { handshakes.keep_deadlines(timer).await };
        Self {
            drain: tokio::spawn(drain).abort_handle(),
            deadlines: tokio::spawn(deadlines).abort_handle(),
        }
    }
}

impl Drop for TlsBackgroundTasks {
    fn drop(&mut self) {
        self.drain.abort();
        self.deadlines.abort();
    }
}

/// Empties the accept queue and closes the socket in a drain.
///
/// A separate task does this because the code that calls accept may be busy with requests. The task
/// holds the listener only while it accepts, so that a dropped listener is closed at once.
async fn drain(tracker: Arc<ConnTracker>, acceptor: Weak<TlsAcceptLoop>) {
    let drain = drain_begun(&tracker).await;
    let end = Instant::from_std(drain.until);
    while let Some(acceptor) = acceptor.upgrade() {
        let freed = acceptor.handshakes.until_freed();
        let retry = match acceptor.poll_queued(drain) {
            Poll::Pending => return,
            Poll::Ready(Ok(AcceptAttempt::Accepted)) => continue,
            Poll::Ready(Ok(AcceptAttempt::Full(retry))) => retry,
            // Most likely no descriptors are left. The end of other requests frees some.
            Poll::Ready(Err(_)) => RetryWhen::At(Instant::now() + RETRY),
        };
        drop(acceptor);
        wait_for_retry(freed, retry.no_later_than(end)).await;
    }
}

async fn drain_begun(tracker: &ConnTracker) -> DrainPolicy {
    loop {
        let drain_begins = tracker.until_drain();
        if let Some(drain) = tracker.drain() {
            return drain;
        }
        drain_begins.await;
    }
}
