//! The sockets of a listener from its start to the end of its drain.
//!
//! Knows from which sockets the next accept may take a connection. Sockets come and go while accepts
//! wait for them. Does not know how accepts wait, and which errors they report.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::poll::PollTimeout;
use prefork_options::Addr;

use super::Socket;
use super::accept_error::{AcceptError, RETRY, classify};
use super::accept_poller::AcceptPoller;
use super::shared_socket::{SharedSocket, SlotSocket};
use super::socket_set::SocketSet;
use super::tracker::{ConnTracker, DrainPolicy};
use crate::sys;

/// The sockets of a listener, shared by the listener and, weakly, by the monitor thread.
#[derive(Debug)]
pub(crate) struct ListenerSockets {
    state: Mutex<SocketsState>,
    tracker: Arc<ConnTracker>,
}

#[derive(Debug)]
enum SocketsState {
    Open(OpenSockets),
    /// The sockets that have not ended. The next accept asks the first one.
    Draining(VecDeque<DrainingSocket>),
    Ended,
}

#[derive(Debug)]
struct OpenSockets {
    set: Arc<SocketSet>,
    /// The blocking accepts of all threads wait with it. `None` before the first one waits.
    poller: Option<Arc<AcceptPoller>>,
}

#[derive(Debug)]
struct DrainingSocket {
    socket: Arc<SharedSocket>,
    /// How many connections it still accepts.
    left: usize,
}

/// What an accept does next.
pub(crate) enum AcceptStep {
    /// Wait until the gate opens or the drain begins.
    Gated,
    /// Wait for a connection, for other sockets or for the beginning of the drain.
    Wait(Arc<SocketSet>),
    /// A connection that was queued when the drain began.
    ///
    /// The caller holds the socket until the stream is counted as unread. Otherwise the drain could
    /// see neither an open listener nor an unread stream, and end too early.
    Drained(Socket, Addr, Arc<SharedSocket>),
    /// The listener accepts nothing more.
    Ended,
}

/// The result of an attempt to accept from one socket; `None` if its queue is empty.
type AcceptResult = io::Result<Option<(Socket, Addr)>>;

impl ListenerSockets {
    /// Without a list, the listener has already ended. An empty list is one that may get sockets.
    pub(super) fn new(sockets: Option<Vec<SlotSocket>>, tracker: &Arc<ConnTracker>) -> Self {
        let open = |sockets: Vec<SlotSocket>| {
            let sockets = sockets.into_iter();
            let shared = sockets.map(|socket| Arc::new(SharedSocket::new(socket, tracker)));
            SocketsState::Open(OpenSockets {
                set: Arc::new(SocketSet::new(shared)),
                poller: None,
            })
        };
        Self {
            state: Mutex::new(sockets.map_or(SocketsState::Ended, open)),
            tracker: Arc::clone(tracker),
        }
    }

    /// Also accepts from this socket, with the accepts that wait.
    ///
    /// Closes it if the listener drains, has ended, or has this socket of the slot already.
    pub(crate) fn adopt(&self, socket: SlotSocket) {
        if self.tracker.is_draining() {
            return;
        }
        let mut state = self.state();
        let SocketsState::Open(open) = &mut *state else {
            return;
        };
        if open.set.sockets().iter().any(|own| own.is_same(&socket)) {
            return;
        }
        let socket = Arc::new(SharedSocket::new(socket, &self.tracker));
        let sockets = open.set.sockets().iter().cloned();
        open.set = Arc::new(SocketSet::new(sockets.chain([Arc::clone(&socket)])));
        open.watch(&socket, &self.tracker);
        drop(state);
        self.tracker.wake_accepts();
    }

    /// Accepts no more from the sockets of this slot, and leaves their queues to other workers.
    ///
    /// They are closed when no accept uses them. In a drain it does nothing.
    pub(crate) fn release(&self, slot: usize) {
        if self.tracker.is_draining() {
            return;
        }
        let mut state = self.state();
        let SocketsState::Open(open) = &mut *state else {
            return;
        };
        let sockets = open.set.sockets().iter().cloned();
        let (released, kept): (Vec<_>, Vec<_>) = sockets.partition(|socket| socket.slot == slot);
        if released.is_empty() {
            return;
        }
        for socket in &released {
            socket.note_released();
            open.unwatch(socket);
        }
        let before = std::mem::replace(&mut open.set, Arc::new(SocketSet::new(kept)));
        drop(state);
        self.tracker.wake_accepts();
        drop((before, released));
    }

    /// Returns what an accept does next. Begins the drain of this listener, if there is one. Never
    /// waits.
    ///
    /// `accept` accepts a connection that was queued when the drain began.
    pub(super) fn accept_step(
        &self,
        accept: impl FnMut(&SharedSocket) -> AcceptResult,
    ) -> io::Result<AcceptStep> {
        let mut state = self.state();
        // Without a drain it takes no second lock.
        let drain = if self.tracker.is_draining() {
            self.tracker.drain()
        } else {
            None
        };
        if let (SocketsState::Open(open), Some(drain)) = (&*state, drain) {
            *state = SocketsState::Draining(open.begin_drain(drain));
        }
        let is_late = || drain.is_some_and(|drain| Instant::now() >= drain.until);
        match &mut *state {
            SocketsState::Open(_) if self.tracker.is_gated() => Ok(AcceptStep::Gated),
            SocketsState::Open(open) => Ok(AcceptStep::Wait(Arc::clone(&open.set))),
            SocketsState::Draining(sockets) => {
                let drained = accept_drained(sockets, accept, is_late);
                if sockets.is_empty() {
                    *state = SocketsState::Ended;
                }
                drained.map(|step| step.unwrap_or(AcceptStep::Ended))
            }
            SocketsState::Ended => Ok(AcceptStep::Ended),
        }
    }

    /// Blocks this thread until a socket is readable, the sockets change or the drain begins.
    ///
    /// The caller has accepted from all sockets before. Returns the number of the descriptor of the
    /// socket that has woken this thread, from which the caller has to accept first.
    ///
    /// # Errors
    /// `EINTR`.
    pub(super) fn wait(&self, set: Arc<SocketSet>) -> nix::Result<Option<RawFd>> {
        let poller = match &mut *self.state() {
            SocketsState::Open(open) => open.poller(&self.tracker),
            // The next step returns another state.
            SocketsState::Draining(_) | SocketsState::Ended => return Ok(None),
        };
        match poller {
            Some(poller) => {
                // A released socket is closed although this thread waits.
                drop(set);
                poller.wait()
            }
            None => set
                .poll(self.tracker.drain_fd(), poll_timeout())
                .map(|()| None),
        }
    }

    /// Notes that this thread has accepted from the socket that has woken it.
    pub(super) fn move_back(&self, fd: RawFd) {
        if let SocketsState::Open(open) = &mut *self.state() {
            open.move_back(fd, &self.tracker);
        }
    }

    /// Notes that this thread cannot accept from the socket that has woken it.
    ///
    /// A socket that is no longer one of this listener was passed on before.
    pub(super) fn pass_on(&self, fd: RawFd) {
        if let SocketsState::Open(open) = &*self.state()
            && let Some(socket) = open.set.find(fd)
        {
            socket.pass_on();
        }
    }

    /// The number of connections in the queues; 0 if it is unknown.
    pub(super) fn queue_length(&self) -> usize {
        let length = |socket: &SharedSocket| sys::accept::queue_length(socket.as_fd());
        match &*self.state() {
            SocketsState::Open(open) => {
                let sockets = open.set.sockets().iter();
                sockets.filter_map(|socket| length(socket)).sum()
            }
            SocketsState::Draining(sockets) => {
                sockets.iter().filter_map(|one| length(&one.socket)).sum()
            }
            SocketsState::Ended => 0,
        }
    }

    /// The descriptor of the first socket.
    pub(super) fn first(&self) -> Option<Arc<OwnedFd>> {
        let state = self.state();
        let first = match &*state {
            SocketsState::Open(open) => open.set.sockets().first(),
            SocketsState::Draining(sockets) => sockets.front().map(|one| &one.socket),
            SocketsState::Ended => None,
        };
        first.map(|socket| Arc::clone(&socket.fd))
    }

    /// Ends the listener: it accepts nothing more.
    pub(super) fn end(&self) {
        let before = std::mem::replace(&mut *self.state(), SocketsState::Ended);
        match &before {
            SocketsState::Open(open) => {
                open.unwatch_all();
                // A drain wakes them, too, but the end of a listener may come before it.
                if let Some(poller) = &open.poller {
                    poller.end_waits(self.tracker.drain_fd());
                }
            }
            SocketsState::Draining(_) | SocketsState::Ended => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, SocketsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenSockets {
    /// Returns what blocking accepts wait with. `None` if they have to use poll(2).
    fn poller(&mut self, tracker: &ConnTracker) -> Option<Arc<AcceptPoller>> {
        if self.poller.is_none() {
            self.poller = self.new_poller(tracker).ok().map(Arc::new);
        }
        self.poller.clone()
    }

    fn new_poller(&self, tracker: &ConnTracker) -> nix::Result<AcceptPoller> {
        let poller = AcceptPoller::new(tracker.drain_fd())?;
        for socket in self.set.sockets() {
            poller.add(socket.as_fd())?;
        }
        Ok(poller)
    }

    /// Lets blocking accepts that wait wait for this socket of the set, too.
    fn watch(&mut self, socket: &SharedSocket, tracker: &ConnTracker) {
        if let Some(poller) = &self.poller
            && poller.add(socket.as_fd()).is_err()
        {
            self.discard_poller(tracker);
        }
    }

    /// No blocking accept waits for this socket any more.
    fn unwatch(&self, socket: &SharedSocket) {
        if let Some(poller) = &self.poller {
            poller.remove(socket.as_fd());
            socket.pass_on();
        }
    }

    fn unwatch_all(&self) {
        for socket in self.set.sockets() {
            self.unwatch(socket);
        }
    }

    fn move_back(&mut self, fd: RawFd, tracker: &ConnTracker) {
        if let (Some(socket), Some(poller)) = (self.set.find(fd), &self.poller)
            && poller.move_back(socket.as_fd()).is_err()
        {
            self.discard_poller(tracker);
        }
    }

    /// The accepts that wait start again, and try to create another poller.
    fn discard_poller(&mut self, tracker: &ConnTracker) {
        self.unwatch_all();
        if let Some(poller) = self.poller.take() {
            poller.end_waits(tracker.drain_fd());
        }
    }

    fn begin_drain(&self, drain: DrainPolicy) -> VecDeque<DrainingSocket> {
        self.unwatch_all();
        let begin = |socket: &Arc<SharedSocket>| DrainingSocket {
            socket: Arc::clone(socket),
            left: drain_quota(socket.as_fd(), drain),
        };
        self.set.sockets().iter().map(begin).collect()
    }
}

/// How long accepts wait with poll(2) before they look for other sockets.
///
/// A master sends sockets, and only on systems where poll(2) is the exception.
fn poll_timeout() -> PollTimeout {
    if cfg!(all(target_os = "linux", not(prefork_portable))) {
        PollTimeout::try_from(RETRY).unwrap_or(PollTimeout::MAX)
    } else {
        PollTimeout::NONE
    }
}

/// Accepts from sockets that drain, and removes those that have ended. `None` if none is left.
fn accept_drained(
    sockets: &mut VecDeque<DrainingSocket>,
    mut accept: impl FnMut(&SharedSocket) -> AcceptResult,
    is_late: impl Fn() -> bool,
) -> io::Result<Option<AcceptStep>> {
    while let Some(DrainingSocket { socket, left }) = sockets.front_mut() {
        let accepted = if *left == 0 || is_late() {
            Ok(None)
        } else {
            accept(socket)
        };
        match accepted {
            Ok(Some((io, peer))) => {
                *left -= 1;
                let (socket, is_last) = (Arc::clone(socket), *left == 0);
                if is_last {
                    // End now, not at the next call: it may come late or never.
                    sockets.pop_front();
                } else {
                    sockets.rotate_left(1);
                }
                if is_late() {
                    sockets.clear();
                }
                return Ok(Some(AcceptStep::Drained(io, peer, socket)));
            }
            // No queued connection of this socket can be accepted any more, and the worker is
            // draining anyway.
            Err(error) if classify(&error) == AcceptError::Permanent => {
                sockets.pop_front();
            }
            Err(error) => return Err(error),
            Ok(None) => {
                sockets.pop_front();
            }
        }
    }
    Ok(None)
}

/// Returns how many connections of its queue a listener still accepts when its drain begins.
///
/// The length is read once. Otherwise an endless stream of clients could keep the worker alive.
/// Connections that arrive later find a closing server.
///
/// A worker without a master accepts until the queue is empty or its time is over: it frees the
/// address then, and another worker may not have read the length of the queue yet.
fn drain_quota(listener: BorrowedFd<'_>, drain: DrainPolicy) -> usize {
    match drain {
        DrainPolicy { leaves_backlog, .. } if leaves_backlog => 0,
        DrainPolicy { frees_address, .. } if frees_address => usize::MAX,
        // If the kernel does not report the length: until the queue is empty or the deadline.
        _ => sys::accept::queue_length(listener).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use nix::sys::stat::fstat;

    use super::*;
    use crate::net::{AcceptGate, Listener};
    use crate::sys::accept::AcceptMode;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A listening socket as the master holds it.
    struct Bound {
        socket: TcpListener,
        addr: SocketAddr,
    }

    impl Bound {
        fn new() -> Self {
            let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
            socket.set_nonblocking(true).expect("a socket");
            let addr = socket.local_addr().expect("bound");
            Self { socket, addr }
        }

        fn of_slot(&self, slot: usize) -> SlotSocket {
            let copy = self.socket.try_clone().expect("descriptors");
            let fd = copy.into();
            SlotSocket { slot, fd }
        }

        fn listener(&self, tracker: &Arc<ConnTracker>) -> Listener {
            Listener::new(0, self.addr.into(), Some(vec![self.of_slot(0)]), tracker)
        }

        fn connect(&self) -> TcpStream {
            TcpStream::connect(self.addr).expect("it listens")
        }

        /// The number of descriptors of this process, without the one of the master.
        fn copies(&self) -> usize {
            let inode = fstat(&self.socket).expect("a socket").st_ino;
            let link = format!("socket:[{inode}]");
            let entries = std::fs::read_dir("/proc/self/fd").expect("it is mounted");
            let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
            links.filter(|to| to.as_os_str() == link.as_str()).count() - 1
        }
    }

    fn tracker() -> Arc<ConnTracker> {
        Arc::new(ConnTracker::new(|| {}, || {}).expect("descriptors"))
    }

    fn until(is_true: impl Fn() -> bool) {
        let end = Instant::now() + LIMIT;
        while !is_true() {
            assert!(Instant::now() < end, "it does not happen");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn drain_policy() -> DrainPolicy {
        DrainPolicy {
            until: Instant::now() + LIMIT,
            leaves_backlog: false,
            frees_address: false,
        }
    }

    /// Ends the threads that accept, also if an assertion fails.
    struct EndOnDrop<'a>(&'a ConnTracker);

    impl Drop for EndOnDrop<'_> {
        fn drop(&mut self) {
            self.0.begin_drain(drain_policy());
        }
    }

    fn set_of(listener: &Listener) -> Arc<SocketSet> {
        match listener.accept_step(AcceptMode::Blocking) {
            Ok(AcceptStep::Wait(set)) => set,
            _ => panic!("it is not open"),
        }
    }

    /// Accepts in a thread until the drain, and counts the connections.
    fn accept_all<'a>(
        scope: &'a thread::Scope<'a, '_>,
        listener: &'a Listener,
        accepted: &'a AtomicUsize,
    ) {
        scope.spawn(move || {
            for stream in listener.blocking_incoming() {
                stream.expect("a client");
                accepted.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    #[test]
    #[cfg_attr(
        not(all(target_os = "linux", not(prefork_portable))),
        ignore = "only a master sends sockets"
    )]
    fn waiting_threads_accept_from_an_adopted_socket_and_not_from_a_released_one() {
        let (own, other, tracker) = (Bound::new(), Bound::new(), tracker());
        let (listener, accepted) = (own.listener(&tracker), AtomicUsize::new(0));
        let sockets = listener.sockets().upgrade().expect("it is not dropped");
        let _waits_before = other.connect();
        thread::scope(|scope| {
            let _ends = EndOnDrop(&tracker);
            for _ in 0..3 {
                accept_all(scope, &listener, &accepted);
            }
            let has_accepted = |count| until(|| accepted.load(Ordering::SeqCst) == count);
            let _first = own.connect();
            has_accepted(1);

            sockets.adopt(other.of_slot(1));
            has_accepted(2);
            let _clients = [own.connect(), other.connect()];
            has_accepted(4);

            sockets.release(1);
            until(|| other.copies() == 0);
            assert_eq!(tracker.progress().listeners, 1);
            let _waits = other.connect();
            let _last = own.connect();
            has_accepted(5);
            until(|| other.socket.accept().is_ok());

            sockets.release(0);
            until(|| own.copies() == 0);
            sockets.adopt(other.of_slot(1));
            let _client = other.connect();
            has_accepted(6);
        });
        assert_eq!(tracker.progress().listeners, 0);
        assert_eq!(other.copies(), 0);
    }

    #[test]
    fn a_socket_that_the_listener_has_is_not_adopted_again() {
        let (own, other, tracker) = (Bound::new(), Bound::new(), tracker());
        let listener = own.listener(&tracker);
        let sockets = listener.sockets().upgrade().expect("it is not dropped");
        sockets.adopt(own.of_slot(0));
        sockets.adopt(other.of_slot(1));
        sockets.adopt(other.of_slot(1));
        assert_eq!((own.copies(), other.copies()), (1, 1));
        // The address of a slot may have another socket later.
        sockets.adopt(own.of_slot(1));
        assert_eq!(tracker.progress().listeners, 3);
        sockets.release(1);
        assert_eq!((own.copies(), other.copies()), (1, 0));
    }

    #[test]
    fn a_drain_empties_adopted_sockets_and_ignores_later_changes() {
        let (own, other, late, tracker) = (Bound::new(), Bound::new(), Bound::new(), tracker());
        let listener = own.listener(&tracker);
        let sockets = listener.sockets().upgrade().expect("it is not dropped");
        sockets.adopt(other.of_slot(1));
        let _clients = [own.connect(), other.connect(), other.connect()];
        tracker.begin_drain(drain_policy());
        sockets.release(1);
        sockets.adopt(late.of_slot(2));
        assert_eq!(late.copies(), 0);
        assert_eq!(listener.blocking_incoming().count(), 3);
        assert_eq!((own.copies(), other.copies()), (0, 0));
        sockets.adopt(late.of_slot(2));
        sockets.release(0);
        assert_eq!(tracker.progress().listeners, 0);
    }

    #[test]
    fn without_a_master_a_released_socket_is_not_shut_down() {
        let (own, tracker) = (Bound::new(), tracker());
        let listener = own.listener(&tracker);
        let sockets = listener.sockets().upgrade().expect("it is not dropped");
        let in_use = set_of(&listener);
        sockets.release(0);
        tracker.begin_drain(DrainPolicy {
            frees_address: true,
            ..drain_policy()
        });
        drop(in_use);
        let _client = own.connect();
        own.socket.accept().expect("another worker accepts");
    }

    #[test]
    fn a_borrowed_descriptor_stays_open_after_the_release() {
        let (own, other, tracker) = (Bound::new(), Bound::new(), tracker());
        let listener = own.listener(&tracker);
        let sockets = listener.sockets().upgrade().expect("it is not dropped");
        sockets.adopt(other.of_slot(1));
        let fd = listener.as_fd();
        sockets.release(0);
        assert_eq!(own.copies(), 0);
        fstat(fd).expect("the number is open");
        assert_eq!(listener.local_addr().ok(), Some(own.addr.into()));
        drop(listener);
        assert_eq!(other.copies(), 0, "the weak reference keeps nothing open");
        sockets.adopt(other.of_slot(1));
        assert_eq!(other.copies(), 0);
    }

    #[test]
    fn the_epoll_instance_is_closed_when_the_listener_ends() {
        let (own, tracker) = (Bound::new(), tracker());
        let listener = own.listener(&tracker);
        let sockets = listener.sockets().upgrade().expect("it is not dropped");
        let accepted = AtomicUsize::new(0);
        let poller = || match &*sockets.state() {
            SocketsState::Open(open) => open.poller.as_ref().map(Arc::downgrade),
            SocketsState::Draining(_) | SocketsState::Ended => None,
        };
        assert!(poller().is_none(), "no thread has waited");
        thread::scope(|scope| {
            let _ends = EndOnDrop(&tracker);
            accept_all(scope, &listener, &accepted);
            accept_all(scope, &listener, &accepted);
            if cfg!(all(target_os = "linux", not(prefork_portable))) {
                until(|| poller().is_some());
                let poller = poller().expect("it does not end");
                tracker.begin_drain(drain_policy());
                until(|| poller.upgrade().is_none());
            }
        });
    }

    /// Two workers with one socket.
    fn pair() -> (Bound, [(Listener, Arc<ConnTracker>); 2]) {
        let own = Bound::new();
        let workers = [tracker(), tracker()].map(|tracker| (own.listener(&tracker), tracker));
        (own, workers)
    }

    /// A thread of one worker was woken for a connection, and another worker waits. Then the first
    /// one stops accepting.
    fn a_connection_is_passed_on_if_a_worker(stops: impl Fn(&Listener, &ConnTracker)) {
        let (own, [(first, of_first), (second, of_second)]) = pair();
        let accepted = AtomicUsize::new(0);
        let until_waiting = |listener: &Listener| {
            until(
                || match &*listener.sockets().upgrade().expect("it is open").state() {
                    SocketsState::Open(open) => open.poller.is_some(),
                    SocketsState::Draining(_) | SocketsState::Ended => false,
                },
            );
            // Most likely it waits now. The test passes in every order.
            thread::sleep(Duration::from_millis(5));
        };
        thread::scope(|scope| {
            let _ends = [EndOnDrop(&of_first), EndOnDrop(&of_second)];
            let wait = scope.spawn(|| {
                first
                    .sockets()
                    .upgrade()
                    .map(|one| one.wait(set_of(&first)))
            });
            until_waiting(&first);
            accept_all(scope, &second, &accepted);
            until_waiting(&second);
            let _client = own.connect();
            let has_accepted = || accepted.load(Ordering::SeqCst) == 1;
            until(|| wait.is_finished() || has_accepted());
            stops(&first, &of_first);
            until(has_accepted);
        });
    }

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    #[test]
    fn a_worker_that_stops_accepting_passes_on_the_connection_that_has_woken_it() {
        a_connection_is_passed_on_if_a_worker(|listener, _| {
            let sockets = listener.sockets().upgrade().expect("it is not dropped");
            sockets.release(0);
        });
        a_connection_is_passed_on_if_a_worker(|listener, tracker| {
            tracker.begin_drain(DrainPolicy {
                leaves_backlog: true,
                ..drain_policy()
            });
            let step = listener.accept_step(AcceptMode::Blocking);
            assert!(matches!(step, Ok(AcceptStep::Ended)));
        });
        a_connection_is_passed_on_if_a_worker(|listener, _| listener.end());
    }

    #[test]
    fn a_worker_that_is_not_ready_passes_on_the_connection_that_has_woken_it() {
        for _ in 0..50 {
            let (own, [(first, of_first), (second, of_second)]) = pair();
            let accepted = AtomicUsize::new(0);
            thread::scope(|scope| {
                let _ends = [EndOnDrop(&of_first), EndOnDrop(&of_second)];
                accept_all(scope, &first, &accepted);
                accept_all(scope, &second, &accepted);
                // Most likely both wait by now. The test passes in every order.
                thread::sleep(Duration::from_millis(1));
                of_first.close_gate(AcceptGate::Readiness);
                let _client = own.connect();
                until(|| accepted.load(Ordering::SeqCst) == 1);
            });
        }
    }

    #[test]
    fn a_thread_accepts_from_the_socket_that_has_woken_it() {
        let (own, other, tracker) = (Bound::new(), Bound::new(), tracker());
        let listener = own.listener(&tracker);
        let sockets = listener.sockets().upgrade().expect("it is not dropped");
        sockets.adopt(other.of_slot(1));
        let set = set_of(&listener);
        for bound in [&own, &other, &other, &own] {
            let number = set.sockets().iter().find(|socket| {
                let addr = socket2::SockRef::from(&socket.fd).local_addr();
                addr.is_ok_and(|addr| addr.as_socket() == Some(bound.addr))
            });
            let number = number.expect("a socket").fd.as_raw_fd();
            let first = set.beginning_with(number).next().expect("two sockets");
            assert_eq!(first.fd.as_raw_fd(), number);
            assert_eq!(set.beginning_with(number).count(), 2);
        }
    }

    #[test]
    #[cfg_attr(
        not(all(target_os = "linux", not(prefork_portable))),
        ignore = "only a master sends sockets"
    )]
    fn random_changes_lose_no_connection_and_no_descriptor() {
        const STEPS: usize = 1_000;
        let seed = u64::from(std::process::id()) ^ 0x9e37_79b9_7f4a_7c15;
        println!("seed {seed}");
        let mut state = seed | 1;
        let mut random = |below: usize| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).expect("31 bits") % below
        };
        let (bound, tracker) = ([(); 4].map(|()| Bound::new()), tracker());
        let (listener, accepted) = (bound[0].listener(&tracker), AtomicUsize::new(0));
        let sockets = listener.sockets().upgrade().expect("it is not dropped");
        let mut clients = Vec::new();
        thread::scope(|scope| {
            let _ends = EndOnDrop(&tracker);
            for _ in 0..3 {
                accept_all(scope, &listener, &accepted);
            }
            for _ in 0..STEPS {
                let slot = random(bound.len());
                match random(4) {
                    0 => sockets.adopt(bound[slot].of_slot(slot)),
                    1 => sockets.release(slot),
                    2 => clients.push(bound[slot].connect()),
                    _ => {
                        // Another worker accepts.
                        if bound[slot].socket.accept().is_ok() {
                            accepted.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            }
            for (slot, one) in bound.iter().enumerate() {
                sockets.adopt(one.of_slot(slot));
            }
            until(|| accepted.load(Ordering::SeqCst) == clients.len());
            until(|| bound.iter().all(|one| one.copies() == 1));
            assert_eq!(tracker.progress().listeners, bound.len());
        });
        assert_eq!(tracker.progress().listeners, 0);
        assert!(bound.iter().all(|one| one.copies() == 0));
    }
}
