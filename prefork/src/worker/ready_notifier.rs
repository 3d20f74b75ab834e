//! Reports to the master that this worker is ready, and that its `main` has ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::channel::{Channel, FromChild, MainEnd};
use crate::error::Shortage;

/// What the observer of a single process gets, as there is no master to report to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SingleEvent<'a> {
    /// `main` is ready, for the first time or again.
    Ready,
    /// `main` took back its readiness.
    Unready,
    /// A stop was requested. The drain begins after `drain_delay`.
    StopAnnounced,
    /// The drain begins.
    StopBegan,
    Shortage(&'a Shortage),
}

/// Reports the events of a single process. Any thread may call it.
pub(crate) type SingleObserver = Arc<dyn Fn(SingleEvent<'_>) + Send + Sync>;

/// Sends each report once: to the master, or to the observer of a single process.
///
/// If the worker takes back its readiness, the monitor sends all later reports about it.
pub(super) struct ReadyNotifier {
    channel: Option<Arc<Channel>>,
    observer: Option<SingleObserver>,
    readiness: Mutex<FirstReport>,
    has_ended: AtomicBool,
}

/// The report that the worker is ready for the first time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FirstReport {
    #[default]
    Due,
    Sent,
    LeftToMonitor,
}

impl ReadyNotifier {
    pub(super) fn new(channel: Option<Arc<Channel>>, observer: Option<SingleObserver>) -> Self {
        Self {
            channel,
            observer,
            readiness: Mutex::default(),
            has_ended: AtomicBool::new(false),
        }
    }

    pub(super) fn notify_ready(&self) {
        // The lock is held until the frame is sent: a report of the monitor comes after it.
        let mut readiness = self.readiness();
        if *readiness != FirstReport::Due {
            return;
        }
        *readiness = FirstReport::Sent;
        if let Some(channel) = &self.channel {
            // A worker sends few frames. If the channel is full or closed, the master is dead or
            // stuck.
            let _ = channel.send(&FromChild::Ready.encode());
        }
        if let Some(observer) = &self.observer {
            observer(SingleEvent::Ready);
        }
    }

    /// From now on the monitor reports the readiness.
    pub(super) fn leave_to_monitor(&self) {
        *self.readiness() = FirstReport::LeftToMonitor;
    }

    pub(super) fn is_left_to_monitor(&self) -> bool {
        *self.readiness() == FirstReport::LeftToMonitor
    }

    fn readiness(&self) -> MutexGuard<'_, FirstReport> {
        self.readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the end of `main`. Returns whether this was the first report.
    pub(super) fn ended(&self, end: MainEnd) -> bool {
        if self.has_ended.swap(true, Ordering::AcqRel) {
            return false;
        }
        if let Some(channel) = &self.channel {
            // If this fails, the master is dead or stuck. It learns of the exit of the process
            // anyway.
            let _ = channel.send(&FromChild::Ended(end).encode());
        }
        true
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for ReadyNotifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadyNotifier")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}
