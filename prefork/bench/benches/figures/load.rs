//! A load of concurrent requests from one thread, as fast as the server answers.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::JoinSet;

/// Number of concurrent clients.
const CLIENTS: usize = 32;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";

/// Whether a client keeps its connection after a response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    Kept,
    New,
}

/// Sends requests for `period` and returns the number of responses.
pub(crate) fn load(addr: SocketAddr, connections: Connections, period: Duration) -> u64 {
    let end = Instant::now() + period;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the runtime can be built").block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            match connections {
                Connections::Kept => clients.spawn(ask_again(addr, end)),
                Connections::New => clients.spawn(ask_anew(addr, end)),
            };
        }
        let answers = clients.join_all().await.into_iter();
        answers
            .map(|answers| answers.expect("the server answers every request"))
            .sum()
    })
}

/// Sends requests on kept connections until `end`.
///
/// Each connection ends after 200 requests. Which worker accepts a connection is random, and an
/// uneven distribution must not last for a whole run.
async fn ask_again(addr: SocketAddr, end: Instant) -> io::Result<u64> {
    const TIMES: u64 = 200;
    let mut answers = 0;
    while Instant::now() < end {
        answers += ask_often(addr, TIMES).await?;
    }
    Ok(answers)
}

async fn ask_often(addr: SocketAddr, times: u64) -> io::Result<u64> {
    let mut stream = TcpStream::connect(addr).await?;
    let mut buffer = vec![0; 1024];
    // All responses have the same length.
    stream.write_all(REQUEST).await?;
    let length = read_first(&mut stream, &mut buffer).await?;
    for _ in 1..times {
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut buffer[..length]).await?;
    }
    Ok(times)
}

/// Reads the first response and returns its length. Its body has ten characters.
async fn read_first(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    const BODY: usize = 10;
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
        let head = buffer[..length]
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n");
        if head.is_some_and(|head| length == head + 4 + BODY) {
            return Ok(length);
        }
    }
}

async fn ask_anew(addr: SocketAddr, end: Instant) -> io::Result<u64> {
    let mut buffer = Vec::with_capacity(1024);
    let mut answers = 0;
    while Instant::now() < end {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(LAST_REQUEST).await?;
        buffer.clear();
        stream.read_to_end(&mut buffer).await?;
        answers += 1;
    }
    Ok(answers)
}

/// Sends `times` requests, on one connection or on a new one each.
pub(crate) fn ask_times(addr: SocketAddr, connections: Connections, times: u32) {
    use std::io::{Read, Write};

    let connect = || std::net::TcpStream::connect(addr).expect("the server listens");
    let mut buffer = Vec::with_capacity(1024);
    match connections {
        Connections::New => {
            for _ in 0..times {
                let mut stream = connect();
                stream
                    .write_all(LAST_REQUEST)
                    .expect("the worker reads the request");
                buffer.clear();
                stream.read_to_end(&mut buffer).expect("the worker answers");
            }
        }
        Connections::Kept => {
            let mut stream = connect();
            let mut buffer = [0; 1024];
            for _ in 0..times {
                stream
                    .write_all(REQUEST)
                    .expect("the worker reads the request");
                // This assumes that one `read` returns the whole response.
                let read = stream.read(&mut buffer).expect("the worker answers");
                assert!(read > 0, "the worker keeps the connection open");
            }
        }
    }
}
