//! The master's side: what serves now, read again before each later start.
//!
//! It knows nothing of children; what is new it hands out once, in words for a line.

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

/// Keeps the last good certificate and key, and the keys of tickets.
#[derive(Debug)]
pub(crate) struct Keeper {
    sources: Sources,
    serving: Serving,
    tickets: Ratchet,
    /// What was refused last, so that it is told once.
    refused: Option<Refused>,
}

/// Something bad that was seen: what, where it could be read, and in which words it was refused.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    seen: Option<Box<Material>>,
    words: String,
}

impl Keeper {
    /// For the first start of what the options say; none where they say nothing.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(crate) fn of(config: &Config, now: SystemTime) -> Result<Option<Self>, Error> {
        let keeper = Sources::of(config).map(|sources| Self::new(sources, now));
        Ok(keeper.transpose()?)
    }

    /// Reads and checks for the first start.
    ///
    /// # Errors
    /// What cannot be used: there is no last good one to serve on with.
    pub(crate) fn new(sources: Sources, now: SystemTime) -> Result<Self, Refusal> {
        let judge = |seen: &Material| {
            seen.check(now)?;
            Serving::new(seen.clone())
        };
        let serving = read_and_judge(&sources, judge).map_err(|(_, refusal)| refusal)?;
        Ok(Self {
            tickets: new_tickets(serving.material())?,
            sources,
            serving,
            refused: None,
        })
    }

    /// Reads again, before a later start. What was refused is judged again each time, since a certificate that is not
    /// valid yet becomes so; it is told again only when something is different.
    pub(crate) fn renew(&mut self, now: SystemTime) -> Vec<News> {
        let look = read_and_judge(&self.sources, |seen| {
            self.serving.successor(seen, &self.tickets, now)
        });
        let news = match look {
            Ok(None) => {
                self.refused = None;
                None
            }
            Ok(Some((successor, change))) => Some(self.serve(successor, change)),
            Err((seen, refusal)) => self.first_time(seen, refusal),
        };
        let concerns = self.serving.concerns(now);
        news.into_iter().chain(concerns).collect()
    }

    /// What is the matter with what serves, and was not told yet.
    pub(crate) fn concerns(&mut self, now: SystemTime) -> Vec<News> {
        self.serving.concerns(now).collect()
    }

    /// The certificate that serves, for people.
    pub(crate) fn certificate(&self) -> String {
        self.serving.leaf().to_string()
    }

    /// What a child gets, in a sealed file: the same for all of them while nothing is different. The keys of tickets
    /// in it are those of now, counted since the machine's start, and older ones are forgotten here as well.
    ///
    /// # Errors
    /// No descriptors or no memory left.
    pub(crate) fn parcel_fd(&mut self, now: Duration) -> io::Result<BorrowedFd<'_>> {
        self.tickets.advance(now);
        self.serving.parcel_fd(&self.tickets)
    }

    /// For the one process that is its own worker.
    pub(super) fn into_parcel(self) -> Parcel {
        Parcel {
            material: self.serving.into_material(),
            tickets: self.tickets,
        }
    }

    fn serve(&mut self, successor: Serving, change: Change) -> News {
        let until = successor.leaf().until();
        self.serving = successor;
        self.refused = None;
        News::Renewed { change, until }
    }

    /// The refusal, where it was not told before.
    fn first_time(&mut self, seen: Option<Box<Material>>, refusal: Refusal) -> Option<News> {
        let words = refusal.one_line();
        let refused = Some(Refused { seen, words });
        if self.refused == refused {
            return None;
        }
        self.refused = refused;
        Some(News::Refused(refusal))
    }
}

/// Reads and judges; once more where what was read is bad, and another by now: of files that are being exchanged one may
/// have been read before that and one after it.
///
/// # Errors
/// Why it is bad, and what it was, where it could be read.
fn read_and_judge<T>(
    sources: &Sources,
    judge: impl Fn(&Material) -> Result<T, Refusal>,
) -> Result<T, (Option<Box<Material>>, Refusal)> {
    let seen = Material::read(sources).map_err(|refusal| (None, refusal))?;
    let refusal = match judge(&seen) {
        Ok(judged) => return Ok(judged),
        Err(refusal) => refusal,
    };
    match Material::read(sources) {
        Ok(again) if again != seen => {
            judge(&again).map_err(|refusal| (Some(Box::new(again)), refusal))
        }
        Ok(_) | Err(_) => Err((Some(Box::new(seen)), refusal)),
    }
}

fn new_tickets(material: &Material) -> Result<Ratchet, Refusal> {
    let refuse =
        |reason| move |error| Refusal::from_system(&material.key.provenance, reason, error);
    let now = since_boot().map_err(refuse(Reason::NoClock))?;
    Ratchet::random(now).map_err(refuse(Reason::NoRandom))
}

// Elsewhere nothing is read again: there is no master.
#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests;
