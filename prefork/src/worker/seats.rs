//! The listeners of a worker that the code has not taken yet.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One entry per listener.
#[derive(Debug)]
pub(super) struct Seats {
    listeners: Mutex<Vec<Seat>>,
}

#[derive(Debug)]
enum Seat {
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
pub(super) enum Taken {
    Socket(OwnedFd),
    /// It was taken before.
    Already,
    /// The worker drains and has closed it.
    Closed,
}

/// How a listener is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    Ours,
    Raw,
}

impl Seats {
    pub(super) fn new(fds: impl IntoIterator<Item = (OwnedFd, bool)>) -> Self {
        let free = |(fd, is_expected)| Seat::Free { fd, is_expected };
        Self {
            listeners: Mutex::new(fds.into_iter().map(free).collect()),
        }
    }

    pub(super) fn take(&self, index: usize, taker: Taker) -> Taken {
        let mut listeners = self.lock();
        let Some(listener) = listeners.get_mut(index) else {
            return Taken::Closed;
        };
        let taken = match taker {
            Taker::Ours => Seat::Taken,
            Taker::Raw => Seat::TakenRaw,
        };
        match std::mem::replace(listener, Seat::Closed) {
            Seat::Free { fd, .. } => {
                *listener = taken;
                Taken::Socket(fd)
            }
            before @ (Seat::Taken | Seat::TakenRaw) => {
                *listener = before;
                Taken::Already
            }
            Seat::Closed => Taken::Closed,
        }
    }

    /// The number of listeners that arguments of `main` have yet to take.
    pub(super) fn awaited(&self) -> usize {
        let is_expected = |listener: &&Seat| {
            matches!(
                listener,
                Seat::Free {
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
    pub(super) fn no_longer_awaits(&self, index: usize) {
        if let Some(Seat::Free { is_expected, .. }) = self.lock().get_mut(index) {
            *is_expected = false;
        }
    }

    /// Closes the listeners that were not taken.
    pub(super) fn close_free(&self) {
        for listener in self.lock().iter_mut() {
            if let Seat::Free { .. } = listener {
                *listener = Seat::Closed;
            }
        }
    }

    /// Whether no socket here can still accept. A `Listener` reports its own end.
    pub(super) fn are_closed(&self) -> bool {
        let mut is_open = |listener: &Seat| matches!(listener, Seat::Free { .. } | Seat::TakenRaw);
        !self.lock().iter().any(&mut is_open)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(expected: &[bool]) -> Seats {
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").expect("the device exists"));
        Seats::new(expected.iter().map(|&is_expected| (fd(), is_expected)))
    }

    #[test]
    fn a_listener_is_taken_once() {
        let listeners = listeners(&[false]);
        assert!(matches!(listeners.take(0, Taker::Ours), Taken::Socket(_)));
        assert!(matches!(listeners.take(0, Taker::Raw), Taken::Already));
        listeners.close_free();
        assert!(matches!(listeners.take(0, Taker::Ours), Taken::Already));
    }

    #[test]
    fn a_listener_with_an_argument_is_expected_until_it_is_taken() {
        let listeners = listeners(&[true, false]);
        assert_eq!(listeners.awaited(), 1);
        let _fd = listeners.take(0, Taker::Ours);
        assert_eq!(listeners.awaited(), 0);
    }

    #[test]
    fn the_listener_of_a_failed_argument_is_not_expected() {
        let listeners = listeners(&[true]);
        listeners.no_longer_awaits(0);
        assert_eq!(listeners.awaited(), 0);
        // The code may still take it.
        assert!(matches!(listeners.take(0, Taker::Ours), Taken::Socket(_)));
    }

    #[test]
    fn a_raw_listener_is_never_seen_to_be_closed() {
        let listeners = listeners(&[false, false]);
        let _fd = listeners.take(0, Taker::Raw);
        listeners.close_free();
        assert!(!listeners.are_closed());
        assert!(matches!(listeners.take(1, Taker::Ours), Taken::Closed));
    }
}
