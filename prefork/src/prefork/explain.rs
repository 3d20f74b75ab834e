//! The explanation instead of a start: what holds, whether a start would get as far as binding, and nothing else.
//!
//! It knows what a start checks; it binds, starts and asks no function but `configure`.

use std::io::Write;
use std::time::SystemTime;

use super::arguments::{declare, offered_by, oversights};
use super::{Resolved, need_master};
use crate::config::{Config, explain as explanation};
use crate::error::Error;
use crate::listen::targets;
use crate::master::rehearse;
use crate::tls::Keeper;
use crate::worker::Wanted;

/// Prints what holds.
///
/// `None` as the wanted arguments is a master without a body of its own.
///
/// # Errors
/// The one that a start would end with.
pub(super) fn explain(said: Resolved, wanted: Option<&[Wanted<'_>]>) -> Result<(), Error> {
    let Resolved {
        settled,
        environment,
        verdict,
        warnings: _,
    } = said;
    let rehearsed = match verdict {
        Ok(()) => rehearse_all(&settled.config, wanted),
        // There are no places yet that could be told.
        Err(error) => Rehearsed {
            places: Vec::new(),
            certificate: None,
            warnings: Vec::new(),
            verdict: Err(error),
        },
    };
    let text = explanation(
        &settled.in_words(&environment),
        &rehearsed.places,
        rehearsed.certificate.as_deref(),
        &rehearsed.warnings,
    );
    // Whoever closed the other end does not want to know.
    let _ = std::io::stdout().write_all(text.as_bytes());
    rehearsed.verdict
}

/// How far a start would get.
struct Rehearsed {
    /// A listener's name and place.
    places: Vec<(String, String)>,
    /// For whom it is, and until when.
    certificate: Option<String>,
    /// What a start would say before it binds.
    warnings: Vec<String>,
    verdict: Result<(), Error>,
}

/// In the order of a start.
fn rehearse_all(config: &Config, wanted: Option<&[Wanted<'_>]>) -> Rehearsed {
    // Once: whoever answers names may take seconds, and say something else the next time.
    let resolved = targets(&config.listen, config.network, &config.places.listen);
    let all = resolved.as_ref().map_or(&[][..], Vec::as_slice);
    let places = config.listen.iter().zip(all);
    let places = places.map(|(to, target)| {
        let scheme = if to.is_tls { "tls://" } else { "" };
        let addr = target.addr;
        let is_everywhere = addr.ip().is_unspecified();
        let family = match target.only_v6 {
            Some(true) if is_everywhere => ", IPv6 alone",
            Some(false) if is_everywhere => ", IPv6 and IPv4",
            _ => "",
        };
        let place = format!("{scheme}{addr}{family}{}", sharing(config));
        (to.name.clone(), place)
    });
    let places = places.collect();
    let (mut warnings, mut certificate) = (Vec::new(), None);
    let check = || {
        match wanted {
            Some(wanted) => {
                let offered = offered_by(config);
                let declared = declare(
                    wanted,
                    &offered,
                    config.tls_cert.is_some(),
                    &config.env_prefix,
                )?;
                warnings = oversights(wanted, &declared, &offered, config);
            }
            None => need_master(config)?,
        }
        if config.workers > 0 {
            rehearse(config)?;
        }
        let now = SystemTime::now();
        if let Some(mut keeper) = Keeper::of(config, now)? {
            let concerns = keeper.concerns(now);
            warnings.extend(concerns.iter().map(ToString::to_string));
            certificate = Some(keeper.certificate());
        }
        resolved.map(drop)
    };
    let verdict = check();
    Rehearsed {
        places,
        certificate,
        warnings,
        verdict,
    }
}

fn sharing(config: &Config) -> String {
    match (config.reuseport, config.workers) {
        (_, 0) => ", served by one process".to_owned(),
        (_, 1) => ", for one worker".to_owned(),
        (true, workers) => format!(", a socket for each of {workers} workers"),
        (false, workers) => format!(", shared by {workers} workers"),
    }
}
