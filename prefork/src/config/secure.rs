//! The options of TLS, held against each other and against the listeners.
//!
//! It knows which of them need which; what is in the files is the `tls` room's business.

use std::path::Path;

use prefork_options::Pem;

use super::origin::Said;
use super::{Config, Options};

const FEATURE: &str = "tls";

/// Keeps what is wrong with them as a whole.
pub(super) fn check(config: &Config, options: &mut Options) {
    let listen = options.listen.place("listen");
    let mut said = options.of_features();
    said.retain(|(feature, _)| *feature == FEATURE);
    let mut listeners = config.listen.iter().filter(|_| options.listen.is_known());
    let secure = listeners.find(|endpoint| endpoint.is_tls);
    let secure = secure.map(ToString::to_string);
    if cfg!(not(feature = "tls")) {
        for (_, place) in &said {
            options.mistake(place, &format!("needs feature `{FEATURE}` of prefork"));
        }
        if let Some(address) = secure {
            options.mistake(
                &listen,
                &format!("'{address}' speaks TLS, which needs feature `{FEATURE}` of prefork"),
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

impl Options {
    /// Takes the protocols out that a program names for wherever it speaks TLS, where it does not, and says so in a line:
    /// whether it does may be the operator's choice. An operator who names them expects TLS.
    pub(super) fn spare_protocols(&mut self) -> Option<String> {
        let listen = self.listen.value().filter(|_| self.listen.is_known());
        let mut addresses = listen.into_iter().flatten();
        let is_wanted = self.tls_cert.is_wanted()
            || self.tls_key.is_wanted()
            || self.tls_client_ca.is_wanted()
            || addresses.any(|address| address.is_tls);
        // What could not be read replaces them, or may say where TLS is spoken.
        let is_known = self.tls_alpn.is_known() && self.listen.is_known();
        let is_declared = self.tls_alpn.origin().is_declaration();
        if is_wanted || !is_declared || cfg!(not(feature = "tls")) {
            return None;
        }
        let Said { value, origin } = std::mem::take(&mut self.tls_alpn).into_last()?;
        is_known.then(|| format!("tls_alpn = {value} ({origin}): nothing speaks TLS here"))
    }
}

/// With the directory that a relative path begins in: `configure`, `init` or a hook may change to another one before it
/// is read, and who reads a refusal has to know which file it is.
pub(super) fn whole(pem: &Pem, directory: Option<&Path>) -> Pem {
    match (pem, directory) {
        // What is whole already stays; without components that say nothing, such as `.`.
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
    fn a_relative_path_begins_in_the_directory_of_the_start() {
        let start = Some(Path::new("/start"));
        for (said, meant) in [
            ("server.pem", "/start/server.pem"),
            ("./tls//server.pem", "/start/tls/server.pem"),
            ("../server.pem", "/start/../server.pem"),
            ("/etc/server.pem", "/etc/server.pem"),
        ] {
            let whole = whole(&Pem::Path(said.into()), start);
            assert_eq!(whole, Pem::Path(meant.into()));
        }
        let unknown = Pem::Path("server.pem".into());
        assert_eq!(whole(&unknown, None), unknown);
    }
}
