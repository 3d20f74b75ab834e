//! Binding what the options ask for. The process that binds owns the sockets for as long as it
//! serves: a queue must outlive the worker that it waits for.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use prefork_options::Address;
use socket2::{Domain, Protocol, Socket, Type};

use super::resolve::resolve;
use crate::error::Error;

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) name: String,
    /// With the real port where 0 was asked for.
    pub(crate) addr: SocketAddr,
    pub(crate) socket: Socket,
}

/// The kernel cuts this to `net.core.somaxconn`: the operator's word.
const BACKLOG: i32 = 65_535;

/// A leaver of a master that was killed closes its listener at once, but not before the next
/// master is there.
const PATIENCE: Duration = Duration::from_secs(1);
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// Binds all addresses, or none.
///
/// # Errors
/// The first that cannot be resolved or bound, by its name.
pub(crate) fn bind_all(addresses: &[Address]) -> Result<Vec<Bound>, Error> {
    let give_up_at = Instant::now() + PATIENCE;
    addresses
        .iter()
        .map(|address| bind_patiently(address, give_up_at))
        .collect()
}

fn bind_patiently(address: &Address, give_up_at: Instant) -> Result<Bound, Error> {
    let listener = address.name.clone().unwrap_or_default();
    let addr = resolve(address).map_err(|source| Error::Resolve {
        listener: listener.clone(),
        address: address.host.clone(),
        source,
    })?;
    loop {
        match bind(addr) {
            Ok((socket, addr)) => {
                return Ok(Bound {
                    name: listener,
                    addr,
                    socket,
                });
            }
            Err((_, source))
                if source.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up_at =>
            {
                thread::sleep(RETRY_EVERY);
            }
            Err((call, source)) => {
                return Err(Error::Listen {
                    listener,
                    address: addr.to_string(),
                    call,
                    source,
                });
            }
        }
    }
}

/// Binds one socket and listens. The error comes with the call that failed.
fn bind(addr: SocketAddr) -> Result<(Socket, SocketAddr), (&'static str, io::Error)> {
    let at = |call| move |source| (call, source);
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
        .map_err(at("open a socket for"))?;
    // Connections of an earlier run in TIME_WAIT do not keep the port (socket(7)).
    socket.set_reuse_address(true).map_err(at("prepare"))?;
    socket.bind(&addr.into()).map_err(at("bind"))?;
    socket.listen(BACKLOG).map_err(at("listen on"))?;
    let bound = socket.local_addr().map_err(at("read the address of"))?;
    Ok((socket, bound.as_socket().unwrap_or(addr)))
}

impl Bound {
    /// The flag belongs to the socket, not to the process: whoever shares the socket shares it.
    ///
    /// # Errors
    /// None that a socket of ours can have.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    /// The descriptor alone.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.socket.into()
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        let mut address: Address = text.parse().expect(text);
        address.name.get_or_insert_with(|| "http".to_owned());
        address
    }

    #[test]
    fn port_zero_gives_the_real_port() {
        let bound = bind_all(&[address("127.0.0.1:0"), address("[::1]:0")]).expect("free ports");
        assert!(bound.iter().all(|listener| listener.addr.port() != 0));
        assert_ne!(bound[0].addr, bound[1].addr);
    }

    #[test]
    fn an_empty_host_and_a_host_name_are_ipv4() {
        let bound = bind_all(&[address(":0"), address("localhost:0")]).expect("free ports");
        assert!(bound.iter().all(|listener| listener.addr.is_ipv4()));
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_the_listener() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = holder.local_addr().expect("bound").to_string();
        let error = bind_all(&[address(&taken)]).expect_err("the port is taken");
        let text = error.paragraph();
        assert!(text.contains("'http'") && text.contains(&taken), "{text}");
        assert_eq!(error.exit_code(), 69);
    }

    #[test]
    fn a_port_that_gets_free_in_time_is_bound() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = holder.local_addr().expect("bound").to_string();
        let release = thread::spawn(move || {
            thread::sleep(RETRY_EVERY * 3);
            drop(holder);
        });
        assert!(bind_all(&[address(&taken)]).is_ok());
        release.join().expect("it only drops");
    }

    #[test]
    fn an_unknown_host_is_an_error_that_names_it() {
        let error = bind_all(&[address("no-such-host.invalid:80")]).expect_err("unknown");
        assert!(
            error.to_string().contains("no-such-host.invalid"),
            "{error}"
        );
        assert_eq!(error.exit_code(), 68);
    }
}
