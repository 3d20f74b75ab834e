//! State that all listeners and streams of one process share.
//!
//! Knows whether the gate is open, whether a drain has begun, how many listeners and accepted
//! streams are open, and which accepted connections are unread. Does not know when the gate opens
//! and when the drain is over: the worker decides that, the latter from [`DrainProgress`].

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use event_listener::{Event, EventListener, Listener, listener};

use super::accept_health::AcceptHealth;
use super::blocking_streams::{BlockingStreams, LastIo};
use crate::sys;
use crate::sys::waker::Waker;

/// Tracks the listeners and accepted connections of a process.
pub(crate) struct ConnTracker {
    state: Mutex<TrackerState>,
    /// Wakes accepts that wait for the gate, and pending async accepts when the drain begins or
    /// their listener gets other sockets.
    gate_or_drain: Event,
    /// How often `gate_or_drain` has been notified.
    changes: AtomicUsize,
    /// Wakes all blocking accepts when the drain begins. It is never cleared.
    drain_waker: Waker,
    has_accepted: AtomicBool,
    /// The gates that are closed: while one is, no accept takes a connection from the queue.
    closed_gates: AtomicU8,
    is_draining: Arc<AtomicBool>,
    /// A monitor thread acts on `on_change`. False for a listener outside of a worker.
    pub(super) is_watched: bool,
    pub(crate) health: AcceptHealth,
    pub(super) silent_reads: Arc<BlockingStreams>,
    is_orphan: Box<dyn Fn() -> bool + Send + Sync>,
    on_first_accept: Box<dyn Fn() + Send + Sync>,
    /// Called when a listener ends, when a stream is used during a drain, and when accepting fails
    /// or works again.
    on_change: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
struct TrackerState {
    drain: Option<DrainPolicy>,
    listeners: usize,
    /// The number of accepted streams that have not been dropped.
    streams: usize,
    unread: HashMap<RawFd, UnreadConn>,
}

/// Facts about an unread connection that its descriptor does not report.
#[derive(Debug, Default, Clone, Copy)]
struct UnreadConn {
    /// Last handshake write or partial read; the client is expected to send more.
    last_activity: Option<Instant>,
    /// The number of bytes received at the last partial read.
    received: u64,
    /// Bytes were read from the descriptor and wait for the first read of the application.
    holds_bytes: bool,
}

/// What holds back the accepts of all listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptGate {
    /// The worker is a successor or a standby, and the master has not let it serve yet.
    Master = 1,
    /// The worker has taken back its readiness.
    Readiness = 2,
}

/// How listeners behave in a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DrainPolicy {
    /// The latest time at which a listener still accepts.
    pub(crate) until: Instant,
    /// Accept nothing more: the successor accepts from the same queue.
    pub(crate) leaves_backlog: bool,
    /// Accept until the queue is empty. When the listener ends, call shutdown(2) on the socket if the
    /// queue is empty or `until` has passed. Set if the master is dead: its successor must be able to
    /// bind the address even if other processes hold copies of the socket.
    pub(crate) frees_address: bool,
}

/// The progress of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DrainProgress {
    /// The number of listeners that have not ended.
    pub(crate) listeners: usize,
    /// The number of accepted streams that have not been dropped.
    pub(crate) streams: usize,
    /// The number of accepted connections that are unread.
    pub(crate) unread: usize,
    /// The latest handshake write or partial read of an unread connection.
    pub(crate) last_activity: Option<Instant>,
}

impl ConnTracker {
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new(
        on_first_accept: impl Fn() + Send + Sync + 'static,
        on_change: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let on_change: Arc<dyn Fn() + Send + Sync> = Arc::new(on_change);
        let is_draining = Arc::<AtomicBool>::default();
        let silent_reads = BlockingStreams::new(Arc::clone(&is_draining), Arc::clone(&on_change));
        Ok(Self {
            state: Mutex::default(),
            gate_or_drain: Event::new(),
            changes: AtomicUsize::new(0),
            drain_waker: Waker::new()?,
            has_accepted: AtomicBool::new(false),
            closed_gates: AtomicU8::new(0),
            is_draining,
            is_watched: true,
            health: AcceptHealth::new(Arc::clone(&on_change)),
            silent_reads: Arc::new(silent_reads),
            is_orphan: Box::new(|| false),
            on_first_accept: Box::new(on_first_accept),
            on_change,
        })
    }

    /// Sets the function that is called to check for the master's death when accepting fails.
    pub(crate) fn with_orphan_check(
        mut self,
        is_orphan: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_orphan = Box::new(is_orphan);
        self
    }

    /// Whether the master is dead. The monitor thread may not have seen that yet.
    pub(super) fn is_orphan(&self) -> bool {
        (self.is_orphan)()
    }

    /// For a listener outside of a worker, where no monitor thread runs.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(super) fn without_monitor() -> io::Result<Self> {
        let mut tracker = Self::new(|| {}, || {})?;
        tracker.is_watched = false;
        Ok(tracker)
    }

    /// Makes the listeners wait until [`open_gate`](Self::open_gate) before they accept.
    ///
    /// A drain ends that wait too: then its policy alone decides what is accepted.
    pub(crate) fn close_gate(&self, gate: AcceptGate) {
        self.closed_gates.fetch_or(gate as u8, Ordering::AcqRel);
        // Pending async accepts would take the next connection.
        self.wake_accepts();
    }

    /// Lets the listeners accept unless the other gate is closed, and wakes all accepts that wait.
    pub(crate) fn open_gate(&self, gate: AcceptGate) {
        self.closed_gates.fetch_and(!(gate as u8), Ordering::AcqRel);
        self.wake_accepts();
    }

    /// Whether this gate is closed.
    pub(crate) fn is_closed(&self, gate: AcceptGate) -> bool {
        self.closed_gates.load(Ordering::Acquire) & gate as u8 != 0
    }

    /// Wakes pending accepts after the gate, the drain or the sockets of a listener have changed.
    pub(super) fn wake_accepts(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.gate_or_drain.notify(usize::MAX);
    }

    /// The number of changes so far, for [`change_after`](Self::change_after).
    #[cfg(feature = "tokio")]
    pub(super) fn changes(&self) -> usize {
        self.changes.load(Ordering::SeqCst)
    }

    /// Resolves when the gate, the drain or the sockets of a listener have changed since
    /// [`changes`](Self::changes) returned this number.
    ///
    /// It allocates nothing, for the path of each accept.
    #[cfg(feature = "tokio")]
    pub(super) async fn change_after(&self, seen: usize) {
        listener!(self.gate_or_drain => changes);
        if self.changes() == seen {
            changes.await;
        }
    }

    /// Whether accepts wait for a gate. Takes no lock: it is called for every accept.
    pub(super) fn is_gated(&self) -> bool {
        self.closed_gates.load(Ordering::Acquire) != 0
    }

    /// As `wait_for_gate`. Returns whether the gate is open.
    pub(crate) fn pass_gate(&self) -> bool {
        while self.is_gated() && !self.is_draining() {
            self.wait_for_gate();
        }
        !self.is_gated()
    }

    /// Blocks this thread until the gate opens or the drain begins.
    pub(super) fn wait_for_gate(&self) {
        let opens_or_drains = self.until_gate_or_drain();
        if self.is_gated() && !self.is_draining() {
            opens_or_drains.wait();
        }
    }

    /// Begins the drain in all listeners. A second call changes nothing.
    pub(crate) fn begin_drain(&self, drain: DrainPolicy) {
        let mut state = self.state();
        if state.drain.is_some() {
            return;
        }
        state.drain = Some(drain);
        drop(state);
        self.is_draining.store(true, Ordering::Release);
        self.wake_accepts();
        // It is never cleared, so that every poll sees it.
        self.drain_waker.wake();
    }

    /// Listeners that drain accept until this time at the latest.
    pub(crate) fn shorten_drain(&self, until: Instant) {
        if let Some(drain) = &mut self.state().drain {
            drain.until = until;
        }
    }

    pub(crate) fn drain(&self) -> Option<DrainPolicy> {
        self.state().drain
    }

    /// Whether a drain has begun. Takes no lock: it is called for every read and write.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Resolves when the gate opens or a drain begins.
    ///
    /// Call it before [`is_gated`](Self::is_gated) and [`drain`](Self::drain); otherwise what
    /// happens in between is missed.
    pub(crate) fn until_gate_or_drain(&self) -> EventListener {
        self.gate_or_drain.listen()
    }

    pub(super) fn drain_fd(&self) -> BorrowedFd<'_> {
        self.drain_waker.as_fd()
    }

    /// Notes a call of accept; the first one means that the process serves.
    pub(crate) fn note_accept(&self) {
        if !self.has_accepted.load(Ordering::Relaxed)
            && !self.has_accepted.swap(true, Ordering::AcqRel)
        {
            (self.on_first_accept)();
        }
    }

    pub(super) fn listener_opened(&self) {
        self.state().listeners += 1;
    }

    pub(super) fn listener_ended(&self) {
        self.state().listeners -= 1;
        (self.on_change)();
    }

    pub(super) fn stream_accepted(&self, fd: RawFd) {
        let mut state = self.state();
        state.streams += 1;
        state.unread.insert(fd, UnreadConn::default());
    }

    /// Call it before the descriptor is closed: afterwards its number may be reused.
    pub(super) fn stream_read(&self, fd: RawFd) {
        let mut state = self.state();
        state.unread.remove(&fd);
        let is_draining = state.drain.is_some();
        drop(state);
        if is_draining {
            (self.on_change)();
        }
    }

    pub(super) fn stream_ended(&self) {
        let mut state = self.state();
        state.streams -= 1;
        // A drain only waits for the last one.
        let is_awaited = state.drain.is_some() && state.streams == 0;
        drop(state);
        if is_awaited {
            (self.on_change)();
        }
    }

    pub(crate) fn progress(&self) -> DrainProgress {
        let state = self.state();
        DrainProgress {
            listeners: state.listeners,
            streams: state.streams,
            unread: state.unread.len(),
            last_activity: state
                .unread
                .values()
                .filter_map(|note| note.last_activity)
                .max(),
        }
    }

    /// Ends the reads of clients that have been silent for too long.
    ///
    /// `silent_until` returns until when a client may be silent. Returns when to call this again if
    /// nothing changes before.
    pub(crate) fn end_silent_reads(
        &self,
        now: Instant,
        silent_until: impl Fn(LastIo, Option<Instant>) -> Instant,
    ) -> Option<Instant> {
        self.silent_reads.end_silent_reads(now, silent_until)
    }

    /// Whether an unread connection has bytes to read.
    pub(crate) fn has_readable(&self) -> bool {
        // No descriptor is closed while the lock is held.
        let state = self.state();
        let unread = state.unread.keys().copied();
        // If the drain has ended the reads of a stream, its descriptor is readable without bytes.
        let unread: Vec<RawFd> = unread
            .filter(|&fd| !self.silent_reads.has_ended(fd))
            .collect();
        state.unread.values().any(|note| note.holds_bytes) || sys::fds::readable(&unread) > 0
    }

    fn state(&self) -> MutexGuard<'_, TrackerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes of a layer between the descriptor and the application's first read, such as TLS.
impl ConnTracker {
    /// The layer has read everything that was there and waits for more.
    ///
    /// If the kernel reports that new bytes came, for example a part of a `ClientHello` or of a
    /// request, the client gets more time. If it does not report a number, bytes are assumed.
    pub(super) fn note_partial_read(&self, fd: RawFd) {
        let mut state = self.state();
        if state.drain.is_none() {
            return;
        }
        if let Some(note) = state.unread.get_mut(&fd) {
            let received = sys::accept::bytes_received(fd);
            if received != Some(note.received) {
                note.last_activity = Some(Instant::now());
            }
            note.received = received.unwrap_or_default();
        }
        drop(state);
        (self.on_change)();
    }

    /// The layer has sent something that the client waits for: the client sends next.
    pub(super) fn stream_answered(&self, fd: RawFd, now: Instant) {
        let mut state = self.state();
        if let Some(note) = state.unread.get_mut(&fd) {
            note.last_activity = Some(now);
        }
        let is_draining = state.drain.is_some();
        drop(state);
        if is_draining {
            (self.on_change)();
        }
    }

    /// The first bytes of the application came with the end of the handshake and have left the
    /// descriptor.
    pub(super) fn stream_holds_bytes(&self, fd: RawFd) {
        if let Some(note) = self.state().unread.get_mut(&fd) {
            note.holds_bytes = true;
        }
    }
}

impl std::fmt::Debug for ConnTracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnTracker").finish_non_exhaustive()
    }
}
