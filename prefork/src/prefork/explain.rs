//! The explanation instead of a start: what holds, whether a start would get as far as binding, and nothing else.
//!
//! It knows what a start checks; it binds, starts and asks no function but `configure`.

use std::io::Write;

use super::{Said, declare, names_of};
use crate::config::{Config, explain as explanation};
use crate::error::Error;
use crate::listen::resolve_all;
use crate::master::rehearse;
use crate::worker::Wanted;

/// Prints what holds.
///
/// `None` as the wanted arguments is a master without a body of its own.
///
/// # Errors
/// The one that a start would end with.
pub(super) fn explain(said: Said, wanted: Option<&[Wanted<'_>]>) -> Result<(), Error> {
    let Said {
        settled,
        environment,
        verdict,
        warnings: _,
    } = said;
    let config = &settled.config;
    let (listeners, verdict) = match verdict {
        Ok(()) => rehearsed(config, wanted),
        // There are no places yet that could be told.
        Err(error) => (Vec::new(), Err(error)),
    };
    let text = explanation(&settled.in_words(&environment), &listeners);
    // Whoever closed the other end does not want to know.
    let _ = std::io::stdout().write_all(text.as_bytes());
    verdict
}

/// A listener's name and place.
type Place = (String, String);

/// In the order of a start.
fn rehearsed(config: &Config, wanted: Option<&[Wanted<'_>]>) -> (Vec<Place>, Result<(), Error>) {
    // Once: whoever answers names may take seconds, and say something else the next time.
    let resolved = resolve_all(&config.listen, config.network);
    let addrs = resolved.as_ref().map_or(&[][..], Vec::as_slice);
    let places = config.listen.iter().zip(addrs);
    let places = places.map(|(to, addr)| (to.name.clone(), format!("{addr}{}", sharing(config))));
    let places = places.collect();
    let check = || {
        if let Some(wanted) = wanted {
            declare(wanted, &names_of(config))?;
        }
        let resolved = resolved.map(drop);
        match config.workers {
            0 => resolved,
            _ => rehearse(config, resolved),
        }
    };
    (places, check())
}

fn sharing(config: &Config) -> String {
    match (config.reuseport, config.workers) {
        (_, 0) => ", served by one process".to_owned(),
        (_, 1) => ", for one worker".to_owned(),
        (true, workers) => format!(", a socket for each of {workers} workers"),
        (false, workers) => format!(", shared by {workers} workers"),
    }
}
