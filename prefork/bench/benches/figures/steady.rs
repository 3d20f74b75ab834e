//! A load of requests at fixed times, each on its own connection, as independent users send them.
//!
//! The load does not wait for a response before it sends the next request.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time;

/// Requests per second.
pub(crate) const RATE: u32 = 100;

/// One request.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// When the request was due, since the beginning.
    pub(crate) at: Duration,
    /// Time from then to the end of the response. `None` without a response.
    pub(crate) took: Option<Duration>,
}

/// The reaction of a user to a refused connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Tries again: the server is about to start.
    TryAgain,
    /// Gives up.
    GiveUp,
}

/// Sends requests for `period`.
pub(crate) fn load(
    addr: SocketAddr,
    begin: Instant,
    period: Duration,
    refused: Refused,
) -> Vec<Request> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("the runtime can be built").block_on(async {
        let mut requests = JoinSet::new();
        let mut ticks = time::interval_at(begin.into(), Duration::from_secs(1) / RATE);
        while begin.elapsed() < period {
            let due = ticks.tick().await;
            requests.spawn(request(addr, begin, due.into(), refused));
        }
        requests.join_all().await
    })
}

async fn request(addr: SocketAddr, begin: Instant, due: Instant, refused: Refused) -> Request {
    const LIMIT: Duration = Duration::from_secs(20);
    let answered = time::timeout(LIMIT, async {
        loop {
            match ask(addr).await {
                Err(error) if is_refused(&error) && refused == Refused::TryAgain => {
                    time::sleep(Duration::from_millis(1)).await;
                }
                other => return other,
            }
        }
    });
    let is_answered = matches!(answered.await, Ok(Ok(())));
    Request {
        at: due - begin,
        took: is_answered.then(|| due.elapsed()),
    }
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

async fn ask(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(256);
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
