//! What `main` may take: each argument says what it wants, and is made inside the worker.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::worker::Worker;
use super::{Context, Ready, Wanted};
use crate::net::Listener;

/// Something that `main` can take as an argument.
///
/// Implemented for [`Worker`], [`Ready`], [`prefork::net::Listener`](crate::net::Listener),
/// `std::net::TcpListener`, and with feature `tokio` for `tokio::net::TcpListener`.
///
/// # Examples
/// A type of one's own:
/// ```
/// use prefork::{ArgError, Argument, Request, Worker};
///
/// struct Shard(usize);
///
/// impl Argument for Shard {
///     fn from_worker(worker: &Worker, _request: &Request<'_>) -> Result<Self, ArgError> {
///         Ok(Shard(worker.slot()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a `main` under `#[prefork::main]`",
    label = "not something that a worker is given",
    note = "a `main` takes `prefork::Worker`, `prefork::Ready`, `prefork::net::Listener`, \
            `std::net::TcpListener`, `tokio::net::TcpListener` (feature `tokio`), or a type of \
            yours that implements `prefork::Argument`"
)]
pub trait Argument: Sized + 'static {
    /// What it wants from the worker; known to the master, which refuses what does not fit before
    /// it starts anybody.
    const KIND: ArgumentKind = ArgumentKind::Other;

    /// Makes the argument, in the worker, right before the body runs, inside the runtime where
    /// there is one.
    ///
    /// # Errors
    /// Why it cannot be made; the worker ends.
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
            Self::Listener | Self::StdTcpListener | Self::TokioTcpListener => true,
            Self::Worker | Self::Ready | Self::Other => false,
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
    /// The argument's name in `main`, empty where it is a pattern.
    pub fn name(&self) -> &'a str {
        self.name
    }

    fn listener(&self) -> Result<usize, ArgError> {
        self.listener.ok_or_else(|| {
            ArgError::new("no listener was set aside for it; its KIND does not ask for one")
        })
    }
}

/// Why an argument cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgError {
    reason: String,
}

impl ArgError {
    /// With a reason: lower case, no full stop.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ArgError {}

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
        Self::from_std(listener).map_err(|error| ArgError::new(error.to_string()))
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
pub(crate) fn take<T: 'static>(index: usize, context: &Arc<Context>) -> Result<T, String> {
    let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = pending.get_mut(index).and_then(Option::take);
    drop(pending);
    let (want, listener) = entry.ok_or("main was called a second time")?;
    let extract = want.extract.downcast_ref::<Extract<T>>();
    let extract = extract.expect("the attribute lists the arguments in their order");
    let request = Request {
        name: want.name,
        listener,
    };
    let worker = Worker::new(Arc::clone(context));
    extract(&worker, &request).map_err(|error| match want.name {
        "" => error.to_string(),
        name => format!("argument '{name}': {error}"),
    })
}
