//! Sends signals, also one after another, each as a new request or as a repetition.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::proc;

/// A signal within this time after the first stop signal is a repetition.
const ONE_REQUEST: Duration = Duration::from_millis(100);

/// A limit that keeps a failing test from hanging. No test asserts it.
const LIMIT: Duration = Duration::from_secs(30);

/// If the first signal arrived at this time, waits until another one is a new request.
pub fn wait_until_new(arrived: Instant) {
    while let Some(rest) = ONE_REQUEST.checked_sub(arrived.elapsed()) {
        thread::sleep(rest + Duration::from_millis(1));
    }
}

/// Sends the signal.
///
/// # Errors
/// The error of kill(2): the process has exited.
pub fn send(pid: i32, signal: impl Into<i32>) -> nix::Result<()> {
    kill(Pid::from_raw(pid), Signal::try_from(signal.into())?)
}

/// Sends the signal and waits until the process has taken it.
///
/// So the kernel does not merge the signal with the next one.
///
/// # Panics
/// The process has exited, or does not take the signal.
pub fn deliver(pid: i32, signal: impl Into<i32>) {
    let signal = signal.into();
    send(pid, signal).expect("the process runs");
    let sent = Instant::now();
    while proc::has_pending(pid, signal) {
        assert!(sent.elapsed() < LIMIT, "signal {signal} stays pending");
        thread::yield_now();
    }
}
