//! What the master waits for: an epoll of its signal pipe, its command pipe, its listening sockets, and
//! per child a channel and a process descriptor.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::supervisor::ChildId;

/// Who has something to say. The order is the order in which it is listened to: signals before
/// exits, since Ctrl-C in a terminal reaches the workers too, whose exits were then asked for; a lost listener before the
/// exits that follow from it; a child's words before its exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Signals,
    Commands,
    Listener(ListenerSocket),
    Channel(ChildId),
    Exit(ChildId),
}

/// A listening socket of the master: the listener by its place, and its socket by the slot, 0 if all share one.
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
    /// Room for all that can be ready at once with so many slots, each with up to three children
    /// of two sources, and so many listening sockets: after a pause (a suspended machine) everything is heard before
    /// anything is judged late.
    pub(super) fn new(slots: usize, sockets: usize) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); 2 + slots * 6 + sockets],
        })
    }

    pub(super) fn add(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let event = EpollEvent::new(source.flags(), source.encode());
        Ok(self.epoll.add(fd, event)?)
    }

    /// A descriptor that is about to be closed.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // It fails only for what was never added.
        let _ = self.epoll.delete(fd);
    }

    /// Waits until a source is ready, or until the deadline; for ever without one.
    ///
    /// A pause of this process (SIGSTOP, a debugger, a frozen control group) may lie anywhere in
    /// here, and ends a wait with `EINTR`: the result was fixed before the pause (`signal(7)`). So
    /// the sources are asked once more after the clock was read, without waiting.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Ready> {
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
                return Ok(Ready { sources, until });
            }
        }
    }

    /// Adds what is ready within the timeout; nothing if the wait is interrupted.
    fn collect(&mut self, timeout: EpollTimeout, into: &mut Vec<Source>) -> io::Result<()> {
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let events = self.events[..count].iter();
        into.extend(events.map(|event| Source::decode(event.data())));
        Ok(())
    }
}

/// What a wait ended with.
#[derive(Debug)]
pub(super) struct Ready {
    /// In the order in which they are to be heard.
    pub(super) sources: Vec<Source>,
    /// All that happened before this time is among the sources.
    pub(super) until: Instant,
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
    /// A process descriptor is readable from the end of its process on, and the process of a worker
    /// that is traced cannot be reaped before its tracer lets it go (`ptrace(2)`): a level-triggered
    /// descriptor would end every wait until then. Edge-triggered, it ends one at the end of the
    /// process and one when the tracer has let go, since the kernel notifies the parent again.
    fn flags(self) -> EpollFlags {
        match self {
            Self::Signals | Self::Commands | Self::Channel(_) => EpollFlags::EPOLLIN,
            Self::Exit(_) => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            // That a client waits is no event. That the socket does not listen any more always is one (`EPOLLHUP`).
            Self::Listener(_) => EpollFlags::empty(),
        }
    }

    /// Child ids count from 1, so that 0 and 1 are free.
    fn encode(self) -> u64 {
        match self {
            Self::Signals => 0,
            Self::Commands => 1,
            Self::Listener(ListenerSocket { listener, socket }) => {
                Self::LISTENERS | u64::from(listener) << 32 | u64::from(socket)
            }
            Self::Channel(child) => child.0 * 2,
            Self::Exit(child) => child.0 * 2 + 1,
        }
    }

    /// Above all ids of children that a master can use up.
    const LISTENERS: u64 = 1 << 63;

    fn decode(data: u64) -> Self {
        match (data, data % 2) {
            (Self::LISTENERS.., _) => {
                let [_, _, _, _, socket @ ..] = data.to_be_bytes();
                let [_, _, high, low, ..] = data.to_be_bytes();
                Self::Listener(ListenerSocket {
                    listener: u16::from_be_bytes([high, low]),
                    socket: u32::from_be_bytes(socket),
                })
            }
            (0, _) => Self::Signals,
            (1, _) => Self::Commands,
            (data, 0) => Self::Channel(ChildId(data / 2)),
            (data, _) => Self::Exit(ChildId(data / 2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sources_survive_the_kernel() {
        let child = ChildId(1);
        for source in [
            Source::Signals,
            Source::Commands,
            Source::Listener(ListenerSocket {
                listener: u16::MAX,
                socket: 7,
            }),
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
        let mut poller = Poller::new(1, 0).expect("descriptors");
        let deadline = Instant::now() + Duration::from_micros(1500);
        let ready = poller.wait(Some(deadline)).expect("it can wait");
        assert_eq!(ready.sources, []);
        assert!(ready.until >= deadline);
    }

    #[test]
    fn what_is_ready_is_heard_although_the_deadline_is_over() {
        let (mut poller, mut writer, _reader) = poller_of_a_channel();
        writer.write_all(&[0]).expect("it has room");
        let late = Instant::now()
            .checked_sub(Duration::from_secs(1))
            .expect("the machine runs for longer");
        let ready = poller.wait(Some(late)).expect("it can wait");
        assert_eq!(ready.sources, [Source::Channel(ChildId(1))]);
    }

    #[test]
    fn what_a_wait_has_taken_is_reported_once() {
        let (mut poller, mut writer, _reader) = poller_of_a_channel();
        writer.write_all(&[0]).expect("it has room");
        let before = Instant::now();
        let ready = poller.wait(None).expect("it can wait");
        assert_eq!(ready.sources, [Source::Channel(ChildId(1))]);
        assert!(ready.until >= before);
    }

    #[test]
    fn only_an_exit_is_edge_triggered() {
        let (reader, mut writer) = UnixStream::pair().expect("descriptors");
        let mut poller = Poller::new(1, 0).expect("descriptors");
        let exit = Source::Exit(ChildId(1));
        poller.add(&reader, exit).expect("descriptors");
        writer.write_all(&[0]).expect("it has room");
        assert_eq!(now(&mut poller), [exit]);
        // Readable still, and nothing new happened.
        assert_eq!(now(&mut poller), []);
        writer.write_all(&[0]).expect("it has room");
        assert_eq!(now(&mut poller), [exit]);

        let (mut poller, mut writer, _reader) = poller_of_a_channel();
        writer.write_all(&[0]).expect("it has room");
        for _ in 0..2 {
            assert_eq!(now(&mut poller), [Source::Channel(ChildId(1))]);
        }
    }

    fn now(poller: &mut Poller) -> Vec<Source> {
        let ready = poller.wait(Some(Instant::now()));
        ready.expect("it can wait").sources
    }

    fn poller_of_a_channel() -> (Poller, UnixStream, UnixStream) {
        let (reader, writer) = UnixStream::pair().expect("descriptors");
        let poller = Poller::new(1, 0).expect("descriptors");
        let source = Source::Channel(ChildId(1));
        poller.add(&reader, source).expect("descriptors");
        (poller, writer, reader)
    }
}
