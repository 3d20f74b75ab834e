//! One end of a channel. Neither sending nor receiving ever waits for the peer.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, recvmsg, send, shutdown};

use crate::sys::background_close::BackgroundCloseFd;
use crate::sys::seqpacket::{
    NOSIGNAL, receive_with_descriptors, refuse_descriptors, send_with_descriptors, seqpacket_pair,
};

/// The longest frame, in bytes. A longer one breaks the rules of the channel.
pub(crate) const MAX_FRAME: usize = 4096;

/// One end of the pair.
#[derive(Debug)]
pub(crate) struct Channel {
    end: ChannelEnd,
}

/// How this end rejects descriptors that the peer sends.
///
/// The thread that drops a message closes the descriptors in it. The last close of a socket may
/// block for as long as its owner set (`SO_LINGER` in `socket(7)`). A worker must not be able to
/// block the thread of the master in this way.
#[derive(Debug)]
enum ChannelEnd {
    /// The kernel rejects them (Linux 6.16), or the peer is the trusted master.
    Plain(OwnedFd),
    /// This code rejects them.
    ///
    /// It peeks at each frame and never receives one with descriptors. Another thread closes this
    /// end with all that is still queued.
    Checked(BackgroundCloseFd),
}

/// The result of a receive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReceivedFrame {
    /// One frame. An empty one is skipped by the decoder like any unknown frame.
    Frame(Vec<u8>),
    /// A frame longer than `MAX_FRAME`.
    TooLong,
    /// A frame with descriptors. It stays in the queue: the caller drops the channel.
    Descriptors,
    /// No frame is waiting.
    Nothing,
    /// The peer closed its end.
    End,
}

impl Channel {
    /// Creates the end of the master and the end of the child.
    ///
    /// Both are close-on-exec and non-blocking.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (master, child) = seqpacket_pair()?;
        let end = match refuse_descriptors(master.as_fd()) {
            Ok(()) => ChannelEnd::Plain(master),
            Err(_) => ChannelEnd::Checked(BackgroundCloseFd::new(master)),
        };
        Ok((Self { end }, Self::from_fd(child)))
    }

    /// A pair as on kernels before Linux 6.16.
    #[cfg(test)]
    fn checked_pair() -> io::Result<(Self, Self)> {
        let (master, child) = seqpacket_pair()?;
        let end = ChannelEnd::Checked(BackgroundCloseFd::new(master));
        Ok((Self { end }, Self::from_fd(child)))
    }

    /// An inherited end; its peer is the master.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        let end = ChannelEnd::Plain(fd);
        Self { end }
    }

    /// Sends one frame, or fails at once.
    ///
    /// # Errors
    /// `WouldBlock` if the peer has hundreds of unread frames; `EPIPE` if it closed its end.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | NOSIGNAL;
        let fd = self.as_fd().as_raw_fd();
        match send(fd, frame, flags) {
            // Tries again after a shortage of memory: no later frame would make up for a lost one,
            // and a worker would stay unready.
            Err(errno) if !matches!(errno, Errno::EAGAIN | Errno::EPIPE) => send(fd, frame, flags)?,
            other => other?,
        };
        Ok(())
    }

    /// Sends one frame with one or two descriptors, or fails at once.
    ///
    /// # Errors
    /// As [`send`](Self::send). `ETOOMANYREFS` if too many descriptors wait in queues (`unix(7)`).
    pub(crate) fn send_with_descriptors(
        &self,
        frame: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        send_with_descriptors(self.as_fd(), frame, descriptors)?;
        Ok(())
    }

    /// Ends the channel for both sides, even if other processes hold descriptors of it.
    pub(crate) fn close(&self) {
        // This fails only if the peer already closed its end.
        let fd = self.as_fd().as_raw_fd();
        let _ = shutdown(fd, Shutdown::Both);
    }

    /// Receives one frame.
    pub(crate) fn receive(&self) -> ReceivedFrame {
        match &self.end {
            ChannelEnd::Plain(_) => self.receive_next(),
            // No other process receives from this end, so the next receive returns the frame that
            // was checked.
            ChannelEnd::Checked(_) => match self.has_descriptors() {
                Ok(false) => self.receive_next(),
                Ok(true) => ReceivedFrame::Descriptors,
                Err(Errno::EAGAIN | Errno::EINTR) => ReceivedFrame::Nothing,
                Err(_) => ReceivedFrame::End,
            },
        }
    }

    /// Receives one frame of the master, which is trusted, and the descriptors in it.
    pub(crate) fn receive_with_descriptors(&self) -> (ReceivedFrame, Vec<OwnedFd>) {
        let mut buffer = [0; MAX_FRAME];
        let mut descriptors = Vec::new();
        let length = ignoring_one_error(|| {
            let fd = self.as_fd();
            let (length, fds) = receive_with_descriptors(fd, &mut buffer, MsgFlags::MSG_TRUNC)?;
            descriptors = fds;
            Ok(length)
        });
        (self.received(length, &buffer), descriptors)
    }

    /// Whether the next frame carries descriptors.
    ///
    /// A peek without a control buffer installs no descriptors in this process, and closes none for
    /// the last time, since the queued frame keeps them. `MSG_CTRUNC` reports that there are some
    /// (`recvmsg(2)`); no other feature of this socket uses a control buffer.
    fn has_descriptors(&self) -> nix::Result<bool> {
        let peek = || {
            let mut buffer = [0];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            let fd = self.as_fd().as_raw_fd();
            let message = recvmsg::<()>(fd, &mut parts, None, flags)?;
            Ok(message.flags.contains(MsgFlags::MSG_CTRUNC))
        };
        match peek() {
            // As in `recv`.
            Err(errno) if errno != Errno::EAGAIN => peek(),
            other => other,
        }
    }

    fn receive_next(&self) -> ReceivedFrame {
        let mut buffer = [0; MAX_FRAME];
        let length = self.recv(&mut buffer, MsgFlags::MSG_TRUNC);
        self.received(length, &buffer)
    }

    /// Interprets a result with `MSG_TRUNC`: the whole length, even of a frame that did not fit.
    fn received(&self, length: nix::Result<usize>, buffer: &[u8]) -> ReceivedFrame {
        match length {
            // An empty frame reads like the end of the channel; only `poll(2)` distinguishes them.
            Ok(0) if !self.is_closed() => ReceivedFrame::Frame(Vec::new()),
            Ok(0) => ReceivedFrame::End,
            Ok(length) if length > MAX_FRAME => ReceivedFrame::TooLong,
            Ok(length) => ReceivedFrame::Frame(buffer[..length].to_vec()),
            Err(Errno::EAGAIN | Errno::EINTR) => ReceivedFrame::Nothing,
            Err(_) => ReceivedFrame::End,
        }
    }

    fn recv(&self, buffer: &mut [u8], flags: MsgFlags) -> nix::Result<usize> {
        let flags = flags | MsgFlags::MSG_DONTWAIT;
        ignoring_one_error(|| recv(self.as_fd().as_raw_fd(), buffer, flags))
    }

    fn is_closed(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        let mut polled = [PollFd::new(self.as_fd(), PollFlags::empty())];
        let hung_up = poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        // More frames may follow an empty one of a peer that closed its end meanwhile. The next
        // receive returns them: the kernel delivers what was sent before the end.
        hung_up && !self.has_more()
    }

    fn has_more(&self) -> bool {
        let peeked = self.recv(&mut [0], MsgFlags::MSG_PEEK);
        peeked.is_ok_and(|length| length > 0)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.end {
            ChannelEnd::Plain(fd) => fd.as_fd(),
            ChannelEnd::Checked(fd) => fd.as_fd(),
        }
    }
}

/// Receives, and ignores one error.
///
/// If a peer died with unread frames, the kernel first reports a reset and then delivers what the
/// peer had sent. The reset cannot come twice. Any other error (`ENOMEM`) is ignored once, too: if
/// it were taken for the end of the channel, a worker would exit although its master is alive.
fn ignoring_one_error(mut receive: impl FnMut() -> nix::Result<usize>) -> nix::Result<usize> {
    match receive() {
        Err(errno) if errno != Errno::EAGAIN => receive(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{IoSlice, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::RawFd;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use nix::sys::socket::{ControlMessage, sendmsg};
    use socket2::SockRef;

    use super::*;

    /// The pair of this kernel, and the pair of an older one.
    const PAIRS: [ChannelPair; 2] = [Channel::pair, Channel::checked_pair];

    type ChannelPair = fn() -> io::Result<(Channel, Channel)>;

    #[test]
    fn an_empty_frame_is_not_the_end() {
        for pair in PAIRS {
            let (master, child) = pair().expect("free descriptors");
            child.send(b"").expect("space in the queue");
            child.send(b"ready").expect("space in the queue");
            drop(child);
            assert_eq!(master.receive(), ReceivedFrame::Frame(Vec::new()));
            assert_eq!(master.receive(), ReceivedFrame::Frame(b"ready".to_vec()));
            assert_eq!(master.receive(), ReceivedFrame::End);
        }
    }

    #[test]
    fn a_child_receives_descriptors_and_an_older_one_only_the_frame() {
        for pair in PAIRS {
            let (master, child) = pair().expect("free descriptors");
            let (reader, writer) = io::pipe().expect("free descriptors");
            for _ in 0..2 {
                master
                    .send_with_descriptors(b"two", &[reader.as_fd(), writer.as_fd()])
                    .expect("space in the queue");
            }
            drop((reader, writer));
            assert_eq!(child.receive(), ReceivedFrame::Frame(b"two".to_vec()));
            let (frame, descriptors) = child.receive_with_descriptors();
            assert_eq!(frame, ReceivedFrame::Frame(b"two".to_vec()));
            let [reader, writer] = descriptors.try_into().expect("two descriptors");
            File::from(writer).write_all(b"text").expect("space");
            let text = io::read_to_string(File::from(reader)).expect("a pipe");
            assert_eq!(text, "text");
            master.send(b"none").expect("space in the queue");
            let (frame, descriptors) = child.receive_with_descriptors();
            assert_eq!(frame, ReceivedFrame::Frame(b"none".to_vec()));
            assert_eq!(descriptors.len(), 0);
        }
    }

    #[test]
    fn frames_of_a_peer_that_died_with_unread_frames_are_received() {
        for pair in PAIRS {
            let (master, child) = pair().expect("free descriptors");
            master.send(b"welcome").expect("space in the queue");
            child.send(b"ready").expect("space in the queue");
            child.send(b"").expect("space in the queue");
            child.send(b"panic x").expect("space in the queue");
            drop(child);
            assert_eq!(master.receive(), ReceivedFrame::Frame(b"ready".to_vec()));
            assert_eq!(master.receive(), ReceivedFrame::Frame(Vec::new()));
            assert_eq!(master.receive(), ReceivedFrame::Frame(b"panic x".to_vec()));
            assert_eq!(master.receive(), ReceivedFrame::End);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_reported() {
        for pair in PAIRS {
            let (master, child) = pair().expect("free descriptors");
            child
                .send(&[b'x'; MAX_FRAME + 1])
                .expect("space in the queue");
            child.send(&[b'x'; MAX_FRAME]).expect("space in the queue");
            assert_eq!(master.receive(), ReceivedFrame::TooLong);
            assert_eq!(
                master.receive(),
                ReceivedFrame::Frame(vec![b'x'; MAX_FRAME])
            );
            assert_eq!(master.receive(), ReceivedFrame::Nothing);
        }
    }

    #[test]
    fn a_full_channel_fails_at_once() {
        for pair in PAIRS {
            let (master, _child) = pair().expect("free descriptors");
            let error = (0..100_000).find_map(|_| master.send(b"drain").err());
            assert_eq!(error.map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
        }
    }

    fn send_descriptors(from: &Channel, frame: &[u8], fds: &[RawFd]) -> nix::Result<usize> {
        let fd = from.as_fd().as_raw_fd();
        let rights = [ControlMessage::ScmRights(fds)];
        let parts = [IoSlice::new(frame)];
        sendmsg::<()>(fd, &parts, &rights, MsgFlags::MSG_DONTWAIT | NOSIGNAL, None)
    }

    #[test]
    #[cfg_attr(
        not(all(target_os = "linux", not(prefork_portable))),
        ignore = "only Linux has a master"
    )]
    fn the_kernel_rejects_descriptors_to_the_master_but_not_from_it() {
        let (master, child) = Channel::pair().expect("free descriptors");
        if matches!(master.end, ChannelEnd::Checked(_)) {
            println!("skipped: needs SO_PASSRIGHTS (Linux 6.16)");
            return;
        }
        let stdin = [0];
        let result = send_descriptors(&child, b"ready", &stdin);
        assert_eq!(result, Err(Errno::EPERM));
        child.send(b"ready").expect("space in the queue");
        assert_eq!(master.receive(), ReceivedFrame::Frame(b"ready".to_vec()));
        send_descriptors(&master, b"welcome", &stdin).expect("the child may receive them");
    }

    /// A socket that blocks in its last close, since its peer never reads all data.
    fn lingering() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket");
        let mut near = TcpStream::connect(addr).expect("a listening socket");
        let (far, _) = listener.accept().expect("a connected client");
        near.set_nonblocking(true).expect("a socket");
        let chunk = vec![0; 1 << 20];
        while near.write(&chunk).is_ok() {}
        let linger = Some(Duration::from_secs(1_000_000));
        SockRef::from(&near).set_linger(linger).expect("a socket");
        (near, far)
    }

    /// Runs code that may block; fails after a minute.
    fn within_a_minute<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || done.send(run()));
        let limit = Duration::from_mins(1);
        is_done.recv_timeout(limit).expect("it must not block")
    }

    /// Sends the near end of a lingering socket and closes it here. Returns the far end.
    fn send_lingering(child: &Channel, frame: &[u8]) -> TcpStream {
        let (near, far) = lingering();
        send_descriptors(child, frame, &[near.as_raw_fd()])
            .expect("an older kernel accepts descriptors");
        far
    }

    #[test]
    #[cfg_attr(
        not(all(target_os = "linux", not(prefork_portable))),
        ignore = "only Linux has a master"
    )]
    fn a_frame_with_descriptors_is_never_received_and_its_channel_is_dropped_at_once() {
        for frame in [&b"ready"[..], b"", &[b'x'; MAX_FRAME + 1]] {
            let (master, child) = Channel::checked_pair().expect("free descriptors");
            child.send(b"hello").expect("space in the queue");
            let _far = send_lingering(&child, frame);
            child.send(b"closed").expect("space in the queue");
            let received = within_a_minute(move || {
                let received = [master.receive(), master.receive(), master.receive()];
                drop(master);
                received
            });
            let expected = [
                ReceivedFrame::Frame(b"hello".to_vec()),
                ReceivedFrame::Descriptors,
                ReceivedFrame::Descriptors,
            ];
            assert_eq!(received, expected);
        }
    }

    #[test]
    #[cfg_attr(
        not(all(target_os = "linux", not(prefork_portable))),
        ignore = "only Linux has a master"
    )]
    fn unread_descriptors_do_not_block_a_drop() {
        let (master, child) = Channel::checked_pair().expect("free descriptors");
        let far: Vec<_> = (0..3).map(|_| send_lingering(&child, b"ready")).collect();
        // Like after the exit of a child.
        drop(child);
        within_a_minute(move || drop(master));
        drop(far);
    }

    #[test]
    #[cfg_attr(
        not(all(target_os = "linux", not(prefork_portable))),
        ignore = "only Linux has a master"
    )]
    fn a_socket_queued_in_a_socket_in_a_frame_does_not_block_a_drop() {
        let (master, child) = Channel::checked_pair().expect("free descriptors");
        let (inner, other) = seqpacket_pair().expect("free descriptors");
        let other = Channel::from_fd(other);
        let _far = send_lingering(&other, b"x");
        let both = [inner.as_raw_fd(), other.as_fd().as_raw_fd()];
        send_descriptors(&child, b"ready", &both).expect("an older kernel accepts descriptors");
        drop((inner, other, child));
        within_a_minute(move || {
            assert_eq!(master.receive(), ReceivedFrame::Descriptors);
            drop(master);
        });
    }
}
