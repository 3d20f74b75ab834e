//! Accepts connections and begins their TLS handshakes, for callers of accept and for a drain.
//!
//! Knows when to call accept: only if one more handshake may begin. Does not know which handshake
//! is evicted for it; [`admission`](super::admission) decides that. The two background tasks of a
//! listener are here too: one empties the accept queue in a drain, one ends handshakes that take
//! too long.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, ready};
use std::time::Duration;

use event_listener::EventListener;
use prefork_options::Addr;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::admission::{AdmissionDecision, RetryWhen};
use super::handshakes::{Handshakes, race};
use crate::net::accept_error::{AcceptError, RETRY, classify};
use crate::net::listener_sockets::AcceptStep;
use crate::net::{AsyncSocket, ConnTracker, DrainPolicy, Listener, Stream};
use crate::sys::accept::AcceptMode;

/// How often the length of the accept queue is read while no handshake may begin.
///
/// A longer queue shortens the time after which a handshake is evicted, and the kernel does not
/// report that the queue grows.
const QUEUE_POLL_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct TlsAcceptLoop {
    pub(super) listener: Listener,
    pub(super) handshakes: Arc<Handshakes>,
    /// Held from the check of the limit until the handshake has begun.
    one_at_a_time: Mutex<()>,
}

/// The result of an attempt to accept a connection.
enum AcceptAttempt {
    Accepted,
    Full(RetryWhen),
}

impl TlsAcceptLoop {
    pub(super) fn new(listener: Listener, handshakes: Arc<Handshakes>) -> Self {
        Self {
            listener,
            handshakes,
            one_at_a_time: Mutex::new(()),
        }
    }

    /// Accepts connections and begins their handshakes until accept fails. Cancel safe, as accept
    /// is.
    pub(super) async fn run(&self) -> io::Error {
        loop {
            let freed = self.handshakes.until_freed();
            let attempt = {
                let mut accept = pin!(self.listener.accept_once());
                poll_fn(|cx| self.poll_attempt(|| accept.as_mut().poll(cx))).await
            };
            match attempt {
                Ok(AcceptAttempt::Accepted) => {}
                Ok(AcceptAttempt::Full(retry)) => wait_for_retry(freed, retry).await,
                Err(error) if classify(&error) == AcceptError::Shortage => {
                    let retry = RetryWhen::At(Instant::now() + RETRY);
                    wait_for_retry(freed, retry).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Begins a handshake with the connection that `accept` returns.
    ///
    /// `accept` is called only if a handshake may begin.
    fn poll_attempt(
        &self,
        accept: impl FnOnce() -> Poll<io::Result<(Stream<AsyncSocket>, Addr)>>,
    ) -> Poll<io::Result<AcceptAttempt>> {
        let _alone = self.one_at_a_time.lock();
        let now = Instant::now();
        let queued = || self.listener.queue_length();
        let evicted = match self.handshakes.entry(now, queued) {
            AdmissionDecision::Open(evicted) => evicted,
            AdmissionDecision::Full(retry) => {
                let retry = retry.no_later_than(now + QUEUE_POLL_INTERVAL);
                return Poll::Ready(Ok(AcceptAttempt::Full(retry)));
            }
        };
        match ready!(accept()) {
            Ok((stream, peer)) => {
                self.handshakes.begin(stream, peer, evicted);
                Poll::Ready(Ok(AcceptAttempt::Accepted))
            }
            // The process has fewer descriptors than `max_handshakes` needs.
            Err(error)
                if classify(&error) == AcceptError::Shortage
                    && self.handshakes.evict(now, queued()) =>
            {
                let retry = RetryWhen::At(now + RETRY);
                Poll::Ready(Ok(AcceptAttempt::Full(retry)))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Accepts the next connection that was in the queue when the drain began.
    ///
    /// Never waits: `Pending` means that the listener has ended.
    fn poll_queued(&self, drain: DrainPolicy) -> Poll<io::Result<AcceptAttempt>> {
        let next = || match self.listener.accept_step(AcceptMode::NonBlocking) {
            Ok(AcceptStep::Drained(io, peer, _socket)) => {
                Poll::Ready(self.listener.register(io, peer))
            }
            Ok(AcceptStep::Gated | AcceptStep::Wait(_) | AcceptStep::Ended) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        };
        if std::time::Instant::now() < drain.until {
            self.poll_attempt(next)
        } else {
            // After the deadline the call only closes the socket, whatever the limit.
            next().map_ok(|_| AcceptAttempt::Accepted)
        }
    }
}

async fn wait_for_retry(freed: EventListener, retry: RetryWhen) {
    match retry {
        RetryWhen::WhenFreed => freed.await,
        RetryWhen::At(at) => race(freed, sleep_until(at)).await,
    }
}

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
        let drain_begins = tracker.until_gate_or_drain();
        if let Some(drain) = tracker.drain() {
            return drain;
        }
        drain_begins.await;
    }
}
