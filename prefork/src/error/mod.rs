//! What can go wrong, and what a process ends with when it does.

mod error;
mod help;
mod hint;
mod option_error;
mod shortage;
mod tls_error_kind;

pub use error::Error;
pub(crate) use hint::OwnSocketError;
pub use option_error::OptionError;
pub(crate) use shortage::{Shortage, ShortageStage};
pub use tls_error_kind::TlsErrorKind;
