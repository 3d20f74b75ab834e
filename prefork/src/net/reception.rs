//! Takes connections from the system and begins their handshakes: for whoever is in accept, and for a drain.
//!
//! It knows when to ask the system, and asks only where there is room; which handshake makes room is not its business.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Duration;

use event_listener::EventListener;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::admission::Entry;
use super::first_of::first_of;
use super::handshakes::Handshakes;
use super::intake::DrainOrder;
use super::listener::Listener;
use super::stream::Stream;

pub(super) struct Reception {
    pub(super) listener: Listener,
    pub(super) handshakes: Arc<Handshakes>,
    /// Held between the question for room and the connection that takes it.
    one_at_a_time: Mutex<()>,
}

/// What came of an attempt to take a connection from the system.
pub(super) enum Admitted {
    One,
    /// There is no room; see [`Entry::Full`].
    Full(Option<Instant>),
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
            let room = self.handshakes.until_room();
            let admitted = {
                let mut accept = pin!(self.listener.accept());
                poll_fn(|cx| self.poll_admit(|| accept.as_mut().poll(cx))).await
            };
            match admitted {
                Ok(Admitted::One) => {}
                Ok(Admitted::Full(until)) => room_or(room, until).await,
                Err(error) => return error,
            }
        }
    }

    /// Begins a handshake with whom `accept` gives, which is asked if there is room.
    fn poll_admit(
        &self,
        accept: impl FnOnce() -> Poll<io::Result<(Stream<TcpStream>, SocketAddr)>>,
    ) -> Poll<io::Result<Admitted>> {
        let _alone = self.one_at_a_time.lock();
        let now = Instant::now();
        if let Entry::Full(until) = self.handshakes.entry(now) {
            return Poll::Ready(Ok(Admitted::Full(until)));
        }
        match ready!(accept()) {
            Ok((stream, peer)) => {
                self.handshakes.begin(stream, peer);
                Poll::Ready(Ok(Admitted::One))
            }
            // The limit is more than the process has.
            Err(error) if is_shortage(&error) && self.handshakes.give_way(now) => {
                Poll::Ready(Ok(Admitted::Full(Some(now + RETRY))))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// The next one that had waited when the drain began. Never waits: pending means that accepting
    /// is over.
    pub(super) fn poll_queued(&self, drain: DrainOrder) -> Poll<io::Result<Admitted>> {
        let next = || match self.listener.next_queued() {
            Ok(Some(connection)) => Poll::Ready(Ok(connection)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        };
        if std::time::Instant::now() < drain.until {
            self.poll_admit(next)
        } else {
            // Whether there is room or not: it closes the socket.
            next().map_ok(|_| Admitted::One)
        }
    }
}

/// How long accepting rests when it fails; what frees descriptors may be the end of a request.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// Errors that time heals, with less to do for this process or this machine.
fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

pub(super) async fn room_or(room: EventListener, until: Option<Instant>) {
    let time = async {
        match until {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    };
    first_of(room, time).await;
}
