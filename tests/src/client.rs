//! A small HTTP client with one request per connection. The test decides when the client connects,
//! sends the request and reads the answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A limit that keeps a failing test from hanging. No test asserts it.
const LIMIT: Duration = Duration::from_secs(30);

/// Connects and sends nothing.
///
/// # Errors
/// No process listens at the address.
pub fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Connects and sends a request.
///
/// # Errors
/// No process listens at the address, or the connection is closed.
pub fn ask(addr: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = connect(addr)?;
    send(&mut stream, path)?;
    Ok(stream)
}

/// Sends a request.
///
/// # Errors
/// The connection is closed.
pub fn send(stream: &mut impl Write, path: &str) -> io::Result<()> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())
}

/// Reads the answer and returns its body.
///
/// # Errors
/// The connection is closed, or the answer is malformed, incomplete or not 200.
pub fn answer(stream: TcpStream) -> io::Result<String> {
    answer_of(stream)
}

/// As [`answer`], for a connection of any kind.
///
/// # Errors
/// The errors of [`answer`].
pub fn answer_of(mut stream: impl Read) -> io::Result<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let body = text
        .strip_prefix("HTTP/1.1 200 ")
        .and_then(|rest| rest.split_once("\r\n\r\n"))
        .map(|(_, body)| body.to_owned());
    // The bodies of all test servers end with a newline.
    body.filter(|body| body.ends_with('\n'))
        .ok_or_else(|| io::Error::other(format!("not an answer: {text:?}")))
}

/// Sends a request and waits for the body of the answer.
///
/// # Errors
/// The errors of [`ask`] and [`answer`].
pub fn get(addr: SocketAddr, path: &str) -> io::Result<String> {
    answer(ask(addr, path)?)
}

/// Slot and pid in `hello from worker <slot> (pid <pid>)`.
pub fn slot_and_pid(body: &str) -> Option<(usize, i32)> {
    let rest = body.strip_prefix("hello from worker ")?;
    let (slot, rest) = rest.split_once(" (pid ")?;
    let pid = rest.strip_suffix(")\n")?;
    Some((slot.parse().ok()?, pid.parse().ok()?))
}
