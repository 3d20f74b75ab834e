//! Why an argument of `main` could not be made.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// Why an argument of `main`, or a listener that was asked for, cannot be made.
///
/// `Display` is the reason, [`source`](std::error::Error::source) what it was caused by.
///
/// # Examples
/// ```
/// use std::error::Error;
/// use prefork::ArgError;
///
/// let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
/// let error = ArgError::new("cannot read shard 3").with_source(cause);
/// assert_eq!(error.to_string(), "cannot read shard 3");
/// assert_eq!(error.source().expect("it has one").to_string(), "entity not found");
/// ```
#[derive(Debug, Clone)]
pub struct ArgError {
    reason: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl ArgError {
    /// With a reason: lower case, no full stop.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            source: None,
        }
    }

    /// With what caused it, which the reason need not repeat.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            source: Some(Arc::from(source.into())),
            ..self
        }
    }

    /// As the end of a worker, of the argument that has this name, if any, and this place.
    pub(crate) fn of_main(self, name: &'static str, index: usize) -> Error {
        Error::Argument {
            name,
            index,
            source: self.into(),
        }
    }
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl StdError for ArgError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source: &(dyn StdError + 'static) = self.source.as_deref()?;
        Some(source)
    }
}

/// For bodies that return what servers do.
impl From<ArgError> for std::io::Error {
    fn from(error: ArgError) -> Self {
        Self::other(error)
    }
}
