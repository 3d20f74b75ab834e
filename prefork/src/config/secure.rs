//! The options of TLS, held against each other and against the listeners.
//!
//! It knows which of them need which; what is in the files is the `tls` room's business.

use prefork_options::{Pem, Row};

use super::origin::Layers;
use super::{Config, Options};

/// Keeps what is wrong with them as a whole.
pub(super) fn check(config: &Config, options: &mut Options) {
    let listen = options.listen.place("listen");
    let said = said(options);
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
                &listen,
                &format!("'{address}' speaks TLS, which needs feature `tls` of prefork"),
            );
        }
        return;
    }
    // One that was said and cannot be read is a mistake of its own.
    let missing: Vec<&str> = [
        ("tls_cert", options.tls_cert.is_wanted()),
        ("tls_key", options.tls_key.is_wanted()),
    ]
    .into_iter()
    .filter_map(|(name, is_wanted)| (!is_wanted).then_some(name))
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
            &listen,
            &format!("'{address}' speaks TLS, which needs {missing}"),
        );
    }
}

/// With the directory that a relative path begins in: `init` or a hook may change to another one before it is read, and
/// who reads a refusal has to know which file it is.
pub(super) fn whole(pem: &Pem) -> Pem {
    match pem {
        Pem::Path(path) => Pem::Path(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
        Pem::Bytes(_) => pem.clone(),
    }
}

/// Which of them were said, and whom a mistake in each is told by.
fn said(options: &Options) -> Vec<(&'static str, String)> {
    fn place<T>(name: &'static str, layers: &Layers<T>) -> Option<(&'static str, String)> {
        let said = layers.last()?;
        Some((name, said.origin.place(name)))
    }
    let said = [
        place("tls_cert", &options.tls_cert),
        place("tls_key", &options.tls_key),
        place("tls_alpn", &options.tls_alpn),
        place("tls_client_ca", &options.tls_client_ca),
    ];
    said.into_iter().flatten().collect()
}
