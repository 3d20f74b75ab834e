//! A listening socket whose connections are given when their TLS handshake is over.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Poll, ready};
use std::time::Duration;

use event_listener::EventListener;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::handshakes::{Admission, Handshakes, Limits};
use super::intake::{Drain, Intake};
use super::listener::Listener;
use super::stream::Stream;
use super::tls_stream::TlsStream;

/// Accepts connections like [`Listener`], and gives each one when its TLS handshake is over.
///
/// - The first call of [`accept`](Self::accept) tells the master that this worker serves.
/// - Handshakes go on side by side, also while nobody is in `accept`; a client that is slow, silent
///   or no TLS client at all costs nobody's time but its own. One that fails is no error of `accept`:
///   the client gets TLS's alert where there is one, and the connection is closed.
/// - Nothing is accepted that nobody wants: connections are taken from the system only while
///   somebody is in `accept`, and only up to [`max_handshakes`](Self::max_handshakes). What is over
///   that waits in the system's queue, where other workers find it.
/// - When the worker is asked to stop, what waits in the queue at that moment is still accepted and
///   the socket is closed in this process, also while nobody is in `accept`. Handshakes that go on
///   may finish. Afterwards `accept` stays pending. [`shutdown`](crate::shutdown()) waits for each
///   connection until it was read from, by the rules for any other: a client from which nothing comes,
///   in the middle of its handshake or after it, is waited for 250 ms from our last word to it.
/// - Dropping it closes everything that was not given yet.
///
/// All methods take `&self`: tasks may accept from one listener at the same time, and cancelling an
/// accept loses no connection.
///
/// # Examples
/// ```no_run
/// # use std::sync::Arc;
/// # use prefork::net::{Listener, TlsListener};
/// use tokio::io::AsyncWriteExt;
///
/// # async fn serve(listener: Listener, config: Arc<rustls::ServerConfig>) -> std::io::Result<()> {
/// let listener = TlsListener::new(listener, config);
/// loop {
///     let (mut stream, _peer) = listener.accept().await?;
///     tokio::spawn(async move {
///         stream.write_all(b"hello\n").await?;
///         stream.shutdown().await
///     });
/// }
/// # }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub struct TlsListener {
    inner: Arc<Inner>,
    /// From the first accept on.
    attendants: OnceLock<Attendants>,
}

/// The tasks beside those who accept.
struct Attendants {
    drain: AbortHandle,
    deadlines: AbortHandle,
}

struct Inner {
    listener: Listener,
    handshakes: Arc<Handshakes>,
    /// Held between the question for room and the connection that takes it.
    admission: Mutex<()>,
}

/// What came of an attempt to take a connection from the system.
enum Admitted {
    One,
    /// There is no room; see [`Admission::Full`].
    None(Option<Instant>),
}

impl TlsListener {
    /// What a client gets for its handshake.
    const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

    const MAX_HANDSHAKES: usize = 256;

    /// A listener over a plain one. Certificates, protocols and all else about TLS is the
    /// configuration's.
    pub fn new(listener: Listener, config: Arc<ServerConfig>) -> Self {
        let limits = Limits {
            timeout: Self::HANDSHAKE_TIMEOUT,
            max: Self::MAX_HANDSHAKES,
        };
        let inner = Inner {
            listener,
            handshakes: Arc::new(Handshakes::new(config, limits)),
            admission: Mutex::new(()),
        };
        Self {
            inner: Arc::new(inner),
            attendants: OnceLock::new(),
        }
    }

    /// How long a client's handshake may take, from the moment when the connection was accepted; 10
    /// seconds by default. Later the connection is closed.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.inner
            .handshakes
            .change_limits(|limits| limits.timeout = timeout);
        // They are made anew with the next accept, and go by the new one.
        self.attendants = OnceLock::new();
        self
    }

    /// How many connections may be in their handshake, or over it and not given by
    /// [`accept`](Self::accept) yet; 256 by default, and at least 1.
    ///
    /// When that many are there, the oldest handshake gives way to the next connection, but not
    /// before it is one second old: until then, or until another one is over, clients wait in the
    /// system's queue. So it is when the process has no descriptors left before.
    #[must_use]
    pub fn max_handshakes(self, max: usize) -> Self {
        self.inner
            .handshakes
            .change_limits(|limits| limits.max = max.max(1));
        self
    }

    /// The address that it listens on, also after it has ended.
    ///
    /// # Errors
    /// None; the `Result` is what servers expect of a listener.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.listener.local_addr()
    }

    /// Waits for a connection whose handshake is over; stays pending for ever once the worker was
    /// asked to go and nothing is left.
    ///
    /// Cancel safe: what is not returned is there for the next call.
    ///
    /// # Errors
    /// What `accept(2)` lists; never what a client does in its handshake. Running out of descriptors
    /// (`EMFILE`) is one only where no handshake goes on that could give way, and leaves the
    /// connection waiting: close some before the next call.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled. Handshakes run on the one that accepts.
    pub async fn accept(&self) -> io::Result<(TlsStream, SocketAddr)> {
        self.inner.listener.intake.note_accept();
        self.attendants.get_or_init(|| Attendants::of(&self.inner));
        let mut finished = pin!(self.inner.handshakes.next_finished());
        let mut take_in = pin!(self.inner.take_in());
        poll_fn(|cx| match finished.as_mut().poll(cx) {
            Poll::Ready(connection) => Poll::Ready(Ok(connection)),
            Poll::Pending => take_in.as_mut().poll(cx).map(Err),
        })
        .await
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.inner.handshakes.close();
    }
}

impl Attendants {
    fn of(inner: &Arc<Inner>) -> Self {
        let intake = Arc::clone(&inner.listener.intake);
        let drain = drain(intake, Arc::downgrade(inner));
        let handshakes = Arc::clone(&inner.handshakes);
        let deadlines = async move { handshakes.keep_deadlines().await };
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

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("listener", &self.inner.listener)
            .field("limits", &self.inner.handshakes.limits())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Begins handshakes with all who come, until accepting fails. Cancel safe, as accepting is.
    async fn take_in(&self) -> io::Error {
        loop {
            let room = self.handshakes.until_room();
            let admitted = {
                let mut accept = pin!(self.listener.accept());
                poll_fn(|cx| self.poll_admit(|| accept.as_mut().poll(cx))).await
            };
            match admitted {
                Ok(Admitted::One) => {}
                Ok(Admitted::None(until)) => room_or(room, until).await,
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
        if let Admission::Full(until) = self.handshakes.admission(now) {
            return Poll::Ready(Ok(Admitted::None(until)));
        }
        match ready!(accept()) {
            Ok((stream, peer)) => {
                self.handshakes.begin(stream, peer);
                Poll::Ready(Ok(Admitted::One))
            }
            // The limit is more than the process has.
            Err(error) if is_shortage(&error) && self.handshakes.give_way(now) => {
                Poll::Ready(Ok(Admitted::None(Some(now + RETRY))))
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
async fn drain(intake: Arc<Intake>, inner: Weak<Inner>) {
    let drain = begun(&intake).await;
    let end = Instant::from_std(drain.until);
    while let Some(inner) = inner.upgrade() {
        let room = inner.handshakes.until_room();
        let until = match inner.poll_queued(drain) {
            Poll::Pending => return,
            Poll::Ready(Ok(Admitted::One)) => continue,
            Poll::Ready(Ok(Admitted::None(until))) => until.unwrap_or(end),
            // No descriptors, most likely; what frees them is the end of other requests.
            Poll::Ready(Err(_)) => Instant::now() + RETRY,
        };
        drop(inner);
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
