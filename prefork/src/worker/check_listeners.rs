//! Checks that the arguments of `main` fit the listeners: the kind of the socket, and TLS.
//!
//! Policy only, like `assign`, after which it runs: code without TLS must not get a listener whose
//! clients begin a handshake, and the other way round.

use prefork_options::Transport;

use super::argument::{Needs, WantedArgument};
use super::socket_kind::OfferedListener;

/// Checks each argument against its listener.
///
/// # Errors
/// An argument uses TLS and its listener does not, or the other way round. Or an argument takes
/// another kind of socket.
pub(crate) fn check_listeners(
    wanted: &[WantedArgument<'_>],
    assigned: &[Option<usize>],
    listeners: &[OfferedListener<'_>],
) -> Result<(), String> {
    // A `main` that takes the TLS configuration does the handshakes itself.
    let has_config = needs_tls_config(wanted);
    for (want, listener) in wanted.iter().zip(assigned) {
        let Some(OfferedListener {
            name,
            transport,
            kind,
        }) = listener.map(|index| listeners[index])
        else {
            continue;
        };
        if let Some(kind) = kind
            && !want.needs.accepts(kind)
        {
            return Err(format!(
                "listener '{name}' is {}, but its argument is a {}: take it as {}",
                kind.description(),
                want.needs.type_name(),
                kind.types()
            ));
        }
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
    listeners: &[OfferedListener<'_>],
    has_certificate: bool,
) -> Option<String> {
    let takes_listeners = wanted.iter().any(|want| want.needs.takes_listener());
    let may_use_it = |want: &WantedArgument<'_>| match want.needs {
        Needs::TlsConfig | Needs::Nothing => true,
        // The code can get everything from a `Worker`. If other arguments take listeners, it is
        // there for something else.
        Needs::Worker => !takes_listeners,
        Needs::Listener
        | Needs::StdSocket(_)
        | Needs::TokioSocket(_)
        | Needs::TlsListener
        | Needs::Ready => false,
    };
    let is_used = listeners
        .iter()
        .any(|listener| listener.transport == Transport::Tls)
        || wanted.iter().any(may_use_it);
    (has_certificate && !is_used).then(|| {
        "tls_cert is set, but no listener uses TLS: write 'tls://' before the host of each listener that should use TLS"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::super::socket_kind::SocketKind;
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

    const HTTP: OfferedListener<'static> = OfferedListener {
        name: "http",
        transport: Transport::Stream,
        kind: Some(SocketKind::TcpListener),
    };

    const LISTENERS: [OfferedListener<'static>; 4] = [
        HTTP,
        OfferedListener {
            name: "https",
            transport: Transport::Tls,
            ..HTTP
        },
        OfferedListener {
            name: "dns",
            transport: Transport::Datagram,
            kind: Some(SocketKind::UdpSocket),
        },
        OfferedListener {
            name: "local",
            kind: Some(SocketKind::UnixListener),
            ..HTTP
        },
    ];

    #[test]
    fn an_argument_takes_its_kind_of_socket() {
        use SocketKind::{TcpListener, UdpSocket, UnixListener};
        for (needs, index) in [
            (Needs::StdSocket(UdpSocket), 2),
            (Needs::TokioSocket(UdpSocket), 2),
            (Needs::StdSocket(UnixListener), 3),
            (Needs::Listener, 3),
            (Needs::StdSocket(TcpListener), 0),
        ] {
            assert_eq!(error_of(&[(needs, Some(index))]), "", "{needs:?}");
        }
        for (needs, index, error) in [
            (
                Needs::Listener,
                2,
                "listener 'dns' is a UDP socket, but its argument is a Listener: \
                 take it as UdpSocket of std or tokio",
            ),
            (
                Needs::StdSocket(TcpListener),
                3,
                "listener 'local' is a unix socket, but its argument is a TcpListener: \
                 take it as prefork::net::Listener, or UnixListener of std or tokio",
            ),
            (
                Needs::TokioSocket(SocketKind::UnixDatagram),
                2,
                "listener 'dns' is a UDP socket, but its argument is a UnixDatagram: \
                 take it as UdpSocket of std or tokio",
            ),
        ] {
            assert_eq!(error_of(&[(needs, Some(index))]), error);
        }
    }

    /// The error for these arguments, each with its listener; empty if there is none.
    fn error_of(arguments: &[(Needs, Option<usize>)]) -> String {
        let wanted: Vec<WantedArgument<'_>> = arguments
            .iter()
            .map(|&(needs, _)| WantedArgument { name: "", needs })
            .collect();
        let assigned: Vec<Option<usize>> = arguments.iter().map(|&(_, index)| index).collect();
        check_listeners(&wanted, &assigned, &LISTENERS)
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn arguments_and_listeners_agree_about_tls() {
        use Needs::{Listener, StdSocket, TlsConfig, TlsListener, Worker};
        let std_socket = StdSocket(SocketKind::TcpListener);
        let good = [(Listener, Some(0)), (TlsListener, Some(1)), (Worker, None)];
        assert_eq!(error_of(&good), "");
        let by_hand = [(std_socket, Some(1)), (TlsConfig, None)];
        assert_eq!(error_of(&by_hand), "");
        for plain in [Listener, std_socket] {
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
