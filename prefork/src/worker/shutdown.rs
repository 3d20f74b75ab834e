//! How `main` learns of a drain: futures, blocking waits, queries and a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use event_listener::{Event, EventListener, Listener};

/// Shared by the monitor thread and all waiters.
#[derive(Debug, Default)]
pub(crate) struct ShutdownProgress {
    /// A stop was announced. The drain may begin later.
    is_announced: AtomicBool,
    deadline: Mutex<Option<Instant>>,
    closing: Milestone,
    resolved: Milestone,
    streams_ended: Milestone,
    announces_close: AtomicBool,
    #[cfg(feature = "http")]
    pub(crate) requests: super::request_counts::RequestCounts,
}

/// A fact that becomes true once, and wakes those who wait for it.
#[derive(Debug, Default)]
struct Milestone {
    is_reached: AtomicBool,
    reached: Event,
}

impl Milestone {
    fn reach(&self) {
        self.is_reached.store(true, Ordering::Release);
        self.reached.notify(usize::MAX);
    }

    /// Takes no lock: it is called for every response.
    fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Acquire)
    }
}

impl ShutdownProgress {
    pub(super) fn announce(&self) {
        self.is_announced.store(true, Ordering::Release);
    }

    /// Whether a stop was announced or the drain has begun; see
    /// [`is_stopping`](crate::is_stopping()).
    pub(super) fn is_announced(&self) -> bool {
        self.is_announced.load(Ordering::Acquire) || self.is_closing()
    }

    /// The drain begins, or becomes shorter.
    pub(crate) fn begin(&self, deadline: Instant) {
        *self.deadline() = Some(deadline);
        if !self.is_closing() {
            self.closing.reach();
        }
    }

    pub(super) fn resolve(&self) {
        self.resolved.reach();
    }

    /// Records that no accepted stream is open. Only the last one, after `shutdown()` has resolved,
    /// is awaited.
    pub(super) fn no_streams(&self) {
        if self.resolved.is_reached() && !self.streams_ended.is_reached() {
            self.streams_ended.reach();
        }
    }

    /// Whether the drain has begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_reached()
    }

    /// Whether responses announce that their connection closes.
    pub(super) fn announces_close(&self) -> bool {
        self.announces_close.load(Ordering::Acquire)
    }

    /// From now on responses announce that their connection closes, once the drain has begun.
    #[cfg(feature = "http")]
    pub(crate) fn announce_close(&self) {
        self.announces_close.store(true, Ordering::Release);
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a milestone.
#[derive(Debug)]
struct Wait {
    state: Arc<ShutdownProgress>,
    milestone: fn(&ShutdownProgress) -> &Milestone,
    waiting: Option<Pin<Box<EventListener>>>,
}

impl Wait {
    fn is_complete(&self) -> bool {
        (self.milestone)(&self.state).is_reached()
    }

    fn listen(&self) -> EventListener {
        (self.milestone)(&self.state).reached.listen()
    }

    fn block(&self) {
        loop {
            let waiting = self.listen();
            if self.is_complete() {
                return;
            }
            waiting.wait();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
                self.waiting = Some(Box::pin(self.listen()));
            }
        }
    }
}

impl Clone for Wait {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            milestone: self.milestone,
            waiting: None,
        }
    }
}

/// Declares the public future of a milestone.
macro_rules! future {
    ($(#[doc = $doc:expr])* $name:ident: $milestone:ident) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone)]
        #[must_use = "await it, call `blocking_wait`, or query it"]
        pub struct $name(Wait);

        impl $name {
            pub(super) fn new(state: &Arc<ShutdownProgress>) -> Self {
                Self(Wait {
                    state: Arc::clone(state),
                    milestone: |state| &state.$milestone,
                    waiting: None,
                })
            }

            /// Returns whether the future has resolved.
            pub fn is_complete(&self) -> bool {
                self.0.is_complete()
            }

            /// Blocks this thread until the future resolves.
            pub fn blocking_wait(&self) {
                self.0.block();
            }
        }

        impl Future for $name {
            type Output = ();

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                self.0.poll(cx)
            }
        }
    };
}

future! {
    /// Resolves when this worker begins to drain; see [`closing`](crate::closing()).
    Closing: closing
}

future! {
    /// Resolves when this worker may close its connections; see [`shutdown`](crate::shutdown()).
    Shutdown: resolved
}

future! {
    /// Resolves when this worker has no connection left; see
    /// [`streams_ended`](crate::streams_ended()).
    StreamsEnded: streams_ended
}

impl Shutdown {
    /// Returns whether the worker was asked to stop.
    ///
    /// Listeners may still return connections that wait in the queue.
    pub fn is_requested(&self) -> bool {
        self.deadline().is_some()
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
        *self.0.state.deadline()
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

    #[test]
    fn closing_resolves_when_the_drain_begins_and_streams_ended_at_its_end() {
        let state = Arc::new(ShutdownProgress::default());
        let (closing, ended) = (Closing::new(&state), StreamsEnded::new(&state));
        state.no_streams();
        assert!(!closing.is_complete() && !ended.is_complete());
        state.begin(Instant::now());
        state.no_streams();
        assert!(closing.is_complete() && !ended.is_complete());
        closing.blocking_wait();
        state.resolve();
        assert!(!ended.is_complete(), "a stream may be open");
        state.no_streams();
        ended.blocking_wait();
    }
}
