//! How a request failed, classified by what happened on the wire.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The address refused the connection: no socket listens there.
    Refused,
    /// The server reset the connection during connect(2) or during the TLS handshake.
    ResetWhileConnecting,
    /// The TLS handshake failed: one side rejected the other, or the server closed the connection.
    TlsHandshake,
    /// The server closed a kept connection before it read the request.
    ///
    /// An HTTP/1 server may close a connection between two requests at any time, also when the next
    /// request is already under way. Clients repeat such a request on a new connection. If a worker
    /// is killed, requests that it has not read yet fail like this, too.
    StaleConnection,
    /// The server reset a new connection before it sent a byte.
    ///
    /// The worker had not read the whole request, or no worker had accepted the connection.
    ResetBeforeResponse,
    /// The server read the request and closed the connection without sending a byte.
    ///
    /// The client decides this one second after the end of the connection: if the server has not
    /// read the request, its kernel resets the connection when it is closed.
    Empty,
    /// The connection ended within the head or the body of the response.
    Short,
    /// The bytes that the server sent are no HTTP/1 response, have a head of more than 64 KiB, or
    /// continue after the end of the response.
    Malformed,
    /// The time of the request was over.
    TimedOut {
        /// What the client was doing.
        phase: Phase,
    },
    /// The response has status 101, or a status of 400 or more.
    Status(u16),
    /// Another error of the system, for example because the client has no free port or descriptor.
    Other(io::ErrorKind),
}

/// How far a request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The client was connecting.
    Connecting,
    /// The TLS handshake was under way.
    Handshake,
    /// The client was sending the request.
    Sending,
    /// The client had sent the request and not received a byte.
    Waiting,
    /// The client had received a part of the head.
    Head,
    /// The client had received the head and, if there was one, a part of the body.
    Body,
}

/// A request that failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FailedRequest {
    /// How it failed.
    pub failure: Failure,
    /// How far it had come.
    pub phase: Phase,
    /// When it began, since the start of the load.
    pub began: Duration,
    /// When it failed, since the start of the load.
    pub ended: Duration,
    /// The number of the client thread that sent it, from 0.
    pub client: usize,
    /// The local port of the connection. `None` if it was not connected.
    pub local_port: Option<u16>,
    /// The number of complete responses that the connection had carried before.
    pub served_before: u64,
    /// The worker at the other end, as far as it is known.
    ///
    /// For [`Failure::Status`] the pid in this response, or else in the last response on the same
    /// connection. For other failures the pid in the last response on the same connection. `None` if
    /// no response had a pid: the first request of a connection has one only for
    /// [`Failure::Status`].
    pub pid: Option<i32>,
    /// More about the failure, such as the error of TLS. Often empty.
    pub detail: String,
    /// The start of the load.
    pub(super) start: Instant,
}

impl FailedRequest {
    /// Returns whether the request began after this time.
    pub fn began_after(&self, at: Instant) -> bool {
        self.start + self.began > at
    }

    /// Returns whether the request was in flight at some moment of this time.
    pub fn was_in_flight_during(&self, time: &RangeInclusive<Instant>) -> bool {
        self.start + self.began <= *time.end() && self.start + self.ended >= *time.start()
    }

    /// Returns whether the exit of this worker explains the failure.
    ///
    /// This is so if the request was in flight during this time, the connection ended, and the
    /// connection was one of this worker. The worker at the other end is unknown until it has
    /// answered on the connection, see [`pid`](Self::pid). Then the time alone decides.
    ///
    /// The time has to begin before the kill and to end after the worker has exited: a worker can
    /// accept another connection between the two. A refused connection is never explained, because
    /// the master keeps the listening sockets open.
    ///
    /// # Examples
    /// ```no_run
    /// # use std::time::Instant;
    /// # use prefork_testkit::{RunningServer, load::RunningLoad};
    /// # fn kill(server: RunningServer, load: RunningLoad) {
    /// let before = Instant::now();
    /// let killed = server.kill_child(0);
    /// server.wait_for_replacement(killed);
    /// let time = before..=Instant::now();
    /// load.stop().assert_only(|failed| failed.is_explained_by_exit(killed.pid, &time));
    /// # }
    /// ```
    pub fn is_explained_by_exit(&self, pid: i32, time: &RangeInclusive<Instant>) -> bool {
        let has_ended = match self.failure {
            Failure::StaleConnection
            | Failure::ResetBeforeResponse
            | Failure::Empty
            | Failure::Short => true,
            // The worker had accepted the connection.
            Failure::ResetWhileConnecting | Failure::TlsHandshake => self.phase == Phase::Handshake,
            Failure::Refused
            | Failure::Malformed
            | Failure::TimedOut { .. }
            | Failure::Status(_)
            | Failure::Other(_) => false,
        };
        has_ended && self.pid.is_none_or(|known| known == pid) && self.was_in_flight_during(time)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::ResetWhileConnecting => f.write_str("reset while connecting"),
            Self::TlsHandshake => f.write_str("TLS handshake failed"),
            Self::StaleConnection => f.write_str("kept connection closed before the request"),
            Self::ResetBeforeResponse => f.write_str("reset before the response"),
            Self::Empty => f.write_str("closed without a response"),
            Self::Short => f.write_str("response incomplete"),
            Self::Malformed => f.write_str("response malformed"),
            Self::TimedOut { phase } => write!(f, "timed out {phase}"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Other(kind) => write!(f, "other error: {kind}"),
        }
    }
}

impl Display for Phase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "while connecting",
            Self::Handshake => "during the TLS handshake",
            Self::Sending => "while sending the request",
            Self::Waiting => "before the response",
            Self::Head => "within the head of the response",
            Self::Body => "within the body of the response",
        })
    }
}

impl Display for FailedRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (began, ended) = (self.began.as_secs_f64(), self.ended.as_secs_f64());
        write!(f, "{began:.3}–{ended:.3}s, client {}", self.client)?;
        if let Some(port) = self.local_port {
            write!(f, ", port {port}, {} served", self.served_before)?;
        }
        if let Some(pid) = self.pid {
            write!(f, ", pid {pid}")?;
        }
        write!(f, ": {}", self.failure)?;
        if self.failure == Failure::Short {
            write!(f, " ({})", self.phase)?;
        }
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}
