//! The sources of events of the master: an epoll of its signals, its commands, its listening
//! sockets, per child a channel and a process descriptor, and the stderr of each successor.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::supervisor::ChildId;

/// A source of events.
///
/// The order of the variants is the order of handling:
///
/// - Signals come before exits, since Ctrl-C in a terminal reaches the workers too, and their exits
///   were requested then.
/// - A lost listener comes before the exits that it causes.
/// - The frames of a child come before its exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EventSource {
    Signals,
    Commands,
    Listener(ListenerSocket),
    Channel(ChildId),
    /// The stderr of a successor.
    Stderr(ChildId),
    Exit(ChildId),
}

/// A listening socket of the master.
///
/// `listener` is the index of the listener; `socket` is the slot, or 0 if all slots share one
/// socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListenerSocket {
    pub(super) listener: u16,
    pub(super) socket: u32,
}

#[derive(Debug)]
pub(super) struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    /// The first length of the buffer of events.
    ///
    /// The sources of a small fleet fit. In a large one, more can be ready at once after a pause (a
    /// suspended machine), and all of them must be read before any decision about a deadline. So a
    /// full buffer is doubled. The number of sources changes during the life of a master, so no
    /// length is right from the start.
    const EVENTS: usize = 64;

    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); Self::EVENTS],
        })
    }

    pub(super) fn add(&self, fd: impl AsFd, source: EventSource) -> io::Result<()> {
        let event = EpollEvent::new(source.flags(), source.encode());
        Ok(self.epoll.add(fd, event)?)
    }

    /// Removes a descriptor that is about to be closed.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // This fails only for a descriptor that was never added.
        let _ = self.epoll.delete(fd);
    }

    /// Waits until a source is ready or until the deadline; without one, indefinitely.
    ///
    /// This process can be paused (SIGSTOP, a debugger, a frozen control group) at any instruction.
    /// A pause interrupts the wait with `EINTR`, but the result was fixed before the pause
    /// (`signal(7)`). So the sources are polled once more, without waiting, after the clock was
    /// read.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<PollResult> {
        let is_over = |now| deadline.is_some_and(|deadline| deadline <= now);
        let mut sources = Vec::new();
        loop {
            if !is_over(Instant::now()) {
                self.collect(timeout(deadline), &mut sources)?;
            }
            let until = Instant::now();
            self.collect(EpollTimeout::ZERO, &mut sources)?;
            if !sources.is_empty() || is_over(until) {
                sources.sort_unstable();
                sources.dedup();
                return Ok(PollResult { sources, until });
            }
        }
    }

    /// Adds the sources that become ready within the timeout; none if interrupted.
    fn collect(&mut self, timeout: EpollTimeout, into: &mut Vec<EventSource>) -> io::Result<()> {
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let events = self.events[..count].iter();
        into.extend(events.map(|event| EventSource::decode(event.data())));
        if count < self.events.len() {
            return Ok(());
        }
        self.events.resize(count * 2, EpollEvent::empty());
        self.collect(EpollTimeout::ZERO, into)
    }
}

/// The result of a wait.
#[derive(Debug)]
pub(super) struct PollResult {
    /// In the order of handling.
    pub(super) sources: Vec<EventSource>,
    /// All events before this time are among the sources.
    pub(super) until: Instant,
}

/// The time left, rounded up.
///
/// A wait that ended too early would be repeated without pause.
fn timeout(deadline: Option<Instant>) -> EpollTimeout {
    let Some(deadline) = deadline else {
        return EpollTimeout::NONE;
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let rounded = left + Duration::from_nanos(999_999);
    EpollTimeout::try_from(rounded).unwrap_or(EpollTimeout::MAX)
}

impl EventSource {
    /// The events to poll for.
    ///
    /// A process descriptor is readable from the end of its process on, but a traced process cannot
    /// be reaped before its tracer detaches (`ptrace(2)`). A level-triggered descriptor would end
    /// every wait until then. An edge-triggered one ends one wait at the end of the process and one
    /// when the tracer detaches, since the kernel then notifies the parent again.
    fn flags(self) -> EpollFlags {
        match self {
            Self::Signals | Self::Commands | Self::Channel(_) | Self::Stderr(_) => {
                EpollFlags::EPOLLIN
            }
            Self::Exit(_) => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            // A waiting client is no event. A socket that stops listening always is one
            // (`EPOLLHUP`).
            Self::Listener(_) => EpollFlags::empty(),
        }
    }

    /// Encodes the source as the user data of epoll: a tag, and a value of at most 56 bits.
    fn encode(self) -> u64 {
        let (tag, value) = match self {
            Self::Signals => (0, 0),
            Self::Commands => (1, 0),
            Self::Listener(ListenerSocket { listener, socket }) => {
                (2, u64::from(listener) << 32 | u64::from(socket))
            }
            Self::Channel(child) => (3, child.0),
            Self::Exit(child) => (4, child.0),
            Self::Stderr(child) => (5, child.0),
        };
        tag << 56 | value
    }

    fn decode(data: u64) -> Self {
        let [tag, value @ ..] = data.to_be_bytes();
        let [_, high, low, socket @ ..] = value;
        let child = ChildId(data & (u64::MAX >> 8));
        match tag {
            0 => Self::Signals,
            1 => Self::Commands,
            2 => Self::Listener(ListenerSocket {
                listener: u16::from_be_bytes([high, low]),
                socket: u32::from_be_bytes(socket),
            }),
            3 => Self::Channel(child),
            4 => Self::Exit(child),
            5 => Self::Stderr(child),
            _ => unreachable!("epoll returns what was encoded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sources_are_decoded_as_they_were_encoded() {
        // More children than a master can start.
        let child = ChildId(u64::MAX >> 8);
        for source in [
            EventSource::Signals,
            EventSource::Commands,
            EventSource::Listener(ListenerSocket {
                listener: u16::MAX,
                socket: u32::MAX - 1,
            }),
            EventSource::Channel(child),
            EventSource::Exit(child),
            EventSource::Stderr(child),
        ] {
            assert_eq!(EventSource::decode(source.encode()), source);
        }
    }

    #[test]
    fn signals_are_handled_first_and_exits_last() {
        let child = ChildId(1);
        let mut sources = [
            EventSource::Exit(child),
            EventSource::Channel(child),
            EventSource::Commands,
            EventSource::Signals,
        ];
        sources.sort_unstable();
        assert_eq!(sources[0], EventSource::Signals);
        assert_eq!(sources[3], EventSource::Exit(child));
    }

    #[test]
    fn a_wait_does_not_end_before_its_deadline() {
        let mut poller = Poller::new().expect("free descriptors");
        let deadline = Instant::now() + Duration::from_micros(1500);
        let ready = poller.wait(Some(deadline)).expect("epoll works");
        assert_eq!(ready.sources, []);
        assert!(ready.until >= deadline);
    }

    #[test]
    fn a_ready_source_is_reported_after_the_deadline() {
        let (mut poller, mut writer, _reader) = poller_of_a_channel();
        writer.write_all(&[0]).expect("a socket buffer with space");
        let late = Instant::now()
            .checked_sub(Duration::from_secs(1))
            .expect("an uptime of more than a second");
        let ready = poller.wait(Some(late)).expect("epoll works");
        assert_eq!(ready.sources, [EventSource::Channel(ChildId(1))]);
    }

    #[test]
    fn a_ready_source_is_reported_once() {
        let (mut poller, mut writer, _reader) = poller_of_a_channel();
        writer.write_all(&[0]).expect("a socket buffer with space");
        let start = Instant::now();
        let ready = poller.wait(None).expect("epoll works");
        assert_eq!(ready.sources, [EventSource::Channel(ChildId(1))]);
        assert!(ready.until >= start);
    }

    #[test]
    fn one_wait_reports_more_sources_than_the_buffer_holds() {
        let mut poller = Poller::new().expect("free descriptors");
        let (reader, mut writer) = UnixStream::pair().expect("free descriptors");
        writer.write_all(&[0]).expect("a socket buffer with space");
        let count = 2 * Poller::EVENTS as u64 + 1;
        let copies: Vec<_> = (1..=count)
            .map(|child| {
                let copy = reader.try_clone().expect("free descriptors");
                let source = EventSource::Channel(ChildId(child));
                poller.add(&copy, source).expect("free descriptors");
                copy
            })
            .collect();
        let expected = (1..=count).map(|child| EventSource::Channel(ChildId(child)));
        assert_eq!(now(&mut poller), expected.collect::<Vec<_>>());
        drop(copies);
    }

    #[test]
    fn only_an_exit_is_edge_triggered() {
        let (reader, mut writer) = UnixStream::pair().expect("free descriptors");
        let mut poller = Poller::new().expect("free descriptors");
        let exit = EventSource::Exit(ChildId(1));
        poller.add(&reader, exit).expect("free descriptors");
        writer.write_all(&[0]).expect("a socket buffer with space");
        assert_eq!(now(&mut poller), [exit]);
        // Still readable, but without a new event.
        assert_eq!(now(&mut poller), []);
        writer.write_all(&[0]).expect("a socket buffer with space");
        assert_eq!(now(&mut poller), [exit]);

        let (mut poller, mut writer, _reader) = poller_of_a_channel();
        writer.write_all(&[0]).expect("a socket buffer with space");
        for _ in 0..2 {
            assert_eq!(now(&mut poller), [EventSource::Channel(ChildId(1))]);
        }
    }

    fn now(poller: &mut Poller) -> Vec<EventSource> {
        let ready = poller.wait(Some(Instant::now()));
        ready.expect("epoll works").sources
    }

    fn poller_of_a_channel() -> (Poller, UnixStream, UnixStream) {
        let (reader, writer) = UnixStream::pair().expect("free descriptors");
        let poller = Poller::new().expect("free descriptors");
        let source = EventSource::Channel(ChildId(1));
        poller.add(&reader, source).expect("free descriptors");
        (poller, writer, reader)
    }
}
