//! Matches the arguments of `main` to the listeners of a configuration.
//!
//! The result is the same in a master, in a worker, in single-process mode and for
//! `PREFORK_EXPLAIN`.

use prefork_options::{Addr, Endpoint, Prefix, Reuseport};

use crate::config::{Config, ListenSpec};
use crate::error::{Error, OptionError};
use crate::listen::address_of_open;
use crate::worker::{
    BodySpec, Needs, OfferedListener, SocketKind, WantedArgument, assign, check_listeners,
    needs_tls_config, untaken, unused_certificate,
};

/// The listeners of a configuration.
pub(super) fn listeners_of(config: &Config) -> Vec<OfferedListener<'_>> {
    let is_unix = |spec: &ListenSpec| match spec.endpoint {
        Endpoint::HostPort { .. } => Some(false),
        Endpoint::Unix(_) => Some(true),
        // If it is not open, binding the listeners reports that.
        Endpoint::Fd(number) => {
            let addr = address_of_open(number, spec.transport).ok()?;
            Some(!matches!(addr, Addr::Ip(_)))
        }
    };
    let offered = config.listen.iter().map(|spec| OfferedListener {
        name: &spec.name,
        transport: spec.transport,
        kind: is_unix(spec).map(|is_unix| SocketKind::of(spec.transport, is_unix)),
    });
    offered.collect()
}

fn names_of<'a>(listeners: &[OfferedListener<'a>]) -> Vec<&'a str> {
    listeners.iter().map(|listener| listener.name).collect()
}

/// Assigns the listeners to the arguments of `main`.
///
/// # Errors
/// An argument without a listener, or a listener without an argument; one of the two uses TLS and
/// the other does not; an argument needs a certificate and there is none.
pub(super) fn match_arguments(
    wanted: &[WantedArgument<'_>],
    offered: &[OfferedListener<'_>],
    has_certificate: bool,
    prefix: &Prefix,
) -> Result<BodySpec, Error> {
    if needs_tls_config(wanted) && !has_certificate {
        return Err(Error::Options(vec![OptionError {
            label: "tls_cert".to_owned(),
            reason: "an argument of main is a TLS configuration, which needs tls_cert and tls_key"
                .to_owned(),
        }]));
    }
    let names = names_of(offered);
    let mismatch = |mut reason: String| {
        let variable = prefix.variable("listen");
        if offered.is_empty() {
            let help = format!(": set listen in the attribute or the builder, or {variable}");
            reason.push_str(&help);
        }
        Error::Arguments { reason, variable }
    };
    let assigned = assign(wanted, &names).map_err(mismatch)?;
    check_listeners(wanted, &assigned, offered).map_err(mismatch)?;
    let has = |kind| wanted.iter().any(|want| want.needs == kind);
    let blocking = wanted.iter().zip(&assigned);
    let blocking = blocking
        .filter(|(want, _)| matches!(want.needs, Needs::StdSocket(_)))
        .filter_map(|(_, index)| *index)
        .collect();
    let is_ready_by_hand = has(Needs::Ready);
    let has_own_type = has(Needs::Listener) || has(Needs::TlsListener) || is_ready_by_hand;
    // Nothing holds back what a raw socket accepts or receives.
    let has_raw = wanted.iter().any(|want| is_raw(want.needs));
    let has_gated = has(Needs::Listener) || has(Needs::TlsListener) || has(Needs::Worker);
    Ok(BodySpec {
        has_gate: has_gated && !has_raw,
        can_adopt: has_gated,
        listeners: assigned
            .iter()
            .flatten()
            .map(|&index| names[index].to_owned())
            .collect(),
        notifies_ready: has_own_type,
        has_ready_argument: is_ready_by_hand,
        handles_sigterm: has_own_type || has(Needs::Worker),
        blocking,
        assigned,
        options: Vec::new(),
    })
}

fn is_raw(needs: Needs) -> bool {
    matches!(needs, Needs::StdSocket(_) | Needs::TokioSocket(_))
}

/// Marks the listeners that `main` takes as sockets of std or tokio.
pub(super) fn mark_raw(
    wanted: &[WantedArgument<'_>],
    declared: &BodySpec,
    specs: &mut [ListenSpec],
) {
    for (want, listener) in wanted.iter().zip(&declared.assigned) {
        if let (true, Some(index)) = (is_raw(want.needs), *listener) {
            specs[index].is_raw = true;
        }
    }
}

/// Gives the slots sockets of their own, if the options leave that open, for the listeners that an
/// async `main` takes as `Listener` or `TlsListener`.
///
/// `docs/PERFORMANCE.md` has the measurement: one connection wakes two workers instead of all, and
/// does not wait for a worker that stalls.
pub(super) fn choose_ring(
    wanted: &[WantedArgument<'_>],
    declared: &BodySpec,
    reuseport: Reuseport,
    specs: &mut [ListenSpec],
) {
    match reuseport {
        Reuseport::Auto => {}
        Reuseport::Off | Reuseport::Width(_) => return,
    }
    for (want, listener) in wanted.iter().zip(&declared.assigned) {
        let is_managed = matches!(want.needs, Needs::Listener | Needs::TlsListener);
        if let (true, Some(index)) = (is_managed, *listener) {
            specs[index].ring_width = 2;
        }
    }
}

/// Checks that a standby of this program would wait until it is promoted.
///
/// # Errors
/// `standby` is set, and nothing holds back the accepts of `main`.
pub(super) fn check_standby(declared: &BodySpec, config: &Config) -> Result<(), Error> {
    if config.standby == 0 || config.workers == 0 || declared.has_gate {
        return Ok(());
    }
    Err(Error::Options(vec![OptionError {
        label: config.labels.standby.clone(),
        reason: "main takes no prefork::net::Listener, TlsListener or Worker, or it takes a \
                 listener of std or tokio: a standby would not wait until it is promoted"
            .to_owned(),
    }]))
}

/// Returns warnings about combinations that are valid but probably not intended.
pub(super) fn argument_warnings(
    wanted: &[WantedArgument<'_>],
    declared: &BodySpec,
    offered: &[OfferedListener<'_>],
    config: &Config,
) -> Vec<String> {
    let untaken = untaken(wanted, &declared.assigned, &names_of(offered));
    let unshown = unused_certificate(wanted, offered, config.tls_cert.is_some());
    untaken.into_iter().chain(unshown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_without_any_listener_are_rejected_with_the_way_to_set_one() {
        let wanted = [WantedArgument {
            name: "l",
            needs: Needs::Listener,
        }];
        let prefix = prefork_options::OptionValue::parse("MYAPP").expect("a valid prefix");
        let error =
            match_arguments(&wanted, &[], false, &prefix).expect_err("there is no listener");
        assert_eq!(
            error.report(),
            "the arguments of main do not fit the listeners: no listener is left for 'l'; no listener is configured: \
             set listen in the attribute or the builder, or MYAPP_LISTEN. Give main one argument per listener; \
             the argument of a named listener has the same name. MYAPP_LISTEN overrides the listeners."
        );
    }
}
