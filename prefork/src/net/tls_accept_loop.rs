//! Accepts connections and begins their TLS handshakes, for callers of accept and for a drain.
//!
//! Knows when to call accept: only if one more handshake may begin. Does not know which handshake
//! is evicted for it; [`admission`](super::admission) decides that.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Duration;

use event_listener::EventListener;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::accept_error::{AcceptError, RETRY, classify};
use super::handshake_admission::{AdmissionDecision, RetryWhen};
use super::handshakes::Handshakes;
use super::listener::Listener;
use super::race::race;
use super::stream::Stream;
use super::tracker::DrainPolicy;

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
pub(super) enum AcceptAttempt {
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
    pub(super) async fn accept_loop(&self) -> io::Error {
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
        accept: impl FnOnce() -> Poll<io::Result<(Stream<TcpStream>, SocketAddr)>>,
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
    pub(super) fn poll_queued(&self, drain: DrainPolicy) -> Poll<io::Result<AcceptAttempt>> {
        let next = || match self.listener.next_queued() {
            Ok(Some(connection)) => Poll::Ready(Ok(connection)),
            Ok(None) => Poll::Pending,
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

pub(super) async fn wait_for_retry(freed: EventListener, retry: RetryWhen) {
    match retry {
        RetryWhen::WhenFreed => freed.await,
        RetryWhen::At(at) => race(freed, sleep_until(at)).await,
    }
}
