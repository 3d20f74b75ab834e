//! One TLS handshake, from an accepted connection to a stream or to nothing.
//!
//! Knows one client; does not know how long it may take, nor how many others there are.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::admission::Stage;
use super::stream::Stream;
use super::tls_stream::TlsStream;

/// How long, and for how many bytes, a client is listened to that was told why it is refused.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// Why there is no stream.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: io::Error,
    /// Of a client that has an alert to read.
    io: Option<TcpStream>,
}

impl Failure {
    /// Waits until the client has read why it is refused.
    pub(super) async fn linger(self) {
        if let Some(io) = self.io {
            let _ = timeout(LINGER, linger(io)).await;
        }
    }
}

/// What a handshake reports while it goes on.
pub(super) trait Progress {
    /// The handshake goes on: it does not wait for its client.
    fn client_spoke(&self);

    /// The client is to send the next bytes, or to read what was sent.
    fn waits(&self, stage: Stage);
}

/// In two steps, so that it is seen when the client is answered.
pub(super) async fn shake_hands(
    stream: Stream<TcpStream>,
    config: Arc<ServerConfig>,
    report: &impl Progress,
) -> Result<TlsStream, Failure> {
    // Until then the client has sent nothing: tokio takes a new socket for readable, so the system has to be asked. An
    // error is reported by the next read as well.
    let _ = stream.get_ref().peek(&mut [0]).await;
    let mut hello = stream.map(|io| LazyConfigAcceptor::new(Acceptor::default(), io));
    let start = match progress(&mut hello, report, Stage::Begun).await {
        Ok(start) => start,
        // The note is dropped here, before the descriptor.
        Err(error) => return Err(failure(error, hello.into_inner().take_io())),
    };
    hello.note_answered();
    let mut rest = hello.map(|_| start.into_stream(config).into_fallible());
    match progress(&mut rest, report, Stage::Answered).await {
        Ok(tls) => Ok(TlsStream::new(rest.map(|_| Box::new(tls)))),
        Err((error, io)) => {
            drop(rest);
            Err(failure(error, Some(io)))
        }
    }
}

/// Waits for the layer inside; reports each wait for the client, and tells a drain of bytes that it took.
async fn progress<F: Future + Unpin>(
    stream: &mut Stream<F>,
    report: &impl Progress,
    stage: Stage,
) -> F::Output {
    poll_fn(|cx| {
        report.client_spoke();
        let result = Pin::new(&mut stream.io).poll(cx);
        if result.is_pending() {
            stream.note_heard();
            report.waits(stage);
        }
        result
    })
    .await
}

fn failure(error: io::Error, io: Option<TcpStream>) -> Failure {
    let io = io.filter(|_| is_told(&error));
    Failure { error, io }
}

/// Whether the client was sent an alert: for what rustls objects to. A client that objects itself, most often to our
/// certificate, has said so, and gets no answer.
fn is_told(error: &io::Error) -> bool {
    let objection = error
        .get_ref()
        .and_then(|inside| inside.downcast_ref::<rustls::Error>());
    objection.is_some_and(|objection| !matches!(objection, rustls::Error::AlertReceived(_)))
}

/// A socket that is closed with bytes unread is reset, and the alert may be lost with it
/// (RFC 2525, 2.17). So this side says its end, and reads on until the client's.
async fn linger(mut io: TcpStream) -> io::Result<()> {
    io.shutdown().await?;
    let mut rest = io.take(LINGER_BYTES);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}
