//! Sends requests to a server while a test kills, stops or replaces its workers (feature `load`).
//!
//! Afterwards, the [`LoadReport`] answers whether a request failed that should not have:
//!
//! ```no_run
//! use std::time::Instant;
//! use prefork_testkit::{Server, load::Load};
//!
//! // In a test of the package that the binary belongs to: `env!("CARGO_BIN_EXE_hello")`.
//! let server = Server::new("target/debug/hello").env("PREFORK_WORKERS", "2").start();
//! let load = Load::new(server.addr()).connections(8).start();
//! load.wait_for_answers(100);
//!
//! let before = Instant::now();
//! let killed = server.kill_child(0);
//! server.wait_for_replacement(killed);
//! let time = before..=Instant::now();
//!
//! load.wait_for_answers(100);
//! let report = load.stop();
//! report.assert_only(|failed| failed.is_explained_by_exit(killed.pid, &time));
//! println!("{report}");
//! ```
//!
//! The report looks like this:
//!
//! ```text
//! load       GET http://127.0.0.1:43127/, 8 kept connections
//! requests   5310 answered, 2 failed in 0.31s (17129 answers/s)
//! latency    p50 411.6µs   p90 708.6µs   p99 1.5ms   max 11.4ms
//! opened     12 connections; the server closed 2 between requests
//! answers       1871 by pid 20412
//!               3439 by pid 20413
//! failures         2 × closed without a response
//! first      0.107–0.108s, client 3, port 50872, 224 served, pid 20412: closed without a response
//!            0.107–0.108s, client 6, port 50896, 213 served, pid 20412: closed without a response
//! ```
//!
//! # Requests
//!
//! All requests are the same: `GET /`, unless the test sets a [path](Load::path),
//! [headers](Load::header) or a [body](Load::post). They use HTTP/1.1 over TCP or, with the feature
//! `load-tls`, over TLS. A request is *answered* if its response is complete and has a status below
//! 400 other than 101. Interim responses (1xx) are skipped. Otherwise the request has failed, and
//! [`Failure`] names what happened on the wire.
//!
//! - In a *closed loop*, the default, each connection sends its next request when it has the answer
//!   to the last one. A slow server gets fewer requests.
//! - In an *open loop*, a [rate](Load::rate) decides when requests are due. The latency of a
//!   request counts from the time when it was due. So a server that pauses cannot hide the pause by
//!   delaying the requests.
//!
//! By default, a connection carries many requests. A server may close it between two requests, or
//! announce this by `Connection: close`. The client then connects again, and no request fails. If
//! the connection is closed just when a request is sent, the request fails as
//! [`Failure::StaleConnection`], and the test decides what to do about it. The client repeats no
//! request. With [`connection_per_request`](Load::connection_per_request), each request has a
//! connection of its own.
//!
//! The client reads the response while it sends the request. If the response is complete before the
//! server has taken the whole request, the client closes the connection.
//!
//! # The worker that answered
//!
//! On one listening socket, only the kernel knows which worker accepts a connection. So the pid
//! comes from the response: the header `x-worker-pid`, or else the number after the first `pid ` in
//! the body, as in `hello from worker 0 (pid 4711)`. [`Load::pid_from`] sets another function. The
//! worker of a failed request is known if the worker has answered before on the same connection.
//!
//! # Limits
//!
//! - Each connection has a thread of its own, so there are at most [`MAX_CONNECTIONS`]. On two CPUs
//!   that the clients share with the server, 200 connections carried 20,000 requests per second.
//!   Near this limit, a latency is mostly the wait for a CPU. With a rate, it also contains the time
//!   in which the client wakes up, about 0.1 ms.
//! - Each request has a [timeout](Load::timeout), whatever the server does.
//! - The client stores the first 64 KiB of a body and the first [failures](Load::max_failures). So
//!   its memory does not grow with the load.
//! - Each connection is an open file of the test. A connection that ended without a response stays
//!   open for up to one second, at most 8 of them per client. If the limit of open files
//!   (`ulimit -n`) is reached, requests fail as [`Failure::Other`].
//! - A body without a length ends with the connection. If the worker is killed meanwhile, a TCP
//!   connection often just ends, and the response counts as complete. If the kernel resets the
//!   connection, or if TLS ends without `close_notify`, the request fails as [`Failure::Short`].

use std::fmt::{self, Debug, Formatter, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use connection::Target;
use response::default_pid;
use running::{PidReader, Plan};

mod connection;
mod failure;
mod latencies;
mod report;
mod response;
mod running;
#[cfg(feature = "load-tls")]
mod tls;

pub use failure::{FailedRequest, Failure, Phase};
pub use report::LoadReport;
pub use response::Response;
pub use running::RunningLoad;

/// The largest number of connections of a load.
pub const MAX_CONNECTIONS: usize = 1024;

/// The longest time limit of a load or a request. No clock can hold much longer ones.
const MAX_TIME: Duration = Duration::from_hours(365 * 24);

/// Describes a load: which requests are sent, how many, and how.
///
/// [`start`](Self::start) starts it. See the [module](self) for an example.
#[derive(Clone)]
pub struct Load {
    addr: SocketAddr,
    connections: usize,
    is_kept: bool,
    rate: Option<u32>,
    duration: Option<Duration>,
    requests: Option<u64>,
    timeout: Duration,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    server_name: String,
    max_failures: usize,
    pid_from: PidReader,
    #[cfg(feature = "load-tls")]
    trust: Option<Trust>,
}

/// Which certificates a TLS client accepts.
#[cfg(feature = "load-tls")]
#[derive(Debug, Clone)]
enum Trust {
    /// Those that these certificates have issued, given as PEM.
    Roots(Vec<u8>),
    Any,
}

impl Load {
    /// Creates a load for the server at this address.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            connections: 8,
            is_kept: true,
            rate: None,
            duration: None,
            requests: None,
            timeout: Duration::from_secs(10),
            path: "/".to_owned(),
            headers: Vec::new(),
            body: None,
            server_name: "localhost".to_owned(),
            max_failures: 10_000,
            pid_from: Arc::new(default_pid),
            #[cfg(feature = "load-tls")]
            trust: None,
        }
    }

    /// Sets the number of connections that are open at the same time.
    ///
    /// Default: 8.
    ///
    /// # Panics
    /// If it is 0 or more than [`MAX_CONNECTIONS`].
    #[must_use]
    #[track_caller]
    pub fn connections(mut self, count: usize) -> Self {
        assert!(
            (1..=MAX_CONNECTIONS).contains(&count),
            "{count} connections: a load has 1 to {MAX_CONNECTIONS}; for more, start several loads and \
             raise the limit of open files (`ulimit -n`)"
        );
        self.connections = count;
        self
    }

    /// Opens a connection for each request.
    ///
    /// The requests contain `Connection: close`. The worker of a failed request is then unknown,
    /// except for [`Failure::Status`]. Default: connections carry many requests.
    #[must_use]
    pub fn connection_per_request(mut self) -> Self {
        self.is_kept = false;
        self
    }

    /// Sends this number of requests per second, whether the server answers or not.
    ///
    /// If all [connections](Self::connections) wait for answers, requests begin later than they are
    /// due. The report counts these, see [`LoadReport::late`]. Default: a closed loop.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    #[track_caller]
    pub fn rate(mut self, requests_per_second: u32) -> Self {
        assert!(requests_per_second > 0, "a load cannot have a rate of 0");
        self.rate = Some(requests_per_second);
        self
    }

    /// Ends the load after this time. Requests in flight are finished.
    ///
    /// Default: no limit.
    ///
    /// # Panics
    /// If it is 0 or longer than a year.
    #[must_use]
    #[track_caller]
    pub fn duration(mut self, duration: Duration) -> Self {
        assert!(!duration.is_zero(), "a load cannot have a duration of 0");
        assert!(
            duration <= MAX_TIME,
            "a load cannot have a duration of more than a year"
        );
        self.duration = Some(duration);
        self
    }

    /// Ends the load after this number of requests.
    ///
    /// The load ends earlier if the server answers no request for 30 s, or for twice the
    /// [timeout](Self::timeout) if that is longer. Default: no limit.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    #[track_caller]
    pub fn requests(mut self, count: u64) -> Self {
        assert!(count > 0, "a load cannot have 0 requests");
        self.requests = Some(count);
        self
    }

    /// Sets the time after which a request fails, from its start to the end of its response.
    ///
    /// Default: 10 s.
    ///
    /// # Panics
    /// If it is 0 or longer than a year.
    #[must_use]
    #[track_caller]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        assert!(!timeout.is_zero(), "a request cannot have a timeout of 0");
        assert!(
            timeout <= MAX_TIME,
            "a request cannot have a timeout of more than a year"
        );
        self.timeout = timeout;
        self
    }

    /// Sets the path of the requests, with the query.
    ///
    /// Default: `/`.
    ///
    /// # Panics
    /// If it does not begin with `/`, or contains other characters than printable ASCII without
    /// spaces. Percent-encode those.
    #[must_use]
    #[track_caller]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        let is_valid = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(
            is_valid,
            "{path:?} is not a path of a request: it must begin with '/' and contain only printable \
             ASCII characters"
        );
        self.path = path;
        self
    }

    /// Adds a header to the requests.
    ///
    /// The client itself sends `Host` (see [`server_name`](Self::server_name)), `Content-Length` if
    /// there is a body, and `Connection: close` with
    /// [`connection_per_request`](Self::connection_per_request).
    ///
    /// # Panics
    /// If the name is one of these or `Transfer-Encoding`. If it is empty or contains other
    /// characters than letters, digits, `-` and `_`, or if the value contains a control character.
    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_name = !name.is_empty() && name.bytes().all(is_letter);
        assert!(is_name, "{name:?} is not the name of a header");
        let own = ["host", "content-length", "connection", "transfer-encoding"];
        let is_own = own.iter().any(|own| name.eq_ignore_ascii_case(own));
        assert!(!is_own, "{name:?} is a header that the load sends itself");
        let is_value = !value.chars().any(char::is_control);
        assert!(is_value, "{value:?} is not the value of a header");
        self.headers.push((name, value));
        self
    }

    /// Sends `POST` requests with this body.
    ///
    /// Default: `GET` requests without a body.
    #[must_use]
    pub fn post(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the function that reads the pid of the worker from its response.
    ///
    /// Default: the header `x-worker-pid`, or else the number after the first `pid ` in the body.
    /// The client threads call the function.
    #[must_use]
    pub fn pid_from(
        mut self,
        read: impl Fn(&Response<'_>) -> Option<i32> + Send + Sync + 'static,
    ) -> Self {
        self.pid_from = Arc::new(read);
        self
    }

    /// Sets how many failed requests the report keeps in full. It counts all of them.
    ///
    /// Default: 10,000.
    #[must_use]
    pub fn max_failures(mut self, count: usize) -> Self {
        self.max_failures = count;
        self
    }

    /// Sets the name of the server, for the header `Host` and for TLS.
    ///
    /// Default: `localhost`.
    ///
    /// # Panics
    /// If it is empty, or contains `/` or other characters than printable ASCII without spaces.
    #[must_use]
    #[track_caller]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let is_letter = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        let is_valid = !name.is_empty() && name.bytes().all(is_letter);
        assert!(is_valid, "{name:?} is not the name of a server");
        self.server_name = name;
        self
    }

    /// Uses TLS, and trusts servers whose certificates these have issued (feature `load-tls`).
    ///
    /// `roots` is PEM: the certificate of the authority, or a self-signed certificate of the server
    /// itself. The client checks the [name](Self::server_name) of the server. It resumes sessions
    /// if the server allows that.
    ///
    /// The listener must use TLS: a [`Server`](crate::Server) is started with
    /// `.listen("tls://127.0.0.1:0")`.
    #[cfg(feature = "load-tls")]
    #[must_use]
    pub fn tls(mut self, roots: impl Into<Vec<u8>>) -> Self {
        self.trust = Some(Trust::Roots(roots.into()));
        self
    }

    /// Uses TLS, and accepts every certificate (feature `load-tls`).
    #[cfg(feature = "load-tls")]
    #[must_use]
    pub fn tls_with_any_certificate(mut self) -> Self {
        self.trust = Some(Trust::Any);
        self
    }

    /// Starts the load.
    ///
    /// # Panics
    /// If a thread cannot be started, or if the certificates for TLS or the name of the server are
    /// invalid.
    #[track_caller]
    pub fn start(self) -> RunningLoad {
        let target = Target {
            addr: self.addr,
            #[cfg(feature = "load-tls")]
            tls: self.tls_client(),
        };
        RunningLoad::start(Plan {
            title: self.title(),
            target,
            request: self.request(),
            clients: self.connections,
            is_kept: self.is_kept,
            rate: self.rate,
            duration: self.duration,
            requests: self.requests,
            timeout: self.timeout,
            max_failures: self.max_failures,
            pid_from: self.pid_from,
        })
    }

    /// Starts the load and waits until it has ended.
    ///
    /// # Panics
    /// If the load has neither a [duration](Self::duration) nor a number of
    /// [requests](Self::requests), or as for [`start`](Self::start).
    #[track_caller]
    pub fn run(self) -> LoadReport {
        self.start().wait()
    }

    #[cfg(feature = "load-tls")]
    #[track_caller]
    fn tls_client(&self) -> Option<tls::TlsClient> {
        let client = match self.trust.as_ref()? {
            Trust::Roots(roots) => tls::TlsClient::trusting(roots, &self.server_name),
            Trust::Any => tls::TlsClient::accepting_any(&self.server_name),
        };
        Some(client.unwrap_or_else(|error| panic!("the load cannot use TLS: {error}")))
    }

    fn method(&self) -> &'static str {
        if self.body.is_some() { "POST" } else { "GET" }
    }

    /// Describes the load in one line.
    fn title(&self) -> String {
        let scheme = "http";
        #[cfg(feature = "load-tls")]
        let scheme = self.trust.as_ref().map_or(scheme, |_| "https");
        let (method, addr, path) = (self.method(), self.addr, &self.path);
        let count = self.connections;
        let mut title = format!("{method} {scheme}://{addr}{path}, ");
        let _ = match (self.is_kept, count) {
            (true, 1) => write!(title, "1 kept connection"),
            (true, _) => write!(title, "{count} kept connections"),
            (false, _) => write!(title, "a connection per request, {count} at a time"),
        };
        if let Some(rate) = self.rate {
            let _ = write!(title, ", {rate} requests/s");
        }
        title
    }

    /// Returns the bytes of a request.
    fn request(&self) -> Vec<u8> {
        let (method, path, host) = (self.method(), &self.path, &self.server_name);
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        if !self.is_kept {
            head += "connection: close\r\n";
        }
        head += "\r\n";
        let mut request = head.into_bytes();
        request.extend(self.body.iter().flatten());
        request
    }
}

impl Debug for Load {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("title", &self.title())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
