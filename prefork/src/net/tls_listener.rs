//! A listening socket whose connections are given when their TLS handshake is over.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use rustls::ServerConfig;

use super::admission::Limits;
use super::attendants::Attendants;
use super::handshakes::Handshakes;
use super::listener::Listener;
use super::reception::Reception;
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
///   the socket is closed in this process, from the first `accept` on also while nobody is in it.
///   Handshakes that go on may finish. Afterwards `accept` stays pending. [`shutdown`](crate::shutdown())
///   waits for each connection until it was read from, by the rules for any other: clients from which
///   nothing comes are waited for 250 ms. These begin when the socket is closed, and anew when one of them has said a
///   part of something, was answered (not for the second time, where it is asked for another hello), or has finished
///   its handshake.
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
    reception: Arc<Reception>,
    /// From the first accept on.
    attendants: OnceLock<Attendants>,
}

impl TlsListener {
    /// What a client gets for its handshake.
    const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

    const MAX_HANDSHAKES: usize = 256;

    /// What a client gets also where others wait.
    const PROTECTED: Duration = Duration::from_secs(1);

    /// A listener over a plain one. Certificates, protocols and all else about TLS is the
    /// configuration's.
    pub fn new(listener: Listener, config: Arc<ServerConfig>) -> Self {
        let limits = Limits {
            timeout: Self::HANDSHAKE_TIMEOUT,
            max: Self::MAX_HANDSHAKES,
            protected: Self::PROTECTED,
        };
        let handshakes = Arc::new(Handshakes::new(config, limits));
        Self {
            reception: Arc::new(Reception::new(listener, handshakes)),
            attendants: OnceLock::new(),
        }
    }

    /// How long a client's handshake may take, from the moment when the connection was accepted; 10
    /// seconds by default. Later the connection is closed.
    #[must_use]
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.reception
            .handshakes
            .change_limits(|limits| limits.timeout = timeout);
        self
    }

    /// How many connections may be in their handshake, or through it and not given by
    /// [`accept`](Self::accept) yet; 256 by default, and at least 1.
    ///
    /// A place is free again when `accept` has given its connection, or when that came to nothing and is closed: a
    /// handshake that is through still has its place. Where all are taken, clients wait in the system's queue until one
    /// is free, or until the oldest handshake is one second old: it gives way to the next connection then. So it is when
    /// the process has no descriptors left before.
    #[must_use]
    pub fn max_handshakes(self, max: usize) -> Self {
        self.reception
            .handshakes
            .change_limits(|limits| limits.max = max.max(1));
        self
    }

    #[cfg(test)]
    pub(super) fn protected(self, protected: Duration) -> Self {
        self.reception
            .handshakes
            .change_limits(|limits| limits.protected = protected);
        self
    }

    /// Tells of each handshake that came to nothing: whose, and why; nobody is told by default. It is called on the
    /// runtime of the handshakes, which wait for it.
    ///
    /// - [`InvalidData`](io::ErrorKind::InvalidData) with a [`rustls::Error`] inside: rustls refused the client, among
    ///   others one without a certificate that is asked for, or without a protocol in common.
    /// - `InvalidData` with [`rustls::Error::AlertReceived`] inside: the client refused us, most often our certificate.
    /// - [`TimedOut`](io::ErrorKind::TimedOut): this side ended it, for time or for room.
    /// - [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) or [`ConnectionReset`](io::ErrorKind::ConnectionReset): the
    ///   client went before the end, without a word of why. Health checks do that.
    ///
    /// # Examples
    /// ```no_run
    /// # use prefork::net::TlsListener;
    /// # use std::io::ErrorKind;
    /// # fn told(listener: TlsListener) -> TlsListener {
    /// listener.on_handshake_failure(|peer, error| {
    ///     let is_gone = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&error.kind());
    ///     if !is_gone {
    ///         eprintln!("{peer}: {error}");
    ///     }
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn on_handshake_failure(
        self,
        told: impl Fn(SocketAddr, &io::Error) + Send + Sync + 'static,
    ) -> Self {
        self.reception.handshakes.tell_failures(Arc::new(told));
        self
    }

    /// The address that it listens on, also after it has ended.
    ///
    /// # Errors
    /// None; the `Result` is what servers expect of a listener.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.reception.listener.local_addr()
    }

    /// Waits for a connection whose handshake is over; stays pending for ever once the worker was
    /// asked to go and nothing is left.
    ///
    /// Cancel safe: what is not returned is there for the next call.
    ///
    /// # Errors
    /// As [`Listener::blocking_accept`]; never what a client does in its handshake. In a shortage the oldest handshake gives
    /// way.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled. A handshake goes on on the runtime that accepted it; their time is
    /// kept, and in a stop the queue is emptied, on the runtime of the first call: it has to outlive the listener.
    pub async fn accept(&self) -> io::Result<(TlsStream, SocketAddr)> {
        self.reception.listener.intake.note_accept();
        self.attendants
            .get_or_init(|| Attendants::of(&self.reception));
        let mut finished = pin!(self.reception.handshakes.next_finished());
        let mut take_in = pin!(self.reception.take_in());
        poll_fn(|cx| match finished.as_mut().poll(cx) {
            Poll::Ready(connection) => Poll::Ready(Ok(connection)),
            Poll::Pending => take_in.as_mut().poll(cx).map(Err),
        })
        .await
    }
}

#[cfg(feature = "axum")]
impl TlsListener {
    pub(super) fn plain(&self) -> &Listener {
        &self.reception.listener
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.reception.handshakes.close();
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("listener", &self.reception.listener)
            .field("limits", &self.reception.handshakes.limits())
            .finish_non_exhaustive()
    }
}
