//! Passes sockets to a program as systemd does: `activator <socket…> -- <program> <args…>`.
//!
//! A socket is `NAME=KIND:ADDRESS`, with the kind `tcp`, `idle` (TCP, bound and not listening),
//! `udp` or `unix`. In `PREFORK_LISTEN`, `{0}` is the address of the first socket. The variable
//! `COUNT` overrides `LISTEN_FDS`, and `NAMES` overrides `LISTEN_FDNAMES`.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::{env, io};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use socket2::{Domain, Socket, Type};

fn main() -> ExitCode {
    eprintln!("activator: {}", execute());
    ExitCode::FAILURE
}

/// Executes the program. Returns only if that fails.
fn execute() -> io::Error {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let Some(end) = args.iter().position(|arg| arg == "--") else {
        return io::Error::other("expected `--`");
    };
    let program = args.split_off(end + 1);
    args.truncate(end);
    let sockets = args.iter().map(|arg| open(arg));
    // They have the numbers from 3 on, because nothing else is open.
    let sockets = match sockets.collect::<io::Result<Vec<_>>>() {
        Ok(sockets) => sockets,
        Err(error) => return error,
    };
    for (number, (_, socket, _)) in (3..).zip(&sockets) {
        assert_eq!(socket.as_raw_fd(), number);
        let inherited = FcntlArg::F_SETFD(FdFlag::empty());
        fcntl(socket, inherited).expect("the socket is open");
    }
    let names: Vec<&str> = sockets.iter().map(|(name, ..)| *name).collect();
    let or = |variable: &str, default: String| env::var(variable).unwrap_or(default);
    let mut listen = env::var("PREFORK_LISTEN").unwrap_or_default();
    for (index, (_, _, address)) in sockets.iter().enumerate() {
        listen = listen.replace(&format!("{{{index}}}"), address);
    }
    Command::new(&program[0])
        .args(&program[1..])
        .env("PREFORK_LISTEN", listen)
        // The exec keeps the pid.
        .env("LISTEN_PID", std::process::id().to_string())
        .env("LISTEN_FDS", or("COUNT", sockets.len().to_string()))
        .env("LISTEN_FDNAMES", or("NAMES", names.join(":")))
        .exec()
}

/// Opens a socket. Returns its name and its address too.
fn open(text: &str) -> io::Result<(&str, OwnedFd, String)> {
    let invalid = || io::Error::other(format!("expected NAME=KIND:ADDRESS, found {text}"));
    let (name, socket) = text.split_once('=').ok_or_else(invalid)?;
    let (kind, address) = socket.split_once(':').ok_or_else(invalid)?;
    let (fd, address): (OwnedFd, String) = match kind {
        "tcp" => {
            let socket = TcpListener::bind(address)?;
            let address = socket.local_addr()?.to_string();
            (socket.into(), address)
        }
        "idle" => {
            let address: SocketAddr = address.parse().map_err(io::Error::other)?;
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&address.into())?;
            (socket.into(), address.to_string())
        }
        "udp" => {
            let socket = UdpSocket::bind(address)?;
            let address = socket.local_addr()?.to_string();
            (socket.into(), address)
        }
        "unix" => (
            UnixListener::bind(address)?.into(),
            format!("unix:{address}"),
        ),
        _ => return Err(invalid()),
    };
    Ok((name, fd, address))
}
