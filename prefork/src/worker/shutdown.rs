//! How `main` learns of a shutdown: a future, a blocking wait, two queries and a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// A stop was announced. It may begin later.
    is_announced: bool,
    deadline: Option<Instant>,
    is_resolved: bool,
}

impl ShutdownProgress {
    pub(super) fn announce(&self) {
        self.progress().is_announced = true;
    }

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

/// Resolves when this worker may close its connections; see [`shutdown`](crate::shutdown()).
#[derive(Debug)]
#[must_use = "await it, call `blocking_wait`, or query it"]
pub struct Shutdown {
    state: Arc<ShutdownProgress>,
    waiting: Option<Pin<Box<EventListener>>>,
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
    pub fn is_requested(&self) -> bool {
        self.deadline().is_some()
    }

    /// Returns whether a stop was announced or requested; see [`is_stopping`](crate::is_stopping()).
    pub(super) fn is_announced(&self) -> bool {
        let progress = *self.state.progress();
        progress.is_announced || progress.deadline.is_some()
    }

    /// Returns whether the future has resolved.
    pub fn is_complete(&self) -> bool {
        self.state.progress().is_resolved
    }

    /// Returns the time at which the process will be killed.
    ///
    /// It is `None` until the worker is asked to stop. Then it is the end of the grace period: the
    /// master kills the worker, and a process without a master ends itself. It becomes earlier if a
    /// later request to stop leaves less time, and never later.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// /// How long a job may still take: all but the last second before the kill.
    /// fn time_left() -> Option<Duration> {
    ///     let deadline = prefork::shutdown().deadline()?;
    ///     let left = deadline.saturating_duration_since(Instant::now());
    ///     Some(left.saturating_sub(Duration::from_secs(1)))
    /// }
    /// # assert_eq!(time_left(), None);
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.state.progress().deadline
    }

    /// Blocks this thread until the future resolves.
    pub fn blocking_wait(&self) {
        loop {
            let waiting = self.state.resolved.listen();
            if self.is_complete() {
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
            if self.is_complete() {
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::thread;

    use super::*;

    struct WakeCount(AtomicUsize);

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
        let waiter = thread::spawn(move || shutdown.blocking_wait());
        state.resolve();
        waiter.join().expect("the thread only waits");
    }

    #[test]
    fn the_deadline_is_known_as_soon_as_a_stop_begins() {
        let state = Arc::new(ShutdownProgress::default());
        let shutdown = Shutdown::new(&state);
        assert!(!shutdown.is_requested());
        let deadline = Instant::now();
        state.begin(deadline);
        assert_eq!(shutdown.deadline(), Some(deadline));
        assert!(!shutdown.is_complete());
        state.resolve();
        assert_eq!(shutdown.deadline(), Some(deadline), "it is still needed");
    }
}
