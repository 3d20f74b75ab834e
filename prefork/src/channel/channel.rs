//! One end of a channel. Neither sending nor receiving ever waits for the other side.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use crate::sys::pair::{QUIET, pair};

/// A frame longer than this is a violation.
pub(crate) const MAX_FRAME: usize = 4096;

/// One end of the pair.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
}

/// What was there to receive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// One frame; an empty one is skipped by the decoder like any unknown one.
    Frame(Vec<u8>),
    /// A frame longer than any that either side sends.
    TooLong,
    /// Nothing now.
    Nothing,
    /// The other side is gone.
    End,
}

impl Channel {
    /// Both ends, close-on-exec and non-blocking.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = pair()?;
        Ok((Self { fd: one }, Self { fd: other }))
    }

    /// An inherited end.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Sends one frame, or fails at once.
    ///
    /// # Errors
    /// `WouldBlock` when the other side has left hundreds of frames unread; `EPIPE` when it is
    /// gone.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | QUIET;
        let fd = self.fd.as_raw_fd();
        send(fd, frame, flags)?;
        Ok(())
    }

    /// Ends the conversation for both sides, whoever else holds a descriptor of it.
    pub(crate) fn hang_up(&self) {
        // It fails only where the other side has ended it already.
        let fd = self.fd.as_raw_fd();
        let _ = shutdown(fd, Shutdown::Both);
    }

    /// Receives one frame. No control buffer is given, so that descriptors that the other side
    /// sends along are dropped by the kernel.
    pub(crate) fn receive(&self) -> Received {
        let mut buffer = [0; MAX_FRAME];
        // MSG_TRUNC: the whole length, also of what did not fit.
        match self.take(&mut buffer, MsgFlags::MSG_TRUNC) {
            // An empty frame reads like the end; only poll can tell them apart.
            Ok(0) if !self.is_hung_up() => Received::Frame(Vec::new()),
            Ok(0) => Received::End,
            Ok(length) if length > MAX_FRAME => Received::TooLong,
            Ok(length) => Received::Frame(buffer[..length].to_vec()),
            Err(Errno::EAGAIN | Errno::EINTR) => Received::Nothing,
            Err(_) => Received::End,
        }
    }

    /// A peer that died with a frame of ours unread is first reported as a reset, and then what it
    /// had said before is delivered: the report is passed over. It cannot come twice.
    fn take(&self, buffer: &mut [u8], flags: MsgFlags) -> nix::Result<usize> {
        let take = |buffer: &mut [u8]| {
            let flags = flags | MsgFlags::MSG_DONTWAIT;
            recv(self.fd.as_raw_fd(), buffer, flags)
        };
        match take(buffer) {
            Err(Errno::ECONNRESET) => take(buffer),
            other => other,
        }
    }

    fn is_hung_up(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        let mut polled = [PollFd::new(self.fd.as_fd(), PollFlags::empty())];
        let hung_up = poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        // More frames may wait behind an empty one of a peer that is gone by now: then the next
        // receive finds them, since the kernel delivers what was sent before the end.
        hung_up && !self.has_more()
    }

    fn has_more(&self) -> bool {
        let peeked = self.take(&mut [0], MsgFlags::MSG_PEEK);
        peeked.is_ok_and(|length| length > 0)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_frame_is_not_the_end() {
        let (one, other) = Channel::pair().expect("descriptors");
        one.send(b"").expect("room");
        one.send(b"ready").expect("room");
        drop(one);
        assert_eq!(other.receive(), Received::Frame(Vec::new()));
        assert_eq!(other.receive(), Received::Frame(b"ready".to_vec()));
        assert_eq!(other.receive(), Received::End);
    }

    #[test]
    fn what_a_peer_said_before_it_died_with_frames_unread_is_heard() {
        let (one, other) = Channel::pair().expect("descriptors");
        other.send(b"welcome").expect("room");
        one.send(b"ready").expect("room");
        one.send(b"").expect("room");
        one.send(b"panic x").expect("room");
        drop(one);
        assert_eq!(other.receive(), Received::Frame(b"ready".to_vec()));
        assert_eq!(other.receive(), Received::Frame(Vec::new()));
        assert_eq!(other.receive(), Received::Frame(b"panic x".to_vec()));
        assert_eq!(other.receive(), Received::End);
    }

    #[test]
    fn a_frame_that_is_too_long_is_told_from_one_that_fits() {
        let (one, other) = Channel::pair().expect("descriptors");
        one.send(&[b'x'; MAX_FRAME + 1]).expect("room");
        one.send(&[b'x'; MAX_FRAME]).expect("room");
        assert_eq!(other.receive(), Received::TooLong);
        assert_eq!(other.receive(), Received::Frame(vec![b'x'; MAX_FRAME]));
        assert_eq!(other.receive(), Received::Nothing);
    }

    #[test]
    fn a_full_channel_fails_at_once() {
        let (one, _other) = Channel::pair().expect("descriptors");
        let refused = (0..100_000).find_map(|_| one.send(b"ready").err());
        assert_eq!(refused.map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
    }
}
