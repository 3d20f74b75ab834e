//! The TLS handshakes of one listener: tasks in progress, and streams that accept has not returned.
//!
//! Carries out what [`admission`](super::admission) decides. Does not accept connections and does
//! not know the TLS protocol.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use event_listener::{Event, EventListener};
use prefork_options::Addr;
use rustls::ServerConfig;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep};

use super::admission::{Admission, AdmissionDecision};
use super::handshake::{ReportProgress, handshake};
use super::handshake_limits::{HandshakeLimits, HandshakeStage};
use super::stream::TlsStream;
use crate::net::{AsyncSocket, Stream};
use crate::sys;

pub(super) struct Handshakes {
    config: Arc<ServerConfig>,
    state: Mutex<HandshakesState>,
    one_begun: Event,
    limits_changed: Event,
    /// A stream waits to be returned by accept.
    one_finished: Event,
    /// One more handshake may begin.
    freed: Event,
}

/// The callback for failed handshakes.
pub(super) type OnFailure = Arc<dyn Fn(Addr, &io::Error) + Send + Sync>;

struct HandshakesState {
    admission: Admission,
    /// The tasks of handshakes in progress, by number.
    tasks: HashMap<u64, HandshakeTask>,
    /// Streams whose handshake is complete and that accept has not returned.
    uncollected: VecDeque<(TlsStream, Addr)>,
    on_failure: Option<OnFailure>,
    is_closed: bool,
}

struct HandshakeTask {
    fd: RawFd,
    /// `None` until the task is spawned.
    handle: Option<AbortHandle>,
}

impl Handshakes {
    pub(super) fn new(config: Arc<ServerConfig>, limits: HandshakeLimits) -> Self {
        let state = HandshakesState {
            admission: Admission::new(limits),
            tasks: HashMap::new(),
            uncollected: VecDeque::new(),
            on_failure: None,
            is_closed: false,
        };
        Self {
            config,
            state: Mutex::new(state),
            one_begun: Event::new(),
            limits_changed: Event::new(),
            one_finished: Event::new(),
            freed: Event::new(),
        }
    }

    pub(super) fn change_limits(&self, change: impl FnOnce(&mut HandshakeLimits)) {
        change(self.state().admission.limits_mut());
        self.limits_changed.notify(usize::MAX);
    }

    pub(super) fn limits(&self) -> HandshakeLimits {
        self.state().admission.limits()
    }

    pub(super) fn set_on_failure(&self, on_failure: OnFailure) {
        self.state().on_failure = Some(on_failure);
    }

    /// Whether one more handshake may begin.
    ///
    /// `queued` returns the length of the accept queue; it is called only if the limit is reached.
    pub(super) fn entry(&self, now: Instant, queued: impl FnOnce() -> usize) -> AdmissionDecision {
        let mut state = self.state();
        let queued = if state.admission.is_full() {
            queued()
        } else {
            0
        };
        let HandshakesState {
            admission, tasks, ..
        } = &mut *state;
        admission.entry(now, queued, |number| has_unread(tasks, number))
    }

    /// Resolves when one more handshake may begin.
    ///
    /// Call it before [`entry`](Self::entry); otherwise a handshake that ends in between is missed.
    pub(super) fn until_freed(&self) -> EventListener {
        self.freed.listen()
    }

    /// Evicts a handshake as if the limit was reached: the process has no descriptors left.
    ///
    /// Returns false if no handshake is in progress.
    pub(super) fn evict(&self, now: Instant, queued: usize) -> bool {
        let mut state = self.state();
        let HandshakesState {
            admission, tasks, ..
        } = &mut *state;
        let evicted = admission.evict(now, queued, |number| has_unread(tasks, number));
        state.abort(evicted);
        !state.admission.is_empty()
    }

    /// Begins a handshake in a task on the runtime of the caller.
    ///
    /// `evicted` is the number that [`entry`](Self::entry) returned. After [`close`](Self::close)
    /// the connection is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        stream: Stream<AsyncSocket>,
        peer: Addr,
        evicted: Option<u64>,
    ) {
        let fd = stream.as_fd().as_raw_fd();
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        let (number, evicted) = state.admission.begin(Instant::now(), evicted);
        state
            .tasks
            .insert(number, HandshakeTask { fd, handle: None });
        state.abort(evicted);
        drop(state);
        self.one_begun.notify(1);
        let guard = HandshakeGuard {
            number,
            peer,
            handshakes: Arc::clone(self),
        };
        let config = Arc::clone(&self.config);
        // Spawn without the lock: a runtime that shuts down drops the task here, and the guard
        // locks.
        let task = tokio::spawn(async move {
            match handshake(stream, config, &guard).await {
                Ok(stream) => guard.finish(stream),
                Err(failure) => {
                    guard.fail(&failure.error);
                    failure.linger().await;
                }
            }
        });
        self.state().task_is(number, task.abort_handle());
    }

    /// Waits for a complete handshake. Cancel safe: a stream is removed only when it is returned.
    pub(super) async fn next_finished(&self) -> (TlsStream, Addr) {
        loop {
            let finishes = self.one_finished.listen();
            let collected = self.state().collect();
            if let Some(connection) = collected {
                self.freed.notify(usize::MAX);
                return connection;
            }
            finishes.await;
        }
    }

    /// Aborts handshakes that take too long. Runs until it is dropped.
    ///
    /// One `timer`, set to any time, serves all handshakes: with one timer each, every handshake
    /// would interrupt the runtime to set it.
    pub(super) async fn keep_deadlines(&self, mut timer: Pin<Box<Sleep>>) {
        loop {
            let (begins, changes) = (self.one_begun.listen(), self.limits_changed.listen());
            let deadline = self.state().abort_timed_out(Instant::now());
            match deadline {
                // A handshake that begins meanwhile has a later deadline.
                Some(deadline) => {
                    timer.as_mut().reset(deadline);
                    race(timer.as_mut(), changes).await;
                }
                None => race(begins, changes).await,
            }
        }
    }

    /// Aborts all handshakes and drops all streams.
    ///
    /// Afterwards no handshake begins or completes, and the callback is not called.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        for handle in state.tasks.values().filter_map(|task| task.handle.as_ref()) {
            handle.abort();
        }
        let uncollected = std::mem::take(&mut state.uncollected);
        drop(state);
        drop(uncollected);
    }

    /// Calls the callback of the user, without the lock.
    fn report_failure(&self, peer: Addr, error: &io::Error) {
        let state = self.state();
        let on_failure = state.on_failure.clone().filter(|_| !state.is_closed);
        drop(state);
        if let Some(on_failure) = on_failure {
            on_failure(peer, error);
        }
    }

    fn state(&self) -> MutexGuard<'_, HandshakesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HandshakesState {
    fn abort(&self, number: Option<u64>) {
        let task = number.and_then(|number| self.tasks.get(&number));
        if let Some(handle) = task.and_then(|task| task.handle.as_ref()) {
            handle.abort();
        }
    }

    /// Stores the handle of a task that may have ended or was aborted meanwhile.
    fn task_is(&mut self, number: u64, handle: AbortHandle) {
        if self.is_closed || self.admission.is_aborted(number) {
            handle.abort();
        }
        if let Some(task) = self.tasks.get_mut(&number) {
            task.handle = Some(handle);
        }
    }

    fn abort_timed_out(&mut self, now: Instant) -> Option<Instant> {
        let (timed_out, next) = self.admission.timed_out(now);
        for number in timed_out {
            self.abort(Some(number));
        }
        next
    }

    fn collect(&mut self) -> Option<(TlsStream, Addr)> {
        let connection = self.uncollected.pop_front()?;
        self.admission.collect();
        Some(connection)
    }
}

/// Whether the kernel holds bytes of this client, or its end, that the task has not read.
///
/// The socket may be closed and its number reused meanwhile; then the handshake is about to end
/// anyway.
fn has_unread(tasks: &HashMap<u64, HandshakeTask>, number: u64) -> bool {
    let fd = tasks.get(&number).map(|task| task.fd);
    fd.is_some_and(|fd| sys::fds::readable(&[fd]) > 0)
}

/// Held by the task of a handshake. Dropping it, for whatever reason, lets another handshake begin.
struct HandshakeGuard {
    number: u64,
    peer: Addr,
    handshakes: Arc<Handshakes>,
}

impl HandshakeGuard {
    fn finish(self, stream: TlsStream) {
        let mut state = self.handshakes.state();
        if state.is_closed {
            return;
        }
        state.admission.finish(self.number);
        state.uncollected.push_back((stream, self.peer.clone()));
        drop(state);
        // Additional: a caller that was woken for another stream takes only that one.
        self.handshakes.one_finished.notify_additional(1);
    }

    fn fail(&self, error: &io::Error) {
        let mut state = self.handshakes.state();
        let is_own_failure = state.admission.fail(self.number, Instant::now());
        drop(state);
        if is_own_failure {
            self.handshakes.report_failure(self.peer.clone(), error);
        }
    }
}

impl ReportProgress for HandshakeGuard {
    fn client_sent(&self) {
        self.handshakes.state().admission.client_sent(self.number);
    }

    fn waits_for_client(&self, stage: HandshakeStage) {
        let (number, now) = (self.number, Instant::now());
        let admission = &mut self.handshakes.state().admission;
        admission.waits_for_client(number, stage, now);
    }
}

impl Drop for HandshakeGuard {
    fn drop(&mut self) {
        let mut state = self.handshakes.state();
        state.tasks.remove(&self.number);
        if !state.admission.is_in_progress(self.number) {
            return;
        }
        let aborted = state.admission.end(self.number);
        drop(state);
        self.handshakes.freed.notify(usize::MAX);
        if let Some(reason) = aborted {
            let error = io::Error::new(io::ErrorKind::TimedOut, reason.to_string());
            self.handshakes.report_failure(self.peer.clone(), &error);
        }
    }
}

/// Resolves when the first of the two futures does. Polls `one` first.
pub(super) async fn race(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => other.as_mut().poll(cx),
    })
    .await;
}
