//! The listeners that a worker was given, until the body takes them.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One place per listener.
#[derive(Debug)]
pub(super) struct Seats {
    seats: Mutex<Vec<Seat>>,
}

#[derive(Debug)]
enum Seat {
    /// Nobody has taken it yet.
    Free {
        fd: OwnedFd,
        /// `main` has an argument for it: it will be taken.
        is_awaited: bool,
    },
    /// By a listener of ours, which says when it has ended.
    Taken,
    /// Raw: nobody will see its end.
    TakenRaw,
    /// The worker goes, and nobody had taken it.
    Closed,
}

/// What somebody gets who wants a listener.
#[derive(Debug)]
pub(super) enum Taken {
    Socket(OwnedFd),
    /// Somebody else has it.
    Already,
    /// Too late.
    Closed,
}

/// Who takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    Ours,
    Raw,
}

impl Seats {
    pub(super) fn new(fds: impl IntoIterator<Item = (OwnedFd, bool)>) -> Self {
        let seat = |(fd, is_awaited)| Seat::Free { fd, is_awaited };
        Self {
            seats: Mutex::new(fds.into_iter().map(seat).collect()),
        }
    }

    pub(super) fn take(&self, index: usize, taker: Taker) -> Taken {
        let mut seats = self.seats();
        let Some(seat) = seats.get_mut(index) else {
            return Taken::Closed;
        };
        let filled = match taker {
            Taker::Ours => Seat::Taken,
            Taker::Raw => Seat::TakenRaw,
        };
        match std::mem::replace(seat, Seat::Closed) {
            Seat::Free { fd, .. } => {
                *seat = filled;
                Taken::Socket(fd)
            }
            was @ (Seat::Taken | Seat::TakenRaw) => {
                *seat = was;
                Taken::Already
            }
            Seat::Closed => Taken::Closed,
        }
    }

    /// How many will be taken, and were not yet.
    pub(super) fn awaited(&self) -> usize {
        let seats = self.seats();
        let is_awaited = |seat: &&Seat| {
            matches!(
                seat,
                Seat::Free {
                    is_awaited: true,
                    ..
                }
            )
        };
        seats.iter().filter(is_awaited).count()
    }

    /// Its argument was made, or could not be: if nobody has taken it by now, nobody must.
    pub(super) fn no_longer_awaits(&self, index: usize) {
        if let Some(Seat::Free { is_awaited, .. }) = self.seats().get_mut(index) {
            *is_awaited = false;
        }
    }

    /// Closes those that nobody has taken.
    pub(super) fn close_free(&self) {
        for seat in self.seats().iter_mut() {
            if let Seat::Free { .. } = seat {
                *seat = Seat::Closed;
            }
        }
    }

    /// Whether none is left that could still accept, unless by a listener of ours.
    pub(super) fn are_closed(&self) -> bool {
        let mut is_open = |seat: &Seat| matches!(seat, Seat::Free { .. } | Seat::TakenRaw);
        !self.seats().iter().any(&mut is_open)
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(awaited: &[bool]) -> Seats {
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").expect("it is there"));
        Seats::new(awaited.iter().map(|&is_awaited| (fd(), is_awaited)))
    }

    #[test]
    fn a_seat_is_taken_once() {
        let seats = seats(&[false]);
        assert!(matches!(seats.take(0, Taker::Ours), Taken::Socket(_)));
        assert!(matches!(seats.take(0, Taker::Raw), Taken::Already));
        seats.close_free();
        assert!(matches!(seats.take(0, Taker::Ours), Taken::Already));
    }

    #[test]
    fn what_main_has_an_argument_for_is_awaited_until_it_is_taken() {
        let seats = seats(&[true, false]);
        assert_eq!(seats.awaited(), 1);
        let _fd = seats.take(0, Taker::Ours);
        assert_eq!(seats.awaited(), 0);
    }

    #[test]
    fn an_argument_that_could_not_be_made_is_not_awaited() {
        let seats = seats(&[true]);
        seats.no_longer_awaits(0);
        assert_eq!(seats.awaited(), 0);
        // The body may still want it.
        assert!(matches!(seats.take(0, Taker::Ours), Taken::Socket(_)));
    }

    #[test]
    fn a_raw_listener_is_never_seen_to_be_closed() {
        let seats = seats(&[false, false]);
        let _fd = seats.take(0, Taker::Raw);
        seats.close_free();
        assert!(!seats.are_closed());
        assert!(matches!(seats.take(1, Taker::Ours), Taken::Closed));
    }
}
