//! Takes connections from the system and begins their handshakes: for whoever is in accept, and by itself in a drain.
//!
//! It knows when to ask the system, and asks only where there is room; which handshake makes room is not its business.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, ready};
use std::time::Duration;

use event_listener::EventListener;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::admission::Entry;
use super::handshakes::Handshakes;
use super::intake::{Drain, Intake};
use super::listener::Listener;
use super::stream::Stream;

pub(super) struct Reception {
    pub(super) listener: Listener,
    pub(super) handshakes: Arc<Handshakes>,
    /// Held between the question for room and the connection that takes it.
    admission: Mutex<()>,
}

/// What came of an attempt to take a connection from the system.
enum Admitted {
    One,
    /// There is no room; see [`Entry::Full`].
    Full(Option<Instant>),
}

impl Reception {
    pub(super) fn new(listener: Listener, handshakes: Arc<Handshakes>) -> Self {
        Self {
            listener,
            handshakes,
            admission: Mutex::new(()),
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
        let _alone = self.admission.lock();
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
    fn poll_queued(&self, drain: Drain) -> Poll<io::Result<Admitted>> {
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

/// Empties the queue and closes the socket when the worker is asked to go, beside whoever accepts:
/// the body may be busy with what it has. Holds the listener only while it looks at it, so that a
/// listener that is dropped is closed at once.
async fn drain(intake: Arc<Intake>, reception: Weak<Reception>) {
    let drain = begun(&intake).await;
    let end = Instant::from_std(drain.until);
    while let Some(reception) = reception.upgrade() {
        let room = reception.handshakes.until_room();
        let until = match reception.poll_queued(drain) {
            Poll::Pending => return,
            Poll::Ready(Ok(Admitted::One)) => continue,
            Poll::Ready(Ok(Admitted::Full(until))) => until.unwrap_or(end),
            // No descriptors, most likely; what frees them is the end of other requests.
            Poll::Ready(Err(_)) => Instant::now() + RETRY,
        };
        drop(reception);
        room_or(room, Some(until.min(end))).await;
    }
}

/// How long accepting rests when it fails; what frees descriptors may be the end of a request.
const RETRY: Duration = Duration::from_millis(100);

/// Errors that time heals, with less to do for this process or this machine.
fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

async fn begun(intake: &Intake) -> Drain {
    loop {
        let begins = intake.until_drain();
        if let Some(drain) = intake.drain() {
            return drain;
        }
        begins.await;
    }
}

async fn room_or(mut room: EventListener, until: Option<Instant>) {
    let mut time = pin!(async {
        match until {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    });
    poll_fn(|cx| match Pin::new(&mut room).poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => time.as_mut().poll(cx),
    })
    .await;
}

/// The tasks beside those who accept.
pub(super) struct Attendants {
    drain: AbortHandle,
    deadlines: AbortHandle,
}

impl Attendants {
    /// # Panics
    /// Outside of a tokio runtime with time enabled: here, in the caller, and not in a task.
    pub(super) fn of(reception: &Arc<Reception>) -> Self {
        let intake = Arc::clone(&reception.listener.intake);
        let drain = drain(intake, Arc::downgrade(reception));
        let handshakes = Arc::clone(&reception.handshakes);
        let timer = Box::pin(sleep_until(Instant::now()));
        let deadlines = async move { handshakes.keep_deadlines(timer).await };
        Self {
            drain: tokio::spawn(drain).abort_handle(),
            deadlines: tokio::spawn(deadlines).abort_handle(),
        }
    }
}

impl Drop for Attendants {
    fn drop(&mut self) {
        self.drain.abort();
        self.deadlines.abort();
    }
}
