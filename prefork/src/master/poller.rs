//! What the master waits for: an epoll of its signal pipe, its command pipe, and per child a
//! channel and a process descriptor.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::supervisor::ChildId;

/// Who has something to say. The order is the order in which it is listened to: signals before
/// exits, since Ctrl-C in a terminal reaches the workers too, whose exits were then asked for; a
/// child's words before its exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Signals,
    Commands,
    Channel(ChildId),
    Exit(ChildId),
}

#[derive(Debug)]
pub(super) struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    /// Room for all that can be ready at once with so many slots, each with up to three children
    /// of two sources: after a pause (a suspended machine) everything is heard before anything is
    /// judged late.
    pub(super) fn new(slots: usize) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); 2 + slots * 6],
        })
    }

    pub(super) fn add(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, source.encode());
        Ok(self.epoll.add(fd, event)?)
    }

    /// A descriptor that is about to be closed.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // It fails only for what was never added.
        let _ = self.epoll.delete(fd);
    }

    /// Waits until somebody has something to say, or until the deadline; for ever without one.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Vec<Source>> {
        let count = match self.epoll.wait(&mut self.events, timeout(deadline)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let mut sources: Vec<Source> = self.events[..count]
            .iter()
            .map(|event| Source::decode(event.data()))
            .collect();
        sources.sort_unstable();
        Ok(sources)
    }
}

/// Rounded up: a wait that ends before its deadline would be followed by one of no length.
fn timeout(deadline: Option<Instant>) -> EpollTimeout {
    let Some(deadline) = deadline else {
        return EpollTimeout::NONE;
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let rounded = left + Duration::from_nanos(999_999);
    EpollTimeout::try_from(rounded).unwrap_or(EpollTimeout::MAX)
}

impl Source {
    /// Child ids count from 1, so that 0 and 1 are free.
    fn encode(self) -> u64 {
        match self {
            Self::Signals => 0,
            Self::Commands => 1,
            Self::Channel(child) => child.0 * 2,
            Self::Exit(child) => child.0 * 2 + 1,
        }
    }

    fn decode(data: u64) -> Self {
        match (data, data % 2) {
            (0, _) => Self::Signals,
            (1, _) => Self::Commands,
            (data, 0) => Self::Channel(ChildId(data / 2)),
            (data, _) => Self::Exit(ChildId(data / 2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_the_kernel() {
        let child = ChildId(1);
        for source in [
            Source::Signals,
            Source::Commands,
            Source::Channel(child),
            Source::Exit(child),
        ] {
            assert_eq!(Source::decode(source.encode()), source);
        }
    }

    #[test]
    fn signals_are_heard_first_and_exits_last() {
        let child = ChildId(1);
        let mut sources = [
            Source::Exit(child),
            Source::Channel(child),
            Source::Commands,
            Source::Signals,
        ];
        sources.sort_unstable();
        assert_eq!(sources[0], Source::Signals);
        assert_eq!(sources[3], Source::Exit(child));
    }

    #[test]
    fn a_wait_does_not_end_before_its_deadline() {
        let mut poller = Poller::new(1).expect("descriptors");
        let deadline = Instant::now() + Duration::from_micros(1500);
        assert!(poller.wait(Some(deadline)).expect("it can wait").is_empty());
        assert!(Instant::now() >= deadline);
    }
}
