//! A small server under prefork that answers one request on each connection and closes it:
//! `one-request tokio` or `one-request blocking`.
//!
//! It uses no HTTP library, so that most of its work is to accept. Each worker has one thread. The
//! response to each request is the worker's process id, padded to ten characters. The header
//! `wake-ups` is how often the runtime of the worker has waited for events. A request for `/block`
//! first blocks the thread for 100 ms, like slow code of a user.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use prefork::net::{AsyncSocket, Listener, Stream};
use prefork_bench::app;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Time that `/block` takes.
///
/// The thread sleeps: a busy one would take processor time from the other workers and from the
/// client, and would therefore change what is measured.
const BLOCKED: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tokio") => on_tokio(),
        Some("blocking") => blocking(),
        other => panic!("unknown mode {other:?}"),
    }
}

#[prefork::main(listen = "127.0.0.1:0", recover_threshold = 1_000_000)]
#[tokio::main(flavor = "current_thread")]
async fn on_tokio(listener: Listener) -> io::Result<()> {
    app::report_ready();
    let serve = async {
        loop {
            let (stream, _peer) = listener.accept().await?;
            // The client reports an error of its connection.
            tokio::spawn(async { answer(stream).await.ok() });
        }
    };
    tokio::select! {
        served = serve => served,
        () = prefork::shutdown() => Ok(()),
    }
}

async fn answer(mut stream: Stream<AsyncSocket>) -> io::Result<()> {
    let mut request = Request::default();
    while !request.is_complete() {
        let read = stream.read(request.free()).await?;
        request.extend(read)?;
    }
    stream.write_all(request.response().as_bytes()).await
}

#[prefork::main(listen = "127.0.0.1:0", recover_threshold = 1_000_000)]
fn blocking(listener: Listener) -> io::Result<()> {
    app::report_ready();
    for stream in listener.blocking_incoming() {
        // The client reports an error of its connection.
        blocking_answer(stream?).ok();
    }
    Ok(())
}

fn blocking_answer(mut stream: Stream) -> io::Result<()> {
    let mut request = Request::default();
    while !request.is_complete() {
        let read = stream.read(request.free())?;
        request.extend(read)?;
    }
    stream.write_all(request.response().as_bytes())
}

/// How often the runtime has waited for events; 0 without a runtime.
fn wake_ups() -> u64 {
    let runtime = tokio::runtime::Handle::try_current();
    runtime.map_or(0, |runtime| runtime.metrics().worker_park_count(0))
}

/// The bytes of a request that were received.
struct Request {
    buffer: [u8; 256],
    length: usize,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            buffer: [0; 256],
            length: 0,
        }
    }
}

impl Request {
    /// The unused part of the buffer.
    fn free(&mut self) -> &mut [u8] {
        &mut self.buffer[self.length..]
    }

    /// Adds the bytes that were read into [`free`](Self::free).
    ///
    /// # Errors
    /// The connection has ended, or the request does not fit into the buffer.
    fn extend(&mut self, read: usize) -> io::Result<()> {
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.length += read;
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.buffer[..self.length].ends_with(b"\r\n\r\n")
    }

    fn response(&self) -> String {
        if self.buffer.starts_with(b"GET /block ") {
            thread::sleep(BLOCKED);
        }
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\nwake-ups: {}\r\n\r\n{:>10}",
            wake_ups(),
            std::process::id()
        )
    }
}
