//! A worker in the test's process.
//!
//! The body under test and its listeners are real. The test acts as the master.

use std::net::{SocketAddr, TcpListener};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prefork::__testkit::{InProcessWorker, WorkerEvent, in_process_worker};
use prefork::{ListenerInfo, Prefork, Worker};

use crate::TIMEOUT;
use crate::eventually::within;
use crate::listeners::{addr_of, first_addr};

/// The default of `shutdown_grace_period` in prefork.
const GRACE: Duration = Duration::from_secs(5);

/// A worker in the test's process, for which the test acts as the master.
///
/// Listeners, readiness, drain and the death of the master work as in a worker process. One thing
/// differs: if the body does not return within its grace period, it is not killed, because that
/// would end the test's process.
///
/// When the value is dropped, the worker sees the death of its master.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
///
/// use prefork_testkit::TestWorker;
///
/// // The function that the program passes to `Prefork::run`.
/// fn greet(worker: &prefork::Worker) -> usize {
///     let listener = worker.listener("listener0").expect("a listener of this name");
///     let mut count = 0;
///     while let Some(Ok((mut stream, _))) = listener.blocking_accept() {
///         stream.write_all(b"hello").expect("the client waits");
///         count += 1;
///     }
///     count
/// }
///
/// let worker = TestWorker::new();
/// let body = worker.spawn(|worker| greet(&worker));
/// worker.wait_until_ready();
/// let mut answer = String::new();
/// let mut client = TcpStream::connect(worker.addr()).expect("the worker listens");
/// client.read_to_string(&mut answer).expect("an answer");
/// assert_eq!(answer, "hello");
/// worker.drain(Duration::from_secs(5));
/// assert_eq!(body.wait(), 1);
/// worker.wait_until_closed();
/// ```
#[derive(Debug)]
#[must_use = "the worker sees the death of its master when it is dropped"]
pub struct TestWorker {
    worker: Arc<InProcessWorker>,
    events: Mutex<Vec<WorkerEvent>>,
}

/// A body that runs on another thread, started by [`TestWorker::spawn`].
#[derive(Debug)]
pub struct BodyHandle<R> {
    thread: JoinHandle<R>,
}

impl TestWorker {
    /// Creates a worker with one listener, `listener0`, on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If no descriptor or no port is left.
    #[track_caller]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        Self::with_listeners([("listener0", listener)], GRACE)
    }

    /// Creates a worker with these plain listeners and this grace period.
    ///
    /// Each listener has a name. The grace period is how long the worker may drain after the death
    /// of the master.
    ///
    /// # Panics
    /// If no descriptor is left.
    #[track_caller]
    pub fn with_listeners<N: Into<String>>(
        listeners: impl IntoIterator<Item = (N, TcpListener)>,
        grace: Duration,
    ) -> Self {
        let listeners: Vec<(String, TcpListener)> = listeners
            .into_iter()
            .map(|(name, listener)| (name.into(), listener))
            .collect();
        match InProcessWorker::new(listeners, grace) {
            Ok(worker) => Self::of(worker),
            Err(error) => panic!("TestWorker: {error}"),
        }
    }

    /// Creates a worker from the options of a server.
    ///
    /// These options take effect:
    ///
    /// - `listen`: each listener has its configured name, and uses TLS if its address has `tls://`.
    ///   It is bound to a free port of 127.0.0.1 instead of its configured address;
    ///   [`addr_of`](Self::addr_of) returns that port. So the addresses need no port. If `listen`
    ///   is not set, there is one TLS listener, `listener0`.
    /// - `tls_cert`, `tls_key`, `tls_client_ca`, `tls_alpn` (feature `tls` of prefork).
    /// - `shutdown_grace_period`: how long the worker may drain after the death of the master.
    ///
    /// All other options are checked as at a start and then ignored. The environment is not read,
    /// and `configure` is not called.
    ///
    /// # Examples
    /// ```no_run
    /// use prefork::Prefork;
    /// use prefork_testkit::TestWorker;
    ///
    /// let options = Prefork::new()
    ///     .listen(["http=0.0.0.0:80", "https=tls://0.0.0.0:443"])
    ///     .tls_cert("tests/server.pem")
    ///     .tls_key("tests/server.key");
    /// let worker = TestWorker::with_options(options);
    /// let (plain, secure) = (worker.addr_of("http"), worker.addr_of("https"));
    /// ```
    ///
    /// # Panics
    /// If a server cannot start with these options, for example because a certificate is invalid,
    /// or if no descriptor or no port is left.
    #[track_caller]
    pub fn with_options(options: Prefork) -> Self {
        match in_process_worker(options) {
            Ok(worker) => Self::of(worker),
            Err(error) => panic!("TestWorker: {error}"),
        }
    }

    fn of(worker: InProcessWorker) -> Self {
        Self {
            worker: Arc::new(worker),
            events: Mutex::default(),
        }
    }

    /// Returns the address of the first listener.
    ///
    /// # Panics
    /// If the worker has no listener.
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        first_addr(self.listeners())
    }

    /// Returns the address of the listener with this name.
    ///
    /// # Panics
    /// If the worker has no listener with this name.
    #[track_caller]
    pub fn addr_of(&self, name: &str) -> SocketAddr {
        addr_of(self.listeners(), name)
    }

    /// Returns the listeners.
    pub fn listeners(&self) -> &[ListenerInfo] {
        self.worker.listeners()
    }

    /// Runs a body on this thread and returns its result.
    ///
    /// While it runs, `prefork::worker()`, `prefork::shutdown()` and `prefork::notify_ready()`
    /// refer to this worker, on this thread alone. So an async body needs a current-thread runtime,
    /// as in `|worker| current_thread_runtime.block_on(serve(worker))`.
    pub fn run<R>(&self, body: impl FnOnce(Worker) -> R) -> R {
        self.worker.run(body)
    }

    /// Runs a body like [`run`](Self::run), on a new thread.
    pub fn spawn<R: Send + 'static>(
        &self,
        body: impl FnOnce(Worker) -> R + Send + 'static,
    ) -> BodyHandle<R> {
        let worker = Arc::clone(&self.worker);
        BodyHandle {
            thread: thread::spawn(move || worker.run(body)),
        }
    }

    /// Asks the worker to drain within this time, as the master does in a stop.
    pub fn drain(&self, budget: Duration) {
        self.worker.drain(budget);
    }

    /// Closes the master's end of the channel, as if the master was killed.
    pub fn master_dies(&self) {
        // Frames that the worker has sent cannot be read after this.
        self.poll_events();
        self.worker.kill_master();
    }

    /// Returns whether the worker has reported readiness, and has not taken it back.
    ///
    /// A worker does so at its first accept on a `Listener` of prefork, or when it calls
    /// `notify_ready()`. It takes it back with `not_ready()`.
    pub fn is_ready(&self) -> bool {
        self.poll_events();
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reports = events.iter().filter(|event| **event != WorkerEvent::Closed);
        reports.next_back() == Some(&WorkerEvent::Ready)
    }

    /// Returns whether the worker has reported that it accepts no more connections.
    ///
    /// It reports this only while its master lives.
    pub fn has_closed(&self) -> bool {
        self.has_sent(WorkerEvent::Closed)
    }

    /// Waits until the worker reports readiness.
    ///
    /// # Panics
    /// If it does not report readiness within [`TIMEOUT`].
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let is_ready = within(TIMEOUT, || self.is_ready().then_some(())).is_some();
        assert!(
            is_ready,
            "the body did not become ready within {}s",
            TIMEOUT.as_secs()
        );
    }

    /// Waits until the worker reports that it accepts no more connections.
    ///
    /// # Panics
    /// If it does not report this within [`TIMEOUT`].
    #[track_caller]
    pub fn wait_until_closed(&self) {
        let has_closed = within(TIMEOUT, || self.has_closed().then_some(())).is_some();
        assert!(
            has_closed,
            "the body did not close its listeners within {}s",
            TIMEOUT.as_secs()
        );
    }

    fn has_sent(&self, event: WorkerEvent) -> bool {
        self.poll_events();
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.contains(&event)
    }

    fn poll_events(&self) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.extend(self.worker.events());
    }
}

impl Default for TestWorker {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        // A body that still runs shares the worker, so dropping this value alone has no effect on
        // it.
        self.master_dies();
    }
}

impl<R> BodyHandle<R> {
    /// Returns whether the body has returned.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the body has returned, and returns its result.
    ///
    /// # Panics
    /// If the body panics, with the same panic. If the body does not return within [`TIMEOUT`].
    #[track_caller]
    pub fn wait(self) -> R {
        let has_ended = within(TIMEOUT, || self.is_finished().then_some(())).is_some();
        assert!(
            has_ended,
            "the body did not return within {}s",
            TIMEOUT.as_secs()
        );
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }
}
