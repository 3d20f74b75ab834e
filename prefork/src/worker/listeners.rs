//! The listeners of a worker: their names and addresses, and the sockets that the code has not taken
//! yet.
//!
//! Sockets of other slots come and go here, before and after a listener is taken.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prefork_options::suggest::nearest;

use super::from_worker_error::FromWorkerError;
use crate::listen::{InheritedListener, ListenerInfo, SocketFile};
use crate::net::listener_sockets::ListenerSockets;
use crate::net::shared_socket::SlotSocket;
use crate::net::{ConnTracker, Listener};

/// One entry per listener. The infos are apart, because the code of the program borrows them.
#[derive(Debug)]
pub(super) struct WorkerListeners {
    infos: Vec<ListenerInfo>,
    states: Mutex<Vec<ListenerState>>,
    tracker: Arc<ConnTracker>,
    /// The files of unix sockets, in single-process mode. A master removes its files itself.
    files: Mutex<Vec<SocketFile>>,
}

#[derive(Debug)]
enum ListenerState {
    /// Not taken yet.
    Free {
        /// One for each address and slot.
        sockets: Vec<SlotSocket>,
        /// `main` has an argument for it, so it will be taken.
        is_expected: bool,
    },
    /// Taken as a `Listener`, which reports its end, and closes its sockets when it is dropped.
    Taken(Weak<ListenerSockets>),
    /// Taken as a raw socket, whose end is not seen.
    TakenRaw,
    /// Closed in a drain before it was taken.
    Closed,
}

/// The worker does not have this listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownListener;

impl WorkerListeners {
    /// Creates the list. `expected` contains the names of the listeners that arguments of `main`
    /// take. The sockets belong to this slot.
    pub(super) fn new(
        listeners: Vec<InheritedListener>,
        expected: &[String],
        slot: usize,
        tracker: &Arc<ConnTracker>,
    ) -> Self {
        let mut files = Vec::new();
        let (infos, states) = listeners
            .into_iter()
            .map(|inherited| {
                let InheritedListener { info, fds, .. } = inherited;
                let is_expected = expected.contains(&info.name);
                files.extend(inherited.files);
                let own = fds.into_iter().map(|fd| SlotSocket { slot, fd });
                let sockets = own.collect();
                let state = ListenerState::Free {
                    sockets,
                    is_expected,
                };
                (info, state)
            })
            .unzip();
        Self {
            infos,
            states: Mutex::new(states),
            tracker: Arc::clone(tracker),
            files: Mutex::new(files),
        }
    }

    /// Removes the files of unix sockets that this process has created.
    pub(super) fn remove_files(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.clear();
    }

    pub(super) fn infos(&self) -> &[ListenerInfo] {
        &self.infos
    }

    /// # Errors
    /// No listener has this name. The error contains the names of all listeners.
    pub(super) fn index_of(&self, name: &str) -> Result<usize, FromWorkerError> {
        let names: Vec<&str> = self.infos.iter().map(ListenerInfo::name).collect();
        let index = names.iter().position(|known| *known == name);
        index.ok_or_else(|| FromWorkerError::new(absent(name, &names)))
    }

    /// Takes a listener. It has ended if the worker drains and has closed its sockets.
    ///
    /// # Errors
    /// It was taken before, or does not exist.
    pub(super) fn take(&self, index: usize) -> Result<Listener, FromWorkerError> {
        let mut states = self.states();
        let (info, state) = self.entry(&mut states, index)?;
        let sockets = take_free(info, state, ListenerState::Taken(Weak::new()))?;
        let address = info.address().clone();
        let listener = Listener::new(index, address, sockets, &self.tracker);
        if let ListenerState::Taken(sockets) = state {
            *sockets = listener.sockets();
        }
        Ok(listener)
    }

    /// Takes the socket of a listener. Returns none if the worker drains and has closed it.
    ///
    /// # Errors
    /// It was taken before, or does not exist, or it has several addresses.
    pub(super) fn take_raw(
        &self,
        index: usize,
    ) -> Result<(&ListenerInfo, Option<OwnedFd>), FromWorkerError> {
        let mut states = self.states();
        let (info, state) = self.entry(&mut states, index)?;
        if let [_, _, ..] = info.addresses() {
            return Err(FromWorkerError::new(format!(
                "listener '{}' has several addresses ({info}), but this type is one socket: take \
                 it as prefork::net::Listener, or set one of the addresses",
                info.name()
            )));
        }
        let sockets = take_free(info, state, ListenerState::TakenRaw)?;
        // Sockets of other slots come later than the own one.
        let first = sockets.into_iter().flatten().next();
        Ok((info, first.map(|socket| socket.fd)))
    }

    fn entry<'a>(
        &self,
        states: &'a mut [ListenerState],
        index: usize,
    ) -> Result<(&ListenerInfo, &'a mut ListenerState), FromWorkerError> {
        match (self.infos.get(index), states.get_mut(index)) {
            (Some(info), Some(state)) => Ok((info, state)),
            _ => Err(FromWorkerError::new(
                "the worker does not have this listener",
            )),
        }
    }

    /// The listener also accepts from this socket of another slot, whether or not it is taken.
    ///
    /// Closes the socket if the listener has it already, was closed or dropped, or drains. A listener
    /// that was taken as a raw socket accepts from its own alone, so the socket is closed, too: the
    /// other listeners of the worker continue to get theirs.
    ///
    /// # Errors
    /// It does not exist. The socket is closed.
    pub(super) fn adopt(
        &self,
        index: usize,
        slot: usize,
        socket: OwnedFd,
    ) -> Result<(), UnknownListener> {
        let socket = SlotSocket { slot, fd: socket };
        match self.states().get_mut(index) {
            Some(ListenerState::Free { sockets, .. }) => {
                let has_it = sockets.iter().any(|own| own.is_same(&socket));
                if !has_it && !self.tracker.is_draining() {
                    sockets.push(socket);
                }
            }
            Some(ListenerState::Taken(sockets)) => {
                if let Some(sockets) = sockets.upgrade() {
                    sockets.adopt(socket);
                }
            }
            Some(ListenerState::TakenRaw | ListenerState::Closed) => {}
            None => return Err(UnknownListener),
        }
        Ok(())
    }

    /// The listener does not accept from its sockets of this slot any more, and they are closed.
    ///
    /// In a drain it does nothing: the listeners close all sockets by themselves. A raw socket stays
    /// open.
    pub(super) fn release(&self, index: usize, slot: usize) {
        if self.tracker.is_draining() {
            return;
        }
        match self.states().get_mut(index) {
            Some(ListenerState::Free { sockets, .. }) => sockets.retain(|one| one.slot != slot),
            Some(ListenerState::Taken(sockets)) => {
                if let Some(sockets) = sockets.upgrade() {
                    sockets.release(slot);
                }
            }
            Some(ListenerState::TakenRaw | ListenerState::Closed) | None => {}
        }
    }

    /// The number of listeners that arguments of `main` have yet to take.
    pub(super) fn expected(&self) -> usize {
        let is_expected = |state: &&ListenerState| {
            matches!(
                state,
                ListenerState::Free {
                    is_expected: true,
                    ..
                }
            )
        };
        self.states().iter().filter(is_expected).count()
    }

    /// Notes that the argument for this listener was created or has failed.
    ///
    /// If it did not take the listener, a stop no longer waits for that.
    pub(super) fn cancel_expected(&self, index: usize) {
        if let Some(ListenerState::Free { is_expected, .. }) = self.states().get_mut(index) {
            *is_expected = false;
        }
    }

    /// Closes the listeners that were not taken.
    pub(super) fn close_untaken(&self) {
        for state in self.states().iter_mut() {
            if let ListenerState::Free { .. } = state {
                *state = ListenerState::Closed;
            }
        }
    }

    /// Whether no socket here can still accept. A `Listener` reports its own end.
    pub(super) fn are_closed(&self) -> bool {
        let is_open = |state: &ListenerState| {
            matches!(state, ListenerState::Free { .. } | ListenerState::TakenRaw)
        };
        !self.states().iter().any(is_open)
    }

    fn states(&self) -> MutexGuard<'_, Vec<ListenerState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the sockets of a free listener; `None` if they are closed.
///
/// # Errors
/// It was taken before.
fn take_free(
    info: &ListenerInfo,
    state: &mut ListenerState,
    taken: ListenerState,
) -> Result<Option<Vec<SlotSocket>>, FromWorkerError> {
    match std::mem::replace(state, taken) {
        ListenerState::Free { sockets, .. } => Ok(Some(sockets)),
        before @ (ListenerState::Taken(_) | ListenerState::TakenRaw) => {
            *state = before;
            let name = &info.name;
            let text = "was already taken by an argument of main or an earlier call";
            Err(FromWorkerError::new(format!("listener '{name}' {text}")))
        }
        ListenerState::Closed => {
            *state = ListenerState::Closed;
            Ok(None)
        }
    }
}

/// The error for an unknown name; it contains the names of all listeners.
fn absent(name: &str, all: &[&str]) -> String {
    let near = match nearest(name, all.iter().copied()) {
        Some(near) => format!(" (did you mean '{near}'?)"),
        None => String::new(),
    };
    let known = match all {
        [] => "no listener is configured: set listen in the attribute or the builder".to_owned(),
        [one] => format!("there is only '{one}'"),
        many => format!("there are only '{}'", many.join("', '")),
    };
    format!("there is no listener '{name}'{near}; {known}")
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::net::DrainPolicy;

    fn listeners(expected: &[bool]) -> WorkerListeners {
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").expect("the device exists"));
        let name = |index: usize| format!("listener{index}");
        let inherited = (0..expected.len()).map(|index| {
            let info = format!("{}=127.0.0.1:80", name(index));
            InheritedListener::new(info.parse().expect("an address"), fd())
        });
        let expected: Vec<String> = (0..expected.len())
            .filter(|&index| expected[index])
            .map(name)
            .collect();
        WorkerListeners::new(inherited.collect(), &expected, 0, &tracker())
    }

    fn tracker() -> Arc<ConnTracker> {
        Arc::new(ConnTracker::new(|| {}, || {}).expect("descriptors"))
    }

    fn descriptors_of(listener: Result<Listener, FromWorkerError>) -> Option<usize> {
        let listener = listener.ok()?;
        listener.tracker.progress().listeners.into()
    }

    #[test]
    fn a_listener_is_taken_once() {
        let listeners = listeners(&[false]);
        assert_eq!(descriptors_of(listeners.take(0)), Some(1));
        assert!(listeners.take_raw(0).is_err());
        listeners.close_untaken();
        assert!(listeners.take(0).is_err());
    }

    #[test]
    fn a_listener_with_an_argument_is_expected_until_it_is_taken() {
        let listeners = listeners(&[true, false]);
        assert_eq!(listeners.expected(), 1);
        let _listener = listeners.take(0);
        assert_eq!(listeners.expected(), 0);
    }

    #[test]
    fn the_listener_of_a_failed_argument_is_not_expected() {
        let listeners = listeners(&[true]);
        listeners.cancel_expected(0);
        assert_eq!(listeners.expected(), 0);
        // The code may still take it.
        assert_eq!(descriptors_of(listeners.take(0)), Some(1));
    }

    /// A listener of slot 0 with this socket.
    fn with_socket(socket: &TcpListener) -> WorkerListeners {
        let info = format!("http={}", socket.local_addr().expect("bound"));
        let inherited = InheritedListener::new(info.parse().expect("an address"), copy_of(socket));
        WorkerListeners::new(vec![inherited], &[], 0, &tracker())
    }

    fn bound() -> TcpListener {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        socket
    }

    fn copy_of(socket: &TcpListener) -> OwnedFd {
        socket.try_clone().expect("descriptors").into()
    }

    fn connect(to: &TcpListener) -> TcpStream {
        TcpStream::connect(to.local_addr().expect("bound")).expect("it listens")
    }

    #[test]
    fn sockets_come_and_go_before_the_listener_is_taken() {
        let (own, other) = (bound(), bound());
        let listeners = with_socket(&own);
        for _ in 0..2 {
            assert_eq!(listeners.adopt(0, 1, copy_of(&other)), Ok(()));
        }
        listeners.release(0, 0);
        let listener = listeners.take(0).expect("it is free");
        assert_eq!(listener.tracker.progress().listeners, 1);
        let _clients = [connect(&own), connect(&other)];
        listener
            .blocking_accept()
            .expect("no drain")
            .expect("it listens");
        own.accept().expect("another worker accepts");
        assert_eq!(listeners.adopt(0, 0, copy_of(&own)), Ok(()));
        let _client = connect(&own);
        listener
            .blocking_accept()
            .expect("no drain")
            .expect("it listens");
        listeners.release(0, 0);
        listeners.release(0, 1);
        assert_eq!(listener.tracker.progress().listeners, 0);
    }

    #[test]
    fn a_raw_listener_adopts_no_socket() {
        let own = bound();
        let listeners = with_socket(&own);
        let (_, fd) = listeners.take_raw(0).expect("it is free");
        let other = bound();
        let unknown = listeners.adopt(1, 1, copy_of(&other));
        assert_eq!(unknown, Err(UnknownListener));
        assert_eq!(listeners.adopt(0, 1, copy_of(&other)), Ok(()));
        let address = other.local_addr().expect("bound");
        drop(other);
        assert!(TcpStream::connect(address).is_err(), "its copy is closed");
        listeners.release(0, 0);
        let raw = TcpListener::from(fd.expect("it is open"));
        let _client = connect(&own);
        raw.accept().expect("a raw listener is not released");
    }

    #[test]
    fn a_raw_listener_is_the_own_socket() {
        let (own, other) = (bound(), bound());
        let listeners = with_socket(&own);
        assert_eq!(listeners.adopt(0, 1, copy_of(&other)), Ok(()));
        let (_, fd) = listeners.take_raw(0).expect("it is free");
        let raw = TcpListener::from(fd.expect("it is open"));
        assert_eq!(raw.local_addr().ok(), own.local_addr().ok());
    }

    #[test]
    fn a_listener_that_was_dropped_or_closed_adopts_nothing() {
        let (own, other) = (bound(), bound());
        let listeners = with_socket(&own);
        let listener = listeners.take(0).expect("it is free");
        let tracker = Arc::clone(&listener.tracker);
        drop(listener);
        assert_eq!(listeners.adopt(0, 1, copy_of(&other)), Ok(()));
        assert_eq!(tracker.progress().listeners, 0);
        listeners.release(0, 0);

        let listeners = with_socket(&own);
        listeners.close_untaken();
        assert_eq!(listeners.adopt(0, 1, copy_of(&other)), Ok(()));
        assert_eq!(descriptors_of(listeners.take(0)), Some(0));
    }

    #[test]
    fn a_free_listener_that_drains_neither_adopts_nor_releases() {
        let (own, other) = (bound(), bound());
        let listeners = with_socket(&own);
        listeners.tracker.begin_drain(DrainPolicy {
            until: Instant::now() + Duration::from_secs(30),
            leaves_backlog: false,
            frees_address: false,
        });
        assert_eq!(listeners.adopt(0, 1, copy_of(&other)), Ok(()));
        listeners.release(0, 0);
        let _client = connect(&own);
        let listener = listeners.take(0).expect("it is free");
        assert_eq!(listener.blocking_incoming().count(), 1);
    }

    #[test]
    fn a_raw_listener_is_never_seen_to_be_closed() {
        let listeners = listeners(&[false, false]);
        let _fd = listeners.take_raw(0);
        listeners.close_untaken();
        assert!(!listeners.are_closed());
        assert_eq!(descriptors_of(listeners.take(1)), Some(0));
    }

    #[test]
    fn a_listener_with_several_addresses_is_not_taken_as_one_socket() {
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").expect("the device exists"));
        let text = "http=[::1]:80,http=127.0.0.1:80";
        let inherited = InheritedListener {
            info: text.parse().expect(text),
            fds: vec![fd(), fd()],
            files: Vec::new(),
        };
        let listeners = WorkerListeners::new(vec![inherited], &[], 0, &tracker());
        let error = listeners.take_raw(0).expect_err("two sockets");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(descriptors_of(listeners.take(0)), Some(2));
    }

    #[test]
    fn the_error_for_an_unknown_name_contains_the_names() {
        for (names, text) in [
            (
                &["listener0"][..],
                "there is no listener 'http'; there is only 'listener0'",
            ),
            (
                &["htpp", "admin"],
                "there is no listener 'http' (did you mean 'htpp'?); there are only 'htpp', 'admin'",
            ),
            (
                &[],
                "there is no listener 'http'; no listener is configured: set listen in the attribute or the builder",
            ),
        ] {
            assert_eq!(absent("http", names), text);
        }
    }
}
