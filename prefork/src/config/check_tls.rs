//! Checks of the TLS options against each other and against the listeners.
//!
//! It knows which options need which others. It does not read the files that they name.

use std::path::Path;

use prefork_options::{Pem, Transport};

use super::layers::Layer;
use super::{Config, OptionLayers};
use crate::tls::HAS_TLS;

const FEATURE: &str = "tls";

/// Records errors about TLS options that do not fit together.
pub(super) fn check(config: &Config, options: &mut OptionLayers) {
    let listen = options.listen.label("listen");
    let mut tls_options = options.of_features();
    tls_options.retain(|(feature, _)| *feature == FEATURE);
    let mut listeners = config.listen.iter().filter(|_| options.listen.is_valid());
    let secure = listeners.find(|spec| spec.transport == Transport::Tls);
    let secure = secure.map(ToString::to_string);
    if !HAS_TLS {
        for (_, label) in &tls_options {
            options.add_error(label, &format!("needs feature `{FEATURE}` of prefork"));
        }
        if let Some(address) = secure {
            options.add_error(
                &listen,
                &format!("'{address}' uses TLS, which needs feature `{FEATURE}` of prefork"),
            );
        }
        return;
    }
    // An option that is set to an invalid value does not count as missing: it has its own error.
    let missing: Vec<&str> = [
        ("tls_cert", options.tls_cert.is_set()),
        ("tls_key", options.tls_key.is_set()),
    ]
    .into_iter()
    .filter_map(|(name, is_wanted)| (!is_wanted).then_some(name))
    .collect();
    let missing = missing.join(" and ");
    if missing.is_empty() {
        return;
    }
    for (_, label) in &tls_options {
        options.add_error(label, &format!("needs {missing} as well"));
    }
    if let Some(address) = secure {
        options.add_error(
            &listen,
            &format!("'{address}' uses TLS, which needs {missing}"),
        );
    }
}

impl OptionLayers {
    /// Removes `tls_alpn` of the program if nothing uses TLS. Returns the line for
    /// `PREFORK_EXPLAIN`.
    ///
    /// The operator may decide whether TLS is used, so a program sets its protocols in any case. If
    /// the operator sets them, TLS is expected, and its absence is an error.
    pub(super) fn drop_unused_alpn(&mut self) -> Option<String> {
        let listen = self.listen.value().filter(|_| self.listen.is_valid());
        let mut addresses = listen.into_iter().flatten();
        let is_wanted = self.tls_cert.is_set()
            || self.tls_key.is_set()
            || self.tls_client_ca.is_set()
            || addresses.any(|address| address.transport == Transport::Tls);
        // An invalid value may replace the protocols, or may be an address that uses TLS.
        let is_known = self.tls_alpn.is_valid() && self.listen.is_valid();
        let is_declared = self.tls_alpn.origin().is_declaration();
        if is_wanted || !is_declared || !HAS_TLS {
            return None;
        }
        let Layer { value, origin } = std::mem::take(&mut self.tls_alpn).into_last()?;
        is_known.then(|| format!("ignoring tls_alpn = {value} ({origin}): no listener uses TLS"))
    }
}

/// Makes a relative path absolute.
///
/// `configure`, `init` or a hook may change the working directory before the file is read, and an
/// error must name the file.
pub(super) fn absolute(pem: &Pem, directory: Option<&Path>) -> Pem {
    match (pem, directory) {
        // An absolute path replaces `directory`. Components without effect, such as `.`, are
        // removed.
        (Pem::Path(path), Some(directory)) => {
            Pem::Path(directory.join(path).components().collect())
        }
        (Pem::Path(_), None) | (Pem::Bytes(_), _) => pem.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_is_based_on_the_working_directory_of_the_start() {
        let start = Some(Path::new("/start"));
        for (path, expected) in [
            ("server.pem", "/start/server.pem"),
            ("./tls//server.pem", "/start/tls/server.pem"),
            ("../server.pem", "/start/../server.pem"),
            ("/etc/server.pem", "/etc/server.pem"),
        ] {
            let whole = absolute(&Pem::Path(path.into()), start);
            assert_eq!(whole, Pem::Path(expected.into()));
        }
        let unknown = Pem::Path("server.pem".into());
        assert_eq!(absolute(&unknown, None), unknown);
    }
}
