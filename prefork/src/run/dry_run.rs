//! `PREFORK_EXPLAIN`: prints the configuration and checks it as a start does.
//!
//! It binds and starts nothing, and calls no function of the user except `configure`.

use std::io::Write;
use std::time::SystemTime;

use super::match_listeners::{
    argument_warnings, check_standby, choose_ring, listeners_of, mark_raw, match_arguments,
};
use super::startup::{Startup, check_has_master};
use crate::config::{Config, ListenSpec, render as explanation};
use crate::error::Error;
use crate::listen::{ResolvedTarget, resolve_targets};
use crate::master::preflight;
use crate::tls::certificate_source;
use crate::worker::WantedArgument;

/// The body of the program: what its arguments need, and whether it is async.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) wanted: &'a [WantedArgument<'a>],
    pub(super) needs_runtime: bool,
}

/// Prints the configuration and the result of the checks to stdout.
///
/// `body` is `None` for a master that runs no body ([`Prefork::start`](crate::Prefork::start)).
/// `unusable` contains the warnings about variables for readiness.
///
/// # Errors
/// The error that a start would return.
pub(super) fn print(
    startup: Startup,
    body: Option<Body<'_>>,
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
        Ok(()) => check_all(&resolved.config, body),
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
fn check_all(config: &Config, body: Option<Body<'_>>) -> DryRun {
    let offered = listeners_of(config);
    let matched = body.map(|Body { wanted, .. }| {
        let has_certificate = config.tls_cert.is_some();
        match_arguments(wanted, &offered, has_certificate, &config.env_prefix)
    });
    let mut specs = config.listen.clone();
    if let (Some(body), Some(Ok(declared))) = (body, &matched) {
        mark_raw(body.wanted, declared, &mut specs);
        if body.needs_runtime {
            choose_ring(body.wanted, declared, config.reuseport, &mut specs);
        }
    }
    // Resolve only once: a resolver may take seconds, and may answer differently the next time.
    let resolved = resolve_targets(&specs, config.network, config.v6only, &config.labels.listen);
    let all = resolved.as_ref().map_or(&[][..], Vec::as_slice);
    let listeners = specs.iter().zip(all);
    let addresses = listeners.map(|(spec, target)| {
        let address = format!("{}{}", target.display(spec), sharing(config, spec, target));
        (spec.name.clone(), address)
    });
    let addresses = addresses.collect();
    let (mut warnings, mut certificate) = (Vec::new(), None);
    let check = || {
        match body.zip(matched) {
            Some((Body { wanted, .. }, matched)) => {
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
    let width = match spec.ring_width.min(config.workers) {
        _ if !target.has_slots(spec) => 0,
        width if spec.is_raw => width.min(1),
        width => width,
    };
    match (config.workers, width) {
        (0, _) => ", served by one process".to_owned(),
        (1, _) => ", served by one worker".to_owned(),
        (workers, 0) => format!(", shared by {workers} workers"),
        (workers, 1) => format!(", one socket for each of {workers} workers"),
        (workers, width) => {
            format!(", one socket for each of {workers} workers, {width} accept from it")
        }
    }
}
