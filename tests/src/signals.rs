//! Signals one after the other, each as a request of its own or as a part of one.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::proc;

/// A signal within this time of the first stop signal repeats it.
const ONE_REQUEST: Duration = Duration::from_millis(250);

/// A limit for what never comes; no test asserts it.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until a signal is a new request, if the first one had arrived at this time.
pub fn wait_until_new(arrived: Instant) {
    while let Some(rest) = ONE_REQUEST.checked_sub(arrived.elapsed()) {
        thread::sleep(rest + Duration::from_millis(1));
    }
}

/// Sends the signal and waits until the process has taken it, so that the kernel does not merge it
/// with the next one.
///
/// # Panics
/// If the process does not take it.
pub fn deliver(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("it runs");
    let sent = Instant::now();
    while proc::has_pending(pid, signal) {
        assert!(sent.elapsed() < LIMIT, "{signal} stays pending");
        thread::yield_now();
    }
}
