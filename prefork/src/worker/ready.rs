//! Reporting to the master: that this worker serves, and that its `main` has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::context::Context;
use crate::channel::{Channel, FromChild, MainEnd};

/// Sends each of these once, to the master if there is one.
#[derive(Debug)]
pub(super) struct Announcer {
    channel: Option<Arc<Channel>>,
    is_said: AtomicBool,
    has_ended: AtomicBool,
}

impl Announcer {
    pub(super) fn new(channel: Option<Arc<Channel>>) -> Self {
        Self {
            channel,
            is_said: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    pub(super) fn ready(&self) {
        if self.is_said.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(channel) = &self.channel {
            // Few frames are sent in a life; a channel that is full or gone is the master's end.
            let _ = channel.send(&FromChild::Ready.encode());
        }
    }

    /// `main` has ended. Returns whether this was news.
    pub(super) fn ended(&self, end: MainEnd) -> bool {
        if self.has_ended.swap(true, Ordering::AcqRel) {
            return false;
        }
        if let Some(channel) = &self.channel {
            // A channel that is full or gone is the master's end; the exit of the process is known to it anyway.
            let _ = channel.send(&FromChild::Ended(end).encode());
        }
        true
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

/// Says that this worker serves, as an argument of `main`.
///
/// Taking it means that the first accept does not count: the worker is ready when the body says so,
/// and must be within `ready_timeout`, 30 s after its start.
#[derive(Debug, Clone)]
pub struct Ready {
    pub(super) context: Arc<Context>,
}

impl Ready {
    /// This worker serves from now on. A repeat changes nothing.
    pub fn announce(&self) {
        self.context.announce_ready();
    }
}

/// This worker serves from now on; needed where it is not seen, with raw listeners or none.
///
/// # Process
/// In a worker. Elsewhere, and when repeated, nothing happens.
pub fn ready() {
    if let Some(context) = super::context::current() {
        context.announce_ready();
    }
}
