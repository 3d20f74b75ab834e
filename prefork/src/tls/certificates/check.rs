//! Checks whether credentials can be used. Each common mistake with certificates has its own error.
//!
//! Parses X.509, and loads the key with the crypto provider that later serves. Reads no files; the
//! time is an argument.
//!
//! Only the dates of the server's own certificate are checked:
//!
//! - Chains may contain expired CA certificates on purpose (cross-signatures for old clients).
//! - A handshake ignores the dates of a client CA: a trust anchor is a name and a key (RFC 5280,
//!   6.1.1). A check here would make the replacement of a CA harder, when one file contains the old
//!   and the new one.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::certificate::X509Certificate;

use super::credentials::{Credentials, PemText};
use super::leaf::{Leaf, Validity};
use super::pem::{certificates, private_key};
use crate::error::{Error, TlsErrorKind};

/// The maximum size of a chain: clients accept handshake messages of up to 64 KiB, and the chain is
/// one.
const MAX_CHAIN: usize = 60 * 1024;

impl Credentials {
    /// Checks everything.
    ///
    /// # Errors
    /// The first error.
    pub(crate) fn check(&self, now: SystemTime) -> Result<(), Error> {
        self.check_use()?;
        self.check_dates(now)
    }

    /// Checks everything except the dates.
    ///
    /// # Errors
    /// The first error.
    pub(super) fn check_use(&self) -> Result<(), Error> {
        self.certified_key(&provider())?;
        self.anchors()?;
        Ok(())
    }

    /// Returns the names and dates of the server's own certificate.
    ///
    /// # Errors
    /// The certificate cannot be parsed.
    pub(super) fn leaf(&self) -> Result<Leaf, Error> {
        let chain = certificates(&self.chain)?;
        Ok(Leaf::of(&parse(&self.chain, &chain, 0)?))
    }

    /// Checks the dates of the server's own certificate.
    ///
    /// # Errors
    /// The certificate has expired or is not valid yet.
    pub(super) fn check_dates(&self, now: SystemTime) -> Result<(), Error> {
        let leaf = self.leaf()?;
        let reason = match leaf.validity(now) {
            Validity::Valid | Validity::ExpiresSoon => return Ok(()),
            Validity::Expired => format!("the certificate expired at {}", leaf.until()),
            Validity::NotYetValid => format!(
                "the certificate is not valid before {}; check the clock of this machine",
                leaf.from()
            ),
        };
        let kind = TlsErrorKind::OutsideValidity;
        Err(self.chain.source.error(kind, reason))
    }

    /// Returns the number, from 1, of a certificate that is the issuer of none before it.
    ///
    /// Clients may sort a chain (RFC 8446, 4.4.2), but they cannot add a missing certificate. A
    /// certificate may be the issuer of any earlier one, not only of the one before it: a chain may
    /// lead to two roots.
    pub(super) fn unrelated(&self) -> Result<Option<usize>, Error> {
        let chain = certificates(&self.chain)?;
        let certificates: Result<Vec<_>, _> = (0..chain.len())
            .map(|index| parse(&self.chain, &chain, index))
            .collect();
        let certificates = certificates?;
        let is_unrelated = |&index: &usize| {
            let subject = certificates[index].subject();
            let mut earlier = certificates[..index].iter();
            !earlier.any(|certificate| certificate.issuer() == subject)
        };
        Ok((1..certificates.len())
            .find(is_unrelated)
            .map(|index| index + 1))
    }

    /// Returns the chain and the key of the server, which match each other.
    pub(super) fn certified_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let chain = certificates(&self.chain)?;
        let count = chain.len();
        for index in 0..count {
            parse(&self.chain, &chain, index)?;
        }
        let size = chain
            .iter()
            .map(|certificate| certificate.len())
            .sum::<usize>();
        if size > MAX_CHAIN {
            let reason = format!(
                "the {count} certificates have {size} bytes, but clients accept about 64 KiB; \
                 keep only the certificate of the server and its intermediates"
            );
            return Err(invalid_certificate(&self.chain, reason));
        }
        let key = private_key(&self.key)?;
        let key_error = |reason: &str| self.key.source.error(TlsErrorKind::InvalidKey, reason);
        let key = provider.key_provider.load_private_key(key);
        // The error of the provider is dropped: it may contain a part of the key.
        let key = key.map_err(|_| {
            key_error(
                "the private key is damaged or not supported (ring, the default provider, supports \
                 RSA with 2048 to 4096 bits, ECDSA with P-256 or P-384, and Ed25519; `init` may \
                 install another provider)",
            )
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A key in hardware may not reveal its public key. Then the handshake shows whether
            // they match.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(certified)
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(key_error(
                "the private key does not match the first certificate of tls_cert (the \
                 certificate of the server must come first; if the file contains several keys, \
                 the first one is used)",
            )),
            Err(_) => Err(bad_certificate(&self.chain, 1, count)),
        }
    }

    /// Returns the CAs of client certificates; `None` if no client CA is configured.
    pub(super) fn anchors(&self) -> Result<Option<RootCertStore>, Error> {
        let Some(piece) = &self.client_ca else {
            return Ok(None);
        };
        let found = certificates(piece)?;
        let count = found.len();
        let mut store = RootCertStore::empty();
        for (index, der) in found.iter().enumerate() {
            let number = index + 1;
            if !may_sign(&parse(piece, &found, index)?) {
                let reason = format!(
                    "certificate {number} of {count} is not a CA certificate, so it cannot verify \
                     client certificates"
                );
                return Err(invalid_certificate(piece, reason));
            }
            let added = store.add(der.clone());
            added.map_err(|_| bad_certificate(piece, number, count))?;
        }
        Ok(Some(store))
    }
}

/// The crypto provider that the program installed for rustls, or ring.
pub(super) fn provider() -> Arc<CryptoProvider> {
    match CryptoProvider::get_default() {
        Some(installed) => Arc::clone(installed),
        None => Arc::new(rustls::crypto::ring::default_provider()),
    }
}

fn parse<'a>(
    piece: &PemText,
    found: &'a [CertificateDer<'static>],
    index: usize,
) -> Result<X509Certificate<'a>, Error> {
    if let Ok(([], certificate)) = x509_parser::parse_x509_certificate(&found[index]) {
        return Ok(certificate);
    }
    Err(bad_certificate(piece, index + 1, found.len()))
}

fn bad_certificate(piece: &PemText, number: usize, count: usize) -> Error {
    let reason = format!(
        "certificate {number} of {count} cannot be parsed: it is damaged or not of version 3 \
         (`openssl x509 -noout -text` shows it)"
    );
    invalid_certificate(piece, reason)
}

fn invalid_certificate(piece: &PemText, reason: String) -> Error {
    let kind = TlsErrorKind::InvalidCertificate;
    piece.source.error(kind, reason)
}

/// Whether client certificates can be verified with this certificate.
///
/// A CA certificate can. So can a self-signed client certificate without `CA:TRUE`: it verifies
/// itself, which accepts a single client without a CA.
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    certificate.is_ca() || certificate.subject() == certificate.issuer()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Pair, bytes, now, server, sources, valid};
    use super::*;

    fn check(pair: &Pair) -> Result<(), Error> {
        let material = Credentials::read(&sources(pair)).expect("bytes can be read");
        material.check(now())
    }

    /// The text of the error. Checks that it contains no line of the key.
    fn rejected(pair: &Pair) -> String {
        let error = check(pair).expect_err("it cannot be used");
        let text = format!("{error} {error:?}");
        for line in pair.key.lines().filter(|line| !line.starts_with("---")) {
            assert!(line.len() < 8 || !text.contains(line), "{text}");
        }
        error.to_string()
    }

    fn with_client_ca(text: &str) -> Result<(), Error> {
        let mut sources = sources(&server());
        sources.client_ca = Some(bytes(text));
        let material = Credentials::read(&sources).expect("bytes can be read");
        material.check(now())
    }

    /// In the form of RFC 1421: its headers are not base64.
    const ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,AB\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";

    #[test]
    fn a_matching_pair_is_accepted() {
        let valid = server();
        check(&valid).expect("a valid pair");
        for line_end in ["\r\n", "\r"] {
            let cert = valid.cert.replace('\n', line_end);
            let key = valid.key.replace('\n', line_end);
            check(&Pair { cert, key }).expect("a valid pair");
        }
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ] {
            let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
            let params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
            check(&Pair {
                cert: params.self_signed(&key).expect("a certificate").pem(),
                key: key.serialize_pem(),
            })
            .expect("a valid pair");
        }
    }

    #[test]
    fn one_file_may_contain_both_and_other_texts() {
        let Pair { cert, key } = server();
        let parameters =
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let both = format!("subject=/CN=localhost\n{parameters}{key}\n{cert}");
        check(&Pair {
            cert: both.clone(),
            key: both,
        })
        .expect("a valid pair");
    }

    #[test]
    fn an_encrypted_key_in_the_file_of_the_certificate_is_ignored() {
        let valid = server();
        for cert in [
            [&valid.cert, ENCRYPTED].concat(),
            [ENCRYPTED, &valid.cert].concat(),
        ] {
            let key = cert.clone();
            check(&Pair {
                cert: cert.clone(),
                ..valid.clone()
            })
            .expect("a valid pair");
            let both = rejected(&Pair { cert, key });
            assert!(both.contains("the private key is encrypted"), "{both}");
        }
    }

    #[test]
    fn each_error_of_the_certificate_has_its_own_text() {
        let valid = server();
        let half = &valid.cert[..valid.cert.len() / 2];
        let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let request =
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        for (cert, reason) in [
            (" \n", "is empty"),
            ("hello", "is not PEM: "),
            (request, "contains no certificate"),
            (
                &valid.key,
                "contains a private key and no certificate; are tls_cert and tls_key swapped?",
            ),
            (ENCRYPTED, "contains a private key and no certificate"),
            (half, "a section has no '-----END' line"),
            (&valid.cert.replace('\n', " "), "were its line breaks lost?"),
            (
                &valid.cert.replace("-----\nMII", "-MII"),
                "does not end with five hyphens",
            ),
            (&valid.cert.replace("MII", "M!I"), "is not base64"),
            (not_x509, "certificate 1 of 1 cannot be parsed"),
            (
                &format!("\u{feff}{}{}", valid.cert, server().cert),
                "only 1 of 2 certificates can be read",
            ),
            (
                &valid.cert.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
                "only 0 of 1 certificates can be read",
            ),
            (&valid.cert.repeat(200), "the 200 certificates have "),
            (
                &format!("{}{not_x509}", valid.cert),
                "certificate 2 of 2 cannot be parsed",
            ),
        ] {
            let pair = Pair {
                cert: cert.to_owned(),
                ..valid.clone()
            };
            let text = rejected(&pair);
            assert!(
                text.starts_with("tls_cert (bytes from the program): "),
                "{text}"
            );
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn each_error_of_the_key_has_its_own_text() {
        let valid = server();
        let half = &valid.key[..valid.key.len() / 2];
        let label = valid.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let not_pkcs8 = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        for (key, reason) in [
            ("", "is empty"),
            ("hello", "is not PEM: "),
            (public, "contains no private key"),
            (
                &valid.cert,
                "contains a certificate and no private key; are tls_cert and tls_key swapped?",
            ),
            (&label, "the private key is encrypted"),
            (ENCRYPTED, "the private key is encrypted"),
            (half, "a section has no '-----END' line"),
            (&valid.key.replace('\n', ""), "were its line breaks lost?"),
            (
                &valid.key.replacen("-----\n", "", 1),
                "does not end with five hyphens",
            ),
            (&valid.key.replace('M', "!"), "is not base64"),
            (not_pkcs8, "the private key is damaged or not supported"),
            (
                &server().key,
                "does not match the first certificate of tls_cert",
            ),
        ] {
            let pair = Pair {
                key: key.to_owned(),
                ..valid.clone()
            };
            let text = rejected(&pair);
            assert!(
                text.starts_with("tls_key (bytes from the program): "),
                "{text}"
            );
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn a_swapped_pair_is_reported_as_swapped() {
        let Pair { cert, key } = server();
        let swapped = Pair {
            cert: key,
            key: cert,
        };
        let error = check(&swapped).expect_err("they are swapped");
        assert!(error.to_string().contains("swapped?"), "{error}");
    }

    #[test]
    fn dates_are_reported_in_utc() {
        assert_eq!(
            rejected(&valid(2020, 2024)),
            "tls_cert (bytes from the program): the certificate expired at 2024-01-01T00:00:00Z"
        );
        let text = rejected(&valid(2034, 2036));
        assert!(
            text.contains("is not valid before 2034-01-01T00:00:00Z"),
            "{text}"
        );
    }

    #[test]
    fn dates_before_1970_are_supported() {
        let text = rejected(&valid(1955, 1965));
        assert!(text.contains("expired at 1965-01-01T00:00:00Z"), "{text}");
    }

    #[test]
    fn an_expired_ca_certificate_in_the_chain_is_accepted() {
        let pair = server();
        let cert = format!("{}{}", pair.cert, valid(2020, 2024).cert);
        check(&Pair { cert, ..pair }).expect("a valid pair");
    }

    #[test]
    fn several_client_cas_and_an_expired_self_signed_certificate_are_accepted() {
        let (one, other) = (Authority::new().pem(), Authority::new().pem());
        with_client_ca(&one).expect("a CA");
        with_client_ca(&format!("{one}{other}")).expect("two CAs");
        with_client_ca(&valid(2020, 2024).cert).expect("it is self-signed");
    }

    #[test]
    fn each_error_of_the_client_ca_has_its_own_text() {
        let authority = Authority::new();
        let Pair { cert, key } = authority.sign("client");
        let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, reason) in [
            ("", "is empty"),
            ("hello", "is not PEM: "),
            (&key, "contains no certificate"),
            (not_x509, "certificate 1 of 1 cannot be parsed"),
            (&cert, "certificate 1 of 1 is not a CA certificate"),
            (
                &format!("{}{cert}", authority.pem()),
                "certificate 2 of 2 is not a CA certificate",
            ),
        ] {
            let text = with_client_ca(text).expect_err(reason).to_string();
            assert!(
                text.starts_with("tls_client_ca (bytes from the program): "),
                "{text}"
            );
            assert!(text.contains(reason), "{text}");
        }
    }
}
