//! The connections of the accept queue that a listener still accepts in a drain.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::tracker::DrainPolicy;
use crate::sys;

/// The number of connections that are left to accept, and the deadline.
///
/// The length of the queue is read once, when the drain begins. Otherwise an endless stream of
/// clients could keep the worker alive. Connections that arrive later find a closing server.
#[derive(Debug, Clone, Copy)]
pub(super) struct DrainQuota {
    left: usize,
    until: Instant,
}

impl DrainQuota {
    pub(super) fn of(listener: BorrowedFd<'_>, drain: DrainPolicy) -> Self {
        let left = if drain.leaves_backlog {
            0
        } else {
            // If the kernel does not report the length: until the queue is empty or the deadline.
            sys::accept::queue_length(listener).unwrap_or(usize::MAX)
        };
        Self {
            left,
            until: drain.until,
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.left == 0 || now >= self.until
    }

    pub(super) fn accepted_one(&mut self) {
        self.left -= 1;
    }
}
