//! Reports to the master that this worker is ready, and that its `main` has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::channel::{Channel, FromChild, MainEnd};

/// Sends each report once, if there is a master.
#[derive(Debug)]
pub(super) struct ReadyNotifier {
    channel: Option<Arc<Channel>>,
    is_sent: AtomicBool,
    has_ended: AtomicBool,
}

impl ReadyNotifier {
    pub(super) fn new(channel: Option<Arc<Channel>>) -> Self {
        Self {
            channel,
            is_sent: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    pub(super) fn notify_ready(&self) {
        if self.is_sent.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(channel) = &self.channel {
            // A worker sends few frames. If the channel is full or closed, the master is dead or
            // stuck.
            let _ = channel.send(&FromChild::Ready.encode());
        }
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

/// Reports that this worker is ready; an argument of `main`.
///
/// If `main` takes it, the first accept does not report readiness. The worker is ready when it
/// calls [`announce`](Self::announce). The master replaces a worker that does not call it within
/// `ready_timeout` (30 s by default) after its start.
#[derive(Debug, Clone)]
pub struct Ready(pub(super) Arc<ReadyNotifier>);

impl Ready {
    /// Reports that this worker is ready.
    ///
    /// Further calls have no effect.
    pub fn announce(&self) {
        self.0.notify_ready();
    }
}
