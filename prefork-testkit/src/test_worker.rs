//! A worker in the test's own process: the body under test is real, its listeners are, and the test
//! plays the master.

use std::net::{SocketAddr, TcpListener};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prefork::__private::{Guest, Word, guest};
use prefork::{Prefork, Worker};

use crate::LIMIT;
use crate::eventually::within;

/// How long a worker may drain when its master dies, unless said: the default of
/// `shutdown_grace_period`.
const GRACE: Duration = Duration::from_secs(5);

/// A worker in the test's own process, for which the test plays the master.
///
/// Only the processes are missing: listeners, readiness, drain and the master's death are those of a
/// real worker. Nothing is done to the test's process: a body that overstays is not killed.
///
/// Dropping it is the master's death.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
///
/// use prefork_testkit::TestWorker;
///
/// // What the program gives to `Prefork::run`.
/// fn greet(worker: &prefork::Worker) -> usize {
///     let listener = worker.listener("listener0").expect("it was given");
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
/// let mut client = TcpStream::connect(worker.addr()).expect("it listens");
/// client.read_to_string(&mut answer).expect("an answer");
/// assert_eq!(answer, "hello");
/// worker.drain(Duration::from_secs(5));
/// assert_eq!(body.wait(), 1);
/// worker.wait_until_closed();
/// ```
#[derive(Debug)]
pub struct TestWorker {
    guest: Arc<Guest>,
    said: Mutex<Vec<Word>>,
}

/// A body that runs on a thread of its own, made by [`TestWorker::spawn`].
#[derive(Debug)]
pub struct Body<R> {
    thread: JoinHandle<R>,
}

impl TestWorker {
    /// With one listener, `listener0`, on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If the system has no descriptor or no port left.
    #[track_caller]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        Self::with_listeners([("listener0", listener)], GRACE)
    }

    /// With these listeners, by name, all of them plain, and this time to drain when the master dies.
    ///
    /// # Panics
    /// If the system has no descriptor left.
    #[track_caller]
    pub fn with_listeners<N: Into<String>>(
        listeners: impl IntoIterator<Item = (N, TcpListener)>,
        grace: Duration,
    ) -> Self {
        let listeners: Vec<(String, TcpListener)> = listeners
            .into_iter()
            .map(|(name, listener)| (name.into(), listener))
            .collect();
        match Guest::new(listeners, grace) {
            Ok(guest) => Self::of(guest),
            Err(error) => panic!("cannot make a worker: {error}"),
        }
    }

    /// With what a worker gets from these options: the listeners that `listen` names, certificates (`tls_cert`, `tls_key`,
    /// `tls_client_ca`, `tls_alpn`; feature `tls` of prefork), and the `shutdown_grace_period`, for the time to drain when the
    /// master dies.
    ///
    /// Each listener keeps its name, and is for TLS where its address begins with `tls://`; it is bound to a free port of
    /// 127.0.0.1, whatever its address says, and [`addr_of`](Self::addr_of) knows which. A port need not be said. Without
    /// `listen` there is one listener, `listener0`, for TLS. All other options are checked as at a start, and matter no
    /// more; the environment and `configure` are not asked.
    ///
    /// # Examples
    /// ```no_run
    /// use prefork_testkit::TestWorker;
    ///
    /// let worker = TestWorker::with_certificates(|options| {
    ///     options
    ///         .listen(["http=0.0.0.0:80", "https=tls://0.0.0.0:443"])
    ///         .tls_cert("tests/server.pem")
    ///         .tls_key("tests/server.key");
    /// });
    /// let (plain, secure) = (worker.addr_of("http"), worker.addr_of("https"));
    /// ```
    ///
    /// # Panics
    /// If no server could start with these options, such as with a certificate or a key that cannot be used, or the system
    /// has no descriptor or no port left.
    #[track_caller]
    pub fn with_certificates(options: impl FnOnce(&mut Prefork)) -> Self {
        let mut prefork = Prefork::new();
        options(&mut prefork);
        match guest(prefork) {
            Ok(guest) => Self::of(guest),
            Err(error) => panic!("no worker can have these options: {error}"),
        }
    }

    fn of(guest: Guest) -> Self {
        Self {
            guest: Arc::new(guest),
            said: Mutex::default(),
        }
    }

    /// Where its first listener listens.
    ///
    /// # Panics
    /// If it has none.
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        let (_, addr) = self.addrs().first().expect("the worker has a listener");
        *addr
    }

    /// Where this listener listens.
    ///
    /// # Panics
    /// If there is none of that name.
    #[track_caller]
    pub fn addr_of(&self, name: &str) -> SocketAddr {
        let mut addrs = self.addrs().iter();
        match addrs.find(|(known, _)| known == name) {
            Some((_, addr)) => *addr,
            None => panic!("there is no listener '{name}' in {:?}", self.addrs()),
        }
    }

    /// The name and the address of each listener.
    pub fn addrs(&self) -> &[(String, SocketAddr)] {
        self.guest.addrs()
    }

    /// Runs a body on this thread, to its end, and returns what it returned.
    ///
    /// `prefork::worker()`, `prefork::shutdown()` and `prefork::ready()` mean this worker on this
    /// thread meanwhile. An async body is run by a runtime that stays on the thread:
    /// `|worker| current_thread_runtime.block_on(serve(worker))`.
    pub fn run<R>(&self, body: impl FnOnce(Worker) -> R) -> R {
        self.guest.run(body)
    }

    /// Runs a body as [`run`](Self::run) does, on a thread of its own.
    pub fn spawn<R: Send + 'static>(
        &self,
        body: impl FnOnce(Worker) -> R + Send + 'static,
    ) -> Body<R> {
        let guest = Arc::clone(&self.guest);
        Body {
            thread: thread::spawn(move || guest.run(body)),
        }
    }

    /// Asks it to go within this budget, as the master does in a stop.
    pub fn drain(&self, budget: Duration) {
        self.guest.drain(budget);
    }

    /// The master's end of the channel closes, as when the master is killed.
    pub fn master_dies(&self) {
        // What it said so far cannot be heard any more afterwards.
        self.hear();
        self.guest.die();
    }

    /// Whether it has said that it serves: at the first accept on a listener of ours, or by
    /// `ready()`.
    pub fn is_ready(&self) -> bool {
        self.has_said(Word::Ready)
    }

    /// Whether it has said that it accepts nothing more; said to a master that is alive.
    pub fn has_closed(&self) -> bool {
        self.has_said(Word::Closed)
    }

    /// Waits until it says that it serves.
    ///
    /// # Panics
    /// If it does not within [`LIMIT`].
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let is_ready = within(LIMIT, || self.is_ready().then_some(())).is_some();
        assert!(is_ready, "the body does not get ready");
    }

    /// Waits until it says that it accepts nothing more.
    ///
    /// # Panics
    /// If it does not within [`LIMIT`].
    #[track_caller]
    pub fn wait_until_closed(&self) {
        let has_closed = within(LIMIT, || self.has_closed().then_some(())).is_some();
        assert!(has_closed, "the body does not close its listeners");
    }

    fn has_said(&self, what: Word) -> bool {
        self.hear();
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.contains(&what)
    }

    fn hear(&self) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(self.guest.heard());
    }
}

impl Default for TestWorker {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        // A body that still runs has a part of it.
        self.master_dies();
    }
}

impl<R> Body<R> {
    /// Whether it has returned.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it has returned, and gives what it returned.
    ///
    /// # Panics
    /// With the body's own panic; if it does not end within [`LIMIT`].
    #[track_caller]
    pub fn wait(self) -> R {
        let has_ended = within(LIMIT, || self.is_finished().then_some(())).is_some();
        assert!(has_ended, "the body does not return");
        match self.thread.join() {
            Ok(returned) => returned,
            Err(panic) => resume_unwind(panic),
        }
    }
}
