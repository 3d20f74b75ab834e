//! The worker as its `main` sees it.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;

use prefork_options::Transport;

use super::context::Context;
use super::from_worker_error::FromWorkerError;
#[cfg(feature = "http")]
use super::shutdown::ShutdownProgress;
use super::shutdown::{Closing, Shutdown, StreamsEnded};
use super::socket_kind::SocketKind;
use crate::listen::ListenerInfo;
use crate::net::Listener;
use crate::tls::LISTENER_HELP;

/// The worker that runs in this process: its slot, its listeners and its shutdown.
///
/// It is an argument of `main` and of the function given to
/// [`Prefork::run`](crate::Prefork::run), and [`worker`](crate::worker()) returns it.
#[derive(Debug, Clone)]
pub struct Worker {
    pub(crate) context: Arc<Context>,
}

impl Worker {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Returns the slot of this worker, from 0.
    ///
    /// Its replacement has the same slot.
    ///
    /// A standby has no slot. Until it is promoted, this is a number after those of all slots:
    /// `workers` for the first standby. From then on it is the slot that the worker fills. A
    /// worker that needs its slot reads it after its first accept.
    pub fn slot(&self) -> usize {
        self.context.slot()
    }

    /// Returns the names, addresses and transports of all listeners.
    pub fn listeners(&self) -> &[ListenerInfo] {
        self.context.listeners.infos()
    }

    /// Returns the name, address and transport of one listener. Does not take it.
    ///
    /// If the operator decides about TLS, its [`transport`](ListenerInfo::transport) is the
    /// decision: take a listener with [`Transport::Tls`](crate::Transport::Tls) with
    /// `tls_listener` (feature `tls`), and every other one with [`listener`](Self::listener).
    ///
    /// # Errors
    /// No listener has this name.
    pub fn listener_info(&self, name: &str) -> Result<&ListenerInfo, FromWorkerError> {
        Ok(&self.listeners()[self.index_of(name)?])
    }

    /// Takes a listener by its name; unnamed listeners are `listener0`, `listener1`, …
    ///
    /// # Errors
    /// - No listener has this name.
    /// - An argument of `main` or an earlier call has already taken the listener.
    /// - Its address has `tls://`, and the code has not taken the TLS configuration before. To
    ///   perform the handshakes itself, the code first calls `tls_config`, or `main` takes an
    ///   `Arc<rustls::ServerConfig>` (feature `tls`).
    pub fn listener(&self, name: &str) -> Result<Listener, FromWorkerError> {
        self.context.handle_sigterm();
        self.context.listener(self.plain_index_of(name)?)
    }

    /// Takes the socket of a listener as a `std::net::TcpListener`.
    ///
    /// The socket is in non-blocking mode, unless `main` has an argument that needs
    /// [`StdSocket`](crate::Needs::StdSocket) for this listener. A stop does not end an accept on
    /// it; the crate page lists the guarantees that it does not give. In a standby, the call blocks
    /// until the standby is promoted or has to stop.
    ///
    /// # Errors
    /// As [`listener`](Self::listener), or the worker is shutting down and has closed the listener,
    /// or it is another kind of socket, or has several addresses.
    pub fn tcp_listener(&self, name: &str) -> Result<TcpListener, FromWorkerError> {
        let index = self.plain_index_of(name)?;
        Ok(self.context.raw(index, SocketKind::TcpListener)?.into())
    }

    /// Takes the socket of a listener as a `std::os::unix::net::UnixListener`.
    ///
    /// Its mode is that of [`tcp_listener`](Self::tcp_listener).
    ///
    /// # Errors
    /// As [`tcp_listener`](Self::tcp_listener).
    pub fn unix_listener(&self, name: &str) -> Result<UnixListener, FromWorkerError> {
        let index = self.plain_index_of(name)?;
        Ok(self.context.raw(index, SocketKind::UnixListener)?.into())
    }

    /// Takes the socket of a listener as a `std::net::UdpSocket`.
    ///
    /// Its mode is that of [`tcp_listener`](Self::tcp_listener). All workers receive from this
    /// socket: each datagram goes to one of them.
    ///
    /// # Errors
    /// As [`tcp_listener`](Self::tcp_listener).
    pub fn udp_socket(&self, name: &str) -> Result<UdpSocket, FromWorkerError> {
        let socket = self
            .context
            .raw(self.index_of(name)?, SocketKind::UdpSocket)?;
        Ok(socket.into())
    }

    /// Takes the socket of a listener as a `std::os::unix::net::UnixDatagram`.
    ///
    /// It is shared like a [`udp_socket`](Self::udp_socket).
    ///
    /// # Errors
    /// As [`tcp_listener`](Self::tcp_listener).
    pub fn unix_datagram(&self, name: &str) -> Result<UnixDatagram, FromWorkerError> {
        let socket = self
            .context
            .raw(self.index_of(name)?, SocketKind::UnixDatagram)?;
        Ok(socket.into())
    }

    /// Reports that this worker is ready; see [`notify_ready`](crate::notify_ready()).
    pub fn notify_ready(&self) {
        self.context.notify_ready();
    }

    /// Takes back the readiness of this worker; see [`not_ready`](crate::not_ready()).
    pub fn not_ready(&self) {
        self.context.not_ready();
    }

    /// Returns a future that resolves when the server should close its connections.
    ///
    /// See [`shutdown`](crate::shutdown()).
    pub fn shutdown(&self) -> Shutdown {
        // If `main` takes no `Worker`, this was called through an argument of the user's own type.
        self.context.handle_sigterm();
        Shutdown::new(&self.context.shutdown)
    }

    /// Returns a future that resolves when this worker begins to drain.
    ///
    /// See [`closing`](crate::closing()).
    pub fn closing(&self) -> Closing {
        self.context.handle_sigterm();
        Closing::new(&self.context.shutdown)
    }

    /// Returns a future that resolves when this worker has drained and has no connection left.
    ///
    /// See [`streams_ended`](crate::streams_ended()).
    pub fn streams_ended(&self) -> StreamsEnded {
        self.context.handle_sigterm();
        StreamsEnded::new(&self.context.shutdown)
    }

    #[cfg(feature = "http")]
    pub(crate) fn progress(&self) -> &ShutdownProgress {
        &self.context.shutdown
    }

    /// Returns the index of a listener, or an error if the code must use TLS.
    fn plain_index_of(&self, name: &str) -> Result<usize, FromWorkerError> {
        let index = self.index_of(name)?;
        if self.listeners()[index].transport() != Transport::Tls
            || self.context.tls.is_used_by_main()
        {
            return Ok(index);
        }
        Err(FromWorkerError::new(format!(
            "listener '{name}' uses TLS (tls://): {LISTENER_HELP}"
        )))
    }

    pub(crate) fn index_of(&self, name: &str) -> Result<usize, FromWorkerError> {
        self.context.listeners.index_of(name)
    }
}

impl Context {
    /// # Errors
    /// It was taken before, or its socket accepts no connections.
    pub(crate) fn listener(&self, index: usize) -> Result<Listener, FromWorkerError> {
        self.check_kind(index, "Listener", SocketKind::is_stream)?;
        self.listeners.take(index)
    }

    /// Takes the socket of a listener. In a standby, blocks until the standby is promoted.
    ///
    /// # Errors
    /// It was taken before or is closed, or is another kind of socket.
    pub(super) fn raw(&self, index: usize, kind: SocketKind) -> Result<OwnedFd, FromWorkerError> {
        self.check_kind(index, kind.type_name(), |found| found == kind)?;
        // Nothing holds back the accepts of a raw listener.
        let is_held_back = self.is_standby && !self.tracker.pass_gate();
        let (info, fd) = self.listeners.take_raw(index)?;
        // A stop may wait for this argument. A `Listener` wakes the monitor when it ends.
        self.waker.wake();
        fd.filter(|_| !is_held_back).ok_or_else(|| {
            let name = info.name();
            FromWorkerError::new(format!(
                "listener '{name}' is closed: the worker is shutting down"
            ))
        })
    }

    fn check_kind(
        &self,
        index: usize,
        type_name: &str,
        fits: impl FnOnce(SocketKind) -> bool,
    ) -> Result<(), FromWorkerError> {
        let info = self.listeners.infos().get(index);
        match info.map(|info| (info, SocketKind::of_listener(info))) {
            Some((info, kind)) if !fits(kind) => Err(FromWorkerError::new(format!(
                "listener '{}' is {}, not a {type_name}: take it as {}",
                info.name(),
                kind.description(),
                kind.types()
            ))),
            _ => Ok(()),
        }
    }
}
