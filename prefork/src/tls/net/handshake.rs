//! One TLS handshake, from an accepted connection to a stream or an error.
//!
//! Knows one client; does not know how long a handshake may take or how many others are in
//! progress.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::handshake_limits::HandshakeStage;
use super::stream::TlsStream;
use crate::net::{AsyncSocket, Stream};

/// How long, and for how many bytes, the socket is read after an alert was sent.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// A failed handshake.
#[derive(Debug)]
pub(super) struct HandshakeFailure {
    pub(super) error: io::Error,
    /// The socket, if an alert was sent that the client has to read.
    io: Option<AsyncSocket>,
}

impl HandshakeFailure {
    /// Waits until the client has read the alert, if one was sent.
    pub(super) async fn linger(self) {
        if let Some(io) = self.io {
            let _ = timeout(LINGER, linger(io)).await;
        }
    }
}

/// What a handshake reports while it is in progress.
pub(super) trait ReportProgress {
    /// The task reads or writes: the handshake does not wait for its client.
    fn client_sent(&self);

    /// The handshake waits for its client to send bytes or to read bytes.
    fn waits_for_client(&self, stage: HandshakeStage);
}

/// Does the handshake in two steps: the first one ends when the whole `ClientHello` was read.
///
/// So the time of the answer is known, which a drain needs.
pub(super) async fn handshake(
    stream: Stream<AsyncSocket>,
    config: Arc<ServerConfig>,
    report: &impl ReportProgress,
) -> Result<TlsStream, HandshakeFailure> {
    // Waits for the first byte: until then the stage is `Silent`. tokio assumes that a new socket
    // is readable, so this asks the kernel. The next read reports an error as well.
    let _ = first_byte(stream.get_ref()).await;
    let mut hello = stream.map(|io| LazyConfigAcceptor::new(Acceptor::default(), io));
    let start = match progress(&mut hello, report, HandshakeStage::Begun).await {
        Ok(start) => start,
        // `hello` removes the connection from the tracker here, before the descriptor is closed.
        Err(error) => return Err(failure(error, hello.into_inner().take_io())),
    };
    hello.note_answered();
    let mut rest = hello.map(|_| start.into_stream(config).into_fallible());
    match progress(&mut rest, report, HandshakeStage::Answered).await {
        Ok(tls) => Ok(TlsStream::new(rest.map(|_| Box::new(tls)))),
        Err((error, io)) => {
            drop(rest);
            Err(failure(error, Some(io)))
        }
    }
}

/// Waits until the client has sent a byte or has ended, and reads nothing.
async fn first_byte(io: &AsyncSocket) -> io::Result<()> {
    let peek = || SockRef::from(io).peek(&mut [MaybeUninit::uninit()]);
    let length = match io {
        AsyncSocket::Tcp(tcp) => tcp.async_io(Interest::READABLE, peek).await,
        AsyncSocket::Unix(unix) => unix.async_io(Interest::READABLE, peek).await,
    };
    length.map(drop)
}

/// Polls the handshake. Reports each wait for the client to `report`, and partial reads to a drain.
async fn progress<F: Future + Unpin>(
    stream: &mut Stream<F>,
    report: &impl ReportProgress,
    stage: HandshakeStage,
) -> F::Output {
    poll_fn(|cx| {
        report.client_sent();
        let result = Pin::new(&mut stream.io).poll(cx);
        if result.is_pending() {
            stream.note_partial_read();
            report.waits_for_client(stage);
        }
        result
    })
    .await
}

fn failure(error: io::Error, io: Option<AsyncSocket>) -> HandshakeFailure {
    let io = io.filter(|_| is_reported(&error));
    HandshakeFailure { error, io }
}

/// Whether an alert was sent to the client.
///
/// rustls sends one if it rejects the client. If the client itself sent an alert, most often
/// because it rejects the certificate, it gets no answer.
fn is_reported(error: &io::Error) -> bool {
    let tls_error = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls_error.is_some_and(|error| !matches!(error, rustls::Error::AlertReceived(_)))
}

/// Closes the sending side and reads until the client closes its side.
///
/// A socket that is closed with unread bytes is reset, and the alert may be lost (RFC 2525, 2.17).
async fn linger(mut io: AsyncSocket) -> io::Result<()> {
    io.shutdown().await?;
    let mut rest = io.take(LINGER_BYTES);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}
