//! Commands from other threads of this process to the master, with a descriptor to poll.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::reload::ReloadReply;
use crate::supervisor::StopMode;

/// A request that a signal can make, too.
#[derive(Debug)]
pub(super) enum Command {
    Stop(StopMode),
    Reload(ReloadReply),
}

/// The receiving end, in the master.
#[derive(Debug)]
pub(super) struct CommandReceiver {
    queue: Arc<CommandQueue>,
    wake: UnixStream,
}

/// The sending end, in the `Handle`.
#[derive(Debug)]
pub(super) struct CommandSender {
    /// Dead after the master has ended.
    queue: Weak<CommandQueue>,
    wake: UnixStream,
}

/// The commands that the master has not read yet.
#[derive(Debug, Default)]
struct CommandQueue(Mutex<VecDeque<Command>>);

impl CommandQueue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Command>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn pair() -> io::Result<(CommandSender, CommandReceiver)> {
    let queue = Arc::new(CommandQueue::default());
    let (sender_wake, receiver_wake) = UnixStream::pair()?;
    sender_wake.set_nonblocking(true)?;
    receiver_wake.set_nonblocking(true)?;
    let commander = CommandSender {
        queue: Arc::downgrade(&queue),
        wake: sender_wake,
    };
    let commands = CommandReceiver {
        queue,
        wake: receiver_wake,
    };
    Ok((commander, commands))
}

impl CommandSender {
    /// Sends a command. Does nothing if the master has ended.
    pub(super) fn send(&self, command: Command) {
        if let Some(queue) = self.queue.upgrade() {
            queue.lock().push_back(command);
            // A full socket wakes the master, too.
            let _ = (&self.wake).write(&[0]);
        }
    }
}

impl CommandReceiver {
    /// Whether a request to stop has arrived that was not read yet.
    pub(super) fn has_stop(&self) -> bool {
        let is_stop = |command: &Command| matches!(command, Command::Stop(_));
        self.queue.lock().iter().any(is_stop)
    }

    pub(super) fn next(&self) -> Option<Command> {
        let mut wakes = [0; 64];
        while matches!((&self.wake).read(&mut wakes), Ok(64)) {}
        self.queue.lock().pop_front()
    }
}

impl AsFd for CommandReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
