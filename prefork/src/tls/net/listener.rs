//! A listener that returns connections after their TLS handshake.
//!
//! Knows how accept, handshakes and background tasks are put together; `admission` decides which
//! handshakes may begin.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use prefork_options::Addr;
use rustls::ServerConfig;

use super::accept_loop::{TlsAcceptLoop, TlsBackgroundTasks};
use super::handshake_limits::{EvictAfter, HandshakeLimits};
use super::handshakes::Handshakes;
use super::stream::TlsStream;
use crate::net::Listener;
use crate::sys::process::max_descriptors;

/// Accepts connections like [`Listener`] and returns them after their TLS handshake.
///
/// - The first call of [`accept`](Self::accept) reports to the master that this worker is ready.
/// - Handshakes run concurrently, also while no task is in `accept`. A client that is slow, is
///   silent or does not use TLS delays no other client until the limit of handshakes is reached.
///   Then its handshake may be evicted: see [`max_handshakes`](Self::max_handshakes).
/// - A failed handshake is not an error of `accept`. The client gets an alert if TLS defines one,
///   and its connection is closed.
/// - Connections are accepted only while a task is in `accept`, and only up to
///   [`max_handshakes`](Self::max_handshakes). Other connections wait in the accept queue, where
///   other workers accept them.
/// - When the worker is asked to stop, the connections that are in the accept queue at that time
///   are still accepted, then the socket is closed in this process. If `accept` was called before,
///   this also happens while no task is in it. Handshakes in progress may finish, and `accept`
///   returns their connections. After that, it stays pending.
/// - As with plain connections, [`shutdown`](crate::shutdown()) waits until each connection was
///   read, but only 250 ms for a silent client. That time begins when the socket is closed. It
///   begins again when the client has sent a part of a message, when its first `ClientHello` was
///   answered, and when its handshake is complete.
/// - Dropping the listener closes all connections that `accept` has not returned.
///
/// All methods take `&self`: tasks may accept from one listener at the same time. Cancelling an
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
    accept_loop: Arc<TlsAcceptLoop>,
    /// Spawned by the first accept.
    background: OnceLock<TlsBackgroundTasks>,
}

impl TlsListener {
    /// The default of `handshake_timeout`.
    const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

    /// The minimum age of an evicted handshake while the accept queue is empty; less if it is not.
    const PROTECTED: Duration = Duration::from_secs(1);

    /// Creates a TLS listener over a plain one.
    ///
    /// `config` contains the certificates, the protocols and all other settings of TLS.
    pub fn new(listener: Listener, config: Arc<ServerConfig>) -> Self {
        let limits = HandshakeLimits {
            timeout: Self::HANDSHAKE_TIMEOUT,
            max: HandshakeLimits::default_max(max_descriptors()),
            min_age: EvictAfter::ByQueue(Self::PROTECTED),
        };
        let handshakes = Arc::new(Handshakes::new(config, limits));
        Self {
            accept_loop: Arc::new(TlsAcceptLoop::new(listener, handshakes)),
            background: OnceLock::new(),
        }
    }

    /// Sets how long a handshake may take, counted from the accept.
    ///
    /// After this time the connection is closed. Default: 10 seconds.
    #[must_use]
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.accept_loop
            .handshakes
            .change_limits(|limits| limits.timeout = timeout);
        self
    }

    /// Sets the maximum number of connections that [`accept`](Self::accept) has not returned yet.
    ///
    /// Connections in their handshake and connections with a complete handshake count. A failed
    /// handshake counts until its connection is closed. The minimum is 1. Default: a quarter of the
    /// descriptors that the process may have (`RLIMIT_NOFILE`), but at least 256 and at most 512.
    ///
    /// If the limit is reached, new clients wait in the accept queue. Then a handshake that has
    /// waited for its client for a minimum time is evicted: its connection is closed, and the next
    /// client is accepted.
    ///
    /// - There are three groups, and the first group is evicted first: (1) the client has sent
    ///   nothing, or the handshake has failed; (2) the client has sent a part of its `ClientHello`;
    ///   (3) the server has answered. While the groups before a group hold at least half of the
    ///   limit, that group is not evicted.
    /// - The minimum time is one second while the accept queue is short. The more connections wait
    ///   in it, the shorter is the time: down to 20 ms for group 1, 100 ms for group 2 and 400 ms
    ///   for group 3. On systems other than Linux, which do not report the length of the queue, it
    ///   is always one second.
    /// - A handshake is not evicted while bytes of its client are unread.
    ///
    /// The same rules apply if the process has no descriptors left before the limit is reached.
    ///
    /// A silent client costs about 10 KiB of memory. A client that sends most of the largest
    /// `ClientHello` (64 KiB) costs about 70 KiB.
    #[must_use]
    pub fn max_handshakes(self, max: usize) -> Self {
        self.accept_loop
            .handshakes
            .change_limits(|limits| limits.max = max.max(1));
        self
    }

    #[cfg(test)]
    pub(super) fn protected(self, min_age: Duration) -> Self {
        self.accept_loop
            .handshakes
            .change_limits(|limits| limits.min_age = EvictAfter::Fixed(min_age));
        self
    }

    /// Sets a function that is called for each failed handshake.
    ///
    /// Default: no function. Its arguments are the address of the client and the error:
    ///
    /// - [`InvalidData`](io::ErrorKind::InvalidData) with a [`rustls::Error`] inside: the server
    ///   rejected the client, for example because it sent no certificate or because no protocol is
    ///   common to both.
    /// - `InvalidData` with [`rustls::Error::AlertReceived`] inside: the client rejected the
    ///   server, most often its certificate.
    /// - [`TimedOut`](io::ErrorKind::TimedOut): the handshake took longer than
    ///   [`handshake_timeout`](Self::handshake_timeout), or it was evicted for another client.
    /// - [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) or
    ///   [`ConnectionReset`](io::ErrorKind::ConnectionReset): the client closed the connection
    ///   during the handshake, as health checks do.
    ///
    /// # Process
    /// In the worker, on the runtime of the handshake. It must not block, because the handshakes
    /// wait for it.
    ///
    /// # Examples
    /// ```no_run
    /// # use prefork::net::TlsListener;
    /// # use std::io::ErrorKind;
    /// # fn log_failures(listener: TlsListener) -> TlsListener {
    /// listener.on_handshake_failure(|peer, error| {
    ///     let is_closed = matches!(
    ///         error.kind(),
    ///         ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
    ///     );
    ///     if !is_closed {
    ///         eprintln!("{peer}: {error}");
    ///     }
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn on_handshake_failure(
        self,
        on_failure: impl Fn(Addr, &io::Error) + Send + Sync + 'static,
    ) -> Self {
        self.accept_loop
            .handshakes
            .set_on_failure(Arc::new(on_failure));
        self
    }

    /// Returns the address of the socket, also after the listener has ended.
    ///
    /// # Errors
    /// Never fails; returns a `Result` like the listeners of the standard library and tokio.
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.accept_loop.listener.local_addr()
    }

    /// Waits for a connection whose handshake is complete.
    ///
    /// After the worker was asked to stop and all connections were returned, it stays pending
    /// forever. It is cancel safe: the next call returns a connection that this call did not
    /// return.
    ///
    /// # Errors
    /// Those of [`Listener::blocking_accept`], never an error of a handshake. In a shortage of
    /// descriptors a handshake may be evicted, as at the limit of
    /// [`max_handshakes`](Self::max_handshakes).
    ///
    /// # Panics
    /// If it is called outside of a tokio runtime with time enabled.
    ///
    /// # Process
    /// In the worker. A handshake runs on the runtime of the call that accepted its connection. The
    /// runtime of the first call must outlive the listener: it also runs the timeouts, and in a
    /// stop it accepts the queued connections.
    pub async fn accept(&self) -> io::Result<(TlsStream, Addr)> {
        self.accept_loop.listener.tracker.note_accept();
        self.background
            .get_or_init(|| TlsBackgroundTasks::of(&self.accept_loop));
        let mut finished = pin!(self.accept_loop.handshakes.next_finished());
        let mut accepting = pin!(self.accept_loop.run());
        poll_fn(|cx| match finished.as_mut().poll(cx) {
            Poll::Ready(connection) => Poll::Ready(Ok(connection)),
            Poll::Pending => accepting.as_mut().poll(cx).map(Err),
        })
        .await
    }
}

#[cfg(any(feature = "axum", feature = "stream"))]
impl TlsListener {
    pub(super) fn plain(&self) -> &Listener {
        &self.accept_loop.listener
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accept_loop.handshakes.close();
    }
}

/// As for [`Listener`]: for options of the socket.
impl AsFd for TlsListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.accept_loop.listener.as_fd()
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("listener", &self.accept_loop.listener)
            .field("limits", &self.accept_loop.handshakes.limits())
            .finish_non_exhaustive()
    }
}
