//! A channel for one value from another thread.
//!
//! **The reasoning.** For each type of value, a channel of the standard library contains the code
//! of three kinds of queues: more than 10 KiB. The master maps this code, since it is between
//! functions that it runs. One value needs only a mutex and a condition variable.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Creates both ends of a channel.
pub(crate) fn one_shot<T>() -> (OneShotSender<T>, OneShotReceiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::Open(None)),
        changed: Condvar::new(),
    });
    (OneShotSender(Arc::clone(&shared)), OneShotReceiver(shared))
}

/// The sending end. If it is dropped, the receiver stops waiting.
#[derive(Debug)]
pub(crate) struct OneShotSender<T>(Arc<Shared<T>>);

/// The receiving end. If it is dropped, a value is dropped with the sender.
#[derive(Debug)]
pub(crate) struct OneShotReceiver<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    /// The sender exists and has not sent. A task may wait for the value.
    Open(Option<Waker>),
    Sent(T),
    /// The value was received, or the sender was dropped without one.
    Closed,
}

impl<T> OneShotSender<T> {
    pub(crate) fn send(self, value: T) {
        self.0.close(State::Sent(value));
    }
}

impl<T> Drop for OneShotSender<T> {
    fn drop(&mut self) {
        if matches!(*self.0.lock(), State::Open(_)) {
            self.0.close(State::Closed);
        }
    }
}

impl<T> OneShotReceiver<T> {
    /// Returns the value, if it was sent.
    pub(crate) fn try_recv(&self) -> Option<T> {
        self.0.lock().take()
    }

    /// Returns the value, or `None` if none will come. Otherwise the task is woken later.
    pub(crate) fn poll_recv(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut *self.0.lock() {
            State::Open(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            state @ (State::Sent(_) | State::Closed) => Poll::Ready(state.take()),
        }
    }

    /// Waits for the value, at most for this time. Returns `None` if none will come.
    pub(crate) fn recv_timeout(&self, limit: Duration) -> Option<T> {
        let is_open = |state: &mut State<T>| matches!(state, State::Open(_));
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.0.lock(), limit, is_open);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.take()
    }

    /// Waits until the sender has sent the value or was dropped.
    pub(crate) fn recv(&self) -> Option<T> {
        self.recv_timeout(Duration::MAX)
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state for good, and wakes the receiver.
    fn close(&self, state: State<T>) {
        let before = std::mem::replace(&mut *self.lock(), state);
        self.changed.notify_all();
        if let State::Open(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Option<T> {
        match self {
            Self::Open(_) | Self::Closed => None,
            Self::Sent(_) => match std::mem::replace(self, Self::Closed) {
                Self::Sent(value) => Some(value),
                Self::Open(_) | Self::Closed => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_value_of_another_thread_is_received_once() {
        let (sender, receiver) = one_shot();
        assert_eq!(receiver.try_recv(), None);
        let thread = thread::spawn(move || sender.send(7));
        assert_eq!(receiver.recv(), Some(7));
        assert_eq!(receiver.recv(), None);
        thread.join().expect("it does not panic");
    }

    #[test]
    fn a_dropped_sender_ends_the_wait() {
        let (sender, receiver) = one_shot::<()>();
        let thread = thread::spawn(move || drop(sender));
        assert_eq!(receiver.recv(), None);
        thread.join().expect("it does not panic");
    }

    #[test]
    fn a_wait_ends_at_its_limit() {
        let (sender, receiver) = one_shot();
        assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), None);
        sender.send(7);
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Some(7));
    }

    #[test]
    fn without_a_receiver_the_value_is_dropped() {
        let (sender, receiver) = one_shot();
        drop(receiver);
        let value = Arc::new(());
        sender.send(Arc::clone(&value));
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
