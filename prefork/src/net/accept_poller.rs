//! Waits for the sockets of a listener, for blocking accepts.
//!
//! **The reasoning.** All workers have copies of one socket. If each of them waits with poll(2), a
//! new connection wakes all of them. The kernel wakes only one of them if each has an epoll instance
//! with the flag `EPOLLEXCLUSIVE` (`epoll_ctl(2)`). It skips a worker in which no thread waits.
//!
//! **The price.** The one thread that was woken has to accept: a connection for which the kernel has
//! woken it wakes no other worker. So these rules apply:
//!
//! - A thread accepts from all sockets before it waits, because a connection that arrived while no
//!   worker waited has woken none.
//! - A thread first accepts from the socket that [`wait`](AcceptPoller::wait) returns. It is the one
//!   that has woken the thread: `wait` asks for one event, and the kernel keeps events in the order
//!   of their arrival.
//! - The entries are level-triggered: if the queue has more connections, the next thread of this
//!   worker does not wait either.
//! - A worker that stops waiting for a socket, or cannot accept from it, wakes the other ones if a
//!   connection waits ([`wake_watchers`](crate::sys::accept::wake_watchers)).
//! - If a signal suspends or kills a worker between the wake-up and the accept, its master does the
//!   same. A master that handles no signals does not learn of a suspended worker: the connection
//!   waits for the next one, or until the worker is resumed.
//! - The kernel asks the workers in the order of their entries, so the first one would accept nearly
//!   all connections. After each wake-up, [`move_back`](AcceptPoller::move_back) makes the entry of
//!   this worker the last one.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::Result;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// An epoll instance with the sockets of one listener.
#[derive(Debug)]
pub(super) struct AcceptPoller {
    epoll: Epoll,
}

/// The event data of the descriptor that is not a socket. Descriptors are smaller.
const DRAIN: u64 = u64::MAX;

impl AcceptPoller {
    /// Creates an instance whose waits end when `drain` is readable.
    ///
    /// # Errors
    /// No descriptors or no memory are left, or the user has too many epoll watches.
    pub(super) fn new(drain: BorrowedFd<'_>) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(drain, EpollEvent::new(EpollFlags::EPOLLIN, DRAIN))?;
        Ok(Self { epoll })
    }

    /// Waits for this socket, too. If it is readable already, threads that wait are woken.
    ///
    /// # Errors
    /// No memory is left, or the user has too many epoll watches.
    pub(super) fn add(&self, socket: BorrowedFd<'_>) -> Result<()> {
        let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        let number = u64::try_from(socket.as_raw_fd()).unwrap_or(DRAIN);
        self.epoll.add(socket, EpollEvent::new(events, number))
    }

    /// Waits no more for this socket.
    ///
    /// It must be called before the descriptor is closed: the socket, and its entry here, live as
    /// long as another process has a copy.
    pub(super) fn remove(&self, socket: BorrowedFd<'_>) {
        // It is not there if `add` has failed.
        let _ = self.epoll.delete(socket);
    }

    /// The kernel asks the other workers that wait for this socket before this one.
    ///
    /// # Errors
    /// As [`add`](Self::add): nothing waits for the socket any more.
    pub(super) fn move_back(&self, socket: BorrowedFd<'_>) -> Result<()> {
        self.remove(socket);
        self.add(socket)
    }

    /// Ends all waits, now and later. `drain` is the descriptor given to [`new`](Self::new).
    pub(super) fn end_waits(&self, drain: BorrowedFd<'_>) {
        // An eventfd and a socket pair are always writable.
        let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
        let mut event = EpollEvent::new(events, DRAIN);
        // It cannot fail for an entry that exists.
        let _ = self.epoll.modify(drain, &mut event);
    }

    /// Blocks this thread until a socket is readable or the waits end.
    ///
    /// Returns the number of the socket's descriptor. `None` if it was something else.
    ///
    /// # Errors
    /// `EINTR`.
    pub(super) fn wait(&self) -> Result<Option<RawFd>> {
        let mut events = [EpollEvent::empty()];
        self.epoll.wait(&mut events, EpollTimeout::NONE)?;
        Ok(RawFd::try_from(events[0].data()).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::sys::accept::wake_watchers;
    use crate::sys::waker::Waker;

    const LIMIT: Duration = Duration::from_secs(30);

    fn listening() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("a free port")
    }

    fn connect(to: &TcpListener) -> TcpStream {
        TcpStream::connect(to.local_addr().expect("bound")).expect("it listens")
    }

    #[test]
    fn one_connection_wakes_one_worker_and_wake_watchers_the_other_ones() {
        let (socket, drain) = (listening(), Waker::new().expect("descriptors"));
        let pollers = [(); 3].map(|()| {
            let poller = AcceptPoller::new(drain.as_fd()).expect("descriptors");
            poller.add(socket.as_fd()).expect("memory");
            poller
        });
        let (sender, woken) = mpsc::channel();
        std::thread::scope(|scope| {
            for poller in &pollers {
                let sender = sender.clone();
                scope.spawn(move || sender.send(poller.wait()).expect("it receives"));
            }
            // Most likely all wait by now. The test passes in every order.
            std::thread::sleep(Duration::from_millis(20));
            let _client = connect(&socket);
            let first = woken.recv_timeout(LIMIT);
            wake_watchers(socket.as_fd());
            let others = [(); 2].map(|()| woken.recv_timeout(LIMIT));
            // A failure must not leave threads that wait.
            drain.wake();
            for number in [first].into_iter().chain(others) {
                assert_eq!(number, Ok(Ok(Some(socket.as_raw_fd()))));
            }
        });
        let (_, peer) = socket.accept().expect("the queue is as before");
        let second = connect(&socket);
        let (_, other) = socket.accept().expect("it still listens");
        assert_ne!(peer, other);
        assert_eq!(second.local_addr().ok(), Some(other));
    }

    #[test]
    fn the_socket_that_became_readable_first_is_returned_first() {
        let (sockets, drain) = ([listening(), listening()], Waker::new().expect("memory"));
        for order in [[0, 1], [1, 0]] {
            let poller = AcceptPoller::new(drain.as_fd()).expect("descriptors");
            for socket in &sockets {
                poller.add(socket.as_fd()).expect("memory");
            }
            let _clients = order.map(|index| connect(&sockets[index]));
            for index in order {
                let number = sockets[index].as_raw_fd();
                assert_eq!(poller.wait(), Ok(Some(number)));
                sockets[index].accept().expect("a client");
            }
        }
    }

    #[test]
    fn ended_waits_and_a_drain_return_no_socket() {
        let drain = Waker::new().expect("descriptors");
        let poller = AcceptPoller::new(drain.as_fd()).expect("descriptors");
        std::thread::scope(|scope| {
            let waits = [(); 2].map(|()| scope.spawn(|| poller.wait()));
            poller.end_waits(drain.as_fd());
            for wait in waits {
                assert_eq!(wait.join().expect("it only waits"), Ok(None));
            }
        });
        let other = AcceptPoller::new(drain.as_fd()).expect("descriptors");
        drain.wake();
        assert_eq!(other.wait(), Ok(None));
    }
}
