//! Where a child on demand leaves the test program: before `main`.
//!
//! A child of a master in a test is the test binary, started again. Its test harness would run all
//! tests once more, each with masters and children of its own. So what the child is to do has to
//! happen before any harness, also before a `main` of the user's with `harness = false`, and without
//! a word in the user's code: that leaves the list of constructors that the C library calls
//! (`.init_array` in the System V ABI). The price: this one is in every program that names the
//! testkit, where it reads one variable, and it must do with little: Rust's runtime is not set up
//! yet, so that nothing here allocates, prints or panics.
//!
//! The testkit's only unsafe code.
#![expect(unsafe_code, reason = "system calls that only this file makes")]

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::act::{act, channel_of};
use crate::behaviour::Behaviour;

/// The status of a child that cannot do what it was told, or not understand it.
pub(crate) const UNABLE: i32 = 125;

/// `children::VARIABLE`, as C reads it.
const BEHAVIOUR: &CStr = c"PREFORK_TESTKIT_CHILD";
const ROLE: &CStr = c"PREFORK_CHILD";

#[ctor::ctor(unsafe)]
fn leave_the_test_program() {
    let (Some(behaviour), Some(role)) = (variable(BEHAVIOUR), variable(ROLE)) else {
        // A test program, as everybody starts it.
        return;
    };
    let behaviour = Behaviour::decode(behaviour);
    let status = match (behaviour, channel_of(role).and_then(channel)) {
        (Some(behaviour), Some(channel)) => act(behaviour, channel),
        // To go on would run the tests.
        _ => UNABLE,
    };
    end(status);
}

fn variable(name: &CStr) -> Option<&'static str> {
    // SAFETY: the name ends with a NUL, and no other thread exists that could write the environment.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: `getenv` returns a string that ends with a NUL and stays until somebody changes the
    // environment: nobody does before this process ends, or before the constructor has returned.
    let value = unsafe { CStr::from_ptr(value) };
    value.to_str().ok()
}

fn channel(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer, and any number may be asked about (fcntl(2)).
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    if flags == -1 {
        return None;
    }
    // SAFETY: it is open, and was given to this process for the channel; nothing else has it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What SIGTERM means from here on.
pub(crate) fn on_termination(handler: SigHandler) -> nix::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the one handler there is, `ended_by_request`, only calls `_exit`, which is
    // async-signal-safe (signal-safety(7)).
    unsafe { sigaction(Signal::SIGTERM, &action) }.map(drop)
}

/// The handler of those who go when they are asked to.
pub(crate) extern "C" fn ended_by_request(_: i32) {
    end(0);
}

/// No destructor, no `atexit`: nothing was set up that they could find.
fn end(status: i32) -> ! {
    // SAFETY: `_exit` has no obligations.
    unsafe { libc::_exit(status) }
}
