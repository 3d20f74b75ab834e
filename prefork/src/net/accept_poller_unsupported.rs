//! In place of `accept_poller.rs` on systems without `EPOLLEXCLUSIVE`: accepts wait with poll(2).

use std::os::fd::{BorrowedFd, RawFd};

use nix::{Error, Result};

/// Never exists.
#[derive(Debug)]
pub(super) enum AcceptPoller {}

impl AcceptPoller {
    /// # Errors
    /// Always.
    pub(super) fn new(_drain: BorrowedFd<'_>) -> Result<Self> {
        Err(Error::ENOSYS)
    }

    pub(super) fn add(&self, _socket: BorrowedFd<'_>) -> Result<()> {
        match *self {}
    }

    pub(super) fn remove(&self, _socket: BorrowedFd<'_>) {
        match *self {}
    }

    pub(super) fn move_back(&self, _socket: BorrowedFd<'_>) -> Result<()> {
        match *self {}
    }

    pub(super) fn end_waits(&self, _drain: BorrowedFd<'_>) {
        match *self {}
    }

    pub(super) fn wait(&self) -> Result<Option<RawFd>> {
        match *self {}
    }
}
