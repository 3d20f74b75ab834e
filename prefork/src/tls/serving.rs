//! The active certificate and key, the file that children get, and the warnings reported so far.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use super::envelope::Envelope;
use super::leaf::{Age, Leaf};
use super::material::Material;
use super::news::{Change, News};
use super::ratchet::Ratchet;
use super::refusal::{Reason, Refusal};

/// A certificate and key that passed the checks. A reload replaces the whole value.
#[derive(Debug)]
pub(super) struct Serving {
    material: Material,
    /// The names and dates of the certificate.
    leaf: Leaf,
    /// The validity that was reported last.
    told: Age,
    /// The number of an unrelated certificate in the chain, until it is reported.
    astray: Option<usize>,
    envelope: Envelope,
}

impl Serving {
    /// Creates it from credentials that passed the checks.
    ///
    /// # Errors
    /// A certificate cannot be parsed.
    pub(super) fn new(material: Material) -> Result<Self, Refusal> {
        Ok(Self {
            leaf: material.leaf()?,
            astray: material.astray()?,
            material,
            told: Age::Good,
            envelope: Envelope::default(),
        })
    }

    pub(super) fn material(&self) -> &Material {
        &self.material
    }

    pub(super) fn into_material(self) -> Material {
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
    /// The credentials cannot be used, or cannot be passed to a child. Then the previous ones stay active.
    pub(super) fn successor(
        &self,
        found: &Material,
        tickets: &Ratchet,
        now: SystemTime,
    ) -> Result<Option<(Self, Change)>, Refusal> {
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
            // Skip the dates: an expired certificate is no reason to keep trusting the old client CA.
            (next.told, next.astray) = (self.told, self.astray);
        }
        next.parcel_fd(tickets).map_err(|error| {
            Refusal::from_system(&found.chain.provenance, Reason::NotPassed, error)
        })?;
        Ok(Some((next, change)))
    }

    /// Returns the file for a child: the same one while the ticket keys do not change.
    ///
    /// # Errors
    /// No descriptors or no memory are left.
    pub(super) fn parcel_fd(&mut self, tickets: &Ratchet) -> io::Result<BorrowedFd<'_>> {
        self.envelope.file(&self.material, tickets)
    }

    /// Returns the warnings about the certificate, each one once.
    pub(super) fn concerns(&mut self, now: SystemTime) -> impl Iterator<Item = News> {
        let provenance = &self.material.chain.provenance;
        let unrelated = self.astray.take().map(|number| News::Astray {
            provenance: provenance.clone(),
            number,
        });
        unrelated.into_iter().chain(self.age(now))
    }

    /// Returns the event of a certificate that expires soon or has expired.
    fn age(&mut self, now: SystemTime) -> Option<News> {
        let validity = self.leaf.age(now);
        // After the clock was set back, the same event is reported again when its time comes.
        let reported = std::mem::replace(&mut self.told, validity);
        if validity <= reported {
            return None;
        }
        let provenance = self.material.chain.provenance.clone();
        let until = self.leaf.until();
        match validity {
            Age::NotYetValid | Age::Good => None,
            Age::NearItsEnd => Some(News::NearItsEnd { provenance, until }),
            Age::Expired => Some(News::Expired(Refusal::new(
                &provenance,
                Reason::Expired(until),
            ))),
        }
    }
}
