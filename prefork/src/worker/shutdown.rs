//! How a body learns that it is time to go: a future, a wait, a question and a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use event_listener::{Event, EventListener, Listener};

/// Shared by the watching thread and everybody who waits.
#[derive(Debug, Default)]
pub(super) struct State {
    progress: Mutex<Progress>,
    resolved: Event,
}

#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    deadline: Option<Instant>,
    is_resolved: bool,
}

impl State {
    pub(super) fn begin(&self, deadline: Instant) {
        self.progress().deadline = Some(deadline);
    }

    pub(super) fn resolve(&self) {
        self.progress().is_resolved = true;
        self.resolved.notify(usize::MAX);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when this worker may close its connections, see [`shutdown`].
#[derive(Debug)]
#[must_use = "a shutdown is awaited, waited for or asked"]
pub struct Shutdown {
    state: Arc<State>,
    waiting: Option<Pin<Box<EventListener>>>,
}

/// Tells a body when to go.
///
/// The result is a future for any executor, and it has methods to wait on a thread and to ask. It
/// resolves when the worker was asked to go *and* every connection that had come by then can be
/// seen by the server: all of our listeners have ended, and each connection that they gave was
/// read from (silent ones are waited for 250 ms). With raw listeners only it resolves as soon as
/// the worker is asked; in every case when half of the `shutdown_grace_period` is over.
///
/// Connections that were upgraded (`WebSockets`) are not among those that it waits for, nor does `axum::serve` wait for them:
/// they are cut when `main` returns.
///
/// A thread that waits in a read does not poll this. On a [`Stream`](crate::net::Stream) of a blocking listener of ours such
/// a read ends by itself: it returns 0 once the client has been silent for 250 ms.
///
/// Calling it, not polling it, makes the worker take SIGTERM; before that, and before
/// [`worker`](crate::worker()), a worker without our `Listener`, `TlsListener`, `Worker` or `Ready` among
/// its arguments leaves SIGTERM as it is.
///
/// # Process
/// In a worker, and in single mode; from [`init`](crate::Prefork::init) on, for a thread that it starts. In a master, and
/// where nothing is run, it never resolves.
///
/// # Examples
/// ```no_run
/// # use std::net::TcpStream; fn serve(_: impl std::io::Read) {}
/// #[prefork::main(listen = "127.0.0.1:8080")]
/// fn main(listener: prefork::net::Listener) {
///     // Ends when the worker is asked to go and nothing waits any more, or when accepting fails:
///     // then another worker takes its place.
///     while let Some(Ok((stream, _peer))) = listener.blocking_accept() {
///         serve(stream);
///         if prefork::shutdown().has_begun() { /* answer with 'connection: close' */ }
///     }
/// }
/// ```
pub fn shutdown() -> Shutdown {
    match super::context::current() {
        Some(context) => {
            context.take_termination();
            Shutdown::new(context.shutdown())
        }
        None => early(),
    }
}

/// What this process tells, once it is a worker, to those who ask earlier as well.
static OWN: LazyLock<Arc<State>> = LazyLock::new(Arc::default);

/// Whether somebody has asked before there was a worker.
static HAS_ASKED: AtomicBool = AtomicBool::new(false);

pub(super) fn own() -> &'static Arc<State> {
    &OWN
}

/// For a worker that begins, after others can find it.
pub(super) fn has_asked() -> bool {
    // Read by writing: whoever asks at this moment comes before, and is seen, or after, and sees the worker.
    HAS_ASKED.fetch_or(false, Ordering::AcqRel)
}

/// In `init`, or in a thread that it has started.
fn early() -> Shutdown {
    HAS_ASKED.fetch_or(true, Ordering::AcqRel);
    if let Some(context) = super::context::current() {
        context.take_termination();
    }
    Shutdown::new(own())
}

impl Shutdown {
    pub(super) fn new(state: &Arc<State>) -> Self {
        Self {
            state: Arc::clone(state),
            waiting: None,
        }
    }

    /// Whether the worker was asked to go. Connections may still come: those that wait already.
    pub fn has_begun(&self) -> bool {
        self.deadline().is_some()
    }

    /// Whether it has resolved.
    pub fn is_resolved(&self) -> bool {
        self.state.progress().is_resolved
    }

    /// When the process will be killed; `None` until the worker is asked to go.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.progress().deadline
    }

    /// Waits on this thread until it resolves.
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
            // Made before the question is asked again, so that no moment is missed.
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

    struct Count(std::sync::atomic::AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_wakes_whoever_polls_it() {
        let state = Arc::new(State::default());
        let mut shutdown = Shutdown::new(&state);
        let count = Arc::new(Count(0.into()));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut shutdown).poll(&mut cx).is_pending());
        state.resolve();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(Pin::new(&mut shutdown).poll(&mut cx).is_ready());
        assert!(Pin::new(&mut shutdown).poll(&mut cx).is_ready());
    }

    #[test]
    fn it_wakes_whoever_waits_on_a_thread() {
        let state = Arc::new(State::default());
        let shutdown = Shutdown::new(&state);
        let waiter = thread::spawn(move || shutdown.wait());
        state.resolve();
        waiter.join().expect("it only waits");
    }

    #[test]
    fn it_says_when_the_worker_was_asked_and_until_when() {
        let state = Arc::new(State::default());
        let shutdown = Shutdown::new(&state);
        assert!(!shutdown.has_begun());
        let deadline = Instant::now();
        state.begin(deadline);
        assert_eq!(shutdown.deadline(), Some(deadline));
        assert!(!shutdown.is_resolved());
    }
}
