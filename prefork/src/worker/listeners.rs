//! The listeners of a worker: their names and addresses, and the sockets that the code has not taken
//! yet.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prefork_options::suggest::nearest;

use super::from_worker_error::FromWorkerError;
use crate::listen::{InheritedListener, ListenerInfo, SocketFile};

/// One entry per listener. The infos are apart, because the code of the program borrows them.
#[derive(Debug)]
pub(super) struct WorkerListeners {
    infos: Vec<ListenerInfo>,
    states: Mutex<Vec<ListenerState>>,
    /// The files of unix sockets, in single-process mode. A master removes its files itself.
    files: Mutex<Vec<SocketFile>>,
}

#[derive(Debug)]
enum ListenerState {
    /// Not taken yet.
    Free {
        /// One for each address.
        fds: Vec<OwnedFd>,
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

/// How a listener is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakeAs {
    Managed,
    Raw,
}

impl WorkerListeners {
    /// Creates the list. `expected` contains the names of the listeners that arguments of `main`
    /// take.
    pub(super) fn new(listeners: Vec<InheritedListener>, expected: &[String]) -> Self {
        let mut files = Vec::new();
        let (infos, states) = listeners
            .into_iter()
            .map(|inherited| {
                let InheritedListener { info, fds, .. } = inherited;
                let is_expected = expected.contains(&info.name);
                files.extend(inherited.files);
                (info, ListenerState::Free { fds, is_expected })
            })
            .unzip();
        Self {
            infos,
            states: Mutex::new(states),
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

    /// Takes the sockets of a listener. Returns none if the worker drains and has closed them.
    ///
    /// # Errors
    /// It was taken before, or does not exist. Or it has several addresses and is taken as a raw
    /// socket.
    pub(super) fn take(
        &self,
        index: usize,
        taker: TakeAs,
    ) -> Result<(&ListenerInfo, Vec<OwnedFd>), FromWorkerError> {
        let mut states = self.states();
        let (Some(info), Some(state)) = (self.infos.get(index), states.get_mut(index)) else {
            return Err(FromWorkerError::new(
                "the worker does not have this listener",
            ));
        };
        if let (TakeAs::Raw, [_, _, ..]) = (taker, info.addresses()) {
            return Err(FromWorkerError::new(format!(
                "listener '{}' has several addresses ({info}), but this type is one socket: take \
                 it as prefork::net::Listener, or set one of the addresses",
                info.name()
            )));
        }
        match std::mem::replace(state, ListenerState::Closed) {
            ListenerState::Free { fds, .. } => {
                *state = match taker {
                    TakeAs::Managed => ListenerState::Taken,
                    TakeAs::Raw => ListenerState::TakenRaw,
                };
                Ok((info, fds))
            }
            before @ (ListenerState::Taken | ListenerState::TakenRaw) => {
                *state = before;
                let name = &info.name;
                let text = "was already taken by an argument of main or an earlier call";
                Err(FromWorkerError::new(format!("listener '{name}' {text}")))
            }
            ListenerState::Closed => Ok((info, Vec::new())),
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
    use super::*;

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
        WorkerListeners::new(inherited.collect(), &expected)
    }

    #[test]
    fn a_listener_is_taken_once() {
        let listeners = listeners(&[false]);
        let taken = listeners.take(0, TakeAs::Managed);
        assert_eq!(taken.map(|(_, fds)| fds.len()).ok(), Some(1));
        assert!(listeners.take(0, TakeAs::Raw).is_err());
        listeners.close_untaken();
        assert!(listeners.take(0, TakeAs::Managed).is_err());
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
        let taken = listeners.take(0, TakeAs::Managed);
        assert_eq!(taken.map(|(_, fds)| fds.len()).ok(), Some(1));
    }

    #[test]
    fn a_raw_listener_is_never_seen_to_be_closed() {
        let listeners = listeners(&[false, false]);
        let _fd = listeners.take(0, TakeAs::Raw);
        listeners.close_untaken();
        assert!(!listeners.are_closed());
        let closed = listeners.take(1, TakeAs::Managed);
        assert_eq!(closed.map(|(_, fds)| fds.len()).ok(), Some(0));
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
        let listeners = WorkerListeners::new(vec![inherited], &[]);
        let error = listeners.take(0, TakeAs::Raw).expect_err("two sockets");
        assert!(error.to_string().contains(text), "{error}");
        let taken = listeners.take(0, TakeAs::Managed);
        assert_eq!(taken.map(|(_, fds)| fds.len()).ok(), Some(2));
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
