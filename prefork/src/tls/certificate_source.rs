//! What the master sees of certificates: where the file for each worker comes from, and the events
//! to log.
//!
//! It exists without feature `tls` too, so that the master does not depend on the feature.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

/// The certificates and keys that a master passes to its workers.
pub(crate) trait CertificateSource: fmt::Debug + Send {
    /// Reads the sources again, before a later start of a worker. Returns the events to log.
    fn reload(&mut self, now: SystemTime) -> Vec<TlsEvent>;

    /// Returns the warnings about the active certificate that were not returned before.
    fn warnings(&mut self, now: SystemTime) -> Vec<TlsEvent>;

    /// Returns the sealed file for a worker that starts at `now`, the time since boot.
    ///
    /// # Errors
    /// No descriptors or no memory are left.
    fn bundle_fd(&mut self, now: Duration) -> io::Result<BorrowedFd<'_>>;

    /// Describes the active certificate, for `PREFORK_EXPLAIN`.
    fn certificate(&self) -> String;
}

/// An event of the certificate, the key or the client CA. Its text is a log line.
#[derive(Debug)]
pub(crate) struct TlsEvent {
    pub(crate) level: TlsEventLevel,
    pub(crate) text: String,
}

/// The log level of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsEventLevel {
    /// The sources changed, and the new credentials are active.
    Info,
    /// Clients will reject the certificate soon, or some of them do.
    Warning,
    /// The new credentials cannot be used, or clients reject the certificate.
    Error,
}
