//! The certificate store of the master: the active certificate, reloaded before each start of a
//! worker.
//!
//! Knows the sources and what was reported already. Does not know workers, and does not log: it
//! returns events.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use super::bundle::{SealedBundle, TlsBundle};
use super::credentials::{CredentialSources, Credentials};
use super::leaf::{Leaf, Validity};
use super::ratchet::Ratchet;
use crate::config::Config;
use crate::error::{Error, TlsErrorKind};
use crate::sys::clock::since_boot;
use crate::tls::certificate_source::{CertificateSource, TlsEvent, TlsEventLevel};

/// Holds the active certificate and key, and the state of the ticket keys.
#[derive(Debug)]
pub(crate) struct CertificateStore {
    sources: CredentialSources,
    active: ActiveCertificate,
    tickets: Ratchet,
    /// The last rejected pair, so that it is reported once.
    rejected: Option<RejectedPair>,
}

/// A certificate and key that passed the checks. A reload replaces the whole value.
#[derive(Debug)]
struct ActiveCertificate {
    credentials: Credentials,
    /// The names and dates of the certificate.
    leaf: Leaf,
    /// The validity that was reported last.
    reported: Validity,
    /// The number of an unrelated certificate in the chain, until it is reported.
    unrelated: Option<usize>,
    bundle: SealedBundle,
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
        let sources = CredentialSources::of(config);
        sources.map(|sources| Self::new(sources, now)).transpose()
    }

    /// Reads and checks the certificate and the key for the first start.
    ///
    /// # Errors
    /// They cannot be used, and there is no previous pair to keep.
    fn new(sources: CredentialSources, now: SystemTime) -> Result<Self, Error> {
        let check = |found: &Credentials| {
            found.check(now)?;
            ActiveCertificate::new(found.clone())
        };
        let active = read_and_check(&sources, check).map_err(|(_, error)| error)?;
        Ok(Self {
            tickets: new_tickets(&active.credentials)?,
            sources,
            active,
            rejected: None,
        })
    }

    /// Returns the bundle for single-process mode.
    pub(crate) fn into_bundle(self) -> TlsBundle {
        TlsBundle {
            credentials: self.active.credentials,
            tickets: self.tickets,
        }
    }

    /// Returns the event of a rejected pair, unless it was returned before.
    fn new_rejection(
        &mut self,
        found: Option<Box<Credentials>>,
        error: &Error,
    ) -> Option<TlsEvent> {
        let error = error.chain();
        let text = format!("{error}; keeping the previous certificate");
        let rejected = Some(RejectedPair { found, error });
        if self.rejected == rejected {
            return None;
        }
        self.rejected = rejected;
        let level = TlsEventLevel::Error;
        Some(TlsEvent { level, text })
    }
}

impl CertificateSource for CertificateStore {
    /// A rejected pair is checked again each time: a certificate that is not valid yet becomes
    /// valid. It is reported again only if the pair or the error has changed.
    fn reload(&mut self, now: SystemTime) -> Vec<TlsEvent> {
        let result = read_and_check(&self.sources, |found| {
            self.active.reload(found, &self.tickets, now)
        });
        let event = match result {
            Ok(None) => {
                self.rejected = None;
                None
            }
            Ok(Some((active, text))) => {
                self.active = active;
                self.rejected = None;
                let level = TlsEventLevel::Info;
                Some(TlsEvent { level, text })
            }
            Err((found, error)) => self.new_rejection(found, &error),
        };
        event.into_iter().chain(self.warnings(now)).collect()
    }

    fn warnings(&mut self, now: SystemTime) -> Vec<TlsEvent> {
        let unrelated = self.active.unrelated_warning();
        unrelated
            .into_iter()
            .chain(self.active.validity_warning(now))
            .collect()
    }

    /// All workers get the same file while nothing changes.
    ///
    /// The ticket keys in it are those of `now`. Older keys are erased from the store as well.
    fn bundle_fd(&mut self, now: Duration) -> io::Result<BorrowedFd<'_>> {
        self.tickets.advance(now);
        self.active.bundle_fd(&self.tickets)
    }

    fn certificate(&self) -> String {
        self.active.leaf.to_string()
    }
}

impl ActiveCertificate {
    /// Creates it from credentials that passed the checks.
    ///
    /// # Errors
    /// A certificate cannot be parsed.
    fn new(credentials: Credentials) -> Result<Self, Error> {
        Ok(Self {
            leaf: credentials.leaf()?,
            unrelated: credentials.unrelated()?,
            credentials,
            reported: Validity::Valid,
            bundle: SealedBundle::default(),
        })
    }

    /// Checks new credentials. Returns the next active certificate and the line about the change.
    ///
    /// Returns `None` if nothing changed.
    ///
    /// # Errors
    /// The credentials cannot be used, or cannot be passed to a worker. Then the previous ones stay
    /// active.
    fn reload(
        &self,
        found: &Credentials,
        tickets: &Ratchet,
        now: SystemTime,
    ) -> Result<Option<(Self, String)>, Error> {
        let previous = &self.credentials;
        if found == previous {
            return Ok(None);
        }
        let is_new_pair = found.chain != previous.chain || found.key != previous.key;
        found.check_use()?;
        let mut next = Self::new(found.clone())?;
        if is_new_pair {
            found.check_dates(now)?;
        } else {
            // Skip the dates: an expired certificate is no reason to keep trusting the old client
            // CA.
            (next.reported, next.unrelated) = (self.reported, self.unrelated);
        }
        next.bundle_fd(tickets).map_err(|error| {
            let kind = TlsErrorKind::System;
            let reason = "the certificate cannot be passed to workers";
            found.chain.source.system_error(kind, reason, error)
        })?;
        let pair = format!("new certificate, valid until {}", next.leaf.until());
        let change = match (is_new_pair, found.client_ca != previous.client_ca) {
            (true, true) => format!("{pair}, and new client CA"),
            (true, false) => pair,
            (false, _) => "new client CA".to_owned(),
        };
        let line = format!("{change}; used by all workers that start from now on");
        Ok(Some((next, line)))
    }

    /// Returns the file for a worker: the same one while the ticket keys do not change.
    ///
    /// # Errors
    /// No descriptors or no memory are left.
    fn bundle_fd(&mut self, tickets: &Ratchet) -> io::Result<BorrowedFd<'_>> {
        self.bundle.file(&self.credentials, tickets)
    }

    fn unrelated_warning(&mut self) -> Option<TlsEvent> {
        let number = self.unrelated.take()?;
        let source = &self.credentials.chain.source.label;
        Some(TlsEvent {
            level: TlsEventLevel::Warning,
            text: format!(
                "{source}: certificate {number} is not the issuer of any certificate before it; \
                 if an intermediate certificate is missing, clients reject the chain"
            ),
        })
    }

    /// Returns the event of a certificate that expires soon or has expired.
    fn validity_warning(&mut self, now: SystemTime) -> Option<TlsEvent> {
        let validity = self.leaf.validity(now);
        // After the clock was set back, the same event is reported again when its time comes.
        let reported = std::mem::replace(&mut self.reported, validity);
        if validity <= reported {
            return None;
        }
        let (source, until) = (&self.credentials.chain.source.label, self.leaf.until());
        let (level, text) = match validity {
            Validity::NotYetValid | Validity::Valid => return None,
            Validity::ExpiresSoon => {
                let text = format!("{source}: the certificate expires at {until}; renew it");
                (TlsEventLevel::Warning, text)
            }
            Validity::Expired => {
                let text = format!(
                    "{source}: the certificate expired at {until} and is still in use: clients \
                     reject it until it is renewed"
                );
                (TlsEventLevel::Error, text)
            }
        };
        Some(TlsEvent { level, text })
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
    check: impl Fn(&Credentials) -> Result<T, Error>,
) -> Result<T, (Option<Box<Credentials>>, Error)> {
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

fn new_tickets(credentials: &Credentials) -> Result<Ratchet, Error> {
    let error = |reason: &'static str| {
        move |error| {
            let source = &credentials.key.source;
            source.system_error(TlsErrorKind::System, reason, error)
        }
    };
    let no_clock = "the kernel provides no clock for session tickets (clock_gettime)";
    let no_random =
        "the kernel provides no random bytes for the key of session tickets (getrandom)";
    Ratchet::random(since_boot().map_err(error(no_clock))?).map_err(error(no_random))
}

// Without a master nothing is read again.
#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests;
