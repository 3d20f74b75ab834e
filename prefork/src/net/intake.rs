//! What the listeners and streams of one process share: whether new connections are still wanted,
//! how many listeners are open, and which accepted connections nobody has read from yet.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use event_listener::{Event, EventListener};

use super::accept_health::AcceptHealth;
use super::silent_reads::SilentReads;
use crate::sys;
use crate::sys::bell::Bell;

/// Shared by all listeners and streams of a process.
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Wakes async accepts when the drain begins.
    drain: Event,
    /// Rings once the drain has begun: wakes blocking accepts, all of them, for good.
    drain_bell: Bell,
    has_accepted: AtomicBool,
    is_draining: AtomicBool,
    /// A thread acts on what changes.
    pub(super) is_watched: bool,
    pub(super) health: AcceptHealth,
    pub(super) silent_reads: SilentReads,
    is_orphan: Box<dyn Fn() -> bool + Send + Sync>,
    on_first_accept: Box<dyn Fn() + Send + Sync>,
    /// Called when a listener ended, when a stream was used during a drain, and when accepting fails or works again.
    on_change: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    drain: Option<DrainOrder>,
    listeners: usize,
    unread: HashMap<RawFd, Note>,
}

/// What a descriptor does not tell about a connection that nobody has read from.
#[derive(Debug, Default, Clone, Copy)]
struct Note {
    /// When we last answered in its handshake, or heard a part of what cannot be read yet: its client's next words are on
    /// their way.
    last_word: Option<Instant>,
    /// How many bytes had come when that was last asked.
    #[cfg(feature = "tls")]
    received: u64,
    /// Bytes that were taken from the descriptor wait for the first read.
    holds_bytes: bool,
}

/// How listeners behave from the moment on when the process was asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DrainOrder {
    /// Accepting ends at the latest then.
    pub(crate) until: Instant,
    /// A successor has the same queue: accept nothing more.
    pub(crate) leaves_queue: bool,
    /// The master is dead: the address is to be free for the next one once a listener has ended, whoever else has a copy
    /// of its socket.
    pub(crate) frees_address: bool,
}

/// How far a drain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    /// Listeners that have not ended.
    pub(crate) listeners: usize,
    /// Accepted connections that nobody has read from.
    pub(crate) unread: usize,
    /// When one of these said a part of something, or was answered in its handshake, for the last time.
    pub(crate) last_word: Option<Instant>,
}

impl Intake {
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new(
        on_first_accept: impl Fn() + Send + Sync + 'static,
        on_change: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::default(),
            drain: Event::new(),
            drain_bell: Bell::new()?,
            has_accepted: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            is_watched: true,
            health: AcceptHealth::default(),
            silent_reads: SilentReads::default(),
            is_orphan: Box::new(|| false),
            on_first_accept: Box::new(on_first_accept),
            on_change: Box::new(on_change),
        })
    }

    /// Asks this whether the master is dead, when accepting fails.
    pub(crate) fn asking(mut self, is_orphan: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.is_orphan = Box::new(is_orphan);
        self
    }

    /// Whether the master is dead. The thread that watches it may not have heard of it yet.
    pub(super) fn is_orphan(&self) -> bool {
        (self.is_orphan)()
    }

    /// For a listener outside of any worker.
    ///
    /// # Errors
    /// No descriptors left.
    pub(super) fn unwatched() -> io::Result<Self> {
        let mut intake = Self::new(|| {}, || {})?;
        intake.is_watched = false;
        Ok(intake)
    }

    /// Tells all listeners; a repeat changes nothing.
    pub(crate) fn begin_drain(&self, drain: DrainOrder) {
        let mut state = self.state();
        if state.drain.is_some() {
            return;
        }
        state.drain = Some(drain);
        drop(state);
        self.is_draining.store(true, Ordering::Release);
        self.drain.notify(usize::MAX);
        // Nobody silences it, so that every poll sees it.
        self.drain_bell.ring();
    }

    pub(crate) fn drain(&self) -> Option<DrainOrder> {
        self.state().drain
    }

    /// As [`drain`](Self::drain), without a lock: for every read and write.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Reports a change to the thread that watches.
    pub(super) fn changed(&self) {
        (self.on_change)();
    }

    /// Resolves when a drain begins; make it before asking [`drain`](Self::drain), or the moment
    /// in between is missed.
    #[cfg_attr(
        not(feature = "tokio"),
        expect(dead_code, reason = "for async accepts")
    )]
    pub(super) fn until_drain(&self) -> EventListener {
        self.drain.listen()
    }

    pub(super) fn drain_fd(&self) -> BorrowedFd<'_> {
        self.drain_bell.as_fd()
    }

    /// The first call of an accept: the process serves.
    pub(super) fn note_accept(&self) {
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
        self.state().unread.insert(fd, Note::default());
    }

    /// Must come before the descriptor is closed: its number may be somebody else's afterwards.
    pub(super) fn stream_read(&self, fd: RawFd) {
        let mut state = self.state();
        state.unread.remove(&fd);
        let is_draining = state.drain.is_some();
        drop(state);
        if is_draining {
            (self.on_change)();
        }
    }

    pub(crate) fn census(&self) -> Census {
        let state = self.state();
        Census {
            listeners: state.listeners,
            unread: state.unread.len(),
            last_word: state
                .unread
                .values()
                .filter_map(|note| note.last_word)
                .max(),
        }
    }

    /// Whether there is something to read on a connection that nobody has read from.
    pub(crate) fn has_waiting(&self) -> bool {
        // Under the lock none of the descriptors is closed.
        let state = self.state();
        let unread = state.unread.keys().copied();
        // Where a drain has ended the reads, the descriptor is readable without any bytes.
        let unread: Vec<RawFd> = unread
            .filter(|&fd| !self.silent_reads.has_ended(fd))
            .collect();
        state.unread.values().any(|note| note.holds_bytes) || sys::fds::readable(&unread) > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a layer between the descriptor and the first read tells, such as TLS.
#[cfg(feature = "tls")]
impl Intake {
    /// A layer has taken what there was, and waits for more: perhaps bytes, half of a hello or of a request. Whether any
    /// came says the system; where it does not, they did.
    pub(super) fn stream_heard(&self, fd: RawFd) {
        let mut state = self.state();
        if state.drain.is_none() {
            return;
        }
        if let Some(note) = state.unread.get_mut(&fd) {
            let received = sys::accept::bytes_received(fd);
            if received != Some(note.received) {
                note.last_word = Some(Instant::now());
            }
            note.received = received.unwrap_or_default();
        }
        drop(state);
        (self.on_change)();
    }

    /// A client is to speak next, and was told so only now.
    pub(super) fn stream_answered(&self, fd: RawFd, now: Instant) {
        let mut state = self.state();
        if let Some(note) = state.unread.get_mut(&fd) {
            note.last_word = Some(now);
        }
        let is_draining = state.drain.is_some();
        drop(state);
        if is_draining {
            (self.on_change)();
        }
    }

    /// The first words came with the end of the handshake, and are not in the descriptor any more.
    pub(super) fn stream_holds_bytes(&self, fd: RawFd) {
        if let Some(note) = self.state().unread.get_mut(&fd) {
            note.holds_bytes = true;
        }
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}
