//! What `main` may take: each argument says what it wants, and is made inside the worker.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use super::worker::Worker;
use super::{ArgError, Context, Ready, Wanted};
use crate::error::Error;
use crate::net::Listener;

/// Something that `main` can take as an argument.
///
/// | type | what it is |
/// |---|---|
/// | [`Worker`] | the worker: its slot, its listeners by name, its stop |
/// | [`net::Listener`](crate::net::Listener) | a listener of ours, for blocking code, tokio and axum |
/// | `net::TlsListener` | one that speaks TLS, for tokio and axum (feature `tls`) |
/// | `Arc<rustls::ServerConfig>` | the certificates, for a body that does the rest by itself (feature `tls`) |
/// | `std::net::TcpListener` | the plain socket, in blocking mode |
/// | `tokio::net::TcpListener` | the same for tokio (feature `tokio`, inside of its runtime) |
/// | [`Ready`] | the word that this worker serves; taking it turns automatic readiness off |
/// | `Result<T, `[`ArgError`]`>` | any of these and of yours, where the body itself wants to deal with a failure |
/// | a type of yours | whatever can be made from a [`Worker`] |
///
/// # Names and order
/// Arguments are told apart by their types and stand in any order; they are made in the order in
/// which they are written, right before the body runs. The name matters for those that take a listener: an
/// argument that is named like a listener takes that one, the others take what is left, in order.
/// Underscores in front do not count, so that `_admin` takes the listener `admin`; a pattern, such as
/// `Shard(number): Shard`, has no name. What does not fit is refused by the master before it starts
/// anybody ([`Error::Arguments`](crate::Error::Arguments)); an argument that cannot be made ends its
/// worker, with the reason on stderr and the status of [`Error::Argument`](crate::Error::Argument),
/// unless the body takes it as a `Result`.
///
/// # Pitfalls
/// A `std::net::TcpListener` is blocking. tokio refuses it (`tokio::net::TcpListener::from_std`): an async body takes
/// `tokio::net::TcpListener` or [`net::Listener`](crate::net::Listener) instead. A port that the body binds by itself is
/// bound in every worker, so that one worker has it and the others fail: `listen` is the place for each port.
///
/// # Examples
/// A type of one's own, and a body that goes on without it where it cannot be made:
/// ```no_run
/// use prefork::{ArgError, Argument, Request, Worker, net::Listener};
///
/// /// The part of the data that this worker holds.
/// struct Shard(Vec<u8>);
///
/// impl Argument for Shard {
///     fn from_worker(worker: &Worker, _request: &Request<'_>) -> Result<Self, ArgError> {
///         let path = format!("/srv/shards/{}", worker.slot());
///         let bytes = std::fs::read(&path);
///         let bytes = bytes.map_err(|error| ArgError::new(format!("cannot read {path}")).with_source(error))?;
///         Ok(Shard(bytes))
///     }
/// }
///
/// #[prefork::main(listen = "127.0.0.1:8080", workers = 4)]
/// fn main(listener: Listener, shard: Result<Shard, ArgError>) {
///     let Shard(bytes) = shard.unwrap_or_else(|_| Shard(Vec::new()));
///     while let Some(_connection) = listener.blocking_accept() {
///         println!("{} bytes", bytes.len());
///     }
/// }
/// ```
///
/// One that is made around a listener: it says so by its `KIND`, and asks that type for it.
/// ```
/// use prefork::{ArgError, Argument, ArgumentKind, Request, Worker, net::Listener};
///
/// struct Front(Listener);
///
/// impl Argument for Front {
///     const KIND: ArgumentKind = <Listener as Argument>::KIND;
///
///     fn from_worker(worker: &Worker, request: &Request<'_>) -> Result<Self, ArgError> {
///         Listener::from_worker(worker, request).map(Front)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a `main` under `#[prefork::main]`",
    label = "not something that a worker is given",
    note = "a `main` takes `prefork::Worker`, `prefork::Ready`, `prefork::net::Listener`, \
            `std::net::TcpListener`, `tokio::net::TcpListener` (feature `tokio`), \
            `prefork::net::TlsListener`, `Arc<rustls::ServerConfig>` (feature `tls`), a type of \
            yours that implements `prefork::Argument`, or `Result<T, prefork::ArgError>` of these",
    note = "a type that only looks like one of these comes from another version of its crate, \
            which `cargo tree --duplicates` shows; prefork knows the types of tokio 1"
)]
pub trait Argument: Sized + 'static {
    /// What it wants from the worker; known to the master, which refuses what does not fit before
    /// it starts anybody.
    ///
    /// The default suits a type that needs no listener. One that takes some by name, from
    /// [`Worker::listener`], says [`ArgumentKind::Worker`]: they are nobody else's then.
    const KIND: ArgumentKind = ArgumentKind::Other;

    /// Makes the argument, in the worker, right before the body runs, inside the runtime where
    /// there is one.
    ///
    /// # Errors
    /// Why it cannot be made; the worker ends, unless the body takes a `Result`.
    fn from_worker(worker: &Worker, request: &Request<'_>) -> Result<Self, ArgError>;
}

/// What an argument wants from the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentKind {
    /// A listener of ours.
    Listener,
    /// The socket of a listener, for blocking calls: the master leaves it blocking.
    StdTcpListener,
    /// The socket of a listener, for tokio.
    TokioTcpListener,
    /// A listener that speaks TLS.
    TlsListener,
    /// The configuration of TLS, for a body that does the rest by itself.
    TlsConfig,
    /// The worker itself.
    Worker,
    /// The word that it serves.
    Ready,
    /// Nothing that anybody else has to know of.
    Other,
}

impl ArgumentKind {
    pub(crate) fn takes_listener(self) -> bool {
        match self {
            Self::Listener | Self::StdTcpListener | Self::TokioTcpListener | Self::TlsListener => {
                true
            }
            Self::TlsConfig | Self::Worker | Self::Ready | Self::Other => false,
        }
    }
}

/// The argument that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    name: &'a str,
    listener: Option<usize>,
}

impl<'a> Request<'a> {
    /// The argument's name in `main`, without underscores in front, empty where it is a pattern.
    pub fn name(&self) -> &'a str {
        self.name
    }

    pub(super) fn listener(&self) -> Result<usize, ArgError> {
        self.listener.ok_or_else(|| {
            ArgError::new("no listener was set aside for it; its KIND does not ask for one")
        })
    }
}

impl Argument for Worker {
    const KIND: ArgumentKind = ArgumentKind::Worker;

    fn from_worker(worker: &Worker, _request: &Request<'_>) -> Result<Self, ArgError> {
        Ok(worker.clone())
    }
}

impl Argument for Ready {
    const KIND: ArgumentKind = ArgumentKind::Ready;

    fn from_worker(worker: &Worker, _request: &Request<'_>) -> Result<Self, ArgError> {
        Ok(worker.into())
    }
}

impl Argument for Listener {
    const KIND: ArgumentKind = ArgumentKind::Listener;

    fn from_worker(worker: &Worker, request: &Request<'_>) -> Result<Self, ArgError> {
        worker.context.listener(request.listener()?)
    }
}

impl Argument for std::net::TcpListener {
    const KIND: ArgumentKind = ArgumentKind::StdTcpListener;

    fn from_worker(worker: &Worker, request: &Request<'_>) -> Result<Self, ArgError> {
        worker.context.raw_listener(request.listener()?)
    }
}

#[cfg(feature = "tokio")]
impl Argument for tokio::net::TcpListener {
    const KIND: ArgumentKind = ArgumentKind::TokioTcpListener;

    fn from_worker(worker: &Worker, request: &Request<'_>) -> Result<Self, ArgError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(ArgError::new(
                "a tokio listener needs a tokio runtime around main: make main async",
            ));
        }
        let listener = worker.context.raw_listener(request.listener()?)?;
        Self::from_std(listener).map_err(|error| {
            ArgError::new("tokio does not take the listener's socket").with_source(error)
        })
    }
}

/// For a body that wants to deal with the failure itself.
impl<T: Argument> Argument for Result<T, ArgError> {
    const KIND: ArgumentKind = T::KIND;

    fn from_worker(worker: &Worker, request: &Request<'_>) -> Result<Self, ArgError> {
        Ok(T::from_worker(worker, request))
    }
}

/// One argument of `main`, as the attribute writes it down.
#[derive(Debug)]
pub struct Want {
    name: &'static str,
    kind: ArgumentKind,
    /// An `Extract<T>` for the argument's type.
    extract: Box<dyn Any + Send>,
}

type Extract<T> = fn(&Worker, &Request<'_>) -> Result<T, ArgError>;

impl Want {
    /// The only place where the argument's type must be an [`Argument`], so that a type that is
    /// none is reported once.
    pub fn of<T: Argument>(name: &'static str) -> Self {
        let extract: Extract<T> = T::from_worker;
        Self {
            name,
            kind: T::KIND,
            extract: Box::new(extract),
        }
    }

    pub(crate) fn wanted(&self) -> Wanted<'static> {
        Wanted {
            name: self.name,
            kind: self.kind,
        }
    }
}

/// What `main` will be called with, each with the place of its listener, from `run` until its body
/// begins.
static PENDING: Mutex<Vec<Option<Pending>>> = Mutex::new(Vec::new());

type Pending = (Want, Option<usize>);

/// Lays the wants down for [`take`], each with the listener that it was assigned.
pub(crate) fn lay_down(wants: Vec<Want>, assigned: Vec<Option<usize>>) {
    let pending = wants.into_iter().zip(assigned).map(Some).collect();
    *PENDING.lock().unwrap_or_else(PoisonError::into_inner) = pending;
}

/// Makes the argument at this place.
///
/// # Errors
/// Why it cannot be made, or that it was made before.
pub(crate) fn take<T: 'static>(index: usize, context: &Arc<Context>) -> Result<T, Error> {
    let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = pending.get_mut(index).and_then(Option::take);
    drop(pending);
    let name = entry.as_ref().map_or("", |(want, _)| want.name);
    let made = match entry {
        Some((want, listener)) => want.make(listener, context),
        None => Err(ArgError::new("main was called a second time")),
    };
    made.map_err(|error| error.of_main(name, index))
}

impl Want {
    fn make<T: 'static>(
        self,
        listener: Option<usize>,
        context: &Arc<Context>,
    ) -> Result<T, ArgError> {
        let extract = self.extract.downcast_ref::<Extract<T>>();
        let extract = extract.expect("the attribute lists the arguments in their order");
        let request = Request {
            name: self.name,
            listener,
        };
        let worker = Worker::new(Arc::clone(context));
        let made = extract(&worker, &request);
        if let Some(index) = listener {
            // A `Result` that holds no listener does not keep a stop waiting for one.
            context.seats().no_longer_awaits(index);
        }
        made
    }
}
