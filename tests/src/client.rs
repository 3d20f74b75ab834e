//! A tiny HTTP client: one request per connection, by hand, so that a test decides when a
//! connection is made, when its request is sent and when its answer is read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A limit for what never comes; no test asserts it.
const LIMIT: Duration = Duration::from_secs(30);

/// Connects and sends nothing.
///
/// # Errors
/// Nobody listens.
pub fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Connects and sends a request.
///
/// # Errors
/// Nobody listens, or the connection is gone.
pub fn ask(addr: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = connect(addr)?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

/// Reads the answer and gives its body.
///
/// # Errors
/// The connection is gone, or the answer is none, is incomplete or is not 200.
pub fn answer(mut stream: TcpStream) -> io::Result<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let body = text
        .strip_prefix("HTTP/1.1 200 ")
        .and_then(|rest| rest.split_once("\r\n\r\n"))
        .map(|(_, body)| body.to_owned());
    // The bodies of all servers here end in a new line.
    body.filter(|body| body.ends_with('\n'))
        .ok_or_else(|| io::Error::other(format!("not an answer: {text:?}")))
}

/// Asks and waits for the answer's body.
///
/// # Errors
/// Those of [`ask`] and [`answer`].
pub fn get(addr: SocketAddr, path: &str) -> io::Result<String> {
    answer(ask(addr, path)?)
}

/// Slot and pid in `hello from worker <slot> (pid <pid>)`.
pub fn who(body: &str) -> Option<(usize, i32)> {
    let rest = body.strip_prefix("hello from worker ")?;
    let (slot, rest) = rest.split_once(" (pid ")?;
    let pid = rest.strip_suffix(")\n")?;
    Some((slot.parse().ok()?, pid.parse().ok()?))
}
