//! The certificate store of the master: the active certificate, reloaded before each start of a
//! child.
//!
//! Knows the sources and what was reported already. Does not know children, and does not log: it
//! returns events.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use super::active::ActiveCertificate;
use super::bundle::TlsBundle;
use super::credentials::{CredentialSources, Credentials};
use super::error::{Reason, TlsError};
use super::events::{Change, TlsEvent};
use super::ratchet::Ratchet;
use crate::config::Config;
use crate::error::Error;
use crate::sys::clock::since_boot;

/// Holds the active certificate and key, and the state of the ticket keys.
#[derive(Debug)]
pub(crate) struct CertificateStore {
    sources: CredentialSources,
    serving: ActiveCertificate,
    tickets: Ratchet,
    /// The last rejected pair, so that it is reported once.
    refused: Option<RejectedPair>,
}

/// A rejected pair: the PEM texts, if they could be read, and the text of the error.
#[derive(Debug, PartialEq, Eq)]
struct RejectedPair {
    found: Option<Box<Credentials>>,
    error: String,
}

impl CertificateStore {
    /// Creates the store for the first start; `None` if no certificate is configured.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(crate) fn of(config: &Config, now: SystemTime) -> Result<Option<Self>, Error> {
        let store = CredentialSources::of(config).map(|sources| Self::new(sources, now));
        Ok(store.transpose()?)
    }

    /// Reads and checks the certificate and the key for the first start.
    ///
    /// # Errors
    /// They cannot be used, and there is no previous pair to keep.
    pub(crate) fn new(sources: CredentialSources, now: SystemTime) -> Result<Self, TlsError> {
        let check = |found: &Credentials| {
            found.check(now)?;
            ActiveCertificate::new(found.clone())
        };
        let serving = read_and_check(&sources, check).map_err(|(_, error)| error)?;
        Ok(Self {
            tickets: new_tickets(serving.material())?,
            sources,
            serving,
            refused: None,
        })
    }

    /// Reads the sources again, before a later start of a child. Returns the events to log.
    ///
    /// A rejected pair is checked again each time: a certificate that is not valid yet becomes
    /// valid. It is reported again only if the pair or the error has changed.
    pub(crate) fn reload(&mut self, now: SystemTime) -> Vec<TlsEvent> {
        let result = read_and_check(&self.sources, |found| {
            self.serving.reload(found, &self.tickets, now)
        });
        let event = match result {
            Ok(None) => {
                self.refused = None;
                None
            }
            Ok(Some((active, change))) => Some(self.activate(active, change)),
            Err((found, error)) => self.new_rejection(found, error),
        };
        let warnings = self.serving.warnings(now);
        event.into_iter().chain(warnings).collect()
    }

    /// Returns the warnings about the active certificate that were not returned before.
    pub(crate) fn warnings(&mut self, now: SystemTime) -> Vec<TlsEvent> {
        self.serving.warnings(now).collect()
    }

    /// Describes the active certificate, for `PREFORK_EXPLAIN`.
    pub(crate) fn certificate(&self) -> String {
        self.serving.leaf().to_string()
    }

    /// Returns the sealed file for a child. All children get the same file while nothing changes.
    ///
    /// The ticket keys in it are those of `now`, the time since boot. Older keys are erased from
    /// the store as well.
    ///
    /// # Errors
    /// No descriptors or no memory are left.
    pub(crate) fn bundle_fd(&mut self, now: Duration) -> io::Result<BorrowedFd<'_>> {
        self.tickets.advance(now);
        self.serving.bundle_fd(&self.tickets)
    }

    /// Returns the bundle for single-process mode.
    pub(super) fn into_bundle(self) -> TlsBundle {
        TlsBundle {
            credentials: self.serving.into_material(),
            tickets: self.tickets,
        }
    }

    fn activate(&mut self, active: ActiveCertificate, change: Change) -> TlsEvent {
        let until = active.leaf().until();
        self.serving = active;
        self.refused = None;
        TlsEvent::Renewed { change, until }
    }

    /// Returns the event of a rejected pair, unless it was returned before.
    fn new_rejection(
        &mut self,
        found: Option<Box<Credentials>>,
        error: TlsError,
    ) -> Option<TlsEvent> {
        let refused = Some(RejectedPair {
            found,
            error: error.chain(),
        });
        if self.refused == refused {
            return None;
        }
        self.refused = refused;
        Some(TlsEvent::Rejected(error))
    }
}

/// Reads the sources and checks what was found.
///
/// If the check fails and the sources have changed meanwhile, they are read and checked once more:
/// while files are being replaced, one may have been read before the change and one after it.
///
/// # Errors
/// The reason, and what was found if it could be read.
fn read_and_check<T>(
    sources: &CredentialSources,
    check: impl Fn(&Credentials) -> Result<T, TlsError>,
) -> Result<T, (Option<Box<Credentials>>, TlsError)> {
    let found = Credentials::read(sources).map_err(|error| (None, error))?;
    let error = match check(&found) {
        Ok(checked) => return Ok(checked),
        Err(error) => error,
    };
    match Credentials::read(sources) {
        Ok(again) if again != found => {
            check(&again).map_err(|error| (Some(Box::new(again)), error))
        }
        Ok(_) | Err(_) => Err((Some(Box::new(found)), error)),
    }
}

fn new_tickets(material: &Credentials) -> Result<Ratchet, TlsError> {
    let to_error =
        |reason| move |error| TlsError::from_system(&material.key.provenance, reason, error);
    let now = since_boot().map_err(to_error(Reason::NoClock))?;
    Ratchet::random(now).map_err(to_error(Reason::NoRandom))
}

// Without a master nothing is read again.
#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests;
