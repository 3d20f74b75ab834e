//! Checks that the arguments of `main` and the listeners agree about TLS.
//!
//! Policy only, like `assign`, after which it runs: code without TLS must not get a listener whose
//! clients begin a handshake, and the other way round.

use prefork_options::Transport;

use super::argument::{Needs, WantedArgument};

/// Checks each argument against its listener.
///
/// # Errors
/// An argument uses TLS and its listener does not, or the other way round.
pub(crate) fn check_tls(
    wanted: &[WantedArgument<'_>],
    assigned: &[Option<usize>],
    listeners: &[(&str, Transport)],
) -> Result<(), String> {
    // A `main` that takes the TLS configuration does the handshakes itself.
    let has_config = needs_tls_config(wanted);
    for (want, listener) in wanted.iter().zip(assigned) {
        let Some((name, transport)) = listener.map(|index| listeners[index]) else {
            continue;
        };
        let is_tls = transport == Transport::Tls;
        let uses_tls = want.needs == Needs::TlsListener;
        if uses_tls && !is_tls {
            return Err(format!(
                "listener '{name}' does not use TLS, but its argument is a TlsListener: \
                 write 'tls://' before the host of its address"
            ));
        }
        if is_tls && !uses_tls && !has_config {
            return Err(format!(
                "listener '{name}' uses TLS (tls://), but its argument does not: take it as \
                 prefork::net::TlsListener, or add an argument of type Arc<rustls::ServerConfig>"
            ));
        }
    }
    Ok(())
}

/// Whether an argument needs a certificate regardless of the listeners.
pub(crate) fn needs_tls_config(wanted: &[WantedArgument<'_>]) -> bool {
    let mut kinds = wanted.iter().map(|want| want.needs);
    kinds.any(|kind| kind == Needs::TlsConfig)
}

/// Returns a warning if a certificate is set and nothing uses it.
///
/// The probable cause is an address without `tls://`.
pub(crate) fn unused_certificate(
    wanted: &[WantedArgument<'_>],
    listeners: &[(&str, Transport)],
    has_certificate: bool,
) -> Option<String> {
    let takes_listeners = wanted.iter().any(|want| want.needs.takes_listener());
    let may_use_it = |want: &WantedArgument<'_>| match want.needs {
        Needs::TlsConfig | Needs::Nothing => true,
        // The code can get everything from a `Worker`. If other arguments take listeners, it is
        // there for something else.
        Needs::Worker => !takes_listeners,
        Needs::Listener
        | Needs::StdTcpListener
        | Needs::TokioTcpListener
        | Needs::TlsListener
        | Needs::Ready => false,
    };
    let is_used = listeners
        .iter()
        .any(|(_, transport)| *transport == Transport::Tls)
        || wanted.iter().any(may_use_it);
    (has_certificate && !is_used).then(|| {
        "tls_cert is set, but no listener uses TLS: write 'tls://' before the host of each listener that should use TLS"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unused_certificate_is_a_warning() {
        let unshown = |needs, listeners, has_certificate| {
            let wanted = [WantedArgument { name: "", needs }];
            unused_certificate(&wanted, listeners, has_certificate).is_some()
        };
        assert!(unshown(Needs::Listener, &LISTENERS[..1], true));
        assert!(!unshown(Needs::Listener, &LISTENERS[..1], false));
        assert!(!unshown(Needs::Listener, &LISTENERS, true));
        assert!(!unshown(Needs::Worker, &LISTENERS[..1], true));
        assert!(!unshown(Needs::TlsConfig, &LISTENERS[..1], true));
    }

    const LISTENERS: [(&str, Transport); 2] =
        [("http", Transport::Stream), ("https", Transport::Tls)];

    /// The error for these arguments, each with its listener; empty if there is none.
    fn error_of(arguments: &[(Needs, Option<usize>)]) -> String {
        let wanted: Vec<WantedArgument<'_>> = arguments
            .iter()
            .map(|&(needs, _)| WantedArgument { name: "", needs })
            .collect();
        let assigned: Vec<Option<usize>> = arguments.iter().map(|&(_, index)| index).collect();
        check_tls(&wanted, &assigned, &LISTENERS)
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn arguments_and_listeners_agree_about_tls() {
        use Needs::{Listener, StdTcpListener, TlsConfig, TlsListener, Worker};
        let good = [(Listener, Some(0)), (TlsListener, Some(1)), (Worker, None)];
        assert_eq!(error_of(&good), "");
        let by_hand = [(StdTcpListener, Some(1)), (TlsConfig, None)];
        assert_eq!(error_of(&by_hand), "");
        for plain in [Listener, StdTcpListener] {
            let error = error_of(&[(plain, Some(1))]);
            assert!(error.starts_with("listener 'https' uses TLS"), "{error}");
        }
        let error = error_of(&[(TlsListener, Some(0)), (TlsConfig, None)]);
        assert!(
            error.starts_with("listener 'http' does not use TLS"),
            "{error}"
        );
    }
}
