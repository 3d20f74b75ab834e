//! The options of TLS, held against each other and against the listeners.
//!
//! It knows which of them need which; what is in the files is the `tls` room's business.

use prefork_options::Row;

use super::{Config, Options};

/// Keeps what is wrong with them as a whole.
pub(super) fn check(config: &Config, options: &mut Options) {
    let listen = &options.listen.place("listen");
    let said = [
        (
            "tls_cert",
            options
                .tls_cert
                .last()
                .map(|said| said.origin.place("tls_cert")),
        ),
        (
            "tls_key",
            options
                .tls_key
                .last()
                .map(|said| said.origin.place("tls_key")),
        ),
        (
            "tls_alpn",
            options
                .tls_alpn
                .last()
                .map(|said| said.origin.place("tls_alpn")),
        ),
        (
            "tls_client_ca",
            options
                .tls_client_ca
                .last()
                .map(|said| said.origin.place("tls_client_ca")),
        ),
    ];
    let said: Vec<(&str, String)> = said
        .into_iter()
        .filter_map(|(name, place)| Some((name, place?)))
        .collect();
    let secure = config.listen.iter().find(|endpoint| endpoint.is_tls);
    let secure = secure.map(ToString::to_string);
    if cfg!(not(feature = "tls")) {
        for (name, place) in &said {
            let feature = Row::find(name)
                .and_then(|row| row.feature)
                .unwrap_or_default();
            options.mistake(place, &format!("needs feature `{feature}` of prefork"));
        }
        if let Some(address) = secure {
            options.mistake(
                listen,
                &format!("'{address}' speaks TLS, which needs feature `tls` of prefork"),
            );
        }
        return;
    }
    let missing: Vec<&str> = [
        ("tls_cert", config.tls_cert.is_none()),
        ("tls_key", config.tls_key.is_none()),
    ]
    .into_iter()
    .filter_map(|(name, is_missing)| is_missing.then_some(name))
    .collect();
    let missing = missing.join(" and ");
    if missing.is_empty() {
        return;
    }
    for (_, place) in &said {
        options.mistake(place, &format!("needs {missing} as well"));
    }
    if let Some(address) = secure {
        options.mistake(
            listen,
            &format!("'{address}' speaks TLS, which needs {missing}"),
        );
    }
}
