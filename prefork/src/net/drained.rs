//! How much of a queue a listener still takes when its worker was asked to go.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::intake::DrainOrder;
use crate::sys;

/// What is left to accept. Read once: connections that come later find a closing server, or an
/// endless stream of them would keep the worker for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    left: usize,
    until: Instant,
}

impl Rest {
    pub(super) fn of(listener: BorrowedFd<'_>, drain: DrainOrder) -> Self {
        let left = if drain.leaves_queue {
            0
        } else {
            // Where the kernel does not say: until it is empty, or the time is over.
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

    pub(super) fn took_one(&mut self) {
        self.left -= 1;
    }
}
