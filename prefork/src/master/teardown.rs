//! Closes the listeners, which workers share with the master, within a deadline.

use std::time::Duration;

use crate::listen::BoundListener;
use crate::sys::light_thread;
use crate::sys::one_shot::one_shot;

/// The time limit for closing all listeners. It takes microseconds unless a worker interferes
/// (`SO_LINGER` on a socket that a worker turned into a connection).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Closes the listeners on another thread, and waits at most one second for it.
///
/// No child is started meanwhile, so no child holds a copy between clone and exec.
pub(super) fn close(listeners: Vec<BoundListener>) {
    const STACK: usize = 256 * 1024;

    if listeners.is_empty() {
        return;
    }
    let (done, is_done) = one_shot();
    let close = move || {
        listeners.into_iter().for_each(BoundListener::close_sockets);
        done.send(());
    };
    // If the thread did not start, dropping the closure has closed the listeners.
    if light_thread::start(c"prefork-close", STACK, close).is_ok() {
        is_done.recv_timeout(CLOSE_TIMEOUT);
    }
}
