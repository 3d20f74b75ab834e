//! Reports to the master that this worker is ready, and that its `main` has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::context::{Context, SingleEvent, SingleObserver};
use crate::channel::{Channel, FromChild, MainEnd};

/// Sends each report once: to the master, or to the observer of a single process.
pub(super) struct ReadyNotifier {
    channel: Option<Arc<Channel>>,
    observer: Option<SingleObserver>,
    is_sent: AtomicBool,
    has_ended: AtomicBool,
}

impl ReadyNotifier {
    pub(super) fn new(channel: Option<Arc<Channel>>, observer: Option<SingleObserver>) -> Self {
        Self {
            channel,
            observer,
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
        if let Some(observer) = &self.observer {
            observer(SingleEvent::Ready);
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

impl std::fmt::Debug for ReadyNotifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadyNotifier")
            .field("is_sent", &self.is_sent)
            .finish_non_exhaustive()
    }
}

/// Reports that this worker is ready; an argument of `main`.
///
/// If `main` takes it, the first accept does not report readiness. The worker is ready when it
/// calls [`announce`](Self::announce). The master replaces a worker that does not call it within
/// `ready_timeout` (30 s by default) after its start.
#[derive(Debug, Clone)]
pub struct Ready {
    pub(super) context: Arc<Context>,
}

impl Ready {
    /// Reports that this worker is ready.
    ///
    /// Further calls have no effect.
    pub fn announce(&self) {
        self.context.notify_ready();
    }
}

/// Reports that this worker is ready.
///
/// A [`net::Listener`](crate::net::Listener) does this at its first accept. Call this if `main`
/// uses only listeners of std or tokio, or none. Further calls have no effect.
///
/// # Process
/// In a worker. In other processes the call has no effect.
pub fn ready() {
    if let Some(context) = super::context::current() {
        context.notify_ready();
    }
}
