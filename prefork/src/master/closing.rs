//! Closing what workers share with the master, and waiting for workers, within a deadline.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::child::Child;
use crate::listen::Bound;
use crate::sys::thread;

/// The time that closing all listeners may take. It takes microseconds unless a worker holds it up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Closes the listeners on another thread, and waits for the end for at most a second.
///
/// Nothing is started meanwhile, so that no child has a copy between clone and exec.
pub(super) fn close(listeners: Vec<Bound>) {
    const STACK: usize = 256 * 1024;

    if listeners.is_empty() {
        return;
    }
    let (done, is_done) = sync_channel(1);
    let close = move || {
        listeners.into_iter().for_each(Bound::release);
        // Nobody may wait any more.
        let _ = done.send(());
    };
    // Without a thread, the listeners were dropped, and so closed, by now.
    if thread::start(c"prefork-close", STACK, close).is_ok() {
        let _ = is_done.recv_timeout(PATIENCE);
    }
}

/// Waits for the end of all of these children until the deadline, and reaps them.
pub(super) fn reap<'a>(children: impl Iterator<Item = &'a Child>, deadline: Instant) {
    for child in children {
        child.pidfd.wait_until(deadline);
    }
}
