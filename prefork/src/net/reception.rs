//! Takes connections from the system and begins their handshakes: for whoever is in accept, and for a drain.
//!
//! It knows when to ask the system, and asks only where there is room; which handshake makes room is not its business.

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

/// Where there is no room, the length of the accept queue is read again after this time: the system does not report that
/// it grows, and a longer queue makes room sooner.
const NEXT_LOOK: Duration = Duration::from_millis(10);

pub(super) struct Reception {
    pub(super) listener: Listener,
    pub(super) handshakes: Arc<Handshakes>,
    /// Held between the question for room and the connection that takes it.
    one_at_a_time: Mutex<()>,
}

/// What came of an attempt to take a connection from the system.
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

    /// Begins handshakes with all who come, until accepting fails. Cancel safe, as accepting is.
    pub(super) async fn take_in(&self) -> io::Error {
        loop {
            let room_made = self.handshakes.until_room();
            let attempt = {
                let mut accept = pin!(self.listener.accept_once());
                poll_fn(|cx| self.poll_attempt(|| accept.as_mut().poll(cx))).await
            };
            match attempt {
                Ok(Attempt::Took) => {}
                Ok(Attempt::NoRoom(ask_again)) => until_asked_again(room_made, ask_again).await,
                Err(error) if classify(&error) == AcceptError::Shortage => {
                    let ask_again = AskAgain::AtTheLatest(Instant::now() + RETRY);
                    until_asked_again(room_made, ask_again).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Begins a handshake with whom `accept` gives, which is asked if there is room.
    fn poll_attempt(
        &self,
        accept: impl FnOnce() -> Poll<io::Result<(Stream<TcpStream>, SocketAddr)>>,
    ) -> Poll<io::Result<Attempt>> {
        let _alone = self.one_at_a_time.lock();
        let now = Instant::now();
        let queued = || self.listener.queue_length();
        let gives_way = match self.handshakes.entry(now, queued) {
            Entry::Open(gives_way) => gives_way,
            Entry::Full(ask_again) => {
                let ask_again = ask_again.no_later_than(now + NEXT_LOOK);
                return Poll::Ready(Ok(Attempt::NoRoom(ask_again)));
            }
        };
        match ready!(accept()) {
            Ok((stream, peer)) => {
                self.handshakes.begin(stream, peer, gives_way);
                Poll::Ready(Ok(Attempt::Took))
            }
            // The limit is more than the process has.
            Err(error)
                if classify(&error) == AcceptError::Shortage
                    && self.handshakes.give_way(now, queued()) =>
            {
                let ask_again = AskAgain::AtTheLatest(now + RETRY);
                Poll::Ready(Ok(Attempt::NoRoom(ask_again)))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// The next one that had waited when the drain began. Never waits: pending means that accepting
    /// is over.
    pub(super) fn poll_queued(&self, drain: DrainOrder) -> Poll<io::Result<Attempt>> {
        let next = || match self.listener.next_queued() {
            Ok(Some(connection)) => Poll::Ready(Ok(connection)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        };
        if std::time::Instant::now() < drain.until {
            self.poll_attempt(next)
        } else {
            // Whether there is room or not: it closes the socket.
            next().map_ok(|_| Attempt::Took)
        }
    }
}

pub(super) async fn until_asked_again(room_made: EventListener, ask_again: AskAgain) {
    match ask_again {
        AskAgain::WhenRoomIsMade => room_made.await,
        AskAgain::AtTheLatest(at) => first_of(room_made, sleep_until(at)).await,
    }
}
