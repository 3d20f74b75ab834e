//! The error of an argument of `main` that cannot be created.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// The reason why an argument of `main` or a requested listener cannot be created.
///
/// `Display` is the reason. [`source`](std::error::Error::source) returns the cause, if there is
/// one.
///
/// # Examples
/// ```
/// use std::error::Error;
/// use prefork::FromWorkerError;
///
/// let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
/// let error = FromWorkerError::new("cannot read shard 3").with_source(cause);
/// assert_eq!(error.to_string(), "cannot read shard 3");
/// assert_eq!(error.source().expect("the error has a cause").to_string(), "entity not found");
/// ```
#[derive(Debug, Clone)]
pub struct FromWorkerError {
    reason: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl FromWorkerError {
    /// Creates an error with this reason: lower case, no full stop.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            source: None,
        }
    }

    /// Adds the cause, which the reason does not need to repeat.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            source: Some(Arc::from(source.into())),
            ..self
        }
    }

    /// Converts it to the error that ends the worker. `name` is empty if the argument is a pattern;
    /// `index` counts from 0.
    pub(crate) fn of_main(self, name: &'static str, index: usize) -> Error {
        Error::Argument {
            name,
            index,
            source: self.into(),
        }
    }
}

impl fmt::Display for FromWorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl StdError for FromWorkerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source: &(dyn StdError + 'static) = self.source.as_deref()?;
        Some(source)
    }
}

/// For a `main` that returns `std::io::Result`.
impl From<FromWorkerError> for std::io::Error {
    fn from(error: FromWorkerError) -> Self {
        Self::other(error)
    }
}
