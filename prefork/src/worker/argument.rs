//! The arguments of `main`: each type declares what it needs and is created inside the worker.
//!
//! This file knows how arguments are created. `assign` decides which argument takes which listener.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use super::context::Context;
use super::from_worker_error::FromWorkerError;
use super::ready::Ready;
use super::socket_kind::SocketKind;
use super::worker::Worker;
use crate::error::Error;
use crate::net::Listener;

/// A type that `main` can take as an argument.
///
/// | type | value |
/// |---|---|
/// | [`Worker`] | the worker: its slot, its listeners by name, its shutdown |
/// | [`net::Listener`](crate::net::Listener) | a listener for blocking code, tokio and axum |
/// | `net::TlsListener` | a listener with TLS, for tokio and axum (feature `tls`) |
/// | `Arc<rustls::ServerConfig>` | the TLS configuration, for code that performs the handshakes itself (feature `tls`) |
/// | `TcpListener`, `UdpSocket` of `std::net` | the plain socket, in blocking mode |
/// | `UnixListener`, `UnixDatagram` of `std::os::unix::net` | the plain unix socket, in blocking mode |
/// | `TcpListener`, `UdpSocket`, `UnixListener`, `UnixDatagram` of `tokio::net` | the socket for tokio (feature `tokio`, inside a tokio runtime) |
/// | [`Ready`] | reports that this worker is ready; with this argument, the first accept does not report it |
/// | `Result<T, `[`FromWorkerError`]`>` | any of these types, if `main` handles the failure itself |
/// | your own type | anything that can be created from a [`Worker`] |
///
/// # Names and order
/// The type of an argument decides what it gets, so arguments may be in any order. They are created
/// in the order in which they are written, right before `main` runs.
///
/// The name matters only for an argument that takes a listener. An argument with the name of a
/// listener takes that listener. The other arguments take the unnamed listeners, in order. Leading
/// underscores are ignored, so `_admin` takes the listener `admin`. A pattern such as
/// `Shard(number): Shard` has no name.
///
/// If arguments and listeners do not fit together, the master fails before it starts a worker
/// ([`Error::Arguments`](crate::Error::Arguments)). If an argument cannot be created, the worker
/// logs the reason to stderr and exits with the status of
/// [`Error::Argument`](crate::Error::Argument), unless `main` takes the argument as a `Result`.
///
/// # Pitfalls
/// A `std::net::TcpListener` is in blocking mode, which tokio rejects
/// (`tokio::net::TcpListener::from_std`). An async `main` takes `tokio::net::TcpListener` or
/// [`net::Listener`](crate::net::Listener) instead.
///
/// If `main` itself binds a port, every worker tries to bind it: one succeeds and the others fail.
/// Set every port in `listen`.
///
/// # Examples
/// Your own type, and a `main` that continues without it if it cannot be created:
/// ```no_run
/// use prefork::{ArgumentInfo, FromWorker, FromWorkerError, Worker, net::Listener};
///
/// /// The part of the data that this worker holds.
/// struct Shard(Vec<u8>);
///
/// impl FromWorker for Shard {
///     fn from_worker(worker: &Worker, _info: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
///         let path = format!("/srv/shards/{}", worker.slot());
///         std::fs::read(&path).map(Shard).map_err(|error| {
///             FromWorkerError::new(format!("cannot read {path}")).with_source(error)
///         })
///     }
/// }
///
/// #[prefork::main(listen = "127.0.0.1:8080", workers = 4)]
/// fn main(listener: Listener, shard: Result<Shard, FromWorkerError>) {
///     let Shard(bytes) = shard.unwrap_or_else(|_| Shard(Vec::new()));
///     while let Some(_connection) = listener.blocking_accept() {
///         println!("{} bytes", bytes.len());
///     }
/// }
/// ```
///
/// A type that wraps a listener has the `NEEDS` of that listener, and creates the listener first:
/// ```
/// use prefork::{ArgumentInfo, FromWorker, FromWorkerError, Needs, Worker, net::Listener};
///
/// struct Front(Listener);
///
/// impl FromWorker for Front {
///     const NEEDS: Needs = <Listener as FromWorker>::NEEDS;
///
///     fn from_worker(worker: &Worker, info: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
///         Listener::from_worker(worker, info).map(Front)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of `main` under `#[prefork::main]`",
    label = "a worker cannot provide this argument",
    note = "`main` takes `prefork::Worker`, `prefork::Ready`, `prefork::net::Listener`, \
            `TcpListener`, `UdpSocket`, `UnixListener` and `UnixDatagram` of std and (feature \
            `tokio`) of tokio, \
            `prefork::net::TlsListener`, `Arc<rustls::ServerConfig>` (feature `tls`), your \
            own type that implements `prefork::FromWorker`, or `Result<T, \
            prefork::FromWorkerError>` of these",
    note = "a type that has the same name as one of these is from another version of its crate \
            (`cargo tree --duplicates` shows it); prefork uses the types of tokio 1"
)]
pub trait FromWorker: Sized + 'static {
    /// What the argument needs from the worker.
    ///
    /// The master reads it to check the arguments before it starts a worker. The default is for a
    /// type that needs no listener. Use [`Needs::Worker`] for a type that takes listeners by
    /// name, with [`Worker::listener`]: then the check accepts listeners without an argument.
    const NEEDS: Needs = Needs::Nothing;

    /// Creates the argument.
    ///
    /// # Errors
    /// The argument cannot be created. The worker exits, unless `main` takes a `Result`.
    ///
    /// # Process
    /// In the worker, on the thread of `main`, right before `main` runs. If `main` has a runtime,
    /// inside it.
    fn from_worker(worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError>;
}

/// What an argument needs from the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// A [`net::Listener`](crate::net::Listener).
    Listener,
    /// The socket of a listener, for blocking calls.
    ///
    /// The master sets it to blocking mode.
    StdSocket(SocketKind),
    /// The socket of a listener, for tokio.
    TokioSocket(SocketKind),
    /// A listener with TLS.
    TlsListener,
    /// The TLS configuration, for code that performs the handshakes itself.
    TlsConfig,
    /// The [`Worker`].
    Worker,
    /// The [`Ready`] handle.
    Ready,
    /// Nothing that affects listeners, TLS or readiness.
    Nothing,
}

impl Needs {
    pub(crate) fn takes_listener(self) -> bool {
        match self {
            Self::Listener | Self::StdSocket(_) | Self::TokioSocket(_) | Self::TlsListener => true,
            Self::TlsConfig | Self::Worker | Self::Ready | Self::Nothing => false,
        }
    }

    /// Whether an argument can take a listener of this kind.
    pub(super) fn accepts(self, kind: SocketKind) -> bool {
        match self {
            Self::StdSocket(wanted) | Self::TokioSocket(wanted) => wanted == kind,
            Self::Listener | Self::TlsListener => kind.is_stream(),
            Self::TlsConfig | Self::Worker | Self::Ready | Self::Nothing => true,
        }
    }

    /// The name of the type, for messages about its listener.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::StdSocket(kind) | Self::TokioSocket(kind) => kind.type_name(),
            Self::TlsListener => "TlsListener",
            Self::Listener | Self::TlsConfig | Self::Worker | Self::Ready | Self::Nothing => {
                "Listener"
            }
        }
    }
}

/// An argument of `main` that is to be created.
#[derive(Debug, Clone, Copy)]
pub struct ArgumentInfo<'a> {
    name: &'a str,
    listener: Option<usize>,
}

impl<'a> ArgumentInfo<'a> {
    /// Returns the name of the argument in `main`.
    ///
    /// It has no leading underscores. It is empty if the argument is a pattern.
    pub fn name(&self) -> &'a str {
        self.name
    }

    pub(crate) fn listener(&self) -> Result<usize, FromWorkerError> {
        self.listener.ok_or_else(|| {
            FromWorkerError::new("its type does not request a listener (`FromWorker::NEEDS`)")
        })
    }
}

impl FromWorker for Worker {
    const NEEDS: Needs = Needs::Worker;

    fn from_worker(worker: &Worker, _info: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        Ok(worker.clone())
    }
}

impl FromWorker for Ready {
    const NEEDS: Needs = Needs::Ready;

    fn from_worker(worker: &Worker, _info: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        Ok(Ready(Arc::clone(&worker.context)))
    }
}

impl FromWorker for Listener {
    const NEEDS: Needs = Needs::Listener;

    fn from_worker(worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        worker.context.listener(request.listener()?)
    }
}

/// Implements `FromWorker` for the socket types of std and tokio.
macro_rules! raw_sockets {
    ($($kind:ident: $std:ty, $tokio:ident;)*) => { $(
        impl FromWorker for $std {
            const NEEDS: Needs = Needs::StdSocket(SocketKind::$kind);

            fn from_worker(
                worker: &Worker,
                request: &ArgumentInfo<'_>,
            ) -> Result<Self, FromWorkerError> {
                let socket = worker.context.raw(request.listener()?, SocketKind::$kind)?;
                Ok(socket.into())
            }
        }

        #[cfg(feature = "tokio")]
        impl FromWorker for tokio::net::$tokio {
            const NEEDS: Needs = Needs::TokioSocket(SocketKind::$kind);

            fn from_worker(
                worker: &Worker,
                request: &ArgumentInfo<'_>,
            ) -> Result<Self, FromWorkerError> {
                if tokio::runtime::Handle::try_current().is_err() {
                    return Err(FromWorkerError::new(concat!(
                        "tokio::net::", stringify!($tokio), " needs a tokio runtime: make main async",
                    )));
                }
                let socket = worker.context.raw(request.listener()?, SocketKind::$kind)?;
                Self::from_std(socket.into()).map_err(|error| {
                    let reason = "tokio cannot register the listener's socket";
                    FromWorkerError::new(reason).with_source(error)
                })
            }
        }
    )* };
}

raw_sockets! {
    TcpListener: std::net::TcpListener, TcpListener;
    UdpSocket: std::net::UdpSocket, UdpSocket;
    UnixListener: std::os::unix::net::UnixListener, UnixListener;
    UnixDatagram: std::os::unix::net::UnixDatagram, UnixDatagram;
}

/// For a `main` that handles the failure itself.
impl<T: FromWorker> FromWorker for Result<T, FromWorkerError> {
    const NEEDS: Needs = T::NEEDS;

    fn from_worker(worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        Ok(T::from_worker(worker, request))
    }
}

/// The part of an argument that decides which listener it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedArgument<'a> {
    pub(crate) name: &'a str,
    pub(crate) needs: Needs,
}

/// One argument of `main`, as the attribute generates it.
#[derive(Debug)]
pub struct ArgumentSpec {
    name: &'static str,
    needs: Needs,
    /// An `Extract<T>` for the argument's type.
    extract: Box<dyn Any + Send>,
}

type Extract<T> = fn(&Worker, &ArgumentInfo<'_>) -> Result<T, FromWorkerError>;

impl ArgumentSpec {
    /// Describes an argument of type `T`.
    ///
    /// Only this function requires `T: FromWorker`, so the compiler reports a wrong type once.
    pub fn of<T: FromWorker>(name: &'static str) -> Self {
        let extract: Extract<T> = T::from_worker;
        Self {
            name,
            needs: T::NEEDS,
            extract: Box::new(extract),
        }
    }

    pub(crate) fn info(&self) -> WantedArgument<'static> {
        WantedArgument {
            name: self.name,
            needs: self.needs,
        }
    }
}

/// The arguments of `main` until it is called, each with the index of its listener.
static PENDING_ARGUMENTS: Mutex<Vec<Option<PendingArgument>>> = Mutex::new(Vec::new());

type PendingArgument = (ArgumentSpec, Option<usize>);

/// Stores the arguments for `extract`, each with the index of its listener.
pub(crate) fn set_pending(arguments: Vec<ArgumentSpec>, assigned: Vec<Option<usize>>) {
    let pending = arguments.into_iter().zip(assigned).map(Some).collect();
    *PENDING_ARGUMENTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = pending;
}

/// Creates the argument at this index.
///
/// # Errors
/// The argument cannot be created, or was created before.
pub(crate) fn extract<T: 'static>(index: usize, context: &Arc<Context>) -> Result<T, Error> {
    let mut pending = PENDING_ARGUMENTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let entry = pending.get_mut(index).and_then(Option::take);
    drop(pending);
    let name = entry.as_ref().map_or("", |(argument, _)| argument.name);
    let created = match entry {
        Some((argument, listener)) => argument.create(listener, context),
        None => Err(FromWorkerError::new("main was called a second time")),
    };
    created.map_err(|error| error.of_main(name, index))
}

impl ArgumentSpec {
    fn create<T: 'static>(
        self,
        listener: Option<usize>,
        context: &Arc<Context>,
    ) -> Result<T, FromWorkerError> {
        let extract = self.extract.downcast_ref::<Extract<T>>();
        let extract = extract.expect("the attribute lists the arguments in order");
        let request = ArgumentInfo {
            name: self.name,
            listener,
        };
        let worker = Worker::new(Arc::clone(context));
        let created = extract(&worker, &request);
        if let Some(index) = listener {
            // If it failed, a stop must not wait for this listener.
            context.listeners.cancel_expected(index);
            context.waker.wake();
        }
        created
    }
}
