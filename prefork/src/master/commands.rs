//! What other threads of this process ask of the master, as something to poll.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::supervisor::Urgency;

/// Something that a signal can ask for as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Stop(Urgency),
}

/// The master's end.
#[derive(Debug)]
pub(super) struct Commands {
    queue: Receiver<Command>,
    wake: UnixStream,
}

/// A thread's end.
#[derive(Debug)]
pub(super) struct Commander {
    queue: Sender<Command>,
    wake: UnixStream,
}

pub(super) fn pair() -> io::Result<(Commander, Commands)> {
    let (sender, receiver) = channel();
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let commander = Commander {
        queue: sender,
        wake: ours,
    };
    let commands = Commands {
        queue: receiver,
        wake: theirs,
    };
    Ok((commander, commands))
}

impl Commander {
    /// Nothing happens when the master has ended.
    pub(super) fn send(&self, command: Command) {
        if self.queue.send(command).is_ok() {
            // A full socket wakes the master as well.
            let _ = (&self.wake).write(&[0]);
        }
    }
}

impl Commands {
    /// Whether there is a next one; it may be here already.
    pub(super) fn is_any(&self) -> bool {
        let mut polled = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    pub(super) fn next(&self) -> Option<Command> {
        let mut wakes = [0; 64];
        while matches!((&self.wake).read(&mut wakes), Ok(64)) {}
        self.queue.try_recv().ok()
    }
}

impl AsFd for Commands {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
