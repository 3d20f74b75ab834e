//! What serves: certificate and key that were found good, in the file that children get, and what was told of them.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use super::envelope::Envelope;
use super::leaf::{Age, Leaf};
use super::material::Material;
use super::news::{Change, News};
use super::ratchet::Ratchet;
use super::refusal::{Reason, Refusal};

/// Good as far as can be seen; another one takes its place, nothing in it is exchanged.
#[derive(Debug)]
pub(super) struct Serving {
    material: Material,
    /// What the certificate in it says.
    leaf: Leaf,
    /// How old it was said to be.
    told: Age,
    /// Which certificate of its chain leads nowhere, until that is told.
    astray: Option<usize>,
    envelope: Envelope,
}

impl Serving {
    /// Of what was judged.
    ///
    /// # Errors
    /// There is no certificate that can be read.
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

    /// What serves instead from here on, and what is new in it; none where it is the same.
    ///
    /// # Errors
    /// It is of no use, or no worker can be given it: found out while there is something else to serve with.
    pub(super) fn successor(
        &self,
        seen: &Material,
        tickets: &Ratchet,
        now: SystemTime,
    ) -> Result<Option<(Self, Change)>, Refusal> {
        if *seen == self.material {
            return Ok(None);
        }
        let before = &self.material;
        let change = Change {
            pair: seen.chain != before.chain || seen.key != before.key,
            client_ca: seen.client_ca != before.client_ca,
        };
        seen.check_use()?;
        let mut successor = Self::new(seen.clone())?;
        if change.pair {
            // That the old one has expired is no reason to trust the old client CA any longer.
            seen.check_dates(now)?;
        } else {
            (successor.told, successor.astray) = (self.told, self.astray);
        }
        successor.parcel_fd(tickets).map_err(|error| {
            Refusal::from_system(&seen.chain.provenance, Reason::NotHandedOut, error)
        })?;
        Ok(Some((successor, change)))
    }

    /// What a child gets; the same file while the keys of tickets are.
    ///
    /// # Errors
    /// No descriptors or no memory left.
    pub(super) fn parcel_fd(&mut self, tickets: &Ratchet) -> io::Result<BorrowedFd<'_>> {
        self.envelope.file(&self.material, tickets)
    }

    /// What is the matter with it, each told once.
    pub(super) fn concerns(&mut self, now: SystemTime) -> impl Iterator<Item = News> {
        let provenance = &self.material.chain.provenance;
        let astray = self.astray.take().map(|number| News::Astray {
            provenance: provenance.clone(),
            number,
        });
        astray.into_iter().chain(self.age(now))
    }

    /// That it has come to its end, or is near it.
    fn age(&mut self, now: SystemTime) -> Option<News> {
        let age = self.leaf.age(now);
        // A clock that was wrong and is right again has not said the last word: what it told comes true later.
        let told = std::mem::replace(&mut self.told, age);
        if age <= told {
            return None;
        }
        let provenance = self.material.chain.provenance.clone();
        let until = self.leaf.until();
        match age {
            Age::NotYetValid | Age::Good => None,
            Age::NearItsEnd => Some(News::NearItsEnd { provenance, until }),
            Age::Expired => Some(News::Expired(Refusal::new(
                &provenance,
                Reason::Expired(until),
            ))),
        }
    }
}
