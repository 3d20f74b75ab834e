//! The kinds of sockets that a listener can be, and the types of std and tokio for them.

use prefork_options::{Addr, Transport};

use crate::listen::ListenerInfo;

/// The kind of a listener's socket.
///
/// Later versions can add variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketKind {
    /// A TCP socket that accepts connections.
    TcpListener,
    /// A unix stream socket that accepts connections.
    UnixListener,
    /// A UDP socket.
    UdpSocket,
    /// A unix datagram socket.
    UnixDatagram,
}

impl SocketKind {
    pub(crate) fn of(transport: Transport, is_unix: bool) -> Self {
        match (transport == Transport::Datagram, is_unix) {
            (false, false) => Self::TcpListener,
            (false, true) => Self::UnixListener,
            (true, false) => Self::UdpSocket,
            (true, true) => Self::UnixDatagram,
        }
    }

    pub(super) fn of_listener(info: &ListenerInfo) -> Self {
        Self::of(info.transport, !matches!(info.address(), Addr::Ip(_)))
    }

    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::TcpListener | Self::UnixListener)
    }

    /// Describes a listener of this kind.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::TcpListener => "a TCP socket",
            Self::UnixListener => "a unix socket",
            Self::UdpSocket => "a UDP socket",
            Self::UnixDatagram => "a unix datagram socket",
        }
    }

    /// The name of the type in std and in tokio.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::TcpListener => "TcpListener",
            Self::UnixListener => "UnixListener",
            Self::UdpSocket => "UdpSocket",
            Self::UnixDatagram => "UnixDatagram",
        }
    }

    /// The types that an argument of `main` for this listener can have.
    pub(super) fn types(self) -> String {
        let of_others = format!("{} of std or tokio", self.type_name());
        if self.is_stream() {
            format!("prefork::net::Listener, or {of_others}")
        } else {
            of_others
        }
    }
}

/// A listener that arguments of `main` can take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferedListener<'a> {
    pub(crate) name: &'a str,
    pub(crate) transport: Transport,
    /// `None` for a descriptor that is not open.
    pub(crate) kind: Option<SocketKind>,
}

impl<'a> OfferedListener<'a> {
    pub(super) fn of(info: &'a ListenerInfo) -> Self {
        Self {
            name: info.name(),
            transport: info.transport,
            kind: Some(SocketKind::of_listener(info)),
        }
    }
}
