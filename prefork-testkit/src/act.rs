//! A child on demand from inside: does what it was told, and says it on the channel as a worker of
//! prefork would. Runs before `main`: nothing allocates, prints or panics.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, SigSet, Signal, raise};
use nix::sys::socket::{MsgFlags, send};

use crate::behaviour::Behaviour;
use crate::constructor::{UNABLE, ended_by_request, on_termination};

/// The status that a panic of Rust's ends a program with.
const PANICKED: i32 = 101;

/// What a worker says when it serves.
const READY: &[u8] = b"ready";

/// More bytes than the 4,096 that a message may have.
const TOO_LONG: [u8; 5000] = [b'x'; 5000];

/// The descriptor of the channel, by the value of `PREFORK_CHILD`.
pub(crate) fn channel_of(role: &str) -> Option<RawFd> {
    let (_, fd) = role.strip_prefix("1:")?.rsplit_once(':')?;
    fd.parse().ok()
}

/// Does what it was told to the end, and returns the status.
pub(crate) fn act(behaviour: Behaviour, channel: OwnedFd) -> i32 {
    match play(behaviour, &Channel { fd: channel }) {
        Ok(status) => status,
        Err(_) => UNABLE,
    }
}

fn play(behaviour: Behaviour, channel: &Channel) -> nix::Result<i32> {
    on_termination(termination(behaviour))?;
    match behaviour {
        Behaviour::Noop => return Ok(0),
        Behaviour::Exit(status) => return Ok(status.into()),
        Behaviour::Signal(signal) => return die_by(signal),
        Behaviour::Panic(text) => {
            channel.say_last_words(text)?;
            return Ok(PANICKED);
        }
        Behaviour::Silent => {}
        Behaviour::Unready => channel.greet()?,
        Behaviour::Late(delay) => {
            channel.greet()?;
            if channel.outlasts(delay) {
                channel.say(READY)?;
            }
        }
        Behaviour::Live | Behaviour::Deaf => channel.greet_ready()?,
        Behaviour::Stuck => {
            channel.greet_ready()?;
            stop()?;
        }
        Behaviour::Flood => {
            channel.greet_ready()?;
            channel.flood();
        }
        Behaviour::Liar => channel.say(&TOO_LONG)?,
    }
    channel.wait_for_end();
    Ok(0)
}

/// What SIGTERM does to it.
fn termination(behaviour: Behaviour) -> SigHandler {
    match behaviour {
        Behaviour::Deaf => SigHandler::SigIgn,
        // It may be this one.
        Behaviour::Signal(_) => SigHandler::SigDfl,
        _ => SigHandler::Handler(ended_by_request),
    }
}

/// Some are blocked when a child begins, and a signal that is blocked ends nobody.
fn die_by(signal: Signal) -> nix::Result<i32> {
    let mut mask = SigSet::empty();
    mask.add(signal);
    mask.thread_unblock()?;
    raise(signal)?;
    Ok(UNABLE)
}

/// A process that is stopped does not see the end of the channel; the kernel sees for it that the
/// thread that started it ends, and its signal ends also what is stopped (`prctl(2)`).
fn stop() -> nix::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    raise(Signal::SIGSTOP)
}

/// The child's end of the channel.
struct Channel {
    fd: OwnedFd,
}

impl Channel {
    fn greet(&self) -> nix::Result<()> {
        self.say(b"hello protocol=1 ready=announced listeners=")
    }

    fn greet_ready(&self) -> nix::Result<()> {
        self.greet()?;
        self.say(READY)
    }

    fn say_last_words(&self, text: &str) -> nix::Result<()> {
        const VERB: &[u8] = b"panic ";
        let mut frame = [0; 1024];
        let text = &text.as_bytes()[..text.len().min(frame.len() - VERB.len())];
        let length = VERB.len() + text.len();
        frame[..VERB.len()].copy_from_slice(VERB);
        frame[VERB.len()..length].copy_from_slice(text);
        self.say(&frame[..length])
    }

    fn say(&self, frame: &[u8]) -> nix::Result<()> {
        match send(self.fd.as_raw_fd(), frame, MsgFlags::MSG_NOSIGNAL) {
            // The master is gone, or does not listen: what follows sees it.
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET | Errno::EAGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends until nobody is there to listen.
    fn flood(&self) {
        while self.becomes(PollFlags::POLLOUT) {
            let _ = self.say(b"noise");
        }
    }

    /// Whether the other end is still there after this time.
    fn outlasts(&self, time: Duration) -> bool {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let nothing = PollFlags::empty();
        let mut polled = [PollFd::new(self.fd.as_fd(), nothing)];
        poll(&mut polled, timeout) == Ok(0)
    }

    /// Nothing is read: the end alone is reported without being asked for (`poll(2)`).
    fn wait_for_end(&self) {
        self.becomes(PollFlags::empty());
    }

    /// Waits until it is as wanted or has ended; whether it has not.
    fn becomes(&self, wanted: PollFlags) -> bool {
        let mut polled = [PollFd::new(self.fd.as_fd(), wanted)];
        while poll(&mut polled, PollTimeout::NONE) == Err(Errno::EINTR) {}
        let [polled] = polled;
        polled
            .revents()
            .is_some_and(|found| found.intersects(wanted) && !found.contains(PollFlags::POLLHUP))
    }
}
