//! A client that sends one request at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

/// Time limit for one answer. No measured operation takes longer.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Pause before the next attempt.
const PAUSE: Duration = Duration::from_micros(50);

/// Sends a request and returns the process id of the worker that answers.
pub(crate) fn ask(addr: SocketAddr, path: &str) -> io::Result<Pid> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    pid_in(&answer).ok_or(io::ErrorKind::UnexpectedEof.into())
}

/// Sends a request, and returns the process id of the worker that answers and the connection, which
/// stays open.
pub(crate) fn ask_and_keep(addr: SocketAddr) -> io::Result<(Pid, TcpStream)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET / HTTP/1.1\r\nhost: bench\r\n\r\n")?;
    let (mut answer, mut buffer) = (String::new(), [0; 1024]);
    // The body follows the empty line, and has ten characters.
    while answer
        .split_once("\r\n\r\n")
        .is_none_or(|(_, body)| body.len() < 10)
    {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    let pid = pid_in(&answer).ok_or(io::ErrorKind::InvalidData)?;
    Ok((pid, stream))
}

/// Parses the worker's process id, the last ten characters of the response.
pub(crate) fn pid_in(answer: &str) -> Option<Pid> {
    let body = answer.get(answer.len().checked_sub(10)?..)?;
    body.trim_start().parse().ok().map(Pid::from_raw)
}

/// Sends requests until a worker other than `other` answers.
pub(crate) fn ask_until_answered(addr: SocketAddr, other: Option<Pid>) -> Pid {
    let begin = Instant::now();
    loop {
        match ask(addr, "/") {
            Ok(pid) if Some(pid) != other => return pid,
            Ok(_) | Err(_) => thread::sleep(PAUSE),
        }
        assert!(
            begin.elapsed() < LIMIT,
            "no answer from {addr} within {LIMIT:?}"
        );
    }
}
