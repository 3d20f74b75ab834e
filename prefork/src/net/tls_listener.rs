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

use super::admission::{Limits, Protection};
use super::attendants::Attendants;
use super::handshakes::Handshakes;
use super::listener::Listener;
use super::reception::Reception;
use super::tls_stream::TlsStream;
use crate::sys::process::max_descriptors;

/// Accepts connections like [`Listener`], and gives each one when its TLS handshake is over.
///
/// - The first call of [`accept`](Self::accept) tells the master that this worker serves.
/// - Handshakes go on side by side, also while nobody is in `accept`. A client that is slow, silent or
///   no TLS client at all delays no other one while places are free. If all places are taken, it gives
///   way: see [`max_handshakes`](Self::max_handshakes). A handshake that fails is no error of `accept`:
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

    /// What a client gets where all places are taken and no connection waits; less if some wait.
    const PROTECTED: Duration = Duration::from_secs(1);

    /// A listener over a plain one. Certificates, protocols and all else about TLS is the
    /// configuration's.
    pub fn new(listener: Listener, config: Arc<ServerConfig>) -> Self {
        let limits = Limits {
            timeout: Self::HANDSHAKE_TIMEOUT,
            max: Limits::default_max(max_descriptors()),
            protection: Protection::ByQueue(Self::PROTECTED),
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
    /// [`accept`](Self::accept) yet; at least 1. The default is a quarter of the descriptors that the process may have
    /// (`RLIMIT_NOFILE`), but not less than 256 and not more than 512.
    ///
    /// A place is free again when `accept` has given its connection, or when the handshake has failed and its connection
    /// is closed. If all places are taken, new clients wait in the system's accept queue, and a handshake that has waited
    /// for its client for long enough gives way to the next one:
    ///
    /// - First those give way whose client was refused or has sent nothing, then those whose client has sent a part of its
    ///   hello, then those that the server has answered. While the ones before hold at least half of the places, those
    ///   behind keep theirs.
    /// - The time is one second while the accept queue is short. The more connections wait in it, the shorter the time
    ///   is: down to 20 ms for a client that has sent nothing or was refused, 100 ms for one that has sent a part of its
    ///   hello, and 400 ms for one that was answered. Where the system does not report the length of the queue (other
    ///   systems than Linux), it stays one second.
    /// - A handshake does not give way while bytes of its client are unread.
    ///
    /// The same holds if the process has no descriptors left before all places are taken.
    ///
    /// A silent client costs about 10 KiB of memory, and one that sends most of the largest hello (64 KiB) about 70 KiB.
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
            .change_limits(|limits| limits.protection = Protection::Fixed(protected));
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
    /// As [`Listener::blocking_accept`]; never what a client does in its handshake. In a shortage a handshake gives way, as
    /// at the limit of [`max_handshakes`](Self::max_handshakes).
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
