//! A constructor, in which a scripted child plays its behavior before `main`.
//!
//! The process of a scripted child is the test program, started again. Its test harness would run
//! all tests again, each with its own masters and children. So the child must play its behavior and
//! exit before any harness, and before a `main` with `harness = false`, without any code of the
//! user. Only a constructor does that: a function in the list that the C library calls before
//! `main` (`.init_array` in the System V ABI). The price is that every program that uses the
//! testkit contains the constructor, which reads one variable there. The runtime of Rust is not set
//! up at that time, so nothing here allocates, prints or panics.
//!
//! This file has all unsafe code of the testkit. Therefore it also contains
//! [`prepare_server`], whose function runs in a child between fork and exec.
#![expect(unsafe_code, reason = "system calls that only this file makes")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::behavior::Behavior;
use crate::child_main::{UNABLE, channel_of, play_script};

/// The same name as `children::VARIABLE`.
const BEHAVIOR: &CStr = c"PREFORK_TESTKIT_CHILD";
const ROLE: &CStr = c"PREFORK_CHILD";

#[ctor::ctor(unsafe)]
fn run_before_main() {
    let (Some(behavior), Some(role)) = (variable(BEHAVIOR), variable(ROLE)) else {
        // This process is a test program, not a scripted child.
        return;
    };
    let behavior = Behavior::decode(behavior);
    let status = match (behavior, channel_of(role).and_then(channel)) {
        (Some(behavior), Some(channel)) if handle_termination(behavior).is_ok() => {
            play_script(behavior, channel)
        }
        // Returning would run the tests.
        _ => UNABLE,
    };
    end(status);
}

fn variable(name: &CStr) -> Option<&'static str> {
    // SAFETY: the name ends with a NUL, and no other thread exists that could change the
    // environment.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: `getenv` returns a string that ends with a NUL and is valid until the environment
    // changes. It does not change before this process exits or the constructor returns.
    let value = unsafe { CStr::from_ptr(value) };
    value.to_str().ok()
}

fn channel(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer, and accepts any number as a descriptor (fcntl(2)).
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    if flags == -1 {
        return None;
    }
    // SAFETY: the descriptor is open. The master passed it to this process for the channel, and no
    // other code owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives a descriptor a number that redirections in a shell script do not replace.
///
/// A wrapper may be such a script. POSIX shells redirect the numbers from 0 to 9.
pub(crate) fn with_high_number(fd: impl AsFd) -> io::Result<OwnedFd> {
    const LOWEST: RawFd = 64;
    let number = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(LOWEST))?;
    // SAFETY: the call has created the descriptor, and no other code knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The signals that a master handles.
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

/// Resets the signals that a master handles to their default disposition, and passes this
/// descriptor on under its number.
///
/// The program of the command starts with both.
///
/// A shell without job control starts a command before `&` with SIGINT and SIGQUIT ignored, and
/// `nohup` starts its program with SIGHUP ignored. A master keeps ignoring these signals, so a test
/// could not stop it with them.
pub(crate) fn prepare_server(command: &mut Command, fd: OwnedFd) -> &mut Command {
    let prepare = move || {
        // Only in the child: another program that this process starts at the same time must not
        // get the descriptor.
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        reset_signals()
    };
    // SAFETY: the function runs after a fork of a process with several threads. It only calls
    // fcntl(2) and sigaction(2), which are async-signal-safe.
    unsafe { command.pre_exec(prepare) }
}

fn reset_signals() -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in SERVER_SIGNALS {
        // SAFETY: the default disposition runs no code.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Sets the disposition of SIGTERM for this behavior.
fn handle_termination(behavior: Behavior) -> nix::Result<()> {
    let handler = match behavior {
        Behavior::Deaf => SigHandler::SigIgn,
        // The signal may be SIGTERM.
        Behavior::Signal(_) => SigHandler::SigDfl,
        _ => SigHandler::Handler(ended_by_request),
    };
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the only handler, `ended_by_request`, only calls `_exit`, which is async-signal-safe
    // (signal-safety(7)).
    unsafe { sigaction(Signal::SIGTERM, &action) }.map(drop)
}

/// The SIGTERM handler of a child that exits when it is asked to stop.
extern "C" fn ended_by_request(_: i32) {
    end(0);
}

/// Exits without destructors and `atexit` functions: nothing was set up for them yet.
fn end(status: i32) -> ! {
    // SAFETY: `_exit` has no obligations.
    unsafe { libc::_exit(status) }
}
