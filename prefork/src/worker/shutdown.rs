//! How `main` learns of a shutdown: a future, a blocking wait, two queries and a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use event_listener::{Event, EventListener, Listener};

/// Shared by the monitor thread and all waiters.
#[derive(Debug, Default)]
pub(super) struct ShutdownProgress {
    progress: Mutex<ShutdownStage>,
    resolved: Event,
}

#[derive(Debug, Default, Clone, Copy)]
struct ShutdownStage {
    deadline: Option<Instant>,
    is_resolved: bool,
}

impl ShutdownProgress {
    pub(super) fn begin(&self, deadline: Instant) {
        self.progress().deadline = Some(deadline);
    }

    pub(super) fn resolve(&self) {
        self.progress().is_resolved = true;
        self.resolved.notify(usize::MAX);
    }

    fn progress(&self) -> MutexGuard<'_, ShutdownStage> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when this worker may close its connections; see [`shutdown`].
#[derive(Debug)]
#[must_use = "await it, call `wait`, or query it"]
pub struct Shutdown {
    state: Arc<ShutdownProgress>,
    waiting: Option<Pin<Box<EventListener>>>,
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
/// either, so they are cut when `main` returns.
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
///         if prefork::shutdown().has_begun() { /* answer with 'connection: close' */ }
///     }
/// }
/// ```
pub fn shutdown() -> Shutdown {
    match super::context::current() {
        Some(context) => {
            context.handle_sigterm();
            Shutdown::new(context.shutdown())
        }
        None => early(),
    }
}

/// The state of this process. It also serves calls before the process is a worker.
static OWN: LazyLock<Arc<ShutdownProgress>> = LazyLock::new(Arc::default);

/// Whether `shutdown` was called before this process was a worker.
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
fn early() -> Shutdown {
    HAS_ASKED.fetch_or(true, Ordering::AcqRel);
    if let Some(context) = super::context::current() {
        context.handle_sigterm();
    }
    Shutdown::new(own())
}

impl Shutdown {
    pub(super) fn new(state: &Arc<ShutdownProgress>) -> Self {
        Self {
            state: Arc::clone(state),
            waiting: None,
        }
    }

    /// Returns whether the worker was asked to stop.
    ///
    /// Listeners may still return connections that wait in the queue.
    pub fn has_begun(&self) -> bool {
        self.deadline().is_some()
    }

    /// Returns whether the future has resolved.
    pub fn is_resolved(&self) -> bool {
        self.state.progress().is_resolved
    }

    /// Returns the time at which the process will be killed.
    ///
    /// It is `None` until the worker is asked to stop.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.progress().deadline
    }

    /// Blocks this thread until the future resolves.
    pub fn wait(&self) {
        loop {
            let waiting = self.state.resolved.listen();
            if self.is_resolved() {
                return;
            }
            waiting.wait();
        }
    }
}

impl Clone for Shutdown {
    fn clone(&self) -> Self {
        Self::new(&self.state)
    }
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.is_resolved() {
                self.waiting = None;
                return Poll::Ready(());
            }
            // Register before the state is checked again, so that no notification is missed.
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            } else {
                self.waiting = Some(Box::pin(self.state.resolved.listen()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};
    use std::thread;

    use super::*;

    struct WakeCount(std::sync::atomic::AtomicUsize);

    impl Wake for WakeCount {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn resolving_wakes_a_task() {
        let state = Arc::new(ShutdownProgress::default());
        let mut shutdown = Shutdown::new(&state);
        let count = Arc::new(WakeCount(0.into()));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut shutdown).poll(&mut cx).is_pending());
        state.resolve();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(Pin::new(&mut shutdown).poll(&mut cx).is_ready());
        assert!(Pin::new(&mut shutdown).poll(&mut cx).is_ready());
    }

    #[test]
    fn resolving_wakes_a_blocked_thread() {
        let state = Arc::new(ShutdownProgress::default());
        let shutdown = Shutdown::new(&state);
        let waiter = thread::spawn(move || shutdown.wait());
        state.resolve();
        waiter.join().expect("the thread only waits");
    }

    #[test]
    fn the_deadline_is_known_as_soon_as_a_stop_begins() {
        let state = Arc::new(ShutdownProgress::default());
        let shutdown = Shutdown::new(&state);
        assert!(!shutdown.has_begun());
        let deadline = Instant::now();
        state.begin(deadline);
        assert_eq!(shutdown.deadline(), Some(deadline));
        assert!(!shutdown.is_resolved());
    }
}
