//! What a scripted child does in its process.
//!
//! It plays its [`Behavior`] and sends frames like a worker of prefork. It runs before `main`, so
//! nothing here allocates, prints or panics.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::socket::{MsgFlags, send};

use crate::behavior::Behavior;

/// The exit status of a child that cannot read or play its behavior.
pub(crate) const UNABLE: i32 = 125;

/// The exit status of a Rust program after a panic.
const PANICKED: i32 = 101;

/// The frame of a worker that is ready.
const READY: &[u8] = b"ready";

/// More than the 4,096 bytes that a frame may have.
const TOO_LONG: [u8; 5000] = [b'x'; 5000];

/// Returns the descriptor of the channel, from the value of `PREFORK_CHILD`.
pub(crate) fn channel_of(role: &str) -> Option<RawFd> {
    let (_, fd) = role.strip_prefix("1:")?.rsplit_once(':')?;
    fd.parse().ok()
}

/// Plays the behavior to its end and returns the exit status.
pub(crate) fn play_script(behavior: Behavior, channel: OwnedFd) -> i32 {
    match play(behavior, &ScriptChannel { fd: channel }) {
        Ok(status) => status,
        Err(_) => UNABLE,
    }
}

fn play(behavior: Behavior, channel: &ScriptChannel) -> nix::Result<i32> {
    match behavior {
        Behavior::Noop => return Ok(0),
        Behavior::Exit(status) => return Ok(status.into()),
        Behavior::Signal(signal) => return exit_by(signal),
        Behavior::Panic(text) => {
            channel.send_panic(text)?;
            return Ok(PANICKED);
        }
        Behavior::Silent => {}
        Behavior::Unready => channel.greet()?,
        Behavior::Late(delay) => {
            channel.greet()?;
            if channel.stays_open(delay) {
                channel.send(READY)?;
            }
        }
        Behavior::Live | Behavior::Deaf => channel.greet_ready()?,
        Behavior::Stuck => {
            channel.greet_ready()?;
            stop()?;
        }
        Behavior::Flood => {
            channel.greet_ready()?;
            channel.flood();
        }
        Behavior::Liar => channel.send(&TOO_LONG)?,
    }
    channel.wait_for_end();
    Ok(0)
}

/// Sends the process this signal.
///
/// Some signals are blocked when a child starts, and a blocked signal does not end a process. So
/// the signal is unblocked first.
fn exit_by(signal: Signal) -> nix::Result<i32> {
    let mut mask = SigSet::empty();
    mask.add(signal);
    mask.thread_unblock()?;
    raise(signal)?;
    Ok(UNABLE)
}

/// Stops the process.
///
/// A stopped process cannot notice the end of the channel. So it asks the kernel for SIGKILL when
/// the thread that started it ends; SIGKILL also ends a stopped process (`prctl(2)`).
fn stop() -> nix::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    raise(Signal::SIGSTOP)
}

/// The child's end of the channel.
struct ScriptChannel {
    fd: OwnedFd,
}

impl ScriptChannel {
    fn greet(&self) -> nix::Result<()> {
        self.send(b"hello protocol=1 ready=announced listeners=")
    }

    fn greet_ready(&self) -> nix::Result<()> {
        self.greet()?;
        self.send(READY)
    }

    fn send_panic(&self, text: &str) -> nix::Result<()> {
        const VERB: &[u8] = b"panic ";
        let mut frame = [0; 1024];
        let text = &text.as_bytes()[..text.len().min(frame.len() - VERB.len())];
        let length = VERB.len() + text.len();
        frame[..VERB.len()].copy_from_slice(VERB);
        frame[VERB.len()..length].copy_from_slice(text);
        self.send(&frame[..length])
    }

    fn send(&self, frame: &[u8]) -> nix::Result<()> {
        match send(self.fd.as_raw_fd(), frame, MsgFlags::MSG_NOSIGNAL) {
            // The master has closed its end or does not read. The caller notices the end of the
            // channel later.
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET | Errno::EAGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends frames until the master closes its end.
    fn flood(&self) {
        while self.becomes(PollFlags::POLLOUT) {
            let _ = self.send(b"noise");
        }
    }

    /// Waits this long. Returns whether the other end is still open.
    fn stays_open(&self, time: Duration) -> bool {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let nothing = PollFlags::empty();
        let mut polled = [PollFd::new(self.fd.as_fd(), nothing)];
        poll(&mut polled, timeout) == Ok(0)
    }

    /// Waits until the master closes its end. Reads no frames.
    ///
    /// `poll(2)` reports the end of the channel even if no event was requested.
    fn wait_for_end(&self) {
        self.becomes(PollFlags::empty());
    }

    /// Waits for these events or the end of the channel.
    ///
    /// Returns false if the channel has ended.
    fn becomes(&self, wanted: PollFlags) -> bool {
        let mut polled = [PollFd::new(self.fd.as_fd(), wanted)];
        while poll(&mut polled, PollTimeout::NONE) == Err(Errno::EINTR) {}
        let [polled] = polled;
        polled
            .revents()
            .is_some_and(|found| found.intersects(wanted) && !found.contains(PollFlags::POLLHUP))
    }
}
