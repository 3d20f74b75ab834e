//! Opens the sockets of one listener, with all options that come before binding.
//!
//! It knows the options of a socket. It does not know how many sockets a listener has, and who owns
//! the address.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use prefork_options::{Addr, Transport};
use socket2::{SockAddr, Socket, Type};

use super::ListenerInfo;
use super::resolve::{ResolvedSocket, lacks_zone};
use super::unix_file::{BindFailure, FileOwner};
use crate::config::ListenSpec;
use crate::sys::addr::to_sock_addr;

/// What the options set for all listeners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketDefaults {
    pub(crate) backlog: u32,
    pub(crate) v6only: Option<bool>,
    pub(crate) nodelay: bool,
}

/// The user's function that gets each socket before it is bound.
#[derive(Clone)]
pub(crate) struct OnSocket(Arc<SocketHook>);

type SocketHook = dyn Fn(&Socket, &ListenerInfo) -> io::Result<()> + Send + Sync;

impl OnSocket {
    pub(crate) fn new(
        hook: impl Fn(&Socket, &ListenerInfo) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(hook))
    }
}

impl fmt::Debug for OnSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnSocket")
    }
}

/// What the system calls need to know to open the sockets of one address.
#[derive(Debug, Clone)]
pub(super) struct BindTarget {
    /// Has one address.
    pub(super) info: ListenerInfo,
    /// The open descriptor that is used instead of a new socket.
    pub(super) fd: Option<RawFd>,
    pub(super) only_v6: Option<bool>,
    pub(super) owner: FileOwner,
    pub(super) backlog: u32,
    /// Whether an open descriptor gets this backlog.
    pub(super) relisten: bool,
    pub(super) nodelay: Option<bool>,
    pub(super) on_socket: Option<OnSocket>,
}

impl BindTarget {
    pub(super) fn new(
        spec: &ListenSpec,
        resolved: &ResolvedSocket,
        owner: FileOwner,
        defaults: SocketDefaults,
        on_socket: Option<&OnSocket>,
    ) -> Self {
        let options = &spec.options;
        Self {
            info: ListenerInfo::new(spec.name.clone(), resolved.address.clone(), spec.transport),
            fd: resolved.fd,
            only_v6: resolved.only_v6,
            owner,
            relisten: options.backlog.is_some(),
            backlog: options.backlog.unwrap_or(defaults.backlog),
            nodelay: options.nodelay.or(defaults.nodelay.then_some(true)),
            on_socket: on_socket.cloned(),
        }
    }

    pub(super) fn set_address(&mut self, address: Addr) {
        self.info = ListenerInfo::new(self.info.name.clone(), address, self.info.transport);
    }

    /// Replaces port 0 by the port of another address of the listener.
    pub(super) fn use_port_of(&mut self, other: &Self) {
        if let (Some(mut addr), Some(other)) = (self.info.socket_addr(), other.info.socket_addr())
            && addr.port() == 0
        {
            addr.set_port(other.port());
            self.set_address(Addr::Ip(addr));
        }
    }

    /// Whether the error means that this machine does not have the IPv6 address, or no IPv6 at all.
    pub(super) fn is_absent(&self, error: &io::Error) -> bool {
        let addr = self.info.socket_addr().filter(SocketAddr::is_ipv6);
        addr.is_some_and(|addr| match error.raw_os_error() {
            Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => true,
            Some(libc::EINVAL) => lacks_zone(&addr),
            _ => false,
        })
    }

    fn is_stream(&self) -> bool {
        self.info.transport != Transport::Datagram
    }

    pub(super) fn sock_addr(&self) -> Result<SockAddr, BindFailure> {
        to_sock_addr(self.info.address()).map_err(|source| ("bind", source))
    }

    /// Opens a socket, sets its options and calls `on_socket`. Binds nothing.
    pub(super) fn socket(&self) -> Result<Socket, BindFailure> {
        let at = |call| move |source| (call, source);
        let kind = if self.is_stream() {
            Type::STREAM
        } else {
            Type::DGRAM
        };
        // With an IP address, the default protocols are TCP and UDP.
        let socket = Socket::new(self.sock_addr()?.domain(), kind, None);
        let socket = socket.map_err(at("open a socket for"))?;
        if matches!(self.info.address(), Addr::Ip(_)) && self.is_stream() {
            // Connections of an earlier run in TIME_WAIT do not block the port (socket(7)). Two UDP
            // sockets with the flag would share a port.
            socket
                .set_reuse_address(true)
                .map_err(at("set SO_REUSEADDR for"))?;
        }
        if let Some(only_v6) = self.only_v6 {
            socket
                .set_only_v6(only_v6)
                .map_err(at("set IPV6_V6ONLY for"))?;
        }
        self.set_nodelay(&socket)?;
        if let Some(OnSocket(hook)) = &self.on_socket {
            hook(&socket, &self.info).map_err(at("run on_socket for"))?;
        }
        Ok(socket)
    }

    /// Accepted connections inherit the option from their listener.
    pub(super) fn set_nodelay(&self, socket: &Socket) -> Result<(), BindFailure> {
        match (self.nodelay, self.info.address()) {
            (Some(nodelay), Addr::Ip(_)) if self.is_stream() => socket
                .set_tcp_nodelay(nodelay)
                .map_err(|source| ("set TCP_NODELAY for", source)),
            (_, _) => Ok(()),
        }
    }

    /// A datagram socket has no queue of connections.
    pub(super) fn listen(&self, socket: &Socket) -> Result<(), BindFailure> {
        if !self.is_stream() {
            return Ok(());
        }
        let backlog = i32::try_from(self.backlog).unwrap_or(i32::MAX);
        let listening = socket.listen(backlog);
        listening.map_err(|source| ("listen on", source))
    }
}
