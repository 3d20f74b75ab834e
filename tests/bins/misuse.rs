//! Workers that misuse a socket that they share with the master. A request selects the misuse.
#![expect(
    unsafe_code,
    reason = "a misuse needs descriptors that prefork does not hand out"
)]

use std::io::{IoSlice, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;
use std::{env, io};

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use prefork::net::Listener;
use socket2::{SockRef, Type};

/// A linger time longer than any test.
const LINGER: Duration = Duration::from_secs(1_000_000);

#[prefork::main(workers = 2)]
async fn main(listener: Listener) -> io::Result<()> {
    let pid = async || format!("pid {}\n", std::process::id());
    let app = Router::new()
        .route("/", get(pid))
        .route("/do/{misuse}", get(misuse));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

/// Runs the misuse and answers with its outcome.
async fn misuse(Path(name): Path<String>) -> String {
    let result = match name.as_str() {
        "send_lingering" => send_lingering(b"x", 1),
        "send_many_lingering" => send_lingering(b"x", 20),
        "send_lingering_in_empty_frames" => send_lingering(b"", 3),
        "connect_listeners" => connect_listeners(),
        "exit" => std::process::exit(0),
        _ => Err(io::Error::other("no such misuse")),
    };
    match result {
        Ok(()) => "done\n".to_owned(),
        Err(error) => format!("{error}\n"),
    }
}

/// Sends the master sockets whose last close waits. The master holds their last descriptors.
fn send_lingering(frame: &[u8], count: usize) -> io::Result<()> {
    let channel = inherited(Type::SEQPACKET)?;
    for _ in 0..count {
        let socket = TcpStream::connect(peer()?)?;
        linger(&socket)?;
        let fds = [socket.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let parts = [IoSlice::new(frame)];
        match sendmsg::<()>(channel.as_raw_fd(), &parts, &rights, flags, None) {
            Ok(_) => {}
            // The master has closed its end because of an earlier frame.
            Err(Errno::EPIPE | Errno::ECONNRESET) => return close(&socket),
            Err(refused) => {
                close(&socket)?;
                return Err(refused.into());
            }
        }
    }
    Ok(())
}

/// Turns a listening socket, which the master shares, into a connection with unsent data.
fn connect_listeners() -> io::Result<()> {
    let listener = inherited(Type::STREAM)?;
    let socket = SockRef::from(&listener);
    socket.shutdown(std::net::Shutdown::Both)?;
    socket.set_nonblocking(false)?;
    socket.connect(&peer()?.into())?;
    linger(&listener)
}

/// Fills the send buffer, and makes the last close wait until the peer has read all data.
fn linger(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_nonblocking(true)?;
    let chunk = vec![0; 1 << 20];
    while (&*socket).write(&chunk).is_ok() {}
    socket.set_linger(Some(LINGER))
}

/// Resets the linger option, so that the close does not block this worker.
fn close(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).set_linger(None)
}

/// The address of a server that does not read. The test runs this server.
fn peer() -> io::Result<SocketAddr> {
    let peer = env::var("PEER").map_err(io::Error::other)?;
    peer.parse().map_err(io::Error::other)
}

/// The first inherited descriptor that is a socket of this type.
fn inherited(wanted: Type) -> io::Result<BorrowedFd<'static>> {
    // A worker inherits only its listeners and the channel.
    (3..8)
        .map(|number| {
            // SAFETY: the calls below report a number that is not open. Nothing closes the
            // descriptors of prefork while this process serves.
            unsafe { BorrowedFd::borrow_raw(number) }
        })
        .find(|fd| {
            let found = SockRef::from(fd).r#type();
            found.is_ok_and(|found| found == wanted)
        })
        .ok_or_else(|| io::Error::other("no such socket"))
}
