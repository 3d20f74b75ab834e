//! Whether the arguments of `main` and the listeners agree about TLS. Pure, like `assign` next door, and asked right
//! after it: nobody is to speak plain text where clients begin a handshake, or the other way round.

use super::{ArgumentKind, Wanted};
use crate::listen::Place;

/// A listener, as far as this question goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offered<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_tls: bool,
}

impl<'a> Offered<'a> {
    pub(crate) fn of(place: &'a Place) -> Self {
        Self {
            name: &place.name,
            is_tls: place.is_tls,
        }
    }
}

/// # Errors
/// An argument that speaks TLS on a listener that does not, or plain text on one that does.
pub(crate) fn agree(
    wanted: &[Wanted<'_>],
    assigned: &[Option<usize>],
    listeners: &[Offered<'_>],
) -> Result<(), String> {
    // Who takes the configuration does the rest by itself.
    let does_the_rest = wants_config(wanted);
    for (want, listener) in wanted.iter().zip(assigned) {
        let Some(Offered { name, is_tls }) = listener.map(|index| listeners[index]) else {
            continue;
        };
        let speaks_tls = want.kind == ArgumentKind::TlsListener;
        if speaks_tls && !is_tls {
            return Err(format!(
                "listener '{name}' is plain and its argument speaks TLS: write 'tls://' before its host"
            ));
        }
        if is_tls && !speaks_tls && !does_the_rest {
            return Err(format!(
                "listener '{name}' speaks TLS (tls://) and its argument does not: take it as \
                 prefork::net::TlsListener, or Arc<rustls::ServerConfig> beside it"
            ));
        }
    }
    Ok(())
}

/// Whether there is an argument that needs a certificate, whatever the listeners are.
pub(crate) fn wants_config(wanted: &[Wanted<'_>]) -> bool {
    let mut kinds = wanted.iter().map(|want| want.kind);
    kinds.any(|kind| kind == ArgumentKind::TlsConfig)
}

/// A sentence about a certificate that nobody shows, most likely since an operator left out the scheme.
pub(crate) fn unshown(
    wanted: &[Wanted<'_>],
    listeners: &[Offered<'_>],
    has_certificate: bool,
) -> Option<String> {
    let takes_listeners = wanted.iter().any(|want| want.kind.takes_listener());
    let by_itself = |want: &Wanted<'_>| match want.kind {
        ArgumentKind::TlsConfig | ArgumentKind::Other => true,
        // It may be asked for everything; beside listeners it is there for other things.
        ArgumentKind::Worker => !takes_listeners,
        ArgumentKind::Listener
        | ArgumentKind::StdTcpListener
        | ArgumentKind::TokioTcpListener
        | ArgumentKind::TlsListener
        | ArgumentKind::Ready => false,
    };
    let is_shown = listeners.iter().any(|offered| offered.is_tls) || wanted.iter().any(by_itself);
    (has_certificate && !is_shown).then(|| {
        "tls_cert is set, and no listener speaks TLS: the address of one that should begins with 'tls://'"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_nobody_shows_is_told() {
        let unshown = |kind, listeners, has_certificate| {
            let wanted = [Wanted { name: "", kind }];
            unshown(&wanted, listeners, has_certificate).is_some()
        };
        assert!(unshown(ArgumentKind::Listener, &LISTENERS[..1], true));
        assert!(!unshown(ArgumentKind::Listener, &LISTENERS[..1], false));
        assert!(!unshown(ArgumentKind::Listener, &LISTENERS, true));
        assert!(!unshown(ArgumentKind::Worker, &LISTENERS[..1], true));
        assert!(!unshown(ArgumentKind::TlsConfig, &LISTENERS[..1], true));
    }

    const LISTENERS: [Offered<'static>; 2] = [
        Offered {
            name: "http",
            is_tls: false,
        },
        Offered {
            name: "https",
            is_tls: true,
        },
    ];

    /// What is said of these arguments, each with its listener.
    fn said(arguments: &[(ArgumentKind, Option<usize>)]) -> String {
        let wanted: Vec<Wanted<'_>> = arguments
            .iter()
            .map(|&(kind, _)| Wanted { name: "", kind })
            .collect();
        let assigned: Vec<Option<usize>> = arguments.iter().map(|&(_, index)| index).collect();
        agree(&wanted, &assigned, &LISTENERS)
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn each_listener_is_spoken_to_in_its_own_way() {
        use ArgumentKind::{Listener, StdTcpListener, TlsConfig, TlsListener, Worker};
        let good = [(Listener, Some(0)), (TlsListener, Some(1)), (Worker, None)];
        assert_eq!(said(&good), "");
        let by_hand = [(StdTcpListener, Some(1)), (TlsConfig, None)];
        assert_eq!(said(&by_hand), "");
        for plain in [Listener, StdTcpListener] {
            let said = said(&[(plain, Some(1))]);
            assert!(said.starts_with("listener 'https' speaks TLS"), "{said}");
        }
        let said = said(&[(TlsListener, Some(0)), (TlsConfig, None)]);
        assert!(said.starts_with("listener 'http' is plain"), "{said}");
    }
}
