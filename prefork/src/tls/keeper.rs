//! The certificate store of the master: the active certificate, reloaded before each start of a child.
//!
//! Knows the sources and what was reported already. Does not know children, and does not log: it
//! returns events.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use super::material::{Material, Sources};
use super::news::{Change, News};
use super::parcel::Parcel;
use super::ratchet::Ratchet;
use super::refusal::{Reason, Refusal};
use super::serving::Serving;
use crate::config::Config;
use crate::error::Error;
use crate::sys::clock::since_boot;

/// Holds the active certificate and key, and the state of the ticket keys.
#[derive(Debug)]
pub(crate) struct Keeper {
    sources: Sources,
    serving: Serving,
    tickets: Ratchet,
    /// The last rejected pair, so that it is reported once.
    refused: Option<Refused>,
}

/// A rejected pair: the PEM texts, if they could be read, and the text of the error.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    found: Option<Box<Material>>,
    error: String,
}

impl Keeper {
    /// Creates the store for the first start; `None` if no certificate is configured.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(crate) fn of(config: &Config, now: SystemTime) -> Result<Option<Self>, Error> {
        let store = Sources::of(config).map(|sources| Self::new(sources, now));
        Ok(store.transpose()?)
    }

    /// Reads and checks the certificate and the key for the first start.
    ///
    /// # Errors
    /// They cannot be used, and there is no previous pair to keep.
    pub(crate) fn new(sources: Sources, now: SystemTime) -> Result<Self, Refusal> {
        let check = |found: &Material| {
            found.check(now)?;
            Serving::new(found.clone())
        };
        let serving = read_and_judge(&sources, check).map_err(|(_, error)| error)?;
        Ok(Self {
            tickets: new_tickets(serving.material())?,
            sources,
            serving,
            refused: None,
        })
    }

    /// Reads the sources again, before a later start of a child. Returns the events to log.
    ///
    /// A rejected pair is checked again each time: a certificate that is not valid yet becomes valid. It
    /// is reported again only if the pair or the error has changed.
    pub(crate) fn renew(&mut self, now: SystemTime) -> Vec<News> {
        let result = read_and_judge(&self.sources, |found| {
            self.serving.successor(found, &self.tickets, now)
        });
        let event = match result {
            Ok(None) => {
                self.refused = None;
                None
            }
            Ok(Some((active, change))) => Some(self.serve(active, change)),
            Err((found, error)) => self.first_time(found, error),
        };
        let warnings = self.serving.concerns(now);
        event.into_iter().chain(warnings).collect()
    }

    /// Returns the warnings about the active certificate that were not returned before.
    pub(crate) fn concerns(&mut self, now: SystemTime) -> Vec<News> {
        self.serving.concerns(now).collect()
    }

    /// Describes the active certificate, for `PREFORK_EXPLAIN`.
    pub(crate) fn certificate(&self) -> String {
        self.serving.leaf().to_string()
    }

    /// Returns the sealed file for a child. All children get the same file while nothing changes.
    ///
    /// The ticket keys in it are those of `now`, the time since boot. Older keys are erased from the
    /// store as well.
    ///
    /// # Errors
    /// No descriptors or no memory are left.
    pub(crate) fn parcel_fd(&mut self, now: Duration) -> io::Result<BorrowedFd<'_>> {
        self.tickets.advance(now);
        self.serving.parcel_fd(&self.tickets)
    }

    /// Returns the bundle for single-process mode.
    pub(super) fn into_parcel(self) -> Parcel {
        Parcel {
            material: self.serving.into_material(),
            tickets: self.tickets,
        }
    }

    fn serve(&mut self, active: Serving, change: Change) -> News {
        let until = active.leaf().until();
        self.serving = active;
        self.refused = None;
        News::Renewed { change, until }
    }

    /// Returns the event of a rejected pair, unless it was returned before.
    fn first_time(&mut self, found: Option<Box<Material>>, error: Refusal) -> Option<News> {
        let refused = Some(Refused {
            found,
            error: error.one_line(),
        });
        if self.refused == refused {
            return None;
        }
        self.refused = refused;
        Some(News::Refused(error))
    }
}

/// Reads the sources and checks what was found.
///
/// If the check fails and the sources have changed meanwhile, they are read and checked once more: while
/// files are being replaced, one may have been read before the change and one after it.
///
/// # Errors
/// The reason, and what was found if it could be read.
fn read_and_judge<T>(
    sources: &Sources,
    check: impl Fn(&Material) -> Result<T, Refusal>,
) -> Result<T, (Option<Box<Material>>, Refusal)> {
    let found = Material::read(sources).map_err(|error| (None, error))?;
    let error = match check(&found) {
        Ok(checked) => return Ok(checked),
        Err(error) => error,
    };
    match Material::read(sources) {
        Ok(again) if again != found => {
            check(&again).map_err(|error| (Some(Box::new(again)), error))
        }
        Ok(_) | Err(_) => Err((Some(Box::new(found)), error)),
    }
}

fn new_tickets(material: &Material) -> Result<Ratchet, Refusal> {
    let to_error =
        |reason| move |error| Refusal::from_system(&material.key.provenance, reason, error);
    let now = since_boot().map_err(to_error(Reason::NoClock))?;
    Ratchet::random(now).map_err(to_error(Reason::NoRandom))
}

// Without a master nothing is read again.
#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests;
