//! The worker of this process or thread, and the functions that find it without an argument.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use super::context::Context;
use super::shutdown::{Closing, Shutdown, ShutdownProgress, StreamsEnded};
use super::worker::Worker;
use crate::error::Error;

static CURRENT: OnceLock<Arc<Context>> = OnceLock::new();

thread_local! {
    /// The context of an in-process worker that a test runs on this thread.
    static IN_PROCESS: RefCell<Option<Arc<Context>>> = const { RefCell::new(None) };
}

/// The context of this thread or process, once it is a worker.
pub(crate) fn current() -> Option<Arc<Context>> {
    let in_process = IN_PROCESS.with_borrow(Clone::clone);
    in_process.or_else(|| CURRENT.get().cloned())
}

/// Makes this the context of the process.
///
/// # Errors
/// The process already has a context.
pub(super) fn set_current(context: &Arc<Context>) -> Result<(), Error> {
    let second = |_| Error::AlreadyRunning {
        reason: "run was called a second time in one process",
    };
    CURRENT.set(Arc::clone(context)).map_err(second)
}

/// Makes this thread a worker during the call. Signals are not changed.
#[cfg(any(test, feature = "__testkit"))]
pub(super) fn enter<R>(context: &Arc<Context>, body: impl FnOnce() -> R) -> R {
    /// Resets the thread, also if `body` panics.
    struct LeaveOnDrop(Option<Arc<Context>>);
    impl Drop for LeaveOnDrop {
        fn drop(&mut self) {
            IN_PROCESS.set(self.0.take());
        }
    }
    let _leave = LeaveOnDrop(IN_PROCESS.replace(Some(Arc::clone(context))));
    body()
}

/// Returns the worker that runs in this process.
///
/// `None` in a master, in `init`, and in a process that has not called `run`.
///
/// After the first call, the worker handles SIGTERM; see [`shutdown`](crate::shutdown()).
pub fn worker() -> Option<Worker> {
    let context = current()?;
    context.handle_sigterm();
    Some(Worker::new(context))
}

/// Reports that this worker is ready, or ready again after [`not_ready`].
///
/// A [`net::Listener`](crate::net::Listener) does this at its first accept. Call this if `main`
/// uses only listeners of std or tokio, or none. Further calls have no effect.
///
/// # Process
/// In a worker. In other processes the call has no effect.
pub fn notify_ready() {
    if let Some(context) = current() {
        context.notify_ready();
    }
}

/// Takes back the readiness of this worker, until the next call of [`notify_ready`].
///
/// Call it if the worker cannot answer for a while, for example because its database is not
/// reachable. Until the worker is ready again:
///
/// - Its [`Listener`](crate::net::Listener)s accept nothing: their accepts wait, and the other
///   workers accept the connections that wait in the queue. An accept that runs at the moment of
///   the call may still return one connection. If no worker is ready, clients wait in the queue
///   until one is, or until their own timeout.
/// - The connections that the worker has accepted are not affected.
/// - The master neither kills nor replaces the worker, however long it is not ready. It logs one
///   line, and another one when the worker is ready again. A worker reports at most one change per
///   second.
/// - In a rollout, a successor that takes back its readiness before it has replaced a worker fails,
///   and the rollout is refused.
/// - If the worker is asked to stop, it leaves the queue to the other workers. If none of them
///   accepts, the kernel closes these connections.
/// - If the master dies, the worker accepts the connections that wait in the queue, and drains, as
///   a ready worker does: nothing starts a worker that could accept them later.
///
/// Before the worker was ready for the first time, the call has the effect that the first accept
/// does not report readiness: the worker must call `notify_ready` within `ready_timeout`.
///
/// Listeners of std and tokio accept as before. If they are the sockets of one slot (`reuseport`),
/// their queue waits for this worker.
///
/// # Process
/// In a worker and in single-process mode, on any thread; it does not block. In a single process
/// nothing else serves the queue: connections wait, and a drain accepts them. In other processes
/// the call has no effect.
///
/// # Examples
/// ```no_run
/// # fn is_reachable() -> bool { true }
/// # use std::time::Duration;
/// fn watch_database() {
///     loop {
///         // A call that changes nothing costs little.
///         if is_reachable() {
///             prefork::notify_ready();
///         } else {
///             prefork::not_ready();
///         }
///         std::thread::sleep(Duration::from_secs(1));
///     }
/// }
/// ```
pub fn not_ready() {
    if let Some(context) = current() {
        context.not_ready();
    }
}

/// Returns whether a stop was requested.
///
/// During `drain_delay` the worker serves on, and this is already true. Let the health check of a
/// load balancer fail then, so that it opens no more connections. [`shutdown`] begins after the
/// delay.
///
/// # Process
/// In a worker and in single-process mode, on any thread. In other processes it is false. In a
/// program that another one starts by `child_producer`, it is true when the drain begins.
///
/// # Examples
/// ```
/// /// The answer to `GET /readyz`.
/// fn status() -> u16 {
///     if prefork::is_stopping() { 503 } else { 200 }
/// }
/// # assert_eq!(status(), 200);
/// ```
pub fn is_stopping() -> bool {
    current().is_some_and(|context| context.shutdown.is_announced())
}

/// Returns a future that resolves when the server should close its connections.
///
/// The future works with any executor. It has methods that block a thread until it resolves and
/// that query its state. It resolves when two conditions are true:
///
/// - The worker was asked to stop.
/// - The server has seen every connection that arrived before the stop: each
///   [`Listener`](crate::net::Listener) has ended, and each connection that it returned has been
///   read. A connection on which the client sends nothing delays this by at most 250 ms.
///
/// It resolves at the latest when half of the `shutdown_grace_period` is over. If the worker uses
/// only listeners of std or tokio, it resolves as soon as the worker is asked to stop.
///
/// It does not wait for upgraded connections (`WebSockets`). `axum::serve` does not wait for them
/// either, so they are cut when `main` returns, unless `main` awaits
/// [`streams_ended`](crate::streams_ended()).
///
/// A thread that waits in a read cannot poll this future. On a [`Stream`](crate::net::Stream) of a
/// blocking `Listener`, such a read returns 0 after the client was silent for 250 ms.
///
/// If `main` takes a `Listener`, `TlsListener`, `Worker` or `Ready`, the worker handles SIGTERM
/// from its start. In other workers, SIGTERM has its default effect until the first call of this
/// function or of [`worker`](crate::worker()). The call is enough; the future need not be polled.
///
/// # Process
/// In a worker and in single-process mode, on any thread. A thread that
/// [`init`](crate::Prefork::init) starts may already call it. In a master, and in a process that
/// does not call `run`, the future never resolves.
///
/// # Examples
/// ```no_run
/// # use std::net::TcpStream; fn serve(_: impl std::io::Read) {}
/// #[prefork::main(listen = "127.0.0.1:8080")]
/// fn main(listener: prefork::net::Listener) {
///     // Ends when the worker was asked to stop and its queue is empty, or when accepting fails: then
///     // the master replaces the worker.
///     while let Some(Ok((stream, _peer))) = listener.blocking_accept() {
///         serve(stream);
///         if prefork::shutdown().is_requested() { /* answer with 'connection: close' */ }
///     }
/// }
/// ```
pub fn shutdown() -> Shutdown {
    Shutdown::new(&progress())
}

/// Returns a future that resolves when this worker begins to drain.
///
/// A worker drains because it was asked to stop or because a rollout replaces it. From then on it
/// accepts only connections that already wait in the queue, and
/// [`shutdown`](crate::shutdown()) resolves later: between the two, an HTTP server still answers
/// requests on kept connections. Use this future for connections that have to be ended by the
/// application, such as `WebSockets`, streams of events and long polls.
///
/// The future works with any executor, and has a method that blocks a thread until it resolves. A
/// call handles SIGTERM as a call of [`shutdown`](crate::shutdown()) does.
///
/// # Process
/// In a worker and in single-process mode, on any thread, and in `init`. In a master, and in a
/// process that does not call `run`, the future never resolves.
///
/// # Examples
/// ```no_run
/// std::thread::spawn(|| {
///     prefork::closing().blocking_wait();
///     // Tell the service registry that this worker takes no new clients.
/// });
/// ```
pub fn closing() -> Closing {
    Closing::new(&progress())
}

/// Returns a future that resolves when this worker has drained and has no connection left.
///
/// It resolves when [`shutdown`](crate::shutdown()) has resolved and every stream that the
/// listeners of this worker returned was dropped. A server with upgraded connections (`WebSockets`)
/// awaits it before `main` returns. At the end of `shutdown_grace_period` the master kills the
/// worker, whether the future has resolved or not.
///
/// Streams of [`Listener`](crate::net::Listener) and `TlsListener` count, from the accept on and
/// also in a TLS handshake. These do not: connections that a listener of std or tokio accepted,
/// streams after [`into_inner`](crate::net::Stream::into_inner), and those of a `Listener` that was
/// made from a listener of std.
///
/// # Process
/// In a worker and in single-process mode, on any thread, and in `init`. In a master, and in a
/// process that does not call `run`, the future never resolves.
pub fn streams_ended() -> StreamsEnded {
    StreamsEnded::new(&progress())
}

/// The drain of this worker. Before this process is a worker, that of the future worker.
///
/// From now on SIGTERM begins the drain.
pub(crate) fn progress() -> Arc<ShutdownProgress> {
    let Some(context) = current() else {
        return early();
    };
    context.handle_sigterm();
    Arc::clone(&context.shutdown)
}

/// The state of this process. It also serves calls before the process is a worker.
static OWN: LazyLock<Arc<ShutdownProgress>> = LazyLock::new(Arc::default);

/// Whether `progress` was called before this process was a worker.
static HAS_ASKED: AtomicBool = AtomicBool::new(false);

pub(super) fn own() -> &'static Arc<ShutdownProgress> {
    &OWN
}

/// Called by a starting worker, after `current()` returns it.
pub(super) fn has_asked() -> bool {
    // A read-modify-write: a concurrent `early` comes before and is seen here, or comes after and
    // sees the worker.
    HAS_ASKED.fetch_or(false, Ordering::AcqRel)
}

/// A call in `init`, or on a thread that `init` started.
fn early() -> Arc<ShutdownProgress> {
    HAS_ASKED.fetch_or(true, Ordering::AcqRel);
    if let Some(context) = current() {
        context.handle_sigterm();
    }
    Arc::clone(own())
}
