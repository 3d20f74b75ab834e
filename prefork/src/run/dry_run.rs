//! `PREFORK_EXPLAIN`: prints the configuration and checks it as a start does.
//!
//! It binds and starts nothing, and calls no function of the user except `configure`.

use std::io::Write;
use std::time::SystemTime;

use super::match_listeners::{
    argument_warnings, check_standby, listeners_of, mark_raw, match_arguments,
};
use super::startup::{Startup, check_has_master};
use crate::config::{Config, ListenSpec, render as explanation};
use crate::error::Error;
use crate::listen::{ResolvedTarget, resolve_targets};
use crate::master::preflight;
use crate::tls::certificate_source;
use crate::worker::WantedArgument;

/// Prints the configuration and the result of the checks to stdout.
///
/// `wanted` is `None` for a master that runs no body ([`Prefork::start`](crate::Prefork::start)).
/// `unusable` contains the warnings about variables for readiness.
///
/// # Errors
/// The error that a start would return.
pub(super) fn print(
    startup: Startup,
    wanted: Option<&[WantedArgument<'_>]>,
    unusable: Vec<String>,
) -> Result<(), Error> {
    let Startup {
        resolved,
        environment,
        result: verdict,
        // The explanation shows what these are about.
        warnings: _,
    } = startup;
    let mut rehearsed = match verdict {
        Ok(()) => check_all(&resolved.config, wanted),
        // Without a valid configuration there are no addresses to show.
        Err(error) => DryRun {
            addresses: Vec::new(),
            certificate: None,
            warnings: Vec::new(),
            result: Err(error),
        },
    };
    rehearsed.warnings.splice(..0, unusable);
    let text = explanation(
        &resolved.report(&environment),
        &rehearsed.addresses,
        rehearsed.certificate.as_deref(),
        &rehearsed.warnings,
    );
    // The reader may have closed the pipe. That is not an error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    rehearsed.result
}

/// The result of the checks.
struct DryRun {
    /// The name and the address of each listener.
    addresses: Vec<(String, String)>,
    /// The names in the certificate and the end of its validity.
    certificate: Option<String>,
    /// The warnings that a start would log before it binds.
    warnings: Vec<String>,
    result: Result<(), Error>,
}

/// Performs the checks of a start, in its order.
fn check_all(config: &Config, wanted: Option<&[WantedArgument<'_>]>) -> DryRun {
    let offered = listeners_of(config);
    let matched = wanted.map(|wanted| {
        let has_certificate = config.tls_cert.is_some();
        match_arguments(wanted, &offered, has_certificate, &config.env_prefix)
    });
    let mut specs = config.listen.clone();
    if let (Some(wanted), Some(Ok(declared))) = (wanted, &matched) {
        mark_raw(wanted, declared, &mut specs);
    }
    // Resolve only once: a resolver may take seconds, and may answer differently the next time.
    let resolved = resolve_targets(&specs, config.network, config.v6only, &config.labels.listen);
    let all = resolved.as_ref().map_or(&[][..], Vec::as_slice);
    let listeners = config.listen.iter().zip(all);
    let addresses = listeners.map(|(spec, target)| {
        let address = format!("{}{}", target.display(spec), sharing(config, spec, target));
        (spec.name.clone(), address)
    });
    let addresses = addresses.collect();
    let (mut warnings, mut certificate) = (Vec::new(), None);
    let check = || {
        match wanted.zip(matched) {
            Some((wanted, matched)) => {
                let declared = matched?;
                check_standby(&declared, config)?;
                warnings = argument_warnings(wanted, &declared, &offered, config);
            }
            None => check_has_master(config)?,
        }
        if config.workers > 0 {
            preflight(config)?;
        }
        let now = SystemTime::now();
        if let Some(mut source) = certificate_source(config, now)? {
            warnings.extend(source.warnings(now).into_iter().map(|event| event.text));
            certificate = Some(source.certificate());
        }
        resolved.map(drop)
    };
    let result = check();
    DryRun {
        addresses,
        certificate,
        warnings,
        result,
    }
}

fn sharing(config: &Config, spec: &ListenSpec, target: &ResolvedTarget) -> String {
    match (
        spec.ring_width > 0 && target.has_slots(spec),
        config.workers,
    ) {
        (_, 0) => ", served by one process".to_owned(),
        (_, 1) => ", served by one worker".to_owned(),
        (true, workers) => format!(", one socket for each of {workers} workers"),
        (false, workers) => format!(", shared by {workers} workers"),
    }
}
