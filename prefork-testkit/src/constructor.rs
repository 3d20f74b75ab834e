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
//! The testkit's only unsafe code, and for that reason also [`with_default_signals`], which runs in a
//! child between fork and exec.
#![expect(unsafe_code, reason = "system calls that only this file makes")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

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

/// The signals that mean something to a master: all that it does not leave to the system.
const SERVER_SIGNALS: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGQUIT,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Starts the program with the default disposition of each signal that a master handles.
///
/// A shell without job control starts what stands before `&` with SIGINT and SIGQUIT ignored, and
/// `nohup` starts its program with SIGHUP ignored. A master keeps that, so that a test could not stop it.
///
/// Only if one of them is ignored here: a function before exec makes the standard library fork, which is slower
/// than `posix_spawn(3)`.
pub(crate) fn with_default_signals(command: &mut Command) -> &mut Command {
    if !SERVER_SIGNALS.into_iter().any(is_ignored) {
        return command;
    }
    // SAFETY: the function runs after a fork of a process with threads. It only calls sigaction(2),
    // which is async-signal-safe.
    unsafe { command.pre_exec(reset_signals) }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: sigaction is plain data, for which all zeroes is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set, and `action` has room for what is there.
    let result = unsafe { libc::sigaction(signal as i32, std::ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

fn reset_signals() -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in SERVER_SIGNALS {
        // SAFETY: the default disposition runs no code.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
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
