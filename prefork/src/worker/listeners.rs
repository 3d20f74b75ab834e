//! The listeners of a worker that the code has not taken yet.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One entry per listener.
#[derive(Debug)]
pub(super) struct UntakenListeners {
    listeners: Mutex<Vec<ListenerSlot>>,
}

#[derive(Debug)]
enum ListenerSlot {
    /// Not taken yet.
    Free {
        fd: OwnedFd,
        /// `main` has an argument for it, so it will be taken.
        is_expected: bool,
    },
    /// Taken as a `Listener`, which reports its end.
    Taken,
    /// Taken as a raw socket, whose end is not seen.
    TakenRaw,
    /// Closed in a drain before it was taken.
    Closed,
}

/// The result of taking a listener.
#[derive(Debug)]
pub(super) enum TakeResult {
    Socket(OwnedFd),
    /// It was taken before.
    Already,
    /// The worker drains and has closed it.
    Closed,
}

/// How a listener is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakeAs {
    Managed,
    Raw,
}

impl UntakenListeners {
    pub(super) fn new(fds: impl IntoIterator<Item = (OwnedFd, bool)>) -> Self {
        let free = |(fd, is_expected)| ListenerSlot::Free { fd, is_expected };
        Self {
            listeners: Mutex::new(fds.into_iter().map(free).collect()),
        }
    }

    pub(super) fn take(&self, index: usize, taker: TakeAs) -> TakeResult {
        let mut listeners = self.lock();
        let Some(listener) = listeners.get_mut(index) else {
            return TakeResult::Closed;
        };
        let new_state = match taker {
            TakeAs::Managed => ListenerSlot::Taken,
            TakeAs::Raw => ListenerSlot::TakenRaw,
        };
        match std::mem::replace(listener, ListenerSlot::Closed) {
            ListenerSlot::Free { fd, .. } => {
                *listener = new_state;
                TakeResult::Socket(fd)
            }
            before @ (ListenerSlot::Taken | ListenerSlot::TakenRaw) => {
                *listener = before;
                TakeResult::Already
            }
            ListenerSlot::Closed => TakeResult::Closed,
        }
    }

    /// The number of listeners that arguments of `main` have yet to take.
    pub(super) fn expected(&self) -> usize {
        let is_expected = |listener: &&ListenerSlot| {
            matches!(
                listener,
                ListenerSlot::Free {
                    is_expected: true,
                    ..
                }
            )
        };
        self.lock().iter().filter(is_expected).count()
    }

    /// Notes that the argument for this listener was created or has failed.
    ///
    /// If it did not take the listener, a stop no longer waits for that.
    pub(super) fn cancel_expected(&self, index: usize) {
        if let Some(ListenerSlot::Free { is_expected, .. }) = self.lock().get_mut(index) {
            *is_expected = false;
        }
    }

    /// Closes the listeners that were not taken.
    pub(super) fn close_untaken(&self) {
        for listener in self.lock().iter_mut() {
            if let ListenerSlot::Free { .. } = listener {
                *listener = ListenerSlot::Closed;
            }
        }
    }

    /// Whether no socket here can still accept. A `Listener` reports its own end.
    pub(super) fn are_closed(&self) -> bool {
        let mut is_open = |listener: &ListenerSlot| {
            matches!(listener, ListenerSlot::Free { .. } | ListenerSlot::TakenRaw)
        };
        !self.lock().iter().any(&mut is_open)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ListenerSlot>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(expected: &[bool]) -> UntakenListeners {
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").expect("the device exists"));
        UntakenListeners::new(expected.iter().map(|&is_expected| (fd(), is_expected)))
    }

    #[test]
    fn a_listener_is_taken_once() {
        let listeners = listeners(&[false]);
        assert!(matches!(
            listeners.take(0, TakeAs::Managed),
            TakeResult::Socket(_)
        ));
        assert!(matches!(
            listeners.take(0, TakeAs::Raw),
            TakeResult::Already
        ));
        listeners.close_untaken();
        assert!(matches!(
            listeners.take(0, TakeAs::Managed),
            TakeResult::Already
        ));
    }

    #[test]
    fn a_listener_with_an_argument_is_expected_until_it_is_taken() {
        let listeners = listeners(&[true, false]);
        assert_eq!(listeners.expected(), 1);
        let _fd = listeners.take(0, TakeAs::Managed);
        assert_eq!(listeners.expected(), 0);
    }

    #[test]
    fn the_listener_of_a_failed_argument_is_not_expected() {
        let listeners = listeners(&[true]);
        listeners.cancel_expected(0);
        assert_eq!(listeners.expected(), 0);
        // The code may still take it.
        assert!(matches!(
            listeners.take(0, TakeAs::Managed),
            TakeResult::Socket(_)
        ));
    }

    #[test]
    fn a_raw_listener_is_never_seen_to_be_closed() {
        let listeners = listeners(&[false, false]);
        let _fd = listeners.take(0, TakeAs::Raw);
        listeners.close_untaken();
        assert!(!listeners.are_closed());
        assert!(matches!(
            listeners.take(1, TakeAs::Managed),
            TakeResult::Closed
        ));
    }
}
