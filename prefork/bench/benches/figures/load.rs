//! Many requests at a time, from one thread: as fast as they are answered.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::JoinSet;

/// How many requests are under way at any time.
const CLIENTS: usize = 32;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";

/// What becomes of a connection when its request was answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    Kept,
    New,
}

/// Asks for so long; counts the answers.
pub(crate) fn load(addr: SocketAddr, connections: Connections, period: Duration) -> u64 {
    let end = Instant::now() + period;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            match connections {
                Connections::Kept => clients.spawn(ask_again(addr, end)),
                Connections::New => clients.spawn(ask_anew(addr, end)),
            };
        }
        let answers = clients.join_all().await.into_iter();
        answers
            .map(|answers| answers.expect("every request is answered"))
            .sum()
    })
}

/// Connections are not kept for ever: which worker gets which is luck, and one bad draw must not
/// count for a whole run.
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
    // All answers are of one length.
    stream.write_all(REQUEST).await?;
    let length = read_first(&mut stream, &mut buffer).await?;
    for _ in 1..times {
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut buffer[..length]).await?;
    }
    Ok(times)
}

/// An answer ends with its body: what follows the empty line is ten characters long.
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

/// Asks this often on one connection, or on one for each.
pub(crate) fn ask_times(addr: SocketAddr, connections: Connections, times: u32) {
    use std::io::{Read, Write};

    let connect = || std::net::TcpStream::connect(addr).expect("somebody listens");
    let mut buffer = Vec::with_capacity(1024);
    match connections {
        Connections::New => {
            for _ in 0..times {
                let mut stream = connect();
                stream.write_all(LAST_REQUEST).expect("it was accepted");
                buffer.clear();
                stream.read_to_end(&mut buffer).expect("it is answered");
            }
        }
        Connections::Kept => {
            let mut stream = connect();
            let mut buffer = [0; 1024];
            for _ in 0..times {
                stream.write_all(REQUEST).expect("it was accepted");
                let read = stream.read(&mut buffer).expect("it is answered");
                assert!(read > 0, "the answer comes in one piece");
            }
        }
    }
}
