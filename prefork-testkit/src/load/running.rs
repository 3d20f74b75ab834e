//! The client threads of a load.

use std::fmt::{self, Debug, Formatter};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::TIMEOUT;
use crate::eventually::within;

use super::connection::{Connection, Fault, IdleState, Target, Usage};
use super::failure::{FailedRequest, Failure, Phase};
use super::report::{LATE, LoadReport};
use super::response::{Response, ResponseParser};

/// The pause of a client after a failed request on a new connection, so that it neither uses a whole
/// CPU nor all ports.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// How long a server may take from the end of its direction of a connection to the close.
///
/// hyper ends its direction first. On a busy machine, the process can be paused between the two.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The largest number of undecided requests of a client. Each of them has an open connection.
const MAX_UNDECIDED: usize = 8;

/// Enough for a handshake. The default of 2 MiB would be reserved for each connection.
const STACK: usize = 512 * 1024;

/// Reads the pid of the worker from its response.
pub(super) type PidReader = Arc<dyn Fn(&Response<'_>) -> Option<i32> + Send + Sync>;

/// What the clients do.
pub(super) struct Plan {
    pub(super) title: String,
    pub(super) target: Target,
    /// The bytes of one request.
    pub(super) request: Vec<u8>,
    pub(super) clients: usize,
    pub(super) is_kept: bool,
    /// Requests per second. `None`: each client sends when it has its answer.
    pub(super) rate: Option<u32>,
    pub(super) duration: Option<Duration>,
    pub(super) requests: Option<u64>,
    pub(super) timeout: Duration,
    pub(super) max_failures: usize,
    pub(super) pid_from: PidReader,
}

/// A running load, returned by [`Load::start`](super::Load::start).
///
/// If the value is dropped, also by a panic of the test, the clients send no further requests. They
/// end when their last request is answered or has failed.
#[derive(Debug)]
#[must_use = "dropping it ends the load"]
pub struct RunningLoad {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients share.
struct Shared {
    plan: Plan,
    start: Instant,
    /// The number of requests that a client has begun or waits to begin.
    taken: AtomicU64,
    /// The number of clients that have not ended.
    running: AtomicUsize,
    is_stopped: AtomicBool,
    /// When the last request was answered, in nanoseconds since the start.
    last_answer: AtomicU64,
    report: Mutex<LoadReport>,
}

/// One thread, with at most one connection.
struct Client {
    shared: Arc<Shared>,
    number: usize,
    connection: Option<Connection>,
    parser: ResponseParser,
    /// The kept connection that ended without a response to the last request.
    ended: Option<Connection>,
    undecided: Vec<Undecided>,
}

/// A request on a kept connection that ended without a response.
///
/// If the server has not read the request, its kernel resets the connection as soon as the server
/// closes it. The client does not wait for that: it sends its next requests meanwhile.
struct Undecided {
    connection: Connection,
    failed: FailedRequest,
}

impl RunningLoad {
    pub(super) fn start(plan: Plan) -> Self {
        let shared = Arc::new(Shared::new(plan));
        // If a thread cannot be started, the drop of this value stops the others.
        let mut running = Self {
            shared: Arc::clone(&shared),
            clients: Vec::new(),
        };
        for number in 0..shared.plan.clients {
            let mut client = Client {
                shared: Arc::clone(&shared),
                number,
                connection: None,
                parser: ResponseParser::new(),
                ended: None,
                undecided: Vec::new(),
            };
            let thread = thread::Builder::new()
                .name(format!("load {number}"))
                .stack_size(STACK)
                .spawn(move || client.run());
            let thread = thread.unwrap_or_else(|error| {
                let count = shared.plan.clients;
                panic!("cannot start thread {number} of the {count} clients: {error}")
            });
            running.clients.push(thread);
        }
        running
    }

    /// Returns the results so far.
    ///
    /// Requests in flight are not in it. If a connection ended without a response, the request is in
    /// it when its kind of failure is known: after a second, and after the next request of its
    /// client.
    pub fn report(&self) -> LoadReport {
        self.shared.report().clone()
    }

    /// Waits until this many further requests were answered.
    ///
    /// # Panics
    /// If they are not answered within [`TIMEOUT`], or the load ends before. The message contains
    /// the report.
    #[track_caller]
    pub fn wait_for_answers(&self, count: u64) {
        let expected = self.shared.report().answered() + count;
        let what = format!("{count} further answers");
        self.wait_until(&what, |report| report.answered() >= expected);
    }

    /// Waits until this process has answered a request since the start of the load.
    ///
    /// With kept connections, a new worker gets requests only if a client connects again.
    ///
    /// # Panics
    /// If it does not answer within [`TIMEOUT`], or the load ends before. The message contains the
    /// report.
    #[track_caller]
    pub fn wait_for_answer_by(&self, pid: i32) {
        let what = format!("an answer by pid {pid}");
        self.wait_until(&what, |report| report.answered_by(pid) > 0);
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_true: impl Fn(&LoadReport) -> bool) {
        let ask = || {
            // Asked first: the last answer is recorded before the thread ends.
            let has_ended = self.clients.iter().all(JoinHandle::is_finished);
            let is_true = is_true(&self.shared.report());
            (is_true || has_ended).then_some(is_true)
        };
        match within(TIMEOUT, ask) {
            Some(true) => {}
            Some(false) => panic!("the load ended without {what}\n{}", self.report()),
            None => panic!("timed out: waiting for {what}\n{}", self.report()),
        }
    }

    /// Stops the load and returns its results.
    ///
    /// The clients send no further requests. Waits for the requests in flight, at most for the
    /// [timeout](super::Load::timeout) of a request and one second.
    ///
    /// # Panics
    /// If the function of [`Load::pid_from`](super::Load::pid_from) has panicked.
    pub fn stop(mut self) -> LoadReport {
        let stopped = Instant::now();
        self.shared.stop(self.threads());
        self.join(Some(stopped))
    }

    /// Waits until the load has ended, and returns its results.
    ///
    /// # Panics
    /// If the load has neither a duration nor a number of requests, or as for [`stop`](Self::stop).
    #[track_caller]
    pub fn wait(mut self) -> LoadReport {
        let Plan {
            duration, requests, ..
        } = self.shared.plan;
        assert!(
            duration.is_some() || requests.is_some(),
            "the load has no end: set a duration or a number of requests, or call stop"
        );
        self.join(None)
    }

    fn join(&mut self, stopped: Option<Instant>) -> LoadReport {
        for client in self.clients.drain(..) {
            if let Err(panic) = client.join() {
                // The drop of this value stops the other clients.
                resume_unwind(panic);
            }
        }
        let due = self.shared.due_by(stopped.unwrap_or_else(Instant::now));
        let mut report = self.shared.report();
        report.finish(due);
        report.clone()
    }

    fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.clients.iter().map(JoinHandle::thread)
    }
}

impl Drop for RunningLoad {
    fn drop(&mut self) {
        self.shared.stop(self.threads());
    }
}

impl Shared {
    fn new(plan: Plan) -> Self {
        let start = Instant::now();
        let report = LoadReport::new(plan.title.clone(), start, plan.max_failures);
        Self {
            running: AtomicUsize::new(plan.clients),
            plan,
            start,
            taken: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            last_answer: AtomicU64::new(0),
            report: Mutex::new(report),
        }
    }

    fn report(&self) -> MutexGuard<'_, LoadReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop<'a>(&self, threads: impl Iterator<Item = &'a Thread>) {
        self.is_stopped.store(true, Ordering::Release);
        threads.for_each(Thread::unpark);
    }

    /// Returns when the next request is due. `None`: the load ends.
    fn next_request(&self) -> Option<Instant> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        if let Some(count) = self.plan.requests
            && (number >= count || self.has_given_up(now))
        {
            return None;
        }
        let due = match self.plan.rate {
            Some(rate) => self.start + offset(number, rate),
            None => now,
        };
        let is_over = |duration| now.max(due) >= self.start + duration;
        (!self.plan.duration.is_some_and(is_over)).then_some(due)
    }

    /// Whether a load with a number of requests has to end because the server does not answer.
    fn has_given_up(&self, now: Instant) -> bool {
        let last = Duration::from_nanos(self.last_answer.load(Ordering::Relaxed));
        let limit = TIMEOUT.max(self.plan.timeout * 2);
        let is_over = now.saturating_duration_since(self.start + last) >= limit;
        if is_over {
            self.report().give_up();
        }
        is_over
    }

    /// Returns how many requests of a load with a rate had to begin before this time.
    fn due_by(&self, at: Instant) -> u64 {
        let Some(rate) = self.plan.rate else {
            return 0;
        };
        let time = at.saturating_duration_since(self.start);
        let time = time.min(self.plan.duration.unwrap_or(time));
        // A client may have been about to begin a request.
        let time = time.saturating_sub(LATE);
        let count = time.as_nanos() * u128::from(rate) / 1_000_000_000;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        count.min(self.plan.requests.unwrap_or(u64::MAX))
    }

    /// Waits until a request is due. Returns false if the load was stopped meanwhile.
    fn wait_until(&self, due: Instant) -> bool {
        loop {
            if self.is_stopped.load(Ordering::Acquire) {
                return false;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left);
        }
    }
}

impl Client {
    fn run(&mut self) {
        while let Some(due) = self.shared.next_request() {
            if !self.shared.wait_until(due) {
                break;
            }
            let began = Instant::now();
            let result = self.request(began + self.shared.plan.timeout);
            // A rate limits itself.
            let is_paused = self.shared.plan.rate.is_none()
                && matches!(&result, Err((fault, usage)) if usage.served == 0
                    && !matches!(fault.phase, Phase::Head | Phase::Body));
            self.record(due, began, result);
            self.decide();
            if is_paused && !self.shared.wait_until(Instant::now() + CONNECT_PAUSE) {
                break;
            }
        }
        if self.shared.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.report().record_end();
        }
        while !self.undecided.is_empty() {
            thread::sleep(Duration::from_millis(5));
            self.decide();
        }
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }

    fn record(
        &mut self,
        due: Instant,
        began: Instant,
        result: Result<Option<i32>, (Fault, Usage)>,
    ) {
        let now = Instant::now();
        let shared = &self.shared;
        let mut report = shared.report();
        let ended = self.ended.take();
        if shared.plan.rate.is_some() {
            report.record_delay(began - due);
        }
        match result {
            Ok(pid) => {
                let since_start = u64::try_from((now - shared.start).as_nanos());
                let since_start = since_start.unwrap_or(u64::MAX);
                shared.last_answer.fetch_max(since_start, Ordering::Relaxed);
                report.record_answer(pid, now - due);
            }
            Err((fault, usage)) => {
                let failed = FailedRequest {
                    failure: fault.failure,
                    phase: fault.phase,
                    began: began - shared.start,
                    ended: fault.at - shared.start,
                    client: self.number,
                    local_port: usage.local_port,
                    served_before: usage.served,
                    pid: usage.pid,
                    detail: fault.detail,
                    start: shared.start,
                };
                match ended {
                    Some(connection) => self.undecided.push(Undecided { connection, failed }),
                    None => report.record_failure(failed),
                }
            }
        }
    }

    /// Records the undecided requests whose connections are reset, or that are old enough.
    fn decide(&mut self) {
        let mut surplus = self.undecided.len().saturating_sub(MAX_UNDECIDED);
        self.undecided.retain_mut(|request| {
            let failed = &mut request.failed;
            if request.connection.is_reset() {
                failed.failure = match failed.served_before {
                    0 => Failure::ResetBeforeResponse,
                    _ => Failure::StaleConnection,
                };
            } else if surplus == 0 && (failed.start + failed.ended).elapsed() < CLOSE_TIME {
                return true;
            }
            surplus = surplus.saturating_sub(1);
            self.shared.report().record_failure(failed.clone());
            false
        });
    }

    /// Sends one request. Returns the pid in its response.
    fn request(&mut self, deadline: Instant) -> Result<Option<i32>, (Fault, Usage)> {
        let mut connection = match self.take_connection() {
            Some(Ok(connection)) => connection,
            Some(Err(failed)) => return Err(failed),
            None => {
                let connection = Connection::open(&self.shared.plan.target, deadline)?;
                self.shared.report().record_connection();
                connection
            }
        };
        let plan = &self.shared.plan;
        self.parser.reset();
        let result = connection.exchange(&plan.request, deadline, &mut self.parser);
        if let Err(fault) = result {
            let usage = connection.usage;
            let is_undecided = fault.failure == Failure::Empty;
            self.ended = is_undecided.then_some(connection);
            return Err((fault, usage));
        }
        let response = self.parser.response();
        let pid = (plan.pid_from)(&response);
        let status = response.status();
        let before = connection.usage;
        connection.usage.pid = pid.or(before.pid);
        connection.usage.served += 1;
        let pid_of_connection = connection.usage.pid;
        if plan.is_kept && self.parser.is_persistent() && !connection.has_unsent {
            self.connection = Some(connection);
        } else {
            connection.close();
        }
        if status == 101 || status >= 400 {
            let fault = Fault::new(Failure::Status(status), Phase::Body, None);
            let pid = pid_of_connection;
            return Err((fault, Usage { pid, ..before }));
        }
        Ok(pid)
    }

    /// Takes the kept connection, if it can carry another request.
    fn take_connection(&mut self) -> Option<Result<Connection, (Fault, Usage)>> {
        let mut connection = self.connection.take()?;
        match connection.idle_state() {
            IdleState::Open => Some(Ok(connection)),
            IdleState::Closed => {
                self.shared.report().record_idle_close();
                None
            }
            IdleState::HasData => {
                let fault = Fault {
                    detail: "the server sent bytes before the request".to_owned(),
                    ..Fault::new(Failure::Malformed, Phase::Sending, None)
                };
                Some(Err((fault, connection.usage)))
            }
        }
    }
}

impl Debug for Shared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("title", &self.plan.title)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// When the request with this number is due, from the start of the load.
fn offset(number: u64, rate: u32) -> Duration {
    let rate = u64::from(rate);
    let rest = number % rate * 1_000_000_000 / rate;
    Duration::from_secs(number / rate) + Duration::from_nanos(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_rate_are_due_at_equal_distances() {
        assert_eq!(offset(0, 3), Duration::ZERO);
        assert_eq!(offset(1, 3), Duration::from_nanos(333_333_333));
        assert_eq!(offset(3, 3), Duration::from_secs(1));
        assert_eq!(offset(7, 2), Duration::from_millis(3_500));
        // Without an overflow, after years.
        let number = u64::from(u32::MAX) * 1_000_000_000;
        assert_eq!(offset(number, u32::MAX), Duration::from_secs(1_000_000_000));
    }

    fn plan() -> Plan {
        Plan {
            title: String::new(),
            target: Target {
                addr: "127.0.0.1:9".parse().expect("an address"),
                #[cfg(feature = "load-tls")]
                tls: None,
            },
            request: Vec::new(),
            clients: 1,
            is_kept: true,
            rate: None,
            duration: None,
            requests: Some(1_000),
            timeout: Duration::from_secs(20),
            max_failures: 1,
            pid_from: Arc::new(|_| None),
        }
    }

    #[test]
    fn requests_are_due_until_the_end_of_the_load() {
        let shared = Shared::new(Plan {
            rate: Some(1_000),
            duration: Some(Duration::from_millis(100)),
            ..plan()
        });
        for (after, due) in [(0, 0), (10, 0), (11, 1), (60, 50), (100, 90), (9_000, 90)] {
            let at = shared.start + Duration::from_millis(after);
            assert_eq!(shared.due_by(at), due, "after {after} ms");
        }
    }

    #[test]
    fn a_number_of_requests_ends_if_no_request_is_answered() {
        let shared = Shared::new(plan());
        let after = |seconds| shared.start + Duration::from_secs(seconds);
        assert!(!shared.has_given_up(after(39)));
        assert!(shared.has_given_up(after(40)));
        shared.last_answer.store(10_000_000_000, Ordering::Relaxed);
        assert!(!shared.has_given_up(after(49)));
        assert!(shared.has_given_up(after(50)));
        assert!(shared.report().to_string().contains("ended early"));
    }
}
