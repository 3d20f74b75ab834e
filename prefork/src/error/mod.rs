//! What can go wrong, and what a process ends with when it does.

mod bad_option;
mod ending;
mod error;
mod hint;
mod shortage;
mod tls_reason;

pub use bad_option::BadOption;
pub use error::Error;
pub(crate) use hint::OwnSocket;
pub(crate) use shortage::{Shortage, ShortageStage};
pub use tls_reason::TlsReason;
