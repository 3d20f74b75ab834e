//! Accepts connections and begins their TLS handshakes, for callers of accept and for a drain.
//!
//! Knows when to call accept: only if one more handshake may begin. Does not know which handshake is
//! evicted for it; [`admission`](super::admission) decides that.

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
use super::admission::{AskAgain, Entry};
use super::first_of::first_of;
use super::handshakes::Handshakes;
use super::intake::DrainOrder;
use super::listener::Listener;
use super::stream::Stream;

/// How often the length of the accept queue is read while no handshake may begin.
///
/// A longer queue shortens the time after which a handshake is evicted, and the kernel does not
/// report that the queue grows.
const NEXT_LOOK: Duration = Duration::from_millis(10);

pub(super) struct Reception {
    pub(super) listener: Listener,
    pub(super) handshakes: Arc<Handshakes>,
    /// Held from the check of the limit until the handshake has begun.
    one_at_a_time: Mutex<()>,
}

/// The result of an attempt to accept a connection.
pub(super) enum Attempt {
    Took,
    NoRoom(AskAgain),
}

impl Reception {
    pub(super) fn new(listener: Listener, handshakes: Arc<Handshakes>) -> Self {
        Self {
            listener,
            handshakes,
            one_at_a_time: Mutex::new(()),
        }
    }

    /// Accepts connections and begins their handshakes until accept fails. Cancel safe, as accept is.
    pub(super) async fn take_in(&self) -> io::Error {
        loop {
            let freed = self.handshakes.until_room();
            let attempt = {
                let mut accept = pin!(self.listener.accept_once());
                poll_fn(|cx| self.poll_attempt(|| accept.as_mut().poll(cx))).await
            };
            match attempt {
                Ok(Attempt::Took) => {}
                Ok(Attempt::NoRoom(retry)) => until_asked_again(freed, retry).await,
                Err(error) if classify(&error) == AcceptError::Shortage => {
                    let retry = AskAgain::AtTheLatest(Instant::now() + RETRY);
                    until_asked_again(freed, retry).await;
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
    ) -> Poll<io::Result<Attempt>> {
        let _alone = self.one_at_a_time.lock();
        let now = Instant::now();
        let queued = || self.listener.queue_length();
        let evicted = match self.handshakes.entry(now, queued) {
            Entry::Open(evicted) => evicted,
            Entry::Full(retry) => {
                let retry = retry.no_later_than(now + NEXT_LOOK);
                return Poll::Ready(Ok(Attempt::NoRoom(retry)));
            }
        };
        match ready!(accept()) {
            Ok((stream, peer)) => {
                self.handshakes.begin(stream, peer, evicted);
                Poll::Ready(Ok(Attempt::Took))
            }
            // The process has fewer descriptors than `max_handshakes` needs.
            Err(error)
                if classify(&error) == AcceptError::Shortage
                    && self.handshakes.give_way(now, queued()) =>
            {
                let retry = AskAgain::AtTheLatest(now + RETRY);
                Poll::Ready(Ok(Attempt::NoRoom(retry)))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Accepts the next connection that was in the queue when the drain began.
    ///
    /// Never waits: `Pending` means that the listener has ended.
    pub(super) fn poll_queued(&self, drain: DrainOrder) -> Poll<io::Result<Attempt>> {
        let next = || match self.listener.next_queued() {
            Ok(Some(connection)) => Poll::Ready(Ok(connection)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        };
        if std::time::Instant::now() < drain.until {
            self.poll_attempt(next)
        } else {
            // After the deadline the call only closes the socket, whatever the limit.
            next().map_ok(|_| Attempt::Took)
        }
    }
}

pub(super) async fn until_asked_again(freed: EventListener, retry: AskAgain) {
    match retry {
        AskAgain::WhenRoomIsMade => freed.await,
        AskAgain::AtTheLatest(at) => first_of(freed, sleep_until(at)).await,
    }
}
