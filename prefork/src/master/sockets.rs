//! Sends the sockets of a slot to a child of another slot, takes them back, and wakes the workers that
//! wait for them.
//!
//! It knows the frames. Which child gets which sockets is a decision of the supervisor.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::{Master, Notice};
use crate::channel::{Channel, FromMaster};
use crate::listen::BoundListener;
use crate::supervisor::{ChildId, Event, SlotId};
use crate::sys;

impl Master {
    /// Sends the sockets of this slot to a child of another one.
    pub(super) fn adopt_sockets(&mut self, slot: SlotId, child: ChildId) {
        if !self.send_sockets(slot.0, child) {
            self.on_adoption_failed(child, true);
        }
    }

    /// A child cannot accept from the sockets of other slots. Those that it has stay.
    ///
    /// The log has one line about a shortage of a child.
    pub(super) fn on_adoption_failed(&mut self, id: ChildId, is_short: bool) {
        if let Some(child) = self.children.get_mut(&id)
            && is_short
            && !std::mem::replace(&mut child.is_adoption_logged, true)
        {
            let worker = child.process();
            self.emit(&Notice::AdoptionFailed { worker });
        }
        self.notify_heard(Event::AdoptionFailed { child: id });
    }

    /// Returns whether the child gets them.
    ///
    /// It fails if the child has hundreds of unread frames, or if too many descriptors wait in
    /// queues.
    fn send_sockets(&self, slot: usize, child: ChildId) -> bool {
        let Some(channel) = self.channel_of(child) else {
            return false;
        };
        let mut listeners = self.listeners.iter().enumerate();
        listeners.all(|(listener, bound)| {
            let frame = FromMaster::Adopt { slot, listener }.encode();
            let mut sockets = bound.own_sockets_of(slot);
            sockets.all(|socket| channel.send_with_descriptors(&frame, &[socket]).is_ok())
        })
    }

    /// The child closes the sockets that it has of this slot.
    pub(super) fn release_sockets(&self, slot: usize, child: ChildId) {
        let Some(channel) = self.channel_of(child) else {
            return;
        };
        let listeners = self.listeners.iter().enumerate();
        for (listener, _) in listeners.filter(|(_, bound)| bound.has_slots()) {
            // If it does not get the frame, it accepts from them as long as it lives.
            let _ = channel.send(&FromMaster::Release { slot, listener }.encode());
        }
    }

    fn channel_of(&self, child: ChildId) -> Option<&Channel> {
        self.children.get(&child)?.channel.as_ref()
    }

    /// A standby that is promoted gets the sockets of its slot. From its start it has those of
    /// another one, by the number that it had as a standby.
    pub(super) fn exchange_sockets(&mut self, slot: SlotId, child: ChildId) {
        let number = self.children.get(&child).map(|child| child.slot);
        if let (1.., Some(number)) = (self.ring_width, number) {
            // Otherwise it keeps what it has.
            if self.send_sockets(slot.0, child) {
                self.release_sockets(number, child);
            } else {
                self.on_adoption_failed(child, true);
            }
        }
    }

    /// Wakes the workers that wait for connections, if a connection waits.
    ///
    /// For a connection, the kernel wakes only one of the workers that accept blocking
    /// (`net/accept_poller.rs`). If that one was suspended or has died before it accepted, the others
    /// sleep.
    pub(super) fn wake_workers(&self) {
        let listening = self.listeners.iter().filter(|bound| bound.is_listening());
        let sockets: Vec<_> = listening.flat_map(BoundListener::sockets).collect();
        let wait = |sockets: &[BorrowedFd<'_>]| {
            let numbers: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
            sys::fds::readable(&numbers) > 0
        };
        // Usually no connection waits, and there may be thousands of sockets.
        if wait(&sockets) {
            let busy = sockets.iter().filter(|&&socket| wait(&[socket]));
            busy.for_each(|&socket| sys::accept::wake_watchers(socket));
        }
    }

    /// Handles SIGCHLD: a signal may have suspended or resumed children.
    pub(super) fn note_suspended(&mut self) {
        // Several changes can be one signal, so the kernel is asked until there is none.
        let changes = WaitPidFlag::WSTOPPED | WaitPidFlag::WCONTINUED | WaitPidFlag::WNOHANG;
        while let Ok(change) = waitid(Id::All, changes) {
            let (pid, is_suspended) = match change {
                WaitStatus::Stopped(pid, _) => (pid.as_raw(), true),
                WaitStatus::Continued(pid) => (pid.as_raw(), false),
                // Exits are reported by process descriptors.
                _ => return,
            };
            let mut children = self.children.values();
            let child = children.find(|child| child.pid == pid);
            // Other code of this process may have started it.
            if let Some(child) = child.map(|child| child.id) {
                self.wake_workers();
                self.notify_heard(if is_suspended {
                    Event::Suspended { child }
                } else {
                    Event::Resumed { child }
                });
            }
        }
    }
}
