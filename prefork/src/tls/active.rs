//! The active certificate and key, the file that children get, and the warnings reported so far.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use super::credentials::Credentials;
use super::error::{Reason, TlsError};
use super::events::{Change, TlsEvent};
use super::leaf::{Leaf, Validity};
use super::ratchet::Ratchet;
use super::sealed_bundle::SealedBundle;

/// A certificate and key that passed the checks. A reload replaces the whole value.
#[derive(Debug)]
pub(super) struct ActiveCertificate {
    material: Credentials,
    /// The names and dates of the certificate.
    leaf: Leaf,
    /// The validity that was reported last.
    warned: Validity,
    /// The number of an unrelated certificate in the chain, until it is reported.
    unrelated: Option<usize>,
    bundle: SealedBundle,
}

impl ActiveCertificate {
    /// Creates it from credentials that passed the checks.
    ///
    /// # Errors
    /// A certificate cannot be parsed.
    pub(super) fn new(material: Credentials) -> Result<Self, TlsError> {
        Ok(Self {
            leaf: material.leaf()?,
            unrelated: material.unrelated()?,
            material,
            warned: Validity::Valid,
            bundle: SealedBundle::default(),
        })
    }

    pub(super) fn material(&self) -> &Credentials {
        &self.material
    }

    pub(super) fn into_material(self) -> Credentials {
        self.material
    }

    pub(super) fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Checks new credentials. Returns the next active certificate and what changed.
    ///
    /// Returns `None` if nothing changed.
    ///
    /// # Errors
    /// The credentials cannot be used, or cannot be passed to a child. Then the previous ones stay
    /// active.
    pub(super) fn reload(
        &self,
        found: &Credentials,
        tickets: &Ratchet,
        now: SystemTime,
    ) -> Result<Option<(Self, Change)>, TlsError> {
        if *found == self.material {
            return Ok(None);
        }
        let previous = &self.material;
        let change = Change {
            pair: found.chain != previous.chain || found.key != previous.key,
            client_ca: found.client_ca != previous.client_ca,
        };
        found.check_use()?;
        let mut next = Self::new(found.clone())?;
        if change.pair {
            found.check_dates(now)?;
        } else {
            // Skip the dates: an expired certificate is no reason to keep trusting the old client
            // CA.
            (next.warned, next.unrelated) = (self.warned, self.unrelated);
        }
        next.bundle_fd(tickets).map_err(|error| {
            TlsError::from_system(&found.chain.provenance, Reason::NotPassed, error)
        })?;
        Ok(Some((next, change)))
    }

    /// Returns the file for a child: the same one while the ticket keys do not change.
    ///
    /// # Errors
    /// No descriptors or no memory are left.
    pub(super) fn bundle_fd(&mut self, tickets: &Ratchet) -> io::Result<BorrowedFd<'_>> {
        self.bundle.file(&self.material, tickets)
    }

    /// Returns the warnings about the certificate, each one once.
    pub(super) fn warnings(&mut self, now: SystemTime) -> impl Iterator<Item = TlsEvent> {
        let provenance = &self.material.chain.provenance;
        let unrelated = self
            .unrelated
            .take()
            .map(|number| TlsEvent::UnrelatedCertificate {
                provenance: provenance.clone(),
                number,
            });
        unrelated.into_iter().chain(self.validity(now))
    }

    /// Returns the event of a certificate that expires soon or has expired.
    fn validity(&mut self, now: SystemTime) -> Option<TlsEvent> {
        let validity = self.leaf.validity(now);
        // After the clock was set back, the same event is reported again when its time comes.
        let reported = std::mem::replace(&mut self.warned, validity);
        if validity <= reported {
            return None;
        }
        let provenance = self.material.chain.provenance.clone();
        let until = self.leaf.until();
        match validity {
            Validity::NotYetValid | Validity::Valid => None,
            Validity::ExpiresSoon => Some(TlsEvent::NearItsEnd { provenance, until }),
            Validity::Expired => Some(TlsEvent::Expired(TlsError::new(
                &provenance,
                Reason::Expired(until),
            ))),
        }
    }
}
